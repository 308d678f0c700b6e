"""What TARGET, --slot, --avoid and --prefer-zone mean, and what is said where they mean nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rcfail.change.target import Aim, CannotMove, NotMeant, aimed, meant_node, meant_places, meant_zone
from rcfail.cluster.merge import merge
from rcfail.cluster.observation import SilenceReason
from rcfail.cluster.snapshot import Snapshot
from rcfail.cluster.zones import ZoneLabels
from rcfail.errors import RcfailError
from rcfail.exits import ExitCode
from tests.unit.world import World, node_id

A, A1 = node_id("a"), node_id("a1")


def labels(*rules: str) -> ZoneLabels:
    return ZoneLabels(tuple((pattern, zone) for pattern, _, zone in (each.partition("=") for each in rules)))


def said(fault: pytest.ExceptionInfo[RcfailError]) -> str:
    return f"{fault.value.message} | {fault.value.hint}"


@pytest.mark.parametrize(
    ("word", "slot", "aim"),
    [
        ("a100", None, Aim(A, A1)),
        (A1, None, Aim(A, A1)),
        ("127.50.2.1:8000", None, Aim(A, A1)),
        ("node:127.50.2.1:8000", None, Aim(A, A1)),
        ("aaaa", None, Aim(A, None, named_primary=True)),
        ("127.50.1.1:7000", None, Aim(A, None, named_primary=True)),
        (A.upper(), None, Aim(A, None, named_primary=True)),
        (None, 0, Aim(A, None, named_primary=True)),
        (None, 16383, Aim(node_id("c"), None, named_primary=True)),
    ],
)
def test_what_is_meant(word: str | None, slot: int | None, aim: Aim) -> None:
    assert aimed(World.of(3, 1).snapshot(), word, slot) == aim


def test_a_silent_replica_and_a_dead_primary_can_be_named() -> None:
    world = World.of(3, 1)
    world["b1"].silence = SilenceReason.CONNECT_TIMEOUT
    world.kill("a")
    snapshot = world.snapshot()
    assert aimed(snapshot, "b100", None) == Aim(node_id("b"), node_id("b1"))
    assert aimed(snapshot, "aaaa", None) == Aim(A, None, named_primary=True)
    assert aimed(snapshot, None, 7) == Aim(A, None, named_primary=True)


def test_a_replica_of_a_replica_aims_at_the_shard_that_it_is_in() -> None:
    world = World.of(3, 2)
    world["a2"].primary = A1
    assert aimed(world.snapshot(), "a200", None) == Aim(A, node_id("a2"))


def test_an_ambiguous_prefix_lists_all_with_address_role_and_shard() -> None:
    world = World.of(3, 0)
    for name, member in (("beef1", world["a"]), ("beef2", world["b"]), ("beef11", world["c"])):
        member.node_id = node_id(name)
    world.members = {each.node_id: each for each in world}
    world["beef2"].primary, world["beef2"].slots = node_id("beef1"), ()
    with pytest.raises(NotMeant) as fault:
        aimed(world.snapshot(), "beef", None)
    assert "beef can mean 3 nodes" in said(fault)
    assert "127.50.2.1:7000 (beef2000), replica of 127.50.1.1:7000 (beef1000)" in said(fault)
    assert "127.50.1.1:7000 (beef1000), owner of 5461 slots (0-5460)" in said(fault)
    assert fault.value.exit_code is ExitCode.USAGE
    example = fault.value.hint.split()[8].strip(",")
    assert aimed(world.snapshot(), example, None).primary == node_id("beef1"), "what the hint says can be typed"


def test_ids_that_differ_late_are_told_apart_in_the_hint() -> None:
    world = World.of(3, 0)
    world["a"].node_id, world["b"].node_id = node_id("c" * 20 + "1"), node_id("c" * 20 + "2")
    world.members = {each.node_id: each for each in world}
    with pytest.raises(NotMeant) as fault:
        aimed(world.snapshot(), "cccc", None)
    assert "c" * 20 + "1" in fault.value.hint or "c" * 21 in fault.value.hint


@pytest.mark.parametrize(
    ("word", "message", "hint"),
    [
        ("127.50.1.9:7000", "is no node of this cluster", "Did you mean 127.50.1.1:7000"),
        ("7001", "is no node of this cluster", "--slot 7001"),
        ("8000", "is no node of this cluster", "127.50.2.1:8000"),
        ("99999999", "is no node of this cluster", "rcfail nodes -s 127.50.1.1:7000"),
        ("ab", "is no node of this cluster", "at least its first 4 digits"),
        ("127.50.1.1", "is the host 127.50.1.1 with 2 nodes", "rcfail drain --host 127.50.1.1"),
        ("host:127.50.1.1", "is the host 127.50.1.1 with 2 nodes", "A failover takes one node"),
        ("east", "is the zone east with 4 nodes", "rcfail drain --zone east"),
        ("  ", "which node?", "--slot N"),
        (None, "which node?", "--slot N"),
    ],
)
def test_a_word_that_means_no_node(word: str | None, message: str, hint: str) -> None:
    with pytest.raises(NotMeant) as fault:
        aimed(merge(World.of(3, 1).observe(), labels("127.50.[12].1=east")), word, None)
    assert message in fault.value.message
    assert hint in fault.value.hint
    assert fault.value.exit_code is ExitCode.USAGE


def test_a_node_and_a_slot_cannot_both_be_named() -> None:
    with pytest.raises(NotMeant, match="exclude each other"):
        aimed(World.of(3, 1).snapshot(), "aaaa", 5)


@pytest.mark.parametrize("slot", [-1, 16384, 10**9])
def test_a_slot_that_does_not_exist(slot: int) -> None:
    with pytest.raises(NotMeant, match="there is no slot"):
        aimed(World.of(3, 1).snapshot(), None, slot)


def cannot(snapshot: Snapshot, word: str | None, slot: int | None = None) -> str:
    with pytest.raises(CannotMove) as fault:
        aimed(snapshot, word, slot)
    assert fault.value.exit_code is ExitCode.REFUSED
    assert fault.value.hint
    return said(fault)


def test_a_slot_without_an_owner() -> None:
    world = World.of(3, 1)
    world["a"].slots = ((1, 5460),)
    assert "slot 0 has no owner" in cannot(world.snapshot(), None, 0)


def test_a_primary_without_replicas() -> None:
    world = World.of(3, 1)
    del world.members[A1]
    text = cannot(world.snapshot(), "aaaa")
    assert "has no replica that could take over 5461 slots (0-5460)" in text
    assert f"CLUSTER REPLICATE {A}" in text
    assert text == cannot(world.snapshot(), None, 17)


def test_a_spare_primary_is_named_as_the_replica_to_be() -> None:
    world = World.of(3, 1)
    world["a1"].primary = None
    assert f"redis-cli -h 127.50.2.1 -p 8000 CLUSTER REPLICATE {A}" in cannot(world.snapshot(), "aaaa")
    assert "without slots and without replicas" in cannot(world.snapshot(), "a100")


def test_a_replica_whose_primary_nobody_lists() -> None:
    world = World.of(3, 1)
    world["a1"].primary = node_id("f")
    text = cannot(world.snapshot(), "a100")
    assert "is a replica of ffffffff, which nobody lists" in text


def test_what_avoid_and_prefer_zone_mean() -> None:
    snapshot = merge(World.of(3, 1).observe(), labels("127.50.[12].1=east", "*=west"))
    on_third = frozenset({node_id("c"), node_id("b1")})
    assert meant_places(snapshot, "--avoid", ["127.50.3.1"]) == on_third
    assert meant_places(snapshot, "--avoid", ["West", "aaaa"]) == on_third | {A}
    assert meant_places(snapshot, "--avoid", []) == frozenset()
    assert meant_zone(snapshot, "--prefer-zone", "EAST") == meant_zone(snapshot, "--prefer-zone", "zone:east") == "east"
    assert meant_node(snapshot, "aaaa", "--expect-primary") == A


@pytest.mark.parametrize(
    ("option", "word", "hint"),
    [
        ("--avoid", "127.50.1.9", "Did you mean 127.50"),
        ("--avoid", "wast", "west"),
        ("--prefer-zone", "north", "There are: east and west"),
        ("--expect-primary", "east", "A failover takes one node"),
        ("--expect-primary", "dddd", "rcfail nodes"),
    ],
)
def test_an_unknown_place_names_its_option(option: str, word: str, hint: str) -> None:
    snapshot = merge(World.of(3, 1).observe(), labels("127.50.[12].1=east", "*=west"))
    ask: dict[str, Callable[[], object]] = {
        "--avoid": lambda: meant_places(snapshot, option, [word]),
        "--prefer-zone": lambda: meant_zone(snapshot, option, word),
        "--expect-primary": lambda: meant_node(snapshot, word, option),
    }
    with pytest.raises(NotMeant) as fault:
        ask[option]()
    assert fault.value.message.startswith(f"{option} {word}")
    assert hint in fault.value.hint


def test_a_word_for_a_host_and_a_zone_is_asked_back() -> None:
    snapshot = merge(World.of(3, 1).observe(), labels("127.50.3.1=127.50.1.1"))
    with pytest.raises(NotMeant) as fault:
        meant_places(snapshot, "--avoid", ["127.50.1.1"])
    assert "can mean several things: host:127.50.1.1 (2 nodes), zone:127.50.1.1 (2 nodes)" in said(fault)
    assert "--avoid host:127.50.1.1" in said(fault)


def test_without_any_zone_the_way_to_tell_them_is_named() -> None:
    with pytest.raises(NotMeant, match="--prefer-zone east is no zone") as fault:
        meant_zone(World.of(3, 1).snapshot(), "--prefer-zone", "east")
    assert "--zone PATTERN=ZONE" in fault.value.hint


def test_a_zone_that_nobody_tells_of_is_answered_with_how_to_tell_it() -> None:
    """As `rcfail drain --zone east` asks, on servers that know no zones."""
    with pytest.raises(NotMeant, match="east is no zone of this cluster") as fault:
        meant_places(World.of(3, 1).snapshot(), "", ["zone:east"])
    assert "--zone PATTERN=ZONE" in fault.value.hint
