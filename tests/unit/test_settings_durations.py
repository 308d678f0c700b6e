"""Durations as people write them."""

from __future__ import annotations

import pytest

from rcfail.settings.durations import parse_duration_s


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("5m", 300), ("500ms", 0.5), ("1h", 3600), ("8", 8), ("1.5s", 1.5), ("0.1", 0.1), (" 2s ", 2)],
)
def test_a_duration_is_read_in_seconds(text: str, seconds: float) -> None:
    assert parse_duration_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "s", "0", "0ms", "-1s", "1 s", "1d", "nan", "inf", "1e3", "99999h", "٣s", "1.s"])
def test_what_is_no_duration_is_turned_down(text: str) -> None:
    with pytest.raises(ValueError):
        parse_duration_s(text)
