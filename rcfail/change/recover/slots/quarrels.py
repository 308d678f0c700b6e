"""Slots that two living nodes claim: the servers settle it by epochs, as soon as the two hear each other."""

from __future__ import annotations

from collections.abc import Iterator

from rcfail.change.recover.action import Action, ActionKind
from rcfail.change.recover.case import Case
from rcfail.change.recover.condition import Condition, ConditionCode
from rcfail.change.recover.expect import Answers, name_of
from rcfail.change.recover.slots.slots import (
    MOST_AT_ONCE,
    OneOwner,
    flushed_without,
    holds_text,
    keys_of,
    ranges_of,
    setslot,
    short,
    written,
)
from rcfail.cluster.hearing import hearing
from rcfail.cluster.nouns import NodeId
from rcfail.cluster.snapshot import Snapshot
from rcfail.health.wording import host_and_port, listing, named, slots_text

_SETTLES_MS = 60_000
"""Nodes that hear each other tell a stale claim within a ping or two, and pings go out every half node timeout."""


def quarrels(snapshot: Snapshot) -> dict[tuple[NodeId, ...], list[int]]:
    """The slots of each set of claimants, the one that the servers will let win first: the greater config epoch, and
    among equals the smaller id (clusterHandleConfigEpochCollision, cluster_legacy.c).
    """
    found: dict[tuple[NodeId, ...], list[int]] = {}
    for stretch in snapshot.stretches:
        if len(stretch.confirmed) > 1:
            claimants = tuple(claim.node_id for claim in stretch.confirmed)
            found.setdefault(claimants, []).extend(range(stretch.first, stretch.last + 1))
    return found


def disputed(case: Case, taken: frozenset[NodeId]) -> Iterator[Condition]:
    """Where nothing is done also of a node that is down for others: mending the network alone loses what it took."""
    for claimants, slots in quarrels(case.snapshot).items():
        found = _quarrel(case, claimants, slots)
        if not found.actions or taken.isdisjoint(claimants):
            yield found


def _quarrel(case: Case, claimants: tuple[NodeId, ...], slots: list[int]) -> Condition:
    snapshot, ranges = case.snapshot, ranges_of(slots)
    winner, losers = claimants[0], claimants[1:]
    apart = [each for each in losers if _apart(snapshot, winner, each)]
    lost = [each for each in losers if keys_of(case, snapshot.nodes[each], slots) != 0]
    story, advice, actions = _said(case, winner, losers, slots), "", tuple[Action, ...]()
    if not apart:
        actions = (_wait(snapshot, winner, slots),)
    elif not lost and len(slots) <= MOST_AT_ONCE and all(_may_yield(snapshot, each, winner, slots) for each in apart):
        actions = tuple(_yielding(snapshot, each, winner, slots) for each in apart)
    else:
        advice = _advice(snapshot, winner, apart, lost)
    held = listing(f"{holds_text(case, each, slots)} and {_epoch(snapshot, each, slots[0])}" for each in claimants)
    return Condition(
        ConditionCode.SLOTS_DISPUTED,
        claimants,
        short(ranges),
        f"{slots_text(ranges)} claimed by two, each itself: {held}",
        story,
        actions,
        ("slots-disputed", "cluster-state-fail", "epoch-collision"),
        advice,
        choice=bool(advice and lost),
    )


def _apart(snapshot: Snapshot, one: NodeId, other: NodeId) -> bool:
    """They do not hear each other, so nothing settles it by itself."""
    return hearing(snapshot).apart(one, other) or not _knows(snapshot, one, other) or not _knows(snapshot, other, one)


def _knows(snapshot: Snapshot, observer: NodeId, node_id: NodeId) -> bool:
    view = snapshot.by_observer.get(observer)
    said = view.belief(node_id) if view is not None else None
    return said is not None and not said.handshake


def _may_yield(snapshot: Snapshot, loser: NodeId, winner: NodeId, slots: list[int]) -> bool:
    return _knows(snapshot, loser, winner) and not flushed_without(snapshot.nodes[loser], slots)


def _epoch(snapshot: Snapshot, node_id: NodeId, slot: int) -> str:
    claims = next(each.confirmed for each in snapshot.stretches if each.first <= slot <= each.last)
    return f"config epoch {next(claim.config_epoch for claim in claims if claim.node_id == node_id)}"


def _said(case: Case, winner: NodeId, losers: tuple[NodeId, ...], slots: list[int]) -> str:
    snapshot = case.snapshot
    wins = f"When they hear each other, {name_of(snapshot, winner)} wins by its config epoch"
    if not any(keys_of(case, snapshot.nodes[each], slots) != 0 for each in losers):
        return f"{wins}, and nothing is lost: {named(snapshot, losers)} holds no key of these slots."
    return f"{wins}, and the servers throw away what {named(snapshot, losers)} alone holds of these slots."


def _wait(snapshot: Snapshot, winner: NodeId, slots: list[int]) -> Action:
    ranges = ranges_of(slots)
    return Action(
        ActionKind.WAIT,
        winner,
        f"wait until {name_of(snapshot, winner)} alone claims {short(ranges)}",
        expects=(OneOwner(ranges),),
        aims=("one-owner", written(ranges)),
        within_ms=_SETTLES_MS,
    )


def _yielding(snapshot: Snapshot, loser: NodeId, winner: NodeId, slots: list[int]) -> Action:
    """The server itself refuses this while it holds a key of the slot (clusterCommandSetSlot, cluster_legacy.c)."""
    place, ranges = snapshot.by_observer[loser].endpoint, ranges_of(slots)
    return Action(
        ActionKind.SETSLOT,
        loser,
        f"let {name_of(snapshot, loser)} give {short(ranges)} up to {name_of(snapshot, winner)}",
        expects=(OneOwner(ranges),),
        sends=tuple(setslot(loser, place, slot, "NODE", winner) for slot in slots),
        aims=("yield", winner, written(ranges)),
        guards=(Answers(loser, place), Answers(winner, snapshot.by_observer[winner].endpoint)),
    )


def _advice(snapshot: Snapshot, winner: NodeId, apart: list[NodeId], lost: list[NodeId]) -> str:
    names = named(snapshot, apart)
    mend = f"mend the network between {name_of(snapshot, winner)} and {names}, on their bus ports"
    if not lost:
        return f"Only let them hear each other: {mend}."
    host, port = host_and_port(snapshot.nodes[lost[0]])
    save = f"redis-cli -h {host} -p {port} --rdb saved.rdb"
    return f"Keep clients away from {names} and save what it holds ({save}); only then {mend}, or stop {names}."
