"""What can be waited for, and what is still missing to it, on constructed clusters."""

from __future__ import annotations

import pytest

from rcfail.cluster.nouns import Endpoint
from rcfail.cluster.observation import SilenceReason
from rcfail.health.conditions import Ambiguous, BadCondition, Condition, What, condition, missing
from rcfail.health.diagnose import diagnose
from rcfail.health.finding import Thresholds
from rcfail.health.verdict import conclude
from tests.unit.world import Member, World, node_id


def lacking(world: World, text: str) -> str:
    snapshot = world.snapshot()
    return missing(condition(text), snapshot, conclude(diagnose(snapshot, Thresholds())))


def at(world: World, name: str) -> str:
    return str(world[name].endpoint)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("healthy", Condition(What.HEALTHY)),
        (" Settled ", Condition(What.SETTLED)),
        ("primary=10.0.0.1:7000", Condition(What.PRIMARY, "10.0.0.1:7000")),
        ("synced = abcd", Condition(What.SYNCED, "abcd")),
    ],
)
def test_a_condition_is_read(text: str, meant: Condition) -> None:
    assert condition(text) == meant


@pytest.mark.parametrize("text", ["", "well", "primary", "replica=", "healthy=a", "settled=", "=", "primary:abcd"])
def test_what_is_no_condition_is_turned_down(text: str) -> None:
    with pytest.raises(BadCondition):
        condition(text)


def test_a_whole_cluster_meets_them_all() -> None:
    world = World.of(3, 1)
    for text in ("healthy", "settled", f"primary={at(world, 'a')}", f"replica={at(world, 'a1')}"):
        assert lacking(world, text) == "", text
    assert lacking(world, f"synced={node_id('a1')}") == ""


def test_a_primary_is_no_replica_and_the_other_way_round() -> None:
    world = World.of(3, 1)
    assert "is a replica" in lacking(world, f"primary={at(world, 'a1')}")
    for what in ("replica", "synced"):
        assert "is a primary" in lacking(world, f"{what}={at(world, 'a')}")


def test_health_names_what_is_wrong() -> None:
    world = World.of(3, 1)
    world.kill("a")
    assert lacking(world, "healthy").startswith("CRITICAL: ")


def test_a_node_that_nobody_knows_is_waited_for() -> None:
    assert lacking(World.of(3, 1), "replica=127.77.7.7:7777").startswith("no node 127.77.7.7:7777 is known")


def test_a_prefix_of_two_nodes_is_ambiguous() -> None:
    alike = [Member(node_id(f"abcd{at}"), Endpoint("127.50.1.1", 7000 + at), slots=((at, at),)) for at in (1, 2)]
    with pytest.raises(Ambiguous, match=r"127\.50\.1\.1:7001 .* 127\.50\.1\.1:7002"):
        lacking(World(alike), "primary=abcd")
    assert lacking(World(alike), "primary=abcd1") == ""


def test_one_view_that_lags_is_not_settled() -> None:
    world = World.of(3, 1)
    world["b"].sees[node_id("a1")] = world["a1"].line(primary=None)
    assert "2 opinions of" in lacking(world, "settled")
    assert "not known yet to 1 node of 6" in lacking(world, f"replica={at(world, 'a1')}")


def test_a_node_that_lives_and_gives_no_table_may_not_know_yet() -> None:
    """Silent to us, and well for all others: what it believes cannot be told."""
    world = World.of(3, 1)
    world["b1"].silence = SilenceReason.REFUSED
    assert "could not be read" in lacking(world, "settled")


def test_a_dead_node_that_all_flag_does_not_keep_the_others_from_settling() -> None:
    world = World.of(3, 1)
    world.kill("b1")
    assert lacking(world, "settled") == ""


def test_a_node_that_does_not_answer_meets_nothing() -> None:
    world = World.of(3, 1)
    world["a1"].silence = SilenceReason.FROZEN
    for what in ("replica", "synced", "primary"):
        assert "does not say what it is" in lacking(world, f"{what}={at(world, 'a1')}")


def test_a_copy_under_way_and_a_link_that_is_down_are_not_synced() -> None:
    world = World.of(3, 1)
    world["a1"].info["master_sync_in_progress"] = "1"
    assert "is taking a copy" in lacking(world, f"synced={at(world, 'a1')}")
    world["a1"].info |= {"master_sync_in_progress": "0", "master_link_status": "down"}
    assert "link of" in lacking(world, f"synced={at(world, 'a1')}")
    world["a1"].info["master_link_status"] = None
    assert "does not say" in lacking(world, f"synced={at(world, 'a1')}")


def test_a_primary_without_slots_is_not_what_is_waited_for() -> None:
    world = World.of(3, 1)
    world["a"].slots = ()
    assert "owns no slots" in lacking(world, f"primary={at(world, 'a')}")
