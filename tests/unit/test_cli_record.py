"""The command record, and the verdict of what it saved."""

from __future__ import annotations

from pathlib import Path

import pytest

from rcfail.cluster.observation import Observation, SilenceReason
from rcfail.commands import health, record
from tests.unit.running import rcfail
from tests.unit.scripted import ScriptedClock, ScriptedSight
from tests.unit.world import World

Capsys = pytest.CaptureFixture[str]


def live(monkeypatch: pytest.MonkeyPatch, *script: Observation) -> None:
    """Let health and record look at this instead of servers."""
    for module in (record, health):
        clock = ScriptedClock()
        sight = ScriptedSight(clock, *script)
        monkeypatch.setattr(module, "open_sight", lambda _, sight=sight: sight)
        monkeypatch.setattr(module, "SYSTEM_CLOCK", clock)


def suspected() -> Observation:
    world = World.of(3, 1)
    world["a"].flags += ("fail?",)
    return world.observe()


def dead() -> Observation:
    world = World.of(3, 1)
    world.kill("a")
    return world.observe()


@pytest.mark.parametrize(
    "script",
    [
        [World.of(3, 1).observe()],
        [dead()],
        [suspected()],
        [suspected(), World.of(3, 1).observe()],
        [World.of(2, 0).observe()],
    ],
    ids=["well", "dead", "suspected", "passed", "fragile"],
)
@pytest.mark.parametrize("name", ["r.json", "r.json.gz"])
def test_what_was_recorded_gets_the_verdict_that_was_live(
    capsys: Capsys, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: list[Observation], name: str
) -> None:
    live(monkeypatch, *script)
    path = str(tmp_path / name)
    saved = rcfail(capsys, "record", path)
    assert (saved.code, saved.err) == (0, "")
    told = rcfail(capsys, "health", "-o", "json")
    monkeypatch.undo()
    again = rcfail(capsys, "health", "-o", "json", "--from-record", path)
    assert again.code == told.code
    assert again.document["verdict"] == told.document["verdict"]
    assert again.document["data"] == told.document["data"]


def test_a_file_is_replaced_only_when_asked(capsys: Capsys, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    live(monkeypatch, World.of(3, 1).observe())
    path = tmp_path / "r.json"
    path.write_text("precious")
    ran = rcfail(capsys, "record", str(path))
    assert (ran.code, path.read_text()) == (64, "precious")
    assert "--force" in ran.err
    ran = rcfail(capsys, "record", str(path), "--force", "-o", "json")
    assert (ran.code, ran.document["data"]) == (0, {"file": str(path), "answers": 6, "silences": 0})
    assert path.read_text() != "precious"


def test_darkness_is_saved_too_and_ends_with_unknown(
    capsys: Capsys, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    world = World.of(1, 0)
    world["a"].silence = SilenceReason.AUTH_REFUSED
    live(monkeypatch, world.observe())
    path = str(tmp_path / "r.json")
    ran = rcfail(capsys, "record", path)
    assert ran.code == 3
    assert ran.out == f"saved 0 answers and 1 silence to {path}\n"
    assert ran.err.startswith("rcfail: error: 127.50.1.1:7000 refuses our credentials")
    assert rcfail(capsys, "health", "--from-record", path).code == 3


def test_a_record_is_not_recorded(capsys: Capsys) -> None:
    assert rcfail(capsys, "record", "x", "--from-record", "y").code == 64


def test_a_place_that_cannot_be_written_is_a_config_fault(capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    live(monkeypatch, World.of(3, 1).observe())
    ran = rcfail(capsys, "record", "/nonexistent/r.json")
    assert (ran.code, ran.out, len(ran.err.splitlines())) == (78, "", 2)


@pytest.mark.parametrize("text", ["", "{}", "[]", "\x00", '{"schema": "other/1"}', "{" * 5000])
def test_a_foreign_record_is_one_line_and_a_hint(capsys: Capsys, tmp_path: Path, text: str) -> None:
    path = tmp_path / "r.json"
    path.write_text(text)
    ran = rcfail(capsys, "health", "--from-record", str(path))
    assert (ran.code, ran.out) == (78, "")
    error, hint = ran.err.splitlines()
    assert error.startswith("rcfail: error: ")
    assert "rcfail record" in hint


def test_a_cluster_that_changes_at_every_look_is_saved_with_a_warning(
    capsys: Capsys, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script = []
    for letter in "abab":
        world = World.of(3, 1)
        world[letter].flags += ("fail?",)
        script.append(world.observe())
    live(monkeypatch, *script)
    ran = rcfail(capsys, "record", str(tmp_path / "r.json"), "-o", "json")
    assert ran.code == 0
    assert "did not agree" in ran.document["notes"][0]
