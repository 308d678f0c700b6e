"""`rcfail ready`: would a failover work now, shard by shard."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import click

from rcfail.change.readiness import Readiness, readiness
from rcfail.change.target import meant_shards
from rcfail.clock import SYSTEM_CLOCK
from rcfail.commands.change_options import audit_path
from rcfail.commands.options import Verb, completed_by, settings_of
from rcfail.errors import UsageFault
from rcfail.health.manner import Manner
from rcfail.health.verdict import EXIT_OF
from rcfail.render.facts import cluster_name, stray_notes
from rcfail.render.outcome import Outcome
from rcfail.roundup import Survey, survey
from rcfail.session import deadline_of, lasting, open_door, open_sight


@click.command(cls=Verb, looks=True, example="rcfail ready -s 10.0.0.5:6379\nrcfail ready 10.0.1.7:6379 slot:42")
@click.argument("shards", nargs=-1, metavar="[SHARD]...", shell_complete=completed_by("members"))
@click.option("--all", "show_all", is_flag=True, help="Every shard in full, also in a large cluster.")
@click.option("--audit", metavar="FILE", help="Read there when nodes last stood for election; - for nowhere.")
@click.pass_context
def ready(ctx: click.Context, shards: tuple[str, ...], show_all: bool, audit: str | None) -> Outcome:
    """Say whether a failover would work now, for each shard and each mode.

    Everything that rcfail failover checks is checked, for every replica, and nothing is sent. It shows the candidate,
    votes, lag, the cooldown that is left, how long writes would wait, which bytes would be at risk, and what happens
    when the primary dies.

    SHARD is any node of it (id or its first digits, host:port), a slot as slot:N, or a host or zone: then all shards
    with a node there.

    The exit code: 0 in every shard a graceful failover works now, and a crash is survived; 1 one of these is not so;
    2 slots or the majority are lost now; 3 it cannot be told.
    """
    settings = settings_of(ctx)
    if settings.target.record is not None:
        raise UsageFault(
            "ready needs live servers: a record does not tell what is so now",
            "Judge what was so then: rcfail health --from-record FILE, or rcfail whatif --from-record FILE",
        )
    with lasting(open_sight(settings)) as sight:
        seen = survey(
            sight,
            open_door(settings),
            lambda snapshot: meant_shards(snapshot, shards),
            deadline=deadline_of(settings),
            clock=SYSTEM_CLOCK,
            audit_path=audit_path(audit),
            labels=settings.zones,
        )
    found = readiness(seen.snapshot, seen.by_primary, seen.findings, seen.only)
    notes = (*settings.target.notes, *_notes(seen))
    return outcome_of(found, sight.manner, show_all, notes)


def outcome_of(found: Readiness, manner: Manner, show_all: bool = False, notes: tuple[str, ...] = ()) -> Outcome:
    """The answer of `rcfail ready`, for whoever has looked."""
    from rcfail.render.ready_json import ready_data
    from rcfail.render.ready_page import ready_page

    return Outcome(
        command="ready",
        exit_code=EXIT_OF[found.verdict],
        text=lambda width: ready_page(found, width, manner, show_all),
        data=partial(ready_data, found, manner),
        verdict=found.verdict.value,
        cluster=cluster_name(found.snapshot),
        notes=notes,
        readiness=found,
    )


def _notes(seen: Survey) -> Iterator[str]:
    yield from stray_notes(seen.snapshot, seen.findings)
    if not seen.agreed:
        yield "the looks did not agree: the picture may be passing"
    if seen.stood_unread:
        yield f"past elections could not be read: {seen.stood_unread}"
