"""In which order nodes are restarted, and what is kept of a run."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcfail.change.many.layout import BadLayout, layout_of
from rcfail.change.many.rolling import (
    Formation,
    Stop,
    Unit,
    after_move,
    alone,
    formation_of,
    itinerary,
    next_batch,
    preferred,
)
from rcfail.change.many.tour import Tour, nodes_of, read_tour, tour_text
from rcfail.cluster.nouns import NodeId
from tests.unit.world import World, node_id


def way(world: World, unit: Unit = Unit.NODE, *only: str) -> tuple[Stop, ...]:
    formation = formation_of(world.snapshot())
    return itinerary(formation, set(map(node_id, only)) or set(formation.order), unit)


def test_replicas_come_first_and_each_primary_after_a_failover() -> None:
    stops = way(World.of(3, 1))
    assert [set(each.batch.nodes) for each in stops[:3]] == [{node_id("a1")}, {node_id("b1")}, {node_id("c1")}]
    assert [each.moves for each in stops[:3]] == [(), (), ()]
    assert [each.moves for each in stops[3:]] == [((node_id(each), node_id(f"{each}1")),) for each in "abc"]


def test_whoever_had_its_turn_is_preferred_as_the_next_primary() -> None:
    formation = formation_of(World.of(3, 2).snapshot())
    batch = next_batch(formation, {node_id("a"), node_id("a1")}, Unit.NODE)
    assert batch is not None
    assert batch.nodes == (node_id("a1"),)
    later = next_batch(formation, {node_id("a")}, Unit.NODE)
    assert later is not None
    assert preferred(formation, node_id("a"), later, {node_id("a"), node_id("a2")}) == (node_id("a1"),)


def test_only_one_primary_needs_no_turn_of_its_replica() -> None:
    stops = way(World.of(3, 1), Unit.NODE, "b")
    assert [(each.batch.nodes, each.moves) for each in stops] == [((node_id("b"),), ((node_id("b"), node_id("b1")),))]


def test_a_primary_without_a_replica_stops_the_run_before_it_begins() -> None:
    world = World([each for each in World.of(3, 1) if each.node_id != node_id("b1")])
    formation = formation_of(world.snapshot())
    assert alone(formation, set(formation.order)) == (node_id("b"),)
    assert alone(formation, {node_id("a")}) == ()
    dead = World.of(3, 1)
    dead.kill("c1")
    assert alone(formation_of(dead.snapshot()), {node_id("c")}) == (node_id("c"),), "who is dead takes nothing over"


def test_a_host_is_one_batch() -> None:
    stops = way(World.of(3, 1), Unit.HOST)
    assert len(stops) == 3
    assert all(len(each.batch.nodes) == 2 for each in stops)


def test_a_host_that_holds_a_whole_shard_has_two_batches() -> None:
    stops = way(World.of(1, 1, 1), Unit.HOST)
    assert [each.batch.nodes for each in stops] == [(node_id("a1"),), (node_id("a"),)]
    assert [each.moves for each in stops] == [(), ((node_id("a"), node_id("a1")),)]


@given(st.integers(1, 6), st.integers(1, 3), st.integers(1, 4), st.sampled_from(list(Unit)), st.data())
def test_never_is_a_shard_without_a_member_that_leads_and_nobody_is_left_out(
    primaries: int, replicas: int, hosts: int, unit: Unit, data: st.DataObject
) -> None:
    world = World.of(primaries, replicas, hosts)
    formation = formation_of(world.snapshot())
    scope = data.draw(st.frozensets(st.sampled_from(formation.order)))
    stops = itinerary(formation, scope, unit)
    assert sorted(nodes_of(stops)) == sorted(scope), "each has one turn"
    for stop in stops:
        formation = _moved(formation, stop)
        for crew in formation.crews:
            down = [each for each in crew.members if each in stop.batch.nodes]
            assert crew.primary not in down
            assert len(down) < len(crew.members)
        assert unit is Unit.HOST or len(stop.batch.nodes) == 1
        assert len({formation.host_of[each] for each in stop.batch.nodes}) == 1


def _moved(formation: Formation, stop: Stop) -> Formation:
    for primary, target in stop.moves:
        assert target not in stop.batch.nodes
        formation = after_move(formation, primary, target)
    return formation


def test_what_is_kept_is_read_again() -> None:
    world = World.of(3, 1)
    ids = frozenset(each.node_id for each in world)
    tour = Tour("true", Unit.HOST, ids, frozenset({node_id("a1")}), layout_of(world.snapshot()))
    assert read_tour(tour_text(tour)) == tour
    assert tour.left == ids - {node_id("a1")}


@pytest.mark.parametrize("text", ["", "null", "{}", '{"schema": "rcfail-rolling/1"}', '{"schema": "rcfail-rolling/2"}'])
def test_a_torn_file_is_said_so(text: str) -> None:
    with pytest.raises(BadLayout):
        read_tour(text)


def test_the_next_batch_of_nobody_is_none() -> None:
    formation = formation_of(World.of(3, 1).snapshot())
    assert next_batch(formation, set[NodeId](), Unit.NODE) is None
