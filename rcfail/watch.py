"""Looking again and again: what each round shows, and what became different since the one before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rcfail.cluster.drift import Event, changes
from rcfail.cluster.facts import Facts, facts_of, remembered
from rcfail.errors import CannotSee
from rcfail.health.turns import Turn, turns
from rcfail.health.verdict import Diagnosis
from rcfail.rounds import Judge, Judged

_SHORTEST_PAUSE = 0.1
"""A part of the interval: where a round takes longer than that, the servers still get some rest between two."""


@dataclass(frozen=True, slots=True)
class Round:
    """One round of a watch. `seen` is None, and `fault` the reason, where it showed no cluster.

    `at_unix_ms` is when it ended. `events` and `turns` are since the round before; the first has none.
    """

    number: int
    at_unix_ms: int
    took_ms: int
    seen: Judged | None
    fault: CannotSee | None
    events: tuple[Event, ...] = ()
    turns: tuple[Turn, ...] = ()


class Watch:
    """Judges every `every_s` seconds. What it keeps of the past does not grow."""

    def __init__(self, judge: Judge, every_s: float) -> None:
        self._judge = judge
        self._clock = judge.clock
        self._every_s = every_s
        self._known: Facts | None = None
        self._last: Round | None = None

    def rounds(self, most: int | None = None) -> Iterator[Round]:
        """Round after round, without end or so many. A cluster that cannot be seen is a round like any other."""
        number = 0
        while most is None or number < most:
            began_s = self._clock.monotonic_s()
            number += 1
            self._last = self._round(number, began_s)
            yield self._last
            if number != most:
                left_s = began_s + self._every_s - self._clock.monotonic_s()
                self._clock.sleep(max(left_s, self._every_s * _SHORTEST_PAUSE))

    def _round(self, number: int, began_s: float) -> Round:
        before = self._last.seen if self._last else None
        try:
            seen = self._judge.judge(before.looked.findings if before else None)
        except CannotSee as fault:
            at_unix_ms = self._clock.unix_ms()
            return Round(number, at_unix_ms, self._since_ms(began_s), None, fault, (), self._turns(None, at_unix_ms))
        at_unix_ms = self._clock.unix_ms()
        now = facts_of(seen.looked.snapshot)
        events = changes(self._known, now) if self._known else ()
        self._known = remembered(self._known, now) if self._known else now
        turned = self._turns(seen.diagnosis, at_unix_ms)
        return Round(number, at_unix_ms, self._since_ms(began_s), seen, None, events, turned)

    def _turns(self, after: Diagnosis | None, at_unix_ms: int) -> tuple[Turn, ...]:
        if self._last is None:
            return ()
        return turns(self._last.seen.diagnosis if self._last.seen else None, after, at_unix_ms)

    def _since_ms(self, began_s: float) -> int:
        return round((self._clock.monotonic_s() - began_s) * 1000)
