"""The sides of a partition, as a user names them. Pure: words in, groups of node names out."""

from __future__ import annotations

from collections.abc import Sequence

from rcfail.errors import UsageFault
from rcfail.practice.lab.register import LabEntry

Side = tuple[str, ...]


def sides_of(entry: LabEntry, named: Sequence[str]) -> tuple[Side, ...]:
    """The sides, each named by words with commas between: zones, host addresses, nodes. Who is in none is the last one.

    A node belongs to the side that names it itself before the one that names its host or zone, so that
    "n4" and "zone-1" say: all of zone-1 but n4. Raises UsageFault for a word that is nothing of the lab, a node
    that is named on two sides, and for fewer than two sides.
    """
    by_node: dict[str, int] = {}
    by_place: dict[str, int] = {}
    for at, text in enumerate(named):
        for word in _words(text):
            place = _nodes_at(entry, word)
            taken = by_place if place else by_node
            for name in place or (_node(entry, word),):
                if taken.setdefault(name, at) != at:
                    raise UsageFault(f"{name} is named on two sides", "Name every node, host or zone once.")
    side_of = {**by_place, **by_node}
    groups = [tuple(node.name for node in entry.nodes if side_of.get(node.name) == at) for at in range(len(named))]
    rest = tuple(node.name for node in entry.nodes if node.name not in side_of)
    empty = next((text for text, group in zip(named, groups, strict=True) if not group), None)
    if empty is not None:
        raise UsageFault(f"nobody is left on the side {empty}", "Its nodes are all named on other sides.")
    groups += [rest] if rest else []
    if len(groups) < 2:
        raise UsageFault("a partition needs two sides, and all nodes are on one", _known(entry))
    return tuple(groups)


def observer_side(entry: LabEntry, sides: Sequence[Side], text: str) -> int:
    """The number of the side that the words are all of. Raises UsageFault where they are of several."""
    names = {name for word in _words(text) for name in _nodes_at(entry, word) or (_node(entry, word),)}
    found = [at for at, side in enumerate(sides) if names <= set(side)]
    if not found:
        raise UsageFault(f"{text} is not on one side of the partition", f"The sides are: {shown(sides)}.")
    return found[0]


def shown(sides: Sequence[Side]) -> str:
    """The sides as a line: "n1,n4 | n2,n3"."""
    return " | ".join(",".join(side) for side in sides)


def _words(text: str) -> list[str]:
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words:
        raise UsageFault("a side without a node", "Name zones, host addresses or nodes, such as: --side n1,n4.")
    return words


def _nodes_at(entry: LabEntry, word: str) -> tuple[str, ...]:
    """The nodes of a zone or a host; z1 is short for zone-1."""
    zone = f"zone-{word[1:]}" if word[:1] == "z" and word[1:].isdecimal() else word
    return tuple(node.name for node in entry.nodes if zone == node.zone or word == node.host)


def _node(entry: LabEntry, word: str) -> str:
    try:
        return entry.find(word).name
    except UsageFault as error:
        raise UsageFault(error.message.replace("no node of", "no zone, host or node of"), _known(entry)) from None


def _known(entry: LabEntry) -> str:
    zones = ", ".join(sorted({node.zone for node in entry.nodes}))
    hosts = ", ".join(sorted({node.host for node in entry.nodes}))
    names = ", ".join(node.name for node in entry.nodes)
    return f"There are the zones {zones}, the hosts {hosts} and the nodes {names}."
