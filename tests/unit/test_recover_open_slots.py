"""What is planned for half moved slots, on constructed clusters: 77 is a slot of a, and on its way to b."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcfail.change.checks import refusing
from rcfail.change.recover.action import Action
from rcfail.change.recover.case import Case, Decisions
from rcfail.change.recover.condition import Condition
from rcfail.change.recover.slots.open_slots import conditions, questions
from rcfail.change.recover.slots.slots import MOST_AT_ONCE
from rcfail.cluster.observation import SilenceReason
from tests.unit.recovering_world import slot_case
from tests.unit.world import World, node_id

A, B, C = map(node_id, "abc")
NOTHING: dict[int, int | None] = {}


def opened(world: World, *slots: int, giving: bool = True, taking: bool = True) -> World:
    """From a to b."""
    if giving:
        world["a"].open_slots = tuple(f"[{slot}->-{B}]" for slot in slots)
    if taking:
        world["b"].open_slots = tuple(f"[{slot}-<-{A}]" for slot in slots)
    return world


def planned(case: Case) -> tuple[Condition, ...]:
    return tuple(conditions(case, frozenset()))


def the_one(case: Case) -> Condition:
    found = planned(case)
    assert len(found) == 1, found
    return found[0]


def sent(condition: Condition) -> list[tuple[str, str]]:
    """Who is told what, ids as letters."""
    names = {str(node_id(letter)): letter for letter in "abc"}
    return [
        (names[send.node], " ".join(names.get(word, word) for word in send.command[1:]))
        for action in condition.actions
        for send in action.sends
    ]


def fails(action: Action, world: World) -> set[str]:
    """Which guards do not hold in this world."""
    snapshot = world.snapshot()
    return {check.code for check in refusing(each.check(snapshot) for each in action.guards)}


def missing(action: Action, world: World) -> set[str]:
    snapshot = world.snapshot()
    return {check.code for check in refusing(each.check(snapshot) for each in action.expects)}


def test_nothing_is_planned_where_no_slot_is_open() -> None:
    case = slot_case(World.of(3, 1), questions)
    assert planned(case) == ()
    assert case.replies == {}


def test_the_owner_keeps_a_slot_of_which_the_other_side_has_no_key_and_is_told_first() -> None:
    world = opened(World.of(3, 1), 77)
    found = the_one(slot_case(world, questions, {"a": {77: 5}}))
    assert sent(found) == [("a", "SETSLOT 77 STABLE"), ("b", "SETSLOT 77 STABLE")]
    assert found.nodes[0] == A
    assert "127.50.1.1:7000 (aaaaaaaa) holds 5 keys" in found.evidence
    assert not found.advice
    first, second = found.actions
    assert first.key != second.key
    assert missing(first, world) == {"closed"}
    world["a"].open_slots = ()
    assert missing(first, world) == set()
    assert fails(second, world) == set()


@pytest.mark.parametrize(("giving", "taking", "told"), [(True, False, "a"), (False, True, "b")])
def test_a_mark_on_one_side_alone_is_taken_away_there(giving: bool, taking: bool, told: str) -> None:
    world = opened(World.of(3, 1), 77, giving=giving, taking=taking)
    found = the_one(slot_case(world, questions, {"a": {77: 5}}))
    assert sent(found) == [(told, "SETSLOT 77 STABLE")]


def test_a_move_that_lacks_only_its_end_is_ended_by_the_new_owner_first() -> None:
    world = opened(World.of(3, 1), 77)
    found = the_one(slot_case(world, questions, {"b": {77: 5}}))
    assert sent(found) == [("b", "SETSLOT 77 NODE b"), ("a", "SETSLOT 77 NODE b")]
    assert "(bbbbbbbb) holds all keys, so it becomes the owner" in found.story
    (action,) = found.actions
    assert missing(action, world) == {"owns", "closed"}
    world["a"].slots, world["b"].slots = ((0, 76), (78, 5460)), ((77, 77), (5461, 10921))
    world["a"].open_slots = world["b"].open_slots = ()
    assert missing(action, world) == set()


@pytest.mark.parametrize(
    ("giving", "taking", "mark"),
    [(True, False, ("b", "SETSLOT 77 IMPORTING a")), (False, True, ("a", "SETSLOT 77 MIGRATING b"))],
)
def test_before_that_both_sides_are_marked(giving: bool, taking: bool, mark: tuple[str, str]) -> None:
    world = opened(World.of(3, 1), 77, giving=giving, taking=taking)
    found = the_one(slot_case(world, questions, {"b": {77: 5}}))
    assert sent(found) == [mark, ("b", "SETSLOT 77 NODE b"), ("a", "SETSLOT 77 NODE b")]
    marking, ending = found.actions
    assert fails(marking, world) == set()
    assert fails(ending, world) == {"marked"}
    both = opened(World.of(3, 1), 77)
    assert missing(marking, both) == set()
    assert [each.key for each in the_one(slot_case(both, questions, {"b": {77: 5}})).actions] == [ending.key]


def test_a_slot_with_keys_on_both_sides_is_left_to_who_can_move_them() -> None:
    found = the_one(slot_case(opened(World.of(3, 1), 77), questions, {"a": {77: 5}, "b": {77: 1}}))
    assert (found.actions, found.choice) == ((), True)
    assert "redis-cli --cluster fix 127.50.1.1:7000" in found.advice
    assert "would hide what 127.50.2.1:7000 (bbbbbbbb) holds" in found.advice


@pytest.mark.parametrize("moving", ["a", "b"])
@pytest.mark.parametrize("keys", [{"a": {77: 5}}, {"b": {77: 5}}, {"a": {77: 5}, "b": {77: 1}}])
def test_a_resharding_that_is_at_work_is_left_alone(moving: str, keys: dict[str, dict[int, int | None]]) -> None:
    found = the_one(slot_case(opened(World.of(3, 1), 77), questions, keys, moving=moving))
    assert (found.actions, found.choice) == ((), False)
    assert "Let it end" in found.advice


def test_keys_that_nobody_counted_are_no_zero() -> None:
    found = the_one(slot_case(opened(World.of(3, 1), 77), questions, {"a": {77: 5}, "b": {77: None}}))
    assert found.actions == ()
    assert "redis-cli -h 127.50.2.1 -p 7000 CLUSTER COUNTKEYSINSLOT 77" in found.advice
    unasked = Case(opened(World.of(3, 1), 77).snapshot())
    assert the_one(unasked).actions == ()


def test_a_node_that_holds_no_key_at_all_is_not_asked_slot_by_slot() -> None:
    world = opened(World.of(3, 1), 77)
    world["b"].info = {"db0": None}
    case = slot_case(world, questions, {"a": {77: 5}})
    counted = [asked.place for asked in case.replies if asked.command[0] == "CLUSTER"]
    assert counted == [world["a"].endpoint]
    assert len(the_one(case).actions) == 2


def test_a_dead_other_side_may_hold_keys_until_the_operator_says_that_it_never_comes_back() -> None:
    world = opened(World.of(3, 1), 77, taking=False)
    world["b"].slots, world["c"].slots = (), ((5461, 16383),)
    world.kill("b")
    found = the_one(slot_case(world, questions, {"a": {77: 5}}))
    assert (found.actions, found.choice) == ((), True)
    assert f"rcfail recover --forget {B} --dry-run" in found.advice
    decided = slot_case(world, questions, {"a": {77: 5}}, decisions=Decisions(forget=frozenset({B})))
    assert sent(the_one(decided)) == [("a", "SETSLOT 77 STABLE")]
    assert "never comes back" in the_one(decided).story


def test_after_a_failover_the_promoted_node_is_the_other_side() -> None:
    """b, the source of the move, is a replica of b1 now, which knows of no mark: Redis does not tell replicas."""
    world = World.of(3, 1)
    world["c"].open_slots = (f"[6000-<-{B}]",)
    world["b1"].primary, world["b1"].slots, world["b1"].epoch = None, ((5461, 10921),), 7
    world["b"].primary, world["b"].slots, world["b"].epoch = node_id("b1"), (), 7
    found = the_one(slot_case(world, questions, {"b1": {6000: 3}}))
    assert sent(found) == [("c", "SETSLOT 6000 STABLE")]
    assert found.nodes == (node_id("b1"), C)
    split = the_one(slot_case(world, questions, {"b1": {6000: 3}, "c": {6000: 1}}))
    assert split.actions == ()


def test_a_slot_whose_owner_is_silent_waits_for_it() -> None:
    world = opened(World.of(3, 1), 77)
    world.kill("a")
    found = the_one(slot_case(world, questions))
    assert (found.actions, found.choice) == ((), False)
    assert "Bring it back first" in found.advice
    world["b"].silence = SilenceReason.REFUSED
    assert planned(slot_case(world, questions)) == ()


def test_several_slots_of_two_nodes_are_one_condition_for_each_way_they_end() -> None:
    world = opened(World.of(3, 1), 77, 78, 79, 90)
    found = planned(slot_case(world, questions, {"a": {77: 1, 78: 1}, "b": {79: 4}}))
    assert [each.subject for each in found] == ["slots 77-78,90", "slot 79"]
    assert [each.aims for each in found[0].actions] == [("stable", "77-78,90"), ("stable", "77-78,90")]
    assert sent(found[1]) == [("b", "SETSLOT 79 NODE b"), ("a", "SETSLOT 79 NODE b")]


def test_many_slots_are_closed_in_parts() -> None:
    slots = tuple(range(2 * MOST_AT_ONCE + 1))
    found = the_one(slot_case(opened(World.of(3, 1), *slots), questions, {"a": dict.fromkeys(slots, 1)}))
    assert [len(each.sends) for each in found.actions] == 2 * [MOST_AT_ONCE, MOST_AT_ONCE, 1]
    assert len({each.key for each in found.actions}) == 6


def test_the_last_slot_of_a_node_that_holds_other_keys_is_not_taken() -> None:
    """It would become a replica of who took it, and copy from there."""
    world = opened(World.of(3, 1), 77)
    world["a"].slots, world["c"].slots = ((77, 77),), ((0, 76), (78, 5460), (10922, 16383))
    found = the_one(slot_case(world, questions, {"b": {77: 5}}))
    assert found.actions == ()
    assert "the 10 keys that it still holds of other slots are thrown away" in found.advice
    world["a"].info = {"db0": None}
    assert len(the_one(slot_case(world, questions, {"b": {77: 5}})).actions) == 1


def test_a_third_node_with_a_mark_counts_too() -> None:
    world = opened(World.of(3, 1), 77)
    world["c"].open_slots = (f"[77-<-{A}]",)
    found = the_one(slot_case(world, questions, {"b": {77: 5}}))
    assert sent(found)[0] == ("c", "SETSLOT 77 STABLE"), "while it has the mark it does not hear of a new owner"
    assert the_one(slot_case(world, questions, {"b": {77: 5}, "c": {77: 1}})).actions == ()


@pytest.mark.parametrize(("version", "named"), [("8.2.3", 0), ("valkey 8.1.8", 1)])
def test_a_mark_that_only_a_replica_kept_is_taken_away_through_its_primary(version: str, named: int) -> None:
    world = World.of(3, 1)
    world["a1"].open_slots = (f"[77->-{B}]",)
    if version.startswith("valkey"):
        for member in world:
            member.info |= {"server_name": "valkey", "valkey_version": version.split(" ")[1]}
    found = planned(slot_case(world, questions))
    assert len(found) == named
    for each in found:
        assert sent(each) == [("a", "SETSLOT 77 STABLE")]
        assert missing(each.actions[0], world) == {"closed"}
        world["a1"].info["master_link_status"] = "down"
        assert fails(each.actions[0], world) == {"in-sync"}
        assert the_one(slot_case(world, questions)).actions == ()


def test_such_a_mark_is_closed_also_where_the_slot_is_of_another_shard() -> None:
    world = World.of(3, 1)
    world["b1"].open_slots = (f"[77-<-{A}]",)
    for member in world:
        member.info |= {"server_name": "valkey", "valkey_version": "9.1.2"}
    found = the_one(slot_case(world, questions))
    assert sent(found) == [("b", "SETSLOT 77 STABLE")]
    assert fails(found.actions[0], world) == set()


def test_replicas_that_repeat_a_mark_of_their_primary_are_no_case_of_their_own() -> None:
    world = opened(World.of(3, 1), 77)
    world["a1"].open_slots, world["b1"].open_slots = world["a"].open_slots, world["b"].open_slots
    for member in world:
        member.info |= {"server_name": "valkey", "valkey_version": "8.1.8"}
    found = the_one(slot_case(world, questions, {"a": {77: 5}}))
    assert sent(found) == [("a", "SETSLOT 77 STABLE"), ("b", "SETSLOT 77 STABLE")]
    world["a"].open_slots = ()
    assert missing(found.actions[0], world) == {"closed"}, "its replica still has it"


def test_nodes_that_are_mended_otherwise_first_are_left_alone() -> None:
    case = slot_case(opened(World.of(3, 1), 77), questions, {"a": {77: 5}})
    assert tuple(conditions(case, frozenset({B}))) == ()


def test_a_slot_that_somebody_else_claims_by_now_is_not_closed() -> None:
    world = opened(World.of(3, 1), 77)
    found = the_one(slot_case(world, questions, {"a": {77: 5}}))
    world["c"].slots, world["c"].epoch = ((77, 77), (10922, 16383)), 9
    assert fails(found.actions[0], world) == {"unclaimed"}


COUNTS = st.sampled_from((0, 0, 3, None))


@given(
    keys=st.tuples(COUNTS, COUNTS, COUNTS),
    giving=st.sampled_from(("", "b", "c")),
    taking=st.sets(st.sampled_from(("b", "c"))),
    gone=st.sampled_from(("", "b", "c")),
    moving=st.sampled_from(("", "a", "b")),
)
def test_whoever_is_told_to_give_up_a_slot_or_a_mark_holds_no_key_of_it(
    keys: tuple[int | None, ...], giving: str, taking: set[str], gone: str, moving: str
) -> None:
    world = World.of(3, 1)
    if giving:
        world["a"].open_slots = (f"[77->-{node_id(giving)}]",)
    for letter in taking:
        world[letter].open_slots = (f"[77-<-{A}]",)
    if gone:
        world.kill(gone)
    counts = dict(zip("abc", keys, strict=True))
    case = slot_case(world, questions, {letter: {77: count} for letter, count in counts.items()}, moving=moving)
    for condition in planned(case):
        orders = sent(condition)
        taker = next((words.rpartition(" ")[2] for _, words in orders if " NODE " in words), "a")
        for letter, words in orders:
            assert letter != gone, "nothing is sent to the dead"
            assert not gone or gone != giving, "where keys may have gone to the dead nothing is closed"
            if letter != taker and ("NODE" in words or "STABLE" in words):
                assert counts[letter] == 0, (words, orders)
            if "STABLE" in words and letter == taker:
                # What a dead node marks nobody can see, and no mark of the living goes there: those are left alone.
                others = {other for other in (giving, *taking) if other and other not in (letter, gone)}
                assert all(counts[other] == 0 for other in others), (words, orders)
            assert moving not in ("a", letter) or not orders
