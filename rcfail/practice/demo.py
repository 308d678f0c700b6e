"""The story of one failover, played by real servers: form, judge, kill, follow, bring back, judge, clean up.

Everything that is told was seen in the servers' own answers at that moment; a step that passed between two
looks is not told. How to look, and who listens, comes from outside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Protocol

from rcfail.clock import Clock, Deadline, poll
from rcfail.cluster.failover_stage import FailoverStage, Stage, failover_stage
from rcfail.cluster.nouns import Endpoint, NodeId, Role
from rcfail.cluster.snapshot import Node, Shard, Snapshot
from rcfail.cluster.sync import Sync, sync_of
from rcfail.errors import LabFault, OutOfTime
from rcfail.health.diagnose import confirmed, diagnose
from rcfail.health.finding import Finding, Thresholds
from rcfail.health.verdict import Diagnosis, Verdict, conclude
from rcfail.health.wording import slots_text
from rcfail.practice.lab.down import take_down
from rcfail.practice.lab.faults import kill
from rcfail.practice.lab.register import LabEntry, NodeEntry, Register
from rcfail.practice.lab.restart import restart
from rcfail.practice.lab.up import bring_up
from rcfail.practice.lab.wish import Wish

LOOK_EVERY_S = 0.05
_AND_NODE_TIMEOUTS = 8
_AT_LEAST_S = 30.0

Look = Callable[[], Snapshot]
"""One round over the cluster, merged."""


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that was seen to be true. `at_ms` counts from the kill, and is None before it."""

    at_ms: int | None
    event: str
    subject: str
    text: str


class Witness(Protocol):
    """Whoever is told the story while it happens."""

    def chapter(self, title: str) -> None: ...

    def happened(self, moment: Moment) -> None: ...

    def judged(self, snapshot: Snapshot, diagnosis: Diagnosis) -> None: ...


@dataclass(frozen=True, slots=True)
class Played:
    """A demo that went to its end. `unserved_ms`: from the kill until every node named the new primary."""

    server: str
    old_primary: Endpoint
    new_primary: Endpoint
    moments: tuple[Moment, ...]
    verdicts: tuple[Verdict, ...]
    unserved_ms: int
    whole_again_ms: int


def play(
    wish: Wish,
    register: Register,
    looking_at: Callable[[LabEntry], Look],
    witness: Witness,
    clock: Clock,
) -> Played:
    """Play the whole story. The lab is taken down whatever happens, also on KeyboardInterrupt.

    Raises what the lab raises, OutOfTime where a step does not come, LabFault where the story ends badly.
    """
    witness.chapter(f"Form a cluster of {wish.node_count} real servers")
    entry = bring_up(wish, register, lambda text: witness.happened(Moment(None, "lab", wish.name, text)), clock)
    try:
        return _Stage(entry, register, looking_at(entry), witness, clock).play()
    finally:
        witness.chapter("Clean up")
        take_down(register, entry.name)
        witness.happened(Moment(None, "cleaned-up", entry.name, f"{len(entry.nodes)} servers ended, no file is left"))


@dataclass
class _Stage:
    """The state of one story: what was told, and what the last look found."""

    entry: LabEntry
    register: Register
    look: Look
    witness: Witness
    clock: Clock
    moments: list[Moment] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    killed_at_s: float | None = None
    before: tuple[Finding, ...] = ()

    def play(self) -> Played:
        self.witness.chapter("Judge it")
        snapshot = self._await_ok("the new cluster to be healthy")
        shard = snapshot.shards[0]
        old = snapshot.nodes[shard.primary_id]
        victim = self._entry_of(old)
        self.witness.chapter(f"Kill the primary of {slots_text(shard.slots)}, and follow the automatic failover")
        self._kill(victim)
        new, unserved_ms = self._follow_failover(shard, old)
        self.witness.chapter("Start the old primary again, and watch it come back as a replica")
        restart(self.register, self.entry.name, victim.name)
        self._tell("started", str(old.endpoint), f"{old.label} is started again, with its old files")
        self._follow_return(old.node_id)
        self.witness.chapter("Judge it again")
        self._await_ok("the cluster to be healthy again")
        whole_ms = self._since_kill_ms() or 0
        assert old.endpoint
        assert new.endpoint
        server = f"{self.entry.flavour} {self.entry.version}"
        return Played(
            server, old.endpoint, new.endpoint, tuple(self.moments), tuple(self.verdicts), unserved_ms, whole_ms
        )

    def _kill(self, victim: NodeEntry) -> None:
        began_s = self.clock.monotonic_s()
        done = kill(self.register, self.entry.name, victim.name)
        self.killed_at_s = began_s
        self._tell("killed", str(done.endpoint), f"kill -9: {done.effect} ({done.endpoint})")

    def _follow_failover(self, shard: Shard, old: Node) -> tuple[Node, int]:
        """Every change of stage is told once; the verdict too, when it is critical for the first time."""
        told: list[str] = []
        judged: list[Verdict] = []

        def look() -> tuple[Snapshot, FailoverStage]:
            snapshot = self.look()
            at = failover_stage(snapshot, shard)
            diagnosis = self._diagnosis(snapshot)
            self._tell_stage(snapshot, at, old, told)
            if diagnosis.verdict not in judged and diagnosis.verdict is not Verdict.OK:
                judged.append(diagnosis.verdict)
                self._judge(snapshot, diagnosis)
            return snapshot, at

        def done(seen: tuple[Snapshot, FailoverStage]) -> bool:
            return seen[1].promoted is not None and not _strangers(seen[0], shard, seen[1].promoted)

        try:
            snapshot, at = poll(
                look, done, deadline=self._bound(), every_s=LOOK_EVERY_S, waiting_for="the automatic failover"
            )
        except OutOfTime as error:
            raise OutOfTime(f"{error.message}; last seen: {self.moments[-1].text}", error.hint) from error
        if at.promoted is None or Verdict.CRITICAL not in judged:
            raise LabFault("the primary was replaced before it was ever seen to be missed", "Run it again: rcfail demo")
        new = snapshot.nodes[at.promoted]
        unserved_ms = self._since_kill_ms() or 0
        self._tell("known", str(new.endpoint), f"all {len(snapshot.views)} nodes that live name {new.label} the owner")
        return new, unserved_ms

    def _tell_stage(self, snapshot: Snapshot, at: FailoverStage, old: Node, told: list[str]) -> None:
        # The replica that stands learns of the verdict as soon as others do, so one look may show both steps.
        passed = (Stage.AGREED,) if at.stage is Stage.ELECTION_DUE else ()
        for stage in (*passed, at.stage):
            text = _stage_text(snapshot, replace(at, stage=stage), old)
            key = f"{stage} {len(at.suspecting)}" if stage is Stage.SUSPECTED else stage
            if text and key not in told:
                told.append(key)
                self._tell(stage, str(old.endpoint), text)

    def _follow_return(self, node_id: NodeId) -> None:
        told: list[str] = []

        def look() -> bool:
            snapshot = self.look()
            for event, text in _return_steps(snapshot, snapshot.nodes[node_id]):
                if event not in told:
                    told.append(event)
                    self._tell(event, str(snapshot.nodes[node_id].endpoint), text)
            self.before = diagnose(snapshot, Thresholds())
            return "listed" in told

        poll(look, bool, deadline=self._bound(), every_s=LOOK_EVERY_S, waiting_for="the old primary to come back")

    def _await_ok(self, waiting_for: str) -> Snapshot:
        def look() -> tuple[Snapshot, Diagnosis]:
            snapshot = self.look()
            return snapshot, self._diagnosis(snapshot)

        snapshot, diagnosis = poll(
            look,
            lambda seen: seen[1].verdict is Verdict.OK,
            deadline=self._bound(),
            every_s=LOOK_EVERY_S,
            waiting_for=waiting_for,
        )
        self._judge(snapshot, diagnosis)
        return snapshot

    def _diagnosis(self, snapshot: Snapshot) -> Diagnosis:
        """As `rcfail health` does it: what can pass by itself counts when the look before saw it too."""
        findings = diagnose(snapshot, Thresholds())
        stands, self.before = confirmed(self.before, findings), findings
        return conclude(stands)

    def _judge(self, snapshot: Snapshot, diagnosis: Diagnosis) -> None:
        self.verdicts.append(diagnosis.verdict)
        self._tell("health", "cluster", f"rcfail health says {diagnosis.verdict.upper()}")
        self.witness.judged(snapshot, diagnosis)

    def _tell(self, event: str, subject: str, text: str) -> None:
        moment = Moment(self._since_kill_ms(), event, subject, text)
        self.moments.append(moment)
        self.witness.happened(moment)

    def _since_kill_ms(self) -> int | None:
        if self.killed_at_s is None:
            return None
        return round((self.clock.monotonic_s() - self.killed_at_s) * 1000)

    def _bound(self) -> Deadline:
        timeout_s = self.entry.node_timeout_ms / 1000
        return Deadline.after(_AT_LEAST_S + _AND_NODE_TIMEOUTS * timeout_s, self.clock)

    def _entry_of(self, node: Node) -> NodeEntry:
        return next(each for each in self.entry.nodes if each.endpoint == node.endpoint)


def _strangers(snapshot: Snapshot, shard: Shard, owner: NodeId) -> tuple[NodeId, ...]:
    """The observers that do not list the new owner with the shard's slots yet."""
    first = shard.slots[0][0]
    return tuple(
        observer
        for observer, view in snapshot.by_observer.items()
        if (belief := view.belief(owner)) is None or not any(low <= first <= high for low, high in belief.slots)
    )


def _stage_text(snapshot: Snapshot, at: FailoverStage, old: Node) -> str:
    candidate = snapshot.node(at.candidate)
    named = candidate.label if candidate else "no replica"
    match at.stage:
        case Stage.SUSPECTED if at.suspecting:
            return f"suspected: {len(at.suspecting)} of the {at.needed} voters that must agree flag {old.label} fail?"
        case Stage.AGREED:
            return (
                f"agreed: {len(at.suspecting)} of {len(snapshot.electorate.voters)} voters hold {old.label} for failed"
            )
        case Stage.ELECTION_DUE:
            return f"election due: {named} asks for votes within {(at.due_in_ms or 0) / 1000:.1f} s"
        case Stage.VOTE_FAILED:
            return f"the vote failed; {named} asks again within {(at.due_in_ms or 0) / 1000:.1f} s"
        case Stage.PROMOTED | Stage.REJOINED:
            new = snapshot.node(at.promoted)
            return f"promoted: {new.label if new else at.promoted} is primary, elected in epoch {at.epoch}"
    return ""


def _return_steps(snapshot: Snapshot, node: Node) -> Iterator[tuple[str, str]]:
    """What is true of a node that comes back, in the order in which it becomes true."""
    if node.view is None or node.view.own is None:
        return
    yield "answers", f"{node.label} answers again"
    own = node.view.own
    if own.role is not Role.REPLICA:
        return
    primary = snapshot.node(own.primary_id)
    yield "replica", f"it has learned that its slots are taken, and is a replica of {primary.label if primary else '?'}"
    sync = sync_of(snapshot, node)
    if sync is Sync.SYNCING:
        yield "syncing", "it is taking a full copy"
    if sync is not Sync.IN_SYNC:
        return
    yield "in-sync", "its link is up and its data is in sync"
    if all(
        (belief := view.belief(node.node_id)) and belief.role is Role.REPLICA and not belief.flagged
        for view in snapshot.by_observer.values()
    ):
        yield "listed", f"all {len(snapshot.by_observer)} nodes list it as a replica"
