"""What is planned when a node is to be reset: what it loses, who is told, and the way back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rcfail.change.checks import refusing
from rcfail.change.recover.action import Action, ActionKind
from rcfail.change.recover.case import Case, Decisions
from rcfail.change.recover.condition import Condition, ConditionCode
from rcfail.change.recover.reset.reset_order import Order
from rcfail.change.recover.reset.resetting import conditions
from rcfail.cluster.nouns import NodeId
from rcfail.cluster.observation import SilenceReason
from tests.unit.world import NOW_UNIX_MS, Member, World, node_id

A, B, C, A1 = map(node_id, ("a", "b", "c", "a1"))
NEW = node_id("f")


def filled(keys: int = 7) -> World:
    """Every shard's nodes hold so many keys of one stream."""
    world = World.of(3, 1)
    for member in world:
        member.info["db0"] = f"keys={keys},expires=0,avg_ttl=0" if keys else None
    return world


def order(world: World, letter: str = "a1", *, hard: bool = False, rejoin: NodeId | None = None) -> Order:
    member = world[letter]
    return Order(member.node_id, member.endpoint, hard, rejoin)


def planned(world: World, wanted: Order) -> Condition | None:
    found = tuple(conditions(Case(world.snapshot()), wanted))
    assert len(found) < 2
    return found[0] if found else None


def the_plan(world: World, wanted: Order) -> Condition:
    found = planned(world, wanted)
    assert found is not None
    assert found.code is ConditionCode.RESET
    assert found.nodes[0] == wanted.node
    return found


def kinds(found: Condition | None) -> list[str]:
    return [each.kind.value for each in found.actions] if found else []


def alone(world: World, letter: str, new: NodeId | None = None) -> Member:
    """As after a reset: it lists itself, an empty primary; the others list it as they did, or without an address."""
    member = world[letter]
    old, before = member.node_id, member.line()
    member.primary, member.slots, member.link = None, (), "connected"
    member.info |= {"db0": None, "role": "master", "master_link_status": None}
    if new is not None:
        member.node_id, member.epoch = new, 0
    for other in world:
        if other is not member:
            place = f"{member.endpoint.host}:{member.endpoint.port}@{member.endpoint.port + 10000}"
            gone = before.replace(place, ":0@0").replace("slave", "slave,noaddr")
            if new is None:
                other.sees[old] = before
            else:
                other.sees[new] = None
                other.extra_lines = (*other.extra_lines, gone)
            member.sees[other.node_id] = None
    return member


def no(action: Action, world: World) -> set[str]:
    snapshot = world.snapshot()
    return {check.code for check in refusing(each.check(snapshot) for each in action.guards)}


def lacks(action: Action, world: World) -> set[str]:
    snapshot = world.snapshot()
    return {check.code for check in refusing(each.check(snapshot) for each in action.expects)}


def test_a_replica_that_comes_back_softly() -> None:
    world = filled()
    found = the_plan(world, order(world, rejoin=A))
    assert kinds(found) == ["reset", "meet", "replicate"]
    reset, meet, follow = found.actions
    assert [(each.node, each.command) for each in reset.sends] == [(A1, ("CLUSTER", "RESET", "SOFT"))]
    assert [(each.node, each.keys, each.copies) for each in reset.loses] == [(A1, 7, 1)]
    assert not any(each.counts for each in reset.loses)
    assert "SOFT keeps the id and the epochs, not the data" in found.story
    assert "7 keys" in found.evidence
    assert no(reset, world) == set()
    assert lacks(reset, world) == {"emptied"}
    place = world["a1"].endpoint
    assert meet.sends[0].command == ("CLUSTER", "MEET", place.host, str(place.port))
    assert follow.sends[0].command == ("CLUSTER", "REPLICATE", A)


def test_keys_of_all_steps_are_foreseen() -> None:
    """Consent is to the first plan, and the new id of a hard reset is not known then."""
    world = filled()
    wanted = order(world, hard=True, rejoin=A)
    first = the_plan(world, wanted)
    assert kinds(first) == ["reset", "forget", "meet", "replicate"]
    alone(world, "a1", NEW)
    later = the_plan(world, wanted)
    assert kinds(later) == ["forget", "meet", "replicate"]
    assert {each.key for each in later.actions} < {each.key for each in first.actions}
    assert later.key == first.key
    follow = later.actions[-1]
    assert (follow.sends[0].node, follow.sends[0].command) == (NEW, ("CLUSTER", "REPLICATE", A))
    forget = later.actions[0]
    assert {each.command for each in forget.sends} == {("CLUSTER", "FORGET", A1)}
    assert {each.node for each in forget.sends} == {each.node_id for each in world if each.node_id != NEW}
    assert no(forget, world) == set()


def test_a_hard_reset_is_done_when_another_id_stands_there_alone() -> None:
    world = filled()
    reset = the_plan(world, order(world, hard=True)).actions[0]
    assert reset.sends[0].command == ("CLUSTER", "RESET", "HARD")
    assert lacks(reset, world) == {"renewed"}
    alone(world, "a1", NEW)
    assert lacks(reset, world) == set()


@pytest.mark.parametrize("hard", [False, True])
def test_who_leaves_is_forgotten_by_all(hard: bool) -> None:
    world = filled()
    wanted = order(world, hard=hard)
    found = the_plan(world, wanted)
    assert kinds(found) == (["reset", "forget"] if hard else ["reset"])
    told = [each.command[1] for action in found.actions for each in action.sends]
    assert told == (["RESET", *["FORGET"] * 5] if hard else [*["FORGET"] * 5, "RESET"])
    member = alone(world, "a1", NEW if hard else None)
    # With its id it was perhaps met again since that look, so it is reset once more.
    rest = the_plan(world, wanted)
    assert kinds(rest) == (["forget"] if hard else ["reset"])
    assert [each.command[1] for each in rest.actions[0].sends] == (
        ["FORGET"] * 5 if hard else [*["FORGET"] * 5, "RESET"]
    )
    for other in world:
        if other is not member:
            other.extra_lines, other.sees = (), {member.node_id: None}
    assert planned(world, wanted) is None


def test_a_hard_reset_that_was_interrupted_waits_until_the_old_id_is_missed() -> None:
    """Its FORGET would be refused as long as others hold the old id for alive, which passes with their next pings."""
    world = filled()
    wanted = order(world, hard=True)
    member = alone(world, "a1", NEW)
    old = wanted.node
    line = f"{old} {member.endpoint}@17003 slave {A} 0 0 1 connected"
    for other in world:
        if other is not member:
            other.extra_lines, other.sees = (line,), {NEW: None}
    assert kinds(the_plan(world, wanted)) == ["wait", "forget"]


def test_who_was_forgotten_waits_for_its_ban_before_it_is_met() -> None:
    """Nobody says when it was forgotten, so the whole ban is waited for, from the first look on."""
    world = filled()
    wanted = order(world, rejoin=A)
    member = alone(world, "a1")
    for other in world:
        if other is not member:
            other.sees[A1] = None
    first = the_plan(world, wanted)
    assert kinds(first) == ["wait", "meet", "replicate"]
    assert lacks(first.actions[0], world) == {"back-or-free"}
    assert first.actions[0].within_ms > 60_000
    (later,) = conditions(Case(world.snapshot(), decisions=Decisions(since_unix_ms=NOW_UNIX_MS - 66_000)), wanted)
    assert kinds(later) == ["meet", "replicate"]
    assert {each.key for each in later.actions} < {each.key for each in first.actions}


def test_a_soft_way_back_ends_in_the_state_that_it_began_with() -> None:
    """So what was seen in between counts, in this run alone."""
    world = filled()
    wanted = order(world, rejoin=A)
    assert kinds(the_plan(world, wanted)) == ["reset", "meet", "replicate"]
    broken = filled()
    alone(broken, "a1")
    assert kinds(the_plan(broken, wanted)) == ["meet", "replicate"]
    assert planned(filled(), wanted) is None
    assert kinds(the_plan(filled(), order(world, rejoin=A))) == ["reset", "meet", "replicate"]


def test_an_owner_is_refused_and_its_heir_is_named() -> None:
    world = filled()
    found = the_plan(world, order(world, "a", hard=True))
    assert found.actions == ()
    assert "owns 5461 slots" in found.story
    assert f"rcfail failover {world['a1'].endpoint}" in found.advice


def test_slots_that_only_others_see_count_too() -> None:
    world = filled()
    wanted = order(world)
    reset = the_plan(world, wanted).actions[0]
    world["b"].sees[A1] = world["a1"].line().replace("slave " + A, "master -") + " 77"
    assert "owns" in the_plan(world, wanted).story
    assert the_plan(world, wanted).actions == ()
    assert "owns-nothing" in no(reset, world)


def test_a_primary_with_keys_is_refused() -> None:
    world = filled()
    spare = world["a1"]
    spare.primary = None
    spare.info |= {"role": "master"}
    found = the_plan(world, order(world))
    assert found.actions == ()
    assert "holds 7 keys" in found.story
    spare.info["db0"] = None
    assert kinds(the_plan(world, order(world))) == ["reset"]


def test_a_node_that_others_follow_is_refused() -> None:
    world = filled()
    world["b1"].primary = A1
    found = the_plan(world, order(world))
    assert found.actions == ()
    assert "would follow a node that is none" in found.story


def test_the_only_copy_counts() -> None:
    world = filled()
    world.kill("a")
    reset = the_plan(world, order(world)).actions[0]
    assert [(each.keys, each.copies, each.counts) for each in reset.loses] == [(7, 0, True)]


def test_a_node_that_does_not_answer_is_not_told() -> None:
    world = filled()
    wanted = order(world)
    world["a1"].silence = SilenceReason.REFUSED
    found = the_plan(world, wanted)
    assert found.actions == ()
    assert "does not answer" in found.story


def test_whom_it_shall_follow_must_serve() -> None:
    world = filled()
    found = the_plan(world, order(world, rejoin=node_id("b1")))
    assert found.actions == ()
    assert "no primary with slots" in found.story


def test_an_id_that_an_interrupted_run_left_is_forgotten() -> None:
    world = filled()
    alone(world, "a1", NEW)
    wanted = replace(order(world, hard=True, rejoin=A), gone=A1)
    found = the_plan(world, wanted)
    assert kinds(found) == ["forget", "meet", "replicate"]
    assert found.actions[0].kind is ActionKind.FORGET
    assert found.actions[0].sends[0].command == ("CLUSTER", "FORGET", A1)
