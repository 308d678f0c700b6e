"""`rcfail health`: the verdict."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import click

from rcfail.clock import SYSTEM_CLOCK
from rcfail.commands.codes import known_code
from rcfail.commands.options import Given, Verb, completed_by, duration, settings_of
from rcfail.errors import UsageFault
from rcfail.exits import ExitCode
from rcfail.health.finding import Thresholds
from rcfail.health.verdict import Policy, Verdict
from rcfail.render.facts import cluster_name, record_note, stray_notes
from rcfail.render.outcome import Outcome, Picture
from rcfail.rounds import Judge, Judged
from rcfail.session import lasting, open_sight
from rcfail.settings.sections import Format, Settings, Wanted

_COUNT = click.IntRange(min=0)
_NOTHING_WANTED = Wanted()
_SHORTEST_S = 0.1


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
@click.option(
    "--ignore",
    multiple=True,
    metavar="CODE",
    shell_complete=completed_by("codes"),
    help="Leave a finding out of the verdict; repeat it for more.",
)
@click.option("--min-replicas", type=_COUNT, help="Healthy replicas that a shard needs. [1]")
@click.option("--max-lag-bytes", type=_COUNT, help="How far a replica may be behind. [half the backlog]")
@click.option("--max-lag-s", type=_COUNT, help="For how long a replica may hear nothing. [10]")
@click.option(
    "--watch",
    type=duration,
    is_flag=False,
    flag_value="1s",
    metavar="[DURATION]",
    help="Look again every second, or so often, until Ctrl-C; then the last verdict stands.",
)
@click.option("--rounds", type=click.IntRange(min=1), metavar="N", help="End --watch after so many rounds.")
@click.option("--all", "show_all", is_flag=True, help="Every shard and every finding, also in a large cluster.")
@click.pass_context
def health(
    ctx: click.Context,
    wait: float | None,
    fail_on: str,
    ignore: tuple[str, ...],
    min_replicas: int | None,
    max_lag_bytes: int | None,
    max_lag_s: int | None,
    watch: float | None,
    rounds: int | None,
    show_all: bool,
) -> Outcome:
    """Say whether the cluster serves, and what threatens it.

    Asks every node that any node knows, compares all their views, and looks twice before it says what could
    pass by itself. The exit code is the verdict: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.
    """
    settings = settings_of(ctx)
    policy = Policy(Verdict(fail_on), tuple(known_code(code).code for each in ignore for code in each.split(",")))
    thresholds = thresholds_of(settings.wanted, Wanted(min_replicas, max_lag_bytes, max_lag_s))
    if wait is not None and settings.target.record is not None:
        raise UsageFault("--wait needs live servers: a record never changes", "Leave out --wait, or --from-record.")
    _check_watch(settings, watch, rounds, wait)
    sight = open_sight(settings)
    judge = Judge(sight, thresholds, policy, SYSTEM_CLOCK, settings.limits.deadline_s, settings.zones)
    if watch is not None:
        return _watched(ctx, judge, watch, rounds, show_all)
    judged = judge.judge() if wait is None else judge.judge_until_ok(wait)
    return outcome_of(judged, show_all, (*settings.target.notes, *_notes(judged, wait, settings.target.record)))


def thresholds_of(kept: Wanted, flags: Wanted = _NOTHING_WANTED) -> Thresholds:
    """What counts: a flag, else what the config file says of the cluster, else the default."""
    usual = Thresholds()
    replicas = (flags.min_replicas, kept.min_replicas, usual.min_replicas)
    lag_bytes = (flags.max_lag_bytes, kept.max_lag_bytes, usual.max_lag_bytes)
    lag_s = (flags.max_lag_s, kept.max_lag_s, usual.max_lag_s)
    return Thresholds(_first(replicas) or 0, _first(lag_bytes), _first(lag_s) or 0)


def _first(values: tuple[int | None, ...]) -> int | None:
    return next((each for each in values if each is not None), None)


def _check_watch(settings: Settings, every_s: float | None, rounds: int | None, wait: float | None) -> None:
    """Raises UsageFault for what cannot be had together with --watch, or without it."""
    if every_s is None:
        if rounds is not None:
            raise UsageFault("--rounds counts the rounds of a watch", "Say: rcfail health --watch --rounds N.")
        return
    if every_s < _SHORTEST_S:
        raise UsageFault(
            "--watch looks ten times a second at most", f"Say: --watch {_SHORTEST_S * 1000:.0f}ms, or longer."
        )
    if wait is not None:
        raise UsageFault("--watch and --wait exclude each other", "Only --wait ends by itself when the verdict is OK.")
    if settings.target.record is not None:
        raise UsageFault("--watch needs live servers: a record never changes", "Leave out --watch, or --from-record.")
    if settings.output.format not in (Format.TEXT, Format.JSON):
        hint = f"Leave out --watch: a monitor calls again by itself, and -o {settings.output.format} is one answer."
        raise UsageFault(f"--watch has no -o {settings.output.format}", hint)
    if settings.output.file:
        raise UsageFault("--watch and --output-file exclude each other", "Redirect it: rcfail health --watch > FILE.")


def _watched(ctx: click.Context, judge: Judge, every_s: float, rounds: int | None, show_all: bool) -> Outcome:
    from rcfail.commands.failures import failed
    from rcfail.commands.watching import watch_health
    from rcfail.watch import Round, Watch

    given, settings = ctx.ensure_object(Given), settings_of(ctx)

    def answer_of(seen: Round) -> Outcome:
        if seen.seen is None:
            assert seen.fault
            return failed(seen.fault, given, ()).of_cluster(settings.target.name)
        notes = (*settings.target.notes, *_notes(seen.seen, None, None))
        return outcome_of(seen.seen, show_all, notes).of_cluster(settings.target.name)

    with lasting(judge.sight) as sight:
        return watch_health(Watch(replace(judge, sight=sight), every_s), every_s, rounds, settings.output, answer_of)


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
