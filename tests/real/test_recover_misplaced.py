"""Replicas of real clusters that follow a replica, or a ghost: sent to the primary that their data is of."""

from __future__ import annotations

from pathlib import Path

import pytest

from rcfail.practice.lab.register import NodeEntry
from tests.real.conftest import LabMaker
from tests.real.mended import FILLED, codes, fill, keys_on, nothing_left, planned, steps
from tests.real.operators import Operator, killed_at
from tests.real.servers import RunningLab
from tests.real.verdicts import health_of

every_server = pytest.mark.every_server
OK, REFUSED = 0, 10
WAIT_S = 60.0
NOBODY = "e" * 40


def follow_in_file(lab: RunningLab, node: NodeEntry, primary: str) -> None:
    """The servers refuse to be told so: the file of a node that is down is edited."""
    path = Path(node.folder) / "nodes.conf"
    old = lab.node(node.primary or "").node_id
    lines = [line.replace(old, primary) if "myself" in line else line for line in path.read_text().splitlines()]
    path.write_text("\n".join(lines) + "\n")


def well(lab: RunningLab, node: NodeEntry) -> None:
    others = [each for each in lab.nodes if lab.see(each).nodes is not None]
    lab.wait(lambda: not any(lab.belief(each, node).flagged for each in others), f"{node.name} to be back", WAIT_S)


@every_server
def test_a_replica_that_follows_a_replica(lab: LabMaker, tmp_path: Path) -> None:
    one = lab(replicas=2, hosts=9, node_timeout_ms=2000)
    operator, (first, second) = Operator(one, tmp_path), one.replicas_of("n1")
    fill(one, "n1")
    one.wait(lambda: keys_on(one, second) == FILLED, "the keys to arrive", WAIT_S)
    one.kill(second)
    follow_in_file(one, second, first.node_id)
    one.restart(second)
    well(one, second)
    one.wait(lambda: "replica-of-replica" in health_of(one).codes, "health to name it", WAIT_S)
    answer = planned(operator)
    assert (answer.code, codes(answer), steps(answer)) == (OK, ["replica-of-replica"], ["replicate"])
    killed_at(operator, "recover", "--yes", line="  sent  ")
    done = operator.ask("recover", "--yes")
    assert done.code == OK, done.document
    assert one.belief(second, second).primary_id == one.node("n1").node_id
    assert keys_on(one, second) == FILLED
    one.wait(lambda: health_of(one).exit_code == OK, "health to be OK", WAIT_S)
    nothing_left(operator)


@pytest.mark.long
@every_server
def test_replicas_of_a_ghost(lab: LabMaker, tmp_path: Path) -> None:
    """One holds the data of a shard and follows an id that nobody knows; one follows a spare primary that died."""
    one = lab(replicas=2, hosts=9, node_timeout_ms=2000)
    operator = Operator(one, tmp_path)
    kept, spare, empty = one.replicas_of("n1")[1], one.replicas_of("n2")[1], one.replicas_of("n3")[1]
    for name in ("n1", "n2", "n3"):
        fill(one, name)
    one.wait(lambda: all(keys_on(one, each) == FILLED for each in one.replicas), "the keys to arrive", WAIT_S)
    make_spare(one, spare)
    # Since Valkey 8.0 a replica of a primary without slots is promoted too (clusterHandleReplicaFailover).
    one.say(empty, "CONFIG", "SET", "cluster-replica-no-failover", "yes")
    one.say(empty, "CLUSTER", "REPLICATE", spare.node_id)
    one.wait(lambda: follows(one, empty, spare), "all to know whom it follows", WAIT_S)
    one.wait(lambda: one.vitals(empty).replication.link_up, "it to follow the spare", WAIT_S)
    one.say(kept, "SAVE")
    one.kill(kept, spare)
    follow_in_file(one, kept, NOBODY)
    one.restart(kept)
    well(one, kept)
    one.wait(lambda: one.belief("n1", spare).failed, "the spare to be failed", WAIT_S)
    one.wait(lambda: len(ghosts(operator)) == 2, "both to count", WAIT_S)
    assert "replica-link-down" in health_of(one).codes
    assert ghosts(operator)[kept.node_id][-1] == one.node("n1").node_id
    killed_at(operator, "recover", empty.node_id, "--yes", line="  sent  ")
    for node in (empty, kept):
        done = operator.ask("recover", node.node_id, "--yes")
        assert done.code == OK, done.document
    assert one.belief(kept, kept).primary_id == one.node("n1").node_id
    assert keys_on(one, kept) == FILLED
    assert sum(keys_on(one, each) for each in one.primaries) == 3 * FILLED
    assert one.vitals(empty).replication.link_up
    for node in (empty, kept):
        nothing_left(operator, node.node_id)


def ghosts(operator: Operator) -> dict[str, list[str]]:
    """The nodes of each condition of the kind, by its subject."""
    rows = [each for each in planned(operator).data["conditions"] if each["condition"] == "replica-of-ghost"]
    return {each["nodes"][0]: each["nodes"] for each in rows}


def follows(lab: RunningLab, node: NodeEntry, primary: NodeEntry) -> bool:
    return all(lab.belief(each, node).primary_id == primary.node_id for each in lab.nodes)


def make_spare(lab: RunningLab, node: NodeEntry) -> None:
    """A replica becomes a primary without slots and keys."""
    lab.say(node, "CLUSTER", "RESET", "SOFT")
    lab.say(node, "CLUSTER", "MEET", lab.node("n1").host, lab.node("n1").port)
    others = [each for each in lab.nodes if each.name != node.name]
    lab.wait(lambda: all(lab.belief(each, node).primary_id is None for each in others), "all to know its role", WAIT_S)
    lab.wait(lambda: len(lab.view(node).beliefs) == len(lab.nodes), "it to know all", WAIT_S)
