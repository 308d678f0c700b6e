"""Nodes that are down, hang, or come back, on constructed clusters: what is said, awaited and started."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rcfail.change.checks import CheckVerdict
from rcfail.change.recover.action import Action, ActionKind
from rcfail.change.recover.case import NO_DECISIONS, Case, Decisions
from rcfail.change.recover.condition import Condition, ConditionCode
from rcfail.change.recover.nodes import down
from rcfail.change.recover.nodes.comeback import CaughtUp, HeldForDead, Loaded, NoProcess, Placed, Trusted, Up
from rcfail.change.request import Override
from rcfail.cluster.nouns import NodeId
from rcfail.cluster.observation import Absence, AbsenceKind, Ask, SilenceReason
from rcfail.health.diagnose import diagnose
from rcfail.health.finding import Thresholds
from tests.unit.world import NOW_UNIX_MS, Member, World, node_id

A, A1 = node_id("a"), node_id("a1")
WAIT = Decisions(wait=True)
START = Decisions(start_cmd="systemctl start it")
BOTH = Decisions(wait=True, start_cmd="systemctl start it")
NEVER_SAVED: dict[str, str | None] = {"save": ""}
NO_LINK = {"master_link_status": "down", "master_last_io_seconds_ago": "-1", "master_link_down_since_seconds": "20"}


def case(world: World, decisions: Decisions = NO_DECISIONS) -> Case:
    snapshot = world.snapshot()
    return Case(snapshot, diagnose(snapshot, Thresholds()), decisions)


def found(world: World, decisions: Decisions = NO_DECISIONS) -> tuple[Condition, ...]:
    return tuple(down.conditions(case(world, decisions), frozenset()))


def the(world: World, decisions: Decisions = NO_DECISIONS, about: NodeId = A1) -> Condition:
    (one,) = found(world, decisions)
    assert (one.code, one.nodes) == (ConditionCode.NODE_DOWN, (about,))
    return one


def steps(condition: Condition) -> list[tuple[str, ...]]:
    """Each action without its node."""
    return [(each.kind.value, *each.aims) for each in condition.actions]


FOLLOWED = [("wait", "answers"), ("wait", "rejoined"), ("wait", "in-sync")]


def dead(letter: str = "a1") -> World:
    world = World.of(3, 1)
    world.kill(letter)
    return world


def unvoted() -> World:
    """The one primary is dead, so nobody votes for its replica."""
    world = World.of(1, 1)
    world.kill("a")
    return world


def taken_over() -> World:
    """The primary a is dead, and its replica has its slots."""
    world = World.of(3, 1)
    old, new = world["a"], world["a1"]
    world.kill("a")
    new.primary, new.slots, new.epoch, old.slots, new.info = None, old.slots, 9, (), {}
    return world


def back(world: World, letter: str = "a1", **info: str | None) -> Member:
    """It was started a moment ago."""
    member = world[letter]
    member.silence, member.link, member.ping_sent = None, "connected", 0
    member.info |= {"uptime_in_seconds": "3"} | info
    return member


# What is said, where the operator said nothing


def test_a_cluster_that_is_well_has_no_node_down() -> None:
    assert not found(World.of(3, 1))
    assert not found(World.of(3, 1), BOTH)


def test_a_dead_replica_is_named_with_what_brings_it_back() -> None:
    one = the(dead())
    assert (one.actions, one.choice, one.doubt) == ((), False, ())
    assert "5 of 5 other nodes say fail; nothing listens there (connection refused)" in one.evidence
    assert "follows 127.50.1.1:7000" in one.story
    for word in ("--wait", "--start-cmd CMD", "--forget 127.50.2.1:8000"):
        assert f"rcfail recover 127.50.2.1:8000 {word}" in one.advice or f"rcfail recover {word}" in one.advice


def test_a_dead_owner_of_slots_is_never_to_be_forgotten() -> None:
    one = the(dead("a"), about=A)
    assert "--forget" not in one.advice
    assert "takes over by itself" in one.story
    assert one.advice.startswith("When a replica has taken over, start it")
    assert {"slots-failed", "failover-pending"} <= set(one.findings)


def test_an_old_primary_comes_back_as_a_replica_and_its_own_writes_go() -> None:
    one = the(taken_over(), about=A)
    assert "follows whoever owns them now" in one.story
    assert "thrown away" in one.story
    assert "slots-failed" not in one.findings


def test_whoever_is_given_up_or_taken_is_let_alone() -> None:
    assert not found(dead(), Decisions(wait=True, forget=frozenset({A1})))
    assert not list(down.conditions(case(dead(), WAIT), frozenset({A1})))


def test_a_ghost_is_only_followed_where_that_is_wanted() -> None:
    world = dead()
    world["a1"].ping_sent = NOW_UNIX_MS - 3_600_000
    assert not found(world)
    assert steps(the(world, WAIT)) == FOLLOWED


def test_a_node_that_is_silent_to_us_alone_is_not_called_down() -> None:
    world = World.of(3, 1)
    world["a1"].silence = SilenceReason.CONNECT_TIMEOUT
    one = the(world)
    assert one.doubt == (ConditionCode.ADDRESS_WRONG,)
    assert "another machine" in one.advice
    assert the(world, START).actions == (), "and it is never started"
    assert steps(the(world, WAIT)) == FOLLOWED


def test_a_frozen_process_gets_no_second_one() -> None:
    world = dead()
    world["a1"].silence = SilenceReason.FROZEN
    for decisions in (NO_DECISIONS, START):
        one = the(world, decisions)
        assert one.actions == ()
        assert "kill -CONT PID" in one.advice
        assert "no second one" in one.story
    assert steps(the(world, BOTH)) == FOLLOWED


@pytest.mark.parametrize("reason", [SilenceReason.CLIENTS_FULL, SilenceReason.AUTH_REFUSED, SilenceReason.BUSY])
def test_a_process_that_says_no_is_not_down(reason: SilenceReason) -> None:
    world = World.of(3, 1)
    world["a1"].silence = reason
    assert not found(world, BOTH)


@pytest.mark.parametrize("reason", [SilenceReason.NOT_A_CLUSTER, SilenceReason.GARBAGE, SilenceReason.TLS_EXPECTED])
def test_where_something_else_listens_nothing_is_started(reason: SilenceReason) -> None:
    world = dead()
    world["a1"].silence = reason
    assert the(world, START).actions == ()


def test_a_node_without_its_bus_is_not_down() -> None:
    world = World.of(3, 1)
    member = world["a1"]
    member.flags, member.ping_sent, member.link = ("fail",), NOW_UNIX_MS - 60_000, "disconnected"
    one = the(world, BOTH)
    assert one.actions == ()
    assert f"port {member.endpoint.port + 10000}" in one.advice
    assert "bus-unreachable" in one.findings


# What is awaited


def test_a_node_is_followed_to_the_end() -> None:
    one = the(dead(), replace(WAIT, within_s=77))
    assert steps(one) == FOLLOWED
    assert {each.within_ms for each in one.actions} == {77_000}
    assert not any(each.sends or each.command for each in one.actions)
    assert one.advice == ""


def test_stages_that_are_behind_it_are_left_out() -> None:
    world = dead()
    member = back(world, **NO_LINK)
    assert steps(the(world, WAIT)) == FOLLOWED[1:], "the others still flag it"
    assert steps(the(world, START)) == FOLLOWED[1:], "and it is not started twice"
    member.flags = ()
    assert steps(the(world, WAIT)) == FOLLOWED[2:], "its link is down"
    assert not found(world), "which passes by itself"
    member.info["uptime_in_seconds"] = "900"
    assert not found(world, WAIT), "that is no comeback any more, but a link that is down"
    member.info |= {"master_link_status": "up", "uptime_in_seconds": "3"}
    assert not found(world, WAIT)


def test_a_flag_that_stands_is_said_also_without_help() -> None:
    world = dead("a")
    world["a"].info = {}
    back(world, "a")
    world["a1"].info = {}
    one = the(world, about=A)
    assert (one.actions, one.doubt) == ((), ())
    assert "two node timeouts" in one.story or "30 s after the verdict" in one.story
    assert "--wait" in one.advice


def test_one_that_loads_is_awaited_and_not_started() -> None:
    world = dead()
    member = back(world, loading="1", loading_eta_seconds="47")
    member.absences = dict.fromkeys(
        (Ask.CLUSTER_NODES, Ask.CLUSTER_INFO), Absence(AbsenceKind.LOADING, "LOADING Redis is loading")
    )
    one = the(world)
    assert (one.actions, "about 50 s to go" in one.evidence) == ((), True)
    assert steps(the(world, START)) == FOLLOWED


def test_one_that_still_claims_what_others_took_is_awaited() -> None:
    world = taken_over()
    old = back(world, "a")
    old.flags, old.sees = (), {old.node_id: old.line(True, slots=world["a1"].slots, epoch=1)}
    one = the(world, WAIT, A)
    assert steps(one) == FOLLOWED[1:]
    assert "which 127.50.2.1:8000" in one.evidence
    assert "took over" in one.evidence
    assert not found(world)


def test_owners_are_started_first_and_nobody_waits_for_one_that_is_started_later() -> None:
    world = World.of(3, 1)
    world.kill("a"), world.kill("a1"), world.kill("b1")
    back(world, "b1", **NO_LINK)
    order = [each.nodes[0] for each in found(world, START)]
    assert order == [A, A1, node_id("b1")]


# What is started


def start_of(condition: Condition) -> Action:
    (one,) = [each for each in condition.actions if each.kind is ActionKind.START]
    return one


def test_a_dead_replica_is_started_and_followed() -> None:
    one = the(dead(), START)
    assert steps(one) == [("start",), *FOLLOWED]
    start = start_of(one)
    assert (start.command, start.loses, start.about) == (START.start_cmd, (), A1)
    now = case(dead(), START).snapshot
    assert all(not each.check(now).refuses for each in start.guards)
    again = dead()
    back(again)
    assert any(each.check(again.snapshot()).refuses for each in start.guards), "whoever answers is not started"


def test_a_replica_takes_over_before_its_old_primary_is_started() -> None:
    one = the(dead("a"), START, A)
    assert steps(one) == [("wait", "taken-over"), ("start",), *FOLLOWED]
    assert steps(the(taken_over(), START, A)) == [("start",), *FOLLOWED]


def test_the_others_agree_before_a_node_is_started() -> None:
    world = World.of(3, 1)
    world["a1"].silence, world["a1"].link = SilenceReason.REFUSED, "disconnected"
    assert steps(the(world, START)) == [("wait", "dead"), ("start",), *FOLLOWED]
    world["b"].sees = {A1: world["a1"].line(flags=("fail?",))}
    assert steps(the(world, START)) == [("wait", "dead"), ("start",), *FOLLOWED]


def test_a_primary_that_nobody_replaces_is_started_with_what_it_saved() -> None:
    one = the(unvoted(), START, A)
    assert steps(one) == [("start",), *FOLLOWED]
    assert "what it saved last" in one.story
    said = the(unvoted(), about=A).advice
    assert "rcfail failover" in said
    assert "--takeover --confirm-fenced 127.50.1.1:7000" in said


def unsaved() -> World:
    world = unvoted()
    world["a1"].config = NEVER_SAVED
    return world


def test_a_primary_that_would_come_back_empty_is_not_started() -> None:
    one = the(unsaved(), START, A)
    assert (one.actions, one.choice) == ((), True)
    assert "10 keys" in one.story
    assert one.advice.startswith("Promote 127.50.1.1:8000")
    assert "--start-cmd 'systemctl start it'" in one.advice
    assert one.advice.endswith("--allow-data-loss")
    waited = the(unsaved(), WAIT, A)
    assert steps(waited) == FOLLOWED
    assert "Promote" in waited.advice, "also where it is only awaited"


def test_with_consent_it_is_started_and_the_loss_is_counted() -> None:
    one = the(unsaved(), replace(START, given=frozenset({Override.DATA_LOSS})), A)
    assert steps(one) == [("start",), *FOLLOWED]
    (lost,) = start_of(one).loses
    assert (lost.node, lost.keys, lost.counts) == (A1, 10, True)


# What the stages say


def test_each_stage_says_why_it_is_not_reached() -> None:
    world = dead()
    now = world.snapshot()
    assert "nothing listens there" in Up(A1).check(now).evidence
    assert HeldForDead(A1).check(now).verdict is CheckVerdict.PASS
    assert NoProcess(A1).check(now).verdict is CheckVerdict.PASS
    assert Loaded(A1).check(now).refuses
    member = back(world, **NO_LINK)
    now = world.snapshot()
    assert Up(A1).check(now).verdict is CheckVerdict.PASS
    assert NoProcess(A1).check(now).verdict is CheckVerdict.FAIL
    assert "5 of 5 other nodes say fail" in Trusted(A1).check(now).evidence
    assert Placed(A1).check(now).verdict is CheckVerdict.PASS
    assert "tries again every second" in CaughtUp(A1).check(now).evidence
    world["a"].info |= {
        "slave0": f"ip={member.endpoint.host},port={member.endpoint.port},state=wait_bgsave,offset=0,lag=0"
    }
    assert "full copy of 127.50.1.1:7000" in CaughtUp(A1).check(world.snapshot()).evidence
    world.kill("a")
    assert "does not answer us either" in CaughtUp(A1).check(world.snapshot()).evidence


def test_a_copy_under_way_tells_how_far_it_is() -> None:
    world = World.of(3, 1)
    world["a1"].info |= NO_LINK | {
        "master_sync_in_progress": "1",
        "master_sync_total_bytes": "1000",
        "master_sync_read_bytes": "456",
    }
    assert "40% of 1000 B" in CaughtUp(A1).check(world.snapshot()).evidence


def test_a_frozen_process_is_not_said_to_be_gone() -> None:
    world = dead()
    world["a1"].silence = SilenceReason.FROZEN
    now = world.snapshot()
    assert "the process is there, and hangs" in Up(A1).check(now).evidence
    assert NoProcess(A1).check(now).verdict is CheckVerdict.FAIL


def test_the_flag_of_one_that_is_dead_itself_does_not_count() -> None:
    world = World.of(3, 1)
    world.kill("b")
    world["b"].silence, world["b"].sees = None, {A1: world["a1"].line(flags=("fail?",))}
    assert Trusted(A1).check(world.snapshot()).verdict is CheckVerdict.PASS
    world["c"].sees = {A1: world["a1"].line(flags=("fail?",))}
    assert Trusted(A1).check(world.snapshot()).refuses
