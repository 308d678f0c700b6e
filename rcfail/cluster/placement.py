"""Which nodes fall together: hosts and zones, who is there, and what is only there."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from rcfail.cluster.nouns import NodeId
from rcfail.cluster.snapshot import Electorate, Known, Node, Shard, Snapshot

NOBODY: frozenset[NodeId] = frozenset()


class PlaceKind(StrEnum):
    """What can be lost as one. A host is told by its address, a zone by a label or by the server itself."""

    HOST = "host"
    ZONE = "zone"


@dataclass(frozen=True, slots=True)
class Place:
    """A host or a zone, and all nodes that are there, in the order of their ids."""

    kind: PlaceKind
    name: str
    node_ids: tuple[NodeId, ...]


class Layout(StrEnum):
    """What the addresses and labels tell of how the nodes are spread."""

    KNOWN = "known"
    ONE_HOST = "one-host"  # all nodes share one address, and no labels tell them apart
    ADDRESS_EACH = "address-each"  # every node has its own address, and none has a label


def place_of(node: Node, kind: PlaceKind) -> str:
    """The name of the node's host or zone; "" where it is not known."""
    return node.host if kind is PlaceKind.HOST else node.zone


def places(snapshot: Snapshot, kind: PlaceKind) -> tuple[Place, ...]:
    """All hosts, or all zones, by name. A node whose place is not known is in none."""
    found: dict[str, list[NodeId]] = {}
    for node in snapshot.nodes.values():
        if name := place_of(node, kind):
            found.setdefault(name, []).append(node.node_id)
    return tuple(Place(kind, name, tuple(sorted(ids))) for name, ids in sorted(found.items()))


def dividing(snapshot: Snapshot, kind: PlaceKind) -> frozenset[str]:
    """The hosts or zones that tell something of their own.

    One host for all nodes is a development cluster, not a place to lose; a zone of one host is that host.
    """
    if kind is PlaceKind.HOST:
        hosts = frozenset(node.host for node in snapshot.nodes.values() if node.host)
        return hosts if len(hosts) > 1 else frozenset()
    hosts_of: dict[str, set[str]] = {}
    for node in snapshot.nodes.values():
        hosts_of.setdefault(node.zone, set()).add(node.host)
    return frozenset(zone for zone, hosts in hosts_of.items() if zone and len(hosts) > 1)


def layout(snapshot: Snapshot) -> Layout:
    """Whether anything can be said of hosts and zones. Labels that name two zones always tell something."""
    nodes = snapshot.nodes.values()
    hosts = {node.host for node in nodes if node.host}
    zones = {node.zone for node in nodes if node.zone}
    if len(nodes) < 2 or len(zones) > 1:
        return Layout.KNOWN
    if len(hosts) == 1:
        return Layout.ONE_HOST
    return Layout.ADDRESS_EACH if len(hosts) == len(nodes) and not zones else Layout.KNOWN


def survivors(snapshot: Snapshot, shard: Shard, lost: Collection[NodeId] = NOBODY) -> tuple[Node, ...]:
    """The members of a shard, its primary first, that hold its data after these nodes are lost: who is dead holds none.

    A node that is silent to us, and that nobody flags, is taken to live.
    """
    members = (snapshot.nodes[each] for each in (shard.primary_id, *shard.replica_ids))
    return tuple(node for node in members if node.node_id not in lost and node.alive is not Known.NO)


def shared_place(nodes: Iterable[Node], kind: PlaceKind) -> str:
    """The host or zone that all these nodes share; "" where they share none, or it is not known of one of them."""
    names = {place_of(node, kind) for node in nodes}
    return names.pop() if len(names) == 1 else ""


def voters_by_place(snapshot: Snapshot, kind: PlaceKind, within: Collection[str]) -> Mapping[str, tuple[NodeId, ...]]:
    """The voters in each of the places named in `within`, where there are any."""
    found: dict[str, list[NodeId]] = {}
    for voter in snapshot.electorate.voters:
        name = place_of(snapshot.nodes[voter], kind)
        if name in within:
            found.setdefault(name, []).append(voter)
    return {name: tuple(ids) for name, ids in found.items()}


def ending_quorum(votes: Electorate) -> int:
    """How many lost voters end the quorum when all of them stood: a quorum is counted of all voters, dead ones too."""
    return len(votes.voters) - votes.needed + 1


def even_share(snapshot: Snapshot, kind: PlaceKind) -> int:
    """How many voters the fullest place holds when they are spread evenly over all that have members of shards."""
    members = (snapshot.nodes[each] for shard in snapshot.shards for each in (shard.primary_id, *shard.replica_ids))
    used = {place_of(node, kind) for node in members} - {""}
    return -(-len(snapshot.electorate.voters) // len(used)) if used else 0
