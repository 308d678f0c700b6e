"""Views that differ in who leads, follows and owns, and epochs that two primaries share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rcfail.cluster.disagreement import About, Difference, differences
from rcfail.cluster.nouns import NodeId, Role
from rcfail.cluster.sides import Division
from rcfail.cluster.snapshot import Node, Snapshot, Stretch
from rcfail.health.finding import CLUSTER, Finding, Severity, Subject, SubjectKind, of_node, of_slots
from rcfail.health.wording import called, counted, listing, named, rcfail, redis_cli, slots_text

_MOST_TOLD = 3


def views_differ(snapshot: Snapshot, parts: Division) -> Iterator[Finding]:
    """Views that differ and do not agree by themselves, or whose news can still be on its way.

    Nodes of different sides differ because of the partition, which has its own finding, and so has a dead node.
    """
    together = [each for each in differences(snapshot, parts.hearing) if _on_one_side(each, parts)]
    coming = [each for each in together if _heals(snapshot, each)]
    lasting: dict[tuple[NodeId, ...], list[Difference]] = {}
    for each in together:
        if each not in coming:
            lasting.setdefault(each.observers, []).append(each)
    for observers, found in lasting.items():
        yield _differing(snapshot, observers, found)
    if coming:
        yield _not_converged(snapshot, coming)


def _on_one_side(each: Difference, parts: Division) -> bool:
    side = parts.side_of(each.node_id)
    return side is not None and any(observer in side.observers for observer in each.observers)


def _heals(snapshot: Snapshot, each: Difference) -> bool:
    """A heartbeat of the node mends it: every one carries its role and its claims (clusterProcessPacket).

    A claim to a slot is believed only if its epoch is above that of whom the observer takes for the owner
    (clusterUpdateSlotsConfigWith).
    """
    if not each.fresh or each.about is not About.OWNER or each.instead is None:
        return each.fresh
    owner = snapshot.nodes[each.node_id]
    held = [snapshot.by_observer[observer].belief(each.instead) for observer in each.observers]
    return all(belief is None or belief.config_epoch < owner.config_epoch for belief in held)


def _differing(snapshot: Snapshot, observers: tuple[NodeId, ...], found: Sequence[Difference]) -> Finding:
    first = snapshot.nodes[observers[0]]
    views = sum(len(each.observers) for each in snapshot.groups)
    verb = "differs" if len(observers) == 1 else "differ"
    place = of_node(first)
    subject = Subject(SubjectKind.VIEW, place.id, place.address) if len(observers) == 1 else CLUSTER
    astray = any(each.about is About.OWNER for each in found)
    return Finding(
        "views-differ",
        Severity.WARNING,
        subject,
        f"{len(observers)} of {counted(views, 'view')} ({named(snapshot, observers)}) {verb}: {_told(snapshot, found)}",
        "Clients that ask there are sent to a node that refuses these keys, and votes go astray."
        if astray
        else "Votes, promotions and redirections there rest on what is no longer true.",
        f"See whom it does not hear: {rcfail('views', first.endpoint)}",
    )


def _not_converged(snapshot: Snapshot, found: Sequence[Difference]) -> Finding:
    observers = sorted({observer for each in found for observer in each.observers})
    views = sum(len(each.observers) for each in snapshot.groups)
    return Finding(
        "not-converged",
        Severity.INFO,
        CLUSTER,
        f"{len(observers)} of {counted(views, 'view')} have not heard the newest yet: {_told(snapshot, found)}",
        "Nothing is lost; heartbeats spread it, within a node timeout. Do not fail the same shard over before.",
        f"Wait for it: {rcfail('views', snapshot.nodes[observers[0]].endpoint)}",
    )


def _told(snapshot: Snapshot, found: Sequence[Difference]) -> str:
    return listing((_one(snapshot, each) for each in found), _MOST_TOLD)


def _one(snapshot: Snapshot, each: Difference) -> str:
    if each.about is About.OWNER:
        return f"{slots_text(each.slots)} are of {each.true}, listed as of {each.said}"
    return f"{called(snapshot.nodes[each.node_id])} is {each.true}, listed as {each.said}"


def epoch_collision(snapshot: Snapshot) -> Iterator[Finding]:
    """Primaries with slots that have one config epoch. Heartbeats between the two end it, so two looks must show it."""
    held: dict[int, list[Node]] = {}
    for node in snapshot.nodes.values():
        if node.role is Role.PRIMARY and _has_slots(node):
            held.setdefault(node.config_epoch, []).append(node)
    for epoch, nodes in held.items():
        if len(nodes) < 2:
            continue
        rivals = list(_rivals(snapshot, nodes))
        for stretch, claimants in rivals:
            yield _same_slots(snapshot, epoch, stretch, claimants)
        if not rivals:
            yield _same_epoch(snapshot, epoch, nodes)


def _has_slots(node: Node) -> bool:
    return bool(node.slots or (node.view and node.view.own and node.view.own.slots))


def _rivals(snapshot: Snapshot, nodes: Sequence[Node]) -> Iterator[tuple[Stretch, tuple[NodeId, ...]]]:
    """The slots that several of them claim, each in its own view."""
    ids = {node.node_id for node in nodes}
    for stretch in snapshot.stretches:
        claimants = tuple(claim.node_id for claim in stretch.confirmed if claim.node_id in ids)
        if len(claimants) > 1:
            yield stretch, claimants


def _same_slots(snapshot: Snapshot, epoch: int, stretch: Stretch, claimants: tuple[NodeId, ...]) -> Finding:
    winner, *losers = sorted(claimants)
    loser = snapshot.nodes[losers[0]]
    return Finding(
        "epoch-collision",
        Severity.CRITICAL,
        of_slots(stretch.first, stretch.last),
        f"{named(snapshot, claimants)} claim {slots_text(((stretch.first, stretch.last),))}, all in epoch {epoch}",
        f"As soon as they hear each other, {called(snapshot.nodes[winner])} wins, because its id is the smallest, and "
        f"the writes of {named(snapshot, losers)} are thrown away, however many they are.",
        f"Keep them apart until you compared what they hold: {redis_cli(loser.endpoint, 'INFO', 'keyspace')}",
    )


def _same_epoch(snapshot: Snapshot, epoch: int, nodes: Sequence[Node]) -> Finding:
    first = min(nodes, key=lambda node: node.node_id)
    return Finding(
        "epoch-collision",
        Severity.WARNING,
        of_node(first),
        f"{named(snapshot, (node.node_id for node in nodes))} have config epoch {epoch}, for different slots",
        f"It ends as soon as they hear each other: {called(first)} takes a new epoch, because its id is the smallest. "
        "If it stays, they do not hear each other, and a quarrel about a slot would be settled by id alone.",
        f"See whom they hear: {rcfail('views', first.endpoint)}",
    )
