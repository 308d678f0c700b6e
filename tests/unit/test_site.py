"""Plans that empty a place, on constructed clusters."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcfail.change.many.site import Drain, Terms, leaving, plan_drain
from rcfail.change.request import Override
from rcfail.change.seen import Seen
from rcfail.cluster.nouns import Endpoint, NodeId, Role
from rcfail.cluster.placement import PlaceKind
from tests.unit.world import World, node_id

FEW = World.of(3, 2, 3)


def planned(world: World, place: Iterable[NodeId], terms: Terms = Terms()) -> Drain:  # noqa: B008
    snapshot = world.snapshot()
    seen = {each.primary_id: Seen(snapshot, snapshot, (0.5, 0.5, 0.5), ()) for each in snapshot.shards}
    return plan_drain(snapshot, seen, frozenset(place), terms)


def on_host(world: World, host: str) -> frozenset[NodeId]:
    return frozenset(each.node_id for each in world if each.endpoint.host == host)


def pairs(plan: Drain) -> dict[NodeId, NodeId]:
    return {each.request.primary: each.request.target for each in plan.moves}


def test_each_primary_goes_to_a_replica_elsewhere() -> None:
    world = World.of(3, 2)
    place = on_host(world, "127.50.1.1")
    plan = planned(world, place)
    assert leaving(world.snapshot(), place) == (node_id("a"),)
    assert set(pairs(plan)) == {node_id("a")}
    assert pairs(plan)[node_id("a")] in {node_id("a1"), node_id("a2")}
    assert (plan.stuck, plan.after.there, plan.after.left, plan.after.keeps_majority) == ((), 0, 3, True)


def test_a_place_without_primaries_needs_no_plan() -> None:
    world = World.of(3, 1)
    plan = planned(world, {node_id("a1"), node_id("b1")})
    assert (plan.moves, plan.stuck) == ((), ())


def test_all_that_cannot_leave_are_named_at_once() -> None:
    world = World.of(3, 1)
    plan = planned(world, [node_id(each) for each in ("a", "a1", "b", "b1", "c")])
    assert [each.primary for each in plan.stuck] == [node_id("a"), node_id("b")]
    assert all(each.why == ("all its replicas are in the same place",) for each in plan.stuck)
    assert pairs(plan) == {node_id("c"): node_id("c1")}, "the rest is planned, so that all is seen"


def test_a_primary_without_replicas_is_named() -> None:
    world = World([each for each in World.of(3, 1) if each.node_id != node_id("a1")])
    plan = planned(world, {node_id("a")})
    assert [each.why for each in plan.stuck] == [("it has no replica",)]


def test_a_replica_that_a_check_refuses_is_no_way_out_and_the_reason_is_told() -> None:
    world = World.of(3, 1)
    world["a1"].info |= {"master_link_status": "down", "master_link_down_since_seconds": "9"}
    plan = planned(world, {node_id("a")})
    assert not plan.moves
    (stuck,) = plan.stuck
    assert "127.50.2.1:8000 (a1000000): " in stuck.why[0]
    assert stuck.checks


def four_on_two_hosts() -> World:
    """Four shards led from host 1. Of each the first replica is on host 2, the second on host 2 or 3."""
    world = World.of(4, 2, 4)
    for at, letter in enumerate("abcd"):
        world[letter].endpoint = Endpoint("127.50.1.1", 7000 + at)
        world[f"{letter}1"].endpoint = Endpoint("127.50.2.1", 7100 + at)
        world[f"{letter}2"].endpoint = Endpoint("127.50.3.1" if at < 2 else "127.50.2.1", 7200 + at)
    return world


def test_new_primaries_are_spread_where_there_is_a_choice() -> None:
    world = four_on_two_hosts()
    plan = planned(world, on_host(world, "127.50.1.1"))
    hosts = [world.members[each].endpoint.host for each in pairs(plan).values()]
    assert sorted(hosts) == ["127.50.2.1", "127.50.2.1", "127.50.3.1", "127.50.3.1"]
    assert {pairs(plan)[node_id("a")], pairs(plan)[node_id("b")]} == {node_id("a2"), node_id("b2")}


def test_a_place_that_the_quorum_rests_on_afterwards_is_told() -> None:
    world = World.of(3, 1)
    plan = planned(world, on_host(world, "127.50.1.1"))
    assert [(each.kind, each.name, each.voters) for each in plan.after.tips] == [(PlaceKind.HOST, "127.50.2.1", 2)]
    assert planned(World.of(3, 1), ()).after.tips == ()


def test_shards_without_a_second_copy_elsewhere_are_told() -> None:
    world = World.of(3, 1)
    plan = planned(world, on_host(world, "127.50.1.1"))
    # Host 1 has the primary of a and the replica of c; a is led by a1 then.
    assert set(plan.after.bare) == {node_id("a1"), node_id("c")}
    assert planned(FEW, on_host(FEW, "127.50.1.1")).after.bare == ()


def test_voters_that_are_lost_already_do_not_count_for_the_majority() -> None:
    world = World.of(5, 2, 5)
    for letter in "de":
        world.kill(letter)
    waiting = planned(world, {node_id("a")})
    assert not waiting.moves, "their successors are to be elected, by the same votes"
    plan = planned(world, {node_id("a")}, Terms(frozenset({Override.OTHER_CHANGE})))
    assert (plan.after.voters, plan.after.needed, plan.after.left, plan.after.keeps_majority) == (5, 3, 3, True)


def test_what_has_to_wait_comes_last() -> None:
    world = World.of(3, 1)
    world["a1"].info["slave_repl_offset"] = "4000"
    plan = planned(world, {node_id("a"), node_id("b"), node_id("c")})
    assert [each.request.primary for each in plan.moves][-1] == node_id("a")
    assert [each.step.number for each in plan.moves] == [1, 2, 3]


def test_the_overrides_go_into_every_request() -> None:
    given_ = frozenset({Override.WAIT_COOLDOWN})
    plan = planned(World.of(3, 1), {node_id("a"), node_id("b")}, Terms(given_, 77))
    assert {(each.request.given, each.request.max_lag_bytes) for each in plan.moves} == {(given_, 77)}


@st.composite
def worlds(draw: st.DrawFn) -> tuple[World, frozenset[NodeId]]:
    primaries, replicas = draw(st.integers(3, 5)), draw(st.integers(0, 2))
    world = World.of(primaries, replicas, draw(st.integers(1, 4)))
    letters = [f"{each}{nth or ''}" for each in "abcde"[:primaries] for nth in range(replicas + 1)]
    for letter in draw(st.lists(st.sampled_from(letters), max_size=3, unique=True)):
        fault, member = draw(st.sampled_from(("dead", "link", "loading", "barred"))), world[letter]
        if fault == "dead":
            world.kill(letter)
        elif fault == "link" and member.primary:
            member.info |= {"master_link_status": "down", "master_link_down_since_seconds": "40"}
        elif fault == "loading":
            member.info["loading"] = "1"
        elif fault == "barred":
            member.config["cluster-replica-no-failover"] = "yes"
    place = draw(st.frozensets(st.sampled_from([each.node_id for each in world])))
    return world, place


@given(worlds())
def test_no_plan_promotes_who_may_not_lead_and_what_is_planned_empties_the_place(
    case: tuple[World, frozenset[NodeId]],
) -> None:
    world, place = case
    snapshot = world.snapshot()
    plan = planned(world, place)
    for move in plan.moves:
        target, primary = snapshot.nodes[move.request.target], snapshot.nodes[move.request.primary]
        assert target.node_id not in place
        assert (target.role, target.primary_id) == (Role.REPLICA, primary.node_id)
        assert target.vitals is not None
        assert target.vitals.replication.link_up
        assert not target.vitals.storage.loading
        assert not target.failed_by
        assert not any(check.refuses for check in move.checks)
    assert {*pairs(plan), *(each.primary for each in plan.stuck)} == set(leaving(snapshot, place))
    if not plan.stuck:
        assert plan.after.there == 0


@pytest.mark.parametrize("letters", ["a", "ab", "abc"])
def test_every_target_is_another_one(letters: str) -> None:
    plan = planned(World.of(5, 2), [node_id(each) for each in letters])
    assert len(set(pairs(plan).values())) == len(letters)
