"""How a replica stands with its primary's data: in sync, taking a copy, without any, or cut off."""

from __future__ import annotations

from enum import StrEnum

from rcfail.cluster.candidacy import holds_nothing
from rcfail.cluster.snapshot import Node, Snapshot
from rcfail.cluster.vitals import AttachedReplica


class Sync(StrEnum):
    """Exactly one of these fits a replica."""

    IN_SYNC = "in-sync"  # the link is up; it may still be behind
    LOADING = "loading"  # it reads its own files after a start
    SYNCING = "syncing"  # a full copy is on its way, or waits to begin
    NEVER_SYNCED = "never-synced"  # no copy is on its way, and it holds no data
    LINK_DOWN = "link-down"  # it has data, and no link
    UNKNOWN = "unknown"  # it does not say


def sync_of(snapshot: Snapshot, replica: Node) -> Sync:
    """From the replica's own INFO, and from its primary's where that says more.

    While a primary waits or forks for a copy, the replica itself shows only a link that is down
    (master_sync_in_progress is 1 during the transfer alone); the primary's `slaveN` line then says wait_bgsave.
    CLUSTER SHARDS is not used: its health `loading` means offset 0, which an idle replica in sync has too.
    """
    if replica.vitals is None or replica.vitals.replication.link_up is None:
        return Sync.UNKNOWN
    said = replica.vitals.replication
    if said.link_up:
        return Sync.IN_SYNC
    if said.sync_in_progress or awaits_copy(snapshot, replica):
        return Sync.SYNCING
    if replica.vitals.storage.loading:
        return Sync.LOADING
    return Sync.NEVER_SYNCED if holds_nothing(replica.vitals) else Sync.LINK_DOWN


def awaits_copy(snapshot: Snapshot, replica: Node) -> bool:
    """The primary holds a link of this replica that is not `online` yet."""
    seen = attached(snapshot, replica)
    return seen is not None and seen.state not in ("", "online")


def attached(snapshot: Snapshot, replica: Node) -> AttachedReplica | None:
    """The `slaveN` line of this replica in its primary's INFO, by address and port; None where none fits."""
    primary = snapshot.node(replica.primary_id)
    if primary is None or primary.vitals is None:
        return None
    hosts = {replica.address.host, replica.endpoint.host if replica.endpoint else ""}
    ports = {replica.address.port, replica.endpoint.port if replica.endpoint else 0}
    for each in primary.vitals.replication.attached:
        if each.ip in hosts and each.port in ports:
            return each
    return None
