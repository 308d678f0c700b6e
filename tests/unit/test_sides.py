"""The sides of a partition, what they serve, will do and lose."""

from __future__ import annotations

import random

import pytest

from rcfail.cluster.hearing import Regard, hearing
from rcfail.cluster.merge import merge
from rcfail.cluster.observation import SilenceReason
from rcfail.cluster.outlook import Access, Move, Prospect, outlook
from rcfail.cluster.sides import Division, division
from rcfail.cluster.snapshot import Known
from tests.unit.parting import part
from tests.unit.world import NOW_UNIX_MS, World, node_id

ONE_TWO = ("a c1", "b c a1 b1")


def ids(letters: str) -> tuple[str, ...]:
    return tuple(sorted(node_id(each) for each in letters.split()))


def members(parts: Division) -> list[tuple[str, ...]]:
    return [side.members for side in parts.sides]


def prospects(world: World) -> tuple[Prospect, ...]:
    snapshot = world.snapshot()
    return outlook(snapshot, division(snapshot))


class TestSides:
    def test_a_whole_cluster_is_one_side_with_all_votes(self) -> None:
        parts = division(World.of(3, 1).snapshot())
        assert not parts.parted
        (side,) = parts.sides
        assert (len(side.members), len(side.voters), side.quorum) == (6, 3, Known.YES)

    def test_one_against_two_zones(self) -> None:
        parts = division(part(World.of(3, 1), *ONE_TWO).snapshot())
        assert parts.parted
        assert members(parts) == [ids(ONE_TWO[1]), ids(ONE_TWO[0])]
        assert [side.quorum for side in parts.sides] == [Known.YES, Known.NO]
        assert [len(side.voters) for side in parts.sides] == [2, 1]

    def test_three_sides_and_no_quorum(self) -> None:
        parts = division(part(World.of(3, 1), "a c1", "b a1", "c b1").snapshot())
        assert parts.parted
        assert {side.quorum for side in parts.sides} == {Known.NO}
        assert len(parts.sides) == 3

    def test_the_order_of_the_answers_does_not_matter(self) -> None:
        from dataclasses import replace

        seen = part(World.of(3, 1), "a c1", "b a1", "c b1").observe()
        expected = members(division(merge(seen)))
        for seed in range(5):
            answers = list(seen.answers)
            random.Random(seed).shuffle(answers)
            assert members(division(merge(replace(seen, answers=tuple(answers))))) == expected

    def test_who_is_silent_to_us_is_placed_by_those_who_hear_it(self) -> None:
        world = part(World.of(3, 1), *ONE_TWO)
        world["c1"].silence = SilenceReason.CONNECT_TIMEOUT
        world["b1"].silence = SilenceReason.CONNECT_TIMEOUT
        main, other = division(world.snapshot()).sides
        assert main.unheard == ids("b1")
        assert other.unheard == ids("c1")

    def test_voters_that_are_silent_to_us_make_the_quorum_uncertain(self) -> None:
        world = part(World.of(3, 1), *ONE_TWO)
        world["b"].silence = SilenceReason.CONNECT_TIMEOUT
        assert division(world.snapshot()).sides[0].quorum is Known.UNKNOWN

    def test_a_side_that_nobody_reaches_cannot_be_told_from_the_dead(self) -> None:
        world = part(World.of(3, 1), *ONE_TWO)
        for letter in ONE_TWO[0].split():
            world[letter].silence = SilenceReason.CONNECT_TIMEOUT
        parts = division(world.snapshot())
        assert not parts.parted
        assert tuple(sorted(parts.unplaced)) == ids(ONE_TWO[0])

    def test_a_dead_node_is_no_side(self) -> None:
        world = World.of(3, 1)
        world.kill("a")
        parts = division(world.snapshot())
        assert (parts.parted, parts.unplaced) == (False, ids("a"))

    def test_a_single_node_that_nobody_hears_is_no_partition(self) -> None:
        assert not division(part(World.of(3, 1), "a", "b c a1 b1 c1").snapshot()).parted

    def test_a_restarted_primary_that_is_still_flagged_is_no_side(self) -> None:
        """Its flag goes after two node timeouts, but it answers pings again: none is outstanding."""
        world = World.of(3, 1)
        for letter in ("a", "c1"):
            world[letter].flags = ("fail",)
        for letter in ("a", "c1"):
            for other in ("a", "c1"):
                world[letter].sees[node_id(other)] = world[other].line(letter == other, flags=())
        parts = division(world.snapshot())
        assert not parts.parted
        assert parts.hearing.of(node_id("b"), node_id("a")) is Regard.STILL_FAILED

    def test_two_that_do_not_hear_each_other_but_have_common_friends_are_no_partition(self) -> None:
        world = World.of(3, 1)
        for one, other in (("a", "b"), ("b", "a")):
            world[one].sees[node_id(other)] = world[other].line(flags=("fail?",), ping_sent=NOW_UNIX_MS - 20_000)
        assert not division(world.snapshot()).parted

    def test_two_clusters_given_as_seeds_are_no_partition_of_one(self) -> None:
        world = World.of(3, 1)
        for letter in ("a", "b", "c", "a1", "b1", "c1"):
            for other in world:
                if (other.node_id[0] == "a") != (letter[0] == "a"):
                    world[letter].sees[other.node_id] = None
        assert not division(world.snapshot()).parted


class TestOneWay:
    def test_an_old_ping_without_a_flag(self) -> None:
        world = World.of(3, 1)
        world["a"].sees[node_id("b")] = world["b"].line(ping_sent=NOW_UNIX_MS - 16_000)
        heard = hearing(world.snapshot())
        assert heard.of(node_id("a"), node_id("b")) is Regard.WAITS
        assert heard.of(node_id("b"), node_id("a")) is Regard.WELL

    def test_a_ping_that_is_younger_than_the_node_timeout_is_nothing(self) -> None:
        world = World.of(3, 1)
        world["a"].sees[node_id("b")] = world["b"].line(ping_sent=NOW_UNIX_MS - 14_000)
        assert not any(hearing(world.snapshot()).regards.values())


class TestOutlook:
    def test_the_majority_promotes_and_the_minority_has_stopped(self) -> None:
        main, other = prospects(part(World.of(3, 1), *ONE_TWO))
        assert {each.node_id: each.access for each in main.services} == {
            node_id("b"): Access.WRITES,
            node_id("c"): Access.WRITES,
        }
        (move,) = main.forecasts
        assert (move.move, move.node_id, move.successor) == (Move.PROMOTES, node_id("a"), node_id("a1"))
        assert move.within_ms is not None
        assert [each.access for each in other.services] == [Access.NOTHING]
        assert not other.losses, "the replica has all that the primary took"

    def test_a_minority_that_has_not_stopped_yet_takes_writes_that_will_be_lost(self) -> None:
        world = part(World.of(3, 1), *ONE_TWO, timeout_over=False)
        world["a"].cluster_info["cluster_state"] = "ok"
        for letter in ("b", "c"):
            world["a"].sees[node_id(letter)] = world[letter].line(ping_sent=NOW_UNIX_MS - 13_000)
        world["a"].info["master_repl_offset"] = "5700"
        _, other = prospects(world)
        (move,) = other.forecasts
        assert (move.move, move.node_id, move.within_ms) == (Move.STOPS, node_id("a"), 2000)
        (loss,) = other.losses
        assert (loss.still_taking, loss.up_to_bytes) == (True, 700)

    def test_a_shard_whose_replica_is_cut_off_with_it_stays_out(self) -> None:
        main, _ = prospects(part(World.of(3, 1), "a a1", "b c b1 c1"))
        assert [each.move for each in main.forecasts] == [Move.PROMOTES_NOBODY]

    def test_no_side_has_the_quorum_so_nobody_is_promoted_and_nothing_is_lost(self) -> None:
        for each in prospects(part(World.of(3, 1), "a c1", "b a1", "c b1")):
            assert not each.forecasts
            assert not each.losses
            assert {service.access for service in each.services} <= {Access.NOTHING}

    def test_reads_go_on_where_they_may(self) -> None:
        world = part(World.of(3, 1), *ONE_TWO)
        world["a"].config["cluster-allow-reads-when-down"] = "yes"
        assert [each.access for each in prospects(world)[1].services] == [Access.READS]

    @pytest.mark.parametrize(("second", "lost"), [("5001", [100]), ("5101", [])])
    def test_after_the_promotion_the_loss_is_what_lies_beyond_the_common_history(
        self, second: str, lost: list[int]
    ) -> None:
        world = part(World.of(3, 1), *ONE_TWO)
        old, new = world["a"], world["a1"]
        slots = old.slots
        for letter in ("b", "c", "b1", "a1"):
            world[letter].sees[old.node_id] = old.line(flags=("fail",), slots=(), ping_sent=NOW_UNIX_MS - 20_000)
            world[letter].sees[new.node_id] = new.line(letter == "a1", primary=None, slots=slots, epoch=7)
        new.info |= {"role": "master", "master_replid": "f" * 40, "master_replid2": old.node_id}
        new.info |= {"second_repl_offset": second, "master_link_status": None}
        old.info["master_repl_offset"] = "5100"
        main, other = prospects(world)
        assert not main.forecasts
        assert sum(each.access is Access.WRITES for each in main.services) == 3
        assert [each.up_to_bytes for each in other.losses] == lost
        assert all((each.successor, each.certain) == (new.node_id, True) for each in other.losses)
