"""Durations as people write them: 500ms, 30s, 5m, 1h; a bare number is seconds."""

from __future__ import annotations

import re

_SHAPE = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)?", re.ASCII)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}
_LONGEST_S = 7 * 24 * 3600.0


def parse_duration_s(text: str) -> float:
    """Seconds, more than 0 and at most a week. Raises ValueError with a line for the user."""
    match = _SHAPE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a duration such as 500ms, 30s or 5m")
    seconds = float(match[1]) * _SECONDS[match[2]]
    if not 0 < seconds <= _LONGEST_S:
        raise ValueError(f"{text!r} is not more than 0 and at most a week")
    return seconds
