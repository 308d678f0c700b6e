"""Replicas of real clusters: missing, cut off, empty, copying, behind, barred, misplaced; and primaries gone astray."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rcfail.health.catalogue import BY_CODE
from rcfail.health.rules.replication import RULES
from rcfail.practice.lab import network
from rcfail.practice.lab.conf import CONF_FILE
from rcfail.practice.lab.network import can_filter
from rcfail.practice.lab.register import NodeEntry
from tests.real.conftest import LabMaker
from tests.real.hints import run_hint
from tests.real.servers import RunningLab
from tests.real.verdicts import health_of

every_server = pytest.mark.every_server
needs_nft = pytest.mark.skipif(not can_filter(), reason="cutting a network takes nftables and root")
OK, WARNING, CRITICAL = 0, 1, 2


def warnings(*codes: str) -> dict[str, str]:
    return dict.fromkeys(codes, "warning")


def await_link(lab: RunningLab, replica: NodeEntry, *, up: bool) -> None:
    lab.wait(lambda: lab.vitals(replica).replication.link_up is up, f"the link of {replica.name}")


# A shard with too few replicas


@every_server
def test_a_fresh_cluster_lacks_nothing(lab: LabMaker) -> None:
    """Nobody has written: offsets are 0 or 14, and that is no lag and no missing sync."""
    health = health_of(lab())
    assert (health.exit_code, health.codes, health.redundant) == (OK, {}, "yes")


@every_server
def test_a_dead_replica_is_missing(lab: LabMaker) -> None:
    one = lab()
    replica = one.replica_of("n1")
    one.kill(replica)
    one.wait(lambda: all(one.belief(each, replica).failed for each in ("n1", "n2", "n3")), "it to be failed")
    health = health_of(one)
    found = health.the("replica-missing")
    assert (health.exit_code, health.codes) == (WARNING, warnings("replica-missing", "node-failed"))
    assert (health.redundant, health.failover_ready, health.serving) == ("no", "no", "yes")
    assert found.id == one.node("n1").node_id
    assert f"0 healthy replicas of 1 wanted; {replica.endpoint}" in found.evidence
    assert f"Start {replica.endpoint}" in found.hint
    assert "replica-missing" not in health_of(one, "--min-replicas", "0").codes


@every_server
def test_more_replicas_can_be_wanted_than_there_are(lab: LabMaker) -> None:
    one = lab()
    health = health_of(one, "--min-replicas", "2")
    assert health.codes == warnings("replica-missing")
    assert len(health.all_of("replica-missing")) == 3
    assert (health.redundant, health.failover_ready) == ("no", "yes")


@every_server
def test_primaries_without_replicas(lab: LabMaker) -> None:
    one = lab(replicas=0)
    health = health_of(one)
    assert (health.exit_code, health.codes) == (WARNING, warnings("replica-missing"))
    assert all("has no replica, 1 wanted" in each.evidence for each in health.all_of("replica-missing"))
    assert health_of(one, "--min-replicas", "0").exit_code == OK


# Links and copies


@every_server
def test_a_replica_that_its_primary_refuses(lab: LabMaker) -> None:
    one = lab()
    replica = one.replica_of("n1")
    one.break_replication(replica)
    health = health_of(one)
    found = health.the("replica-link-down")
    assert (health.exit_code, health.codes) == (WARNING, warnings("replica-link-down", "replica-missing"))
    assert found.id == replica.node_id
    assert f"replica {replica.endpoint}" in found.evidence
    assert "can still be promoted" in found.consequence
    assert f"rcfail recover {replica.endpoint} --dry-run" in found.hint
    one.mend_replication(replica)
    one.wait(lambda: health_of(one).exit_code == OK, "health to be OK")


@every_server
def test_a_replica_of_a_dead_primary_is_not_accused(lab: LabMaker) -> None:
    one = lab()
    one.say(one.replica_of("n1"), "CONFIG", "SET", "cluster-replica-no-failover", "yes")
    one.kill("n1")
    one.wait(lambda: one.belief("n2", "n1").flagged, "n1 to be suspected")
    health = health_of(one)
    assert "failover-blocked" in health.codes
    assert not [code for code in health.codes if code.startswith("replica-")]


@every_server
def test_a_replica_that_never_got_its_first_copy(lab: LabMaker) -> None:
    one = lab()
    replica = one.replica_of("n1")
    one.say("n1", "SET", key_of(one, "n1"), "x")
    one.kill(replica)
    empty(replica)
    with (Path(replica.folder) / CONF_FILE).open("a") as conf:
        conf.write("masteruser nobody\nmasterauth refused\n")
    one.restart(replica)
    one.wait(lambda: not any(one.belief(each, replica).flagged for each in ("n1", "n2", "n3")), "it to be back")
    health = health_of(one)
    found = health.the("replica-never-synced")
    assert health.codes == warnings("replica-never-synced", "replica-missing")
    assert "holds no key" in found.evidence
    assert "nothing is promoted; promoted by hand it would throw the shard's data away" in found.consequence
    one.say(replica, "CONFIG", "SET", "cluster-replica-validity-factor", "0")
    assert "the data of the shard is lost" in health_of(one).the("replica-never-synced").consequence


@every_server
def test_a_replica_that_waits_for_its_copy(lab: LabMaker) -> None:
    """The primary waits a minute for more replicas before it forks; the replica itself shows only a link down."""
    one = lab(conf=("repl-diskless-sync yes",))
    replica = one.replica_of("n1")
    one.say("n1", "SET", key_of(one, "n1"), "x")
    one.kill(replica)
    empty(replica)
    one.say("n1", "CONFIG", "SET", "repl-diskless-sync-delay", "60")
    one.restart(replica)
    one.wait(lambda: [each.state for each in one.vitals("n1").replication.attached] == ["wait_bgsave"], "the sync")
    one.wait(lambda: not any(one.belief(each, replica).flagged for each in ("n1", "n2", "n3")), "it to be back")
    health = health_of(one)
    found = health.the("replica-syncing")
    assert health.codes == warnings("replica-syncing", "replica-missing")
    assert "waits for a full copy from its primary" in found.evidence
    assert "shows it as wait_bgsave" in found.evidence
    assert "has no data that counts" in found.consequence


@every_server
def test_a_replica_that_takes_its_copy(lab: LabMaker) -> None:
    """A slow copy: the primary sleeps a millisecond for each key that it sends."""
    one = lab(conf=("repl-diskless-sync yes", "rdb-key-save-delay 2000"))
    replica = one.replica_of("n1")
    fill(one, "n1", 5000, 10)
    one.kill(replica)
    empty(replica)
    one.restart(replica)
    one.wait(lambda: one.vitals(replica).replication.sync_in_progress, "the copy to begin")
    one.wait(lambda: not any(one.belief(each, replica).flagged for each in ("n1", "n2", "n3")), "it to be back")
    health = health_of(one)
    assert health.codes == warnings("replica-syncing", "replica-missing")
    assert "full copy from its primary" in health.the("replica-syncing").evidence


@every_server
@needs_nft
def test_a_replica_that_is_behind(lab: LabMaker) -> None:
    """What its primary sends it is lost on the way; the link counts as up for a minute (repl-timeout)."""
    one = lab(conf=("repl-backlog-size 1mb",), hosts=6)
    replica = one.replica_of("n1")
    fill(one, "n1", 1, 10)
    one.wait(lambda: one.vitals(replica).storage.keys == 1, "the key to arrive")
    with stalled(one, one.node("n1"), replica):
        fill(one, "n1", 60, 10_000)
        health = health_of(one)
        found = health.the("replica-lagging")
        assert (health.exit_code, health.codes) == (WARNING, warnings("replica-lagging"))
        assert (health.redundant, health.failover_ready) == ("no", "no")
        assert found.id == replica.node_id
        assert "bytes behind (limit 524288)" in found.evidence
        assert health_of(one, "--max-lag-bytes", "1000000").exit_code == OK
    one.wait(lambda: health_of(one).exit_code == OK, "it to catch up", 60)


@pytest.mark.parametrize("limit_s", ["3"])
def test_a_replica_that_acknowledges_nothing(lab: LabMaker, limit_s: str) -> None:
    """Its once-a-second duties stand still; it still answers, and still applies what it gets."""
    one = lab()
    replica = one.replica_of("n1")
    one.say(replica, "DEBUG", "PAUSE-CRON", 1)
    one.wait(lambda: (one.vitals("n1").replication.attached[0].lag_s or 0) > 4, "the lag")
    health = health_of(one, "--max-lag-s", limit_s)
    assert health.codes == warnings("replica-lagging")
    assert "has acknowledged nothing for" in health.the("replica-lagging").evidence


# Barred and misplaced


@every_server
def test_one_of_two_replicas_may_not_be_promoted(lab: LabMaker) -> None:
    one = lab(replicas=2, hosts=9)
    replica = one.replicas_of("n1")[1]
    one.say(replica, "CONFIG", "SET", "cluster-replica-no-failover", "yes")
    health = health_of(one)
    found = health.the("replica-nofailover")
    assert (health.exit_code, health.codes) == (WARNING, warnings("replica-nofailover"))
    assert (health.redundant, health.failover_ready) == ("yes", "yes")
    assert found.id == replica.node_id
    assert run_hint(found.hint) == "OK"
    assert health_of(one).exit_code == OK


@every_server
def test_a_replica_that_follows_a_replica(lab: LabMaker) -> None:
    """The servers refuse the order, so its nodes.conf is edited while it is down."""
    one = lab(replicas=2, hosts=9)
    first, second = one.replicas_of("n1")
    one.kill(second)
    path = Path(second.folder) / "nodes.conf"
    lines = [
        line.replace(one.node("n1").node_id, first.node_id) if "myself" in line else line
        for line in path.read_text().splitlines()
    ]
    path.write_text("\n".join(lines) + "\n")
    one.restart(second)
    one.wait(lambda: one.vitals(second).replication.primary_port == first.port, "it to follow the replica")
    await_link(one, second, up=True)
    one.wait(lambda: not any(one.belief(each, second).flagged for each in ("n1", "n2", "n3")), "it to be back")
    health = health_of(one)
    found = health.the("replica-of-replica")
    assert (health.exit_code, health.codes) == (WARNING, warnings("replica-of-replica"))
    assert f"follows {first.endpoint}" in found.evidence
    assert f"rcfail recover {second.endpoint} --dry-run" in found.hint
    one.say(second, "CLUSTER", "REPLICATE", one.node("n1").node_id)
    one.wait(lambda: health_of(one).exit_code == OK, "health to be OK")


# Primaries gone astray


@every_server
def test_a_former_replica_stands_outside_as_an_empty_primary(lab: LabMaker) -> None:
    """RESET SOFT makes a replica a primary, without its data; it keeps its id, and the memory of its stream."""
    one = lab()
    replica = one.replica_of("n1")
    one.say("n1", "SET", key_of(one, "n1"), "x")
    one.wait(lambda: one.vitals(replica).storage.keys == 1, "the key to arrive")
    one.say(replica, "CLUSTER", "RESET", "SOFT")
    one.say(replica, "CLUSTER", "MEET", one.node("n1").host, one.node("n1").port)
    one.wait(lambda: len(one.view(replica).beliefs) == 6, "it to know the others again")
    one.wait(lambda: all(one.belief(each, replica).primary_id is None for each in one.nodes), "all to know its role")
    one.wait(lambda: one.vitals(replica).cluster.state == "ok", "it to say ok")
    health = health_of(one)
    found = health.the("primary-empty")
    assert health.codes == warnings("primary-empty", "replica-missing")
    assert found.id == replica.node_id
    assert (
        f"a primary with no slots and 0 keys, and its data has the history of {one.node('n1').endpoint}"
        in found.evidence
    )
    assert run_hint(found.hint) == "OK"
    one.wait(lambda: health_of(one).exit_code == OK, "it to be a replica again")


def test_an_old_primary_that_may_not_follow(lab: LabMaker) -> None:
    """While it was down its replica was promoted and got one slot more: it loses all slots and follows nobody."""
    one = lab(conf=("cluster-allow-replica-migration no",), hosts=6)
    new = one.replica_of("n1")
    one.say("n1", "SET", key_of(one, "n1"), "x")
    one.wait(lambda: one.vitals(new).storage.keys == 1, "the key to arrive")
    one.say("n1", "SAVE")  # with the name of its stream
    one.kill("n1")
    one.wait(lambda: one.vitals(new).replication.role == "master", "its replica to be promoted")
    one.wait(lambda: one.belief("n2", new).slot_count == one.belief("n3", new).slot_count > 0, "all to know it")
    for node in (new, "n2", "n3"):
        one.say(node, "CLUSTER", "SETSLOT", 16383, "NODE", new.node_id)
    # Whoever told n1 of fewer slots would let it follow.
    told = [each for each in one.nodes if each.name != "n1"]
    one.wait(lambda: all(one.belief(each, new).slot_count == 5462 for each in told), "all to hear of it")
    one.restart("n1")
    one.wait(lambda: one.belief("n1", new).slot_count == 5462 and not one.belief("n1", "n1").slots, "n1 to hear of it")
    one.wait(lambda: not any(one.belief(each, "n1").flagged for each in (new, "n2", "n3")), "n1 to be back")
    one.wait(lambda: one.vitals("n1").cluster.state == "ok", "n1 to say ok")
    health = health_of(one)
    assert health.codes == warnings("primary-empty", "replica-missing")
    # The server itself threw away the keys of the slots that it lost (delKeysInSlot), so it may follow again.
    assert "0 keys, and its data has the history of" in health.the("primary-empty").evidence
    assert run_hint(health.the("primary-empty").hint) == "OK"
    one.wait(lambda: health_of(one).exit_code == OK, "health to be OK")


@every_server
@needs_nft
def test_two_primaries_take_the_writes_of_one_shard(lab: LabMaker) -> None:
    """The one that is cut off is slow to notice, and goes on taking writes that will be lost."""
    one = lab(conf=("cluster-require-full-coverage no",))
    new, key = one.replica_of("n1"), key_of(one, "n1")
    one.say("n1", "CONFIG", "SET", "cluster-node-timeout", 60_000)
    one.cut_bus("n1")
    one.wait(lambda: one.vitals(new).replication.role == "master", "its replica to be promoted")
    one.wait(lambda: one.belief("n2", new).slots, "n2 to know it")
    one.say("n1", "SET", key, "lost")
    health = health_of(one)
    found = health.the("primaries-two-in-shard")
    assert (health.exit_code, found.severity, found.id) == (CRITICAL, "critical", one.node("n1").node_id)
    assert health.serving == "no"
    assert "both primaries of 5461 slots (0-5460)" in found.evidence
    assert found.consequence.startswith("Both may take writes.")
    assert "bytes that it wrote since are thrown away" in found.consequence
    one.mend("n1")
    one.wait(lambda: one.vitals("n1").replication.role == "slave", "n1 to follow")
    one.wait(lambda: one.vitals("n1").storage.keys == 0, "its write to be gone")


# The backlog


@every_server
def test_a_backlog_that_holds_less_than_a_node_timeout(lab: LabMaker) -> None:
    one = lab(conf=("repl-backlog-size 16kb",), node_timeout_ms=3000)
    fill(one, "n1", 200, 10_000)
    health = health_of(one)
    found = health.the("backlog-too-small")
    assert (health.exit_code, found.severity, health.codes) == (OK, "info", {})
    assert "its backlog of 16384 bytes lasts" in found.evidence
    assert run_hint(found.hint) == "OK"
    assert not health_of(one).all_of("backlog-too-small")


def test_every_code_of_the_theme_is_broken_here() -> None:
    text = Path(__file__).read_text()
    codes = [code for code in BY_CODE if code.startswith(("replica-", "primary-", "primaries-two", "backlog-"))]
    assert RULES
    assert [code for code in codes if f'"{code}"' not in text] == []


def key_of(lab: RunningLab, node: NodeEntry | str) -> str:
    """A key in a slot of this primary."""
    first, last = lab.view(node).by_id[lab.node(node).node_id].slots[0]
    keys = map(str, range(10_000))
    return next(key for key in keys if first <= int(str(lab.ask(node, "CLUSTER", "KEYSLOT", key))) <= last)


def fill(lab: RunningLab, node: NodeEntry | str, keys: int, size: int) -> None:
    """Write keys of one slot."""
    tag = key_of(lab, node)
    script = "for i=1,ARGV[1] do redis.call('SET', KEYS[1]..i, string.rep('x', ARGV[2])) end"
    lab.say(node, "EVAL", script, 1, "{" + tag + "}", keys, size)


@contextmanager
def stalled(lab: RunningLab, primary: NodeEntry, replica: NodeEntry) -> Iterator[None]:
    """Drop what goes from the client port of one to the other: the link stays, and nothing comes through."""
    table = f"rcfail_test_{lab.entry.octet}_{os.getpid()}"
    rule = f"ip saddr {primary.host} tcp sport {primary.port} ip daddr {replica.host} drop"
    chain = f"chain stalled {{\n type filter hook output priority 0; policy accept;\n {rule}\n }}"
    network.run(f"table inet {table} {{\n {chain}\n}}\n")
    try:
        yield
    finally:
        network.run(f"delete table inet {table}\n")


def empty(node: NodeEntry) -> None:
    """Remove the data files of a node that has ended: also a node without persistence keeps the last copy it took."""
    for path in Path(node.folder).glob("*.rdb"):
        path.unlink()
