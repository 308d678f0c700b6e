"""Whole CLUSTER NODES texts: nothing lost, nothing thrown, equal views shared."""

from __future__ import annotations

import random
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcfail.cluster.nouns import NodeId, Problem, Pulse
from rcfail.cluster.parse_nodes import NodesReader, numbered_lines, render_line, render_reply
from tests.unit.node_texts import any_texts, good_lines

A, B, C = (NodeId(letter * 40) for letter in "abc")
LINE_A = f"{A} 10.0.0.1:7000@17000 master - 0 111 1 connected 0-8191"
LINE_B = f"{B} 10.0.0.2:7000@17000 master - 222 333 2 connected 8192-16383"
LINE_C = f"{C} 10.0.0.3:7000@17000 slave {A} 0 444 1 connected"


def mine(line: str) -> str:
    return re.sub(r" (master|slave)", r" myself,\1", line, count=1)


def text_of(*lines: str, end: str = "\n") -> str:
    return "".join([line + end for line in lines])


def test_a_reply_is_told_by_node_and_by_observer() -> None:
    reply = NodesReader().read(text_of(LINE_C, mine(LINE_A), LINE_B))
    assert [belief.node_id for belief in reply.table.beliefs] == [A, B, C]
    assert reply.myself == (A,)
    assert reply.table.problems == ()
    assert reply.odd_text == ""
    assert reply.pulse_of(A) == Pulse(0, 111)
    assert reply.pulse_of(B) == Pulse(222, 333)
    assert reply.pulse_of(C) == Pulse(0, 444)
    assert reply.pulse_of(NodeId("d" * 40)) is None
    assert reply.table.by_id[B].slots == ((8192, 16383),)


def test_equal_views_of_different_observers_are_one_table() -> None:
    reader = NodesReader()
    first = reader.read(text_of(mine(LINE_A), LINE_B, LINE_C))
    later = LINE_B.replace(" 222 333 ", " 0 999 ")
    second = reader.read(text_of(LINE_C, mine(later), LINE_A))
    assert second.table is first.table
    assert second.myself == (B,)
    assert second.pulse_of(B) == Pulse(0, 999)


def test_views_that_differ_in_one_line_share_all_other_beliefs() -> None:
    reader = NodesReader()
    first = reader.read(text_of(LINE_A, LINE_B, LINE_C))
    second = reader.read(text_of(LINE_A, LINE_B.replace("master", "master,fail?"), LINE_C))
    assert second.table is not first.table
    assert second.table.by_id[B] != first.table.by_id[B]
    assert second.table.by_id[A] is first.table.by_id[A]
    assert second.table.by_id[C] is first.table.by_id[C]


def test_the_careful_path_shares_with_the_fast_one() -> None:
    reader = NodesReader()
    fast = reader.read(text_of(mine(LINE_A), LINE_B))
    careful = reader.read("\r\n" + text_of(f"  {LINE_B}", mine(LINE_A), end="\r\n"))
    assert careful.table is fast.table
    assert careful == fast


@pytest.mark.parametrize("text", ["", "\n", " \r\n\t\n"])
def test_nothing_is_an_empty_table_without_problems(text: str) -> None:
    reply = NodesReader().read(text)
    assert (reply.table.beliefs, reply.table.problems, reply.myself, reply.pulses) == ((), (), (), "")


def test_a_foreign_text_has_problems_and_no_beliefs() -> None:
    text = "root:x:0:0:root:/root:/bin/bash\n\nErr nothing here\n"
    reply = NodesReader().read(text)
    assert reply.table.beliefs == ()
    assert [(each.line_number, each.line) for each in reply.table.problems] == [
        (1, "root:x:0:0:root:/root:/bin/bash"),
        (3, "Err nothing here"),
    ]
    assert reply.odd_text == text


def test_one_bad_line_leaves_the_others_whole() -> None:
    corrupted = LINE_B[1:]
    reply = NodesReader().read(text_of(LINE_C, corrupted, LINE_A))
    assert [belief.node_id for belief in reply.table.beliefs] == [A, C]
    assert reply.table.problems == (
        Problem(2, corrupted, "node id has 39 characters where 40 lower-case hex digits are needed"),
    )
    assert reply.pulse_of(C) == Pulse(0, 444)


def test_a_line_with_several_defects_has_one_problem_and_its_belief() -> None:
    line = f"{A} 10.0.0.1:x@17000 master - 0 0 1 connecte 0-5 65536"
    (problem,) = NodesReader().read(text_of(line)).table.problems
    assert problem.reason.count(";") == 2
    assert NodesReader().read(text_of(line)).table.by_id[A].slots == ((0, 5),)


def test_two_lines_of_one_id_are_both_kept_and_told() -> None:
    other = LINE_A.replace("0-8191", "5")
    reply = NodesReader().read(text_of(LINE_A, LINE_B, other))
    assert [belief.node_id for belief in reply.table.beliefs] == [A, A, B]
    assert reply.table.by_id[A] is reply.table.beliefs[0]
    assert reply.table.problems == (Problem(3, other, "node id is already in line 1"),)


def test_the_same_line_twice_is_told() -> None:
    reply = NodesReader().read(text_of(LINE_A, LINE_A))
    assert len(reply.table.beliefs) == 2
    assert reply.table.problems == (Problem(2, LINE_A, "node id is already in line 1"),)


def test_two_observers_are_both_named_and_told() -> None:
    reply = NodesReader().read(text_of(mine(LINE_B), LINE_C, mine(LINE_A)))
    assert reply.myself == (A, B)
    assert reply.table.problems == (Problem(3, mine(LINE_A), "another line is marked myself too"),)


def test_a_host_that_is_called_myself_is_no_observer() -> None:
    line = LINE_A.replace("10.0.0.1:7000@17000", "myself,:7000@17000,myself")
    reply = NodesReader().read(text_of(line, mine(LINE_B)))
    assert reply.myself == (B,)
    assert reply.table.by_id[A].flags == ("master",)


def test_an_address_that_begins_like_the_flag_is_no_observer() -> None:
    line = LINE_A.replace("10.0.0.1:7000@17000", "myself,10.0.0.1:7000@17000")
    reply = NodesReader().read(text_of(line, LINE_B))
    assert reply.myself == ()
    assert [each.line for each in reply.table.problems] == [line]


def test_spaces_at_the_end_or_between_slots_make_no_other_belief() -> None:
    reader = NodesReader()
    plain = reader.read(text_of(LINE_A, LINE_B))
    assert reader.read(text_of(LINE_A + "  ", LINE_B.replace(" 8192", "   8192"))).table is plain.table


def test_a_vars_line_does_not_belong_into_a_reply() -> None:
    (problem,) = NodesReader().read(text_of(LINE_A, "vars currentEpoch 6 lastVoteEpoch 0")).table.problems
    assert problem.line_number == 2


def test_threads_that_read_at_once_get_the_same_table() -> None:
    reader = NodesReader()
    lines = [f"{number:040x} 10.0.0.1:7000@17000 master - 0 {number} 1 connected {number}" for number in range(1, 600)]
    texts = []
    for seed in range(16):
        random.Random(seed).shuffle(lines)
        texts.append(text_of(*lines))
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(reader.read, texts))
    assert len({id(reply.table) for reply in replies}) == 1
    assert len({reply.pulses for reply in replies}) == 1


@pytest.mark.parametrize(
    "text",
    [
        "x" * 4_000_000,
        "\n" * 4_000_000,
        "x\n" * 200_000,
        A + " " + "a" * 4_000_000,
        f"{A} a a - 0 0 " * 50_000,
        f"{LINE_A} " + "1-2-3 " * 300_000,
        f"{LINE_A} " + "[77->-x] " * 300_000,
        f"{LINE_A}\n" * 20_000,
        f"{mine(LINE_A)}\n" * 20_000,
        f"{A} {'h,' * 500_000}:1@2 master - 0 0 1 connected",
        f"{A} h:1@2 {'fail,' * 500_000} - 0 0 1 connected",
    ],
    ids=range(11),
)
def test_megabytes_of_garbage_are_read(text: str) -> None:
    # Anything that grew with the square of this would take hours, and be ended by the timeout of every test.
    reply = NodesReader().read(text)
    assert reply.table.problems or not text.strip()


@given(any_texts())
def test_no_line_is_lost(text: str) -> None:
    table = NodesReader().read(text).table
    lines = {number: line for number, line in enumerate(text.split("\n"), 1) if line.strip(" \t\r\v\f")}
    told = [problem.line_number for problem in table.problems]
    assert told == sorted(set(told))
    assert all(lines[problem.line_number] == problem.line for problem in table.problems)
    clean = sorted(line.split(None, 1)[0] for number, line in lines.items() if number not in told)
    believed: list[str] = sorted(belief.node_id for belief in table.beliefs)
    for node_id in clean:
        believed.remove(node_id)
    # What is left are beliefs of lines that also have a problem.
    assert len(believed) <= len(told)


@given(any_texts())
def test_both_paths_agree(text: str) -> None:
    reader = NodesReader()
    assert reader.read(text) == NodesReader().read_lines(numbered_lines(text), text)


@given(any_texts())
def test_what_is_rendered_reads_the_same(text: str) -> None:
    reply = NodesReader().read(text)
    assert NodesReader().read(render_reply(reply)) == reply


@given(good_lines(), st.randoms(use_true_random=False))
def test_the_order_of_lines_does_not_matter(lines: list[str], dice: random.Random) -> None:
    reader = NodesReader()
    reply = reader.read(text_of(*lines))
    assert reply.table.problems == ()
    assert len(reply.table.beliefs) == len(lines)
    dice.shuffle(lines)
    again = reader.read(text_of(*lines))
    assert again == reply
    assert again.table is reply.table


@given(good_lines(), st.integers(0, 10**20 - 1))
def test_pulses_do_not_touch_the_table(lines: list[str], pulse: int) -> None:
    reader = NodesReader()
    changed = [" ".join([*fields[:4], str(pulse), str(pulse), *fields[6:]]) for fields in map(str.split, lines)]
    assert reader.read(text_of(*changed)).table is reader.read(text_of(*lines)).table


@given(good_lines())
def test_a_good_reply_renders_as_it_came(lines: list[str]) -> None:
    text = text_of(*sorted(lines))
    assert render_reply(NodesReader().read(text)) == text


def test_a_line_renders_with_its_pulse_and_observer() -> None:
    belief = NodesReader().read(text_of(LINE_C)).table.by_id[C]
    assert render_line(belief, Pulse(7, 8)) == f"{C} 10.0.0.3:7000@17000 slave {A} 7 8 1 connected"
    assert render_line(belief, "7 8", myself=True) == f"{C} 10.0.0.3:7000@17000 myself,slave {A} 7 8 1 connected"
