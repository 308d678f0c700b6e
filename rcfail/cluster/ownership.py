"""Who owns which slot, from what every view claims."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise

from rcfail.cluster.nouns import SLOT_COUNT, NodeId, SlotRange
from rcfail.cluster.snapshot import Claim, Stretch, View, ViewGroup

_Source = tuple[NodeId, int, frozenset[int]]
"""Claimant, its config epoch, and the positions of the view groups that say so."""


def stretches(groups: tuple[ViewGroup, ...], by_observer: Mapping[NodeId, View]) -> tuple[Stretch, ...]:
    """Cut the slot space where any claim begins or ends, and decide each piece on its own.

    A primary cut off from the others goes on claiming its slots in its own view, and the others go on
    listing a node that has been reset: so a claim counts in full only when the claimant makes it itself,
    and among those the greatest config epoch wins (clusterUpdateSlotsConfigWith, cluster_legacy.c).
    """
    opening: dict[int, list[_Source]] = {}
    closing: dict[int, list[_Source]] = {}
    for source, slots in _sources(groups):
        for first, last in slots:
            opening.setdefault(first, []).append(source)
            closing.setdefault(last + 1, []).append(source)
    claims_of = _Claims(groups)
    open_now: list[_Source] = []
    pieces: list[Stretch] = []
    for start, end in pairwise(sorted({0, SLOT_COUNT, *opening, *closing})):
        for source in closing.get(start, ()):
            open_now.remove(source)
        open_now.extend(opening.get(start, ()))
        claims = claims_of(open_now)
        pieces.append(Stretch(start, end - 1, _owner(claims, by_observer), claims))
    return tuple(_joined(pieces))


def _sources(groups: tuple[ViewGroup, ...]) -> Iterator[tuple[_Source, tuple[SlotRange, ...]]]:
    """Every distinct claim once, however many groups of views make it."""
    said_by: dict[tuple[NodeId, int, tuple[SlotRange, ...]], set[int]] = {}
    for position, each in enumerate(groups):
        for belief in each.table.beliefs:
            if belief.slots and not belief.handshake:
                said_by.setdefault((belief.node_id, belief.config_epoch, belief.slots), set()).add(position)
    for (claimant, epoch, slots), positions in said_by.items():
        yield (claimant, epoch, frozenset(positions)), slots


class _Claims:
    """Turns the sources over one slot into claims, and keeps each set of observers once."""

    def __init__(self, groups: tuple[ViewGroup, ...]) -> None:
        self._groups = groups
        self._observers: dict[frozenset[int], tuple[NodeId, ...]] = {}
        self._group_of = {observer: at for at, each in enumerate(groups) for observer in each.observers}
        self._listed = _listed_by_others(groups)

    def __call__(self, sources: list[_Source]) -> tuple[Claim, ...]:
        """One claim a claimant, with the greatest epoch that anybody lists for it, confirmed ones first."""
        epochs: dict[NodeId, int] = {}
        positions: dict[NodeId, frozenset[int]] = {}
        for claimant, epoch, said_by in sources:
            epochs[claimant] = max(epoch, epochs.get(claimant, 0))
            positions[claimant] = positions.get(claimant, frozenset()) | said_by
        claims = (self._claim(claimant, epochs[claimant], positions[claimant]) for claimant in epochs)
        # With equal epochs the smaller id bumps itself and wins (clusterHandleConfigEpochCollision).
        return tuple(sorted(claims, key=lambda claim: (not claim.confirmed, -claim.config_epoch, claim.node_id)))

    def _claim(self, claimant: NodeId, epoch: int, said_by: frozenset[int]) -> Claim:
        if said_by not in self._observers:
            ids = (observer for at in said_by for observer in self._groups[at].observers)
            self._observers[said_by] = tuple(sorted(ids))
        confirmed = claimant in self._listed and self._group_of.get(claimant) in said_by
        return Claim(claimant, epoch, confirmed, self._observers[said_by])


def _listed_by_others(groups: tuple[ViewGroup, ...]) -> frozenset[NodeId]:
    """Everybody whom at least one other node lists; a single view has nobody else to ask.

    A process that lost its nodes.conf but kept its keys claims their slots under a new id, with epoch 0
    (verifyClusterConfigWithData). Nobody follows a stranger: clients are never sent there.
    """
    alone = sum(len(each.observers) for each in groups) == 1
    return frozenset(
        belief.node_id
        for each in groups
        for belief in each.table.beliefs
        if alone or (not belief.handshake and (len(each.observers) > 1 or belief.node_id != each.observers[0]))
    )


def _owner(claims: tuple[Claim, ...], by_observer: Mapping[NodeId, View]) -> NodeId | None:
    """The first confirmed claim; without one, the first of a node that could not be asked."""
    for claim in claims:
        view = by_observer.get(claim.node_id)
        if claim.confirmed or view is None or view.reply is None:
            return claim.node_id
    return None


def _joined(pieces: list[Stretch]) -> Iterator[Stretch]:
    """Neighbours with the same owner and the same claims are one stretch."""
    held: Stretch | None = None
    for piece in pieces:
        if held and held.owner == piece.owner and held.claims == piece.claims:
            held = Stretch(held.first, piece.last, held.owner, held.claims)
            continue
        if held:
            yield held
        held = piece
    if held:
        yield held


def owned(parts: tuple[Stretch, ...]) -> Mapping[NodeId, tuple[SlotRange, ...]]:
    """The slot ranges of each owner, ascending and joined."""
    ranges: dict[NodeId, list[SlotRange]] = {}
    for part in parts:
        if part.owner is None:
            continue
        mine = ranges.setdefault(part.owner, [])
        if mine and mine[-1][1] + 1 == part.first:
            mine[-1] = (mine[-1][0], part.last)
        else:
            mine.append((part.first, part.last))
    return {owner: tuple(found) for owner, found in ranges.items()}


def joined(ranges: Iterable[SlotRange]) -> tuple[SlotRange, ...]:
    """Ascending, neighbours and overlaps made one."""
    found: list[SlotRange] = []
    for first, last in sorted(ranges):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(last, found[-1][1]))
        else:
            found.append((first, last))
    return tuple(found)
