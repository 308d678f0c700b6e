"""What stands in a node's redis.conf, and what its log gives away."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcfail.cluster.vitals import Flavour
from rcfail.practice.lab.binary import ServerBinary
from rcfail.practice.lab.conf import conf_text, conf_value, quoted
from rcfail.practice.lab.logs import LOG_FILE, OUTPUT_FILE, ServerFault, log_tail
from rcfail.practice.lab.wish import Persistence, Wish
from tests.unit.test_lab_register import entry, node


def server(flavour: Flavour, *version: int) -> ServerBinary:
    return ServerBinary("/bin/server", flavour, version, ".".join(map(str, version)), "PATH")


def options(flavour: Flavour, *version: int, wish: Wish | None = None) -> dict[str, str]:
    text = conf_text(entry(), node(1), wish or Wish(), server(flavour, *version))
    return dict(line.split(maxsplit=1) for line in text.splitlines())


def test_a_node_lives_on_its_own_address_in_every_way() -> None:
    set_up = options(Flavour.REDIS, 8, 2, 3)
    assert {set_up[name] for name in ("bind", "bind-source-addr", "cluster-announce-ip")} == {"127.40.1.1"}
    assert (set_up["port"], set_up["cluster-enabled"], set_up["protected-mode"]) == ("7000", "yes", "no")


@pytest.mark.parametrize(
    ("flavour", "version", "known", "unknown"),
    [
        (Flavour.REDIS, (6, 2, 14), set(), {"bind-source-addr", "enable-debug-command", "availability-zone"}),
        (Flavour.REDIS, (7, 0, 15), {"bind-source-addr", "enable-debug-command"}, {"availability-zone"}),
        (Flavour.VALKEY, (7, 2, 7), {"bind-source-addr", "enable-debug-command"}, {"availability-zone"}),
        (Flavour.VALKEY, (8, 1, 8), {"bind-source-addr", "availability-zone"}, set()),
    ],
)
def test_a_server_is_given_only_options_that_it_knows(
    flavour: Flavour, version: tuple[int, ...], known: set[str], unknown: set[str]
) -> None:
    set_up = options(flavour, *version)
    assert known <= set(set_up)
    assert not unknown & set(set_up)


@pytest.mark.parametrize(
    ("persistence", "save", "appendonly"),
    [
        (Persistence.NONE, '""', "no"),
        (Persistence.RDB, "3600 1 300 100 60 10000", "no"),
        (Persistence.AOF, '""', "yes"),
    ],
)
def test_persistence(persistence: Persistence, save: str, appendonly: str) -> None:
    set_up = options(Flavour.REDIS, 8, 2, wish=Wish(persistence=persistence))
    assert (set_up["save"], set_up["appendonly"]) == (save, appendonly)


def test_the_users_own_lines_stand_last() -> None:
    text = conf_text(entry(), node(1), Wish(conf=("save 1 1", "hz 20")), server(Flavour.REDIS, 8, 2))
    assert text.endswith("\nsave 1 1\nhz 20\n")
    assert conf_value(text, "save") == "1 1"


def test_replicas_know_the_password_that_primaries_ask_for() -> None:
    assert options(Flavour.REDIS, 8, 2, wish=Wish(conf=("requirepass secret",)))["masterauth"] == "secret"
    own = Wish(conf=("requirepass secret", "masterauth other"))
    assert options(Flavour.REDIS, 8, 2, wish=own)["masterauth"] == "other"


@given(st.text(st.characters(codec="utf-8")))
def test_any_path_can_be_written_to_redis_conf(path: str) -> None:
    text = quoted(path)
    assert text.isascii()
    assert text.isprintable()
    read = text[1:-1].encode().decode("unicode_escape").encode("latin-1").decode()
    assert read == path


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("masterauth a", "a"),
        ("masterauth a\nMasterAuth  'b c'\n", "b c"),
        ('masterauth ""', ""),
        ("# masterauth a\nmasterauth-x b", None),
        ("", None),
    ],
)
def test_an_option_is_read_back(text: str, value: str | None) -> None:
    assert conf_value(text, "masterauth") == value


def test_the_end_of_a_log_is_shown(tmp_path: Path) -> None:
    lab_node = replace(node(1), folder=str(tmp_path))
    assert log_tail(lab_node) == ()
    assert ServerFault("n1 ended", lab_node).message == "n1 ended"
    (tmp_path / OUTPUT_FILE).write_text("printed\n")
    assert log_tail(lab_node) == ("printed",)
    rows = "".join(f"12:M 22 Nov 2026 16:36:01.123 # line {number}\n\n" for number in range(5000))
    (tmp_path / LOG_FILE).write_text(rows)
    assert len(log_tail(lab_node)) == 8
    assert ServerFault("n1 ended", lab_node).message == "n1 ended, it says: line 4999"


@pytest.mark.parametrize(
    "line", [">>> 'requirepass open-sesame'", "masterauth open-sesame", "user x on >open-sesame ~*"]
)
def test_a_log_gives_no_password_away(tmp_path: Path, line: str) -> None:
    (tmp_path / LOG_FILE).write_text(line)
    assert "open-sesame" not in " ".join(log_tail(replace(node(1), folder=str(tmp_path))))
