"""A clock and a sight that follow a script, to test what loops and waits without waiting."""

from __future__ import annotations

from rcfail.clock import Deadline
from rcfail.cluster.observation import Observation
from rcfail.health.manner import PLAIN


class ScriptedClock:
    """Time passes only by sleeping, or when somebody says so."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.slept: list[float] = []

    def monotonic_s(self) -> float:
        return self.now_s

    def unix_ms(self) -> int:
        return int(self.now_s * 1000)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_s += seconds


class ScriptedSight:
    """Shows one observation after the other, the last one for ever; each look takes `takes_s`."""

    def __init__(self, clock: ScriptedClock, *observations: Observation, takes_s: float = 0.01) -> None:
        self._clock = clock
        self._script = list(observations)
        self._takes_s = takes_s
        self.first_looks = 0
        self.later_looks = 0

    manner = PLAIN

    def look(self, _: Deadline) -> Observation:
        self.first_looks += 1
        return self._next()

    def again(self, _: Observation, __: Deadline) -> Observation | None:
        self.later_looks += 1
        return self._next()

    def first_view(self, _: Deadline) -> Observation:
        return self._next()

    def _next(self) -> Observation:
        self._clock.now_s += self._takes_s
        return self._script.pop(0) if len(self._script) > 1 else self._script[0]
