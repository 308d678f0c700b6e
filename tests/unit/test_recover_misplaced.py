"""Replicas that follow another replica or a ghost: whom they belong to, and when nobody may move them."""

from __future__ import annotations

from dataclasses import replace

from rcfail.change.checks import refusing
from rcfail.change.recover.action import ActionKind
from rcfail.change.recover.case import Case, Question
from rcfail.change.recover.condition import Condition, ConditionCode
from rcfail.change.recover.replicas import misplaced
from rcfail.cluster.nouns import Endpoint
from rcfail.cluster.observation import SilenceReason
from tests.unit.world import NOW_UNIX_MS, Member, World, node_id

A, A1, A2, B, C, E = (node_id(each) for each in ("a", "a1", "a2", "b", "c", "e"))
LOST: dict[str, str | None] = {
    "master_link_status": "down",
    "master_last_io_seconds_ago": "-1",
    "master_link_down_since_seconds": "400",
}


def conditions(world: World, shard_ids: dict[str, str] | None = None) -> list[Condition]:
    case = Case(world.snapshot())
    replies = {
        Question(world[name].endpoint, ("CLUSTER", "MYSHARDID")): said for name, said in (shard_ids or {}).items()
    }
    assert not set(replies) - set(misplaced.questions(case)), "what is answered was asked"
    return list(misplaced.conditions(replace(case, replies=replies), frozenset()))


def the(world: World, shard_ids: dict[str, str] | None = None) -> Condition:
    (found,) = conditions(world, shard_ids)
    return found


def chained() -> World:
    """a2 follows a1, which follows a."""
    world = World.of(3, 2)
    world["a2"].primary = A1
    world["a2"].info |= {"master_replid": A}
    return world


def test_where_every_replica_follows_a_primary_nothing_is_found() -> None:
    assert conditions(World.of(3, 2)) == []


# A replica of a replica


def test_it_is_told_to_follow_the_primary_of_its_shard() -> None:
    world = chained()
    found = the(world)
    (action,) = found.actions
    assert (found.code, found.nodes) == (ConditionCode.REPLICA_OF_REPLICA, (A2, A1, A))
    assert action.key == ("replicate", A2, A)
    assert action.sends[0].command == ("CLUSTER", "REPLICATE", A)
    assert not [each for each in action.loses if each.counts], "a and a1 hold the same"
    assert not refusing(each.check(world.snapshot()) for each in action.guards)


def test_a_guard_holds_it_back_once_the_server_healed_it() -> None:
    action = the(chained()).actions[0]
    healed = World.of(3, 2).snapshot()
    assert [each.code for each in refusing(each.check(healed) for each in action.guards)] == ["astray"]
    assert not refusing(each.check(healed) for each in action.expects)


def test_what_only_it_holds_counts_as_lost() -> None:
    """The primary was emptied, and so was the replica between them."""
    world = chained()
    world["a"].info |= {"master_replid": "f" * 40, "db0": None}
    world["a1"].info |= {"master_replid": "f" * 40, "db0": None}
    (losing,) = the(world).actions[0].loses
    assert (losing.node, losing.keys, losing.copies, losing.counts) == (A2, 10, 0, True)


def test_two_that_follow_each_other_are_a_choice() -> None:
    world = World.of(3, 2)
    world["a2"].primary, world["a1"].primary = A1, A2
    found = conditions(world)
    assert {each.nodes[0] for each in found} == {A1, A2}
    assert all(each.choice and not each.actions for each in found)
    assert "no primary is above them" in found[0].evidence


def test_a_dead_primary_comes_first() -> None:
    world = chained()
    world.kill("a")
    found = the(world)
    assert found.actions == ()
    assert f"rcfail recover {A} --dry-run" in found.advice


# A replica of a ghost


def ghost(name: str = "e", dead_s: int = 400) -> Member:
    """A primary without slots that everybody holds for dead."""
    at = NOW_UNIX_MS - dead_s * 1000
    return Member(
        node_id(name),
        Endpoint("127.50.9.1", 9900),
        flags=("fail",),
        link="disconnected",
        ping_sent=at,
        pong_received=at,
        silence=SilenceReason.REFUSED,
    )


def haunted(dead_s: int = 400) -> World:
    """a2 follows e, which is dead and owns nothing."""
    world = World.of(3, 2)
    world.members[E] = ghost(dead_s=dead_s)
    world["a2"].primary = E
    world["a2"].info |= LOST | {"master_replid": "e" * 40}
    return world


def test_the_stream_tells_where_it_belongs() -> None:
    """Its data is of the stream that a goes on with: a was promoted when e died."""
    world = haunted()
    world["a"].info |= {"master_replid2": "e" * 40, "second_repl_offset": "5001"}
    found = the(world)
    (action,) = found.actions
    assert (found.code, found.nodes) == (ConditionCode.REPLICA_OF_GHOST, (A2, E, A))
    assert action.key == ("replicate", A2, A)
    assert "of the same stream" in found.story
    assert not [each for each in action.loses if each.counts]
    assert not refusing(each.check(world.snapshot()) for each in action.guards)


def test_what_it_has_of_the_old_stream_and_nobody_else_counts_as_lost() -> None:
    world = haunted()
    world["a"].info |= {"master_replid2": "e" * 40, "second_repl_offset": "4001"}
    found = the(world)
    (losing,) = found.actions[0].loses
    assert (losing.keys, losing.copies) == (10, 0)
    assert "1000 bytes of the old stream that its new primary never had" in found.story


def test_the_shards_own_id_tells_it_too() -> None:
    found = the(haunted(), {"a2": "9" * 40, "a": "8" * 40, "b": "9" * 40, "c": "7" * 40})
    assert found.actions[0].aims == (B,)
    assert found.actions[0].loses[0].counts, "nobody has its stream"


def test_an_old_server_has_no_shard_ids_to_ask_for() -> None:
    world = haunted()
    world.version = "6.2.14"
    assert not list(misplaced.questions(Case(world.snapshot())))


def test_the_slots_that_it_has_for_its_primarys_tell_it_last() -> None:
    world = haunted()
    world["a2"].sees[E] = world["e"].line(slots=((0, 5460),))
    world["a2"].sees[A] = world["a"].line(slots=())
    found = the(world)
    assert found.actions[0].aims == (A,)
    assert "it owns all of 5461 slots (0-5460)" in found.story


def test_a_dead_primary_whose_slots_one_node_still_knows_is_no_ghost() -> None:
    """All others forgot it, and nobody took its slots over: its replica is what brings them back."""
    world = World.of(3, 1)
    world.kill("a")
    for name in ("b", "b1", "c", "c1"):
        world[name].sees[A] = None
    assert conditions(world) == []


def test_without_any_primary_and_with_lost_slots_it_is_left_alone() -> None:
    world = haunted()
    world.members.pop(E)
    world["a2"].primary = E
    world["a"].slots = ((100, 5460),)
    found = the(world)
    assert found.actions == ()
    assert "nobody owns 100 slots (0-99)" in found.evidence
    assert f"rcfail failover {A2} --force --dry-run" in found.advice


def test_keys_of_nobody_knows_whom_are_a_choice() -> None:
    found = the(haunted())
    assert (found.choice, found.actions) == (True, ())
    assert "10 keys, of stream eeeeeeee" in found.evidence
    assert "CLUSTER REPLICATE NODE_ID" in found.advice


def test_two_that_fit_are_a_choice() -> None:
    world = haunted()
    for name in ("a", "b"):
        world[name].info |= {"master_replid2": "e" * 40, "second_repl_offset": "5001"}
    found = the(world)
    assert found.choice
    assert world["a"].endpoint.host in found.story
    assert world["b"].endpoint.host in found.story


def test_one_that_holds_nothing_goes_where_it_is_missed_most() -> None:
    world = haunted()
    world["a2"].info["db0"] = None
    world.kill("c1")
    world.kill("c2")
    found = the(world)
    assert found.actions[0].aims == (C,)
    assert found.actions[0].loses == ()


def test_the_news_of_a_new_primary_may_still_be_on_its_way() -> None:
    assert conditions(haunted(dead_s=3)) == []


def test_a_living_primary_without_slots_is_no_ghost() -> None:
    world = World.of(3, 2)
    world.members[E] = Member(E, Endpoint("127.50.9.1", 9900))
    world["a2"].primary = E
    assert conditions(world) == []


def test_a_dead_primary_with_slots_is_no_ghost() -> None:
    world = World.of(3, 1)
    world.kill("a")
    assert conditions(world) == []


def test_only_replicate_is_ever_sent() -> None:
    worlds = [chained(), haunted()]
    sent = {
        send.command[:2] for world in worlds for each in conditions(world) for act in each.actions for send in act.sends
    }
    assert sent <= {("CLUSTER", "REPLICATE")}
    assert all(
        act.kind is ActionKind.REPLICATE for world in worlds for each in conditions(world) for act in each.actions
    )
