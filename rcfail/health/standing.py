"""How each node stands: one answer a node, so that a silence becomes exactly one finding and none is lost."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from enum import StrEnum
from itertools import islice

from rcfail.cluster.electorate import NODE_TIMEOUT_MS
from rcfail.cluster.nouns import Belief, NodeId, Pulse
from rcfail.cluster.observation import AbsenceKind, SilenceReason
from rcfail.cluster.snapshot import Known, Node, Snapshot, View

GHOST_AFTER_MS = 300_000
"""A failed node without slots that is dead for longer than this is no longer expected back."""

_SAMPLE = 5
"""How many observers are asked for how long a node is dead: a thousand would say the same."""

_MOST_LOOKED_AT = 100
"""How many views are looked at before it is said that nobody reaches a node."""


class Standing(StrEnum):
    """What we can say of a node. Only the first two have a view; each of the others has one finding of its own."""

    ANSWERS = "answers"
    LOADING = "loading"
    REPLACED = "replaced"  # another id answers where it is listed
    NO_ADDRESS = "no-address"  # no view prints an address for it
    FROZEN = "frozen"  # or busy with a script that does not end: one is silent, the other says so
    CLIENTS_FULL = "clients-full"
    AUTH_REFUSED = "auth-refused"
    GHOST = "ghost"  # failed, owns nothing, dead for long
    FAILED = "failed"  # silent to us, and the majority's verdict is fail
    SILENT = "silent"  # silent to us, and nothing of the above


_BY_REASON = {
    SilenceReason.FROZEN: Standing.FROZEN,
    SilenceReason.BUSY: Standing.FROZEN,
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
    if not view.absences:
        return bool(view.vitals.storage.loading)
    refused = any(absence.kind is AbsenceKind.LOADING for absence in view.absences.values())
    return bool(view.vitals.storage.loading) or (refused and not view.vitals.storage.async_loading)


def peers(snapshot: Snapshot, node_id: NodeId) -> int:
    """How many nodes other than this one gave a table of members."""
    observers = sum(len(each.observers) for each in snapshot.groups)
    view = snapshot.by_observer.get(node_id)
    return observers - (1 if view is not None and view.reply is not None else 0)


def strangers(snapshot: Snapshot) -> Iterator[Node]:
    """Nodes that answer, are listed by nobody else, and list nobody else."""
    for node in snapshot.nodes.values():
        others = peers(snapshot, node.node_id)
        if not others or len(node.unknown_to) < others or node.view is None or node.view.reply is None:
            continue
        if set(node.view.reply.table.by_id) <= {node.node_id}:
            yield node


def knowing(snapshot: Snapshot, node: Node) -> int:
    """How many of them list this node."""
    return peers(snapshot, node.node_id) - len(node.unknown_to)


def flagged_by(node: Node) -> tuple[NodeId, ...]:
    """Everybody but the node itself who suspects it or knows it as failed."""
    return tuple(sorted({*node.suspected_by, *node.failed_by}))


def held_for_dead(snapshot: Snapshot, node: Node) -> bool:
    """True when a majority of all voters flags the node, or everybody else does who answers and lists it."""
    flagged = flagged_by(node)
    if not flagged:
        return False
    voters = set(snapshot.electorate.voters)
    if sum(1 for each in flagged if each in voters) >= snapshot.electorate.needed:
        return True
    return len(flagged) == knowing(snapshot, node)


def dead_for_ms(snapshot: Snapshot, node: Node) -> int | None:
    """How long the node gave no sign, as those that hold it for failed can prove; None: nobody can.

    A restarted observer begins to count anew (clusterLoadConfig sets its times to the present), so the
    longest time counts.
    """
    observers = islice(node.failed_by, _SAMPLE)
    ages = (_heartbeat_ms(snapshot.by_observer[each], node.node_id) for each in observers)
    return max((age for age in ages if age is not None), default=None)


def _is_ghost(snapshot: Snapshot, node: Node) -> bool:
    return not node.slots and (dead_for_ms(snapshot, node) or 0) > GHOST_AFTER_MS


def unreached(snapshot: Snapshot, among: Collection[NodeId]) -> frozenset[NodeId]:
    """Which of these members every other node waits for in vain on the cluster bus, as far as views were looked at.

    A node that was restarted stays `fail` in all views for a while although the bus works again
    (clearNodeFailureIfNeeded, cluster_legacy.c): then no ping is outstanding. A node that can be reached
    by nobody but still reaches the others is never suspected, because its own pings count as a sign
    of life (data_received in clusterCron): then the outstanding ping is older than the node timeout.
    """
    doubted = set(among)
    witnessed: set[NodeId] = set()
    for view in islice((each for each in snapshot.by_observer.values() if each.reply), _MOST_LOOKED_AT):
        waits = _waits(view)
        listed = {each for each in doubted if each != view.observer and view.belief(each)}
        witnessed |= listed & waits
        doubted -= listed - waits
        if not doubted:
            break
    return frozenset(doubted & witnessed)


def _waits(view: View) -> frozenset[NodeId]:
    """For whom this observer waits in vain."""
    if view.reply is None:
        return frozenset()
    sent = [int(number) for number in view.reply.pulses.split(" ")[::2] if number]
    return frozenset(
        belief.node_id
        for belief, ping in zip(view.reply.table.beliefs, sent, strict=False)
        if ping and not belief.handshake and _in_vain(view, belief, ping)
    )


def _in_vain(view: View, belief: Belief, ping_sent_unix_ms: int) -> bool:
    timeout_ms = view.vitals.config.node_timeout_ms or NODE_TIMEOUT_MS
    return ping_sent_unix_ms > 0 and (belief.flagged or view.clock_unix_ms - ping_sent_unix_ms > timeout_ms)


def _heartbeat_ms(view: View, node_id: NodeId) -> int | None:
    """How long ago the observer last heard of the node: the oldest unanswered ping, or else the last pong."""
    pulse = _pulse(view, node_id)
    since = pulse.ping_sent_unix_ms or pulse.pong_received_unix_ms
    return view.clock_unix_ms - since if since else None


def _pulse(view: View, node_id: NodeId) -> Pulse:
    pulse = view.reply.pulse_of(node_id) if view.reply else None
    return pulse or Pulse(0, 0)
