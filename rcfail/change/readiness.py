"""Whether a failover would work now: for each shard and each mode, by the same checks that a failover is held to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from rcfail.change.candidates import Contender, chosen, contenders
from rcfail.change.checks import CheckVerdict, refusing
from rcfail.change.loss import at_risk
from rcfail.change.pause import Span, graceful_pause_ms
from rcfail.change.preflight import retry_after_ms
from rcfail.change.request import Mode, Override, Request
from rcfail.change.seen import Seen
from rcfail.cluster.ballot import Vote, ballot
from rcfail.cluster.failover_stage import awaited
from rcfail.cluster.forecast import Fate, Forecast, ShardAfter
from rcfail.cluster.nouns import NodeId, SlotRange
from rcfail.cluster.snapshot import Known, Shard, Snapshot
from rcfail.cluster.whatif import Foresight
from rcfail.health.finding import Finding, Promise, Severity, SubjectKind
from rcfail.health.gauges import touched
from rcfail.health.verdict import Verdict, impaired

IN_ONE_PLACE = frozenset({"shard-on-one-host", "shard-in-one-zone"})
"""Findings of a shard whose replicas stand and fall with their primary."""

_ORDER = (Verdict.OK, Verdict.WARNING, Verdict.UNKNOWN, Verdict.CRITICAL)


class Answer(StrEnum):
    """Whether `rcfail failover` would send now. CONSENT: only with overrides that the operator has to give."""

    YES = "yes"
    CONSENT = "with-consent"
    NO = "no"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class ModeReady:
    """One mode in one shard, judged with its best candidate; None: the shard has no replica.

    `at_risk_bytes` is a range; None: nobody can tell. `retry_after_ms` is when the cooldown lets it work; None: there
    is none, or it is not known. `needs` are the overrides that CONSENT asks for.
    """

    mode: Mode
    answer: Answer
    candidate: Contender | None
    others: tuple[Contender, ...] = ()
    at_risk_bytes: Span | None = None
    retry_after_ms: int | None = None

    @property
    def needs(self) -> tuple[Override, ...]:
        checks = refusing(self.candidate.checks) if self.candidate and self.answer is Answer.CONSENT else ()
        return tuple(dict.fromkeys(each.override for each in checks if each.override))


@dataclass(frozen=True, slots=True)
class Votes:
    """`standing` of all `voters` would vote for the candidate now; `needed` elect it."""

    standing: int
    voters: int
    needed: int


@dataclass(frozen=True, slots=True)
class ShardReady:
    """One shard that owns slots.

    `pause_ms` is how long a graceful failover would hold writes back, None where there is no candidate that answers.
    `crash` is what becomes of the shard when its primary dies now, or since it died. `out`: its slots are not served
    now. `findings` are those of health that make it worse, `advice` the next command of one.
    """

    primary: NodeId
    slots: tuple[SlotRange, ...]
    modes: tuple[ModeReady, ...]
    votes: Votes
    crash: ShardAfter | None
    pause_ms: Span | None
    out: bool
    findings: tuple[Finding, ...]
    advice: str = ""

    @property
    def verdict(self) -> Verdict:
        """CRITICAL: its slots are not served or not writable now. WARNING: it serves, but a graceful failover would be
        refused now, or a crash would not be survived, or the copies stand in one place. UNKNOWN: that cannot be told.
        """
        if self.out or any(each.severity is Severity.CRITICAL for each in self.findings):
            return Verdict.CRITICAL
        if self.graceful.answer is Answer.UNKNOWN or self.survives_crash is Known.UNKNOWN:
            return Verdict.UNKNOWN
        if self.graceful.answer is not Answer.YES or self.survives_crash is Known.NO or self.findings:
            return Verdict.WARNING
        return Verdict.OK

    def mode(self, mode: Mode) -> ModeReady:
        return next(each for each in self.modes if each.mode is mode)

    @property
    def graceful(self) -> ModeReady:
        return self.mode(Mode.GRACEFUL)

    @property
    def survives_crash(self) -> Known:
        return survived(self.crash)

    @property
    def best(self) -> ModeReady:
        """The mode that would be used: the gentlest that works, else that works with consent, else graceful.

        A primary that is down takes no part, so a graceful one can bring nothing back.
        """
        able = self.modes[1:] if self.out else self.modes
        for answer in (Answer.YES, Answer.CONSENT):
            if found := next((each for each in able if each.answer is answer), None):
                return found
        return self.graceful


@dataclass(frozen=True, slots=True)
class Readiness:
    """All shards that were asked about, in the order of their slots, and how the whole stands.

    `total` is how many shards own slots. `unowned` slots have no owner; `findings` are the critical ones of health
    that no single shard is to blame for.
    """

    snapshot: Snapshot
    shards: tuple[ShardReady, ...]
    total: int
    quorum: Known
    unowned: tuple[SlotRange, ...]
    findings: tuple[Finding, ...]
    verdict: Verdict


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    return max(verdicts, key=_ORDER.index, default=Verdict.OK)


def owning(snapshot: Snapshot) -> tuple[Shard, ...]:
    """The shards with slots, in the order of these."""
    return tuple(sorted((each for each in snapshot.shards if each.slots), key=lambda each: each.slots))


def readiness(
    snapshot: Snapshot, seen: Mapping[NodeId, Seen], findings: Sequence[Finding], only: Iterable[NodeId] | None = None
) -> Readiness:
    """Judge every shard, or `only` those of these primaries. `seen` has what was asked of each, by its primary.

    `findings` are those of health for the same picture.
    """
    wanted = None if only is None else frozenset(only)
    foresight = Foresight(snapshot)
    shards = owning(snapshot)
    asked = [each for each in shards if wanted is None or each.primary_id in wanted]
    judged = tuple(_shard(seen.get(each.primary_id, Seen(snapshot)), each, foresight, findings) for each in asked)
    wide = tuple(
        each
        for each in findings
        if each.severity is Severity.CRITICAL and (wanted is None or each.subject.kind is SubjectKind.CLUSTER)
    )
    unowned = foresight.now.unowned
    verdicts = [each.verdict for each in judged]
    if wide or snapshot.electorate.quorum is Known.NO or (unowned and wanted is None):
        verdicts.append(Verdict.CRITICAL)
    if snapshot.electorate.quorum is Known.UNKNOWN or not shards:
        verdicts.append(Verdict.UNKNOWN)
    return Readiness(snapshot, judged, len(shards), snapshot.electorate.quorum, unowned, wide, worst(verdicts))


def answer_of(contender: Contender) -> Answer:
    """YES exactly where `preflight` refuses nothing: a failover would then be sent."""
    no = refusing(contender.checks)
    if not no:
        return Answer.YES
    final = [each for each in no if each.override is None]
    if any(each.verdict is CheckVerdict.FAIL for each in final):
        return Answer.NO
    if final or all(each.verdict is CheckVerdict.UNKNOWN for each in no):
        return Answer.UNKNOWN
    return Answer.CONSENT


def survived(crash: ShardAfter | None) -> Known:
    """Whether the servers replace a primary that dies by themselves, and the shard then takes writes with its data."""
    if crash is None or crash.fate in (Fate.STUCK, Fate.GONE) or crash.starved or crash.empty:
        return Known.NO
    return Known.YES if crash.fate is Fate.TAKEN_OVER else Known.UNKNOWN


def _shard(seen: Seen, shard: Shard, foresight: Foresight, findings: Sequence[Finding]) -> ShardReady:
    snapshot = seen.snapshot
    modes = tuple(_mode(seen, shard, mode) for mode in Mode)
    down = snapshot.nodes[shard.primary_id].alive is Known.NO
    out = down or awaited(snapshot, shard)
    crash = _after(foresight.now if out else foresight.after({shard.primary_id}), shard)
    graceful = modes[0]
    mine = tuple(each for each in findings if _is_of(snapshot, each, shard))
    wide = (each for each in findings if each.subject.kind is SubjectKind.CLUSTER)
    return ShardReady(
        primary=shard.primary_id,
        slots=shard.slots,
        modes=modes,
        votes=_votes(snapshot, graceful.candidate, shard.primary_id),
        crash=crash,
        pause_ms=_pause_ms(seen, graceful.candidate),
        out=out,
        findings=tuple(each for each in mine if _worsens(each)),
        advice=next((each.hint for each in (*mine, *wide) if each.hint and _of_failover(each)), ""),
    )


def _pause_ms(seen: Seen, candidate: Contender | None) -> Span | None:
    if candidate is None or seen.snapshot.nodes[candidate.node_id].view is None:
        return None
    return graceful_pause_ms(seen, candidate.node_id)


def _mode(seen: Seen, shard: Shard, mode: Mode) -> ModeReady:
    request = Request(shard.primary_id, shard.primary_id, mode)
    found = contenders(seen, request)
    if not found:
        return ModeReady(mode, Answer.NO, None)
    best = chosen(found) or min(found, key=_nearest)
    asked = Request(best.node_id, shard.primary_id, mode)
    return ModeReady(
        mode,
        answer_of(best),
        best,
        tuple(each for each in found if each is not best),
        at_risk(seen, asked),
        retry_after_ms(seen, asked) if any(each.code == "cooldown" and each.refuses for each in best.checks) else None,
    )


def _nearest(contender: Contender) -> int:
    """Of several that are refused: the one that the operator could still have first."""
    return (Answer.YES, Answer.CONSENT, Answer.UNKNOWN, Answer.NO).index(answer_of(contender))


def _votes(snapshot: Snapshot, candidate: Contender | None, primary: NodeId) -> Votes:
    needed, voters = snapshot.electorate.needed, len(snapshot.electorate.voters)
    if candidate is None or snapshot.nodes[candidate.node_id].view is None:
        return Votes(0, voters, needed)
    return Votes(len(ballot(snapshot, candidate.node_id, primary).of(Vote.GIVEN)), voters, needed)


def _after(forecast: Forecast, shard: Shard) -> ShardAfter | None:
    return next((each for each in forecast.shards if each.primary_id == shard.primary_id), None)


def _is_of(snapshot: Snapshot, finding: Finding, shard: Shard) -> bool:
    """Whether it is about this shard, and not about the whole cluster."""
    if finding.subject.kind in (SubjectKind.CLUSTER, SubjectKind.VIEW):
        return False
    return any(each is shard for each in touched(snapshot, finding.subject))


def _worsens(finding: Finding) -> bool:
    """Whether it tells that the shard does not serve, or that its copies fall together."""
    return finding.severity is Severity.CRITICAL or finding.code in IN_ONE_PLACE


def _of_failover(finding: Finding) -> bool:
    return finding.severity is not Severity.INFO and bool({*impaired(finding)} - {Promise.SERVING})
