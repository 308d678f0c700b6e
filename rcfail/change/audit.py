"""The audit: what was asked, sent, answered and seen, one JSON line each, never rewritten.

A line stands before each send and one after it, each on the disk before anything goes on. What cannot be written
before a send refuses it; what cannot be written after it is told, for a send cannot be taken back.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeAlias

from rcfail.change.locks.owner import Owner
from rcfail.change.locks.turn import take_turn
from rcfail.clock import SYSTEM_CLOCK, Clock
from rcfail.errors import OutOfTime, Refused

Facts: TypeAlias = Mapping[str, Any]

_HIDDEN = "***"


class Kind(StrEnum):
    BEGIN = "begin"
    BEFORE = "before"
    AFTER = "after"
    VERIFIED = "verified"
    END = "end"


class AuditUnwritable(Refused):
    """The audit cannot be written, so nothing is sent."""

    code = "audit-unwritable"


def default_audit(env: Mapping[str, str] = os.environ) -> Path:
    """rcfail/audit.jsonl under XDG_STATE_HOME, else under ~/.local/state."""
    return state_folder(env) / "audit.jsonl"


def state_folder(env: Mapping[str, str] = os.environ) -> Path:
    """Where rcfail keeps what outlives a run. A path of XDG that is not absolute is to be ignored."""
    state = env.get("XDG_STATE_HOME", "")
    root = Path(state) if os.path.isabs(state) else Path(env.get("HOME") or os.path.expanduser("~")) / ".local/state"
    return root / "rcfail"


class Audit:
    """One run's lines. `path` None: none are kept, by the operator's word (`--audit -`).

    `scrub` hides the password in every text. `trouble` says what could not be written after a send, else "".
    """

    def __init__(
        self, path: Path | None, owner: Owner, scrub: Callable[[str], str] = str, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self.path = path
        self.trouble = ""
        self._owner = owner
        self._scrub = scrub
        self._clock = clock

    def begin(self, *, command: str, nodes: Sequence[str], plan: Facts) -> None:
        """What is about to be done. `nodes` are the ids of all that it touches. Raises AuditUnwritable."""
        owner = self._owner
        who = {"user": owner.user, "sudo_user": owner.sudo_user, "host": owner.host, "pid": owner.pid}
        process = {"boot": owner.boot, "started": owner.started}
        self._write(
            Kind.BEGIN,
            {"command": command, "who": {**who, **process}, "reason": owner.reason, "nodes": list(nodes), "plan": plan},
        )

    def before(self, *, step: int, node: str, address: str, command: Sequence[str]) -> None:
        """Right before a send: it has to be on the disk. Raises AuditUnwritable, and then nothing may be sent."""
        words = told_command(command)
        self._write(Kind.BEFORE, {"step": step, "node": node, "address": address, "sent": words})

    def after(self, *, step: int, node: str, reply: str | None, left: bool) -> None:
        """What the server said; None: no answer. `left`: the command may have been carried out. Never raises."""
        self._write_late(Kind.AFTER, {"step": step, "node": node, "reply": reply, "left": left})

    def verified(self, *, step: int, outcome: str, why: str, checks: Facts) -> None:
        """What was seen of a step. Never raises."""
        self._write_late(Kind.VERIFIED, {"step": step, "outcome": outcome, "why": why, "checks": checks})

    def end(self, *, exit_code: int) -> None:
        """The code that the process ends with. Never raises."""
        self._write_late(Kind.END, {"exit_code": exit_code})

    def _write_late(self, kind: Kind, facts: Facts) -> None:
        try:
            self._write(kind, facts)
        except AuditUnwritable as error:
            self.trouble = self.trouble or error.message

    def _write(self, kind: Kind, facts: Facts) -> None:
        if self.path is None:
            return
        head = {"v": 1, "line": kind.value, "run": self._owner.token, "at_unix_ms": self._clock.unix_ms()}
        text = json.dumps({**head, **_scrubbed(facts, self._scrub)}, separators=(",", ":"))
        try:
            append(self.path, text, self._clock)
        except (OSError, OutOfTime, ValueError) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise AuditUnwritable(
                f"the audit {self.path} cannot be written: {why}",
                "Name another file: --audit FILE. To keep none, by name: --audit -",
            ) from None


def unwritable(path: Path | None, clock: Clock = SYSTEM_CLOCK) -> str:
    """Why no line could be added, or "". For preflight: the file is made, and stays empty."""
    try:
        if path is not None:
            os.close(_opened(path, clock))
    except (OSError, OutOfTime, ValueError) as error:
        return getattr(error, "strerror", None) or str(error)
    return ""


def told_command(command: Sequence[str]) -> list[str]:
    """A command as it may be kept: words of CLUSTER hold no secret; of all others the first word alone is told."""
    words = list(command)
    return words if words[:1] and words[0].upper() == "CLUSTER" else [*words[:1], *[_HIDDEN] * (len(words) > 1)]


def append(path: Path, text: str, clock: Clock = SYSTEM_CLOCK) -> None:
    """Add one line whole, and return when it is on the disk. Raises OSError, OutOfTime, ValueError.

    Where a writer died within its line (power loss), the line begins on a row of its own. What could be written in
    part only is taken back.
    """
    handle = _opened(path, clock)
    try:
        size = os.fstat(handle).st_size
        torn = size > 0 and os.pread(handle, 1, size - 1) != b"\n"
        data = b"\n" * torn + text.encode("utf-8", "backslashreplace") + b"\n"
        try:
            if os.write(handle, data) != len(data):
                raise OSError(28, "no space left for the line")
            os.fsync(handle)
        except OSError:
            with suppress(OSError):
                os.ftruncate(handle, size)
            raise
    finally:
        os.close(handle)


def _opened(path: Path, clock: Clock) -> int:
    """Open for appending, made if need be (file 0600, folders 0700), and locked against other writers."""
    fresh = not path.exists()
    if fresh:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # Without O_NONBLOCK a pipe that nobody reads would hold us for ever.
    handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK, 0o600)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise ValueError("it is no regular file")
        take_turn(handle, clock, "another writer of the audit")
        if fresh:
            _sync_folder(path.parent)
    except BaseException:
        os.close(handle)
        raise
    return handle


def _sync_folder(folder: Path) -> None:
    """A new file's name is on the disk only when its folder is (fsync(2))."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _scrubbed(value: Any, scrub: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, Mapping):
        return {scrub(str(name)): _scrubbed(each, scrub) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_scrubbed(each, scrub) for each in value]
    return value
