"""What is told between two pictures: nothing where nothing changed, and nothing left out where something did."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from rcfail.cluster.drift import Event, EventKind, Scope, changes, drift
from rcfail.cluster.facts import Fact, Facts, facts_of, remembered
from rcfail.cluster.nouns import SLOT_COUNT
from rcfail.cluster.observation import SilenceReason
from rcfail.cluster.snapshot import Snapshot
from tests.unit.world import World, node_id

A, A1, B, B1 = node_id("a"), node_id("a1"), node_id("b"), node_id("b1")
FIRST_SLOTS = (0, 5460)


def dead(world: World) -> None:
    world.kill("a")


def suspected(world: World) -> None:
    world["a"].flags += ("fail?",)


def promoted(world: World) -> None:
    """The replica of a took its slots over; the old primary is back below it."""
    old, new = world["a"], world["a1"]
    old.slots, old.primary, old.epoch = (), A1, 7
    new.slots, new.primary, new.epoch = (FIRST_SLOTS,), None, 7


def split(world: World) -> None:
    world["b"].slots, world["c"].slots = ((5461, 8000),), ((8001, 16383),)


def uncovered(world: World) -> None:
    world["c"].slots = ((10922, 16000),)


def link_down(world: World) -> None:
    world["b1"].info |= {"master_link_status": "down", "master_link_down_since_seconds": "9"}


def copying(world: World) -> None:
    link_down(world)
    world["b1"].info |= {"master_sync_in_progress": "1"}


def frozen(world: World) -> None:
    world["b1"].silence = SilenceReason.FROZEN


def gone(world: World) -> None:
    del world.members[node_id("c1")]


def stopped(world: World) -> None:
    world["c"].cluster_info |= {"cluster_state": "fail"}


def restarted(world: World) -> None:
    world["c"].info |= {"run_id": "another process"}


def upgraded(world: World) -> None:
    world["c1"].info |= {"redis_version": "8.4.0"}


def loading(world: World) -> None:
    world["c1"].info |= {"loading": "1"}


def half_moved(world: World) -> None:
    world["a"].open_slots = (f"[93->-{B}]", f"[94->-{B}]", f"[96->-{B}]")


def moved_house(world: World) -> None:
    member = world["c1"]
    member.endpoint = member.endpoint._replace(host="127.50.77.1")


def unfit(world: World) -> None:
    world["b1"].flags += ("nofailover",)


MISHAPS: tuple[Callable[[World], None], ...] = (
    dead, suspected, promoted, split, uncovered, link_down, copying, frozen, gone, stopped, restarted, upgraded,
    loading, half_moved, moved_house, unfit,
)  # fmt: skip


def picture(*mishaps: Callable[[World], None]) -> Snapshot:
    world = World.of(3, 1)
    for each in mishaps:
        each(world)
    return world.snapshot()


def told(before: Snapshot, after: Snapshot) -> list[tuple[EventKind, str, str, str]]:
    return [(each.kind, each.subject.id, each.before, each.after) for each in drift(before, after)]


Mishaps = list[Callable[[World], None]]


def some() -> st.SearchStrategy[Mishaps]:
    """Up to four mishaps, in any order but the last one's: it takes a member away."""
    chosen = st.lists(st.sampled_from(MISHAPS), max_size=4, unique=True)
    return chosen.map(lambda each: sorted(each, key=lambda mishap: mishap is gone))


@given(some())
def test_nothing_happened(mishaps: Mishaps) -> None:
    assert drift(picture(*mishaps), picture(*mishaps)) == ()


def essence(event: Event) -> tuple[Scope, str, str, str]:
    return event.subject.kind, event.subject.id, event.before, event.after


# What is told by another event in one direction: a promotion ends a replica's link, and whom it follows.
_ONE_WAY = {
    EventKind.FOLLOWS, EventKind.LINK_UP, EventKind.LINK_DOWN, EventKind.SYNC_BEGUN, EventKind.SYNC_FINISHED,
}  # fmt: skip


@given(some(), some())
def test_the_way_back_tells_the_same_with_before_and_after_changed(one: Mishaps, other: Mishaps) -> None:
    before, after = picture(*one), picture(*other)
    there = {essence(each) for each in drift(before, after) if each.kind not in _ONE_WAY}
    back = {essence(each) for each in drift(after, before) if each.kind not in _ONE_WAY}
    assert {(kind, subject, after, before) for kind, subject, before, after in back} == there


def replayed(facts: Facts, events: tuple[Event, ...]) -> list[str]:
    """Who owns each slot once the events have happened to it."""
    owner = [who for first, last, who in facts.owners for _ in range(first, last + 1)]
    for event in events:
        if event.subject.kind is Scope.SLOT:
            for part in event.subject.id.split(", "):
                first, _, last = part.partition("-")
                for slot in range(int(first), int(last or first) + 1):
                    assert owner[slot] == event.before
                    owner[slot] = event.after
    return owner


@given(some(), some())
def test_replaying_the_events_gives_the_later_owners(one: Mishaps, other: Mishaps) -> None:
    before, after = facts_of(picture(*one)), facts_of(picture(*other))
    slots = replayed(before, changes(before, after))
    assert slots == [who for first, last, who in after.owners for _ in range(first, last + 1)]
    assert len(slots) == SLOT_COUNT


@given(some(), some(), some())
def test_a_way_round_ends_where_the_straight_way_ends(one: Mishaps, between: Mishaps, last: Mishaps) -> None:
    """With what is remembered of silent nodes nothing is lost on the way, and nothing is told twice."""
    begin, middle, end = (facts_of(picture(*mishaps)) for mishaps in (one, between, last))
    held = remembered(begin, middle)
    assert changes(held, middle) == changes(middle, held) == ()
    assert changes(remembered(held, end), end) == ()
    stayed = {node_id for fact, node_id in middle.of if fact is Fact.MEMBER}
    straight = {essence(each) for each in changes(begin, end) if each.subject.id in stayed}
    there_and_back = {essence(each) for each in (*changes(begin, middle), *changes(held, end))}
    ends = {(kind, subject, after) for kind, subject, _, after in there_and_back if kind is Scope.NODE}
    assert {(kind, subject, after) for kind, subject, _, after in straight if kind is Scope.NODE} <= ends


def test_a_failover_is_told_in_the_order_of_cause_and_effect() -> None:
    story = (picture(), picture(suspected), picture(dead), picture(promoted), picture())
    steps: list[list[tuple[EventKind, str, str, str]]] = []
    known = facts_of(story[0])
    for each in story[1:]:
        now = facts_of(each)
        steps.append([(event.kind, event.subject.id, event.before, event.after) for event in changes(known, now)])
        known = remembered(known, now)
    assert steps[0] == [(EventKind.SUSPECTED, A, "", "suspected")]
    kinds = [kind for kind, *_ in steps[1]]
    assert kinds[:3] == [EventKind.SILENT, EventKind.FAILED, EventKind.LINK_DOWN]
    assert set(kinds[3:]) == {EventKind.STATE_FAIL}
    kinds = [kind for kind, *_ in steps[2] if kind is not EventKind.STATE_OK]
    assert kinds == [
        EventKind.ANSWERS, EventKind.CLEARED, EventKind.EPOCH, EventKind.DEMOTED, EventKind.PROMOTED,
        EventKind.SLOTS_MOVED, EventKind.FOLLOWS, EventKind.LINK_UP,
    ]  # fmt: skip
    assert (EventKind.SLOTS_MOVED, "0-5460", A, A1) in steps[2]
    assert (EventKind.EPOCH, "", "3", "7") in steps[2]


def test_each_mishap_is_told_by_its_name() -> None:
    well = picture()
    assert told(well, picture(link_down)) == [(EventKind.LINK_DOWN, B1, "in-sync", "link-down")]
    assert told(picture(copying), well) == [(EventKind.SYNC_FINISHED, B1, "syncing", "in-sync")]
    assert told(picture(link_down), picture(copying)) == [(EventKind.SYNC_BEGUN, B1, "link-down", "syncing")]
    assert told(well, picture(frozen)) == [(EventKind.SILENT, B1, "", "frozen")]
    assert told(well, picture(gone)) == [(EventKind.NODE_VANISHED, node_id("c1"), "replica", "")]
    assert told(picture(gone), well) == [(EventKind.NODE_APPEARED, node_id("c1"), "", "replica")]
    assert told(well, picture(stopped)) == [(EventKind.STATE_FAIL, node_id("c"), "ok", "fail")]
    assert told(picture(stopped), well) == [(EventKind.STATE_OK, node_id("c"), "fail", "ok")]
    assert told(well, picture(upgraded)) == [(EventKind.VERSION, node_id("c1"), "8.2.3", "8.4.0")]
    assert told(well, picture(half_moved)) == [(EventKind.SLOTS_OPEN, A, "", "migrating 93-94, 96")]
    assert told(well, picture(unfit)) == [(EventKind.FLAGS, B1, "", "nofailover")]
    assert told(well, picture(loading)) == [(EventKind.LOADING, node_id("c1"), "", "loading")]
    assert [kind for kind, *_ in told(well, picture(restarted))] == [EventKind.RESTARTED]
    assert told(well, picture(split)) == [(EventKind.SLOTS_MOVED, "8001-10921", B, node_id("c"))]
    lost = [each for each in told(well, picture(uncovered)) if each[0] is not EventKind.STATE_FAIL]
    assert lost == [(EventKind.SLOTS_LOST, "16001-16383", node_id("c"), "")]
    assert (EventKind.SLOTS_TAKEN, "16001-16383", "", node_id("c")) in told(picture(uncovered), well)
    moved = told(well, picture(moved_house))
    assert [(kind, before[:10], after[:11]) for kind, _, before, after in moved] == [
        (EventKind.ADDRESS, "127.50.1.1", "127.50.77.1")
    ]


def test_when_most_voters_are_gone_the_quorum_is_lost_and_comes_back() -> None:
    world = World.of(3, 1)
    world.kill("a", agreed=False)
    world.kill("b", agreed=False)
    lost = world.snapshot()
    assert (EventKind.QUORUM_LOST, "", "yes", "no") in told(picture(), lost)
    assert (EventKind.QUORUM_STANDS, "", "no", "yes") in told(lost, picture())


def test_what_a_node_said_before_it_fell_silent_is_remembered() -> None:
    well, silent = facts_of(picture()), facts_of(picture(frozen))
    world = World.of(3, 1)
    world["b1"].info |= {"redis_version": "8.4.0", "run_id": "another process"}
    back = facts_of(world.snapshot())
    assert [each.kind for each in changes(silent, back)] == [EventKind.ANSWERS], "alone they cannot tell"
    kinds = [each.kind for each in changes(remembered(well, silent), back)]
    assert kinds == [EventKind.ANSWERS, EventKind.RESTARTED, EventKind.VERSION]
