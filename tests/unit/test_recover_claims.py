"""What is planned for slots that two claim, that their owner does not claim, or that nobody claims: a has 0 to 5460."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcfail.change.checks import refusing
from rcfail.change.recover.action import Action, ActionKind
from rcfail.change.recover.case import Case, Decisions
from rcfail.change.recover.condition import Condition, ConditionCode
from rcfail.change.recover.slots.claims import conditions, questions
from rcfail.cluster.nouns import NodeId, SlotRange
from rcfail.cluster.observation import SilenceReason
from rcfail.errors import RcfailError, Refused, UsageFault
from tests.unit.recovering_world import slot_case
from tests.unit.world import NOW_UNIX_MS, World, node_id

A, B, C = map(node_id, "abc")
LACKING: tuple[SlotRange, ...] = ((0, 99), (101, 5460))


def gave_up(world: World, *, version: str = "8.2.3") -> World:
    """a does not claim slot 100 any more, and everybody else goes on naming it."""
    world.version = version
    whole = world["a"].line()
    world["a"].slots = LACKING
    for member in world:
        if member is not world["a"]:
            member.sees[A] = whole
    return world


def vacant(world: World) -> World:
    """Nobody is said to own slot 100."""
    world["a"].slots = LACKING
    return world


def was_reset(world: World) -> World:
    """a lists nobody and owns nothing; everybody else goes on naming it."""
    whole = world["a"].line()
    world["a"].slots, world["a"].info = (), {"db0": None}
    world["a1"].info |= {"db0": None}
    for member in world:
        if member is world["a"]:
            member.sees |= {other.node_id: None for other in world if other is not member}
        else:
            member.sees[A] = whole
    return world


def planned(case: Case, taken: frozenset[NodeId] = frozenset()) -> tuple[Condition, ...]:
    return tuple(conditions(case, taken))


def the_one(case: Case) -> Condition:
    found = planned(case)
    assert len(found) == 1, found
    return found[0]


def sent(condition: Condition) -> list[tuple[str, str]]:
    names = {str(node_id(letter)): letter for letter in ("a", "b", "c", "a1")}
    return [
        (names[send.node], " ".join(names.get(word, word) for word in send.command[1:]))
        for action in condition.actions
        for send in action.sends
    ]


def fails(action: Action, world: World) -> set[str]:
    snapshot = world.snapshot()
    return {check.code for check in refusing(each.check(snapshot) for each in action.guards)}


def missing(action: Action, world: World) -> set[str]:
    snapshot = world.snapshot()
    return {check.code for check in refusing(each.check(snapshot) for each in action.expects)}


def decided(owner: str, first: int = 100, last: int = 100) -> Decisions:
    return Decisions(owners=(((first, last), node_id(owner)),))


def test_a_whole_cluster_is_asked_nothing() -> None:
    case = slot_case(World.of(3, 1), questions)
    assert (case.replies, planned(case)) == ({}, ())


def test_nothing_is_said_where_nobody_answers() -> None:
    world = World.of(3, 1)
    for member in world:
        member.silence = SilenceReason.REFUSED
    assert planned(slot_case(world, questions)) == ()


# Not claimed


@pytest.mark.parametrize(("version", "command"), [("6.2.14", "ADDSLOTS 100"), ("7.0.15", "ADDSLOTSRANGE 100 100")])
@pytest.mark.parametrize("keys", [0, 7])
def test_an_owner_that_gave_a_slot_up_claims_it_again(version: str, command: str, keys: int) -> None:
    world = gave_up(World.of(3, 1), version=version)
    found = the_one(slot_case(world, questions, {"a": {100: keys}}))
    assert (found.code, found.nodes) == (ConditionCode.SLOTS_NOT_CLAIMED, (A,))
    assert sent(found) == [("a", command)]
    (action,) = found.actions
    assert (fails(action, world), missing(action, world)) == (set(), {"owns"})
    assert missing(action, World.of(3, 1)) == set()
    assert not action.loses


def test_it_is_done_only_when_every_view_gives_the_slot_to_it() -> None:
    (action,) = the_one(slot_case(gave_up(World.of(3, 1)), questions)).actions
    late = World.of(3, 1)
    late["b1"].sees[A] = late["a"].line(slots=LACKING)
    assert missing(action, late) == {"owns"}


def test_only_what_one_process_was_told_to_own_is_asked_of_its_own_table() -> None:
    """SETSLOT NODE on the source alone: a gives slot 100 to b, b does not claim it, and the others name a."""
    world = gave_up(World.of(3, 1))
    world["a"].sees[B] = world["b"].line(slots=((100, 100), (5461, 10921)))
    found = the_one(slot_case(world, questions, {"a": {100: 7}}))
    assert sent(found) == [("a", "SETSLOT 100 IMPORTING b"), ("a", "SETSLOT 100 NODE a")]


def test_a_move_that_its_source_ended_alone_is_ended_by_the_node_that_holds_the_keys() -> None:
    world = gave_up(World.of(3, 1))
    world["a"].sees[B] = world["b"].line(slots=((100, 100), (5461, 10921)))
    world["b"].open_slots = (f"[100-<-{A}]",)
    found = the_one(slot_case(world, questions, {"b": {100: 7}}))
    assert sent(found) == [("b", "SETSLOT 100 NODE b")]
    assert "was taking slot 100 over and holds all the keys" in found.story


def test_keys_on_a_node_that_nobody_names_are_the_operators_to_judge() -> None:
    found = the_one(slot_case(gave_up(World.of(3, 1)), questions, {"c": {100: 7}}))
    assert (found.actions, found.choice, found.nodes) == ((), True, (A, C))
    assert "(cccccccc) holds 7 keys" in found.evidence
    assert "--slot-owner 100=NODE" in found.advice


def test_keys_on_two_nodes_are_the_operators_to_judge() -> None:
    world = gave_up(World.of(3, 1))
    keys: dict[str, dict[int, int | None]] = {"a": {100: 7}, "c": {100: 1}}
    found = the_one(slot_case(world, questions, keys))
    assert (found.actions, found.choice) == ((), True)
    assert "(aaaaaaaa) holds 7 keys and 127.50.3.1:7000 (cccccccc) holds 1 key" in found.story
    chosen = the_one(slot_case(world, questions, keys, decisions=decided("a")))
    assert sent(chosen) == [("a", "ADDSLOTSRANGE 100 100")]
    assert [(each.node, each.keys, each.counts) for each in chosen.actions[0].loses] == [(C, 1, True)]


def test_another_owner_that_was_named_takes_the_slot_with_a_higher_epoch() -> None:
    case = slot_case(gave_up(World.of(3, 1)), questions, {"c": {100: 7}}, decisions=decided("c"))
    assert sent(the_one(case)) == [("c", "SETSLOT 100 IMPORTING a"), ("c", "SETSLOT 100 NODE c")]
    assert not the_one(case).actions[0].loses


def test_a_reset_owner_is_introduced_and_claims_its_slots_again() -> None:
    world = was_reset(World.of(3, 1))
    found = the_one(slot_case(world, questions))
    assert [each.kind for each in found.actions] == [ActionKind.MEET, ActionKind.SETSLOT]
    assert sent(found) == [("b", "MEET 127.50.1.1 7000"), ("a", "ADDSLOTSRANGE 0 5460")]
    meet, claim = found.actions
    assert (fails(meet, world), missing(meet, world)) == (set(), {"known-to-all"})
    world["a"].sees.clear()
    assert missing(meet, world) == set()
    again = the_one(slot_case(world, questions))
    assert [each.key for each in again.actions] == [claim.key]


def test_a_replica_that_alone_kept_the_keys_of_a_reset_owner_is_not_made_to_sync_with_it() -> None:
    world = was_reset(World.of(3, 1))
    world["a1"].info |= {"db0": "keys=10,expires=0,avg_ttl=0"}
    found = planned(slot_case(world, questions, {"a1": {100: 10}}))
    (kept,) = (each for each in found if node_id("a1") in each.nodes)
    assert kept.actions == ()
    assert f"rcfail failover {node_id('a1')} --force --dry-run" in kept.advice


def test_no_slot_is_given_back_to_a_reset_owner_while_its_replica_alone_holds_keys_of_the_shard() -> None:
    world = was_reset(World.of(3, 1))
    world["a1"].info |= {"db0": "keys=10,expires=0,avg_ttl=0"}
    found = planned(slot_case(world, questions, {"a1": {100: 10}}))
    assert [each.actions for each in found] == [()], "its primary would flush it as soon as they meet"


# Uncovered


def test_who_marks_a_slot_as_importing_closes_it_first_because_he_does_not_hear_of_its_owner() -> None:
    world = vacant(World.of(3, 1))
    world["c"].open_slots = (f"[100-<-{A}]",)
    found = the_one(slot_case(world, questions, {"a": {100: 7}}))
    assert sent(found) == [("c", "SETSLOT 100 STABLE"), ("a", "ADDSLOTSRANGE 100 100")]


def test_who_alone_holds_the_keys_of_a_slot_without_an_owner_claims_it() -> None:
    world = vacant(World.of(3, 1))
    found = the_one(slot_case(world, questions, {"b": {100: 7}}))
    assert (found.code, found.nodes) == (ConditionCode.SLOTS_UNCOVERED, (B,))
    assert sent(found) == [("b", "ADDSLOTSRANGE 100 100")]
    world["c"].slots = ((100, 100), (10922, 16383))
    assert fails(found.actions[0], world) == {"unclaimed"}


def test_the_empty_slots_of_a_hole_go_with_the_keys_around_them_unless_somebody_is_silent() -> None:
    world = World.of(3, 1)
    world["a"].slots = ((0, 99), (110, 5460))
    keys: dict[str, dict[int, int | None]] = {"b": {103: 1, 107: 2}}
    found = the_one(slot_case(world, questions, keys))
    assert sent(found) == [("b", "ADDSLOTSRANGE 100 109")]
    two = planned(slot_case(world, questions, {**keys, "c": {105: 1}}))
    assert [(each.subject, each.choice) for each in two] == [
        ("slots 100-102,104,106 and 2 more", True),
        ("slots 103,107", False),
        ("slot 105", False),
    ]
    world["c"].slots, world["b"].slots = (), ((5461, 16383),)
    world.kill("c")
    assert [each.choice for each in planned(slot_case(world, questions, keys))] == [True, False]


def test_no_owner_is_invented_where_nobody_holds_a_key() -> None:
    world = vacant(World.of(3, 1))
    found = the_one(slot_case(world, questions))
    assert (found.actions, found.choice, found.nodes) == ((), True, ())
    assert "all slots around it are of 127.50.1.1:7000 (aaaaaaaa)" in found.advice
    assert "rcfail recover --slot-owner 100=NODE --dry-run" in found.advice
    chosen = the_one(slot_case(world, questions, decisions=decided("c")))
    assert sent(chosen) == [("c", "ADDSLOTSRANGE 100 100")]
    assert not chosen.actions[0].loses


def test_a_dead_node_may_hold_the_keys() -> None:
    world = vacant(World.of(3, 1))
    world["c"].slots, world["b"].slots = (), ((5461, 16383),)
    world.kill("c")
    found = the_one(slot_case(world, questions))
    assert found.choice
    assert "127.50.3.1:7000 (cccccccc) does not answer and may hold the keys" in found.story
    assert found.advice.startswith("Start it first")


@pytest.mark.parametrize("keys", [{"b": {100: None}}, {"a": {100: 7}, "b": {100: None}}])
def test_a_node_that_does_not_count_may_hold_the_keys(keys: dict[str, dict[int, int | None]]) -> None:
    found = the_one(slot_case(vacant(World.of(3, 1)), questions, keys))
    assert (found.actions, found.nodes) == ((), (B,))
    assert "--deadline" in found.advice


def test_a_node_that_may_not_be_asked_to_count_is_named_with_the_question() -> None:
    from rcfail.wire.refusals import Refusal, RefusalKind

    case = slot_case(vacant(World.of(3, 1)), questions, {"a": {100: 7}})
    denied = Refusal(RefusalKind.NOT_PERMITTED, "NOPERM")
    mine = {asked: denied if asked.place.host == "127.50.2.1" else said for asked, said in case.replies.items()}
    found = the_one(replace(case, replies=mine))
    assert found.actions == ()
    assert "redis-cli -h 127.50.2.1 -p 7000 CLUSTER COUNTKEYSINSLOT 100" in found.advice


def test_slots_of_several_holders_are_told_apart() -> None:
    world = World.of(3, 1)
    world["a"].slots = ((0, 99), (103, 5460))
    found = planned(slot_case(world, questions, {"a": {100: 1}, "b": {101: 2}, "c": {101: 3}}))
    assert [(each.subject, each.choice) for each in found] == [
        ("slot 100", False),
        ("slot 101", True),
        ("slot 102", True),
    ]
    assert sent(found[0]) == [("a", "ADDSLOTSRANGE 100 100")]


@pytest.mark.parametrize(("owner", "said"), [("a1", "is no primary"), ("f", "does not answer")])
def test_an_owner_that_cannot_be_one_is_refused(owner: str, said: str) -> None:
    found = the_one(slot_case(vacant(World.of(3, 1)), questions, decisions=decided(owner)))
    assert found.actions == ()
    assert said in found.advice


def test_many_slots_take_one_command() -> None:
    world = World.of(3, 1, hosts=3)
    world["a"].slots = ()
    world.version = "6.2.14"
    found = the_one(slot_case(world, questions, {"a": dict.fromkeys(range(5461), 1)}))
    (send,) = found.actions[0].sends
    assert send.command == ("CLUSTER", "ADDSLOTS", *map(str, range(5461)))
    assert found.subject == "slots 0-5460"


def test_what_is_mended_otherwise_first_is_left_alone() -> None:
    assert planned(slot_case(gave_up(World.of(3, 1)), questions), frozenset({A})) == ()


# Disputed


def disputing(world: World, *, apart: bool) -> World:
    """a and its replica a1 both claim the shard; everybody else follows a1."""
    world["a1"].primary, world["a1"].slots, world["a1"].epoch = None, ((0, 5460),), 9
    for member in world:
        if member is not world["a"]:
            member.sees[A] = world["a"].line(slots=(), flags=("fail",) if apart else ())
    old = world["a1"].line(slots=(), primary=A, epoch=1, flags=("fail?",) if apart else ())
    world["a"].sees[node_id("a1")] = old
    return world


def test_two_claimants_that_hear_each_other_settle_it_themselves() -> None:
    world = disputing(World.of(3, 1), apart=False)
    found = the_one(slot_case(world, questions, {"a": {100: 1}, "a1": {100: 1}}))
    assert (found.code, found.nodes) == (ConditionCode.SLOTS_DISPUTED, (node_id("a1"), A))
    (action,) = found.actions
    assert (action.kind, action.sends) == (ActionKind.WAIT, ())
    assert missing(action, world) == {"one-owner"}
    assert missing(action, World.of(3, 1)) == set()


def test_two_claimants_that_are_apart_are_brought_together_only_by_the_operator() -> None:
    world = disputing(World.of(3, 1), apart=True)
    found = the_one(slot_case(world, questions, {"a": {100: 4}, "a1": {100: 1}}))
    assert (found.actions, found.choice) == ((), True)
    assert "127.50.2.1:8000 (a1000000) holds 1 key and config epoch 9" in found.evidence
    assert "127.50.1.1:7000 (aaaaaaaa) holds 4 keys and config epoch 1" in found.evidence
    assert "127.50.2.1:8000 (a1000000) wins by its config epoch" in found.story
    assert "redis-cli -h 127.50.1.1 -p 7000 --rdb" in found.advice


def test_a_loser_without_keys_loses_nothing() -> None:
    world = disputing(World.of(3, 1), apart=True)
    found = the_one(slot_case(world, questions, {"a1": {100: 4}}))
    assert "nothing is lost" in found.story
    assert (found.actions, found.choice) == ((), False), "5461 slots are not worth as many commands"


def test_a_loser_without_keys_gives_up_a_single_slot_when_told() -> None:
    world = World.of(3, 1)
    world["b"].slots, world["b"].epoch = ((100, 100), (5461, 10921)), 0
    for member in world:
        if member is not world["b"]:
            member.sees[B] = world["b"].line(slots=((5461, 10921),), flags=("fail",), ping_sent=NOW_UNIX_MS - 20_000)
    found = the_one(slot_case(world, questions, {"a": {100: 4}}))
    assert sent(found) == [("b", "SETSLOT 100 NODE a")]
    assert missing(found.actions[0], world) == {"one-owner"}


# As the operator writes it


def test_slots_that_a_living_node_claims_are_not_given_to_another_by_a_word() -> None:
    from rcfail.commands.recover import _owners

    world = gave_up(World.of(3, 1))
    assert tuple(_owners(world.snapshot(), f"100,200-201={C}")) == (((100, 100), C), ((200, 201), C))
    assert tuple(_owners(world.snapshot(), f"200={A}")) == (((200, 200), A),), "as it is already"
    with pytest.raises(Refused, match=r"claims them itself, 127\.50\.1\.1:7000"):
        tuple(_owners(world.snapshot(), f"200-201={C}"))
    for word in ("100", f"={C}", f"a={C}", f"9-7={C}", f"16384={C}", f"1,,2={C}"):
        with pytest.raises(UsageFault):
            tuple(_owners(world.snapshot(), word))


def test_a_slot_that_nobody_claims_stands_for_whom_it_is_said_to_belong_to() -> None:
    from rcfail.commands.recover import meant_places_or_shard

    assert A in meant_places_or_shard(gave_up(World.of(3, 1)).snapshot(), "slot:100")
    with pytest.raises(RcfailError):
        meant_places_or_shard(vacant(World.of(3, 1)).snapshot(), "slot:100")


# Whatever is counted

COUNTS = st.sampled_from((0, 0, 3, None))


@given(keys=st.tuples(COUNTS, COUNTS, COUNTS), known=st.booleans(), importing=st.sampled_from(("", "b", "c")))
def test_without_a_word_of_the_operator_nobody_becomes_the_owner_while_another_may_hold_keys(
    keys: tuple[int | None, ...], known: bool, importing: str
) -> None:
    world = gave_up(World.of(3, 1)) if known else vacant(World.of(3, 1))
    if importing:
        world[importing].open_slots = (f"[100-<-{A}]",)
    counts = dict(zip("abc", keys, strict=True))
    case = slot_case(world, questions, {letter: {100: count} for letter, count in counts.items()})
    for letter, words in (order for condition in planned(case) for order in sent(condition)):
        if "STABLE" not in words:
            assert all(count == 0 for other, count in counts.items() if other != letter), (letter, words)
            assert counts[letter] or (known and letter == "a"), (letter, words)
        else:
            assert counts[letter] == 0, (letter, words)
