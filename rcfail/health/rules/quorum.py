"""Is there a majority of the voters, and what would end it?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from rcfail.cluster.nouns import NodeId
from rcfail.cluster.snapshot import Electorate, Known, Node, Snapshot
from rcfail.health.finding import CLUSTER, Finding, Severity, Thresholds
from rcfail.health.standing import held_for_dead
from rcfail.health.wording import answering, called, counted, listing, named, rcfail, redis_cli

if TYPE_CHECKING:
    from rcfail.health.diagnose import Rule


def quorum_lost(snapshot: Snapshot, _: Thresholds) -> Iterator[Finding]:
    """No majority of all voters stands together. Needs the table of one voter; without any it is unknown,
    unless everybody else who answers holds so many voters for dead that no majority is left.
    """
    votes = snapshot.electorate
    if not votes.voters or votes.quorum is Known.YES:
        return
    dead = _held_for_dead(snapshot)
    lost = votes.quorum is Known.NO or len(votes.voters) - len(dead) < votes.needed
    silent = [snapshot.nodes[voter] for voter in votes.voters if snapshot.nodes[voter].view is None]
    yield Finding(
        "quorum-lost",
        Severity.CRITICAL if lost else Severity.UNKNOWN,
        CLUSTER,
        _lost_evidence(snapshot) if lost else f"none of {counted(len(votes.voters), 'voter')} gave us its view",
        "no failover can be voted, neither an automatic one nor FORCE, and primaries that reach no majority refuse "
        "all commands on keys"
        if lost
        else "it cannot be told whether a majority of them stands together",
        _lost_hint(snapshot, silent),
    )


def _held_for_dead(snapshot: Snapshot) -> tuple[NodeId, ...]:
    nodes = (snapshot.nodes[voter] for voter in snapshot.electorate.voters)
    return tuple(
        node.node_id
        for node in nodes
        if node.alive is Known.NO or (node.view is None and held_for_dead(snapshot, node))
    )


def _lost_evidence(snapshot: Snapshot) -> str:
    votes = snapshot.electorate
    apart = [voter for voter in votes.voters if voter not in votes.side]
    if not votes.side:
        return f"of {counted(len(votes.voters), 'voter')} none answers, and {votes.needed} are needed"
    return (
        f"of {counted(len(votes.voters), 'voter')} at most {len(votes.side)} stand together "
        f"({named(snapshot, votes.side)}), and {votes.needed} are needed; apart or gone: {named(snapshot, apart)}"
    )


def _lost_hint(snapshot: Snapshot, silent: list[Node]) -> str:
    look = rcfail("health", answering(snapshot), "--wait", "60s")
    if silent:
        return f"Start {listing(called(node) for node in silent)} again, or mend the way there, and wait: {look}"
    return f"All voters answer us, so mend the network between them (bus ports), and wait: {look}"


def quorum_fragile(snapshot: Snapshot, _: Thresholds) -> Iterator[Finding]:
    """There is a majority, and it ends with the next voter. Always so with one or two voters."""
    votes = snapshot.electorate
    if votes.quorum is not Known.YES or len(votes.side) > votes.needed:
        return
    total = len(votes.voters)
    missing = [voter for voter in votes.voters if voter not in votes.side]
    evidence = (
        f"{len(votes.side)} of {counted(total, 'voter')} stand together and {votes.needed} are needed; "
        f"missing: {named(snapshot, missing)}"
        if missing
        else f"the cluster has {counted(total, 'voter')}, and {'it is' if total == 1 else 'both are'} needed"
    )
    yield Finding(
        "quorum-fragile",
        Severity.WARNING,
        CLUSTER,
        evidence,
        "when one more primary is lost, no failover can be voted any more: neither an automatic one nor FORCE",
        _fragile_hint(snapshot, missing),
    )


def _fragile_hint(snapshot: Snapshot, missing: list[NodeId]) -> str:
    endpoint = answering(snapshot)
    if missing:
        look = rcfail("health", endpoint, "--wait", "60s")
        return f"Bring {named(snapshot, missing)} back before you touch another primary, and wait: {look}"
    accept = rcfail("health", endpoint, "--ignore", "quorum-fragile")
    return f"Give the cluster three primaries with slots, or accept the risk by name: {accept}"


def quorum_on_one_host(snapshot: Snapshot, _: Thresholds) -> Iterator[Finding]:
    """Hosts whose loss alone ends the quorum. Silent where all nodes share one host, as in development."""
    hosts = {node.host for node in snapshot.nodes.values() if node.host}
    if len(hosts) > 1:
        yield from _concentrated(snapshot, "quorum-on-one-host", "host", lambda node: node.host)


def quorum_in_one_zone(snapshot: Snapshot, _: Thresholds) -> Iterator[Finding]:
    """Zones whose loss alone ends the quorum. Needs labels: nodes without one count nowhere."""
    yield from _concentrated(snapshot, "quorum-in-one-zone", "zone", lambda node: node.zone)


def _concentrated(snapshot: Snapshot, code: str, place: str, place_of: Callable[[Node], str]) -> Iterator[Finding]:
    """One finding for all places that hold so many voters that the others are no majority."""
    votes = snapshot.electorate
    enough = len(votes.voters) - votes.needed + 1
    if enough < 2:
        # With one or two voters every place ends the quorum: quorum-fragile says so.
        return
    there = {name: held for name, held in _by_place(snapshot, place_of).items() if len(held) >= enough}
    if not there:
        return
    spots = (f"{len(held)} on {name} ({named(snapshot, held)})" for name, held in sorted(there.items()))
    yield Finding(
        code,
        Severity.WARNING,
        CLUSTER,
        f"of {counted(len(votes.voters), 'voter')} {listing(spots)}, and losing {enough} ends the quorum",
        f"when that {place} is lost, no failover can be voted, although replicas elsewhere live",
        _spread_hint(votes, snapshot, place, max(there, key=lambda name: (len(there[name]), name)), place_of),
    )


def _by_place(snapshot: Snapshot, place_of: Callable[[Node], str]) -> Mapping[str, list[NodeId]]:
    places: dict[str, list[NodeId]] = {}
    for voter in snapshot.electorate.voters:
        if name := place_of(snapshot.nodes[voter]):
            places.setdefault(name, []).append(voter)
    return places


def _spread_hint(votes: Electorate, snapshot: Snapshot, place: str, name: str, place_of: Callable[[Node], str]) -> str:
    """Name a replica elsewhere whose graceful failover would take one voter away from the place."""
    for voter in votes.voters:
        if place_of(snapshot.nodes[voter]) != name or (shard := snapshot.shard_of(voter)) is None:
            continue
        for replica in snapshot.replicas_of(shard):
            if replica.view is not None and place_of(replica) not in ("", name):
                move = redis_cli(replica.endpoint, "CLUSTER", "FAILOVER")
                return f"Move one primary to another {place}, in a quiet hour, if that one is not full too: {move}"
    return f"Move one primary to another {place}, and see who is where: {rcfail('nodes', answering(snapshot))}"


RULES: tuple[Rule, ...] = (quorum_lost, quorum_fragile, quorum_on_one_host, quorum_in_one_zone)
