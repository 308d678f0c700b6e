"""How far an automatic failover has come, on constructed clusters."""

from __future__ import annotations

import pytest

from rcfail.cluster.dialect import election_delay_ms, vote_again_after_ms
from rcfail.cluster.failover_stage import FailoverStage, Stage, awaited, failover_stage, unanswered_ms
from rcfail.cluster.observation import SilenceReason
from rcfail.cluster.snapshot import Shard
from rcfail.cluster.vitals import Flavour, Server
from tests.unit.world import NOW_UNIX_MS, World, node_id

A, A1 = node_id("a"), node_id("a1")


def world_with_dead_primary(silent_for_ms: int, agreed: bool = True, replicas: int = 1) -> World:
    world = World.of(3, replicas)
    world.kill("a", agreed)
    world["a"].ping_sent = NOW_UNIX_MS - silent_for_ms
    for member in world:
        member.config["cluster-node-timeout"] = "2000"
    return world


def stage_of(world: World) -> FailoverStage:
    snapshot = world.snapshot()
    return failover_stage(snapshot, next(shard for shard in snapshot.shards if shard.primary_id == A))


def shard_before(world: World) -> Shard:
    return world.snapshot().shards[0]


def test_a_healthy_shard_is_steady() -> None:
    assert stage_of(World.of(3, 1)).stage is Stage.STEADY


@pytest.mark.parametrize("who", ["b", "bc", "a1"])
def test_suspicion_is_counted_in_voters(who: str) -> None:
    world = World.of(3, 1)
    world["a"].silence = SilenceReason.FROZEN
    observers = [who] if who == "a1" else list(who)
    for letter in observers:
        world[letter].sees = {A: world["a"].line(flags=("fail?",))}
    found = stage_of(world)
    voters = () if who == "a1" else tuple(node_id(letter) for letter in who)
    assert (found.stage, found.suspecting, found.needed, found.candidate) == (Stage.SUSPECTED, voters, 2, A1)


def test_agreed_until_the_replica_knows() -> None:
    world = world_with_dead_primary(2100)
    world["a1"].sees = {A: world["a"].line(flags=("fail?",))}
    found = stage_of(world)
    assert (found.stage, found.candidate, found.due_in_ms) == (Stage.AGREED, A1, None)


@pytest.mark.parametrize(
    ("silent_for_ms", "due_in_ms"),
    # Node timeout 2 s. The verdict may be as young as this look for half a node timeout: then the whole second is left.
    [(2000, 1000), (2900, 1000), (3500, 500), (4000, 0), (6000, 0)],
)
def test_the_election_is_due_within_its_delay(silent_for_ms: int, due_in_ms: int) -> None:
    found = stage_of(world_with_dead_primary(silent_for_ms))
    assert (found.stage, found.due_in_ms) == (Stage.ELECTION_DUE, due_in_ms)
    assert found.agreed_for_ms == silent_for_ms - 2000


def test_a_vote_that_must_have_failed() -> None:
    """2 s of node timeout, 1 s of delay, 1 s of gossip and 2 s of spread after the last answer, it was not elected."""
    found = stage_of(world_with_dead_primary(6001))
    assert (found.stage, found.agreed_for_ms) == (Stage.VOTE_FAILED, 4001)
    assert found.due_in_ms == 4 * 2000 + 1000 - 1
    assert stage_of(world_with_dead_primary(6000 + 9000)).due_in_ms == 9000


def test_the_slowest_voter_of_the_majority_tells_the_time() -> None:
    """c began to wait 1.5 s after b, and both were needed."""
    world = world_with_dead_primary(4000)
    world["c"].sees = {A: world["a"].line(ping_sent=NOW_UNIX_MS - 2500)}
    assert stage_of(world).agreed_for_ms == 500


def test_an_observers_times_are_on_its_own_clock() -> None:
    world = world_with_dead_primary(4000)
    world["b"].info["server_time_usec"] = str((NOW_UNIX_MS + 3_600_000) * 1000)
    view = world.snapshot().by_observer[node_id("b")]
    assert unanswered_ms(view, A) == 3_604_000
    assert unanswered_ms(view, node_id("c")) is None


def test_a_replica_with_less_data_waits_for_its_sibling() -> None:
    world = world_with_dead_primary(2000, replicas=2)
    world["a1"].info["slave_repl_offset"] = "6000"
    world["a1"].sees = {A: world["a"].line(flags=("fail?",))}
    found = stage_of(world)
    assert (found.stage, found.candidate, found.due_in_ms) == (Stage.ELECTION_DUE, node_id("a2"), 2000)


def test_a_primary_that_answers_pings_again_is_not_late() -> None:
    """Restarted within the failover: the flag stays for 2 node timeouts, and nobody waits for an answer any more."""
    world = world_with_dead_primary(9000)
    world["a"].silence, world["a"].ping_sent = None, 0
    found = stage_of(world)
    assert (found.stage, found.agreed_for_ms, found.due_in_ms) == (Stage.ELECTION_DUE, None, 1000)


def promoted(world: World) -> None:
    world["a1"].primary, world["a1"].slots, world["a1"].epoch = None, ((0, 5460),), 9
    world["a"].slots = ()


def test_promoted_and_rejoined() -> None:
    """The shard is the one of an earlier look."""
    world = world_with_dead_primary(5000)
    shard = shard_before(world)
    promoted(world)
    found = failover_stage(world.snapshot(), shard)
    assert (found.stage, found.promoted, found.epoch) == (Stage.PROMOTED, A1, 9)
    world["a"].silence, world["a"].flags, world["a"].primary = None, (), A1
    world["a"].info["master_link_status"] = "down"
    assert failover_stage(world.snapshot(), shard).stage is Stage.PROMOTED
    world["a"].info["master_link_status"] = "up"
    assert failover_stage(world.snapshot(), shard).stage is Stage.REJOINED


@pytest.mark.parametrize(
    ("flagged_by", "silent", "expected"),
    [("", False, False), ("b", False, False), ("bc", False, True), ("b", True, True), ("", True, False)],
)
def test_a_failover_is_awaited_only_when_the_slots_are_out(flagged_by: str, silent: bool, expected: bool) -> None:
    world = World.of(3, 1)
    world["a"].silence = SilenceReason.REFUSED if silent else None
    world["a1"].info["master_link_status"] = "down"
    for letter in flagged_by:
        world[letter].sees = {A: world["a"].line(flags=("fail?",))}
    snapshot = world.snapshot()
    assert awaited(snapshot, snapshot.shards[0]) is expected


def test_a_primary_that_lives_for_the_majority_is_not_awaited_because_one_replica_suspects_it() -> None:
    world = World.of(3, 1)
    world["a"].silence = SilenceReason.CONNECT_TIMEOUT
    world["b1"].sees = {A: world["a"].line(flags=("fail?",))}
    snapshot = world.snapshot()
    assert not awaited(snapshot, snapshot.shards[0])


@pytest.mark.parametrize(
    ("flavour", "version", "timeout_ms", "rank", "failed", "delay_ms"),
    [
        (Flavour.REDIS, (6, 2, 14), 15000, 0, 1, 1000),
        (Flavour.REDIS, (8, 2, 3), 15000, 2, 3, 3000),
        (Flavour.VALKEY, (8, 0, 1), 1000, 0, 2, 1000),
        (Flavour.VALKEY, (8, 1, 8), 1000, 1, 2, 2500),
        (Flavour.VALKEY, (9, 1, 2), 15000, 0, 1, 1000),
        (Flavour.VALKEY, (9, 1, 2), 3000, 0, 1, 200),
        (Flavour.UNKNOWN, (), 3000, 0, 1, 1000),
    ],
)
def test_the_longest_wait_before_an_election(
    flavour: Flavour, version: tuple[int, ...], timeout_ms: int, rank: int, failed: int, delay_ms: int
) -> None:
    assert election_delay_ms(Server(flavour, version), timeout_ms, rank, failed) == delay_ms


@pytest.mark.parametrize(("timeout_ms", "again_ms"), [(15000, 60000), (1000, 4000), (500, 4000)])
def test_the_wait_after_a_lost_election(timeout_ms: int, again_ms: int) -> None:
    assert vote_again_after_ms(timeout_ms) == again_ms
