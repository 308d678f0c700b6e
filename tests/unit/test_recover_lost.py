"""Lost shards, on constructed clusters: who is promoted, how, in which order, and who never is."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rcfail.change.checks import CheckVerdict
from rcfail.change.recover.action import Action, ActionKind
from rcfail.change.recover.case import Case, Decisions
from rcfail.change.recover.condition import Condition
from rcfail.change.recover.shards.heirs import Covered
from rcfail.change.recover.shards.lost import conditions
from rcfail.change.request import Mode, Override
from rcfail.cluster.nouns import NodeId
from rcfail.cluster.observation import SilenceReason
from tests.unit.world import World, node_id

A, B, C, D, E = map(node_id, "abcde")
NOBODY: frozenset[NodeId] = frozenset()
NOBODY_LOSES: frozenset[Override] = frozenset()


def planned(world: World, decisions: Decisions | None = None, taken: frozenset[NodeId] = NOBODY) -> list[Condition]:
    return list(conditions(Case(world.snapshot(), decisions=decisions or Decisions()), taken))


def the_one(world: World, decisions: Decisions | None = None) -> Condition:
    found = planned(world, decisions)
    assert len(found) == 1, found
    return found[0]


def fenced(*letters: str, given: frozenset[Override] = frozenset()) -> Decisions:
    return Decisions(fenced=frozenset(map(node_id, letters)), given=given | {Override.FENCED})


def moves(*found: Condition) -> list[tuple[str, str]]:
    """What is done for whom: `takeover a1`, `wait a`, ids as letters."""
    said = []
    for action in (each for condition in found for each in condition.actions):
        what = action.request.mode.value if action.request else action.kind.value
        who = action.request.target if action.request else action.about
        said.append((what, who.rstrip("0") if who.endswith("0") else who[0]))
    return said


def lost(world: World, *letters: str) -> World:
    """Dead, and as their voters agree where they can: without a majority nobody says more than fail?."""
    voters = [each for each in world if each.slots]
    for letter in letters:
        world.kill(letter, agreed=len(voters) - len(letters) >= len(voters) // 2 + 1)
    return world


def aged(world: World, *replicas: str) -> None:
    for each in replicas:
        world[each].info["master_link_down_since_seconds"] = "999"


def restarted(world: World, replica: str, keys: int = 10) -> None:
    """Not in sync since its start."""
    world[replica].info |= {"master_link_status": "down", "master_link_down_since_seconds": "-1"}
    world[replica].info |= {"db0": f"keys={keys},expires=0,avg_ttl=0" if keys else None}
    if not keys:
        world[replica].info |= {"slave_repl_offset": "1", "slave_read_repl_offset": "1", "master_repl_offset": "1"}


def test_nothing_is_lost_nothing_is_planned() -> None:
    world = World.of(3, 1)
    assert planned(world) == []
    world.kill("a1")
    assert planned(world) == []


def test_an_election_that_comes_by_itself_is_awaited() -> None:
    for agreed in (True, False):
        world = World.of(3, 1)
        world.kill("a", agreed)
        found = the_one(world)
        assert moves(found) == [("wait", "a")]
        assert (found.nodes, found.advice) == ((A, node_id("a1")), "")
        assert found.actions[0].within_ms >= 60_000  # the second election of a lost one comes after 4 node timeouts


@pytest.mark.parametrize("obstacle", ["aged", "restarted"])
def test_a_replica_that_lacks_writes_of_its_primary_takes_consent(obstacle: str) -> None:
    """Its link broke long before its primary died, or nobody knows when: that one may have saved what is newer."""
    world = lost(World.of(3, 1), "a")
    if obstacle == "aged":
        aged(world, "a1")
    else:
        restarted(world, "a1")
    found = the_one(world)
    assert (moves(found), found.choice) == ([], True)
    assert "it would lose data" in found.story
    assert "--allow-data-loss" in found.advice
    assert "--start-cmd" in found.advice, "to start the primary comes first"


@pytest.mark.parametrize("obstacle", ["nofailover", "aged", "restarted"])
def test_whom_no_vote_would_promote_is_forced_with_what_it_holds(obstacle: str) -> None:
    world = lost(World.of(3, 1), "a")
    match obstacle:
        case "nofailover":
            world["a1"].config["cluster-replica-no-failover"] = "yes"
        case "aged":
            aged(world, "a1")
        case "restarted":
            restarted(world, "a1")
    given = NOBODY_LOSES if obstacle == "nofailover" else frozenset({Override.DATA_LOSS})
    found = the_one(world, Decisions(given=given))
    assert moves(found) == [("force", "a1")]
    assert "10 keys" in found.story
    assert "is lost" in found.story
    request = found.actions[0].request
    assert request is not None
    assert (request.primary, request.expected_primary, request.given) == (A, A, given)


def test_of_two_replicas_the_one_with_more_of_the_stream_is_forced() -> None:
    world = lost(World.of(3, 2), "a")
    aged(world, "a1", "a2")
    world["a1"].info |= {"slave_repl_offset": "4000", "slave_read_repl_offset": "4000"}
    assert moves(the_one(world, Decisions(given=frozenset({Override.DATA_LOSS})))) == [("force", "a2")]


@pytest.mark.parametrize("given", [frozenset(), frozenset({Override.DATA_LOSS})])
def test_an_empty_replica_is_promoted_by_no_consent(given: frozenset[Override]) -> None:
    world = lost(World.of(3, 1), "a")
    restarted(world, "a1", keys=0)
    found = the_one(world, Decisions(given=given))
    assert found.actions == ()
    assert "holds no data" in found.story
    assert "--start-cmd" in found.advice
    world = lost(World.of(3, 1), "a", "b")
    restarted(world, "a1", keys=0)
    # b brings the majority back, and a stays as it is.
    assert moves(the_one(world, fenced("a", "b", given=given))) == [("takeover", "b1")]


def test_an_empty_replica_that_the_servers_would_promote_is_not_awaited() -> None:
    world = lost(World.of(3, 1), "a")
    world["a1"].config["cluster-replica-validity-factor"] = "0"
    restarted(world, "a1", keys=0)
    assert moves(*planned(world)) == []


def test_a_sibling_that_hides_its_data_takes_consent() -> None:
    world = lost(World.of(3, 2), "a")
    aged(world, "a1", "a2")
    world["a2"].silence = SilenceReason.FROZEN
    found = the_one(world)
    assert (found.actions, found.choice) == ((), True)
    assert "--allow-data-loss" in found.advice
    assert moves(the_one(world, Decisions(given=frozenset({Override.DATA_LOSS})))) == [("force", "a1")]


def test_two_of_three_take_one_takeover_and_the_rest_comes_by_itself() -> None:
    world = lost(World.of(3, 1), "a", "b")
    found = the_one(world)
    assert (found.actions, found.choice) == ((), True)
    assert "One takeover brings the majority back" in found.story
    assert "elected by itself" in found.story
    for each in ("a", "b"):
        assert f"--confirm-fenced {world[each].endpoint}" in found.advice
    assert moves(the_one(world, fenced("a", "b"))) == [("takeover", "a1"), ("wait", "b")]


def test_one_word_for_a_host_or_zone_that_is_gone_as_a_whole() -> None:
    world = lost(World.of(3, 1, hosts=1), "a", "b")
    assert the_one(world).advice.count("--confirm-fenced") == 2  # others live on that host
    apart = World.of(3, 1, hosts=6)
    apart["b"].endpoint = apart["b"].endpoint._replace(host=apart["a"].endpoint.host)
    apart["b1"].endpoint = apart["b1"].endpoint._replace(host="127.50.9.1")
    apart["a1"].endpoint = apart["a1"].endpoint._replace(host="127.50.9.1")
    found = the_one(lost(apart, "a", "b"))
    assert f"--confirm-fenced {apart['a'].endpoint.host} " in found.advice


@pytest.mark.parametrize("missing", ["a", "b"])
def test_every_lost_voter_has_to_be_named(missing: str) -> None:
    world = lost(World.of(3, 1), "a", "b")
    assert moves(the_one(world, fenced(*({"a", "b"} - {missing})))) == []


def test_whom_no_vote_would_promote_is_taken_over_first_so_that_nobody_is_forced() -> None:
    world = lost(World.of(3, 1), "a", "b")
    aged(world, "b1")
    assert moves(the_one(world, fenced("a", "b"))) == [("takeover", "b1"), ("wait", "a")]
    aged(world, "a1")
    found = the_one(world, fenced("a", "b"))
    assert moves(found) == [("takeover", "a1"), ("force", "b1")]


def test_the_takeover_that_an_old_server_would_not_count_comes_last() -> None:
    world = lost(World.of(3, 1), "a", "c")
    world.version = "6.2.16"
    restarted(world, "c1")  # c has the greatest epoch
    assert moves(the_one(world, fenced("a", "c"))) == [("takeover", "a1"), ("force", "c1")]
    world.version = "7.0.15"
    assert moves(the_one(world, fenced("a", "c"))) == [("takeover", "c1"), ("wait", "a")]


@pytest.mark.parametrize(("primaries", "gone", "least"), [(1, "a", 1), (2, "a", 1), (3, "abc", 2), (5, "abcd", 2)])
def test_small_clusters_and_whole_ones(primaries: int, gone: str, least: int) -> None:
    world = lost(World.of(primaries, 1), *gone)
    said = moves(the_one(world, fenced(*gone)))
    assert [what for what, _ in said] == ["takeover"] * least + ["wait"] * (len(gone) - least)


def test_a_run_that_was_cut_off_goes_on_with_the_rest_of_the_same_plan() -> None:
    world = lost(World.of(5, 1), *"abcd")
    whole = the_one(world, fenced(*"abcd")).actions
    order = [("takeover", "b1"), ("takeover", "c1"), ("wait", "a"), ("wait", "d")]  # a has a slot less than the others
    assert moves(the_one(world, fenced(*"abcd"))) == order
    after = taken_over(world, "b")
    rest = the_one(after, fenced(*"abcd")).actions
    assert [each.key for each in rest] == [each.key for each in whole[1:]]
    after = taken_over(after, "c")
    for letter in "ad":
        after[letter].flags = ("fail",)  # the majority is back, and agrees
    assert moves(*planned(after, fenced(*"abcd"))) == order[2:]
    assert {each.key for found in planned(after) for each in found.actions} <= {each.key for each in whole}


def taken_over(world: World, letter: str) -> World:
    old, new = world[letter], world[f"{letter}1"]
    new.primary, new.slots, new.epoch = None, old.slots, 9 + old.epoch
    old.slots = ()
    new.info.clear()
    return world


def test_a_shard_without_a_living_copy_is_left_to_its_owner() -> None:
    world = lost(World.of(3, 1), "a")
    world.kill("a1")
    found = the_one(world)
    assert (found.actions, found.choice) == ((), False)
    for each in ("a", "a1"):
        assert f"{world[each].node_id} at {world[each].endpoint}" in found.story
    assert "5461 slots (0-5460)" in found.story
    assert "--start-cmd" in found.advice
    # Beside one that can be saved both are told.
    world = lost(World.of(3, 1), "a", "b")
    world.kill("a1", agreed=False)
    assert [moves(each) for each in planned(world, fenced("a", "b"))] == [[("takeover", "b1")], []]


def test_too_few_heirs_bring_no_majority() -> None:
    world = lost(World.of(5, 1), *"abcd")
    for each in ("b1", "c1", "d1"):
        restarted(world, each, keys=0)
    found = the_one(world, fenced(*"abcd"))
    assert found.actions == ()
    assert "2 takeovers" in found.story
    assert "--start-cmd" in found.advice


def test_who_saves_nothing_is_not_started_again() -> None:
    world = lost(World.of(3, 1), "a", "b")
    for each in ("a1", "b1"):
        world[each].config["save"] = ""
    advice = the_one(world).advice
    assert "Do not start" in advice
    assert "--start-cmd" not in advice
    assert "--confirm-fenced" in advice


def test_a_primary_that_is_started_or_awaited_is_left_alone() -> None:
    world = lost(World.of(3, 1), "a")
    aged(world, "a1")
    for followed in (Decisions(wait=True), Decisions(start_cmd="true")):
        assert planned(world, followed, frozenset({A})) == []
    consent = Decisions(given=frozenset({Override.DATA_LOSS}))
    assert moves(*planned(world, consent, frozenset({A}))) == [("force", "a1")]


def test_a_primary_that_answers_us_is_not_lost() -> None:
    world = lost(World.of(3, 1), "a", "b")
    world["a"].silence = world["b"].silence = None
    assert planned(world) == []


def test_a_lost_vote_is_awaited_where_the_server_would_not_stand_sooner() -> None:
    world = lost(World.of(3, 1), "a")
    for each in world:  # dead for so long that the first election is over
        each.ping_sent = world["a"].ping_sent - 60_000 if each.node_id == A else each.ping_sent
    world["a1"].cluster_info["cluster_stats_messages_auth-req_sent"] = "2"
    assert moves(the_one(world)) == [("wait", "a")]
    world.version = "9.1.2"
    assert moves(the_one(world)) == [("force", "a1")]


def test_a_silent_replica_is_neither_forced_nor_given_up() -> None:
    world = lost(World.of(3, 1), "a")
    world["a1"].silence = SilenceReason.FROZEN
    found = the_one(world)
    assert (found.actions, found.choice) == ((), False)


def test_covered_holds_when_a_living_owner_says_so() -> None:
    slots = ((0, 5460),)
    assert Covered(slots).check(World.of(3, 1).snapshot()).verdict is CheckVerdict.PASS
    world = lost(World.of(3, 1), "a")
    assert Covered(slots).check(world.snapshot()).verdict is CheckVerdict.FAIL
    assert Covered(slots).check(taken_over(world, "a").snapshot()).verdict is CheckVerdict.PASS


@st.composite
def _sites(draw: st.DrawFn) -> tuple[World, list[str], set[str]]:
    """Some primaries dead, replicas in every state. Also: which of them hold nothing that may be promoted."""
    primaries, replicas = draw(st.integers(1, 6)), draw(st.integers(1, 2))
    world = World.of(primaries, replicas)
    letters = "abcdef"[:primaries]
    gone = sorted(draw(st.sets(st.sampled_from(letters), min_size=1)))
    lost(world, *gone)
    barred = set()
    for letter in gone:
        for nth in range(1, replicas + 1):
            name = f"{letter}{nth}"
            state = draw(st.sampled_from(["well", "aged", "restarted", "empty", "dead", "nofailover"]))
            if state == "dead":
                world.kill(name, agreed=False)
            elif state == "aged":
                aged(world, name)
            elif state in ("restarted", "empty"):
                restarted(world, name, keys=10 if state == "restarted" else 0)
            elif state == "nofailover":
                world[name].config["cluster-replica-no-failover"] = "yes"
            if state in ("dead", "empty"):
                barred.add(name)
    return world, gone, barred


@settings(max_examples=150, deadline=None)
@given(_sites())
def test_the_takeovers_are_the_fewest_that_make_a_majority_and_nobody_without_data_is_promoted(
    drawn: tuple[World, list[str], set[str]],
) -> None:
    world, gone, barred = drawn
    voters = sum(1 for each in world if each.slots)
    found = planned(world, fenced(*gone, *barred))
    actions = [each for condition in found for each in condition.actions]
    promoted = [each.request for each in actions if each.request]
    assert {each.target for each in promoted}.isdisjoint(map(node_id, barred))
    assert len({each.about for each in actions}) == len(actions)  # nobody is mended twice
    assert all(each.target in {node.node_id for node in world if node.primary == each.primary} for each in promoted)
    takeovers = [each for each in promoted if each.mode is Mode.TAKEOVER]
    assert len(takeovers) == _fewest(world, voters, gone, barred)
    # Nobody is asked for votes before there is a majority.
    kinds = [each.request.mode if each.request else each.kind for each in actions]
    assert kinds[: len(takeovers)] == [Mode.TAKEOVER] * len(takeovers)
    assert all(each.kind in (ActionKind.FAILOVER, ActionKind.WAIT) for each in actions)


def _fewest(world: World, voters: int, gone: list[str], barred: set[str]) -> int:
    """By trying: the smallest set of lost shards whose heirs, with the voters that live, are more than half."""
    replicas = (len(world.members) - voters) // voters
    saved = [each for each in gone if any(f"{each}{nth}" not in barred for nth in range(1, replicas + 1))]
    for count in range(len(saved) + 1):
        if any(2 * (voters - len(gone) + len(some)) > voters for some in combinations(saved, count)):
            return count
    return 0


def test_without_the_operators_word_nothing_is_ever_sent_where_no_majority_is() -> None:
    for gone in combinations("abcde", 3):
        actions: list[Action] = [each for found in planned(lost(World.of(5, 1), *gone)) for each in found.actions]
        assert actions == []
