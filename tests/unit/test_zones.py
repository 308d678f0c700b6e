"""Zones by the operator's labels: which pattern fits which node, and what wins."""

from __future__ import annotations

from pathlib import Path

import pytest

from rcfail.cluster.merge import merge
from rcfail.cluster.nouns import Endpoint
from rcfail.cluster.zones import ZoneLabels, fault_in
from rcfail.errors import UsageFault
from rcfail.settings.load import Flags, load
from tests.unit.running import rcfail, recorded
from tests.unit.world import World, node_id

ID = node_id("abcdef12")


def zone(pattern: str, host: str = "10.1.2.3", hostname: str = "db-1.east.example", port: int = 7000) -> str:
    return ZoneLabels(((pattern, "z"),)).zone_of(host, hostname, port, ID)


@pytest.mark.parametrize(
    "pattern",
    ["10.1.2.3", "10.1.2.3:7000", "10.1.*", "10.1.2.0/24", "10.1.2.9/24", "10.0.0.0/8", "db-1.east.example", "*.east.*",
     "DB-1.EAST.example", "db-[12].*", "abcdef12", ID, "ABCDEF12", "abcdef*", "*"],
)  # fmt: skip
def test_a_pattern_that_fits(pattern: str) -> None:
    assert zone(pattern) == "z"


@pytest.mark.parametrize(
    "pattern",
    ["10.1.2", "10.1.2.30", "10.1.2.3:7001", "10.2.0.0/16", "::/0", "db-1", "east", "abcdef1", "bcdef120", "db-2*"],
)  # fmt: skip
def test_a_pattern_that_does_not_fit(pattern: str) -> None:
    assert zone(pattern) == ""


@pytest.mark.parametrize("pattern", ["fd00::7", "FD00:0:0::7", "[fd00::7]", "[fd00::7]:7000", "fd00::/16", "fd00:*"])
def test_an_ipv6_address_is_met_in_every_spelling(pattern: str) -> None:
    assert zone(pattern, "fd00::7", "") == "z"
    assert zone(pattern, "fd00:1::8", "", 7001) == ("z" if pattern in ("fd00::/16", "fd00:*") else "")


def test_a_node_without_an_address_fits_by_its_id_alone() -> None:
    assert zone("*", "", "", 0) == "z", "the id is a name too"
    assert ZoneLabels((("*", "z"),)).zone_of("") == ""
    assert zone("0.0.0.0/0", "", "", 0) == ""


def test_the_first_rule_that_fits_counts() -> None:
    labels = ZoneLabels((("10.1.2.3", "one"), ("10.1.*", "two"), ("*", "rest")))
    assert [labels.zone_of(host) for host in ("10.1.2.3", "10.1.2.4", "10.9.9.9")] == ["one", "two", "rest"]


def test_a_label_wins_over_what_a_server_announces() -> None:
    world = World.of(3, 1)
    for letter in ("a", "b"):
        world[letter].info["availability_zone"] = "announced"
    nodes = merge(world.observe(), ZoneLabels((("127.50.1.1", "labelled"),))).nodes
    assert nodes[node_id("a")].zone == "labelled"
    assert nodes[node_id("b")].zone == "announced"
    assert nodes[node_id("c")].zone == ""


def test_a_node_is_met_also_by_where_we_reach_it() -> None:
    world = World.of(3, 1)
    announced = world["a"].line().replace("127.50.1.1:7000", "10.9.9.9:6379")
    for member in world:
        member.sees[node_id("a")] = announced
    for pattern in ("10.9.9.9", "127.50.1.1"):
        nodes = merge(world.observe(), ZoneLabels(((pattern, "east"),))).nodes
        assert nodes[node_id("a")].zone == "east"


@pytest.mark.parametrize("text", ["", "=", "a=", "=b", "a", "10.1.0.0/33=x", "a b=x", "a=x ", "a=\x1b[1m"])
def test_a_label_that_cannot_be_meant(text: str) -> None:
    with pytest.raises(UsageFault, match="--zone") as fault:
        load(Flags(zone_rules=(text,)), {})
    assert "--zone" in fault.value.hint


def test_labels_from_the_command_line_keep_their_order() -> None:
    labels = load(Flags(zone_rules=("10.1.*=east", "*=rest=1")), {}).zones
    assert labels.rules == (("10.1.*", "east"), ("*", "rest=1"))
    assert all(fault_in(*rule) == "" for rule in labels.rules)


def test_health_takes_labels_also_for_a_record(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    world = World.of(3, 1)
    world["b"].endpoint = Endpoint("127.50.4.1", 7001)
    record = recorded(world, tmp_path)
    words = ("health", "--from-record", record, "-o", "json", "--zone", "127.50.[34].1=west", "--zone", "*=east")
    document = rcfail(capsys, *words).document
    zones = {each["host"]: each["zone"] for each in document["data"]["nodes"]}
    assert zones == {"127.50.1.1": "east", "127.50.2.1": "east", "127.50.3.1": "west", "127.50.4.1": "west"}
    assert "quorum-in-one-zone" in [each["code"] for each in document["data"]["findings"]]
    assert "zone" not in rcfail(capsys, "health", "--from-record", record).out
