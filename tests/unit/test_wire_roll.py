"""The roll call: whatever the views say and whoever answers, every listed node has exactly one row."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcfail.cluster.nouns import Endpoint, NodeId
from rcfail.cluster.observation import Answer, Silence, SilenceReason
from rcfail.cluster.parse_nodes import NodesReader
from rcfail.wire.roll import Listings, call, claimed, deserted, doubles

IDS = [NodeId(letter * 40) for letter in "abcdef"]
PLACES = [Endpoint(f"10.0.0.{number}", 7000) for number in range(1, 6)]


@st.composite
def lines(draw: st.DrawFn, node_id: NodeId, myself: bool) -> str:
    place = draw(st.sampled_from([f"{place.host}:{place.port}@17000" for place in PLACES] + [":0@0", ":7000@17000"]))
    flags = ["myself"] if myself else []
    flags += ["master", *draw(st.lists(st.sampled_from(["fail", "noaddr", "handshake"]), max_size=1))]
    return f"{node_id} {place} {','.join(flags)} - 0 0 1 connected"


@st.composite
def texts(draw: st.DrawFn) -> str:
    """A view: some nodes, of which none, one or (in a broken text) two are the observer itself."""
    ids = draw(st.lists(st.sampled_from(IDS), max_size=5, unique=True))
    mine = ids[: draw(st.sampled_from([0, 1, 1, 1, 1, 2]))]
    return "".join(f"{draw(lines(node_id, node_id in mine))}\n" for node_id in ids)


@st.composite
def rounds(draw: st.DrawFn) -> tuple[list[Answer], list[Silence], Listings]:
    """What the places answered; not all of them were asked. Places beyond the lists are seeds that nobody lists."""
    reader, listings = NodesReader(), Listings()
    answers: list[Answer] = []
    silences: list[Silence] = []
    for place in draw(st.permutations([*PLACES, Endpoint("10.9.9.9", 1)])):
        kind = draw(st.sampled_from(["answer", "answer", "loading", "silence", "not asked"]))
        if kind == "answer":
            answers.append(Answer(place, None, 0, 0, nodes=reader.read(draw(texts()))))
        elif kind == "loading":
            answers.append(Answer(place, None, 0, 0))
        elif kind == "silence":
            silences.append(Silence(place, None, SilenceReason.REFUSED))
    for answer in answers:
        if answer.nodes:
            listings.add(answer.nodes)
    return answers, silences, listings


@given(rounds())
def test_every_listed_node_has_a_row_and_no_node_has_two(found: tuple[list[Answer], list[Silence], Listings]) -> None:
    answers, silences, listings = found
    kept, rows = call(answers, silences, listings)
    told = Counter([own for own in map(claimed, kept) if own])
    missing = Counter([silence.expected for silence in rows if silence.expected])
    assert max((told + missing).values(), default=1) == 1
    covered = set(told) | set(missing) | {answer.expected for answer in kept}
    assert listings.ids <= covered
    assert {answer.endpoint for answer in kept} <= {answer.endpoint for answer in answers}


@given(rounds())
def test_the_order_in_which_nodes_answer_does_not_matter(
    found: tuple[list[Answer], list[Silence], Listings],
) -> None:
    answers, silences, listings = found
    other = Listings()
    for answer in reversed(answers):
        if answer.nodes:
            other.add(answer.nodes)
    assert call(answers, silences, listings) == call(answers[::-1], silences[::-1], other)


@given(rounds())
def test_who_answers_is_never_told_silent(found: tuple[list[Answer], list[Silence], Listings]) -> None:
    answers, silences, listings = found
    kept, rows = call(answers, silences, listings)
    heard = {own for own in map(claimed, answers) if own}
    assert {own for own in map(claimed, kept) if own} == heard
    assert not heard & {silence.expected for silence in rows}


@given(rounds())
def test_a_deserted_address_is_one_where_others_list_a_node_that_answers(
    found: tuple[list[Answer], list[Silence], Listings],
) -> None:
    answers, silences, listings = found
    heard = {own for own in map(claimed, answers) if own}
    quiet = {silence.endpoint for silence in silences}
    empty = deserted(answers, silences, listings)
    for silence in empty:
        assert silence.endpoint in quiet
        assert silence.expected in heard
        assert silence.endpoint is not None
        assert silence.expected in listings.by_others()[silence.endpoint]
    listed = {(place, each) for place, ids in listings.by_others().items() for each in ids}
    assert {(silence.endpoint, silence.expected) for silence in empty} == {
        (place, each) for place, each in listed if place in quiet and each in heard
    }


def test_of_two_answers_of_one_node_the_one_at_its_listed_address_stays() -> None:
    reader, listings = NodesReader(), Listings()
    text = f"{IDS[0]} 10.0.0.2:7000@17000 myself,master - 0 0 1 connected\n"
    other = f"{text.replace('myself,', '')}{IDS[1]} 10.0.0.3:7000@17000 myself,master - 0 0 2 connected\n"
    answers = [
        Answer(PLACES[0], None, 0, 0, nodes=reader.read(text)),
        Answer(PLACES[1], None, 0, 0, nodes=reader.read(text)),
        Answer(PLACES[2], None, 0, 0, nodes=reader.read(other)),
    ]
    for answer in answers:
        assert answer.nodes
        listings.add(answer.nodes)
    kept, rows = call(answers, [], listings)
    assert [(answer.endpoint, answer.expected) for answer in kept] == [(PLACES[1], IDS[0]), (PLACES[2], None)]
    assert rows == ()


def process(place: Endpoint, run_id: str) -> Answer:
    text = f"{IDS[0]} {place.host}:{place.port}@17000 myself,master - 0 0 1 connected\n"
    info = f"# Server\r\nredis_version:8.2.3\r\nrun_id:{run_id}\r\n" if run_id else None
    return Answer(place, None, 0, 1, info=info, nodes=NodesReader().read(text))


@pytest.mark.parametrize(
    ("other_run_id", "found"),
    [("b" * 40, 1), ("a" * 40, 0), ("", 0)],
    ids=["two processes", "one process at two addresses", "not told"],
)
def test_two_processes_of_one_id_are_told_apart_by_their_run_id(other_run_id: str, found: int) -> None:
    first = process(Endpoint("10.0.0.1", 7000), "a" * 40)
    second = process(Endpoint("10.0.0.2", 7000), other_run_id)
    assert doubles([first, second], [first]) == (second,) * found
    assert doubles([second, first], [first]) == (second,) * found
    assert doubles([first], [first]) == ()
