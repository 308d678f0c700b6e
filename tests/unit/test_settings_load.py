"""From flags and environment to settings, and from the place of a password to the password."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from rcfail.cluster.nouns import Endpoint
from rcfail.errors import ConfigFault, UsageFault
from rcfail.settings.load import Flags, load, load_output
from rcfail.settings.secrets import read_secret
from rcfail.settings.sections import Format, Limits, SecretKind, SecretSource, Settings


def test_nothing_set_gives_the_defaults_and_no_seed() -> None:
    settings = load(Flags(), {})
    assert settings == Settings()
    assert settings.limits == Limits(deadline_s=8, connect_s=1, read_s=2)


def test_a_flag_wins_over_its_variable() -> None:
    env = {"RCFAIL_SEEDS": "e:1", "RCFAIL_USER": "eve"}
    assert load(Flags(), env).target.seeds == (Endpoint("e", 1),)
    assert load(Flags(), env).target.user == "eve"
    settings = load(Flags(seeds=("f:2", "g:3,f:2"), user="fay"), env)
    assert settings.target.seeds == (Endpoint("f", 2), Endpoint("g", 3)), "in the order given, each once"
    assert settings.target.user == "fay"


def test_a_flag_saves_a_broken_variable() -> None:
    assert load(Flags(seeds=("f",)), {"RCFAIL_SEEDS": "e:x"}).target.seeds == (Endpoint("f", 6379),)


def test_a_bad_seed_is_a_usage_fault_in_a_flag_and_a_config_fault_in_the_environment() -> None:
    with pytest.raises(UsageFault, match="--seed") as usage:
        load(Flags(seeds=("h:x",)), {})
    assert "HOST:PORT" in usage.value.hint
    with pytest.raises(ConfigFault, match="RCFAIL_SEEDS"):
        load(Flags(), {"RCFAIL_SEEDS": "h:x"})


def test_an_empty_variable_is_no_seed() -> None:
    assert load(Flags(), {"RCFAIL_SEEDS": "  "}).target.seeds == ()


def test_a_record_excludes_seeds_on_the_command_line_but_not_in_the_environment() -> None:
    with pytest.raises(UsageFault):
        load(Flags(seeds=("h",), from_record="f"), {})
    target = load(Flags(from_record="f"), {"RCFAIL_SEEDS": "h"}).target
    assert (target.record, target.seeds) == ("f", ())


def test_times_are_taken_over() -> None:
    limits = load(Flags(deadline=30.0, connect_timeout=0.5, read_timeout=5.0), {}).limits
    assert limits == Limits(30.0, 0.5, 5.0)


def test_a_doubtful_seed_is_told() -> None:
    assert "[::1]:7000" in load(Flags(seeds=("::1:7000",)), {}).target.notes[0]


@pytest.mark.parametrize(
    ("flags", "env", "color"),
    [
        (Flags(), {}, True),
        (Flags(no_color=True), {}, False),
        (Flags(), {"NO_COLOR": "1"}, False),
        (Flags(), {"NO_COLOR": ""}, True),
        (Flags(), {"TERM": "dumb"}, False),
        (Flags(), {"TERM": "xterm"}, True),
    ],
)
def test_colours_can_be_forbidden(flags: Flags, env: dict[str, str], color: bool) -> None:
    assert load_output(flags, env).color is color


def test_json_is_chosen_by_its_flag() -> None:
    assert load_output(Flags(output="json"), {}).format is Format.JSON


@pytest.mark.parametrize(
    ("flags", "env", "expected"),
    [
        (Flags(), {}, SecretSource()),
        (Flags(), {"REDISCLI_AUTH": "x"}, SecretSource(SecretKind.ENVIRONMENT, "REDISCLI_AUTH")),
        (
            Flags(),
            {"REDISCLI_AUTH": "x", "RCFAIL_PASSWORD": "y"},
            SecretSource(SecretKind.ENVIRONMENT, "RCFAIL_PASSWORD"),
        ),
        (
            Flags(),
            {"REDISCLI_AUTH": "x", "RCFAIL_PASSWORD": ""},
            SecretSource(SecretKind.ENVIRONMENT, "REDISCLI_AUTH"),
        ),
        (Flags(password_file="f"), {"RCFAIL_PASSWORD": "y"}, SecretSource(SecretKind.FILE, "f")),
        (Flags(ask_password=True), {"RCFAIL_PASSWORD": "y"}, SecretSource(SecretKind.PROMPT)),
    ],
)
def test_where_the_password_comes_from(flags: Flags, env: dict[str, str], expected: SecretSource) -> None:
    assert load(flags, env).target.secret == expected


def test_two_places_for_a_password_are_one_too_many() -> None:
    with pytest.raises(UsageFault):
        load(Flags(ask_password=True, password_file="f"), {})


def test_settings_never_hold_the_password() -> None:
    assert "hunter2" not in repr(load(Flags(), {"RCFAIL_PASSWORD": "hunter2"}))


def test_the_password_is_read_from_its_variable() -> None:
    source = SecretSource(SecretKind.ENVIRONMENT, "RCFAIL_PASSWORD")
    assert read_secret(source, {"RCFAIL_PASSWORD": "päss word"}) == "päss word"
    assert read_secret(SecretSource(), {"RCFAIL_PASSWORD": "x"}) is None


@pytest.mark.parametrize(
    ("raw", "secret"),
    [(b"pw", "pw"), (b"pw\n", "pw"), (b"pw\r\n", "pw"), (b" pw \n", " pw "), ("ä\n".encode(), "ä")],
)
def test_the_password_is_read_from_a_file_without_its_line_end(tmp_path: Path, raw: bytes, secret: str) -> None:
    file = tmp_path / "secret"
    file.write_bytes(raw)
    assert read_secret(SecretSource(SecretKind.FILE, str(file)), {}) == secret


@pytest.mark.parametrize("raw", [b"", b"\n", b"hunter2\nhunter3\n", b"hunter2\xff", b"hunter2" * 1000])
def test_a_file_that_is_no_password_is_turned_down_and_not_repeated(tmp_path: Path, raw: bytes) -> None:
    file = tmp_path / "secret"
    file.write_bytes(raw)
    with pytest.raises(ConfigFault) as caught:
        read_secret(SecretSource(SecretKind.FILE, str(file)), {})
    assert "hunter" not in caught.value.message + caught.value.hint


def test_a_file_that_cannot_be_read_is_a_config_fault(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(ConfigFault):
            read_secret(SecretSource(SecretKind.FILE, str(path)), {})


def test_a_password_file_that_others_can_read_is_told(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("pw\n")
    file.chmod(0o644)
    assert "chmod 600" in load(Flags(password_file=str(file)), {}).target.notes[0]
    file.chmod(0o600)
    assert load(Flags(password_file=str(file)), {}).target.notes == ()


def test_without_a_terminal_nobody_can_be_asked_for_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("hunter2\n"))
    with pytest.raises(UsageFault) as caught:
        read_secret(SecretSource(SecretKind.PROMPT), {})
    assert "--password-file" in caught.value.hint


def test_a_password_is_asked_for_once() -> None:
    assert read_secret(SecretSource(SecretKind.PROMPT), {}, ask=lambda: "typed") == "typed"
