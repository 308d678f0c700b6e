"""Versions and settings: what is mixed, what is known to be faulty, what a restart would cost."""

from __future__ import annotations

from collections.abc import Iterator

from rcfail.cluster.bugs import BUGS, Bug, Occasion
from rcfail.cluster.dialect import name_of
from rcfail.cluster.nouns import NodeId
from rcfail.cluster.snapshot import Known, Node, Snapshot
from rcfail.cluster.vitals import Server
from rcfail.health.finding import CLUSTER, Finding, Severity, Thresholds, of_node
from rcfail.health.restart import holds_data, saves_nothing
from rcfail.health.rules import drift, unprepared
from rcfail.health.wording import counted, listing, named, redis_cli

_MOST_VERSIONS = 6


def version_mixed(snapshot: Snapshot, _: Thresholds) -> Iterator[Finding]:
    """Nodes run different versions, as in a rolling upgrade. Needs INFO; who hides its version is left out."""
    by_name: dict[str, list[NodeId]] = {}
    servers: dict[str, Server] = {}
    for node_id, view in snapshot.by_observer.items():
        if view.vitals.server.version:
            by_name.setdefault(name_of(view.vitals.server), []).append(node_id)
            servers[name_of(view.vitals.server)] = view.vitals.server
    if len(by_name) < 2:
        return
    order = sorted(by_name, key=lambda name: (servers[name].flavour, servers[name].version))
    told = [f"{name} on {counted(len(by_name[name]), 'node')} ({named(snapshot, by_name[name])})" for name in order]
    two = len({server.flavour for server in servers.values()}) > 1
    yield Finding(
        "version-mixed",
        Severity.INFO,
        CLUSTER,
        f"the nodes run {len(by_name)} versions: {listing(told, _MOST_VERSIONS)}",
        ("Redis and Valkey are on one bus here; their releases are not tested with each other. " if two else "")
        + "A replica of an older version cannot read what a newer primary sends once the format of the data differs, "
        "so after a failover to a newer node its older replicas may fail to copy.",
        f"Bring all nodes to one version, replicas first; the oldest is {order[0]}",
    )


def version_bug(snapshot: Snapshot, _: Thresholds) -> Iterator[Finding]:
    """A node runs a version with a known fault, one finding a fault. Needs INFO."""
    occasions = _occasions(snapshot)
    for bug in BUGS:
        if bug.occasion not in occasions:
            continue
        hit = [node for node in snapshot.nodes.values() if node.vitals and bug.affects(node.vitals.server)]
        if hit:
            yield _known_bug(snapshot, bug, hit)


def _occasions(snapshot: Snapshot) -> frozenset[Occasion]:
    found = {Occasion.ALWAYS}
    nodes = snapshot.nodes.values()
    if any(node.failed_by or node.unknown_to or "noaddr" in node.flags for node in nodes):
        found.add(Occasion.FORGETTING)
    if len({node.vitals.server.version for node in nodes if node.vitals}) > 1:
        found.add(Occasion.MIXED)
    if snapshot.electorate.quorum is Known.NO or any(node.failed_by and node.slots for node in nodes):
        found.add(Occasion.TAKEOVER)
    return frozenset(found)


def _known_bug(snapshot: Snapshot, bug: Bug, hit: list[Node]) -> Finding:
    versions = listing(sorted({name_of(node.vitals.server) for node in hit if node.vitals}))
    one = len(hit) == 1
    everywhere = len(hit) == len(snapshot.by_observer)
    where = "every node" if everywhere and not one else named(snapshot, [node.node_id for node in hit])
    return Finding(
        "version-bug",
        Severity.WARNING if bug.grave else Severity.INFO,
        of_node(hit[0]) if one else CLUSTER,
        f"{versions} on {where}: {bug.what} ({bug.source})",
        bug.consequence,
        bug.advice,
    )


def persistence_off(snapshot: Snapshot, _: Thresholds) -> Iterator[Finding]:
    """Slot owners with data that save nothing: started again by a supervisor, they come back empty.

    Before the node timeout is over nobody has taken their slots over, so they keep them, and their replicas copy the
    emptiness. Needs INFO and CONFIG GET of the primary; without replicas to lose there is nothing to say.
    """
    bare = []
    for shard in snapshot.shards:
        primary = snapshot.nodes[shard.primary_id]
        if primary.slots and shard.replica_ids and saves_nothing(primary) and holds_data(primary):
            bare.append(primary)
    if not bare:
        return
    first, one = bare[0], len(bare) == 1
    yield Finding(
        "persistence-off-restart-risk",
        Severity.INFO,
        of_node(first) if one else CLUSTER,
        f"{'1 primary saves' if one else f'{len(bare)} primaries save'} nothing of {'its' if one else 'their'} data "
        f"(save empty, appendonly no): {named(snapshot, [node.node_id for node in bare])}",
        "A process that dies and is started again within the node timeout comes back empty and still owns its slots; "
        "its replicas copy that, and the data of the shard is gone.",
        "Let the supervisor wait for longer than the node timeout, or let it save: "
        + redis_cli(first.endpoint, "CONFIG", "SET", "appendonly", "yes"),
    )


RULES = (*unprepared.RULES, drift.config_drift, drift.users_drift, version_mixed, version_bug, persistence_off)
