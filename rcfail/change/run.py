"""What came of a plan: one outcome a step, and the code that the process ends with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from rcfail.change.checks import Check
from rcfail.change.loss import NO_LOSS, Loss
from rcfail.change.plan import Plan, Step
from rcfail.cluster.nouns import NodeId
from rcfail.exits import ExitCode


class StepOutcome(StrEnum):
    DONE = "done"
    REFUSED = "refused"  # a guard said no at the last moment: nothing was sent
    NOT_DONE = "not_done"
    INCOMPLETE = "incomplete"
    INDETERMINATE = "indeterminate"
    SKIPPED = "skipped"


CODES: Mapping[StepOutcome, ExitCode] = {
    StepOutcome.DONE: ExitCode.OK,
    StepOutcome.REFUSED: ExitCode.REFUSED,
    StepOutcome.NOT_DONE: ExitCode.NOT_DONE,
    StepOutcome.INCOMPLETE: ExitCode.INCOMPLETE,
    StepOutcome.INDETERMINATE: ExitCode.INDETERMINATE,
    StepOutcome.SKIPPED: ExitCode.INCOMPLETE,
}


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that was seen while a step ran, so many ms after the send."""

    at_ms: int
    event: str
    subject: str


@dataclass(frozen=True, slots=True)
class StepRun:
    """What was done for one step and what was seen of it.

    `sent`: the command left, and may have been carried out. `reply` is what the server said, None without an answer.
    `why` says in a sentence why it is not done. `ours` False: somebody was promoted, but not by this command.
    `retry_after_ms` is when another attempt can work, counted from now; None: not known or never.
    """

    step: Step
    outcome: StepOutcome
    sent: bool
    reply: str | None
    verification: tuple[Check, ...] = ()
    timeline: tuple[Moment, ...] = ()
    new_primary: NodeId | None = None
    epoch_after: int | None = None
    why: str = ""
    hint: str = ""
    ours: bool = True
    retry_after_ms: int | None = None
    loss: Loss = NO_LOSS


@dataclass(frozen=True, slots=True)
class Run:
    """A plan and what came of each of its steps. `checks` are those of the preflight."""

    plan: Plan
    checks: tuple[Check, ...]
    steps: tuple[StepRun, ...]

    @property
    def exit_code(self) -> ExitCode:
        """Of several steps: all done, or the first that was not; later ones after a done one are INCOMPLETE."""
        for at, each in enumerate(self.steps):
            if each.outcome is not StepOutcome.DONE:
                code = CODES[each.outcome]
                return ExitCode.INCOMPLETE if at and code in (ExitCode.REFUSED, ExitCode.NOT_DONE) else code
        return ExitCode.OK
