"""Who is chosen of several replicas, in which order they are shown, and with which reasons."""

from __future__ import annotations

import pytest

from rcfail.change.candidates import Contender, chosen, contenders
from rcfail.change.request import Mode, Request
from rcfail.change.seen import ReplicaConnection, Seen
from rcfail.cluster.merge import merge
from rcfail.cluster.nouns import NodeId
from rcfail.cluster.zones import ZoneLabels
from rcfail.render.candidates_page import candidates_page
from rcfail.render.lines import plain
from tests.unit.world import World, node_id

A, A1, A2 = node_id("a"), node_id("a1"), node_id("a2")
B, B1, B2 = node_id("b"), node_id("b1"), node_id("b2")
ZONES = ZoneLabels((("127.50.3.1", "east"), ("*", "west")))


def seen_of(world: World, labels: ZoneLabels = ZONES) -> Seen:
    """Two looks alike, quick PINGs, and old connections of all replicas."""
    snapshot = merge(world.observe(), labels)
    ages = tuple(ReplicaConnection(f"{each.endpoint.host}:41000", 4000) for each in world if each.primary)
    return Seen(snapshot, snapshot, (0.2, 0.2, 0.2), ages)


def order(
    world: World, primary: NodeId = A, mode: Mode = Mode.GRACEFUL, avoid: tuple[NodeId, ...] = (), zone: str = ""
) -> tuple[Contender, ...]:
    return contenders(seen_of(world), Request(primary, primary, mode), avoid, zone)


def ids(found: tuple[Contender, ...]) -> list[NodeId]:
    return [each.node_id for each in found]


def behind(world: World, letter: str, count: int) -> None:
    world[letter].info |= {"slave_repl_offset": str(5_000_000 - count), "master_repl_offset": str(5_000_000 - count)}


def filled(world: World) -> World:
    """All have the same five million bytes of stream, and a backlog that holds more than any test is behind."""
    for each in world:
        offset = {"master_repl_offset": "5000000", "repl_backlog_size": "8000000"}
        each.info |= offset | ({"slave_repl_offset": "5000000"} if each.primary else {})
    return world


def test_all_replicas_are_there_and_equal_ones_stand_in_the_order_of_their_ids() -> None:
    found = order(World.of(3, 2))
    assert ids(found) == [A1, A2]
    assert not any(each.refused or each.avoided for each in found)
    assert chosen(found) == found[0]


def test_away_from_other_primaries_is_better() -> None:
    world = World.of(3, 2, hosts=4)
    assert ids(order(world, B)) == [B2, B1], "b2 is alone on the fourth host, b1 beside the primary c"
    first, second = order(world, B)
    assert "no other primary on host 127.50.4.1" in first.reasons_for
    assert "1 other primary on host 127.50.3.1" in second.reasons_against


def test_its_own_primary_does_not_count_as_another() -> None:
    world = World.of(3, 2, hosts=4)
    world["a1"].endpoint = world["a1"].endpoint._replace(host="127.50.1.1")
    first, _ = order(world)
    assert first.node_id == A1
    assert "no other primary on host 127.50.1.1" in first.reasons_for


def test_the_preferred_zone_counts_more_than_lag_and_place() -> None:
    world = filled(World.of(3, 2, hosts=3))
    behind(world, "a2", 1000)
    found = order(world, zone="east")
    assert ids(found) == [A2, A1], "a2 is on the third host, which is in zone east"
    assert "it is in zone east, which is preferred" in found[0].reasons_for
    assert "it is not in zone east, which is preferred" in found[1].reasons_against


@pytest.mark.parametrize(("mode", "count", "best"), [
    (Mode.GRACEFUL, 1000, B2),
    (Mode.GRACEFUL, 400_000, B1),
    (Mode.FORCE, 1000, B1),
    (Mode.TAKEOVER, 1000, B1),
])  # fmt: skip
def test_a_little_lag_counts_less_than_the_place_where_nothing_is_lost(mode: Mode, count: int, best: NodeId) -> None:
    world = filled(World.of(3, 2, hosts=4))
    behind(world, "b2", count)
    if mode is not Mode.GRACEFUL:
        world.kill("b")
    found = order(world, B, mode)
    assert found[0].node_id == best


def test_the_lag_is_told() -> None:
    world = filled(World.of(3, 2))
    behind(world, "a2", 400_000)
    first, second = order(world)
    assert (first.behind_bytes, second.behind_bytes) == (0, 400_000)
    assert "it has all that its primary wrote" in first.reasons_for
    assert "400000 bytes behind" in second.reasons_against


def test_who_is_avoided_is_never_chosen_and_stays_visible() -> None:
    found = order(World.of(3, 2), avoid=(A1,))
    assert ids(found) == [A2, A1]
    assert (found[1].avoided, found[1].able) == (True, False)
    assert "--avoid" in found[1].reasons_against[0]
    both = order(World.of(3, 2), avoid=(A1, A2))
    assert chosen(both) is None
    assert len(both) == 2


def test_one_that_is_not_meant_to_lead_comes_last_of_its_equals() -> None:
    world = World.of(3, 2)
    world["a1"].config |= {"cluster-replica-no-failover": "yes"}
    found = order(world)
    assert ids(found) == [A2, A1]
    assert any("cluster-replica-no-failover" in each for each in found[1].reasons_against)
    assert chosen(order(world, avoid=(A2,))) == order(world, avoid=(A2,))[0], "a failover by hand may take it"


def test_a_refused_one_comes_after_all_others_with_the_refusal_first() -> None:
    world = World.of(3, 2)
    world.kill("a1")
    found = order(world)
    assert ids(found) == [A2, A1]
    assert (found[0].refused, found[1].refused) == (False, True)
    assert found[1].reasons_against
    assert not any("no check speaks against it" in each for each in found[1].reasons_for)


def test_a_replica_of_a_replica_is_refused() -> None:
    world = World.of(3, 2)
    world["a2"].primary = A1
    found = order(world)
    assert ids(found) == [A1, A2]
    assert found[1].refused


def test_a_primary_without_replicas_has_no_candidates() -> None:
    world = World.of(3, 0)
    assert order(world) == ()
    assert chosen(()) is None


def test_the_page_says_who_is_chosen_and_why_not_the_others() -> None:
    world = World.of(3, 3)
    world.kill("a2")
    found = order(world, avoid=(node_id("a3"),))
    text = plain(candidates_page(seen_of(world).snapshot, found, 80, chosen=A1))
    rows = text.splitlines()
    assert rows[0].startswith("candidates  1. 127.50.2.1:8000 (a1000000)  chosen")
    assert "avoided" in text
    assert "refused" in text
    assert any(row.strip().startswith("+ ") for row in rows)
    assert all(len(row) <= 80 for row in rows)
