"""Files that may be pipes: read and written without waiting for ever for whoever holds the other end."""

from __future__ import annotations

import errno
import os
import stat
from select import POLLHUP, POLLIN, POLLOUT, poll
from time import monotonic

_NOBODY_S = 2.0
"""So long somebody may take to open the other end."""
_PATIENCE_S = 30.0
"""So long whoever holds the other end may take: a password manager may ask a person first."""
_CHUNK_BYTES = 65536


def read_file(path: str, most: int) -> bytes:
    """At most so many bytes of a file or a pipe. Raises OSError, also for a pipe that nobody fills."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        mode = os.fstat(handle).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        if stat.S_ISFIFO(mode):
            return _drained(handle, most)
        os.set_blocking(handle, True)
        with open(handle, "rb", closefd=False) as file:
            return file.read(most)
    finally:
        os.close(handle)


def write_through(path: str, raw: bytes) -> None:
    """Write into what is no plain file. Raises OSError, also where nobody reads a pipe."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise OSError(errno.ENXIO, "Nobody reads from it") from None
        raise
    try:
        rest, ends_s = memoryview(raw), monotonic() + _PATIENCE_S
        while rest:
            if not _ready(handle, POLLOUT, ends_s):
                raise TimeoutError(errno.ETIMEDOUT, "Nobody reads from it")
            try:
                rest = rest[os.write(handle, rest) :]
            except BlockingIOError:
                continue
    finally:
        os.close(handle)


def _drained(handle: int, most: int) -> bytes:
    """All of a pipe. One that nobody has opened yet reads as ended, so its end counts only behind a first byte."""
    found = bytearray()
    ends_s, nobody_s = monotonic() + _PATIENCE_S, monotonic() + _NOBODY_S
    while len(found) < most:
        try:
            more = os.read(handle, min(_CHUNK_BYTES, most - len(found)))
        except BlockingIOError:
            more, due_s = b"", ends_s
        else:
            found += more
            if found and not more:
                break
            due_s = nobody_s
        # A writer that closes between our read and our poll shows as POLLHUP alone: behind a first byte, the end.
        if not more and not _ready(handle, POLLIN | POLLHUP if found else POLLIN, due_s):
            raise TimeoutError(errno.ETIMEDOUT, "Nobody writes into it")
    return bytes(found)


def _ready(handle: int, event: int, ends_s: float) -> bool:
    """Wait; False when the time is over, or when the other end was closed and there is nothing left."""
    watched = poll()
    watched.register(handle, event)
    return any(seen & event for _, seen in watched.poll(max(0.0, ends_s - monotonic()) * 1000))
