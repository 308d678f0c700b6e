"""A file that is replaced at once: whoever reads it has the old answer or the new one, never half of one."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from rcfail.pipes import write_through


def replace_file(path: str, text: str) -> None:
    """Put the text in the place of the file. Raises OSError, and then the old file stands as it was.

    A new file can be read by whom the umask lets, for a collector runs as another user; an old one keeps its mode.
    What is no file, such as /dev/stdout or a pipe, is written to and not replaced.
    """
    raw = text.encode("utf-8", "backslashreplace")
    target = Path(os.path.realpath(path))
    mode: int | None = None
    with suppress(FileNotFoundError):
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode):
            write_through(path, raw)
            return
        mode = stat.S_IMODE(found.st_mode)
    # The name must not end like the old one: node_exporter reads every *.prom of its directory.
    beside = target.parent / f".{target.name[:100]}.{os.getpid()}.new"
    try:
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "wb") as file:
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            file.write(raw)
        os.replace(beside, target)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(beside)
        raise
