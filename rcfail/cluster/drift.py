"""What became different between two pictures of one cluster: the events that a watch, a drill or a failover tells.

A picture is first cut into facts, one short text a subject, and then only facts are compared. So two equal pictures
give nothing, every event names what it saw before and after, and whoever keeps the facts of a node that falls silent
can compare them with what it says when it is back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import NamedTuple

from rcfail.cluster.facts import Fact, Facts, Owners, facts_of, ranges_text
from rcfail.cluster.nouns import SLOT_COUNT, Role, SlotRange
from rcfail.cluster.snapshot import Snapshot
from rcfail.cluster.sync import Sync


class EventKind(StrEnum):
    """What can happen. The words never change meaning."""

    NODE_APPEARED = "node-appeared"  # after: its role
    NODE_VANISHED = "node-vanished"  # nobody lists it any more; before: its role
    SILENT = "silent"  # after: the reason; also when one reason follows another
    ANSWERS = "answers"  # before: the reason why it did not
    RESTARTED = "restarted"  # the run id of the process
    LOADING = "loading"
    LOADED = "loaded"
    SUSPECTED = "suspected"  # fail? for at least one node
    FAILED = "failed"  # fail for at least one node
    CLEARED = "cleared"  # flagged by nobody any more
    EPOCH = "epoch"  # of the cluster: the highest that any node knows; of a primary: its config epoch
    PROMOTED = "promoted"
    DEMOTED = "demoted"
    ROLE_CHANGED = "role-changed"  # from or to a role that nobody tells
    SLOTS_MOVED = "slots-moved"  # from owner to owner, by node id
    SLOTS_TAKEN = "slots-taken"  # they had no owner
    SLOTS_LOST = "slots-lost"  # they have no owner
    SLOTS_OPEN = "slots-open"  # what is half moved, in the node's own words; after is empty when nothing is
    FOLLOWS = "follows"  # whom a replica follows, by node id; before is empty for a former primary
    LINK_UP = "link-up"
    LINK_DOWN = "link-down"  # also: it holds nothing, and no copy is on its way
    SYNC_BEGUN = "sync-begun"  # a full copy
    SYNC_FINISHED = "sync-finished"
    STATE_OK = "state-ok"  # cluster_state of one node
    STATE_FAIL = "state-fail"
    QUORUM_STANDS = "quorum-stands"
    QUORUM_LOST = "quorum-lost"
    QUORUM_UNKNOWN = "quorum-unknown"
    FLAGS = "flags"  # all other flags that any view shows
    ADDRESS = "address"
    VERSION = "version"


class Scope(StrEnum):
    CLUSTER = "cluster"
    NODE = "node"
    SLOT = "slot"


class About(NamedTuple):
    """Whom an event is about. `id`: a node id, slot ranges such as "0-5460, 7000", or "" for the cluster."""

    kind: Scope
    id: str = ""
    address: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """One difference. `at_unix_ms` is when the later picture was taken, on our clock."""

    at_unix_ms: int
    kind: EventKind
    subject: About
    before: str
    after: str


_RANK = {fact: rank for rank, fact in enumerate(Fact)}
_ON_A_COPY = frozenset({Sync.SYNCING, Sync.NEVER_SYNCED, Sync.LOADING})


def drift(before: Snapshot, after: Snapshot) -> tuple[Event, ...]:
    """All events between two pictures, in a stable order. Of what one of them does not say there is none."""
    return changes(facts_of(before), facts_of(after))


def changes(before: Facts, after: Facts) -> tuple[Event, ...]:
    """The same for facts. A node that came or went gives one event, not one for each of its facts."""
    found = [*_differences(before, after), *_moves(before, after)]
    found.sort(key=lambda each: (_RANK[each[0]], each[1].kind, each[1].subject.address, each[1].subject.id))
    return tuple([event for _, event in found])


def _differences(before: Facts, after: Facts) -> Iterator[tuple[Fact, Event]]:
    """Facts of whoever is in both pictures, and members that are in one only."""
    for key, text in after.of.items():
        fact, node_id = key
        old = before.of.get(key)
        if fact is Fact.MEMBER:
            if old is None:
                yield fact, _event(after, EventKind.NODE_APPEARED, node_id, "", text)
        elif old is not None and old != text:
            kind = _kind(fact, old, text)
            if kind is not None:
                yield fact, _event(after, kind, node_id, old, text)
    for (fact, node_id), text in before.of.items():
        if fact is Fact.MEMBER and (fact, node_id) not in after.of:
            subject = About(Scope.NODE, node_id, before.places.get(node_id, ""))
            yield fact, Event(after.at_unix_ms, EventKind.NODE_VANISHED, subject, text, "")


def _event(after: Facts, kind: EventKind, node_id: str, old: str, new: str) -> Event:
    subject = About(Scope.NODE, node_id, after.places.get(node_id, "")) if node_id else About(Scope.CLUSTER)
    return Event(after.at_unix_ms, kind, subject, old, new)


_BY_VALUE: Mapping[Fact, Mapping[str, EventKind]] = {
    Fact.LOADING: {"loading": EventKind.LOADING, "": EventKind.LOADED},
    Fact.SUSPICION: {"suspected": EventKind.SUSPECTED, "failed": EventKind.FAILED, "": EventKind.CLEARED},
    Fact.STATE: {"ok": EventKind.STATE_OK},
    Fact.QUORUM: {"yes": EventKind.QUORUM_STANDS, "no": EventKind.QUORUM_LOST, "unknown": EventKind.QUORUM_UNKNOWN},
}
_BY_FACT: Mapping[Fact, EventKind] = {
    Fact.RUN: EventKind.RESTARTED,
    Fact.STATE: EventKind.STATE_FAIL,
    Fact.EPOCH: EventKind.EPOCH,
    Fact.OPEN: EventKind.SLOTS_OPEN,
    Fact.FOLLOWS: EventKind.FOLLOWS,
    Fact.FLAGS: EventKind.FLAGS,
    Fact.ADDRESS: EventKind.ADDRESS,
    Fact.VERSION: EventKind.VERSION,
}


def _kind(fact: Fact, old: str, new: str) -> EventKind | None:
    """What it is called that one text follows the other; None where another event says it better."""
    if fact is Fact.SILENCE:
        return EventKind.SILENT if new else EventKind.ANSWERS
    if fact is Fact.ROLE:
        told = {(Role.REPLICA, Role.PRIMARY): EventKind.PROMOTED, (Role.PRIMARY, Role.REPLICA): EventKind.DEMOTED}
        return told.get((Role(old), Role(new)), EventKind.ROLE_CHANGED)
    if fact is Fact.SYNC:
        return _sync_kind(old, new)
    if fact is Fact.FOLLOWS and not new:
        return None  # it was promoted
    return _BY_VALUE.get(fact, {}).get(new) or _BY_FACT[fact]


def _sync_kind(old: str, new: str) -> EventKind | None:
    """A node that is no replica any more has been promoted, which is told; one that loads tells so too."""
    match new:
        case Sync.IN_SYNC:
            return EventKind.SYNC_FINISHED if old in _ON_A_COPY else EventKind.LINK_UP
        case Sync.SYNCING:
            return EventKind.SYNC_BEGUN
        case Sync.LINK_DOWN | Sync.NEVER_SYNCED:
            return EventKind.LINK_DOWN
    return None


def _moves(before: Facts, after: Facts) -> Iterator[tuple[Fact, Event]]:
    """One event for each pair of owners, with all slots that went from one to the other."""
    moved: dict[tuple[str, str], list[SlotRange]] = {}
    for first, last, old, new in _side_by_side(before.owners, after.owners):
        if old == new:
            continue
        ranges = moved.setdefault((old, new), [])
        if ranges and ranges[-1][1] + 1 == first:
            ranges[-1] = (ranges[-1][0], last)
        else:
            ranges.append((first, last))
    for (old, new), ranges in moved.items():
        kind = EventKind.SLOTS_LOST if not new else (EventKind.SLOTS_MOVED if old else EventKind.SLOTS_TAKEN)
        subject = About(Scope.SLOT, ranges_text(ranges), after.places.get(new) or before.places.get(old, ""))
        yield Fact.SLOTS, Event(after.at_unix_ms, kind, subject, old, new)


def _side_by_side(before: Owners, after: Owners) -> Iterator[tuple[int, int, str, str]]:
    """Pieces of the slot space in which neither picture changes the owner."""
    if before == after:
        return
    cuts = sorted({0, SLOT_COUNT, *(first for first, _, _ in before), *(first for first, _, _ in after)})
    old_owner = {first: owner for first, _, owner in before}
    new_owner = {first: owner for first, _, owner in after}
    old = new = ""
    for start, end in pairwise(cuts):
        old, new = old_owner.get(start, old), new_owner.get(start, new)
        yield start, end - 1, old, new
