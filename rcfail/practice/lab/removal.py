"""Removing a folder that somebody may still write to."""

from __future__ import annotations

import shutil
from pathlib import Path

from rcfail.clock import Deadline, poll
from rcfail.errors import LabFault, OutOfTime

_POLL_S = 0.05


def remove_folder(folder: Path, last: str, within_s: float) -> None:
    """Delete a folder with all that is in it, the file `last` at the very end, so that it can be tried again.

    A server that was killed while it saved leaves a child that writes on for a moment, hence several attempts.
    Raises LabFault when something stays.
    """
    deadline = Deadline.after(within_s)
    try:
        for attempt in (lambda: _emptied(folder, last), lambda: _gone(folder)):
            poll(attempt, bool, deadline=deadline, every_s=_POLL_S, waiting_for="it to be empty")
    except (OSError, OutOfTime) as error:
        raise LabFault(
            f"{folder} cannot be removed: {error}", "See whose it is, and who still writes there."
        ) from error


def _emptied(folder: Path, last: str) -> bool:
    """Remove all but the file `last`, as far as it goes."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name != last:
            path.unlink(missing_ok=True)
    return [path.name for path in folder.iterdir()] in ([], [last])


def _gone(folder: Path) -> bool:
    """Remove the folder; a file that a child put there, or took away, in that moment only costs another attempt."""
    shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()
