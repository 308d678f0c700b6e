"""`rcfail wait`: until the cluster, or a node of it, is as it should be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import click

from rcfail.clock import SYSTEM_CLOCK
from rcfail.commands.codes import known_code
from rcfail.commands.health import thresholds_of
from rcfail.commands.interruption import ended_like_ctrl_c
from rcfail.commands.options import Verb, completed_by, duration, settings_of
from rcfail.errors import UsageFault
from rcfail.exits import ExitCode
from rcfail.health.conditions import Ambiguous, BadCondition, Condition, condition, node_of
from rcfail.health.verdict import Policy, Verdict
from rcfail.health.wording import duration as duration_text
from rcfail.render.facts import cluster_name
from rcfail.render.inert import inert
from rcfail.render.lines import Line, Span, Style, line, span, wrapped
from rcfail.render.outcome import ClusterName, Json, Outcome, Trouble
from rcfail.rounds import Judge
from rcfail.session import lasting, open_sight
from rcfail.settings.sections import Settings, Wanted
from rcfail.waiting import Waited, Waiting

_FORMS = "healthy, settled, primary=NODE, replica=NODE, synced=NODE"


@click.command(
    cls=Verb,
    looks=True,
    example="rcfail wait settled primary=10.0.1.7:6379\nrcfail wait healthy --ignore quorum-fragile --timeout 2m",
)
@click.argument(
    "conditions", nargs=-1, required=True, metavar="CONDITION...", shell_complete=completed_by("conditions")
)
@click.option(
    "--timeout", type=duration, default="60s", show_default=True, metavar="DURATION", help="How long to wait at most."
)
@click.option(
    "--fail-on",
    type=click.Choice([Verdict.WARNING.value, Verdict.CRITICAL.value]),
    default=Verdict.WARNING.value,
    show_default=True,
    help="critical: a WARNING is healthy too. UNKNOWN never is.",
)
@click.option(
    "--ignore",
    multiple=True,
    metavar="CODE",
    shell_complete=completed_by("codes"),
    help="Leave a finding out of healthy; repeat it for more.",
)
@click.option("--min-replicas", type=click.IntRange(min=0), help="Healthy replicas that a shard needs. [1]")
@click.pass_context
def wait(
    ctx: click.Context,
    conditions: tuple[str, ...],
    timeout: float,
    fail_on: str,
    ignore: tuple[str, ...],
    min_replicas: int | None,
) -> Outcome:
    """Wait until all conditions hold, seen twice in a row.

    \b
    healthy        rcfail health would end with 0
    settled        all nodes that live say the same of roles, owners, epochs
    primary=NODE   it is a primary with slots, and all nodes know it
    replica=NODE   it is a replica, and all nodes know it
    synced=NODE    the same, its link is up and it takes no copy

    NODE is an id, the first digits of one, or host:port; it may join later. What is still missing goes to stderr,
    whenever that changes. The exit code: 0 all hold; 16 they did not in time; 3 when time was up, no cluster could be
    seen at all.
    """
    wanted = tuple(dict.fromkeys(_wanted(each) for each in conditions))
    settings = settings_of(ctx)
    policy = Policy(Verdict(fail_on), tuple(known_code(code).code for each in ignore for code in each.split(",")))
    if settings.target.record is not None:
        raise UsageFault(
            "wait needs live servers: a record never changes", "Judge it: rcfail health --from-record FILE"
        )
    with ended_like_ctrl_c(), lasting(open_sight(settings)) as sight:
        thresholds = thresholds_of(settings.wanted, Wanted(min_replicas=min_replicas))
        judge = Judge(sight, thresholds, policy, SYSTEM_CLOCK, settings.limits.deadline_s, settings.zones)
        try:
            waited = Waiting(judge, wanted, _teller(wanted)).wait(timeout)
        except Ambiguous as error:
            raise UsageFault(str(error), "Write more digits of the id, or the address: host:port.") from None
    return _outcome(settings, wanted, waited)


def _wanted(text: str) -> Condition:
    try:
        return condition(text)
    except BadCondition as error:
        raise UsageFault(str(error), f"Conditions are: {_FORMS}.") from None


def _teller(wanted: Sequence[Condition]) -> Callable[[Sequence[str]], None]:
    def tell(missing: Sequence[str]) -> None:
        reasons = dict.fromkeys(missing)
        if len(reasons) == 1 and len(wanted) > 1:  # such as that nothing can be seen
            click.echo(inert(f"waiting: {missing[0]}"), err=True)
            return
        for each, lacks in zip(wanted, missing, strict=True):
            if lacks:
                click.echo(inert(f"waiting for {each}: {lacks}"), err=True)

    return tell


def _outcome(settings: Settings, wanted: Sequence[Condition], waited: Waited) -> Outcome:
    code = ExitCode.OK if waited.held else (ExitCode.TIMEOUT if waited.seen else ExitCode.UNKNOWN)
    seeds = tuple(map(str, settings.target.seeds))
    return Outcome(
        command="wait",
        exit_code=code,
        text=lambda width: tuple(_page(wanted, waited, width)),
        data=partial(_data, wanted, waited),
        verdict="unknown" if code is ExitCode.UNKNOWN else None,
        cluster=cluster_name(waited.seen.looked.snapshot) if waited.seen else ClusterName(seeds=seeds),
        notes=settings.target.notes,
        errors=tuple(_troubles(wanted, waited)),
    )


def _troubles(wanted: Sequence[Condition], waited: Waited) -> list[Trouble]:
    if waited.held:
        return []
    if waited.blind is not None:
        return [Trouble(waited.blind.code, waited.blind.message, waited.blind.hint)]
    lacking = [f"{each}: {lacks}" for each, lacks in zip(wanted, waited.missing, strict=True) if lacks]
    told = "; ".join(lacking) or "it held in the last look alone, and not in two in a row"
    text = f"not in time, after {duration_text(waited.waited_s * 1000)}: {told}"
    return [Trouble("timeout", text, "See what is wrong: rcfail health. A longer wait: --timeout 5m")]


def _page(wanted: Sequence[Condition], waited: Waited, width: int) -> list[Line]:
    if not waited.held:
        return []  # what is missing is told on stderr, with what to do
    took = duration_text(waited.waited_s * 1000)
    text = f"after {took}: {', '.join(map(str, wanted))}"
    return list(wrapped(text, width, first=line(Span("DONE", Style.GOOD), span("  ")), indent=6))


def _data(wanted: Sequence[Condition], waited: Waited) -> Json:
    rows = []
    for each, lacks in zip(wanted, waited.missing, strict=True):
        node_id = node_of(waited.seen.looked.snapshot, each) if waited.seen else None
        rows.append({"condition": str(each), "node_id": node_id, "holds": not lacks, "missing": lacks or None})
    return {
        "held": waited.held,
        "conditions": rows,
        "waited_ms": round(waited.waited_s * 1000),
        "looks": waited.looks,
    }
