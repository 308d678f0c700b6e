"""Laying text out in columns."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rcfail.render.lines import line, plain, wrapped
from rcfail.render.words import size


def rows(text: str | list[str], width: int, lead: str = "", indent: int = 0) -> list[str]:
    return plain(wrapped(text, width, first=line(lead), indent=indent)).splitlines()


def test_text_is_broken_at_spaces_and_indented() -> None:
    assert rows("one two three four", 11, "1. ", 3) == ["1. one two", "   three", "   four"]


def test_a_word_longer_than_the_line_is_not_cut() -> None:
    assert rows("a " + "x" * 30 + " b", 10) == ["a", "x" * 30, "b"]


def test_pieces_stay_whole() -> None:
    assert rows(["link DOWN 20 s", "lag 4 KB"], 20) == ["link DOWN 20 s,", "lag 4 KB"]


def test_nothing_is_one_line_with_the_lead() -> None:
    assert rows("", 10, "hint:") == ["hint:"]


@given(st.lists(st.text("abc", min_size=1, max_size=12), max_size=30), st.integers(20, 60), st.integers(0, 8))
def test_every_word_comes_out_once_and_no_line_is_too_long(words: list[str], width: int, indent: int) -> None:
    out = rows(" ".join(words), width, " " * indent, indent)
    assert " ".join(out).split() == words
    assert all(len(row) <= width for row in out)


def test_sizes() -> None:
    assert [size(n) for n in (0, 1023, 1024, 1536, 10 * 1024, 5 << 20, 3 << 30, 2000 << 30)] == [
        "0 B", "1023 B", "1.0 KB", "1.5 KB", "10 KB", "5.0 MB", "3.0 GB", "2000 GB",
    ]  # fmt: skip
