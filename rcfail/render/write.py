"""From an outcome to a stream: for people, plain or painted, or for programs and monitors."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from typing import IO, NamedTuple

from rcfail.render.lines import EMPTY, Line, Span, Style, plain, span, wrapped
from rcfail.render.outcome import Outcome

NARROWEST = 60
WIDEST = 120


def page_width() -> int:
    """Columns to lay out for: COLUMNS, else the terminal's, else 80; lines longer than 120 are hard to read."""
    return max(NARROWEST, min(WIDEST, shutil.get_terminal_size((80, 24)).columns))


class Manner(NamedTuple):
    """How an answer was asked for: `form` is text unless it names another, `file` empty means standard output.

    `elapsed_s` is what the run took, `ended_at_unix_s` when the answer was there.
    """

    form: str = "text"
    file: str = ""
    color: bool = False
    elapsed_s: float = 0.0
    ended_at_unix_s: float = 0.0

    @property
    def tells_troubles(self) -> bool:
        """Whether the answer itself says what went wrong, to whoever reads nothing but that."""
        return self.form in ("json", "nagios")


def write_answer(outcome: Outcome, file: IO[str], manner: Manner) -> None:
    """The whole answer in its form."""
    match manner.form:
        case "json":
            write_json(outcome, file, round(manner.elapsed_s * 1000))
        case "nagios":
            from rcfail.render.nagios import status_line

            file.write(status_line(outcome, manner.elapsed_s))
        case "prometheus":
            from rcfail.render.prometheus import exposition

            file.write(exposition(outcome, manner.elapsed_s, manner.ended_at_unix_s))
        case _:
            write_text(outcome, file, color=manner.color)
            if manner.file:  # whoever reads it later did not see standard error
                write_page(trouble_page(outcome), file, color=False)


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
