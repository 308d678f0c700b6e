"""What else goes on in the cluster: slots on their way, elections elsewhere, and what cannot be told of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from rcfail.change.checks import Check, CheckVerdict
from rcfail.change.preflight import preflight
from rcfail.change.request import Mode, Override, Request
from rcfail.change.seen import Seen
from rcfail.cluster.observation import Absence, AbsenceKind, Ask
from tests.unit.judging import A1, A, B, C, seen_of, world_of
from tests.unit.world import World

GRACEFUL, FORCE, TAKEOVER = Mode.GRACEFUL, Mode.FORCE, Mode.TAKEOVER
PASS, WARN, FAIL, UNKNOWN = CheckVerdict.PASS, CheckVerdict.WARN, CheckVerdict.FAIL, CheckVerdict.UNKNOWN
Break = Callable[[World], object]


def other(seen: Seen, mode: Mode = GRACEFUL, *given: Override, code: str = "other-change") -> Check:
    checks = preflight(seen, Request(A1, A, mode, frozenset(given)))
    return next(each for each in checks if each.code == code)


def migrating(world: World) -> None:
    world["a"].open_slots = (f"[77->-{B}]",)


def importing(world: World) -> None:
    """The mark is on the other end alone, which is of another shard."""
    world["b"].open_slots = (f"[77-<-{A}]",)


def migration(state: str, source: str = A) -> Break:
    def broken(world: World) -> None:
        world.version = "9.1.2"
        for each in world:
            each.migrations = ()
        job = {"name": "job-1", "state": state, "source_node": source, "target_node": C, "slot_ranges": "77-80"}
        world["c"].migrations = (job,)

    return broken


def handing_over(world: World) -> None:
    world["b"].info["paused_reason"] = "failover_in_progress"


def untold(letter: str) -> Break:
    return lambda world: world[letter].absences.update({Ask.CLUSTER_INFO: Absence(AbsenceKind.NOT_PERMITTED)})


def untold_migrations(world: World) -> None:
    world.version = "9.1.2"


@pytest.mark.parametrize(("broken", "verdict"), [
    (migrating, FAIL),
    (importing, FAIL),
    (lambda world: setattr(world["b"], "open_slots", (f"[6000->-{C}]",)), PASS),  # of two other shards
    (migration("occupying-slots"), FAIL),
    (migration("success"), PASS),
    (migration("occupying-slots", B), PASS),
    (handing_over, FAIL),
    (untold("a"), UNKNOWN),
    (untold("a1"), UNKNOWN),
    (untold_migrations, UNKNOWN),
])  # fmt: skip
def test_a_change_of_this_shard_or_an_election_is_not_disturbed(broken: Break, verdict: CheckVerdict) -> None:
    world = world_of()
    broken(world)
    check = other(seen_of(world))
    assert check.verdict is verdict, check.evidence
    assert check.override is (None if verdict is PASS else Override.OTHER_CHANGE)
    assert not other(seen_of(world), GRACEFUL, Override.OTHER_CHANGE).refuses
    assert other(seen_of(world), TAKEOVER).verdict is (PASS if verdict is PASS else WARN)


def test_force_is_let_through_only_where_the_primary_is_dead() -> None:
    world = world_of()
    importing(world)
    assert other(seen_of(world), FORCE).verdict is FAIL
    world.kill("a")
    assert other(seen_of(world), FORCE).verdict is WARN


@pytest.mark.parametrize(("field", "said"), [
    ("cluster_stats_messages_auth-req_received", "votes were asked for"),
    ("cluster_stats_messages_auth-ack_sent", "votes were asked for"),
    ("cluster_stats_messages_mfstart_received", "a graceful failover was begun"),
    ("cluster_current_epoch", "epoch went from 3 to 9"),
])  # fmt: skip
def test_what_moves_between_two_looks_is_an_election(field: str, said: str) -> None:
    before, world = world_of().snapshot(), world_of()
    world["b"].cluster_info[field] = "9"
    check = other(replace(seen_of(world), before=before))
    assert check.verdict is FAIL
    assert said in check.evidence
    assert other(replace(seen_of(world), before=world.snapshot())).verdict is PASS, "it is over"


def test_without_a_second_look_it_is_not_known() -> None:
    check = other(replace(seen_of(world_of()), before=None))
    assert (check.verdict, check.override, check.refuses) == (UNKNOWN, Override.OTHER_CHANGE, True)


def test_who_falls_silent_between_the_looks_leaves_it_open() -> None:
    before, world = world_of().snapshot(), world_of()
    world.kill("c1", agreed=False)
    check = other(replace(seen_of(world), before=before))
    assert check.verdict is UNKNOWN
    assert "fell silent" in check.evidence


def test_an_election_that_is_due_in_another_shard_takes_the_same_votes() -> None:
    world = world_of()
    world.kill("b")
    for each in world:
        each.ping_sent = 0
    check = other(seen_of(world))
    assert check.verdict is FAIL
    assert "127.50.2.1:7000" in check.evidence


def test_another_shard_that_nobody_can_take_over_holds_nobody_up() -> None:
    world = world_of()
    world.kill("b")
    world.kill("b1")
    assert other(seen_of(world)).verdict is PASS


def test_a_backlog_that_is_smaller_than_what_is_written_costs_full_copies() -> None:
    """A second between the looks; 15 s of node timeout."""
    world = world_of()
    earlier = world.snapshot()
    views = {each.observer: replace(each, asked_at_unix_ms=each.asked_at_unix_ms - 1000) for each in earlier.views}
    nodes = {key: replace(each, view=views[key]) for key, each in earlier.nodes.items()}
    for letter in ("a", "a1"):
        world[letter].info |= {"master_repl_offset": "105000", "slave_repl_offset": "105000"}
        world[letter].info |= {"repl_backlog_size": "1500001"}
    seen = replace(seen_of(world), before=replace(earlier, nodes=nodes))
    assert other(seen, code="load").verdict is PASS, "100,000 bytes a second need 1,500,000"
    for letter in ("a", "a1"):
        world[letter].info["repl_backlog_size"] = "1499999"
    check = other(replace(seen, snapshot=world.snapshot()), code="load")
    assert check.verdict is WARN
    assert "full copy" in check.evidence


@pytest.mark.parametrize("mode", Mode)
def test_settings_that_are_not_told_are_no_pass(mode: Mode) -> None:
    world = world_of()
    world["a1"].absences[Ask.CONFIG] = Absence(AbsenceKind.NOT_PERMITTED)
    assert other(seen_of(world), mode, code="pair-after").verdict is WARN
