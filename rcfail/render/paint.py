"""Colours for a terminal that wants them. The only import of rich, and only then."""

from __future__ import annotations

from collections.abc import Iterable
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
    console = Console(file=file, markup=False, highlight=False, emoji=False, force_terminal=True)
    for each in page:
        row = Text(no_wrap=True, overflow="ignore")
        for part in each:
            row.append(part.text, _COLORS[part.style])
        console.print(row, soft_wrap=True)
