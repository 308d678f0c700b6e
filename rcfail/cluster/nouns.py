"""The nouns of a Redis Cluster: identities, addresses, beliefs. Frozen values without behaviour of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, NewType

SLOT_COUNT = 16384

NodeId = NewType("NodeId", str)
"""40 lower-case hex digits: the identity of a node. An address never is one."""

SlotRange = tuple[int, int]
"""First and last slot, both included."""

OpenSlot = tuple[int, NodeId]
"""A slot that is half moved, and the node at the other end."""


class Role(StrEnum):
    PRIMARY = "primary"
    REPLICA = "replica"
    UNKNOWN = "unknown"


class Link(StrEnum):
    """Whether the observer holds a bus link object to the node. Says little: it exists before TCP connects."""

    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    UNKNOWN = "unknown"


class Endpoint(NamedTuple):
    """Where we dial: a host or IP literal without brackets, and a client port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Address:
    """A node's address as an observer prints it: `host` may be empty, `port` may be 0."""

    host: str
    port: int
    bus_port: int | None = None
    hostname: str = ""

    @property
    def endpoint(self) -> Endpoint | None:
        """Where a client could dial, or None where the line names no address: `?` stands for an unknown one."""
        return Endpoint(self.host, self.port) if self.host and self.host != "?" and self.port else None

    def __str__(self) -> str:
        return str(Endpoint(self.host, self.port))


@dataclass(frozen=True, slots=True)
class Belief:
    """What one CLUSTER NODES line says of a node, without what changes at every heartbeat.

    `flags` keeps the printed order and unknown tokens, but leaves out `myself`: it tells of the
    observer, not of the node, and without it equal opinions are one shared object. `config_epoch` on a
    replica's line is its primary's (clusterGenNodeDescription, cluster_legacy.c). `line` is the text
    it was read from, with `myself,` taken out and ping and pong written as 0.
    """

    node_id: NodeId
    address: Address
    flags: tuple[str, ...]
    role: Role
    primary_id: NodeId | None
    config_epoch: int
    link: Link
    slots: tuple[SlotRange, ...] = ()
    migrating: tuple[OpenSlot, ...] = ()
    importing: tuple[OpenSlot, ...] = ()
    aux: tuple[tuple[str, str], ...] = ()
    line: str = ""

    @property
    def failed(self) -> bool:
        """`fail`: the majority's verdict, as known to the observer."""
        return "fail" in self.flags

    @property
    def suspected(self) -> bool:
        """`fail?`: the observer's own opinion."""
        return "fail?" in self.flags

    @property
    def flagged(self) -> bool:
        """Suspected or failed in this observer's eyes."""
        return self.failed or self.suspected

    @property
    def handshake(self) -> bool:
        """A node being met: its id is a random temporary one, so it counts nowhere."""
        return "handshake" in self.flags

    @property
    def noaddr(self) -> bool:
        return "noaddr" in self.flags

    @property
    def nofailover(self) -> bool:
        return "nofailover" in self.flags

    @property
    def slot_count(self) -> int:
        return sum(last - first + 1 for first, last in self.slots)


class Pulse(NamedTuple):
    """The heartbeat fields of a line, on the observer's clock: oldest unanswered ping (0: none), last pong."""

    ping_sent_unix_ms: int
    pong_received_unix_ms: int


@dataclass(frozen=True, slots=True)
class Problem:
    """A line that could not be read whole. `line_number` counts from 1; `line` is the text as it came."""

    line_number: int
    line: str
    reason: str


@dataclass(frozen=True, slots=True)
class NodeTable:
    """All beliefs of one CLUSTER NODES text, in the order of node id, and what could not be read.

    Two lines with one id are both kept in `beliefs`; `by_id` then holds the first, and a Problem says so.
    """

    beliefs: tuple[Belief, ...]
    problems: tuple[Problem, ...]
    by_id: Mapping[NodeId, Belief]


@dataclass(frozen=True, slots=True)
class NodesReply:
    """One CLUSTER NODES reply, split so that a thousand equal views share one table.

    `myself` holds the ids whose line carried `myself` (one, unless the text is odd). `pulses` is the
    ping and pong of each of `table.beliefs`, in that order, as one string "ping pong ping pong ...":
    a thousand views of a thousand nodes stay small, and few are ever read. `odd_text` is the whole
    text as it came, when some of it could not be read, else empty.
    """

    table: NodeTable
    myself: tuple[NodeId, ...]
    pulses: str
    odd_text: str = ""

    def pulse_of(self, node_id: NodeId) -> Pulse | None:
        """The heartbeat of one node, or None where this text does not list it."""
        belief = self.table.by_id.get(node_id)
        if belief is None:
            return None
        numbers = self.pulses.split(" ")
        # By identity: `index` would compare a thousand beliefs field by field.
        at = 2 * next(place for place, each in enumerate(self.table.beliefs) if each is belief)
        return Pulse(int(numbers[at]), int(numbers[at + 1]))


@dataclass(frozen=True, slots=True)
class BusLink:
    """One entry of CLUSTER LINKS. `events` is "", "r", "w" or "rw": a `to` link without r is not connected yet."""

    direction: str
    node_id: NodeId
    created_unix_ms: int
    events: str
    send_buffer_bytes: int
