"""Looking until what was asked for has come true, or time is up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from rcfail.clock import Deadline, poll
from rcfail.errors import CannotSee, OutOfTime
from rcfail.health.conditions import Condition, missing
from rcfail.rounds import Judge, Judged

EVERY_S = 0.25
IN_A_ROW = 2
"""So many looks have to show it: what is just passing by was not waited for."""


@dataclass(frozen=True, slots=True)
class Waited:
    """How it ended. `missing` has one text a condition, "" where it held in the last look; `seen` is that look.

    `held`: all conditions held in two looks in a row. `blind` is why the last look showed no cluster.
    """

    held: bool
    missing: tuple[str, ...]
    seen: Judged | None
    blind: CannotSee | None
    looks: int
    waited_s: float


class Waiting:
    """Looks through one judge's sight until all of `wanted` hold. `tell` hears whatever is missing, once each time.

    Raises Ambiguous where a condition names several nodes.
    """

    def __init__(self, judge: Judge, wanted: Sequence[Condition], tell: Callable[[Sequence[str]], None]) -> None:
        self._judge = judge
        self._wanted = tuple(wanted)
        self._tell = tell
        self._last = Waited(False, ("not looked yet",) * len(self._wanted), None, None, 0, 0.0)
        self._told: tuple[str, ...] = ()
        self._in_a_row = 0

    def wait(self, within_s: float) -> Waited:
        """A look that has begun is ended, so this can take `within_s` and one look."""
        clock = self._judge.clock
        self._began_s = clock.monotonic_s()
        with suppress(OutOfTime):  # the last look says more than that time is up
            poll(self._look, bool, deadline=Deadline.after(within_s, clock), every_s=EVERY_S, waiting_for="it")
        if self._in_a_row and not self._last.held:  # it came true with the last look: one more confirms it
            self._look()
        return self._last

    def _look(self) -> bool:
        before = self._last.seen
        seen: Judged | None = None
        blind: CannotSee | None = None
        try:
            seen = self._judge.judge(before.looked.findings if before else None)
            lacking = tuple(missing(each, seen.looked.snapshot, seen.diagnosis) for each in self._wanted)
        except CannotSee as fault:
            blind, lacking = fault, (fault.message,) * len(self._wanted)
        self._in_a_row = 0 if any(lacking) else self._in_a_row + 1
        held = self._in_a_row >= IN_A_ROW
        waited_s = self._judge.clock.monotonic_s() - self._began_s
        self._last = Waited(held, lacking, seen, blind, self._last.looks + 1, waited_s)
        if lacking != self._told and any(lacking):
            self._tell(lacking)
        self._told = lacking
        return held
