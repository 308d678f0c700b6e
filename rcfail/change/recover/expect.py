"""The demands that actions make on the world, before and after them, each judged by what the nodes say themselves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from rcfail.change.checks import Check, CheckVerdict
from rcfail.change.recover.action import Expectation
from rcfail.cluster.nouns import Belief, Endpoint, NodeId, Role
from rcfail.cluster.snapshot import Snapshot, View
from rcfail.health.wording import counted, listing, named, slots_text


def name_of(snapshot: Snapshot, node_id: NodeId) -> str:
    """A node in a sentence, also one that nobody knows any more."""
    node = snapshot.node(node_id)
    return node.label if node else f"node {node_id[:8]}"


def tables(snapshot: Snapshot) -> Iterator[tuple[NodeId, View]]:
    """Every node that told its table of members."""
    return ((observer, view) for observer, view in snapshot.by_observer.items() if view.reply is not None)


def members(snapshot: Snapshot) -> Iterator[tuple[NodeId, View]]:
    """The same without those that list nobody but themselves: they are outside of the cluster."""
    return ((each, view) for each, view in tables(snapshot) if view.reply and len(view.reply.table.by_id) > 1)


def own_word(snapshot: Snapshot, node_id: NodeId) -> Belief | None:
    """What the node says of itself; None where it does not say."""
    view = snapshot.by_observer.get(node_id)
    return view.own if view is not None else None


def judged(code: str, holds: bool | None, so: str, not_so: str) -> Check:
    """None: it cannot be told, and then `not_so` says why."""
    if holds is None:
        return Check(code, CheckVerdict.UNKNOWN, not_so)
    return Check(code, CheckVerdict.PASS if holds else CheckVerdict.FAIL, so if holds else not_so)


@dataclass(frozen=True, slots=True)
class Answers:
    """The node tells its table, and where `place` is given it does so there."""

    node: NodeId
    place: Endpoint | None = None

    def check(self, snapshot: Snapshot) -> Check:
        view, name = snapshot.by_observer.get(self.node), name_of(snapshot, self.node)
        where = f" at {self.place}" if self.place else ""
        holds = view is not None and view.reply is not None and self.place in (None, view.endpoint)
        return judged("answers", holds, f"{name} answers{where}", f"{name} does not answer{where}")


@dataclass(frozen=True, slots=True)
class Silent:
    """The node answers us nowhere. It says nothing about whether others hear it: see `GoneForOthers`."""

    node: NodeId

    def check(self, snapshot: Snapshot) -> Check:
        name = name_of(snapshot, self.node)
        return judged("silent", self.node not in snapshot.by_observer, f"{name} does not answer", f"{name} answers")


@dataclass(frozen=True, slots=True)
class GoneForOthers:
    """Everybody who lists the node holds it for dead or has lost its address."""

    node: NodeId

    def check(self, snapshot: Snapshot) -> Check:
        said = [(observer, view.belief(self.node)) for observer, view in tables(snapshot) if observer != self.node]
        hear = [observer for observer, belief in said if belief and not (belief.failed or belief.noaddr)]
        name = name_of(snapshot, self.node)
        if not said:
            return judged("gone-for-others", None, "", "no node told its table")
        return judged(
            "gone-for-others",
            not hear,
            f"nobody holds {name} for alive",
            f"{named(snapshot, hear)} does not hold {name} for dead"
            if len(hear) == 1
            else f"{counted(len(hear), 'node')} do not hold {name} for dead",
        )


@dataclass(frozen=True, slots=True)
class KnownToAll:
    """Every node that tells its table lists this one as a member with an address, and it lists all of them."""

    node: NodeId

    def check(self, snapshot: Snapshot) -> Check:
        lacking = [
            observer
            for observer, view in members(snapshot)
            if (said := view.belief(self.node)) is None or said.handshake or said.noaddr
        ]
        total, name = sum(1 for _ in members(snapshot)), name_of(snapshot, self.node)
        if self.node not in snapshot.by_observer:
            return judged("known-to-all", None, "", f"{name} does not answer")
        own = snapshot.by_observer[self.node]
        unheard = [each for each, _ in members(snapshot) if (said := own.belief(each)) is None or said.handshake]
        text = f"known to {total - len(lacking)} of {total} nodes"
        if unheard and not lacking:
            text = f"it knows {total - len(unheard)} of {total} nodes"
        return judged("known-to-all", not lacking and not unheard, f"all nodes know {name}", f"{name}: {text}")


@dataclass(frozen=True, slots=True)
class Forgotten:
    """No node that tells its table lists this id."""

    node: NodeId

    def check(self, snapshot: Snapshot) -> Check:
        listing_it = [observer for observer, view in tables(snapshot) if view.belief(self.node) is not None]
        total, name = sum(1 for _ in tables(snapshot)), f"node {self.node[:8]}"
        if not total:
            return judged("forgotten", None, "", "no node told its table")
        return judged(
            "forgotten",
            not [each for each in listing_it if each != self.node],
            f"no node lists {name}",
            f"{len(listing_it)} of {counted(total, 'node')} still list {name}",
        )


@dataclass(frozen=True, slots=True)
class OwnsNothing:
    """No view gives the node a slot, its own included. A node without a table of its own counts by the others'."""

    node: NodeId

    def check(self, snapshot: Snapshot) -> Check:
        said = [view.belief(self.node) for _, view in tables(snapshot)]
        slots = next((belief.slots for belief in said if belief and belief.slots), ())
        name = name_of(snapshot, self.node)
        return judged("owns-nothing", not slots, f"{name} owns no slots", f"{name} owns {slots_text(slots)}")


@dataclass(frozen=True, slots=True)
class Serves:
    """The node says itself that it is a primary with slots."""

    node: NodeId

    def check(self, snapshot: Snapshot) -> Check:
        own, name = own_word(snapshot, self.node), name_of(snapshot, self.node)
        if own is None:
            return judged("serves", None, "", f"{name} does not say what it is")
        holds = own.role is Role.PRIMARY and bool(own.slots)
        return judged("serves", holds, f"{name} is a primary with slots", f"{name} is no primary with slots")


@dataclass(frozen=True, slots=True)
class HoldsNothing:
    """The node counts no key of its own."""

    node: NodeId

    def check(self, snapshot: Snapshot) -> Check:
        node, name = snapshot.node(self.node), name_of(snapshot, self.node)
        keys = node.vitals.storage.keys if node is not None and node.vitals is not None else None
        if keys is None:
            return judged("holds-nothing", None, "", f"{name} does not say how many keys it holds")
        return judged("holds-nothing", keys == 0, f"{name} holds no key", f"{name} holds {counted(keys, 'key')}")


@dataclass(frozen=True, slots=True)
class Follows:
    """The node says itself that it is a replica of this primary, and so does every other table."""

    node: NodeId
    primary: NodeId

    def check(self, snapshot: Snapshot) -> Check:
        own, name = own_word(snapshot, self.node), name_of(snapshot, self.node)
        if own is None:
            return judged("follows", None, "", f"{name} does not say what it is")
        behind = name_of(snapshot, self.primary)
        if own.role is not Role.REPLICA or own.primary_id != self.primary:
            whom = name_of(snapshot, own.primary_id) if own.primary_id else "nobody"
            return judged("follows", False, "", f"{name} follows {whom}, not {behind}")
        others = [
            observer
            for observer, view in members(snapshot)
            if (said := view.belief(self.node)) is None or (said.role, said.primary_id) != (Role.REPLICA, self.primary)
        ]
        know = "does" if len(others) == 1 else "do"
        told = f"{counted(len(others), 'node')} {know} not know yet that {name} follows {behind}"
        return judged("follows", not others, f"{name} follows {behind} in every view", told)


@dataclass(frozen=True, slots=True)
class InSync:
    """The node's link to its primary is up, no copy is under way, and it holds a copy that counts."""

    node: NodeId

    def check(self, snapshot: Snapshot) -> Check:
        node, name = snapshot.node(self.node), name_of(snapshot, self.node)
        said = node.vitals.replication if node is not None and node.vitals is not None else None
        if said is None or said.link_up is None:
            return judged("in-sync", None, "", f"{name} does not say whether its link is up")
        if said.sync_in_progress:
            return judged("in-sync", False, "", f"{name} is taking a full copy")
        return judged("in-sync", said.link_up, f"{name} is in sync", f"the link of {name} to its primary is down")


@dataclass(frozen=True, slots=True)
class Alone:
    """The node lists nobody but itself, owns no slot and is a primary: as after a reset."""

    node: NodeId

    def check(self, snapshot: Snapshot) -> Check:
        view, name = snapshot.by_observer.get(self.node), name_of(snapshot, self.node)
        if view is None or view.reply is None or view.own is None:
            return judged("alone", None, "", f"{name} does not tell its table")
        others = [each.node_id for each in view.reply.table.beliefs if each.node_id != self.node and not each.handshake]
        holds = not others and view.own.role is Role.PRIMARY and not view.own.slots
        return judged("alone", holds, f"{name} knows nobody else", f"{name} lists {counted(len(others), 'other node')}")


def first_lacking(expects: Iterable[Expectation], snapshot: Snapshot) -> str:
    """What is still missing, in a clause; "" where all holds."""
    checks = (each.check(snapshot) for each in expects)
    missing = [check.evidence for check in checks if check.verdict is not CheckVerdict.PASS]
    return listing(missing, 2)
