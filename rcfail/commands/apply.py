"""`rcfail apply`: carry out a plan that was saved, if it still holds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from rcfail.change.plan_file import SavedPlan, read_plan
from rcfail.change.told import Limits
from rcfail.commands.change_options import audit_path, change_options
from rcfail.commands.failover import outcome_of, ways_of
from rcfail.commands.interruption import ended_like_ctrl_c
from rcfail.commands.options import Verb, duration, settings_of
from rcfail.errors import UsageFault
from rcfail.render.outcome import Outcome
from rcfail.runs.failing_over import Wish, fail_over
from rcfail.runs.moving import at_site
from rcfail.settings.sections import Settings
from rcfail.settings.seeds import parse_seeds


@click.command(
    cls=Verb, looks=True, example="rcfail failover 10.0.1.7:6379 --save-plan move.json\nrcfail apply move.json"
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--canary", is_flag=True, help="Write and read own keys meanwhile: how long clients notice it.")
@click.option("--max-gap", type=duration, metavar="DURATION", help="With --canary: 13 if clients waited longer.")
@click.option("--max-loss-bytes", type=click.IntRange(min=0), metavar="N", help="13 if more was lost, or may be.")
@change_options
@click.pass_context
def apply(
    ctx: click.Context,
    file: Path,
    canary: bool,
    max_gap: float | None,
    max_loss_bytes: int | None,
    dry_run: bool,
    yes: bool,
    reason: str,
    audit: str | None,
    break_lock: bool,
) -> Outcome:
    """Carry out a plan of rcfail failover --save-plan, only if all that it rests on still holds.

    Everything is checked anew: the shard has the same owner, slots and epoch, and every check says yes now. A file
    that was edited is refused. Consents that were given for the plan are part of it. Without a seed the plan's are
    taken.

    The exit codes are those of rcfail failover.
    """
    plan = read_plan(file)
    if max_gap is not None and not canary:
        raise UsageFault("--max-gap needs --canary: nothing else measures it", "Add --canary.")
    settings = _with_seeds(settings_of(ctx), plan)
    wish = Wish(
        request=plan.request,
        step=plan.step,
        dry_run=dry_run,
        reason=reason or plan.reason,
        break_lock=break_lock,
        canary=canary,
        command="apply",
        limits=Limits(max_gap, max_loss_bytes),
    )
    with ended_like_ctrl_c() as signals, at_site(settings, audit_path(audit)) as site:
        told = fail_over(site, wish, ways_of(settings, signals, yes=yes))
    return outcome_of("apply", settings, told)


def _with_seeds(settings: Settings, plan: SavedPlan) -> Settings:
    if settings.target.seeds or settings.target.record is not None:
        return settings
    seeds = tuple(endpoint for text in plan.seeds for endpoint in parse_seeds(text))
    return replace(settings, target=replace(settings.target, seeds=seeds))
