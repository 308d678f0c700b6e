"""Slots that no living node claims: what becomes of each of them, by who holds keys of it."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

from rcfail.change.recover.case import Case
from rcfail.change.recover.slots.slots import empty, keys_in
from rcfail.cluster.nouns import NodeId, Role
from rcfail.cluster.snapshot import Node, Snapshot, Stretch


class What(StrEnum):
    OWN = "own"  # this node claims them
    COPY = "copy"  # only replicas hold keys, and their primary is empty or gone
    UNCOUNTED = "uncounted"  # a node did not say how many keys it holds
    SEVERAL = "several"  # primaries that hold keys
    ELSEWHERE = "elsewhere"  # one node holds the keys, and the others name another one as the owner
    NOBODY = "nobody"


class Fate(NamedTuple):
    """`who` owns the slot, or is what keeps it from being decided. `known` is the owner in the views of the others."""

    what: What
    who: tuple[NodeId, ...]
    known: NodeId | None


def orphans(snapshot: Snapshot) -> tuple[Stretch, ...]:
    """Slots that no living node claims itself, and no silent one is said to own. Without a view nothing is known."""
    return tuple(each for each in snapshot.stretches if each.owner is None) if snapshot.groups else ()


def counters(snapshot: Snapshot) -> tuple[Node, ...]:
    """Whose keys count: primaries, and replicas whose primary is silent or empty, for these hold what it lacks."""
    return tuple(each for each in snapshot.nodes.values() if each.view is not None and _counts(snapshot, each))


def _counts(snapshot: Snapshot, node: Node) -> bool:
    primary = snapshot.node(node.primary_id)
    return node.role is not Role.REPLICA or primary is None or primary.view is None or empty(primary)


def fates(case: Case) -> dict[Fate, list[int]]:
    """All orphaned slots by what becomes of them: first those that somebody is said to own, then in their order."""
    found: dict[Fate, list[int]] = {}
    asked = counters(case.snapshot)
    for stretch in orphans(case.snapshot):
        known = _named_most(stretch)
        by_slot = {slot: _fate(case, asked, slot, known) for slot in range(stretch.first, stretch.last + 1)}
        whole = _of_one_holder(case.snapshot, by_slot.values()) if known is None else None
        for slot, fate in by_slot.items():
            found.setdefault(whole if whole and fate.what is What.NOBODY else fate, []).append(slot)
    found = _kept_from_syncing(case, found)
    return dict(sorted(found.items(), key=lambda pair: (pair[0].known is None, pair[1][0])))


def silent(snapshot: Snapshot) -> tuple[NodeId, ...]:
    """Members that may hold keys and cannot be asked."""
    return tuple(
        each.node_id for each in snapshot.nodes.values() if each.view is None and each.role is not Role.REPLICA
    )


def _of_one_holder(snapshot: Snapshot, run: Iterable[Fate]) -> Fate | None:
    """Where all keys of a run of slots are on one node, and nobody is silent, its empty slots were of that node too."""
    different = set(run)
    holders = {fate for fate in different if fate.what is not What.NOBODY}
    one = holders.pop() if len(holders) == 1 else None
    return one if one and one.what is What.OWN and not silent(snapshot) else None


def _kept_from_syncing(case: Case, found: dict[Fate, list[int]]) -> dict[Fate, list[int]]:
    """Where a replica alone kept keys, its primary gets back no slot at all: a whole shard is synced at once."""
    copies = {fate.known: fate for fate in found if fate.what is What.COPY and fate.known}
    kept: dict[Fate, list[int]] = {}
    for fate, slots in found.items():
        given = fate.what is What.OWN and fate.who == (fate.known,) and chosen(case, slots[0]) is None
        kept.setdefault(copies.get(fate.known, fate) if given and fate.known else fate, []).extend(slots)
    return {fate: sorted(slots) for fate, slots in kept.items()}


def _named_most(stretch: Stretch) -> NodeId | None:
    named_most = max(stretch.claims, key=lambda claim: (len(claim.observers), claim.node_id), default=None)
    return named_most.node_id if named_most else None


def chosen(case: Case, slot: int) -> NodeId | None:
    """Whom the operator named as its owner."""
    return next((who for (first, last), who in case.decisions.owners if first <= slot <= last), None)


def _fate(case: Case, asked: tuple[Node, ...], slot: int, known: NodeId | None) -> Fate:
    if (owner := chosen(case, slot)) is not None:
        return Fate(What.OWN, (owner,), known)
    counts = {each.node_id: keys_in(case, each, slot) for each in asked}
    unsaid = tuple(each for each, count in counts.items() if count is None)
    if unsaid:
        return Fate(What.UNCOUNTED, unsaid, known)
    holders = tuple(each for each, count in counts.items() if count)
    primaries = tuple(each for each in holders if case.snapshot.nodes[each].role is not Role.REPLICA)
    if holders and not primaries:
        return Fate(What.COPY, holders, known)
    if len(primaries) > 1:
        return Fate(What.SEVERAL, primaries, known)
    if known is not None and primaries in ((), (known,)):
        return Fate(What.OWN, (known,), known)
    if not primaries:
        return Fate(What.NOBODY, (), known)
    taking = known is None or _imports(case.snapshot, primaries[0], slot)
    return Fate(What.OWN if taking else What.ELSEWHERE, primaries, known)


def _imports(snapshot: Snapshot, node_id: NodeId, slot: int) -> bool:
    view = snapshot.by_observer.get(node_id)
    return view is not None and view.own is not None and slot in {each for each, _ in view.own.importing}
