"""Owners without an address, and nodes that are looked for in the wrong place, on constructed clusters."""

from __future__ import annotations

from rcfail.change.recover.action import ActionKind
from rcfail.change.recover.case import Case
from rcfail.change.recover.condition import Condition, ConditionCode
from rcfail.change.recover.contact import addresses
from rcfail.cluster.nouns import Endpoint
from rcfail.cluster.observation import SilenceReason
from tests.unit.test_recover_apart import case, gone, meets, moved
from tests.unit.world import World, node_id

A, A1, B, C1 = node_id("a"), node_id("a1"), node_id("b"), node_id("c1")


def the(seen: Case) -> Condition:
    (found,) = addresses.conditions(seen, frozenset())
    return found


def lost(world: World, letter: str, *, by: tuple[str, ...] = ()) -> World:
    """Nobody, or none of `by`, has an address for the node, and nobody flags it: as Redis leaves it."""
    member = world[letter]
    line = member.line(flags=("noaddr",), endpoint=Endpoint("", 0), link="disconnected").replace("@10000", "@0")
    for observer in world:
        if observer is not member and (not by or observer.node_id in map(node_id, by)):
            observer.sees[member.node_id] = line
    return world


def away(world: World, letter: str) -> World:
    """Its replicas noticed that nobody answers."""
    world[letter].silence = SilenceReason.REFUSED
    for other in world:
        if other.primary == world[letter].node_id:
            other.info |= {"master_link_status": "down", "master_link_down_since_seconds": "20"}
            other.info |= {"master_last_io_seconds_ago": "-1"}
    return world


def test_the_replica_of_an_owner_whose_id_is_gone_is_elected_by_force() -> None:
    found = the(Case(away(lost(World.of(3, 1), "a"), "a").snapshot()))
    assert (found.code, found.nodes[0]) == (ConditionCode.OWNER_WITHOUT_ADDRESS, A)
    (action,) = found.actions
    assert (action.kind, action.aims) == (ActionKind.FAILOVER, (A1, "force"))


def test_an_owner_is_never_invented() -> None:
    """No replica lives, or the one that does holds nothing."""
    bare = the(Case(away(lost(World.of(3, 0), "a"), "a").snapshot()))
    assert not bare.actions
    assert "--at HOST:PORT" in bare.advice
    world = away(lost(World.of(3, 1), "a"), "a")
    world["a1"].info |= {"db0": None, "slave_repl_offset": "0", "master_link_down_since_seconds": "-1"}
    assert not the(Case(world.snapshot())).actions


def test_without_a_majority_a_human_decides() -> None:
    world = away(lost(World.of(3, 1), "a"), "a")
    world.kill("b")
    world.kill("c")
    found = the(Case(world.snapshot()))
    assert not found.actions
    assert "--takeover" in found.advice


def test_an_owner_whose_id_answers_is_met_where_it_is() -> None:
    """Some took its address away when another node stood there for a while."""
    world = lost(World.of(3, 1), "a", by=("b", "c1"))
    found = the(Case(world.snapshot()))
    at = world["a"].endpoint
    (action,) = found.actions
    assert found.code is ConditionCode.OWNER_WITHOUT_ADDRESS
    assert meets(action) == [(B, (at.host, str(at.port)))]
    assert world["c1"].node_id == C1


def test_some_who_look_for_a_node_where_it_was_are_told() -> None:
    """It is heard by the others, so nobody is apart."""
    world = World.of(3, 1)
    member, old = world["a1"], world["a1"].endpoint
    member.endpoint = moved(old)
    for observer in ("b", "c"):
        world[observer].sees[A1] = gone(member, old)
    found = the(case(world, {A1: old}))
    (action,) = found.actions
    assert (found.code, meets(action)) == (
        ConditionCode.ADDRESS_WRONG,
        [(B, (member.endpoint.host, str(member.endpoint.port)))],
    )


def test_who_is_taken_is_left_alone() -> None:
    seen = Case(away(lost(World.of(3, 1), "a"), "a").snapshot())
    assert not list(addresses.conditions(seen, frozenset({A})))
