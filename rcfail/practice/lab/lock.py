"""A lock between processes, held on a file; it ends with the process that holds it, however that ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rcfail.clock import Deadline, poll
from rcfail.errors import OutOfTime

_POLL_S = 0.05


@contextmanager
def held(path: Path, within_s: float, goes: Callable[[], bool]) -> Iterator[bool]:
    """Yield True while the lock is held, or False where another process kept it for all that time.

    At the end the file itself is removed where `goes` says so.
    """
    try:
        handle = poll(
            lambda: _locked(path),
            lambda got: got is not None,
            deadline=Deadline.after(within_s),
            every_s=_POLL_S,
            waiting_for="the lock",
        )
    except OutOfTime:
        handle = None
    if handle is None:
        yield False
        return
    try:
        yield True
    finally:
        if goes():
            path.unlink(missing_ok=True)
        os.close(handle)


def _locked(path: Path) -> int | None:
    """An open, locked file, or None. Where the file was removed meanwhile, the lock would be on nothing."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(handle), path.stat()):
            return handle
    except OSError:
        pass
    os.close(handle)
    return None
