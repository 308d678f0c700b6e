"""Whose data a node holds: told by the stream that it came from, by the shard's own id, or by the slots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rcfail.change.recover.case import Case
from rcfail.change.recover.replicas.copying import history
from rcfail.cluster.nouns import NodeId
from rcfail.cluster.snapshot import Node
from rcfail.health.wording import called, slots_text

MYSHARDID = ("CLUSTER", "MYSHARDID")


class Heir(NamedTuple):
    """A serving primary that the node belongs to; `because` is a clause."""

    primary: NodeId
    because: str


def heirs(case: Case, node: Node, owners: Sequence[Node]) -> tuple[Heir, ...]:
    """All that fit by the surest sign there is: one is an answer, several or none are not."""
    return _by_stream(node, owners) or _by_shard_id(case, node, owners) or _by_slots(case, node, owners)


def _by_stream(node: Node, owners: Sequence[Node]) -> tuple[Heir, ...]:
    """A promoted replica keeps the name of its old primary's stream (master_replid2)."""
    mine = history(node)
    return tuple(Heir(each.node_id, "its data is of the same stream") for each in owners if mine & history(each))


def _by_shard_id(case: Case, node: Node, owners: Sequence[Node]) -> tuple[Heir, ...]:
    """All nodes of a shard share an id that outlives failovers (clusterNode.shard_id, cluster_legacy.h)."""
    mine = case.reply(node.endpoint, *MYSHARDID)
    if not isinstance(mine, str) or not mine:
        return ()
    there = (each for each in owners if case.reply(each.endpoint, *MYSHARDID) == mine)
    return tuple(Heir(each.node_id, f"both say that they are of shard {mine[:8]}") for each in there)


def _by_slots(case: Case, node: Node, owners: Sequence[Node]) -> tuple[Heir, ...]:
    """Who owns all the slots that the node still has for its dead primary's."""
    told = node.view.belief(node.primary_id) if node.view is not None and node.primary_id else None
    above = case.snapshot.node(node.primary_id)
    if told is None or not told.slots or above is None:
        return ()
    why = f"it owns all of {slots_text(told.slots)}, which the node has for those of {called(above)}"
    return tuple(Heir(each.node_id, why) for each in owners if _covers(each, told.slots))


def _covers(owner: Node, slots: Sequence[tuple[int, int]]) -> bool:
    return all(any(low <= first and last <= high for low, high in owner.slots) for first, last in slots)
