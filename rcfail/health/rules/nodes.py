"""Nodes that are dead, suspected, frozen, loading, or cut off from the cluster bus."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rcfail.cluster.nouns import NodeId
from rcfail.cluster.observation import Silence, SilenceReason
from rcfail.cluster.snapshot import Node, Snapshot
from rcfail.health import restart
from rcfail.health.finding import Finding, Promise, Severity, Subject, SubjectKind, Thresholds, of_node
from rcfail.health.rules import addresses, identity, membership, silence
from rcfail.health.standing import (
    Standing,
    dead_for_ms,
    held_for_dead,
    knowing,
    loading,
    standings,
    unreached,
)
from rcfail.health.wording import (
    answering,
    counted,
    duration,
    loss,
    named,
    rcfail,
    redis_cli,
    tally,
    who,
)

_ALL = (Promise.SERVING, Promise.REDUNDANT, Promise.FAILOVER_READY)
_OWNER = (Promise.SERVING, Promise.REDUNDANT)

_HEARD = frozenset({Standing.ANSWERS, Standing.CLIENTS_FULL, Standing.AUTH_REFUSED})
"""The process says something on its client port, if only that it says nothing to us."""

_JUST_STARTED_S = 2
"""The others need up to a second to find a restarted node again (clusterCron runs ten times a second)."""


def node_failed(snapshot: Snapshot, _: Thresholds) -> Iterator[Finding]:
    """The majority's verdict is fail. Needs one view that says so."""
    stands = standings(snapshot)
    cut = _cut_off(snapshot, stands)
    for node in snapshot.nodes.values():
        stand = stands[node.node_id]
        heard = stand in _HEARD and node.node_id not in cut
        if not (stand is Standing.FAILED or (heard and _credible(snapshot, node.failed_by, cut))):
            continue
        grave = bool(node.slots) and (stand is Standing.FAILED or held_for_dead(snapshot, node))
        yield Finding(
            "node-failed",
            Severity.CRITICAL if grave else Severity.WARNING,
            of_node(node),
            f"{who(snapshot, node)}: {tally(snapshot, node)}; {_our_word(node, stand)}",
            f"{loss(snapshot, node)}."
            if stand is Standing.FAILED
            else "Whoever holds it for failed sends it nothing, and takes the flag away only after it was heard again.",
            _start_it(snapshot, node)
            if stand is Standing.FAILED
            else f"See what it thinks of the others: {rcfail('nodes', node.endpoint)}",
            _OWNER if grave else None,
        )


def _start_it(snapshot: Snapshot, node: Node) -> str:
    if danger := restart.warning(snapshot, (node,), "node-failed"):
        return danger
    place = str(node.endpoint or node.address.endpoint or node.node_id)
    way_back = rcfail("recover", answering(snapshot, node.node_id), place, "--dry-run")
    return f"Look at the process on {node.host or 'its host'} and start it again; how it comes back: {way_back}"


def node_suspected(snapshot: Snapshot, _: Thresholds) -> Iterator[Finding]:
    """Somebody misses the heartbeats of a node that answers us; a silent one is node-silent."""
    stands = standings(snapshot)
    cut = _cut_off(snapshot, stands)
    for node in snapshot.nodes.values():
        if stands[node.node_id] not in _HEARD or node.node_id in cut or not node.suspected_by:
            continue
        if _credible(snapshot, node.failed_by, cut) or not _credible(snapshot, node.suspected_by, cut):
            continue
        grave = bool(node.slots) and held_for_dead(snapshot, node)
        stops = ", and its slots stop" if node.slots else ""
        yield Finding(
            "node-suspected",
            Severity.CRITICAL if grave else Severity.WARNING,
            of_node(node),
            f"{who(snapshot, node)}: {tally(snapshot, node)}, by {named(snapshot, node.suspected_by)}; it answers us",
            f"When a majority of the slot owners suspects it, it is declared failed{stops}.",
            f"Compare the bus links on both sides: {redis_cli(node.endpoint, 'CLUSTER', 'NODES')}",
            _ALL if grave else None,
        )


def bus_unreachable(snapshot: Snapshot, _: Thresholds) -> Iterator[Finding]:
    """A node answers clients, but every other node that gave a view waits in vain for it on the cluster bus."""
    for node_id in sorted(_cut_off(snapshot, standings(snapshot))):
        node = snapshot.nodes[node_id]
        grave = bool(node.slots) and held_for_dead(snapshot, node)
        port = node.address.bus_port
        yield Finding(
            "bus-unreachable",
            Severity.CRITICAL if grave else Severity.WARNING,
            of_node(node),
            f"{who(snapshot, node)}: it answers on its client port, but all "
            f"{counted(knowing(snapshot, node), 'other node')} that list it get no answer from it on the cluster "
            f"bus{f', port {port}' if port else ''} ({tally(snapshot, node)})",
            "The others treat it as dead: its slots stop or move away, and writes that it still takes will be lost."
            if node.slots
            else "It gets no votes and no news, so it can neither be promoted nor follow a new primary.",
            f"Let every node reach {node.host or 'its host'} on port {port or 'client port + 10000'}, then look "
            f"from another node: {redis_cli(answering(snapshot, node_id), 'CLUSTER', 'NODES')}",
            _ALL if grave else None,
        )


def node_frozen(snapshot: Snapshot, _: Thresholds) -> Iterator[Finding]:
    """A node took our connection and never sent a byte, or answers every question with BUSY.

    While a script runs for longer than busy-reply-threshold, the server serves nobody (processCommand, server.c), but
    its cluster bus goes on (processEventsWhileBlocked), so the others hold it for alive and nobody takes its slots.
    """
    stands = standings(snapshot)
    for node in snapshot.nodes.values():
        if stands[node.node_id] is not Standing.FROZEN or node.silence is None:
            continue
        busy = node.silence.reason is SilenceReason.BUSY
        yield Finding(
            "node-frozen",
            Severity.CRITICAL if node.slots else Severity.WARNING,
            of_node(node),
            f"{who(snapshot, node)} {_of_no_use(node.silence)}; {tally(snapshot, node)}",
            f"{loss(snapshot, node)}{'' if busy else ', and clients hang on it until their own timeout'}.",
            _end_of_script(node.silence)
            if busy
            else f"Look for a stopped process, a paused machine, a stalled disk or an endless command on "
            f"{node.host or 'its host'}, then: {redis_cli(node.endpoint, 'PING')}",
            _ALL if node.slots else None,
        )
    yield from _unlisted_frozen(snapshot)


def _of_no_use(silence: Silence) -> str:
    if silence.reason is SilenceReason.BUSY:
        return f"answers every question with: {silence.text}"
    return f"took our connection and sent nothing for {duration(silence.waited_ms)}"


def _end_of_script(silence: Silence) -> str:
    """Which of the two the server can be told, its own text says since 7.0; before there were scripts only."""
    kind = "FUNCTION" if "FUNCTION KILL" in silence.text else "SCRIPT"
    return "If it need not run to its end, stop it; refused once it has written: " + redis_cli(
        silence.endpoint, kind, "KILL"
    )


def _unlisted_frozen(snapshot: Snapshot) -> Iterator[Finding]:
    for each in snapshot.silences:
        if each.reason in (SilenceReason.FROZEN, SilenceReason.BUSY) and each.expected is None:
            yield Finding(
                "node-frozen",
                Severity.UNKNOWN,
                Subject(SubjectKind.NODE, "", str(each.endpoint)),
                f"{each.endpoint} {_of_no_use(each)}, and no view lists it",
                "It cannot be told what it is, or what it would say.",
                f"Look at the process behind it, then: {redis_cli(each.endpoint, 'PING')}",
                _ALL,
            )


def node_loading(snapshot: Snapshot, _: Thresholds) -> Iterator[Finding]:
    """A node reads its data set. Left out for a replica that takes a full copy: replica-syncing tells that."""
    for view in snapshot.views:
        node = snapshot.node(view.observer)
        said = view.vitals
        if not loading(view) or (said.replication.role == "slave" and said.replication.sync_in_progress):
            continue
        if node is None:
            severity, subject = Severity.UNKNOWN, Subject(SubjectKind.NODE, "", str(view.endpoint))
        else:
            severity, subject = Severity.CRITICAL if node.slots else Severity.WARNING, of_node(node)
        name = who(snapshot, node) if node else str(view.endpoint)
        eta = said.storage.loading_eta_s
        yield Finding(
            "node-loading",
            severity,
            subject,
            f"{name} is loading its data set{f', about {eta} s to go' if eta else ''}"
            + (f"; {tally(snapshot, node)}" if node else ""),
            f"{loss(snapshot, node)}." if node else "It cannot be told yet what it owns.",
            f"Wait, and do not restart it; follow it with: {redis_cli(view.endpoint, 'INFO', 'persistence')}",
            None if node and not node.slots else _ALL,
        )


def node_ghost(snapshot: Snapshot, _: Thresholds) -> Iterator[Finding]:
    """A failed node without slots that gave no sign for over five minutes."""
    stands = standings(snapshot)
    for node in snapshot.nodes.values():
        if stands[node.node_id] is not Standing.GHOST:
            continue
        forgotten = len(node.unknown_to)
        yield Finding(
            "node-ghost",
            Severity.WARNING,
            of_node(node),
            f"{who(snapshot, node)}: {tally(snapshot, node)}, no sign of life for "
            f"{duration(dead_for_ms(snapshot, node) or 0)}"
            + (f"; {counted(forgotten, 'node')} forgot it already" if forgotten else ""),
            "Nothing is lost with it, but among the dead the next failure is overlooked, and it rejoins once started.",
            "If it will not come back, say so, and all nodes forget it for good: "
            + rcfail("recover", answering(snapshot, node.node_id), "--forget", str(node.endpoint or node.node_id)),
        )


def _cut_off(snapshot: Snapshot, stands: Mapping[NodeId, Standing]) -> frozenset[NodeId]:
    """The nodes that bus-unreachable is about."""
    heard = (each for each, stand in stands.items() if stand in _HEARD and not _just_started(snapshot.nodes[each]))
    return unreached(snapshot, frozenset(heard))


def _just_started(node: Node) -> bool:
    uptime_s = node.vitals.server.uptime_s if node.vitals else None
    return uptime_s is not None and uptime_s < _JUST_STARTED_S


def _credible(snapshot: Snapshot, observers: tuple[NodeId, ...], cut: frozenset[NodeId]) -> tuple[NodeId, ...]:
    """The observers whose flag counts: one that is cut off itself suspects everybody, and has its own finding."""
    return tuple(each for each in observers if each not in cut and not _outvoted(snapshot, each))


def _outvoted(snapshot: Snapshot, node_id: NodeId) -> bool:
    """Failed by somebody whom nobody holds for failed, so that its node-failed finding is certain."""
    return any(not snapshot.nodes[each].failed_by for each in snapshot.nodes[node_id].failed_by)


def _our_word(node: Node, stand: Standing) -> str:
    if stand is Standing.FAILED:
        return silence.why(node)
    return "yet it answers us" if stand is Standing.ANSWERS else "yet its process answers us"


RULES = (
    node_failed,
    node_suspected,
    bus_unreachable,
    node_frozen,
    node_loading,
    node_ghost,
    *silence.RULES,
    *addresses.RULES,
    *identity.RULES,
    *membership.RULES,
)
