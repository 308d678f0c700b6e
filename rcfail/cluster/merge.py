"""From one observation to one picture. The order of the views does not matter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from rcfail.cluster.electorate import electorate
from rcfail.cluster.kinship import kin
from rcfail.cluster.natmap import Natmap
from rcfail.cluster.nouns import Address, Belief, Endpoint, NodeId, Role
from rcfail.cluster.observation import Observation, Silence
from rcfail.cluster.ownership import owned, stretches
from rcfail.cluster.snapshot import Known, Node, Shard, Snapshot, Stretch, View, ViewGroup
from rcfail.cluster.view import group, view_of
from rcfail.cluster.zones import NO_LABELS, ZoneLabels

FRESH_LINK_S = 12
"""A primary pings its replicas every 10 s by default, so a live link is never silent for longer."""


def merge(observation: Observation, labels: ZoneLabels = NO_LABELS) -> Snapshot:
    """Merge all views. Total: whatever is missing is UNKNOWN or absent in the picture, never made up.

    `labels` are the operator's, and win over the `availability-zone` that a Valkey server announces.
    """
    observation, foreign = kin(observation)
    views = tuple(sorted(map(view_of, observation.answers), key=lambda view: (view.observer or "", view.endpoint)))
    by_observer = _by_observer(views)
    groups = group(tuple(by_observer.values()))
    parts = stretches(groups, by_observer)
    slots = owned(parts)
    gathering = _Gathering(groups, by_observer, _silences_by_id(observation.silences), labels, observation.natmap)
    replaced = {view.expected for view in views if view.expected}
    nodes = {node_id: gathering.node(node_id) for node_id in sorted(gathering.ids() | replaced)}
    for owner, ranges in slots.items():
        nodes[owner] = replace(nodes[owner], slots=ranges)
    voters = tuple(sorted(slots))
    nodes = _with_alive(nodes, voters, by_observer)
    shards = _shards(nodes, parts)
    return Snapshot(
        taken_at_unix_ms=observation.taken_at_unix_ms,
        seeds=observation.seeds,
        views=views,
        groups=groups,
        silences=observation.silences,
        nodes=nodes,
        shards=shards,
        stretches=parts,
        electorate=electorate(voters, by_observer),
        handshakes=_handshakes(groups),
        by_observer=by_observer,
        shard_by_node=_shard_by_node(shards),
        deserted=observation.deserted,
        foreign=foreign,
        doubles=tuple(map(view_of, observation.doubles)),
        natmap=observation.natmap,
    )


def _by_observer(views: Iterable[View]) -> Mapping[NodeId, View]:
    """One view a node; of two that claim one id, the one with a readable table, then the smaller endpoint."""
    found: dict[NodeId, View] = {}
    for view in views:
        if view.observer is None:
            continue
        held = found.get(view.observer)
        if held is None or (held.reply is None and view.reply is not None):
            found[view.observer] = view
    return found


def _silences_by_id(silences: Iterable[Silence]) -> Mapping[NodeId, Silence]:
    return {silence.expected: silence for silence in silences if silence.expected}


def _handshakes(groups: Iterable[ViewGroup]) -> tuple[tuple[NodeId, Belief], ...]:
    return tuple((each.observers[0], belief) for each in groups for belief in each.table.beliefs if belief.handshake)


@dataclass(frozen=True, slots=True)
class _Gathering:
    """Everything that was said, to be read one node at a time."""

    groups: tuple[ViewGroup, ...]
    by_observer: Mapping[NodeId, View]
    silences: Mapping[NodeId, Silence]
    labels: ZoneLabels
    natmap: Natmap

    def ids(self) -> set[NodeId]:
        """Every id that any view lists, or that a node claims, handshakes left out."""
        found = {belief.node_id for each in self.groups for belief in each.table.beliefs if not belief.handshake}
        return found | set(self.by_observer) | set(self.silences)

    def node(self, node_id: NodeId) -> Node:
        said = [(each, each.table.by_id.get(node_id)) for each in self.groups]
        listed = [(each, belief) for each, belief in said if belief is not None]
        view = self.by_observer.get(node_id)
        own = view.own if view else None
        chosen = own or _most_said(listed)
        silence = self.silences.get(node_id)
        address = _address(listed, own, view)
        endpoint = view.endpoint if view else (silence.endpoint if silence else None) or self.natmap.reached(address)
        vitals = view.vitals if view else None
        return Node(
            node_id=node_id,
            address=address,
            endpoint=endpoint,
            role=_role(chosen, vitals.replication.role if vitals else ""),
            primary_id=chosen.primary_id if chosen else None,
            config_epoch=chosen.config_epoch if chosen else 0,
            flags=frozenset(flag for _, belief in listed for flag in belief.flags),
            host=address.host or (endpoint.host if endpoint else ""),
            zone=self._zone(node_id, address, endpoint) or (vitals.server.availability_zone if vitals else ""),
            alive=Known.UNKNOWN,
            view=view,
            silence=None if view else silence,
            suspected_by=_others(node_id, (each for each, belief in listed if belief.suspected)),
            failed_by=_others(node_id, (each for each, belief in listed if belief.failed)),
            unknown_to=_others(node_id, (each for each, belief in said if belief is None)),
        )

    def _zone(self, node_id: NodeId, address: Address, endpoint: Endpoint | None) -> str:
        """A node is met by what it announces, and by where we reach it: an operator may know it by either."""
        if not self.labels.rules:
            return ""
        announced = self.labels.zone_of(address.host, address.hostname, address.port, node_id)
        return announced or (self.labels.zone_of(endpoint.host, "", endpoint.port) if endpoint else "")


def _others(node_id: NodeId, groups: Iterable[ViewGroup]) -> tuple[NodeId, ...]:
    return tuple(sorted(observer for each in groups for observer in each.observers if observer != node_id))


def _most_said(listed: list[tuple[ViewGroup, Belief]]) -> Belief | None:
    """What most observers say; among equals the greater epoch, then the line itself, so that order cannot matter."""
    weight: Counter[Belief] = Counter()
    for each, belief in listed:
        weight[belief] += len(each.observers)
    return max(weight, key=lambda belief: (weight[belief], belief.config_epoch, belief.line), default=None)


def _role(belief: Belief | None, info_role: str) -> Role:
    if belief is not None and belief.role is not Role.UNKNOWN:
        return belief.role
    return {"master": Role.PRIMARY, "slave": Role.REPLICA}.get(info_role, Role.UNKNOWN)


def _address(listed: list[tuple[ViewGroup, Belief]], own: Belief | None, view: View | None) -> Address:
    """What most others print. A node's own line may lack its address, or hold an old one."""
    weight: Counter[Address] = Counter()
    for each, belief in listed:
        others = len(each.observers) - (1 if view and view.observer in each.observers else 0)
        if others and belief.address.endpoint:
            weight[belief.address] += others
    if weight:
        return max(weight, key=lambda address: (weight[address], str(address)))
    if own and own.address.endpoint:
        return own.address
    dialed = view.endpoint if view else None
    if dialed is not None:
        return Address(dialed.host, dialed.port, own.address.bus_port if own else None)
    return listed[0][1].address if listed else Address("", 0)


def _with_alive(
    nodes: Mapping[NodeId, Node], voters: tuple[NodeId, ...], by_observer: Mapping[NodeId, View]
) -> dict[NodeId, Node]:
    fresh = _primaries_with_fresh_replica(nodes)
    asked = frozenset(voter for voter in voters if _listing(voter, by_observer))
    return {
        node_id: replace(node, alive=_alive(node, node_id in fresh, len(voters), asked))
        for node_id, node in nodes.items()
    }


def _primaries_with_fresh_replica(nodes: Mapping[NodeId, Node]) -> frozenset[NodeId]:
    return frozenset(
        node.primary_id
        for node in nodes.values()
        if node.primary_id
        and node.vitals
        and node.vitals.replication.link_up
        and node.vitals.replication.last_io_s is not None
        and 0 <= node.vitals.replication.last_io_s <= FRESH_LINK_S
    )


def _alive(node: Node, fresh_replica: bool, voters: int, asked: frozenset[NodeId]) -> Known:
    """Silent to us is not dead: a replica that hears it, or a majority of voters, can vouch for it.

    `asked` are the voters that gave a table. Sets, because with ten thousand nodes lists would take minutes.
    """
    if node.view is not None:
        return Known.YES
    if "noaddr" in node.flags and node.address.endpoint is None:
        # Whoever answers at its old address has another id, and on Redis it is never flagged (clusterCron skips it).
        return Known.NO
    if fresh_replica and not node.failed_by:
        return Known.YES
    flagged = asked.intersection((*node.suspected_by, *node.failed_by))
    if len(asked) - len(flagged.union(asked.intersection(node.unknown_to))) >= voters // 2 + 1:
        return Known.YES
    if node.failed_by or (asked and flagged == asked):
        return Known.NO
    return Known.UNKNOWN


def _listing(voter: NodeId, by_observer: Mapping[NodeId, View]) -> bool:
    """A voter that is loading answers us, but gives no table: it vouches for nobody."""
    view = by_observer.get(voter)
    return view is not None and view.reply is not None


def _shards(nodes: Mapping[NodeId, Node], parts: tuple[Stretch, ...]) -> tuple[Shard, ...]:
    """One shard for every node that owns slots or has replicas, in the order of its first slot."""
    replicas: dict[NodeId, list[NodeId]] = {}
    for node in nodes.values():
        if node.role is Role.REPLICA and (top := _top(nodes, node)) is not None:
            replicas.setdefault(top, []).append(node.node_id)
    first_slot: dict[NodeId, int] = {}
    for part in parts:
        if part.owner is not None:
            first_slot.setdefault(part.owner, part.first)
    primaries = sorted(first_slot.keys() | replicas.keys(), key=lambda each: (first_slot.get(each, 1 << 20), each))
    return tuple(
        Shard(each, tuple(sorted(replicas.get(each, ()))), nodes[each].slots) for each in primaries if each in nodes
    )


def _shard_by_node(shards: Iterable[Shard]) -> Mapping[NodeId, Shard]:
    """The first shard of each node: one that is listed as replica and owns slots is in two."""
    found: dict[NodeId, Shard] = {}
    for shard in shards:
        for member in (shard.primary_id, *shard.replica_ids):
            found.setdefault(member, shard)
    return found


def _top(nodes: Mapping[NodeId, Node], replica: Node) -> NodeId | None:
    """Up the chain of replicas to a node that is none; a ring of replicas has no top."""
    seen = {replica.node_id}
    above = replica.primary_id
    while above is not None and above not in seen:
        seen.add(above)
        node = nodes.get(above)
        if node is None:
            return None
        if node.role is not Role.REPLICA or node.primary_id is None:
            return above
        above = node.primary_id
    return None


def endpoints(snapshot: Snapshot) -> tuple[Endpoint, ...]:
    """Where the nodes that answered were reached."""
    return tuple(view.endpoint for view in snapshot.views)
