"""The bounded socket by itself, over a pair of connected sockets."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from rcfail.clock import Deadline
from rcfail.cluster.observation import SilenceReason
from rcfail.wire.bounds import HEAD_BYTES, BoundSocket, Unheard


@dataclass
class SetClock:
    """A clock that stands still until it is set."""

    now_s: float = 100.0

    def monotonic_s(self) -> float:
        return self.now_s

    def unix_ms(self) -> int:
        return 0

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


@dataclass
class Pair:
    bound: BoundSocket
    peer: socket.socket
    clock: SetClock

    def begin(self, seconds: float = 2.0, limit: int = 1000, deadline_s: float = 60.0) -> None:
        self.bound.begin(seconds, limit, Deadline.after(deadline_s, self.clock))


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    clock = SetClock()
    with ours, theirs:
        yield Pair(BoundSocket(ours, clock), theirs, clock)


def reason_of(pair: Pair) -> SilenceReason:
    with pytest.raises(Unheard) as caught:
        pair.bound.recv(10)
    return caught.value.reason


def test_nothing_is_read_before_an_exchange_begins(pair: Pair) -> None:
    pair.peer.send(b"x")
    with pytest.raises(Unheard):
        pair.bound.recv(10)


def test_time_is_counted_over_all_reads_of_an_exchange(pair: Pair) -> None:
    pair.begin(seconds=2.0)
    for _ in range(3):
        pair.peer.send(b"x")
        assert pair.bound.recv(10) == b"x"
        pair.clock.now_s += 0.6
    pair.peer.send(b"x")
    assert pair.bound.recv_into(bytearray(10)) == 1
    pair.clock.now_s += 0.6
    pair.peer.send(b"what comes now is too late")
    assert reason_of(pair) is SilenceReason.TOO_SLOW
    pair.begin(seconds=2.0)
    assert pair.bound.recv(4) == b"what"


def test_a_parser_that_sets_a_timeout_does_not_move_the_end(pair: Pair) -> None:
    pair.begin(seconds=2.0)
    pair.bound.settimeout(None)
    pair.clock.now_s += 2.0
    assert reason_of(pair) is SilenceReason.FROZEN
    assert pair.bound.gettimeout() == 0.0


def test_the_deadline_of_the_run_comes_before_the_nodes_own_time(pair: Pair) -> None:
    pair.begin(seconds=2.0, deadline_s=1.0)
    pair.clock.now_s += 1.0
    assert reason_of(pair) is SilenceReason.NO_TIME


def test_bytes_are_counted_over_all_reads_of_an_exchange(pair: Pair) -> None:
    pair.begin(limit=10)
    pair.peer.send(b"x" * 11)
    assert pair.bound.recv(5) == b"xxxxx"
    assert pair.bound.recv_into(bytearray(5)) == 5
    assert reason_of(pair) is SilenceReason.TOO_LARGE


def test_the_first_bytes_are_kept_and_no_more(pair: Pair) -> None:
    pair.begin()
    pair.peer.send(b"ab" + b"c" * 100)
    pair.bound.recv(1)
    buffer = bytearray(100)
    pair.bound.recv_into(buffer)
    pair.bound.recv(100)
    assert pair.bound.head == (b"ab" + b"c" * 100)[:HEAD_BYTES]


def test_what_a_peer_said_before_it_hung_up_is_still_read(pair: Pair) -> None:
    """A server at its limit of clients says so and closes, before anything was sent to it."""
    pair.begin()
    pair.peer.send(b"-ERR max number of clients reached\r\n")
    pair.peer.close()
    pair.bound.sendall(b"INFO")
    assert pair.bound.bytes_out == 0
    assert pair.bound.recv(100).startswith(b"-ERR max number")
    assert reason_of(pair) is SilenceReason.CLOSED


def test_a_write_that_nobody_takes_ends_in_time() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        bound = BoundSocket(ours, SetClock())
        bound.begin(0.05, 1000, Deadline.after(60.0, SetClock()))
        with pytest.raises(Unheard) as caught:
            bound.sendall(b"x" * 10_000_000)
    assert caught.value.reason is SilenceReason.FROZEN
    assert 0 < bound.bytes_out < 10_000_000
