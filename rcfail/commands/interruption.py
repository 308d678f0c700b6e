"""SIGTERM and SIGHUP end a command as Ctrl-C does, so that it cleans up then too; and none of them at a bad moment."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class Signals:
    """What ends a command. `ignore` is for the short rest after which it ends anyway, with an answer that counts."""

    def __init__(self) -> None:
        self._before: list[tuple[signal.Signals, Callable[[int, FrameType | None], object] | int | None]] = []

    def raise_interrupt(self) -> None:
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is signal.SIG_DFL:
                self._before.append((number, signal.signal(number, signal.default_int_handler)))

    def ignore(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before.append((number, signal.signal(number, signal.SIG_IGN)))

    def restore(self) -> None:
        while self._before:
            signal.signal(*self._before.pop())


@contextmanager
def ended_like_ctrl_c() -> Iterator[Signals]:
    """Within it SIGTERM and SIGHUP raise KeyboardInterrupt, unless somebody has chosen otherwise for them."""
    signals = Signals()
    try:
        signals.raise_interrupt()
        yield signals
    finally:
        signals.restore()


@contextmanager
def held_back() -> Iterator[None]:
    """Ctrl-C, SIGTERM and SIGHUP within it are let through at its end: KeyboardInterrupt is raised then, not before."""
    came: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        came.append(number)

    before = []
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            before.append((number, signal.signal(number, note)))
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)
    if came:
        raise KeyboardInterrupt
