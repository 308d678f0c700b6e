"""Many nodes asked together, again and again: nobody waits for who is late, frozen or gone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from rcfail.clock import SYSTEM_CLOCK, Clock, Deadline, poll
from rcfail.cluster.nouns import Endpoint
from rcfail.cluster.observation import SilenceReason
from rcfail.wire.bounds import Bounds
from rcfail.wire.chorus import SILENT_AFTER_S, Chorus, Heard
from rcfail.wire.door import Door
from rcfail.wire.packed import Command
from rcfail.wire.refusals import Refusal
from tests.unit.wire_servers import Call, OddServer, bulk, closed_port, serving, speaker

ASK: Command = ("CLUSTER", "NODES")
LONG_S = 600.0
"""Whoever waits for so long hangs the test."""


class Gate:
    """A server that answers PING, and everything else while it is open."""

    def __init__(self, text: str = "word") -> None:
        self.open = threading.Event()
        self.open.set()
        self.text = text
        self.server = OddServer(self._behave)

    def _behave(self, call: Call) -> None:
        def answer(words: list[str]) -> bytes:
            if words[0] == "PING":
                return b"+PONG\r\n"
            while not self.open.wait(0.01) and not call.over.is_set():
                pass
            return bulk(self.text)

        speaker(answer)(call)

    @property
    def place(self) -> Endpoint:
        return self.server.endpoint


class Ahead:
    """The machine's clock, which a test can put forward."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def monotonic_s(self) -> float:
        return SYSTEM_CLOCK.monotonic_s() + self.ahead_s

    def unix_ms(self) -> int:
        return SYSTEM_CLOCK.unix_ms()

    def sleep(self, seconds: float) -> None:
        SYSTEM_CLOCK.sleep(seconds)


@contextmanager
def chorus_of(*gates: Gate, clock: Clock = SYSTEM_CLOCK, aside: tuple[Endpoint, ...] = ()) -> Iterator[Chorus]:
    with serving(*[each.server for each in gates]):
        door = Door(bounds=Bounds(connect_s=1.0, read_s=1.0), clock=clock)
        chorus = Chorus(door)
        try:
            chorus.open([each.place for each in gates], Deadline.after(30, clock), aside)
            yield chorus
        finally:
            for each in gates:
                each.open.set()
            chorus.close()


def until(look: Callable[[], object]) -> None:
    poll(look, bool, deadline=Deadline.after(30), every_s=0.01, waiting_for="what the test waits for")


def text_of(answer: Heard | Refusal | None) -> object:
    return answer.replies[0] if isinstance(answer, Heard) else answer


def test_all_are_asked_together_over_one_connection_each() -> None:
    one, two = Gate("one"), Gate("two")
    with chorus_of(one, two) as chorus:
        for _ in range(3):
            heard = chorus.ask({one.place: [ASK], two.place: [ASK]}, LONG_S)
            assert [text_of(heard[each.place]) for each in (one, two)] == ["one", "two"]
        assert [len(each.server.calls) for each in (one, two)] == [1, 1]


def test_who_does_not_answer_is_waited_for_once() -> None:
    """The second look has all the time in the world, and takes none."""
    quick, frozen = Gate("quick"), Gate("thawed")
    with chorus_of(quick, frozen) as chorus:
        questions = {quick.place: [ASK], frozen.place: [ASK]}
        frozen.open.clear()
        for patience_s in (0.05, LONG_S, LONG_S):
            heard = chorus.ask(questions, patience_s)
            assert (text_of(heard[quick.place]), heard[frozen.place]) == ("quick", None)
        frozen.open.set()
        until(lambda: text_of(chorus.ask(questions, 0.05)[frozen.place]) == "thawed")


def test_who_says_nothing_for_long_is_silent_until_it_speaks() -> None:
    quick, frozen, clock = Gate("quick"), Gate("thawed"), Ahead()
    with chorus_of(quick, frozen, clock=clock) as chorus:
        questions = {quick.place: [ASK], frozen.place: [ASK]}
        frozen.open.clear()
        assert chorus.ask(questions, 0.05)[frozen.place] is None
        clock.ahead_s += SILENT_AFTER_S
        silence = chorus.ask(questions, LONG_S)[frozen.place]
        assert isinstance(silence, Refusal)
        assert silence.silence is SilenceReason.FROZEN
        frozen.open.set()
        until(lambda: text_of(chorus.ask(questions, 0.05)[frozen.place]) == "thawed")


def test_a_connection_that_ends_is_made_anew_aside() -> None:
    gate = Gate("again")
    with chorus_of(gate) as chorus:
        questions = {gate.place: [ASK]}
        assert text_of(chorus.ask(questions, LONG_S)[gate.place]) == "again"
        gate.server.calls[0].sock.shutdown(2)
        assert isinstance(chorus.ask(questions, LONG_S)[gate.place], Refusal)
        until(lambda: text_of(chorus.ask(questions, LONG_S)[gate.place]) == "again")
        assert len(gate.server.calls) >= 2


def test_nobody_waits_for_places_that_are_aside() -> None:
    gate, gone = Gate(), closed_port()
    with chorus_of(gate, aside=(gone,)) as chorus:
        questions = {gate.place: [ASK], gone: [ASK]}
        silences = set[SilenceReason | None]()

        def refused() -> bool:
            heard = chorus.ask(questions, LONG_S)
            assert text_of(heard[gate.place]) == "word"
            silence = heard[gone]
            assert isinstance(silence, Refusal)
            silences.add(silence.silence)
            return SilenceReason.REFUSED in silences

        until(refused)


@pytest.mark.filterwarnings("error::ResourceWarning")
def test_what_is_being_dialled_when_it_is_closed_closes_itself() -> None:
    holding = threading.Event()

    def behave(call: Call) -> None:
        holding.set()
        call.stay()

    slow = OddServer(behave)
    with serving(slow):
        chorus = Chorus(Door(bounds=Bounds(connect_s=1.0, read_s=1.0)))
        chorus.open([], Deadline.after(0), [slow.endpoint])
        assert holding.wait(30)
        chorus.close()
        until(lambda: not any(each.name == "rcfail-wire" for each in threading.enumerate()))
