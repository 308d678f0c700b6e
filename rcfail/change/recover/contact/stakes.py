"""What nodes throw away once they hear each other: the servers do it by themselves, and no command takes it back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from rcfail.change.checks import Check
from rcfail.change.recover.action import Losing
from rcfail.change.recover.case import Case
from rcfail.change.recover.expect import judged, name_of, own_word
from rcfail.change.recover.replicas.copying import came_back_empty, has_all_of, keys_of
from rcfail.change.request import Override
from rcfail.cluster.nouns import NodeId, Role
from rcfail.cluster.snapshot import Node, Snapshot
from rcfail.health.wording import called, counted, listing


@dataclass(frozen=True, slots=True)
class Stake:
    """`node` throws away what it holds when it hears `other`."""

    node: NodeId
    other: NodeId
    keys: int | None

    @property
    def losing(self) -> Losing:
        return Losing(self.node, self.keys, 0)


def stakes(snapshot: Snapshot, nodes: Iterable[NodeId]) -> tuple[Stake, ...]:
    """Of these nodes, once all of them hear each other; only what nobody else holds.

    A replica copies its primary, also one that lost its data. Where two own the same slots, the one with the smaller
    config epoch follows the other, or deletes the keys of what it lost (clusterUpdateSlotsConfigWith,
    cluster_legacy.c).
    """
    beaten = tuple(_beaten(snapshot, frozenset(nodes)))
    lost = {node.node_id for node, _ in beaten}
    doomed = lost | {each.node_id for each in snapshot.nodes.values() if each.primary_id in lost}
    kept = [each for each in snapshot.nodes.values() if each.node_id not in doomed]
    found: list[Stake] = []
    for node, other in beaten:
        # What two of them hold alike is lost once.
        alike = [snapshot.nodes[each.node] for each in found]
        if keys_of(node) != 0 and not any(has_all_of(each, node) for each in (*kept, *alike)):
            found.append(Stake(node.node_id, other, keys_of(node)))
    return tuple(found)


def _beaten(snapshot: Snapshot, among: frozenset[NodeId]) -> Iterator[tuple[Node, NodeId]]:
    """Each with whom it gives way to."""
    for node in (snapshot.nodes[each] for each in sorted(among)):
        own, primary = own_word(snapshot, node.node_id), snapshot.node(node.primary_id)
        if own is None or own.role is not Role.REPLICA or primary is None or primary.node_id not in among:
            continue
        if came_back_empty(node, primary):
            yield node, primary.node_id
    told: set[NodeId] = set()
    for part in snapshot.stretches:
        # Also of one whom all others forgot.
        claims = [each for each in part.claims if each.node_id in among and each.node_id in each.observers]
        winner = max(claims, key=lambda each: (each.config_epoch, each.node_id), default=None)
        for each in claims:
            if winner is not None and each.config_epoch < winner.config_epoch and each.node_id not in told:
                told.add(each.node_id)
                yield snapshot.nodes[each.node_id], winner.node_id


def told(snapshot: Snapshot, found: Iterable[Stake]) -> str:
    """A sentence for each kind; "" where nothing is lost."""
    said = [
        f"{called(snapshot.nodes[each.node])} copies {called(snapshot.nodes[each.other])} then, and throws away its "
        f"{'keys' if each.keys is None else counted(each.keys, 'key')}"
        for each in found
    ]
    return f"Who hears the others again gives way to them: {listing(said, 4)}; nobody else holds that." if said else ""


@dataclass(frozen=True, slots=True)
class NothingAtStake:
    """No node of these throws away what nobody else holds."""

    nodes: tuple[NodeId, ...]

    def check(self, snapshot: Snapshot) -> Check:
        found = stakes(snapshot, (each for each in self.nodes if snapshot.node(each) is not None))
        lost = listing(name_of(snapshot, each.node) for each in found)
        return judged("nothing-at-stake", not found, "nobody throws away a last copy", f"{lost} would lose its data")


def unharmed(case: Case, nodes: tuple[NodeId, ...]) -> tuple[NothingAtStake, ...]:
    """The guard of whoever lets these hear each other; none where the operator lets data go."""
    return () if Override.DATA_LOSS in case.decisions.given else (NothingAtStake(nodes),)
