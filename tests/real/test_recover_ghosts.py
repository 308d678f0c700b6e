"""Dead ids in real clusters: forgotten by every node, still forgotten after the ban, and never while they live."""

from __future__ import annotations

from pathlib import Path

import pytest

from rcfail.practice.lab.register import NodeEntry
from tests.real.conftest import LabMaker
from tests.real.mended import FILLED, codes, fill, keys_on, nothing_left, planned, steps
from tests.real.operators import Answer, Operator, killed_at
from tests.real.servers import RunningLab, all_servers
from tests.real.test_recover_replaced import SHORT_BAN
from tests.real.verdicts import health_of

every_server = pytest.mark.every_server
OK, REFUSED, INCOMPLETE, USAGE = 0, 10, 12, 64
WAIT_S, RUN_S = 60.0, 240.0


def valkey() -> str:
    return next(each.path for each in reversed(all_servers()) if each.label.startswith("valkey"))


def failed(lab: RunningLab, *nodes: NodeEntry | str) -> None:
    """Kill them, and wait until all others know."""
    lab.kill(*nodes)
    gone = [lab.node(each) for each in nodes]
    living = [each for each in lab.nodes if each not in gone]
    lab.wait(lambda: all(lab.belief(each, dead).failed for each in living for dead in gone), "all to know", WAIT_S)


def left(answer: Answer) -> set[str]:
    return {each["condition"] for each in answer.data["left"]}


def forgotten(lab: RunningLab, node: NodeEntry) -> bool:
    return not any(lab.lists(each, node) for each in lab.nodes if each.name != node.name)


@pytest.mark.long
@every_server
def test_a_node_that_is_given_up_is_forgotten_for_good(lab: LabMaker, tmp_path: Path) -> None:
    one = lab(replicas=2, hosts=3, node_timeout_ms=2000)
    operator, ghost = Operator(one, tmp_path), one.replica_of("n1")
    fill(one, "n1")
    failed(one, ghost)
    assert {"node-failed", "node-ghost"} & set(health_of(one).codes)
    assert steps(planned(operator)) == [], "it may come back: that is the operator's to say"
    words = ("--forget", str(ghost.endpoint))
    plan = planned(operator, *words)
    assert (plan.code, codes(plan), steps(plan)) == (OK, ["ghost"], ["forget"]), plan.document
    (step,) = plan.data["plan"]["steps"]
    assert len(step["sends"]) == len(one.nodes) - 1
    done = operator.ask("recover", *words, "--yes", within_s=RUN_S)
    assert done.code == OK, done.document
    assert any("ban runs" in each["subject"] for each in done.data["timeline"]), done.document
    assert forgotten(one, ghost), one.tables()
    assert [keys_on(one, each) for each in ("n1", one.replicas_of("n1")[1])] == [FILLED] * 2
    assert health_of(one, "--wait", "60s").exit_code == OK
    nothing_left(operator)


def test_nobody_that_answers_owns_slots_or_is_heard_by_others_is_forgotten(lab: LabMaker, tmp_path: Path) -> None:
    one = lab(node_timeout_ms=5000)
    operator, replica = Operator(one, tmp_path), one.replica_of("n2")
    for name, why in (("n1", "answers, so it is not gone"), (replica.name, "answers, so it is not gone")):
        said = planned(operator, "--forget", one.node(name).node_id)
        (found,) = said.data["conditions"]
        assert (said.code, found["condition"], steps(said)) == (REFUSED, "ghost", [])
        assert why in found["story"]
    # Silent to everybody, and not yet held for dead.
    one.freeze(replica)
    said = planned(operator, "--forget", replica.node_id)
    assert steps(said) == [] or one.belief("n1", replica).failed, said.document
    one.thaw(replica)
    one.kill("n1")
    said = planned(operator, "--forget", one.node("n1").node_id)
    assert not [each for each in steps(said) if each == "forget"], said.document


def test_one_that_was_down_tells_the_others_again_and_the_same_words_end_it(lab: LabMaker, tmp_path: Path) -> None:
    """Whoever was down during the FORGET still lists the ghost when it is back."""
    one = lab(replicas=2, hosts=3, node_timeout_ms=2000, conf=SHORT_BAN, server=valkey())
    operator, ghost, asleep = Operator(one, tmp_path), one.replica_of("n1"), one.replica_of("n2")
    fill(one, "n1")
    failed(one, ghost, asleep)
    words = ("recover", "--forget", ghost.node_id, "--yes")
    first = operator.ask(*words, within_s=RUN_S)
    assert (first.code, left(first)) == (INCOMPLETE, {"node-down"}), first.document
    story = next(each["story"] for each in first.data["conditions"] if each["condition"] == "ghost")
    assert f"({asleep.node_id[:8]}) answers again, the others may hear of it anew" in story
    living = [each for each in one.nodes if each not in (ghost, asleep)]
    assert not any(one.lists(each, ghost) for each in living), one.tables()
    one.restart(asleep)
    one.wait(lambda: one.belief(asleep, ghost).flagged, "the one that slept to miss it", WAIT_S)
    one.wait(lambda: not any(one.belief(each, asleep).flagged for each in living), "it to be trusted", WAIT_S)
    killed_at(operator, *words, line="sent  FORGET")
    # One FORGET is passed on from Valkey 7.2 on: after it nobody may be left who knows that name.
    again = operator.ask(*words, within_s=RUN_S)
    assert again.code == OK, again.document
    one.wait(lambda: forgotten(one, ghost), "it to be forgotten by all", WAIT_S)
    late = operator.ask(*words, within_s=RUN_S)
    assert (late.code, steps(late)) == (OK, []), late.document
    assert any("no node lists it" in each for each in late.document["notes"]), late.document
    gone = operator.ask("recover", "--forget", str(ghost.endpoint), "--dry-run")
    assert (gone.code, "say its whole id" in gone.document["errors"][0]["hint"]) == (USAGE, True), gone.document
    assert health_of(one, "--wait", "60s").exit_code == OK
    nothing_left(operator)
