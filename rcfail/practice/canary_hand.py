"""One of the two threads of a canary: its client, what came of its tries, and when."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from rcfail.practice.canary_client import Client, kind_of
from rcfail.practice.tally import Successes
from rcfail.wire.refusals import Refusal, RefusalKind

if TYPE_CHECKING:
    from rcfail.wire.replies import Reply

READY_S = 3.0
"""How long the first write and the first read may take, before the shard does not serve this client."""

_FOR_GOOD = frozenset({RefusalKind.NOT_PERMITTED, RefusalKind.AUTH_REFUSED})


class Hand:
    """What one of the two threads met. `refused` is its last answer that was no success."""

    def __init__(self, client: Client, started_s: float) -> None:
        self.client = client
        self._started_s = started_s
        self.successes = Successes()
        self.first = threading.Event()
        self.ended = threading.Event()
        self.refused: Refusal | None = None

    def note(self, reply: Reply, now_s: float) -> bool:
        """Whether it was a success."""
        if isinstance(reply, Refusal):
            self.refused = reply
            return False
        if not self.first.is_set() and now_s - self._started_s > READY_S:
            self.successes = Successes(self._started_s)  # nobody called it ready: the time until now was a gap too
        self.successes.add(now_s)
        self.first.set()
        return True

    @property
    def is_shut_out(self) -> bool:
        """It would get no other answer however often it asks."""
        return not self.first.is_set() and self.refused is not None and self.refused.kind in _FOR_GOOD

    @property
    def why_not(self) -> str:
        said = self.refused
        return "no answer came yet" if said is None else said.text.rstrip(".") or kind_of(said)
