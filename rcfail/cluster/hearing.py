"""Who hears whom on the cluster bus, as far as each node's own table tells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from rcfail.cluster.electorate import NODE_TIMEOUT_MS
from rcfail.cluster.nouns import Belief, NodeId, NodeTable
from rcfail.cluster.snapshot import Snapshot, View

JUST_STARTED_S = 2
"""The others need up to a second to find a restarted node again (clusterCron runs ten times a second)."""


class Regard(StrEnum):
    """How an observer sees another node."""

    WELL = "well"
    WAITS = "waits"  # no answer to a ping for longer than the node timeout, yet not suspected: it hears the other's own
    NO_LINK = "no-link"  # both ends say in CLUSTER LINKS that the observer has no connection to it
    SUSPECTS = "suspects"  # fail?
    FAILED = "failed"  # fail, and no answer to its pings
    STILL_FAILED = "still-failed"  # fail, though it answers again: the flag goes later
    NO_ADDRESS = "no-address"
    UNLISTED = "unlisted"


DEAF = frozenset({Regard.SUSPECTS, Regard.FAILED, Regard.NO_ADDRESS})
ONE_WAY = frozenset({Regard.WAITS, Regard.NO_LINK})


@dataclass(frozen=True, slots=True)
class Hearing:
    """For each observer that gave a table: all others that it does not see well, and how it does see them."""

    regards: Mapping[NodeId, Mapping[NodeId, Regard]]

    def of(self, observer: NodeId, node_id: NodeId) -> Regard:
        return self.regards[observer].get(node_id, Regard.WELL)

    def deaf(self, observer: NodeId, node_id: NodeId) -> bool:
        """The observer gets no sign of life of the other."""
        return self.of(observer, node_id) in DEAF

    def apart(self, one: NodeId, other: NodeId) -> bool:
        """One of the two, where it gave a table, gets no sign of life of the other."""
        return any(self.deaf(a, b) for a, b in ((one, other), (other, one)) if a in self.regards)


def hearing(snapshot: Snapshot) -> Hearing:
    """Equal tables are read once; of the heartbeats only what is not zero is looked at, so that it stays fast."""
    odd = {id(each.table): dict(_oddities(snapshot, each.table)) for each in snapshot.groups}
    found: dict[NodeId, Mapping[NodeId, Regard]] = {}
    for observer, view in snapshot.by_observer.items():
        if view.reply is None:
            continue
        seen = odd[id(view.reply.table)]
        own = {each: regard for each, regard in seen.items() if each != observer} if seen else {}
        _with_heartbeats(snapshot, view, own)
        found[observer] = own
    _with_links(snapshot, found)
    return Hearing(found)


def _oddities(snapshot: Snapshot, table: NodeTable) -> Iterator[tuple[NodeId, Regard]]:
    for belief in table.beliefs:
        if belief.handshake or belief.node_id not in snapshot.nodes:
            continue
        if belief.noaddr:
            yield belief.node_id, Regard.NO_ADDRESS
        elif belief.flagged:
            yield belief.node_id, Regard.FAILED if belief.failed else Regard.SUSPECTS
    if len(table.by_id) < len(snapshot.nodes) or not table.by_id.keys() >= snapshot.nodes.keys():
        yield from ((each, Regard.UNLISTED) for each in snapshot.nodes if each not in table.by_id)


def _with_heartbeats(snapshot: Snapshot, view: View, own: dict[NodeId, Regard]) -> None:
    """Tell a flag that is left over from one that holds, and find pings that wait in vain without a flag.

    A restarted or healed node stays `fail` for a while although it answers (clearNodeFailureIfNeeded): then no ping is
    outstanding. A node whose own pings still come in is never suspected (data_received in clusterCron): then the ping
    to it just grows older than the node timeout.
    """
    assert view.reply is not None
    sent = view.reply.pulses.split(" ")[::2]
    waiting = {belief.node_id: int(ping) for belief, ping in _unanswered(view.reply.table.beliefs, sent)}
    for each, regard in own.items():
        if regard is Regard.FAILED and (each not in waiting or _just_started(snapshot, each)):
            own[each] = Regard.STILL_FAILED
    now_ms = view.clock_unix_ms
    timeout_ms = view.vitals.config.node_timeout_ms or NODE_TIMEOUT_MS
    for each, ping_ms in waiting.items():
        if each not in own and each != view.observer and ping_ms and now_ms - ping_ms > timeout_ms:
            own[each] = Regard.WAITS


def _unanswered(beliefs: tuple[Belief, ...], sent: list[str]) -> Iterator[tuple[Belief, str]]:
    if set(sent) <= {"0", ""}:
        return
    for belief, ping in zip(beliefs, sent, strict=False):
        if ping != "0" and not belief.handshake:
            yield belief, ping


def _just_started(snapshot: Snapshot, node_id: NodeId) -> bool:
    vitals = snapshot.nodes[node_id].vitals
    uptime_s = vitals.server.uptime_s if vitals else None
    return uptime_s is not None and uptime_s < JUST_STARTED_S


def _with_links(snapshot: Snapshot, found: dict[NodeId, Mapping[NodeId, Regard]]) -> None:
    """Add the connections that neither end has. One end alone may be making it anew at this moment.

    A link that works shows as `to` with events `r` on the side that opened it, and as `from` on the other; `to` is
    listed before it is connected (clusterNodeCronHandleReconnect).
    """
    # Who has no link at all is cut off from everybody, and suspected for it.
    links = {each: view.links for each, view in snapshot.by_observer.items() if view.links}
    linked = {
        each: {link.node_id for link in said if link.direction == "to" and "r" in link.events}
        for each, said in links.items()
    }
    inbound = {each: {link.node_id for link in said if link.direction == "from"} for each, said in links.items()}
    for observer in found.keys() & links.keys():
        if _just_started(snapshot, observer):
            continue
        for other in links.keys() - linked[observer] - {observer}:
            if observer not in inbound[other] and other not in found[observer] and not _just_started(snapshot, other):
                found[observer] = {**found[observer], other: Regard.NO_LINK}
