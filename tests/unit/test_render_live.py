"""The picture of a watch: always as high as the terminal at most, with the verdict above and the newest below."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rcfail.health.diagnose import diagnose
from rcfail.health.finding import Thresholds
from rcfail.health.verdict import conclude
from rcfail.render.events import clock_stamp, log_stamp
from rcfail.render.health_page import brief_page
from rcfail.render.lines import EMPTY, Line, line, plain
from rcfail.render.live import SMALLEST, composed
from tests.unit.world import World

STATUS = line("status")


def rows(words: str, count: int) -> list[Line]:
    return [line(f"{words} {at}") for at in range(count)]


@given(st.integers(SMALLEST, 60), st.integers(1, 100), st.integers(0, 100))
def test_a_picture_fits_and_shows_the_beginning_and_the_newest(height: int, body: int, past: int) -> None:
    picture = composed(rows("body", body), rows("past", past), STATUS, height)
    assert len(picture) <= height
    assert picture[-1] == STATUS
    assert picture[0] == line("body 0") or body > 1
    shown = [each for each in picture if each and each[0].text.startswith("past")]
    assert shown == rows("past", past)[past - len(shown) :]
    if height >= 12:
        assert picture[0] == line("body 0")
        assert len(shown) >= min(past, (height - 2) // 3)
    told = [each for each in picture if each and each[0].text.startswith("body")]
    assert told == rows("body", len(told))
    assert len(told) == body or any("more than fits" in part.text for each in picture for part in each)


def test_all_of_it_is_there_where_there_is_room() -> None:
    picture = composed(rows("body", 3), rows("past", 2), STATUS, 20)
    assert picture == [*rows("body", 3), EMPTY, *rows("past", 2), EMPTY, STATUS]


def test_with_little_room_each_finding_is_a_line_and_only_hurt_shards_are_drawn() -> None:
    world = World.of(5, 1)
    world.kill("a")
    snapshot = world.snapshot()
    page = plain(brief_page(snapshot, conclude(diagnose(snapshot, Thresholds())), 80))
    assert page.startswith("CRITICAL  ")
    assert "1. CRITICAL  " in page
    assert "shard 0-3275" in page
    assert "shard 3276-6552" not in page
    assert "nothing wrong with them" in page


def test_moments_are_told_in_local_time_and_a_log_says_which_that_is() -> None:
    at = 1_790_000_000_123
    assert clock_stamp(at) == "14:13:20"
    assert log_stamp(at) == "2026-09-21T14:13:20+00:00"
