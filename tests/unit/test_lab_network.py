"""The firewall rules of a lab's cuts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from rcfail.errors import LabFault
from rcfail.practice.lab import network
from rcfail.practice.lab.damage import Cut, CutKind
from rcfail.practice.lab.register import LabEntry
from tests.unit.test_lab_register import entry, node


def with_cut(*cuts: Cut) -> LabEntry:
    return replace(entry("my-lab"), cuts=cuts)


def rules(lab: LabEntry) -> list[str]:
    return [row.strip().removesuffix(" drop") for row in network.script(lab).splitlines() if row.endswith(" drop")]


def test_a_bus_cut_both_ways() -> None:
    assert rules(with_cut(Cut(CutKind.BUS, "n1"))) == [
        "ip daddr 127.40.1.1 tcp dport 17000",
        "ip saddr 127.40.1.1 tcp sport 17000",
        "meta skgid 44001 tcp dport { 17001 }",
    ]


def test_a_bus_cut_one_way_leaves_what_the_node_sends() -> None:
    assert rules(with_cut(Cut(CutKind.BUS_IN, "n1"))) == [
        "ip daddr 127.40.1.1 tcp dport 17000",
        "ip saddr 127.40.1.1 tcp sport 17000",
    ]


def test_a_client_cut_spares_the_lab() -> None:
    assert rules(with_cut(Cut(CutKind.CLIENT, "n1"))) == [
        "ip saddr != 127.40.0.0/16 ip daddr 127.40.1.1 tcp dport 7000"
    ]


def test_a_node_without_a_group_is_told_by_its_address_where_it_is_alone() -> None:
    assert rules(with_cut(Cut(CutKind.BUS, "n2")))[2] == "ip saddr 127.40.2.1 tcp dport { 17000 }"
    shared = replace(with_cut(Cut(CutKind.BUS, "n2")), nodes=(node(1), replace(entry().nodes[1], host="127.40.1.1")))
    with pytest.raises(LabFault) as caught:
        network.script(shared)
    assert "n2 shares 127.40.1.1 with another node" in caught.value.message
    assert "--one-way" in caught.value.hint


def test_an_announced_port_needs_no_rule_and_no_rule_means_no_table() -> None:
    table = "rcfail_lab_40_my_lab"
    for cuts in ((), (Cut(CutKind.BUS_IN_ANNOUNCED, "n1"),)):
        assert network.script(with_cut(*cuts)) == f"add table inet {table}\ndelete table inet {table}\n"


def test_the_table_is_replaced_in_one_step() -> None:
    script = network.script(with_cut(Cut(CutKind.BUS_IN, "n1"), Cut(CutKind.CLIENT, "n2")))
    assert script.index("delete table inet rcfail_lab_40_my_lab") < script.index("table inet rcfail_lab_40_my_lab {")
    assert script.count("{") == script.count("}")
    assert len(rules(with_cut(Cut(CutKind.BUS_IN, "n1"), Cut(CutKind.CLIENT, "n2")))) == 3


def test_a_lab_that_was_never_cut_needs_no_firewall_to_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    network.clear(with_cut())
    network.clear(with_cut(Cut(CutKind.BUS_IN_ANNOUNCED, "n1")))
    with pytest.raises(LabFault, match="could not be removed: there is no nft on PATH"):
        network.clear(with_cut(Cut(CutKind.BUS, "n1")))


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("#!/bin/sh\necho 'netlink: Operation not permitted' >&2; exit 1\n", "it is for root alone"),
        ("#!/bin/sh\necho 'Error: no kernel module' >&2; exit 1\n", "nft says: Error: no kernel module"),
        ("#!/bin/sh\nexit 3\n", "nft says: it ended with 3"),
        (None, "there is no nft on PATH"),
        ("#!/bin/sh\n", None),
    ],
)
def test_why_there_can_be_no_rules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str | None, said: str | None
) -> None:
    if program is not None:
        (tmp_path / "nft").write_text(program)
        (tmp_path / "nft").chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert network.can_filter() is (said is None)
    if said is None:
        network.must_filter("to part a lab")
        return
    with pytest.raises(LabFault) as caught:
        network.must_filter("to part a lab")
    assert caught.value.message == f"to part a lab nftables is needed, and {said}"
    assert "root or CAP_NET_ADMIN" in caught.value.hint


def test_tables_of_gone_labs_are_known_by_their_octet() -> None:
    listed = "table inet rcfail_lab_41_a\ntable inet rcfail_lab_4_b\ntable ip rcfail_lab_4_c\ntable inet filter\n\n"
    assert network.tables_at(4, listed) == ["rcfail_lab_4_b"]
    assert network.tables_at(41, listed) == ["rcfail_lab_41_a"]
    assert network.tables_at(42, listed) == []
