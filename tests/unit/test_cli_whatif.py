"""`rcfail whatif` on records: exit codes, words that it takes, JSON, and pages for eighty columns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rcfail.cluster.observation import SilenceReason
from tests.unit.golden import assert_golden
from tests.unit.running import Ran, rcfail, recorded
from tests.unit.world import World, node_id

Capsys = pytest.CaptureFixture[str]
OK, WARNING, CRITICAL, UNKNOWN, USAGE = 0, 1, 2, 3, 64

DATA = {"health", "lose", "before", "after", "weakest", "hosts", "zones"}
FORECAST = {
    "verdict", "summary", "lost", "votes", "slots_out", "slots_out_count", "stop", "full_coverage", "paused_ms",
    "others_paused_ms", "retry_ms", "node_timeout_known", "without_replica", "shards",
}  # fmt: skip
VOTES = {"voters", "needed", "left", "after", "standing"}
SHARD = {
    "primary_id", "slots", "slot_count", "fate", "lost", "elected", "reasons", "outage_ms", "behind_bytes", "linked",
    "empty", "replicas_before", "replicas_after", "replicas_unseen", "doubt", "adopts", "writes_refused",
}  # fmt: skip
PLACE = {
    "name", "node_ids", "verdict", "summary", "slots_out_count", "quorum", "paused_ms", "without_replica",
}  # fmt: skip
EAST_WEST = ("--zone", "127.50.[12].1=east", "--zone", "*=west")


def whatif(capsys: Capsys, world: World, folder: Path, *words: str) -> Ran:
    return rcfail(capsys, "whatif", "--from-record", recorded(world, folder), *words)


def data(ran: Ran) -> dict[str, Any]:
    found = ran.document["data"]
    assert isinstance(found, dict)
    return found


def silent_successor() -> World:
    world = World.of(3, 2)
    world["a1"].silence = world["a2"].silence = SilenceReason.CONNECT_TIMEOUT
    return world


@pytest.mark.parametrize(
    ("world", "words", "code"),
    [
        (World.of(3, 2), ["--lose", "aaaa"], OK),
        (World.of(3, 2), ["--lose", "127.50.1.1"], OK),
        (World.of(3, 1), ["--lose", "aaaa"], WARNING),
        (World.of(3, 1), ["--lose", "127.50.2.1:8000"], WARNING),
        (World.of(3, 1), ["--lose", "aaaa", "--lose", "a100"], CRITICAL),
        (World.of(3, 1), ["--lose", "aaaa", "--lose", "bbbb"], CRITICAL),
        (silent_successor(), ["--lose", "aaaa"], UNKNOWN),
        (World.of(3, 2), [], OK),
        (World.of(3, 1), [], WARNING),
        (World.of(3, 1, 1), [], CRITICAL),
        (World.of(3, 2), EAST_WEST, CRITICAL),
    ],
)
def test_the_exit_code(capsys: Capsys, tmp_path: Path, world: World, words: list[str], code: int) -> None:
    assert whatif(capsys, world, tmp_path, *words).code == code
    ran = whatif(capsys, world, tmp_path, *words, "-o", "json")
    assert (ran.code, ran.document["exit_code"]) == (code, code)
    assert ran.document["verdict"] == ("ok", "warning", "critical", "unknown")[code]


def test_the_json_of_one_loss(capsys: Capsys, tmp_path: Path) -> None:
    found = data(
        whatif(capsys, World.of(3, 1), tmp_path, "--lose", "127.50.1.1", "--lose", "127.50.1.1:7000", "-o", "json")
    )
    assert found.keys() == DATA
    assert [(each["kind"], each["name"]) for each in found["lose"]] == [("host", "127.50.1.1"), ("node", node_id("a"))]
    after = found["after"]
    assert after.keys() == found["before"].keys() == FORECAST
    assert after["votes"].keys() == VOTES
    assert all(each.keys() == SHARD for each in after["shards"])
    assert after["lost"] == sorted([node_id("a"), node_id("c1")])
    assert after["without_replica"] == [node_id("a"), node_id("c")]
    first = after["shards"][0]
    assert (first["fate"], first["elected"], first["outage_ms"]) == ("taken-over", [node_id("a1")], [15500, 31500])
    assert (found["before"]["verdict"], after["verdict"], found["health"]) == ("ok", "warning", "ok")
    assert (found["weakest"], found["hosts"], found["zones"]) == ({"host": None, "zone": None}, [], [])


def test_the_json_of_every_place(capsys: Capsys, tmp_path: Path) -> None:
    found = data(whatif(capsys, World.of(3, 1), tmp_path, *EAST_WEST, "-o", "json"))
    assert found.keys() == DATA
    assert found["after"] is None
    assert all(each.keys() == PLACE for each in (*found["hosts"], *found["zones"]))
    assert found["weakest"] == {"host": found["hosts"][0], "zone": found["zones"][0]}
    assert [each["name"] for each in found["zones"]] == ["east", "west"]
    assert (found["zones"][0]["verdict"], found["zones"][0]["quorum"]) == ("critical", "no")
    assert {each["name"] for each in found["hosts"]} == {"127.50.1.1", "127.50.2.1", "127.50.3.1"}


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("nowhere", "There are: 127.50.1.1, 127.50.2.1, 127.50.3.1"),
        ("127.50.1.2", "Did you mean: 127.50"),
        ("127.50.1.1:7001", "127.50.1.1:7000"),
        ("aaa", "There are"),
        ("", "There are"),
    ],
)
def test_a_word_that_means_nothing(capsys: Capsys, tmp_path: Path, word: str, said: str) -> None:
    ran = whatif(capsys, World.of(3, 1), tmp_path, "--lose", word, "-o", "json")
    assert ran.code == USAGE
    assert "is no node, host or zone of this cluster" in ran.error["message"]
    assert said in ran.error["hint"]


def test_a_word_that_means_two_things(capsys: Capsys, tmp_path: Path) -> None:
    ran = whatif(capsys, World.of(3, 1), tmp_path, "--zone", "127.50.3.1=127.50.1.1", "--lose", "127.50.1.1")
    assert (ran.code, ran.out) == (USAGE, "")
    assert "host:127.50.1.1 = host 127.50.1.1 (2 nodes)" in ran.err
    assert "zone:127.50.1.1 = zone 127.50.1.1 (2 nodes)" in ran.err
    words = ("--zone", "127.50.3.1=127.50.1.1", "--lose", "zone:127.50.1.1")
    assert whatif(capsys, World.of(3, 1), tmp_path, *words).code == WARNING


def test_what_is_broken_before_is_said(capsys: Capsys, tmp_path: Path) -> None:
    world = World.of(5, 1)
    world.kill("a")
    world.kill("a1")
    for words in ((), ("--lose", "127.50.3.1")):
        out = " ".join(whatif(capsys, world, tmp_path, *words).out.split())
        assert "now: CRITICAL" in out
        assert "without any loss, as things stand: 3276 slots lose their last copy" in out


def test_what_servers_call_their_zones_is_harmless(capsys: Capsys, tmp_path: Path) -> None:
    world = World.of(3, 1)
    world["a"].info["availability_zone"] = "\x1b[31mred\x07"
    world["b"].info["availability_zone"] = "z" * 500
    ran = whatif(capsys, world, tmp_path)
    assert "\x1b" not in ran.out
    assert "\x07" not in ran.out
    assert all(len(row) <= 80 for row in ran.out.splitlines() if row.startswith("  z"))
    lost = whatif(capsys, world, tmp_path, "--lose", "z" * 500)
    assert lost.code == WARNING
    wrong = whatif(capsys, world, tmp_path, "--lose", "red")
    assert wrong.code == USAGE
    assert "\x1b" not in wrong.err


def lopsided() -> World:
    """The quorum and a shard on one host."""
    world = World.of(3, 1)
    for letter in ("b", "b1"):
        world[letter].endpoint = world[letter].endpoint._replace(host="127.50.1.1", port=7000 + len(letter))
    return world


def many() -> World:
    return World.of(60, 1, hosts=60)


def two_of_five() -> World:
    world = World.of(5, 2, hosts=5)
    world["b"].endpoint = world["b"].endpoint._replace(host="127.50.1.1", port=7001)
    world["b2"].silence = SilenceReason.CONNECT_TIMEOUT
    return world


PAGES = {
    "well": (World.of(3, 1), EAST_WEST),
    "lopsided": (lopsided(), ()),
    "many": (many(), ()),
    "host": (World.of(3, 1), ("--lose", "127.50.1.1")),
    "quorum-and-copies": (lopsided(), ("--lose", "127.50.1.1")),
    "two-elections": (two_of_five(), ("--lose", "127.50.1.1")),
}


@pytest.mark.parametrize("name", PAGES)
def test_the_page(capsys: Capsys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    world, words = PAGES[name]
    monkeypatch.chdir(tmp_path)
    recorded(world, tmp_path)
    out = rcfail(capsys, "whatif", "--from-record", "record.json", *words).out
    assert all(len(row) <= 80 for row in out.splitlines())
    assert_golden(f"whatif-{name}", out)


def test_a_large_cluster_is_cut_and_counted(capsys: Capsys, tmp_path: Path) -> None:
    cut = whatif(capsys, many(), tmp_path).out
    assert "and 40 more, none worse: --all shows them" in cut
    whole = whatif(capsys, many(), tmp_path, "--all").out
    assert "--all" not in whole
    assert sum(row.startswith("  127.50.") for row in whole.splitlines()) == 60


def test_slots_that_take_no_writes_are_not_told_to_stay_served(capsys: Capsys, tmp_path: Path) -> None:
    world = World.of(3, 1)
    world["a"].config["min-replicas-to-write"] = "1"
    page = " ".join(whatif(capsys, world, tmp_path, "--lose", "a1000000").out.split())
    assert "5461 slots take no writes for want of replicas; all slots serve reads" in page
    assert "stay served" not in page


def test_nodes_of_no_known_zone_are_named(capsys: Capsys, tmp_path: Path) -> None:
    """They are in no row, so the rows of zones are not the whole cluster."""
    ran = whatif(capsys, World.of(3, 1), tmp_path, "--zone", "127.50.[12].1=east")
    assert "in no row of zones, for theirs is not known: 127.50.3.1:7000 (cccccccc)" in " ".join(ran.out.split())
    assert "in no row" not in whatif(capsys, World.of(3, 1), tmp_path, *EAST_WEST).out
