"""A picture that is drawn again in its place on a terminal.

It goes up over its own lines and writes them anew, instead of taking the whole screen: what stood above stays, a
process that is killed leaves nothing to repair, and at the end the last picture is still there.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import islice
from typing import IO

from rcfail.render.lines import EMPTY, Line, Style, line, plain, span

_UP = "\x1b[{}F"
_CLEAR_BELOW = "\x1b[J"
_CLEAR_ALL = "\x1b[2J\x1b[H"
_CLEAR_LINE = "\x1b[K"
_CUT_LONG_LINES = "\x1b[?7l"
_WRAP_LONG_LINES = "\x1b[?7h"

SMALLEST = 4
"""Lines that are drawn on the smallest terminal."""

_NARROWEST, _WIDEST = 40, 120
_USUAL_SIZE = os.terminal_size((80, 24))


class Screen:
    """Draws pictures over each other on one terminal."""

    def __init__(self, file: IO[str], *, color: bool) -> None:
        file.flush()
        self._descriptor = file.fileno()
        self._encoding: str = getattr(file, "encoding", None) or "utf-8"
        self._color = color
        self._drawn = 0
        self._due = b""
        self._size = self._measure()

    @property
    def width(self) -> int:
        """Columns to lay out for. What is wider than the terminal is cut by it."""
        return max(_NARROWEST, min(_WIDEST, self._size.columns))

    @property
    def height(self) -> int:
        """Lines that a picture may have: one less than the terminal, which keeps the last for the cursor."""
        return max(SMALLEST, self._size.lines - 1)

    def measure(self) -> None:
        """Look how large the terminal is now. Where that changed, nobody knows where the old lines went."""
        size = self._measure()
        if size != self._size:
            self._size = size
            if self._drawn:
                self._drawn = 0
                self._put(_CLEAR_ALL)

    def draw(self, picture: Sequence[Line]) -> None:
        """Put this picture where the last one stands. Raises what the file raises."""
        rows = self._rendered(picture[: self.height])
        up = _UP.format(self._drawn) if self._drawn else ""
        body = "".join(f"{row}{_CLEAR_LINE}\n" for row in rows)
        self._drawn = len(rows)
        self._put(f"{_CUT_LONG_LINES}{up}{body}{_CLEAR_BELOW}{_WRAP_LONG_LINES}")

    def erase(self) -> None:
        """Take the picture away, so that the last words can stand in its place.

        One that was being drawn when somebody pressed Ctrl-C is drawn to its end first: then it is known where it is.
        """
        with suppress(OSError):  # the terminal may be gone
            self._put(f"\r{_UP.format(self._drawn)}{_CLEAR_BELOW}" if self._drawn else "")
        self._drawn = 0

    def _put(self, text: str) -> None:
        """Write without a buffer in between, so that it is known what is left of it when a signal interrupts."""
        self._due += text.encode(self._encoding, "backslashreplace")
        while self._due:
            self._due = self._due[os.write(self._descriptor, self._due) :]

    def _rendered(self, picture: Iterable[Line]) -> list[str]:
        if not self._color:
            return [plain((each,)).removesuffix("\n") for each in picture]
        from rcfail.render.paint import painted

        return [painted(each) for each in picture]

    def _measure(self) -> os.terminal_size:
        with suppress(OSError, ValueError):
            size = os.get_terminal_size(self._descriptor)
            if size.columns and size.lines:  # a serial line does not know
                return size
        return _USUAL_SIZE


def composed(body: Iterable[Line], history: Sequence[Line], status: Line, height: int) -> list[Line]:
    """The picture of one round in so many lines: the verdict above, what happened last below, and how it is going.

    Of the body the beginning is kept, of the history the end: a third of the picture, or more where there is room.
    """
    room = height - 2  # the last two are an empty line and the status
    beginning = list(islice(body, room + 1))
    shown = history[-max(room // 3, room - len(beginning) - 1) :] if history and room > SMALLEST else ()
    below = [EMPTY, *shown] if shown else []
    left = room - len(below)
    if len(beginning) > left:
        beginning = [
            *beginning[: left - 1],
            line(span("... more than fits here: it stands there when you end", Style.DIM)),
        ]
    return [*beginning, *below, EMPTY, status]
