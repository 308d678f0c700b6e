"""What a terminal gets, and what a pipe gets."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from tests.unit.running import Ran, process, recorded
from tests.unit.world import World

_SGR = re.compile(r"\x1b\[[0-9;]*m")


def on_terminal(args: list[str], *, columns: int = 80, **changes: str) -> Ran:
    """Run with a pseudo-terminal as stdout and stderr; `changes` with an empty value unset a variable."""
    ours, theirs = pty.openpty()
    try:
        termios.tcsetwinsize(theirs, (24, columns))
        env = {**os.environ, "TERM": "xterm-256color", **changes}
        env.pop("COLUMNS", None)
        env = {name: value for name, value in env.items() if value}
        with subprocess.Popen(
            [sys.executable, "-m", "rcfail", *args], stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, env=env
        ) as running:
            os.close(theirs)
            said = b""
            while chunk := _read(ours):
                said += chunk
        return Ran(running.returncode, said.decode().replace("\r\n", "\n"), "")
    finally:
        os.close(ours)


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, 65536)
    except OSError:  # Linux says EIO when the other end is closed
        return b""


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    world = World.of(3, 1)
    world.kill("a")
    monkeypatch.chdir(tmp_path)
    return Path(recorded(world, tmp_path)).name  # short, so that a line with it is not the longest


def test_a_terminal_gets_colours_and_the_same_words_as_a_pipe(record: str) -> None:
    args = ["health", "--from-record", record]
    painted, piped = on_terminal(args, NO_COLOR=""), process(args, NO_COLOR="")
    assert painted.code == piped.code == 2
    assert painted.out.startswith("\x1b[1;31mCRITICAL\x1b[0m  ")
    assert "\x1b" not in piped.out
    assert [row.rstrip() for row in _SGR.sub("", painted.out).splitlines()] == piped.out.splitlines()


@pytest.mark.parametrize(
    ("args", "changes"),
    [
        (["--no-color"], {"NO_COLOR": ""}),
        ([], {"NO_COLOR": "1"}),
        ([], {"NO_COLOR": "", "TERM": "dumb"}),
        (["-o", "json"], {"NO_COLOR": ""}),
    ],
)
def test_colours_can_be_turned_off(record: str, args: list[str], changes: dict[str, str]) -> None:
    ran = on_terminal(["health", "--from-record", record, *args], columns=80, **changes)
    assert ran.code == 2
    assert "\x1b" not in ran.out


def test_an_error_is_coloured_on_a_terminal_only() -> None:
    assert on_terminal(["check"], NO_COLOR="").out.startswith("\x1b[1;31mrcfail: error: \x1b[0m")
    assert "\x1b" not in process(["check"], NO_COLOR="").err


@pytest.mark.parametrize(("columns", "widest"), [(80, 80), (100, 100), (300, 120)])
def test_the_page_is_laid_out_for_the_terminal(record: str, columns: int, widest: int) -> None:
    rows = on_terminal(["health", "--from-record", record], columns=columns).out.splitlines()
    longest = max(len(row) for row in rows if not row.strip().startswith(("redis-cli", "rcfail")))
    assert widest - 15 < longest <= widest
