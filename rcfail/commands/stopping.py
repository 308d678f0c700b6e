"""Ctrl-C in a run of many steps: what is under way is brought to its end, and nothing more is begun."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from rcfail.commands.interruption import held_back

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopping:
    """Remembers that one of the signals came, also where somebody below has caught its KeyboardInterrupt."""

    def __init__(self) -> None:
        self.asked = False
        self._over = False

    def over(self) -> None:
        """The run is at its end: what it has to say is said, whatever comes."""
        self._over = True

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Within it Ctrl-C, SIGTERM and SIGHUP raise KeyboardInterrupt, and are remembered."""

        def note(_: int, __: FrameType | None) -> None:
            self.asked = True
            if not self._over:
                raise KeyboardInterrupt

        before = [
            (number, signal.signal(number, note)) for number in _ENDING if signal.getsignal(number) != signal.SIG_IGN
        ]
        try:
            yield
        finally:
            for number, handler in before:
                signal.signal(number, handler)

    @contextmanager
    def shield(self) -> Iterator[None]:
        """They wait until its end."""
        try:
            with held_back():
                yield
        except KeyboardInterrupt:
            self.asked = True
            raise
