"""How far the automatic failover of one shard has come: from the first suspicion to the new primary."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from math import ceil

from rcfail.cluster.candidacy import Candidate, candidates
from rcfail.cluster.dialect import election_delay_ms, vote_again_after_ms
from rcfail.cluster.electorate import NODE_TIMEOUT_MS
from rcfail.cluster.nouns import NodeId, Role
from rcfail.cluster.snapshot import Known, Node, Shard, Snapshot, View

SPREAD_MS = 2000
"""After a majority suspects a primary, the verdict, a vote and a look at it take this long at most, and half a
node timeout more: gossip reaches every node within that (clusterCron pings at half of it)."""

_SAMPLE = 8
"""Of how many voters the heartbeat times are read, at least: hundreds would say the same."""


class Stage(StrEnum):
    """The steps of an automatic failover, in their order."""

    STEADY = "steady"  # nobody flags the primary
    SUSPECTED = "suspected"  # some nodes wait in vain for its answer
    AGREED = "agreed"  # the majority's verdict is fail; a replica that could stand does not know it yet
    ELECTION_DUE = "election-due"  # that replica knows it, and asks for votes after its delay
    VOTE_FAILED = "vote-failed"  # it should have been promoted for some time; it stands again later
    PROMOTED = "promoted"  # another node owns the slots
    REJOINED = "rejoined"  # and the old primary is its replica, in sync


@dataclass(frozen=True, slots=True)
class FailoverStage:
    """One look at one shard.

    `suspecting` are the voters that flag the primary, `needed` how many must. `candidate` is the replica
    that stands first. `due_in_ms`: with ELECTION_DUE the longest wait for its request, with VOTE_FAILED
    the longest wait for its next one, else None. `agreed_for_ms` is how long ago the agreement
    was, at most. `promoted` and `epoch` tell who owns the slots now.
    """

    stage: Stage
    primary_id: NodeId
    suspecting: tuple[NodeId, ...]
    needed: int
    candidate: NodeId | None = None
    due_in_ms: int | None = None
    agreed_for_ms: int | None = None
    promoted: NodeId | None = None
    epoch: int | None = None


def failover_stage(snapshot: Snapshot, shard: Shard) -> FailoverStage:
    """`shard` may come from an earlier snapshot: so one failover is followed to its end."""
    old, owner = snapshot.node(shard.primary_id), _owner(snapshot, shard)
    steady = FailoverStage(Stage.STEADY, shard.primary_id, (), snapshot.electorate.needed)
    if owner is not None and owner.node_id != shard.primary_id and owner.role is Role.PRIMARY:
        stage = Stage.REJOINED if old is not None and _follows(old, owner) else Stage.PROMOTED
        return replace(steady, stage=stage, promoted=owner.node_id, epoch=owner.config_epoch)
    if old is None or not (old.suspected_by or old.failed_by):
        return steady
    return _under_way(snapshot, shard, old)


def awaited(snapshot: Snapshot, shard: Shard) -> bool:
    """True when the shard's slots are out and only a failover, or its primary's return, brings them back.

    A primary that is known to live, and that only a minority of voters suspects, still serves.
    """
    primary = snapshot.node(shard.primary_id)
    if primary is None or not shard.slots or not (primary.suspected_by or primary.failed_by):
        return False
    return primary.alive is not Known.YES or len(suspecting(snapshot, primary)) >= snapshot.electorate.needed


def suspecting(snapshot: Snapshot, node: Node) -> tuple[NodeId, ...]:
    """The voters that flag a node, `fail?` and `fail` alike."""
    flagged = {*node.suspected_by, *node.failed_by}
    return tuple(voter for voter in snapshot.electorate.voters if voter in flagged)


def _owner(snapshot: Snapshot, shard: Shard) -> Node | None:
    """Who owns the shard's first slot now."""
    if not shard.slots:
        return None
    first = shard.slots[0][0]
    return next((snapshot.node(part.owner) for part in snapshot.stretches if part.first <= first <= part.last), None)


def _follows(node: Node, primary: Node) -> bool:
    said = node.vitals.replication if node.vitals else None
    return node.role is Role.REPLICA and node.primary_id == primary.node_id and said is not None and bool(said.link_up)


def _under_way(snapshot: Snapshot, shard: Shard, primary: Node) -> FailoverStage:
    standing = [each for each in candidates(snapshot, shard) if each.eligible is Known.YES]
    knowing = [each for each in standing if each.node_id in primary.failed_by]
    first = next(iter(knowing or standing), None)
    so_far = FailoverStage(
        Stage.AGREED if primary.failed_by else Stage.SUSPECTED,
        primary.node_id,
        suspecting(snapshot, primary),
        snapshot.electorate.needed,
        candidate=first.node_id if first else None,
    )
    return _election(snapshot, so_far, knowing[0], standing) if knowing else so_far


def _election(
    snapshot: Snapshot, so_far: FailoverStage, candidate: Candidate, standing: list[Candidate]
) -> FailoverStage:
    view = snapshot.by_observer[candidate.node_id]
    timeout_ms = view.vitals.config.node_timeout_ms or NODE_TIMEOUT_MS
    rank = sum(1 for each in standing if (each.offset or 0) > (candidate.offset or 0))
    failed = sum(1 for voter in snapshot.electorate.voters if snapshot.nodes[voter].failed_by)
    delay_ms = election_delay_ms(view.vitals.server, timeout_ms, rank, failed)
    agreed_ms = _agreed_for_ms(snapshot, so_far, timeout_ms)
    late_ms = (agreed_ms or 0) - delay_ms - timeout_ms // 2 - SPREAD_MS
    if late_ms > 0:
        again_ms = vote_again_after_ms(timeout_ms) + delay_ms
        due_ms = again_ms - late_ms % again_ms
        return replace(so_far, stage=Stage.VOTE_FAILED, due_in_ms=due_ms, agreed_for_ms=agreed_ms)
    due_ms = max(0, delay_ms - max(0, (agreed_ms or 0) - timeout_ms // 2))
    return replace(so_far, stage=Stage.ELECTION_DUE, due_in_ms=due_ms, agreed_for_ms=agreed_ms)


def _agreed_for_ms(snapshot: Snapshot, so_far: FailoverStage, timeout_ms: int) -> int | None:
    """How long ago the verdict was, at most: when the last voter that it took began to suspect.

    A voter suspects when its oldest unanswered ping is one node timeout old (clusterCron). None: nobody
    waits for an answer, so the primary is back and the flag alone is left.
    """
    known = [view for voter in so_far.suspecting if (view := snapshot.by_observer.get(voter)) is not None]
    some = known[:: max(1, len(known) // _SAMPLE)]
    waiting = (unanswered_ms(view, so_far.primary_id) for view in some)
    ages = sorted((age for age in waiting if age is not None), reverse=True)
    if not ages:
        return None
    share = min(1.0, so_far.needed / max(1, len(so_far.suspecting)))
    return max(0, ages[ceil(share * len(ages)) - 1] - timeout_ms)


def unanswered_ms(view: View, node_id: NodeId) -> int | None:
    """For how long this observer's oldest ping to a node is without an answer, on the observer's own clock."""
    pulse = view.reply.pulse_of(node_id) if view.reply else None
    if pulse is None or not pulse.ping_sent_unix_ms:
        return None
    return max(0, view.clock_unix_ms - pulse.ping_sent_unix_ms)
