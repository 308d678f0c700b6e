"""The question before a change: what will happen and what can be lost, and the word that says yes."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from rcfail.errors import Declined
from rcfail.render.lines import Line
from rcfail.render.write import write_page


def insist_on_consent(page: Iterable[Line], word: str, what: str, *, yes: bool, color: bool) -> None:
    """Show the page on stderr and wait for `word` on the terminal. Raises Declined; Ctrl-C passes through.

    `what` says what the word is, such as "the first digits of the primary's id".
    """
    if yes:
        return
    if sys.stdin is None or not sys.stdin.isatty() or sys.stderr is None:
        raise Declined(
            "nobody can be asked: standard input is no terminal; nothing was sent",
            "Say yes beforehand: --yes. See what would happen: --dry-run",
        )
    try:
        write_page(page, sys.stderr, color=color)
        sys.stderr.write(f"\nType {word} ({what}) to go on: ")
        sys.stderr.flush()
        said = sys.stdin.readline()
    except KeyboardInterrupt:
        sys.stderr.write("\nnothing was sent\n")
        raise
    if said.strip().lower() != word.lower():
        raise Declined("that was not it: nothing was sent", "See what would happen: --dry-run")
