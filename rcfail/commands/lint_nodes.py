"""`rcfail nodes --lint` and `--repair`: a nodes.conf without a server."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from functools import partial

from rcfail.cluster.flaws import Grade
from rcfail.cluster.lint_nodes import lint
from rcfail.cluster.mend_nodes import Mended, mend
from rcfail.errors import ConfigFault, UsageFault
from rcfail.exits import ExitCode
from rcfail.render.lint_page import Judged, lint_data, lint_page
from rcfail.render.outcome import Outcome

_CODES = {None: ExitCode.OK, Grade.WARNING: ExitCode.WARNING, Grade.CRITICAL: ExitCode.CRITICAL}


def linting(raw: bytes, source: str, repair: str | None, self_id: str, *, force: bool) -> Outcome:
    """`repair` is the file to write, "" the one beside `source`, None no file. The exit code is about the file as it
    was read. Raises UsageFault and ConfigFault."""
    judged = lint(raw.decode("utf-8", "surrogateescape"), self_id)
    path = None if repair is None else _path(source, repair, force=force)
    mended = mend(judged, self_id)
    if path is not None and mended.text:
        _write(path, mended, source, force=force)
    name = "standard input" if source == "-" else source
    answer = Judged(name, judged, mended, path if mended.text else None, asked=repair is not None)
    return Outcome(
        command="nodes",
        exit_code=_CODES[judged.grade],
        text=partial(lint_page, answer),
        data=partial(lint_data, answer),
    )


def _path(source: str, repair: str, *, force: bool) -> str:
    """Where the copy goes. Raises UsageFault: never over the file itself, and over another one only by force."""
    if not repair and source == "-":
        raise UsageFault("standard input has no place beside it", "Name the copy: --repair FILE")
    path = repair or f"{source}.repaired"
    if source != "-" and os.path.realpath(path) == os.path.realpath(source):
        raise UsageFault("a nodes.conf is never changed in its place", "Name another file: --repair FILE")
    if os.path.isdir(path):
        raise UsageFault(f"{path} is a folder; nothing was written", "Name a file: --repair FILE")
    if os.path.lexists(path) and not force:
        raise UsageFault(f"{path} exists already; nothing was written", "Name another file, or say --force.")
    return path


def _write(path: str, mended: Mended, source: str, *, force: bool) -> None:
    """With the mode of the old file. Raises ConfigFault."""
    mode = 0o600
    with suppress(OSError):
        mode = stat.S_IMODE(os.stat(source).st_mode) if source != "-" else 0o600
    beside = f"{path}.{os.getpid()}.new" if force else path
    try:
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(mended.text.encode())
            file.flush()
            os.fsync(file.fileno())
        if force:
            os.replace(beside, path)
    except FileExistsError:
        raise UsageFault(f"{path} exists already; nothing was written", "Name another file.") from None
    except OSError as error:
        with suppress(OSError):
            os.unlink(beside)
        why = (error.strerror or "it cannot be written").lower()
        raise ConfigFault(f"{path}: {why}", "Name a file in a folder of yours: --repair FILE") from None
