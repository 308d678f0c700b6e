"""What is told of a canary: the page, the JSON, and which of the operator's limits were passed."""

from __future__ import annotations

import pytest

from rcfail.change.after.felt import CanaryResult, limit_passed
from rcfail.change.loss import NO_LOSS, Loss
from rcfail.render.canary_lines import canary_data, canary_lines
from rcfail.render.lines import plain

FELT = CanaryResult(34, 12, (("MOVED", 2),), written=1236, acknowledged=1234, lost=0, checked=1234, ttl_s=600)


def said(felt: CanaryResult) -> str:
    page = plain(canary_lines(felt, 80))
    assert all(len(row) <= 80 for row in page.splitlines()), page
    return " ".join(page.split())


def test_the_answer_stands_first() -> None:
    assert said(FELT).startswith(
        "gap clients could not write for 34 ms and not read for 12 ms at the longest; "
        "0 of 1,234 acknowledged canary writes lost"
    )
    assert "MOVED 2" in said(FELT)


def test_what_is_not_known_is_not_told_as_nothing() -> None:
    blind = CanaryResult(20, 5, acknowledged=9, why="not all canary keys could be looked for (LOADING)", ttl_s=600)
    assert "is not known: not all canary keys could be looked for (LOADING)" in said(blind)
    never = CanaryResult(unready="no write was acknowledged: NOPERM", why="no write was acknowledged: NOPERM")
    assert "neither wrote nor read" in said(never)
    assert "NOPERM" in said(never)
    document = canary_data(never)
    assert (document["lost"], document["write_gap_ms"], document["why"]) == (None, None, never.why)


def test_keys_of_the_json_are_added_and_never_renamed() -> None:
    assert canary_data(FELT).keys() >= {
        "write_gap_ms", "write_gap_open", "read_gap_ms", "read_gap_open", "errors", "written", "acknowledged",
        "unknown", "unknown_found", "checked", "lost", "lost_keys", "keys_left", "unready", "why",
    }  # fmt: skip


def test_a_gap_that_did_not_end_and_keys_that_stay_are_told() -> None:
    stuck = CanaryResult(5200, 8, (("timeout", 2),), 900, 890, 2, 0, (), 890, 1, write_gap_open=True, left=3, ttl_s=600)
    text = said(stuck)
    assert "writing had not begun again at the end" in text
    assert "2 canary writes got no answer, 1 of them are there" in text
    assert "3 canary keys could not be removed; they end by themselves in 10 min" in text


@pytest.mark.parametrize(
    ("felt", "loss", "max_gap_ms", "max_loss", "words"),
    [
        (FELT, NO_LOSS, None, None, ()),
        (None, NO_LOSS, None, None, ()),
        (FELT, NO_LOSS, 34, None, ()),
        (FELT, NO_LOSS, 33, None, ("could not write for 34 ms", "--max-gap is 33 ms")),
        (CanaryResult(5, 50), NO_LOSS, 20, None, ("could not read for 50 ms",)),
        (None, NO_LOSS, 20, None, ("no canary", "cannot be said")),
        (CanaryResult(None, 4), NO_LOSS, 20, None, ("written nothing", "cannot be said")),
        (None, Loss(lost_bytes=0), None, 0, ()),
        (None, Loss(lost_bytes=9), None, 9, ()),
        (None, Loss(lost_bytes=10), None, 9, ("10 bytes were lost", "--max-loss-bytes is 9")),
        (None, Loss(lost_bytes_at_least=10), None, 9, ("at least 10 bytes were lost",)),
        (None, Loss(lost_bytes_at_least=5), None, 9, ("at least 5", "cannot be said")),
        (None, NO_LOSS, None, 9, ("not known", "cannot be said")),
        (CanaryResult(90, 4), Loss(lost_bytes=10), 20, 9, ("90 ms", "10 bytes")),
        (CanaryResult(5, 4, lost=3), NO_LOSS, None, 2, ("3 writes of the canary",)),
        (CanaryResult(5, 4, lost=0), NO_LOSS, None, 2, ("not known", "cannot be said")),
    ],
)
def test_a_limit_is_kept_only_where_that_is_known(
    felt: CanaryResult | None, loss: Loss, max_gap_ms: int | None, max_loss: int | None, words: tuple[str, ...]
) -> None:
    told = limit_passed(felt, loss, max_gap_ms, max_loss)
    assert bool(told) is bool(words), told
    for word in words:
        assert word in told
