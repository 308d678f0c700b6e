"""Processes that we started, and no others.

A pid alone says nothing: the system gives it to somebody else once its owner has ended. So a process is its
pid and its start time, and both are compared before every signal.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import NamedTuple

from rcfail.clock import Deadline, poll
from rcfail.errors import LabFault, OutOfTime

_PROC = Path("/proc")
_POLL_S = 0.01
_PS_WITHIN_S = 5.0

# Waits for a word from us before it becomes the server. So the pid is on disk before the server exists, and when
# we die in between, the pipe closes and the shell ends by itself.
_HOLD_BACK = 'read -r go && exec "$0" "$@" </dev/null'

# Passwords for our own use are none of the server's business, and anyone may read a process's environment.
_PRIVATE = ("RCFAIL_", "REDISCLI_AUTH")


@dataclass(frozen=True, slots=True)
class Process:
    """One process for good. `started` is a text that only this one has together with its pid, on this boot."""

    pid: int
    started: str


class ProcessState(StrEnum):
    RUNNING = "running"
    FROZEN = "frozen"
    ENDED = "ended"


class _Seen(NamedTuple):
    state: str
    started: str


class Held:
    """A server that is about to start: it has its pid already, and waits for `release`."""

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        self._child = child
        seen = _look(child.pid)
        if seen is None:
            raise LabFault("a process ended before it began", "Look at the limits of this system: ulimit -u.")
        self.process = Process(child.pid, seen.started)

    def release(self) -> None:
        """Let it become the server."""
        if self._child.stdin is not None:
            self._child.stdin.write(b"go\n")
            self._child.stdin.close()

    def drop(self) -> None:
        """Let it end without having begun."""
        if self._child.stdin is not None:
            self._child.stdin.close()


# Our own children stay as zombies until they are waited for. Keeping them here also keeps Python from warning
# that a server outlives the command that started it, which is what it is for.
_CHILDREN: dict[int, subprocess.Popen[bytes]] = {}


def hold_back(argv: Sequence[str], output: Path, group: int | None = None) -> Held:
    """Make the process of a server, in a session of its own so that no Ctrl-C reaches it, but do not begin yet.

    `output` takes what it prints before it opens its log. `group` is the group id it runs under.
    Raises LabFault when no process can be made.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith(_PRIVATE)}
    try:
        with output.open("ab") as sink:
            child = subprocess.Popen(
                ["/bin/sh", "-c", _HOLD_BACK, *argv],
                stdin=subprocess.PIPE,
                stdout=sink,
                stderr=sink,
                start_new_session=True,
                env=environment,
                group=group,
                bufsize=0,
            )
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise LabFault(f"a server process could not be made: {why}", "Look at the limits: ulimit -u.") from error
    _CHILDREN[child.pid] = child
    return Held(child)


def can_run_as(group: int) -> bool:
    """Whether a process of ours may run under that group id: in a user namespace even root may not."""
    try:
        return subprocess.run(["/bin/sh", "-c", ":"], group=group, check=False).returncode == 0
    except OSError:
        return False


def myself() -> Process:
    """The process that runs this code."""
    seen = _look(os.getpid())
    return Process(os.getpid(), seen.started if seen else "")


def state_of(process: Process) -> ProcessState:
    """What became of it. A pid that belongs to somebody else by now means that ours has ended."""
    child = _CHILDREN.get(process.pid)
    if child is not None and child.poll() is not None:
        del _CHILDREN[process.pid]
    seen = _look(process.pid)
    if seen is None or seen.started != process.started or (seen.state in ("Z", "X") and not _has_threads(process.pid)):
        return ProcessState.ENDED
    return ProcessState.FROZEN if seen.state in ("T", "t") else ProcessState.RUNNING


def send(process: Process, number: signal.Signals) -> bool:
    """Send a signal to exactly this process. False: it has ended, and nothing was sent."""
    try:
        if hasattr(os, "pidfd_open"):
            return _send_by_handle(process, number)
        if state_of(process) is ProcessState.ENDED:
            return False
        os.kill(process.pid, number)
    except ProcessLookupError:
        return False
    except PermissionError as error:
        raise LabFault(
            f"process {process.pid} belongs to another user", "Run this as the user who made the lab."
        ) from error
    return True


def end(processes: Iterable[Process], deadline: Deadline) -> None:
    """SIGKILL all of them, also frozen ones, and wait until they are gone. Raises LabFault if one stays."""
    left = [process for process in processes if send(process, signal.SIGKILL)]
    try:
        poll(
            lambda: [process for process in left if state_of(process) is not ProcessState.ENDED],
            lambda alive: not alive,
            deadline=deadline,
            every_s=_POLL_S,
            waiting_for="servers to end",
        )
    except OutOfTime as error:
        pids = " ".join(str(one.pid) for one in left if state_of(one) is not ProcessState.ENDED)
        raise LabFault(f"these processes do not end: {pids}", "Look at them with: ps -fp PID.") from error


def _send_by_handle(process: Process, number: signal.Signals) -> bool:
    """Take hold of the process first, then compare: after that the pid can go to nobody else unnoticed."""
    if sys.platform != "linux":
        raise NotImplementedError
    handle = os.pidfd_open(process.pid)
    try:
        if state_of(process) is ProcessState.ENDED:
            return False
        signal.pidfd_send_signal(handle, number)
    finally:
        os.close(handle)
    return True


def _look(pid: int) -> _Seen | None:
    """State letter and start of a process; None where there is none."""
    return _look_in_proc(pid) if (_PROC / "self" / "stat").exists() else _ask_ps(pid)


def _look_in_proc(pid: int) -> _Seen | None:
    """From /proc/PID/stat: after the name in brackets, which may hold anything, state is field 3, start field 22 in
    ticks since boot (proc(5)). Ticks come again after a boot, so the boot's own id goes with them.
    """
    try:
        fields = (_PROC / str(pid) / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except OSError:
        return None
    return _Seen(fields[0], f"{fields[19]}@{_boot_id()}")


def _has_threads(pid: int) -> bool:
    """Whether a process whose main thread is a zombie has others left: until they end too, its ports are busy."""
    try:
        return len(os.listdir(_PROC / str(pid) / "task")) > 1
    except OSError:
        return False


@cache
def _boot_id() -> str:
    try:
        return (_PROC / "sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return ""


def _ask_ps(pid: int) -> _Seen | None:
    """Where there is no /proc: `lstart` is the start to the second, with the date."""
    ran = subprocess.run(
        ["ps", "-o", "stat=", "-o", "lstart=", "-p", str(pid)],
        env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        timeout=_PS_WITHIN_S,
        check=False,
    )
    words = ran.stdout.decode("utf-8", "replace").split()
    return _Seen(words[0][:1], " ".join(words[1:])) if len(words) > 1 else None
