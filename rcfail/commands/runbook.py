"""`rcfail runbook`: every page, those of findings and those of procedures.

`rcfail explain` answers "what does this finding mean", and takes codes alone; this is the whole book.
"""

from __future__ import annotations

from collections.abc import Iterator

import click

from rcfail.commands.explain import finding_page
from rcfail.commands.options import Verb, completed_by
from rcfail.errors import UsageFault
from rcfail.exits import ExitCode
from rcfail.health.catalogue import BY_CODE, RANK
from rcfail.pages import PAGE_OF_CONDITION, page_names, page_of, title_of
from rcfail.render.lines import EMPTY, Line, Span, Style, line, wrapped
from rcfail.render.markdown import markdown_lines, squeezed
from rcfail.render.outcome import Json, Outcome
from rcfail.render.words import severity_style

_NEAR = 3


@click.command(cls=Verb, example="rcfail runbook slots-failed\nrcfail runbook")
@click.argument("name", required=False, shell_complete=completed_by("pages"))
def runbook(name: str | None) -> Outcome:
    """List the runbook pages, or show one.

    A page is for a finding (as rcfail explain shows it) or for a procedure. Needs no cluster.
    """
    names = sorted(page_names(), key=lambda each: (RANK.get(each, len(RANK)), each))
    if name is None:
        pages = [_facts(each, page_of(each) or "") for each in names]
        notes = () if pages else ("no runbook page is installed",)
        return Outcome("runbook", ExitCode.OK, lambda width: _list(pages, width), lambda: {"pages": pages}, notes=notes)
    known = _known(name, names)
    page = page_of(known) or ""
    return Outcome(
        "runbook",
        ExitCode.OK,
        text=lambda width: _page(known, page, width),
        data=lambda: {**_facts(known, page), "page": page},
    )


def _known(name: str, names: list[str]) -> str:
    """The page as a user writes its name. Raises UsageFault with the nearest ones."""
    wanted = name.strip().lower().removeprefix("runbooks/").removesuffix(".md")
    wanted = PAGE_OF_CONDITION.get(wanted, wanted)
    if wanted in names:
        return wanted
    from difflib import get_close_matches

    near = get_close_matches(wanted, names, n=_NEAR, cutoff=0.4)
    hint = f"Did you mean: {', '.join(near)}" if near else "All pages: rcfail runbook"
    raise UsageFault(f"there is no runbook page '{name}'", hint)


def _facts(name: str, page: str) -> Json:
    return {"name": name, "title": title_of(page), "kind": "finding" if name in BY_CODE else "procedure"}


def _list(pages: list[Json], width: int) -> Iterator[Line]:
    """Procedures first: what to do is asked more often than what all can be wrong."""
    column = max((len(each["name"]) for each in pages), default=0) + 4
    for kind in ("procedure", "finding"):
        chosen = [each for each in pages if each["kind"] == kind]
        if not chosen:
            continue
        if kind == "finding" and len(chosen) < len(pages):
            yield EMPTY
        yield line(Span(f"{kind}s", Style.HEAD))
        for each in chosen:
            entry = BY_CODE.get(each["name"])
            style = severity_style(entry.worst) if entry else Style.PLAIN
            head = Span(f"  {each['name']}".ljust(column), style)
            yield from wrapped(each["title"], width, first=(head,), indent=column)


def _page(name: str, page: str, width: int) -> Iterator[Line]:
    entry = BY_CODE.get(name)
    if entry is not None:
        yield from finding_page(entry, page, width)
    else:
        yield from squeezed(markdown_lines(page, width))
