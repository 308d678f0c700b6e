"""Lines of styled text: what a page is made of before it is known who reads it.

A page is laid out once, in columns, and then written plain or painted (`paint`). Everything that goes into a
line is made inert here, so no renderer can forget it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
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


def wrapped(
    text: str | Sequence[str], width: int, *, first: Line = EMPTY, indent: int = 0, style: Style = Style.PLAIN
) -> Iterator[Line]:
    """The text after `first`, broken at spaces to `width` columns, later lines indented.

    Of a list of pieces none is broken, and commas stand between them.
    """
    words = inert(text).split() if isinstance(text, str) else _enumerated(text)
    lead, used, row = first, sum(len(part.text) for part in first), ""
    for word in words:
        if row and used + len(row) + 1 + len(word) > width:
            yield (*lead, Span(row, style))
            lead, used, row = (Span(" " * indent),), indent, word
        else:
            row = f"{row} {word}" if row else word
    yield (*lead, Span(row, style))


def _enumerated(pieces: Sequence[str]) -> list[str]:
    return [inert(piece) + ("," if at < len(pieces) else "") for at, piece in enumerate(pieces, 1)]
