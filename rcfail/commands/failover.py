"""`rcfail failover`: move a primary, and know that it moved."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any

import click

from rcfail.change.mover import Judged
from rcfail.change.plan_file import SavedPlan, plan_text
from rcfail.change.request import Mode
from rcfail.change.run import Moment
from rcfail.change.told import Limits, Told, Turn, fitted
from rcfail.cluster.snapshot import Snapshot
from rcfail.commands.change_options import audit_path, change_options, overrides, tell
from rcfail.commands.consent import insist_on_consent
from rcfail.commands.interruption import Signals, ended_like_ctrl_c, held_back
from rcfail.commands.options import Verb, completed_by, duration, settings_of
from rcfail.errors import ConfigFault, UsageFault
from rcfail.exits import ExitCode
from rcfail.render.facts import cluster_name
from rcfail.render.failover_answer import answer_page, consent_page, failover_data, intent_page
from rcfail.render.failover_page import moment_line
from rcfail.render.outcome import Outcome, Trouble
from rcfail.render.write import write_page
from rcfail.runs.failing_over import Ways, Wish, fail_over
from rcfail.runs.moving import at_site
from rcfail.session import manner_of
from rcfail.settings.sections import Settings

_SHORT = 8


@click.command(
    cls=Verb,
    looks=True,
    example="rcfail failover 10.0.1.7:6379 --dry-run\n"
    "rcfail failover --slot 42 --yes --reason 'kernel update of 10.0.1.7'\n"
    "rcfail failover 4f2c91ab --force --allow-data-loss",
)
@click.argument("target", required=False, shell_complete=completed_by("addresses"))
@click.option("--slot", type=int, metavar="N", help="The shard that owns this slot, instead of TARGET.")
@click.option("--force", is_flag=True, help="Elect the replica without its primary's help: for one that is dead.")
@click.option("--takeover", is_flag=True, help="Take the slots without a vote: for when no majority is left.")
@click.option("--expect-primary", metavar="NODE", default="", help="Refuse unless this is the primary now.")
@click.option("--avoid", multiple=True, metavar="HOST|ZONE|NODE", help="Choose no candidate from there; repeat it.")
@click.option("--prefer-zone", metavar="ZONE", default="", help="Choose a candidate of this zone if there is one.")
@click.option("--max-lag-bytes", type=click.IntRange(min=0), metavar="N", help="How far the target may be behind.")
@click.option("--allow-data-loss", is_flag=True, help="Consent: acknowledged writes may be lost.")
@click.option("--allow-write-pause", is_flag=True, help="Consent: a slow primary may hold writes back for seconds.")
@click.option("--wait-cooldown", is_flag=True, help="Wait until the last election is long enough ago.")
@click.option("--takeover-with-quorum", is_flag=True, help="Take over although voters could elect.")
@click.option("--trust-this-host", is_flag=True, help="Go on although most nodes are silent to this host alone.")
@click.option(
    "--confirm-fenced",
    multiple=True,
    metavar="NODE|HOST|ZONE",
    help="A human says that these lost voters are stopped; repeat it.",
)
@click.option(
    "--override",
    multiple=True,
    type=click.Choice(["other-change", "shard-agreed"]),
    help="Let one check by its name pass; repeat it.",
)
@click.option("--canary", is_flag=True, help="Write and read own keys meanwhile: how long clients notice it.")
@click.option("--max-gap", type=duration, metavar="DURATION", help="With --canary: 13 if clients waited longer.")
@click.option("--max-loss-bytes", type=click.IntRange(min=0), metavar="N", help="13 if more was lost, or may be.")
@click.option(
    "--save-plan", metavar="FILE", type=click.Path(path_type=Path), help="Save it for rcfail apply; send nothing."
)
@change_options
@click.pass_context
def failover(ctx: click.Context, /, **flags: Any) -> Outcome:
    """Make a replica the primary of its shard, and verify it in every node's view.

    TARGET is a node id, the first digits of one, or host:port. A replica: that one is promoted, or it is refused. A
    primary: it is replaced by the best of its replicas, and every one is shown with the reasons. Without --force or
    --takeover nothing that was acknowledged is lost: the primary holds writes back until the replica has them all.

    Everything is checked first (--dry-run shows it). The command is sent once. What follows is told line by line, until
    every view shows it, or it cannot come any more.

    The exit code: 0 done and verified, or nothing to do; 10 refused, nothing was sent; 11 sent, not promoted; 12
    moved, but replicas are not back in time; 13 a limit was passed; 14 another change is under way; 15 it cannot be
    told; 65 you said no.
    """
    wish = wish_of(flags)
    save_to: Path | None = flags["save_plan"]
    if wish.limits.gap_s is not None and not wish.canary:
        raise UsageFault("--max-gap needs --canary: nothing else measures it", "Add --canary.")
    settings = settings_of(ctx)
    with ended_like_ctrl_c() as signals, at_site(settings, audit_path(flags["audit"])) as site:
        told = fail_over(site, wish, ways_of(settings, signals, yes=flags["yes"]))
    if save_to is not None and told.turn is Turn.ALLOWED and told.found is not None:
        _save(save_to, settings, told.found, wish.reason)
    return outcome_of("failover", settings, told, save_to)


def wish_of(flags: dict[str, Any]) -> Wish:
    """Raises UsageFault for flags that contradict each other."""
    if flags["force"] and flags["takeover"]:
        raise UsageFault("--force and --takeover exclude each other", "Which one fits: rcfail ready")
    mode = Mode.FORCE if flags["force"] else Mode.TAKEOVER if flags["takeover"] else Mode.GRACEFUL
    if mode is not Mode.TAKEOVER and (flags["confirm_fenced"] or flags["takeover_with_quorum"]):
        raise UsageFault("--confirm-fenced and --takeover-with-quorum are for --takeover", "Leave them out.")
    if mode is not Mode.GRACEFUL and flags["allow_write_pause"]:
        raise UsageFault("--allow-write-pause is for a graceful failover: others pause nothing", "Leave it out.")
    given = overrides(
        data_loss=flags["allow_data_loss"],
        write_pause=flags["allow_write_pause"],
        takeover_with_quorum=flags["takeover_with_quorum"],
        wait_cooldown=flags["wait_cooldown"],
        this_host=flags["trust_this_host"],
        other_change="other-change" in flags["override"],
        shard_agreed="shard-agreed" in flags["override"],
        fenced=bool(flags["confirm_fenced"]),
        max_lag=flags["max_lag_bytes"] is not None,
        break_lock=flags["break_lock"],
    )
    return Wish(
        word=flags["target"],
        slot=flags["slot"],
        mode=mode,
        given=given,
        expect=flags["expect_primary"],
        avoid=flags["avoid"],
        prefer_zone=flags["prefer_zone"],
        fenced=flags["confirm_fenced"],
        max_lag_bytes=flags["max_lag_bytes"],
        dry_run=flags["dry_run"] or flags["save_plan"] is not None,
        reason=flags["reason"],
        break_lock=flags["break_lock"],
        canary=flags["canary"],
        limits=Limits(flags["max_gap"], flags["max_loss_bytes"]),
    )


def ways_of(settings: Settings, signals: Signals, *, yes: bool) -> Ways:
    """Questions and live lines on stderr."""
    color = settings.output.color

    def consent(told: Told) -> bool:
        word = told.primary[:_SHORT]
        if yes and sys.stderr is not None:
            write_page(intent_page(told, _width()), sys.stderr, color=color)
        insist_on_consent(consent_page(told, _width()), word, "the primary's id", yes=yes, color=color)
        return not yes

    def witness(snapshot: Snapshot, moment: Moment) -> None:
        if sys.stderr is not None:
            write_page((moment_line(snapshot, moment),), sys.stderr, color=color)
            sys.stderr.flush()

    return Ways(consent, witness, tell, held_back, signals.ignore)


def _width() -> int:
    from rcfail.render.write import page_width

    return page_width()


def _save(path: Path, settings: Settings, found: Judged, reason: str) -> None:
    from rcfail.render.whole_file import replace_file

    seeds = tuple(map(str, settings.target.seeds))
    plan = SavedPlan(found.plan.made_at_unix_ms, seeds, found.request, found.plan.steps[0], reason)
    try:
        replace_file(str(path), plan_text(plan))
    except OSError as error:
        raise ConfigFault(f"the plan cannot be written to {path}: {error.strerror}", "Name another file.") from None


def outcome_of(command: str, settings: Settings, told: Told, saved: Path | None = None) -> Outcome:
    """The answer of `failover` and of `apply`."""
    told = fitted(told, manner_of(settings))
    passed = told.exit_code is ExitCode.LIMIT
    notes = list(settings.target.notes)
    if saved is not None and told.turn is Turn.ALLOWED:
        notes.append(f"the plan is saved; carry it out: rcfail apply {saved}")
    return Outcome(
        command=command,
        exit_code=told.exit_code,
        text=lambda width: answer_page(told, width),
        data=partial(failover_data, told),
        cluster=cluster_name(told.snapshot),
        notes=tuple(notes),
        errors=(Trouble("limit", told.passed_limit),) if passed else (),
    )
