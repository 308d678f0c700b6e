"""`rcfail explain`: the runbook page of a finding, with the catalogue's facts."""

from __future__ import annotations

from collections.abc import Iterator

import click

from rcfail.commands.codes import known_code
from rcfail.commands.options import Verb, completed_by
from rcfail.errors import UsageFault
from rcfail.exits import ExitCode
from rcfail.health.catalogue import BY_CODE, ENTRIES, Entry
from rcfail.pages import PAGE_OF_CONDITION, page_of
from rcfail.render.lines import EMPTY, Line, Span, Style, line, span, wrapped
from rcfail.render.markdown import markdown_lines, squeezed
from rcfail.render.outcome import Json, Outcome
from rcfail.render.words import PROMISE_WORDS, severity_style

_COLUMN = max(len(entry.code) for entry in ENTRIES) + 2


@click.command(cls=Verb, example="rcfail explain slots-failed\nrcfail explain")
@click.argument("code", required=False, shell_complete=completed_by("codes"))
def explain(code: str | None) -> Outcome:
    """Explain a finding: what it means, how to confirm it, what to do.

    CODE is what stands beside the number of a finding in `rcfail health`, or before a condition of `rcfail recover`.
    Without it, all codes are listed. Needs no cluster.
    """
    if code is None:
        return Outcome(
            "explain", ExitCode.OK, text=_list, data=lambda: {"findings": [_facts(each) for each in ENTRIES]}
        )
    entry = _meant(code)
    page = page_of(entry.code)
    return Outcome(
        "explain",
        ExitCode.OK,
        text=lambda width: finding_page(entry, page, width),
        data=lambda: {**_facts(entry), "page": page},
        notes=() if page else (f"no runbook page for {entry.code} is installed",),
    )


def _meant(word: str) -> Entry:
    """The finding, also where the word is a condition of a recovery. Raises UsageFault."""
    page = PAGE_OF_CONDITION.get(word.strip().lower())
    if page is not None and page not in BY_CODE:
        raise UsageFault(f"{word} is a condition of rcfail recover, and no finding", f"Its page: rcfail runbook {page}")
    return known_code(page or word)


def _facts(entry: Entry) -> Json:
    return {
        "code": entry.code,
        "title": entry.title,
        "worst": entry.worst.value,
        "impairs": [promise.value for promise in entry.impairs],
        "can_pass": entry.passing,
    }


def _list(width: int) -> Iterator[Line]:
    for entry in ENTRIES:
        head = Span(entry.code.ljust(_COLUMN), severity_style(entry.worst))
        yield from wrapped(f"{entry.title} ({entry.worst})", width, first=line(head), indent=_COLUMN)


def finding_page(entry: Entry, page: str | None, width: int) -> Iterator[Line]:
    """The page of a finding below the catalogue's facts."""
    yield line(span(entry.code, severity_style(entry.worst)), span(f"  {entry.title}", Style.HEAD))
    yield from wrapped(_gravity(entry), width)
    yield EMPTY
    below_title = "\n".join(row for row in (page or "").splitlines() if not row.startswith("# "))
    yield from squeezed(markdown_lines(below_title, width))


def _gravity(entry: Entry) -> str:
    """The catalogue's facts as sentences."""
    said = [f"At worst {entry.worst}."]
    if entry.impairs:
        said.append(f"It impairs: {', '.join(PROMISE_WORDS[promise] for promise in entry.impairs)}.")
    else:
        said.append("It breaks no promise by itself.")
    if entry.passing:
        said.append("It can pass by itself, so it counts when two looks in a row show it.")
    return " ".join(said)
