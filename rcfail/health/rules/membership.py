"""Members that only some nodes know, and nodes that are being met."""

from __future__ import annotations

from collections.abc import Iterator

from rcfail.cluster.nouns import Address, NodeId
from rcfail.cluster.snapshot import Node, Snapshot
from rcfail.health.finding import CLUSTER, Finding, Severity, Subject, SubjectKind, Thresholds, of_node
from rcfail.health.rules.addresses import addresses_lost, changed
from rcfail.health.standing import Standing, standings, strangers
from rcfail.health.wording import (
    answering,
    counted,
    host_and_port,
    named,
    rcfail,
    redis_cli,
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
    explained = {view.observer for view in changed(snapshot).values()}
    explained |= {node.node_id for node in strangers(snapshot)} if addresses_lost(stands) else set()
    lists: dict[frozenset[NodeId], list[NodeId]] = {}
    for each in snapshot.groups:
        lists.setdefault(frozenset(unsure & each.table.by_id.keys()), []).extend(each.observers)
    usual = max(lists, key=lambda members: (len(lists[members]), len(members), sorted(members)))
    for members, observers in lists.items():
        if members != usual and not explained.issuperset(observers):
            yield _split(snapshot, usual - members, members - usual, tuple(observers))


def _half_forgotten(node: Node, stand: Standing) -> bool:
    return stand is Standing.GHOST or (stand is Standing.NO_ADDRESS and not node.slots)


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
        forget = rcfail("recover", answering(snapshot, gone.node_id), "--forget", str(gone.endpoint or gone.node_id))
        return f"If it will not come back, say so, and all nodes forget it for good: {forget}"
    one = snapshot.nodes[min(observers)]
    other = snapshot.nodes[
        min(differing - set(observers), default=min(_rest(snapshot, observers), default=one.node_id))
    ]
    meet = redis_cli(one.endpoint, "CLUSTER", "MEET", *host_and_port(other))
    mend = f"See what mends it: {rcfail('recover', answering(snapshot, one.node_id), '--dry-run')}"
    if differing == set(observers):
        return (
            f"{mend}. By hand, if it belongs to the cluster, introduce it again when its ban of a minute is over, else "
            f"stop it: {meet}"
        )
    return f"{mend}. By hand, if they belong together, introduce one to the other: {meet}"


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
        bus = f" (bus port {address.bus_port})" if address.bus_port else ""
        yield Finding(
            "node-handshake",
            Severity.WARNING,
            Subject(SubjectKind.NODE, "", str(address)),
            f"{address} is being met by {len(observers)} of {counted(views, 'node')} ({named(snapshot, observers)}), "
            "and is no member",
            "Whoever is there gets no slots, no votes and no replicas.",
            f"See who is there{bus}, and what ends it: {rcfail('recover', answering(snapshot), '--dry-run')}",
        )


RULES = (node_unknown_to_some, node_handshake)
