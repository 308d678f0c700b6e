"""Who makes a change: one process of one user on one host, so that it can be told whether it still lives."""

from __future__ import annotations

import json
import os
import secrets
import socket
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from math import ceil
from pathlib import Path

_PROC = Path("/proc")
_LONGEST = 200


@dataclass(frozen=True, slots=True)
class Owner:
    """`token` is random and names one run. `boot` is the host's boot and the space in which `pid` counts.

    `started` is the process's start in ticks since boot, empty where the system does not tell.
    """

    token: str
    host: str
    boot: str
    pid: int
    started: str
    user: str
    sudo_user: str
    reason: str
    at_unix_ms: int

    @property
    def text(self) -> str:
        """As it stands in lock keys and lock files. It holds no secret."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @property
    def label(self) -> str:
        user = f"{self.user} (sudo by {self.sudo_user})" if self.sudo_user else self.user
        return f"{user} on {self.host}, pid {self.pid}"


def myself(reason: str, now_unix_ms: int, scrub: Callable[[str], str] = str) -> Owner:
    """This process. `scrub` takes the password out of what the operator wrote."""
    return Owner(
        token=secrets.token_hex(8),
        host=socket.gethostname()[:_LONGEST],
        boot=_boot(),
        pid=os.getpid(),
        started=_started(os.getpid()) or "",
        user=_user()[:_LONGEST],
        sudo_user=os.environ.get("SUDO_USER", "")[:_LONGEST],
        reason=scrub(reason)[:_LONGEST],
        at_unix_ms=now_unix_ms,
    )


def read_owner(text: object) -> Owner | None:
    """What `Owner.text` wrote, or None: a key may have been set by anybody."""
    try:
        found = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    words = {name: found.get(name) for name in ("token", "host", "boot", "started", "user", "sudo_user", "reason")}
    numbers = {name: found.get(name) for name in ("pid", "at_unix_ms")}
    if not all(isinstance(each, str) for each in words.values()):
        return None
    if not all(type(each) is int and 0 <= each < 1 << 53 for each in numbers.values()):
        return None
    return Owner(**words, **numbers)  # type: ignore[arg-type]


def has_ended(owner: Owner) -> bool:
    """True only where that is certain: the process was on this host, and is no more."""
    if owner.host != socket.gethostname()[:_LONGEST] or not owner.boot or not _boot():
        return False
    if owner.boot != _boot():
        # Another boot of this host ends it. Another space of pids (a container) leaves it open.
        return owner.boot.split("/")[0] != _boot().split("/")[0]
    started = _started(owner.pid)
    if started is not None and owner.started:
        return started != owner.started
    try:
        os.kill(owner.pid, 0)  # where /proc hides the processes of others, this still tells (hidepid, proc(5))
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False


def lives_here(owner: Owner) -> bool:
    """The process is on this host, and runs."""
    return owner.boot == _boot() and owner.host == socket.gethostname()[:_LONGEST] and not has_ended(owner)


def _started(pid: int) -> str | None:
    """Field 22 of /proc/PID/stat, counted behind the name in brackets, which may hold anything (proc(5)).

    A zombie has ended. None where it cannot be read.
    """
    try:
        fields = (_PROC / str(pid) / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except (OSError, ValueError):
        return None
    return ("ended" if fields[0] in ("Z", "X") else fields[19]) if len(fields) > 19 else None


def begun_unix_ms(now_unix_ms: int) -> int:
    """When this process was started, on the wall clock; now, where the system does not tell."""
    started = _started(os.getpid())
    if started is None or not started.isdecimal():
        return now_unix_ms
    age_s = time.clock_gettime(time.CLOCK_BOOTTIME) - int(started) / os.sysconf("SC_CLK_TCK")
    return now_unix_ms - max(0, ceil(age_s * 1000))


def _boot() -> str:
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text("ascii").strip()
        return f"{boot}/{(_PROC / 'self/ns/pid').readlink()}"
    except (OSError, ValueError):
        return ""


def _user() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
