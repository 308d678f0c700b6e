"""A reader that knows a table by its stencil must read every text as one that never saw it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcfail.cluster.parse_nodes import NodesReader
from tests.unit.node_texts import good_lines

A, B = "a" * 40, "b" * 40
LINE_A = f"{A} 10.0.0.1:7000@17000 master - 0 111 1 connected 0-8191"
LINE_B = f"{B} 10.0.0.2:7000@17000 master - 222 333 2 connected 8192-16383"
TEXT = f"{LINE_A}\n{LINE_B}\n"


def warm_reader(text: str) -> NodesReader:
    """A reader that has met this text often enough to know it by its stencil."""
    reader = NodesReader()
    for _ in range(3):
        reader.read(text)
    return reader


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        f"{LINE_B}\n{LINE_A}\n",
        f"{LINE_A}\n{LINE_B}",
        TEXT.replace("master", "myself,master", 1),
        TEXT.replace("master", "myself,master"),
        TEXT.replace("master", "myself", 1),
        TEXT.replace(" 0 111 ", " 5 1234567890123 "),
        TEXT.replace(" 0 111 ", " "),
        TEXT.replace(" 0 111 ", " 111 "),
        TEXT.replace(" 0 111 ", " 0 1 11 "),
        TEXT.replace(" 0 111 ", "  0 111 "),
        TEXT.replace(" 0 111 ", " 0 -111 "),
        TEXT.replace(" 0 111 ", " 0 \u0661 "),
        TEXT.replace(" 0 111 ", f" 0 {'1' * 21} "),
        TEXT.replace("0-8191", "0-8190"),
        TEXT.replace("10.0.0.1", "10.0.0.1 myself,"),
        TEXT.replace("\n", "\r\n"),
        TEXT + "\n",
        TEXT + LINE_A,
        LINE_A,
        "",
    ],
    ids=range(21),
)
def test_a_text_that_is_nearly_known_is_read_as_if_it_was_new(text: str) -> None:
    assert warm_reader(TEXT).read(text) == NodesReader().read(text)


def test_a_known_table_stays_one_object_and_its_observer_is_told() -> None:
    reader = warm_reader(TEXT)
    table = reader.read(TEXT).table
    again = reader.read(f"{LINE_B.replace('222 333', '0 999')}\n{LINE_A.replace('master', 'myself,master')}\n")
    assert again.table is table
    assert again.myself == (A,)
    assert again.pulses == "0 111 0 999"


@given(good_lines(), st.data())
def test_no_damage_makes_a_difference(lines: list[str], data: st.DataObject) -> None:
    known = "".join([f"{line}\n" for line in lines])
    start = data.draw(st.integers(0, len(known)))
    end = min(len(known), start + data.draw(st.integers(0, 30)))
    put_in = data.draw(st.sampled_from(["", " ", "0", "\n", "\r", " myself,", "myself,", known[start:end] * 2, "é"]))
    text = known[:start] + put_in + known[end:]
    assert warm_reader(known).read(text) == NodesReader().read(text)
