"""The runbook pages: one a finding, plain Markdown, shipped with the package."""

from __future__ import annotations

from pathlib import Path

_FOLDER = "runbooks"


def page_of(code: str) -> str | None:
    """The text of `runbooks/CODE.md`, or None where there is no such page. `code` must be a known finding's."""
    from importlib.resources import files  # slow to import, and only `explain` reads pages

    installed = files("rcfail") / _FOLDER / f"{code}.md"
    # In a checkout, also an editable install, the pages stand beside the package.
    beside = Path(__file__).resolve().parent.parent / _FOLDER / f"{code}.md"
    for place in (installed, beside):
        if place.is_file():
            return place.read_text(encoding="utf-8")
    return None
