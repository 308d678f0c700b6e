"""The pages of a rolling restart: the way, and how far it came."""

from __future__ import annotations

from collections.abc import Iterator

from rcfail.change.many.rolling import Stop
from rcfail.change.many.tour import NodeRun, Phase, Rolled
from rcfail.change.run import StepOutcome
from rcfail.change.told import Turn
from rcfail.cluster.nouns import NodeId
from rcfail.cluster.snapshot import Snapshot
from rcfail.health.wording import called, counted, duration, named, slots_text
from rcfail.render.lines import EMPTY, Line, Span, Style, line, span, wrapped
from rcfail.render.moves_page import heading, labelled, series_lines

_NUMBER = 4


def rolling_page(told: Rolled, width: int, command: str) -> Iterator[Line]:
    """The first line is the answer."""
    word, style, text = _answer(told)
    yield from wrapped(text, width, first=line(Span(word, style), "  "), indent=len(word) + 2, style=Style.HEAD)
    if told.hint:
        yield from labelled("hint", told.hint, width)
    for each in told.left_over:
        yield from labelled("left", each, width, Style.WARN)
    if told.turn is Turn.REFUSED:
        yield from _lone_lines(told, width)
    elif told.turn is Turn.ALLOWED:
        yield EMPTY
        yield from way_lines(told, width, command)
    elif told.turn is Turn.RAN:
        yield EMPTY
        yield from _run_lines(told, width)


def _answer(told: Rolled) -> tuple[str, Style, str]:
    count = sum(len(each.batch.nodes) for each in told.stops)
    match told.turn:
        case Turn.NOTHING:
            return "DONE", Style.GOOD, "nothing to do: no node is meant that lives"
        case Turn.REFUSED:
            return "REFUSED", Style.BAD, f"nothing was done: {counted(len(told.lone), 'shard')} would be out"
        case Turn.ALLOWED:
            moves = counted(sum(len(each.moves) for each in told.stops), "failover")
            batches = counted(len(told.stops), "batch").replace("batchs", "batches")
            text = f"{counted(count, 'node')} in {batches}, with {moves} on the way"
            return "ALLOWED", Style.GOOD, f"{text}; this was a dry run: nothing was done"
    word, style = heading(told.exit_code)
    before = f", {len(told.done_before)} before" if told.done_before else ""
    moved = counted(sum(1 for each in told.moves if each.outcome is StepOutcome.DONE), "failover")
    back = f" and {told.back.done} back" if told.back else ""
    why = f": {told.stopped}" if told.stopped else ""
    return word, style, f"{told.done} of {counted(count, 'node')} done{before}, with {moved}{back}{why}"


def consent_page(told: Rolled, width: int, command: str) -> Iterator[Line]:
    """What is shown before it is asked for a yes."""
    yield from way_lines(told, width, command)
    for note in told.notes:
        yield from labelled("note", note, width, Style.WARN)


def way_lines(told: Rolled, width: int, command: str) -> Iterator[Line]:
    """Each batch, and who would lead before it begins."""
    yield from labelled("cmd", command, width)
    if told.done_before:
        yield from labelled("done", f"{named(told.snapshot, told.done_before, 6)}, before", width)
    for at, stop in enumerate(told.stops, 1):
        yield from _stop_lines(told.snapshot, at, stop, width)
    text = "before each batch all nodes have to agree, and nothing may be worse than at the beginning"
    yield from labelled("gate", text, width)
    end = "those lead again that lead now" if told.restores else "whoever leads then goes on leading (--no-restore)"
    yield from labelled("end", end, width)


def _stop_lines(snapshot: Snapshot, at: int, stop: Stop, width: int) -> Iterator[Line]:
    lead = f"{at:>{_NUMBER}}  "
    for primary, target in stop.moves:
        shard = snapshot.shard_of(primary)
        slots = slots_text(shard.slots) if shard else "its slots"
        text = f"{_name(snapshot, target)} takes {slots} over from {_name(snapshot, primary)}"
        yield from wrapped(text, width, first=line(span(lead, Style.DIM)), indent=_NUMBER + 2)
        lead = " " * (_NUMBER + 2)
    text = ", ".join(_name(snapshot, each) for each in stop.batch.nodes)
    yield from wrapped(f"cmd for {text}", width, first=line(span(lead, Style.DIM)), indent=_NUMBER + 2)


def _lone_lines(told: Rolled, width: int) -> Iterator[Line]:
    for each in told.lone:
        shard = told.snapshot.shard_of(each)
        slots = slots_text(shard.slots) if shard else "its slots"
        lead = line("  ", Span("NO", Style.BAD), "  ")
        yield from wrapped(
            f"{_name(told.snapshot, each)} has no replica: without it {slots} are out", width, first=lead, indent=6
        )
    hint = "Give it a replica first, or leave it out: --only with the nodes, hosts or zones that are meant."
    yield from wrapped(f"hint: {hint}", width, first=line("      "), indent=6)


def _run_lines(told: Rolled, width: int) -> Iterator[Line]:
    for at, each in enumerate(told.nodes, 1):
        done = each.phase is Phase.DONE
        word, style = ("DONE", Style.GOOD) if done else ("NOT DONE", Style.BAD)
        lead = line(span(f"{at:>{_NUMBER}}  ", Style.DIM), Span(word, style), "  ")
        yield from wrapped(
            f"{_name(told.snapshot, each.node_id)}: {node_text(each)}", width, first=lead, indent=_NUMBER + 2
        )
    left = sum(len(each.batch.nodes) for each in told.stops) - len(told.nodes)
    if left > 0:
        yield line(span(f"{'':{_NUMBER}}  {counted(left, 'node')} not begun", Style.DIM))
    for run in told.moves:
        if run.outcome is not StepOutcome.DONE:
            word = run.outcome.value.upper().replace("_", " ")
            yield from labelled("move", f"{word}: {run.why}", width, Style.WARN)
    if told.back is not None:
        yield from labelled("back", "the layout from before", width)
        yield from series_lines(told.snapshot, told.back, width)


def node_text(run: NodeRun) -> str:
    """What came of one node, in a clause."""
    if run.phase is not Phase.DONE:
        return run.why
    before, after = run.versions
    version = f", {before} became {after}" if before != after and before and after else ""
    same = "; its process is the same as before" if run.restarted is False else ""
    took = f"the command took {duration(run.ended.took_ms)}, and " if run.ended else ""
    return f"{took}it was back {duration(run.away_ms or 0)} later{version}{same}"


def _name(snapshot: Snapshot, node_id: NodeId) -> str:
    node = snapshot.node(node_id)
    return called(node) if node else f"node {node_id[:8]}"
