"""Connections that outlive a round: a watch that dialed every node every second would do little else.

A round still asks everybody, who they are too; only settings and users are read once for each connection. A
connection that fails is no word about its node: the same questions go to a fresh one at once, and what that says
counts. And none grows old, because an open connection does not show that a node takes no new ones, refuses our
password by now, or hides behind a new firewall rule.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from zlib import crc32

from rcfail.clock import Deadline
from rcfail.cluster.nouns import Endpoint
from rcfail.wire.conversation import Conversation
from rcfail.wire.door import Door
from rcfail.wire.packed import Command
from rcfail.wire.replies import Reply
from rcfail.wire.together import PATIENCE_S, answering

OLDEST_S = 10.0
RENEWED_EACH_S = 4
"""Every connection is made anew within ten seconds; of more than forty nodes about four in each second."""

MOST_AHEAD = 256


@dataclass(frozen=True, slots=True)
class _Kept:
    """A connection that was well when it was last used, and when it was made.

    `settings` are what CONFIG GET and ACL LIST gave on it: read once for each connection, so they are as old as that
    at most.
    `opening` are the first questions of a round, and `ahead` those that it was sent already.
    """

    conversation: Conversation
    made_at_s: float
    settings: dict[Command, Reply] = field(default_factory=dict, repr=False)
    opening: list[Command] = field(default_factory=list)
    ahead: list[Command] = field(default_factory=list)


class KeptDoor(Door):
    """A door whose connections stay open between rounds. Like a Door it is for many threads at once."""

    def __init__(self, door: Door) -> None:
        vars(self).update(vars(door))  # the same user, bounds and names
        self._kept: dict[Endpoint, _Kept] = {}
        self._visited: set[Endpoint] = set()
        self._nodes = 0

    def open(self, endpoint: Endpoint, *, deadline: Deadline) -> Conversation:
        """A visit to the node, on the connection of the last one where there is one. Never raises."""
        self._visited.add(endpoint)
        return _Visit(self, endpoint, deadline)

    def ask_ahead(self, among: Iterable[Endpoint], deadline: Deadline) -> tuple[Endpoint, ...]:
        """Send to these, where a connection is, what opened the last round; who begins to answer within a moment.

        Those can be read one after the other without a thread for each, which would cost more than the reading. In a
        large cluster the answers are too long for that: they do not fit into the sockets' own buffers.
        """
        if len(self._kept) > MOST_AHEAD:
            return ()
        waiting: dict[int, Endpoint] = {}
        for endpoint in dict.fromkeys(among):
            kept = self.take(endpoint)
            if kept is None:
                continue
            kept.ahead[:] = [each for each in kept.opening if each not in kept.settings]
            kept.conversation.go_on(deadline)
            kept.conversation.send_ahead(kept.ahead)
            self.give_back(endpoint, kept)
            if (descriptor := kept.conversation.descriptor) is not None:
                waiting[descriptor] = endpoint
        return tuple(answering(waiting, Deadline.after(deadline.at_most(PATIENCE_S), self.clock)))

    def begin(self, places: Iterable[Endpoint], commands: Iterable[Command], deadline: Deadline) -> Iterator[Endpoint]:
        """As a door's; who has a connection keeps it."""
        return super().begin([place for place in places if place not in self._kept], commands, deadline)

    def end_round(self) -> None:
        """Close and forget what nobody used since the last call: nodes that are gone."""
        for endpoint in [each for each in self._kept if each not in self._visited]:
            self._kept.pop(endpoint).conversation.close()
        self.names.keep_only(self._visited)
        self._nodes = len(self._visited)
        self._visited.clear()

    def close(self) -> None:
        while self._kept:
            self._kept.popitem()[1].conversation.close()

    def take(self, endpoint: Endpoint) -> _Kept | None:
        """The kept connection, which is the caller's from now on."""
        kept = self._kept.pop(endpoint, None)
        if kept is None or self.clock.monotonic_s() < kept.made_at_s + self._oldest_s(endpoint):
            return kept
        kept.conversation.close()
        return None

    def dial(self, endpoint: Endpoint, deadline: Deadline) -> _Kept:
        return _Kept(super().open(endpoint, deadline=deadline), self.clock.monotonic_s())

    def _oldest_s(self, endpoint: Endpoint) -> float:
        """Not the same for all, so that they are not all renewed in one round."""
        oldest_s = max(OLDEST_S, self._nodes / RENEWED_EACH_S)
        return oldest_s * (0.5 + crc32(str(endpoint).encode("utf-8", "replace")) % 256 / 512)

    def give_back(self, endpoint: Endpoint, kept: _Kept) -> None:
        if kept.conversation.failure is not None or self._kept.setdefault(endpoint, kept) is not kept:
            kept.conversation.close()


class _Visit(Conversation):
    """One conversation of one round, on a connection that is not its own."""

    def __init__(self, door: KeptDoor, endpoint: Endpoint, deadline: Deadline) -> None:
        super().__init__(door.credentials, door.bounds, deadline)
        self._door = door
        self._endpoint = endpoint
        self._kept = door.take(endpoint)

    def read(self, commands: Iterable[Command], *, deadline: Deadline | None = None) -> tuple[Reply, ...]:
        asked = [tuple(command) for command in commands]
        if self._kept is not None:
            replies = self._read_kept(self._kept, asked, deadline)
            if replies is not None:
                return replies
            self._kept.conversation.close()
        self._kept = self._door.dial(self._endpoint, self._deadline)
        self._kept.opening[:] = asked
        fresh = self._kept.conversation.read(asked, deadline=deadline)
        self._kept.settings.update(_settings(zip(asked, fresh, strict=True)))
        return fresh

    def _read_kept(
        self, kept: _Kept, asked: list[tuple[str | int | bytes, ...]], deadline: Deadline | None
    ) -> tuple[Reply, ...] | None:
        """None where the connection failed: then a fresh one tells why."""
        known = dict(kept.settings)
        if kept.ahead:
            known.update(zip(kept.ahead, kept.conversation.read(kept.ahead), strict=True))
            kept.ahead.clear()
        # Settings are asked in another form when it is known that all servers take it: that is asked once too.
        if news := [each for each in asked if each not in known]:
            kept.conversation.go_on(self._deadline)
            known.update(zip(news, kept.conversation.read(news, deadline=deadline), strict=True))
            kept.settings.update(_settings((each, known[each]) for each in news))
            if asked[0] in kept.opening:
                kept.opening[:] = asked
        if kept.conversation.failure is not None:
            return None
        return tuple([known[each] for each in asked])

    def close(self) -> None:
        if self._kept is not None:
            self._door.give_back(self._endpoint, self._kept)
            self._kept = None


def _settings(replies: Iterable[tuple[Command, Reply]]) -> Iterator[tuple[Command, Reply]]:
    """Those worth keeping: no password, and nothing that was refused."""
    for command, reply in replies:
        if command[0] in ("CONFIG", "ACL") and command[-1] != "masterauth" and isinstance(reply, tuple):
            yield command, reply
