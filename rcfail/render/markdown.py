"""Our own runbook pages as lines: headings, paragraphs, lists and commands; no more Markdown than they use."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby

from rcfail.render.lines import EMPTY, Line, Span, Style, line, span, wrapped

_ITEM = re.compile(r"(?P<lead> *(?:[-*]|[0-9]+\.) +)(?P<text>.*)")
_FENCE = "```"
_COMMAND_INDENT = "    "


def markdown_lines(text: str, width: int) -> Iterator[Line]:
    """The page laid out for a width. Commands and tables are never broken: they are there to be copied."""
    rows = text.splitlines()
    fenced, margin = False, ""
    paragraph: list[str] = []
    for row in rows:
        if row.lstrip().startswith(_FENCE):
            yield from _paragraph(paragraph, width)
            fenced, margin = not fenced, row[: len(row) - len(row.lstrip())]
        elif fenced:
            # Within a list the commands stand as deep as the text beside them.
            yield line(_COMMAND_INDENT, span(row.removeprefix(margin), Style.GOOD)) if row else EMPTY
        elif not row.strip() or row.startswith(("#", "|")) or _ITEM.match(row):
            yield from _paragraph(paragraph, width)
            if _ITEM.match(row):
                paragraph.append(row)
            else:
                yield _lone(row)
        else:
            paragraph.append(row)
    yield from _paragraph(paragraph, width)


def squeezed(page: Iterator[Line]) -> Iterator[Line]:
    """Without empty lines at the beginning, and never two of them in a row."""
    begun = False
    for empty, group in groupby(page, key=lambda each: each == EMPTY):
        if not empty:
            yield from group
            begun = True
        elif begun:
            yield EMPTY


def _paragraph(rows: list[str], width: int) -> Iterator[Line]:
    """What was gathered, as one paragraph or one item of a list; the list is empty afterwards."""
    if not rows:
        return
    item = _ITEM.match(rows[0])
    lead = item["lead"] if item else ""
    words = " ".join([item["text"] if item else rows[0], *rows[1:]])
    rows.clear()
    yield from wrapped(words, width, first=(Span(lead),) if lead else EMPTY, indent=len(lead))


def _lone(row: str) -> Line:
    if not row.strip():
        return EMPTY
    return line(
        span(row.lstrip("# ") if row.startswith("#") else row, Style.HEAD if row.startswith("#") else Style.PLAIN)
    )
