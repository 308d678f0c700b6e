"""`rcfail health`: the verdict."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import click

from rcfail.clock import SYSTEM_CLOCK
from rcfail.commands.codes import known_code
from rcfail.commands.options import Verb, duration, settings_of
from rcfail.errors import UsageFault
from rcfail.exits import ExitCode
from rcfail.health.finding import Thresholds
from rcfail.health.verdict import Policy, Verdict
from rcfail.render.facts import cluster_name, record_note, stray_notes
from rcfail.render.outcome import Outcome, Picture
from rcfail.rounds import Judge, Judged
from rcfail.session import open_sight

_COUNT = click.IntRange(min=0)


@click.command(
    cls=Verb, looks=True, example="rcfail health -s 10.0.0.5:6379 --fail-on critical --ignore quorum-fragile"
)
@click.option("--wait", type=duration, metavar="DURATION", help="Look again until the verdict is OK, at most so long.")
@click.option(
    "--fail-on",
    type=click.Choice(["warning", "critical"]),
    default="warning",
    show_default=True,
    help="critical: a WARNING ends with code 0. UNKNOWN never does.",
)
@click.option("--ignore", multiple=True, metavar="CODE", help="Leave a finding out of the verdict; repeat it for more.")
@click.option("--min-replicas", type=_COUNT, default=1, show_default=True, help="Healthy replicas that a shard needs.")
@click.option("--max-lag-bytes", type=_COUNT, help="How far a replica may be behind. [half the backlog]")
@click.option(
    "--max-lag-s", type=_COUNT, default=10, show_default=True, help="For how long a replica may hear nothing."
)
@click.option("--all", "show_all", is_flag=True, help="Every shard and every finding, also in a large cluster.")
@click.pass_context
def health(
    ctx: click.Context,
    wait: float | None,
    fail_on: str,
    ignore: tuple[str, ...],
    min_replicas: int,
    max_lag_bytes: int | None,
    max_lag_s: int,
    show_all: bool,
) -> Outcome:
    """Say whether the cluster serves, and what threatens it.

    Asks every node that any node knows, compares all their views, and looks twice before it says what could
    pass by itself. The exit code is the verdict: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.
    """
    settings = settings_of(ctx)
    policy = Policy(Verdict(fail_on), tuple(known_code(code).code for each in ignore for code in each.split(",")))
    thresholds = Thresholds(min_replicas, max_lag_bytes, max_lag_s)
    if wait is not None and settings.target.record is not None:
        raise UsageFault("--wait needs live servers: a record never changes", "Leave out --wait, or --from-record.")
    sight = open_sight(settings)
    judge = Judge(sight, thresholds, policy, SYSTEM_CLOCK, settings.limits.deadline_s, settings.zones)
    judged = judge.judge() if wait is None else judge.judge_until_ok(wait)
    return outcome_of(judged, show_all, (*settings.target.notes, *_notes(judged, wait, settings.target.record)))


def outcome_of(judged: Judged, show_all: bool = False, notes: tuple[str, ...] = ()) -> Outcome:
    """The answer of `rcfail health`, for whoever has judged."""
    from rcfail.render.health_json import health_data
    from rcfail.render.health_page import health_page

    snapshot, diagnosis = judged.looked.snapshot, judged.diagnosis
    return Outcome(
        command="health",
        exit_code=diagnosis.exit_code,
        text=lambda width: health_page(snapshot, diagnosis, width, show_all),
        data=partial(health_data, snapshot, diagnosis),
        verdict=diagnosis.verdict.value,
        cluster=cluster_name(snapshot),
        notes=notes,
        judged=Picture(snapshot, diagnosis),
    )


def _notes(judged: Judged, wait: float | None, record: str | None) -> Iterator[str]:
    diagnosis = judged.diagnosis
    yield from stray_notes(judged.looked.snapshot, (*diagnosis.findings, *diagnosis.ignored))
    if diagnosis.verdict is Verdict.WARNING and diagnosis.exit_code is ExitCode.OK:
        yield "ends with code 0 because of --fail-on critical"
    if record is not None:
        yield record_note(record, judged.looked.snapshot.taken_at_unix_ms)
    elif not judged.looked.agreed:
        yield f"what can pass by itself was not seen to stay: {_looks(judged.looked.rounds)}"
    if wait is not None:
        came = "until the verdict was OK" if diagnosis.exit_code is ExitCode.OK else "in vain for the verdict OK"
        yield f"waited {judged.waited_s:.1f} s {came}"


def _looks(rounds: int) -> str:
    return "there was only one look" if rounds == 1 else f"{rounds} looks did not agree"
