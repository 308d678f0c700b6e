"""What every check of one failover starts from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from rcfail.change.checks import Check, CheckVerdict
from rcfail.change.request import Mode, Override, Request
from rcfail.change.seen import Seen
from rcfail.cluster.candidacy import hears
from rcfail.cluster.electorate import NODE_TIMEOUT_MS, side_of
from rcfail.cluster.nouns import NodeId
from rcfail.cluster.snapshot import Known, Node, Shard, Snapshot, View
from rcfail.cluster.vitals import Server
from rcfail.health.wording import called


@dataclass(frozen=True)
class Grounds:
    """One request before what was seen. Both of its nodes are in the snapshot."""

    seen: Seen
    request: Request

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
    def target(self) -> Node:
        return self.snapshot.nodes[self.request.target]

    @property
    def primary(self) -> Node:
        return self.snapshot.nodes[self.request.primary]

    @property
    def shard(self) -> Shard | None:
        return self.snapshot.shard_of(self.request.primary)

    @property
    def server(self) -> Server:
        """The target's, where it says so."""
        return self.target.vitals.server if self.target.vitals else Server()

    @cached_property
    def node_timeout_ms(self) -> int:
        """The greatest that any member of the shard and any voter has."""
        ids = {self.request.target, self.request.primary, *self.snapshot.electorate.voters}
        views = (self.snapshot.by_observer.get(each) for each in ids)
        said = [view.vitals.config.node_timeout_ms for view in views if view]
        return max((each for each in said if each), default=NODE_TIMEOUT_MS)

    @cached_property
    def side(self) -> tuple[NodeId, ...]:
        """The nodes that the target lists without a fail flag and that list it so."""
        return side_of(self.request.target, tuple(self.snapshot.nodes), self.snapshot.by_observer)

    @cached_property
    def voters_here(self) -> tuple[NodeId, ...]:
        """The voters that the target exchanges messages with, the silent ones as far as the target says."""
        target = self.target
        if target.view is None or target.view.reply is None:
            return ()
        return tuple(each for each in self.snapshot.electorate.voters if hears(self.snapshot, target, each))

    def view(self, node_id: NodeId) -> View | None:
        """What a node says, where it gave a table."""
        view = self.snapshot.by_observer.get(node_id)
        return view if view is not None and view.reply is not None else None

    @cached_property
    def primary_flagged_by(self) -> tuple[NodeId, ...]:
        """Who of the target's side suspects the primary, or holds it for failed."""
        views = ((each, self.view(each)) for each in self.side if each != self.request.primary)
        return tuple(
            each for each, view in views if view and (said := view.belief(self.request.primary)) and said.flagged
        )

    @property
    def primary_serves(self) -> bool:
        """It answers us, has its data in memory, and holds the cluster for ok."""
        vitals = self.primary.vitals
        return (
            self.primary.alive is Known.YES
            and vitals is not None
            and vitals.storage.loading is False
            and vitals.cluster.state == "ok"
        )

    @property
    def majority(self) -> Known:
        """Whether a majority of all voters stands together anywhere."""
        return self.snapshot.electorate.quorum

    def check(
        self, code: str, verdict: CheckVerdict, evidence: str, override: Override | None = None, hint: str = ""
    ) -> Check:
        """A check, which the override lets pass where the operator gave it."""
        refuses = verdict in (CheckVerdict.FAIL, CheckVerdict.UNKNOWN)
        given = refuses and override is not None and override in self.request.given
        return Check(code, verdict, evidence, override if refuses else None, given, hint)

    def called(self, node_id: NodeId) -> str:
        node = self.snapshot.node(node_id)
        return called(node) if node else f"node {node_id[:8]}"

    def named(self, ids: tuple[NodeId, ...]) -> str:
        from rcfail.health.wording import named

        return named(self.snapshot, ids)

    def failover(self, *words: str, target: Node | None = None) -> str:
        """The command that tries it another way."""
        from rcfail.health.wording import answering, rcfail

        node = target or self.target
        return rcfail("failover", answering(self.snapshot) or node.endpoint, node.short, *words)


PASS, WARN, FAIL, UNKNOWN = CheckVerdict.PASS, CheckVerdict.WARN, CheckVerdict.FAIL, CheckVerdict.UNKNOWN
