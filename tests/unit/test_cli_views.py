"""`rcfail views`: whole pages against golden files, the JSON, the exit code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rcfail.cluster.observation import SilenceReason
from tests.unit.golden import assert_golden
from tests.unit.parting import part
from tests.unit.running import rcfail, recorded
from tests.unit.world import NOW_UNIX_MS, World, node_id

Capsys = pytest.CaptureFixture[str]
ONE_TWO = ("a c1", "b c a1 b1")

DATA = {"parted", "sides", "unplaced", "groups", "pairs", "nodes", "findings", "ignored", "silences"}
SIDE = {"members", "unheard", "voters", "electorate", "needed", "quorum", "writable", "serves", "will", "loses"}
SERVES = {"id", "slots", "access"}
WILL = {"move", "id", "slots", "successor", "within_ms", "again_ms"}
LOSES = {"id", "successor", "certain", "still_taking", "up_to_bytes"}
NODE = {"id", "host", "port", "role", "side", "gave_view"}


def parted() -> World:
    """One zone of three is cut; its primary has not noticed all of it, and still takes writes."""
    world = part(World.of(3, 1), *ONE_TWO, timeout_over=False)
    world["a"].cluster_info["cluster_state"] = "ok"
    world["a"].sees[node_id("c")] = world["c"].line(ping_sent=NOW_UNIX_MS - 13_000)
    world["a"].info["master_repl_offset"] = "5700"
    return world


def one_way() -> World:
    world = World.of(3, 1)
    world["a"].sees[node_id("b")] = world["b"].line(ping_sent=NOW_UNIX_MS - 20_000)
    return world


def large() -> World:
    """Thirty shards on as many hosts, six of them cut."""
    world = World.of(30, 1)
    sides: dict[bool, list[str]] = {True: [], False: []}
    for member in world:
        sides[int(member.endpoint.host.split(".")[2]) % 5 == 1].append(member.node_id)
    return part(world, " ".join(sides[True]), " ".join(sides[False]))


def three() -> World:
    return part(World.of(3, 1), "a c1", "b a1", "c b1")


def partly_silent() -> World:
    world = part(World.of(3, 1), *ONE_TWO)
    world["c1"].silence = SilenceReason.CONNECT_TIMEOUT
    world["b1"].silence = SilenceReason.REFUSED
    for member in world:
        if member.silence is None:
            member.sees[node_id("b1")] = world["b1"].line(flags=("fail",), ping_sent=NOW_UNIX_MS - 20_000)
    return world


PAGES: dict[str, tuple[Callable[[], World], int]] = {
    "well": (lambda: World.of(3, 1), 0),
    "parted": (parted, 2),
    "three-sides": (three, 2),
    "one-way": (one_way, 1),
    "large": (large, 2),
    "partly-silent": (partly_silent, 2),
}


@pytest.mark.parametrize("name", PAGES)
def test_pages(capsys: Capsys, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    make, code = PAGES[name]
    ran = rcfail(capsys, "views", "--from-record", Path(recorded(make(), tmp_path)).name)
    assert ran.code == code
    assert all(len(row) <= 80 for row in ran.out.splitlines() if "rcfail " not in row)
    assert_golden(f"views-{name}", ran.out)


def data(capsys: Capsys, world: World, folder: Path, *args: str) -> dict[str, Any]:
    return rcfail(capsys, "views", "--from-record", recorded(world, folder), "-o", "json", *args).document


@pytest.mark.parametrize("name", PAGES)
def test_the_json_has_its_keys(capsys: Capsys, tmp_path: Path, name: str) -> None:
    make, code = PAGES[name]
    document = data(capsys, make(), tmp_path)
    assert (document["command"], document["exit_code"]) == ("views", code)
    said = document["data"]
    assert said.keys() == DATA
    for side in said["sides"]:
        assert side.keys() == SIDE
        assert all(each.keys() == SERVES for each in side["serves"])
        assert all(each.keys() == WILL for each in side["will"])
        assert all(each.keys() == LOSES for each in side["loses"])
    assert all(each.keys() == NODE for each in said["nodes"])
    assert all(each.keys() == {"observer", "node", "sees"} for each in said["pairs"])
    assert all(each.keys() == {"observers", "differs_in"} for each in said["groups"])


def test_what_each_side_does_is_in_the_json(capsys: Capsys, tmp_path: Path) -> None:
    said = data(capsys, parted(), tmp_path)["data"]
    main, other = said["sides"]
    assert said["parted"]
    assert (main["quorum"], other["quorum"]) == ("yes", "no")
    assert (main["writable"], other["writable"]) == (10923, 5461)
    assert [(each["move"], each["successor"]) for each in main["will"]] == [("promotes", node_id("a1"))]
    assert [(each["move"], each["within_ms"]) for each in other["will"]] == [("stops", 2000)]
    assert [(each["still_taking"], each["up_to_bytes"]) for each in other["loses"]] == [(True, 700)]
    assert {each["id"]: each["side"] for each in said["nodes"]}[node_id("c1")] == 1
    assert {"observer": node_id("b"), "node": node_id("a"), "sees": "failed"} in said["pairs"]


def test_the_matrix_of_a_large_cluster_is_drawn_only_when_asked_for(capsys: Capsys, tmp_path: Path) -> None:
    path = recorded(large(), tmp_path)
    brief = rcfail(capsys, "views", "--from-record", path).out
    full = rcfail(capsys, "views", "--from-record", path, "--matrix").out
    assert len(brief.splitlines()) < 70
    assert len(full.splitlines()) > len(brief.splitlines()) + 50


def test_a_finding_is_left_out_by_name(capsys: Capsys, tmp_path: Path) -> None:
    said = data(capsys, one_way(), tmp_path, "--ignore", "link-missing")
    assert (said["exit"], [each["code"] for each in said["data"]["ignored"]]) == ("OK", ["link-missing"])


def test_what_is_not_about_seeing_is_not_judged(capsys: Capsys, tmp_path: Path) -> None:
    world = World.of(2, 0)
    assert data(capsys, world, tmp_path)["exit"] == "OK"


def test_a_silent_node_is_never_ok(capsys: Capsys, tmp_path: Path) -> None:
    world = World.of(3, 1)
    world["b1"].silence = SilenceReason.CONNECT_TIMEOUT
    assert data(capsys, world, tmp_path)["exit"] == "UNKNOWN"


def test_a_node_without_an_address_is_named_by_its_id(capsys: Capsys, tmp_path: Path) -> None:
    world = World.of(3, 1)
    lost = world.members.pop(node_id("b"))
    at = f"{lost.endpoint.host}:{lost.endpoint.port}@{lost.endpoint.port + 10000}"
    for other in world:
        other.extra_lines = (lost.line(flags=("noaddr",)).replace(at, ":0@0"),)
    page = rcfail(capsys, "views", "--from-record", recorded(world, tmp_path)).out
    assert f"not seen  node {lost.node_id[:8]}: " in page
