"""In which fields two tables of members differ, whatever it means."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum

from rcfail.cluster.nouns import Belief, NodeId, NodeTable
from rcfail.cluster.snapshot import ViewGroup


class Aspect(StrEnum):
    MEMBERS = "members"
    ROLES = "roles"
    SLOTS = "slots"
    EPOCHS = "epochs"
    FLAGS = "flags"
    ADDRESSES = "addresses"
    HOST_NAMES = "host names"
    LINKS = "links"
    OPEN_SLOTS = "open slots"


MEANINGLESS = frozenset({Aspect.LINKS, Aspect.HOST_NAMES})
"""A link is dropped and made anew all the time, and host names reach the views at different times."""

_READ: dict[Aspect, Callable[[Belief], object]] = {
    Aspect.ROLES: lambda belief: (belief.role, belief.primary_id),
    Aspect.SLOTS: lambda belief: belief.slots,
    Aspect.EPOCHS: lambda belief: belief.config_epoch,
    Aspect.FLAGS: lambda belief: set(belief.flags) - {"master", "slave"},
    Aspect.ADDRESSES: lambda belief: (belief.address.host, belief.address.port, belief.address.bus_port),
    Aspect.HOST_NAMES: lambda belief: belief.address.hostname,
    Aspect.LINKS: lambda belief: belief.link,
    Aspect.OPEN_SLOTS: lambda belief: (belief.migrating, belief.importing),
}


def disparity(one: NodeTable, other: NodeTable) -> tuple[Aspect, ...]:
    """What differs between two tables, in a fixed order; empty only for tables that say the same."""
    found: set[Aspect] = set()
    if _members(one) != _members(other):
        found.add(Aspect.MEMBERS)
    for node_id, belief in one.by_id.items():
        theirs = other.by_id.get(node_id)
        # Equal lines are one object.
        if theirs is not None and theirs is not belief:
            found.update(aspect for aspect, read in _READ.items() if read(belief) != read(theirs))
    return tuple(aspect for aspect in Aspect if aspect in found)


def _members(table: NodeTable) -> set[object]:
    """Handshakes have made-up ids, which differ in each view."""
    return {belief.address if belief.handshake else belief.node_id for belief in table.beliefs}


def alike(groups: Sequence[ViewGroup]) -> tuple[ViewGroup, ...]:
    """The groups put together where only links and host names differ: both change without meaning anything.

    The largest comes first; each has one of the tables that its observers hold.
    """
    if len(groups) < 2:
        return tuple(groups)
    tables: dict[frozenset[str], NodeTable] = {}
    observers: dict[frozenset[str], list[NodeId]] = {}
    for each in groups:
        key = frozenset(_meaning(belief) for belief in each.table.beliefs if not belief.handshake)
        tables.setdefault(key, each.table)
        observers.setdefault(key, []).extend(each.observers)
    found = (ViewGroup(tables[key], tuple(sorted(ids))) for key, ids in observers.items())
    return tuple(sorted(found, key=lambda each: (-len(each.observers), each.observers)))


def _meaning(belief: Belief) -> str:
    """The line without the host name and the state of the link."""
    text = belief.line.replace(" disconnected", " connected", 1)
    return text.replace(f",{belief.address.hostname} ", " ", 1) if belief.address.hostname else text
