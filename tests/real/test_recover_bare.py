"""Shards of real clusters without replicas: one is borrowed from a shard with two, or an unused node is taken."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.real.conftest import LabMaker
from tests.real.mended import FILLED, codes, fill, keys_on, nothing_left, planned, steps
from tests.real.operators import Operator, killed_at
from tests.real.test_recover_misplaced import make_spare
from tests.real.verdicts import health_of

every_server = pytest.mark.every_server
OK, REFUSED = 0, 10
WAIT_S = 60.0


@every_server
def test_a_bare_shard_borrows_a_replica(lab: LabMaker, tmp_path: Path) -> None:
    """Both replicas of n1 were forgotten after they died; the servers may not move one themselves."""
    one = lab(replicas=2, hosts=9, node_timeout_ms=2000, conf=("cluster-allow-replica-migration no",))
    operator, gone = Operator(one, tmp_path), one.replicas_of("n1")
    for name in ("n1", "n2", "n3"):
        fill(one, name)
    one.wait(lambda: all(keys_on(one, each) == FILLED for each in one.replicas), "the keys to arrive", WAIT_S)
    one.kill(*gone)
    one.wait(lambda: all(one.belief(at, each).failed for at in one.primaries for each in gone), "both failed", WAIT_S)
    one.wait(lambda: "replica-missing" in health_of(one).codes, "health to name it", WAIT_S)
    assert "shard-bare" not in codes(planned(operator, one.node("n1").node_id)), "they may come back"
    living = [each for each in one.nodes if each.name not in {node.name for node in gone}]
    for node in gone:
        for at in living:
            one.forget(node, on=at)
    one.wait(lambda: not any(one.lists(at, node) for at in living for node in gone), "nobody to list them", WAIT_S)
    answer = planned(operator)
    assert (answer.code, codes(answer), steps(answer)) == (OK, ["shard-bare"], ["replicate"])
    (step,) = answer.data["plan"]["steps"]
    killed_at(operator, "recover", "--yes", line="  sent  ")
    done = operator.ask("recover", "--yes")
    assert done.code == OK, done.document
    moved = next(each for each in living if each.node_id == step["about"]["id"])
    assert one.belief(moved, moved).primary_id == one.node("n1").node_id
    assert keys_on(one, moved) == FILLED
    assert [keys_on(one, each) for each in one.primaries] == [FILLED] * 3
    one.wait(lambda: health_of(one).exit_code == OK, "health to be OK", WAIT_S)
    nothing_left(operator)


@every_server
def test_an_unused_member_is_taken_and_nobody_is_left_to_lend(lab: LabMaker, tmp_path: Path) -> None:
    """First a member without slots is there; once it is used up, the last bare shard is told how to get one."""
    one = lab(replicas=1, hosts=6, node_timeout_ms=2000)
    operator, spare, other = Operator(one, tmp_path), one.replica_of("n1"), one.replica_of("n2")
    for name in ("n1", "n2", "n3"):
        fill(one, name)
    make_spare(one, spare)
    one.wait(lambda: "replica-missing" in health_of(one).codes, "health to name it", WAIT_S)
    answer = planned(operator, one.node("n1").node_id)
    assert steps(answer) == ["replicate"]
    done = operator.ask("recover", "--yes")
    assert done.code == OK, done.document
    assert one.belief(spare, spare).primary_id == one.node("n1").node_id
    assert keys_on(one, spare) == FILLED
    nothing_left(operator)
    one.kill(other)
    living = [each for each in one.nodes if each.name != other.name]
    one.wait(lambda: all(one.belief(at, other).failed for at in one.primaries), "it to be failed", WAIT_S)
    for at in living:
        one.forget(other, on=at)
    one.wait(lambda: codes(operator.ask("recover", "--dry-run")) == ["shard-bare"], "it to be bare", WAIT_S)
    answer = planned(operator)
    assert answer.code == REFUSED
    assert "CLUSTER MEET" in answer.data["conditions"][0]["advice"]
