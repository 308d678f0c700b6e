"""Whether this is one cluster, and each id one process at one address."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from rcfail.cluster.kinship import ForeignCluster
from rcfail.cluster.nouns import Endpoint, NodeId
from rcfail.cluster.snapshot import Node, Snapshot, View
from rcfail.health.finding import CLUSTER, Finding, Promise, Severity, Thresholds, of_node
from rcfail.health.wording import called, counted, duration, listing, named, rcfail, redis_cli, slots_text, who

_ALL = (Promise.SERVING, Promise.REDUNDANT, Promise.FAILOVER_READY)
_MOST_PLACES = 8


def foreign_cluster(snapshot: Snapshot, _: Thresholds) -> Iterator[Finding]:
    """Nodes of another cluster answered: seeds of two clusters were given, or an address went to another cluster.

    The picture is of one cluster alone, that of the first seed. Which one was meant cannot be told, so it is unknown.
    """
    for other in snapshot.foreign:
        taken = [node for each in other.taken if (node := snapshot.node(each))]
        yield Finding(
            "foreign-cluster",
            Severity.UNKNOWN,
            CLUSTER,
            _two_clusters(snapshot, other) if not taken else _address_taken(snapshot, other, taken),
            "All else that is said here is about the first of the two only, and nothing may be changed while it is not "
            "known which one is meant."
            if not taken
            else "Whoever looks for that node finds another cluster, and a CLUSTER MEET to this address would join the "
            "two for good.",
            _hint(snapshot, other, taken),
        )


def _two_clusters(snapshot: Snapshot, other: ForeignCluster) -> str:
    ours = sorted(view.endpoint for view in snapshot.views if view.reply is not None)
    return (
        f"the seeds lead to two clusters that share no node: one of {counted(len(snapshot.nodes), 'node')} "
        f"({listing(map(str, ours), _MOST_PLACES)}), and one of {counted(len(other.members), 'node')} "
        f"({listing(map(str, other.places), _MOST_PLACES)})"
    )


def _address_taken(snapshot: Snapshot, other: ForeignCluster, taken: list[Node]) -> str:
    return (
        f"where {listing(who(snapshot, node) for node in taken)} is listed, a member of another cluster answers: "
        f"one of {counted(len(other.members), 'node')} ({listing(map(str, other.places), _MOST_PLACES)}) that shares "
        "no node with this one"
    )


def _hint(snapshot: Snapshot, other: ForeignCluster, taken: list[Node]) -> str:
    if taken:
        place = next((node.endpoint for node in taken if node.endpoint), other.places[0])
        return f"Give the node its own address back; see who is there now: {rcfail('nodes', place)}"
    here = sorted(view.endpoint for view in snapshot.views if view.reply is not None)
    ours = next((seed for seed in snapshot.seeds if seed in here), here[0] if here else None)
    return f"Name seeds of one cluster only, {other.places[0]} for the other one: {rcfail('health', ours)}"


def address_disputed(snapshot: Snapshot, _: Thresholds) -> Iterator[Finding]:
    """Two processes claim one id, or the nodes list one id at different addresses.

    A process is told from another by the run_id of INFO, so a node that answers at two addresses of its own is none.
    Where nobody answers at one of the addresses, that is self-address-wrong.
    """
    twins: dict[NodeId, list[View]] = {}
    for view in snapshot.doubles:
        if view.observer is not None and view.observer in snapshot.nodes:
            twins.setdefault(view.observer, []).append(view)
    for node_id, views in twins.items():
        yield _two_processes(snapshot, snapshot.nodes[node_id], views)
    explained = twins.keys() | {silence.expected for silence in snapshot.deserted}
    for node in snapshot.nodes.values():
        if node.node_id in explained or len(_endpoints(snapshot, node)) < 2:
            continue
        if len(places := _places(snapshot, node)) > 1:
            yield _two_addresses(snapshot, node, places)


def _two_processes(snapshot: Snapshot, node: Node, doubles: list[View]) -> Finding:
    views = [*([node.view] if node.view else ()), *doubles]
    claimed = node.slots or next((view.own.slots for view in doubles if view.own and view.own.slots), ())
    told = [f"{view.endpoint}{_age(view)}" for view in views]
    return Finding(
        "address-disputed",
        Severity.CRITICAL if claimed else Severity.WARNING,
        of_node(node),
        f"{len(views)} processes say that they are node {node.short}: {listing(told, _MOST_PLACES)}; it is listed as "
        f"{who(snapshot, node)}",
        f"Clients write {slots_text(claimed)} to either of them, and what the one takes the other never gets."
        if claimed
        else "The others send to the one or to the other, so neither is a copy to rely on.",
        "One of them was started from a copy of the other's nodes.conf. Stop the younger one, then compare what each "
        f"holds: {redis_cli(doubles[0].endpoint, 'INFO')}",
        _ALL if claimed else None,
    )


def _age(view: View) -> str:
    uptime_s = view.vitals.server.uptime_s
    return "" if uptime_s is None else f" (up for {duration(uptime_s * 1000)})"


def _endpoints(snapshot: Snapshot, node: Node) -> set[Endpoint]:
    """All that any table prints, found without counting who holds it: with a thousand nodes most tables are one."""
    beliefs = (each.table.by_id.get(node.node_id) for each in snapshot.groups)
    return {belief.address.endpoint for belief in beliefs if belief and belief.address.endpoint}


def _places(snapshot: Snapshot, node: Node) -> Counter[Endpoint]:
    """Where the others list the node, as they told us over the address family that most of them were asked over.

    The own line is left out: a node without cluster-announce-ip learns its address from others, and keeps an old one.
    Valkey may print another address to clients over IPv6 than over IPv4 (cluster-announce-client-ipv6).
    """
    found: dict[bool, Counter[Endpoint]] = {False: Counter(), True: Counter()}
    for each in snapshot.groups:
        belief = each.table.by_id.get(node.node_id)
        if belief is None or belief.noaddr or belief.handshake or belief.address.endpoint is None:
            continue
        for observer in each.observers:
            if observer != node.node_id:
                asked_over_v6 = ":" in snapshot.by_observer[observer].endpoint.host
                found[asked_over_v6][belief.address.endpoint] += 1
    return max(found.values(), key=lambda places: places.total())


def _two_addresses(snapshot: Snapshot, node: Node, places: Counter[Endpoint]) -> Finding:
    usual = node.address.endpoint
    told = [f"{count} at {place}" for place, count in sorted(places.items(), key=lambda item: (-item[1], item[0]))]
    odd = [
        observer
        for each in snapshot.groups
        if (belief := each.table.by_id.get(node.node_id)) and belief.address.endpoint not in (None, usual)
        for observer in each.observers
        if observer != node.node_id
    ]
    first = snapshot.node(min(odd)) if odd else None
    here = node.view.endpoint if node.view else None
    return Finding(
        "address-disputed",
        Severity.WARNING,
        of_node(node),
        f"{who(snapshot, node)}, is listed at {len(places)} addresses"
        + f": {listing(told, _MOST_PLACES)} ({named(snapshot, odd)} differ{'s' if len(odd) == 1 else ''} from most)"
        + (f"; it answers us at {here}" if here else ""),
        "Clients are sent to one address or the other, depending on whom they ask; nodes that did not hear of a change "
        "do not hear this node itself.",
        f"See whether {called(first) if first else 'the others'} can hear it on the bus: "
        + redis_cli(first.endpoint if first else None, "CLUSTER", "LINKS"),
    )


RULES = (foreign_cluster, address_disputed)
