"""Round after round over a scripted cluster: what is told, when it looks, and that it forgets the past."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from itertools import cycle, islice

import pytest

from rcfail.clock import Deadline
from rcfail.cluster.drift import EventKind
from rcfail.cluster.observation import Observation, SilenceReason
from rcfail.errors import CannotSee
from rcfail.health.finding import Severity, Thresholds
from rcfail.health.manner import PLAIN
from rcfail.health.turns import TurnKind, turns
from rcfail.health.verdict import Diagnosis, Policy, Verdict
from rcfail.render.events import events_json
from rcfail.rounds import Judge
from rcfail.watch import Round, Watch
from tests.unit.scripted import ScriptedClock, ScriptedSight
from tests.unit.world import World


def well() -> Observation:
    return World.of(3, 1).observe()


def dead() -> Observation:
    world = World.of(3, 1)
    world.kill("a")
    return world.observe()


def suspecting() -> Observation:
    world = World.of(3, 1)
    world["a"].flags += ("fail?",)
    return world.observe()


def dark() -> Observation:
    world = World.of(3, 1)
    for member in world:
        member.silence = SilenceReason.REFUSED
    return world.observe()


def judge(clock: ScriptedClock, sight: ScriptedSight) -> Judge:
    return Judge(sight, Thresholds(), Policy(), clock, deadline_s=8.0)


def watched(
    *script: Observation, every_s: float = 1.0, rounds: int
) -> tuple[list[Round], ScriptedClock, ScriptedSight]:
    clock = ScriptedClock()
    sight = ScriptedSight(clock, *script)
    return list(Watch(judge(clock, sight), every_s).rounds(rounds)), clock, sight


def verdicts(rounds: list[Round]) -> list[Verdict | None]:
    return [each.seen.diagnosis.verdict if each.seen else None for each in rounds]


def kinds(one: Round) -> list[str]:
    return [*(each.kind.value for each in one.events), *(each.kind.value for each in one.turns)]


def test_where_nothing_happens_nothing_is_told_and_each_round_is_one_look() -> None:
    rounds, clock, sight = watched(well(), rounds=5)
    assert [kinds(each) for each in rounds] == [[]] * 5
    assert (sight.first_looks, sight.later_looks) == (5, 0)
    assert [each.number for each in rounds] == [1, 2, 3, 4, 5]
    assert clock.now_s == pytest.approx(1004.01), "the beginnings are a second apart, however long a look takes"


def test_what_stays_wrong_is_told_once_and_looked_at_once_a_round() -> None:
    rounds, _, sight = watched(well(), dead(), rounds=6)
    assert verdicts(rounds) == [Verdict.OK, *[Verdict.CRITICAL] * 5]
    assert kinds(rounds[0]) == []
    assert kinds(rounds[1])[:2] == [EventKind.SILENT, EventKind.FAILED]
    assert TurnKind.VERDICT in kinds(rounds[1])
    appeared = [each.code for each in rounds[1].turns if each.kind is TurnKind.APPEARED]
    assert "slots-failed" in appeared
    assert [kinds(each) for each in rounds[2:]] == [[]] * 4
    assert sight.first_looks == 6
    assert sight.later_looks == 1, "the round in which it came needed a second look; later ones agree with the last"


def test_what_passes_within_a_round_is_not_told_as_a_finding() -> None:
    rounds, _, _ = watched(well(), suspecting(), well(), rounds=3)
    assert verdicts(rounds) == [Verdict.OK] * 3
    assert all(not each.turns for each in rounds)


def test_a_lost_cluster_is_unknown_and_watching_goes_on() -> None:
    rounds, _, _ = watched(well(), dark(), dark(), well(), rounds=4)
    assert verdicts(rounds) == [Verdict.OK, None, None, Verdict.OK]
    lost = rounds[1]
    assert isinstance(lost.fault, CannotSee)
    assert [(each.before, each.after) for each in lost.turns] == [("ok", "unknown")]
    assert (rounds[2].events, rounds[2].turns) == ((), ())
    assert [(each.before, each.after) for each in rounds[3].turns] == [("unknown", "ok")]
    assert rounds[3].events == (), "the same cluster is back"


def test_what_happened_while_nobody_could_see_is_told_afterwards() -> None:
    rounds, _, _ = watched(well(), dark(), dead(), rounds=3)
    assert {EventKind.SILENT, EventKind.FAILED} <= {each.kind for each in rounds[2].events}


def test_a_cluster_that_is_not_there_yet_is_waited_for() -> None:
    rounds, _, _ = watched(dark(), dark(), well(), rounds=3)
    assert verdicts(rounds) == [None, None, Verdict.OK]


def test_rounds_that_take_longer_than_the_interval_leave_the_servers_some_rest() -> None:
    clock = ScriptedClock()
    sight = ScriptedSight(clock, well(), takes_s=3.0)
    list(Watch(judge(clock, sight), 1.0).rounds(4))
    assert clock.slept == pytest.approx([0.1] * 3)


def test_a_finding_that_becomes_heavier_or_lighter_is_told_with_both_weights() -> None:
    one = judged(dead())
    finding = one.findings[0]
    lighter = replace(one, findings=(replace(finding, severity=Severity.WARNING), *one.findings[1:]))
    (turn,) = turns(one, lighter, 5)
    assert (turn.kind, turn.code, turn.before, turn.after) == (TurnKind.CHANGED, finding.code, "critical", "warning")
    assert [each.kind for each in turns(one, replace(one, findings=one.findings[1:]), 5)] == [TurnKind.CLEARED]
    assert turns(one, one, 5) == ()


def judged(observation: Observation) -> Diagnosis:
    rounds, _, _ = watched(observation, rounds=1)
    assert rounds[0].seen
    return rounds[0].seen.diagnosis


class FakeSight:
    """Not a cluster: shows two pictures in turn for ever, as new objects each time, as a wire would."""

    def __init__(self, clock: ScriptedClock) -> None:
        self._clock = clock
        self._pictures = cycle((fine := well(), fine, doubtful := suspecting(), doubtful))

    manner = PLAIN

    def look(self, _: Deadline) -> Observation:
        self._clock.now_s += 0.01
        picture = next(self._pictures)
        answers = tuple(replace(each, info=f"{each.info}noise:{self._clock.now_s}\r\n") for each in picture.answers)
        return replace(picture, taken_at_unix_ms=self._clock.unix_ms(), answers=answers)

    def again(self, _: Observation, deadline: Deadline) -> Observation:
        return self.look(deadline)

    def first_view(self, deadline: Deadline) -> Observation:
        return self.look(deadline)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_ten_thousand_rounds_take_no_more_memory_than_a_hundred() -> None:
    assert grown_bytes(10_000) < 64_000


def test_some_hundred_rounds_take_no_more_memory_than_a_hundred() -> None:
    assert grown_bytes(250) < 64_000


def grown_bytes(rounds: int) -> int:
    """What is held after so many rounds more than after the first hundred: one observation in ten would be far more."""
    clock = ScriptedClock()
    watch = Watch(Judge(FakeSight(clock), Thresholds(), Policy(), clock, deadline_s=8.0), 1.0)
    running = watch.rounds()
    tracemalloc.start()
    try:
        _drain(running, 100)
        clock.slept.clear()  # the clock's own diary is not the watch's memory
        before = _held()
        _drain(running, rounds - 100)
        clock.slept.clear()
        return _held() - before
    finally:
        tracemalloc.stop()


def _drain(running: Iterator[Round], count: int) -> None:
    for one in islice(running, count):
        events_json(one.events, one.turns, one.seen.looked.snapshot if one.seen else None)


def _held() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]
