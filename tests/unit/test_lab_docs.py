"""What the README says of breaking a lab: every fault stands there, and every line of it can be typed."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from rcfail.commands.lab_fault import fault
from rcfail.health.catalogue import ENTRIES

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
SECTION = README.partition("| `rcfail lab fault ...` |")[2].partition("\n\n`--server")[0]
ROWS = re.findall(r"^\| (`[a-z].+?) \| .+ \| (.+) \|$", SECTION, re.MULTILINE)


def test_every_fault_and_what_undoes_it_is_named() -> None:
    named = {word.split()[0] for word in re.findall(r"`([^`]+)`", SECTION)}
    assert set(fault.commands) <= named


@pytest.mark.parametrize("typed", [typed for cell, _ in ROWS for typed in re.findall(r"`([a-z][^`]+)`", cell)])
def test_every_fault_can_be_typed_as_it_stands(typed: str) -> None:
    name, *words = typed.split()
    command = fault.commands[name]
    command.make_context(name, words, parent=click.Context(fault))


def test_what_health_is_said_to_say_are_findings() -> None:
    codes = {code for _, cell in ROWS for code in re.findall(r"`([^`]+)`", cell)}
    assert len(ROWS) > 10
    assert codes
    assert codes <= {entry.code for entry in ENTRIES}
