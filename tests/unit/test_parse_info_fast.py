"""The fast way through an INFO and the careful one read the same."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rcfail.cluster.parse_info import _split, _split_with_care

LINES = st.sampled_from(["a:1", "b:", "# T", "#x:y", "", ":z", "  ", "stray", "c:d:e", "\r", "a:2"])
ENDS = st.sampled_from(["\r\n", "\n", "\r\n\r\n"])


@given(st.lists(st.tuples(LINES, ENDS), max_size=8))
def test_both_ways_read_the_same(parts: list[tuple[str, str]]) -> None:
    text = "".join(line + end for line, end in parts)
    assert _split(text) == _split_with_care(text.replace("\r\n", "\n").split("\n"))
