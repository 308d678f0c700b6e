"""`rcfail undrain`: bring the primaries back that `rcfail drain` moved away."""

from __future__ import annotations

from typing import Any

import click

from rcfail.commands.change_options import audit_path
from rcfail.commands.options import settings_of
from rcfail.commands.series_options import (
    PlacedVerb,
    outcome_of,
    place_options,
    series_options,
    ways_of,
    wish_of,
    words_of,
)
from rcfail.commands.stopping import Stopping
from rcfail.render.outcome import Outcome
from rcfail.runs.moving import at_site
from rcfail.runs.relocating import undrain as undrain_places


@click.command(
    cls=PlacedVerb,
    looks=True,
    example="rcfail undrain --dry-run\nrcfail undrain --zone east --wait-cooldown --yes",
)
@place_options
@series_options
@click.pass_context
def undrain(ctx: click.Context, /, **flags: Any) -> Outcome:
    """Bring primaries back to where rcfail drain took them from, by graceful failovers, one after the other.

    Without a place: back to every place that was drained from this host. Only where the old primary is a healthy
    replica of its shard now; what cannot be brought back is named, and the rest is done.

    On Redis, and Valkey before 8.0.5, a node that stood for election has to wait before it can stand again: soon after
    a drain say --wait-cooldown.

    The exit code: 0 all is back, or was; 10 refused, nothing was sent; 12 some are back; else as for rcfail drain.
    """
    settings, stopping = settings_of(ctx), Stopping()
    words = words_of(flags)
    word = words[0].removeprefix("host:").removeprefix("zone:") if words else "undrain"
    what = "the place" if words else "the command's name"
    ways = ways_of(settings, stopping, yes=flags["yes"], word=word, what=what)
    with stopping.noted(), at_site(settings, audit_path(flags["audit"])) as site:
        told = undrain_places(site, words, wish_of(flags), ways)
    return outcome_of("undrain", settings, told)
