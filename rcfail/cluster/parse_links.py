"""CLUSTER LINKS: the bus connections of one node, as its RESP reply says them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from reprlib import Repr
from typing import NamedTuple

from rcfail.cluster.nouns import BusLink, Problem
from rcfail.cluster.parse_info import whole_number
from rcfail.cluster.parse_line import node_id_of

_DIRECTIONS = ("to", "from")
_EVENTS = ("", "r", "w", "rw")
# A foreign reply may be large or deep.
_SHORT = Repr()
_SHORT.maxlist = _SHORT.maxdict = 14
_SHORT.maxstring = _SHORT.maxother = 60


class LinksReading(NamedTuple):
    """The links that could be read, in the order of the reply, and the entries that could not.

    `line_number` of a Problem is the number of the entry, from 1; `line` is the entry as Python prints it, shortened.
    """

    links: tuple[BusLink, ...]
    problems: tuple[Problem, ...]


def parse_links(reply: object) -> LinksReading:
    """Read a decoded reply: a list of entries, each a flat list of names and values (RESP2) or a map. Total.

    `send_buffer_bytes` is `send-buffer-used`, what still waits to be sent; `send-buffer-allocated` also counts
    memory that is only kept ready.
    """
    if not isinstance(reply, Sequence) or isinstance(reply, str | bytes | bytearray):
        return LinksReading((), (Problem(1, _SHORT.repr(reply), "not a list of links"),))
    links: list[BusLink] = []
    problems: list[Problem] = []
    for number, entry in enumerate(reply, 1):
        read = _read_entry(entry)
        if isinstance(read, BusLink):
            links.append(read)
        else:
            problems.append(Problem(number, _SHORT.repr(entry), read))
    return LinksReading(tuple(links), tuple(problems))


def _read_entry(entry: object) -> BusLink | str:
    """The link, or the reason why it is none. A link without one of these five says nothing to rely on."""
    said = _named(entry)
    if said is None:
        return "not a list of names and values"
    node_id = node_id_of(said.get("node", ""))
    created, waiting = (whole_number(said.get(name, "")) for name in ("create-time", "send-buffer-used"))
    if said.get("direction") not in _DIRECTIONS:
        return "direction is neither to nor from"
    if node_id is None:
        return "node is not 40 hex digits"
    if said.get("events") not in _EVENTS:
        return "events are none of r, w, rw and nothing"
    if created is None or waiting is None:
        return "create-time or send-buffer-used is not a number"
    return BusLink(said["direction"], node_id, created, said["events"], waiting)


def _named(entry: object) -> dict[str, str] | None:
    if isinstance(entry, Mapping):
        return {_text(name): _text(value) for name, value in entry.items()}
    if not isinstance(entry, Sequence) or isinstance(entry, str | bytes | bytearray) or len(entry) % 2:
        return None
    return {_text(name): _text(value) for name, value in zip(entry[::2], entry[1::2], strict=True)}


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    return value if isinstance(value, str) else _SHORT.repr(value)
