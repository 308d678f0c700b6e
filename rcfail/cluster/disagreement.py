"""Where views differ in who leads, who follows whom, and who owns which slots.

Flags, members that only some know, links, host names and addresses are left out: each has its own meaning elsewhere,
and host names reach the views at different times.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from rcfail.cluster.electorate import NODE_TIMEOUT_MS
from rcfail.cluster.hearing import Hearing, Regard
from rcfail.cluster.nouns import Belief, NodeId, Role, SlotRange
from rcfail.cluster.snapshot import Node, Snapshot, Stretch, View


class About(StrEnum):
    """What an observer takes for true of a node, and is not."""

    ROLE = "role"  # primary or replica, and of whom
    EPOCH = "epoch"  # the config epoch of a slot owner
    OWNER = "owner"  # who owns slots


@dataclass(frozen=True, slots=True)
class Difference:
    """`observers` list `node_id` in another way than that node itself does, or, where it is silent, than most do.

    With OWNER `node_id` is the owner, `slots` are what the observers give to `instead`, or to nobody. `said` and
    `true` are words for a sentence. `fresh`: they hear the node and have heard of it within their node timeout, so
    the news can still be on its way.
    """

    observers: tuple[NodeId, ...]
    node_id: NodeId
    about: About
    said: str
    true: str
    fresh: bool
    slots: tuple[SlotRange, ...] = ()
    instead: NodeId | None = None


def differences(snapshot: Snapshot, heard: Hearing) -> tuple[Difference, ...]:
    """All differences, by node. A table that many hold is compared once."""
    if len(snapshot.groups) < 2:
        return ()
    news = _News(snapshot, heard)
    found = [*_of_roles(snapshot, news), *_of_owners(snapshot, news)]
    return tuple(sorted(found, key=lambda each: (each.node_id, each.about, each.observers)))


def _of_roles(snapshot: Snapshot, news: _News) -> Iterator[Difference]:
    true = {node.node_id: belief for node in snapshot.nodes.values() if (belief := _true(snapshot, node))}
    odd: dict[tuple[NodeId, About, str], list[NodeId]] = {}
    for each in snapshot.groups:
        by_id = each.table.by_id
        for node_id, own in true.items():
            belief = by_id.get(node_id)
            # Equal lines are one object, so that nearly all of a million comparisons end here.
            if belief is not own and belief is not None and (about := _odd(belief, own)) is not None:
                observers = odd.setdefault((node_id, about, _words(snapshot, belief)), [])
                observers.extend(observer for observer in each.observers if observer != node_id)
    for (node_id, about, said), observers in odd.items():
        words = _words(snapshot, true[node_id])
        for fresh, some in news.sorted_out(observers, node_id):
            yield Difference(some, node_id, about, said, words, fresh)


def _true(snapshot: Snapshot, node: Node) -> Belief | None:
    """What a node says of itself; of a silent one what most say, among equals with the greater epoch."""
    if node.view is not None and node.view.own is not None:
        return node.view.own
    weight: Counter[Belief] = Counter()
    for each in snapshot.groups:
        belief = each.table.by_id.get(node.node_id)
        if belief is not None:
            weight[belief] += len(each.observers)
    return max(weight, key=lambda belief: (weight[belief], belief.config_epoch, belief.line), default=None)


def _odd(belief: Belief, true: Belief) -> About | None:
    """A replica's line shows its primary's epoch, so epochs are compared of slot owners alone."""
    if belief.handshake or true.handshake or Role.UNKNOWN in (belief.role, true.role):
        return None
    if (belief.role, belief.primary_id) != (true.role, true.primary_id):
        return About.ROLE
    if true.slots and belief.slots and belief.config_epoch != true.config_epoch:
        return About.EPOCH
    return None


def _words(snapshot: Snapshot, belief: Belief) -> str:
    if belief.role is Role.REPLICA:
        above = snapshot.node(belief.primary_id)
        return f"a replica of {above.label}" if above else "a replica of nobody that is known"
    epoch = f"in epoch {belief.config_epoch}"
    return f"a primary with {belief.slot_count} slots {epoch}" if belief.slots else f"a primary without slots {epoch}"


def _of_owners(snapshot: Snapshot, news: _News) -> Iterator[Difference]:
    """Who gives slots to another than the owner that confirms them. Two confirmed claims are a quarrel, not this."""
    views = frozenset(observer for each in snapshot.groups for observer in each.observers)
    slots: dict[tuple[NodeId, NodeId | None, tuple[NodeId, ...]], list[SlotRange]] = {}
    for stretch in snapshot.stretches:
        if stretch.owner is None or len(stretch.confirmed) != 1:
            continue
        for instead, observers in _astray(stretch, views):
            slots.setdefault((stretch.owner, instead, observers), []).append((stretch.first, stretch.last))
    for (owner, instead, observers), ranges in slots.items():
        other, right = snapshot.node(instead), snapshot.nodes[owner]
        said = other.label if other else "nobody"
        for fresh, some in news.sorted_out(observers, owner):
            yield Difference(some, owner, About.OWNER, said, right.label, fresh, tuple(ranges), instead)


def _astray(stretch: Stretch, views: frozenset[NodeId]) -> Iterator[tuple[NodeId | None, tuple[NodeId, ...]]]:
    """Other owners than the true one, or none, each with the observers that name it."""
    right = next((frozenset(claim.observers) for claim in stretch.claims if claim.node_id == stretch.owner), views)
    if len(right) == len(views):
        return
    told: set[NodeId] = set()
    for claim in stretch.claims:
        wrong = tuple(observer for observer in claim.observers if observer not in right)
        if wrong:
            told.update(wrong)
            yield claim.node_id, wrong
    if nobody := tuple(sorted(views - right - told)):
        yield None, nobody


class _News:
    """Which observers may hear of a change at any moment. The place of a node in a table is looked up once a table."""

    def __init__(self, snapshot: Snapshot, heard: Hearing) -> None:
        self._by_observer = snapshot.by_observer
        self._heard = heard
        self._places: dict[int, Mapping[NodeId, int]] = {}

    def sorted_out(self, observers: Iterable[NodeId], node_id: NodeId) -> Iterator[tuple[bool, tuple[NodeId, ...]]]:
        """The observers in two parts, empty ones left out: whose news can be on their way, and the others."""
        parts: dict[bool, list[NodeId]] = {True: [], False: []}
        for observer in observers:
            parts[self._fresh(self._by_observer[observer], observer, node_id)].append(observer)
        yield from ((fresh, tuple(sorted(part))) for fresh, part in parts.items() if part)

    def _fresh(self, view: View, observer: NodeId, node_id: NodeId) -> bool:
        if view.reply is None or self._heard.of(observer, node_id) not in (Regard.WELL, Regard.STILL_FAILED):
            return False
        places = self._places.get(id(view.reply.table))
        if places is None:
            places = {belief.node_id: at for at, belief in enumerate(view.reply.table.beliefs)}
            self._places[id(view.reply.table)] = places
        at = places.get(node_id)
        if at is None:
            return False
        pong_ms = int(view.reply.pulses.split(" ")[2 * at + 1])
        return view.clock_unix_ms - pong_ms <= (view.vitals.config.node_timeout_ms or NODE_TIMEOUT_MS)
