"""Who belongs to the cluster: lost addresses, changed ids, members that only some know, nodes being met."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from rcfail.cluster.nouns import Address, Belief, Endpoint, NodeId
from rcfail.cluster.snapshot import Node, Snapshot, View
from rcfail.health.finding import CLUSTER, Finding, Promise, Severity, Subject, SubjectKind, Thresholds, of_node
from rcfail.health.standing import Standing, knowing, peers, replacements, standings
from rcfail.health.wording import (
    answering,
    called,
    counted,
    listing,
    loss,
    named,
    on_every_node,
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
        stand = stands[node.node_id]
        if "noaddr" not in node.flags or stand not in (Standing.NO_ADDRESS, Standing.ANSWERS):
            continue
        gone = stand is Standing.NO_ADDRESS
        without = _observers_of(snapshot, node.node_id, lambda belief: belief.noaddr)
        place = answering(snapshot, node.node_id)
        owns = gone and bool(node.slots)
        yield Finding(
            "node-noaddr",
            Severity.CRITICAL if owns else Severity.WARNING,
            of_node(node),
            f"{who(snapshot, node)}: {len(without)} of {counted(knowing(snapshot, node), 'other node')} list it "
            f"without an address{', though it answers us' if not gone else ''}; {tally(snapshot, node)}",
            _loss_without_address(node) if owns else f"{loss(snapshot, node)}.",
            _hint_for_owner(snapshot, node)
            if owns
            else f"If it was replaced on purpose, let all nodes forget the old id: "
            f"{on_every_node(snapshot, node, 'CLUSTER', 'FORGET', node.node_id)}"
            if gone
            else f"Introduce it again: {redis_cli(place, 'CLUSTER', 'MEET', *_place_of(node))}",
            _ALL if owns else None,
        )


def _loss_without_address(node: Node) -> str:
    ending = (
        "until a replica takes over" if node.failed_by else "and nobody flags it, so no replica takes over by itself"
    )
    return f"Reads and writes of {slots_text(node.slots)} fail, {ending}."


def _hint_for_owner(snapshot: Snapshot, node: Node) -> str:
    shard = snapshot.shard_of(node.node_id)
    living = [each for each in snapshot.replicas_of(shard) if each.view is not None] if shard else []
    if not living:
        return f"See who is left, and who answers where it was: {rcfail('nodes', answering(snapshot, node.node_id))}"
    look = redis_cli(living[0].endpoint, "INFO", "replication")
    return f"See whether its replica holds the data before it is promoted by force: {look}"


def _place_of(node: Node) -> tuple[str, str]:
    return (node.endpoint.host, str(node.endpoint.port)) if node.endpoint else ("HOST", "PORT")


def node_id_changed(snapshot: Snapshot, _: Thresholds) -> Iterator[Finding]:
    """Another id answers at a known address: the node's nodes.conf was lost, or it was reset, or replaced."""
    for old_id, view in _changed(snapshot).items():
        old, new = snapshot.nodes[old_id], snapshot.node(view.observer)
        yield Finding(
            "node-id-changed",
            Severity.CRITICAL if old.slots else Severity.WARNING,
            of_node(old),
            f"{view.endpoint} is listed as {who(snapshot, old)}, but {_identity(new)} answers there",
            f"{loss(snapshot, old)}: nobody will answer under the old id again.",
            f"See what the new one knows before anything else: {rcfail('nodes', view.endpoint)}",
            _ALL if old.slots else None,
        )
    lost = _addresses_lost(standings(snapshot))
    for node in _strangers(snapshot) if lost else ():
        yield Finding(
            "node-id-changed",
            Severity.WARNING,
            of_node(node),
            f"{called(node)} is known by none of {counted(peers(snapshot, node.node_id), 'other node')} and knows "
            f"none of them, while {named(snapshot, lost)} has no address any more: probably one process, with a new id",
            "The node is outside of the cluster: what it holds is neither a copy nor served.",
            f"See what it knows, then bring it in again as a replica: {rcfail('nodes', node.endpoint)}",
        )


def _changed(snapshot: Snapshot) -> Mapping[NodeId, View]:
    """Who answers in the place of whom. Where both are members at that address it is node-duplicate-address."""
    return {
        old_id: view
        for old_id, view in replacements(snapshot).items()
        if not ((new := snapshot.node(view.observer)) and _listed_by_others(snapshot, new, view.endpoint))
    }


def _identity(node: Node | None) -> str:
    return f"node {node.short}" if node else "a node that does not say its id"


def _listed_by_others(snapshot: Snapshot, node: Node, place: Endpoint) -> bool:
    return any(
        observer != node.node_id
        for observer in _observers_of(snapshot, node.node_id, lambda belief: belief.address.endpoint == place)
    )


def _strangers(snapshot: Snapshot) -> Iterator[Node]:
    """Nodes that answer, are listed by nobody else, and list nobody else."""
    for node in snapshot.nodes.values():
        others = peers(snapshot, node.node_id)
        if not others or len(node.unknown_to) < others or node.view is None or node.view.reply is None:
            continue
        if set(node.view.reply.table.by_id) <= {node.node_id}:
            yield node


def node_duplicate_address(snapshot: Snapshot, _: Thresholds) -> Iterator[Finding]:
    """Two members are listed at one address, where only one of them can answer."""
    replaced = replacements(snapshot)
    unlisted = {view.observer for view in _changed(snapshot).values()}
    at: dict[Endpoint, list[Node]] = {}
    for node in snapshot.nodes.values():
        if node.address.endpoint is not None and node.node_id not in unlisted:
            at.setdefault(node.address.endpoint, []).append(node)
    for place, nodes in at.items():
        if len(nodes) < 2:
            continue
        gone = [node for node in nodes if node.node_id in replaced]
        slots = [slots for node in gone for slots in node.slots]
        first = min(nodes, key=lambda node: node.node_id)
        yield Finding(
            "node-duplicate-address",
            Severity.CRITICAL if slots else Severity.WARNING,
            Subject(SubjectKind.NODE, first.node_id, str(place)),
            f"{counted(len(nodes), 'node')} are listed at {place}: {listing(sorted(node.short for node in nodes))}"
            + "".join(f"; {node.short} answers there" for node in nodes if node.view is not None),
            f"Whoever looks for one of them finds the other, and {slots_text(slots)} are not served."
            if slots
            else "Whoever looks for one of them finds the other.",
            f"Find out which of them is in use: {redis_cli(place, 'CLUSTER', 'MYID')}",
            _ALL if slots else None,
        )


def node_unknown_to_some(snapshot: Snapshot, _: Thresholds) -> Iterator[Finding]:
    """The views do not list the same members. What is half forgotten already is node-ghost or node-noaddr."""
    stands = standings(snapshot)
    unsure = {
        node.node_id
        for node in snapshot.nodes.values()
        if node.unknown_to and not _half_forgotten(node, stands[node.node_id])
    }
    if not unsure:
        return
    # A stranger beside a lost address, or at a known one, is node-id-changed.
    explained = {view.observer for view in _changed(snapshot).values()}
    explained |= {node.node_id for node in _strangers(snapshot)} if _addresses_lost(stands) else set()
    lists: dict[frozenset[NodeId], list[NodeId]] = {}
    for each in snapshot.groups:
        lists.setdefault(frozenset(unsure & each.table.by_id.keys()), []).extend(each.observers)
    usual = max(lists, key=lambda members: (len(lists[members]), len(members), sorted(members)))
    for members, observers in lists.items():
        if members != usual and not explained.issuperset(observers):
            yield _split(snapshot, usual - members, members - usual, tuple(observers))


def _half_forgotten(node: Node, stand: Standing) -> bool:
    return stand is Standing.GHOST or (stand is Standing.NO_ADDRESS and not node.slots)


def _addresses_lost(stands: Mapping[NodeId, Standing]) -> list[NodeId]:
    return [node_id for node_id, stand in stands.items() if stand is Standing.NO_ADDRESS]


def _split(
    snapshot: Snapshot, lacking: frozenset[NodeId], extra: frozenset[NodeId], observers: tuple[NodeId, ...]
) -> Finding:
    """Some observers list other members than most do."""
    themselves, third = extra & set(observers), extra - set(observers)
    some, ending = named(snapshot, observers), "es" if len(observers) == 1 else ""
    told = [f"{some} do{ending} not know {named(snapshot, lacking - themselves)}"] if lacking else []
    if themselves:
        told.append(f"none of the others knows {named(snapshot, themselves)}")
    if third:
        told.append(f"{some} still list{ending and 's'} {named(snapshot, third)}")
    differing = lacking | extra
    views = sum(len(each.observers) for each in snapshot.groups)
    verb = "lists" if ending else "list"
    return Finding(
        "node-unknown-to-some",
        Severity.WARNING,
        _subject(snapshot, differing, observers),
        f"{len(observers)} of {counted(views, 'view')} {verb} other members: {'; '.join(told)}",
        "Nodes that do not know each other exchange no news and no votes, and redirect clients differently.",
        _hint_for_split(snapshot, differing, observers),
    )


def _subject(snapshot: Snapshot, differing: frozenset[NodeId], observers: tuple[NodeId, ...]) -> Subject:
    """The one member that it is about; else the one observer that differs; else the cluster."""
    if len(differing) == 1:
        return of_node(snapshot.nodes[min(differing)])
    return of_node(snapshot.nodes[observers[0]]) if len(observers) == 1 else CLUSTER


def _hint_for_split(snapshot: Snapshot, differing: frozenset[NodeId], observers: tuple[NodeId, ...]) -> str:
    silent = [each for each in sorted(differing) if snapshot.nodes[each].view is None]
    if len(differing) == 1 and silent:
        gone = snapshot.nodes[silent[0]]
        forget = on_every_node(snapshot, gone, "CLUSTER", "FORGET", gone.node_id)
        return f"If it will not come back, let all nodes forget it within one minute: {forget}"
    one = snapshot.nodes[min(observers)]
    other = snapshot.nodes[
        min(differing - set(observers), default=min(_rest(snapshot, observers), default=one.node_id))
    ]
    meet = redis_cli(one.endpoint, "CLUSTER", "MEET", *_place_of(other))
    if differing == set(observers):
        return (
            f"If it belongs to the cluster, introduce it again when its ban of a minute is over, else stop it: {meet}"
        )
    return f"If they belong together, introduce one to the other: {meet}"


def _rest(snapshot: Snapshot, observers: tuple[NodeId, ...]) -> set[NodeId]:
    return set(snapshot.by_observer) - set(observers)


def node_handshake(snapshot: Snapshot, _: Thresholds) -> Iterator[Finding]:
    """A node is being met and does not become a member.

    The id of a handshake is made up anew at each attempt, and an attempt lives for one node timeout at most
    (clusterStartHandshake, clusterCron), so what is counted is the address.
    """
    if not snapshot.handshakes:
        return
    met: dict[Address, set[NodeId]] = {}
    for each in snapshot.groups:
        for belief in each.table.beliefs:
            if belief.handshake:
                met.setdefault(belief.address, set()).update(each.observers)
    views = sum(len(each.observers) for each in snapshot.groups)
    for address, observers in sorted(met.items(), key=lambda item: str(item[0])):
        bus = f" on its bus port {address.bus_port}" if address.bus_port else ""
        yield Finding(
            "node-handshake",
            Severity.WARNING,
            Subject(SubjectKind.NODE, "", str(address)),
            f"{address} is being met by {len(observers)} of {counted(views, 'node')} ({named(snapshot, observers)}), "
            "and is no member",
            "Whoever is there gets no slots, no votes and no replicas.",
            f"See whether it answers, and let the others reach it{bus}: "
            f"{redis_cli(address.endpoint, 'CLUSTER', 'NODES')}",
        )


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


RULES = (node_noaddr, node_id_changed, node_duplicate_address, node_unknown_to_some, node_handshake)
