"""What an operator's word means in this cluster: a node, all nodes of a host, or all of a zone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum

from rcfail.cluster.nouns import NodeId
from rcfail.cluster.placement import PlaceKind, places
from rcfail.cluster.snapshot import Node, Snapshot

SHORTEST_ID = 4
"""Fewer digits of a node id are a slip, or a port."""

_MOST_NEAR = 4


class Kind(StrEnum):
    """What a word can name. Put before it with a colon it says which is meant: zone:east."""

    NODE = "node"
    HOST = "host"
    ZONE = "zone"


@dataclass(frozen=True, slots=True)
class Match:
    """One meaning of a word: its kind, the full name, and the nodes."""

    kind: Kind
    name: str
    node_ids: tuple[NodeId, ...]

    @property
    def word(self) -> str:
        """How it is written so that it can mean nothing else."""
        return f"{self.kind}:{self.name}"


def meanings(snapshot: Snapshot, word: str) -> tuple[Match, ...]:
    """Everything that the word can mean: none, one, or several that name different nodes.

    A node is named by its id or the first digits of it, or by an address with a port; a host by its address or by a
    host name that its nodes announce; a zone by its name.
    """
    kind, rest = _split(word)
    meant = _distinct(match for match in _matches(snapshot, rest) if match.kind == kind)
    return meant or _distinct(_matches(snapshot, word.strip()))


def _split(word: str) -> tuple[str, str]:
    """The kind that the word says of itself, "" where it says none, and the rest."""
    kind, colon, rest = word.partition(":")
    return (kind, rest.strip()) if colon and kind in tuple(Kind) else ("", word.strip())


def _distinct(matches: Iterator[Match]) -> tuple[Match, ...]:
    """One match for each set of nodes, unless it is one kind under two names."""
    found: dict[tuple[NodeId, ...], Match] = {}
    for match in matches:
        found.setdefault(match.node_ids, match)
    return tuple(found.values())


def _matches(snapshot: Snapshot, word: str) -> Iterator[Match]:
    plain = word.lower()
    if not plain:
        return
    bare = plain[1:-1] if plain.startswith("[") and plain.endswith("]") else plain
    for node in snapshot.nodes.values():
        if (len(plain) >= SHORTEST_ID and node.node_id.startswith(plain)) or plain in _addresses(node):
            yield Match(Kind.NODE, node.node_id, (node.node_id,))
    for name, ids in _hosts(snapshot).items():
        if name == bare:
            yield Match(Kind.HOST, name, ids)
    for place in places(snapshot, PlaceKind.ZONE):
        if place.name.lower() == plain:
            yield Match(Kind.ZONE, place.name, place.node_ids)


def _addresses(node: Node) -> frozenset[str]:
    """The node's address with its port, announced and as we reach it, and with its host name."""
    announced = node.address.endpoint
    found = {str(place) for place in (node.endpoint, announced) if place}
    if node.address.hostname:
        found |= {f"{node.address.hostname}:{place.port}" for place in (node.endpoint, announced) if place}
    return frozenset(each.lower() for each in found)


def _hosts(snapshot: Snapshot) -> Mapping[str, tuple[NodeId, ...]]:
    """All nodes of each host, by its address, by where we reach it, and by the names that its nodes announce."""
    found: dict[str, set[NodeId]] = {}
    for node in snapshot.nodes.values():
        names = {node.host, node.address.hostname, node.endpoint.host if node.endpoint else ""}
        for name in names - {""}:
            found.setdefault(name.lower(), set()).add(node.node_id)
    return {name: tuple(sorted(ids)) for name, ids in found.items()}


def near(snapshot: Snapshot, word: str) -> tuple[str, ...]:
    """Words that mean something here and look like this one, the likeliest first."""
    words = {place.name for place in places(snapshot, PlaceKind.ZONE)} | _hosts(snapshot).keys()
    for node in snapshot.nodes.values():
        words |= {node.short, *_addresses(node)}
    _, rest = _split(word)
    if rest.isdecimal() and len(rest) <= 5:  # a port alone: of whom?
        ported = sorted(each for each in words if each.endswith(f":{rest}"))
        return tuple(ported[:_MOST_NEAR])
    return tuple(get_close_matches(rest.lower(), sorted(words), n=_MOST_NEAR, cutoff=0.6))
