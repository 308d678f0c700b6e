"""The runbook pages: plain Markdown, shipped with the package. One a finding, and one a procedure."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

_FOLDER = "runbooks"
_SUFFIX = ".md"


PAGE_OF_CONDITION = {
    "nodes-apart": "addresses-changed",
    "address-wrong": "self-address-wrong",
    "owner-without-address": "node-noaddr",
    "node-down": "node-failed",
    "shard-lost": "failover-blocked",
    "slot-open": "slots-open",
    "node-replaced": "replace-a-node",
    "primary-returned": "primary-empty",
    "replica-of-ghost": "replica-link-down",
    "link-down": "replica-link-down",
    "never-synced": "replica-never-synced",
    "shard-bare": "replica-missing",
    "foreign-member": "foreign-cluster",
    "handshake-loop": "node-handshake",
    "ghost": "node-ghost",
    "unknown-to-some": "node-unknown-to-some",
}
"""The pages of conditions of a recovery that have no page of their own name."""


def page_of(name: str) -> str | None:
    """The text of `runbooks/NAME.md`, or None where there is no such page. `name` must be one of `page_names`, or a
    known finding's code: it becomes a part of a path.
    """
    for folder in _folders():
        place = folder / f"{name}{_SUFFIX}"
        if place.is_file():
            return place.read_text(encoding="utf-8")
    return None


def page_names() -> tuple[str, ...]:
    """All pages that are there, by name."""
    for folder in _folders():
        with suppress(OSError):
            names = [each.name.removesuffix(_SUFFIX) for each in folder.iterdir() if each.name.endswith(_SUFFIX)]
            if names:
                return tuple(sorted(names))
    return ()


def title_of(page: str) -> str:
    """What a page is about: its first sentence below the heading, or else the heading."""
    lines = [line.strip() for line in page.splitlines()]
    told = [line for line in lines if line]
    if len(told) > 1 and not told[1].startswith(("#", "```", "|")):
        return told[1].removesuffix(".")
    return told[0].lstrip("# ") if told else ""


def _folders() -> Iterator[Traversable]:
    from importlib.resources import files  # slow to import, and only few commands read pages

    yield files("rcfail") / _FOLDER
    # In a checkout, also an editable install, the pages stand beside the package.
    yield Path(__file__).resolve().parent.parent / _FOLDER
