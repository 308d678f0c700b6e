"""CLUSTER LINKS as RESP2 lists, as RESP3 maps, and as something else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcfail.cluster.nouns import BusLink, NodeId
from rcfail.cluster.parse_links import parse_links

A = NodeId("a" * 40)
ENTRY: dict[str, object] = {
    "direction": "to",
    "node": A,
    "create-time": 1795367084907,
    "events": "rw",
    "send-buffer-allocated": 4096,
    "send-buffer-used": 48,
}
LINK = BusLink("to", A, 1795367084907, "rw", 48)


def flat(entry: dict[str, object]) -> list[object]:
    return [part for pair in entry.items() for part in pair]


def as_bytes(entry: list[object]) -> list[object]:
    return [part.encode() if isinstance(part, str) else part for part in entry]


@pytest.mark.parametrize(
    "reply",
    [
        [flat(ENTRY)],
        [as_bytes(flat(ENTRY))],
        [ENTRY],
        ({name.encode(): value for name, value in ENTRY.items()},),
        [flat(ENTRY | {"create-time": "1795367084907", "something-new": None})],
    ],
)
def test_a_link_in_every_shape(reply: object) -> None:
    assert parse_links(reply) == ((LINK,), ())


def test_no_links_at_all() -> None:
    assert parse_links([]) == ((), ())


@pytest.mark.parametrize("events", ["", "r", "w", "rw"])
def test_events(events: str) -> None:
    (link,) = parse_links([flat(ENTRY | {"events": events, "direction": "from"})]).links
    assert (link.direction, link.events) == ("from", events)


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (flat(ENTRY | {"direction": "sideways"}), "direction"),
        (flat(ENTRY | {"node": A[:39]}), "node is not 40 hex digits"),
        (flat(ENTRY | {"events": "x"}), "events"),
        (flat(ENTRY | {"create-time": "soon"}), "create-time"),
        (flat({name: value for name, value in ENTRY.items() if name != "send-buffer-used"}), "send-buffer-used"),
        (flat(ENTRY)[:-1], "not a list of names and values"),
        ("direction", "not a list of names and values"),
        (None, "not a list of names and values"),
    ],
)
def test_an_entry_that_is_no_link_is_told_and_the_others_stand(entry: object, reason: str) -> None:
    reading = parse_links([entry, flat(ENTRY)])
    assert reading.links == (LINK,)
    assert [each.line_number for each in reading.problems] == [1]
    assert reason in reading.problems[0].reason


@pytest.mark.parametrize("reply", [None, "OK", b"OK", 7, {"a": 1}])
def test_a_reply_that_is_no_list(reply: object) -> None:
    reading = parse_links(reply)
    assert reading.links == ()
    assert reading.problems[0].reason == "not a list of links"


def test_a_large_foreign_entry_is_shown_short() -> None:
    (problem,) = parse_links([["x" * 100_000] * 1000]).problems
    assert len(problem.line) < 2000


_VALUES = st.recursive(
    st.none() | st.integers(-(2**64), 2**64) | st.binary(max_size=20) | st.sampled_from([A, *ENTRY, "to", "rw", ""]),
    lambda inner: st.lists(inner, max_size=13) | st.dictionaries(st.sampled_from(list(ENTRY)), inner),
    max_leaves=40,
)


@given(_VALUES)
def test_every_entry_is_a_link_or_a_problem(reply: object) -> None:
    reading = parse_links(reply)
    expected = len(reply) if isinstance(reply, list) else 1
    assert len(reading.links) + len(reading.problems) == expected
