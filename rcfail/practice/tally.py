"""What became of writes: which were acknowledged, and what of that is there at the end. Pure.

An answer is a promise for an acknowledged write alone. One that was answered with an error should not be there; one
without an answer may be there or not, and both is right.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum


class Fate(StrEnum):
    """What the writer was told."""

    ACKNOWLEDGED = "acknowledged"
    ERROR = "error"  # the server said no: it did nothing
    UNKNOWN = "unknown"  # no answer came


@dataclass(frozen=True, slots=True)
class Write:
    """One attempt to set `key` to `number`. A key's numbers grow in the order of its writes."""

    key: str
    number: int
    fate: Fate


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts of writes, out of those whose key was looked for.

    `lost` are acknowledged ones that neither are there nor were written over by a later one that is there; `lost_keys`
    are their keys. `appeared` are unknown ones that are there. `overtaken` are acknowledged ones in whose place an
    older one without an answer is there: it may have been carried out late, so that is no proof of a loss.
    `resurrected` are keys that hold what was answered with an error, or what nobody wrote.
    """

    acknowledged: int = 0
    errors: int = 0
    unknown: int = 0
    lost: int = 0
    lost_keys: tuple[str, ...] = ()
    appeared: int = 0
    overtaken: int = 0
    resurrected: int = 0


def tally(writes: Iterable[Write], found: Mapping[str, int | None]) -> Tally:
    """Hold what was written against what is there.

    `found` is the number that each key holds, None where the key is gone. A key that is not in it was not looked for,
    and none of its writes is counted.
    """
    by_key: dict[str, list[Write]] = {}
    for write in writes:
        if write.key in found:
            by_key.setdefault(write.key, []).append(write)
    fates = [each.fate for series in by_key.values() for each in series]
    lost: dict[str, int] = {}
    appeared = overtaken = resurrected = 0
    for key, series in by_key.items():
        there = found[key]
        fate = _fate_of(series, there)
        missed = _missed(series, there)
        if fate is Fate.UNKNOWN:
            appeared += 1
            overtaken += missed
        elif missed:
            lost[key] = missed
        resurrected += there is not None and fate in (None, Fate.ERROR)
    return Tally(
        acknowledged=fates.count(Fate.ACKNOWLEDGED),
        errors=fates.count(Fate.ERROR),
        unknown=fates.count(Fate.UNKNOWN),
        lost=sum(lost.values()),
        lost_keys=tuple(lost),
        appeared=appeared,
        overtaken=overtaken,
        resurrected=resurrected,
    )


def _fate_of(series: Iterable[Write], number: int | None) -> Fate | None:
    """What was said of the write that is there; None where nothing is, or nobody wrote it."""
    return next((each.fate for each in series if each.number == number), None)


def _missed(series: Iterable[Write], there: int | None) -> int:
    """Acknowledged writes after the one that is there: nothing of a key is kept but its last value."""
    return sum(each.fate is Fate.ACKNOWLEDGED and (there is None or each.number > there) for each in series)


@dataclass(frozen=True, slots=True)
class Gap:
    """The longest time without a success. `is_open`: none came after it."""

    seconds: float
    began_at_s: float
    is_open: bool = False


class Successes:
    """Moments of success as they come, on one monotonic clock, and the longest gap between two. Keeps none of them."""

    def __init__(self, since_s: float | None = None) -> None:
        """With `since_s` the time up to the first success is a gap too."""
        self._last_s = since_s
        self._longest: Gap | None = None
        self.count = 0

    def add(self, at_s: float) -> None:
        """Moments must come in their order."""
        self._longest = self._with(at_s, is_open=False)
        self._last_s = at_s
        self.count += 1

    def longest(self, until_s: float) -> Gap | None:
        """The longest gap until then, the one that is still open included; None before there was any success."""
        return self._with(until_s, is_open=True) if self.count else None

    def _with(self, at_s: float, *, is_open: bool) -> Gap | None:
        if self._last_s is None:
            return self._longest
        gap = Gap(max(0.0, at_s - self._last_s), self._last_s, is_open)
        return gap if self._longest is None or gap.seconds > self._longest.seconds else self._longest


def longest_gap(moments_s: Iterable[float], until_s: float, since_s: float | None = None) -> Gap | None:
    """The same of moments that are all known, in any order."""
    successes = Successes(since_s)
    for each in sorted(moments_s):
        successes.add(each)
    return successes.longest(until_s)
