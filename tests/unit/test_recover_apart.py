"""Nodes that do not find each other: who stands with whom, who is met by whom, and by which address."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rcfail.change.checks import CheckVerdict, refusing
from rcfail.change.recover.action import Action, ActionKind
from rcfail.change.recover.case import Case, Decisions, Question
from rcfail.change.recover.condition import Condition, ConditionCode
from rcfail.change.recover.contact import addresses, apart, forgotten, reach
from rcfail.change.recover.contact.reach import Together
from rcfail.change.recover.preflight import preflight
from rcfail.change.request import Override
from rcfail.cluster.merge import merge
from rcfail.cluster.natmap import Natmap
from rcfail.cluster.nouns import Endpoint, NodeId
from rcfail.cluster.observation import Silence, SilenceReason
from rcfail.wire.refusals import Refusal, RefusalKind
from rcfail.wire.replies import Reply
from tests.unit.world import NOW_UNIX_MS, Member, World, node_id

A, B, A1, B1 = node_id("a"), node_id("b"), node_id("a1"), node_id("b1")


def moved(at: Endpoint) -> Endpoint:
    return Endpoint(at.host[:-1] + "9", at.port)


def scatter(world: World, *groups: tuple[str, ...]) -> dict[NodeId, Endpoint]:
    """All nodes at new addresses; who is in no group with another lists that one at its old place, and suspects it.

    Returns the old places.
    """
    old = {member.node_id: member.endpoint for member in world}
    home = {node_id(name): group for group in groups for name in group}
    for member in world:
        member.endpoint = moved(member.endpoint)
    for observer in world:
        for other in world:
            near = observer is other or home.get(observer.node_id, other) == home.get(other.node_id, observer)
            if not near:
                observer.sees[other.node_id] = gone(other, old[other.node_id])
    return old


def gone(member: Member, place: Endpoint) -> str:
    return member.line(endpoint=place, flags=("fail?",), link="disconnected", ping_sent=NOW_UNIX_MS - 60_000)


def case(world: World, old: dict[NodeId, Endpoint], replies: dict[Question, Reply] | None = None) -> Case:
    """What the crawler tells: nobody answers at the old places, and the nodes do elsewhere."""
    deserted = tuple(Silence(place, node, SilenceReason.REFUSED) for node, place in old.items())
    seen = replace(world.observe(), deserted=deserted)
    return Case(merge(seen), replies=replies or {})


def the(case: Case) -> Condition:
    (found,) = apart.conditions(case, frozenset())
    assert found.code is ConditionCode.NODES_APART
    return found


def meets(action: Action) -> list[tuple[NodeId, tuple[str, ...]]]:
    assert action.kind is ActionKind.MEET
    return [(each.node, each.command[2:]) for each in action.sends]


def lost_by(found: Condition) -> list[tuple[NodeId, int | None]]:
    return [(each.node, each.keys) for action in found.actions for each in action.loses]


def no(action: Action, world: World) -> set[str]:
    snapshot = world.snapshot()
    return {check.code for check in refusing(each.check(snapshot) for each in action.guards)}


def test_a_well_cluster_is_not_apart() -> None:
    well = Case(World.of(3, 1).snapshot())
    assert not list(apart.conditions(well, frozenset()))
    assert not list(addresses.conditions(well, frozenset()))
    assert not list(forgotten.conditions(well, frozenset()))


def test_owners_meet_first_and_replicas_then_meet_their_primaries() -> None:
    world = World.of(3, 1)
    found = the(case(world, scatter(world)))
    owners, others = found.actions
    hub = world["a"].endpoint
    assert meets(owners) == [(A, (world[n].endpoint.host, str(world[n].endpoint.port))) for n in ("b", "c")]
    assert {each.place for each in owners.sends} == {hub}
    assert meets(others) == [
        (node_id(f"{n}1"), (world[n].endpoint.host, str(world[n].endpoint.port))) for n in ("a", "b", "c")
    ]
    assert {owners.key, others.key} == {("meet", A, "owners"), ("meet", A, "others")}


def test_as_many_meets_as_it_takes_and_no_more() -> None:
    """A tree: one MEET for each group but the first."""
    world = World.of(3, 2)
    groups = (("a", "a1", "b2"), ("b", "b1"), ("c", "c1", "c2"), ("a2",))
    found = the(case(world, scatter(world, *groups)))
    assert sum(len(each.sends) for each in found.actions) == len(groups) - 1


def test_after_the_first_step_the_rest_has_the_same_keys() -> None:
    world = World.of(3, 1)
    before = {each.key for each in the(case(world, scatter(world))).actions}
    half = World.of(3, 1)
    after = [each.key for each in the(case(half, scatter(half, ("a", "b", "c")))).actions]
    assert after == [("meet", A, "others")]
    assert before.issuperset(after)


def test_replicas_are_met_when_no_owner_is_held_for_failed_any_more() -> None:
    """Met sooner, the replica of that owner would be elected, and may lack what its primary wrote last."""
    world = World.of(3, 1)
    old = scatter(world, ("a", "b", "c"))
    world["b"].sees[A] = world["a"].line(flags=("fail",))
    wait, others = the(case(world, old)).actions
    assert (wait.kind, wait.sends, wait.key) == (ActionKind.WAIT, (), ("wait", A, "owners"))
    assert others.key == ("meet", A, "others")
    told = [each.check(case(world, old).snapshot) for each in wait.expects]
    assert refusing(told)
    del world["b"].sees[A]
    assert [each.key for each in the(case(world, old)).actions] == [("meet", A, "others")]


def test_a_replica_that_would_copy_an_emptied_primary_is_not_met_unseen() -> None:
    """Once it finds its primary it copies nothing, and nobody else holds what it has."""
    world = World.of(3, 2)
    world["a"].info |= {"master_replid": "e" * 40, "db0": None}
    found = the(case(world, scatter(world)))
    assert lost_by(found) == [(A1, 10)], "its sibling holds the same, and goes the same way"
    assert "throws away its 10 keys" in found.story
    refusals = refusing(preflight(Case(world.snapshot()), (found,), agreed=True))
    assert Override.DATA_LOSS in {each.override for each in refusals}
    assert no(found.actions[0], world) == {"nothing-at-stake"}


def test_replicas_that_have_what_their_primaries_have_are_met() -> None:
    world = World.of(3, 1)
    found = the(case(world, scatter(world)))
    assert lost_by(found) == []
    assert no(found.actions[0], world) == set()


@pytest.mark.parametrize(("until", "lost"), [("4001", [(A, 10)]), ("5001", [])])
def test_an_old_owner_that_has_writes_of_its_own_is_not_met_unseen(until: str, lost: list[tuple[NodeId, int]]) -> None:
    """Its successor has the greater epoch: it gives way, its replica with it, and what they alone hold goes."""
    world = World.of(3, 2)
    world["a1"].primary, world["a1"].slots, world["a1"].epoch = None, world["a"].slots, 9
    successor = {"role": "master", "master_replid": "d" * 40, "master_replid2": A, "second_repl_offset": until}
    world["a1"].info |= successor
    assert lost_by(the(case(world, scatter(world)))) == lost


def test_one_node_that_still_knows_the_way_heals_all_by_itself() -> None:
    """It pings the other one, and that one learns its address by it."""
    world = World.of(3, 1)
    old = scatter(world, ("a", "b", "c", "a1", "b1"))
    world["c1"].sees[A] = world["a"].line()
    assert not list(apart.conditions(case(world, old), frozenset()))


def test_a_network_that_is_parted_is_no_matter_of_addresses() -> None:
    world = World.of(3, 1)
    for observer in ("a", "a1", "b1"):
        for other in ("b", "c", "c1"):
            world[observer].sees[world[other].node_id] = world[other].line(flags=("fail?",))
            world[other].sees[world[observer].node_id] = world[observer].line(flags=("fail?",))
    assert not list(apart.conditions(Case(world.snapshot()), frozenset()))


def test_an_address_that_only_this_host_cannot_reach_is_not_apart() -> None:
    """Inside of a container network: they hear each other."""
    world = World.of(3, 1)
    old = {member.node_id: member.endpoint for member in world}
    for member in world:
        member.endpoint = moved(member.endpoint)
        for other in world:
            member.sees[other.node_id] = other.line(other is member, endpoint=old[other.node_id])
    for member in world:
        for other in world:
            member.sees[other.node_id] = other.line(other is member, endpoint=old[other.node_id])
    seen = case(world, old)
    assert not list(apart.conditions(seen, frozenset()))
    assert not [each for each in addresses.conditions(seen, frozenset()) if each.actions]


def test_who_lists_none_of_the_others_is_never_met() -> None:
    """It may be of another cluster."""
    world = World.of(3, 1)
    old = scatter(world, ("a", "a1"), ("b", "b1", "c"))
    for member in world:
        if member.node_id != node_id("c1"):
            member.sees[node_id("c1")] = None
            world["c1"].sees[member.node_id] = None
    world["c1"].extra_lines = (f"{node_id('d')} 127.50.9.9:7000@17000 master - 0 0 9 connected",)
    found = the(case(world, old))
    assert node_id("c1") not in found.nodes
    assert not [each for action in found.actions for each in action.sends if each.node == node_id("c1")]


def test_a_wrong_setting_is_no_matter_of_a_meet() -> None:
    """Whoever meets it is told the wrong address again."""
    world = World.of(3, 0)
    old = scatter(world)
    at = world["b"].endpoint
    world["b"].sees[B] = world["b"].line(True, endpoint=old[B])
    replies: dict[Question, Reply] = {
        Question(at, reach.ANNOUNCED): ("cluster-announce-ip", old[B].host, "cluster-announce-port", "0")
    }
    seen = case(world, old, replies)
    found = the(seen)
    assert not [each for action in found.actions for each in action.sends if str(at.host) in each.command]
    assert "addresses-changed" in found.advice
    (wrong,) = [each for each in addresses.conditions(seen, frozenset()) if each.nodes[0] == B]
    assert not wrong.actions
    assert f"CONFIG SET cluster-announce-ip {at.host}" in wrong.advice


def test_a_node_that_prints_an_old_address_meets_itself() -> None:
    world = World.of(3, 1)
    member, old = world["a1"], world["a1"].endpoint
    member.endpoint = moved(old)
    member.sees[A1] = member.line(True, endpoint=old)
    asked = Question(old, ("CLUSTER", "MYID"))
    assert asked in list(reach.questions(case(world, {})))
    silent: Reply = Refusal(RefusalKind.NO_ANSWER, "nobody is there")
    (found,) = addresses.conditions(case(world, {}, {asked: silent}), frozenset())
    (action,) = found.actions
    assert meets(action) == [(A1, (member.endpoint.host, str(member.endpoint.port)))]
    # A node with two addresses is well at both, and of one that was not asked nothing is known.
    assert not list(addresses.conditions(case(world, {}, {asked: A1}), frozenset()))
    assert not list(addresses.conditions(case(world, {}), frozenset()))


def test_the_bus_port_is_named_where_it_is_unusual() -> None:
    world = World.of(3, 0)
    snapshot = world.snapshot()
    at = reach.reached_at(snapshot, snapshot.nodes[B])
    assert at is not None
    assert reach.meet(snapshot.nodes[A], at).command[-1] == str(at.port)
    assert reach.meet(snapshot.nodes[A], replace(at, bus_port=5)).command[-1] == "5"


def test_a_translated_address_is_never_sent_to_the_nodes() -> None:
    """They reach each other where they announce it, and a rule for this host is none for them."""
    world = World.of(3, 0)
    snapshot = world.snapshot()
    place = world["b"].endpoint
    translated = replace(snapshot, natmap=Natmap((f"10.0.0.9:7000={place}",)))
    at = reach.reached_at(translated, translated.nodes[B])
    assert at is None or at.host != "10.0.0.9"
    lost = replace(translated.nodes[B], view=None)
    assert reach.reached_at(translated, lost) is None


def test_together_wants_every_line() -> None:
    world = World.of(3, 1)
    everybody = tuple(member.node_id for member in world)
    assert Together(everybody).check(world.snapshot()).verdict is CheckVerdict.PASS
    world["c"].sees[A1] = world["a1"].line(flags=("fail",))
    assert Together(everybody).check(world.snapshot()).verdict is CheckVerdict.FAIL
    assert Together((A, B, A1)).check(world.snapshot()).verdict is CheckVerdict.PASS
    world["b"].silence = SilenceReason.REFUSED
    assert Together((A, B)).check(world.snapshot()).refuses


# Forgotten


def forgot(world: World, whom: str, *observers: str) -> World:
    for each in observers:
        world[each].sees[node_id(whom)] = None
    return world


def one_forgotten(world: World, **said: object) -> Condition:
    seen = Case(world.snapshot(), decisions=Decisions(**said))  # type: ignore[arg-type]
    (found,) = forgotten.conditions(seen, frozenset())
    return found


def test_a_ban_is_waited_for_where_the_others_would_forget_it_again() -> None:
    world = forgot(World.of(3, 1), "a1", "b", "c")
    found = one_forgotten(world)
    assert (found.code, found.nodes[0]) == (ConditionCode.UNKNOWN_TO_SOME, A1)
    assert [each.kind for each in found.actions] == [ActionKind.WAIT, ActionKind.MEET]
    assert len(found.actions[1].sends) == 1
    later = one_forgotten(world, since_unix_ms=NOW_UNIX_MS - 100_000)
    assert [each.key for each in later.actions] == [found.actions[1].key]


def test_an_older_server_takes_a_meet_at_once_from_each_that_forgot_it() -> None:
    world = forgot(World.of(3, 1), "a1", "b", "c")
    world.version = "7.0.15"
    (action,) = one_forgotten(world).actions
    assert [each.node for each in action.sends] == [B, node_id("c")]


def test_a_forgotten_owner_that_has_writes_of_its_own_is_not_met_unseen() -> None:
    world = World.of(3, 1)
    world["a1"].primary, world["a1"].slots, world["a1"].epoch = None, world["a"].slots, 9
    world["a1"].info |= {"role": "master", "master_replid": "d" * 40}
    world["a"].sees[A1] = world["a1"].line(primary=A, slots=(), epoch=1)
    found = one_forgotten(forgot(world, "a", "b", "c", "a1", "b1", "c1"))
    assert (found.nodes[0], lost_by(found)) == (A, [(A, 10)])
    assert "nothing-at-stake" in no(found.actions[-1], world)


def test_who_is_given_up_is_not_met_again() -> None:
    world = forgot(World.of(3, 1), "a1", "a", "b", "c", "b1", "c1")
    seen = Case(world.snapshot(), decisions=Decisions(forget=frozenset({A1})))
    assert not list(forgotten.conditions(seen, frozenset()))
    assert "on purpose" in one_forgotten(world).story


def test_a_node_that_forgot_several_is_one_case() -> None:
    world = World.of(3, 1)
    for other in ("a", "c", "c1"):
        forgot(world, other, "b1")
    found = one_forgotten(world)
    assert found.nodes[0] == B1


def test_an_empty_node_outside_is_no_forgotten_member() -> None:
    world = World.of(3, 1)
    for member in world:
        if member.node_id != A1:
            forgot(world, "a1", "a", "b", "c", "b1", "c1")
            world["a1"].sees[member.node_id] = None
    assert not list(forgotten.conditions(Case(world.snapshot()), frozenset()))
