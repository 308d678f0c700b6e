"""Former members of real shards that stand beside them as primaries: they follow again, or keep their keys."""

from __future__ import annotations

from pathlib import Path

import pytest

from rcfail.practice.lab.register import NodeEntry
from tests.real.conftest import LabMaker
from tests.real.mended import FILLED, codes, fill, keys_on, nothing_left, planned, steps
from tests.real.operators import Answer, Operator, killed_at
from tests.real.servers import RunningLab
from tests.real.verdicts import health_of

every_server = pytest.mark.every_server
OK, REFUSED = 0, 10
WAIT_S = 60.0


def outside(lab: RunningLab, node: NodeEntry) -> None:
    """Wait until all list it as a primary without slots, and it is well itself."""
    lab.wait(
        lambda: all(
            lab.lists(each, node) and lab.belief(each, node).primary_id is None and not lab.belief(each, node).slots
            for each in lab.nodes
        ),
        f"all to list {node.name} as an empty primary",
        WAIT_S,
    )
    lab.wait(lambda: lab.vitals(node).cluster.state == "ok", f"{node.name} to say ok", WAIT_S)


def met_again(lab: RunningLab, node: NodeEntry) -> None:
    """Reset, and introduced to the others: it keeps its id, and is a primary."""
    lab.say(node, "CLUSTER", "RESET", "SOFT")
    first = lab.node("n1")
    lab.say(node, "CLUSTER", "MEET", first.host, first.port)
    lab.wait(lambda: len(lab.view(node).beliefs) == len(lab.nodes), "it to know the others again", WAIT_S)
    outside(lab, node)


@every_server
def test_a_member_that_was_reset_follows_its_shard_again(lab: LabMaker, tmp_path: Path) -> None:
    """A spare beside it, that never was of a shard, is let alone."""
    one = lab(hosts=6, node_timeout_ms=2000)
    operator, replica = Operator(one, tmp_path), one.replica_of("n1")
    fill(one, "n1")
    one.wait(lambda: keys_on(one, replica) == FILLED, "the keys to arrive", WAIT_S)
    met_again(one, replica)
    assert "primary-empty" in health_of(one).codes
    answer = planned(operator)
    assert (answer.code, codes(answer), steps(answer)) == (OK, ["primary-returned"], ["replicate"])
    killed_at(operator, "recover", "--yes", line="  sent  ")
    done = operator.ask("recover", "--yes")
    assert done.code == OK, done.document
    assert one.belief(replica, replica).primary_id == one.node("n1").node_id
    assert (keys_on(one, replica), keys_on(one, "n1")) == (FILLED, FILLED)
    one.wait(lambda: health_of(one).exit_code == OK, "health to be OK", WAIT_S)
    nothing_left(operator)


@pytest.mark.parametrize("saved", [True, False], ids=["by-its-stream", "by-its-shard-id"])
def test_an_old_primary_whose_successor_owns_more(lab: LabMaker, tmp_path: Path, saved: bool) -> None:
    """Without cluster-allow-replica-migration it follows nobody. Without its dump nothing but the id of its shard tells
    where it belongs."""
    one = lab(conf=("cluster-allow-replica-migration no",), hosts=6, node_timeout_ms=2000)
    operator, old, new = Operator(one, tmp_path), one.node("n1"), one.replica_of("n1")
    fill(one, old)
    one.wait(lambda: keys_on(one, new) == FILLED, "the keys to arrive", WAIT_S)
    if saved:
        one.say(old, "SAVE")
    one.kill(old)
    one.wait(lambda: one.vitals(new).replication.role == "master", "its replica to be promoted", WAIT_S)
    one.wait(lambda: one.belief("n2", new).slots and one.belief("n3", new).slots, "all to know it", WAIT_S)
    for node in (new, "n2", "n3"):
        one.say(node, "CLUSTER", "SETSLOT", 16383, "NODE", new.node_id)
    # Whoever told n1 of fewer slots would let it follow.
    told = [each for each in one.nodes if each.name != old.name]
    one.wait(lambda: all(one.belief(each, new).slot_count == 5462 for each in told), "all to hear of it", WAIT_S)
    one.restart(old)
    one.wait(lambda: one.belief(old, new).slot_count == 5462, "n1 to hear of it", WAIT_S)
    outside(one, old)
    one.wait(lambda: not any(one.belief(each, old).flagged for each in (new, "n2", "n3")), "n1 to be back", WAIT_S)
    answer = planned(operator)
    assert (answer.code, codes(answer), steps(answer)) == (OK, ["primary-returned"], ["replicate"])
    done = operator.ask("recover", old.node_id, "--yes")
    assert done.code == OK, done.document
    assert one.belief(old, old).primary_id == new.node_id
    assert (keys_on(one, old), keys_on(one, new)) == (FILLED, FILLED)
    nothing_left(operator)


def test_keys_of_a_returned_member_are_left_alone(lab: LabMaker, tmp_path: Path) -> None:
    """Its dump is older than its reset: it comes back with keys of a slot that another owns."""
    one = lab(hosts=6, node_timeout_ms=2000)
    operator, replica = Operator(one, tmp_path), one.replica_of("n1")
    fill(one, "n1")
    one.wait(lambda: keys_on(one, replica) == FILLED, "the keys to arrive", WAIT_S)
    one.say(replica, "SAVE")
    met_again(one, replica)
    one.kill(replica)
    one.restart(replica)
    outside(one, replica)
    one.wait(lambda: not any(one.belief(each, replica).flagged for each in one.nodes), "it to be back", WAIT_S)
    assert keys_on(one, replica) == FILLED
    said = the(planned(operator), "primary-returned")
    assert said["choice"] is True
    assert f"It holds {FILLED} keys" in str(said["story"])
    assert "no write that its shard does not have" in str(said["story"])

    # Whatever else is mended, no key goes on either side.
    operator.ask("recover", "--yes")
    after = operator.ask("recover", "--yes")
    assert (after.code, "primary-returned" in codes(after)) == (REFUSED, True), after.document
    assert (keys_on(one, replica), keys_on(one, "n1")) == (FILLED, FILLED)

    # The operator's own way.
    one.say(replica, "FLUSHALL")
    done = operator.ask("recover", replica.node_id, "--yes")
    assert done.code == OK, done.document
    assert one.belief(replica, replica).primary_id == one.node("n1").node_id
    assert keys_on(one, replica) == FILLED
    one.wait(lambda: health_of(one).exit_code == OK, "health to be OK", WAIT_S)
    nothing_left(operator)


def the(answer: Answer, code: str) -> dict[str, object]:
    (one,) = (each for each in answer.data["conditions"] if each["condition"] == code)
    return dict(one)
