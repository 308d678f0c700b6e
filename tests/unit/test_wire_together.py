"""Many nodes asked at once: nobody is lost, nobody waits for another, and no connection is left behind."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from rcfail.clock import SYSTEM_CLOCK, Deadline, SystemClock
from rcfail.cluster.nouns import Endpoint
from rcfail.cluster.observation import Silence, SilenceReason
from rcfail.cluster.parse_nodes import NodesReader
from rcfail.wire.asks import Questioner
from rcfail.wire.bounds import Bounds, Unheard
from rcfail.wire.crawl import crawl
from rcfail.wire.dial import dial
from rcfail.wire.door import Door
from rcfail.wire.pool import Pool
from rcfail.wire.secret import Credentials, Secret
from tests.unit.wire_servers import Call, bulk, closed_port, odd_server, serving
from tests.unit.wire_world import Servers
from tests.unit.world import World

READ_S = 1.0
DOOR = Door(bounds=Bounds(connect_s=1.0, read_s=READ_S, resolve_s=READ_S))


@pytest.fixture
def servers() -> Iterator[Servers]:
    three = Servers(World.of(3, 1))
    with serving(*three.all):
        yield three


@contextlib.contextmanager
def full_backlog() -> Iterator[Endpoint]:
    """Where the kernel drops handshakes, as a filtering firewall does: the queue is full and nobody accepts."""
    with contextlib.ExitStack() as open_sockets:
        listener = open_sockets.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(3):
            sock = open_sockets.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())
        yield Endpoint(*listener.getsockname())


def half_an_answer(call: Call) -> None:
    call.read()
    call.send(b"$100\r\nhalf")
    call.stay()


def test_nodes_that_answer_at_once_take_no_thread(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that read at the same time keep each other from it, which cost more than half of a look at 100 nodes."""
    started: list[str] = []
    monkeypatch.setattr(Pool, "submit", lambda _, __: started.append("a thread"))
    # A busy machine may answer later than within a moment, so some tries: one without a thread shows that it can.
    for _ in range(20):
        started.clear()
        look = crawl([servers.first], DOOR, deadline=Deadline.after(1.0))
        if not started:
            break
    assert started == []
    assert len(look.answers) == 6


@pytest.mark.parametrize("count", [2, 5])
def test_who_begins_an_answer_and_does_not_end_it_holds_up_the_others_once_at_most(
    servers: Servers, count: int
) -> None:
    stalled = list(servers.world)[1 : 1 + count]
    for member in stalled:
        servers.behaviours[member.node_id] = half_an_answer
    began = time.monotonic()
    look = crawl([servers.first], DOOR, deadline=Deadline.after(30.0))
    took = time.monotonic() - began
    assert {each.expected for each in look.silences} == {member.node_id for member in stalled}
    assert {each.reason for each in look.silences} == {SilenceReason.TOO_SLOW}
    assert len(look.answers) == 6 - count  # their answers lay here while a stalled one was waited for
    assert took < 3 * READ_S  # one after the other they would cost five times that


def test_a_connection_that_is_under_way_is_gone_on_with_and_no_answer_is_no_refusal(servers: Servers) -> None:
    with full_backlog() as filtered:
        look = crawl([servers.first, filtered, closed_port()], DOOR, deadline=Deadline.after(10.0))
    assert len(look.answers) == 6
    assert sorted(each.reason for each in look.silences) == [SilenceReason.CONNECT_TIMEOUT, SilenceReason.REFUSED]


def test_a_connection_under_way_that_comes_to_stand_later_is_used() -> None:
    """The handshake takes longer than a moment, as to another continent: it is not begun a second time."""
    half = socket.socket()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        half.setblocking(False)
        half.connect_ex(listener.getsockname())
        place = Endpoint(*listener.getsockname())
        door = Door(bounds=Bounds(read_s=5.0))
        door._half[place] = half

        def answer() -> None:
            taken, peer = listener.accept()
            with taken:
                assert peer == half.getsockname()
                taken.recv(1000)
                taken.sendall(b"+PONG\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        assert door.read(place, [("PING",)], deadline=Deadline.after(10.0)) == ("PONG",)
        thread.join(10)


class Later(SystemClock):
    """The machine's clock, put forward by hand."""

    ahead_s = 0.0

    def monotonic_s(self) -> float:
        return super().monotonic_s() + self.ahead_s


def test_the_wait_for_a_thread_is_not_put_down_to_the_node() -> None:
    """A refusal that took long is not asked for again in the second look, as one that came at once is."""
    clock, place = Later(), closed_port()
    door = Door(bounds=Bounds(read_s=5.0), clock=clock)
    questioner = Questioner(door, NodesReader(), clock)
    assert [*questioner.begin([place], Deadline.after(5.0, clock))] == []
    clock.ahead_s = 3600.0
    said = questioner.ask(place, Deadline.after(5.0, clock))
    assert isinstance(said, Silence)
    assert said.reason is SilenceReason.REFUSED
    assert said.waited_ms < 3_000_000


def test_a_connection_under_way_is_closed_when_no_time_is_left(servers: Servers) -> None:
    """What would be left open is an error in these tests; here it is asked of the socket itself."""
    with full_backlog() as filtered:
        half = socket.socket()
        half.setblocking(False)
        half.connect_ex((filtered.host, filtered.port))
        with pytest.raises(Unheard):
            dial(filtered, Bounds(connect_s=0.0), Deadline.after(0.0), half=half)
    assert half.fileno() == -1


def test_what_nobody_went_on_with_is_closed(servers: Servers) -> None:
    door = Door(bounds=DOOR.bounds)
    places = [server.endpoint for server in servers.all]
    questioner = Questioner(door, NodesReader(), SYSTEM_CLOCK)
    answering = [*questioner.begin(places, Deadline.after(5.0))]
    with full_backlog() as filtered:
        assert [*questioner.begin([filtered], Deadline.after(5.0))] == []
    begun = [*(each.descriptor for each in door._begun.values()), *(each.fileno() for each in door._half.values())]
    assert len(answering) > 0
    assert len(begun) == 7
    questioner.drop()
    assert not door._begun
    assert not door._half
    for descriptor in begun:
        with pytest.raises(OSError, match="Bad file descriptor"):
            socket.socket(fileno=descriptor)


def test_the_password_goes_out_with_what_is_asked_at_once() -> None:
    def behave(call: Call) -> None:
        call.read_commands(3)
        call.send(b"+OK\r\n" + bulk("one") + bulk("two"))
        call.stay()

    door = Door(Credentials("bob", Secret("hunter2")), Bounds(read_s=5.0))
    commands = (("INFO",), ("CLUSTER", "NODES"))
    with odd_server(behave) as server:
        began = [*door.begin([server.endpoint], commands, Deadline.after(5.0))]
        assert began in ([server.endpoint], [])  # a busy machine may answer later than within a moment
        with door.open(server.endpoint, deadline=Deadline.after(5.0)) as conversation:
            assert conversation.read(commands) == ("one", "two")
        assert len(server.calls) == 1


def test_another_read_than_the_one_that_was_sent_is_still_answered_rightly() -> None:
    def behave(call: Call) -> None:
        call.read_commands(1)
        call.send(bulk("early"))
        call.read_commands(2)
        call.send(bulk("wanted"))
        call.stay()

    door = Door(bounds=Bounds(read_s=5.0))
    with odd_server(behave) as server:
        for _ in door.begin([server.endpoint], [("INFO",)], Deadline.after(5.0)):
            pass
        assert door.read(server.endpoint, [("CLUSTER", "NODES")], deadline=Deadline.after(5.0)) == ("wanted",)


def test_a_change_is_never_said_on_what_was_begun_for_reading(servers: Servers) -> None:
    door = Door(bounds=Bounds(read_s=5.0))
    member = next(iter(servers.world))
    for _ in door.begin([member.endpoint], [("INFO",)], Deadline.after(5.0)):
        pass
    door.say(member.endpoint, ("CLUSTER", "SAVECONFIG"), expect_id=member.node_id, deadline=Deadline.after(5.0))
    assert servers.asked(member) == 2
    door.drop()
