"""Failovers one by one: after each the whole cluster has to agree and be as well as before, or nothing more is sent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from rcfail.change.many.moves import Move
from rcfail.change.request import Request
from rcfail.change.run import CODES, StepOutcome, StepRun
from rcfail.clock import Clock, Deadline, poll
from rcfail.cluster.snapshot import Snapshot
from rcfail.errors import CannotSee, OutOfTime
from rcfail.exits import ExitCode
from rcfail.health.finding import ALARMING, Finding, SubjectKind
from rcfail.health.wording import counted, listing

WELL_WITHIN_S = 30.0
"""What a failover upsets for a moment is well again by then: links, replicas that copy what they lack."""

_EVERY_S = 0.5


class Movement(Protocol):
    """Who moves a primary: `Mover`."""

    def move(self, request: Request, number: int = 1) -> StepRun: ...

    def settle(self) -> str: ...


class Verdicts(Protocol):
    """How the cluster is judged: what was seen and what is wrong with it. Raises CannotSee."""

    def __call__(self) -> tuple[Snapshot, Sequence[Finding]]: ...


@dataclass(frozen=True, slots=True)
class Series:
    """What came of each move, in their order. `stopped` says in a clause why nothing more was done, or why the end is
    not as it should be; "" where all is well. `interrupted`: by Ctrl-C or a signal."""

    steps: tuple[StepRun, ...]
    stopped: str = ""
    interrupted: bool = False

    @property
    def done(self) -> int:
        return sum(1 for each in self.steps if each.outcome is StepOutcome.DONE)

    @property
    def exit_code(self) -> ExitCode:
        """All done, or what came of the first that is not. What went wrong after the first was sent is INCOMPLETE,
        but for what cannot be told."""
        first = next((each for each in self.steps if each.outcome is not StepOutcome.DONE), None)
        if first is None:
            return ExitCode.INCOMPLETE if self.stopped else ExitCode.OK
        code = CODES[first.outcome]
        return ExitCode.INCOMPLETE if self.done and code is not ExitCode.INDETERMINATE else code


class Gate:
    """Holds the cluster's health against what it was: nothing that is critical or unknown may have come."""

    def __init__(self, verdicts: Verdicts, snapshot: Snapshot, before: Iterable[Finding], clock: Clock) -> None:
        self._verdicts = verdicts
        self._clock = clock
        self._known = _keys(snapshot, before)

    def trouble(self, within_s: float = WELL_WITHIN_S) -> str:
        """What is new and bad, and stays so for that long, in a clause; "" for nothing."""
        said = [""]

        def look() -> bool:
            try:
                snapshot, findings = self._verdicts()
            except CannotSee as fault:
                said[0] = fault.message
                return False
            said[0] = news(snapshot, findings, self._known)
            return not said[0]

        deadline = Deadline.after(within_s, self._clock)
        with suppress(OutOfTime):
            poll(look, bool, deadline=deadline, every_s=_EVERY_S, waiting_for="health")
        return said[0]


def news(snapshot: Snapshot, findings: Iterable[Finding], known: frozenset[object]) -> str:
    """The findings that are bad and were not there before; "" for none."""
    bad = [each for each in findings if each.severity in ALARMING and not _keys(snapshot, (each,)) <= known]
    if not bad:
        return ""
    first = bad[0]
    where = f" {first.subject.address}" if first.subject.address else ""
    more = f", and {counted(len(bad) - 1, 'more finding')}" if len(bad) > 1 else ""
    return f"{first.severity.upper()}: {first.code}{where}: {first.evidence}{more}"


def bad_before(findings: Iterable[Finding]) -> tuple[str, ...]:
    """What is critical or unknown at the beginning, in one sentence: it will hold nobody up, so it is told."""
    bad = [
        f"{each.severity.upper()}: {each.code} {each.subject.address}".strip()
        for each in findings
        if each.severity in ALARMING
    ]
    if not bad:
        return ()
    return (f"the cluster is not well to begin with, and that holds nothing up: {listing(dict.fromkeys(bad))}",)


def _keys(snapshot: Snapshot, findings: Iterable[Finding]) -> frozenset[object]:
    """A finding of a shard is named by its primary, and that changes here: so by all of its members."""
    found = set[object]()
    for each in findings:
        if each.severity not in ALARMING:
            continue
        shard = snapshot.shard_by_node.get(each.subject.id) if each.subject.kind is SubjectKind.SHARD else None  # type: ignore[call-overload]
        members = frozenset((shard.primary_id, *shard.replica_ids)) if shard else each.subject.id
        found.add((each.code, each.subject.kind, members))
    return frozenset(found)


@dataclass(frozen=True, slots=True)
class Pace:
    """`stop` tells that the operator wants no further step. `tell` hears what is waited for. `min_wait_s` lies between
    one step's end and the next one's beginning."""

    tell: Callable[[str], None]
    stop: Callable[[], bool]
    clock: Clock
    min_wait_s: float = 0.0


def one_by_one(moves: Sequence[Move], mover: Movement, gate: Gate, pace: Pace) -> Series:
    """Carry them out until one is not done. Ctrl-C before anything was sent passes through as KeyboardInterrupt."""
    done: list[StepRun] = []
    for at, move in enumerate(moves, 1):
        try:
            pace.tell(f"step {at} of {len(moves)}")
            run = _moved(move, mover)
            done.append(run)
            why = "" if run.outcome is StepOutcome.DONE else f"step {at} was not done"
            why = why or _after(mover, gate, pace, last=move is moves[-1])
        except KeyboardInterrupt:
            if not any(each.sent for each in done):
                raise
            return _ended(moves, done, "interrupted", interrupted=True)
        if pace.stop():
            return _ended(moves, done, why or "interrupted", interrupted=True)
        if why:
            return _ended(moves, done, why)
    return Series(tuple(done))


def _moved(move: Move, mover: Movement) -> StepRun:
    try:
        return mover.move(move.request, move.step.number)
    except CannotSee as fault:
        return StepRun(
            move.step, StepOutcome.REFUSED, False, None, why=f"nothing was sent: {fault.message}", hint=fault.hint
        )


def _after(mover: Movement, gate: Gate, pace: Pace, *, last: bool) -> str:
    """Wait until every view knows it, and judge the cluster: what speaks against going on, or ""."""
    if lacking := mover.settle():
        return f"the nodes do not agree after it: {lacking}"
    if worse := gate.trouble():
        return f"the cluster is worse than before: {worse}"
    if pace.min_wait_s and not last:
        pace.tell(f"waiting {pace.min_wait_s:g} s before the next step")
        pace.clock.sleep(pace.min_wait_s)
    return ""


def _ended(moves: Sequence[Move], done: list[StepRun], why: str, *, interrupted: bool = False) -> Series:
    rest = moves[len(done) :]
    skipped = (_skipped(each, why) for each in rest)
    return Series((*done, *skipped), why, interrupted)


def _skipped(move: Move, why: str) -> StepRun:
    """A move that was not begun."""
    return StepRun(move.step, StepOutcome.SKIPPED, False, None, why=f"not begun: {why}")
