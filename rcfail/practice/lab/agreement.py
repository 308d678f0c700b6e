"""Whether the nodes of a lab are the one cluster that they were meant to be. Pure: values in, reasons out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rcfail.cluster.nouns import SLOT_COUNT, Belief, Link, NodeId, NodesReply, Role
from rcfail.cluster.vitals import Vitals
from rcfail.practice.lab.register import LabEntry, NodeEntry
from rcfail.practice.lab.wish import slots_of


@dataclass(frozen=True, slots=True)
class Sight:
    """What one node says of the cluster and of itself; `silence` says why it says nothing."""

    node: NodeEntry
    nodes: NodesReply | None = None
    vitals: Vitals | None = None
    silence: str = ""


def strangers(entry: LabEntry, sights: Sequence[Sight]) -> tuple[str, ...]:
    """What lacks until every node knows every other one, each beginning with the node's name. Empty: nothing lacks."""
    return tuple(reason for sight in sights for reason in _unknown(entry, sight))


def disagreements(entry: LabEntry, sights: Sequence[Sight]) -> tuple[str, ...]:
    """What lacks until the cluster is whole, each beginning with the node's name. Empty: nothing lacks."""
    first = next((sight.nodes.table.by_id for sight in sights if sight.nodes is not None), {})
    return tuple(reason for sight in sights for reason in _lacks(entry, sight, first))


def _unknown(entry: LabEntry, sight: Sight) -> Iterator[str]:
    name = sight.node.name
    if sight.nodes is None:
        yield f"{name} does not answer: {sight.silence}"
        return
    known = {belief.node_id for belief in sight.nodes.table.beliefs if not belief.handshake}
    wanted = {node.node_id for node in entry.nodes}
    if known != wanted or len(sight.nodes.table.beliefs) != len(wanted):
        yield f"{name} knows {len(known & wanted)} of {len(wanted)} nodes"


def _lacks(entry: LabEntry, sight: Sight, first: Mapping[NodeId, Belief]) -> Iterator[str]:
    lacking = tuple(_unknown(entry, sight))
    yield from lacking
    if lacking or sight.nodes is None or sight.vitals is None:
        return
    name = sight.node.name
    for node in entry.nodes:
        belief = sight.nodes.table.by_id[node.node_id]
        if not _as_meant(entry, node, belief):
            yield f"{name} does not see {node.name} as it was made yet"
        elif node.node_id not in first or belief.config_epoch != first[node.node_id].config_epoch:
            yield f"{name} does not know the config epoch of {node.name} yet"
    state = sight.vitals.cluster
    if state.state != "ok" or state.slots_ok != SLOT_COUNT:
        yield f"{name} says cluster_state:{state.state}, {state.slots_ok} slots ok"
    yield from _unsynced(entry, sight)


def _as_meant(entry: LabEntry, node: NodeEntry, belief: Belief) -> bool:
    role = Role.REPLICA if node.primary else Role.PRIMARY
    primary_id = next((peer.node_id for peer in entry.nodes if peer.name == node.primary), None)
    shards = sum(not peer.primary for peer in entry.nodes)
    slots = () if node.primary else (slots_of(node.shard, shards),)
    good = belief.link is Link.CONNECTED and not (belief.flagged or belief.noaddr)
    return good and (belief.role, belief.primary_id, belief.slots) == (role, primary_id, slots)


def _unsynced(entry: LabEntry, sight: Sight) -> Iterator[str]:
    """From both ends: the replica's link is up, and its primary counts it as online."""
    if sight.vitals is None:
        return
    said = sight.vitals.replication
    if sight.node.primary:
        if not said.link_up or said.sync_in_progress:
            yield f"{sight.node.name} has not finished its first sync"
        return
    wanted = {(node.host, node.port) for node in entry.nodes if node.primary == sight.node.name}
    online = {(replica.ip, replica.port) for replica in said.attached if replica.state == "online"}
    if online != wanted:
        yield f"{sight.node.name} has {len(online & wanted)} of {len(wanted)} replicas online"
