"""The page of `rcfail ready`: one sentence, then each shard with its modes; good shards of a large cluster in a row."""

from __future__ import annotations

from collections.abc import Iterator

from rcfail.change.readiness import Answer, Readiness, ShardReady
from rcfail.cluster.snapshot import Known
from rcfail.health.manner import PLAIN, Manner
from rcfail.health.verdict import Verdict
from rcfail.health.wording import answering, called, counted, rcfail, slots_text
from rcfail.render.lines import EMPTY, Line, Span, Style, line, span, wrapped
from rcfail.render.ready_words import (
    candidate_text,
    cause,
    crash_text,
    headline,
    mode_text,
    next_command,
    not_ready,
)
from rcfail.render.whatif_words import between
from rcfail.render.words import place, ranges, severity_style

MOST_SHARDS = 6
"""Good shards are told in full up to so many; of more, in a row each."""
MOST_BAD = 20
MOST_ROWS = 20
"""The others are counted: nothing is wrong with them."""

_LABEL = len("candidate  ")
_ANSWERS = {Answer.YES: Style.GOOD, Answer.CONSENT: Style.WARN, Answer.NO: Style.BAD, Answer.UNKNOWN: Style.WARN}


def ready_page(ready: Readiness, width: int, manner: Manner = PLAIN, show_all: bool = False) -> Iterator[Line]:
    """`manner` is how the operator reaches this cluster, for the next commands."""
    head = line(Span(ready.verdict.upper(), severity_style(ready.verdict)), "  ")
    yield from wrapped(headline(ready), width, first=head, indent=2, style=Style.HEAD)
    yield from _cluster_wide(ready, width, manner)
    bad = not_ready(ready)
    good = [each for each in ready.shards if each.verdict is Verdict.OK]
    full = show_all or len(ready.shards) <= MOST_SHARDS
    told = ready.shards if full else bad[:MOST_BAD]
    for shard in told:
        yield EMPTY
        yield from _shard(ready, shard, width, manner)
    if full:
        return
    if len(told) < len(bad):
        yield EMPTY
        rest = f"and {counted(len(bad) - len(told), 'more shard')} not ready: --all shows all"
        yield from wrapped(rest, width, style=Style.DIM)
    if good:
        yield EMPTY
        yield from _rows(ready, good, width)


def _cluster_wide(ready: Readiness, width: int, manner: Manner) -> Iterator[Line]:
    votes = ready.snapshot.electorate
    side = f"{len(votes.side)} of {counted(len(votes.voters), 'voter')} stand together, {votes.needed} needed"
    if ready.quorum is Known.UNKNOWN:
        side += "; some are silent to us, so whether they do cannot be told"
    yield EMPTY
    yield from _labelled("votes", side, width, severity_style(ready.quorum) if ready.quorum is not Known.YES else None)
    if ready.unowned:
        yield from _labelled("slots", f"{slots_text(ready.unowned)} have no owner", width, Style.BAD)
    if ready.findings and ready.verdict is Verdict.CRITICAL:
        codes = ", ".join(dict.fromkeys(each.code for each in ready.findings))
        see = manner.fit(rcfail("health", answering(ready.snapshot)))
        yield from _labelled("health", f"CRITICAL: {codes} (see: {see})", width, Style.BAD)


def _shard(ready: Readiness, shard: ShardReady, width: int, manner: Manner) -> Iterator[Line]:
    snapshot = ready.snapshot
    head = line(Span(shard.verdict.upper(), severity_style(shard.verdict)), "  ")
    slots = f"{ranges(shard.slots, 4)} ({counted(sum(b - a + 1 for a, b in shard.slots), 'slot')})"
    name = called(snapshot.nodes[shard.primary])
    yield from wrapped(f"shard {slots} of {name}", width, first=head, indent=2, style=Style.HEAD)
    if why := cause(snapshot, shard):
        yield from _labelled("cause", why, width)
    if hint := next_command(ready, shard):
        yield from _labelled("hint", manner.fit(hint), width)
    yield from _labelled("candidate", candidate_text(snapshot, shard), width)
    said = ""
    for mode in shard.modes:
        text = mode_text(snapshot, shard, mode)
        yield from _labelled(mode.mode.value, "the same" if text == said else text, width, _ANSWERS[mode.answer])
        said = text
    yield from _labelled("crash", crash_text(snapshot, shard), width, _of_known(shard.survives_crash))


def _of_known(answer: Known) -> Style:
    return {Known.YES: Style.GOOD, Known.NO: Style.BAD, Known.UNKNOWN: Style.WARN}[answer]


def _labelled(label: str, text: str, width: int, style: Style | None = None) -> Iterator[Line]:
    """The first word alone carries the colour of the answer."""
    word, space, rest = text.partition(" ") if style else ("", "", text)
    lead = (span("  "), Span(f"{label:<{_LABEL}}", Style.DIM), span(word + space, style or Style.PLAIN))
    yield from wrapped(rest, width, first=lead, indent=2 + _LABEL)


def _rows(ready: Readiness, good: list[ShardReady], width: int) -> Iterator[Line]:
    head = line(Span(f"{counted(len(good), 'shard')} ready", Style.HEAD), "; ")
    told = "primary -> candidate; how long writes would wait; in full: --all"
    yield from wrapped(told, width, first=head, indent=2, style=Style.DIM)
    for shard in good[:MOST_ROWS]:
        best = shard.graceful.candidate
        target = place(ready.snapshot.nodes[best.node_id]) if best else "nobody"
        name = place(ready.snapshot.nodes[shard.primary])
        longest = f"; {between(shard.pause_ms)}" if shard.pause_ms else ""
        text = f"{ranges(shard.slots, 2)}: {name} -> {target}{longest}"
        yield from wrapped(text, width, first=line("  ", Span("OK", Style.GOOD), "  "), indent=6)
    if len(good) > MOST_ROWS:
        yield from wrapped(f"and {len(good) - MOST_ROWS} more", width, first=line("  "), indent=2, style=Style.DIM)
