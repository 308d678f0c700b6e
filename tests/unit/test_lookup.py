"""What an operator's word means: nodes, hosts and zones, and what to say when it means nothing or too much."""

from __future__ import annotations

import pytest

from rcfail.cluster.lookup import Kind, meanings, near
from rcfail.cluster.merge import merge
from rcfail.cluster.nouns import Endpoint
from rcfail.cluster.snapshot import Snapshot
from rcfail.cluster.zones import ZoneLabels
from tests.unit.world import World, node_id

LABELS = ZoneLabels((("127.50.1.1", "East"), ("*", "west")))


def named_world() -> Snapshot:
    """3+3 over three hosts, two zones; the nodes of the first host announce a name."""
    world = World.of(3, 1)
    for letter in ("a", "c1"):
        line = world[letter].line().replace("@", "@", 1)
        head, _, tail = line.partition(" master" if letter == "a" else " slave")
        named = f"{head},db1.example{' master' if letter == 'a' else ' slave'}{tail}"
        for member in world:
            own = member is world[letter]
            member.sees[node_id(letter)] = (
                named.replace(" master", " myself,master") if own and letter == "a" else named
            )
        if letter == "c1":
            world["c1"].sees[node_id("c1")] = named.replace(" slave", " myself,slave")
    return merge(world.observe(), LABELS)


SNAPSHOT = named_world()


def said(word: str) -> list[tuple[str, str, int]]:
    return [(each.kind.value, each.name, len(each.node_ids)) for each in meanings(SNAPSHOT, word)]


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        (node_id("a"), ("node", node_id("a"), 1)),
        ("aaaa", ("node", node_id("a"), 1)),
        ("AAAAAAAA", ("node", node_id("a"), 1)),
        ("127.50.1.1:7000", ("node", node_id("a"), 1)),
        ("db1.example:7000", ("node", node_id("a"), 1)),
        ("127.50.1.1", ("host", "127.50.1.1", 2)),
        ("db1.example", ("host", "db1.example", 2)),
        ("DB1.example", ("host", "db1.example", 2)),
        ("west", ("zone", "west", 4)),
        ("zone:west", ("zone", "west", 4)),
        ("node:b100", ("node", node_id("b1"), 1)),
        (" host:127.50.2.1 ".strip(), ("host", "127.50.2.1", 2)),
    ],
)
def test_a_word_with_one_meaning(word: str, expected: tuple[str, str, int]) -> None:
    assert said(word) == [expected]


def test_a_zone_of_the_same_nodes_as_a_host_is_no_second_meaning() -> None:
    assert len(said("east")) == 1
    assert said("zone:east") == [("zone", "East", 2)]


@pytest.mark.parametrize(
    "word", ["", "aaa", "aaab", "127.50.1", "127.50.1.1:7001", "north", "zone:127.50.1.1", "host:west"]
)
def test_a_word_without_meaning(word: str) -> None:
    assert said(word) == []


def test_a_prefix_of_two_ids_means_both() -> None:
    world = World.of(3, 1)
    for at, letter in enumerate(("d1d1aa", "d1d1bb")):
        member = world[["a1", "b1"][at]]
        del world.members[member.node_id]
        member.node_id = node_id(letter)
        world.members[member.node_id] = member
    found = meanings(world.snapshot(), "d1d1")
    assert {each.node_ids for each in found} == {(node_id("d1d1aa"),), (node_id("d1d1bb"),)}
    assert all(each.word.startswith("node:d1d1") for each in found)


def test_a_zone_named_like_a_host_is_ambiguous_until_its_kind_is_said() -> None:
    snapshot = merge(World.of(3, 1).observe(), ZoneLabels((("127.50.3.1", "127.50.1.1"),)))
    assert {each.kind for each in meanings(snapshot, "127.50.1.1")} == {Kind.HOST, Kind.ZONE}
    (only,) = meanings(snapshot, "zone:127.50.1.1")
    assert len(only.node_ids) == 2


def test_an_ipv6_host_with_and_without_brackets() -> None:
    world = World.of(3, 1)
    world["a"].endpoint = Endpoint("fd00::7", 7000)
    snapshot = world.snapshot()
    for word in ("fd00::7", "[fd00::7]"):
        assert [each.kind for each in meanings(snapshot, word)] == [Kind.HOST]
    assert [each.kind for each in meanings(snapshot, "[fd00::7]:7000")] == [Kind.NODE]


@pytest.mark.parametrize(
    ("word", "expected"),
    [("wets", "west"), ("127.50.1.2", "127.50.1.1"), ("zone:wst", "west"), ("db1.exmple", "db1.example")],
)
def test_near_words_are_offered(word: str, expected: str) -> None:
    assert expected in near(SNAPSHOT, word)
    assert near(SNAPSHOT, "nothing-like-it-at-all") == ()


def test_a_port_alone_is_answered_with_addresses() -> None:
    assert near(SNAPSHOT, "8001") == ("127.50.3.1:8001",)
    assert near(SNAPSHOT, "9999") == ()
