"""Which replica of a shard could be promoted by an automatic failover, and what stands in its way."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import StrEnum

from rcfail.cluster.electorate import NODE_TIMEOUT_MS
from rcfail.cluster.nouns import Belief, NodeId, Role
from rcfail.cluster.snapshot import Known, Node, Shard, Snapshot
from rcfail.cluster.vitals import Configured, Replication, Vitals

# Defaults of config.c, used only where CONFIG GET gave nothing.
VALIDITY_FACTOR = 10
PING_REPLICA_PERIOD_S = 10


class Obstacle(StrEnum):
    """Why a replica would not be promoted by an automatic failover."""

    SILENT = "silent"  # does not answer, so nothing is known of it
    DEAD = "dead"
    LOADING = "loading"
    NOFAILOVER = "nofailover"  # cluster-replica-no-failover yes
    NEVER_SYNCED = "never-synced"  # no link to a primary since its process started, and no keys
    NOT_SYNCED_SINCE_START = "not-synced-since-start"  # has data of its own, but its age is unknown
    DATA_TOO_OLD = "data-too-old"  # last contact longer ago than the validity window
    REPLICA_OF_REPLICA = "replica-of-replica"
    CUT_OFF = "cut-off"  # reaches too few voters
    NOT_LISTED = "not-listed"  # too few voters list it as a replica
    STALE_EPOCH = "stale-epoch"  # asks for slots with an epoch that the voters refuse
    AGE_UNKNOWN = "age-unknown"  # INFO or CONFIG GET is missing, so its data age cannot be judged


_UNDECIDED = frozenset({Obstacle.SILENT, Obstacle.AGE_UNKNOWN})


@dataclass(frozen=True, slots=True)
class Candidate:
    """A replica and everything that stands in the way of its automatic promotion, each with words for a sentence.

    `offset` is in bytes of the replication stream. `empty`: it never synced and holds no key. With
    cluster-replica-validity-factor 0 the servers promote even that, and the shard's data is gone.
    """

    node_id: NodeId
    obstacles: tuple[tuple[Obstacle, str], ...]
    offset: int | None
    empty: bool = False

    @property
    def eligible(self) -> Known:
        """YES without obstacles; UNKNOWN when all of them are things that could not be seen."""
        kinds = {kind for kind, _ in self.obstacles}
        if not kinds:
            return Known.YES
        return Known.UNKNOWN if kinds <= _UNDECIDED else Known.NO

    def has(self, *kinds: Obstacle) -> bool:
        return any(kind in kinds for kind, _ in self.obstacles)


def candidates(snapshot: Snapshot, shard: Shard, gone: Collection[NodeId] = ()) -> tuple[Candidate, ...]:
    """Every replica of the shard, the one with most data first. The votes that it could get are judged too.

    `gone` are nodes that are taken to be lost although they live: they neither stand nor vote.
    """
    return _judged(snapshot, shard, votes=True, gone=gone)


def candidates_by_themselves(snapshot: Snapshot, shard: Shard) -> tuple[Candidate, ...]:
    """The same without a look at the voters: fast enough for every shard of a large cluster."""
    return _judged(snapshot, shard, votes=False)


def _judged(snapshot: Snapshot, shard: Shard, votes: bool, gone: Collection[NodeId] = ()) -> tuple[Candidate, ...]:
    standing = (node for node in snapshot.replicas_of(shard) if node.node_id not in gone)
    found = (_candidate(snapshot, shard, node, votes, gone) for node in standing)
    return tuple(sorted(found, key=lambda each: (each.offset is None, -(each.offset or 0), each.node_id)))


def _candidate(snapshot: Snapshot, shard: Shard, node: Node, votes: bool, gone: Collection[NodeId]) -> Candidate:
    found = [*_standing(shard, node)]
    vitals = node.vitals
    if vitals is not None:
        found.extend(_data_obstacles(vitals))
    if votes and node.view is not None and node.view.reply is not None:
        found.extend(_vote_obstacles(snapshot, shard, node, gone))
    offset = vitals.replication.own_offset if vitals else None
    return Candidate(node.node_id, tuple(found), offset, vitals is not None and holds_nothing(vitals))


def _standing(shard: Shard, node: Node) -> Iterator[tuple[Obstacle, str]]:
    if node.alive is Known.NO:
        yield Obstacle.DEAD, "it is down"
    elif node.view is None:
        yield Obstacle.SILENT, "it does not answer us"
    if node.primary_id != shard.primary_id:
        yield Obstacle.REPLICA_OF_REPLICA, "it replicates from another replica"
    if bars_failover(node):
        yield Obstacle.NOFAILOVER, "cluster-replica-no-failover is set on it"


def bars_failover(node: Node) -> bool:
    """Its own setting where it can be read, else what its own view, else any view, prints: flags of others lag."""
    said = node.vitals.config.no_failover if node.vitals else None
    if said is not None:
        return said
    own = node.view.own if node.view else None
    return own.nofailover if own else "nofailover" in node.flags


def never_linked(said: Replication) -> bool:
    """The link to the primary was not up once since the process started.

    repl_down_since is then still 0, and INFO prints -1 for it (server.c). The offset cannot tell: it is 0 on a
    replica in sync as long as nobody has written anything.
    """
    return said.link_up is False and said.link_down_since_s == -1


def holds_nothing(vitals: Vitals) -> bool:
    """A replica that never had its first copy."""
    return never_linked(vitals.replication) and vitals.storage.keys == 0


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


def _data_obstacles(vitals: Vitals) -> Iterator[tuple[Obstacle, str]]:
    """The server asks for the age of the data alone, not whether there is any (clusterHandleSlaveFailover)."""
    if vitals.storage.loading:
        yield Obstacle.LOADING, "it is loading its data set"
        return
    said, config = vitals.replication, vitals.config
    age_s = said.last_io_s if said.link_up else said.link_down_since_s
    if said.link_up is None or age_s is None:
        yield Obstacle.AGE_UNKNOWN, "the age of its data cannot be read"
        return
    window_s = validity_window_s(config)
    if window_s is None:
        return
    if age_s == -1:
        yield _never_in_sync(vitals)
    elif (config.node_timeout_ms is None or config.validity_factor is None) and age_s > PING_REPLICA_PERIOD_S:
        yield Obstacle.AGE_UNKNOWN, f"its data is {age_s} s old and the limit cannot be read"
    elif age_s > window_s:
        yield Obstacle.DATA_TOO_OLD, f"its data is {age_s} s old and the limit is {window_s:.0f} s"


def _never_in_sync(vitals: Vitals) -> tuple[Obstacle, str]:
    """Both have an age counted from the year 1970 in the server's eyes, and that is too old."""
    if holds_nothing(vitals):
        return Obstacle.NEVER_SYNCED, "it never finished a sync and holds no data"
    return Obstacle.NOT_SYNCED_SINCE_START, "it was restarted and not in sync since, so the age of its data is unknown"


def _vote_obstacles(
    snapshot: Snapshot, shard: Shard, node: Node, gone: Collection[NodeId]
) -> Iterator[tuple[Obstacle, str]]:
    """A majority of all voters must hear the replica, list it as one, and find its epoch good enough.

    These are the voter's tests in clusterSendFailoverAuthIfNeeded, cluster_legacy.c. A voter that is silent
    to us, and that the replica trusts, is taken to agree. The primary itself cannot: it is the one that failed.
    """
    needed = snapshot.electorate.needed
    others = (voter for voter in snapshot.electorate.voters if voter != shard.primary_id and voter not in gone)
    hearing = [voter for voter in others if hears(snapshot, node, voter)]
    if len(hearing) < needed:
        yield Obstacle.CUT_OFF, f"it reaches {len(hearing)} of the {needed} voters that it needs"
        return
    listing = [voter for voter in hearing if lists(snapshot, voter, node.node_id)]
    if len(listing) < needed:
        yield Obstacle.NOT_LISTED, f"{len(listing)} of the {needed} voters that it needs list it as a replica"
        return
    claimed = node.view.belief(shard.primary_id) if node.view else None
    if claimed is None:
        return
    refusing = refusing_epochs(snapshot, listing, claimed)
    if len(listing) - len(refusing) < needed:
        text = f"it knows epoch {claimed.config_epoch} for its slots, and {len(refusing)} voters know {max(refusing)}"
        yield Obstacle.STALE_EPOCH, text


def hears(snapshot: Snapshot, node: Node, voter: NodeId) -> bool:
    """Neither of the two flags the other, as far as both could be asked."""
    mine = node.view.belief(voter) if node.view else None
    if mine is None or mine.flagged or mine.noaddr:
        return False
    theirs = snapshot.by_observer.get(voter)
    back = theirs.belief(node.node_id) if theirs else None
    return back is None or not back.flagged


def lists(snapshot: Snapshot, voter: NodeId, replica: NodeId) -> bool:
    """The voter knows it as a replica; one that could not be asked is taken to."""
    view = snapshot.by_observer.get(voter)
    if view is None or view.reply is None:
        return True
    belief = view.belief(replica)
    return belief is not None and belief.role is Role.REPLICA and belief.primary_id is not None


def refusing_epochs(snapshot: Snapshot, voters: list[NodeId], claimed: Belief) -> list[int]:
    """Of each voter that would refuse: the epoch of an owner of a claimed slot that is above the claim's own."""
    found = dict.fromkeys(voters, 0)
    for part in snapshot.stretches:
        if not any(first <= part.last and part.first <= last for first, last in claimed.slots):
            continue
        for claim in part.claims:
            if claim.config_epoch <= claimed.config_epoch:
                continue
            for voter in found.keys() & set(claim.observers):
                belief = snapshot.by_observer[voter].belief(claim.node_id)
                found[voter] = max(found[voter], belief.config_epoch if belief else 0)
    return [epoch for epoch in found.values() if epoch > claimed.config_epoch]
