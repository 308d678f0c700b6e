"""How well each replica copies its primary: without a link, taking a full copy, without data, behind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from rcfail.cluster.candidacy import (
    PING_REPLICA_PERIOD_S,
    candidates_by_themselves,
    never_linked,
    validity_window_s,
)
from rcfail.cluster.lag import lag_of
from rcfail.cluster.nouns import Role
from rcfail.cluster.snapshot import Known, Node, Snapshot
from rcfail.cluster.sync import Sync, attached, awaits_copy, sync_of
from rcfail.cluster.vitals import Replication
from rcfail.health.finding import Finding, Promise, Severity, Thresholds, of_node
from rcfail.health.wording import answering, called, duration, listing, rcfail, redis_cli

_PING_SLACK_S = 2
"""The ping of an idle primary and its age are both counted in whole seconds (replicationCron runs once a second)."""


def living_replicas(snapshot: Snapshot) -> Iterator[Node]:
    return (node for node in snapshot.nodes.values() if node.role is Role.REPLICA and node.view is not None)


def said_of(node: Node) -> Replication:
    return node.vitals.replication if node.vitals else Replication()


def impairs(snapshot: Snapshot, node: Node) -> tuple[Promise, ...]:
    """What the fault of one replica breaks: failover works as long as a sibling can be promoted."""
    shard = snapshot.shard_of(node.node_id)
    siblings = candidates_by_themselves(snapshot, shard) if shard else ()
    if any(each.node_id != node.node_id and each.eligible is Known.YES for each in siblings):
        return (Promise.REDUNDANT,)
    return (Promise.REDUNDANT, Promise.FAILOVER_READY)


def replica_out_of_sync(snapshot: Snapshot, _: Thresholds) -> Iterator[Finding]:
    """replica-link-down, replica-syncing, replica-never-synced: exactly one for a living replica without its link.

    Needs the replica's INFO. Nothing is said while its primary is dead, silent or loading: that is a finding
    itself, and the link cannot be up.
    """
    for node in living_replicas(snapshot):
        primary = snapshot.node(node.primary_id)
        if primary is None:
            yield _without_primary(snapshot, node)
            continue
        sync = sync_of(snapshot, node)
        if sync not in (Sync.SYNCING, Sync.NEVER_SYNCED, Sync.LINK_DOWN) or _explained_by(primary):
            continue
        found = {Sync.SYNCING: _syncing, Sync.NEVER_SYNCED: _never_synced, Sync.LINK_DOWN: _link_down}[sync]
        yield replace(found(snapshot, node, primary), impairs=impairs(snapshot, node))


def _explained_by(primary: Node) -> bool:
    """A dead primary without slots has no failover-* finding, so its replica's link is told of."""
    if primary.vitals is None:
        return bool(primary.slots)
    return bool(primary.vitals.storage.loading)


def _without_primary(snapshot: Snapshot, node: Node) -> Finding:
    return Finding(
        "replica-link-down",
        Severity.WARNING,
        of_node(node),
        f"replica {called(node)} knows no primary" + (f" (it names {node.primary_id[:8]})" if node.primary_id else ""),
        "It copies nothing, counts for no shard, and is never promoted.",
        f"See whom it belongs to: {_recovery(snapshot, node)}",
    )


def _link_down(snapshot: Snapshot, node: Node, primary: Node) -> Finding:
    said = said_of(node)
    since = said.link_down_since_s
    ago = "since its process started" if since in (None, -1) else f"for {_seconds(since or 0)}"
    return Finding(
        "replica-link-down",
        Severity.WARNING,
        of_node(node),
        f"replica {called(node)} has no link to its primary {called(primary)} {ago}",
        f"Its data grows old. {_how_long(node)}",
        f"See why, and what mends it: {_recovery(snapshot, node)}",
    )


def _recovery(snapshot: Snapshot, node: Node) -> str:
    """It looks at both ends of the link, and tells the causes apart."""
    return rcfail("recover", answering(snapshot, node.node_id), str(node.endpoint or node.short), "--dry-run")


def _seconds(seconds: int) -> str:
    """INFO counts in whole seconds."""
    return f"{seconds} s" if seconds < 120 else duration(1000 * seconds)


def _how_long(node: Node) -> str:
    """Until when it still stands for election."""
    config = node.vitals.config if node.vitals else None
    since = said_of(node).link_down_since_s
    window_s = validity_window_s(config) if config else None
    if since == -1 and window_s is not None:
        return "It will not be promoted by itself, for the age of its data is unknown."
    if since is None or window_s is None:
        return "When it is promoted, all writes since then are lost."
    if since > window_s:
        return f"It is not promoted by itself any more: the limit is {_seconds(round(window_s))}."
    left = _seconds(round(window_s - since))
    return f"For {left} more it can still be promoted, and the writes since then would be lost."


def _syncing(snapshot: Snapshot, node: Node, primary: Node) -> Finding:
    doing = "waits for a full copy from" if awaits_copy(snapshot, node) else "is taking a full copy from"
    seen = attached(snapshot, node)
    shown = f"; the primary shows it as {seen.state}" if seen and seen.state not in ("", "online") else ""
    first = never_linked(said_of(node))
    return Finding(
        "replica-syncing",
        Severity.WARNING,
        of_node(node),
        f"replica {called(node)} {doing} its primary {called(primary)}{shown}",
        f"Until the copy is whole it {'has no data that counts' if first else 'falls behind'}. {_if_promoted(node)}",
        f"Wait for it: {rcfail('health', answering(snapshot), '--wait', '60s')}",
    )


def _never_synced(snapshot: Snapshot, node: Node, primary: Node) -> Finding:
    return Finding(
        "replica-never-synced",
        Severity.WARNING,
        of_node(node),
        f"replica {called(node)} holds no key, and had no link to its primary {called(primary)} since it was started",
        f"It protects nothing. {_if_promoted(node)}",
        f"See why, and what mends it: {_recovery(snapshot, node)}",
    )


def _if_promoted(node: Node) -> str:
    """With a validity factor of 0 a server promotes whatever it has (clusterHandleSlaveFailover)."""
    if not never_linked(said_of(node)):
        return "When its primary fails now, the newest writes are lost."
    factor = node.vitals.config.validity_factor if node.vitals else None
    if factor == 0:
        return (
            "Its cluster-replica-validity-factor is 0, so when its primary fails now it is promoted with what it "
            "has, and the data of the shard is lost."
        )
    return "When its primary fails now, nothing is promoted; promoted by hand it would throw the shard's data away."


def replica_lagging(snapshot: Snapshot, thresholds: Thresholds) -> Iterator[Finding]:
    """A replica with its link up that is far behind, or hears or acknowledges nothing.

    Needs the INFO of both; with the primary silent nothing can be said, and its silence is told elsewhere.
    """
    for node in living_replicas(snapshot):
        primary = snapshot.node(node.primary_id)
        if primary is None or primary.vitals is None or sync_of(snapshot, node) is not Sync.IN_SYNC:
            continue
        reasons = [*_behind(snapshot, node, primary, thresholds), *_quiet(snapshot, node, thresholds)]
        if reasons:
            yield Finding(
                "replica-lagging",
                Severity.WARNING,
                of_node(node),
                f"replica {called(node)} of {called(primary)} {listing(reasons)}",
                "When its primary fails now, what it lacks is lost; a planned failover may not finish.",
                f"Watch it: {redis_cli(primary.endpoint, 'INFO', 'replication')}",
                impairs(snapshot, node),
            )


def _behind(snapshot: Snapshot, node: Node, primary: Node, thresholds: Thresholds) -> Iterator[str]:
    """The primary's figures of both, where it has them, are from one moment, so they bound what two moments show."""
    stream = primary.vitals.replication if primary.vitals else Replication()
    limit = thresholds.max_lag_bytes
    if limit is None and stream.backlog_size:
        limit = stream.backlog_size // 2
    behind, seen = lag_of(snapshot, node).behind_bytes, attached(snapshot, node)
    if behind is not None and seen is not None and seen.offset is not None and stream.primary_offset is not None:
        behind = min(behind, stream.primary_offset - seen.offset)
    if behind is not None and limit is not None and behind > limit:
        yield f"is {behind} bytes behind (limit {limit})"


def _quiet(snapshot: Snapshot, node: Node, thresholds: Thresholds) -> Iterator[str]:
    """A primary without writes only pings, and a replica acknowledges once a second (replicationCron)."""
    last_io_s = said_of(node).last_io_s
    period_s = node.vitals.config.ping_replica_period_s if node.vitals else None
    limit_s = thresholds.max_lag_s + (PING_REPLICA_PERIOD_S if period_s is None else period_s) + _PING_SLACK_S
    if last_io_s is not None and last_io_s > limit_s:
        yield f"has heard nothing from it for {last_io_s} s (limit {limit_s} s)"
    seen = attached(snapshot, node)
    if seen is not None and seen.lag_s is not None and seen.lag_s > thresholds.max_lag_s:
        yield f"has acknowledged nothing for {seen.lag_s} s (limit {thresholds.max_lag_s} s)"
