"""Sides of a partition: how they are named, and which packets they make the firewall drop."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from rcfail.errors import LabFault, UsageFault
from rcfail.practice.lab import network
from rcfail.practice.lab.damage import Partition, Way
from rcfail.practice.lab.register import LabEntry, NodeEntry, Register
from rcfail.practice.lab.sides import observer_side, shown, sides_of
from rcfail.practice.lab.walls import split_nodes, walls_of
from tests.unit.test_lab_register import entry, node

ONE, TWO = ("n1", "n4"), ("n2", "n3", "n5", "n6")


def spot(number: int, host: int) -> NodeEntry:
    return replace(node(number), host=f"127.40.{host}.1", zone=f"zone-{host}")


def lab() -> LabEntry:
    """n1 and n4 in zone 1, n2 and n5 in zone 2, n3 and n6 in zone 3."""
    return replace(entry(), nodes=tuple(spot(number, (number - 1) % 3 + 1) for number in range(1, 7)))


@pytest.mark.parametrize(
    ("named", "sides"),
    [
        (("zone-1",), "n1,n4 | n2,n3,n5,n6"),
        (("z1", "z2,z3"), "n1,n4 | n2,n3,n5,n6"),
        (("z1", "z2", "z3"), "n1,n4 | n2,n5 | n3,n6"),
        (("z1", "z2"), "n1,n4 | n2,n5 | n3,n6"),
        (("127.40.2.1, n1",), "n1,n2,n5 | n3,n4,n6"),
        (("n1", "7001"), "n1 | n2 | n3,n4,n5,n6"),
        (("127.40.3.1:7005",), "n6 | n1,n2,n3,n4,n5"),
        (("n1,n1,z1",), "n1,n4 | n2,n3,n5,n6"),
        (("z1", "n4"), "n1 | n4 | n2,n3,n5,n6"),
        (("n4", "z1"), "n4 | n1 | n2,n3,n5,n6"),
    ],
)
def test_sides_are_named_by_zones_hosts_and_nodes(named: tuple[str, ...], sides: str) -> None:
    assert shown(sides_of(lab(), named)) == sides


@pytest.mark.parametrize(
    ("named", "said"),
    [
        (("z9",), "z9 is no zone, host or node of the lab x"),
        ((" ,",), "a side without a node"),
        (("z1", "z1"), "n1 is named on two sides"),
        (("n2", "n3,n2"), "n2 is named on two sides"),
        (("z1,z2,z3",), "a partition needs two sides"),
        (("n1,n4", "z1"), "nobody is left on the side z1"),
    ],
)
def test_sides_that_cannot_be(named: tuple[str, ...], said: str) -> None:
    with pytest.raises(UsageFault) as caught:
        sides_of(lab(), named)
    assert said in caught.value.message
    assert caught.value.hint


def test_the_side_that_we_are_on_is_named_by_any_of_its_nodes() -> None:
    assert observer_side(lab(), (ONE, TWO), "z1") == 0
    assert observer_side(lab(), (ONE, TWO), "n6,z2") == 1
    with pytest.raises(UsageFault, match="n1,n2 is not on one side"):
        observer_side(lab(), (ONE, TWO), "n1,n2")


def test_sides_of_whole_hosts_are_told_by_address_and_group() -> None:
    assert list(walls_of(lab(), Partition((ONE, TWO)))) == [
        "ip saddr { 127.40.1.1 } ip daddr { 127.40.2.1, 127.40.3.1 }",
        "meta skgid { 44001, 44004 } ip daddr { 127.40.2.1, 127.40.3.1 }",
        "ip saddr { 127.40.2.1, 127.40.3.1 } ip daddr { 127.40.1.1 }",
        "meta skgid { 44002, 44003, 44005, 44006 } ip daddr { 127.40.1.1 }",
    ]


def test_every_pair_of_three_sides_is_parted() -> None:
    walls = list(walls_of(ungrouped(lab()), Partition((("n1", "n4"), ("n2", "n5"), ("n3", "n6")))))
    pairs = [(a, b) for a in (1, 2, 3) for b in (1, 2, 3) if a != b]
    assert walls == [f"ip saddr {{ 127.40.{a}.1 }} ip daddr {{ 127.40.{b}.1 }}" for a, b in pairs]


def test_packets_one_way_are_those_of_the_first_side() -> None:
    walls = list(walls_of(ungrouped(lab()), Partition((ONE, TWO), Way.PACKETS)))
    assert walls == ["ip saddr { 127.40.1.1 } ip daddr { 127.40.2.1, 127.40.3.1 }"]


def test_connections_one_way_are_dropped_in_both_directions_and_the_others_are_not_touched() -> None:
    two = replace(ungrouped(lab()), nodes=ungrouped(lab()).nodes[:2])
    assert list(walls_of(two, Partition((("n1",), ("n2",)), Way.CONNECTIONS))) == [
        "ip saddr { 127.40.1.1 } ip daddr . tcp dport { 127.40.2.1 . 7001, 127.40.2.1 . 17001 }",
        "ip saddr . tcp sport { 127.40.2.1 . 7001, 127.40.2.1 . 17001 } ip daddr { 127.40.1.1 }",
    ]


def test_nodes_that_share_a_host_are_told_by_group_and_port() -> None:
    """n4 is alone on its side, but not on its host."""
    two = Partition((("n4",), ("n1", "n2", "n3", "n5", "n6")))
    walls = list(walls_of(lab(), two))
    assert [node.name for node in split_nodes(lab(), two)] == ["n1", "n4"]
    assert "meta skgid { 44004 } ip daddr . tcp dport { 127.40.1.1 . 7000, 127.40.1.1 . 17000 }" in walls
    assert not any("saddr { 127.40.1.1" in wall or "ip daddr { 127.40.1.1" in wall for wall in walls)
    with pytest.raises(LabFault, match=r"n4 shares 127\.40\.1\.1 with a node of another side"):
        list(walls_of(ungrouped(lab()), two))


def test_an_observer_on_one_side_is_cut_off_from_the_client_ports_of_the_others() -> None:
    three = replace(lab(), nodes=lab().nodes[:3])
    *_, wall = walls_of(three, Partition((("n1",), ("n2", "n3")), observer=0))
    assert wall == (
        "meta skgid != { 44001, 44002, 44003 } ip saddr != 127.40.0.0/16"
        " ip daddr . tcp dport { 127.40.2.1 . 7001, 127.40.3.1 . 7002 }"
    )


def test_a_partition_is_kept_and_read_back(tmp_path: Path) -> None:
    register = Register(tmp_path)
    parted = replace(lab(), partitions=(Partition((ONE, TWO), Way.PACKETS, 1), Partition((TWO, ONE))))
    register.create(parted)
    assert register.read("x") == parted
    assert "type filter hook output" in network.script(parted)


def test_a_lab_from_before_there_were_partitions_is_read(tmp_path: Path) -> None:
    register = Register(tmp_path)
    register.create(lab())
    path = tmp_path / "x" / "lab.json"
    path.write_text(path.read_text().replace('"partitions": []', '"later": 1'))
    assert register.read("x") == lab()


def test_a_parted_lab_needs_the_firewall_to_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(LabFault, match="could not be removed: there is no nft on PATH"):
        network.clear(replace(lab(), cuts=(), partitions=(Partition((ONE, TWO)),)))


def ungrouped(entry: LabEntry) -> LabEntry:
    return replace(entry, nodes=tuple(replace(each, group=None) for each in entry.nodes))
