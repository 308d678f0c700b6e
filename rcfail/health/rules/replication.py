"""Replicas that are missing, misplaced or barred, and a backlog that is too small; with all rules of replication."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from rcfail.cluster.candidacy import bars_failover
from rcfail.cluster.electorate import NODE_TIMEOUT_MS
from rcfail.cluster.failover_stage import awaited, suspecting
from rcfail.cluster.nouns import Role
from rcfail.cluster.snapshot import Known, Node, Shard, Snapshot
from rcfail.cluster.sync import Sync, sync_of
from rcfail.health.finding import Finding, Promise, Severity, Subject, Thresholds, of_node, of_shard
from rcfail.health.rules.copies import impairs, living_replicas, replica_lagging, replica_out_of_sync, said_of
from rcfail.health.rules.failover import failover_disabled
from rcfail.health.rules.histories import primaries_two_in_shard, primary_empty
from rcfail.health.wording import answering, called, counted, duration, listing, rcfail, redis_cli, slots_text


def replica_missing(snapshot: Snapshot, thresholds: Thresholds) -> Iterator[Finding]:
    """Each primary with slots has at least `min_replicas` replicas that live, follow it, and are in sync.

    Needs the replicas' INFO. One that is silent to us, and that its primary does not show as online, may be
    well: then nothing is said here, for the silence is a finding itself.
    """
    for shard in snapshot.shards:
        if not shard.slots or awaited(snapshot, shard):
            continue
        worths = [worth(snapshot, shard, node) for node in snapshot.replicas_of(shard)]
        perhaps = sum(1 for each in worths if each.healthy is not Known.NO)
        if perhaps < thresholds.min_replicas:
            yield _missing(snapshot, shard, worths, thresholds.min_replicas)


class Worth(NamedTuple):
    """Whether a replica counts, and if not, what it lacks."""

    node: Node
    healthy: Known
    lack: str = ""


_LACKS = {
    Sync.LOADING: "is loading its data set",
    Sync.SYNCING: "is taking a full copy",
    Sync.NEVER_SYNCED: "holds no data",
    Sync.LINK_DOWN: "has no link to its primary",
}


def worth(snapshot: Snapshot, shard: Shard, node: Node) -> Worth:
    """Whether a replica of the shard is healthy: it lives, follows the primary, and is in sync."""
    if node.alive is Known.NO:
        return Worth(node, Known.NO, "is down")
    if len(suspecting(snapshot, node)) >= snapshot.electorate.needed:
        return Worth(node, Known.NO, "is held for failed by a majority")
    if node.primary_id != shard.primary_id:
        return Worth(node, Known.NO, "follows another replica")
    sync = sync_of(snapshot, node)
    if sync is Sync.IN_SYNC:
        return Worth(node, Known.YES)
    primary = snapshot.nodes[shard.primary_id]
    if sync is Sync.UNKNOWN or primary.view is None:
        # A link that is down says nothing of the replica when nobody is there at the other end.
        return Worth(node, Known.UNKNOWN)
    return Worth(node, Known.NO, _LACKS[sync])


def _missing(snapshot: Snapshot, shard: Shard, worths: list[Worth], wanted: int) -> Finding:
    primary = snapshot.nodes[shard.primary_id]
    lacking = [each for each in worths if each.healthy is Known.NO]
    healthy = len(worths) - len(lacking)
    has = f"{counted(healthy, 'healthy replica')} of {wanted} wanted" if worths else f"no replica, {wanted} wanted"
    lacks = "".join(f"; {called(each.node)} {each.lack}" for each in lacking[:4])
    rest = "One more failure may be one too many." if healthy else "When this primary is lost, so are they."
    dead = [each.node for each in lacking if each.node.alive is Known.NO]
    if dead:
        hint = f"Start {listing(map(called, dead))} again, then: {rcfail('health', primary.endpoint, '--wait', '60s')}"
    elif lacking:
        hint = f"See why, and what mends it: {_recovery(snapshot, lacking[0].node)}"
    else:
        hint = f"See whether another shard can lend it one: {_recovery(snapshot, primary)}"
    return Finding(
        "replica-missing",
        Severity.WARNING,
        of_shard(snapshot, shard),
        f"primary {called(primary)} has {has}{lacks}",
        f"{_capital(slots_text(shard.slots))} depend on it. {rest}",
        hint,
        impairs=(Promise.REDUNDANT,) if healthy else None,
    )


def _recovery(snapshot: Snapshot, node: Node) -> str:
    return rcfail("recover", answering(snapshot, node.node_id), str(node.endpoint or node.short), "--dry-run")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def replica_of_replica(snapshot: Snapshot, _: Thresholds) -> Iterator[Finding]:
    """A replica whose primary is a replica itself. Needs the views only."""
    for node in living_replicas(snapshot):
        above = snapshot.node(node.primary_id)
        if above is None or above.role is not Role.REPLICA:
            continue
        hint = f"See whom it belongs to: {_recovery(snapshot, node)}"
        yield Finding(
            "replica-of-replica",
            Severity.WARNING,
            of_node(node),
            f"replica {called(node)} follows {called(above)}, which is a replica itself",
            "It is never promoted when the shard's primary fails, and hears of each write last.",
            hint,
            impairs(snapshot, node),
        )


def replica_nofailover(snapshot: Snapshot, thresholds: Thresholds) -> Iterator[Finding]:
    """A replica that is told never to stand for election, where failover-disabled does not say so already."""
    told: set[Subject] = {finding.subject for finding in failover_disabled(snapshot, thresholds)}
    for shard in snapshot.shards:
        if of_shard(snapshot, shard) in told or awaited(snapshot, shard):
            continue
        for node in snapshot.replicas_of(shard):
            if node.alive is Known.YES and bars_failover(node):
                yield Finding(
                    "replica-nofailover",
                    Severity.WARNING,
                    of_node(node),
                    f"replica {called(node)} has cluster-replica-no-failover set",
                    "It is never promoted by itself, so it does not count when its primary fails.",
                    "If that is not meant: "
                    + redis_cli(node.endpoint, "CONFIG", "SET", "cluster-replica-no-failover", "no"),
                )


def backlog_too_small(snapshot: Snapshot, _: Thresholds) -> Iterator[Finding]:
    """At the average rate of its writes a primary's backlog holds less than one node timeout.

    Needs the primary's INFO. The average since it began to write as a primary (second_repl_offset) or was
    started is a lower bound, so a busy hour is not seen, and an idle cluster is never accused.
    """
    for shard in snapshot.shards:
        primary = snapshot.nodes[shard.primary_id]
        said, uptime_s = said_of(primary), primary.vitals.server.uptime_s if primary.vitals else None
        if not uptime_s or not said.backlog_size or said.primary_offset is None or not said.attached:
            continue
        rate = (said.primary_offset - max(0, said.second_offset or 0)) / uptime_s
        timeout_ms = (primary.vitals and primary.vitals.config.node_timeout_ms) or NODE_TIMEOUT_MS
        if rate <= 0 or said.backlog_size / rate * 1000 >= timeout_ms:
            continue
        yield Finding(
            "backlog-too-small",
            Severity.INFO,
            of_node(primary),
            f"primary {called(primary)} writes {rate:.0f} bytes a second on average, so its backlog of "
            f"{said.backlog_size} bytes lasts {duration(1000 * said.backlog_size / rate)}, less than the node timeout",
            "A replica that is away for longer than that needs a full copy.",
            "Enlarge it (the figure is 60 s of these writes): "
            + redis_cli(primary.endpoint, "CONFIG", "SET", "repl-backlog-size", str(int(rate * 60))),
        )


RULES = (
    primaries_two_in_shard,
    primary_empty,
    replica_missing,
    replica_out_of_sync,
    replica_lagging,
    replica_of_replica,
    replica_nofailover,
    backlog_too_small,
)
