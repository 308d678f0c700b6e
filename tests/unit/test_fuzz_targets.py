"""The targets of the fuzzer on what real servers said, and on that text damaged: no exception, nothing that obeys."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS

PIECES = (
    b"\r\n",
    b"\n",
    b" ",
    b",",
    b":",
    b"@",
    b"-",
    b"[",
    b"*",
    b"$",
    b"\x1b[2J",
    b"\xc2\x9b31m",
    b"\xff\x00",
    b"\x00",
)


@pytest.mark.parametrize("name", TARGETS)
def test_what_real_servers_said_is_taken(name: str) -> None:
    seeds = TARGETS[name].seeds()
    assert seeds
    for seed in seeds:
        TARGETS[name].run(seed)


SEEDS = {name: target.seeds() for name, target in TARGETS.items()}


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=60)
@given(data=st.data())
def test_what_is_damaged_is_taken_too(name: str, data: st.DataObject) -> None:
    text = data.draw(st.sampled_from(SEEDS[name]))
    for _ in range(data.draw(st.integers(1, 6))):
        start = data.draw(st.integers(0, len(text)))
        end = min(len(text), start + data.draw(st.integers(0, 40)))
        text = text[:start] + data.draw(st.sampled_from(PIECES) | st.binary(max_size=12)) + text[end:]
    TARGETS[name].run(text)
