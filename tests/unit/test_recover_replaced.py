"""Members that came back empty and under a new id, and where they are taken in: b1 was a replica of b."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rcfail.change.checks import refusing
from rcfail.change.recover.action import ActionKind
from rcfail.change.recover.case import Case, Decisions, Question
from rcfail.change.recover.condition import Condition, ConditionCode
from rcfail.change.recover.members import ghosts
from rcfail.change.recover.members.replaced import conditions, questions
from rcfail.cluster.merge import merge
from rcfail.cluster.natmap import Natmap
from rcfail.cluster.nouns import Endpoint, NodeId
from rcfail.cluster.observation import Observation, SilenceReason
from rcfail.wire.replies import Reply
from tests.unit.test_recover_ghosts import dead, nameless
from tests.unit.world import NOW_UNIX_MS, Member, World, node_id

A, B, C, B1, E, F = map(node_id, ("a", "b", "c", "b1", "e", "f"))
CHAIN = [ActionKind.MEET, ActionKind.REPLICATE, ActionKind.FORGET]


def newcomer(place: Endpoint, node: NodeId = E) -> Member:
    """An empty node that knows nobody."""
    return Member(node, place, epoch=0, info={"db0": None})


def beside(world: World, *fresh: Member, expected: NodeId | None = None) -> Observation:
    """What a round brings back where nodes outside of the cluster answer too."""
    seen = world.observe()
    alone = tuple(replace(World([each]).observe().answers[0], expected=expected) for each in fresh)
    return replace(seen, answers=(*seen.answers, *alone))


def case_of(seen: Observation, *forget: NodeId, replies: dict[Question, Reply] | None = None) -> Case:
    return Case(merge(seen), decisions=Decisions(forget=frozenset(forget)), replies=replies or {})


def planned(case: Case, *taken: NodeId) -> tuple[Condition, ...]:
    return tuple(conditions(case, frozenset(taken)))


def the_one(case: Case) -> Condition:
    found = planned(case)
    assert len(found) == 1, found
    assert found[0].code is ConditionCode.NODE_REPLACED
    return found[0]


def kinds(one: Condition) -> list[ActionKind]:
    return [each.kind for each in one.actions]


def wiped(letter: str = "b1") -> tuple[World, Observation]:
    world = World.of(3, 1)
    return world, beside(world, newcomer(nameless(world, letter).endpoint))


def joined(world: World, fresh: Member) -> World:
    """The same world with the newcomer as a member that all know. It is told of nobody without an address."""
    fresh.sees |= {each.node_id: None for each in world if each.silence is SilenceReason.NO_ADDRESS}
    return World([*world, fresh], world.version)


def test_a_healthy_cluster_has_nobody_replaced_and_nothing_to_ask() -> None:
    case = case_of(World.of(3, 1).observe())
    assert planned(case) == ()
    assert not list(questions(case))


def test_a_wiped_replica_is_met_made_a_replica_again_and_its_old_id_forgotten() -> None:
    world, seen = wiped()
    case = case_of(seen)
    one = the_one(case)
    assert kinds(one) == CHAIN
    met, followed, forgotten = one.actions
    place = world["b1"].endpoint
    (send,) = met.sends
    assert send.command == ("CLUSTER", "MEET", place.host, str(place.port))
    assert send.node in {A, B, C}
    assert not refusing(each.check(case.snapshot) for each in met.guards)
    (send,) = followed.sends
    assert (send.node, send.place, send.command) == (E, place, ("CLUSTER", "REPLICATE", B))
    assert followed.aims == (B,)
    assert (forgotten.about, {each.node for each in forgotten.sends}) == (B1, world.members.keys() - {B1})
    assert one.nodes[:2] == (E, B1)
    assert not any(each.loses for each in one.actions)


def test_the_ghost_planner_leaves_it_to_the_chain() -> None:
    _, seen = wiped()
    assert not list(ghosts.conditions(case_of(seen), frozenset()))


def test_the_chain_keeps_its_keys_while_it_is_gone_through() -> None:
    """So that what was consented to is what is done."""
    world, seen = wiped()
    keys = [each.key for each in the_one(case_of(seen)).actions]
    fresh = newcomer(world["b1"].endpoint)
    world = joined(world, fresh)
    assert [each.key for each in the_one(case_of(world.observe())).actions] == keys[1:]
    fresh.primary, fresh.epoch = B, 2
    assert planned(case_of(world.observe())) == ()
    (left,) = ghosts.conditions(case_of(world.observe()), frozenset())
    assert [each.key for each in left.actions] == keys[2:]


def test_one_that_only_some_know_yet_is_met_again() -> None:
    world, _ = wiped()
    world = joined(world, newcomer(world["b1"].endpoint))
    world["c"].sees[E] = None
    assert kinds(the_one(case_of(world.observe()))) == CHAIN


def test_two_replaced_at_once_are_paired_the_same_before_and_after_the_first_is_in() -> None:
    world = World.of(3, 1)
    first, second = (newcomer(nameless(world, letter).endpoint, node) for letter, node in (("b1", E), ("c1", F)))
    found = planned(case_of(beside(world, first, second)))
    assert [each.nodes[:2] for each in found] == [(E, B1), (F, node_id("c1"))]
    met = found[0].actions[0].expects[0]
    half = joined(world, first)
    seen = beside(half, second)
    assert not refusing([met.check(merge(seen))]), "who is outside does not count among those who shall know it"
    assert [each.nodes[:2] for each in planned(case_of(seen))] == [each.nodes[:2] for each in found]


def test_whose_place_is_taken_already_comes_last_until_it_is_forgotten() -> None:
    """The first chain is done but for its last step; what is left of the second keeps its keys."""
    world = World.of(3, 1)
    olds = [nameless(world, letter) for letter in ("b1", "c1")]
    for member in world:
        for old in olds:
            line = member.sees[old.node_id]
            assert line is not None
            member.sees[old.node_id] = line.replace(str(old.pong_received), str(NOW_UNIX_MS - 60_000))
    first, second = (newcomer(old.endpoint, node) for old, node in zip(olds, (E, F), strict=True))
    found = planned(case_of(beside(world, first, second)))
    first.primary, first.epoch = B, 2
    first.info |= {"uptime_in_seconds": "30"}
    half = joined(world, first)
    (left,) = planned(case_of(beside(half, second)))
    assert [each.key for each in left.actions] == [each.key for each in found[1].actions]
    (ghost,) = ghosts.conditions(case_of(beside(half, second)), frozenset())
    assert [each.key for each in ghost.actions] == [found[0].actions[-1].key]


def test_where_the_old_address_is_known_it_says_who_stands_for_whom() -> None:
    world = World.of(3, 1)
    nameless(world, "a1")
    lost = world["b1"]
    lost.silence = SilenceReason.REFUSED
    seen = beside(world, newcomer(lost.endpoint), expected=B1)
    seen = replace(seen, silences=tuple(each for each in seen.silences if each.expected != B1))
    assert the_one(case_of(seen)).nodes[:2] == (E, B1)


@pytest.mark.parametrize(("keys", "slots"), [("keys=1,expires=0,avg_ttl=0", ()), (None, ((77, 77),))])
def test_one_that_holds_something_is_the_operators_choice(keys: str | None, slots: tuple[tuple[int, int], ...]) -> None:
    world = World.of(3, 1)
    fresh = newcomer(nameless(world, "b1").endpoint)
    fresh.info["db0"], fresh.slots = keys, slots
    one = the_one(case_of(beside(world, fresh)))
    assert one.choice
    assert not one.actions
    assert "rcfail deletes no keys" in one.story
    assert "FLUSH" not in one.advice


def test_the_slots_of_a_lost_owner_are_given_to_nobody() -> None:
    world, seen = wiped("b")
    one = the_one(case_of(seen))
    assert not one.actions
    assert "still owns 5461 slots" in one.story or "still owns 5462 slots" in one.story
    world.kill("b1")
    one = the_one(case_of(beside(world, newcomer(world["b"].endpoint))))
    assert not one.actions
    assert "Nobody knows a copy" in one.advice


def test_a_chain_is_foreseen_where_another_planner_lets_its_replica_take_over() -> None:
    _, seen = wiped("b")
    (one,) = planned(case_of(seen), B)
    assert kinds(one) == CHAIN
    assert one.actions[1].aims == (B1,)
    no = refusing(each.check(case_of(seen).snapshot) for each in one.actions[0].guards)
    assert [each.code for each in no] == ["owns-nothing"], "not before the old id owns nothing"


def test_which_of_several_replicas_takes_over_is_seen_first() -> None:
    world = World.of(3, 2)
    seen = beside(world, newcomer(nameless(world, "b").endpoint))
    (one,) = planned(case_of(seen), B)
    assert (one.actions, one.choice) == ((), False)
    assert "until one of its 2 replicas does" in one.story
    assert one.advice.startswith("When its slots have another owner")


def taken_over(version: str = "8.2.3", replicas: int = 1) -> tuple[World, Observation]:
    """b was lost and b1 promoted: nobody's table says any more of which shard b was."""
    world = World.of(3, replicas)
    world.version = version
    lost = world["b"]
    world["b1"].primary, world["b1"].slots, world["b1"].epoch, lost.slots = None, lost.slots, 9, ()
    for each in world:
        each.primary = B1 if each.primary == B else each.primary
    nameless(world, "b")
    return world, beside(world, newcomer(lost.endpoint))


def shards(*groups: tuple[NodeId, ...]) -> Reply:
    return tuple(("slots", (), "nodes", tuple(("id", each, "role", "master") for each in ids)) for ids in groups)


def test_a_former_primary_follows_whoever_was_promoted_in_its_place() -> None:
    _, seen = taken_over()
    asked = list(questions(case_of(seen)))
    assert [each.command for each in asked] == [("CLUSTER", "SHARDS")]
    case = case_of(seen, replies=dict.fromkeys(asked, shards((A,), (B, B1), (C,))))
    assert the_one(case).actions[1].aims == (B1,)


def test_without_the_servers_word_it_is_the_shard_that_alone_has_fewest_replicas() -> None:
    _, seen = taken_over("6.2.14")
    assert not list(questions(case_of(seen)))
    assert the_one(case_of(seen)).actions[1].aims == (B1,)


def test_where_that_cannot_be_told_the_operator_says_it() -> None:
    world, _ = taken_over("6.2.14")
    world.kill("a1")
    one = the_one(case_of(beside(world, newcomer(world["b"].endpoint))))
    assert one.choice
    assert not one.actions
    assert "rcfail reset" in one.advice


@pytest.mark.parametrize("odd", [(), "no", (1, ("nodes",), ("nodes", 7)), (("nodes", (("id",), 3, ("id", 5))),), None])
def test_any_reply_about_shards_is_read(odd: Reply) -> None:
    _, seen = taken_over()
    case = case_of(seen)
    assert the_one(replace(case, replies=dict.fromkeys(questions(case), odd))).actions[1].aims == (B1,)


def test_it_waits_for_a_primary_that_answers() -> None:
    world, _ = wiped()
    world.kill("b")
    one = the_one(case_of(beside(world, newcomer(world["b1"].endpoint))))
    assert not one.actions
    assert "does not answer" in one.story
    assert "rcfail recover" in one.advice


class TestGivenUp:
    """A node that was started elsewhere for one that will not come back."""

    def world(self) -> tuple[World, Observation]:
        world = World.of(3, 1)
        dead(world, "b1")
        return world, beside(world, newcomer(Endpoint("127.50.9.9", 7000)))

    def test_without_a_word_it_is_a_choice(self) -> None:
        _, seen = self.world()
        one = the_one(case_of(seen))
        assert (one.choice, one.actions) == (True, ())
        assert "--at 127.50.9.9:7000 --forget" in one.advice

    def test_with_it_the_new_one_takes_the_place_of_the_dead(self) -> None:
        _, seen = self.world()
        one = the_one(case_of(seen, B1))
        assert kinds(one) == CHAIN
        assert one.actions[0].sends[0].command == ("CLUSTER", "MEET", "127.50.9.9", "7000")

    def test_a_newcomer_beside_a_whole_cluster_is_nobodys(self) -> None:
        assert planned(case_of(beside(World.of(3, 1), newcomer(Endpoint("127.50.9.9", 7000))))) == ()


class TestAddress:
    """Where the members reach the newcomer, which is not always where we do."""

    def meets(self, fresh: Member, **changes: object) -> tuple[str, ...]:
        world = World.of(3, 1)
        for number, member in enumerate(world):
            member.endpoint = Endpoint(f"10.0.0.{number}", 7000)
        nameless(world, "b1")
        seen = replace(beside(world, fresh), **changes)  # type: ignore[arg-type]
        one = the_one(case_of(seen))
        return one.actions[0].sends[0].command[2:] if one.actions else ()

    def test_is_what_it_announces(self) -> None:
        assert self.meets(newcomer(Endpoint("10.0.0.9", 7000))) == ("10.0.0.9", "7000")

    def test_with_its_bus_port_where_that_is_another(self) -> None:
        fresh = newcomer(Endpoint("10.0.0.9", 7000))
        fresh.sees[E] = f"{E} 10.0.0.9:7000@9000 myself,master - 0 0 0 connected"
        assert self.meets(fresh) == ("10.0.0.9", "7000", "9000")

    @pytest.mark.parametrize(("host", "met"), [("10.0.0.9", ("10.0.0.9", "7000")), ("127.0.0.1", ())])
    def test_is_where_we_reach_it_unless_that_is_ourselves(self, host: str, met: tuple[str, ...]) -> None:
        fresh = newcomer(Endpoint(host, 7000))
        fresh.sees[E] = f"{E} :7000@17000 myself,master - 0 0 0 connected"
        assert self.meets(fresh) == met

    def test_is_not_where_we_reach_it_through_a_natmap(self) -> None:
        fresh = newcomer(Endpoint("192.168.0.9", 7000))
        fresh.sees[E] = f"{E} :7000@17000 myself,master - 0 0 0 connected"
        assert self.meets(fresh, natmap=Natmap(("10.0.0.99=192.168.0.99",))) == ()


def test_a_former_primary_that_is_back_stands_for_nobody() -> None:
    """It has a config epoch of its own: it is of a shard already."""
    world, _ = wiped()
    former = newcomer(Endpoint("127.50.9.9", 7000))
    former.epoch = 2
    assert planned(case_of(joined(world, former).observe())) == ()
