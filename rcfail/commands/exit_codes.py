"""`rcfail exit-codes`: the contract with shells and monitoring."""

from __future__ import annotations

from collections.abc import Iterator

import click

from rcfail.commands.options import Verb
from rcfail.exits import MEANINGS, ExitCode
from rcfail.render.lines import Line, Span, Style, line, wrapped
from rcfail.render.outcome import Json, Outcome

_COLUMN = 20


@click.command("exit-codes", cls=Verb, example="rcfail exit-codes -o json")
def exit_codes() -> Outcome:
    """List the exit codes and what they mean.

    0 to 3 are the codes of Nagios plugins. The others say what became of a change, or what was wrong with the
    command line.
    """
    return Outcome("exit-codes", ExitCode.OK, text=_page, data=_data)


def _page(width: int) -> Iterator[Line]:
    for code in ExitCode:
        head = Span(f"{int(code):>3}  {code.name}".ljust(_COLUMN), Style.HEAD)
        yield from wrapped(MEANINGS[code], width, first=line(head), indent=_COLUMN)


def _data() -> Json:
    return {"exit_codes": [{"code": int(each), "name": each.name, "meaning": MEANINGS[each]} for each in ExitCode]}
