"""Slots and writes: real clusters, broken each in the way that a finding is named for."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from rcfail.practice.lab.network import can_filter
from rcfail.practice.lab.tables import Side
from rcfail.wire.refusals import Refusal
from tests.real.conftest import LabMaker
from tests.real.servers import RunningLab, all_servers
from tests.real.verdicts import health_of

every_server = pytest.mark.every_server
needs_firewall = pytest.mark.skipif(not can_filter(), reason="cutting a network takes nftables and root")

# One key in a slot of each of three shards; found by trying names.
KEY_OF_SLOT_100 = "48063"
KEYS = (("n1", KEY_OF_SLOT_100), ("n2", "c"), ("n3", "a"))
OK, WARNING, CRITICAL = 0, 1, 2


def valkey(least: tuple[int, int]) -> str:
    """The path of a Valkey of that version or newer; the oldest that will do."""
    for each in all_servers():
        flavour, _, version = each.label.partition("-")
        if flavour == "valkey" and tuple(map(int, version.split(".")))[:2] >= least:
            return each.path
    pytest.skip(f"there is no Valkey {least[0]}.{least[1]} or newer here")


def say(lab: RunningLab, node: str, *command: str | int) -> str:
    """A client's command, and the first word of what it got."""
    reply = lab.ask(node, *command)
    return reply.text.split(" ")[0] if isinstance(reply, Refusal) else str(reply)


@every_server
def test_a_fresh_cluster_is_ok(lab: LabMaker) -> None:
    health = health_of(lab())
    assert (health.exit_code, health.codes) == (OK, {})
    assert (health.serving, health.redundant, health.failover_ready) == ("yes", "yes", "yes")


@every_server
def test_slots_without_an_owner(lab: LabMaker) -> None:
    one = lab()
    for node in one.nodes:
        one.say(node, "CLUSTER", "DELSLOTS", 100, 102)
    one.wait(lambda: all(one.vitals(node).cluster.state == "fail" for node in one.nodes), "all nodes to say fail")
    health = health_of(one)
    assert health.codes == {"slots-uncovered": "critical", "cluster-state-fail": "critical"}
    assert (health.exit_code, health.serving) == (CRITICAL, "no")
    assert health.the("slots-uncovered").id == "100,102"
    assert "reason: no owner for 2 slots (6 nodes)" in health.the("cluster-state-fail").evidence
    one.say("n1", "CLUSTER", "ADDSLOTS", 100, 102)
    assert health_of(one, "--wait", "20s").exit_code == OK


def test_slots_without_an_owner_are_critical_also_when_all_nodes_say_ok(lab: LabMaker) -> None:
    one = lab(conf=("cluster-require-full-coverage no",))
    for node in one.nodes:
        one.say(node, "CLUSTER", "DELSLOTS", 100)
    one.wait(lambda: all(one.vitals(node).cluster.slots_assigned == 16383 for node in one.nodes), "the gap to be seen")
    assert {one.vitals(node).cluster.state for node in one.nodes} == {"ok"}
    assert say(one, "n1", "SET", KEY_OF_SLOT_100, "1") == "CLUSTERDOWN"
    health = health_of(one)
    assert (health.exit_code, health.codes) == (CRITICAL, {"slots-uncovered": "critical"})


def test_slots_whose_owner_the_others_have_forgotten(lab: LabMaker) -> None:
    one = lab()
    one.forget("n1", on="n2")
    one.wait(lambda: not one.lists("n3", "n1") and one.vitals("n3").cluster.state == "fail", "n3 to forget n1 too")
    health = health_of(one)
    found = health.the("slots-uncovered")
    assert (health.exit_code, found.severity, found.id) == (CRITICAL, "critical", "0-5460")
    assert "no owner in the view of 2 of 3 slot owners" in found.evidence
    assert "node-unknown-to-some" in health.codes


@every_server
def test_slots_of_a_failed_shard(lab: LabMaker) -> None:
    one = lab()
    one.kill("n4", "n1")
    living = ("n2", "n3", "n5", "n6")
    one.wait(lambda: all(one.vitals(node).cluster.state == "fail" for node in living), "all to say fail")
    one.wait(
        lambda: all(one.belief(node, dead).failed for node in living for dead in ("n1", "n4")), "both to be failed"
    )
    health = health_of(one)
    found = health.the("slots-failed")
    assert (health.exit_code, found.severity, found.kind, found.id) == (
        CRITICAL,
        "critical",
        "shard",
        one.node("n1").node_id,
    )
    assert "5461 slots (0-5460)" in found.evidence
    assert "fail in 4 of 4 other views" in found.evidence
    assert "4 of 4 nodes say cluster_state:fail" in health.the("cluster-state-fail").evidence
    assert "slots-suspected" not in health.codes


@every_server
def test_slots_of_a_node_that_too_few_can_declare_failed(lab: LabMaker) -> None:
    one = lab(primaries=2, replicas=0)
    one.kill("n1")
    one.wait(lambda: one.belief("n2", "n1").suspected and one.vitals("n2").cluster.state == "fail", "n2 to suspect n1")
    health = health_of(one, "--min-replicas", "0")
    found = health.the("slots-suspected")
    assert (health.exit_code, found.severity, found.id) == (CRITICAL, "critical", one.node("n1").node_id)
    assert "1 of the 2 slot owners that it takes to agree" in found.evidence
    assert health.the("quorum-lost").severity == "critical"
    assert "only 1 of 2 voters in reach" in health.the("cluster-state-fail").evidence


@every_server
@needs_firewall
def test_slots_that_both_sides_of_a_cut_claim(lab: LabMaker) -> None:
    one = lab(hosts=6)
    one.cut_bus("n1")
    one.wait(lambda: one.belief("n4", "n4").slots == ((0, 5460),), "n4 to be promoted")
    one.wait(lambda: one.vitals("n1").cluster.state == "fail", "n1 to stop")
    one.wait(lambda: all(one.belief(node, "n4").slots for node in ("n2", "n3", "n5", "n6")), "all to know n4")
    assert one.belief("n1", "n1").slots == ((0, 5460),)
    health = health_of(one)
    found = health.the("slots-disputed")
    assert (health.exit_code, found.severity, found.id) == (CRITICAL, "critical", "0-5460")
    assert str(one.node("n1").endpoint) in found.evidence
    assert str(one.node("n4").endpoint) in found.evidence
    assert f"{one.node('n4').endpoint} ({one.node('n4').node_id[:8]}) wins" in found.consequence
    # What n1 suspects in its own corner is not told of the others.
    assert "slots-suspected" not in health.codes
    one.mend("n1")
    assert health_of(one, "--wait", "30s").exit_code == OK
    assert one.belief("n1", "n1").primary_id == one.node("n4").node_id


@every_server
def test_slots_that_their_owner_gave_up_alone(lab: LabMaker) -> None:
    one = lab()
    one.say("n1", "CLUSTER", "DELSLOTS", 100)
    one.wait(lambda: one.vitals("n1").cluster.slots_assigned == 16383, "n1 to give the slot up")
    health = health_of(one)
    found = health.the("slots-not-claimed")
    assert (health.exit_code, found.severity, found.id) == (CRITICAL, "critical", one.node("n1").node_id)
    assert "give 1 slot (100) to" in found.evidence
    one.say("n1", "CLUSTER", "ADDSLOTS", 100)
    assert health_of(one, "--wait", "20s").exit_code == OK


@every_server
def test_slots_of_an_owner_that_was_reset(lab: LabMaker) -> None:
    one = lab()
    one.say("n1", "CLUSTER", "RESET", "SOFT")
    one.wait(lambda: not one.belief("n1", "n1").slots, "n1 to drop its slots")
    health = health_of(one)
    found = health.the("slots-not-claimed")
    assert (health.exit_code, found.severity) == (CRITICAL, "critical")
    assert "5461 slots (0-5460)" in found.evidence
    one.say("n1", "CLUSTER", "ADDSLOTS", *range(5461))
    one.say("n2", "CLUSTER", "MEET", one.node("n1").host, one.node("n1").port)
    assert health_of(one, "--wait", "20s").exit_code == OK


@every_server
def test_a_slot_that_is_half_moved(lab: LabMaker) -> None:
    one = lab()
    one.open_slot(100, to="n2")
    health = health_of(one)
    assert (health.exit_code, health.codes) == (WARNING, {"slots-open": "warning"})
    found = health.the("slots-open")
    assert found.id == one.node("n1").node_id
    assert found.evidence.endswith(": 1 slot (100)")


@every_server
@pytest.mark.parametrize(("side", "marked"), [(Side.MIGRATING, "n1"), (Side.IMPORTING, "n2")])
def test_a_slot_that_is_open_on_one_end_only(lab: LabMaker, side: Side, marked: str) -> None:
    one = lab()
    one.open_slot(100, to="n2", side=side)
    health = health_of(one)
    assert (health.exit_code, health.codes) == (WARNING, {"slots-open-orphan": "warning"})
    assert health.the("slots-open-orphan").id == one.node(marked).node_id
    one.say(marked, "CLUSTER", "SETSLOT", 100, "STABLE")
    assert health_of(one).exit_code == OK


def test_an_atomic_migration_is_told_and_harmless(lab: LabMaker) -> None:
    one = lab(server=valkey((9, 0)))
    assert say(one, "n1", "SET", KEY_OF_SLOT_100, "1") == "OK"
    # Half a minute for the one key of the snapshot.
    one.say("n1", "CONFIG", "SET", "rdb-key-save-delay", 30_000_000)
    one.say("n1", "CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", 100, 199, "NODE", one.node("n2").node_id)
    health = health_of(one)
    assert (health.exit_code, health.codes) == (OK, {})
    found = health.the("slot-migration-active")
    assert (found.severity, found.id) == ("info", one.node("n1").node_id)
    assert "100-199" in found.evidence
    one.say("n1", "CLUSTER", "CANCELSLOTMIGRATIONS")
    assert not health_of(one).all_of("slot-migration-active")


REFUSED_AND_ODD = {"writes-refused": "critical", "config-drift": "warning"}
"""What makes one node refuse is a setting that the others do not have."""


@every_server
def test_primaries_that_refuse_writes_while_all_nodes_say_ok(lab: LabMaker) -> None:
    one = lab()
    before = [say(one, node, "SET", key, "1") for node, key in KEYS]
    assert before == ["OK", "OK", "OK"]
    one.say("n1", "CONFIG", "SET", "maxmemory", 1_000_000)
    one.say("n2", "CONFIG", "SET", "save", "3600 1")
    (Path(one.node("n2").folder) / "dump.rdb").unlink(missing_ok=True)
    (Path(one.node("n2").folder) / "dump.rdb").mkdir()  # the new file cannot be renamed onto it
    one.say("n2", "BGSAVE")
    one.wait(lambda: one.vitals("n2").storage.last_bgsave_ok is False, "the background save to fail")
    one.say("n3", "CONFIG", "SET", "min-replicas-to-write", 2)
    assert say(one, "n1", "SET", KEY_OF_SLOT_100, "2") == "OOM"
    assert say(one, "n2", "SET", "c", "2") == "MISCONF"
    assert say(one, "n3", "SET", "a", "2") == "NOREPLICAS"
    assert {one.vitals(node).cluster.state for node in one.nodes} == {"ok"}
    health = health_of(one)
    said = {each.id: each.evidence for each in health.all_of("writes-refused")}
    assert (health.exit_code, health.codes, health.serving) == (CRITICAL, REFUSED_AND_ODD, "no")
    assert "OOM (uses" in said[one.node("n1").node_id]
    assert "MISCONF (rdb_last_bgsave_status:err" in said[one.node("n2").node_id]
    assert "NOREPLICAS (1 good replica, min-replicas-to-write is 2)" in said[one.node("n3").node_id]


@every_server
def test_what_only_looks_like_refused_writes(lab: LabMaker) -> None:
    one = lab()
    one.say("n1", "CONFIG", "SET", "maxmemory", 1_000_000)
    one.say("n1", "CONFIG", "SET", "maxmemory-policy", "volatile-lru")
    assert say(one, "n1", "SET", KEY_OF_SLOT_100, "1") == "OOM"  # nothing volatile to evict
    assert health_of(one).codes == REFUSED_AND_ODD
    one.say("n1", "CONFIG", "SET", "maxmemory", 1_000_000_000)
    one.say("n2", "CONFIG", "SET", "save", "3600 1")
    (Path(one.node("n2").folder) / "dump.rdb").unlink(missing_ok=True)
    (Path(one.node("n2").folder) / "dump.rdb").mkdir()
    one.say("n2", "BGSAVE")
    one.wait(lambda: one.vitals("n2").storage.last_bgsave_ok is False, "the background save to fail")
    one.say("n2", "CONFIG", "SET", "save", "")
    one.say("n3", "CONFIG", "SET", "min-replicas-to-write", 2)
    one.say("n3", "CONFIG", "SET", "min-replicas-max-lag", 0)
    written = [say(one, node, "SET", key, "1") for node, key in KEYS]
    assert written == ["OK", "OK", "OK"]
    assert health_of(one).codes == {"config-drift": "warning"}


@every_server
def test_a_full_disk_under_the_append_only_file(lab: LabMaker) -> None:
    one = lab(primaries=3, replicas=0, node_timeout_ms=5000)
    one.kill("n1")
    folder = Path(one.node("n1").folder)
    for place in (folder / "appendonly.aof", folder / "appendonlydir" / "appendonly.aof.1.incr.aof"):
        place.parent.mkdir(exist_ok=True)
        place.symlink_to("/dev/full")
    with (folder / "redis.conf").open("a") as conf:
        conf.write("appendonly yes\n")
    one.restart("n1", wait_s=10)
    say(one, "n1", "SET", KEY_OF_SLOT_100, "1")
    one.wait(lambda: say(one, "n1", "SET", KEY_OF_SLOT_100, "2") == "MISCONF", "writes to be refused")
    health = health_of(one, "--min-replicas", "0")
    assert (health.exit_code, health.codes) == (CRITICAL, REFUSED_AND_ODD)
    assert "MISCONF (aof_last_write_status:err)" in health.the("writes-refused").evidence


def test_writes_that_are_held_back(lab: LabMaker) -> None:
    one = lab(server=valkey((8, 1)))
    one.say("n1", "CLIENT", "PAUSE", 60_000, "WRITE")
    health = health_of(one)
    assert (health.exit_code, health.codes) == (WARNING, {"writes-paused": "warning"})
    assert "paused_reason:client_pause" in health.the("writes-paused").evidence
    command = shlex.split(health.the("writes-paused").hint.rpartition(": ")[2])
    one.say("n1", *command[command.index("CLIENT") :])
    assert health_of(one).exit_code == OK


@every_server
@needs_firewall
def test_a_lone_replica_that_says_fail_is_a_warning(lab: LabMaker) -> None:
    one = lab()
    one.cut_bus("n4")
    one.wait(lambda: one.vitals("n4").cluster.state == "fail", "n4 to stop")
    health = health_of(one)
    found = health.the("cluster-state-fail")
    assert (health.exit_code, found.severity, health.serving) == (WARNING, "warning", "yes")
    assert f"1 of 6 nodes says cluster_state:fail ({one.node('n4').endpoint}" in found.evidence
    assert "slots-suspected" not in health.codes
