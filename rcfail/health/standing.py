"""How each node stands: one answer a node, so that a silence becomes exactly one finding and none is lost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from itertools import islice
from typing import NamedTuple

from rcfail.cluster.electorate import NODE_TIMEOUT_MS
from rcfail.cluster.nouns import NodeId, Pulse
from rcfail.cluster.observation import AbsenceKind, SilenceReason
from rcfail.cluster.snapshot import Known, Node, Snapshot, View

GHOST_AFTER_MS = 300_000
"""A failed node without slots that is dead for longer than this is no longer expected back."""

_SAMPLE = 5
"""How many observers are asked for their heartbeat times: a thousand would say the same."""


class Standing(StrEnum):
    """What we can say of a node. Only the first two have a view; each of the others has one finding of its own."""

    ANSWERS = "answers"
    LOADING = "loading"
    REPLACED = "replaced"  # another id answers where it is listed
    NO_ADDRESS = "no-address"  # no view prints an address for it
    FROZEN = "frozen"
    CLIENTS_FULL = "clients-full"
    AUTH_REFUSED = "auth-refused"
    GHOST = "ghost"  # failed, owns nothing, dead for long
    FAILED = "failed"  # silent to us, and the majority's verdict is fail
    SILENT = "silent"  # silent to us, and nothing of the above


_BY_REASON = {
    SilenceReason.FROZEN: Standing.FROZEN,
    SilenceReason.CLIENTS_FULL: Standing.CLIENTS_FULL,
    SilenceReason.AUTH_REFUSED: Standing.AUTH_REFUSED,
}


def standings(snapshot: Snapshot) -> Mapping[NodeId, Standing]:
    """The standing of every node. Total: a node that was never asked is SILENT."""
    replaced = frozenset(replacements(snapshot))
    return {node.node_id: _standing(snapshot, node, replaced) for node in snapshot.nodes.values()}


def _standing(snapshot: Snapshot, node: Node, replaced: frozenset[NodeId]) -> Standing:
    if node.view is not None:
        return Standing.LOADING if loading(node.view) else Standing.ANSWERS
    if node.node_id in replaced:
        return Standing.REPLACED
    if "noaddr" in node.flags and node.address.endpoint is None:
        return Standing.NO_ADDRESS
    if node.silence is not None and node.silence.reason in _BY_REASON:
        return _BY_REASON[node.silence.reason]
    if node.alive is Known.NO and node.failed_by:
        return Standing.GHOST if _is_ghost(snapshot, node) else Standing.FAILED
    return Standing.SILENT


def replacements(snapshot: Snapshot) -> Mapping[NodeId, View]:
    """The view that was read at the address of a node that is not there, by the id of that node."""
    found = {
        view.expected: view
        for view in snapshot.views
        if view.expected and view.observer != view.expected and view.expected not in snapshot.by_observer
    }
    taken = {each.endpoint: each.expected for each in snapshot.silences if each.reason is SilenceReason.ANOTHER_NODE}
    found.update({each: view for view in snapshot.views if (each := taken.get(view.endpoint)) is not None})
    return found


def loading(view: View) -> bool:
    """True while the process reads its data set from disk or from its primary and serves nothing.

    With async_loading (a replica that keeps its old data until the new copy is in, repl-diskless-load
    swapdb) it goes on serving, so that is not meant.
    """
    refused = any(absence.kind is AbsenceKind.LOADING for absence in view.absences.values())
    return bool(view.vitals.storage.loading) or (refused and not view.vitals.storage.async_loading)


def peers(snapshot: Snapshot, node_id: NodeId) -> int:
    """How many nodes other than this one gave a table of members."""
    observers = sum(len(each.observers) for each in snapshot.groups)
    view = snapshot.by_observer.get(node_id)
    return observers - (1 if view is not None and view.reply is not None else 0)


def flagged_by(node: Node) -> tuple[NodeId, ...]:
    """Everybody but the node itself who suspects it or knows it as failed."""
    return tuple(sorted({*node.suspected_by, *node.failed_by}))


def held_for_dead(snapshot: Snapshot, node: Node) -> bool:
    """True when a majority of all voters flags the node, or everybody else who answers does."""
    flagged = flagged_by(node)
    voters = set(snapshot.electorate.voters)
    if sum(1 for each in flagged if each in voters) >= snapshot.electorate.needed:
        return True
    return bool(flagged) and len(flagged) == peers(snapshot, node.node_id)


def dead_for_ms(snapshot: Snapshot, node: Node) -> int | None:
    """How long the node gave no sign, as those that hold it for failed can prove; None: nobody can.

    A restarted observer begins to count anew (clusterLoadConfig sets its times to the present), so the
    longest time counts.
    """
    return max((beat.age_ms for beat in _heartbeats(snapshot, node, node.failed_by)), default=None)


def _is_ghost(snapshot: Snapshot, node: Node) -> bool:
    return not node.slots and (dead_for_ms(snapshot, node) or 0) > GHOST_AFTER_MS


def pings_unanswered(snapshot: Snapshot, node: Node) -> bool:
    """True when every observer in a sample waits in vain for an answer of this node on the cluster bus.

    A node that was restarted stays `fail` in all views for a while although the bus works again
    (clearNodeFailureIfNeeded, cluster_legacy.c): then no ping is outstanding. A node that can be reached
    by nobody but still reaches the others is never suspected, because its own pings count as a
    sign of life (data_received in clusterCron): then the outstanding ping grows old.
    """
    others = [each for each in snapshot.by_observer if each != node.node_id]
    beats = list(_heartbeats(snapshot, node, others))
    return bool(beats) and all(beat.waiting for beat in beats)


class _Heartbeat(NamedTuple):
    """What one observer tells of its last exchange with a node: how long ago, and whether it waits in vain."""

    age_ms: int
    waiting: bool


def _heartbeats(snapshot: Snapshot, node: Node, observers: Iterable[NodeId]) -> Iterator[_Heartbeat]:
    """From a few observers: the oldest unanswered ping, or else the last pong, on the observer's own clock."""
    views = (snapshot.by_observer[each] for each in observers)
    for view in islice((each for each in views if each.belief(node.node_id)), _SAMPLE):
        belief, pulse = view.belief(node.node_id), _pulse(view, node.node_id)
        since = pulse.ping_sent_unix_ms or pulse.pong_received_unix_ms
        if belief is None or not since:
            continue
        age_ms = (view.vitals.server.server_time_unix_ms or view.asked_at_unix_ms) - since
        overdue_ms = (view.vitals.config.node_timeout_ms or NODE_TIMEOUT_MS) / 2
        waiting = pulse.ping_sent_unix_ms > 0 and (belief.flagged or age_ms > overdue_ms)
        yield _Heartbeat(age_ms, waiting)


def _pulse(view: View, node_id: NodeId) -> Pulse:
    pulse = view.reply.pulse_of(node_id) if view.reply else None
    return pulse or Pulse(0, 0)
