"""Bus links that work in one direction only."""

from __future__ import annotations

from collections.abc import Iterator

from rcfail.cluster.failover_stage import unanswered_ms
from rcfail.cluster.hearing import ONE_WAY, Hearing, Regard
from rcfail.cluster.nouns import NodeId
from rcfail.cluster.observation import AbsenceKind, Ask
from rcfail.cluster.snapshot import Snapshot
from rcfail.health.finding import CLUSTER, Finding, Severity, Subject, of_node
from rcfail.health.standing import unreached
from rcfail.health.wording import called, counted, duration, listing, named, redis_cli

_MOST_TOLD = 3
_Pair = tuple[NodeId, NodeId]


def link_missing(snapshot: Snapshot, heard: Hearing) -> Iterator[Finding]:
    """A node does not get through to another, which gets through to it, so neither suspects the other.

    The other's own pings count as a sign of life (data_received in clusterCron), so the node is never flagged, its link
    is never made anew, and CLUSTER NODES says `connected` while the ping grows older and older. That age is seen on
    every version. Where CLUSTER LINKS can be asked, a link is missed too that never carried a ping. A node that nobody
    gets through to is bus-unreachable.
    """
    pairs = [
        (observer, other)
        for observer, seen in heard.regards.items()
        for other, regard in seen.items()
        if regard in ONE_WAY and other in heard.regards and not heard.deaf(other, observer)
    ]
    if not pairs:
        return
    nobody_reaches = unreached(snapshot, frozenset(other for _, other in pairs))
    pairs = sorted(pair for pair in pairs if pair[1] not in nobody_reaches)
    if not pairs:
        return
    first, other = snapshot.nodes[pairs[0][0]], snapshot.nodes[pairs[0][1]]
    port = other.address.bus_port
    yield Finding(
        "link-missing",
        Severity.WARNING,
        _subject(snapshot, pairs),
        f"{counted(len(pairs), 'bus link')} of {counted(len(heard.regards), 'node')} "
        f"{'is' if len(pairs) == 1 else 'are'} missing in one direction: "
        + listing((_told(snapshot, heard, pair) for pair in pairs), _MOST_TOLD),
        "What is sent that way is lost: votes, requests for votes, the verdict that a node failed. Nobody is suspected "
        "as long as the other direction works.",
        f"Let {called(first)} connect to {other.host or 'the other'} on port {port or 'client port + 10000'}, then see "
        f"the age of its pings: {redis_cli(first.endpoint, 'CLUSTER', 'NODES')}",
    )


def _subject(snapshot: Snapshot, pairs: list[_Pair]) -> Subject:
    """The one node that does not get through, or the one that is not reached; else the cluster."""
    openers, targets = {opener for opener, _ in pairs}, {target for _, target in pairs}
    if len(openers) == 1:
        return of_node(snapshot.nodes[min(openers)])
    return of_node(snapshot.nodes[min(targets)]) if len(targets) == 1 else CLUSTER


def _told(snapshot: Snapshot, heard: Hearing, pair: _Pair) -> str:
    opener, target = pair
    view = snapshot.by_observer[opener]
    said = f"{named(snapshot, [opener])} to {named(snapshot, [target])}"
    if heard.of(opener, target) is Regard.NO_LINK:
        return f"{said} (CLUSTER LINKS of both show no connection)"
    waits = unanswered_ms(view, target) or 0
    proof = f"its ping has no answer for {duration(waits)}, and the node is not suspected"
    return f"{said} ({proof}{_links_say(snapshot, pair)})"


def _links_say(snapshot: Snapshot, pair: _Pair) -> str:
    """What CLUSTER LINKS adds: a connection that died in silence stands on both sides until one of them gives it up."""
    opener, target = pair
    view, other = snapshot.by_observer[opener], snapshot.by_observer[target]
    absence = view.absences.get(Ask.CLUSTER_LINKS)
    if absence is not None and absence.kind is AbsenceKind.UNSUPPORTED:
        return "; this version has no CLUSTER LINKS to confirm it"
    if other.links is not None and all(link.direction != "from" or link.node_id != opener for link in other.links):
        return "; CLUSTER LINKS there shows no link from it"
    mine = [link for link in view.links or () if link.direction == "to" and link.node_id == target]
    if view.links is not None and not any("r" in link.events for link in mine):
        return "; its own CLUSTER LINKS shows none that is connected"
    return ""
