"""The rules on the quorum, on constructed clusters."""

from __future__ import annotations

import pytest

from rcfail.cluster.nouns import Endpoint
from rcfail.cluster.observation import SilenceReason
from rcfail.health.finding import Finding, Severity, Thresholds
from rcfail.health.rules.quorum import RULES
from tests.unit.parting import part
from tests.unit.world import World, node_id


def findings(world: World) -> list[Finding]:
    snapshot = world.snapshot()
    return [finding for rule in RULES for finding in rule(snapshot, Thresholds())]


def codes(world: World) -> list[str]:
    return [finding.code for finding in findings(world)]


@pytest.mark.parametrize(("primaries", "hosts"), [(3, 3), (4, 4), (5, 5), (5, 3), (3, 1), (7, 4)])
def test_a_spread_cluster_has_no_finding(primaries: int, hosts: int) -> None:
    assert codes(World.of(primaries, 1, hosts)) == []


@pytest.mark.parametrize("primaries", [1, 2])
def test_one_or_two_voters_are_always_fragile(primaries: int) -> None:
    (found,) = findings(World.of(primaries, 1))
    assert (found.code, found.severity) == ("quorum-fragile", Severity.WARNING)
    assert found.evidence.endswith("it is needed" if primaries == 1 else "both are needed")
    assert "--ignore quorum-fragile" in found.hint


@pytest.mark.parametrize(
    ("primaries", "dead", "expected"), [(3, "a", "quorum-fragile"), (5, "a", ""), (5, "ab", "quorum-fragile")]
)
def test_a_majority_that_hangs_on_each_voter_is_fragile(primaries: int, dead: str, expected: str) -> None:
    world = World.of(primaries, 1)
    for letter in dead:
        world.kill(letter)
    assert codes(world) == [expected] * bool(expected)


def test_what_is_missing_is_named() -> None:
    world = World.of(3, 1)
    world.kill("b")
    (found,) = findings(world)
    assert "2 of 3 voters stand together and 2 are needed; missing: 127.50.2.1:7000" in found.evidence


@pytest.mark.parametrize(("dead", "beyond"), [("ab", True), ("a", False)])
def test_silent_voters_that_would_be_a_majority_may_be_one_beyond_a_cut(dead: str, beyond: bool) -> None:
    world = World.of(3, 1)
    for letter in "ab":
        world.kill(letter, False)
    if dead == "a":
        world["b"].silence = None
    (found,) = findings(world)
    assert found.code == "quorum-lost"
    assert ("majority there" in found.consequence) is beyond


@pytest.mark.parametrize("agreed", [True, False])
def test_two_of_three_voters_dead_is_a_lost_quorum(agreed: bool) -> None:
    world = World.of(3, 1)
    world.kill("a", agreed)
    world.kill("b", agreed)
    (found,) = findings(world)
    assert (found.code, found.severity) == ("quorum-lost", Severity.CRITICAL)
    assert (
        "2 of 3 voters must stand together, and the largest group that we see is 1 (127.50.3.1:7000 (cccc"
        in found.evidence
    )
    assert found.evidence.endswith("silent or dead: 127.50.1.1:7000 (aaaaaaaa) and 127.50.2.1:7000 (bbbbbbbb)")
    assert "TAKEOVER" not in found.hint


def test_all_voters_dead_is_a_lost_quorum() -> None:
    world = World.of(3, 1)
    for letter in "abc":
        world.kill(letter, agreed=False)
    (found,) = findings(world)
    assert (found.code, found.severity) == ("quorum-lost", Severity.CRITICAL)


def test_voters_that_are_silent_to_us_alone_leave_it_unknown() -> None:
    world = World.of(3, 1)
    for letter in "abc":
        world[letter].silence = SilenceReason.CONNECT_TIMEOUT
    (found,) = findings(world)
    assert (found.code, found.severity) == ("quorum-lost", Severity.UNKNOWN)


def test_one_voter_that_answers_and_vouches_for_the_others_is_enough() -> None:
    world = World.of(3, 1)
    for letter in "ab":
        world[letter].silence = SilenceReason.CONNECT_TIMEOUT
    assert codes(world) == []


def test_voters_that_all_answer_and_do_not_reach_each_other() -> None:
    world = World.of(4, 0)
    for one, other in (("a", "c"), ("a", "d"), ("b", "c"), ("b", "d")):
        for mine, theirs in ((one, other), (other, one)):
            world[mine].sees[node_id(theirs)] = world[theirs].line(flags=("fail?",))
    (found,) = findings(world)
    assert (found.code, found.severity) == ("quorum-lost", Severity.CRITICAL)
    assert "the largest group that we see is 2" in found.evidence
    assert "mend the network between them" in found.hint


def test_no_view_at_all_is_not_a_statement_on_the_quorum() -> None:
    world = World.of(3, 1)
    for member in world:
        member.silence = SilenceReason.REFUSED
    assert codes(world) == []


def test_two_of_three_voters_on_one_host() -> None:
    world = World.of(3, 1, hosts=2)
    (found,) = findings(world)
    assert (found.code, found.severity) == ("quorum-on-one-host", Severity.WARNING)
    assert (
        "of 3 voters, 2 on host 127.50.1.1 (127.50.1.1:7000 (aaaaaaaa) and 127.50.1.1:7000 (cccccccc))"
        in found.evidence
    )
    assert "losing 2 ends the quorum" in found.evidence


def test_half_of_an_even_number_of_voters_ends_the_quorum_on_each_host() -> None:
    (found,) = findings(World.of(4, 1, hosts=2))
    assert "2 on host 127.50.1.1 (" in found.evidence
    assert "2 on host 127.50.2.1 (" in found.evidence


def test_the_hint_names_a_replica_on_a_host_that_does_not_become_too_full() -> None:
    world = World.of(3, 1)
    world["b"].endpoint = Endpoint("127.50.1.1", 7001)
    (found,) = findings(world)
    assert found.hint.endswith("rcfail failover a1000000 --dry-run -s 127.50.2.1:8000")


def test_the_hint_names_no_failover_where_none_helps() -> None:
    (found,) = findings(World.of(3, 1, hosts=2))
    assert "rcfail failover" not in found.hint


def test_the_hint_asks_for_silent_nodes_first() -> None:
    world = World.of(3, 1, hosts=2)
    world["b1"].silence = SilenceReason.REFUSED
    (found,) = findings(world)
    assert found.hint.startswith(f"Bring back {world['b1'].endpoint} (b1000000) first")


def test_no_replica_beyond_a_cut_is_told_to_take_over() -> None:
    """It answers us, but hears no votes: first the network, then the balance."""
    world = part(World.of(3, 1, hosts=2), "a b c", "a1 b1 c1")
    (found,) = [each for each in findings(world) if each.code == "quorum-on-one-host"]
    assert "FAILOVER" not in found.hint
    assert found.hint.startswith("Bring back ")


def with_zones(world: World, **zones: str) -> World:
    for letter, zone in zones.items():
        world[letter].info["availability_zone"] = zone
    return world


def test_two_of_three_voters_in_one_zone() -> None:
    world = with_zones(World.of(3, 1), a="east", b="east", c="west")
    (found,) = findings(world)
    assert (found.code, found.severity) == ("quorum-in-one-zone", Severity.WARNING)
    assert "of 3 voters, 2 in zone east" in found.evidence


def test_three_zones_hold_the_quorum() -> None:
    assert codes(with_zones(World.of(3, 1), a="east", b="west", c="north")) == []


def test_all_voters_in_one_zone_of_several_hosts() -> None:
    assert codes(with_zones(World.of(3, 0), a="east", b="east", c="east")) == ["quorum-in-one-zone"]


def test_a_zone_of_one_host_is_that_host() -> None:
    assert codes(with_zones(World.of(3, 0, hosts=2), a="east", b="west", c="east")) == ["quorum-on-one-host"]
    assert codes(with_zones(World.of(3, 0, hosts=1), a="east", b="east", c="east")) == []


def test_nodes_without_a_label_count_in_no_zone() -> None:
    assert codes(with_zones(World.of(3, 1), a="east")) == []
    assert codes(with_zones(World.of(3, 1), a="east", b="east")) == ["quorum-in-one-zone"]
