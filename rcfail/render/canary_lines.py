"""What the canary felt: lines for the page of a change, and its part of the JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rcfail.change.after.felt import CanaryResult
from rcfail.health.wording import counted, duration
from rcfail.render.lines import Line, Style, line, span, wrapped

_LABEL = len("plan  ")
_EXACT_MS = 10_000


def canary_lines(felt: CanaryResult, width: int) -> Iterator[Line]:
    """The gap and the count of what was lost first; then only what there is to say."""
    texts = [f"{_gaps(felt)}; {_lost(felt)}", *_rest(felt)]
    for label, text in zip(("gap", *("" for _ in texts)), texts, strict=False):
        yield from wrapped(text, width, first=line(span(f"{label:<{_LABEL}}", Style.DIM)), indent=_LABEL)


def canary_data(felt: CanaryResult) -> dict[str, Any]:
    """`lost` is null where it is not known, and `why` then says why."""
    return {
        "write_gap_ms": felt.write_gap_ms,
        "write_gap_open": felt.write_gap_open,
        "read_gap_ms": felt.read_gap_ms,
        "read_gap_open": felt.read_gap_open,
        "errors": dict(felt.errors),
        "written": felt.written,
        "acknowledged": felt.acknowledged,
        "unknown": felt.unknown,
        "unknown_found": felt.appeared,
        "checked": felt.checked,
        "lost": felt.lost,
        "lost_keys": list(felt.lost_keys),
        "keys_left": felt.left,
        "unready": felt.unready or None,
        "why": felt.why or None,
    }


def _gaps(felt: CanaryResult) -> str:
    if felt.write_gap_ms is None and felt.read_gap_ms is None:
        return "the canary neither wrote nor read anything"
    write, read = _time(felt.write_gap_ms), _time(felt.read_gap_ms)
    wrote = f"could not write for {write}" if write else "never got a write through"
    could_read = f"not read for {read}" if read else "nothing read"
    still = [verb for verb, is_open in (("writing", felt.write_gap_open), ("reading", felt.read_gap_open)) if is_open]
    ended = f", and {' and '.join(still)} had not begun again at the end" if still else ""
    return f"clients {wrote} and {could_read} at the longest{ended}"


def _time(milliseconds: int | None) -> str:
    if milliseconds is None:
        return ""
    return f"{milliseconds} ms" if milliseconds < _EXACT_MS else duration(milliseconds)


def _lost(felt: CanaryResult) -> str:
    if felt.lost is None:
        return f"how many canary writes were lost is not known: {felt.why or 'nobody looked'}"
    return f"{felt.lost:,} of {felt.checked:,} acknowledged canary writes lost"


def _rest(felt: CanaryResult) -> Iterator[str]:
    if felt.lost_keys:
        yield f"one that is gone: {felt.lost_keys[0]}"
    if felt.unknown:
        there = f", {felt.appeared:,} of them are there" if felt.appeared else ", and none of them is there"
        yield f"{counted(felt.unknown, 'canary write')} got no answer{there}"
    if felt.errors:
        yield f"answers that were no success: {', '.join(f'{kind} {count:,}' for kind, count in felt.errors[:6])}"
    if felt.left:
        ends = f"they end by themselves in {felt.ttl_s // 60} min"
        yield f"{counted(felt.left, 'canary key')} could not be removed; {ends}"
