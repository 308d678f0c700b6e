"""A canary in one shard: a writer and a reader that feel what clients feel while the shard changes hands.

Each write sets a key of its own, `rcfail:{TAG}:canary:TOKEN:NUMBER`, which ends by itself after ten minutes; all are
removed at the end. So every acknowledged write can be looked for afterwards, and no other key is ever touched.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rcfail.change.after.felt import CanaryResult
from rcfail.clock import SYSTEM_CLOCK, Clock, Deadline
from rcfail.cluster.keyslot import tag_within
from rcfail.cluster.nouns import NodeId, SlotRange
from rcfail.practice.canary_client import Client, Members, members_of
from rcfail.practice.canary_hand import READY_S, Hand
from rcfail.practice.canary_keys import MOST_KEYS, TTL_S, Keys, evicted
from rcfail.practice.tally import Fate, Gap, Tally, Write, tally
from rcfail.wire.refusals import Refusal, RefusalKind

if TYPE_CHECKING:
    from rcfail.cluster.snapshot import Node, Snapshot
    from rcfail.wire.door import Door
    from rcfail.wire.replies import Reply

PACE_S = 0.005
"""From the begin of one try to the next: 200 a second, so a gap is known to some 5 ms."""

_WARM_S = 0.2
"""Some forty writes, so that there is something to lose, before anybody goes on."""

_FINAL_S = 8.0
_SHORT_S = 1.0  # where nobody waits for the figures, or who is asked could not be read just before
_LOOK_S = 0.02
_SHOWN = 5
_MISSING = "missing"  # a read was answered, and the acknowledged key was not there


class Canary:
    """Use it in a `with`, or by `start` and `stop`. Nothing raises for what servers do: that is in the result.

    `primary` is who owns the shard now. `unready` says after the start why the canary was not served, else "".
    """

    def __init__(
        self,
        door: Door,
        snapshot: Snapshot,
        primary: NodeId,
        clock: Clock = SYSTEM_CLOCK,
        *,
        pace_s: float = PACE_S,
        most_keys: int = MOST_KEYS,
    ) -> None:
        self._door = door
        self._clock = clock
        self._pace_s = pace_s
        self._members = members_of(snapshot, primary)
        self._primary = primary
        node = snapshot.node(primary)
        slots = tuple(steady_slots(node)) if node else ()
        tag = tag_within(slots) if slots else ""
        self._keys = Keys(f"rcfail:{{{tag}}}:canary:{secrets.token_hex(6)}:", most_keys)
        self._can_write = bool(slots)
        self._over = threading.Event()
        self._ended_s = 0.0
        self._hands: tuple[Hand, Hand] | None = None
        self._result: CanaryResult | None = None
        self.unready = ""

    @property
    def is_shut_out(self) -> bool:
        """The servers will never let this user do it. Otherwise an unready canary may be served later."""
        return self._hands is None or any(hand.is_shut_out for hand in self._hands)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self._abandon()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        if kind is None:
            self.stop()
        else:
            self._abandon()

    def start(self) -> str:
        """Begin, and return a moment after the first write and the first read were acknowledged: "", or why not.

        The canary goes on all the same, unless nobody will ever let it: it may be served later.
        """
        if not self._can_write:
            self.unready = "the shard has no slot to write to"
            return self.unready
        started_s = self._clock.monotonic_s()
        writer, reader = (Hand(Client(self._door, self._members, self._primary), started_s) for _ in range(2))
        self._hands = (writer, reader)
        for hand, turn, name in ((writer, self._write, "canary writer"), (reader, self._read, "canary reader")):
            threading.Thread(target=self._go_on, args=(hand, turn), name=name, daemon=True).start()
        ends = Deadline.after(READY_S, self._clock)
        for hand, verb in ((writer, "write"), (reader, "read")):
            while not hand.first.wait(ends.at_most(_LOOK_S)):
                if hand.is_shut_out or ends.passed():
                    self.unready = f"no {verb} was acknowledged: {hand.why_not}"
                    return self.unready
        self._over.wait(_WARM_S)
        return ""

    def stop(self, owner: NodeId | None = None) -> None:
        """End the load once it is served, look for what was acknowledged, and remove all keys.

        With `owner`, the shard's primary by the verification, that node is asked and no other: an old primary that
        was cut off still has every key.
        """
        if self._result is not None or self._hands is None:
            return
        longest_s = self._hands[0].client.longest_s
        self._until_served(self._hands, longest_s)
        self._ended_s = self._clock.monotonic_s()
        self._end_load(self._hands, 2 * longest_s)
        client = self._last_client(self._hands[0], owner)
        try:
            self._result = self._judged(self._hands, client, owner)
        finally:
            client.close()

    def _until_served(self, hands: tuple[Hand, Hand], within_s: float) -> None:
        """One more success of each, so that a gap is not cut short: a client may still wait for a frozen primary."""
        before = [hand.successes.count for hand in hands]
        ends = Deadline.after(within_s, self._clock)
        for hand, count in zip(hands, before, strict=True):
            while hand.successes.count == count and not ends.passed():
                if hand.ended.wait(ends.at_most(self._pace_s)):
                    break

    def _abandon(self) -> None:
        """The change was broken off: whoever did that waits for no figure, only a moment for the keys to go."""
        if self._result is not None or self._hands is None:
            return
        self._end_load(self._hands, _SHORT_S)
        client = self._last_client(self._hands[0], None)
        try:
            left = self._keys.remove(client, Deadline.after(_SHORT_S, self._clock))
        finally:
            client.close()
        self._result = CanaryResult(left=left, ttl_s=TTL_S, unready=self.unready, why="the change was broken off")

    def _end_load(self, hands: tuple[Hand, Hand], within_s: float) -> None:
        self._over.set()
        ends = Deadline.after(within_s, self._clock)
        for hand in hands:
            hand.ended.wait(ends.remaining_s())

    def result(self) -> CanaryResult:
        """What was felt; the canary is ended, if it was not yet."""
        self.stop()
        return self._result or CanaryResult(unready=self.unready, why=self.unready, ttl_s=TTL_S)

    def _go_on(self, hand: Hand, turn: Callable[[Hand], bool]) -> None:
        """One turn after the other, each begun `pace_s` after the one before, or at once after a redirection."""
        moved = False
        try:
            while not self._over.is_set() and not hand.is_shut_out:
                began_s, at = self._clock.monotonic_s(), hand.client.at
                done = turn(hand)
                # Once: two nodes that send each other's clients on must not be asked without a pause.
                moved = not done and not moved and hand.client.at != at
                if not moved:
                    self._over.wait(max(0.0, began_s + self._pace_s - self._clock.monotonic_s()))
        finally:
            hand.client.close()
            hand.ended.set()

    def _write(self, hand: Hand) -> bool:
        keys = self._keys
        number = keys.count + 1
        key = keys.key_of(number)
        reply, left = hand.client.change(("SET", key, str(number), "EX", str(TTL_S)))
        now_s = self._clock.monotonic_s()
        done = hand.note(reply, now_s)
        keys.note(Write(key, number, _fate_of(reply, left)), now_s)
        if outgrown := keys.outgrown():
            hand.client.change(("DEL", *outgrown))
        return done

    def _read(self, hand: Hand) -> bool:
        key, acknowledged = self._keys.last, self._keys.noted[Fate.ACKNOWLEDGED]
        (reply,) = hand.client.read([("GET", key)])
        done = hand.note(reply, self._clock.monotonic_s())
        if reply is None and acknowledged:
            hand.client.kinds[_MISSING] += 1
        return done

    def _last_client(self, writer: Hand, owner: NodeId | None) -> Client:
        if owner is None:
            return Client(self._door, self._members, writer.client.at)
        place = self._members.places.get(owner)
        return Client(self._door, Members({owner: place} if place else {}, {}), owner)

    def _judged(self, hands: tuple[Hand, Hand], client: Client, owner: NodeId | None) -> CanaryResult:
        writer, reader = hands
        written = self._keys.writes(self._clock.monotonic_s())
        found = self._keys.look_for(written, client, Deadline.after(_FINAL_S, self._clock))
        counted = tally(written, found.numbers)
        left = self._keys.remove(client, Deadline.after(_SHORT_S if found.why else _FINAL_S, self._clock))
        doubt = self._doubt(counted, found.why, "" if owner else self._rivals(client.at))
        write_gap, read_gap = (hand.successes.longest(self._ended_s) for hand in (writer, reader))
        noted = self._keys.noted
        return CanaryResult(
            write_gap_ms=_ms(write_gap),
            read_gap_ms=_ms(read_gap),
            errors=tuple((writer.client.kinds + reader.client.kinds).most_common()),
            written=noted.total(),
            acknowledged=noted[Fate.ACKNOWLEDGED],
            unknown=noted[Fate.UNKNOWN],
            lost=None if doubt else counted.lost,
            lost_keys=counted.lost_keys[:_SHOWN],
            checked=counted.acknowledged,
            appeared=counted.appeared,
            write_gap_open=write_gap is not None and write_gap.is_open,
            read_gap_open=read_gap is not None and read_gap.is_open,
            left=left,
            ttl_s=TTL_S,
            unready=self.unready,
            why=doubt,
        )

    def _doubt(self, counted: Tally, why_unread: str, rivals: str) -> str:
        """Why the number of lost writes cannot be told, else ""."""
        if not counted.acknowledged and not why_unread:
            return self.unready or "no write of the canary was acknowledged"
        gone = f", and {counted.lost} of {counted.acknowledged} that were looked for are gone" if counted.lost else ""
        if why_unread:
            some = "not all canary keys" if counted.acknowledged else "no canary key"
            return f"{some} could be looked for ({why_unread}){gone}"
        if rivals:
            return f"{rivals}{gone}"
        if counted.lost and (dropped := self._evicted()):
            return f"{counted.lost} of {counted.acknowledged} are gone, but the shard has evicted {dropped} keys"
        return ""

    def _rivals(self, asked: NodeId) -> str:
        """Whether another member serves the keys as well, as an old primary does that was cut off a moment ago."""
        for node_id, client in self._each_member():
            served = node_id != asked and not isinstance(client.read([("GET", self._keys.last)])[0], Refusal)
            client.close()
            if served:
                return f"{asked[:8]} and {node_id[:8]} both serve the shard"
        return ""

    def _each_member(self) -> Iterator[tuple[NodeId, Client]]:
        for node_id, place in self._members.places.items():
            yield node_id, Client(self._door, Members({node_id: place}, {}), node_id)

    def _evicted(self) -> int:
        """Keys with an end of their own are the first to be evicted by the volatile policies (evict.c)."""
        total = 0
        for _, client in self._each_member():
            total += evicted(client) or 0
            client.close()
        return total


def steady_slots(node: Node) -> Iterator[SlotRange]:
    """The node's slots without those that are half moved: a new key there is sent elsewhere, with ASK."""
    own = node.view.own if node.view else None
    pending = {slot for slot, _ in (*own.migrating, *own.importing)} if own else set[int]()
    for first, last in node.slots:
        begun = first
        for slot in sorted(each for each in pending if first <= each <= last):
            if begun < slot:
                yield begun, slot - 1
            begun = slot + 1
        if begun <= last:
            yield begun, last


def _fate_of(reply: Reply, left: bool) -> Fate:
    if not isinstance(reply, Refusal):
        return Fate.ACKNOWLEDGED
    return Fate.UNKNOWN if left and reply.kind is RefusalKind.NO_ANSWER else Fate.ERROR


def _ms(gap: Gap | None) -> int | None:
    return None if gap is None else round(gap.seconds * 1000)
