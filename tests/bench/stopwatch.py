"""Runs a command to its end and says how long it took and how much memory it had."""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
import tempfile
import termios
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

LONGEST_S = 120.0  # far beyond every target: a run that hangs is killed, and its exit code then tells


@dataclass(frozen=True, slots=True)
class Lap:
    """One run. `peak_mb` is the process's greatest resident set; a terminal gets both outputs, as `output`."""

    seconds: float
    cpu_seconds: float
    peak_mb: float
    exit_code: int
    output: bytes
    errors: bytes = b""


@dataclass(frozen=True, slots=True)
class Laps:
    """All runs of one contender."""

    name: str
    laps: tuple[Lap, ...]

    @property
    def fastest_s(self) -> float:
        """What the work itself takes: on a shared machine all that is added to it is somebody else's."""
        return min(lap.seconds for lap in self.laps)

    @property
    def longest_s(self) -> float:
        return max(lap.seconds for lap in self.laps)

    @property
    def peak_mb(self) -> float:
        return max(lap.peak_mb for lap in self.laps)


@dataclass(frozen=True, slots=True)
class Contender:
    """A command, and a look at its lap that raises when it did not do its work."""

    name: str
    command: Sequence[str]
    check: Callable[[Lap], None]
    on_a_terminal: bool = False


def race(contenders: Sequence[Contender], rounds: int, env: Mapping[str, str]) -> tuple[Laps, ...]:
    """Run all contenders in turn, `rounds` times after one round that does not count.

    In turn, so that whatever else the machine does meets all of them; the round that does not count fills
    the caches of files and of Python's bytecode.
    """
    laps: list[list[Lap]] = [[] for _ in contenders]
    for round_number in range(rounds + 1):
        for mine, contender in zip(laps, contenders, strict=True):
            lap = run(contender.command, env, contender.on_a_terminal)
            contender.check(lap)
            if round_number:
                mine.append(lap)
    return tuple(Laps(each.name, tuple(mine)) for each, mine in zip(contenders, laps, strict=True))


def run(
    command: Sequence[str], env: Mapping[str, str], on_a_terminal: bool = False, longest_s: float = LONGEST_S
) -> Lap:
    """One run. Its output goes to a file, or is read from a terminal of its own, so it never has to wait for us."""
    # A child counts what its parent had resident at the fork, so this process must stay small for `peak_mb`.
    if on_a_terminal:
        return _run_on_a_terminal(command, env)
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        began = time.perf_counter()
        process = subprocess.Popen(command, env=dict(env), stdin=subprocess.DEVNULL, stdout=output, stderr=errors)
        with _not_for_ever(process, longest_s):
            lap = _wait(process, began)
        output.seek(0)
        errors.seek(0)
        return replace(lap, output=output.read(), errors=errors.read())


def _run_on_a_terminal(command: Sequence[str], env: Mapping[str, str]) -> Lap:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (40, 80))
    output = bytearray()
    terminal_env = {**env, "TERM": "xterm-256color"}
    try:
        began = time.perf_counter()
        process = subprocess.Popen(command, env=terminal_env, stdin=theirs, stdout=theirs, stderr=theirs)
    finally:
        os.close(theirs)
    try:
        # Linux says EIO when the last writer of a terminal is gone.
        with _not_for_ever(process):
            with contextlib.suppress(OSError):
                while data := os.read(ours, 65536):
                    output += data
            lap = _wait(process, began)
    finally:
        os.close(ours)
    return replace(lap, output=bytes(output))


@contextlib.contextmanager
def _not_for_ever(process: subprocess.Popen[bytes], longest_s: float = LONGEST_S) -> Iterator[None]:
    too_long = threading.Timer(longest_s, process.kill)
    too_long.daemon = True
    too_long.start()
    try:
        yield
    finally:
        too_long.cancel()


def _wait(process: subprocess.Popen[bytes], began: float) -> Lap:
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    return Lap(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, process.returncode, b"")
