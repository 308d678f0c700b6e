"""What is waited for before a failover: what comes by itself, and the cooldown where that was asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from rcfail.change.history import Stood
from rcfail.change.mover import Eyes, judge_patiently
from rcfail.change.request import Mode, Override, Request
from rcfail.change.seen import Seen
from rcfail.cluster.nouns import NodeId
from rcfail.cluster.snapshot import Snapshot
from rcfail.errors import Refused
from tests.unit.judging import A1, A, seen_of, world_of
from tests.unit.scripted import ScriptedClock
from tests.unit.world import World

WAIT = Request(A1, A, Mode.GRACEFUL, frozenset({Override.WAIT_COOLDOWN}))


class Scripted(Eyes):
    """Shows what a function of the number of the look gives; the last one again and again."""

    def __init__(self, show: Callable[[int], Seen]) -> None:
        self.looks = 0
        self._show = show

    def look(self) -> Snapshot:
        raise AssertionError("nobody looks without a primary")

    def see(self, _: NodeId) -> Seen:
        self.looks += 1
        return self._show(self.looks)


def well() -> World:
    """All are fit, and the target has stood for election once."""
    world = world_of()
    world["a1"].cluster_info["cluster_stats_messages_auth-req_sent"] = "3"
    return world


def unheard() -> World:
    """The primary has not heard yet that the target is its replica."""
    world = well()
    world["a"].sees[A1] = world["a1"].line(primary=None)
    return world


def half_moved() -> World:
    world = well()
    world["a"].open_slots = (f"[77->-{world['b'].node_id}]",)
    return world


def stood(seen: Seen, ago_ms: int) -> Seen:
    return replace(seen, stood=(Stood(A1, seen.snapshot.taken_at_unix_ms - ago_ms),))


def judged(eyes: Scripted, request: Request = WAIT) -> tuple[bool, list[str], ScriptedClock]:
    """Whether it is refused in the end, what was told, and the clock with what was slept."""
    clock, told = ScriptedClock(), list[str]()
    return judge_patiently(eyes, request, clock, told.append).refused, told, clock


def test_what_is_well_is_judged_by_one_look() -> None:
    eyes = Scripted(lambda _: seen_of(well()))
    refused, told, clock = judged(eyes)
    assert (refused, told, clock.slept, eyes.looks) == (False, [], [], 1)


def test_gossip_that_is_on_its_way_is_waited_for() -> None:
    eyes = Scripted(lambda look: seen_of(unheard() if look < 4 else well()))
    refused, told, _ = judged(eyes)
    assert (refused, eyes.looks) == (False, 4)
    assert "has not heard yet" in told[0]


def test_gossip_that_does_not_come_is_waited_for_so_long_and_no_longer() -> None:
    refused, _, clock = judged(Scripted(lambda _: seen_of(unheard())))
    assert refused
    assert 10 < sum(clock.slept) < 20, "up to 11 s were seen on Redis"


def test_a_half_moved_slot_does_not_mend_itself() -> None:
    eyes = Scripted(lambda _: seen_of(half_moved()))
    refused, told, clock = judged(eyes)
    assert (refused, told, clock.slept, eyes.looks) == (True, [], [], 1)


def test_the_cooldown_is_waited_for_also_after_the_gossip() -> None:
    """Both stand in the way right after a switch; what is left of the cooldown when all know it is waited for too."""

    def show(look: int) -> Seen:
        seen = seen_of(unheard() if look < 3 else well())
        return stood(seen, 10_000) if look < 4 else seen

    eyes, clock, told = Scripted(show), ScriptedClock(), list[str]()
    found = judge_patiently(eyes, WAIT, clock, told.append)
    assert not found.refused
    assert found.cooldown_ms is None, "the servers would have said OK, and done nothing"
    assert any("cooldown" in each for each in told)
    assert max(clock.slept) > 1


def test_without_being_told_so_nobody_waits_for_the_cooldown() -> None:
    eyes = Scripted(lambda _: stood(seen_of(well()), 10_000))
    refused, _, slept = judged(eyes, Request(A1, A))
    assert (refused, slept.slept) == (True, [])


def test_a_member_that_went_away_is_a_refusal() -> None:
    eyes = Scripted(lambda _: seen_of(well()))
    with pytest.raises(Refused, match="nobody knows node ffffffff"):
        judge_patiently(eyes, Request(NodeId("f" * 40), A), ScriptedClock(), lambda _: None)
