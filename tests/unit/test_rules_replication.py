"""The rules on replication, on constructed clusters."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rcfail.cluster.observation import Absence, AbsenceKind, Ask, SilenceReason
from rcfail.health.finding import Finding, Promise, Severity, Thresholds
from rcfail.health.rules.replication import RULES
from tests.unit.world import World, node_id

DEFAULTS = Thresholds()
A, A1, A2 = node_id("a"), node_id("a1"), node_id("a2")
DOWN: dict[str, str | None] = {
    "master_link_status": "down",
    "master_last_io_seconds_ago": "-1",
    "master_link_down_since_seconds": "5",
}
NEVER = DOWN | {"master_link_down_since_seconds": "-1", "db0": None, "slave_repl_offset": "0"}


def findings(world: World, thresholds: Thresholds = DEFAULTS) -> list[Finding]:
    snapshot = world.snapshot()
    return [finding for rule in RULES for finding in rule(snapshot, thresholds)]


def codes(world: World, thresholds: Thresholds = DEFAULTS) -> list[str]:
    return sorted(finding.code for finding in findings(world, thresholds))


def the(world: World, code: str, thresholds: Thresholds = DEFAULTS) -> Finding:
    (found,) = [finding for finding in findings(world, thresholds) if finding.code == code]
    return found


@pytest.mark.parametrize(("primaries", "replicas"), [(3, 1), (5, 2), (1, 1)])
def test_a_healthy_cluster_has_no_finding(primaries: int, replicas: int) -> None:
    assert findings(World.of(primaries, replicas)) == []


@pytest.mark.parametrize("offset", ["0", "14"])
def test_a_cluster_without_writes_has_no_finding(offset: str) -> None:
    world = World.of(3, 1)
    for member in world:
        member.info |= {"master_repl_offset": offset, "slave_repl_offset": offset}
    assert findings(world) == []


# replica-missing


def test_what_the_existing_replicas_lack_is_said() -> None:
    world = World.of(3, 4)
    world.kill("a1")
    world["a2"].info |= DOWN
    world["a3"].info |= NEVER
    world["a4"].primary = A2
    found = the(world, "replica-missing")
    assert (found.severity, found.subject.id) == (Severity.WARNING, A)
    assert found.evidence == (
        "primary 127.50.1.1:7000 (aaaaaaaa) has 0 healthy replicas of 1 wanted; 127.50.2.1:8000 (a1000000) is down; "
        "127.50.3.1:9000 (a2000000) has no link to its primary; 127.50.1.1:10000 (a3000000) holds no data; "
        "127.50.2.1:11000 (a4000000) follows another replica"
    )
    assert found.impairs is None


def test_one_healthy_replica_is_enough_unless_more_are_wanted() -> None:
    world = World.of(3, 2)
    world.kill("a1")
    assert codes(world) == []
    found = the(world, "replica-missing", Thresholds(min_replicas=2))
    assert "1 healthy replica of 2 wanted" in found.evidence
    assert found.impairs == (Promise.REDUNDANT,)


def test_none_wanted_is_none_missing() -> None:
    assert codes(World.of(3, 0), Thresholds(min_replicas=0)) == []


@pytest.mark.parametrize("how", ["silence", "no info"])
def test_a_replica_that_we_cannot_judge_may_be_well(how: str) -> None:
    world = World.of(3, 1)
    if how == "silence":
        world["a1"].silence = SilenceReason.CONNECT_TIMEOUT
    else:
        world["a1"].absences = {Ask.INFO: Absence(AbsenceKind.NOT_PERMITTED)}
    assert codes(world) == []


def test_a_link_to_a_silent_primary_says_nothing_of_the_replica() -> None:
    world = World.of(3, 1)
    world["a"].silence = SilenceReason.REFUSED
    world["a1"].info |= DOWN
    assert codes(world) == []


def test_a_shard_that_is_out_has_other_worries() -> None:
    world = World.of(3, 1)
    world.kill("a")
    world.kill("a1")
    assert codes(world) == []


def test_a_spare_primary_without_slots_needs_no_replica() -> None:
    world = World.of(3, 1)
    world["c"].slots, world["b"].slots = (), ((5461, 16383),)
    world["c"].info["master_replid"] = "e" * 40
    assert codes(world) == []


# Links and copies


def test_a_link_that_is_down() -> None:
    world = World.of(3, 1)
    world["a1"].info |= DOWN
    found = the(world, "replica-link-down")
    assert (found.severity, found.subject.id) == (Severity.WARNING, A1)
    assert "has no link to its primary 127.50.1.1:7000 (aaaaaaaa) for 5 s" in found.evidence
    assert "For 3 min more it can still be promoted" in found.consequence
    assert codes(world) == ["replica-link-down", "replica-missing"]


@pytest.mark.parametrize(
    ("sibling", "broken"),
    [
        ({}, (Promise.REDUNDANT,)),
        ({"cluster-replica-no-failover": "yes"}, (Promise.REDUNDANT, Promise.FAILOVER_READY)),
    ],
)
def test_a_sibling_that_can_be_promoted_keeps_the_shard_ready(
    sibling: dict[str, str | None], broken: tuple[Promise, ...]
) -> None:
    world = World.of(3, 2)
    world["a1"].info |= DOWN
    world["a2"].config |= sibling
    assert the(world, "replica-link-down").impairs == broken


def test_a_primary_that_shows_the_replica_online_does_not_make_a_dead_link_a_copy() -> None:
    """Half open: the primary has not noticed yet."""
    world = World.of(3, 1)
    world["a1"].info |= DOWN
    assert world.snapshot().nodes[A].vitals is not None
    assert "replica-syncing" not in codes(world)


@pytest.mark.parametrize("state", ["wait_bgsave", "send_bulk", "send_bulk_and_stream", "bg_transfer"])
def test_a_copy_that_only_the_primary_shows(state: str) -> None:
    world = World.of(3, 1)
    world["a1"].info |= NEVER
    world["a"].info["slave0"] = f"ip=127.50.2.1,port=8000,state={state},offset=0,lag=0"
    assert codes(world) == ["replica-missing", "replica-syncing"]
    assert f"shows it as {state}" in the(world, "replica-syncing").evidence


def test_a_copy_that_the_replica_shows() -> None:
    world = World.of(3, 1)
    world["a1"].info |= DOWN | {"master_sync_in_progress": "1"}
    found = the(world, "replica-syncing")
    assert "is taking a full copy from" in found.evidence
    assert "it falls behind" in found.consequence


def test_another_replicas_copy_is_not_this_ones() -> None:
    world = World.of(3, 1)
    world["a1"].info |= NEVER
    world["a"].info["slave0"] = "ip=127.50.9.9,port=8000,state=wait_bgsave,offset=0,lag=0"
    assert codes(world) == ["replica-missing", "replica-never-synced"]


def test_a_replica_that_loads_its_files_is_told_elsewhere() -> None:
    world = World.of(3, 1)
    world["a1"].info |= NEVER | {"loading": "1"}
    assert codes(world) == ["replica-missing"]


def test_a_restarted_replica_with_keys_holds_data() -> None:
    world = World.of(3, 1)
    world["a1"].info |= DOWN | {"master_link_down_since_seconds": "-1"}
    found = the(world, "replica-link-down")
    assert "since its process started" in found.evidence
    assert "will not be promoted by itself, for the age of its data is unknown" in found.consequence


@pytest.mark.parametrize("reason", [SilenceReason.REFUSED, SilenceReason.CONNECT_TIMEOUT])
def test_nobody_at_the_other_end(reason: SilenceReason) -> None:
    world = World.of(3, 1)
    world["a"].silence = reason
    world["a1"].info |= DOWN
    assert "replica-link-down" not in codes(world)


def test_a_replica_left_behind_by_a_dead_primary_without_slots() -> None:
    """Its shard was taken over by a sibling, and it has not followed."""
    world = World.of(3, 2)
    world.kill("a")
    world["a1"].primary, world["a1"].slots, world["a1"].epoch = None, world["a"].slots, 9
    world["a"].slots = ()
    assert the(world, "replica-link-down").subject.id == A2


def test_a_replica_that_knows_no_primary() -> None:
    world = World.of(3, 1)
    own = world["a1"].line(myself=True).replace(A, "-")
    world["a1"].sees = {A1: own, A: None}
    assert "knows no primary" in the(world, "replica-link-down").evidence


# replica-lagging


@pytest.mark.parametrize(
    ("behind", "thresholds", "lagging"),
    [
        (524_288, Thresholds(), False),
        (524_289, Thresholds(), True),
        (101, Thresholds(max_lag_bytes=100), True),
        (1, Thresholds(max_lag_bytes=0), True),
        (600_000, Thresholds(max_lag_bytes=1_000_000), False),
        (-5000, Thresholds(max_lag_bytes=0), False),
    ],
)
def test_bytes_behind(behind: int, thresholds: Thresholds, lagging: bool) -> None:
    world = World.of(3, 1)
    world["a1"].info["slave_repl_offset"] = "1000000"
    world["a"].info["master_repl_offset"] = str(1_000_000 + behind)
    world["a"].info["slave0"] = "ip=127.50.2.1,port=8000,state=online,offset=1000000,lag=0"
    assert codes(world, thresholds) == ["replica-lagging"] * lagging


def test_two_moments_of_a_busy_primary_are_no_lag() -> None:
    """The primary was read after the replica; by its own figures of one moment the replica is close."""
    world = World.of(3, 1)
    world["a"].info["master_repl_offset"] = "9000000"
    world["a"].info["slave0"] = "ip=127.50.2.1,port=8000,state=online,offset=8999000,lag=0"
    assert codes(world) == []


def test_another_stream_is_not_compared() -> None:
    world = World.of(3, 1)
    world["a1"].info["master_replid"] = "e" * 40
    world["a"].info["master_repl_offset"] = "9000000"
    assert "replica-lagging" not in codes(world)


@pytest.mark.parametrize(
    ("quiet_s", "period_s", "max_lag_s", "lagging"),
    [(12, "10", 10, False), (22, "10", 10, False), (23, "10", 10, True), (12, "10", 0, False), (5, "1", 1, True)],
)
def test_an_idle_primary_is_quiet_for_its_ping_period(
    quiet_s: int, period_s: str, max_lag_s: int, lagging: bool
) -> None:
    world = World.of(3, 1)
    world["a1"].info["master_last_io_seconds_ago"] = str(quiet_s)
    world["a1"].config["repl-ping-replica-period"] = period_s
    assert codes(world, Thresholds(max_lag_s=max_lag_s)) == ["replica-lagging"] * lagging


@pytest.mark.parametrize(("lag_s", "lagging"), [(10, False), (11, True)])
def test_acknowledgements_come_once_a_second(lag_s: int, lagging: bool) -> None:
    world = World.of(3, 1)
    world["a"].info["slave0"] = f"ip=127.50.2.1,port=8000,state=online,offset=5000,lag={lag_s}"
    assert codes(world) == ["replica-lagging"] * lagging


# Barred, misplaced


def test_a_barred_replica_beside_another() -> None:
    world = World.of(3, 2)
    world["a1"].config["cluster-replica-no-failover"] = "yes"
    found = the(world, "replica-nofailover")
    assert (found.severity, found.subject.id, codes(world)) == (Severity.WARNING, A1, ["replica-nofailover"])


def test_the_only_replica_barred_is_failover_disabled_alone() -> None:
    world = World.of(3, 1)
    world["a1"].config["cluster-replica-no-failover"] = "yes"
    assert codes(world) == []


def test_a_ring_of_replicas() -> None:
    world = World.of(3, 2)
    world["a1"].primary, world["a2"].primary = A2, A1
    found = [each for each in findings(world) if each.code == "replica-of-replica"]
    assert [each.subject.id for each in found] == [A1, A2]
    assert all("rcfail recover 127.50" in each.hint for each in found)


def test_a_chain_names_the_top() -> None:
    world = World.of(3, 2)
    world["a2"].primary = A1
    assert "rcfail recover 127.50" in the(world, "replica-of-replica").hint


# Histories


def stray(world: World, **info: str) -> None:
    """a1 is a primary of its own, without slots."""
    world["a1"].primary, world["a1"].slots = None, ()
    world["a1"].info |= info


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        ({"master_replid": "1" * 40, "master_replid2": A}, {}),  # left its primary's stream
        ({"master_replid": "1" * 40}, {"master_replid2": "1" * 40}),  # the other left its stream
        ({"master_replid": "1" * 40, "master_replid2": "2" * 40}, {"master_replid2": "2" * 40}),  # both did
    ],
)
def test_a_former_member_is_known_by_its_history(mine: dict[str, str], theirs: dict[str, str]) -> None:
    world = World.of(3, 2)
    stray(world, **mine)
    world["a"].info |= theirs
    found = the(world, "primary-empty")
    assert (found.severity, found.subject.id) == (Severity.WARNING, A1)
    assert "a primary with no slots and 10 keys, and its data has the history of 127.50.1.1:7000" in found.evidence
    assert "rcfail explain primary-empty" in found.hint, "with keys the server refuses to let it follow"


def test_a_spare_has_no_history_with_anybody() -> None:
    world = World.of(3, 2)
    stray(world, master_replid="1" * 40, master_replid2="0" * 40)
    assert codes(world) == []


def two_primaries(world: World) -> None:
    """a was cut off, a1 was promoted by the others, and both go on."""
    a, a1 = world["a"], world["a1"]
    a1.primary, a1.slots, a1.epoch = None, a.slots, 9
    a1.info |= {"master_replid": "1" * 40, "master_replid2": A, "second_repl_offset": "4001"}
    a.info["master_repl_offset"] = "5000"
    for observer in world:
        observer.sees = {A: replace(a, slots=(), flags=("fail",)).line()}
    a.sees = {member.node_id: member.line(flags=("fail?",)) for member in world if member is not a}
    a.sees[A1] = a1.line(primary=A, slots=(), epoch=1, flags=("fail?",))


def test_two_primaries_in_one_shard() -> None:
    world = World.of(3, 1)
    two_primaries(world)
    found = the(world, "primaries-two-in-shard")
    assert (found.severity, found.subject.id) == (Severity.CRITICAL, A)
    assert (
        "(epoch 1) and 127.50.2.1:8000 (a1000000) (epoch 9) are both primaries of 5461 slots (0-5460)" in found.evidence
    )
    assert "the 1000 bytes that it wrote since are thrown away" in found.consequence


def test_without_info_the_old_primarys_own_view_tells() -> None:
    """It still lists the other one as its replica."""
    world = World.of(3, 1)
    two_primaries(world)
    world["a"].absences = {Ask.INFO: Absence(AbsenceKind.NOT_PERMITTED)}
    assert "what it wrote since is thrown away" in the(world, "primaries-two-in-shard").consequence


def test_a_quarrel_between_strangers_is_no_shard() -> None:
    world = World.of(3, 1)
    world["b"].slots = ((0, 10921),)
    assert "primaries-two-in-shard" not in codes(world)


def test_a_detached_replica_with_slots_of_its_own_is_a_shard_of_its_own() -> None:
    """Valkey 9 has REPLICATE NO ONE for that, the others RESET: the history stays, and nothing is wrong."""
    world = World.of(3, 2)
    stray(world, master_replid="1" * 40, master_replid2=A)
    world["a"].slots, world["a1"].slots, world["a1"].epoch = ((0, 2000),), ((2001, 5460),), 9
    assert codes(world) == ["replica-missing"]


# backlog-too-small


@pytest.mark.parametrize(
    ("info", "found"),
    [
        ({"master_repl_offset": "500000000"}, True),  # 100 kB/s: 10.5 s of backlog, node timeout 15 s
        ({"master_repl_offset": "300000000"}, False),
        ({"master_repl_offset": "500000000", "second_repl_offset": "499000000"}, False),  # as a replica, not its own
        ({"master_repl_offset": "500000000", "repl_backlog_size": "10485760"}, False),
        ({"master_repl_offset": "500000000", "uptime_in_seconds": None}, False),
    ],
)
def test_a_backlog_for_less_than_a_node_timeout(info: dict[str, str | None], found: bool) -> None:
    world = World.of(3, 1)
    world["a"].info |= info
    world["a"].info["slave0"] = (
        "ip=127.50.2.1,port=8000,state=online,offset=" + str(info["master_repl_offset"]) + ",lag=0"
    )
    all_of = [each for each in findings(world) if each.code == "backlog-too-small"]
    assert [each.severity for each in all_of] == [Severity.INFO] * found
