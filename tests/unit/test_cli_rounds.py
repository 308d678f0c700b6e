"""How often health looks, and what it then believes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rcfail.clock import Deadline
from rcfail.cluster.observation import Observation, Silence, SilenceReason
from rcfail.errors import CannotSee
from rcfail.exits import ExitCode
from rcfail.health.finding import Thresholds
from rcfail.health.verdict import Policy, Verdict
from rcfail.rounds import MOST_ROUNDS, PAUSE_S, Judge, Looked, look_until_settled
from tests.unit.scripted import ScriptedClock, ScriptedSight
from tests.unit.world import World

STRICT = Policy()


def well() -> Observation:
    return World.of(3, 1).observe()


def suspecting(letter: str = "a") -> Observation:
    """Everybody suspects a node that answers all the same: what a short stall leaves behind."""
    world = World.of(3, 1)
    world[letter].flags += ("fail?",)
    return world.observe()


def dead() -> Observation:
    world = World.of(3, 1)
    world.kill("a")
    return world.observe()


def dark() -> Observation:
    world = World.of(3, 1)
    for member in world:
        member.silence = SilenceReason.REFUSED
    return world.observe()


def cut_short() -> Observation:
    observation = well()
    lost = observation.answers[0]
    silence = Silence(lost.endpoint, lost.expected, SilenceReason.NO_TIME)
    return replace(observation, answers=observation.answers[1:], silences=(silence,))


def look(*script: Observation, deadline_s: float = 8.0, takes_s: float = 0.01) -> tuple[Looked, ScriptedSight]:
    clock = ScriptedClock()
    sight = ScriptedSight(clock, *script, takes_s=takes_s)
    return look_until_settled(sight, Thresholds(), clock, Deadline.after(deadline_s, clock)), sight


def codes(looked: Looked) -> set[str]:
    return {finding.code for finding in looked.findings}


def test_a_clean_cluster_is_looked_at_once() -> None:
    looked, sight = look(well())
    assert (looked.findings, looked.rounds, looked.agreed) == ((), 1, True)
    assert (sight.first_looks, sight.later_looks) == (1, 0)


def test_what_stays_is_believed_after_two_looks() -> None:
    looked, sight = look(suspecting())
    assert {"slots-suspected", "node-suspected"} <= codes(looked)
    assert (looked.rounds, looked.agreed, sight.later_looks) == (2, True, 1)


def test_what_passes_within_a_moment_is_not_told() -> None:
    looked, _ = look(suspecting(), well())
    assert (codes(looked), looked.agreed) == (set(), True)
    assert looked.rounds == 3, "the second look said another thing than the first, so there was a third"


def test_what_is_never_the_same_twice_is_given_up_after_a_few_looks_and_the_last_one_stands() -> None:
    looked, sight = look(suspecting("a"), suspecting("b"), suspecting("a"), suspecting("b"), well())
    assert (looked.rounds, looked.agreed) == (MOST_ROUNDS, False)
    assert sight.first_looks + sight.later_looks == MOST_ROUNDS
    assert "slots-suspected" in codes(looked), "four looks, and none of them was good"


def test_a_last_look_that_shows_nothing_is_believed() -> None:
    looked, _ = look(suspecting("a"), suspecting("b"), suspecting("a"), well())
    assert (codes(looked), looked.rounds, looked.agreed) == (set(), MOST_ROUNDS, False)


def test_when_time_ends_between_looks_that_differ_the_last_one_stands() -> None:
    looked, _ = look(suspecting("a"), suspecting("b"), deadline_s=3 * PAUSE_S)
    assert "slots-suspected" in codes(looked)
    assert (looked.rounds, looked.agreed) == (2, False)


def test_the_last_observation_alone_gives_the_same_findings() -> None:
    looked, _ = look(suspecting("b"), suspecting("a"))
    again, _ = look(looked.observation)
    assert (looked.agreed, again.findings) == (True, looked.findings)


def test_without_time_for_a_second_look_nothing_is_taken_back() -> None:
    looked, sight = look(suspecting(), well(), deadline_s=PAUSE_S + 0.1)
    assert "slots-suspected" in codes(looked)
    assert (looked.rounds, looked.agreed, sight.later_looks) == (1, False, 0)


def test_a_look_that_the_deadline_cut_short_does_not_replace_a_whole_one() -> None:
    looked, _ = look(dead(), cut_short())
    assert "slots-failed" in codes(looked)
    assert (looked.rounds, looked.agreed) == (1, False)


def test_nothing_seen_at_all_is_said_at_once() -> None:
    with pytest.raises(CannotSee, match="no node of a cluster can be seen"):
        look(dark())


def judge(clock: ScriptedClock, sight: ScriptedSight, policy: Policy = STRICT) -> Judge:
    return Judge(sight, Thresholds(), policy, clock, deadline_s=8.0)


def test_waiting_ends_with_the_first_ok() -> None:
    clock = ScriptedClock()
    judged = judge(clock, ScriptedSight(clock, dark(), dead(), dead(), well())).judge_until_ok(60)
    assert judged.diagnosis.exit_code is ExitCode.OK
    assert 0.5 < judged.waited_s < 5


def test_waiting_in_vain_ends_in_time_with_the_last_verdict() -> None:
    clock = ScriptedClock()
    judged = judge(clock, ScriptedSight(clock, dead())).judge_until_ok(30)
    assert judged.diagnosis.exit_code is ExitCode.CRITICAL
    assert 30 <= judged.waited_s < 32


def test_waiting_for_what_never_shows_ends_with_the_reason() -> None:
    clock = ScriptedClock()
    with pytest.raises(CannotSee, match="refuses the connection"):
        judge(clock, ScriptedSight(clock, dark())).judge_until_ok(5)
    assert 1005 <= clock.now_s < 1007


def test_waiting_is_for_the_policy_of_the_caller() -> None:
    world = World.of(2, 1)  # two voters: any loss ends the quorum, for ever a warning
    clock = ScriptedClock()
    strict = judge(clock, ScriptedSight(clock, world.observe()), STRICT).judge_until_ok(2)
    assert strict.diagnosis.verdict is Verdict.WARNING
    assert strict.waited_s >= 2
    lenient = judge(clock, ScriptedSight(clock, world.observe()), Policy(Verdict.CRITICAL)).judge_until_ok(60)
    assert (lenient.diagnosis.exit_code, lenient.diagnosis.verdict) == (ExitCode.OK, Verdict.WARNING)
    assert lenient.waited_s < 2
