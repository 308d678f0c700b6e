"""The keys of a canary: a new one for each write, looked for and removed at the end."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from rcfail.clock import Deadline
from rcfail.practice.canary_client import Client
from rcfail.practice.tally import Fate, Write
from rcfail.wire.refusals import Refusal
from rcfail.wire.replies import Reply

TTL_S = 600
"""The keys' own end, should this process not live to remove them."""

MOST_KEYS = 20_000
"""More than a minute's. What is older was there before the change, and is removed as the canary goes on."""

_SURELY_THERE_S = TTL_S - 60
_BATCH = 500
_AGAIN_S = 0.02
_EVICTED = re.compile(r"^evicted_keys:(\d+)", re.MULTILINE)


class _Sent(NamedTuple):
    write: Write
    at_s: float


class Found(NamedTuple):
    """What each key holds, and why some could not be looked for, else ""."""

    numbers: Mapping[str, int | None]
    why: str


class Keys:
    """What was written, the last `most` of it. `noted` counts all by what the writer was told."""

    def __init__(self, prefix: str, most: int = MOST_KEYS) -> None:
        self._prefix = prefix
        self._most = most
        self._sent: list[_Sent] = []
        self.noted: Counter[Fate] = Counter()
        self.last = f"{prefix}0"
        """The key of the last acknowledged write; before there is any, one that is never written."""

    @property
    def count(self) -> int:
        return self.noted.total()

    def key_of(self, number: int) -> str:
        return f"{self._prefix}{number}"

    def note(self, write: Write, at_s: float) -> None:
        """Writes come in their order, one at a time."""
        self._sent.append(_Sent(write, at_s))
        self.noted[write.fate] += 1
        if write.fate is Fate.ACKNOWLEDGED:
            self.last = write.key

    def outgrown(self) -> tuple[str, ...]:
        """The oldest keys, once there are too many: nobody looks for them any more, and they are to be removed."""
        if len(self._sent) < self._most + _BATCH:
            return ()
        old = self._sent[:_BATCH]
        del self._sent[:_BATCH]
        return tuple(each.write.key for each in old if each.write.fate is not Fate.ERROR)

    def writes(self, now_s: float) -> tuple[Write, ...]:
        """All that may be there, and whose keys have not yet come near their own end."""
        return tuple(
            each.write
            for each in self._sent
            if each.write.fate is not Fate.ERROR and now_s - each.at_s < _SURELY_THERE_S
        )

    def look_for(self, writes: Sequence[Write], client: Client, deadline: Deadline) -> Found:
        """Read each key where the client finds the shard's owner, as long as the deadline lets it."""
        numbers: dict[str, int | None] = {}
        for some in _batches([each.key for each in writes]):
            replies = _until_answered(client, [("GET", key) for key in some], deadline)
            refused = next((each for each in replies if isinstance(each, Refusal)), None)
            if refused is not None:
                return Found(numbers, refused.text or refused.kind.value)
            numbers.update((key, _number(reply)) for key, reply in zip(some, replies, strict=True))
        return Found(numbers, "")

    def remove(self, client: Client, deadline: Deadline) -> int:
        """Delete all that may be there. Returns how many keys were not deleted: those end by themselves.

        To delete a key of our own again does no harm, so a batch without an answer is sent once more.
        """
        left = 0
        for some in _batches([each.write.key for each in self._sent if each.write.fate is not Fate.ERROR]):
            reply: Reply = None
            while not isinstance(reply, int) and not deadline.passed():
                reply, _ = client.change(("DEL", *some))
                if isinstance(reply, Refusal):
                    deadline.clock.sleep(deadline.at_most(_AGAIN_S))
            left += 0 if isinstance(reply, int) else len(some)
        return left


def evicted(client: Client) -> int | None:
    """How many keys the node has evicted since its start; None where it does not tell."""
    said = client.read([("INFO",)])[0]
    found = _EVICTED.search(said) if isinstance(said, str) else None
    return int(found[1]) if found else None


def _until_answered(client: Client, commands: Sequence[tuple[str, ...]], deadline: Deadline) -> tuple[Reply, ...]:
    """Reads are repeated: the shard may be changing hands, and the client finds the new owner meanwhile."""
    while True:
        replies = client.read(commands)
        if deadline.passed() or not any(isinstance(each, Refusal) for each in replies):
            return replies
        deadline.clock.sleep(deadline.at_most(_AGAIN_S))


def _batches(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    return (keys[at : at + _BATCH] for at in range(0, len(keys), _BATCH))


def _number(reply: Reply) -> int | None:
    """What a key holds; -1, which is never written, for what is no number."""
    if reply is None:
        return None
    text = str(reply)
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else -1
