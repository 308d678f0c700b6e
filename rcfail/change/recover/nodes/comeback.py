"""The way of a node back into its cluster, stage by stage: it answers, the others trust it, it has its place and data.

Each stage is a demand on the world whose evidence says why it is not reached yet, for that is what somebody who waits
wants to read.
"""

from __future__ import annotations

from dataclasses import dataclass

from rcfail.change.checks import Check, CheckVerdict
from rcfail.change.recover.action import Expectation
from rcfail.change.recover.expect import judged, name_of
from rcfail.change.recover.members.replaced import word_for
from rcfail.cluster.electorate import NODE_TIMEOUT_MS
from rcfail.cluster.logins import refusal
from rcfail.cluster.nouns import NodeId, Role
from rcfail.cluster.observation import SilenceReason
from rcfail.cluster.snapshot import Node, Snapshot, Stretch
from rcfail.cluster.sync import Sync, attached, sync_of
from rcfail.health.rules.silence import why
from rcfail.health.standing import flagged_by, held_for_dead, loading
from rcfail.health.wording import answering, called, counted, duration, listing, named, rcfail, size, slots_text, tally

_HANGS = "the process is there, and hangs"
_RUNS = {
    SilenceReason.FROZEN: _HANGS,
    SilenceReason.BUSY: "the process is there, and a script holds it",
    SilenceReason.CLIENTS_FULL: "the process is there",
    SilenceReason.AUTH_REFUSED: "the process is there",
}


@dataclass(frozen=True, slots=True)
class Up:
    """The process answers us, if only that it is loading its data."""

    node: NodeId

    def check(self, snapshot: Snapshot) -> Check:
        node, name = snapshot.node(self.node), name_of(snapshot, self.node)
        if node is not None and node.view is not None:
            return judged("up", True, f"{name} answers", "")
        if node is None:
            return judged("up", False, "", f"{name} does not answer, and nobody lists it")
        runs = _RUNS.get(node.silence.reason, "") if node.silence else ""
        return judged("up", False, "", f"{name} does not answer: {f'{runs}: ' if runs else ''}{why(node)}")


@dataclass(frozen=True, slots=True)
class InTurn:
    """All of these, one after the other: it says what the first that does not hold says, and nothing of the rest."""

    demands: tuple[Expectation, ...]

    def check(self, snapshot: Snapshot) -> Check:
        found = [each.check(snapshot) for each in self.demands]
        return next((each for each in found if each.verdict is not CheckVerdict.PASS), found[-1])


@dataclass(frozen=True, slots=True)
class Loaded:
    """The node has read its data set and says who it is."""

    node: NodeId

    def check(self, snapshot: Snapshot) -> Check:
        node, name = snapshot.node(self.node), name_of(snapshot, self.node)
        if node is None or node.view is None:
            return judged("loaded", None, "", f"{name} does not answer")
        if loading(node.view):
            return judged("loaded", False, "", f"{name} loads its data{_to_go(node)}")
        return judged("loaded", node.view.own is not None or None, f"{name} is loaded", f"{name} tells no table")


def _to_go(node: Node) -> str:
    """In steps that one can read, not every second anew."""
    eta_s = node.vitals.storage.loading_eta_s if node.vitals else None
    if not eta_s:
        return ""
    step = 10 if eta_s > 20 else 5
    return f", about {duration(1000 * step * -(-eta_s // step))} to go"


@dataclass(frozen=True, slots=True)
class HeldForDead:
    """The others agree that the node is dead, as far as anybody can: a majority of the voters, or all who answer."""

    node: NodeId

    def check(self, snapshot: Snapshot) -> Check:
        node, name = snapshot.node(self.node), name_of(snapshot, self.node)
        if node is None:
            return judged("held-for-dead", None, "", f"nobody lists {name}")
        told = f"{name}: {tally(snapshot, node)}"
        return judged("held-for-dead", held_for_dead(snapshot, node), told, told)


@dataclass(frozen=True, slots=True)
class NoProcess:
    """Nothing runs where the node is listed, as far as a connection shows: a second process beside a living one of the
    same files ends at once, or spoils them where the lock on nodes.conf does not reach (clusterLockConfig)."""

    node: NodeId

    def check(self, snapshot: Snapshot) -> Check:
        node, name = snapshot.node(self.node), name_of(snapshot, self.node)
        if node is None:
            return judged("no-process", None, "", f"nobody lists {name}")
        if node.view is not None:
            return judged("no-process", False, "", f"{name} answers: it runs")
        if not startable(node):
            return judged("no-process", False, "", f"{name} may run: {why(node)}")
        return judged("no-process", True, f"{name} does not run, as far as can be seen: {why(node)}", "")


_STARTABLE = frozenset(
    {
        SilenceReason.REFUSED,
        SilenceReason.UNREACHABLE,
        SilenceReason.CONNECT_TIMEOUT,
        SilenceReason.UNRESOLVABLE,
        SilenceReason.CLOSED,
    }
)
"""Nobody took a connection, or whoever stands before the node ended it. In all other cases something listens there."""


def startable(node: Node) -> bool:
    """Whether nothing that we hear speaks for a process there."""
    return node.view is None and node.silence is not None and node.silence.reason in _STARTABLE


@dataclass(frozen=True, slots=True)
class Trusted:
    """No other node flags it. Who is held for dead himself does not count: he flags everybody."""

    node: NodeId

    def check(self, snapshot: Snapshot) -> Check:
        node, name = snapshot.node(self.node), name_of(snapshot, self.node)
        if node is None or node.view is None:
            return judged("trusted", None, "", f"{name} does not answer")
        if not doubters(snapshot, node):
            return judged("trusted", True, f"the others hear {name}", "")
        late = ""
        if node.slots and node.failed_by:
            # clearNodeFailureIfNeeded, cluster_legacy.c: any other node is trusted with its first answer.
            late = f"; an owner of slots stays failed until {duration(2 * _timeout_ms(snapshot))} after the verdict"
        return judged("trusted", False, "", f"{name} answers, but {tally(snapshot, node)}{late}")


def doubters(snapshot: Snapshot, node: Node) -> tuple[NodeId, ...]:
    """Who flags the node, and is not flagged as failed himself."""
    return tuple(
        each for each in flagged_by(node) if (other := snapshot.node(each)) is not None and not other.failed_by
    )


def _timeout_ms(snapshot: Snapshot) -> int:
    said = (view.vitals.config.node_timeout_ms for view in snapshot.views)
    return max((each for each in said if each), default=NODE_TIMEOUT_MS)


@dataclass(frozen=True, slots=True)
class Placed:
    """The node is what every view says that it is: a replica of an owner of slots, or a primary of its slots.

    A primary without slots passes too: it is a spare, or a former member, and waiting changes neither.
    """

    node: NodeId

    def check(self, snapshot: Snapshot) -> Check:
        node, name = snapshot.node(self.node), name_of(snapshot, self.node)
        own = node.view.own if node is not None and node.view is not None else None
        if node is None or own is None:
            return judged("placed", None, "", f"{name} does not say what it is")
        if own.role is Role.PRIMARY and set(own.slots) != set(node.slots):
            taken = sorted({part.owner for part in snapshot.stretches if part.owner and _claims(part, self.node)})
            by = f", which {named(snapshot, taken)} took over" if taken else ""
            return judged("placed", False, "", f"{name} still claims {slots_text(own.slots)}{by}: it hears of it soon")
        others = [
            observer
            for observer, view in snapshot.by_observer.items()
            if view.reply is not None
            and not ((said := view.belief(self.node)) and (said.role, said.primary_id) == (own.role, own.primary_id))
        ]
        if others:
            return judged("placed", False, "", f"{counted(len(others), 'node')} do not know yet what {name} is")
        return judged("placed", True, f"it is {_what(snapshot, node)} in every view", "")


def _claims(part: Stretch, node_id: NodeId) -> bool:
    return part.owner != node_id and any(claim.node_id == node_id for claim in part.claims)


def _what(snapshot: Snapshot, node: Node) -> str:
    if node.role is Role.REPLICA and node.primary_id:
        return f"a replica of {name_of(snapshot, node.primary_id)}"
    return f"the primary of {slots_text(node.slots)}" if node.slots else "a primary without slots"


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """A replica is in sync with its primary; a primary has nothing to catch up with."""

    node: NodeId

    def check(self, snapshot: Snapshot) -> Check:
        node, name = snapshot.node(self.node), name_of(snapshot, self.node)
        if node is None or node.view is None or node.vitals is None:
            return judged("caught-up", None, "", f"{name} does not answer")
        if node.role is not Role.REPLICA:
            return judged("caught-up", True, f"{name} has its data", "")
        sync = sync_of(snapshot, node)
        if sync is Sync.UNKNOWN:
            return judged("caught-up", None, "", f"{name} does not say whether its link is up")
        behind = name_of(snapshot, node.primary_id) if node.primary_id else "its primary"
        return judged("caught-up", sync is Sync.IN_SYNC, f"{name} is in sync with {behind}", _lag(snapshot, node, sync))


def _lag(snapshot: Snapshot, node: Node, sync: Sync) -> str:
    """How far the copy has come, or why there is no link."""
    name, primary = called(node), snapshot.node(node.primary_id)
    if sync is Sync.LOADING:
        return f"{name} loads its data{_to_go(node)}"
    if sync is Sync.SYNCING:
        seen = attached(snapshot, node)
        state = f", at {seen.state}" if seen is not None and seen.state else ""
        return f"{name} takes a full copy of {called(primary) if primary else 'its primary'}{state}{_copied(node)}"
    reasons = _reasons(snapshot, node, primary)
    return f"the link of {name} to its primary is down" + (f": {listing(reasons)}" if reasons else "")


def _copied(node: Node) -> str:
    """In tenths, where the primary tells how much it is."""
    said = node.vitals.replication if node.vitals else None
    if said is None or not said.sync_in_progress or not said.sync_total_bytes or said.sync_total_bytes < 0:
        return ""
    tenths = 10 * max(0, said.sync_read_bytes or 0) // said.sync_total_bytes
    return f", {10 * tenths}% of {size(said.sync_total_bytes)}"


def _reasons(snapshot: Snapshot, node: Node, primary: Node | None) -> list[str]:
    """What one look shows of it."""
    if primary is None:
        return ["nobody lists its primary"]
    if primary.view is None:
        return [f"{called(primary)} does not answer us either: {why(primary)}"]
    if loading(primary.view):
        return [f"{called(primary)} loads its data"]
    login = node.view.login if node.view else None
    if login is not None and primary.view.users is not None and (text := refusal(login, primary.view.users)):
        return [f"its primary turns it away: {text}"]
    said = node.vitals.replication if node.vitals else None
    host, port = primary.address.host, primary.address.port
    if said is not None and said.primary_host and (said.primary_host, said.primary_port) != (host, port):
        return [f"it looks for its primary at {said.primary_host}:{said.primary_port}"]
    why_not = rcfail("recover", answering(snapshot, node.node_id), word_for(node), "--dry-run")
    return [f"it tries again every second; what keeps it down says {why_not}"]
