"""`rcfail layout`: which node shall be primary of which shard, written into a file and brought back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from rcfail.change.many.layout import BadLayout, WrittenLayout, differences, layout_of, layout_text, parse_layout
from rcfail.clock import SYSTEM_CLOCK
from rcfail.cluster.merge import merge
from rcfail.cluster.snapshot import Snapshot
from rcfail.commands.change_options import audit_path
from rcfail.commands.options import Verb, VerbGroup, settings_of
from rcfail.commands.series_options import outcome_of, series_options, ways_of, wish_of
from rcfail.commands.stopping import Stopping
from rcfail.errors import ConfigFault, Refused, UsageFault
from rcfail.exits import ExitCode
from rcfail.health.finding import Thresholds
from rcfail.health.wording import counted, listing, slots_text
from rcfail.render.facts import cluster_name
from rcfail.render.lines import EMPTY, Line, Span, Style, line, wrapped
from rcfail.render.moves_json import written_data
from rcfail.render.moves_page import difference_lines
from rcfail.render.outcome import ClusterName, Outcome
from rcfail.rounds import look_until_settled
from rcfail.runs.moving import at_site
from rcfail.runs.relocating import insist_on_same_cluster
from rcfail.runs.relocating import restore as restore_layout
from rcfail.session import deadline_of, open_sight
from rcfail.settings.sections import Settings

_LONGEST = 1 << 24
_file = click.argument("file", type=click.Path(path_type=Path))


@click.group(cls=VerbGroup, example="rcfail layout save before.json\nrcfail layout diff before.json")
def layout() -> None:
    """Write down which node is primary of which shard, compare it later, and bring it back.

    A shard is known by its slots, a node by its id.
    """


@layout.command("save", cls=Verb, looks=True, example="rcfail layout save before.json -s 10.0.0.5:6379")
@_file
@click.pass_context
def save(ctx: click.Context, file: Path) -> Outcome:
    """Write the layout of now into FILE. An older file is replaced at once, or stays as it was."""
    from rcfail.render.whole_file import replace_file

    settings = settings_of(ctx)
    snapshot = _seen(settings)
    found = layout_of(snapshot)
    unclear = tuple(each.slots for each in found.shards if snapshot.nodes[each.primary.node_id].view is None)
    if not found.shards:
        raise Refused("no shard has a primary with slots: there is no layout to save", "Look: rcfail health")
    try:
        replace_file(str(file), layout_text(found))
    except OSError as error:
        raise ConfigFault(
            f"the layout cannot be written to {file}: {error.strerror or error}", "Name another file."
        ) from None
    note = tuple(f"the owner of {slots_text(each)} is silent: it is what the others say" for each in unclear)
    head = f"{counted(len(found.shards), 'shard')} written to {file}"
    return _outcome("layout save", settings, snapshot, (head, *_rows(found)), found, notes=note)


@layout.command("show", cls=Verb, example="rcfail layout show before.json")
@_file
@click.pass_context
def show(ctx: click.Context, file: Path) -> Outcome:
    """Show what is written in FILE. No cluster is asked."""
    settings = settings_of(ctx)
    found = _read(file)
    head = f"{counted(len(found.shards), 'shard')} in {file}, seeds {listing(found.seeds) or 'not written'}"
    return _outcome("layout show", settings, None, (head, *_rows(found)), found)


@layout.command("diff", cls=Verb, looks=True, example="rcfail layout diff before.json -s 10.0.0.5:6379")
@_file
@click.pass_context
def diff(ctx: click.Context, file: Path) -> Outcome:
    """Say which shards are not led as FILE says. The exit code: 0 all are, 1 some are not."""
    settings, written = settings_of(ctx), _read(file)
    snapshot = _seen(settings)
    insist_on_same_cluster(snapshot, written)
    found = differences(snapshot, written)
    other = [each for each in found if not each.same]
    code = ExitCode.WARNING if other else ExitCode.OK

    def page(width: int) -> Iterator[Line]:
        word, style = ("DIFFERS", Style.WARN) if other else ("SAME", Style.GOOD)
        total = len(written.shards)
        same = f"{len(found) - len(other)} of {counted(total, 'shard')} are as written in {file}"
        yield from wrapped(same, width, first=line(Span(word, style), "  "), indent=len(word) + 2, style=Style.HEAD)
        if other:
            yield EMPTY
            yield from difference_lines(found, width)

    return Outcome(
        command="layout diff",
        exit_code=code,
        text=page,
        data=lambda: written_data(written, found),
        cluster=cluster_name(snapshot),
        notes=settings.target.notes,
    )


@layout.command(
    "restore",
    cls=Verb,
    looks=True,
    example="rcfail layout restore before.json --dry-run\nrcfail layout restore f --yes",
)
@_file
@series_options
@click.pass_context
def restore(ctx: click.Context, /, file: Path, **flags: Any) -> Outcome:
    """Make the nodes that FILE names primaries again, by the fewest graceful failovers, one after the other.

    Only where the written node is a healthy replica of that very shard now. What else differs is named, not guessed at.

    The exit code: 0 all is as written; 10 refused, nothing was sent; 12 some is; else as for rcfail drain.
    """
    settings, written, stopping = settings_of(ctx), _read(file), Stopping()
    ways = ways_of(settings, stopping, yes=flags["yes"], word="restore", what="the command's name")
    with stopping.noted(), at_site(settings, audit_path(flags["audit"])) as site:
        told = restore_layout(site, written, wish_of(flags), ways)
    return outcome_of("layout restore", settings, told)


def _seen(settings: Settings) -> Snapshot:
    """Raises CannotSee."""
    sight = open_sight(settings)
    deadline = deadline_of(settings)
    looked = look_until_settled(sight, Thresholds(), SYSTEM_CLOCK, deadline, settings.zones)
    return merge(looked.observation, settings.zones)


def _read(file: Path) -> WrittenLayout:
    """Raises UsageFault."""
    try:
        with file.open("rb") as opened:
            return parse_layout(opened.read(_LONGEST).decode("utf-8", "replace"))
    except OSError as error:
        raise UsageFault(f"the layout {file} cannot be read: {error.strerror}", _MAKE) from None
    except BadLayout as error:
        raise UsageFault(f"{file} {error}", _MAKE) from None


_MAKE = "Make one: rcfail layout save FILE"


def _rows(written: WrittenLayout) -> Iterator[str]:
    for each in written.shards:
        replicas = listing([f"{seat.address} ({seat.node_id[:8]})" for seat in each.replicas]) or "none"
        primary = f"{each.primary.address} ({each.primary.node_id[:8]})"
        yield f"{slots_text(each.slots)}: {primary}, replicas {replicas}"


def _outcome(
    command: str,
    settings: Settings,
    snapshot: Snapshot | None,
    rows: tuple[str, ...],
    written: WrittenLayout,
    notes: tuple[str, ...] = (),
) -> Outcome:
    def page(width: int) -> Iterator[Line]:
        yield from wrapped(rows[0], width, style=Style.HEAD)
        for each in rows[1:]:
            yield from wrapped(each, width, first=line("  "), indent=4)

    return Outcome(
        command=command,
        exit_code=ExitCode.OK,
        text=page,
        data=lambda: written_data(written),
        cluster=cluster_name(snapshot) if snapshot is not None else ClusterName(),
        notes=(*settings.target.notes, *notes),
    )
