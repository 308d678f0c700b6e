"""The marks of half moved slots, and what each of these slots asks for, by who holds keys of it."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from rcfail.change.recover.case import Case, Question
from rcfail.change.recover.slots.slots import ask_of, keys_in
from rcfail.cluster.marks import left_on_replicas, own_lines
from rcfail.cluster.nouns import NodeId, Role
from rcfail.cluster.snapshot import Node, Snapshot

_STATISTICS = ("INFO", "stats")


class Way(StrEnum):
    CLOSE = "close"  # the owner keeps it
    FINISH = "finish"  # all keys are on the other side, so that becomes the owner
    MOVING = "moving"  # keys were moved just now
    SPLIT = "split"  # keys are on both sides
    GONE = "gone"  # the other side is dead and may hold keys
    OWNERLESS = "ownerless"  # its owner does not answer
    UNCOUNTED = "uncounted"  # a side did not say how many keys it holds
    REPLICA = "replica"  # only a replica marks it


class Opened(NamedTuple):
    """A slot that somebody marks. `others` are all that are at the far end of a mark, or have one, without the owner;
    `near` is the one of them that matters: who holds the keys, who is gone, or else the first.
    """

    way: Way
    owner: NodeId
    near: NodeId
    others: tuple[NodeId, ...]


class _Mark(NamedTuple):
    slot: int
    on: NodeId
    other: NodeId


def questions(case: Case) -> Iterator[Question]:
    """Keys of each open slot on all sides of it, and whether the owner moves keys at this time."""
    slots_of: dict[NodeId, list[int]] = {}
    for slot, (owner, others) in _sides(case.snapshot).items():
        for each in (owner, *others):
            slots_of.setdefault(each, []).append(slot)
    for each, slots in slots_of.items():
        node = case.snapshot.node(each)
        if node is not None and node.view is not None:
            yield from ask_of((node,), slots)
            yield Question(node.view.endpoint, _STATISTICS)


def opened(case: Case) -> dict[Opened, list[int]]:
    """All open slots by what they ask for, those of one owner and one other side together."""
    found: dict[Opened, list[int]] = {}
    for slot, (owner, others) in sorted(_sides(case.snapshot).items()):
        found.setdefault(_opened(case, slot, owner, others), []).append(slot)
    for left in left_on_replicas(case.snapshot):
        found[Opened(Way.REPLICA, left.primary, left.replica, (left.replica,))] = sorted(left.slots)
    return found


def _marks(snapshot: Snapshot) -> Iterator[_Mark]:
    """What primaries say. Since Valkey 8.0 replicas repeat it (clusterCommandSetSlot, cluster_legacy.c)."""
    for observer, own in own_lines(snapshot):
        if own.role is not Role.REPLICA:
            yield from (_Mark(slot, observer, other) for slot, other in (*own.migrating, *own.importing))


def _sides(snapshot: Snapshot) -> dict[int, tuple[NodeId, tuple[NodeId, ...]]]:
    """The owner of each marked slot and all others in it. A slot that nobody claims is no business of this module."""
    named: dict[int, dict[NodeId, None]] = {}
    for mark in _marks(snapshot):
        named.setdefault(mark.slot, {}).update({mark.on: None, mark.other: None})
    found: dict[int, tuple[NodeId, tuple[NodeId, ...]]] = {}
    for slot, nodes in named.items():
        owner = _owner(snapshot, slot)
        if owner is not None:
            others = (_in_charge(snapshot, each) for each in nodes)
            found[slot] = (owner, tuple(each for each in dict.fromkeys(others) if each != owner))
    return found


def _owner(snapshot: Snapshot, slot: int) -> NodeId | None:
    return next(each.owner for each in snapshot.stretches if each.first <= slot <= each.last)


def _in_charge(snapshot: Snapshot, node_id: NodeId) -> NodeId:
    """A node that became a replica has its primary's data: after a failover that is who counts."""
    node = snapshot.node(node_id)
    primary = snapshot.node(node.primary_id) if node is not None and node.role is Role.REPLICA else None
    return primary.node_id if primary is not None else node_id


def _opened(case: Case, slot: int, owner: NodeId, others: tuple[NodeId, ...]) -> Opened:
    snapshot = case.snapshot
    nodes = {each: snapshot.node(each) for each in (owner, *others)}
    first = others[0] if others else owner
    if (holder := nodes[owner]) is None or holder.view is None:
        return Opened(Way.OWNERLESS, owner, first, others)
    gone = [each for each in others if _silent(nodes[each])]
    if kept := [each for each in gone if not _written_off(case, each)]:
        return Opened(Way.GONE, owner, kept[0], others)
    here = [node for each in others if each not in gone and (node := nodes[each]) is not None]
    counts = {each.node_id: keys_in(case, each, slot) for each in (holder, *here)}
    if unsaid := [each for each, count in counts.items() if count is None]:
        return Opened(Way.UNCOUNTED, owner, unsaid[0], others)
    if any(_moves_keys(case, each) for each in (holder, *here)):
        return Opened(Way.MOVING, owner, first, others)
    there = [each.node_id for each in here if counts[each.node_id]]
    if not there:
        return Opened(Way.CLOSE, owner, first, others)
    if counts[owner] or len(there) > 1:
        return Opened(Way.SPLIT, owner, there[0], others)
    return Opened(Way.FINISH, owner, there[0], others)


def _silent(node: Node | None) -> bool:
    return node is None or node.view is None


def _written_off(case: Case, node_id: NodeId) -> bool:
    """Nobody lists it, or the operator said that it never comes back: what it held is not in the cluster any more."""
    return case.snapshot.node(node_id) is None or node_id in case.decisions.forget


def _moves_keys(case: Case, node: Node) -> bool:
    """MIGRATE keeps its connections for 10 s (MIGRATE_SOCKET_CACHE_TTL, cluster.c), and INFO counts them."""
    said = case.reply(node.view.endpoint, *_STATISTICS) if node.view else None
    lines = said.split("\r\n") if isinstance(said, str) else ()
    open_now = (line.partition(":")[2] for line in lines if line.startswith("migrate_cached_sockets:"))
    return any(each.strip() not in ("", "0") for each in open_now)
