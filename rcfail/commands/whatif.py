"""`rcfail whatif`: what the loss of nodes, hosts or zones would do."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import click

from rcfail.clock import SYSTEM_CLOCK
from rcfail.cluster.lookup import Match, meanings, near
from rcfail.cluster.placement import PlaceKind
from rcfail.cluster.snapshot import Snapshot
from rcfail.cluster.whatif import Foresight
from rcfail.commands.options import Verb, completed_by, settings_of
from rcfail.errors import UsageFault
from rcfail.health.finding import Thresholds
from rcfail.health.foresight import judged, trials
from rcfail.health.verdict import EXIT_OF, Verdict, conclude
from rcfail.health.wording import named
from rcfail.render.facts import cluster_name, record_note, stray_notes
from rcfail.render.outcome import Outcome
from rcfail.render.whatif_page import Question, loss_page, loss_words, weakest_page
from rcfail.rounds import Looked, look_until_settled
from rcfail.session import deadline_of, open_sight
from rcfail.settings.sections import Settings

_MOST_MATCHES = 8


@click.command(
    cls=Verb,
    looks=True,
    example="rcfail whatif -s 10.0.0.5:6379\nrcfail whatif --lose 10.0.1.7 --lose zone:east -s 10.0.0.5:6379",
)
@click.option(
    "--lose",
    "words",
    multiple=True,
    metavar="NODE|HOST|ZONE",
    shell_complete=completed_by("members"),
    help="A node (id or its first digits, host:port), all nodes of a host (address or name), or of a zone; repeat it.",
)
@click.option("--all", "show_all", is_flag=True, help="Every shard, host and zone, also in a large cluster.")
@click.pass_context
def whatif(ctx: click.Context, words: tuple[str, ...], show_all: bool) -> Outcome:
    """Say what the loss of nodes would do: which slots, which quorum, who is elected, for how long.

    All that is lost is lost at once. Nothing is asked but what health asks, and nothing is changed. Without --lose
    every single host and zone is tried, the weakest first.

    The exit code: 0 everything is served after the automatic failovers, by shards with replicas; 1 a shard is left
    without a replica, or the next lost voter ends the quorum; 2 slots, writes or the quorum are lost; 3 that
    cannot be told. Without --lose it is that of the weakest.
    """
    settings = settings_of(ctx)
    looked = look_until_settled(open_sight(settings), Thresholds(), SYSTEM_CLOCK, deadline_of(settings), settings.zones)
    snapshot = looked.snapshot
    lost = tuple(dict.fromkeys(_meant(snapshot, word) for word in words))
    foresight = Foresight(snapshot)
    question = Question(snapshot, conclude(looked.findings), foresight.now)
    notes = tuple(_notes(looked, settings))
    if lost:
        return _one_loss(question, foresight, lost, show_all, notes)
    return _every_place(question, foresight, show_all, notes)


def _one_loss(
    question: Question, foresight: Foresight, lost: tuple[Match, ...], show_all: bool, notes: tuple[str, ...]
) -> Outcome:
    from rcfail.render.whatif_json import whatif_data

    after = foresight.after({node_id for match in lost for node_id in match.node_ids})
    return Outcome(
        command="whatif",
        exit_code=EXIT_OF[judged(after)],
        text=lambda width: loss_page(question, lost, after, width, show_all),
        data=partial(whatif_data, question, lost, after),
        verdict=judged(after).value,
        cluster=cluster_name(question.snapshot),
        notes=notes,
    )


def _every_place(question: Question, foresight: Foresight, show_all: bool, notes: tuple[str, ...]) -> Outcome:
    from rcfail.render.whatif_json import whatif_data

    hosts = trials(question.snapshot, foresight, PlaceKind.HOST)
    zones = trials(question.snapshot, foresight, PlaceKind.ZONE)
    order = (Verdict.OK, Verdict.WARNING, Verdict.UNKNOWN, Verdict.CRITICAL)
    verdict = max((judged(question.now), *(each.verdict for each in (*hosts, *zones))), key=order.index)
    return Outcome(
        command="whatif",
        exit_code=EXIT_OF[verdict],
        text=lambda width: weakest_page(question, hosts, zones, width, show_all),
        data=partial(whatif_data, question, (), None, hosts, zones),
        verdict=verdict.value,
        cluster=cluster_name(question.snapshot),
        notes=(*notes, *_unlabelled(question.snapshot, known=bool(zones))),
    )


def _unlabelled(snapshot: Snapshot, known: bool) -> tuple[str, ...]:
    """What the rows of zones leave out: the zone of a node that answers nobody cannot be asked."""
    if not known:
        return ("no zone is known; tell them with --zone PATTERN=ZONE",)
    out = [node.node_id for node in snapshot.nodes.values() if not node.zone]
    if not out:
        return ()
    return (f"in no row of zones, for theirs is not known: {named(snapshot, out)}; tell it with --zone PATTERN=ZONE",)


def _meant(snapshot: Snapshot, word: str) -> Match:
    """What one word of --lose names. Raises UsageFault where that is nothing, or more than one thing."""
    found = meanings(snapshot, word)
    if len(found) == 1:
        return found[0]
    if found:
        told = ", ".join(_told(snapshot, each) for each in found[:_MOST_MATCHES])
        more = f" and {len(found) - _MOST_MATCHES} more" if len(found) > _MOST_MATCHES else ""
        raise UsageFault(
            f"--lose {word} can mean several things: {told}{more}",
            f"Say which, for example: --lose {found[0].word}",
        )
    close = near(snapshot, word)
    raise UsageFault(
        f"--lose {word} is no node, host or zone of this cluster",
        f"Did you mean: {', '.join(close)}?" if close else f"There are: {_some(snapshot)}. All: rcfail nodes",
    )


def _told(snapshot: Snapshot, match: Match) -> str:
    return f"{match.word} = {loss_words(snapshot, match)}"


def _some(snapshot: Snapshot) -> str:
    names = sorted({node.host for node in snapshot.nodes.values() if node.host})
    names += sorted({node.zone for node in snapshot.nodes.values() if node.zone})
    more = f" and {len(names) - _MOST_MATCHES} more" if len(names) > _MOST_MATCHES else ""
    return ", ".join(names[:_MOST_MATCHES]) + more


def _notes(looked: Looked, settings: Settings) -> Iterator[str]:
    yield from settings.target.notes
    yield from stray_notes(looked.snapshot, looked.findings)
    if settings.target.record is not None:
        yield record_note(settings.target.record, looked.snapshot.taken_at_unix_ms)
    elif not looked.agreed:
        yield "the looks did not agree: the picture may be passing"
