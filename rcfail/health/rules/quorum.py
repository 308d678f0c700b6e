"""Is there a majority of the voters, and what would end it?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from rcfail.cluster.electorate import majority_beyond
from rcfail.cluster.nouns import NodeId
from rcfail.cluster.placement import PlaceKind, dividing, ending_quorum, place_of, voters_by_place
from rcfail.cluster.snapshot import Electorate, Known, Node, Snapshot
from rcfail.health import restart
from rcfail.health.finding import CLUSTER, Finding, Severity, Thresholds
from rcfail.health.wording import answering, called, counted, listing, named, rcfail

if TYPE_CHECKING:
    from rcfail.health.diagnose import Rule

IN = {PlaceKind.HOST: "on host", PlaceKind.ZONE: "in zone"}


def quorum_lost(snapshot: Snapshot, _: Thresholds) -> Iterator[Finding]:
    """No majority of all voters stands together, or it cannot be told. Needs one view of the voters.

    When it cannot be told only because voters are silent to us that nobody suspects, their silence is the finding.
    """
    votes = snapshot.electorate
    if not votes.voters or votes.quorum is Known.YES or (votes.quorum is Known.UNKNOWN and _enough_trusted(votes)):
        return
    lost = votes.quorum is Known.NO
    yield Finding(
        "quorum-lost",
        Severity.CRITICAL if lost else Severity.UNKNOWN,
        CLUSTER,
        _lost_evidence(snapshot),
        _lost_consequence(snapshot) if lost else "It cannot be told whether a majority of them stands together.",
        _lost_hint(snapshot),
    )


def _enough_trusted(votes: Electorate) -> bool:
    return len(votes.side) >= votes.needed


def _lost_evidence(snapshot: Snapshot) -> str:
    votes = snapshot.electorate
    apart = [voter for voter in votes.voters if voter not in votes.side]
    total = counted(len(votes.voters), "voter")
    if not votes.side:
        return f"none of {total} gave us its view, and {votes.needed} are needed: {named(snapshot, votes.voters)}"
    return (
        f"{votes.needed} of {total} must stand together, and the largest group that we see is {len(votes.side)} "
        f"({named(snapshot, votes.side)}); {len(votes.reachable)} gave us their view; apart, silent or dead: "
        f"{named(snapshot, apart)}"
    )


def _lost_consequence(snapshot: Snapshot) -> str:
    here = (
        "No failover can be voted, neither an automatic one nor FORCE, and primaries that reach no majority refuse "
        "all commands on keys."
    )
    beyond = majority_beyond(snapshot)
    if not beyond:
        return here
    # Who is cut off together with us suspects them as we do: that looks the same as if they were dead.
    return (
        f"{here} That holds for the nodes that we see: should {named(snapshot, beyond)} live beyond a cut, they are a "
        "majority there, go on, and replace what they miss."
    )


def _lost_hint(snapshot: Snapshot) -> str:
    look = rcfail("health", answering(snapshot), "--wait", "60s")
    silent = [node for voter in snapshot.electorate.voters if (node := snapshot.nodes[voter]).view is None]
    if danger := restart.warning(snapshot, silent, "quorum-lost"):
        return danger
    if silent:
        who = named(snapshot, (node.node_id for node in silent))
        more = rcfail("recover", answering(snapshot), "--dry-run")
        return f"Start {who} again, or mend the way there; what else brings a majority back: {more}"
    mute = [voter for voter in snapshot.electorate.voters if not _shows_table(snapshot, voter)]
    if mute:
        again = rcfail("health", answering(snapshot))
        return (
            f"Nothing is known to be broken: let us read the table of members of {named(snapshot, mute)}, then: {again}"
        )
    return f"All voters answer us, so mend the network between them (bus ports), and wait: {look}"


def _shows_table(snapshot: Snapshot, voter: NodeId) -> bool:
    view = snapshot.by_observer.get(voter)
    return view is not None and view.reply is not None


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
        "When one more primary is lost, no failover can be voted any more: neither an automatic one nor FORCE.",
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
    yield from _concentrated(snapshot, "quorum-on-one-host", PlaceKind.HOST)


def quorum_in_one_zone(snapshot: Snapshot, _: Thresholds) -> Iterator[Finding]:
    """Zones whose loss alone ends the quorum. Needs labels: nodes without one count nowhere.

    A zone of one host is that host: quorum-on-one-host says all there is to say of it.
    """
    yield from _concentrated(snapshot, "quorum-in-one-zone", PlaceKind.ZONE)


def _concentrated(snapshot: Snapshot, code: str, place: PlaceKind) -> Iterator[Finding]:
    """One finding for all places that hold so many voters that the others are no majority."""
    votes = snapshot.electorate
    enough = ending_quorum(votes)
    held = voters_by_place(snapshot, place, dividing(snapshot, place))
    full = {name: ids for name, ids in held.items() if len(ids) >= enough}
    # With one or two voters every place ends the quorum: quorum-fragile says so.
    if enough < 2 or not full:
        return
    spots = listing(f"{len(ids)} {IN[place]} {name} ({named(snapshot, ids)})" for name, ids in sorted(full.items()))
    yield Finding(
        code,
        Severity.WARNING,
        CLUSTER,
        f"of {counted(len(votes.voters), 'voter')}, {spots}; losing {enough} ends the quorum",
        f"When that {place} is lost, no failover can be voted, although replicas elsewhere live.",
        spread_hint(snapshot, place, held, enough),
    )


def spread_hint(snapshot: Snapshot, place: PlaceKind, held: Mapping[str, Sequence[NodeId]], enough: int) -> str:
    """Name a replica whose graceful failover takes a voter away from a full place, and fills no other.

    It must be heard by the others: one that stands beyond a cut would wait for votes in vain.

    `held` are the voters of each place; a place with `enough` of them is full.
    """
    for ids in held.values():
        for voter in ids if len(ids) >= enough else ():
            shard = snapshot.shard_of(voter)
            for replica in snapshot.replicas_of(shard) if shard else ():
                there = place_of(replica, place)
                if replica.view and not _unheard(replica) and there and len(held.get(there, ())) + 1 < enough:
                    move = rcfail("failover", replica.endpoint, replica.short, "--dry-run")
                    return f"In a quiet hour, let {called(replica)} {IN[place]} {there} take over: {move}"
    look = rcfail("nodes", answering(snapshot))
    away = [node.node_id for node in snapshot.nodes.values() if node.view is None or _unheard(node)]
    if away:
        return f"Bring back {named(snapshot, away)} first; a failover may help then; see who is where: {look}"
    return f"No failover would help: spread the primaries over more {place}s; see who is where: {look}"


def _unheard(node: Node) -> bool:
    return bool(node.failed_by or node.suspected_by)


RULES: tuple[Rule, ...] = (quorum_lost, quorum_fragile, quorum_on_one_host, quorum_in_one_zone)
