"""What is not seen never lets a failover pass, and what looks well from one side only is looked at from the other."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rcfail.change.checks import Check, CheckVerdict, refusing
from rcfail.change.preflight import preflight, retry_after_ms
from rcfail.change.request import Mode, Override, Request
from rcfail.change.seen import Seen
from rcfail.cluster.nouns import NodeId
from rcfail.cluster.observation import Absence, AbsenceKind, Ask, SilenceReason
from tests.unit.judging import A1, A, B, C, judged, seen_of, world_of
from tests.unit.world import NOW_UNIX_MS, World, node_id

PASS, WARN, FAIL, UNKNOWN = CheckVerdict.PASS, CheckVerdict.WARN, CheckVerdict.FAIL, CheckVerdict.UNKNOWN
GRACEFUL, FORCE, TAKEOVER = Mode.GRACEFUL, Mode.FORCE, Mode.TAKEOVER
NEVER = {Override.FENCED, Override.MAX_LAG}
"""What these let pass is said by a value, which the properties below do not give."""


def the(code: str, checks: tuple[Check, ...]) -> Check:
    found = [each for each in checks if each.code == code]
    assert len(found) == 1, f"{code}: {checks}"
    return found[0]


# Silences


def lag(world: World, letter: str, offset: str) -> None:
    world[letter].info |= {"slave_repl_offset": offset, "master_repl_offset": offset}


def link_down(world: World, letter: str, since: str) -> None:
    world[letter].info |= {"master_link_status": "down", "master_link_down_since_seconds": since}


def flag(world: World, observer: str, subject: str, token: str) -> None:
    """One node's opinion of another."""
    if observer != subject:
        member = world[subject]
        world[observer].sees[member.node_id] = member.line(flags=(*member.flags, token))


LETTERS = st.sampled_from(["a", "b", "c", "a1", "b1"])
VOTING = st.sampled_from(["a", "b", "c", "a1"])
FAULTS = st.one_of(
    st.tuples(st.just("kill"), LETTERS, st.booleans()),
    st.tuples(st.just("load"), LETTERS),
    st.tuples(st.just("lag"), st.just("a1"), st.sampled_from(["0", "1", "4000", "9000"])),
    st.tuples(st.just("link"), st.just("a1"), st.sampled_from(["-1", "5"])),
    st.tuples(st.just("empty"), st.just("a1")),
    st.tuples(st.just("state"), LETTERS, st.sampled_from(["ok", "fail"])),
    st.tuples(st.just("flag"), VOTING, LETTERS, st.sampled_from(["fail", "fail?"])),
    st.tuples(st.just("stood"), LETTERS),
    st.tuples(st.just("open"), st.just("a")),
    st.tuples(st.just("stale"), VOTING),
)
MUTE = st.sampled_from([SilenceReason.REFUSED, SilenceReason.FROZEN, SilenceReason.CONNECT_TIMEOUT])


def broken(faults: list[tuple[object, ...]], replicas: int, version: str) -> World:
    world = world_of(replicas, version)
    for fault in faults:
        kind, letter, *more = fault[0], str(fault[1]), *map(str, fault[2:])
        member = world[letter]
        if kind == "kill" and member.silence is None:
            world.kill(letter, more[0] == "True")
        elif kind == "load":
            member.info["loading"] = "1"
        elif kind == "lag":
            lag(world, letter, more[0])
        elif kind == "link":
            link_down(world, letter, more[0])
        elif kind == "empty":
            member.info["db0"] = None
        elif kind == "state":
            member.cluster_info["cluster_state"] = more[0]
        elif kind == "flag":
            flag(world, letter, more[0], more[1])
        elif kind == "stood":
            member.cluster_info["cluster_stats_messages_auth-req_sent"] = "5"
        elif kind == "open":
            member.open_slots = (f"[3->-{B}]",)
        elif kind == "stale":
            member.sees[A1] = world["a1"].line(primary=B)
    return world


@settings(max_examples=150, deadline=None)
@given(
    faults=st.lists(FAULTS, max_size=4),
    replicas=st.integers(1, 2),
    version=st.sampled_from(["6.2.14", "7.0.15", "8.2.3", "9.1.2"]),
    overrides=st.frozensets(st.sampled_from(sorted(set(Override) - NEVER)), max_size=3),
    hidden=st.lists(st.tuples(st.sampled_from(["a", "b", "c", "a1", "a2", "b1", "c1"]), MUTE), min_size=1, max_size=4),
)
def test_a_silence_in_place_of_a_view_never_turns_a_refusal_into_a_permission(
    faults: list[tuple[object, ...]],
    replicas: int,
    version: str,
    overrides: frozenset[Override],
    hidden: list[tuple[str, SilenceReason]],
) -> None:
    world = broken(faults, replicas, version)
    darker = copy.deepcopy(world)
    for letter, reason in hidden:
        member = darker.members.get(node_id(letter))
        if member is not None:
            member.silence = member.silence or reason
    for mode in Mode:
        request = Request(A1, A, mode, overrides)
        before, after = preflight(seen_of(world), request), preflight(seen_of(darker), request)
        assert refusing(after) or not refusing(before), (mode, refusing(before), after)
        retry_after_ms(seen_of(darker), request)


@settings(max_examples=60, deadline=None)
@given(
    faults=st.lists(FAULTS, max_size=3),
    letters=st.sets(st.sampled_from(["a", "b", "c", "a1"]), min_size=1),
    asks=st.sets(st.sampled_from(sorted(Ask)), min_size=1),
)
def test_nothing_that_a_node_does_not_say_makes_it_raise(
    faults: list[tuple[object, ...]], letters: set[str], asks: set[Ask]
) -> None:
    world = broken(faults, 2, "8.2.3")
    for letter in letters:
        world[letter].absences.update({each: Absence(AbsenceKind.NOT_PERMITTED) for each in asks})
    for mode in Mode:
        request = Request(A1, A, mode)
        checks = preflight(seen_of(world), request)
        assert all(each.evidence for each in checks)
        if Ask.INFO in asks and "a1" in letters:
            assert refusing(checks), "what the target has is not known"


def test_an_empty_picture_allows_nothing() -> None:
    world = world_of()
    for each in world:
        each.silence = SilenceReason.REFUSED
    for mode in Mode:
        assert refusing(preflight(seen_of(world), Request(A1, A, mode, frozenset(Override))))


@pytest.mark.parametrize("gone", [A1, A])
def test_a_node_that_left_the_cluster_between_two_looks_is_refused(gone: NodeId) -> None:
    world = world_of()
    del world.members[gone]
    for each in world:
        each.primary = None if each.primary == gone else each.primary
    snapshot = world.snapshot()
    assert refusing(preflight(Seen(snapshot, snapshot), Request(A1, A)))


# The primary


def test_the_fail_flag_of_one_node_alone_does_not_make_a_silent_primary_dead() -> None:
    """A flag can be left over from a failure that is past, and the primary may serve where only we do not reach it."""
    world = world_of()
    world["a"].silence = SilenceReason.CONNECT_TIMEOUT
    flag(world, "b", "a", "fail")
    for mode in (FORCE, TAKEOVER):
        assert the("primary-alive", judged(world, mode)).refuses
    for letter in ("c", "a1", "b1"):
        flag(world, letter, "a", "fail")
    assert the("primary-alive", judged(world, FORCE)).verdict is PASS


def test_a_primary_that_does_not_say_whether_it_serves_is_not_taken_for_one_that_does_not() -> None:
    world = world_of()
    world["a"].absences[Ask.CLUSTER_INFO] = Absence(AbsenceKind.NOT_PERMITTED)
    check = the("primary-alive", judged(world, FORCE))
    assert (check.verdict, check.override) == (UNKNOWN, Override.DATA_LOSS)


# Votes


def test_who_lists_the_target_and_who_would_vote_for_it_have_to_be_the_same() -> None:
    """One voter does not know it, the other one knows it and does not hear it: a gives the only vote, and two must."""
    world = world_of()
    world["b"].sees[A1] = world["a1"].line(primary=None)
    flag(world, "c", "a1", "fail?")
    checks = judged(world, GRACEFUL)
    assert {each.code for each in refusing(checks)} >= {"known-as-replica"}


def test_beside_a_majority_on_the_other_side_nobody_is_sent_to_a_takeover() -> None:
    world = world_of()
    for letter in ("b", "c"):
        flag(world, "a1", letter, "fail?")
        flag(world, letter, "a1", "fail?")
    checks = judged(world, GRACEFUL)
    assert the("votes", checks).verdict is FAIL
    assert "--takeover" not in the("votes", checks).hint
    assert "rcfail views -s " in the("votes", checks).hint
    assert the("known-as-replica", checks).verdict is PASS, "3 of 3 list it, and votes tells the rest"


def test_a_primary_without_slots_knows_its_replica_by_its_own_word() -> None:
    """It is no voter. From Valkey 8.0 on its replica can take over."""
    world = world_of(version="9.1.2")
    world["b"].slots = ((0, 10922),)
    world["a"].slots = ()
    check = the("known-as-replica", judged(world, GRACEFUL))
    assert check.verdict is not FAIL or "has not heard" not in check.evidence


@pytest.mark.parametrize(("waits_ms", "allowed"), [(0, True), (200, True), (1500, False)])
def test_a_voter_that_owes_the_target_an_answer_is_no_sure_vote(waits_ms: int, allowed: bool) -> None:
    """It was cut off just now: it answers us, and nobody suspects it yet. a is dead, so both others are needed."""
    world = world_of()
    world.kill("a")
    world["a1"].sees[C] = world["c"].line(ping_sent=NOW_UNIX_MS - waits_ms if waits_ms else 0)
    check = the("votes", judged(world, FORCE))
    assert (not check.refuses) is allowed, check
    if not allowed:
        assert (check.verdict, check.override) == (UNKNOWN, None)


def test_a_voter_that_serves_on_another_side_is_not_stopped_whoever_says_so() -> None:
    world = world_of()
    for letter in ("b", "c"):
        flag(world, "a1", letter, "fail?")
        flag(world, letter, "a1", "fail?")
    world.kill("a")
    for letter, state in (("b", "ok"), ("c", "ok")):
        world[letter].cluster_info["cluster_state"] = state
    given_all = Request(A1, A, TAKEOVER, frozenset(Override), fenced=frozenset({A, B, C}))
    check = the("fenced", preflight(seen_of(world), given_all))
    assert check.refuses
    assert check.override is None


# What else goes on


def failing_elsewhere(eligible: bool) -> World:
    world = world_of()
    world.kill("b")
    if not eligible:
        world.kill("b1")
    return world


@pytest.mark.parametrize(("eligible", "verdict"), [(True, FAIL), (False, PASS)])
def test_an_election_that_is_due_elsewhere_takes_the_votes(eligible: bool, verdict: CheckVerdict) -> None:
    """A shard that is wholly dead holds nobody up; one whose replica asks for votes at any moment does."""
    check = the("other-change", judged(failing_elsewhere(eligible), GRACEFUL))
    assert check.verdict is verdict, check.evidence
    if eligible:
        assert check.override is Override.OTHER_CHANGE
        assert "127.50.2.1:7000" in check.evidence


def test_a_silent_replica_elsewhere_may_ask_for_votes() -> None:
    world = failing_elsewhere(eligible=True)
    world["b1"].silence = SilenceReason.CONNECT_TIMEOUT
    check = the("other-change", judged(world, GRACEFUL))
    assert (check.verdict, check.override) == (UNKNOWN, Override.OTHER_CHANGE)


@pytest.mark.parametrize("letter", ["a", "a1"])
def test_without_its_counters_nobody_can_say_that_nothing_goes_on(letter: str) -> None:
    world = world_of()
    world[letter].absences[Ask.CLUSTER_INFO] = Absence(AbsenceKind.NOT_PERMITTED)
    assert the("other-change", judged(world, GRACEFUL)).refuses


def test_an_importing_mark_of_another_shard_counts() -> None:
    """The first half of a move: the receiver is marked before the giver."""
    world = world_of()
    world["b"].open_slots = (f"[3-<-{A}]",)
    assert the("other-change", judged(world, GRACEFUL)).verdict is FAIL


# Data


def test_the_consent_to_lose_some_writes_is_none_to_lose_all() -> None:
    """An empty replica beside its living primary: promoted, it would make the primary throw its data away."""
    world = world_of()
    link_down(world, "a1", "-1")
    lag(world, "a1", "0")
    world["a1"].info["db0"] = None
    for mode in (FORCE, TAKEOVER):
        check = the("data", judged(world, mode, *Override))
        assert (check.verdict, check.override, check.overridden) == (FAIL, None, False)
    for other in world:
        if other is not world["a"]:
            flag(world, next(k for k in ("b", "c", "a1", "b1", "c1") if world[k] is other), "a", "fail")
    world["a"].silence = SilenceReason.REFUSED
    assert the("data", judged(world, FORCE)).override is Override.DATA_LOSS


@pytest.mark.parametrize("mode", [FORCE, TAKEOVER])
def test_a_replica_with_the_data_of_another_shard(mode: Mode) -> None:
    """It was sent here just now (CLUSTER REPLICATE), and its first copy has not begun."""
    world = world_of()
    link_down(world, "a1", "3")
    world["a1"].info["master_replid"] = B
    check = the("data", judged(world, mode, *Override))
    assert (check.verdict, check.override) == (FAIL, None)
    assert "another shard" in check.evidence
