"""Voters and their quorum, and which replica could be promoted."""

from __future__ import annotations

import pytest

from rcfail.cluster.candidacy import (
    Candidate,
    Obstacle,
    candidates,
    candidates_by_themselves,
    validity_window_s,
)
from rcfail.cluster.electorate import side_of
from rcfail.cluster.observation import Absence, AbsenceKind, Ask, SilenceReason
from rcfail.cluster.snapshot import Known, Snapshot
from rcfail.cluster.vitals import Configured
from tests.unit.world import World, node_id

# An empty database has no line of its own.
EMPTY: dict[str, str | None] = {"db0": None}


def judged(world: World, shard: int = 0) -> tuple[Candidate, ...]:
    snapshot = world.snapshot()
    return candidates(snapshot, snapshot.shards[shard])


def only(world: World) -> Candidate:
    (found,) = judged(world)
    return found


def kinds(candidate: Candidate) -> set[Obstacle]:
    return {kind for kind, _ in candidate.obstacles}


def letters(ids: tuple[str, ...]) -> str:
    return "".join(each[0] for each in ids)


# The quorum


@pytest.mark.parametrize(("primaries", "needed"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (6, 4)])
def test_the_quorum_is_a_majority_of_all_voters(primaries: int, needed: int) -> None:
    electorate = World.of(primaries, 1).snapshot().electorate
    assert (electorate.needed, len(electorate.side), electorate.quorum) == (needed, primaries, Known.YES)


def test_a_dead_voter_still_counts() -> None:
    world = World.of(3, 1)
    world.kill("a")
    electorate = world.snapshot().electorate
    assert (len(electorate.voters), electorate.needed) == (3, 2)
    assert (letters(electorate.side), electorate.quorum) == ("bc", Known.YES)


@pytest.mark.parametrize("agreed", [True, False])
@pytest.mark.parametrize(("primaries", "dead"), [(3, "ab"), (2, "a"), (1, "a"), (3, "abc"), (4, "ab")])
def test_the_quorum_is_lost(primaries: int, dead: str, agreed: bool) -> None:
    """Also with no voter left at all: the replicas that answer list none of them as well."""
    world = World.of(primaries, 1)
    for letter in dead:
        world.kill(letter, agreed)
    assert world.snapshot().electorate.quorum is Known.NO


def test_without_any_view_the_quorum_is_unknown() -> None:
    world = World.of(3, 1)
    for member in world:
        member.silence = SilenceReason.CONNECT_TIMEOUT
    assert world.snapshot().electorate.quorum is Known.UNKNOWN


def test_voters_that_only_we_cannot_reach_may_stand_together() -> None:
    """We reach a cut-off voter, and a replica on the other side, which lists the other two without a flag."""
    world = World.of(3, 1)
    world["b"].silence = world["c"].silence = SilenceReason.CONNECT_TIMEOUT
    world["a"].sees = {node_id(each): world[each].line(flags=("fail?",)) for each in "bc"}
    electorate = world.snapshot().electorate
    assert (letters(electorate.reachable), electorate.quorum) == ("a", Known.UNKNOWN)


def test_silent_voters_that_are_trusted_may_be_a_majority_and_may_be_not() -> None:
    """Nobody has flagged them yet, as in the first second after their death: it is not known."""
    world = World.of(3, 1)
    world["b"].silence = world["c"].silence = SilenceReason.CONNECT_TIMEOUT
    electorate = world.snapshot().electorate
    assert (letters(electorate.side), electorate.quorum) == ("abc", Known.UNKNOWN)


def test_voters_that_all_answer_and_do_not_agree_are_no_majority() -> None:
    """Each trusts another one that does not trust it."""
    world = World.of(3, 1)
    for letter, distrusted in (("a", "b"), ("b", "c"), ("c", "a")):
        world[letter].sees = {node_id(distrusted): world[distrusted].line(flags=("fail?",))}
    assert world.snapshot().electorate.quorum is Known.NO


def test_a_side_needs_the_trust_of_both_ends() -> None:
    """c trusts everybody, and nobody trusts c: it is on the side of none."""
    world = World.of(3, 1)
    for letter in "ab":
        world[letter].sees = {node_id("c"): world["c"].line(flags=("fail?",))}
    snapshot = world.snapshot()
    assert letters(snapshot.electorate.side) == "ab"
    assert letters(side_of(node_id("c"), snapshot.electorate.voters, snapshot.by_observer)) == "c"


def test_a_voter_that_is_loading_has_no_side() -> None:
    world = World.of(3, 1)
    world["a"].absences = {Ask.CLUSTER_NODES: Absence(AbsenceKind.LOADING)}
    snapshot = world.snapshot()
    assert side_of(node_id("a"), snapshot.electorate.voters, snapshot.by_observer) == ()
    assert snapshot.electorate.quorum is Known.YES


# Who could be promoted


@pytest.mark.parametrize("primaries", [3, 5])
@pytest.mark.parametrize("agreed", [True, False])
def test_a_replica_in_sync_can_take_the_place_of_a_dead_primary(primaries: int, agreed: bool) -> None:
    world = World.of(primaries, 1)
    world.kill("a", agreed)
    found = only(world)
    assert (found.obstacles, found.eligible, found.offset) == ((), Known.YES, 5000)


def test_offset_0_is_no_obstacle_where_nobody_has_written() -> None:
    """A fresh cluster of Redis 8.2 shows offset 0 on replicas in sync, and they are promoted."""
    world = World.of(3, 1)
    world["a1"].info |= {"slave_repl_offset": "0", "master_repl_offset": "0"}
    world.kill("a")
    assert only(world).eligible is Known.YES


@pytest.mark.parametrize(
    ("info", "config", "obstacle"),
    [
        ({"master_link_down_since_seconds": "175"}, {}, None),
        ({"master_link_down_since_seconds": "176"}, {}, Obstacle.DATA_TOO_OLD),
        ({"master_link_down_since_seconds": "99999"}, {"cluster-replica-validity-factor": "0"}, None),
        ({"master_link_down_since_seconds": "-1"}, {}, Obstacle.NOT_SYNCED_SINCE_START),
        ({"master_link_down_since_seconds": "-1", **EMPTY}, {}, Obstacle.NEVER_SYNCED),
        ({"master_link_down_since_seconds": None}, {}, Obstacle.AGE_UNKNOWN),
        ({"master_link_status": None}, {}, Obstacle.AGE_UNKNOWN),
        ({"loading": "1"}, {}, Obstacle.LOADING),
        ({}, {"cluster-replica-no-failover": "yes"}, Obstacle.NOFAILOVER),
        # A frozen primary: the link is still up, and the age is that of the last byte.
        ({"master_link_status": "up", "master_last_io_seconds_ago": "170"}, {}, None),
        ({"master_link_status": "up", "master_last_io_seconds_ago": "180"}, {}, Obstacle.DATA_TOO_OLD),
        # Without CONFIG GET only an age within any window is good enough.
        ({"master_link_down_since_seconds": "10"}, {"cluster-node-timeout": None}, None),
        ({"master_link_down_since_seconds": "11"}, {"cluster-node-timeout": None}, Obstacle.AGE_UNKNOWN),
    ],
)
def test_what_stands_in_a_replicas_way(
    info: dict[str, str | None], config: dict[str, str | None], obstacle: Obstacle | None
) -> None:
    world = World.of(3, 1)
    world.kill("a")
    world["a1"].info |= info
    world["a1"].config |= config
    assert kinds(only(world)) == ({obstacle} if obstacle else set())


def test_a_validity_factor_of_0_lets_an_empty_replica_stand() -> None:
    """All servers do that: the shard's data is then gone. So the candidate says that it is empty."""
    world = World.of(3, 1)
    world.kill("a")
    world["a1"].info |= {"master_link_down_since_seconds": "-1", "slave_repl_offset": "0", **EMPTY}
    world["a1"].config |= {"cluster-replica-validity-factor": "0"}
    found = only(world)
    assert (found.eligible, found.empty) == (Known.YES, True)


@pytest.mark.parametrize(
    ("config", "window_s"),
    [
        (Configured(), 175.0),
        (Configured(node_timeout_ms=1000, validity_factor=1, ping_replica_period_s=2), 4.0),
        (Configured(validity_factor=0), None),
    ],
)
def test_the_validity_window(config: Configured, window_s: float | None) -> None:
    assert validity_window_s(config) == window_s


def test_silent_and_dead_replicas_are_told_apart() -> None:
    world = World.of(3, 2)
    world.kill("a")
    world.kill("a1")
    world["a2"].silence = SilenceReason.CONNECT_TIMEOUT
    found = {each.node_id[:2]: each for each in judged(world)}
    assert (kinds(found["a1"]), found["a1"].eligible) == ({Obstacle.DEAD}, Known.NO)
    assert (kinds(found["a2"]), found["a2"].eligible) == ({Obstacle.SILENT}, Known.UNKNOWN)


def test_a_replica_of_a_replica_never_stands() -> None:
    world = World.of(3, 2)
    world["a2"].primary = node_id("a1")
    world.kill("a")
    found = {each.node_id[:2]: kinds(each) for each in judged(world)}
    assert found == {"a1": set(), "a2": {Obstacle.REPLICA_OF_REPLICA}}


def test_its_own_word_on_nofailover_counts_more_than_an_old_flag() -> None:
    world = World.of(3, 1)
    world["a1"].flags = ("nofailover",)
    assert only(world).eligible is Known.YES, "CONFIG GET says no"
    world["a1"].config |= {"cluster-replica-no-failover": None}
    assert kinds(only(world)) == {Obstacle.NOFAILOVER}


def test_the_replica_with_most_data_comes_first() -> None:
    world = World.of(3, 3)
    world.kill("a")
    for letter, offset in (("a1", "10"), ("a2", "30"), ("a3", None)):
        world[letter].info |= {"slave_repl_offset": offset}
    assert [each.node_id[:2] for each in judged(world)] == ["a2", "a1", "a3"]


# The votes that it could get


def test_a_replica_cut_off_from_the_voters_gets_no_majority() -> None:
    """The primary is dead; its replica and one of the two voters left are cut off from each other, not from us."""
    world = World.of(3, 1)
    world.kill("a")
    world["a1"].sees = {node_id("b"): world["b"].line(flags=("fail?",))}
    assert kinds(only(world)) == {Obstacle.CUT_OFF}
    assert "reaches 1 of the 2 voters" in only(world).obstacles[0][1]


def test_a_replica_that_the_voters_suspect_is_cut_off_too() -> None:
    world = World.of(3, 1)
    world.kill("a")
    world["c"].sees = {node_id("a1"): world["a1"].line(flags=("fail?",))}
    assert kinds(only(world)) == {Obstacle.CUT_OFF}


@pytest.mark.parametrize("as_primary", [True, False])
def test_voters_must_list_it_as_a_replica(as_primary: bool) -> None:
    world = World.of(3, 1)
    world.kill("a")
    line = world["a1"].line(primary=None) if as_primary else None
    world["c"].sees = {node_id("a1"): line}
    assert kinds(only(world)) == {Obstacle.NOT_LISTED}


def test_an_old_epoch_is_refused() -> None:
    """b and c know that somebody else owns some of its slots, with a greater epoch."""
    world = World.of(3, 1)
    world.kill("a")
    b_took = world["b"].line(slots=((5000, 10921),), epoch=9)
    world["c"].sees = {node_id("b"): b_took}
    world["b"].epoch, world["b"].slots = 9, ((5000, 10921),)
    world["a1"].sees = {node_id("b"): world["b"].line(slots=((5461, 10921),), epoch=2)}
    found = only(world)
    assert kinds(found) == {Obstacle.STALE_EPOCH}
    assert found.obstacles[0][1] == "it knows epoch 1 for its slots, and 2 voters know 9"


def test_without_a_look_at_the_voters_only_the_replica_itself_is_judged() -> None:
    world = World.of(3, 1)
    world.kill("a")
    world["c"].sees = {node_id("a1"): None}
    snapshot: Snapshot = world.snapshot()
    (found,) = candidates_by_themselves(snapshot, snapshot.shards[0])
    assert found.eligible is Known.YES
