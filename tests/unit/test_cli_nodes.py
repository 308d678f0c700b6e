"""The command nodes: one view, from a server, a record, a saved reply or a nodes.conf."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from rcfail.cluster.parse_nodes import NodesReader
from rcfail.render.lines import plain
from rcfail.render.node_table import TableView, node_page, tree
from tests.unit.golden import assert_golden
from tests.unit.running import Ran, process, rcfail, recorded
from tests.unit.world import World, node_id

Capsys = pytest.CaptureFixture[str]
A = "a" * 40


def mixed() -> str:
    """A view with everything that a line can have."""
    world = World.of(3, 2)
    world.kill("b")
    world["a"].open_slots = (f"[93->-{node_id('c')}]", f"[5461-<-{node_id('b')}]")
    world["a2"].primary = node_id("a1")
    world["c1"].flags = ("nofailover",)
    world["a"].sees[node_id("c2")] = world["c2"].line().replace("@19002", "@19002,redis-c2.example")
    world["a"].extra_lines = (
        f"{'1' * 40} 10.0.0.9:7000@17000 handshake - 1 0 0 disconnected",
        f"{'2' * 40} :0@0 slave,fail,noaddr {'9' * 40} 1 1 4 disconnected",
        f"{'3' * 40} 10.0.0.3:7000@17000 slave {'4' * 40} 0 1 4 connected",
        f"{'4' * 40} 10.0.0.4:7000@17000 slave {'3' * 40} 0 1 4 connected",
        "4711 not a line \x1b[2J",
        f"{'5' * 40} 10.0.0.5:7000@17000 master - 0 1 6 connected 20000 7-x",
    )
    return world.nodes_text(world["a"])


def from_text(capsys: Capsys, folder: Path, text: str | bytes, *args: str) -> Ran:
    path = folder / "nodes.txt"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return rcfail(capsys, "nodes", "--from", str(path), *args)


def test_the_tree_is_as_it_was() -> None:
    view = TableView(NodesReader().read(mixed()), "view of 127.50.1.1:7000", 7, 5)
    assert_golden("nodes-mixed", plain(node_page(view, 80)))


def test_no_line_of_the_table_is_lost_or_told_twice() -> None:
    beliefs = NodesReader().read(mixed()).table.beliefs
    told = [branch.belief.node_id for branches in tree(beliefs) for branch in branches]
    assert sorted(told) == [belief.node_id for belief in beliefs]
    assert {"3" * 40, "4" * 40} <= set(told), "also of replicas that follow each other"


def test_replicas_stand_below_whom_they_follow() -> None:
    beliefs = NodesReader().read(mixed()).table.beliefs
    depths = {branch.belief.node_id: branch.depth for branches in tree(beliefs) for branch in branches}
    assert depths[node_id("a")] == 0
    assert depths[node_id("a1")] == 1
    assert depths[node_id("a2")] == 2


def test_two_lines_of_one_id_are_both_told(capsys: Capsys, tmp_path: Path) -> None:
    line = f"{A} 127.0.0.1:7000@17000 myself,master - 0 0 1 connected 0-16383\n"
    ran = from_text(capsys, tmp_path, line + line.replace(":7000@17000 myself,", ":7001@17001 "))
    assert ran.code == 0
    assert "127.0.0.1:7000" in ran.out
    assert "127.0.0.1:7001" in ran.out
    assert "node id is already in line 1" in ran.out


def test_a_nodes_conf_gives_its_epochs(capsys: Capsys, tmp_path: Path) -> None:
    conf = f"{A} 127.0.0.1:7000@17000,,shard-id={'b' * 40} myself,master - 0 0 1 connected 0-16383\n"
    conf += "vars currentEpoch 6 lastVoteEpoch 4\n"
    text = from_text(capsys, tmp_path, conf)
    assert text.code == 0
    assert "current epoch 6, last vote in epoch 4" in text.out
    data = from_text(capsys, tmp_path, conf, "-o", "json").document["data"]
    assert (data["current_epoch"], data["last_vote_epoch"], data["problems"]) == (6, 4, [])
    assert data["observer"]["id"] == A


def test_standard_input_is_read(capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    stdin = io.TextIOWrapper(io.BytesIO(mixed().encode()))
    monkeypatch.setattr(sys, "stdin", stdin)
    ran = rcfail(capsys, "nodes", "--from", "-")
    assert ran.code == 0
    assert ran.out.startswith("standard input: 14 nodes")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it is empty"),
        ("\n \n", "it is empty"),
        ("root:x:0:0:root:/root:/bin/bash\n", "line 1"),
        ("ERR This instance has cluster support disabled\n", "line 1"),
        ('{"schema": "rcfail-record/1"}', "line 1"),
        (b"\x00\xff\xfe" * 100, "line 1"),
        ("vars currentEpoch 6 lastVoteEpoch 4\n", ""),
    ],
)
@pytest.mark.parametrize("output", ["text", "json"])
def test_a_foreign_file_is_one_line_and_a_hint(
    capsys: Capsys, tmp_path: Path, text: str | bytes, why: str, output: str
) -> None:
    ran = from_text(capsys, tmp_path, text, "-o", output)
    assert ran.code == 78
    if output == "json":
        assert why in ran.error["message"]
        assert "CLUSTER NODES" in ran.error["hint"]
        return
    assert ran.out == ""
    error, hint = ran.err.splitlines()
    assert "holds no line of a node table" in error
    assert why in error
    assert hint.startswith("hint: ")
    assert "\x00" not in ran.err


@pytest.mark.parametrize("path", ["/nonexistent/nodes.conf", "/"])
def test_a_file_that_cannot_be_read_is_one_line_and_a_hint(capsys: Capsys, path: str) -> None:
    ran = rcfail(capsys, "nodes", "--from", path)
    assert (ran.code, ran.out, len(ran.err.splitlines())) == (78, "", 2)


def test_a_partly_readable_file_is_told_with_its_problems(capsys: Capsys, tmp_path: Path) -> None:
    ran = from_text(capsys, tmp_path, mixed())
    assert ran.code == 0
    assert "2 lines that could not be read whole" in ran.out
    assert r"4711 not a line \x1b[2J" in ran.out
    assert "\x1b" not in ran.out


def test_a_seed_that_is_silent_is_passed_over_and_said(capsys: Capsys, tmp_path: Path) -> None:
    from rcfail.cluster.observation import SilenceReason

    world = World.of(3, 1)
    world["a"].silence = SilenceReason.REFUSED
    ran = rcfail(capsys, "nodes", "--from-record", recorded(world, tmp_path))
    assert ran.code == 0
    assert not ran.out.startswith("view of 127.50.1.1:7000")
    assert "note: 127.50.1.1:7000 refuses the connection" in ran.out


def test_from_excludes_live_seeds_but_not_those_of_the_environment(tmp_path: Path) -> None:
    path = tmp_path / "n"
    path.write_text(mixed())
    assert process(["nodes", "--from", str(path)], RCFAIL_SEEDS="127.0.0.1:1").code == 0
    assert process(["nodes", "--from", str(path), "-s", "127.0.0.1:1"]).code == 64
