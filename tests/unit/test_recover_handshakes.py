"""Who is at an address that is being met in vain, and what is said of nodes of another cluster."""

from __future__ import annotations

from dataclasses import replace

from rcfail.change.checks import CheckVerdict
from rcfail.change.recover.action import ActionKind
from rcfail.change.recover.case import Case, Question
from rcfail.change.recover.condition import Condition, ConditionCode
from rcfail.change.recover.members.handshakes import NotMet, conditions, questions
from rcfail.cluster.merge import merge
from rcfail.cluster.nouns import Address, Endpoint, NodeId
from rcfail.cluster.observation import Observation
from rcfail.health.diagnose import diagnose
from rcfail.health.finding import Thresholds
from rcfail.wire.replies import Reply
from tests.unit.world import World, node_id

PLACE = Endpoint("127.9.9.9", 7000)
MADE_UP = "0123456789" * 4


def meeting(world: World, place: Endpoint = PLACE) -> World:
    world["a"].extra_lines = (
        f"{MADE_UP} {place.host}:{place.port}@{place.port + 10000} handshake - 0 0 0 disconnected",
    )
    return world


def case_of(seen: Observation, said: Reply = None) -> Case:
    snapshot = merge(seen)
    case = Case(snapshot, tuple(diagnose(snapshot, Thresholds())))
    return replace(case, replies=dict.fromkeys(questions(case), said))


def the_one(case: Case, taken: frozenset[NodeId] = frozenset()) -> Condition:
    found = tuple(conditions(case, taken))
    assert len(found) == 1, found
    return found[0]


def test_nobody_there_is_waited_for_and_then_told() -> None:
    case = case_of(meeting(World.of(3, 1)).observe())
    assert list(questions(case)) == [Question(PLACE, ("CLUSTER", "NODES"))]
    one = the_one(case)
    assert (one.code, one.subject, one.nodes) == (ConditionCode.HANDSHAKE_LOOP, str(PLACE), ())
    assert "Nobody answers us at 127.9.9.9:7000" in one.story
    assert "Stop whatever sends CLUSTER MEET" in one.advice
    (action,) = one.actions
    assert (action.kind, action.sends) == (ActionKind.WAIT, ())
    assert action.within_ms > 15_000, "an attempt lives for one node timeout"
    (ends,) = action.expects
    assert ends.check(case.snapshot).verdict is CheckVerdict.FAIL
    assert ends.check(World.of(3, 1).snapshot()).verdict is CheckVerdict.PASS


def test_a_new_attempt_has_another_id_and_is_the_same() -> None:
    first = the_one(case_of(meeting(World.of(3, 1)).observe()))
    world = meeting(World.of(3, 1))
    world["a"].extra_lines = (world["a"].extra_lines[0].replace(MADE_UP, "9" * 40),)
    again = the_one(case_of(world.observe()))
    assert (again.key, again.actions[0].key) == (first.key, first.actions[0].key)


def test_one_that_was_seen_once_only_is_none() -> None:
    case = case_of(meeting(World.of(3, 1)).observe())
    assert not tuple(conditions(replace(case, findings=()), frozenset()))


def test_a_member_is_at_that_address() -> None:
    world = World.of(3, 1)
    case = case_of(meeting(world, world["b1"].endpoint).observe())
    assert not list(questions(case))
    one = the_one(case)
    assert one.nodes == (node_id("b1"),)
    assert "is a member already" in one.story
    assert not tuple(conditions(case, frozenset(one.nodes))), "an earlier planner is about it"


def test_a_fresh_node_is_there_and_its_bus_port_is_not_reached() -> None:
    alone = f"{'e' * 40} 127.9.9.9:7000@17000 myself,master - 0 0 0 connected\n"
    one = the_one(case_of(meeting(World.of(3, 1)).observe(), alone))
    assert "Node eeeeeeee answers there" in one.story
    assert "port 17000" in one.advice


def other_cluster() -> World:
    theirs = World.of(3, 0)
    for number, member in enumerate(tuple(theirs)):
        del theirs.members[member.node_id]
        member.node_id, member.endpoint = node_id("def"[number] * 3), Endpoint(f"127.9.9.{number + 7}", 7000)
        theirs.members[member.node_id] = member
    return theirs


def test_a_member_of_another_cluster_is_never_waited_for() -> None:
    theirs = other_cluster()
    said = theirs.nodes_text(next(iter(theirs)))
    one = the_one(case_of(meeting(World.of(3, 1), Endpoint("127.9.9.7", 7000)).observe(), said))
    assert (one.code, one.actions) == (ConditionCode.FOREIGN_MEMBER, ())
    assert "another cluster of 3 nodes" in one.story
    assert "Stop whatever sends CLUSTER MEET at once" in one.advice


def test_what_no_server_says_is_nobody() -> None:
    one = the_one(case_of(meeting(World.of(3, 1)).observe(), "hello\nworld"))
    assert "Nobody answers us" in one.story


def test_seeds_of_two_clusters_are_told_and_nothing_is_planned() -> None:
    seen, theirs = World.of(3, 1).observe(), other_cluster().observe()
    one = the_one(case_of(replace(seen, answers=(*seen.answers, *theirs.answers))))
    assert (one.code, one.actions, one.nodes) == (ConditionCode.FOREIGN_MEMBER, (), ())
    assert "another cluster of 3 nodes" in one.evidence
    assert one.advice.startswith("Name places of one cluster only")


def test_an_address_that_another_cluster_took_names_whose_it_was() -> None:
    world, theirs = World.of(3, 1), other_cluster()
    lost = world["b1"]
    first = next(iter(theirs))
    first.endpoint = lost.endpoint
    seen = world.observe()
    answers = tuple(each for each in seen.answers if each.expected != lost.node_id)
    there = tuple(
        replace(each, expected=lost.node_id) if each.endpoint == lost.endpoint else each
        for each in theirs.observe().answers
    )
    one = the_one(case_of(replace(seen, answers=(*answers, *there))))
    assert one.nodes == (lost.node_id,)
    assert "is listed there" in one.evidence
    assert "an address of its own" in one.advice


def test_a_handshake_with_another_address_does_not_count() -> None:
    snapshot = meeting(World.of(3, 1)).snapshot()
    assert NotMet(Address("127.9.9.8", 7000, 17000)).check(snapshot).verdict is CheckVerdict.PASS
