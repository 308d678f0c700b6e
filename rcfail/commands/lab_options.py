"""What the faults' command lines have in common."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import click

from rcfail.commands.options import completed_by, duration
from rcfail.practice.lab.register import Register, home_folder

F = TypeVar("F", bound=Callable[..., Any])


def lab_option(command: F) -> F:
    names = completed_by("labs")
    return click.option("--lab", "name", default="default", show_default=True, shell_complete=names, help="Which lab.")(
        command
    )


def node_argument(command: F) -> F:
    return click.argument("node", shell_complete=completed_by("lab_nodes"))(command)


def wait_option(text: str) -> Callable[[F], F]:
    return click.option("--wait", "wait_s", type=duration, metavar="DURATION", help=text)


def on_option(text: str) -> Callable[[F], F]:
    return click.option("--on", required=True, metavar="NODE", help=text)


def lab_register() -> Register:
    return Register(home_folder(os.environ))
