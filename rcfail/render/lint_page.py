"""What is wrong with a nodes.conf, and what was kept of it, as a page and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from rcfail.cluster.flaws import Flaw, Grade
from rcfail.cluster.lint_nodes import Lint
from rcfail.cluster.mend_nodes import Edit, Mended
from rcfail.health.wording import counted
from rcfail.render.lines import EMPTY, Line, Span, Style, line, span, wrapped
from rcfail.render.outcome import Json

_STYLES = {Grade.WARNING: Style.WARN, Grade.CRITICAL: Style.BAD}
_MOST_LINE = 160
_MOST_FLAWS = 60


class Judged(NamedTuple):
    """`path` is the copy that was written, None where none was; `asked`: one was asked for."""

    name: str
    lint: Lint
    mended: Mended
    path: str | None
    asked: bool


def lint_page(told: Judged, width: int) -> Iterator[Line]:
    flaws = told.lint.flaws
    yield from wrapped(f"{told.name}: {_verdict(told.lint)}", width, indent=2, style=Style.HEAD)
    yield from wrapped(_whose(told.lint), width, indent=2)
    for flaw in flaws[:_MOST_FLAWS]:
        yield EMPTY
        yield from _flaw(flaw, width)
    if len(flaws) > _MOST_FLAWS:
        yield EMPTY
        yield line(f"{counted(len(flaws) - _MOST_FLAWS, 'more flaw')}: see them all with -o json")
    if told.asked:
        yield EMPTY
        yield from _repair(told, width)


def _verdict(lint: Lint) -> str:
    if not lint.flaws:
        return "nothing is wrong with it"
    bad = sum(1 for each in lint.flaws if each.grade is Grade.CRITICAL)
    said = counted(len(lint.flaws), "flaw")
    if len(lint.flaws) == bad == 1:
        return "1 critical flaw"
    return f"{said}, {bad} of them critical" if bad else f"{said}, a server starts with it"


def _whose(lint: Lint) -> str:
    own = lint.myself
    belief = own.belief if own else None
    nodes = sum(1 for each in lint.lines if each.belief)
    if belief is None:
        return f"It tells of {counted(nodes, 'node')}, and not which one it is of."
    place = f" at {belief.address}" if belief.address.host else ""
    slots = f" with {counted(belief.slot_count, 'slot')}" if belief.slots else ""
    return (
        f"It is the file of {belief.node_id}{place}, {belief.role.value}{slots}; it tells of {counted(nodes, 'node')}."
    )


def _flaw(flaw: Flaw, width: int) -> Iterator[Line]:
    where = f"line {flaw.line_number}" if flaw.line_number else "the file"
    head = line(Span(f"{flaw.grade.value:<8}  ", _STYLES[flaw.grade]), f"{flaw.code.value}  ")
    yield from wrapped(f"{where}: {flaw.text}", width, first=head, indent=10)
    if flaw.line_number:
        yield line(" " * 10, span(_cut(flaw.line, width - 10), Style.DIM))
    yield from wrapped(flaw.server, width, first=line("          server: "), indent=18)
    yield from wrapped(flaw.advice, width, first=line("          do:     "), indent=18)


def _cut(text: str, width: int) -> str:
    text = text.replace("\0", "")
    most = max(40, min(width, _MOST_LINE)) - 3
    return text if len(text) <= most + 3 else text[:most] + "..."


def _repair(told: Judged, width: int) -> Iterator[Line]:
    mended = told.mended
    if told.path is None:
        yield from wrapped(f"No copy was written: {mended.refused}.", width, indent=2, style=Style.BAD)
        return
    dropped = sum(1 for each in mended.edits if each.change == "dropped")
    changed = sum(1 for each in mended.edits if each.change == "changed")
    lines = counted(mended.text.count(chr(10)), "line")
    said = f"A repaired copy is in {told.path}: {lines}, {changed} of them changed, {counted(dropped, 'line')} dropped."
    if not told.lint.flaws:
        said = f"Nothing had to be mended: {told.path} has the same {lines}."
    yield from wrapped(said, width, indent=2, style=Style.HEAD)
    for edit in mended.edits:
        yield from _edit(edit, width)
    yield EMPTY
    todo = (
        "Before you use it: the server is stopped, the old file is kept elsewhere, and nothing else runs with this id."
    )
    yield from wrapped(
        f"{todo} Then put the copy in its place, owned by the server's user, start, and look: rcfail health", width
    )


def _edit(edit: Edit, width: int) -> Iterator[Line]:
    where = f"line {edit.line_number}" if edit.line_number else "a line"
    yield from wrapped(f"{where} {edit.change.value}: {edit.why}", width, first=line("  "), indent=4)
    at = _first_difference(edit.before, edit.after) if edit.before and edit.after else 0
    if edit.before:
        yield line("    ", span(f"- {_from(edit.before, at, width - 6)}", Style.DIM))
    if edit.after:
        yield line("    ", span(f"+ {_from(edit.after, at, width - 6)}", Style.DIM))


def _first_difference(before: str, after: str) -> int:
    pairs = zip(before, after, strict=False)
    return next((at for at, (old, new) in enumerate(pairs) if old != new), min(len(before), len(after)))


def _from(text: str, at: int, width: int) -> str:
    """The line where it differs; the id that it begins with stays in sight where there is room."""
    if len(text) <= width or at <= width // 2:
        return _cut(text, width)
    head = f"{text[:8]}... "
    return f"{head}{_cut(text[at - 16 :], width - len(head))}"


def lint_data(told: Judged) -> Json:
    own = told.lint.myself
    return {
        "origin": told.name,
        "grade": told.lint.grade.value if told.lint.grade else "ok",
        "myself": own.node_id if own else None,
        "flaws": [
            {
                "code": each.code.value,
                "severity": each.grade.value,
                "line_number": each.line_number or None,
                "line": each.line,
                "text": each.text,
                "server": each.server,
                "advice": each.advice,
            }
            for each in told.lint.flaws
        ],
        "repairable": bool(told.mended.text),
        "refused": told.mended.refused or None,
        "repaired": told.path,
        "edits": [
            {
                "change": each.change.value,
                "line_number": each.line_number or None,
                "before": each.before,
                "after": each.after,
                "why": each.why,
            }
            for each in told.mended.edits
        ],
    }
