"""The command health: its flags, its notes, its code."""

from __future__ import annotations

from pathlib import Path

import pytest

from rcfail.cluster.observation import Observation
from rcfail.commands import health as module
from rcfail.exits import ExitCode
from tests.unit.running import Ran, rcfail, recorded
from tests.unit.scripted import ScriptedClock, ScriptedSight
from tests.unit.world import World

Capsys = pytest.CaptureFixture[str]


def judged(capsys: Capsys, folder: Path, world: World, *args: str) -> Ran:
    return rcfail(capsys, "health", "--from-record", recorded(world, folder), *args)


def fragile() -> World:
    """Two voters: any loss ends the quorum, and nothing else is wrong."""
    return World.of(2, 1)


def unknown() -> World:
    """A slot owner that is silent to us and well for all others."""
    from rcfail.cluster.observation import SilenceReason

    world = World.of(3, 1)
    world["a"].silence = SilenceReason.CONNECT_TIMEOUT
    return world


def dead() -> World:
    world = World.of(3, 1)
    world.kill("a")
    return world


@pytest.mark.parametrize(
    ("world", "args", "code", "first"),
    [
        (World.of(3, 1), [], 0, "OK"),
        (fragile(), [], 1, "WARNING"),
        (fragile(), ["--fail-on", "warning"], 1, "WARNING"),
        (fragile(), ["--fail-on", "critical"], 0, "WARNING"),
        (fragile(), ["--ignore", "quorum-fragile"], 0, "OK"),
        (fragile(), ["--ignore", "slots-open,QUORUM-FRAGILE"], 0, "OK"),
        (unknown(), [], 3, "UNKNOWN"),
        (unknown(), ["--fail-on", "critical"], 3, "UNKNOWN"),
        (dead(), [], 2, "CRITICAL"),
        (dead(), ["--fail-on", "critical"], 2, "CRITICAL"),
        (World.of(3, 0), [], 1, "WARNING"),
        (World.of(3, 0), ["--min-replicas", "0"], 0, "OK"),
        (World.of(3, 1), ["--min-replicas", "2"], 1, "WARNING"),
    ],
)
def test_the_code_is_the_verdict_by_the_callers_policy(
    capsys: Capsys, tmp_path: Path, world: World, args: list[str], code: int, first: str
) -> None:
    ran = judged(capsys, tmp_path, world, *args)
    assert (ran.code, ran.err) == (code, "")
    assert ran.out.split()[0] == first
    as_json = judged(capsys, tmp_path, world, "-o", "json", *args)
    assert (as_json.code, as_json.document["verdict"]) == (code, first.lower())


def test_a_lowered_warning_is_said(capsys: Capsys, tmp_path: Path) -> None:
    assert (
        "note: ends with code 0 because of --fail-on critical"
        in judged(capsys, tmp_path, fragile(), "--fail-on", "critical").out
    )


def test_lag_limits_are_the_callers(capsys: Capsys, tmp_path: Path) -> None:
    world = World.of(3, 1)
    world["a1"].info["slave_repl_offset"] = "4000"
    world["a"].info["slave0"] = "ip=127.50.2.1,port=8000,state=online,offset=4000,lag=0"
    assert judged(capsys, tmp_path, world).code == 0
    strict = judged(capsys, tmp_path, world, "--max-lag-bytes", "999")
    assert (strict.code, "replica-lagging" in strict.out) == (1, True)


@pytest.mark.parametrize(
    ("word", "near"), [("slots-failde", "slots-failed"), ("replica-lag", "replica-lagging"), ("qqq", "rcfail explain")]
)
def test_an_unknown_code_to_ignore_is_a_usage_error(capsys: Capsys, word: str, near: str) -> None:
    ran = rcfail(capsys, "health", "-s", "h", "--ignore", word)
    assert ran.code == 64
    assert near in ran.err


def test_no_seed_is_a_usage_error_and_never_a_guess(capsys: Capsys) -> None:
    ran = rcfail(capsys, "health")
    assert (ran.code, ran.out) == (64, "")
    assert "no seed" in ran.err
    assert "RCFAIL_SEEDS" in ran.err


def test_a_record_says_that_it_is_the_past(capsys: Capsys, tmp_path: Path) -> None:
    ran = judged(capsys, tmp_path, World.of(3, 1))
    assert "taken 2026-09-21 " in " ".join(ran.out.split())
    assert "only one look" not in ran.out


def test_a_record_is_not_waited_for(capsys: Capsys, tmp_path: Path) -> None:
    assert judged(capsys, tmp_path, dead(), "--wait", "1h").code == 64


def scripted(monkeypatch: pytest.MonkeyPatch, *script: Observation, takes_s: float = 0.01) -> ScriptedClock:
    clock = ScriptedClock()
    sight = ScriptedSight(clock, *script, takes_s=takes_s)
    monkeypatch.setattr(module, "open_sight", lambda _: sight)
    monkeypatch.setattr(module, "SYSTEM_CLOCK", clock)
    return clock


def test_waiting_ends_with_ok_and_says_how_long_it_was(capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, dead().observe(), dead().observe(), dead().observe(), World.of(3, 1).observe())
    ran = rcfail(capsys, "health", "--wait", "30s")
    assert (ran.code, ran.out.split()[0]) == (0, "OK")
    assert "note: waited " in ran.out
    assert "until the verdict was OK" in ran.out


def test_waiting_in_vain_ends_with_the_last_verdicts_own_code(capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = scripted(monkeypatch, dead().observe())
    ran = rcfail(capsys, "health", "--wait", "500ms", "-o", "json")
    assert ran.code == ExitCode.CRITICAL
    assert any("in vain" in note for note in ran.document["notes"])
    assert clock.now_s < 1003


def test_looks_that_did_not_agree_are_said(capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    worlds = []
    for letter in "abab":
        world = World.of(3, 1)
        world[letter].flags += ("fail?",)
        worlds.append(world.observe())
    scripted(monkeypatch, *worlds)
    assert "note: what can pass by itself was not seen to stay: 4 looks did not agree" in rcfail(capsys, "health").out
