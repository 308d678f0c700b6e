"""Forecasts on constructed clusters: what is out, who is elected, what stands afterwards."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcfail.cluster.forecast import Fate, Forecast, ShardAfter, Stop
from rcfail.cluster.nouns import NodeId
from rcfail.cluster.observation import SilenceReason
from rcfail.cluster.placement import PlaceKind
from rcfail.cluster.snapshot import Known
from rcfail.cluster.whatif import Foresight
from rcfail.health.foresight import judged, trials
from rcfail.health.verdict import Verdict
from tests.unit.world import World, node_id


def after(world: World, *letters: str) -> Forecast:
    return Foresight(world.snapshot()).after({node_id(letter) for letter in letters})


def shard(forecast: Forecast, letter: str) -> ShardAfter:
    return next(each for each in forecast.shards if each.primary_id == node_id(letter))


def ids(*letters: str) -> tuple[NodeId, ...]:
    return tuple(map(node_id, letters))


def test_nobody_lost_is_the_cluster_as_it_is() -> None:
    found = after(World.of(3, 1))
    assert (found.out_count, found.stop, found.paused_ms, found.bare) == (0, Stop.NOTHING, None, ())
    assert (found.votes.left, found.votes.after, found.votes.standing, found.votes.spare) == (3, 3, Known.YES, 1)
    assert judged(found) is Verdict.OK


def test_a_lost_primary_is_followed_by_its_replica() -> None:
    found = after(World.of(3, 1), "a")
    lost = shard(found, "a")
    assert (lost.fate, lost.contenders, lost.lost) == (Fate.TAKEN_OVER, ids("a1"), ids("a"))
    assert (lost.replicas_before, lost.replicas_after, lost.behind_bytes) == (1, 0, 0)
    assert (found.votes.left, found.votes.after) == (2, 3), "its successor votes again"
    assert [each.primary_id for each in found.bare] == [node_id("a")]
    assert judged(found) is Verdict.WARNING


def test_a_lost_replica_stops_nothing() -> None:
    found = after(World.of(3, 2), "a1")
    assert (shard(found, "a").fate, found.paused_ms, found.votes.left) == (Fate.KEPT, None, 3)
    assert shard(found, "a").replicas_after == 1
    assert judged(found) is Verdict.OK


def test_all_copies_lost_take_the_slots_and_with_full_coverage_all_of_them() -> None:
    found = after(World.of(3, 1), "a", "a1")
    assert (shard(found, "a").fate, found.out, found.stop) == (Fate.GONE, ((0, 5460),), Stop.COVERAGE)
    assert (found.votes.after, found.votes.spare) == (2, 0)
    assert judged(found) is Verdict.CRITICAL


@pytest.mark.parametrize(("said", "stop"), [("no", Stop.NOTHING), (None, Stop.UNKNOWN), ("yes", Stop.COVERAGE)])
def test_without_full_coverage_the_others_go_on(said: str | None, stop: Stop) -> None:
    world = World.of(3, 1)
    for member in world:
        member.config["cluster-require-full-coverage"] = said
    assert after(world, "a", "a1").stop is stop


def test_one_primary_that_wants_full_coverage_stops_itself() -> None:
    world = World.of(3, 1)
    for letter in "ab":
        world[letter].config["cluster-require-full-coverage"] = "no"
    assert after(world, "a", "a1").stop is Stop.COVERAGE
    assert after(world, "c", "c1").stop is Stop.NOTHING


@pytest.mark.parametrize(("primaries", "lost"), [(1, "a"), (2, "a"), (3, "ab"), (4, "ab"), (5, "abc")])
def test_a_lost_quorum_elects_nobody(primaries: int, lost: str) -> None:
    found = after(World.of(primaries, 1), *lost)
    assert (found.votes.standing, found.stop) == (Known.NO, Stop.QUORUM)
    assert {shard(found, each).fate for each in lost} == {Fate.STUCK}
    assert judged(found) is Verdict.CRITICAL
    if primaries > 2:
        fewer = after(World.of(primaries, 1), *lost[1:])
        assert (fewer.votes.standing, judged(fewer)) == (Known.YES, Verdict.WARNING)


def test_replicas_have_no_vote() -> None:
    found = after(World.of(3, 2), "a1", "a2", "b1", "b2", "c1", "c2")
    assert (found.votes.left, found.votes.standing, found.out_count) == (3, Known.YES, 0)
    assert len(found.bare) == 3


def test_who_was_dead_before_is_dead_in_every_forecast() -> None:
    world = World.of(5, 1)
    world.kill("a")
    world.kill("a1")
    assert judged(after(world)) is Verdict.CRITICAL
    found = after(world, "b")
    assert found.out == ((0, 3275),)
    assert (found.votes.left, found.votes.after) == (3, 4)
    assert shard(found, "a").lost == ()
    assert after(world, "b", "c").votes.standing is Known.NO


def test_a_failover_that_is_under_way_is_part_of_it() -> None:
    world = World.of(3, 1)
    world.kill("a")
    now = after(world)
    assert shard(now, "a").fate is Fate.TAKEN_OVER
    assert shard(now, "a").outage_ms is not None
    assert (shard(now, "a").outage_ms or (1, 1))[0] == 0, "part of the wait has passed"
    assert shard(now, "a").replicas_before == 1, "its link is down because its primary is"
    assert after(world, "a1").out == ((0, 5460),)
    assert after(world, "b").votes.standing is Known.NO


def test_a_primary_that_the_majority_gave_up_is_replaced_though_it_answers_us() -> None:
    world = World.of(3, 1)
    world["a"].flags += ("fail",)
    world["a"].sees[node_id("a")] = world["a"].line(myself=True, flags=())
    assert shard(after(world), "a").contenders == ids("a1")


@pytest.mark.parametrize("offset", ["4000", "5000"])
def test_on_redis_chance_decides_among_replicas_in_sync(offset: str) -> None:
    world = World.of(3, 2)
    world["a1"].info["slave_repl_offset"] = offset
    assert set(shard(after(world, "a"), "a").contenders) == set(ids("a1", "a2"))


@pytest.mark.parametrize("version", ["8.1.8", "9.1.2"])
def test_on_valkey_the_smaller_id_is_the_likelier_where_offsets_are_equal(version: str) -> None:
    """Not sure to be: each ranks itself by its own offset and the others' last heartbeats, so one ping turns it."""
    world = World.of(3, 2)
    world.version = version
    assert shard(after(world, "a"), "a").contenders == ids("a1", "a2")
    world["a2"].info["slave_repl_offset"] = "5100"
    assert shard(after(world, "a"), "a").contenders == ids("a2", "a1"), "a moving stream is read at two moments"


def test_a_replica_without_link_and_with_less_data_is_not_elected() -> None:
    world = World.of(3, 2)
    world["a1"].info |= {"master_link_status": "down", "master_link_down_since_seconds": "5"}
    world["a1"].info |= {"slave_repl_offset": "4990", "master_last_io_seconds_ago": "-1"}
    lost = shard(after(world, "a"), "a")
    assert (lost.contenders, lost.replicas_before, lost.replicas_after) == (ids("a2"), 1, 0)
    alone = shard(after(world, "a", "a2"), "a")
    assert (alone.contenders, alone.linked) == (ids("a1"), False)


@pytest.mark.parametrize(
    ("change", "word"),
    [({"cluster-replica-no-failover": "yes"}, "no-failover"), ({"cluster-replica-validity-factor": "1"}, "limit")],
)
def test_a_copy_that_may_not_be_promoted_leaves_the_slots_stuck(change: dict[str, str], word: str) -> None:
    world = World.of(3, 1)
    world["a1"].config |= change
    world["a1"].info |= {"master_link_status": "down", "master_link_down_since_seconds": "500"}
    world["a1"].info |= {"master_last_io_seconds_ago": "-1"}
    lost = shard(after(world, "a"), "a")
    assert (lost.fate, lost.contenders) == (Fate.STUCK, ())
    assert word in str(lost.reasons)


def test_an_empty_replica_that_is_promoted_all_the_same_is_a_loss() -> None:
    world = World.of(3, 1)
    world["a1"].config["cluster-replica-validity-factor"] = "0"
    world["a1"].info |= {"master_link_status": "down", "master_link_down_since_seconds": "-1", "db0": None}
    found = after(world, "a")
    assert shard(found, "a").empty
    assert judged(found) is Verdict.CRITICAL


def test_a_replica_that_is_silent_to_us_leaves_it_open() -> None:
    world = World.of(3, 1)
    world["a1"].silence = SilenceReason.CONNECT_TIMEOUT
    found = after(world, "a")
    assert shard(found, "a").fate is Fate.UNKNOWN
    assert judged(found) is Verdict.UNKNOWN
    assert judged(after(world, "b1")) is Verdict.UNKNOWN, "whether it is a replica in sync was not seen"
    assert shard(after(world), "a").replicas_unseen == 1


def test_a_replica_that_stays_is_counted_also_where_another_without_link_is_elected() -> None:
    world = World.of(3, 2)
    world["a1"].info |= {"master_link_status": "down", "master_link_down_since_seconds": "5"}
    world["a1"].info["master_last_io_seconds_ago"] = "-1"
    world["a2"].config["cluster-replica-no-failover"] = "yes"
    found = shard(after(world, "a"), "a")
    assert (found.contenders, found.replicas_before, found.replicas_after) == (ids("a1"), 1, 1)


_LETTERS = ["a", "b", "c", "a1", "b1", "c1", "a2", "b2", "c2"]


@given(
    lost=st.sets(st.sampled_from(_LETTERS), max_size=4),
    silent=st.sets(st.sampled_from(_LETTERS), max_size=6),
    dead=st.sets(st.sampled_from(_LETTERS), max_size=2),
    unlinked=st.sets(st.sampled_from(_LETTERS[3:]), max_size=3),
)
def test_what_is_not_seen_never_makes_it_better(
    lost: set[str], silent: set[str], dead: set[str], unlinked: set[str]
) -> None:
    verdicts = []
    for quiet in (set[str](), silent):
        world = World.of(3, 2)
        for letter in dead:
            world.kill(letter)
        for letter in unlinked - dead:
            world[letter].info |= {"master_link_status": "down", "master_last_io_seconds_ago": "-1"}
            world[letter].info["master_link_down_since_seconds"] = "900"
        for letter in quiet - dead:
            world[letter].silence = SilenceReason.CONNECT_TIMEOUT
        verdicts.append(judged(after(world, *lost)))
    seen, unseen = verdicts
    assert unseen is not Verdict.OK or seen is Verdict.OK
    assert unseen is not Verdict.WARNING or seen in (Verdict.OK, Verdict.WARNING)


def test_voters_that_are_silent_to_us_leave_the_quorum_open() -> None:
    world = World.of(5, 1)
    world["d"].silence = world["e"].silence = SilenceReason.CONNECT_TIMEOUT
    assert after(world).votes.standing is Known.YES
    found = after(world, "a")
    assert (found.votes.standing, found.stop) == (Known.UNKNOWN, Stop.UNKNOWN)
    assert judged(found) is Verdict.UNKNOWN
    assert after(world, "a", "b", "c").votes.standing is Known.NO, "two of five are none, whatever they say"


def test_no_view_at_all_tells_nothing() -> None:
    world = World.of(3, 1)
    for member in world:
        member.silence = SilenceReason.REFUSED
    assert judged(after(world)) is Verdict.UNKNOWN


def test_a_shard_without_replicas_gets_a_spare_one() -> None:
    found = after(World.of(3, 2), "a1", "a2")
    assert (shard(found, "a").adopts, shard(found, "a").replicas_after) == (node_id("b1"), 1)
    assert (shard(found, "b").replicas_after, shard(found, "c").replicas_after) == (1, 2)
    assert (found.bare, judged(found)) == ((), Verdict.OK)
    two = after(World.of(3, 2), "a", "a1", "b1", "b2")
    assert [shard(two, each).adopts for each in "abc"] == [None, None, None], "either of a and b may get c1"
    assert judged(two) is Verdict.WARNING


@pytest.mark.parametrize(
    ("letter", "change"),
    [
        ("b1", {"config": {"cluster-allow-replica-migration": "no"}}),
        ("b1", {"config": {"cluster-migration-barrier": "2"}}),
        ("b1", {"dead": True}),
        ("b1", {"silent": True}),
        ("a", {"coverage": True}),
    ],
)
def test_what_keeps_a_spare_replica_where_it_is(letter: str, change: dict[str, Any]) -> None:
    world = World.of(3, 3 if "dead" in change else 2)
    world[letter].config |= change.get("config", {})
    lost = ["a1", "a2"]
    if "dead" in change:
        for each in ("b1", "c3"):
            world.kill(each)
        lost.append("a3")
    elif "silent" in change:
        world[letter].silence = SilenceReason.CONNECT_TIMEOUT
    elif "coverage" in change:
        lost += ["c", "c1", "c2"]
    assert shard(after(world, *lost), "a").adopts is None


def test_a_shard_that_was_made_without_replicas_gets_none() -> None:
    world = World.of(3, 2)
    for letter in ("a1", "a2"):
        del world.members[node_id(letter)]
    assert shard(after(world), "a").adopts is None


def test_a_spare_replica_that_is_lost_itself_does_not_move() -> None:
    world = World.of(3, 2)
    world.kill("a1")
    world.kill("a2")
    foresight = Foresight(world.snapshot())
    assert shard(foresight.now, "a").adopts == node_id("b1")
    assert shard(foresight.after({node_id("b1")}), "a").adopts == node_id("c1")


@pytest.mark.parametrize(("wanted", "starved"), [("0", False), ("1", True)])
def test_a_primary_without_replicas_may_refuse_writes(wanted: str, starved: bool) -> None:
    world = World.of(3, 1)
    for member in world:
        member.config["min-replicas-to-write"] = wanted
    for lost in ("a", "a1"):
        found = after(world, lost)
        assert shard(found, "a").starved is starved
        assert (judged(found) is Verdict.CRITICAL) is starved
    assert not any(each.starved for each in after(world).shards)


@pytest.mark.parametrize(
    ("version", "timeout", "least", "most"),
    [
        # Suspected after one node timeout, agreed within two; then 500 ms and up to 500 more; 500 for the cron.
        ("8.2.3", 15000, 15500, 31500),
        ("8.2.3", 2000, 2500, 5500),
        # Valkey 9.1: the best replica asks at once; the most that another may wait is a thirtieth, twice.
        ("9.1.2", 2000, 2000, 4632),
    ],
)
def test_the_time_without_writes(version: str, timeout: int, least: int, most: int) -> None:
    world = World.of(3, 1)
    world.version = version
    for member in world:
        member.config["cluster-node-timeout"] = str(timeout)
    found = after(world, "a")
    assert found.paused_ms == (least, most)
    assert found.others_paused_ms == (least - timeout, most - 2 * timeout - 500)
    assert found.timeout_known


def test_without_a_node_timeout_the_default_is_taken_and_said() -> None:
    world = World.of(3, 1)
    for member in world:
        member.config["cluster-node-timeout"] = None
    found = after(world, "a")
    assert (found.timeout_known, found.paused_ms) == (False, (15500, 31500))


@pytest.mark.parametrize(("version", "retry"), [("8.2.3", 60_000), ("8.1.8", None), ("9.1.2", None)])
def test_two_elections_at_once_may_collide(version: str, retry: int | None) -> None:
    world = World.of(5, 1)
    world.version = version
    assert after(world, "a", "b").retry_ms == retry
    assert after(world, "a").retry_ms is None


def test_the_weakest_place_comes_first() -> None:
    world = World.of(5, 1, hosts=5)
    world["a1"].endpoint = world["a1"].endpoint._replace(host="127.50.1.1")
    snapshot = world.snapshot()
    found = trials(snapshot, Foresight(snapshot), PlaceKind.HOST)
    assert (found[0].place.name, found[0].verdict) == ("127.50.1.1", Verdict.CRITICAL)
    assert len(found) == 5
    assert {each.verdict for each in found[1:]} == {Verdict.WARNING}
    assert trials(snapshot, Foresight(snapshot), PlaceKind.ZONE) == ()


def test_what_one_loss_does_not_touch_is_the_same_as_before() -> None:
    world = World.of(6, 1)
    foresight = Foresight(world.snapshot())
    for letter in "abcdef":
        alone = foresight.after({node_id(letter)})
        assert alone == Foresight(world.snapshot()).after({node_id(letter)})
        assert sum(1 for each in alone.shards if each.lost) == 1
    assert foresight.after(()) == foresight.now


def test_a_primary_without_an_address_is_replaced_by_nobody() -> None:
    """Nobody pings it, so nobody suspects it: no election comes."""
    world = World.of(3, 1)
    lost = world["b"]
    lost.silence, lost.flags = SilenceReason.NO_ADDRESS, ("noaddr",)
    for other in world:
        at = f"{lost.endpoint.host}:{lost.endpoint.port}@{lost.endpoint.port + 10000}"
        other.sees[lost.node_id] = lost.line().replace(at, ":0@0")
    found = after(world)
    assert (shard(found, "b").fate, judged(found)) == (Fate.STUCK, Verdict.CRITICAL)
    assert "address" in str(shard(found, "b").reasons)


@pytest.mark.parametrize(("noticed", "stop"), [("ok", Stop.NOTHING), ("fail", Stop.COVERAGE)])
def test_slots_that_their_owner_gave_up_alone_stop_nobody_who_says_ok(noticed: str, stop: Stop) -> None:
    """The others go on giving the slots to it, so they see nothing missing, as long as they do not hold it for dead."""
    world = World.of(3, 1)
    giver = world["b"]
    for other in world:
        other.cluster_info["cluster_state"] = noticed
        if other is not giver:
            other.sees[giver.node_id] = giver.line()
    giver.slots, giver.cluster_info["cluster_state"] = ((5561, 10922),), "fail"
    found = after(world)
    assert (found.unowned, found.stop) == (((5461, 5560),), stop)
    assert after(world, "b").stop is Stop.COVERAGE
