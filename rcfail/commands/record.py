"""`rcfail record`: what the cluster says, as a file."""

from __future__ import annotations

import os
from collections.abc import Iterator

import click

from rcfail.blind import NothingSeen
from rcfail.clock import SYSTEM_CLOCK
from rcfail.cluster.observation import Observation
from rcfail.commands.options import Verb, settings_of
from rcfail.errors import UsageFault
from rcfail.exits import ExitCode
from rcfail.health.finding import Thresholds
from rcfail.health.wording import counted
from rcfail.render.facts import seed_texts
from rcfail.render.lines import Line, line
from rcfail.render.outcome import ClusterName, Outcome, Trouble
from rcfail.rounds import look_until_settled
from rcfail.session import deadline_of, open_sight


@click.command(
    cls=Verb,
    looks=True,
    example="rcfail record today.json.gz -s 10.0.0.5:6379\nrcfail health --from-record today.json.gz",
)
@click.argument("file", metavar="FILE")
@click.option("--force", is_flag=True, help="Replace the file if it exists.")
@click.pass_context
def record(ctx: click.Context, file: str, force: bool) -> Outcome:
    """Save what the cluster says, to be judged again offline.

    Every reading command takes the file with --from-record and comes to the same verdict. It holds addresses,
    node ids and what INFO says, but no key, no password and no path of the servers' machines. A name that ends
    in .gz is compressed.
    """
    settings = settings_of(ctx)
    if settings.target.record is not None:
        raise UsageFault("record needs live servers, not --from-record", "Name a seed: -s HOST:PORT.")
    if not force and os.path.isfile(file):
        raise UsageFault(f"{file} exists", "Name another file, or replace it with --force.")
    sight = open_sight(settings)
    try:
        looked = look_until_settled(sight, Thresholds(), SYSTEM_CLOCK, deadline_of(settings))
    except NothingSeen as fault:
        # That nobody answers is worth saving too: it is what the operator has to show.
        return _saved(file, fault.observation, ExitCode.UNKNOWN, (Trouble(fault.code, fault.message, fault.hint),))
    unsettled = () if looked.agreed else ("the looks did not agree, so its verdict offline may be stricter than now",)
    return _saved(file, looked.observation, ExitCode.OK, (), (*settings.target.notes, *unsettled))


def _saved(
    file: str,
    observation: Observation,
    code: ExitCode,
    errors: tuple[Trouble, ...],
    notes: tuple[str, ...] = (),
) -> Outcome:
    from rcfail.wire.record import save

    save(observation, file)
    answers, silences = len(observation.answers), len(observation.silences)

    def page(_: int) -> Iterator[Line]:
        yield line(f"saved {counted(answers, 'answer')} and {counted(silences, 'silence')} to {file}")

    return Outcome(
        command="record",
        exit_code=code,
        text=page,
        data=lambda: {"file": file, "answers": answers, "silences": silences},
        cluster=ClusterName(seeds=seed_texts(observation.seeds)),
        notes=notes,
        errors=errors,
    )
