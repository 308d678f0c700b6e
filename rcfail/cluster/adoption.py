"""Replica migration: a shard that lost its last replica gets a spare one of another shard, without help."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from rcfail.cluster.forecast import Fate, Forecast, ShardAfter, Stop
from rcfail.cluster.nouns import NodeId
from rcfail.cluster.placement import survivors
from rcfail.cluster.snapshot import Snapshot

_FEWEST_TO_SPARE = 2
_BARRIER = 1  # the default of config.c, used only where CONFIG GET gave nothing


def adopted(snapshot: Snapshot, forecast: Forecast) -> Forecast:
    """The forecast with the replica that moves. Nothing is foretold where it hangs on chance, or on what was not seen:
    of two shards without replicas either may get it.

    As long as the cluster is ok: among the primaries with most living replicas, two at least, the replica with
    the smallest id moves, if more than cluster-migration-barrier were there. A dead one with that id bars the way,
    for it is not passed over (clusterHandleSlaveMigration, cluster_legacy.c).
    """
    if forecast.stop is not Stop.NOTHING or not forecast.bare or forecast.doubtful:
        return forecast
    members = {shard.primary_id: _members(snapshot, shard, forecast.lost) for shard in forecast.shards}
    orphans = [shard for shard in forecast.shards if not members[shard.primary_id] and _is_orphan(snapshot, shard)]
    mover, giver = _mover(snapshot, forecast, members) if len(orphans) == 1 else (None, None)
    if mover is None:
        return forecast
    changed = {orphans[0].primary_id: replace(orphans[0], replicas_after=1, adopts=mover)}
    if giver is not None:
        changed[giver.primary_id] = replace(giver, replicas_after=max(0, giver.replicas_after - 1))
    return replace(forecast, shards=tuple(changed.get(shard.primary_id, shard) for shard in forecast.shards))


def _members(snapshot: Snapshot, shard: ShardAfter, lost: Collection[NodeId]) -> frozenset[NodeId]:
    """The replicas that live below whoever serves the shard afterwards; with a link or without."""
    serving = shard.contenders[0] if shard.contenders else shard.primary_id
    living = survivors(snapshot, snapshot.shard_by_node[shard.primary_id], lost)
    return frozenset(node.node_id for node in living) - {serving, shard.primary_id}


def _is_orphan(snapshot: Snapshot, shard: ShardAfter) -> bool:
    """It serves and has lost its replicas: a primary that never had any is let alone."""
    had = bool(snapshot.shard_by_node[shard.primary_id].replica_ids)
    return had and shard.fate in (Fate.KEPT, Fate.TAKEN_OVER)


def _mover(
    snapshot: Snapshot, forecast: Forecast, members: Mapping[NodeId, frozenset[NodeId]]
) -> tuple[NodeId | None, ShardAfter | None]:
    """The replica that moves and the shard that it leaves; nobody where none may, or where chance decides."""
    serving = forecast.of_fate(Fate.KEPT, Fate.TAKEN_OVER)
    most = max((len(members[shard.primary_id]) for shard in serving), default=0)
    givers = [shard for shard in serving if len(members[shard.primary_id]) == most]
    if most < _FEWEST_TO_SPARE or any(len(shard.contenders) > 1 for shard in givers):
        return None, None
    listed = {
        replica: shard
        for shard in givers
        for replica in snapshot.shard_by_node[shard.primary_id].replica_ids
        if replica not in shard.contenders
    }
    first = min(listed, default=None)
    if first is None or first not in members[listed[first].primary_id]:
        return None, None
    vitals = snapshot.nodes[first].vitals
    if vitals is None or vitals.config.allow_replica_migration is False:
        return None, None
    barrier = _BARRIER if vitals.config.migration_barrier is None else vitals.config.migration_barrier
    return (first, listed[first]) if most > barrier else (None, None)
