"""Colours for a terminal that wants them. The only import of rich, and only then."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from io import StringIO
from typing import IO

from rich.console import Console
from rich.text import Text

from rcfail.render.lines import Line, Style

_COLORS = {
    Style.PLAIN: "",
    Style.GOOD: "green",
    Style.WARN: "yellow",
    Style.BAD: "bold red",
    Style.HEAD: "bold",
    Style.DIM: "dim",
}


def paint(page: Iterable[Line], file: IO[str]) -> None:
    """Write the page in colours. Lines are already laid out and harmless: nothing is wrapped or read as markup."""
    console = _console(file)
    for each in page:
        console.print(_row(each), soft_wrap=True)


@lru_cache(maxsize=2048)
def painted(row: Line) -> str:
    """One line in colours, without its newline. A live picture draws the same lines over and over."""
    file = StringIO()
    _console(file).print(_row(row), soft_wrap=True, end="")
    return file.getvalue()


def _console(file: IO[str]) -> Console:
    return Console(file=file, markup=False, highlight=False, emoji=False, force_terminal=True)


def _row(line: Line) -> Text:
    row = Text(no_wrap=True, overflow="ignore")
    for part in line:
        row.append(part.text, _COLORS[part.style])
    return row
