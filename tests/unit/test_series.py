"""Failovers one by one, with a mover that does as it is told."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from rcfail.change.many.moves import Move, move_of, numbered
from rcfail.change.many.series import Gate, Pace, Series, bad_before, one_by_one
from rcfail.change.request import Request
from rcfail.change.run import StepOutcome, StepRun
from rcfail.change.seen import Seen
from rcfail.cluster.snapshot import Snapshot
from rcfail.errors import CannotSee
from rcfail.exits import ExitCode
from rcfail.health.finding import Finding, Severity, Subject, SubjectKind
from tests.unit.test_layout import swapped
from tests.unit.world import World, node_id

DONE, NOT_DONE, SKIPPED = StepOutcome.DONE, StepOutcome.NOT_DONE, StepOutcome.SKIPPED
SNAPSHOT = World.of(3, 1).snapshot()


class StillClock:
    """Time goes on by sleeping alone."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic_s(self) -> float:
        return self.now_s

    def unix_ms(self) -> int:
        return round(self.now_s * 1000)

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


class Told:
    """A mover whose outcomes are given: an outcome, or what is raised."""

    def __init__(self, *outcomes: StepOutcome | BaseException, settled: str = "") -> None:
        self._outcomes = list(outcomes)
        self._settled = settled
        self.requests: list[Request] = []

    def move(self, request: Request, number: int = 1) -> StepRun:
        self.requests.append(request)
        outcome = self._outcomes.pop(0)
        if isinstance(outcome, BaseException):
            raise outcome
        step = MOVES[number - 1].step
        return StepRun(step, outcome, outcome is not StepOutcome.REFUSED, "OK", why="" if outcome is DONE else "why")

    def settle(self) -> str:
        return self._settled


def _move(letter: str, number: int) -> Move:
    move = move_of(Seen(SNAPSHOT, SNAPSHOT, (0.5,) * 3, ()), Request(node_id(f"{letter}1"), node_id(letter)))
    assert isinstance(move, Move)
    return numbered(move, number)


MOVES = tuple(_move(letter, at) for at, letter in enumerate("abc", 1))


def finding(code: str, severity: Severity, letter: str = "a", kind: SubjectKind = SubjectKind.NODE) -> Finding:
    return Finding(code, severity, Subject(kind, node_id(letter)), "evidence", "consequence")


def run(
    mover: Told,
    *looks: Sequence[Finding],
    before: Sequence[Finding] = (),
    stop: Sequence[bool] = (),
    min_wait_s: float = 0.0,
    snapshot: Snapshot = SNAPSHOT,
) -> tuple[Series, StillClock]:
    """`looks` are what health finds, one after the other; the last one stays."""
    clock, seen, asked = StillClock(), list(looks) or [()], list(stop)

    def judge() -> tuple[Snapshot, Sequence[Finding]]:
        return snapshot, seen.pop(0) if len(seen) > 1 else seen[0]

    gate = Gate(judge, SNAPSHOT, before, clock)
    pace = Pace(lambda _: None, lambda: asked.pop(0) if asked else False, clock, min_wait_s)
    return one_by_one(MOVES, mover, gate, pace), clock


def outcomes(series: Series) -> list[StepOutcome]:
    return [each.outcome for each in series.steps]


def test_all_are_done_in_their_order() -> None:
    mover = Told(DONE, DONE, DONE)
    series, _ = run(mover)
    assert (outcomes(series), series.exit_code, series.stopped) == ([DONE] * 3, ExitCode.OK, "")
    assert [each.primary for each in mover.requests] == [node_id(each) for each in "abc"]


@pytest.mark.parametrize(
    ("told", "expected", "code"),
    [
        ((NOT_DONE,), [NOT_DONE, SKIPPED, SKIPPED], ExitCode.NOT_DONE),
        ((StepOutcome.REFUSED,), [StepOutcome.REFUSED, SKIPPED, SKIPPED], ExitCode.REFUSED),
        ((CannotSee("nobody answers"),), [StepOutcome.REFUSED, SKIPPED, SKIPPED], ExitCode.REFUSED),
        ((DONE, NOT_DONE), [DONE, NOT_DONE, SKIPPED], ExitCode.INCOMPLETE),
        ((DONE, StepOutcome.REFUSED), [DONE, StepOutcome.REFUSED, SKIPPED], ExitCode.INCOMPLETE),
        ((DONE, StepOutcome.INCOMPLETE), [DONE, StepOutcome.INCOMPLETE, SKIPPED], ExitCode.INCOMPLETE),
        ((DONE, StepOutcome.INDETERMINATE), [DONE, StepOutcome.INDETERMINATE, SKIPPED], ExitCode.INDETERMINATE),
        ((DONE, DONE, NOT_DONE), [DONE, DONE, NOT_DONE], ExitCode.INCOMPLETE),
    ],
)
def test_it_ends_with_the_first_that_is_not_done(
    told: tuple[StepOutcome | BaseException, ...], expected: list[StepOutcome], code: ExitCode
) -> None:
    mover = Told(*told)
    series, _ = run(mover)
    assert (outcomes(series), series.exit_code) == (expected, code)
    assert len(mover.requests) == len(told), "nobody is asked to do what comes after"
    assert series.stopped


def test_nothing_follows_while_the_nodes_disagree() -> None:
    series, _ = run(Told(DONE, DONE, settled="2 opinions of x"))
    assert outcomes(series) == [DONE, SKIPPED, SKIPPED]
    assert (series.exit_code, series.stopped) == (
        ExitCode.INCOMPLETE,
        "the nodes do not agree after it: 2 opinions of x",
    )


@pytest.mark.parametrize("severity", [Severity.CRITICAL, Severity.UNKNOWN])
def test_nothing_follows_when_the_cluster_is_worse_and_stays_so(severity: Severity) -> None:
    series, _ = run(Told(DONE), [finding("node-failed", severity)])
    assert outcomes(series) == [DONE, SKIPPED, SKIPPED]
    assert "node-failed" in series.stopped


def test_what_was_bad_before_what_is_no_more_than_a_warning_and_what_passes_hold_nobody_up() -> None:
    old = finding("node-failed", Severity.CRITICAL, "c1")
    passing = [old, finding("replica-link-down", Severity.CRITICAL)]
    warning = [old, finding("primaries-concentrated", Severity.WARNING)]
    series, _ = run(Told(DONE, DONE, DONE), passing, [old], warning, before=[old])
    assert series.exit_code is ExitCode.OK


def test_a_finding_of_a_shard_is_the_same_under_its_new_primary() -> None:
    before = [finding("failover-blocked", Severity.CRITICAL, "a", SubjectKind.SHARD)]
    after = [finding("failover-blocked", Severity.CRITICAL, "a1", SubjectKind.SHARD)]
    moved = swapped(World.of(3, 1), "a", "a1").snapshot()
    assert run(Told(DONE, DONE, DONE), after, before=before, snapshot=moved)[0].exit_code is ExitCode.OK
    other = [finding("failover-blocked", Severity.CRITICAL, "b", SubjectKind.SHARD)]
    assert run(Told(DONE), other, before=before, snapshot=moved)[0].exit_code is ExitCode.INCOMPLETE


def test_worse_after_the_last_step_is_incomplete() -> None:
    series, _ = run(Told(DONE, DONE, DONE), (), (), [finding("slots-failed", Severity.CRITICAL)])
    assert (outcomes(series), series.exit_code) == ([DONE] * 3, ExitCode.INCOMPLETE)


def test_ctrl_c_before_anything_was_sent_passes_through() -> None:
    with pytest.raises(KeyboardInterrupt):
        run(Told(KeyboardInterrupt()))


def test_ctrl_c_later_ends_it_with_what_was_done() -> None:
    series, _ = run(Told(DONE, KeyboardInterrupt()))
    assert (outcomes(series), series.interrupted) == ([DONE, SKIPPED, SKIPPED], True)
    assert series.exit_code is ExitCode.INCOMPLETE


def test_ctrl_c_that_somebody_below_has_caught_ends_it_too() -> None:
    mover = Told(DONE, DONE)
    series, _ = run(mover, stop=[False, True])
    assert (outcomes(series), series.interrupted) == ([DONE, DONE, SKIPPED], True)


def test_between_two_steps_it_waits_as_long_as_it_was_told() -> None:
    _, clock = run(Told(DONE, DONE, DONE), min_wait_s=20.0)
    assert clock.now_s == 140.0


def test_what_is_bad_to_begin_with_is_told() -> None:
    warning = finding("primaries-concentrated", Severity.WARNING)
    assert bad_before([warning]) == ()
    (text,) = bad_before([warning, finding("node-failed", Severity.CRITICAL), finding("node-silent", Severity.UNKNOWN)])
    assert "CRITICAL: node-failed and UNKNOWN: node-silent" in text
