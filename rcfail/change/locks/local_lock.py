"""One operator at a time on this host: a file for each run that makes a change.

A cluster has no name of its own, its members come and go, and a shard's primary changes by what is done here. So a run
is written down with the ids of all nodes it sees, and two runs that share one of them are in each other's way.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from rcfail.change.locks.owner import Owner, has_ended, read_owner
from rcfail.change.locks.turn import take_turn
from rcfail.clock import Clock


class Holder(NamedTuple):
    owner: Owner
    nodes: frozenset[str]
    path: Path


class LocalLock:
    """The file of one run, in `folder`. Raises OSError and OutOfTime where that cannot be used."""

    def __init__(self, folder: Path, owner: Owner, nodes: Sequence[str], clock: Clock) -> None:
        self._folder = folder
        self._owner = owner
        self._nodes = nodes
        self._clock = clock
        self._path = folder / f"{owner.token}.lock"

    def take(self, breaks: bool, over: Callable[[Owner], None]) -> Owner | None:
        """Take it, or return who has it. `over` is told of each owner that is put aside: dead, or broken by name."""
        with self._alone():
            living = self.other()
            if living is not None and not breaks:
                return living
            for each in self._in_the_way():
                over(each.owner)
                each.path.unlink(missing_ok=True)
            handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump({"owner": self._owner.text, "nodes": list(self._nodes)}, file)
        return None

    def other(self) -> Owner | None:
        """The one that has had it for longest, of those that may live. Nothing is taken."""
        living = [each.owner for each in self._in_the_way() if not has_ended(each.owner)]
        return min(living, key=lambda each: each.at_unix_ms, default=None)

    def is_ours(self) -> bool:
        """Nobody has put it aside."""
        return self._path.exists()

    def release(self) -> None:
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _in_the_way(self) -> list[Holder]:
        return [each for each in self._holders() if each.nodes & set(self._nodes)]

    def _holders(self) -> Iterator[Holder]:
        for path in sorted(self._folder.glob("*.lock")):
            with suppress(OSError, ValueError, TypeError, KeyError):
                found = json.loads(path.read_text("utf-8"))
                owner = read_owner(found["owner"])
                if owner is None:
                    continue
                yield Holder(owner, frozenset(map(str, found["nodes"])), path)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else looks or takes meanwhile. The system lets go of it when the process ends, however it ends."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(self._folder / ".turn", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            take_turn(handle, self._clock, "another rcfail that takes the local lock")
            yield
        finally:
            os.close(handle)
