"""Where a canary's client goes when it is sent on, and what it calls the answers that were no success."""

from __future__ import annotations

import pytest

from rcfail.cluster.nouns import Endpoint, SlotRange
from rcfail.cluster.observation import SilenceReason
from rcfail.cluster.snapshot import Snapshot
from rcfail.practice.canary import Canary, steady_slots
from rcfail.practice.canary_client import kind_of, members_of
from rcfail.wire.door import Door
from rcfail.wire.refusals import Refusal, RefusalKind, refusal_of, unheard
from tests.unit.world import World, node_id

A, A1, A2 = node_id("a"), node_id("a1"), node_id("a2")


def seen(world: World) -> Snapshot:
    return world.snapshot()


@pytest.mark.parametrize("host", ["{own}", "node-a1.example", "NODE-A1.example", "", "?"])
def test_a_member_is_known_by_address_and_by_name(host: str) -> None:
    world = World.of(3, 2)
    world["a1"].hostname = "node-a1.example"
    world["a"].endpoint = world["a1"].endpoint._replace(port=7999)  # the same host, as behind one address
    members = members_of(seen(world), A)
    place = world["a1"].endpoint
    assert members.named(f"{host.format(own=place.host)}:{place.port}", by=A) == A1


@pytest.mark.parametrize("text", ["10.9.9.9:6379", ":1", "", "127.50.1.1", "127.50.1.1:", "127.50.1.1:x", "::"])
def test_who_is_no_member_is_not_gone_to(text: str) -> None:
    assert members_of(seen(World.of(3, 2)), A).named(text, by=A) is None


def test_only_members_of_the_shard_are_dialled() -> None:
    world = World.of(3, 2)
    members = members_of(seen(world), A)
    assert set(members.places) == {A, A1, A2}
    assert members.named(str(world["b"].endpoint), by=A) is None
    assert next(iter(members.places)) == A, "the primary is asked first"


def test_an_ipv6_address_is_written_without_brackets() -> None:
    world = World.of(3, 1)
    world["a1"].endpoint = Endpoint("fd00::7", 7000)
    assert members_of(seen(world), A).named("fd00::7:7000", by=A) == A1


@pytest.mark.parametrize(
    ("refused", "kind"),
    [
        (refusal_of("MOVED 77 10.0.0.1:7000"), "MOVED"),
        (refusal_of("CLUSTERDOWN The cluster is down"), "CLUSTERDOWN"),
        (refusal_of("LOADING Valkey is loading the dataset in memory"), "LOADING"),
        (refusal_of("NOPERM this user has no permissions"), "NOPERM"),
        (refusal_of("OOM command not allowed when used memory > 'maxmemory'."), "OOM"),
        (refusal_of("ERR max number of clients reached"), "clients-full"),
        (refusal_of("ERR something else"), "ERR"),
        (Refusal(RefusalKind.ERROR, "\x1b[2Jnonsense of a stranger"), "ERR"),
        (unheard(SilenceReason.FROZEN), "timeout"),
        (unheard(SilenceReason.CONNECT_TIMEOUT), "timeout"),
        (unheard(SilenceReason.REFUSED), "refused"),
        (Refusal(RefusalKind.WRONG_NODE, "another node is at 10.0.0.1:7000"), "wrong-node"),
    ],
)
def test_each_kind_has_one_word(refused: Refusal, kind: str) -> None:
    assert kind_of(refused) == kind


def test_a_shard_without_slots_is_not_begun_with() -> None:
    world = World.of(3, 1)
    world["a"].slots = ()
    canary = Canary(Door(), seen(world), A)
    assert "no slot" in canary.start()
    assert canary.is_shut_out
    felt = canary.result()
    assert (felt.lost, felt.write_gap_ms, felt.why) == (None, None, canary.unready)


@pytest.mark.parametrize(
    ("slots", "open_slots", "steady"),
    [
        (((0, 10),), (0, 5, 10), [(1, 4), (6, 9)]),
        (((0, 10), (20, 20)), (20,), [(0, 10)]),
        (((0, 10),), (), [(0, 10)]),
        (((7, 8),), (7, 8), []),
    ],
)
def test_half_moved_slots_are_left_alone(
    slots: tuple[SlotRange, ...], open_slots: tuple[int, ...], steady: list[SlotRange]
) -> None:
    """A new key in one is sent elsewhere with ASK, whoever leads the shard."""
    world = World.of(3, 1)
    world["a"].slots = slots
    world["a"].open_slots = tuple(f"[{slot}->-{node_id('b')}]" for slot in open_slots)
    assert list(steady_slots(seen(world).nodes[A])) == steady
