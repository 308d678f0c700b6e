"""The rules on slots and writes, on constructed clusters of three shards with one replica each."""

from __future__ import annotations

import pytest

from rcfail.cluster.observation import SilenceReason
from rcfail.health.diagnose import Rule
from rcfail.health.finding import Finding, Severity, SubjectKind, Thresholds
from rcfail.health.restart import comes_back_empty
from rcfail.health.rules.open_slots import slot_migration_active, slots_open, slots_open_orphan
from rcfail.health.rules.slots import (
    RULES,
    slots_disputed,
    slots_failed,
    slots_not_claimed,
    slots_suspected,
    slots_uncovered,
)
from rcfail.health.rules.state import cluster_state_fail
from rcfail.health.rules.writes import writes_paused, writes_refused
from tests.unit.world import World, node_id

OVER_LIMIT = {"used_memory": "1100000", "maxmemory": "1000000"}


def findings(world: World, *rules: Rule) -> list[Finding]:
    snapshot = world.snapshot()
    return [finding for rule in rules or RULES for finding in rule(snapshot, Thresholds())]


def the_one(world: World, rule: Rule) -> Finding:
    found = findings(world, rule)
    assert len(found) == 1, found
    return found[0]


@pytest.mark.parametrize("world", [World.of(3, 1), World.of(3, 0), World.of(1, 1), World.of(5, 2)])
def test_a_healthy_cluster_has_no_finding(world: World) -> None:
    assert findings(world) == []


def test_nothing_is_said_of_slots_when_nobody_gave_a_view() -> None:
    world = World.of(3, 1)
    for member in world:
        member.silence = SilenceReason.REFUSED
    assert findings(world) == []


# cluster_state


def test_state_fail_of_all_nodes_is_one_finding_with_the_reason() -> None:
    world = World.of(3, 1)
    world.kill("a")
    found = the_one(world, cluster_state_fail)
    assert found.severity is Severity.CRITICAL
    assert found.subject.kind is SubjectKind.CLUSTER
    assert "5 of 5 nodes say cluster_state:fail" in found.evidence
    assert "2 of them with slots" in found.evidence
    assert found.evidence.endswith("; reason: failed owners of 5461 slots (5 nodes)")


def test_state_fail_of_one_replica_is_a_warning() -> None:
    world = World.of(3, 1)
    world["a1"].cluster_info = {"cluster_state": "fail"}
    found = the_one(world, cluster_state_fail)
    assert found.severity is Severity.WARNING
    assert "1 of 6 nodes" in found.evidence
    assert "127.50.2.1:8000" in found.hint


def test_state_fail_of_one_slot_owner_is_critical() -> None:
    world = World.of(3, 1)
    world["b"].cluster_info = {"cluster_state": "fail"}
    found = the_one(world, cluster_state_fail)
    assert found.severity is Severity.CRITICAL
    assert "shows a reason" in found.evidence
    assert "findings on slots" not in found.hint, "there are none"
    assert "wait for ok: rcfail health" in found.hint


def test_state_fail_of_everybody_who_answers_is_critical_also_without_a_slot_owner() -> None:
    world = World.of(3, 1)
    for letter in "abc":
        world.kill(letter, agreed=False)
    found = the_one(world, cluster_state_fail)
    assert found.severity is Severity.CRITICAL
    assert "only 0 of 3 voters in reach" in found.evidence


def test_a_minority_gives_its_own_reason() -> None:
    world = World.of(3, 1)
    cut_off(world, "a")
    world["a"].cluster_info = {"cluster_state": "fail", "cluster_slots_fail": "0", "cluster_slots_assigned": "16384"}
    found = the_one(world, cluster_state_fail)
    assert found.severity is Severity.CRITICAL
    assert "reason: only 1 of 3 voters in reach (1 node)" in found.evidence


def test_holes_are_no_reason_where_full_coverage_is_not_required() -> None:
    world = World.of(3, 1)
    world.kill("a")
    for member in world:
        member.config["cluster-require-full-coverage"] = "no"
    assert "failed owners" not in the_one(world, cluster_state_fail).evidence


# Owners


def test_slots_without_an_owner() -> None:
    world = World.of(3, 1)
    world["a"].slots = ((0, 99), (200, 5460))
    found = the_one(world, slots_uncovered)
    assert (found.severity, found.subject.id) == (Severity.CRITICAL, "100-199")
    assert "no owner in any of 6 views: 100 slots (100-199)" in found.evidence
    assert the_one(world, cluster_state_fail).evidence.endswith("; reason: no owner for 100 slots (6 nodes)")


def forget(world: World, observer: str, letter: str) -> None:
    world[observer].sees[node_id(letter)] = None


def test_an_owner_whom_the_other_owners_have_forgotten() -> None:
    world = World.of(3, 1)
    for observer in ("b", "c", "b1", "c1"):
        forget(world, observer, "a")
    found = the_one(world, slots_uncovered)
    assert (found.severity, found.subject.id) == (Severity.CRITICAL, "0-5460")
    assert "no owner in the view of 2 of 3 slot owners (127.50.2.1:7000" in found.evidence
    assert "5461 slots (0-5460); claimed by 127.50.1.1:7000" in found.evidence


def test_an_owner_whom_one_of_five_has_forgotten_is_a_warning() -> None:
    world = World.of(5, 0)
    forget(world, "b", "a")
    assert the_one(world, slots_uncovered).severity is Severity.WARNING
    forget(world, "c", "a")  # half of the other owners send nobody to it
    assert the_one(world, slots_uncovered).severity is Severity.CRITICAL


@pytest.mark.parametrize(
    ("full_coverage", "said"),
    [("yes", "and all other keys with them"), ("no", "all other keys are served"), (None, "and unless")],
)
def test_what_else_fails_depends_on_full_coverage(full_coverage: str | None, said: str) -> None:
    world = World.of(3, 1)
    world["a"].slots = ((0, 99), (200, 5460))
    for member in world:
        member.config["cluster-require-full-coverage"] = full_coverage
    assert said in the_one(world, slots_uncovered).consequence


def test_an_owner_whom_only_a_replica_has_forgotten_is_not_about_slots() -> None:
    world = World.of(3, 1)
    forget(world, "b1", "a")
    assert findings(world, slots_uncovered) == []


def test_slots_of_a_failed_node() -> None:
    world = World.of(3, 1)
    world.kill("b")
    found = the_one(world, slots_failed)
    assert (found.severity, found.subject.id) == (Severity.CRITICAL, node_id("b"))
    assert found.subject.kind is SubjectKind.SHARD
    assert "which is fail in 5 of 5 other views" in found.evidence
    assert "rcfail recover bbbbbbbb --dry-run -s" in found.hint
    assert findings(world, slots_suspected) == []


KEYS = {"# Keyspace\r\ndb0": "keys=5,expires=0"}
NO_KEYS = {"# Keyspace\r\n#": ""}


@pytest.mark.parametrize(
    ("save", "aof", "keyspace", "danger"),
    [("", "0", KEYS, True), ("3600 1", "0", KEYS, False), ("", "1", KEYS, False), ("", "0", NO_KEYS, False)],
)
def test_nobody_is_told_to_start_a_primary_that_comes_back_empty(
    save: str, aof: str, keyspace: dict[str, str], danger: bool
) -> None:
    world = World.of(3, 1)
    world.kill("b")
    world["b1"].config["save"] = save
    world["b1"].info |= {"aof_enabled": aof, "db0": None} | keyspace
    found = the_one(world, slots_failed)
    assert found.hint.startswith("Do not start 127.50.2.1:7000 (bbbbbbbb) again yet") == danger
    assert ("start the process of" in found.hint) != danger


def test_a_replica_that_is_silent_brings_nothing_back() -> None:
    world = World.of(3, 2)
    world.kill("b1")
    world["b2"].config["save"] = ""
    snapshot = world.snapshot()
    assert comes_back_empty(snapshot, snapshot.nodes[node_id("b1")]) == ()
    assert comes_back_empty(snapshot, snapshot.nodes[node_id("b")]) == ()  # it lives


def test_a_failed_owner_that_answers_again_is_still_critical_until_the_majority_drops_the_flag() -> None:
    world = World.of(3, 1)
    world.kill("b").silence = None
    found = the_one(world, slots_failed)
    assert found.severity is Severity.CRITICAL
    assert "it answers us all the same" in found.evidence
    assert "30 s (two node timeouts)" in found.hint


def test_a_fail_flag_that_only_one_replica_still_shows_is_a_warning() -> None:
    world = World.of(3, 1)
    world["c1"].sees[node_id("a")] = world["a"].line(flags=("fail",))
    suspect(world, "a", "b1")
    found = the_one(world, slots_failed)
    assert found.severity is Severity.WARNING
    assert "1 of 5 other views" in found.evidence
    assert findings(world, slots_suspected) == []


def test_slots_of_a_node_that_was_replaced_are_no_finding() -> None:
    world = World.of(3, 1)
    world.kill("a")
    world["a1"].slots, world["a1"].primary, world["a1"].epoch = world["a"].slots, None, 9
    world["a"].slots = ()
    assert findings(world) == []


def suspect(world: World, letter: str, *observers: str) -> None:
    for observer in observers:
        world[observer].sees[node_id(letter)] = world[letter].line(flags=("fail?",))


def test_an_owner_that_the_majority_suspects_is_critical() -> None:
    world = World.of(3, 1)
    suspect(world, "a", "b", "c")
    found = the_one(world, slots_suspected)
    assert (found.severity, found.subject.id) == (Severity.CRITICAL, node_id("a"))
    assert "fail? in 2 of 5 other views: 2 of the 2 slot owners that it takes to agree" in found.evidence
    assert "soon it is declared failed" in found.consequence


def test_an_owner_that_few_suspect_is_a_warning() -> None:
    world = World.of(3, 1)
    suspect(world, "a", "b", "c1")
    found = the_one(world, slots_suspected)
    assert found.severity is Severity.WARNING
    assert found.consequence.startswith("If a majority comes to suspect it")


def test_with_two_voters_the_suspicion_of_all_others_is_critical_although_it_can_never_be_agreed() -> None:
    world = World.of(2, 0)
    world.kill("a", agreed=False)
    found = the_one(world, slots_suspected)
    assert found.severity is Severity.CRITICAL
    assert "without a quorum nobody replaces it" in found.consequence


def cut_off(world: World, letter: str) -> None:
    """The member is alone: it suspects all others, and they hold it for failed."""
    for other in world:
        if other is not world[letter]:
            suspect(world, letter, *(each.node_id for each in [other]))
            other.sees[node_id(letter)] = world[letter].line(flags=("fail",))
            world[letter].sees[other.node_id] = other.line(flags=("fail?",))


def test_what_a_node_suspects_that_is_itself_cut_off_is_not_told_of_the_others() -> None:
    world = World.of(3, 1)
    cut_off(world, "a")
    assert findings(world, slots_suspected) == []
    assert the_one(world, slots_failed).subject.id == node_id("a")


def test_a_replica_that_suspects_all_owners_tells_of_itself() -> None:
    world = World.of(3, 1)
    for letter in "abc":
        suspect(world, letter, "a1")
    assert findings(world, slots_suspected) == []
    suspect(world, "a", "b1")
    assert "1 of 5 other views" in the_one(world, slots_suspected).evidence


def split_brain(world: World) -> None:
    """a is cut off, and a1 was promoted in its place."""
    old = world["a"].line(epoch=1)
    promoted = world["a1"]
    promoted.primary, promoted.slots, promoted.epoch = None, world["a"].slots, 7
    for other in world:
        other.sees[node_id("a")] = world["a"].line(slots=(), flags=("fail",))
    world["a"].sees = {node_id("a"): old.replace(" master", " myself,master")}
    world["a"].sees[node_id("a1")] = promoted.line(primary=node_id("a"), slots=(), epoch=1, flags=("fail?",))


def test_slots_that_two_nodes_claim_themselves() -> None:
    world = World.of(3, 1)
    split_brain(world)
    found = the_one(world, slots_disputed)
    assert (found.severity, found.subject.id) == (Severity.CRITICAL, "0-5460")
    assert "127.50.2.1:8000 (a1000000) with epoch 7 (4 other views agree, cluster_state:" in found.evidence
    assert "127.50.1.1:7000 (aaaaaaaa) with epoch 1 (0 other views agree, cluster_state:" in found.evidence
    assert "127.50.2.1:8000 (a1000000) wins" in found.consequence
    assert "127.50.1.1:7000" in found.hint


def test_a_dispute_says_whether_the_loser_takes_writes() -> None:
    world = World.of(3, 1)
    split_brain(world)
    world["a"].cluster_info = {"cluster_state": "fail"}
    assert "Clients can write to both" not in the_one(world, slots_disputed).consequence
    world["a"].cluster_info = {"cluster_state": "ok"}
    assert "Clients can write to both" in the_one(world, slots_disputed).consequence


def test_a_demoted_primary_that_others_still_list_with_its_slots_disputes_nothing() -> None:
    world = World.of(3, 1)
    before = world["a"].line()
    world["a1"].primary, world["a1"].slots, world["a1"].epoch = None, world["a"].slots, 7
    world["a"].primary, world["a"].slots = node_id("a1"), ()
    world["c"].sees = {node_id("a"): before, node_id("a1"): world["a1"].line(slots=(), primary=node_id("a"))}
    assert findings(world) == []


def test_slots_that_their_owner_does_not_claim() -> None:
    world = World.of(3, 1)
    line = world["a"].line(slots=((0, 99), (101, 5460)))
    world["a"].sees[node_id("a")] = line.replace(" master", " myself,master")
    found = the_one(world, slots_not_claimed)
    assert (found.severity, found.subject.id) == (Severity.CRITICAL, node_id("a"))
    assert "5 of 5 other views give 1 slot (100) to 127.50.1.1:7000" in found.evidence
    assert "cluster_state:ok" in found.evidence
    assert [each.code for each in findings(world)] == ["slots-not-claimed"]


def test_slots_that_not_even_all_others_give_to_that_owner_are_one_range() -> None:
    world = World.of(3, 1)
    world["a"].sees[node_id("a")] = world["a"].line(slots=((100, 5460),)).replace(" master", " myself,master")
    world["b"].sees[node_id("a")] = world["a"].line(slots=((0, 49), (100, 5460)))
    assert "100 slots (0-99)" in the_one(world, slots_not_claimed).evidence


def test_a_silent_owner_is_not_said_to_claim_nothing() -> None:
    world = World.of(3, 1)
    world["a"].silence = SilenceReason.CONNECT_TIMEOUT
    assert findings(world) == []


# Open slots


def test_a_slot_that_is_moving() -> None:
    world = World.of(3, 1)
    world["a"].open_slots = (f"[77->-{node_id('b')}]", f"[78->-{node_id('b')}]")
    world["b"].open_slots = (f"[77-<-{node_id('a')}]", f"[78-<-{node_id('a')}]")
    found = the_one(world, slots_open)
    assert (found.severity, found.subject.id) == (Severity.WARNING, node_id("a"))
    assert "half moved from 127.50.1.1:7000 (aaaaaaaa) to 127.50.2.1:7000 (bbbbbbbb): 2 slots (77-78)" in found.evidence
    assert [each.code for each in findings(world)] == ["slots-open"]


@pytest.mark.parametrize(
    ("letter", "mark", "way"), [("a", "[77->-{b}]", "migrating to"), ("b", "[77-<-{a}]", "importing from")]
)
def test_a_mark_on_one_end_only_is_an_orphan(letter: str, mark: str, way: str) -> None:
    world = World.of(3, 1)
    world[letter].open_slots = (mark.format(a=node_id("a"), b=node_id("b")),)
    found = the_one(world, slots_open_orphan)
    assert (found.severity, found.subject.id) == (Severity.WARNING, node_id(letter))
    assert f"marks 1 slot (77) as {way}" in found.evidence
    assert "has no such mark" in found.evidence
    assert f"rcfail recover {world[letter].endpoint} --dry-run -s" in found.hint
    assert [each.code for each in findings(world)] == ["slots-open-orphan"]


def test_a_mark_for_a_stranger_is_an_orphan() -> None:
    world = World.of(3, 1)
    world["a"].open_slots = (f"[77->-{node_id('9')}]",)
    assert "node 99999999, which no view lists" in the_one(world, slots_open_orphan).evidence


def test_a_mark_for_a_dead_node_is_an_orphan() -> None:
    world = World.of(3, 1)
    world.kill("b")
    world["a"].open_slots = (f"[77->-{node_id('b')}]",)
    assert "is dead" in the_one(world, slots_open_orphan).evidence
    assert findings(world, slots_open) == []


def test_a_mark_whose_other_end_is_silent_to_us_is_open_and_the_doubt_is_said() -> None:
    world = World.of(3, 1)
    world["a"].open_slots = (f"[77->-{node_id('b')}]",)
    world["b"].silence = SilenceReason.CONNECT_TIMEOUT
    assert "127.50.2.1:7000 (bbbbbbbb) cannot be asked" in the_one(world, slots_open).evidence
    assert findings(world, slots_open_orphan) == []


def test_marks_that_replicas_repeat_do_not_count() -> None:
    world = World.of(3, 1)
    world["a1"].open_slots = (f"[77->-{node_id('b')}]",)
    assert findings(world) == []


def job(state: str, operation: str = "EXPORT") -> dict[str, str]:
    ends = {"source_node": node_id("a"), "target_node": node_id("b")}
    return {"name": "f" * 40, "operation": operation, "slot_ranges": "0-99", "state": state, **ends}


def test_of_both_ends_of_a_migration_the_source_is_heard() -> None:
    world = World.of(3, 1)
    ends = {"source_node": node_id("b"), "target_node": node_id("a")}
    world["a"].migrations = ({**job("receiving-snapshot", "IMPORT"), **ends},)
    world["b"].migrations = ({**job("snapshotting"), **ends},)
    assert "state snapshotting" in the_one(world, slot_migration_active).evidence


def test_an_atomic_migration_is_told_once_and_as_an_info() -> None:
    world = World.of(3, 1)
    world["a"].migrations = (job("snapshotting"), {**job("success"), "name": "e" * 40})
    world["b"].migrations = (job("receiving-snapshot", "IMPORT"),)
    world["b1"].migrations = ({**job("occurring-on-primary", "IMPORT"), "source_node": "", "target_node": ""},)
    found = the_one(world, slot_migration_active)
    assert (found.severity, found.subject.id) == (Severity.INFO, node_id("a"))
    assert "the slots 0-99 are on their way" in found.evidence
    assert "state snapshotting" in found.evidence


@pytest.mark.parametrize("state", ["success", "failed", "cancelled"])
def test_an_atomic_migration_that_is_over_is_no_finding(state: str) -> None:
    world = World.of(3, 1)
    world["a"].migrations = (job(state),)
    world["b"].migrations = ()
    assert findings(world) == []


# Writes


def test_out_of_memory() -> None:
    world = World.of(3, 1)
    world["a"].info |= OVER_LIMIT
    found = the_one(world, writes_refused)
    assert (found.severity, found.subject.id) == (Severity.CRITICAL, node_id("a"))
    assert "OOM (uses 1100000 bytes of maxmemory 1000000, policy noeviction)" in found.evidence
    assert found.hint.endswith("redis-cli -h 127.50.1.1 -p 7000 INFO memory")


@pytest.mark.parametrize(
    "more",
    [
        {"used_memory": "1000000"},
        {"mem_not_counted_for_evict": "100000"},
        {"maxmemory_policy": "allkeys-lru"},
        {"maxmemory_policy": "volatile-ttl", "db0": "keys=10,expires=1,avg_ttl=0"},
        {"maxmemory": "0"},
    ],
)
def test_memory_that_is_not_over_the_limit_or_can_be_evicted(more: dict[str, str]) -> None:
    world = World.of(3, 1)
    world["a"].info |= OVER_LIMIT | {"# Keyspace\r\ndb0": "keys=10,expires=1,avg_ttl=0"} | more
    assert findings(world) == []


@pytest.mark.parametrize(
    ("policy", "keyspace"), [("volatile-lru", "keys=10,expires=0,avg_ttl=0"), ("allkeys-lru", "keys=0,expires=0")]
)
def test_over_the_limit_with_nothing_that_the_policy_may_evict(policy: str, keyspace: str) -> None:
    world = World.of(3, 1)
    world["a"].info |= OVER_LIMIT | {"maxmemory_policy": policy, "db0": None, "# Keyspace\r\ndb0": keyspace}
    assert "no key that it may evict" in the_one(world, writes_refused).evidence


def test_a_replica_refuses_no_writes_of_clients() -> None:
    world = World.of(3, 1)
    world["a1"].info |= OVER_LIMIT | {"rdb_last_bgsave_status": "err", "aof_last_write_status": "err"}
    world["a1"].info |= {"min_slaves_good_slaves": "0"}
    assert findings(world) == []


def bad_save(**config: str | None) -> World:
    world = World.of(3, 1)
    world["a"].info["rdb_last_bgsave_status"] = "err"
    world["a"].config = {"save": "3600 1", **config}
    return world


def test_a_failed_background_save_stops_writes() -> None:
    found = the_one(bad_save(), writes_refused)
    assert found.severity is Severity.CRITICAL
    assert "MISCONF (rdb_last_bgsave_status:err" in found.evidence


@pytest.mark.parametrize("config", [{"save": ""}, {"stop-writes-on-bgsave-error": "no"}])
def test_a_failed_background_save_that_stops_nothing(config: dict[str, str]) -> None:
    assert findings(bad_save(**config)) == []


@pytest.mark.parametrize(
    "missing", [("save",), ("stop-writes-on-bgsave-error",), ("save", "stop-writes-on-bgsave-error")]
)
def test_a_failed_background_save_is_unknown_where_config_cannot_be_read(missing: tuple[str, ...]) -> None:
    world = bad_save()
    world["a"].config |= dict.fromkeys(missing)
    found = the_one(world, writes_refused)
    assert found.severity is Severity.UNKNOWN
    assert "CONFIG GET is missing" in found.evidence


@pytest.mark.parametrize(("enabled", "codes"), [("1", ["writes-refused"]), ("0", [])])
def test_a_broken_append_only_file_counts_where_there_is_one(enabled: str, codes: list[str]) -> None:
    world = World.of(3, 1)
    world["a"].info |= {"aof_enabled": enabled, "aof_last_write_status": "err"}
    assert [found.code for found in findings(world)] == codes


@pytest.mark.parametrize(
    ("good", "needed", "said"),
    [
        ("0", "1", "NOREPLICAS (0 good replicas, min-replicas-to-write is 1)"),
        ("1", "2", "NOREPLICAS (1 good replica, min-replicas-to-write is 2)"),
        ("0", None, "min-replicas-to-write is at least 1"),
    ],
)
def test_too_few_good_replicas(good: str, needed: str | None, said: str) -> None:
    world = World.of(3, 1)
    world["a"].info["min_slaves_good_slaves"] = good
    world["a"].config["min-replicas-to-write"] = needed
    found = the_one(world, writes_refused)
    assert found.severity is Severity.CRITICAL
    assert said in found.evidence


def test_enough_good_replicas() -> None:
    world = World.of(3, 1)
    world["a"].info["min_slaves_good_slaves"] = "1"
    world["a"].config["min-replicas-to-write"] = "1"
    assert findings(world) == []


def test_several_reasons_are_one_finding() -> None:
    world = bad_save()
    world["a"].info |= OVER_LIMIT
    evidence = the_one(world, writes_refused).evidence
    assert "OOM" in evidence
    assert "MISCONF" in evidence


def paused(reason: str) -> World:
    world = World.of(3, 1)
    world.version = "8.1.8"
    fields = {"paused_reason": reason, "paused_actions": "write", "paused_timeout_milliseconds": "59000"}
    world["a"].info |= fields
    world["a1"].info |= fields
    return world


def test_a_pause_of_a_slot_owner() -> None:
    found = the_one(paused("client_pause"), writes_paused)
    assert (found.severity, found.subject.id) == (Severity.WARNING, node_id("a"))
    assert "holds back write commands (paused_reason:client_pause, for 59 s more)" in found.evidence
    assert found.hint.endswith("CLIENT UNPAUSE")


def test_a_failover_ends_its_own_pause() -> None:
    assert "UNPAUSE" not in the_one(paused("failover_in_progress"), writes_paused).hint


@pytest.mark.parametrize("reason", ["none", "client_pause"])
def test_no_pause(reason: str) -> None:
    world = World.of(3, 1)
    world["a"].info |= {"paused_reason": reason, "paused_actions": "none", "paused_timeout_milliseconds": "0"}
    assert findings(world) == []


def test_a_mark_that_only_a_replica_kept_is_told_where_replicas_hear_of_marks() -> None:
    world = World.of(3, 1)
    world["a1"].open_slots = (f"[77->-{node_id('b')}]",)
    assert findings(world, slots_open_orphan) == []
    for member in world:
        member.info |= {"server_name": "valkey", "valkey_version": "8.0.1"}
    found = the_one(world, slots_open_orphan)
    assert (found.severity, found.subject.id) == (Severity.WARNING, node_id("a1"))
    assert "rcfail recover 127.50.2.1:8000 --dry-run" in found.hint
    world["a"].open_slots = world["a1"].open_slots
    world["b"].open_slots = (f"[77-<-{node_id('a')}]",)
    assert findings(world, slots_open_orphan) == []
