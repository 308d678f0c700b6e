"""The pages of a change: what is planned and checked, each moment while it runs, and what came of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rcfail.change.checks import Check, CheckVerdict
from rcfail.change.plan import Plan, Step
from rcfail.change.request import Mode
from rcfail.change.run import Moment, StepOutcome, StepRun
from rcfail.cluster.nouns import NodeId
from rcfail.cluster.snapshot import Snapshot
from rcfail.health.wording import called, counted, duration, slots_text
from rcfail.render.lines import EMPTY, Line, Span, Style, line, span, wrapped

_CHECK_STYLES = {
    CheckVerdict.PASS: Style.GOOD,
    CheckVerdict.WARN: Style.WARN,
    CheckVerdict.FAIL: Style.BAD,
    CheckVerdict.UNKNOWN: Style.BAD,
}
_LABEL = len("plan  ")
_CODE = 20
_MEANING = {
    Mode.GRACEFUL: "the primary hands over to the replica",
    Mode.FORCE: "the voters elect the replica without its primary's help",
    Mode.TAKEOVER: "the replica takes the slots without a vote",
}
_HEADS = {
    StepOutcome.DONE: ("DONE", Style.GOOD),
    StepOutcome.REFUSED: ("REFUSED", Style.BAD),
    StepOutcome.NOT_DONE: ("NOT DONE", Style.BAD),
    StepOutcome.INCOMPLETE: ("INCOMPLETE", Style.WARN),
    StepOutcome.INDETERMINATE: ("INDETERMINATE", Style.BAD),
    StepOutcome.SKIPPED: ("SKIPPED", Style.WARN),
}


def plan_page(snapshot: Snapshot, plan: Plan, width: int) -> Iterator[Line]:
    """What would be sent, to whom, and what it does."""
    for step in plan.steps:
        yield from labelled("plan", sentence(snapshot, step), width)
        yield from labelled("", f"{step.mode}: {_MEANING[step.mode]}", width)
        yield from labelled("", _command(snapshot, step), width)


def sentence(snapshot: Snapshot, step: Step) -> str:
    slots = slots_text(step.slots)
    return f"{_name(snapshot, step.target)} takes {slots} over from {_name(snapshot, step.primary)}"


def _command(snapshot: Snapshot, step: Step) -> str:
    words = " ".join(step.command)
    bound = duration(step.verify_ms)
    going = f"the servers go on with it for up to {duration(step.attempt_ms)}, and " if step.attempt_ms else ""
    return f"{words} is sent to {_place(snapshot, step.target)}, once; {going}it is watched for up to {bound}"


def checks_page(checks: Iterable[Check], width: int, *, passed: bool = True, before: bool = True) -> Iterator[Line]:
    """Each check on its lines; what refuses stands last, where the eye is.

    `before` the send something may let a check pass; of what was verified after it nothing can.
    """
    ordered = sorted(checks, key=lambda each: each.refuses)
    shown = [each for each in ordered if passed or each.verdict is not CheckVerdict.PASS]
    for each in shown:
        style = Style.WARN if each.overridden else _CHECK_STYLES[each.verdict]
        word = each.verdict.upper()
        if each.verdict is CheckVerdict.WARN and each.passes_soon:  # nothing is wrong: it is on its way
            word, style = "SOON", Style.DIM
        head = line("  ", Span(f"{word:<8}", style), span(f"{each.code:<{_CODE}}  "))
        text = each.evidence + (f" (let pass by {each.override})" if each.overridden else "")
        yield from wrapped(text, width, first=head, indent=12 + _CODE)
        if each.refuses and before:
            way = f"only {each.override} lets it pass" if each.override else "nothing lets it pass"
            yield from wrapped(way, width, first=line(" " * (12 + _CODE)), indent=12 + _CODE, style=Style.DIM)
        if each.hint and each.verdict is not CheckVerdict.PASS:
            yield from wrapped(f"hint: {each.hint}", width, first=line(" " * (12 + _CODE)), indent=12 + _CODE)
    hidden = len(ordered) - len(shown)
    if hidden:
        yield line(span(f"  {counted(hidden, 'more check')} passed", Style.DIM))


def refused_page(snapshot: Snapshot, plan: Plan, checks: tuple[Check, ...], width: int) -> Iterator[Line]:
    refusing = [each for each in checks if each.refuses]
    codes = ", ".join(each.code for each in refusing)
    yield from wrapped(
        f"nothing was sent: {counted(len(refusing), 'check')} said no ({codes})",
        width,
        first=line(Span("REFUSED", Style.BAD), "  "),
        indent=2,
        style=Style.HEAD,
    )
    yield EMPTY
    yield from plan_page(snapshot, plan, width)
    yield EMPTY
    yield from checks_page(checks, width)


def allowed_page(snapshot: Snapshot, plan: Plan, checks: tuple[Check, ...], width: int) -> Iterator[Line]:
    """A dry run that says yes."""
    warned = sum(1 for each in checks if each.verdict is not CheckVerdict.PASS)
    said = f"{counted(warned, 'warning')}, nothing against it" if warned else "nothing against it"
    yield line(Span("ALLOWED", Style.GOOD), span(f"  {said}; this was a dry run: nothing was sent", Style.HEAD))
    yield EMPTY
    yield from plan_page(snapshot, plan, width)
    yield EMPTY
    yield from checks_page(checks, width)


def moment_line(snapshot: Snapshot, moment: Moment) -> Line:
    """One line while it runs."""
    subject = snapshot.nodes.get(NodeId(moment.subject))
    whom = called(subject) if subject else moment.subject
    return line(span(f"  +{moment.at_ms:>6} ms  ", Style.DIM), span(f"{moment.event}  "), span(whom))


def done_page(snapshot: Snapshot, runs: Iterable[StepRun], width: int) -> Iterator[Line]:
    """What came of it: the first line is the answer."""
    for each in runs:
        word, style = _HEADS[each.outcome]
        yield from wrapped(
            _answer(snapshot, each), width, first=line(Span(word, style), "  "), indent=2, style=Style.HEAD
        )
        if each.hint:
            yield from labelled("hint", each.hint, width)
        yield from checks_page(each.verification, width, before=False)


def _answer(snapshot: Snapshot, done: StepRun) -> str:
    target = _name(snapshot, done.step.target)
    if done.outcome is StepOutcome.DONE:
        who = target if done.new_primary in (None, done.step.target) else _name(snapshot, done.new_primary)
        by = "" if done.ours else f"; {done.why or 'it was elected without this command'}"
        return f"{who} is the primary of {slots_text(done.step.slots)}{by}"
    return f"{target}: {done.why}"


def labelled(label: str, text: str, width: int) -> Iterator[Line]:
    yield from wrapped(text, width, first=line(span(f"{label:<{_LABEL}}", Style.DIM)), indent=_LABEL)


def _name(snapshot: Snapshot, node_id: NodeId | None) -> str:
    node = snapshot.node(node_id)
    return called(node) if node else f"node {(node_id or '?')[:8]}"


def _place(snapshot: Snapshot, node_id: NodeId) -> str:
    node = snapshot.node(node_id)
    return str(node.endpoint or node.address) if node else node_id[:8]
