"""Shards without a replica: who is lent, who never is, and when nobody is."""

from __future__ import annotations

import pytest

from rcfail.change.checks import refusing
from rcfail.change.recover.case import Case, Decisions
from rcfail.change.recover.condition import Condition, ConditionCode
from rcfail.change.recover.replicas import bare
from rcfail.cluster.nouns import Endpoint
from rcfail.health.diagnose import diagnose
from rcfail.health.finding import Thresholds
from rcfail.runs.examining import thresholds_kept
from rcfail.settings.sections import Wanted
from tests.unit.test_recover_misplaced import ghost
from tests.unit.world import NOW_UNIX_MS, Member, World, node_id

A, B, C, E = (node_id(each) for each in ("a", "b", "c", "e"))


def poor(*gone: str, replicas: int = 2, hosts: int | None = None) -> World:
    """Shards of two replicas, without those of a, and without these others."""
    world = World.of(3, replicas, hosts)
    for name in ("a1", "a2", "a3")[:replicas] + gone:
        world.members.pop(node_id(name))
    return world


def conditions(
    world: World, decisions: Decisions | None = None, taken: tuple[str, ...] = (), wanted: int = 1
) -> list[Condition]:
    snapshot = world.snapshot()
    findings = diagnose(snapshot, Thresholds(min_replicas=wanted))
    case = Case(snapshot, findings, decisions or Decisions())
    return list(bare.conditions(case, frozenset(node_id(each) for each in taken)))


def the(world: World, decisions: Decisions | None = None, taken: tuple[str, ...] = ()) -> Condition:
    (found,) = conditions(world, decisions, taken)
    return found


def test_shards_with_replicas_are_no_matter() -> None:
    assert conditions(World.of(3, 1)) == []


def test_who_wants_no_replicas_gets_none() -> None:
    assert conditions(poor(), wanted=0) == []


def test_a_kept_wish_for_no_replicas_holds_for_recover() -> None:
    snapshot = poor().snapshot()
    findings = diagnose(snapshot, thresholds_kept(Wanted(min_replicas=0)))
    assert not list(bare.conditions(Case(snapshot, findings), frozenset()))
    assert thresholds_kept(Wanted()) == Thresholds()


def test_a_rich_shard_lends_one() -> None:
    world = poor()
    found = the(world)
    (action,) = found.actions
    assert (found.code, found.nodes[0]) == (ConditionCode.SHARD_BARE, A)
    assert action.aims == (A,)
    assert action.about[:1] in ("b", "c")
    assert not [each for each in action.loses if each.counts], "its primary and its sibling hold the same"
    assert action.loses[0].keys == 10
    assert not refusing(each.check(world.snapshot()) for each in action.guards)
    assert "2 healthy replicas" in found.story


def test_the_richest_shard_lends() -> None:
    world = poor("b2", replicas=3, hosts=20)
    assert the(world).actions[0].about in {node_id(each) for each in ("c1", "c2", "c3")}


def test_the_last_replica_of_a_shard_is_never_lent() -> None:
    found = the(poor("b2", "c2"))
    assert found.actions == ()
    assert "CLUSTER MEET 127.50.1.1 7000" in found.advice
    assert f"rcfail recover {A}" in found.advice


def test_a_sibling_that_is_not_in_sync_does_not_count() -> None:
    world = poor("c2")
    down: dict[str, str | None] = {"master_link_status": "down", "master_link_down_since_seconds": "9"}
    world["b2"].info |= down
    assert the(world).actions == ()


def test_a_guard_sees_that_the_last_sibling_died_meanwhile() -> None:
    world = poor("c2")
    (action,) = the(world).actions
    sibling = "b2" if action.about == node_id("b1") else "b1"
    world.kill(sibling)
    assert "redundant" in [each.code for each in refusing(each.check(world.snapshot()) for each in action.guards)]


def test_a_guard_sees_that_a_replica_came_meanwhile() -> None:
    (action,) = the(poor()).actions
    assert "bare" in [each.code for each in refusing(each.check(World.of(3, 2).snapshot()) for each in action.guards)]


def test_it_comes_from_another_host_than_the_bare_primarys() -> None:
    """b2 and c1 live where a does."""
    found = the(poor())
    world = poor()
    lent = next(each for each in world if each.node_id == found.actions[0].about)
    assert lent.endpoint.host != world["a"].endpoint.host
    near = poor("b1", "c2")
    near.members[node_id("b3")] = Member(node_id("b3"), Endpoint("127.50.1.1", 9500), B, (), 2)
    near["b2"].endpoint = Endpoint("127.50.1.1", 9501)
    told = the(near)
    assert told.actions
    assert "losing this host loses both" in told.story


def test_one_that_may_be_promoted_is_preferred() -> None:
    world = poor("c2", hosts=20)
    world["b1"].config["cluster-replica-no-failover"] = "yes"
    assert the(world).actions[0].about == node_id("b2")


def test_an_unused_member_comes_before_any_replica() -> None:
    world = poor()
    world.members[E] = Member(E, Endpoint("127.50.9.1", 9900), info={"db0": None})
    found = the(world)
    assert found.actions[0].about == E
    assert found.actions[0].loses == ()
    assert {"holds-nothing", "owns-nothing"} <= {each.check(world.snapshot()).code for each in found.actions[0].guards}


@pytest.mark.parametrize("why", ["keys", "taken", "old"])
def test_a_member_that_is_not_free_is_not_used(why: str) -> None:
    world = poor("b2", "c2")
    world.members[E] = Member(E, Endpoint("127.50.9.1", 9900), info={} if why == "keys" else {"db0": None})
    if why == "old":
        world["e"].info["redis_version"] = "6.2.14"
    assert the(world, taken=("e",) if why == "taken" else ()).actions == ()


def test_two_bare_shards_do_not_get_the_same_replica() -> None:
    """What is planned for the second must be what is planned once the first has its own."""
    world = poor("b1", "b2", replicas=3, hosts=20)
    world.members.pop(node_id("b3"))
    first, second = conditions(world)
    assert {first.nodes[0], second.nodes[0]} == {A, B}
    assert first.actions[0].about != second.actions[0].about
    moved = next(each for each in world if each.node_id == first.actions[0].about)
    moved.primary = A
    assert [each.key for each in the(world).actions] == [each.key for each in second.actions]


def test_a_replica_that_is_down_may_come_back() -> None:
    world = World.of(3, 2)
    world.kill("a1")
    world.kill("a2")
    assert conditions(world) == []
    gone = Decisions(forget=frozenset({node_id("a1"), node_id("a2")}))
    assert the(world, gone).actions[0].aims == (A,)
    assert "The servers may do so themselves" in the(world, gone).story


def test_a_replica_that_is_gone_for_long_is_not_waited_for() -> None:
    world = World.of(3, 2)
    for name in ("a1", "a2"):
        dead = world.kill(name)
        dead.ping_sent = NOW_UNIX_MS - 400_000
    assert the(world).actions


def test_a_former_primary_that_is_down_may_come_back_as_its_replica() -> None:
    world = poor()
    world.members[E] = ghost(dead_s=30)
    assert conditions(world) == []
    world.members[E] = ghost(dead_s=400)
    assert the(world).actions


def test_a_replica_without_its_link_is_no_lack_of_replicas() -> None:
    world = World.of(3, 2)
    for name in ("a1", "a2"):
        world[name].info |= {"master_link_status": "down", "master_link_down_since_seconds": "9"}
    assert conditions(world) == []


def test_a_shard_that_gets_a_replica_of_a_ghost_borrows_none() -> None:
    world = poor("c2")
    world.members[E] = ghost()
    world.members[node_id("d1")] = Member(node_id("d1"), Endpoint("127.50.8.1", 8800), E, info={"db0": None})
    assert conditions(world, taken=("d1",)) == []
