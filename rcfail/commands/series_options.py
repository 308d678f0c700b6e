"""The options of commands that carry out several failovers, one after the other, and how they talk."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

import click

from rcfail.change.many.relocation import Relocation
from rcfail.change.many.site import Terms
from rcfail.change.run import Moment
from rcfail.cluster.snapshot import Snapshot
from rcfail.commands.change_options import change_options, overrides, tell
from rcfail.commands.consent import insist_on_consent
from rcfail.commands.options import Given, Verb, completed_by, duration
from rcfail.commands.stopping import Stopping
from rcfail.render.facts import cluster_name
from rcfail.render.failover_page import moment_line
from rcfail.render.moves_json import relocation_data
from rcfail.render.moves_page import consent_page, relocation_page
from rcfail.render.outcome import Outcome
from rcfail.render.write import page_width, write_page
from rcfail.runs.relocating import Ways, Wish
from rcfail.settings.sections import Settings

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = (
    click.option("--wait-cooldown", is_flag=True, help="Wait where the last election is not long enough ago."),
    click.option("--min-wait", type=duration, metavar="DURATION", help="Wait so long between two steps."),
    click.option("--max-lag-bytes", type=click.IntRange(min=0), metavar="N", help="How far a target may be behind."),
    click.option("--allow-write-pause", is_flag=True, help="Consent: a slow primary may hold writes back for seconds."),
    click.option("--trust-this-host", is_flag=True, help="Go on although most nodes are silent to this host alone."),
    click.option(
        "--override",
        multiple=True,
        type=click.Choice(["other-change", "shard-agreed"]),
        help="Let one check by its name pass; repeat it.",
    ),
)


def series_options(command: F) -> F:
    """What `wish_of` reads."""
    command = change_options(command)
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def terms_of(flags: Mapping[str, Any]) -> Terms:
    given = overrides(
        write_pause=flags["allow_write_pause"],
        wait_cooldown=flags["wait_cooldown"],
        this_host=flags["trust_this_host"],
        other_change="other-change" in flags["override"],
        shard_agreed="shard-agreed" in flags["override"],
        max_lag=flags["max_lag_bytes"] is not None,
        break_lock=flags["break_lock"],
    )
    return Terms(given, flags["max_lag_bytes"])


def wish_of(flags: Mapping[str, Any]) -> Wish:
    return Wish(terms_of(flags), flags["dry_run"], flags["reason"], flags["break_lock"], flags["min_wait"] or 0.0)


def ways_of(settings: Settings, stopping: Stopping, *, yes: bool, word: str, what: str) -> Ways:
    """Questions and live lines on stderr. `word` is to be typed to go on, and `what` says what it is."""
    color = settings.output.color

    def consent(found: Relocation) -> bool:
        insist_on_consent(consent_page(found, page_width()), word, what, yes=yes, color=color)
        return not yes

    return Ways(consent, partial(witness, color), tell, lambda: stopping.asked, stopping.shield, stopping.over)


def witness(color: bool, snapshot: Snapshot, moment: Moment) -> None:
    """One live line."""
    if sys.stderr is not None:
        write_page((moment_line(snapshot, moment),), sys.stderr, color=color)
        sys.stderr.flush()


def outcome_of(command: str, settings: Settings, told: Relocation) -> Outcome:
    return Outcome(
        command=command,
        exit_code=told.exit_code,
        text=lambda width: relocation_page(told, width),
        data=partial(relocation_data, told),
        cluster=cluster_name(told.snapshot),
        notes=(*settings.target.notes, *told.notes),
    )


class PlacedVerb(Verb):
    """A command about places: the global --zone without a `=` names one. It comes in as `zones`."""

    def invoke(self, ctx: click.Context) -> Any:
        ctx.params["zones"] = ctx.ensure_object(Given).zones_named()
        return super().invoke(ctx)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Places"):
            formatter.write_dl(
                [
                    ("PLACE", "A host, a zone or a node, as HOST, ZONE, ID or HOST:PORT."),
                    ("--host HOST", "All nodes of this host; repeat it."),
                    ("--zone ZONE", "All nodes of this zone; repeat it. As PATTERN=ZONE it labels nodes, see below."),
                ]
            )
        super().format_options(ctx, formatter)


def place_options(command: F) -> F:
    """PLACE and --host: they come in as `places, hosts`."""
    host = click.option("--host", "hosts", multiple=True, metavar="HOST", hidden=True)
    return click.argument("places", nargs=-1, metavar="[PLACE]...", shell_complete=completed_by("members"))(
        host(command)
    )


def words_of(flags: Mapping[str, Any]) -> tuple[str, ...]:
    """The places as words that mean one thing."""
    hosts, zones = (f"host:{each}" for each in flags["hosts"]), (f"zone:{each}" for each in flags["zones"])
    return (*flags["places"], *hosts, *zones)
