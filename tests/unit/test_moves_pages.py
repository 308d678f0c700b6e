"""The pages of drain, layout restore and rolling at eighty columns, and the keys of their JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from rcfail.change.many.errand import Ended
from rcfail.change.many.layout import Standing, differences, layout_of, layout_text
from rcfail.change.many.moves import Stuck
from rcfail.change.many.relocation import Relocation
from rcfail.change.many.rolling import Unit, formation_of, itinerary
from rcfail.change.many.series import Series
from rcfail.change.many.site import Drain, plan_drain
from rcfail.change.many.tour import NodeRun, Phase, Rolled
from rcfail.change.run import StepOutcome, StepRun
from rcfail.change.seen import Seen
from rcfail.change.told import Turn
from rcfail.cluster.nouns import NodeId
from rcfail.cluster.snapshot import Snapshot
from rcfail.exits import ExitCode
from rcfail.render.lines import Line, plain
from rcfail.render.moves_json import relocation_data
from rcfail.render.moves_page import consent_page, relocation_page
from rcfail.render.rolling_json import rolling_data
from rcfail.render.rolling_page import consent_page as way_page
from rcfail.render.rolling_page import rolling_page
from tests.unit.golden import assert_golden
from tests.unit.running import rcfail, recorded
from tests.unit.test_layout import swapped
from tests.unit.world import World, node_id

Capsys = pytest.CaptureFixture[str]
GOAL, SO = "move every primary out of zone east", "no primary with slots is in zone east"
RELOCATION = {
    "result", "goal", "plan", "preflight", "outcomes", "verification", "timeline", "stuck", "after", "candidates",
    "differences", "stopped",
}  # fmt: skip
ROLLING = {
    "result", "plan", "preflight", "outcomes", "verification", "timeline", "done_before", "without_replica", "nodes",
    "restored", "left_over", "stopped",
}  # fmt: skip
NODE = {
    "id", "outcome", "phase", "why", "exit_code", "timed_out", "restarted", "version_before", "version_after",
    "away_ms",
}  # fmt: skip
AFTER = {"majority", "voters", "needed", "left", "primaries_there", "without_second_copy", "quorum_rests_on"}
COMMAND = "ssh $RCFAIL_NODE_HOST sudo systemctl restart redis"


def planned(world: World, *letters: str) -> tuple[Snapshot, Drain]:
    snapshot = world.snapshot()
    seen = {each.primary_id: Seen(snapshot, snapshot, (0.5,) * 3, ()) for each in snapshot.shards}
    return snapshot, plan_drain(snapshot, seen, frozenset(map(node_id, letters)))


def told(world: World, *letters: str, turn: Turn = Turn.ALLOWED) -> Relocation:
    snapshot, plan = planned(world, *letters)
    return Relocation(turn, snapshot, GOAL, SO, plan.moves, plan.stuck, plan.after, plan.place, plan.others)


def ran(told: Relocation, *outcomes: StepOutcome, stopped: str = "") -> Relocation:
    whys = {StepOutcome.NOT_DONE: "the vote was refused", StepOutcome.SKIPPED: "not begun: step 2 was not done"}
    steps = (
        StepRun(
            move.step,
            each,
            each is not StepOutcome.SKIPPED,
            "OK",
            why=whys.get(each, ""),
            new_primary=move.request.target if each is StepOutcome.DONE else None,
        )
        for move, each in zip(told.moves, outcomes, strict=True)
    )
    return told.ran(Series(tuple(steps), stopped))


def stuck_world() -> World:
    world = World.of(3, 1)
    world["b1"].info |= {"master_link_status": "down", "master_link_down_since_seconds": "9"}
    return world


def unwell() -> Relocation:
    outcomes = (StepOutcome.DONE, StepOutcome.NOT_DONE, StepOutcome.SKIPPED)
    return ran(told(World.of(5, 2), "a", "b", "c"), *outcomes, stopped="step 2 was not done")


def restored() -> Relocation:
    world = swapped(World.of(3, 1), "a", "a1")
    found = differences(world.snapshot(), layout_of(World.of(3, 1).snapshot()))
    gone = Stuck(node_id("b1"), node_id("b"), ("nobody knows 127.50.2.1:7000 (bbbbbbbb) any more",))
    snapshot, plan = planned(world, "a1")
    goal, so = "bring every primary back to where it is written", "every shard is led as written"
    back = Relocation(Turn.ALLOWED, snapshot, goal, so, plan.moves, (gone,), differences=found)
    return ran(back, StepOutcome.DONE)


DRAINS = {
    "allowed": told(World.of(3, 1), "a", "c1"),
    "refused": told(stuck_world(), "a", "a1", "b", turn=Turn.REFUSED),
    "nothing": told(World.of(3, 1), "a1", turn=Turn.NOTHING),
    "stopped": unwell(),
    "done": ran(told(World.of(3, 2), "a"), StepOutcome.DONE),
    "restored-in-part": restored(),
}
CODES = {
    "allowed": ExitCode.OK,
    "refused": ExitCode.REFUSED,
    "nothing": ExitCode.OK,
    "stopped": ExitCode.INCOMPLETE,
    "done": ExitCode.OK,
    "restored-in-part": ExitCode.INCOMPLETE,
}


def rows(page: Iterable[Line]) -> str:
    text = plain(page)
    assert max(map(len, text.splitlines())) <= 80
    return text


@pytest.mark.parametrize("name", DRAINS)
def test_a_page_of_many_moves(name: str) -> None:
    assert DRAINS[name].exit_code is CODES[name]
    assert_golden(f"moves-{name}", rows(relocation_page(DRAINS[name], 80)))


def test_a_drain_that_stopped_half_way_calls_nothing_safe() -> None:
    after = DRAINS["stopped"].after
    assert after is not None
    assert (after.there, after.left) == (2, 3)
    text = " ".join(plain(relocation_page(DRAINS["stopped"], 80)).split())
    assert "2 primaries with slots still there: do not shut it down yet" in text
    assert "can be shut down" not in text


def test_the_question_before_a_drain_says_what_it_leaves() -> None:
    assert_golden("moves-consent", rows(consent_page(DRAINS["allowed"], 80)))


@pytest.mark.parametrize("name", DRAINS)
def test_the_json_of_many_moves_has_its_keys(name: str) -> None:
    data = relocation_data(DRAINS[name])
    assert data.keys() == RELOCATION
    assert data["after"] is None or data["after"].keys() == AFTER
    assert all(each.keys() == {"primary", "wanted", "why"} for each in data["stuck"])
    assert data["result"] == DRAINS[name].turn.value


def rolled(world: World, unit: Unit = Unit.NODE) -> Rolled:
    snapshot = world.snapshot()
    formation = formation_of(snapshot)
    return Rolled(Turn.ALLOWED, snapshot, itinerary(formation, set(formation.order), unit))


def turns() -> Iterator[NodeRun]:
    well = Ended(0, 4200)
    yield NodeRun(node_id("a1"), Phase.DONE, "", well, True, ("8.2.2", "8.2.3"), 1300)
    yield NodeRun(node_id("b1"), Phase.DONE, "", well, False, ("8.2.2", "8.2.2"), 3000)
    yield NodeRun(node_id("c1"), Phase.COMMAND, "the command ended with exit code 4", Ended(4, 20))


def halted() -> Rolled:
    why = "127.50.1.1:8002 (c1000000): the command ended with exit code 4"
    hint = "Go on from here: the same command with --resume"
    return replace(rolled(World.of(3, 1)), turn=Turn.RAN, nodes=tuple(turns()), stopped=why, hint=hint)


ROLLS = {
    "way": rolled(World.of(3, 1)),
    "hosts": rolled(World.of(3, 1), Unit.HOST),
    "halted": halted(),
    "lone": replace(rolled(World.of(3, 0)), turn=Turn.REFUSED, lone=(node_id("a"), node_id("b"), node_id("c"))),
}


@pytest.mark.parametrize("name", ROLLS)
def test_a_page_of_a_rolling_restart(name: str) -> None:
    assert_golden(f"rolling-{name}", rows(rolling_page(ROLLS[name], 80, COMMAND)))
    data = rolling_data(ROLLS[name], COMMAND)
    assert data.keys() == ROLLING
    assert all(each.keys() == NODE for each in data["nodes"])


def test_the_question_before_a_rolling_restart_shows_the_way() -> None:
    text = rows(way_page(ROLLS["way"], 80, COMMAND))
    assert text.count("cmd for") == 6
    assert COMMAND in text


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"nodes": tuple(turns())[:2]}, ExitCode.OK),
        ({"nodes": tuple(turns()), "stopped": "x"}, ExitCode.INCOMPLETE),
        ({"nodes": (NodeRun(node_id("a"), Phase.PRE, "no"),), "stopped": "x"}, ExitCode.REFUSED),
        ({"nodes": tuple(turns())[:2], "left_over": ("x",)}, ExitCode.INCOMPLETE),
        ({"done_before": frozenset({NodeId("f" * 40)}), "stopped": "x"}, ExitCode.INCOMPLETE),
        ({"back": Series((), "the cluster is worse")}, ExitCode.INCOMPLETE),
    ],
)
def test_the_exit_code_of_a_rolling_restart(change: dict[str, object], code: ExitCode) -> None:
    assert replace(ROLLS["way"], turn=Turn.RAN, **change).exit_code is code  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (StepOutcome.NOT_DONE, ExitCode.NOT_DONE),
        (StepOutcome.INDETERMINATE, ExitCode.INDETERMINATE),
        (StepOutcome.INCOMPLETE, ExitCode.INCOMPLETE),
    ],
)
def test_a_first_failover_that_is_not_done_gives_its_own_code(outcome: StepOutcome, code: ExitCode) -> None:
    run = StepRun(DRAINS["allowed"].moves[0].step, outcome, True, "OK", why="x")
    told = replace(
        ROLLS["way"], turn=Turn.RAN, moves=(run,), nodes=(NodeRun(node_id("a"), Phase.MOVE, "x"),), stopped="x"
    )
    assert told.exit_code is code


def test_a_layout_is_shown_and_compared_with_a_record(capsys: Capsys, tmp_path: Path) -> None:
    file = tmp_path / "layout.json"
    file.write_text(layout_text(layout_of(World.of(3, 1).snapshot())))
    shown = rcfail(capsys, "layout", "show", str(file), "-o", "json")
    assert (shown.code, len(shown.document["data"]["layout"]["shards"])) == (0, 3)
    same = rcfail(capsys, "layout", "diff", str(file), "--from-record", recorded(World.of(3, 1), tmp_path))
    assert (same.code, same.out.startswith("SAME  3 of 3 shards")) == (0, True)
    record = recorded(swapped(World.of(3, 1), "b", "b1"), tmp_path)
    other = rcfail(capsys, "layout", "diff", str(file), "--from-record", record, "-o", "json")
    standings = [each["standing"] for each in other.document["data"]["differences"]]
    assert (other.code, standings) == (1, ["as-written", Standing.MOVED.value, "as-written"])


@pytest.mark.parametrize(
    "words",
    [
        ("drain", "--host", "127.50.1.1"),
        ("undrain",),
        ("rolling", "--cmd", "true"),
    ],
)
def test_a_record_cannot_be_changed(capsys: Capsys, tmp_path: Path, words: tuple[str, ...]) -> None:
    ran = rcfail(capsys, *words, "--yes", "--from-record", recorded(World.of(3, 1), tmp_path), "-o", "json")
    assert (ran.code, ran.error["code"]) == (64, "usage")


@pytest.mark.parametrize(
    "words",
    [
        ("drain", "--yes"),
        ("rolling",),
        ("rolling", "--cmd", "  "),
        ("rolling", "--cmd", "x", "--resume", "--anew"),
        ("rolling", "--cmd", "x", "--batch", "zone"),
        ("layout", "restore"),
        ("drain", "--min-wait", "soon", "east"),
    ],
)
def test_a_command_line_that_cannot_be_meant(capsys: Capsys, words: tuple[str, ...]) -> None:
    ran = rcfail(capsys, *words, "-s", "127.0.0.1:1")
    assert (ran.code, ran.out) == (64, "")
    assert "hint: " in ran.err
