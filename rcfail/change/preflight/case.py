"""One request before its judges: who is meant, what was seen, and how a check is written."""

from __future__ import annotations

from dataclasses import dataclass

from rcfail.change.checks import Check, CheckVerdict
from rcfail.change.request import Mode, Override, Request
from rcfail.change.seen import Seen
from rcfail.cluster.ballot import Ballot
from rcfail.cluster.electorate import NODE_TIMEOUT_MS
from rcfail.cluster.nouns import NodeId
from rcfail.cluster.observation import SilenceReason
from rcfail.cluster.snapshot import Known, Node, Shard, Snapshot
from rcfail.cluster.vitals import Server
from rcfail.health.wording import answering, listing, rcfail

_FLAGS = {Mode.GRACEFUL: (), Mode.FORCE: ("--force",), Mode.TAKEOVER: ("--takeover",)}
_SAID_BY_VALUE = frozenset({Override.MAX_LAG, Override.FENCED})
"""That one of these was given does not let a check pass: its value has to fit."""


@dataclass(frozen=True, slots=True)
class Case:
    """Both nodes are known; what they say may be missing. `ballot` are the votes of now."""

    seen: Seen
    request: Request
    target: Node
    primary: Node
    ballot: Ballot

    @property
    def snapshot(self) -> Snapshot:
        return self.seen.snapshot

    @property
    def mode(self) -> Mode:
        return self.request.mode

    @property
    def graceful(self) -> bool:
        return self.request.mode is Mode.GRACEFUL

    @property
    def primary_dead(self) -> bool:
        """It is silent to us, and not well for most of those that tell of it: a flag of one node alone may be left
        over from a failure that is past (clearNodeFailureIfNeeded waits before it takes it away).
        """
        node = self.primary
        if self.stopped(node):
            return True
        if node.alive is not Known.NO or "noaddr" in node.flags:
            return node.alive is Known.NO
        flagged = len({*node.suspected_by, *node.failed_by})
        listing = sum(len(each.observers) for each in self.snapshot.groups) - len(node.unknown_to)
        return 2 * flagged >= listing

    def stopped(self, node: Node) -> bool:
        """A human says so, and nobody hears it. Where no voter is left none of the servers can tell that it is down."""
        return node.alive is Known.UNKNOWN and node.view is None and node.node_id in self.request.fenced

    @property
    def shard(self) -> Shard | None:
        return self.snapshot.shard_of(self.primary.node_id)

    def siblings(self) -> tuple[Node, ...]:
        """The other replicas of the shard."""
        ids = self.shard.replica_ids if self.shard else ()
        return tuple(self.snapshot.nodes[each] for each in ids if each != self.target.node_id)

    def check(
        self,
        code: str,
        verdict: CheckVerdict,
        evidence: str,
        override: Override | None = None,
        hint: str = "",
        *,
        given: bool | None = None,
    ) -> Check:
        """`given` says whether an override that has a value lets it pass."""
        refuses = verdict in (CheckVerdict.FAIL, CheckVerdict.UNKNOWN)
        if given is None:
            given = override in self.request.given and override not in _SAID_BY_VALUE
        return Check(code, verdict, evidence, override if refuses else None, refuses and given, hint)

    def command(self, mode: Mode | None = None, *more: str) -> str:
        """The command line for this target; another mode, or more flags, than were given."""
        place = str(self.target.endpoint or self.target.node_id)
        return self.rcfail("failover", place, *_FLAGS[mode or self.mode], *more)

    def rcfail(self, verb: str, *words: str) -> str:
        """A command that begins at a node which answers."""
        return rcfail(verb, answering(self.snapshot), *words)


def passed(code: str, evidence: str) -> Check:
    return Check(code, CheckVerdict.PASS, evidence)


def warned(code: str, evidence: str, hint: str = "") -> Check:
    return Check(code, CheckVerdict.WARN, evidence, hint=hint)


def server_of(node: Node) -> Server:
    return node.vitals.server if node.vitals else Server()


def node_timeout_ms(node: Node) -> int:
    """The default where the node does not tell its own."""
    return (node.vitals.config.node_timeout_ms if node.vitals else None) or NODE_TIMEOUT_MS


def places(snapshot: Snapshot, ids: tuple[NodeId, ...], most: int = 3) -> str:
    """Several nodes in a sentence, by their addresses alone: `10.0.0.5:6379 and 10.0.0.6:6379`."""
    return listing([str(snapshot.nodes[each].endpoint or snapshot.nodes[each].label) for each in ids], most)


def silence_of(node: Node) -> str:
    """Why a node is silent to us, for a bracket."""
    if node.silence is None:
        return "no answer"
    return _REASONS.get(node.silence.reason, node.silence.reason.value.replace("-", " "))


_REASONS = {
    SilenceReason.REFUSED: "connection refused",
    SilenceReason.FROZEN: "frozen: it takes connections and never answers",
}
