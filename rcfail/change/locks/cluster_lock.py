"""One operator at a time in the cluster: a key in the shards of a majority of the voters.

Two majorities share a shard, so two runs meet in it, wherever they run. The key's name is `rcfail:{N}:lock`, where N
is the smallest number whose slot belongs to the shard. It is set with NX and a time to live; it is changed and deleted
only where it still holds our value, by WATCH, for a comparing delete came late (Redis 8.4, Valkey 9) and scripts are
often not permitted. Slots are asked at their owner: the identity is read first on the same connection. Where a node
says that the slot has moved, the node that it names is asked, if it is a member that was seen; nobody else is written
to. Runs that begin on two sides of a resharding may choose other slots, and so other keys: an open slot refuses
changes by itself.

All shards are asked at the same time, because half of them may be dead, and each dead one is waited for. Only the
first key is taken alone. All read first, so all that see the same shards alive begin at the same one: who gets its
key goes on to the others, and who does not has nothing to give back. Without that, runs that begin together would
each take some keys, and send each other away. That one of two goes on rests on this order; that no two go on does
not: each key has one owner, and two majorities cannot be had of one set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING

from rcfail.change.locks.owner import Owner, has_ended, read_owner
from rcfail.clock import Deadline
from rcfail.cluster.keyslot import tag_within
from rcfail.cluster.nouns import Endpoint, NodeId
from rcfail.wire.pool import Pool
from rcfail.wire.refusals import Refusal, RefusalKind

if TYPE_CHECKING:
    from rcfail.cluster.snapshot import Node, Snapshot
    from rcfail.wire.conversation import Conversation
    from rcfail.wire.door import Door
    from rcfail.wire.replies import Reply

TTL_MS = 30_000
"""A run that died on another host is waited for no longer than this."""

_ROUND_S = 1.8
"""All shards together answer within this, or do not count."""
_MEMBER_S = 1.0
"""One silent member may not keep the others of its shard from being asked."""
_GRACE_S = 0.1
_AT_ONCE = 256
_FIRST_TRIES = 3

Member = tuple[NodeId, Endpoint]


@dataclass(frozen=True, slots=True)
class Seat:
    """One voter's shard: the key in it, and its members, the primary first, for they change places."""

    key: str
    members: tuple[Member, ...]


def seats_of(snapshot: Snapshot) -> tuple[Seat, ...]:
    """The shards with slots, all in the same order for everybody: that of the keys' slots."""
    shards = sorted((each for each in snapshot.shards if each.slots), key=lambda each: each.slots)
    found = []
    for shard in shards:
        nodes = [snapshot.nodes[each] for each in (shard.primary_id, *shard.replica_ids) if each in snapshot.nodes]
        members = tuple((node.node_id, node.endpoint) for node in nodes if node.endpoint is not None)
        found.append(Seat(f"rcfail:{{{tag_within(shard.slots)}}}:lock", members))
    return tuple(found)


def places_of(snapshot: Snapshot) -> Mapping[Endpoint, Member]:
    """Every member by the addresses that a redirection can name it with."""
    found: dict[Endpoint, Member] = {}
    for node in snapshot.nodes.values():
        if node.endpoint is not None:
            found.update((place, (node.node_id, node.endpoint)) for place in _names_of(node))
    return found


def _names_of(node: Node) -> Iterator[Endpoint]:
    """cluster-preferred-endpoint-type says which of them the servers use."""
    for host in filter(None, (node.address.host, node.address.hostname)):
        yield Endpoint(host, node.address.port)
    if node.endpoint is not None:
        yield node.endpoint


class Key(StrEnum):
    OURS = "ours"
    FREE = "free"
    OTHERS = "others"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Found:
    """What a seat said. `value` is the other's; `why` says why it is not known, `elsewhere` that another may know."""

    key: Key
    value: str = ""
    why: str = ""
    elsewhere: bool = False


class ClusterLock:
    """The keys of one run. Nothing raises: what cannot be done is a reason.

    `places` are the members that a redirection may lead to.
    """

    def __init__(
        self,
        door: Door,
        seats: Sequence[Seat],
        owner: Owner,
        ttl_ms: int = TTL_MS,
        places: Mapping[Endpoint, Member] | None = None,
    ) -> None:
        self._door = door
        self._seats = tuple(seats)
        self._value = owner.text
        self._ttl_ms = ttl_ms
        self._places = places or {}
        self._looked: dict[Seat, Found] = {}
        self._touched: list[Seat] = []
        self.taken = False
        """Whether another's value stood in a key when it was last asked whether the lock is still ours."""

    @property
    def needed(self) -> int:
        return len(self._seats) // 2 + 1

    def look(self) -> tuple[str, ...]:
        """The values of others in the keys, each once."""
        found = dict(self._together(self._seats, self._read))
        self._looked = {seat: found[seat] for seat in self._seats}
        return tuple(dict.fromkeys(each.value for each in self._looked.values() if each.key is Key.OTHERS))

    def take(self) -> tuple[int, Found | None, str]:
        """How many keys are ours, the first that is another's, and why any other could not be had.

        It ends with a majority, or where it meets another.
        """
        # Who was silent in the last look is silent still, most likely: first those that can be had.
        waiting = sorted(self._seats, key=lambda seat: seat in self._looked and self._looked[seat].key is Key.UNKNOWN)
        held, why, tried = 0, "", 0
        while waiting and held < self.needed:
            alone = held == 0 and tried < _FIRST_TRIES
            batch = waiting[: 1 if alone else self.needed - held]
            waiting, tried = waiting[len(batch) :], tried + 1
            self._touched.extend(batch)
            found = dict(self._together(batch, self._set))
            held += sum(each.key is Key.OURS for each in found.values())
            why = why or next((each.why for each in found.values() if each.why), "")
            other = next((each for each in found.values() if each.key is Key.OTHERS), None)
            if other is not None:
                return held, other, why
        return held, None, why

    def remove(self, value: str) -> None:
        """Delete the keys that held this value when they were looked at: a dead owner's, or one broken by name."""
        seats = [seat for seat, found in self._looked.items() if found.value == value]
        self._each(seats, value, lambda key: ("DEL", key))

    def renew(self) -> None:
        words = ("XX", "PX", str(self._ttl_ms))
        self._each(self._touched, self._value, lambda key: ("SET", key, self._value, *words))

    def still_ours(self) -> str:
        """Read again: "" while a majority of the keys is ours, else why not."""
        found: list[Found] = []
        self.taken = False
        for _, each in self._together(self._touched, self._read):
            found.append(each)
            self.taken = self.taken or each.key is Key.OTHERS
            if sum(one.key is Key.OURS for one in found) >= self.needed:
                return ""
        other = next((read_owner(each.value) for each in found if each.key is Key.OTHERS), None)
        if other is not None:
            return f"the lock in the cluster was taken by {other.label}"
        why = next((each.why for each in found if each.why), "")
        ours = sum(each.key is Key.OURS for each in found)
        return f"{ours} of {self.needed} keys of the lock are left{': ' + why if why else ''}"

    def release(self) -> None:
        """Delete what is ours, also where an answer did not come: it may have been set there."""
        self._each(self._touched, self._value, lambda key: ("DEL", key))
        self._touched.clear()

    def _each(self, seats: Sequence[Seat], value: str, command: Callable[[str], tuple[str, ...]]) -> None:
        """Say it at each seat whose key holds `value`."""

        def ask(conversation: Conversation, key: str) -> Found:
            return self._change(conversation, key, value, (command(key),))

        for _ in self._together(seats, ask):
            pass

    def _together(
        self, seats: Sequence[Seat], ask: Callable[[Conversation, str], Found]
    ) -> Iterator[tuple[Seat, Found]]:
        """Every seat with what it said, as they come. A seat that says nothing in time is UNKNOWN; it stands last."""
        deadline = Deadline.after(_ROUND_S, self._door.clock)
        if len(seats) == 1:
            yield seats[0], self._on(seats[0], ask, deadline)
            return
        pool: Pool[tuple[Seat, Found]] = Pool(_AT_ONCE)
        waiting = dict.fromkeys(seats)
        try:
            for seat in seats:
                pool.submit(partial(self._answered, seat, ask, deadline))
            patience = Deadline.after(_ROUND_S + _GRACE_S, self._door.clock)
            while waiting and (ended := pool.next_ended(patience)) is not None:
                del waiting[ended[0]]
                yield ended
        finally:
            pool.close()
        for seat in waiting:
            yield seat, Found(Key.UNKNOWN, why="no answer in time")

    def _answered(
        self, seat: Seat, ask: Callable[[Conversation, str], Found], deadline: Deadline
    ) -> tuple[Seat, Found]:
        return seat, self._on(seat, ask, deadline)

    def _on(self, seat: Seat, ask: Callable[[Conversation, str], Found], deadline: Deadline) -> Found:
        """Ask the slot's owner: the first member, or who is named by one that is not. Everybody is asked once."""
        why, waiting, asked = "no address is known", list(seat.members), set[Member]()
        while waiting:
            member = waiting.pop(0)
            if member in asked:
                continue
            asked.add(member)
            found = self._at(member, seat.key, ask, deadline)
            if found.key is not Key.UNKNOWN or not found.elsewhere:
                return found
            why = found.why
            named = self._named(found.why, member[1])
            waiting[:0] = [named] if named else []
        return Found(Key.UNKNOWN, why=why)

    def _at(self, member: Member, key: str, ask: Callable[[Conversation, str], Found], deadline: Deadline) -> Found:
        node_id, endpoint = member
        ends = Deadline.after(deadline.at_most(_MEMBER_S), self._door.clock)
        with self._door.open(endpoint, deadline=ends) as conversation:
            name = conversation.read([("CLUSTER", "MYID")])[0]
            if isinstance(name, Refusal):
                return Found(Key.UNKNOWN, why=name.text or name.kind.value, elsewhere=True)
            if name != node_id:
                return Found(Key.UNKNOWN, why=f"another node answers at {endpoint}", elsewhere=True)
            found = ask(conversation, key)
        if found.why.startswith(("MOVED", "ASK")):
            return Found(Key.UNKNOWN, why=found.why, elsewhere=True)
        return found

    def _named(self, why: str, asked: Endpoint) -> Member | None:
        """The member that "MOVED 866 host:port" names. Without a host it is the one that was asked (networking.c)."""
        words = why.split()
        if len(words) < 3 or words[0] != "MOVED":
            return None
        host, _, port = words[2].rpartition(":")
        if not port.isdecimal() or len(port) > 5:
            return None
        return self._places.get(Endpoint(host or asked.host, int(port)))

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
