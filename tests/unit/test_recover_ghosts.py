"""Who is forgotten, by whom, and who is not before the operator says so."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rcfail.change.checks import CheckVerdict, refusing
from rcfail.change.recover.action import ActionKind
from rcfail.change.recover.case import Case, Decisions, Question
from rcfail.change.recover.condition import Condition, ConditionCode
from rcfail.change.recover.members.ban import BAN_MS, SLACK_MS, StaysForgotten, ban_ms
from rcfail.change.recover.members.ghosts import conditions, questions
from rcfail.cluster.merge import merge
from rcfail.cluster.nouns import NodeId
from rcfail.cluster.observation import SilenceReason
from rcfail.health.standing import GHOST_AFTER_MS
from rcfail.wire.replies import Reply
from tests.unit.world import NOW_UNIX_MS, Member, World, node_id

A, B, C, A1, B1, C1 = map(node_id, ("a", "b", "c", "a1", "b1", "c1"))
LONG_AGO = NOW_UNIX_MS - 2 * GHOST_AFTER_MS


def nameless(world: World, letter: str) -> Member:
    """Another id answered where it was: the others took its address away."""
    member = world[letter]
    member.silence, member.flags = SilenceReason.NO_ADDRESS, ("noaddr",)
    place = f"{member.endpoint.host}:{member.endpoint.port}@{member.endpoint.port + 10000}"
    for other in world:
        other.sees[member.node_id] = member.line().replace(place, ":0@0")
    return member


def dead(world: World, letter: str) -> Member:
    member = world.kill(letter)
    member.ping_sent = LONG_AGO
    return member


def case_of(world: World, *forget: NodeId, replies: dict[Question, Reply] | None = None) -> Case:
    return Case(world.snapshot(), decisions=Decisions(forget=frozenset(forget)), replies=replies or {})


def planned(case: Case, *taken: NodeId) -> tuple[Condition, ...]:
    return tuple(conditions(case, frozenset(taken)))


def the_one(case: Case) -> Condition:
    found = planned(case)
    assert len(found) == 1, found
    assert found[0].code is ConditionCode.GHOST
    return found[0]


def test_a_healthy_cluster_has_no_ghost_and_nothing_to_ask() -> None:
    case = case_of(World.of(3, 1))
    assert planned(case) == ()
    assert not list(questions(case))


def test_a_replaced_replica_is_forgotten_by_every_node_that_answers() -> None:
    world = World.of(3, 1)
    nameless(world, "b1")
    one = the_one(case_of(world))
    (action,) = one.actions
    assert (action.kind, action.about, one.nodes[0]) == (ActionKind.FORGET, B1, B1)
    assert {each.node for each in action.sends} == {A, B, C, A1, C1}
    assert {each.command for each in action.sends} == {("CLUSTER", "FORGET", B1)}
    assert not refusing(each.check(world.snapshot()) for each in action.guards)
    assert action.within_ms > BAN_MS
    assert not one.choice


def test_only_who_lists_it_is_told() -> None:
    world = World.of(3, 1)
    nameless(world, "b1")
    world["c"].sees[B1] = None
    (action,) = the_one(case_of(world)).actions
    assert {each.node for each in action.sends} == {A, B, A1, C1}


def test_a_shard_that_is_asked_for_means_its_ghosts() -> None:
    world = World.of(3, 1)
    nameless(world, "b1")
    assert B in the_one(case_of(world)).nodes


def test_a_dead_replica_is_a_choice_until_the_operator_gives_it_up() -> None:
    world = World.of(3, 1)
    dead(world, "b1")
    one = the_one(case_of(world))
    assert one.choice
    assert not one.actions
    assert "rcfail recover --forget 127.50." in one.advice
    given_up = the_one(case_of(world, B1))
    assert [each.kind for each in given_up.actions] == [ActionKind.FORGET]
    assert not given_up.choice


def test_one_that_died_a_moment_ago_is_left_to_others_unless_it_is_given_up() -> None:
    world = World.of(3, 1)
    world.kill("b1")
    assert planned(case_of(world)) == ()
    assert the_one(case_of(world, B1)).actions


def test_what_another_planner_is_about_is_left_alone_unless_the_operator_gave_it_up() -> None:
    world = World.of(3, 1)
    nameless(world, "b1")
    dead(world, "c1")
    assert planned(case_of(world), B1, C1) == ()
    assert [each.nodes[0] for each in planned(case_of(world, C1), B1, C1)] == [C1]


def test_one_that_answers_is_not_forgotten() -> None:
    world = World.of(3, 1)
    one = the_one(case_of(world, B1))
    assert not one.actions
    assert "answers, so it is not gone" in one.story
    assert one.advice.startswith("Stop its process")


def test_an_owner_of_slots_is_not_forgotten() -> None:
    world = World.of(3, 1)
    dead(world, "b")
    one = the_one(case_of(world, B))
    assert not one.actions
    assert "owns 5461 slots" in one.story or "owns 5462 slots" in one.story
    assert "let another node own them" in one.advice.lower()
    world = World.of(3, 1)
    nameless(world, "b")
    assert planned(case_of(world)) == ()


def test_one_that_only_we_do_not_hear_is_not_forgotten() -> None:
    world = World.of(3, 1)
    world["b1"].silence = SilenceReason.CONNECT_TIMEOUT
    one = the_one(case_of(world, B1))
    assert not one.actions
    assert "silent to us alone" in one.story


def test_who_has_just_heard_of_it_anew_is_waited_for() -> None:
    """Whoever was down while it was forgotten tells of it again. He holds it for failed, and the others do not yet."""
    world = World.of(3, 1)
    alive = world["b1"].line()
    dead(world, "b1")
    world["a"].sees[B1] = alive
    wait, forget = the_one(case_of(world, B1)).actions
    assert (wait.kind, forget.kind) == (ActionKind.WAIT, ActionKind.FORGET)
    assert wait.sends == ()
    assert refusing(each.check(world.snapshot()) for each in wait.expects)
    assert refusing(each.check(world.snapshot()) for each in forget.guards), "nothing is sent while it is heard"
    world["a"].sees.pop(B1)
    assert not refusing(each.check(world.snapshot()) for each in wait.expects)
    assert [each.kind for each in the_one(case_of(world, B1)).actions] == [ActionKind.FORGET]


def test_the_last_of_its_shard_is_no_ghost_before_the_operator_says_so() -> None:
    """Its primary is dead and owns slots: what the replica held may be the last copy."""
    world = World.of(3, 1)
    world.kill("b")
    nameless(world, "b1")
    assert [(each.nodes[0], each.choice, each.actions) for each in planned(case_of(world))] == [(B1, True, ())]
    (one,) = planned(case_of(world, B1))
    assert one.actions


def test_a_replica_of_the_ghost_is_not_told_and_has_to_follow_another_first() -> None:
    world = World.of(3, 2)
    nameless(world, "b")
    world["b1"].primary, world["b1"].slots, world["b"].slots = None, world["b"].slots, ()
    for other in world:
        other.sees.pop(B)
    nameless(world, "b")
    one = the_one(case_of(world))
    (action,) = one.actions
    behind = node_id("b2")
    assert behind not in {each.node for each in action.sends}
    (no,) = refusing(each.check(world.snapshot()) for each in action.guards)
    assert (no.code, "cannot forget" in no.evidence) == ("not-followed", True)
    assert "follow another first" in one.story


def test_who_is_down_may_bring_it_back_and_is_named() -> None:
    world = World.of(3, 1)
    nameless(world, "b1")
    world.kill("c1")
    one = the_one(case_of(world))
    assert f"({C1[:8]}) answers again, the others may hear of it anew" in one.story


@pytest.mark.parametrize(("version", "said"), [("8.2.3", False), ("9.1.2", True)])
def test_a_process_that_still_runs_comes_back_on_valkey_alone(version: str, said: bool) -> None:
    world = World.of(3, 1)
    world.version = version
    nameless(world, "b1")
    assert ("introduces itself again" in the_one(case_of(world)).story) is said


def test_of_several_the_last_waits_for_the_ban_and_sees_whoever_came_back() -> None:
    world = World.of(3, 1)
    nameless(world, "b1")
    nameless(world, "c1")
    first, last = (each.actions[0] for each in planned(case_of(world)))
    assert (first.about, last.about) == (B1, C1)
    assert first.within_ms < BAN_MS < last.within_ms
    # The one is forgotten, and so is the other a moment later; then the first is back.
    del world.members[B1]
    for member in world:
        member.sees.pop(B1)
    (action,) = the_one(case_of(world)).actions
    assert action.key == last.key
    (stays,) = action.expects
    nameless_line = world["b"].line(node_id=B1, primary=B, slots=(), flags=("noaddr",))
    world["a"].extra_lines = (nameless_line,)
    del world.members[C1]
    for member in world:
        member.sees.pop(C1)
    told = stays.check(world.snapshot())
    assert told.verdict is CheckVerdict.FAIL
    assert f"node {B1[:8]} is listed again" in told.evidence


def test_one_that_is_only_suspected_by_the_last_that_lists_it_is_forgotten() -> None:
    """It was down when the others forgot the ghost: no majority is left that could agree that it is dead."""
    world = World.of(3, 1)
    world.kill("b1", agreed=False)
    for letter in ("a", "b", "c", "a1"):
        world[letter].sees[B1] = None
    (action,) = the_one(case_of(world, B1)).actions
    assert [each.node for each in action.sends] == [C1]
    assert not refusing(each.check(world.snapshot()) for each in action.guards)


class TestBan:
    def forgotten(self, after_ms: int) -> tuple[CheckVerdict, str]:
        world = World.of(3, 1)
        del world.members[B1]
        seen = replace(world.observe(), taken_at_unix_ms=NOW_UNIX_MS + after_ms)
        stays = StaysForgotten(B1, NOW_UNIX_MS + BAN_MS, frozenset(world.members))
        told = stays.check(merge(seen))
        return told.verdict, told.evidence

    def test_is_waited_for(self) -> None:
        verdict, text = self.forgotten(BAN_MS - 20_000)
        assert (verdict, "its ban runs for up to 30 s more" in text) == (CheckVerdict.FAIL, True)
        verdict, text = self.forgotten(BAN_MS)
        assert (verdict, "also after its ban" in text) == (CheckVerdict.PASS, True)

    def test_counts_only_while_it_is_listed_nowhere(self) -> None:
        stays = StaysForgotten(B1, NOW_UNIX_MS, frozenset())
        assert "5 of 6 nodes still list" in stays.check(World.of(3, 1).snapshot()).evidence

    def asked(self, version: str, said: Reply) -> int:
        world = World.of(3, 1)
        world.version = version
        nameless(world, "b1")
        case = case_of(world)
        return ban_ms(replace(case, replies=dict.fromkeys(questions(case), said)))

    def test_is_asked_of_servers_on_which_it_can_be_set(self) -> None:
        assert self.asked("8.2.3", ("cluster-blacklist-ttl", "3")) == BAN_MS
        assert self.asked("9.1.2", ("cluster-blacklist-ttl", "3")) == 3_000
        assert self.asked("9.1.2", ("cluster-blacklist-ttl", "900")) == 900_000

    @pytest.mark.parametrize("odd", [None, (), ("cluster-blacklist-ttl", "soon"), "no", 3])
    def test_takes_the_default_where_no_answer_comes(self, odd: Reply) -> None:
        assert self.asked("9.1.2", odd) == BAN_MS

    def test_ends_after_the_answer_to_the_last_of_the_commands(self) -> None:
        world = World.of(3, 1)
        nameless(world, "b1")
        (stays,) = the_one(case_of(world)).actions[0].expects
        assert isinstance(stays, StaysForgotten)
        assert stays.until_unix_ms == NOW_UNIX_MS + BAN_MS + SLACK_MS
