"""Lines of styled text: what a page is made of before it is known who reads it.

A page is laid out once, in columns, and then written plain or painted (`paint`). Everything that goes into a
line is made inert here, so no renderer can forget it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import NamedTuple

from rcfail.render.inert import inert


class Style(StrEnum):
    PLAIN = "plain"
    GOOD = "good"
    WARN = "warn"
    BAD = "bad"
    HEAD = "head"
    DIM = "dim"


class Span(NamedTuple):
    text: str
    style: Style = Style.PLAIN


Line = tuple[Span, ...]
EMPTY: Line = ()


def span(text: str, style: Style = Style.PLAIN) -> Span:
    """A piece of a line, harmless whatever the text holds."""
    return Span(inert(text), style)


def line(*parts: Span | str) -> Line:
    return tuple(part if isinstance(part, Span) else span(part) for part in parts)


def plain(page: Iterable[Line]) -> str:
    """The page without styles, each line ended."""
    return "".join("".join(part.text for part in each).rstrip() + "\n" for each in page)


# A command between backticks stays in one piece: cut in two, it could not be pasted into a shell.
_WORD = re.compile(r"`[^`]*`\S*|\S+")


def wrapped(
    text: str, width: int, *, first: Line = EMPTY, indent: int = 0, style: Style = Style.PLAIN
) -> Iterator[Line]:
    """The text after `first`, broken at spaces to `width` columns, later lines indented."""
    lead, used, row = first, sum(len(part.text) for part in first), ""
    for word in _WORD.findall(inert(text)):
        if row and used + len(row) + 1 + len(word) > width:
            yield (*lead, Span(row, style))
            lead, used, row = (Span(" " * indent),), indent, word
        else:
            row = f"{row} {word}" if row else word
    yield (*lead, Span(row, style))
