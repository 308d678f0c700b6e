"""The marks that SETSLOT leaves on slots: which node shows them, and which are left over."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from rcfail.cluster.dialect import tells_replicas_of_marks
from rcfail.cluster.nouns import Belief, NodeId, Role
from rcfail.cluster.snapshot import Snapshot


class LeftOver(NamedTuple):
    """Slots that a replica marks as half moved, and its primary does not."""

    replica: NodeId
    primary: NodeId
    slots: frozenset[int]


def own_lines(snapshot: Snapshot) -> Iterator[tuple[NodeId, Belief]]:
    """What each node that answers says of itself: marks are on no other line."""
    return ((each, view.own) for each, view in snapshot.by_observer.items() if view.own is not None)


def marked(belief: Belief) -> frozenset[int]:
    """Every slot that the node's own line shows as half moved."""
    return frozenset(slot for slot, _ in (*belief.migrating, *belief.importing))


def left_on_replicas(snapshot: Snapshot) -> Iterator[LeftOver]:
    """Marks that a replica kept: it was away when its primary closed the slot, and a full copy brings no word of it.

    Once it is promoted they count.
    """
    for observer, own in own_lines(snapshot):
        primary = snapshot.by_observer.get(own.primary_id) if own.primary_id else None
        if own.role is not Role.REPLICA or primary is None or primary.own is None:
            continue
        left = marked(own) - marked(primary.own)
        if left and tells_replicas_of_marks(primary.vitals.server):
            yield LeftOver(observer, primary.own.node_id, left)
