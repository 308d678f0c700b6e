"""What becomes of a command that was sent: looked at fast, in every view, until it is verified or cannot come."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rcfail.change.checks import Check
from rcfail.change.plan import Step
from rcfail.change.run import Moment, StepOutcome
from rcfail.clock import Clock
from rcfail.cluster.nouns import NodeId
from rcfail.cluster.snapshot import Snapshot
from rcfail.wire.door import Door
from rcfail.wire.replies import Reply


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


class Follower:
    """Looks at every node, fast, from before a send until its effect is verified or cannot come any more.

    `witness` is told each transition at once, once. `stood_unix_ms` is when the target last stood for election as far
    as the audit knows. Nothing raises but KeyboardInterrupt; nothing is ever sent that changes anything.
    """

    def __init__(
        self,
        door: Door,
        snapshot: Snapshot,
        step: Step,
        witness: Callable[[Moment], None],
        clock: Clock,
        *,
        stood_unix_ms: int | None = None,
    ) -> None:
        self._door = door
        self._snapshot = snapshot
        self._step = step
        self._witness = witness
        self._clock = clock
        self._stood_unix_ms = stood_unix_ms

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self.close()

    def prepare(self) -> None:
        """Open and warm a connection to every node, and read what is compared with later. Right before the send."""
        raise NotImplementedError

    def follow(self, sent_at_s: float, reply: Reply) -> Followed:
        """From the send, at `sent_at_s` on the clock's monotonic time, to the outcome. `reply` is what `say` gave."""
        raise NotImplementedError

    def look_now(self, sent_at_s: float | None = None) -> Followed:
        """What can be told within two seconds, for who was interrupted. `sent_at_s` where `follow` was not begun."""
        raise NotImplementedError

    def close(self) -> None:
        """Close all connections."""
        raise NotImplementedError
