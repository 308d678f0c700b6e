"""One line for Nagios: its state, its performance data, its codes, whatever happens."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis.strategies import text

from rcfail.cluster.observation import SilenceReason
from rcfail.commands.exit_codes import exit_codes
from rcfail.commands.health import health
from rcfail.exits import ExitCode, plugin_code
from rcfail.render.nagios import Datum, status_line
from rcfail.render.outcome import Outcome, Trouble
from tests.unit.parting import part
from tests.unit.running import Ran, rcfail, recorded
from tests.unit.world import World

Capsys = pytest.CaptureFixture[str]

NUMBER = r"-?\d+(?:\.\d+)?"
RANGE = rf"(?:@?(?:~|{NUMBER})?:?(?:{NUMBER})?)"
DATUM = re.compile(
    rf"(?P<label>'(?:[^'=]|'')+'|[^\s'=]+)=(?P<value>U|{NUMBER})(?P<unit>[num]?s|%|[KMGT]?B|c)?"
    rf"(?:;(?P<warn>{RANGE}))?(?:;(?P<crit>{RANGE}))?(?:;(?P<least>{NUMBER})?)?(?:;(?P<most>{NUMBER})?)?"
)
STATES = {0: "OK", 1: "WARNING", 2: "CRITICAL", 3: "UNKNOWN"}


class Line(NamedTuple):
    """What a monitoring system reads out of the output."""

    state: str
    text: str
    data: dict[str, str]


def read(output: str) -> Line:
    """By the guidelines' grammar; a line that breaks it fails the test."""
    assert output.endswith("\n")
    assert output.count("\n") == 1
    text, bar, data = output.rstrip("\n").partition(" | ")
    assert bar
    assert "|" not in text + data
    assert len(output) <= 1024, "an old NRPE would cut it"
    found = {}
    for each in data.split(" "):
        match = DATUM.fullmatch(each)
        assert match, each
        found[match["label"]] = match["value"]
    head = re.match(r"RCFAIL (OK|WARNING|CRITICAL|UNKNOWN) - (.+)", text)
    assert head, text
    return Line(head[1], head[2], found)


def checked(ran: Ran) -> Line:
    """The code, the line and nothing else."""
    line = read(ran.out)
    assert ran.err == ""
    assert line.state == STATES[ran.code]
    return line


def judged(capsys: Capsys, folder: Path, world: World, *args: str) -> Line:
    return checked(rcfail(capsys, "health", "-o", "nagios", "--from-record", recorded(world, folder), *args))


def test_a_cluster_that_is_well(capsys: Capsys, tmp_path: Path) -> None:
    line = judged(capsys, tmp_path, World.of(3, 1))
    assert (line.state, line.text) == ("OK", "16384 slots served by 3 primaries with 3 replicas")
    figures = {name: line.data[name] for name in line.data if name != "time"}
    assert figures == {
        "serving": "1", "redundant": "1", "failover_ready": "1",
        "slots_ok": "16384", "slots_suspected": "0", "slots_failed": "0",
        "voters_reachable": "3", "voters_needed": "2",
        "replicas_healthy": "3", "shards_failover_ready": "3", "lag_bytes": "0", "lag_seconds": "1.000",
        "findings_critical": "0", "findings_unknown": "0", "findings_warning": "0", "findings_info": "0",
    }  # fmt: skip
    assert float(line.data["time"]) > 0


def test_a_dead_primary(capsys: Capsys, tmp_path: Path) -> None:
    world = World.of(3, 1)
    world.kill("a")
    line = judged(capsys, tmp_path, world)
    assert line.state == "CRITICAL"
    assert "0-5460 of 127.50.1.1:7000" in line.text
    assert "slots-failed" in line.text
    assert (line.data["serving"], line.data["slots_ok"], line.data["slots_failed"]) == ("0", "10923", "5461")
    assert (line.data["voters_reachable"], line.data["replicas_healthy"]) == ("2", "2")
    assert int(line.data["findings_critical"]) >= 1


def test_one_replica_that_is_cut_off_takes_no_slot_away(capsys: Capsys, tmp_path: Path) -> None:
    """It suspects everybody; the others go on, so a threshold on slots_ok must not be passed while serving is yes."""
    line = judged(capsys, tmp_path, part(World.of(3, 2), "a b c a1 b1 c1 b2 c2", "a2"))
    assert (line.data["serving"], line.data["slots_ok"], line.data["slots_suspected"]) == ("1", "16384", "0")


def test_what_one_dead_replica_leaves_ready(capsys: Capsys, tmp_path: Path) -> None:
    world = World.of(3, 1)
    world.kill("a1")
    line = judged(capsys, tmp_path, world)
    assert line.state == "WARNING"
    assert (line.data["shards_failover_ready"], line.data["replicas_healthy"]) == ("2", "2")
    assert (line.data["failover_ready"], line.data["serving"]) == ("0", "1")


def test_the_lag_is_that_of_the_furthest_behind(capsys: Capsys, tmp_path: Path) -> None:
    world = World.of(3, 1)
    world["b1"].info["slave_repl_offset"] = "4000"
    world["c1"].info["slave_repl_offset"] = "3500"
    assert judged(capsys, tmp_path, world).data["lag_bytes"] == "1500"


def test_what_cannot_be_told_is_no_figure(capsys: Capsys, tmp_path: Path) -> None:
    world = World.of(3, 1)
    world["a"].silence = SilenceReason.CONNECT_TIMEOUT
    line = judged(capsys, tmp_path, world)
    assert (line.state, line.data["serving"]) == ("UNKNOWN", "U")


def test_a_verdict_that_is_let_pass_says_so(capsys: Capsys, tmp_path: Path) -> None:
    line = judged(capsys, tmp_path, World.of(2, 1), "--fail-on", "critical")
    assert line.state == "OK"
    assert line.text.startswith("warning let pass by --fail-on critical: ")
    ignored = judged(capsys, tmp_path, World.of(2, 1), "--ignore", "quorum-fragile")
    assert "(ignored: quorum-fragile)" in ignored.text


def test_every_run_has_the_same_labels(capsys: Capsys, tmp_path: Path) -> None:
    """Otherwise graphs come and go with the state."""
    dead = World.of(3, 1)
    dead.kill("a")
    lines = [judged(capsys, tmp_path, world) for world in (World.of(3, 1), dead, World.of(3, 0))]
    lines.append(checked(rcfail(capsys, "health", "-o", "nagios")))
    assert len({tuple(line.data) for line in lines}) == 1


@pytest.mark.parametrize(
    "args",
    [
        ["health"],
        ["health", "--nosuch"],
        ["health", "-s", "h:x"],
        ["health", "--help"],
        ["--help"],
        ["--version"],
        [],
        ["helth"],
        ["check", "h:1"],
        ["health", "--from-record", "/nonexistent/x"],
        ["health", "--password-file", "/nonexistent/x", "-s", "127.0.0.1:1"],
        ["nodes", "-s", "127.0.0.1:1"],
        ["lab", "up"],
        ["lab"],
        ["exit-codes"],
        ["demo"],
    ],
)
@pytest.mark.parametrize("asked", [["-o", "nagios"], ["-onagios"], ["--output=nagios"]])
def test_what_gives_no_verdict_is_unknown(capsys: Capsys, args: list[str], asked: list[str]) -> None:
    """A page of help too: a check that prints it every five minutes must not be green."""
    ran = rcfail(capsys, *asked, *args)
    assert ran.code == 3
    if "--help" not in args and "--version" not in args:
        assert checked(ran).data["serving"] == "U"


def test_nobody_there_is_unknown_with_its_reason(capsys: Capsys) -> None:
    line = checked(rcfail(capsys, "health", "-o", "nagios", "-s", "127.0.0.1:1"))
    assert line.text.startswith("127.0.0.1:1 ")


@pytest.mark.parametrize(
    "error",
    [RuntimeError("un|expected\nthing"), KeyboardInterrupt(), ImportError("redis"), SystemExit(0), MemoryError()],
)
def test_a_surprise_is_unknown(capsys: Capsys, monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def callback(**_: object) -> None:
        raise error

    monkeypatch.setattr(health, "callback", callback)
    assert checked(rcfail(capsys, "health", "-o", "nagios", "-s", "h")).data["serving"] == "U"


def test_only_verdicts_are_for_monitors_and_nothing_is_done_before_that_is_said(
    capsys: Capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exit_codes, "callback", lambda: pytest.fail("it ran"))
    ran = rcfail(capsys, "exit-codes", "-o", "prometheus")
    assert ran.code == 64
    assert "rcfail exit-codes has no -o prometheus" in ran.err
    assert "hint: Commands that have it: rcfail health" in ran.err


@pytest.mark.parametrize("code", ExitCode)
def test_every_code_above_three_is_unknown(code: ExitCode) -> None:
    assert plugin_code(code) == min(code, 3)
    outcome = Outcome("health", code, lambda _: (), dict, errors=(Trouble("x", "it went wrong"),))
    assert read(status_line(outcome, 0.1)).state == STATES[min(code, 3)]


@pytest.mark.parametrize(
    "said", ["a|b=1;2;3", "one\ntwo", "tab\there", "\x1b[2J", "\u202eback", "'quoted' | time=0s", "x" * 5000]
)
def test_nothing_that_is_said_breaks_the_line(said: str) -> None:
    outcome = Outcome("health", ExitCode.UNKNOWN, lambda _: (), dict, errors=(Trouble("x", said),))
    line = read(status_line(outcome, 0.1))
    assert "\x1b" not in line.text
    assert "\u202e" not in line.text
    assert line.data["time"] == "0.100"


@given(text())
def test_no_text_at_all_breaks_the_line(said: str) -> None:
    outcome = Outcome("health", ExitCode.UNKNOWN, lambda _: (), dict, errors=(Trouble("x", f"it {said}"),))
    assert read(status_line(outcome, 0.1)).state == "UNKNOWN"


def test_a_hostile_host_name_does_not_break_the_line(capsys: Capsys, tmp_path: Path) -> None:
    world = World.of(3, 1)
    world["a"].endpoint = world["a"].endpoint._replace(host="evil|host;0")
    world.kill("a")
    assert judged(capsys, tmp_path, world).state == "CRITICAL"


@pytest.mark.parametrize(
    ("datum", "text"),
    [
        (Datum("a_b", 1), "a_b=1;;;0"),
        (Datum("lag", 7, "B", "10", "20", "0", "30"), "lag=7B;10;20;0;30"),
        (Datum("t", 0.25, "s"), "t=0.250s;;;0"),
        (Datum("t", None, "s"), "t=U;;;0"),
        (Datum("two words", 1), "'two words'=1;;;0"),
        (Datum("it's", 1), "'it''s'=1;;;0"),
        (Datum("a=b|c", 1), "'a:b/c'=1;;;0"),
        (Datum("x", 1, least=""), "x=1"),
    ],
)
def test_a_datum_is_written_as_the_guidelines_say(datum: Datum, text: str) -> None:
    assert str(datum) == text


def test_the_line_stays_short_in_a_large_cluster(capsys: Capsys, tmp_path: Path) -> None:
    world = World.of(60, 1)
    for member in list(world)[:40]:
        world.kill(_letter(member.node_id))
    line = judged(capsys, tmp_path, world)
    assert line.state == "CRITICAL"


def _letter(node_id: str) -> str:
    return node_id[:5] if node_id[5:] == "0" * 35 else node_id[:6]
