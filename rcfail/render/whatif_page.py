"""The page of `rcfail whatif`: one loss in full, or every single host and zone in a row each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rcfail.cluster.forecast import Fate, Forecast, ShardAfter, Stop, harm
from rcfail.cluster.lookup import Kind, Match
from rcfail.cluster.snapshot import Snapshot
from rcfail.health.catalogue import BY_CODE
from rcfail.health.foresight import Trial, judged
from rcfail.health.verdict import Diagnosis, Verdict
from rcfail.health.wording import called, counted, named
from rcfail.render.inert import inert
from rcfail.render.lines import EMPTY, Line, Span, Style, line, span, wrapped
from rcfail.render.whatif_words import (
    between,
    fate_text,
    helping_page,
    replicas_text,
    risk_text,
    stop_text,
    summary,
    votes_text,
)
from rcfail.render.words import ranges, severity_style

MOST_ROWS = 20
"""Hosts or zones, or shards, that are told one by one; of more, the worst."""

_LABEL = len("replicas  ")
_WIDEST_NAME = 26


@dataclass(frozen=True, slots=True)
class Question:
    """What was looked at: the picture, what health says of it, and what becomes of it without any loss."""

    snapshot: Snapshot
    diagnosis: Diagnosis
    now: Forecast


def loss_page(
    question: Question, lost: Sequence[Match], forecast: Forecast, width: int, show_all: bool
) -> Iterator[Line]:
    """One loss in full."""
    words = " and ".join(loss_words(question.snapshot, each) for each in lost)
    yield from _headline(judged(forecast), f"losing {words}: {summary(forecast)}", width)
    yield from _today(question, width)
    yield from _hint(forecast, width)
    yield EMPTY
    yield from _whole(question.snapshot, forecast, width)
    told = [shard for shard in forecast.shards if shard.lost or shard.fate is not Fate.KEPT]
    drawn = told if show_all else told[:MOST_ROWS]
    for shard in drawn:
        yield from _shard(question.snapshot, shard, forecast.stop, width)
    yield from _untold(len(told) - len(drawn), len(forecast.shards) - len(told), width)


def weakest_page(
    question: Question, hosts: Sequence[Trial], zones: Sequence[Trial], width: int, show_all: bool
) -> Iterator[Line]:
    """The weakest host and zone, then each in a row, the worst first."""
    worst_of: list[Forecast] = []
    for trials in (hosts, zones):
        if trials:
            worst = trials[0]
            worst_of.append(worst.forecast)
            nodes = counted(len(worst.place.node_ids), "node")
            text = f"weakest {worst.place.kind}: {worst.place.name} ({nodes}): {summary(worst.forecast)}"
            yield from _headline(worst.verdict, text, width)
    if not hosts and not zones:
        yield from _headline(judged(question.now), "no node's host is known", width)
    yield from _today(question, width)
    yield from _hint(max(worst_of, key=harm, default=question.now), width)
    for title, trials in (("host", hosts), ("zone", zones)):
        if trials:
            yield EMPTY
            yield line(Span(f"losing one {title}", Style.HEAD))
            yield from _rows(trials, width, show_all)


def loss_words(snapshot: Snapshot, match: Match) -> str:
    if match.kind is Kind.NODE:
        return called(snapshot.nodes[match.node_ids[0]])
    return f"{match.kind} {match.name} ({counted(len(match.node_ids), 'node')})"


def _headline(verdict: Verdict, text: str, width: int) -> Iterator[Line]:
    head = Span(verdict.upper(), severity_style(verdict))
    yield from wrapped(text, width, first=line(head, "  "), indent=2, style=Style.HEAD)


def _today(question: Question, width: int) -> Iterator[Line]:
    """How the cluster is now: a forecast from a broken picture must not be read as one from a whole."""
    verdict = question.diagnosis.verdict
    yield EMPTY
    text = "nothing is wrong"
    if verdict is not Verdict.OK:
        text = f"{BY_CODE[question.diagnosis.findings[0].code].title} (see: rcfail health)"
    lead = line("now:      ", Span(verdict.upper(), severity_style(verdict)), "  ")
    yield from wrapped(text, width, first=lead, indent=_LABEL)
    already = judged(question.now)
    if already in (Verdict.CRITICAL, Verdict.UNKNOWN):
        text = f"without any loss, as things stand: {summary(question.now)}"
        yield from wrapped(text, width, first=line(" " * _LABEL), indent=_LABEL, style=severity_style(already))


def _hint(forecast: Forecast, width: int) -> Iterator[Line]:
    if code := helping_page(forecast):
        yield from _labelled("hint", f"what helps against that: rcfail explain {code}", width)


def _whole(snapshot: Snapshot, forecast: Forecast, width: int) -> Iterator[Line]:
    """What the loss does to all shards together."""
    lost = [snapshot.nodes[each] for each in forecast.lost]
    voters = sum(1 for node in lost if snapshot.is_voter(node.node_id))
    among = f"{counted(voters, 'voter')} among them" if voters else "no voter among them"
    yield from _labelled("lost", f"{named(snapshot, forecast.lost, 8)}; {among}", width)
    yield from _labelled("votes", votes_text(forecast), width)
    if others := stop_text(forecast):
        yield from _labelled("others", f"all other slots: {others}", width)
    if forecast.retry_ms:
        longest = between((0, forecast.retry_ms)).removeprefix("at most ")
        text = f"elections of several shards run at once; if two collide, one of them takes up to {longest} more"
        yield from _labelled("times", text, width)
    if not forecast.timeout_known:
        yield from _labelled("times", "no node tells its node timeout: the default of 15 s is taken", width)


def _shard(snapshot: Snapshot, shard: ShardAfter, stop: Stop, width: int) -> Iterator[Line]:
    yield EMPTY
    yield from wrapped(
        f"shard {ranges(shard.slots, 6)} ({counted(shard.slot_count, 'slot')})", width, indent=6, style=Style.HEAD
    )
    style = {Fate.GONE: Style.BAD, Fate.STUCK: Style.BAD, Fate.UNKNOWN: Style.WARN}.get(shard.fate, Style.PLAIN)
    replicas = [each for each in shard.lost if each != shard.primary_id]
    if replicas and shard.fate is Fate.KEPT:
        yield from _labelled("loses", f"replica {named(snapshot, replicas)}", width)
    yield from _labelled("primary", fate_text(snapshot, shard, stop), width, style)
    if shard.outage_ms:
        yield from _labelled("writes", f"none for {between(shard.outage_ms)}", width)
    if shard.starved:
        text = "refused afterwards: min-replicas-to-write asks for more replicas than are left"
        yield from _labelled("writes", text, width, Style.BAD)
    if risk := risk_text(shard):
        yield from _labelled("at risk", risk, width, Style.BAD if shard.empty else Style.PLAIN)
    if not shard.out:
        yield from _labelled(
            "replicas", replicas_text(snapshot, shard), width, Style.PLAIN if shard.replicas_after else Style.WARN
        )


def _rows(trials: Sequence[Trial], width: int, show_all: bool) -> Iterator[Line]:
    drawn = trials if show_all else trials[:MOST_ROWS]
    column = min(_WIDEST_NAME, max(len(each.place.name) for each in drawn))
    for trial in drawn:
        name = inert(trial.place.name)
        name = name if len(name) <= _WIDEST_NAME else name[: _WIDEST_NAME - 3] + "..."
        head = f"  {name:<{column}}  {counted(len(trial.place.node_ids), 'node'):<8}  "
        verdict = Span(f"{trial.verdict.upper():<8}", severity_style(trial.verdict))
        indent = min(len(head) + 10, width // 2)
        yield from wrapped(summary(trial.forecast), width, first=line(span(head), verdict, "  "), indent=indent)
    if len(drawn) < len(trials):
        rest = f"and {len(trials) - len(drawn)} more, none worse: --all shows them"
        yield from wrapped(rest, width, first=line("  "), indent=2, style=Style.DIM)


def _untold(touched: int, calm: int, width: int) -> Iterator[Line]:
    said = [f"{counted(touched, 'shard')} more that lose a node: --all shows them"] if touched else []
    if calm:
        said.append(f"{counted(calm, 'shard')} that {'loses' if calm == 1 else 'lose'} no node")
    for words in said:
        yield EMPTY
        yield from wrapped(words, width, style=Style.DIM)


def _labelled(label: str, text: str, width: int, style: Style = Style.PLAIN) -> Iterator[Line]:
    lead = line(Span(f"{label + ':':<{_LABEL}}", Style.HEAD))
    yield from wrapped(text, width, first=lead, indent=_LABEL, style=style)
