"""Time as a value that is passed in: the only sleep, the only deadline, the only polling loop."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from rcfail.errors import OutOfTime

T = TypeVar("T")

_SLICE_S = 0.5
"""A signal that comes just before the machine begins to sleep, or while the handler of another one ends, is only noted
by Python (Modules/timemodule.c, pysleep: it looks for signals after an interrupted sleep, never before one). Ctrl-C
would be heeded when the whole sleep is over, which may be an hour."""


class Clock(Protocol):
    """What rcfail needs to know of time. `monotonic_s` never goes back; `unix_ms` is the wall clock."""

    def monotonic_s(self) -> float: ...

    def unix_ms(self) -> int: ...

    def sleep(self, seconds: float) -> None: ...


class SystemClock:
    """The machine's clock."""

    def monotonic_s(self) -> float:
        return time.monotonic()

    def unix_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def sleep(self, seconds: float) -> None:
        """Sleep so long, and be woken by a signal whose handler raises, at the latest after `_SLICE_S`."""
        ends_s = time.monotonic() + seconds
        while (left_s := ends_s - time.monotonic()) > _SLICE_S:
            time.sleep(_SLICE_S)
        time.sleep(max(0.0, left_s))


SYSTEM_CLOCK = SystemClock()


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment on the monotonic clock after which nothing more is waited for."""

    clock: Clock
    ends_at_s: float

    @classmethod
    def after(cls, seconds: float, clock: Clock = SYSTEM_CLOCK) -> Deadline:
        return cls(clock, clock.monotonic_s() + seconds)

    def remaining_s(self) -> float:
        """Seconds left; never negative."""
        return max(0.0, self.ends_at_s - self.clock.monotonic_s())

    def passed(self) -> bool:
        return self.remaining_s() <= 0.0

    def at_most(self, seconds: float) -> float:
        """The smaller of `seconds` and what is left."""
        return min(seconds, self.remaining_s())


def poll(
    look: Callable[[], T],
    until: Callable[[T], bool],
    *,
    deadline: Deadline,
    every_s: float,
    waiting_for: str,
) -> T:
    """Look again every `every_s` seconds until the condition holds, and return that look.

    Raises OutOfTime, which says what was waited for, when the deadline passes first. The first look
    is taken at once, and one more is taken at the very end, so a condition that came true is seen.
    """
    import tenacity  # costs start-up time, and a command that never waits does not need it

    clock = deadline.clock

    def stop(_: tenacity.RetryCallState) -> bool:
        return deadline.passed()

    def wait(_: tenacity.RetryCallState) -> float:
        return deadline.at_most(every_s)

    retrying = tenacity.Retrying(
        stop=stop,
        wait=wait,
        sleep=clock.sleep,
        retry=tenacity.retry_if_not_result(until),
    )
    try:
        return retrying(look)
    except tenacity.RetryError as error:
        raise OutOfTime(f"waited in vain for {waiting_for}") from error
