"""The pages of drain, undrain and layout restore: what is planned, what stands in its way, what came of it."""

from __future__ import annotations

from collections.abc import Iterator

from rcfail.change.checks import CheckVerdict
from rcfail.change.many.layout import Difference
from rcfail.change.many.moves import Move, Stuck
from rcfail.change.many.relocation import Relocation
from rcfail.change.many.series import Series
from rcfail.change.many.site import Afterwards
from rcfail.change.run import StepOutcome, StepRun
from rcfail.change.told import Turn
from rcfail.cluster.nouns import NodeId
from rcfail.cluster.snapshot import Snapshot
from rcfail.exits import ExitCode
from rcfail.health.wording import called, counted, duration, listing, named, size, slots_text
from rcfail.render.lines import EMPTY, Line, Span, Style, line, span, wrapped

_LABEL = len("after  ")
_NUMBER = 4
_STYLES = {
    StepOutcome.DONE: Style.GOOD,
    StepOutcome.REFUSED: Style.BAD,
    StepOutcome.NOT_DONE: Style.BAD,
    StepOutcome.INCOMPLETE: Style.WARN,
    StepOutcome.INDETERMINATE: Style.BAD,
    StepOutcome.SKIPPED: Style.DIM,
}


def relocation_page(told: Relocation, width: int) -> Iterator[Line]:
    """The first line is the answer; what it rests on follows."""
    yield from _head(told, width)
    if told.series is not None:
        yield from series_lines(told.snapshot, told.series, width)
    elif told.turn is not Turn.NOTHING:
        yield EMPTY
        yield from moves_lines(told.snapshot, told.moves, width)
    yield from stuck_lines(told.snapshot, told.stuck, width)
    if told.after is not None:
        yield from _after_lines(told, told.after, width)
    if told.series is None:
        yield from _warnings(told, width)


def consent_page(told: Relocation, width: int) -> Iterator[Line]:
    """What is shown before it is asked for a yes."""
    yield from moves_lines(told.snapshot, told.moves, width)
    yield from stuck_lines(told.snapshot, told.stuck, width)
    text = "one after the other, each gracefully: the primary holds writes back for a moment, and nothing is lost"
    yield from labelled("how", text, width)
    if told.after is not None:
        yield from _after_lines(told, told.after, width)
    yield from _warnings(told, width)
    for note in told.notes:
        yield from labelled("note", note, width, Style.WARN)


def _head(told: Relocation, width: int) -> Iterator[Line]:
    word, style, text = _answer(told)
    yield from wrapped(text, width, first=line(Span(word, style), "  "), indent=len(word) + 2, style=Style.HEAD)


def _answer(told: Relocation) -> tuple[str, Style, str]:
    failovers = counted(len(told.moves), "failover")
    match told.turn:
        case Turn.NOTHING:
            return "DONE", Style.GOOD, f"nothing to do: {told.so}"
        case Turn.ALLOWED:
            left = f", but for {counted(len(told.stuck), 'shard')}" if told.stuck else ""
            text = f"{failovers} would {told.goal}{left}; this was a dry run: nothing was sent"
            return "ALLOWED", Style.GOOD if not told.stuck else Style.WARN, text
        case Turn.REFUSED:
            what = counted(len(told.stuck), "shard")
            return "REFUSED", Style.BAD, f"nothing was sent: it cannot {told.goal}, for {what}"
    assert told.series is not None
    word, style = heading(told.exit_code)
    left = f"; {counted(len(told.stuck), 'shard')} could not be" if told.stuck else ""
    why = f": {told.series.stopped}" if told.series.stopped else ""
    return word, style, f"{told.series.done} of {failovers} done to {told.goal}{left}{why}"


def heading(code: ExitCode) -> tuple[str, Style]:
    """The first word of an answer to a run."""
    if code is ExitCode.OK:
        return "DONE", Style.GOOD
    return code.name.replace("_", " "), Style.WARN if code is ExitCode.INCOMPLETE else Style.BAD


def moves_lines(snapshot: Snapshot, moves: tuple[Move, ...], width: int) -> Iterator[Line]:
    """Each planned failover on its lines."""
    for each in moves:
        step = each.step
        target, primary = (called(snapshot.nodes[node]) for node in (step.target, step.primary))
        text = f"{target} takes {slots_text(step.slots)} over from {primary}"
        wait = f", after {duration(each.wait_ms)} that the last election asks for" if each.wait_ms else ""
        yield from _numbered(step.number, text + wait, width)


def _numbered(number: int, text: str, width: int) -> Iterator[Line]:
    indent = _NUMBER + 2
    yield from wrapped(text, width, first=line(span(f"{number:>{_NUMBER}}  ", Style.DIM)), indent=indent)


def series_lines(snapshot: Snapshot, series: Series, width: int) -> Iterator[Line]:
    """What came of each failover."""
    for each in series.steps:
        word = each.outcome.value.upper().replace("_", " ")
        lead = line(span(f"{each.step.number:>{_NUMBER}}  ", Style.DIM), Span(word, _STYLES[each.outcome]), "  ")
        yield from wrapped(_came_of(snapshot, each), width, first=lead, indent=_NUMBER + 2)
        if each.hint:
            yield from wrapped(f"hint: {each.hint}", width, first=line(" " * (_NUMBER + 2)), indent=_NUMBER + 2)


def _came_of(snapshot: Snapshot, run: StepRun) -> str:
    if run.outcome is not StepOutcome.DONE:
        return f"{_name(snapshot, run.step.target)}: {run.why}"
    leader = _name(snapshot, run.new_primary or run.step.target)
    by = "" if run.ours else ", by an automatic failover and not by this command"
    lost = f", {size(run.loss.lost_bytes)} lost" if run.loss.lost_bytes else ""
    return f"{leader} leads {slots_text(run.step.slots)}{by}{lost}"


def stuck_lines(snapshot: Snapshot, stuck: tuple[Stuck, ...], width: int) -> Iterator[Line]:
    """What cannot be done, each with every reason and what would let it pass."""
    for each in stuck:
        shard = snapshot.shard_of(each.primary) if each.primary else None
        slots = f" with {slots_text(shard.slots)}" if shard else ""
        who = f"the shard of {_name(snapshot, each.primary)}{slots}" if each.primary else "a shard"
        to = f" cannot get {_name(snapshot, each.wanted)} as its primary" if each.wanted else " has nobody elsewhere"
        lead = line("  ", Span("NO", Style.BAD), "  ")
        yield from wrapped(f"{who}{to}", width, first=lead, indent=6)
        for why in each.why:
            yield from wrapped(why, width, first=line("      - "), indent=8)
        for check in each.checks:
            if check.refuses and check.override:
                yield from wrapped(f"{check.override} lets {check.code} pass", width, first=line("      "), indent=6)
            if check.refuses and check.hint and not check.override:
                yield from wrapped(f"hint: {check.hint}", width, first=line("      "), indent=6)


def _after_lines(told: Relocation, after: Afterwards, width: int) -> Iterator[Line]:
    """What stands when the place is lost once this is done."""
    if told.turn is Turn.REFUSED:
        return
    verdict = "a majority" if after.keeps_majority else "NO majority: do not shut it down"
    verdict += ": it can be shut down" if after.keeps_majority and not after.there else ""
    text = f"without the place {after.left} of {after.voters} voters stand and {after.needed} are needed: {verdict}"
    yield from labelled("after", text, width, Style.PLAIN if after.keeps_majority else Style.BAD)
    if after.there:
        number = counted(after.there, "primary").replace("primarys", "primaries")
        text = f"{number} with slots still there: do not shut it down yet"
        yield from labelled("", text, width, Style.BAD)
    if after.bare:
        whose = named(told.snapshot, after.bare)
        text = f"{counted(len(after.bare), 'shard')} then has no second copy elsewhere: {whose}"
        yield from labelled("", text.replace("shards then has", "shards then have"), width, Style.WARN)
    if after.tips:
        where = listing([f"{each.kind} {each.name} with {counted(each.voters, 'voter')}" for each in after.tips])
        yield from labelled("", f"the quorum then also rests on {where}: its loss ends it", width, Style.WARN)


def _warnings(told: Relocation, width: int) -> Iterator[Line]:
    """Each warning of the checks once, however many shards have it."""
    warned: dict[tuple[str, str], int] = {}
    for each in told.moves:
        for check in each.checks:
            if check.verdict is CheckVerdict.WARN or check.overridden:
                key = (check.code, check.evidence)
                warned[key] = warned.get(key, 0) + 1
    passed = sum(1 for each in told.moves for check in each.checks if check.verdict is CheckVerdict.PASS)
    for (code, evidence), count in warned.items():
        times = f" ({count} times)" if count > 1 else ""
        yield from labelled("warn", f"{code}: {evidence}{times}", width, Style.WARN)
    if told.moves:
        yield from labelled("checks", f"{counted(passed, 'check')} passed", width)


def labelled(label: str, text: str, width: int, style: Style = Style.PLAIN) -> Iterator[Line]:
    lead = line(span(f"{label:<{_LABEL}}", Style.DIM))
    yield from wrapped(text, width, first=lead, indent=_LABEL, style=style)


def difference_lines(found: tuple[Difference, ...], width: int) -> Iterator[Line]:
    """Each shard that is not as written."""
    for each in found:
        if each.same:
            continue
        word = each.standing.value.upper().replace("-", " ")
        style = Style.WARN if each.wanted is not None else Style.DIM
        lead = line("  ", Span(f"{word:<10}", style), "  ")
        yield from wrapped(f"{slots_text(each.slots)}: {each.text}", width, first=lead, indent=14)
        for text in each.beside:
            yield from wrapped(text, width, first=line(" " * 14), indent=14)


def _name(snapshot: Snapshot, node_id: NodeId | None) -> str:
    node = snapshot.node(node_id)
    return called(node) if node else f"node {(node_id or '?')[:8]}"
