"""`rcfail drain`: move every primary away from a host or a zone."""

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
from rcfail.errors import UsageFault
from rcfail.render.outcome import Outcome
from rcfail.runs.moving import at_site
from rcfail.runs.relocating import drain as drain_places


@click.command(
    cls=PlacedVerb,
    looks=True,
    example="rcfail drain --host 10.0.1.7 --dry-run\n"
    "rcfail drain --zone east --yes --reason 'power work in east'\n"
    "rcfail undrain --zone east",
)
@place_options
@series_options
@click.pass_context
def drain(ctx: click.Context, /, **flags: Any) -> Outcome:
    """Move every primary away from a host or a zone, one after the other.

    PLACE is a host, a zone or a node; --host and --zone say which is meant. The whole is planned first: if one primary
    has nobody elsewhere that may take over, nothing is moved, and all such are named. New primaries are spread over
    hosts and zones. Each failover is graceful, checked anew right before it, and verified; the next one comes when
    every view agrees and nothing is worse than before. Stopped half way, run it again.

    What was where is kept on this host, for rcfail undrain.

    The exit code: 0 no primary is there any more; 10 refused, nothing was sent; 12 some were moved; 11 and 15 as for
    rcfail failover; 14 another change is under way; 65 you said no.
    """
    words = words_of(flags)
    if not words:
        raise UsageFault("which place?", "Name one: rcfail drain --host HOST, or rcfail drain --zone ZONE")
    settings, stopping = settings_of(ctx), Stopping()
    word = words[0].removeprefix("host:").removeprefix("zone:")
    ways = ways_of(settings, stopping, yes=flags["yes"], word=word, what="the place")
    with stopping.noted(), at_site(settings, audit_path(flags["audit"])) as site:
        told = drain_places(site, words, wish_of(flags), ways)
    return outcome_of("drain", settings, told)
