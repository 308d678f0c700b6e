"""SIGTERM and SIGHUP end a command as Ctrl-C does, so that it cleans up then too; and none of them at a bad moment."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TypeAlias

_Handler: TypeAlias = Callable[[int, FrameType | None], object] | int | None


class Signals:
    """What ends a command. `ignore` is for the short rest after which it ends anyway, with an answer that counts."""

    def __init__(self) -> None:
        self._before: list[tuple[signal.Signals, _Handler]] = []

    def raise_interrupt(self) -> None:
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is signal.SIG_DFL:
                self._before.append((number, signal.signal(number, signal.default_int_handler)))

    def ignore(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            handler = signal.getsignal(number)
            if handler is not signal.SIG_IGN:
                signal.signal(number, signal.SIG_IGN)
                self._before.append((number, handler.before[number] if isinstance(handler, _Held) else handler))

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


class _Held:
    """A handler that only notes what comes. `before` are those in whose place it stands."""

    def __init__(self) -> None:
        self.came: list[int] = []
        self.before: dict[int, _Handler] = {}

    def __call__(self, number: int, _: FrameType | None) -> None:
        self.came.append(number)


@contextmanager
def held_back() -> Iterator[None]:
    """Ctrl-C, SIGTERM and SIGHUP within it are let through at its end: KeyboardInterrupt is raised then, not before.

    What the body has them do from then on stays so.
    """
    held = _Held()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            held.before[number] = signal.signal(number, held)
    try:
        yield
    finally:
        for held_number, handler in held.before.items():
            if signal.getsignal(held_number) is held:
                signal.signal(held_number, handler)
    if held.came:
        raise KeyboardInterrupt
