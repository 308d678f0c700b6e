"""Runs the command line, in this process or as its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rcfail.cli import run
from rcfail.wire.record import save
from tests.unit.world import World


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """The one JSON document that stdout holds, and nothing else."""
        assert self.out.count("\n") == 1
        assert self.out.endswith("\n")
        value = json.loads(self.out)
        assert isinstance(value, dict)
        return value

    @property
    def error(self) -> dict[str, str]:
        first = self.document["errors"][0]
        assert isinstance(first, dict)
        return first


def rcfail(capsys: pytest.CaptureFixture[str], *args: str) -> Ran:
    capsys.readouterr()
    code = run(args)
    said = capsys.readouterr()
    return Ran(int(code), said.out, said.err)


def process(args: Sequence[str], **changes: str) -> Ran:
    """As a process of its own; `changes` are environment variables."""
    done = subprocess.run(
        [sys.executable, "-m", "rcfail", *args],
        env={**os.environ, **changes},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def recorded(world: World, folder: Path) -> str:
    """The world as a record, to be judged with --from-record."""
    path = str(folder / "record.json")
    save(world.observe(), path)
    return path
