"""The pages of recover and reset: what is wrong, what would mend it, what came of it, and what is left."""

from __future__ import annotations

from collections.abc import Iterator

from rcfail.change.checks import refusing
from rcfail.change.recover.action import Action
from rcfail.change.recover.condition import Condition
from rcfail.change.recover.conduct import ActionRun
from rcfail.change.recover.expect import name_of
from rcfail.change.recover.recovery import Recovery
from rcfail.change.run import StepOutcome
from rcfail.change.told import Turn
from rcfail.exits import ExitCode
from rcfail.health.wording import counted, duration, listing
from rcfail.render.failover_page import checks_page, labelled
from rcfail.render.lines import EMPTY, Line, Span, Style, line, span, wrapped
from rcfail.render.moves_page import heading

_NUMBER = 4
_STYLES = {
    StepOutcome.DONE: Style.GOOD,
    StepOutcome.REFUSED: Style.BAD,
    StepOutcome.NOT_DONE: Style.BAD,
    StepOutcome.INCOMPLETE: Style.WARN,
    StepOutcome.INDETERMINATE: Style.BAD,
    StepOutcome.SKIPPED: Style.DIM,
}


def recovery_page(told: Recovery, width: int) -> Iterator[Line]:
    """The first line is the answer; what it rests on follows."""
    word, style, text = _answer(told)
    yield from wrapped(text, width, first=line(Span(word, style), "  "), indent=len(word) + 2, style=Style.HEAD)
    if told.turn is Turn.RAN:
        yield from _runs(told, width)
        yield from _left(told, width)
        return
    yield from plan_lines(told, width)
    if told.checks:
        yield EMPTY
        yield from checks_page(told.checks, width)


def consent_page(told: Recovery, width: int) -> Iterator[Line]:
    """What is shown before it is asked for a yes."""
    yield from plan_lines(told, width)
    if told.losing:
        yield EMPTY
        each = listing((f"{_keys(one.keys)} on {name_of(told.snapshot, one.node)}" for one in told.losing), 6)
        yield from labelled("loss", f"the only copy of {each} is thrown away, for good", width)
    yield EMPTY
    yield from checks_page(told.checks, width, passed=False)


def plan_lines(told: Recovery, width: int) -> Iterator[Line]:
    """Every condition with its evidence, and the actions that end it, numbered through."""
    number = 0
    for each in told.conditions:
        yield EMPTY
        yield from _condition(each, width)
        for action in each.actions:
            number += 1
            yield from _action(told, action, number, width)
        yield from _advice(each, width)


def _condition(condition: Condition, width: int) -> Iterator[Line]:
    style = Style.BAD if condition.doubt or (condition.choice and not condition.actions) else Style.WARN
    head = line(Span(condition.code.value, style), "  ")
    yield from wrapped(condition.subject, width, first=head, indent=2, style=Style.HEAD)
    yield from wrapped(condition.evidence, width, first=line("  "), indent=2)
    yield from wrapped(condition.story, width, first=line("  "), indent=2)
    if condition.doubt:
        others = listing([each.value for each in condition.doubt])
        yield from wrapped(f"It cannot be told from {others}.", width, first=line("  "), indent=2)


def _advice(condition: Condition, width: int) -> Iterator[Line]:
    """What a person does about it."""
    if condition.advice:
        label = "what would tell" if condition.doubt else "yours to decide" if condition.choice else "hint"
        yield from wrapped(f"{label}: {condition.advice}", width, first=line("  "), indent=len(label) + 4)


def _action(told: Recovery, action: Action, number: int, width: int) -> Iterator[Line]:
    indent = _NUMBER + 2
    lead = line(span(f"{number:>{_NUMBER}}  ", Style.DIM))
    yield from wrapped(action.title, width, first=lead, indent=indent)
    yield from wrapped(_how(action), width, first=line(" " * indent), indent=indent, style=Style.DIM)
    for each in action.loses:
        keys, who = _keys(each.keys), name_of(told.snapshot, each.node)
        what = f"throws {keys} away on {who}; " + (
            f"{counted(each.copies, 'other node')} hold{'s' * (each.copies == 1)} the same"
            if each.copies
            else "nobody else holds them"
            if each.keys != 0
            else "there is nothing on it"
        )
        yield from wrapped(
            what, width, first=line(" " * indent), indent=indent, style=Style.BAD if each.counts else Style.PLAIN
        )


def _how(action: Action) -> str:
    bound = f"it is watched for up to {duration(action.within_ms)}"
    if action.request is not None:
        return f"a {action.request.mode} failover, with all its checks; {bound}"
    if action.command:
        return f"your own command, on this host; then {bound}"
    if not action.sends:
        return f"nothing is sent: {bound}"
    first = action.sends[0]
    what = _shortened(first.command)
    if len(action.sends) == 1:
        return f"{what} is sent to {first.place}, once; {bound}"
    places = listing(dict.fromkeys(str(each.place) for each in action.sends), 6)
    same = all(each.command == first.command for each in action.sends)
    return f"{what if same else counted(len(action.sends), 'command')} to {places}, once each; {bound}"


def _shortened(command: tuple[str, ...]) -> str:
    """SETSLOT of hundreds of slots in one command is not read by anybody."""
    words = [word[:8] if len(word) == 40 else word for word in command]
    return " ".join(words[:8]) + (f" ... ({len(words) - 8} more words)" if len(words) > 8 else "")


def _keys(keys: int | None) -> str:
    return "an unknown number of keys" if keys is None else counted(keys, "key")


def _answer(told: Recovery) -> tuple[str, Style, str]:
    conditions, actions = counted(len(told.conditions), "condition"), counted(len(told.actions), "step")
    match told.turn:
        case Turn.NOTHING if told.unwell:
            return "REFUSED", Style.BAD, f"nothing that {told.what} knows to mend; but health says: {told.unwell}"
        case Turn.NOTHING:
            return "DONE", Style.GOOD, f"nothing to {told.what}"
        case Turn.ALLOWED:
            style = Style.GOOD if all(each.actions for each in told.conditions) else Style.WARN
            goal = f"mend {_mended(told)}" if told.what == "recover" else "do it"
            return "ALLOWED", style, f"{actions} would {goal}; this was a dry run: nothing was sent"
        case Turn.REFUSED if told.exit_code is ExitCode.UNKNOWN:
            return "UNKNOWN", Style.BAD, f"nothing was sent: {conditions}, and what it is cannot be told from here"
        case Turn.REFUSED if refusing(told.checks):
            no = [each.code for each in refusing(told.checks)]
            return "REFUSED", Style.BAD, f"nothing was sent: {counted(len(no), 'check')} said no ({', '.join(no)})"
        case Turn.REFUSED:
            return "REFUSED", Style.BAD, f"nothing was sent: {conditions}, and none that rcfail may end by itself now"
    word, style = heading(told.exit_code)
    ended = f"{told.done} of {counted(max(len(told.actions), len(told.runs)), 'step')} done"
    if spared := len(_spared(told)):
        ended += f", {spared} came by itself" if spared == 1 else f", {spared} came by themselves"
    why = f": {told.stopped}" if told.stopped else ""
    left = f"; {counted(len(told.left), 'condition')} left" if told.left else ""
    if told.exit_code is ExitCode.OK:
        left = f", and nothing is left to {told.what}"
    well = f"; and health says: {told.unwell}" if told.unwell else ""
    return word, style, f"{ended}{why}{left}{well}"


def _mended(told: Recovery) -> str:
    able = sum(1 for each in told.conditions if each.actions)
    total = counted(len(told.conditions), "condition")
    return total if able == len(told.conditions) else f"{able} of {total}"


def _spared(told: Recovery) -> tuple[Action, ...]:
    """Steps that were planned and became needless: nothing stopped the run, all that was begun is done, and what they
    were to end is over. Who comes back while he is to be forgotten is still there, as another case."""
    if told.stopped or told.done != len(told.runs):
        return ()
    begun, left = {each.action.key for each in told.runs}, {each.key for each in told.left}
    over = (each for each in told.conditions if each.key not in left)
    return tuple(action for each in over for action in each.actions if action.key not in begun)


def _runs(told: Recovery, width: int) -> Iterator[Line]:
    for each in told.runs:
        word = each.outcome.value.upper().replace("_", " ")
        lead = line(span(f"{each.number:>{_NUMBER}}  ", Style.DIM), Span(word, _STYLES[each.outcome]), "  ")
        yield from wrapped(_came_of(each), width, first=lead, indent=_NUMBER + 2)
        if each.hint:
            yield from wrapped(f"hint: {each.hint}", width, first=line(" " * (_NUMBER + 2)), indent=_NUMBER + 2)
    begun, spared = {each.action.key for each in told.runs}, _spared(told)
    for action in told.actions:
        if action.key not in begun and told.exit_code is not ExitCode.OK:
            word = "BY ITSELF" if action in spared else "NOT BEGUN"
            lead = line(" " * (_NUMBER + 2), Span(word, Style.DIM), "  ")
            yield from wrapped(action.title, width, first=lead, indent=_NUMBER + 2)


def _came_of(run: ActionRun) -> str:
    took = f" ({duration(run.took_ms)})" if run.took_ms >= 100 else ""
    if run.outcome is StepOutcome.DONE:
        seen = listing([each.evidence for each in run.verification], 3)
        return f"{run.action.title}{took}" + (f": {seen}" if seen else "")
    return f"{run.action.title}{took}: {run.why}"


def _left(told: Recovery, width: int) -> Iterator[Line]:
    for each in told.left:
        yield EMPTY
        yield from _condition(each, width)
        yield from _advice(each, width)
        if each.actions and not each.advice:
            text = f"hint: Give the same command again. Its next step: {each.actions[0].title}"
            yield from wrapped(text, width, first=line("  "), indent=8)
    if told.record and told.exit_code is not ExitCode.OK:
        yield EMPTY
        yield from labelled("kept", f"what was seen before the first change: {told.record}", width)
