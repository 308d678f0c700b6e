"""Primaries without slots beside their former shard, on constructed clusters: who follows whom, and who decides it."""

from __future__ import annotations

import pytest

from rcfail.change.recover.action import ActionKind
from rcfail.change.recover.case import Case, Question
from rcfail.change.recover.condition import Condition, ConditionCode
from rcfail.change.recover.doctor import PLANNERS
from rcfail.change.recover.expect import HoldsNothing, OwnsNothing, Serves
from rcfail.change.recover.nodes import returned
from rcfail.cluster.observation import SilenceReason
from rcfail.health.diagnose import diagnose
from rcfail.health.finding import Thresholds
from rcfail.wire.refusals import Refusal, refusal_of
from rcfail.wire.replies import Reply
from tests.unit.world import World, node_id

A, A1, B = node_id("a"), node_id("a1"), node_id("b")
OLD_STREAM, NO_STREAM = "d" * 40, "0" * 40
MYSHARDID = ("CLUSTER", "MYSHARDID")


def returned_world(keys: int = 0) -> World:
    """a1 owns what a owned, and a stands beside it: its data is of the stream that a1 left at byte 4001."""
    world = World.of(3, 1)
    old, new = world["a"], world["a1"]
    new.primary, new.slots, new.epoch, old.slots = None, old.slots, 9, ()
    new.info = {"master_replid": "e" * 40, "master_replid2": OLD_STREAM, "second_repl_offset": "4001"}
    old.info = {"master_replid": OLD_STREAM, "master_repl_offset": "5000", "connected_slaves": "0", "slave0": None}
    old.info["db0"] = f"keys={keys},expires=0,avg_ttl=0" if keys else None
    return world


def spare_world() -> World:
    """The same, but nothing in its data tells where a was."""
    world = returned_world()
    world["a"].info["master_replid"] = "f" * 40
    return world


def case(world: World, shard_ids: dict[str, Reply] | None = None) -> Case:
    snapshot = world.snapshot()
    replies = {Question(world[name].endpoint, MYSHARDID): said for name, said in (shard_ids or {}).items()}
    return Case(snapshot, diagnose(snapshot, Thresholds()), replies=replies)


def found(case: Case) -> list[Condition]:
    return list(returned.conditions(case, frozenset()))


def the(case: Case) -> Condition:
    (one,) = found(case)
    assert (one.code, one.nodes[0]) == (ConditionCode.PRIMARY_RETURNED, A)
    return one


def test_an_empty_one_follows_the_primary_of_its_shard() -> None:
    world = returned_world()
    one = the(case(world))
    (action,) = one.actions
    (send,) = action.sends
    assert (action.kind, action.about, action.aims) == (ActionKind.REPLICATE, A, (A1,))
    assert (send.node, send.place, send.command) == (A, world["a"].endpoint, ("CLUSTER", "REPLICATE", A1))
    assert action.loses == ()
    assert one.findings == ("primary-empty",)
    assert all(not each.check(world.snapshot()).refuses for each in action.guards)
    assert {each.code for each in case(world).found("primary-empty")} == {"primary-empty"}, "and health names it"


def test_its_guards_say_no_once_the_world_moved() -> None:
    (action,) = the(case(returned_world())).actions
    for kind, change in (
        (HoldsNothing, {"keys": True}),
        (OwnsNothing, {"slots": True}),
        (Serves, {"demoted": True}),
    ):
        world = returned_world(keys=5 if "keys" in change else 0)
        if "slots" in change:
            world["a"].slots = ((0, 3),)
        if "demoted" in change:
            world["a1"].slots, world["a1"].primary = (), B
        refused = {type(each) for each in action.guards if each.check(world.snapshot()).refuses}
        assert kind in refused, change


def test_the_shard_id_tells_where_the_data_do_not() -> None:
    world = spare_world()
    assert not found(case(world)), "a plain spare is no condition"
    asked = set(returned.questions(case(world)))
    assert asked == {Question(world[name].endpoint, MYSHARDID) for name in ("a", "a1", "b", "c")}
    ids: dict[str, Reply] = {"a": "5" * 40, "a1": "5" * 40, "b": "6" * 40, "c": "7" * 40}
    (action,) = the(case(world, ids)).actions
    assert action.aims == (A1,)
    assert not found(case(world, ids | {"a": "8" * 40})), "it is of no shard: a spare"
    unknown: Refusal = refusal_of("ERR unknown subcommand 'MYSHARDID'. Try CLUSTER HELP.")
    assert not found(case(world, dict.fromkeys(ids, unknown))), "before 7.2 there are no such ids"


def test_nothing_is_asked_where_nobody_stands_outside_or_the_data_tell_it() -> None:
    assert not list(returned.questions(case(World.of(3, 1))))
    assert not list(returned.questions(case(returned_world())))


def test_one_with_keys_is_the_operators_to_decide() -> None:
    one = the(case(returned_world(keys=7)))
    assert (one.actions, one.choice) == ((), True)
    assert "It holds 7 keys (offset 5000 of stream dddddddd)" in one.story
    assert "holds 10 (offset 5000 of stream eeeeeeee)" in one.story
    assert "1000 B of writes that nobody else has" in one.story
    assert one.advice.index("--rdb FILE") < one.advice.index("move its dump file"), "a copy is made first"
    assert "FLUSH" not in one.advice, "it would write the dump in its folder anew, over the keys"
    assert "rcfail recover 127.50.1.1:7000" in one.advice


def test_keys_that_its_shard_has_too_are_said_to_be_so() -> None:
    world = returned_world(keys=7)
    world["a"].info["master_repl_offset"] = "4000"
    assert "no write that its shard does not have" in the(case(world)).story
    world["a"].info["master_replid2"], world["a"].info["master_replid"] = OLD_STREAM, "9" * 40
    assert "offsets do not tell" in the(case(world)).story


def test_a_restart_renames_the_stream_and_writes_nothing() -> None:
    world = returned_world(keys=7)
    world["a"].info |= {"master_replid": "9" * 40, "master_replid2": OLD_STREAM, "second_repl_offset": "4101"}
    for offset, told in (("4100", "100 B of writes"), ("4400", "offsets do not tell")):
        world["a"].info["master_repl_offset"] = offset
        assert told in the(case(world)).story
    world["a"].info |= {"master_repl_offset": "3000", "second_repl_offset": "3001"}
    assert "no write that its shard does not have" in the(case(world)).story


def test_two_shards_of_one_stream_are_not_chosen_between() -> None:
    world = returned_world()
    world["b"].info["master_replid2"] = OLD_STREAM
    one = the(case(world))
    assert (one.actions, one.choice, set(one.nodes)) == ((), True, {A, A1, B})
    assert f"CLUSTER REPLICATE {A1}" in one.advice
    assert f"CLUSTER REPLICATE {B}" in one.advice


def test_uncounted_keys_let_nothing_be_sent() -> None:
    world = returned_world()
    world["a"].info |= {"loading": "0", "db0": None}
    counted = the(case(world))
    assert counted.actions
    world["a"].info["db0"] = "keys=many"
    unknown = the(case(world))
    assert unknown.actions == () or any(each.check(world.snapshot()).refuses for each in unknown.actions[0].guards)


@pytest.mark.parametrize("state", ["failed", "silent", "replica", "owner"])
def test_who_is_no_empty_primary_is_let_alone(state: str) -> None:
    world = returned_world()
    old = world["a"]
    if state == "failed":
        old.flags = ("fail",)
    elif state == "silent":
        old.silence = SilenceReason.REFUSED
    elif state == "replica":
        old.primary = A1
    else:
        old.sees = {A: old.line(True, slots=((0, 9),))}
    assert not found(case(world))


def test_an_earlier_condition_about_it_goes_first() -> None:
    assert not list(returned.conditions(case(returned_world()), frozenset({A})))


def test_it_is_planned_before_replicas_are_borrowed_for_its_shard() -> None:
    order = [each.conditions.__module__.rpartition(".")[2] for each in PLANNERS]
    assert order.index("down") < order.index("returned") < order.index("bare")
