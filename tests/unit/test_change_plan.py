"""A plan, the guard that holds it against the world, and the code of what came of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rcfail.change.checks import Check, CheckVerdict, refusing
from rcfail.change.plan import PROPAGATION_MS, Plan, guard, plan_failover
from rcfail.change.request import Mode, Override, Request
from rcfail.change.run import Run, StepOutcome, StepRun
from rcfail.cluster.observation import SilenceReason
from rcfail.exits import ExitCode
from rcfail.render.failover_json import change_data
from rcfail.render.failover_page import allowed_page, done_page, refused_page
from rcfail.render.lines import plain
from tests.unit.world import World, node_id

TARGET, PRIMARY = node_id("a1"), node_id("a")


def planned(world: World, mode: Mode = Mode.GRACEFUL) -> Plan:
    return plan_failover(world.snapshot(), Request(TARGET, PRIMARY, mode))


def refusals(world: World, plan: Plan) -> set[str]:
    return {each.code for each in refusing(guard(world.snapshot(), plan.steps[0]))}


@pytest.mark.parametrize(
    ("mode", "command"),
    [
        (Mode.GRACEFUL, ("CLUSTER", "FAILOVER")),
        (Mode.FORCE, ("CLUSTER", "FAILOVER", "FORCE")),
        (Mode.TAKEOVER, ("CLUSTER", "FAILOVER", "TAKEOVER")),
    ],
)
def test_each_mode_is_one_command_with_its_bounds(mode: Mode, command: tuple[str, ...]) -> None:
    (step,) = planned(World.of(3, 1), mode).steps
    assert (step.target, step.primary, step.command) == (TARGET, PRIMARY, command)
    assert step.attempt_ms == (0 if mode is Mode.TAKEOVER else 5000)
    assert step.verify_ms == step.attempt_ms + PROPAGATION_MS


def test_a_setting_of_either_node_prolongs_the_attempt() -> None:
    """Valkey >= 8.1; each side counts with its own, so the greater one is waited for."""
    world = World.of(3, 1)
    world.version = "8.1.8"
    world["a"].config["cluster-manual-failover-timeout"] = "9000"
    assert planned(world).steps[0].attempt_ms == 9000


def test_a_world_that_did_not_move_passes() -> None:
    world = World.of(3, 1)
    assert refusals(world, planned(world)) == set()


def test_a_target_that_is_primary_by_now_is_refused() -> None:
    world = World.of(3, 1)
    plan = planned(world)
    world["a1"].primary, world["a1"].slots, world["a1"].epoch = None, world["a"].slots, 9
    world["a"].primary, world["a"].slots = TARGET, ()
    assert {"guard-target", "guard-owner"} <= refusals(world, plan)


def test_another_epoch_of_the_owner_is_refused() -> None:
    world = World.of(3, 1)
    plan = planned(world)
    world["a"].epoch = 8
    assert refusals(world, plan) == {"guard-owner"}


def test_what_cannot_be_seen_is_refused_and_not_taken_to_be_well() -> None:
    world = World.of(3, 1)
    plan = planned(world)
    world["a1"].silence = SilenceReason.FROZEN
    assert "guard-target" in refusals(world, plan)


def test_without_a_majority_only_a_takeover_goes_on() -> None:
    world = World.of(3, 1)
    plans = {mode: planned(world, mode) for mode in Mode}
    world.kill("b")
    world.kill("c")
    assert "guard-quorum" in refusals(world, plans[Mode.FORCE])
    assert "guard-quorum" not in refusals(world, plans[Mode.TAKEOVER])


def test_the_code_of_a_run_is_that_of_the_first_step_that_is_not_done() -> None:
    (step,) = planned(World.of(3, 1)).steps

    def code(*outcomes: StepOutcome) -> ExitCode:
        return Run(Plan(0, (step,)), (), tuple(StepRun(step, each, True, "OK") for each in outcomes)).exit_code

    assert code(StepOutcome.DONE) is ExitCode.OK
    assert code(StepOutcome.REFUSED) is ExitCode.REFUSED
    assert code(StepOutcome.NOT_DONE) is ExitCode.NOT_DONE
    assert code(StepOutcome.INDETERMINATE) is ExitCode.INDETERMINATE
    # Some of it happened: neither "nothing was sent" nor "not promoted" would be true of the whole.
    assert code(StepOutcome.DONE, StepOutcome.REFUSED) is ExitCode.INCOMPLETE
    assert code(StepOutcome.DONE, StepOutcome.NOT_DONE, StepOutcome.SKIPPED) is ExitCode.INCOMPLETE
    assert code(StepOutcome.DONE, StepOutcome.INDETERMINATE) is ExitCode.INDETERMINATE


def test_the_pages_say_what_was_sent_and_every_reason() -> None:
    world = World.of(3, 1)
    snapshot, plan = world.snapshot(), planned(world)
    lag = Check("lag", CheckVerdict.FAIL, "it is 5 MB behind", Override.MAX_LAG, hint="Wait.")
    identity = Check("target-role", CheckVerdict.UNKNOWN, "it does not say what it is")
    page = plain(refused_page(snapshot, plan, (lag, identity), 80))
    for words in (
        "nothing was sent: 2 checks said no (lag, target-role)",
        "only --max-lag-bytes lets it",
        "nothing lets",
    ):
        assert words in page
    assert max(map(len, page.splitlines())) <= 80
    given = replace(lag, overridden=True)
    assert refusing((given,)) == ()
    assert "let pass by --max-lag-bytes" in " ".join(plain(allowed_page(snapshot, plan, (given,), 80)).split())
    ended = StepRun(plan.steps[0], StepOutcome.NOT_DONE, True, "OK", why="it was not promoted", hint="Look.")
    assert plain(done_page(snapshot, (ended,), 80)).startswith("NOT DONE  ")
    data = change_data(snapshot, plan, (lag,), (ended,))
    assert data["preflight"][0]["override"] == "--max-lag-bytes"
    assert data["outcomes"][0]["outcome"] == "not_done"
    assert data["plan"]["steps"][0]["command"] == "CLUSTER FAILOVER"
