"""Automatic failover on real clusters: followed step by step, blocked for each cause, switched off, undisturbed."""

from __future__ import annotations

from pathlib import Path

import pytest

from rcfail.cluster.failover_stage import FailoverStage, Stage, failover_stage
from rcfail.cluster.snapshot import Shard, Snapshot
from rcfail.health.diagnose import diagnose
from rcfail.health.finding import Severity, Thresholds
from rcfail.practice.lab.network import can_filter
from rcfail.practice.lab.register import NodeEntry
from tests.real.conftest import LabMaker
from tests.real.hints import run_hint
from tests.real.pictures import every, judging, looking_at
from tests.real.servers import RunningLab, ServerUnderTest
from tests.real.verdicts import health_of

every_server = pytest.mark.every_server
needs_nft = pytest.mark.skipif(not can_filter(), reason="cutting a network takes nftables and root")
OK, WARNING, CRITICAL = 0, 1, 2


def failed(lab: RunningLab, node: NodeEntry | str, in_view_of: NodeEntry | str) -> bool:
    return lab.belief(in_view_of, node).failed


def await_failed(lab: RunningLab, node: NodeEntry | str, *observers: NodeEntry | str) -> None:
    lab.wait(lambda: all(failed(lab, node, each) for each in observers), f"{node} to be failed")


def shard_of(snapshot: Snapshot, node: NodeEntry) -> Shard:
    return next(shard for shard in snapshot.shards if shard.primary_id == node.node_id)


# Under way


@every_server
def test_an_automatic_failover_is_followed_step_by_step(lab: LabMaker, server: ServerUnderTest) -> None:
    one = lab()
    look, old, new = looking_at(one), one.node("n1"), one.replica_of("n1")
    shard = shard_of(look(), old)
    one.kill(old)
    seen: list[FailoverStage] = []
    for _ in every(0.02, 15.0):
        snapshot = look()
        stage = failover_stage(snapshot, shard)
        found = {each.code: each for each in diagnose(snapshot, Thresholds()) if each.code.startswith("failover-")}
        if stage.stage in (Stage.AGREED, Stage.ELECTION_DUE) or len(stage.suspecting) >= stage.needed:
            assert set(found) == {"failover-pending"}, found
            assert found["failover-pending"].severity is Severity.CRITICAL
            assert f"replica {new.endpoint}" in found["failover-pending"].evidence
        elif stage.stage is not Stage.SUSPECTED:
            assert not found, (stage, found)
        if not seen or seen[-1] != stage:
            seen.append(stage)
        if stage.stage is Stage.PROMOTED:
            break
    stages = list(dict.fromkeys(each.stage for each in seen))
    assert stages == [stage for stage in Stage if stage in stages]  # in their order, none twice
    assert (stages[0], stages[-1]) == (Stage.STEADY, Stage.PROMOTED)
    # A step can pass between two looks: of a busy machine, or of Valkey 9.1, which asks for votes as soon as it hears
    # the verdict.
    assert {Stage.SUSPECTED, Stage.AGREED, Stage.ELECTION_DUE}.intersection(stages)
    last = seen[-1]
    assert (last.promoted, last.epoch) == (new.node_id, 7), last
    assert all(each.candidate in (None, new.node_id) for each in seen)


@every_server
def test_the_old_primary_rejoins(lab: LabMaker) -> None:
    one = lab(hosts=6)  # so that no two primaries share a host whoever they are
    look, old = looking_at(one), one.node("n1")
    shard = shard_of(look(), old)
    one.kill(old)
    one.wait(lambda: failover_stage(look(), shard).stage is Stage.PROMOTED, "a promotion")
    one.restart(old)
    one.wait(lambda: failover_stage(look(), shard).stage is Stage.REJOINED, "the old primary to follow")
    one.wait(lambda: health_of(one).exit_code == OK, "health to be OK")


@every_server
def test_whether_a_replica_that_refuses_us_can_stand_is_not_known(lab: LabMaker) -> None:
    """It is alive for the others and silent to us. (Its data is too old, so that it stays what it is.)"""
    one = lab(conf=("cluster-replica-validity-factor 1", "repl-ping-replica-period 1"))
    replica = one.replica_of("n1")
    one.break_replication(replica)
    one.wait(lambda: (one.vitals(replica).replication.link_down_since_s or 0) > 4, "the data to be old")
    one.say(replica, "CONFIG", "SET", "requirepass", "unknown to us")
    one.kill("n1")
    await_failed(one, "n1", "n2", "n3")
    health = health_of(one)
    found = health.the("failover-pending")
    assert (health.exit_code, found.severity) == (CRITICAL, "critical")
    assert "held for failed by the majority (2 of 3 voters)" in found.evidence
    assert "cannot be told" in found.evidence
    assert "failover-blocked" not in health.codes


# Blocked


@every_server
def test_no_majority_is_left(lab: LabMaker) -> None:
    one = lab()
    one.kill("n1", "n2")
    one.wait(lambda: one.belief("n3", "n1").flagged and one.belief("n3", "n2").flagged, "both to be suspected")
    one.wait(lambda: one.vitals("n3").cluster.state == "fail", "n3 to stop")
    health = health_of(one)
    assert (health.exit_code, health.failover_ready) == (CRITICAL, "no")
    found = health.the("failover-blocked")
    assert found.kind == "cluster"
    assert all(str(one.node(each).endpoint) in found.evidence for each in ("n1", "n2"))
    assert "1 of 3 voters can still vote together and 2 must" in found.evidence
    assert "failover-pending" not in health.codes
    assert "TAKEOVER" not in found.hint


@every_server
@pytest.mark.parametrize("primaries", [1, 2])
def test_with_one_or_two_voters_the_dead_one_is_missing(lab: LabMaker, primaries: int) -> None:
    one = lab(primaries=primaries)
    one.kill("n1")
    one.wait(lambda: one.belief(one.replica_of("n1"), "n1").flagged, "n1 to be suspected")
    if primaries == 2:
        one.wait(lambda: one.belief("n2", "n1").flagged, "n1 to be suspected by n2")
    found = health_of(one).the("failover-blocked")
    assert f"{primaries - 1} of {primaries} voter" in found.evidence
    assert "only a takeover" in found.evidence


@every_server
def test_the_only_replica_is_told_not_to_stand(lab: LabMaker) -> None:
    """Before: failover-disabled. After the primary's death: blocked; and the hint's own command ends it."""
    one = lab()
    replica = one.replica_of("n1")
    one.say(replica, "CONFIG", "SET", "cluster-replica-no-failover", "yes")
    before = health_of(one)
    assert (before.exit_code, before.codes, before.failover_ready) == (WARNING, {"failover-disabled": "warning"}, "no")
    one.kill("n1")
    await_failed(one, "n1", "n2", "n3", replica)
    health = health_of(one)
    found = health.the("failover-blocked")
    assert (health.exit_code, found.severity, found.id) == (CRITICAL, "critical", one.node("n1").node_id)
    assert f"{replica.endpoint} ({replica.node_id[:8]}): cluster-replica-no-failover is set on it" in found.evidence
    assert "failover-disabled" not in health.codes
    assert run_hint(found.hint) == "OK"
    one.wait(lambda: one.vitals(replica).replication.role == "master", "the replica to be promoted")


@every_server
def test_there_is_no_replica(lab: LabMaker) -> None:
    one = lab(replicas=0)
    one.kill("n1")
    await_failed(one, "n1", "n2", "n3")
    health = health_of(one, "--min-replicas", "0")
    found = health.the("failover-blocked")
    assert (health.exit_code, found.severity) == (CRITICAL, "critical")
    assert "will not be replaced by itself: it has no replica" in found.evidence
    assert f"Start {one.node('n1').endpoint}" in found.hint
    one.restart("n1")
    one.wait(lambda: health_of(one, "--min-replicas", "0").exit_code != CRITICAL, "n1 to serve again")


@every_server
def test_the_data_is_too_old(lab: LabMaker) -> None:
    """Window: 1 s ping period + 1 node timeout x factor 1 + 1 node timeout = 3 s."""
    one = lab(conf=("cluster-replica-validity-factor 1", "repl-ping-replica-period 1"))
    replica = one.replica_of("n1")
    one.break_replication(replica)
    one.wait(lambda: (one.vitals(replica).replication.link_down_since_s or 0) > 4, "the data to be old")
    before = health_of(one)
    assert before.exit_code == WARNING
    assert before.codes == dict.fromkeys(("failover-disabled", "replica-missing", "replica-link-down"), "warning")
    assert "not promoted by itself any more: the limit is 3 s" in before.the("replica-link-down").consequence
    one.kill("n1")
    await_failed(one, "n1", "n2", "n3", replica)
    found = health_of(one).the("failover-blocked")
    assert "s old and the limit is 3 s" in found.evidence
    for _ in every(0.1, 3.0):
        assert one.vitals(replica).replication.role == "slave"


@every_server
def test_the_age_of_the_data_is_unknown_after_a_restart(lab: LabMaker) -> None:
    """It has its keys, and will never stand by itself: the server counts the age from the year 1970."""
    one = lab(primaries=3)
    replica = one.replica_of("n1")
    one.say("n1", "SET", key_of(one, "n1"), "kept")
    one.wait(lambda: one.vitals(replica).storage.keys == 1, "the key to arrive")
    one.say(replica, "SAVE")
    one.kill(replica, "n1")
    one.restart(replica)
    await_failed(one, "n1", "n2", "n3", replica)
    found = health_of(one).the("failover-blocked")
    said = "it was restarted and not in sync since, so the age of its data is unknown"
    assert f"{replica.endpoint} ({replica.node_id[:8]}): {said}" in found.evidence
    for _ in every(0.1, 4.0):
        assert one.vitals(replica).replication.role == "slave"


@every_server
def test_the_replica_never_had_any_data(lab: LabMaker) -> None:
    one = lab()
    replica = one.replica_of("n1")
    one.say("n1", "SET", key_of(one, "n1"), "lost")
    one.kill(replica, "n1")
    forget_files(replica)
    one.restart(replica)
    await_failed(one, "n1", "n2", "n3", replica)
    health = health_of(one)
    assert "it never finished a sync and holds no data" in health.the("failover-blocked").evidence
    assert "failover-pending" not in health.codes


@every_server
def test_with_a_validity_factor_of_0_an_empty_replica_is_promoted_and_we_say_so(lab: LabMaker) -> None:
    one = lab(conf=("cluster-replica-validity-factor 0",), node_timeout_ms=2000)
    replica = one.replica_of("n1")
    one.say("n1", "SET", key_of(one, "n1"), "lost")
    one.kill(replica, "n1")
    forget_files(replica)
    one.restart(replica)
    look = looking_at(one)
    evidence = ""
    for _ in every(0.05, 15.0):
        found = [each for each in diagnose(look(), Thresholds()) if each.code.startswith("failover-")]
        evidence += "".join(each.consequence for each in found)
        if one.vitals(replica).replication.role == "master":
            break
    assert one.vitals(replica).storage.keys == 0, "it was promoted empty"
    assert "holds no data" in evidence
    assert "the data of this shard will be lost" in evidence


@every_server
def test_both_ends_of_a_shard_are_dead(lab: LabMaker) -> None:
    one = lab()
    replica = one.replica_of("n1")
    one.kill("n1", replica)
    await_failed(one, "n1", "n2", "n3")
    await_failed(one, replica, "n2", "n3")
    found = health_of(one).the("failover-blocked")
    assert f"{replica.endpoint} ({replica.node_id[:8]}): it is down" in found.evidence


@every_server
@needs_nft
def test_the_replica_is_cut_off_from_the_voters(lab: LabMaker) -> None:
    one = lab()
    replica = one.replica_of("n1")
    one.cut_bus(replica)
    one.wait(lambda: all(one.belief(each, replica).flagged for each in ("n2", "n3")), "the replica to be suspected")
    one.kill("n1")
    await_failed(one, "n1", "n2", "n3")
    one.wait(lambda: one.belief(replica, "n2").flagged, "the replica to miss the voters")
    found = health_of(one).the("failover-blocked")
    assert "it reaches 0 of the 2 voters that it needs" in found.evidence


# Valkey 9.1 asks for votes as soon as it hears the verdict: there is no time to freeze a voter.
@pytest.mark.every_server(but="valkey-9.1")
def test_the_last_vote_failed(lab: LabMaker, server: ServerUnderTest) -> None:
    """One of the two voters is frozen while the replica asks, and goes on when the vote has expired."""
    one = lab(node_timeout_ms=4000)
    replica = one.replica_of("n1")
    one.kill("n1")
    await_failed(one, "n1", replica)
    one.freeze("n3")
    one.wait(lambda: one.vitals(replica).cluster.messages.get("auth-req_sent"), "the replica to ask for votes")
    for _ in every(0.5, 8.5):  # a vote counts for two node timeouts
        pass
    one.thaw("n3")
    one.wait(lambda: not one.belief("n2", "n3").flagged and not one.belief(replica, "n3").flagged, "n3 to be back")
    assert one.vitals(replica).replication.role == "slave", "it was elected after all"
    found = health_of(one).the("failover-blocked")
    assert f"replica {replica.endpoint}" in found.evidence
    assert "was not elected in the" in found.evidence
    assert "4 node timeouts (16 s)" in found.evidence
    one.wait(lambda: one.vitals(replica).replication.role == "master", "the next vote", timeout_s=40.0)


# No noise


@every_server
def test_health_stays_calm_through_a_graceful_failover(lab: LabMaker) -> None:
    """Redis needs up to 11 s until all have heard of the demotion; nothing of that is a fault."""
    one = lab(hosts=6)  # so that no two primaries share a host whoever they are
    judge, look, old, new = judging(one), looking_at(one), one.node("n1"), one.replica_of("n1")
    shard = shard_of(look(), old)
    one.say(new, "CLUSTER", "FAILOVER")
    one.wait(lambda: failover_stage(look(), shard).stage is Stage.REJOINED, "the switch")
    for at in every(0.2, 15.0):
        found = judge.judge().diagnosis.findings
        assert all(each.severity is Severity.INFO for each in found), f"{at:.1f} s after it: {found}"


def key_of(lab: RunningLab, node: NodeEntry | str) -> str:
    """A key in a slot of this primary."""
    first, last = lab.view(node).by_id[lab.node(node).node_id].slots[0]
    return next(
        key for key in map(str, range(10_000)) if first <= int(str(lab.ask(node, "CLUSTER", "KEYSLOT", key))) <= last
    )


def forget_files(node: NodeEntry) -> None:
    """Remove the data files of a node that has ended: also a node without persistence keeps the last copy it took."""
    for path in Path(node.folder).glob("*.rdb"):
        path.unlink()
