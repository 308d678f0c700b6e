"""The operator's own command for one node: run in a shell, listened to, and ended when its time is up."""

from __future__ import annotations

import os
import select
import signal
import subprocess
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from rcfail.clock import Clock, Deadline

SHELL = "/bin/sh"
_TICK_S = 0.1
_GRACE_S = 5.0
_LONGEST_ROW = 4096
_BLOCK = 1 << 16
SECRETS = frozenset({"RCFAIL_PASSWORD", "REDISCLI_AUTH"})
"""Variables that a command of the operator does not get: what it prints would show them."""


@dataclass(frozen=True, slots=True)
class Errand:
    """One command and what is added to its environment; `without` is left out of it."""

    command: str
    told: Mapping[str, str]
    within_s: float
    without: frozenset[str] = SECRETS

    @property
    def environment(self) -> dict[str, str]:
        return {name: value for name, value in os.environ.items() if name not in self.without} | dict(self.told)


@dataclass(frozen=True, slots=True)
class Ended:
    """`code` is the exit code, or minus the signal. `timed_out`: it was ended by us. `interrupted`: Ctrl-C came."""

    code: int
    took_ms: int
    timed_out: bool = False
    interrupted: bool = False

    @property
    def well(self) -> bool:
        return self.code == 0 and not self.timed_out

    @property
    def text(self) -> str:
        """In a clause."""
        if self.timed_out:
            return f"was ended after {self.took_ms / 1000:.0f} s"
        return f"was killed by signal {-self.code}" if self.code < 0 else f"ended with exit code {self.code}"


def run_errand(errand: Errand, say: Callable[[str], None], tell: Callable[[str], None], clock: Clock) -> Ended:
    """Run it to its end. `say` hears each line that it prints, `tell` what we have to tell of it.

    It runs in a session of its own, so that Ctrl-C does not leave a server half restarted: the first one is remembered,
    a second one ends the command. What the command leaves running does not hold us. Raises OSError without a shell.
    """
    began_s = clock.monotonic_s()
    # Without standard input it cannot wait for an answer that nobody sees the question of.
    process = subprocess.Popen(
        [SHELL, "-c", errand.command],
        env=errand.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    deadline, interruptions = Deadline.after(errand.within_s, clock), 0
    with process:
        assert process.stdout is not None
        rows = _Rows(process.stdout.fileno(), say)
        timed_out = False
        while True:
            try:
                timed_out = not _listen(process, rows, deadline)
                break
            except KeyboardInterrupt:
                interruptions += 1
                if interruptions > 1:
                    break
                tell("interrupted: the command is waited for, and nothing follows; Ctrl-C again ends it")
        if timed_out or interruptions > 1:
            _end(process, rows, clock)
        rows.rest()
        process.stdout.close()
        code = process.wait()
    took_ms = round((clock.monotonic_s() - began_s) * 1000)
    return Ended(code, took_ms, timed_out, interruptions > 0)


class _Rows:
    """Whole lines out of a pipe. A line without end comes in pieces."""

    def __init__(self, handle: int, say: Callable[[str], None]) -> None:
        os.set_blocking(handle, False)
        self._handle = handle
        self._say = say
        self._left = b""
        self.over = False

    def read(self, within_s: float) -> None:
        """What is there within so long."""
        if self.over or not select.select([self._handle], [], [], within_s)[0]:
            return
        try:
            block = os.read(self._handle, _BLOCK)
        except BlockingIOError:
            return
        if not block:
            self.over = True
            return
        *whole, self._left = (self._left + block).split(b"\n")
        for row in whole:
            self._out(row)
        if len(self._left) > _LONGEST_ROW:
            self._out(self._left)
            self._left = b""

    def rest(self) -> None:
        """What is there now, to the end of it, but without waiting for whoever else holds the pipe."""
        while not self.over and select.select([self._handle], [], [], 0)[0]:
            self.read(0)
        if self._left:
            self._out(self._left)
            self._left = b""

    def _out(self, row: bytes) -> None:
        for at in range(0, len(row) or 1, _LONGEST_ROW):
            self._say(row[at : at + _LONGEST_ROW].decode("utf-8", "backslashreplace").rstrip("\r"))


def _listen(process: subprocess.Popen[bytes], rows: _Rows, deadline: Deadline) -> bool:
    """Until it has ended: True; False when its time is up."""
    while process.poll() is None:
        if deadline.passed():
            return False
        if rows.over:
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=deadline.at_most(_TICK_S))
        else:
            rows.read(deadline.at_most(_TICK_S))
    return True


def _end(process: subprocess.Popen[bytes], rows: _Rows, clock: Clock) -> None:
    """The command and all that it started in its session: first politely."""
    for number, within_s in ((signal.SIGTERM, _GRACE_S), (signal.SIGKILL, _GRACE_S)):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        if _listen(process, rows, Deadline.after(within_s, clock)):
            return
