"""What is handed back by who followed a command, and what the server made of it when it was sent."""

from __future__ import annotations

from dataclasses import dataclass

from rcfail.change.checks import Check
from rcfail.change.run import Moment, StepOutcome
from rcfail.cluster.nouns import NodeId


@dataclass(frozen=True, slots=True)
class Followed:
    """How it ended; the fields are those of `StepRun`."""

    outcome: StepOutcome
    checks: tuple[Check, ...] = ()
    timeline: tuple[Moment, ...] = ()
    new_primary: NodeId | None = None
    epoch_after: int | None = None
    why: str = ""
    hint: str = ""
    ours: bool = True
    retry_after_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """What the server made of the command. `refused` is its error reply; `unanswered`: it may have been carried out."""

    refused: str = ""
    unanswered: bool = False
