"""The options that every command has that changes a cluster: consent, reason, lock, audit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from rcfail.change.audit import default_audit
from rcfail.change.request import Override
from rcfail.commands.options import Given
from rcfail.render.inert import inert

F = TypeVar("F", bound=Callable[..., Any])

NO_AUDIT = "-"


def change_options(command: F) -> F:
    """--dry-run, --yes, --reason, --audit, --break-lock: they come in as `dry_run, yes, reason, audit, break_lock`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


_OPTIONS = (
    click.option("--dry-run", is_flag=True, help="Say what would be done and whether it may; send nothing."),
    click.option("--yes", is_flag=True, help="Do not ask on the terminal. It gives no other consent."),
    click.option("--reason", metavar="TEXT", default="", help="Why, for the lock and the audit: rcfail history."),
    click.option(
        "--audit",
        metavar="FILE",
        help="Keep the audit there instead of under XDG_STATE_HOME; - for none.",
    ),
    click.option("--break-lock", is_flag=True, help="Put aside the lock of another run, dead or alive."),
)


def audit_path(audit: str | None) -> Path | None:
    """Where the audit goes; None: nowhere, by the operator's word."""
    if audit == NO_AUDIT:
        return None
    return Path(audit) if audit else default_audit()


def overrides(**given: bool) -> frozenset[Override]:
    """From flags by the names of `Override`, in lower case."""
    return frozenset(Override[name.upper()] for name, said in given.items() if said)


def tell(text: str) -> None:
    """One line of talk, on stderr."""
    click.echo(inert(text), err=True)


def colored(ctx: click.Context) -> bool:
    """Whether colours are allowed where a terminal reads."""
    return ctx.ensure_object(Given).settings().output.color
