"""Nodes that are dead, suspected, silent, frozen, loading, cut off, lost, forgotten or being met, on real clusters."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from rcfail.cluster.merge import merge
from rcfail.cluster.nouns import Belief, NodeId
from rcfail.cluster.snapshot import Snapshot
from rcfail.errors import LabFault
from rcfail.health import standing
from rcfail.health.diagnose import diagnose
from rcfail.health.finding import Thresholds
from rcfail.practice.lab.network import can_filter
from rcfail.practice.lab.register import NodeEntry
from rcfail.practice.lab.wish import Persistence
from rcfail.wire.record import load
from tests.real.conftest import LabMaker
from tests.real.hints import run_hint
from tests.real.pictures import judging, looking_at
from tests.real.servers import RunningLab, ServerUnderTest
from tests.real.verdicts import Health, Said, health_of

every_server = pytest.mark.every_server
needs_nft = pytest.mark.skipif(not can_filter(), reason="cutting a network takes nftables and root")
OK, WARNING, CRITICAL, UNKNOWN = 0, 1, 2, 3

LONG_MS = 15_000
"""A node timeout within which nobody comes to suspect anybody."""


def version_of(server: ServerUnderTest) -> tuple[str, int, int]:
    flavour, _, version = server.label.partition("-")
    major, minor, *_ = (int(part) for part in version.split("."))
    return flavour, major, minor


def await_failed(lab: RunningLab, node: NodeEntry | str) -> None:
    """Until every other node of the lab that answers lists the node as failed."""
    name = lab.node(node).name
    others = [each for each in lab.nodes if each.name != name and lab.see(each).nodes]
    assert others
    lab.wait(lambda: all(lab.belief(each, name).failed for each in others), f"{name} to be failed everywhere")


def about(health: Health, code: str, node: NodeEntry) -> Said:
    """The one finding of this code, which is about this node."""
    said = health.the(code)
    assert (said.kind, said.id) == ("node", node.node_id), said
    return said


# Dead


@every_server
def test_a_dead_replica(lab: LabMaker) -> None:
    one = lab()
    dead = one.replica_of("n1")
    one.kill(dead)
    await_failed(one, dead)
    health = health_of(one)
    assert health.codes == {"node-failed": "warning", "replica-missing": "warning"}
    assert (health.exit_code, health.serving, health.redundant) == (WARNING, "yes", "no")
    assert "5 of 5 other nodes say fail" in about(health, "node-failed", dead).evidence


@every_server
def test_a_dead_owner_of_slots(lab: LabMaker) -> None:
    one = lab(3, 0)
    one.kill("n2")
    await_failed(one, "n2")
    health = health_of(one, "--min-replicas", "0")
    assert (health.exit_code, health.serving) == (CRITICAL, "no")
    said = about(health, "node-failed", one.node("n2"))
    assert said.severity == "critical"
    assert "5462 slots (5461-10922)" in said.evidence
    assert not {"node-silent", "node-suspected", "bus-unreachable"} & set(health.codes)


@every_server
def test_an_old_primary_that_stays_dead_after_its_failover(lab: LabMaker) -> None:
    one = lab(hosts=6)
    new = one.replica_of("n1")
    one.kill("n1")
    one.wait(lambda: one.belief("n2", new).slots, "the replica to be promoted")
    await_failed(one, "n1")
    health = health_of(one)
    assert health.exit_code == WARNING
    said = about(health, "node-failed", one.node("n1"))
    assert said.severity == "warning"
    assert "without slots" in said.evidence


def test_a_node_that_died_a_moment_ago_is_not_known_to_be_dead(lab: LabMaker) -> None:
    one = lab(node_timeout_ms=LONG_MS)
    dead = one.replica_of("n1")
    one.kill(dead)
    health = health_of(one)
    assert health.codes == {"node-silent": "unknown"}
    assert (health.exit_code, health.serving, health.redundant) == (UNKNOWN, "unknown", "unknown")
    assert "connection refused" in about(health, "node-silent", dead).evidence


@every_server
def test_a_node_that_all_suspect_and_nobody_may_declare_failed(lab: LabMaker) -> None:
    one = lab(1, 1)
    one.kill("n1")
    replica = one.replica_of("n1")
    one.wait(lambda: one.belief(replica, "n1").suspected, "the replica to suspect its primary")
    health = health_of(one)
    assert (health.exit_code, health.serving) == (CRITICAL, "no")
    assert about(health, "node-silent", one.node("n1")).severity == "critical"
    assert "node-suspected" not in health.codes


@every_server
def test_a_dead_node_without_slots_becomes_a_ghost(
    lab: LabMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In four seconds instead of five minutes."""
    one = lab()
    dead = one.replica_of("n1")
    one.kill(dead)
    await_failed(one, dead)
    record = tmp_path / "record.json"
    assert one.rcfail("record", str(record)).returncode == OK
    early = merge(load(str(record)))
    assert ghosts(early) == []
    look = looking_at(one)
    monkeypatch.setattr(standing, "GHOST_AFTER_MS", 4_000)
    one.wait(lambda: ghosts(look()) == [dead.node_id], "a ghost")


@pytest.mark.long
@pytest.mark.timeout(450)
def test_a_ghost_after_five_minutes(lab: LabMaker) -> None:
    one = lab()
    dead = one.replica_of("n1")
    one.kill(dead)
    await_failed(one, dead)
    one.wait(lambda: "node-ghost" in health_of(one).codes, "a ghost", timeout_s=330.0)
    health = health_of(one)
    assert health.codes == {"node-ghost": "warning", "replica-missing": "warning"}
    assert f"rcfail recover --forget {dead.endpoint}" in about(health, "node-ghost", dead).hint


def ghosts(snapshot: Snapshot) -> list[str]:
    found = diagnose(snapshot, Thresholds())
    assert "node-failed" in {each.code for each in found} or any(each.code == "node-ghost" for each in found)
    return [each.subject.id for each in found if each.code == "node-ghost"]


# Silent to us, or frozen


@needs_nft
def test_a_node_that_only_we_do_not_reach(lab: LabMaker) -> None:
    one = lab()
    one.cut_client("n1")
    health = health_of(one)
    assert health.codes == {"node-silent": "unknown"}
    assert (health.exit_code, health.serving) == (UNKNOWN, "unknown")
    assert "none of 5 other nodes suspects it" in about(health, "node-silent", one.node("n1")).evidence


@needs_nft
def test_our_own_network_is_one_finding(lab: LabMaker) -> None:
    one = lab()
    for node in one.nodes[1:]:
        one.cut_client(node)
    health = health_of(one)
    said = health.the("node-silent")
    assert (health.exit_code, said.kind, said.severity) == (UNKNOWN, "cluster", "unknown")
    assert "5 of 6 nodes do not answer us (5: nobody took our connection" in said.evidence


@every_server
@pytest.mark.parametrize(
    ("name", "severity", "exit_code", "serving"),
    [("n1", "critical", CRITICAL, "no"), ("n4", "warning", WARNING, "yes")],
)
def test_a_frozen_node(lab: LabMaker, name: str, severity: str, exit_code: int, serving: str) -> None:
    one = lab(node_timeout_ms=LONG_MS)
    one.freeze(name)
    health = health_of(one)
    assert (health.exit_code, health.serving) == (exit_code, serving)
    assert health.codes == {"node-frozen": severity}
    assert "sent nothing for 2." in about(health, "node-frozen", one.node(name)).evidence


def test_a_frozen_node_that_the_others_hold_for_failed_is_still_the_frozen_node(lab: LabMaker) -> None:
    one = lab()
    frozen = one.replica_of("n1")
    one.freeze(frozen)
    await_failed(one, frozen)
    health = health_of(one)
    assert health.codes == {"node-frozen": "warning", "replica-missing": "warning"}
    assert "5 of 5 other nodes say fail" in about(health, "node-frozen", frozen).evidence


@pytest.mark.every_server(but="redis-6.")
def test_a_slot_owner_that_announces_a_port_where_nobody_is(lab: LabMaker) -> None:
    """Its bus and its seed address go on, every node says ok, and clients are sent to nobody."""
    one = lab(replicas=0)
    owner = one.node("n2")
    one.say(owner, "CONFIG", "SET", "cluster-announce-port", 7999)
    one.wait(lambda: one.belief("n1", owner).address.port == 7999, "n1 to hear of the port")
    health = health_of(one, "--min-replicas", "0")
    assert (health.exit_code, health.serving) == (UNKNOWN, "unknown")
    said = about(health, "self-address-wrong", owner)
    assert f"2 of 2 other nodes list it at {owner.host}:7999: nothing listens there" in said.evidence
    assert "cluster-announce-port\n7999" in run_hint(said.hint)
    one.say(owner, "CONFIG", "SET", "cluster-announce-port", 0)
    one.wait(lambda: health_of(one, "--min-replicas", "0").exit_code == OK, "OK again")


@pytest.mark.every_server(but="redis-6.")
def test_a_slot_owner_that_announces_the_address_of_another(lab: LabMaker) -> None:
    one = lab(replicas=0)
    owner, other = one.node("n2"), one.node("n3")
    one.say(owner, "CONFIG", "SET", "cluster-announce-ip", other.host)
    one.say(owner, "CONFIG", "SET", "cluster-announce-port", other.port)
    one.wait(lambda: one.belief("n1", owner).address.endpoint == other.endpoint, "n1 to hear of the address")
    health = health_of(one, "--min-replicas", "0")
    assert (health.exit_code, health.serving) == (CRITICAL, "no")
    said = health.the("node-duplicate-address")
    assert f"; {other.node_id[:8]} answers there" in said.evidence
    assert f"; {owner.node_id[:8]} answers there" not in said.evidence


@every_server
def test_a_slot_owner_that_runs_a_script_without_end(lab: LabMaker) -> None:
    """Its bus goes on, so nobody suspects it and no replica takes over."""
    one = lab()
    owner = one.node("n1")
    one.say(owner, "CONFIG", "SET", "lua-time-limit", 50)
    with suppress(LabFault):  # no answer comes
        one.say(owner, "EVAL", "while true do end", 0)
    health = health_of(one)
    assert (health.exit_code, health.serving) == (CRITICAL, "no")
    said = about(health, "node-frozen", owner)
    assert "with: BUSY" in said.evidence
    assert health.codes == {"node-frozen": "critical"}
    assert run_hint(said.hint) == "OK"
    assert health_of(one).exit_code == OK


SLOW_LOADING = ("key-load-delay 12000", "rdbcompression no")
"""12 ms a key: long enough for all questions on a busy machine. A loading server looks at its clients after each 2 MB
that it read, and takes no CONFIG SET meanwhile, so it cannot be made to end early."""


@every_server
def test_a_primary_that_loads_its_data(lab: LabMaker) -> None:
    one = lab(node_timeout_ms=4 * LONG_MS, conf=SLOW_LOADING)  # nobody takes over meanwhile
    # A thousand keys of 40 KB in one slot: twelve seconds of loading.
    script = "local value = string.rep('x', 40000) for i = 1, 1000 do redis.call('SET', KEYS[1] .. i, value) end"
    tag = next(word for word in "abcdefgh" if slot_of(one, "n1", f"{{{word}}}") <= 5460)
    one.say("n1", "EVAL", script, 1, f"{{{tag}}}")
    one.say("n1", "SAVE")
    one.kill("n1")
    one.restart("n1")
    health = health_of(one)
    assert (health.exit_code, health.serving) == (CRITICAL, "no")
    said = about(health, "node-loading", one.node("n1"))
    assert said.severity == "critical"
    assert "is loading its data set" in said.evidence
    assert not {"node-failed", "node-silent", "not-permitted", "reply-malformed"} & set(health.codes)
    one.wait(lambda: health_of(one).exit_code == OK, "the data to be loaded", timeout_s=120.0)


def slot_of(lab: RunningLab, node: str, key: str) -> int:
    slot = lab.ask(node, "CLUSTER", "KEYSLOT", key)
    assert isinstance(slot, int)
    return slot


# The cluster bus


@needs_nft
def test_a_replica_whose_bus_is_cut(lab: LabMaker) -> None:
    one = lab()
    cut = one.replica_of("n1")
    one.cut_bus(cut)
    await_failed(one, cut)
    health = health_of(one)
    said = about(health, "bus-unreachable", cut)
    assert (health.exit_code, said.severity) == (WARNING, "warning")
    assert f"port {cut.bus_port} (5 of 5 other nodes say fail)" in said.evidence
    assert set(health.codes) == {"bus-unreachable", "replica-missing", "cluster-state-fail"}


@needs_nft
def test_an_owner_whose_bus_is_cut(lab: LabMaker) -> None:
    one = lab(3, 0)
    one.cut_bus("n1")
    await_failed(one, "n1")
    health = health_of(one, "--min-replicas", "0")
    assert (health.exit_code, health.serving) == (CRITICAL, "no")
    assert about(health, "bus-unreachable", one.node("n1")).severity == "critical"
    assert not {"node-failed", "node-suspected", "node-silent"} & set(health.codes)


@every_server
def test_a_node_that_reaches_the_others_and_that_nobody_reaches(lab: LabMaker) -> None:
    """Nobody suspects it, because its own pings arrive; its links are told as connected now and then."""
    one = lab()
    cut = one.replica_of("n1")
    one.cut_bus(cut, one_way=True)
    one.wait(lambda: "bus-unreachable" in health_of(one).codes, "the cut to be seen")

    def unsuspected() -> bool:
        """A peer whose own ping is overdue suspects it until the next ping of it arrives."""
        health = health_of(one)
        assert health.codes == {"bus-unreachable": "warning"}
        return "none of 5 other nodes suspects it" in about(health, "bus-unreachable", cut).evidence

    one.wait(unsuspected, "nobody to suspect it")
    one.mend(cut)
    one.wait(lambda: health_of(one).exit_code == OK, "health to be OK again")


@contextmanager
def two_apart(one: NodeEntry, other: NodeEntry) -> Iterator[None]:
    """Nothing passes between two addresses of a lab."""
    table = f"rcfail_test_{one.host.replace('.', '_')}"
    rules = "\n".join(f"ip saddr {a.host} ip daddr {b.host} drop" for a, b in ((one, other), (other, one)))
    hook = "type filter hook output priority 0; policy accept;"
    nft(f"table inet {table} {{\nchain apart {{\n{hook}\n{rules}\n}}\n}}\n")
    try:
        yield
    finally:
        nft(f"delete table inet {table}")


def nft(script: str) -> None:
    subprocess.run(["nft", "-f", "-"], input=script, text=True, check=True, capture_output=True, timeout=10)


@needs_nft
def test_two_nodes_that_suspect_each_other_alone(lab: LabMaker) -> None:
    one = lab(hosts=6)
    first, second = one.node("n1"), one.node("n2")
    with two_apart(first, second):
        one.wait(lambda: one.belief(first, second).suspected and one.belief(second, first).suspected, "suspicion")
        health = health_of(one)
        said = health.all_of("node-suspected")
    assert {each.id for each in said} == {first.node_id, second.node_id}
    assert {each.severity for each in said} == {"warning"}
    assert all("1 of 5 other nodes suspect it" in each.evidence for each in said)
    assert health.exit_code == WARNING
    assert set(health.codes) == {"node-suspected", "slots-suspected"}


# Membership


@every_server
def test_an_owner_that_lost_its_address(lab: LabMaker, server: ServerUnderTest) -> None:
    """On Redis every other node goes on saying cluster_state:ok."""
    one = lab(3, 0)
    lost = one.node("n2")
    one.say("n2", "CLUSTER", "RESET", "HARD")
    others = [one.node("n1"), one.node("n3")]
    one.wait(lambda: all(one.belief(each, lost).noaddr for each in others), "the address to be lost")
    if version_of(server) < ("valkey", 8, 1):
        assert {one.vitals(each).cluster.state for each in others} == {"ok"}
    health = health_of(one, "--min-replicas", "0")
    assert (health.exit_code, health.serving) == (CRITICAL, "no")
    said = about(health, "node-noaddr", lost)
    assert said.severity == "critical"
    assert "2 of 2 other nodes list it without an address" in said.evidence
    assert health.the("node-id-changed").severity == "warning"
    assert not {"node-failed", "node-silent", "node-unknown-to-some"} & set(health.codes)


@every_server
def test_a_primary_that_came_back_with_its_keys_and_a_new_id(lab: LabMaker) -> None:
    """It claims the slot of its key, and nobody follows it. The order of the runbook brings the key back."""
    one = lab(3, 0, persistence=Persistence.RDB)
    lost, others = one.node("n2"), [one.node("n1"), one.node("n3")]
    key = next(word for word in "abcdefghijkl" if slot_of(one, "n2", word) in range(5461, 10923))
    one.say("n2", "SET", key, "kept")
    one.say("n2", "SAVE")
    one.kill("n2")
    (Path(lost.folder) / "nodes.conf").unlink()
    one.restart("n2")
    one.wait(lambda: all(one.belief(each, lost).noaddr for each in others), "the old id to lose its address")
    health = health_of(one, "--min-replicas", "0")
    assert (health.exit_code, health.serving) == (CRITICAL, "no")
    said = about(health, "node-noaddr", lost)
    assert said.severity == "critical"
    assert "listed as the owner of 5462 slots (5461-10922)" in said.evidence
    assert "it claims 1 slot" in health.the("node-id-changed").evidence

    for each in others:
        one.say(each, "CLUSTER", "FORGET", lost.node_id)
    found = replace(one.node("n2"), node_id=NodeId(one.text("n2", "CLUSTER", "MYID")))
    one.talk.tell(found, "CLUSTER", "MEET", one.node("n1").host, one.node("n1").port)
    one.wait(lambda: all(one.view(each).by_id[found.node_id].slots for each in others), "the claim to be followed")
    assert one.ask("n2", "DBSIZE") == 1


@every_server
def test_a_replica_that_came_back_with_a_new_id(lab: LabMaker) -> None:
    one = lab()
    changed = one.replica_of("n1")
    one.kill(changed)
    (Path(changed.folder) / "nodes.conf").unlink()
    one.restart(changed)
    others = [each for each in one.nodes if each.name != changed.name]
    one.wait(lambda: all(one.belief(each, changed).noaddr for each in others), "the old id to lose its address")
    health = health_of(one)
    assert health.exit_code == WARNING
    assert about(health, "node-noaddr", changed).severity == "warning"
    said = health.the("node-id-changed")
    assert said.id == one.text(changed, "CLUSTER", "MYID")
    assert str(changed.endpoint) in said.evidence
    assert f"node {changed.node_id[:8]} has no address any more" in said.evidence
    assert not {"node-failed", "node-silent", "node-unknown-to-some"} & set(health.codes)


@every_server
def test_a_member_that_some_do_not_know(lab: LabMaker, server: ServerUnderTest) -> None:
    """Up to Redis 7.0 the one node keeps it to itself; later versions pass it on, and only the node lists itself.

    On Valkey from 8.1 the forgotten node introduces itself again after each node timeout, so that one is long here.
    """
    one = lab(node_timeout_ms=LONG_MS)
    forgotten, on = one.replica_of("n1"), one.node("n2")
    others = [each for each in one.nodes if each.name != forgotten.name]
    one.forget(forgotten, on=on)
    one_sided = version_of(server) < ("redis", 7, 2)
    if not one_sided:
        one.wait(lambda: not any(one.lists(each, forgotten) for each in others), "all to forget it")
    health = health_of(one)
    said = about(health, "node-unknown-to-some", forgotten)
    assert (health.exit_code, said.severity) == (WARNING, "warning")
    expected = f"{on.endpoint} ({on.node_id[:8]}) does not know" if one_sided else "none of the others knows"
    assert expected in said.evidence
    assert not {"node-failed", "node-silent"} & set(health.codes)


@every_server
def test_a_node_that_is_met_and_never_answers(lab: LabMaker) -> None:
    one = lab(node_timeout_ms=LONG_MS)
    nobody = f"{one.node('n1').host.rsplit('.', 1)[0]}.77"
    one.say("n1", "CLUSTER", "MEET", nobody, 7999)
    health = health_of(one)
    said = health.the("node-handshake")
    assert health.codes == {"node-handshake": "warning"}
    assert (health.exit_code, health.serving, health.redundant) == (WARNING, "yes", "yes")
    assert f"{nobody}:7999 is being met by 1 of 6 nodes" in said.evidence


def test_a_node_that_is_met_again_and_again_is_one_finding(lab: LabMaker) -> None:
    """Each attempt has another made-up id, and ends with the node timeout."""
    one = lab(node_timeout_ms=2000)
    judge, nobody = judging(one), f"{one.node('n1').host.rsplit('.', 1)[0]}.77"

    def met() -> list[tuple[str, str]]:
        for name in ("n1", "n2"):
            one.say(name, "CLUSTER", "MEET", nobody, 7999)
        found = judge.judge().diagnosis.findings
        return [(each.code, each.subject.address) for each in found]

    one.wait(lambda: met() == [("node-handshake", f"{nobody}:7999")], "the handshake to be found")
    made_up = {belief.node_id for belief in handshakes(one, "n1")}
    one.wait(lambda: not made_up & {belief.node_id for belief in handshakes(one, "n1")}, "the attempt to end")
    one.wait(lambda: met() == [("node-handshake", f"{nobody}:7999")], "the next attempt to be found as the same")


def handshakes(lab: RunningLab, node: str) -> list[Belief]:
    return [belief for belief in lab.view(node).beliefs if belief.handshake]
