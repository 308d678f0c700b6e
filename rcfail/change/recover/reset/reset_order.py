"""What is asked for in a reset, and how it is seen that a node may be reset and was."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from rcfail.change.checks import Check
from rcfail.change.recover.expect import Alone, GoneForOthers, HoldsNothing, judged, name_of, own_word
from rcfail.change.recover.replicas.copying import keys_of
from rcfail.cluster.nouns import Endpoint, NodeId, Role
from rcfail.cluster.snapshot import Snapshot


@dataclass(slots=True)
class Progress:
    """What was seen in this run. Before and after a whole way back a node looks the same: a replica in sync."""

    emptied: bool = False


@dataclass(frozen=True, slots=True)
class Order:
    """`node` is the id that was named, and answers at `place`. `gone` is an id that stood there before it and is still
    remembered: what an interrupted hard reset leaves behind. `rejoin` is the primary that it shall follow then."""

    node: NodeId
    place: Endpoint
    hard: bool
    rejoin: NodeId | None = None
    gone: NodeId | None = None
    progress: Progress = field(default_factory=Progress)


@dataclass(frozen=True, slots=True)
class Emptied:
    """It says itself that it is a primary without slots and without keys."""

    node: NodeId

    def check(self, snapshot: Snapshot) -> Check:
        own, name = own_word(snapshot, self.node), name_of(snapshot, self.node)
        node = snapshot.node(self.node)
        keys = keys_of(node) if node is not None else None
        if own is None or keys is None:
            return judged("emptied", None, "", f"{name} does not say what it is and holds")
        holds = own.role is Role.PRIMARY and not own.slots and keys == 0
        return judged("emptied", holds, f"{name} is an empty primary", f"{name} is not empty yet")


@dataclass(frozen=True, slots=True)
class Resettable:
    """A server resets a replica, and a primary only without keys."""

    node: NodeId

    def check(self, snapshot: Snapshot) -> Check:
        own, name = own_word(snapshot, self.node), name_of(snapshot, self.node)
        if own is None:
            return judged("resettable", None, "", f"{name} does not say what it is")
        if own.role is Role.REPLICA:
            return judged("resettable", True, f"{name} is a replica", "")
        return replace(HoldsNothing(self.node).check(snapshot), code="resettable")


@dataclass(frozen=True, slots=True)
class Renewed:
    """At this place another id answers, alone and empty, and nobody holds the old one for alive."""

    old: NodeId
    place: Endpoint

    def check(self, snapshot: Snapshot) -> Check:
        new = at(snapshot, self.place)
        if new is None:
            return judged("renewed", None, "", f"{self.place} does not answer")
        if new == self.old:
            return judged("renewed", False, "", f"{self.place} still has the id {self.old[:8]}")
        for each in (Alone(new), Emptied(new), GoneForOthers(self.old)):
            if (check := each.check(snapshot)).refuses:
                return replace(check, code="renewed")
        return judged("renewed", True, f"{self.place} is node {new[:8]} now, alone and empty", "")


def at(snapshot: Snapshot, place: Endpoint) -> NodeId | None:
    """Who answers there."""
    return next((each.observer for each in snapshot.views if each.endpoint == place and each.observer), None)
