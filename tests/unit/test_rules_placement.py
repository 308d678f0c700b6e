"""The rules on what stands together, on constructed clusters."""

from __future__ import annotations

import pytest

from rcfail.cluster.merge import merge
from rcfail.cluster.zones import ZoneLabels
from rcfail.health.diagnose import diagnose
from rcfail.health.finding import Finding, Severity, Thresholds
from rcfail.health.rules.placement import RULES
from tests.unit.world import World, node_id

NO_RULES = ZoneLabels()
WARNINGS = ("shard-on-one-host", "shard-in-one-zone", "primaries-concentrated")


def findings(world: World, labels: ZoneLabels = NO_RULES) -> list[Finding]:
    snapshot = merge(world.observe(), labels)
    return [finding for rule in RULES for finding in rule(snapshot, Thresholds())]


def codes(world: World, labels: ZoneLabels = NO_RULES) -> list[str]:
    return [finding.code for finding in findings(world, labels)]


def put(world: World, letter: str, host: int) -> None:
    member = world[letter]
    member.endpoint = member.endpoint._replace(host=f"127.50.{host}.1")


@pytest.mark.parametrize(("primaries", "replicas", "hosts"), [(3, 1, 3), (3, 2, 3), (5, 1, 5), (6, 1, 3), (20, 1, 5)])
def test_a_spread_cluster_has_no_finding(primaries: int, replicas: int, hosts: int) -> None:
    assert codes(World.of(primaries, replicas, hosts)) == []


def test_a_shard_on_one_host_is_told_with_all_its_copies() -> None:
    world = World.of(3, 1)
    put(world, "b1", 2)
    (found,) = findings(world)
    assert (found.code, found.severity, found.subject.id) == ("shard-on-one-host", Severity.WARNING, node_id("b"))
    assert found.evidence.startswith("all 2 copies of 5461 slots (5461-10921) are on host 127.50.2.1: 127.50.2.1:7000")
    assert "127.50.2.1:8001 (b1000000)" in found.evidence


def test_a_dead_replica_elsewhere_is_no_copy() -> None:
    world = World.of(3, 2)
    put(world, "b1", 2)
    assert codes(world) == []
    world.kill("b2")
    assert codes(world) == ["shard-on-one-host"]


def test_a_shard_with_one_copy_is_not_on_one_host_but_without_replica() -> None:
    world = World.of(3, 1)
    world.kill("b1")
    assert codes(world) == []


def test_the_hint_names_a_replica_that_can_be_spared() -> None:
    world = World.of(3, 2, hosts=6)
    put(world, "b1", 2)
    put(world, "b2", 2)
    (found,) = findings(world)
    assert found.hint.endswith(f"CLUSTER REPLICATE {node_id('b')}")
    assert "redis-cli -h 127.50.2.1 " not in found.hint
    world = World.of(3, 1)
    put(world, "b1", 2)
    (found,) = findings(world)
    assert found.hint.endswith("rcfail explain shard-on-one-host"), "nobody can spare one: to exchange takes two steps"
    assert "Exchange a replica with 127.50." in found.hint


def test_the_hint_asks_for_a_new_node_where_no_replica_stands_elsewhere() -> None:
    world = World.of(2, 1, hosts=2)
    put(world, "b", 1)
    put(world, "b1", 1)
    world.members.pop(node_id("a1"))
    put(world, "a", 2)
    (found,) = findings(world)
    assert found.hint.startswith("Start an empty node on another host")


LABELS = ZoneLabels((("127.50.[12].1", "east"), ("*", "west")))


def test_a_shard_in_one_zone() -> None:
    (found,) = findings(World.of(3, 1), LABELS)
    assert (found.code, found.subject.id) == ("shard-in-one-zone", node_id("a"))
    assert "in zone east" in found.evidence


def test_a_shard_on_one_host_is_not_told_once_more_as_in_one_zone() -> None:
    world = World.of(3, 1)
    put(world, "c1", 3)
    assert codes(world, LABELS) == ["shard-in-one-zone", "shard-on-one-host"]


@pytest.mark.parametrize("rules", [(), (("*", "all"),), (("127.50.1.1", "east"),)])
def test_without_two_zones_and_a_label_on_each_copy_nothing_is_said_of_zones(
    rules: tuple[tuple[str, str], ...],
) -> None:
    assert codes(World.of(3, 1), ZoneLabels(rules)) == []


def test_a_host_with_twice_its_share_of_primaries() -> None:
    world = World.of(20, 1, hosts=5)
    for letter in ("0001a", "0006a", "000ba"):
        put(world, letter, 1)
    assert codes(world) == []
    put(world, "0010a", 1)
    (found,) = findings(world)
    assert (found.code, found.severity) == ("primaries-concentrated", Severity.WARNING)
    assert found.evidence == "of 20 primaries with slots, 8 on host 127.50.1.1; an even share is 4"
    assert "rcfail failover " in found.hint


def test_two_primaries_on_one_host_are_no_concentration() -> None:
    world = World.of(7, 1, hosts=7)
    put(world, "b", 1)
    assert codes(world) == []
    put(world, "c", 1)
    assert codes(world) == ["primaries-concentrated"]


def test_what_ends_the_quorum_is_told_by_the_quorum_alone() -> None:
    world = World.of(5, 1, hosts=5)
    put(world, "b", 1)
    put(world, "c", 1)
    told = {finding.code for finding in diagnose(world.snapshot(), Thresholds())}
    assert "quorum-on-one-host" in told
    assert "primaries-concentrated" not in told


@pytest.mark.parametrize(
    ("primaries", "replicas", "hosts", "word"), [(3, 1, 1, "have one address"), (3, 1, 6, ""), (6, 0, 6, "of its own")]
)
def test_what_the_addresses_do_not_tell_is_said_once(primaries: int, replicas: int, hosts: int, word: str) -> None:
    world = World.of(primaries, replicas, hosts)
    told = findings(world)
    assert [finding.code for finding in told] == ["placement-unknown"] * bool(word)
    assert all(finding.severity is Severity.INFO and word in finding.evidence for finding in told)
    assert "placement-unknown" not in codes(world, ZoneLabels((("127.50.1.1:7000", "a"), ("*", "b"))))


def test_one_node_alone_has_no_placement() -> None:
    assert codes(World.of(1, 0)) == []
