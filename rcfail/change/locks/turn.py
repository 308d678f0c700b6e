"""Whose turn it is with an open file: the system lets go of it when the process ends, however it ends."""

from __future__ import annotations

import fcntl

from rcfail.clock import Clock, Deadline, poll

PATIENCE_S = 5.0
"""Those who have a turn write some lines; so whoever has it for longer hangs."""


def take_turn(handle: int, clock: Clock, waiting_for: str) -> None:
    """Lock the open file for ourselves until it is closed. Raises OutOfTime, which says what was waited for."""
    deadline = Deadline.after(PATIENCE_S, clock)
    poll(lambda: _locked(handle), bool, deadline=deadline, every_s=0.01, waiting_for=waiting_for)


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
