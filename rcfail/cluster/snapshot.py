"""One picture of the whole cluster, merged from every view. Types only; `merge` makes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from rcfail.cluster.kinship import ForeignCluster
from rcfail.cluster.logins import AclUser, PrimaryLogin
from rcfail.cluster.natmap import NO_NATMAP, Natmap
from rcfail.cluster.nouns import (
    Address,
    Belief,
    BusLink,
    Endpoint,
    NodeId,
    NodesReply,
    NodeTable,
    Role,
    SlotRange,
)
from rcfail.cluster.observation import Absence, Ask, Silence
from rcfail.cluster.vitals import Vitals


class Known(StrEnum):
    """A three-valued answer. UNKNOWN never becomes YES."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class View:
    """What one node that answered says: of itself (`vitals`) and of all (`reply`).

    `observer` is the id that the node claims, None where it could not be read. `expected` is the id
    that other views list at this endpoint. `asked_at_unix_ms` is on our clock. `settings` are the texts of CONFIG GET,
    of which `vitals.config` types some.
    """

    endpoint: Endpoint
    observer: NodeId | None
    expected: NodeId | None
    asked_at_unix_ms: int
    took_ms: int
    vitals: Vitals
    reply: NodesReply | None
    links: tuple[BusLink, ...] | None
    slot_migrations: tuple[Mapping[str, str], ...] | None
    absences: Mapping[Ask, Absence]
    settings: Mapping[str, str] | None = None
    users: tuple[AclUser, ...] | None = None
    login: PrimaryLogin | None = None

    def belief(self, node_id: NodeId) -> Belief | None:
        """This view's opinion of a node."""
        return self.reply.table.by_id.get(node_id) if self.reply else None

    @property
    def own(self) -> Belief | None:
        """The node's line about itself."""
        return self.belief(self.observer) if self.observer else None

    @property
    def clock_unix_ms(self) -> int:
        """What the node's own clock showed when it was asked, or ours where it does not tell."""
        return self.vitals.server.server_time_unix_ms or self.asked_at_unix_ms


@dataclass(frozen=True, slots=True)
class ViewGroup:
    """Observers whose views are equal in all that is stable."""

    table: NodeTable
    observers: tuple[NodeId, ...]


@dataclass(frozen=True, slots=True)
class Node:
    """One member, as merged from all views.

    `role` and `primary_id` are the node's own word where it answered, else what most observers say.
    `flags` is the union over all views, without `myself`. `suspected_by`, `failed_by` and `unknown_to`
    name observers other than the node itself. `slots` are those that it owns in the merged picture.
    """

    node_id: NodeId
    address: Address
    endpoint: Endpoint | None
    role: Role
    primary_id: NodeId | None
    config_epoch: int
    flags: frozenset[str]
    host: str
    zone: str
    alive: Known
    slots: tuple[SlotRange, ...] = ()
    view: View | None = None
    silence: Silence | None = None
    suspected_by: tuple[NodeId, ...] = ()
    failed_by: tuple[NodeId, ...] = ()
    unknown_to: tuple[NodeId, ...] = ()

    @property
    def vitals(self) -> Vitals | None:
        return self.view.vitals if self.view else None

    @property
    def slot_count(self) -> int:
        return sum(last - first + 1 for first, last in self.slots)

    @property
    def short(self) -> str:
        """The first eight digits of the id, as people write it."""
        return self.node_id[:8]

    @property
    def label(self) -> str:
        """How a sentence names the node: its address and short id, or the id alone where nobody lists an address."""
        known = self.endpoint or self.address.endpoint
        return f"{self.endpoint or self.address} ({self.short})" if known else f"node {self.short}"


@dataclass(frozen=True, slots=True)
class Shard:
    """A primary, all replicas below it (also replicas of replicas), and its slots."""

    primary_id: NodeId
    replica_ids: tuple[NodeId, ...]
    slots: tuple[SlotRange, ...]

    @property
    def slot_count(self) -> int:
        return sum(last - first + 1 for first, last in self.slots)


@dataclass(frozen=True, slots=True)
class Claim:
    """Somebody is said to own a slot. `confirmed`: the node says so itself, in its own view.

    `observers` are those whose view says so (the claimant among them when confirmed).
    """

    node_id: NodeId
    config_epoch: int
    confirmed: bool
    observers: tuple[NodeId, ...]


@dataclass(frozen=True, slots=True)
class Stretch:
    """Consecutive slots with the same claims. Together the stretches cover 0 to 16383.

    `owner` is the claim with the highest config epoch among the confirmed ones; where none is confirmed,
    the highest among nodes that could not be asked; else None.
    """

    first: int
    last: int
    owner: NodeId | None
    claims: tuple[Claim, ...]

    @property
    def count(self) -> int:
        return self.last - self.first + 1

    @property
    def confirmed(self) -> tuple[Claim, ...]:
        return tuple(claim for claim in self.claims if claim.confirmed)


@dataclass(frozen=True, slots=True)
class Electorate:
    """Who votes. `voters` own slots, dead ones included; `needed` is half of them, rounded down, plus one.

    `reachable` answered us; `side` is the largest set of voters that list each other without fail flags,
    as far as could be asked. `quorum` is YES when enough voters of that side told us so themselves, NO when too few
    can stand together whatever the silent ones would say.
    """

    voters: tuple[NodeId, ...]
    needed: int
    reachable: tuple[NodeId, ...]
    side: tuple[NodeId, ...]
    quorum: Known


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The merged picture of one round, of one cluster: `foreign` are others that were met and are not in it.

    `doubles` are further processes that claim the id of a node that has a view."""

    taken_at_unix_ms: int
    seeds: tuple[Endpoint, ...]
    views: tuple[View, ...]
    groups: tuple[ViewGroup, ...]
    silences: tuple[Silence, ...]
    nodes: Mapping[NodeId, Node]
    shards: tuple[Shard, ...]
    stretches: tuple[Stretch, ...]
    electorate: Electorate
    handshakes: tuple[tuple[NodeId, Belief], ...] = ()
    by_observer: Mapping[NodeId, View] = field(default_factory=dict)
    shard_by_node: Mapping[NodeId, Shard] = field(default_factory=dict)
    deserted: tuple[Silence, ...] = ()
    foreign: tuple[ForeignCluster, ...] = ()
    doubles: tuple[View, ...] = ()
    natmap: Natmap = NO_NATMAP

    def node(self, node_id: NodeId | None) -> Node | None:
        return self.nodes.get(node_id) if node_id else None

    def shard_of(self, node_id: NodeId) -> Shard | None:
        """The shard in which the node is primary or replica."""
        return self.shard_by_node.get(node_id)

    def replicas_of(self, shard: Shard) -> Iterator[Node]:
        return (self.nodes[node_id] for node_id in shard.replica_ids)

    def is_voter(self, node_id: NodeId) -> bool:
        return node_id in self.electorate.voters
