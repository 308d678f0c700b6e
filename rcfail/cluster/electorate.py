"""Voters, quorum, and which replica could be promoted without anybody's help."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from rcfail.cluster.nouns import NodeId
from rcfail.cluster.snapshot import Electorate, Known, Node, Shard, Snapshot, View
from rcfail.cluster.vitals import Configured, Replication

# Defaults of config.c, used only where CONFIG GET gave nothing.
NODE_TIMEOUT_MS = 15_000
VALIDITY_FACTOR = 10
PING_REPLICA_PERIOD_S = 10


def electorate(voters: tuple[NodeId, ...], by_observer: Mapping[NodeId, View]) -> Electorate:
    """The voters' own opinion of each other decides whether a majority stands together.

    A quorum is a majority of all primaries with slots, dead ones included (cluster_size / 2 + 1 in
    clusterUpdateState and clusterSendFailoverAuthIfNeeded, cluster_legacy.c).
    """
    needed = len(voters) // 2 + 1
    reachable = tuple(voter for voter in voters if _listing(voter, by_observer))
    side: tuple[NodeId, ...] = ()
    # One side of a majority is enough, and in a healthy cluster the first voter's is all of them.
    for voter in reachable:
        found = side_of(voter, voters, by_observer)
        if len(found) > len(side):
            side = found
        if len(side) == len(voters):
            break
    return Electorate(voters, needed, reachable, side, _quorum(voters, needed, reachable, side))


def _listing(voter: NodeId, by_observer: Mapping[NodeId, View]) -> bool:
    view = by_observer.get(voter)
    return view is not None and view.reply is not None


def _quorum(voters: tuple[NodeId, ...], needed: int, reachable: tuple[NodeId, ...], side: tuple[NodeId, ...]) -> Known:
    if voters and len(side) >= needed:
        return Known.YES
    if not reachable:
        return Known.UNKNOWN
    return Known.NO


def side_of(observer: NodeId, members: tuple[NodeId, ...], by_observer: Mapping[NodeId, View]) -> tuple[NodeId, ...]:
    """The members that `observer` lists without a fail flag and that, where asked, list it so too."""
    view = by_observer.get(observer)
    if view is None:
        return ()
    return tuple(
        member
        for member in members
        if member == observer or (_unflagged(view, member) and _answers_in_kind(member, observer, by_observer))
    )


def _answers_in_kind(member: NodeId, observer: NodeId, by_observer: Mapping[NodeId, View]) -> bool:
    other = by_observer.get(member)
    return other is None or other.reply is None or _unflagged(other, observer)


def _unflagged(view: View, node_id: NodeId) -> bool:
    belief = view.belief(node_id)
    return belief is not None and not belief.flagged and not belief.noaddr


class Obstacle(StrEnum):
    """Why a replica would not be promoted by an automatic failover."""

    SILENT = "silent"  # does not answer, so nothing is known of it
    DEAD = "dead"
    LOADING = "loading"
    NOFAILOVER = "nofailover"  # cluster-replica-no-failover yes
    NEVER_SYNCED = "never-synced"  # no link to a primary since its process started, and no offset
    NOT_SYNCED_SINCE_START = "not-synced-since-start"  # has data of its own, but its age is unknown
    DATA_TOO_OLD = "data-too-old"  # last contact longer ago than the validity window
    STALE_EPOCH = "stale-epoch"  # asks for slots with an epoch that the voters refuse
    REPLICA_OF_REPLICA = "replica-of-replica"
    AGE_UNKNOWN = "age-unknown"  # INFO is missing, so its data age cannot be told


@dataclass(frozen=True, slots=True)
class Candidate:
    """A replica and everything that stands in the way of its automatic promotion; none: eligible."""

    node_id: NodeId
    obstacles: tuple[tuple[Obstacle, str], ...]
    offset: int | None

    @property
    def eligible(self) -> Known:
        kinds = {kind for kind, _ in self.obstacles}
        if not kinds:
            return Known.YES
        if kinds <= {Obstacle.SILENT, Obstacle.AGE_UNKNOWN}:
            return Known.UNKNOWN
        return Known.NO


def candidates(snapshot: Snapshot, shard: Shard) -> tuple[Candidate, ...]:
    """Every replica of the shard, the one with most data first."""
    found = (_candidate(snapshot, shard, node) for node in snapshot.replicas_of(shard))
    return tuple(sorted(found, key=lambda each: (-(each.offset or 0), each.node_id)))


def _candidate(snapshot: Snapshot, shard: Shard, node: Node) -> Candidate:
    found: list[tuple[Obstacle, str]] = []
    if node.alive is Known.NO:
        found.append((Obstacle.DEAD, "it is dead"))
    elif node.view is None or node.view.reply is None:
        found.append((Obstacle.SILENT, "it does not answer us"))
    if node.primary_id != shard.primary_id:
        found.append((Obstacle.REPLICA_OF_REPLICA, "it replicates from another replica"))
    if "nofailover" in node.flags:
        found.append((Obstacle.NOFAILOVER, "cluster-replica-no-failover is set"))
    vitals = node.vitals
    if vitals is None:
        return Candidate(node.node_id, tuple(found), None)
    if vitals.storage.loading:
        found.append((Obstacle.LOADING, "it is loading its data set"))
    if vitals.replication.own_offset is None:
        if not vitals.storage.loading:
            found.append((Obstacle.AGE_UNKNOWN, "INFO replication is not readable"))
    else:
        found.extend(_data_obstacles(vitals.replication, vitals.config))
    found.extend(_epoch_obstacles(snapshot, shard, node))
    return Candidate(node.node_id, tuple(found), vitals.replication.own_offset)


def validity_window_s(config: Configured) -> float | None:
    """For how long after the last contact with its primary a replica still stands for election; None: for ever.

    repl-ping-replica-period + node timeout x validity factor, counted after one node timeout has
    passed (clusterHandleSlaveFailover, cluster_legacy.c).
    """
    factor = VALIDITY_FACTOR if config.validity_factor is None else config.validity_factor
    if factor == 0:
        return None
    timeout_s = (config.node_timeout_ms or NODE_TIMEOUT_MS) / 1000
    period_s = PING_REPLICA_PERIOD_S if config.ping_replica_period_s is None else config.ping_replica_period_s
    return period_s + timeout_s * factor + timeout_s


def _data_obstacles(said: Replication, config: Configured) -> tuple[tuple[Obstacle, str], ...]:
    if said.link_up:
        return ()
    # A replica that never had a primary link shows offset 0 or 1 (INFO replication, all versions).
    if said.own_offset in (0, 1):
        return ((Obstacle.NEVER_SYNCED, "it never finished a sync, so it holds no data"),)
    window_s = validity_window_s(config)
    if window_s is None:
        return ()
    # -1 after a restart: the server counts the data age from the epoch of time and finds it too old.
    if said.link_down_since_s == -1:
        return ((Obstacle.NOT_SYNCED_SINCE_START, "it was not in sync since its process started"),)
    if said.link_down_since_s is not None and said.link_down_since_s > window_s:
        text = f"its data is {said.link_down_since_s} s old and the limit is {window_s:.0f} s"
        return ((Obstacle.DATA_TOO_OLD, text),)
    return ()


def _epoch_obstacles(snapshot: Snapshot, shard: Shard, node: Node) -> tuple[tuple[Obstacle, str], ...]:
    """A voter refuses when a claimed slot has an owner with a greater epoch than the replica knows of."""
    if node.view is None or node.view.reply is None:
        return ()
    believed = node.view.belief(shard.primary_id)
    if believed is None or not believed.slots:
        return ()
    for voter in snapshot.electorate.reachable:
        view = snapshot.by_observer[voter]
        listed = view.belief(shard.primary_id)
        if listed and listed.slots and listed.config_epoch > believed.config_epoch:
            text = f"it knows epoch {believed.config_epoch} for its slots, the voters {listed.config_epoch}"
            return ((Obstacle.STALE_EPOCH, text),)
    return ()
