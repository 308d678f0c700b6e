"""From an outcome to a stream: text or JSON, plain or painted."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from typing import IO

from rcfail.render.lines import EMPTY, Line, Span, Style, plain, span, wrapped
from rcfail.render.outcome import Outcome

NARROWEST = 60
WIDEST = 120


def page_width() -> int:
    """Columns to lay out for: COLUMNS, else the terminal's, else 80; lines longer than 120 are hard to read."""
    return max(NARROWEST, min(WIDEST, shutil.get_terminal_size((80, 24)).columns))


def write_json(outcome: Outcome, file: IO[str], elapsed_ms: int) -> None:
    from rcfail.render.json import document, envelope

    file.write(document(envelope(outcome, elapsed_ms)))


def write_text(outcome: Outcome, file: IO[str], *, color: bool) -> None:
    """The page, then the notes below it; in colours only where a terminal reads. Beside errors notes are talk."""
    width = page_width()
    notes = () if outcome.errors else outcome.notes
    write_page(_with_notes(outcome.text(width), notes, width), file, color=color)


def write_page(page: Iterable[Line], file: IO[str], *, color: bool) -> None:
    if color and file.isatty():
        from rcfail.render.paint import paint

        paint(page, file)
    else:
        file.write(plain(page))


def trouble_page(outcome: Outcome) -> Iterator[Line]:
    """What goes to stderr: one line an error, its hint, then notes. Not wrapped: a log keeps it as one line."""
    if outcome.aside:
        yield from ((span(row),) for row in outcome.aside.splitlines())
        yield EMPTY
    for each in outcome.errors:
        yield (Span("rcfail: error: ", Style.BAD), span(each.message))
        if each.hint:
            yield (Span("hint: ", Style.HEAD), span(each.hint))
    for note in outcome.notes if outcome.errors else ():
        yield (Span("note: ", Style.HEAD), span(note))


def _with_notes(page: Iterable[Line], notes: Iterable[str], width: int) -> Iterator[Line]:
    drawn = False
    for each in page:
        drawn = True
        yield each
    for at, note in enumerate(notes):
        if at == 0 and drawn:
            yield EMPTY
        yield from wrapped(note, width, first=(Span("note: ", Style.HEAD),), indent=6)
