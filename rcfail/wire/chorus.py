"""All nodes asked together, round after round, over connections that stay open.

A round waits only for nodes that answered the last question: who takes longer than the others' patience is listened to
from then on without waiting, and what it says late counts when it comes. Connections that fail, or stay silent, are
made anew aside, in threads that nobody waits for; so a node that is frozen or gone costs the others nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from select import POLLIN, poll

from rcfail.clock import Deadline
from rcfail.cluster.nouns import Endpoint
from rcfail.cluster.observation import SilenceReason
from rcfail.wire.conversation import Conversation
from rcfail.wire.door import Door
from rcfail.wire.packed import Command
from rcfail.wire.pool import AT_ONCE, Pool
from rcfail.wire.refusals import Refusal, unheard
from rcfail.wire.replies import Reply

SILENT_AFTER_S = 1.0
"""Who answered before and then says nothing for so long counts as silent."""

WHOLE_WITHIN_S = 0.5
"""An answer that has begun comes whole within this, or the connection is given up."""

_KNOCK_EVERY_S = 0.25
_WARM: tuple[Command, ...] = (("PING",),)


@dataclass(frozen=True, slots=True)
class Heard:
    """What came from a node in a round: one reply or Refusal for each command that it was asked when it was asked."""

    asked: tuple[Command, ...]
    replies: tuple[Reply, ...]


@dataclass(slots=True)
class _Line:
    """One node's connection. `asked` is the open question, since `since_s`; `why` is set while the node is silent."""

    conversation: Conversation | None = None
    asked: tuple[Command, ...] = ()
    since_s: float = 0.0
    why: Refusal | None = None
    knocking: bool = False
    knocked_s: float = float("-inf")


@dataclass(frozen=True, slots=True)
class _Knocked:
    """What came of dialling a node aside."""

    place: Endpoint
    conversation: Conversation | None
    failure: Refusal | None


class Chorus:
    """Connections to many nodes, for one caller's thread. Nothing raises."""

    def __init__(self, door: Door) -> None:
        self._door = door.apart()
        self._clock = door.clock
        self._lines: dict[Endpoint, _Line] = {}
        self._pool: Pool[Endpoint] = Pool(AT_ONCE)
        self._lock = threading.Lock()
        self._brought: list[_Knocked] = []
        self._closed = False

    def open(self, places: Iterable[Endpoint], patience: Deadline, aside: Iterable[Endpoint] = ()) -> None:
        """Connect to all places and hear each say something, within patience; those `aside` are not waited for."""
        for place in (*places, *aside):
            self._lines.setdefault(place, _Line(why=unheard(SilenceReason.NO_TIME, "not connected yet")))
        waiting = set(places)
        for place in (*waiting, *aside):
            self._knock(place)
        while waiting and (ended := self._pool.next_ended(patience)) is not None:
            waiting.discard(ended)
        self._take_in()

    def ask(
        self, questions: Mapping[Endpoint, Sequence[Command]], patience_s: float
    ) -> dict[Endpoint, Heard | Refusal | None]:
        """One round over the places that were opened: what each said, why it is silent, or None while it is awaited.

        Takes `patience_s` where somebody who answered before does not, and less where all answer.
        """
        self._take_in()
        began_s = self._clock.monotonic_s()
        heard: dict[Endpoint, Heard | Refusal | None] = {}
        for place, commands in questions.items():
            line = self._lines[place]
            if line.conversation is not None and not line.asked:
                self._send(line, tuple(tuple(each) for each in commands), began_s)
        waiting = {place: line for place in questions if (line := self._lines[place]).asked}
        self._listen(waiting, Deadline.after(patience_s, self._clock), began_s, heard)
        for place in questions:
            if place not in heard:
                heard[place] = self._silence(place, began_s)
        return heard

    def close(self) -> None:
        """Close all connections; those that are being made close themselves."""
        with self._lock:
            self._closed = True
        self._pool.close()
        self._take_in()
        for line in self._lines.values():
            self._hang_up(line)

    def _send(self, line: _Line, commands: tuple[Command, ...], now_s: float) -> None:
        assert line.conversation is not None
        line.conversation.go_on(Deadline.after(WHOLE_WITHIN_S, self._clock))
        line.conversation.send_ahead(commands)
        line.asked, line.since_s = commands, now_s

    def _listen(
        self,
        waiting: dict[Endpoint, _Line],
        patience: Deadline,
        began_s: float,
        heard: dict[Endpoint, Heard | Refusal | None],
    ) -> None:
        """Take what comes; wait only for those who were asked in this round."""
        watched, by_descriptor = poll(), dict[int, Endpoint]()
        for place, line in waiting.items():
            descriptor = line.conversation.descriptor if line.conversation else None
            if descriptor is None:
                heard[place] = self._lost(line)
            else:
                by_descriptor[descriptor] = place
                watched.register(descriptor, POLLIN)
        prompt = {place for place in by_descriptor.values() if waiting[place].since_s >= began_s}
        while by_descriptor:
            ready = watched.poll(patience.remaining_s() * 1000 if prompt else 0)
            for descriptor, _ in ready:
                watched.unregister(descriptor)
                place = by_descriptor.pop(descriptor)
                prompt.discard(place)
                heard[place] = self._hear(waiting[place])
            if not ready:
                return

    def _hear(self, line: _Line) -> Heard | Refusal:
        assert line.conversation is not None
        line.conversation.go_on(Deadline.after(WHOLE_WITHIN_S, self._clock))
        asked, line.asked = line.asked, ()
        replies = line.conversation.read(asked)
        if line.conversation.failure is not None:
            return self._lost(line)
        line.why = None
        return Heard(asked, replies)

    def _lost(self, line: _Line) -> Refusal:
        failure = line.conversation.failure if line.conversation else None
        line.why = failure or unheard(SilenceReason.CLOSED, "the connection ended")
        self._hang_up(line)
        return line.why

    def _silence(self, place: Endpoint, now_s: float) -> Refusal | None:
        """Why a place says nothing; None while it may still. Whoever is silent is knocked at anew."""
        line = self._lines[place]
        if line.why is None and line.asked and now_s - line.since_s >= SILENT_AFTER_S:
            line.why = unheard(SilenceReason.FROZEN, "takes the question, and does not answer")
        if line.why is not None:
            self._knock(place)
        return line.why

    def _knock(self, place: Endpoint) -> None:
        line, now_s = self._lines[place], self._clock.monotonic_s()
        if not line.knocking and now_s - line.knocked_s >= _KNOCK_EVERY_S:
            line.knocking, line.knocked_s = True, now_s
            self._pool.submit(lambda: self._dialled(place))

    def _dialled(self, place: Endpoint) -> Endpoint:
        """In a thread: bring a connection over which the node has said something, or why there is none."""
        bounds = self._door.bounds
        deadline = Deadline.after(bounds.connect_s + bounds.read_s, self._clock)
        conversation = self._door.open(place, deadline=deadline)
        conversation.read(_WARM)
        with self._lock:
            good = conversation.failure is None and not self._closed
            if not good:
                conversation.close()
            self._brought.append(_Knocked(place, conversation if good else None, conversation.failure))
        return place

    def _take_in(self) -> None:
        """What the threads have brought."""
        while self._pool.open_jobs and self._pool.next_ended(Deadline.after(0.0, self._clock)) is not None:
            pass
        with self._lock:
            brought, self._brought = self._brought, []
        for each in brought:
            self._welcome(self._lines[each.place], each)

    def _welcome(self, line: _Line, knocked: _Knocked) -> None:
        line.knocking = False
        if knocked.conversation is None:
            line.why = knocked.failure or line.why
        elif line.why is None:  # it answered meanwhile on the old one
            knocked.conversation.close()
        else:
            self._hang_up(line)
            line.conversation, line.why = knocked.conversation, None

    def _hang_up(self, line: _Line) -> None:
        if line.conversation is not None:
            line.conversation.close()
        line.conversation, line.asked = None, ()
