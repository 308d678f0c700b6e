"""Slots in a recovery: the demands that are made on their owners, who holds keys of them, and how they are claimed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from rcfail.change.checks import Check
from rcfail.change.recover.action import Action, ActionKind, Expectation, Send
from rcfail.change.recover.case import Case, Question
from rcfail.change.recover.expect import Answers, judged, name_of, own_word, tables
from rcfail.cluster.dialect import adds_slot_ranges, tells_replicas_of_marks
from rcfail.cluster.marks import marked
from rcfail.cluster.nouns import Belief, Endpoint, NodeId, Role, SlotRange
from rcfail.cluster.snapshot import Node, Snapshot
from rcfail.cluster.vitals import Server
from rcfail.health.wording import counted, listing, slots_text

MOST_AT_ONCE = 256
"""SETSLOT names one slot, so many slots are many commands: an action sends so many and no more."""

HEARD_MS = 60_000
"""A new owner is heard of with its next pings, which reach everybody within half a node timeout."""

_MOST_QUESTIONS = 131_072
"""Eight nodes can be asked about all slots, and any number of equal shards about the slots of eight."""


def numbers(ranges: Iterable[SlotRange]) -> Iterator[int]:
    return (slot for first, last in ranges for slot in range(first, last + 1))


def ranges_of(slots: Iterable[int]) -> tuple[SlotRange, ...]:
    """Single slots into ranges, ascending."""
    runs = (list(run) for _, run in groupby(enumerate(sorted(slots)), key=lambda pair: pair[1] - pair[0]))
    return tuple((run[0][1], run[-1][1]) for run in runs)


def written(ranges: Iterable[SlotRange]) -> str:
    """All of them, as --slot-owner takes them: `7,9-12`."""
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)


def short(ranges: Sequence[SlotRange]) -> str:
    """`slot 7`, `slots 7,9-12`, `slots 1,3,5 and 40 more`."""
    total = sum(last - first + 1 for first, last in ranges)
    if len(ranges) > 3:
        shown = ranges[:3]
        return f"slots {written(shown)} and {total - sum(last - first + 1 for first, last in shown)} more"
    return f"slot{'' if total == 1 else 's'} {written(ranges)}"


def batches(slots: Iterable[int]) -> Iterator[tuple[int, ...]]:
    """What one action takes on."""
    every = sorted(slots)
    return (tuple(every[at : at + MOST_AT_ONCE]) for at in range(0, len(every), MOST_AT_ONCE))


# Who holds keys


def question(place: Endpoint, slot: int) -> Question:
    """It needs no ownership: every node counts what it holds itself."""
    return Question(place, ("CLUSTER", "COUNTKEYSINSLOT", str(slot)))


def empty(node: Node) -> bool:
    """It says that it holds no key at all, so nobody has to count them slot by slot."""
    return node.vitals is not None and node.vitals.storage.keys == 0


def flushed_without(node: Node, slots: Collection[int]) -> bool:
    """Whether giving up these slots may throw keys away: a primary without slots turns into a replica of who took the
    last of them, and copies from there (clusterUpdateSlotsConfigWith, cluster_legacy.c).
    """
    own = node.view.own if node.view else None
    return own is not None and not empty(node) and set(numbers(own.slots)) <= set(slots)


def ask_of(nodes: Iterable[Node], slots: Sequence[int]) -> Iterator[Question]:
    """How many keys of each slot each of these nodes holds, as far as that is not plain already."""
    asked = [node.view.endpoint for node in nodes if node.view is not None and not empty(node)]
    if len(asked) * len(slots) > _MOST_QUESTIONS:
        return
    for place in asked:
        yield from (question(place, slot) for slot in slots)


def keys_in(case: Case, node: Node, slot: int) -> int | None:
    """How many keys of this slot the node holds; None where it did not say."""
    if empty(node):
        return 0
    return case.number(node.view.endpoint, *question(node.view.endpoint, slot).command) if node.view else None


def keys_of(case: Case, node: Node, slots: Iterable[int]) -> int | None:
    """How many keys of all these slots it holds; None where it did not say of each."""
    total = 0
    for slot in slots:
        found = keys_in(case, node, slot)
        if found is None:
            return None
        total += found
    return total


def holds_text(case: Case, node_id: NodeId, slots: Iterable[int]) -> str:
    """`10.0.0.1:6379 (ab12cd34) holds 7 keys`."""
    node = case.snapshot.node(node_id)
    found = keys_of(case, node, slots) if node is not None else None
    told = "an unknown number of keys" if found is None else "no key" if found == 0 else counted(found, "key")
    return f"{name_of(case.snapshot, node_id)} holds {told}"


# How slots are claimed


def claiming(node: NodeId, place: Endpoint, server: Server, slots: Sequence[int]) -> Send:
    """One command for all of them. It is refused where the node itself knows an owner of one ("already busy"), and
    then it does nothing (clusterCommand, cluster.c). Redis 7.0 and Valkey take ranges.
    """
    if adds_slot_ranges(server):
        ends = (str(each) for pair in ranges_of(slots) for each in pair)
        return Send(node, place, ("CLUSTER", "ADDSLOTSRANGE", *ends))
    return Send(node, place, ("CLUSTER", "ADDSLOTS", *map(str, slots)))


def setslot(node: NodeId, place: Endpoint, slot: int, *words: str) -> Send:
    return Send(node, place, ("CLUSTER", "SETSLOT", str(slot), *words))


def closing(node: NodeId, name: str, place: Endpoint, slots: Sequence[int], *guards: Expectation) -> Action:
    """SETSLOT STABLE takes the node's own mark away and changes nothing else; Valkey 8.0 passes it on to replicas."""
    ranges = ranges_of(slots)
    return Action(
        ActionKind.SETSLOT,
        node,
        f"let {name} close {short(ranges)}",
        expects=(Closed(node, tuple(slots)),),
        sends=tuple(setslot(node, place, slot, "STABLE") for slot in slots),
        aims=("stable", written(ranges)),
        guards=(Answers(node, place), *guards),
        within_ms=HEARD_MS,
    )


# What is demanded of the world


@dataclass(frozen=True, slots=True)
class Owns:
    """The node claims all of these slots itself, and every table gives them to it."""

    node: NodeId
    ranges: tuple[SlotRange, ...]

    def check(self, snapshot: Snapshot) -> Check:
        name, what = name_of(snapshot, self.node), slots_text(self.ranges)
        own = own_word(snapshot, self.node)
        if own is None:
            return judged("owns", None, "", f"{name} does not say what it owns")
        if not _covers(own, self.ranges):
            return judged("owns", False, "", f"{name} does not claim {what}")
        said = [view.belief(self.node) for _, view in tables(snapshot)]
        others = sum(1 for each in said if each is None or not _covers(each, self.ranges))
        verb = "does" if others == 1 else "do"
        not_so = f"{counted(others, 'node')} {verb} not give {what} to {name} yet"
        return judged("owns", not others, f"{name} owns {what} in every view", not_so)


def _covers(belief: Belief, ranges: Iterable[SlotRange]) -> bool:
    return all(any(low <= first and last <= high for low, high in belief.slots) for first, last in ranges)


@dataclass(frozen=True, slots=True)
class Unclaimed:
    """Nobody says that it owns one of these slots itself, and no node that cannot be asked is said to, but for one."""

    ranges: tuple[SlotRange, ...]
    but: NodeId

    def check(self, snapshot: Snapshot) -> Check:
        busy: dict[NodeId, None] = {}
        for stretch in snapshot.stretches:
            if any(stretch.first <= last and first <= stretch.last for first, last in self.ranges):
                busy |= dict.fromkeys(claim.node_id for claim in stretch.confirmed)
                busy |= dict.fromkeys(each for each in (stretch.owner,) if each)
        busy.pop(self.but, None)
        so = f"nobody else claims {slots_text(self.ranges)}"
        names = listing(name_of(snapshot, each) for each in busy)
        return judged("unclaimed", not busy, so, f"{names} claims some of {slots_text(self.ranges)}")


@dataclass(frozen=True, slots=True)
class OneOwner:
    """No two nodes claim one of these slots, each itself."""

    ranges: tuple[SlotRange, ...]

    def check(self, snapshot: Snapshot) -> Check:
        quarrel = next(
            (
                stretch
                for stretch in snapshot.stretches
                if len(stretch.confirmed) > 1
                and any(stretch.first <= last and first <= stretch.last for first, last in self.ranges)
            ),
            None,
        )
        names = listing(name_of(snapshot, each.node_id) for each in quarrel.confirmed) if quarrel else ""
        what = slots_text(self.ranges)
        return judged("one-owner", quarrel is None, f"{what} have one owner", f"{names} both claim some of {what}")


@dataclass(frozen=True, slots=True)
class Closed:
    """The node marks none of these slots as half moved, nor do the replicas of it that answer: from Valkey 8.0 on they
    are told of marks (clusterCommandSetSlot, cluster_legacy.c)."""

    node: NodeId
    slots: tuple[int, ...]

    def check(self, snapshot: Snapshot) -> Check:
        own, name = own_word(snapshot, self.node), name_of(snapshot, self.node)
        if own is None:
            return judged("closed", None, "", f"{name} does not say which slots it has open")
        told = [view.own for view in snapshot.by_observer.values() if tells_replicas_of_marks(view.vitals.server)]
        family = [own, *(each for each in told if each and each.primary_id == self.node and each.role is Role.REPLICA)]
        held = next(((each.node_id, found) for each in family if (found := marked(each) & set(self.slots))), None)
        if held is None:
            what = short(ranges_of(self.slots))
            return judged("closed", True, f"{name} does not mark {what} as half moved any more", "")
        still = slots_text(ranges_of(held[1]))
        return judged("closed", False, "", f"{name_of(snapshot, held[0])} still marks {still} as half moved")


@dataclass(frozen=True, slots=True)
class Marked:
    """The node marks all of these slots as on their way, to (`migrating`) or from the other node."""

    node: NodeId
    migrating: bool
    slots: tuple[int, ...]
    other: NodeId | None = None

    def check(self, snapshot: Snapshot) -> Check:
        own, name = own_word(snapshot, self.node), name_of(snapshot, self.node)
        if own is None:
            return judged("marked", None, "", f"{name} does not say which slots it has open")
        there = own.migrating if self.migrating else own.importing
        found = {slot for slot, other in there if self.other in (None, other)}
        way = "migrating" if self.migrating else "importing"
        what = slots_text(ranges_of(self.slots))
        holds = found >= set(self.slots)
        return judged("marked", holds, f"{name} marks {what} as {way}", f"{name} does not mark {what} as {way}")
