"""What came of a recovery: what was wrong, what was planned, checked and done, and what is left."""

from __future__ import annotations

from dataclasses import dataclass

from rcfail.change.checks import Check, refusing
from rcfail.change.recover.action import Action, Losing
from rcfail.change.recover.condition import Condition
from rcfail.change.recover.conduct import ActionRun
from rcfail.change.run import CODES, StepOutcome
from rcfail.change.told import Turn
from rcfail.cluster.snapshot import Snapshot
from rcfail.exits import ExitCode


@dataclass(frozen=True, slots=True)
class Recovery:
    """`conditions` are those of the first look, `left` those of the last one, after a run. `unwell` says in a clause
    what health finds critical or unknown and no condition explains. `stopped` is why nothing more was done, ""
    where all was. `record` is the file that holds what was seen before the first change. `what` names the command.
    """

    turn: Turn
    snapshot: Snapshot
    conditions: tuple[Condition, ...]
    checks: tuple[Check, ...] = ()
    runs: tuple[ActionRun, ...] = ()
    left: tuple[Condition, ...] = ()
    stopped: str = ""
    unwell: str = ""
    record: str = ""
    notes: tuple[str, ...] = ()
    what: str = "recover"

    @property
    def actions(self) -> tuple[Action, ...]:
        """All that is planned, in the order of the conditions."""
        return tuple(action for each in self.conditions for action in each.actions)

    @property
    def losing(self) -> tuple[Losing, ...]:
        """What is gone for good once all of it is done."""
        return tuple(each for action in self.actions for each in action.loses if each.counts)

    @property
    def keys_lost(self) -> int:
        """Of those that can be counted."""
        return sum(each.keys or 0 for each in self.losing)

    @property
    def done(self) -> int:
        return sum(1 for each in self.runs if each.outcome is StepOutcome.DONE)

    @property
    def acted(self) -> bool:
        return any(each.acted or each.outcome is StepOutcome.DONE for each in self.runs)

    @property
    def exit_code(self) -> ExitCode:
        if self.turn is Turn.RAN:
            return self._ran()
        if refusing(self.checks):
            return ExitCode.REFUSED
        if self.actions:
            return ExitCode.OK
        if any(each.doubt for each in self.conditions):
            return ExitCode.UNKNOWN
        return ExitCode.REFUSED if self.conditions or self.unwell else ExitCode.OK

    def _ran(self) -> ExitCode:
        """All done and nothing left, or what came of the first that is not done. What went wrong after something was
        done is INCOMPLETE, but for what cannot be told."""
        first = next((each for each in self.runs if each.outcome is not StepOutcome.DONE), None)
        if first is not None:
            code = CODES[first.outcome]
            return ExitCode.INCOMPLETE if self.acted and code is not ExitCode.INDETERMINATE else code
        if self.stopped or self.left:
            return ExitCode.INCOMPLETE if self.acted else ExitCode.REFUSED
        return ExitCode.OK
