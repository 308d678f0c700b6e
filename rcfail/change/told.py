"""The answer of one failover, whichever way it went."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from rcfail.change.after.felt import CanaryResult, limit_passed
from rcfail.change.candidates import Contender
from rcfail.change.checks import Check
from rcfail.change.mover import Judged
from rcfail.change.run import CODES, StepRun
from rcfail.cluster.nouns import NodeId
from rcfail.cluster.snapshot import Snapshot
from rcfail.exits import ExitCode
from rcfail.health.manner import PLAIN, Manner


class Turn(StrEnum):
    """Which way it went."""

    NOTHING = "nothing"  # it is so already
    REFUSED = "refused"
    ALLOWED = "allowed"  # a dry run that would have gone on
    RAN = "ran"


@dataclass(frozen=True, slots=True)
class Limits:
    """What the operator bears: seconds without writes or reads, and bytes that are lost. None: not said."""

    gap_s: float | None = None
    loss_bytes: int | None = None


NO_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Told:
    """`others` are the candidates, where one had to be chosen; `found` is None where none could be.

    `run` is what came of it, where it was begun, and `felt` what the canary says of it.
    """

    turn: Turn
    snapshot: Snapshot
    primary: NodeId
    found: Judged | None = None
    others: tuple[Contender, ...] = ()
    run: StepRun | None = None
    felt: CanaryResult | None = None
    limits: Limits = NO_LIMITS

    @property
    def checks(self) -> tuple[Check, ...]:
        """Those of the preflight."""
        if self.found is not None:
            return self.found.checks
        return self.others[0].checks if self.others else ()

    @property
    def exit_code(self) -> ExitCode:
        """Of a failover that is done, LIMIT where it passed one."""
        if self.run is not None:
            code = CODES[self.run.outcome]
            return ExitCode.LIMIT if code is ExitCode.OK and self.passed_limit else code
        return ExitCode.REFUSED if self.turn is Turn.REFUSED else ExitCode.OK

    @property
    def passed_limit(self) -> str:
        """Which limit was passed, in a sentence; "" where none was, or nothing was sent."""
        if self.run is None or not self.run.sent:
            return ""
        gap_ms = None if self.limits.gap_s is None else round(self.limits.gap_s * 1000)
        return limit_passed(self.felt, self.run.loss, gap_ms, self.limits.loss_bytes)


def fitted(told: Told, manner: Manner) -> Told:
    """The same, with hints that this operator can paste."""
    if manner == PLAIN:
        return told
    found, run = told.found, told.run
    if found is not None:
        found = replace(found, checks=_fit(found.checks, manner))
    if run is not None:
        run = replace(run, hint=manner.fit(run.hint), verification=_fit(run.verification, manner))
    return replace(told, found=found, run=run)


def _fit(checks: tuple[Check, ...], manner: Manner) -> tuple[Check, ...]:
    return tuple(replace(each, hint=manner.fit(each.hint)) for each in checks)
