"""What was broken in a lab and is to be undone: kept in its entry, read back from it.

The readers raise ValueError, KeyError or TypeError on what was never written.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class CutKind(StrEnum):
    """Which way to a node is cut. BUS: both ways. BUS_IN: peers cannot reach it, it reaches them."""

    BUS = "bus"
    BUS_IN = "bus-in"
    BUS_IN_ANNOUNCED = "bus-in-announced"
    CLIENT = "client"


@dataclass(frozen=True, slots=True)
class Cut:
    kind: CutKind
    node: str


class Refusal(StrEnum):
    """The error that a primary answers every write with."""

    OOM = "oom"
    MISCONF = "misconf"
    NOREPLICAS = "noreplicas"


@dataclass(frozen=True, slots=True)
class WriteStop:
    """A primary that was made to refuse writes. `before` holds its settings as they were: name, value."""

    refusal: Refusal
    node: str
    before: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Altered:
    """A setting of one node that was given another value; `before` is the one that it had."""

    node: str
    option: str
    before: str


class Way(StrEnum):
    """What a partition drops. BOTH: all between the sides. The others are one-way, from the first side to the rest.

    PACKETS: what the first side sends. CONNECTIONS: the connections that it opens; those opened to it live on.
    """

    BOTH = "both"
    PACKETS = "packets"
    CONNECTIONS = "connections"


@dataclass(frozen=True, slots=True)
class Partition:
    """A lab cut in sides, each a group of node names. `observer` is the one side that we are on; None: we see all."""

    sides: tuple[tuple[str, ...], ...]
    way: Way = Way.BOTH
    observer: int | None = None


def cut_of(found: dict[str, Any]) -> Cut:
    return Cut(CutKind(found["kind"]), str(found["node"]))


def partition_of(found: dict[str, Any]) -> Partition:
    sides = tuple(tuple(str(name) for name in side) for side in found["sides"])
    return Partition(sides, Way(found["way"]), None if found["observer"] is None else int(found["observer"]))


def altered_of(found: dict[str, Any]) -> Altered:
    return Altered(str(found["node"]), str(found["option"]), str(found["before"]))


def write_stop_of(found: dict[str, Any]) -> WriteStop:
    before = tuple((str(option), str(value)) for option, value in found["before"])
    return WriteStop(Refusal(found["refusal"]), str(found["node"]), before)
