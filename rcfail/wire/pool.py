"""Daemon threads that are started as work comes, and that nobody waits for at the end."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from rcfail.clock import Deadline

T = TypeVar("T")

AT_ONCE = 32
STALL_S = 0.02
"""Reading a view takes Python time, and then more threads only get in each other's way. So a few start at once,
and the others when nothing comes for this long, as where nodes are far away or do not answer."""


class Pool(Generic[T]):
    """Runs jobs on at most `size` threads and hands out what they return, in the order of their ends.

    The threads of concurrent.futures are joined when the process exits, so one that hangs would hold it;
    these are not. For one caller's thread: only the jobs run elsewhere.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._jobs: queue.SimpleQueue[Callable[[], T] | None] = queue.SimpleQueue()
        self._ended: queue.SimpleQueue[T | BaseException] = queue.SimpleQueue()
        self._threads = 0
        self._closed = False
        self.open_jobs = 0

    def submit(self, job: Callable[[], T]) -> None:
        self.open_jobs += 1
        self._jobs.put(job)
        self._start_threads(min(AT_ONCE, self._size))

    def next_ended(self, deadline: Deadline) -> T | None:
        """What the next job to end returned, or None when none ended in time. Raises what a job raised."""
        while True:
            all_at_work = self._threads >= min(self._size, self.open_jobs)
            patience_s = deadline.remaining_s() if all_at_work else deadline.at_most(STALL_S)
            try:
                ended = self._ended.get(timeout=patience_s)
                break
            except queue.Empty:
                if deadline.passed():
                    return None
                self._start_threads(min(self._threads + AT_ONCE, self._size))
        self.open_jobs -= 1
        if isinstance(ended, BaseException):
            raise ended
        return ended

    def close(self) -> None:
        """Start no further job and let the threads go. One that is at work ends by its own bounds."""
        self._closed = True
        for _ in range(self._threads):
            self._jobs.put(None)

    def _start_threads(self, up_to: int) -> None:
        """No more than there are jobs."""
        while self._threads < min(up_to, self.open_jobs):
            try:
                threading.Thread(target=self._work, name="rcfail-wire", daemon=True).start()
            except RuntimeError:  # the system allows no further thread: fewer do the same, slower
                if self._threads == 0:
                    raise
                self._size = self._threads
                return
            self._threads += 1

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None and not self._closed:
            try:
                self._ended.put(job())
            except BaseException as error:  # noqa: BLE001 - a fault of ours must not pass for a silent node
                self._ended.put(error)
