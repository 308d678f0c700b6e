"""nodes.conf files and saved replies, whole, cut off and foreign."""

from __future__ import annotations

import pytest
from hypothesis import given

from rcfail.cluster.nouns import NodeId, Problem
from rcfail.cluster.parse_conf import parse_conf
from rcfail.cluster.parse_nodes import NodesReader
from tests.unit.node_texts import any_texts

A, B = (NodeId(letter * 40) for letter in "ab")
LINE_A = f"{A} 10.0.0.1:7000@17000,,tls-port=0,shard-id={B} myself,master - 0 0 1 connected 0-16383"
LINE_B = f"{B} 10.0.0.2:7000@17000,b.example,tls-port=0,shard-id={B} slave {A} 0 1795366503329 1 connected"
NODES = f"{LINE_A}\n{LINE_B}\n"


def test_a_whole_file() -> None:
    conf = parse_conf(NODES + "vars currentEpoch 6 lastVoteEpoch 4\n")
    assert (conf.has_vars, conf.current_epoch, conf.last_vote_epoch, conf.vars_problem) == (True, 6, 4, "")
    assert conf.myself == (A,)
    assert conf.table.problems == ()
    assert conf.table.by_id[B].address.hostname == "b.example"
    assert conf.table.by_id[A].aux == (("tls-port", "0"), ("shard-id", B))


def test_a_saved_reply_has_no_vars() -> None:
    conf = parse_conf(NODES)
    assert (conf.has_vars, conf.current_epoch, conf.last_vote_epoch) == (False, None, None)
    assert (len(conf.table.beliefs), conf.table.problems) == (2, ())


@pytest.mark.parametrize(
    ("vars_line", "current", "vote", "reason"),
    [
        ("va", None, None, "cut off"),
        ("vars", None, None, "lacks currentEpoch"),
        ("vars currentE", None, None, "cut off"),
        ("vars currentEpoch", None, None, "cut off"),
        ("vars currentEpoch 6", 6, None, "lacks lastVoteEpoch"),
        ("vars currentEpoch 6 lastVo", 6, None, "cut off"),
        ("vars currentEpoch x lastVoteEpoch 4", None, 4, "currentEpoch 'x' is not a number"),
        ("vars currentEpoch -1 lastVoteEpoch 4", None, 4, "currentEpoch '-1' is not a number"),
    ],
)
def test_a_vars_line_that_is_cut_off(vars_line: str, current: int | None, vote: int | None, reason: str) -> None:
    conf = parse_conf(NODES + vars_line)
    assert (conf.current_epoch, conf.last_vote_epoch) == (current, vote)
    assert reason in conf.vars_problem
    assert conf.table.problems == (Problem(3, vars_line, conf.vars_problem),)
    assert len(conf.table.beliefs) == 2


def test_names_in_any_case_and_order_and_unknown_ones_kept() -> None:
    conf = parse_conf(NODES + "VARS lastvoteepoch 4 newName x CURRENTEPOCH 6\r\n\r\n")
    assert (conf.current_epoch, conf.last_vote_epoch, conf.other_vars) == (6, 4, (("newName", "x"),))
    assert conf.table.problems == ()


def test_of_two_vars_lines_the_last_stands_and_is_told() -> None:
    conf = parse_conf(f"vars currentEpoch 6 lastVoteEpoch 4\n{NODES}vars currentEpoch 9 lastVoteEpoch 9\n")
    assert (conf.current_epoch, conf.last_vote_epoch) == (9, 9)
    assert [(each.line_number, each.reason) for each in conf.table.problems] == [(4, "another vars line")]


def test_a_node_line_cut_off_is_told_by_its_number_in_the_file() -> None:
    conf = parse_conf(f"\n{LINE_A}\n\n{LINE_B[:60]}")
    assert [belief.node_id for belief in conf.table.beliefs] == [A]
    assert [(each.line_number, each.line) for each in conf.table.problems] == [(4, LINE_B[:60])]
    assert "cut off" in conf.table.problems[0].reason


def test_problems_come_in_the_order_of_the_file() -> None:
    conf = parse_conf(f"vars currentEpoch\nstrange\n{NODES}vars\nstranger")
    assert [each.line_number for each in conf.table.problems] == [1, 2, 5, 6]


def test_a_byte_order_mark_costs_no_node() -> None:
    assert len(parse_conf("\ufeff" + NODES).table.beliefs) == 2


def test_zeros_left_by_a_crash_are_told() -> None:
    conf = parse_conf(NODES + "\x00" * 512)
    assert len(conf.table.beliefs) == 2
    assert [each.line_number for each in conf.table.problems] == [3]


def test_an_empty_file_and_a_foreign_one_name_no_node() -> None:
    empty, foreign = parse_conf(" \n\n"), parse_conf('{"schema": "rcfail/1"}\nvarsity 1\n')
    assert (empty.table.beliefs, empty.table.problems) == ((), ())
    assert foreign.table.beliefs == ()
    assert [each.line_number for each in foreign.table.problems] == [1, 2]
    assert not foreign.has_vars


def test_files_share_beliefs_through_one_reader() -> None:
    reader = NodesReader()
    assert parse_conf(NODES, reader).table is parse_conf(NODES + "vars currentEpoch 6 lastVoteEpoch 4", reader).table


@given(any_texts())
def test_no_line_of_a_file_is_lost(text: str) -> None:
    conf = parse_conf(text)
    lines = [line for line in text.removeprefix("\ufeff").split("\n") if line.strip(" \t\r\v\f")]
    silent = len(lines) - len(conf.table.beliefs) - len(conf.table.problems)
    assert silent <= (1 if conf.has_vars else 0)
