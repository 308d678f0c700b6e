"""One operator at a time in the cluster: a key in the shards of a majority of the voters.

Two majorities share a shard, so two runs meet in it, wherever they run. The key's name is `rcfail:{N}:lock`, where N
is the smallest number whose slot belongs to the shard. It is set with NX and a time to live; it is changed and deleted
only where it still holds our value, by WATCH, for a comparing delete came late (Redis 8.4, Valkey 9) and scripts are
often not permitted. Slots are asked at their owner: the identity is read first on the same connection, no redirect is
followed, and no slot that nobody serves is written to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from rcfail.change.owner import Owner, has_ended, read_owner
from rcfail.clock import Deadline
from rcfail.cluster.keyslot import tag_within
from rcfail.cluster.nouns import Endpoint, NodeId
from rcfail.wire.refusals import Refusal, RefusalKind

if TYPE_CHECKING:
    from rcfail.cluster.snapshot import Snapshot
    from rcfail.wire.conversation import Conversation
    from rcfail.wire.door import Door
    from rcfail.wire.replies import Reply

TTL_MS = 30_000
"""A run that died on another host is waited for no longer than this."""

_EACH_S = 1.0


@dataclass(frozen=True, slots=True)
class Seat:
    """One voter's shard: the key in it, and its members, the primary first, for they change places."""

    key: str
    members: tuple[tuple[NodeId, Endpoint], ...]


def seats_of(snapshot: Snapshot) -> tuple[Seat, ...]:
    """The shards with slots, all in the same order for everybody: that of the keys' slots."""
    shards = sorted((each for each in snapshot.shards if each.slots), key=lambda each: each.slots)
    found = []
    for shard in shards:
        nodes = [snapshot.nodes[each] for each in (shard.primary_id, *shard.replica_ids) if each in snapshot.nodes]
        members = tuple((node.node_id, node.endpoint) for node in nodes if node.endpoint is not None)
        found.append(Seat(f"rcfail:{{{tag_within(shard.slots)}}}:lock", members))
    return tuple(found)


class Key(StrEnum):
    OURS = "ours"
    FREE = "free"
    OTHERS = "others"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Found:
    """What a seat said. `value` is the other's; `why` says why it is not known."""

    key: Key
    value: str = ""
    why: str = ""


class ClusterLock:
    """The keys of one run. Nothing raises: what cannot be done is a reason."""

    def __init__(self, door: Door, seats: Sequence[Seat], owner: Owner, ttl_ms: int = TTL_MS) -> None:
        self._door = door
        self._seats = tuple(seats)
        self._value = owner.text
        self._ttl_ms = ttl_ms
        self._touched: list[Seat] = []

    @property
    def needed(self) -> int:
        return len(self._seats) // 2 + 1

    def look(self) -> tuple[str, ...]:
        """The values of others in the keys, each once."""
        found = [self._on(seat, self._read) for seat in self._seats]
        return tuple(dict.fromkeys(each.value for each in found if each.key is Key.OTHERS))

    def take(self) -> tuple[int, Found | None, str]:
        """How many keys are ours, the first that is another's, and why any other could not be had.

        All take them in one order, and end when they have a majority or meet another: one of two goes on.
        """
        held, why = 0, ""
        for seat in self._seats:
            self._touched.append(seat)
            found = self._on(seat, self._set)
            if found.key is Key.OTHERS:
                return held, found, why
            held += found.key is Key.OURS
            why = why or found.why
            if held >= self.needed:
                break
        return held, None, why

    def remove(self, value: str) -> None:
        """Delete the keys that hold this value: a dead owner's, or one that the operator breaks by name."""
        for seat in self._seats:
            self._on(seat, lambda conversation, key: self._change(conversation, key, value, (("DEL", key),)))

    def renew(self) -> None:
        words = ("XX", "PX", str(self._ttl_ms))
        for seat in self._touched:
            self._on(
                seat,
                lambda conversation, key: self._change(
                    conversation, key, self._value, (("SET", key, self._value, *words),)
                ),
            )

    def still_ours(self) -> str:
        """Read again: "" while a majority of the keys is ours, else why not."""
        found = [self._on(seat, self._read) for seat in self._touched]
        ours = sum(each.key is Key.OURS for each in found)
        if ours >= self.needed:
            return ""
        other = next((read_owner(each.value) for each in found if each.key is Key.OTHERS), None)
        if other is not None:
            return f"the lock in the cluster was taken by {other.label}"
        why = next((each.why for each in found if each.why), "")
        return f"{ours} of {self.needed} keys of the lock are left{': ' + why if why else ''}"

    def release(self) -> None:
        """Delete what is ours, also where an answer did not come: it may have been set there."""
        for seat in self._touched:
            self._on(seat, lambda conversation, key: self._change(conversation, key, self._value, (("DEL", key),)))
        self._touched.clear()

    def _on(self, seat: Seat, ask: Callable[[Conversation, str], Found]) -> Found:
        """Ask the first member that is the slot's owner: after a failover that is another one than before."""
        why = "no address is known"
        for node_id, endpoint in seat.members:
            with self._door.open(endpoint, deadline=Deadline.after(_EACH_S, self._door.clock)) as conversation:
                name = conversation.read([("CLUSTER", "MYID")])[0]
                if isinstance(name, Refusal):
                    why = name.text or name.kind.value
                    continue
                if name != node_id:
                    why = f"another node answers at {endpoint}"
                    continue
                found = ask(conversation, seat.key)
                if not found.why.startswith(("MOVED", "ASK")):
                    return found
                why = found.why
        return Found(Key.UNKNOWN, why=why)

    def _read(self, conversation: Conversation, key: str) -> Found:
        return self._judged(conversation.read([("GET", key)])[0])

    def _set(self, conversation: Conversation, key: str) -> Found:
        there = self._read(conversation, key)
        if there.key in (Key.OTHERS, Key.UNKNOWN):
            return there
        said = conversation.change([("SET", key, self._value, "NX", "PX", str(self._ttl_ms))])[0]
        if said == "OK":
            return Found(Key.OURS)
        return Found(Key.UNKNOWN, why=_reason(said)) if isinstance(said, Refusal) else self._read(conversation, key)

    def _change(self, conversation: Conversation, key: str, value: str, commands: Iterable[tuple[str, ...]]) -> Found:
        """Only while the key holds `value`: EXEC does nothing where it was changed after WATCH (multi.c)."""
        watched, there = conversation.read([("WATCH", key), ("GET", key)])
        if isinstance(watched, Refusal) or there != value:
            return self._judged(watched if isinstance(watched, Refusal) else there)
        done = conversation.change([("MULTI",), *commands, ("EXEC",)])[-1]
        return Found(Key.UNKNOWN, why=_reason(done)) if isinstance(done, Refusal) else Found(Key.OURS)

    def _judged(self, value: Reply) -> Found:
        if isinstance(value, Refusal):
            return Found(Key.UNKNOWN, why=_reason(value))
        if value is None:
            return Found(Key.FREE)
        return Found(Key.OURS) if value == self._value else Found(Key.OTHERS, str(value))


def _reason(refusal: Refusal) -> str:
    return "it has no right to" if refusal.kind is RefusalKind.NOT_PERMITTED else refusal.text or refusal.kind.value


def dead(value: str) -> Owner | None:
    """The owner in a key, where it is certain that it has ended."""
    owner = read_owner(value)
    return owner if owner is not None and has_ended(owner) else None
