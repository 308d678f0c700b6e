"""`rcfail health --watch`: round after round, on a terminal in place, elsewhere line by line."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from typing import IO, Protocol

from rcfail.commands.interruption import ended_like_ctrl_c
from rcfail.errors import UsageFault
from rcfail.render.events import clock_stamp, events_json, history_rows, log_stamp
from rcfail.render.health_page import brief_page, headline
from rcfail.render.json import document, envelope
from rcfail.render.lines import EMPTY, Line, Span, Style, line, span
from rcfail.render.live import Screen, composed
from rcfail.render.outcome import Json, Outcome
from rcfail.render.words import severity_style
from rcfail.render.write import write_page
from rcfail.settings.sections import Format, Output
from rcfail.watch import Round, Watch

_BELOW = 2
"""Lines below the page: an empty one, and how it is going."""

_REMEMBERED = 200
"""Lines of what happened that are told once more at the end."""

Telling = Callable[[Round], Outcome]
"""The answer of `rcfail health` for one round, also for one that saw no cluster."""


class _Teller(Protocol):
    """Whoever writes the rounds."""

    def tell(self, seen: Round, answer: Outcome) -> None: ...

    def end(self, answer: Outcome) -> Outcome:
        """What is left to write, when the last round is told."""
        ...


def watch_health(watch: Watch, every_s: float, rounds: int | None, output: Output, answer_of: Telling) -> Outcome:
    """Watch until the rounds are over, or somebody ends it: then the last verdict stands, and its code.

    Raises KeyboardInterrupt when it is ended before the first round.
    """
    if sys.stdout is None:
        raise UsageFault("--watch has nowhere to write to: standard output is closed", "Leave it open.")
    teller = _teller(sys.stdout, output, every_s)
    # A round makes many objects and frees them all by itself: to look for cycles in each would cost a tenth of it.
    gc.set_threshold(300_000, 10, 10)
    last: Outcome | None = None
    with ended_like_ctrl_c(), _redrawn(teller):
        try:
            for seen in watch.rounds(rounds):
                last = answer_of(seen)
                teller.tell(seen, last)
        except BrokenPipeError:
            # The reader has seen enough; the verdict is as true as before.
            assert last
            return replace(last, told=True)
        except KeyboardInterrupt:
            if last is None:
                raise
    assert last
    return teller.end(last)


def _teller(file: IO[str], output: Output, every_s: float) -> _Teller:
    reconfigure = getattr(file, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")
    if output.format is Format.JSON:
        return _Documents(file)
    # A terminal that obeys no sequences gets lines, as a pipe does.
    if file.isatty() and os.environ.get("TERM", "dumb") not in ("", "dumb"):
        return _Picture(file, every_s, color=output.color)
    return _Lines(file, color=output.color)


@contextmanager
def _redrawn(teller: _Teller) -> Iterator[None]:
    """Within it the picture follows the size of the terminal at once."""
    if not isinstance(teller, _Picture):
        yield
        return
    before = signal.signal(signal.SIGWINCH, lambda *_: teller.redraw())
    try:
        yield
    finally:
        signal.signal(signal.SIGWINCH, before)


class _Documents:
    """One JSON document a line, the same as of `rcfail health -o json`, with the events since the one before."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def tell(self, seen: Round, answer: Outcome) -> None:
        def data() -> Json:
            return {**answer.data(), **_round_json(seen)}

        self._file.write(document(envelope(replace(answer, data=data), seen.took_ms)))
        self._file.flush()

    def end(self, answer: Outcome) -> Outcome:
        return replace(answer, told=True)


def _round_json(seen: Round) -> Json:
    snapshot = seen.seen.looked.snapshot if seen.seen else None
    return {
        "round": seen.number,
        "at_unix_ms": seen.at_unix_ms,
        "events": events_json(seen.events, seen.turns, snapshot),
    }


class _Lines:
    """What happened, and one line a round: for a log."""

    def __init__(self, file: IO[str], *, color: bool) -> None:
        self._file = file
        self._color = color

    def tell(self, seen: Round, answer: Outcome) -> None:
        stamp = log_stamp(seen.at_unix_ms)
        snapshot = seen.seen.looked.snapshot if seen.seen else None
        rows = [*history_rows(seen.events, seen.turns, snapshot, stamp, _ENDLESS), _verdict_line(seen, answer, stamp)]
        write_page(rows, self._file, color=self._color)
        self._file.flush()

    def end(self, answer: Outcome) -> Outcome:
        return replace(answer, told=True)


_ENDLESS = 1_000_000


def _verdict_line(seen: Round, answer: Outcome, stamp: str) -> Line:
    if seen.seen is None:
        return line(f"{stamp}  ", Span("UNKNOWN", severity_style("unknown")), f"  {answer.errors[0].message}")
    diagnosis = seen.seen.diagnosis
    words = headline(seen.seen.looked.snapshot, diagnosis, _ENDLESS)
    return line(f"{stamp}  ", Span(diagnosis.verdict.upper(), severity_style(diagnosis.verdict)), f"  {words}")


class _Picture:
    """The page of `rcfail health` in its place, what happened below it, and a line that shows that it goes on."""

    def __init__(self, file: IO[str], every_s: float, *, color: bool) -> None:
        self._screen = Screen(file, color=color)
        self._every_s = every_s
        self._history: deque[Line] = deque(maxlen=_REMEMBERED)
        self._last: tuple[Round, Outcome] | None = None
        self._drawing = False
        self._due = False

    def tell(self, seen: Round, answer: Outcome) -> None:
        stamp = clock_stamp(seen.at_unix_ms)
        snapshot = seen.seen.looked.snapshot if seen.seen else None
        self._history.extend(history_rows(seen.events, seen.turns, snapshot, stamp, self._screen.width))
        self._last = (seen, answer)
        self.redraw()

    def redraw(self) -> None:
        """Also from a signal; one that comes while a picture is being drawn is heeded after it."""
        self._due = True
        # Looked at again after `_drawing` has ended: a signal just before that was left to us.
        while self._due and not self._drawing:
            self._drawing = True
            try:
                self._due = False
                self._draw()
            finally:
                self._drawing = False

    def _draw(self) -> None:
        if self._last is None:
            return
        seen, answer = self._last
        self._screen.measure()
        height = self._screen.height
        body = list(islice(answer.text(self._screen.width) if seen.seen else _unseen(seen), height))
        if seen.seen and len(body) > height - _BELOW:
            body = list(brief_page(seen.seen.looked.snapshot, seen.seen.diagnosis, self._screen.width))
        self._screen.draw(composed(body, tuple(self._history), self._status(seen), height))

    def end(self, answer: Outcome) -> Outcome:
        """The whole last page, as `rcfail health` prints it, and all that happened."""
        self._screen.erase()
        history = tuple(self._history)

        def text(width: int) -> Iterator[Line]:
            yield from answer.text(width)
            if history:
                yield EMPTY
                yield line(Span("what happened meanwhile", Style.HEAD))
                yield from history

        return replace(answer, text=text)

    def _status(self, seen: Round) -> Line:
        said = (
            f"round {seen.number} at {clock_stamp(seen.at_unix_ms)}, took {seen.took_ms} ms, every {self._every_s:g} s"
        )
        return line(Span(f"{said}; Ctrl-C ends", Style.DIM))


def _unseen(seen: Round) -> Iterator[Line]:
    yield line(Span("UNKNOWN", severity_style("unknown")), "  no cluster can be seen")
    yield line(span(str(seen.fault)))
    if seen.fault and seen.fault.hint:
        yield line(Span("hint: ", Style.HEAD), span(seen.fault.hint))
