"""The whole answer of `failover` and `apply`: text and JSON, and the page before consent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rcfail.change.loss import risk_text
from rcfail.change.mover import Judged
from rcfail.change.pause import graceful_pause_ms
from rcfail.change.request import Mode
from rcfail.change.run import StepOutcome, StepRun
from rcfail.change.told import Told, Turn
from rcfail.health.wording import called, counted, duration, size
from rcfail.render.canary_lines import canary_data, canary_lines
from rcfail.render.candidates_page import candidates_page
from rcfail.render.failover_json import candidates_data, change_data
from rcfail.render.failover_page import checks_page, done_page, labelled, plan_page, sentence
from rcfail.render.lines import EMPTY, Line, Span, Style, line, wrapped


def answer_page(told: Told, width: int) -> Iterator[Line]:
    """The first line is the answer; what it rests on follows."""
    if told.turn is Turn.NOTHING:
        primary = told.snapshot.nodes[told.primary]
        text = f"nothing to do: {called(primary)} is the primary already"
        yield from wrapped(text, width, first=line(Span("DONE", Style.GOOD), "  "), indent=6, style=Style.HEAD)
        return
    if told.run is not None:
        yield from _ran(told, told.run, width)
        return
    if told.found is None:
        yield from _nobody(told, width)
        return
    yield from _head(told, told.found, width)
    if not any(each.code == "target-role" and each.refuses for each in told.found.checks):
        # Of a target that is no replica of that primary nothing can be planned.
        yield EMPTY
        yield from plan_page(told.snapshot, told.found.plan, width)
        yield from _risk(told.found, width)
    yield from _others(told, width)
    yield EMPTY
    yield from checks_page(told.found.checks, width)


def consent_page(told: Told, width: int) -> Iterator[Line]:
    """What is shown before it is asked for a yes: what will happen, what can be lost, what to mind."""
    if told.found is None:
        return
    yield from plan_page(told.snapshot, told.found.plan, width)
    yield from _risk(told.found, width)
    yield from _others(told, width)
    yield EMPTY
    yield from checks_page(told.found.checks, width, passed=False)


def intent_page(told: Told, width: int) -> Iterator[Line]:
    """What is told before the send where nobody is asked."""
    for step in told.found.plan.steps if told.found is not None else ():
        several = len(told.others) > 1
        chosen = f"; chosen out of {counted(len(told.others), 'replica')}" if several else ""
        yield from labelled("plan", f"{sentence(told.snapshot, step)}{chosen}", width)


def _head(told: Told, found: Judged, width: int) -> Iterator[Line]:
    if told.turn is Turn.ALLOWED:
        warned = sum(1 for each in found.checks if each.verdict != "pass")
        said = f"{counted(warned, 'warning')}, nothing against it" if warned else "nothing against it"
        text, word, style = f"{said}; this was a dry run: nothing was sent", "ALLOWED", Style.GOOD
    else:
        no = [each for each in found.checks if each.refuses]
        codes = ", ".join(each.code for each in no)
        text, word, style = f"nothing was sent: {counted(len(no), 'check')} said no ({codes})", "REFUSED", Style.BAD
    yield from wrapped(text, width, first=line(Span(word, style), "  "), indent=len(word) + 2, style=Style.HEAD)


def _nobody(told: Told, width: int) -> Iterator[Line]:
    primary = told.snapshot.nodes[told.primary]
    text = f"nothing was sent: no replica of {called(primary)} may be chosen"
    yield from wrapped(text, width, first=line(Span("REFUSED", Style.BAD), "  "), indent=9, style=Style.HEAD)
    yield from _others(told, width)


def _others(told: Told, width: int) -> Iterator[Line]:
    if told.others:
        yield EMPTY
        taken = told.found.request.target if told.found is not None and not told.found.refused else None
        yield from candidates_page(told.snapshot, told.others, width, taken)


def _risk(found: Judged, width: int) -> Iterator[Line]:
    yield from labelled("", f"can be lost: {risk_text(found.seen, found.request, found.at_risk_bytes)}", width)
    if found.request.mode is Mode.GRACEFUL:
        _, most_ms = graceful_pause_ms(found.seen, found.request.target)
        yield from labelled("", f"writes wait for up to {duration(most_ms)}, as it looks now", width)


def _ran(told: Told, run: StepRun, width: int) -> Iterator[Line]:
    yield from done_page(told.snapshot, (run,), width)
    if not run.sent:
        return
    yield from labelled("loss", _lost(run), width)
    if told.felt is not None:
        yield from canary_lines(told.felt, width)


def _lost(run: StepRun) -> str:
    loss = run.loss
    how = f" ({loss.how})" if loss.how else ""
    if loss.lost_bytes is not None:
        return f"{size(loss.lost_bytes) if loss.lost_bytes else 'nothing'} of the old primary's stream was lost{how}"
    if run.outcome is StepOutcome.NOT_DONE and run.new_primary is None:
        return "nothing was moved, so nothing was lost by it"
    if loss.lost_bytes_at_least:
        return f"at least {size(loss.lost_bytes_at_least)} of the old primary's stream were lost{how}"
    return f"how much was lost could not be read{how}"


def failover_data(told: Told) -> Mapping[str, Any]:
    """`data` of `failover` and `apply`."""
    runs = (told.run,) if told.run is not None else ()
    plan = told.found.plan if told.found is not None else None
    return {
        "result": told.turn.value,
        **change_data(told.snapshot, plan, told.checks, runs, told.felt.write_gap_ms if told.felt else None),
        "candidates": candidates_data(told.snapshot, told.others),
        "at_risk_bytes": _range(told.found),
        "canary": canary_data(told.felt) if told.felt is not None else None,
    }


def _range(found: Judged | None) -> list[int] | None:
    return list(found.at_risk_bytes) if found is not None and found.at_risk_bytes is not None else None
