"""What each side of a partition serves now, what it will do by itself, and what is being lost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from rcfail.cluster.candidacy import candidates
from rcfail.cluster.dialect import election_delay_ms, vote_again_after_ms
from rcfail.cluster.electorate import NODE_TIMEOUT_MS
from rcfail.cluster.failover_stage import Stage, failover_stage, unanswered_ms
from rcfail.cluster.nouns import NodeId, Role, SlotRange
from rcfail.cluster.sides import Division, Side
from rcfail.cluster.snapshot import Known, Node, Shard, Snapshot
from rcfail.cluster.vitals import Vitals


class Access(StrEnum):
    """What a slot owner lets its clients do, by its own word."""

    WRITES = "writes"
    READS = "reads"  # cluster_state:fail with cluster-allow-reads-when-down yes
    NOTHING = "nothing"  # CLUSTERDOWN, or it is loading
    UNKNOWN = "unknown"  # silent to us, or its state is not said


@dataclass(frozen=True, slots=True)
class Service:
    """A node of the side that claims slots itself; one that is silent to us is taken at the others' word."""

    node_id: NodeId
    slots: tuple[SlotRange, ...]
    access: Access


class Move(StrEnum):
    """What happens without anybody's help while the partition lasts."""

    STOPS = "stops"  # a primary without a majority stops taking commands on keys
    PROMOTES = "promotes"  # a replica takes the slots of a primary that is beyond
    PROMOTES_NOBODY = "promotes-nobody"  # the side could vote, but has no replica of that primary that may stand


@dataclass(frozen=True, slots=True)
class Forecast:
    """One move of one side. `node_id` is the primary that it is about, `within_ms` the longest wait as far as known.

    `again_ms`: where several elections are due at once, how long after a lost vote the replica stands again.
    """

    move: Move
    node_id: NodeId
    slots: tuple[SlotRange, ...]
    successor: NodeId | None = None
    within_ms: int | None = None
    again_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Loss:
    """Writes of `primary_id` that are thrown away when the sides meet.

    `certain`: `successor` owns the slots already; else it will once it is promoted. `still_taking`: more of them come
    in at this moment. `up_to_bytes` are bytes of the replication stream, heartbeats included; None: cannot be told.
    """

    primary_id: NodeId
    successor: NodeId
    certain: bool
    still_taking: bool
    up_to_bytes: int | None


@dataclass(frozen=True, slots=True)
class Prospect:
    """One side, its present and its future."""

    side: Side
    services: tuple[Service, ...]
    forecasts: tuple[Forecast, ...]
    losses: tuple[Loss, ...]


def outlook(snapshot: Snapshot, parts: Division) -> tuple[Prospect, ...]:
    """A prospect for each side, in their order. A cluster in one piece has one, without moves and losses."""
    services = [tuple(_services(snapshot, side)) for side in parts.sides]
    moves = [tuple(_moves(snapshot, side, own)) for side, own in zip(parts.sides, services, strict=True)]
    heirs = {each.node_id: each.successor for side in moves for each in side if each.successor}
    return tuple(
        Prospect(side, own, after, tuple(_losses(snapshot, own, heirs)))
        for side, own, after in zip(parts.sides, services, moves, strict=True)
    )


def _services(snapshot: Snapshot, side: Side) -> Iterator[Service]:
    for node_id in side.members:
        node = snapshot.nodes[node_id]
        own = node.view.own if node.view else None
        slots = node.slots if own is None else own.slots
        if slots and (own is None or own.role is Role.PRIMARY):
            yield Service(node_id, slots, _access(node.vitals))


def _access(said: Vitals | None) -> Access:
    if said is None or not said.cluster.state:
        return Access.UNKNOWN
    if said.storage.loading:
        return Access.NOTHING
    if said.cluster.state == "ok":
        return Access.WRITES
    return Access.READS if said.config.allow_reads_when_down else Access.NOTHING


def _moves(snapshot: Snapshot, side: Side, services: tuple[Service, ...]) -> Iterator[Forecast]:
    if side.quorum is Known.NO:
        for each in services:
            if each.access is Access.WRITES:
                yield Forecast(Move.STOPS, each.node_id, each.slots, within_ms=_stops_within_ms(snapshot, side, each))
        return
    beyond = [each for each in snapshot.shards if each.slots and each.primary_id in side.electorate]
    moves = [_promotion(snapshot, side, shard) for shard in beyond if shard.primary_id not in side.voters]
    several = sum(1 for move in moves if move.successor) > 1
    for move in moves:
        # A voter has one vote an epoch: candidates of one moment take votes from each other.
        again = several and move.successor is not None
        yield replace(move, again_ms=vote_again_after_ms(_timeout_ms(snapshot, move.successor)) if again else None)


def _timeout_ms(snapshot: Snapshot, node_id: NodeId | None) -> int:
    view = snapshot.by_observer.get(node_id) if node_id else None
    return (view.vitals.config.node_timeout_ms if view else None) or NODE_TIMEOUT_MS


def _stops_within_ms(snapshot: Snapshot, side: Side, service: Service) -> int | None:
    """Until it suspects so many voters that no majority is left: each a node timeout after its oldest unanswered ping.

    A ping goes out after half a node timeout at the latest (clusterCron), so one that is not out yet takes 1.5 of them.
    """
    view = snapshot.by_observer.get(service.node_id)
    if view is None or view.reply is None:
        return None
    timeout_ms = view.vitals.config.node_timeout_ms or NODE_TIMEOUT_MS
    left: list[int] = []
    for voter in side.electorate:
        belief = view.belief(voter)
        if voter == service.node_id or voter in side.voters:
            continue
        waits = unanswered_ms(view, voter)
        flagged = belief is None or belief.flagged
        left.append(0 if flagged else timeout_ms * 3 // 2 if waits is None else max(0, timeout_ms - waits))
    # With so many of them gone, those of its own side are no majority.
    enough = len(side.electorate) - side.needed + 1
    return sorted(left)[min(enough, len(left)) - 1] if left else None


def _promotion(snapshot: Snapshot, side: Side, shard: Shard) -> Forecast:
    standing = candidates(snapshot, shard)
    here = [each for each in standing if each.node_id in side.members and each.eligible is not Known.NO]
    if not here:
        return Forecast(Move.PROMOTES_NOBODY, shard.primary_id, shard.slots)
    stage = failover_stage(snapshot, shard)
    chosen = stage.candidate if stage.candidate in side.members else here[0].node_id
    return Forecast(
        Move.PROMOTES,
        shard.primary_id,
        shard.slots,
        chosen,
        _promoted_within_ms(snapshot, chosen, stage.due_in_ms, stage.stage),
    )


def _promoted_within_ms(snapshot: Snapshot, chosen: NodeId | None, due_in_ms: int | None, stage: Stage) -> int | None:
    view = snapshot.by_observer.get(chosen) if chosen else None
    if due_in_ms is not None or view is None:
        return due_in_ms
    timeout_ms = view.vitals.config.node_timeout_ms or NODE_TIMEOUT_MS
    delay_ms = election_delay_ms(view.vitals.server, timeout_ms, 0)
    # Suspicion and the agreement on it take a node timeout and a half at most, a verdict that is out half of one.
    return delay_ms + (timeout_ms // 2 if stage is Stage.AGREED else timeout_ms * 3 // 2)


def _losses(snapshot: Snapshot, services: tuple[Service, ...], heirs: Mapping[NodeId, NodeId]) -> Iterator[Loss]:
    for each in services:
        node = snapshot.nodes[each.node_id]
        owner = _taken_by(snapshot, each.node_id)
        successor = snapshot.node(owner or heirs.get(each.node_id))
        if successor is not None:
            certain = owner is not None
            taking = each.access is Access.WRITES
            behind = _beyond(node, successor, certain)
            if taking or behind != 0:
                yield Loss(each.node_id, successor.node_id, certain, taking, behind)


def _taken_by(snapshot: Snapshot, node_id: NodeId) -> NodeId | None:
    """Who owns a slot that this node claims too, in a greater epoch."""
    for stretch in snapshot.stretches:
        if stretch.owner != node_id and any(claim.node_id == node_id for claim in stretch.confirmed):
            return stretch.owner
    return None


def _beyond(primary: Node, successor: Node, promoted: bool) -> int | None:
    """What the primary wrote and the successor does not have.

    A promoted node keeps its primary's history as second, up to second_repl_offset, which is the first byte of its own.
    """
    old = primary.vitals.replication if primary.vitals else None
    new = successor.vitals.replication if successor.vitals else None
    if old is None or new is None or old.primary_offset is None or not old.replid:
        return None
    if promoted:
        known = new.second_offset - 1 if new.second_offset and new.replid2 == old.replid else None
    else:
        known = new.own_offset if new.replid == old.replid else None
    return None if known is None else max(0, old.primary_offset - known)
