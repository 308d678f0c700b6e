"""`rcfail views`: who sees whom, and what each side of a partition serves and will do."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import click

from rcfail.clock import SYSTEM_CLOCK
from rcfail.cluster.outlook import outlook
from rcfail.cluster.sides import division
from rcfail.commands.codes import known_code
from rcfail.commands.options import Verb, settings_of
from rcfail.health.finding import Thresholds
from rcfail.health.rules.views import JUDGED
from rcfail.health.verdict import Policy, conclude
from rcfail.render.facts import cluster_name, record_note, stray_notes
from rcfail.render.outcome import Outcome
from rcfail.rounds import Looked, look_until_settled
from rcfail.session import deadline_of, open_sight
from rcfail.settings.sections import Settings


@click.command(cls=Verb, looks=True, example="rcfail views -s 10.0.0.5:6379 -s 10.0.1.5:6379")
@click.option("--matrix", is_flag=True, help="Draw who sees whom in full, also in a large cluster.")
@click.option("--ignore", multiple=True, metavar="CODE", help="Leave a finding out of the verdict; repeat it for more.")
@click.pass_context
def views(ctx: click.Context, matrix: bool, ignore: tuple[str, ...]) -> Outcome:
    """Say who sees whom: groups of equal views, and the sides of a partition.

    For each side: whether it has the quorum, which slots it serves now, what it will do by itself and when, and what
    is being lost. Name a seed on each side, if you can. Nodes that only others reach are placed by the others' word.

    The exit code judges only what the nodes see of each other: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.
    """
    settings = settings_of(ctx)
    policy = Policy(ignore=tuple(known_code(code).code for each in ignore for code in each.split(",")))
    looked = look_until_settled(open_sight(settings), Thresholds(), SYSTEM_CLOCK, deadline_of(settings), settings.zones)
    return outcome_of(looked, policy, matrix, (*settings.target.notes, *_notes(looked, settings)))


def outcome_of(looked: Looked, policy: Policy, matrix: bool = False, notes: tuple[str, ...] = ()) -> Outcome:
    """The answer of `rcfail views`, for whoever has looked."""
    from rcfail.render.views_json import views_data
    from rcfail.render.views_page import Picture, views_page

    snapshot = looked.snapshot
    diagnosis = conclude((each for each in looked.findings if each.code in JUDGED), policy)
    parts = division(snapshot)
    picture = Picture(snapshot, diagnosis, parts, outlook(snapshot, parts), matrix)
    return Outcome(
        command="views",
        exit_code=diagnosis.exit_code,
        text=partial(views_page, picture),
        data=partial(views_data, picture),
        verdict=diagnosis.verdict.value,
        cluster=cluster_name(snapshot),
        notes=notes,
    )


def _notes(looked: Looked, settings: Settings) -> Iterator[str]:
    yield from stray_notes(looked.snapshot, looked.findings)
    if settings.target.record is not None:
        yield record_note(settings.target.record, looked.snapshot.taken_at_unix_ms)
    elif not looked.agreed:
        yield f"what can pass by itself was not seen to stay: {counted_looks(looked.rounds)}"


def counted_looks(rounds: int) -> str:
    return "there was only one look" if rounds == 1 else f"{rounds} looks did not agree"
