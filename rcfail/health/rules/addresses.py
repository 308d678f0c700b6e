"""Members that lost their address, changed their id, or share an address."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping

from rcfail.cluster.nouns import Belief, Endpoint, NodeId, SlotRange
from rcfail.cluster.observation import Silence
from rcfail.cluster.snapshot import Node, Snapshot, View
from rcfail.health.finding import Finding, Promise, Severity, Subject, SubjectKind, Thresholds, of_node
from rcfail.health.rules.silence import reason_of
from rcfail.health.standing import Standing, knowing, peers, replacements, standings, strangers
from rcfail.health.wording import (
    answering,
    called,
    counted,
    host_and_port,
    listing,
    loss,
    named,
    rcfail,
    redis_cli,
    slots_text,
    tally,
    who,
)

_ALL = (Promise.SERVING, Promise.REDUNDANT, Promise.FAILOVER_READY)


def node_noaddr(snapshot: Snapshot, _: Thresholds) -> Iterator[Finding]:
    """Nodes list a member without an address, because another id answers where it was.

    On Redis and Valkey before 8.1 such a node is never flagged as failed, so nobody takes its slots over and
    every node goes on saying cluster_state:ok (clusterCron passes over NOADDR, cluster_legacy.c).
    """
    stands = standings(snapshot)
    for node in snapshot.nodes.values():
        if "noaddr" not in node.flags:
            continue
        if stands[node.node_id] is Standing.NO_ADDRESS:
            yield _address_gone(snapshot, node)
        elif stands[node.node_id] is Standing.ANSWERS:
            yield _address_lost_by_some(snapshot, node)


def _address_gone(snapshot: Snapshot, node: Node) -> Finding:
    slots = _slots_listed(snapshot, node)
    owner = f"{called(node)}, listed as the owner of {slots_text(slots)}" if slots else who(snapshot, node)
    flagged = (
        "until a replica takes over" if node.failed_by else "and nobody flags it, so no replica takes over by itself"
    )
    mend = rcfail("recover", answering(snapshot, node.node_id), node.node_id, "--dry-run")
    return Finding(
        "node-noaddr",
        Severity.CRITICAL if slots else Severity.WARNING,
        of_node(node),
        f"{owner}: {_share_without_address(snapshot, node)}; {tally(snapshot, node)}",
        f"Clients that ask for one of {slots_text(slots)} are sent to nobody, {flagged}."
        if slots
        else f"{loss(snapshot, node)}.",
        _hint_for_owner(snapshot, node) if slots else f"See who stands for it now, and let all nodes forget it: {mend}",
        _ALL if slots else None,
    )


def _address_lost_by_some(snapshot: Snapshot, node: Node) -> Finding:
    meet = redis_cli(answering(snapshot, node.node_id), "CLUSTER", "MEET", *host_and_port(node))
    return Finding(
        "node-noaddr",
        Severity.WARNING,
        of_node(node),
        f"{who(snapshot, node)}: {_share_without_address(snapshot, node)}, though it answers us",
        "Who has no address for it exchanges nothing with it, and cannot send clients to it.",
        f"See what mends it: {_mend(answering(snapshot, node.node_id), node)}; or introduce it again: {meet}",
    )


def _share_without_address(snapshot: Snapshot, node: Node) -> str:
    without = _observers_of(snapshot, node.node_id, lambda belief: belief.noaddr)
    return f"{len(without)} of {counted(knowing(snapshot, node), 'other node')} list it without an address"


def _slots_listed(snapshot: Snapshot, node: Node) -> tuple[SlotRange, ...]:
    """The slots that most of those who list it give to it: that is where they send clients.

    The picture may give them to the stranger that answers now, because a node that starts with the keys of slots
    without an owner claims them (verifyClusterConfigWithData); the others do not follow its epoch 0.
    """
    weight: Counter[tuple[SlotRange, ...]] = Counter()
    for each in snapshot.groups:
        if (belief := each.table.by_id.get(node.node_id)) is not None:
            weight[belief.slots] += len(each.observers)
    return max(weight, key=lambda slots: (weight[slots], slots), default=())


def _hint_for_owner(snapshot: Snapshot, node: Node) -> str:
    shard = snapshot.shard_of(node.node_id)
    living = [each for each in snapshot.replicas_of(shard) if each.view is not None] if shard else []
    if not living:
        return f"See who is left, and who answers where it was: {rcfail('nodes', answering(snapshot, node.node_id))}"
    look = redis_cli(living[0].endpoint, "INFO", "replication")
    mend = rcfail("recover", answering(snapshot, node.node_id), node.node_id, "--dry-run")
    return f"See what mends it: {mend}; and whether its replica holds the data before it is promoted by force: {look}"


def node_id_changed(snapshot: Snapshot, _: Thresholds) -> Iterator[Finding]:
    """Another id answers at a known address: the node's nodes.conf was lost, or it was reset, or replaced."""
    for old_id, view in changed(snapshot).items():
        old, new = snapshot.nodes[old_id], snapshot.node(view.observer)
        yield Finding(
            "node-id-changed",
            Severity.CRITICAL if old.slots else Severity.WARNING,
            of_node(old),
            f"{view.endpoint} is listed as {who(snapshot, old)}, but {_identity(new)} answers there",
            f"{loss(snapshot, old)}: nobody will answer under the old id again.",
            "See what the new one holds, and whether it can take that place: "
            + rcfail("recover", answering(snapshot, view.observer), old.node_id, "--dry-run"),
            _ALL if old.slots else None,
        )
    lost = addresses_lost(standings(snapshot))
    for node in strangers(snapshot) if lost else ():
        claimed = node.view.own.slots if node.view and node.view.own else ()
        yield Finding(
            "node-id-changed",
            Severity.WARNING,
            of_node(node),
            f"{called(node)} is known by none of {counted(peers(snapshot, node.node_id), 'other node')} and knows "
            f"none of them, while {named(snapshot, lost)} has no address any more: probably one process, with a new id"
            + (f"; it claims {slots_text(claimed)}, so it holds their keys" if claimed else ""),
            "The node is outside of the cluster: what it holds is neither a copy nor served.",
            f"Do not flush it, it may hold the only copy; see what it has: {redis_cli(node.endpoint, 'DBSIZE')}"
            if claimed
            else "See whose place it can take: "
            + rcfail("recover", answering(snapshot, node.node_id), "--at", str(node.endpoint), "--dry-run"),
        )


def changed(snapshot: Snapshot) -> Mapping[NodeId, View]:
    """Who answers in the place of whom. Where both are members at that address it is node-duplicate-address."""
    return {
        old_id: view
        for old_id, view in replacements(snapshot).items()
        if not ((new := snapshot.node(view.observer)) and _listed_by_others(snapshot, new, view.endpoint))
    }


def _identity(node: Node | None) -> str:
    return f"node {node.short}" if node else "a node that does not say its id"


def _listed_by_others(snapshot: Snapshot, node: Node, place: Endpoint) -> bool:
    return any(observer != node.node_id for observer in _listing_at(snapshot, node.node_id, place))


def node_duplicate_address(snapshot: Snapshot, _: Thresholds) -> Iterator[Finding]:
    """Two members are listed at one address, where only one of them can answer."""
    replaced = replacements(snapshot)
    unlisted = {view.observer for view in changed(snapshot).values()}
    at: dict[Endpoint, list[Node]] = {}
    for node in snapshot.nodes.values():
        if (place := snapshot.natmap.reached(node.address)) is not None and node.node_id not in unlisted:
            at.setdefault(place, []).append(node)
    for place, nodes in at.items():
        if len(nodes) < 2:
            continue
        there = [node for node in nodes if node.view is not None and node.view.endpoint == place]
        gone = [node for node in nodes if node.node_id in replaced or (there and node.view and node not in there)]
        slots = [slots for node in gone for slots in node.slots]
        first = min(nodes, key=lambda node: node.node_id)
        yield Finding(
            "node-duplicate-address",
            Severity.CRITICAL if slots else Severity.WARNING,
            Subject(SubjectKind.NODE, first.node_id, str(place)),
            f"{counted(len(nodes), 'node')} are listed at {place}: {listing(sorted(node.short for node in nodes))}"
            + "".join(f"; {node.short} answers there" for node in there),
            f"Whoever looks for one of them finds the other, and {slots_text(slots)} are not served."
            if slots
            else "Whoever looks for one of them finds the other.",
            f"Find out which of them is in use: {redis_cli(place, 'CLUSTER', 'MYID')}",
            _ALL if slots else None,
        )


def self_address_wrong(snapshot: Snapshot, _: Thresholds) -> Iterator[Finding]:
    """A node answers us at one address, and others list it at another one where nobody does.

    Clients are sent where it is listed, so its slots may be out of reach for all of them although each node says
    cluster_state:ok, for the bus goes on. There may also be a way to that address that only we do not have, such as
    inside of a container network, so it is unknown.
    """
    for empty in snapshot.deserted:
        node = snapshot.node(empty.expected)
        if node is None or node.view is None or empty.endpoint is None:
            continue
        if by := _listing_at(snapshot, node.node_id, empty.endpoint):
            yield _announced_in_vain(snapshot, node, empty, len(by))


def _listing_at(snapshot: Snapshot, node_id: NodeId, place: Endpoint) -> tuple[NodeId, ...]:
    return _observers_of(snapshot, node_id, lambda belief: snapshot.natmap.reached(belief.address) == place)


def _announced_in_vain(snapshot: Snapshot, node: Node, empty: Silence, listing_it: int) -> Finding:
    here = node.view.endpoint if node.view else None
    known = knowing(snapshot, node)
    grave = bool(node.slots) and 2 * listing_it > known
    return Finding(
        "self-address-wrong",
        Severity.UNKNOWN if grave else Severity.WARNING,
        of_node(node),
        f"{who(snapshot, node)} answers us at {here}, but {listing_it} of {counted(known, 'other node')} "
        f"{'lists' if listing_it == 1 else 'list'} it at {empty.endpoint}: {reason_of(empty)}",
        "Clients are sent to the address that is listed. Unless they have a way there that we do not have, they do "
        f"not reach {'its slots' if node.slots else 'it, also when it is promoted'}.",
        f"If clients reach it there and only this host does not, add --natmap {empty.endpoint}={here}; else see "
        f"what mends it, {_mend(here, node)}, and compare what it announces with where it listens: "
        f"{redis_cli(here, 'CONFIG', 'GET', 'cluster-announce-*')}",
        _ALL if grave else (Promise.FAILOVER_READY,),
    )


def _mend(place: Endpoint | None, node: Node) -> str:
    """The dry run that says what ends it."""
    return rcfail("recover", place, str(node.endpoint or node.node_id), "--dry-run")


def addresses_lost(stands: Mapping[NodeId, Standing]) -> list[NodeId]:
    return [node_id for node_id, stand in stands.items() if stand is Standing.NO_ADDRESS]


def _observers_of(snapshot: Snapshot, node_id: NodeId, holds: Callable[[Belief], bool]) -> tuple[NodeId, ...]:
    """The other nodes whose line about this one is so."""
    said = ((each.observers, each.table.by_id.get(node_id)) for each in snapshot.groups)
    return tuple(
        observer
        for observers, belief in said
        if belief and holds(belief)
        for observer in observers
        if observer != node_id
    )


RULES = (node_noaddr, node_id_changed, self_address_wrong, node_duplicate_address)
