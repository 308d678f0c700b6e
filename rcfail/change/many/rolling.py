"""In which order all nodes are restarted: replicas first, a primary only after another node leads its shard."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from rcfail.cluster.nouns import NodeId
from rcfail.cluster.snapshot import Known, Snapshot


class Unit(StrEnum):
    """What is restarted at once."""

    NODE = "node"
    HOST = "host"


@dataclass(frozen=True, slots=True)
class Crew:
    """A shard with slots: who leads it, and who else lives in it."""

    primary: NodeId
    replicas: tuple[NodeId, ...]

    @property
    def members(self) -> tuple[NodeId, ...]:
        return (self.primary, *self.replicas)

    def led_by(self, node_id: NodeId) -> Crew:
        return Crew(node_id, tuple(each for each in self.members if each != node_id))


@dataclass(frozen=True, slots=True)
class Formation:
    """Who leads whom, and where each node is. `order` is that of addresses, as people count nodes."""

    crews: tuple[Crew, ...]
    host_of: Mapping[NodeId, str]
    order: tuple[NodeId, ...]

    def crew_of(self, node_id: NodeId) -> Crew | None:
        return next((each for each in self.crews if node_id in each.members), None)

    def leads(self, node_id: NodeId) -> bool:
        return any(each.primary == node_id for each in self.crews)


@dataclass(frozen=True, slots=True)
class Batch:
    """Nodes that may be down together. `first` are those among them that lead a shard: each has to be replaced
    before, by a node that is not in the batch."""

    nodes: tuple[NodeId, ...]
    first: tuple[NodeId, ...]


@dataclass(frozen=True, slots=True)
class Stop:
    """One batch of the whole way, with who would take over from whom, as far as it can be told beforehand."""

    batch: Batch
    moves: tuple[tuple[NodeId, NodeId], ...]


def formation_of(snapshot: Snapshot) -> Formation:
    """As it is now, without who is known to be dead."""
    crews = []
    for shard in snapshot.shards:
        replicas = tuple(each for each in shard.replica_ids if snapshot.nodes[each].alive is not Known.NO)
        if shard.slots:
            crews.append(Crew(shard.primary_id, replicas))
    nodes = sorted(snapshot.nodes.values(), key=lambda each: (each.address.port, str(each.address), each.node_id))
    return Formation(tuple(crews), {each.node_id: each.host for each in nodes}, tuple(each.node_id for each in nodes))


def alone(formation: Formation, scope: Collection[NodeId]) -> tuple[NodeId, ...]:
    """Primaries of the scope with nobody to take over: a restart would take their slots out."""
    return tuple(each.primary for each in formation.crews if each.primary in scope and not each.replicas)


def next_batch(formation: Formation, left: Collection[NodeId], unit: Unit) -> Batch | None:
    """Who comes next of those that are left; None: nobody.

    By node: whoever leads nothing first. By host: the host that leads least, as much of it as leaves each shard a
    member elsewhere that can lead it.
    """
    waiting = [each for each in formation.order if each in left]
    if not waiting:
        return None
    if unit is Unit.NODE:
        chosen = next((each for each in waiting if not formation.leads(each)), waiting[0])
        return _batch(formation, (chosen,))
    hosts = dict.fromkeys(formation.host_of.get(each, "") for each in waiting)

    def burden(host: str) -> int:
        return sum(1 for each in waiting if formation.host_of.get(each, "") == host and formation.leads(each))

    host = min(hosts, key=burden)
    there = [each for each in waiting if formation.host_of.get(each, "") == host]
    return _batch(formation, _together(formation, there))


def _batch(formation: Formation, nodes: tuple[NodeId, ...]) -> Batch:
    return Batch(nodes, tuple(each for each in nodes if formation.leads(each)))


def _together(formation: Formation, there: list[NodeId]) -> tuple[NodeId, ...]:
    """As many of these as may be down at once: of each shard somebody stays. Replicas come before primaries."""
    down: list[NodeId] = []
    for each in sorted(there, key=formation.leads):
        crew = formation.crew_of(each)
        if crew is None or any(other not in down and other != each for other in crew.members):
            down.append(each)
    return tuple(down) or (there[0],)


def preferred(formation: Formation, primary: NodeId, batch: Batch, left: Collection[NodeId]) -> tuple[NodeId, ...]:
    """Who may take over from a primary of the batch: whoever needs no restart any more, else anybody outside it."""
    crew = formation.crew_of(primary)
    outside = [each for each in crew.replicas if each not in batch.nodes] if crew else []
    fresh = tuple(each for each in outside if each not in left)
    return fresh or tuple(outside)


def after_move(formation: Formation, primary: NodeId, target: NodeId) -> Formation:
    crews = tuple(each.led_by(target) if each.primary == primary else each for each in formation.crews)
    return replace(formation, crews=crews)


def itinerary(formation: Formation, scope: Collection[NodeId], unit: Unit) -> tuple[Stop, ...]:
    """The whole way, if all goes well. Who takes over is chosen when it is due, from all that is known then."""
    return tuple(_itinerary(formation, scope, unit))


def _itinerary(formation: Formation, scope: Collection[NodeId], unit: Unit) -> Iterator[Stop]:
    left = set(scope) & set(formation.order)
    while (batch := next_batch(formation, left, unit)) is not None:
        moves = []
        for primary in batch.first:
            able = preferred(formation, primary, batch, left)
            if able:
                moves.append((primary, able[0]))
                formation = after_move(formation, primary, able[0])
        yield Stop(batch, tuple(moves))
        left -= set(batch.nodes)
