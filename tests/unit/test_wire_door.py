"""The door against servers that do what no server should, with both parsers of redis-py."""

from __future__ import annotations

import gc
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from rcfail.clock import SYSTEM_CLOCK, Deadline
from rcfail.cluster.nouns import Endpoint, NodeId
from rcfail.cluster.observation import SilenceReason
from rcfail.wire.bounds import Bounds
from rcfail.wire.door import Door
from rcfail.wire.refusals import Refusal, RefusalKind
from rcfail.wire.replies import Reply
from rcfail.wire.secret import NOBODY, Credentials, Secret
from tests.bench.replies import read_commands
from tests.unit.wire_servers import (
    PARSERS,
    TURN_S,
    Behaviour,
    Call,
    OddServer,
    array,
    bulk,
    closed_port,
    has_ipv6_loopback,
    odd_server,
    serving,
    speaker,
)

READ_S = 0.25
SLACK_S = 20.0  # for a loaded machine; what hangs would take far longer
PASSWORD = "correct horse battery staple"
ME = NodeId("a" * 40)


@pytest.fixture(params=PARSERS, ids=lambda parser: parser.__name__.strip("_"))
def parser(request: pytest.FixtureRequest) -> Any:
    return request.param


def door(parser: type[Any], credentials: Credentials = NOBODY, **bounds: Any) -> Door:
    return Door(credentials, Bounds(**{"connect_s": 1.0, "read_s": READ_S} | bounds), SYSTEM_CLOCK, parser)


LOOPBACKS = ["127.0.0.1", *(["::1"] if has_ipv6_loopback() else [])]


def ask(behave: Behaviour, the_door: Door, *commands: tuple[str, ...]) -> tuple[Reply, ...]:
    with odd_server(behave) as server:
        return the_door.read(server.endpoint, commands or (("INFO",), ("CLUSTER", "NODES")), deadline=soon())


def soon(seconds: float = 10.0) -> Deadline:
    return Deadline.after(seconds)


def silences(replies: tuple[Reply, ...]) -> list[SilenceReason | None]:
    return [reply.silence if isinstance(reply, Refusal) else None for reply in replies]


def say_at_once(data: bytes) -> Behaviour:
    def behave(call: Call) -> None:
        call.send(data)
        call.stay()

    return behave


def hang_up(_: Call) -> None:
    """The connection is closed when the behaviour returns."""


def drip(call: Call) -> None:
    call.send(b"$1000\r\n")
    while call.send(b"x") and not call.over.wait(TURN_S):
        pass


def never_end(call: Call) -> None:
    call.send(b"$9999999999\r\n")
    while call.send(b"x" * 65536):
        pass


def never_end_a_line(call: Call) -> None:
    while call.send(b"+" + b"x" * 65536):
        pass


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n", SilenceReason.GARBAGE),
        (b"SSH-2.0-OpenSSH_9.2\r\n", SilenceReason.GARBAGE),
        (b"\x15\x03\x01\x00\x02\x02\x46", SilenceReason.TLS_EXPECTED),
        (b"220 mail ready\r\n", SilenceReason.GARBAGE),
        (b"\x00\x01\x02\xff\xfe\r\n", SilenceReason.GARBAGE),
        (b"$abc\r\nx\r\n", SilenceReason.GARBAGE),
        (b":12x\r\n", SilenceReason.GARBAGE),
        (b"*1\r\n" * 5000, SilenceReason.GARBAGE),
        (b"-ERR this port speaks HTTP only\r\n", SilenceReason.GARBAGE),
        (b"-ERR max number of clients reached\r\n", SilenceReason.CLIENTS_FULL),
        (b"-NOAUTH Authentication required.\r\n" * 2, SilenceReason.AUTH_REFUSED),
    ],
)
def test_what_no_redis_node_says_has_a_reason(data: bytes, reason: SilenceReason, parser: type[Any]) -> None:
    replies = ask(say_at_once(data), door(parser))
    assert silences(replies)[0] is reason


@pytest.mark.parametrize(
    ("behave", "reason"),
    [
        (Call.stay, SilenceReason.FROZEN),
        (drip, SilenceReason.TOO_SLOW),
        (say_at_once(b"$5000000000\r\nabc"), SilenceReason.TOO_SLOW),
        (say_at_once(b"*3\r\n$1\r\nx\r\n"), SilenceReason.TOO_SLOW),
    ],
    ids=["frozen", "drip", "huge-length", "short-array"],
)
def test_no_server_costs_more_than_the_bounds(behave: Behaviour, reason: SilenceReason, parser: type[Any]) -> None:
    with odd_server(behave) as server:
        began = time.monotonic()
        replies = door(parser).read(server.endpoint, [("INFO",)], deadline=soon())
        took = time.monotonic() - began
    assert silences(replies) == [reason]
    assert took < READ_S + SLACK_S


@pytest.mark.parametrize("behave", [never_end, never_end_a_line], ids=["endless", "endless-line"])
def test_no_server_is_read_for_ever(behave: Behaviour, parser: type[Any]) -> None:
    with odd_server(behave) as server:
        endless = door(parser, reply_bytes=4_000_000, read_s=30.0)
        replies = endless.read(server.endpoint, [("INFO",)], deadline=soon(30.0))
    assert silences(replies) == [SilenceReason.TOO_LARGE]


@pytest.mark.parametrize("data", [b"*2147483647\r\n", b"*999999999999999999999\r\n+x\r\n"])
def test_an_announced_array_costs_nothing_before_it_comes(data: bytes) -> None:
    """With hiredis as the parser this is a list of 16 GB and 15 s; so the door does not take it, installed or not."""
    began = time.monotonic()
    replies = ask(say_at_once(data), Door(bounds=Bounds(read_s=READ_S)), ("INFO",))
    assert silences(replies)[0] in (SilenceReason.TOO_SLOW, SilenceReason.GARBAGE)
    assert time.monotonic() - began < READ_S + SLACK_S


def test_a_server_that_closes_at_once(parser: type[Any]) -> None:
    replies = ask(hang_up, door(parser))
    assert silences(replies) == [SilenceReason.CLOSED] * 2


def test_a_full_server_says_so_before_it_closes(parser: type[Any]) -> None:
    def behave(call: Call) -> None:
        call.send(b"-ERR max number of clients + cluster connections reached\r\n")

    assert silences(ask(behave, door(parser)))[0] is SilenceReason.CLIENTS_FULL


def test_what_came_before_the_end_is_kept(parser: type[Any]) -> None:
    def behave(call: Call) -> None:
        call.read_commands(3)
        call.send(bulk("redis_version:8.2.3") + b"$100\r\nnot a hundred")

    info, nodes, config = ask(behave, door(parser), ("INFO",), ("CLUSTER", "NODES"), ("CONFIG", "GET", "save"))
    assert info == "redis_version:8.2.3"
    assert silences((nodes, config)) == [SilenceReason.CLOSED] * 2


def test_replies_after_loading_are_read(parser: type[Any]) -> None:
    """Valkey since 8.0 answers CLUSTER NODES while it loads, so an error in between must not end the reading."""
    loading = b"-LOADING Valkey is loading the dataset in memory\r\n"
    data = bulk("loading:1") + loading + bulk("line\n") + loading
    commands = (("INFO",), ("CLUSTER", "INFO"), ("CLUSTER", "NODES"), ("PING",))
    info, cluster_info, nodes, ping = ask(say_at_once(data), door(parser), *commands)
    assert (info, nodes) == ("loading:1", "line\n")
    for reply in (cluster_info, ping):
        assert isinstance(reply, Refusal)
        assert reply.kind is RefusalKind.LOADING
        assert reply.text == "LOADING Valkey is loading the dataset in memory"


def test_every_kind_of_reply_becomes_a_plain_value(parser: type[Any]) -> None:
    data = b"+OK\r\n:7\r\n$-1\r\n*-1\r\n*0\r\n" + array([bulk("a"), b":1\r\n", array([bulk("b"), b"-ERR no\r\n"])])
    replies = ask(say_at_once(data), door(parser), *[("X",)] * 6)
    assert replies == ("OK", 7, None, None, (), ("a", 1, ("b", Refusal(RefusalKind.ERROR, "ERR no"))))


def test_bytes_that_are_no_text_do_not_break_a_reply(parser: type[Any]) -> None:
    replies = ask(say_at_once(bulk(b"host-\xff\xfe") + b"-ERR \xff\r\n"), door(parser))
    assert replies[0] == r"host-\xff\xfe"
    assert isinstance(replies[1], Refusal)
    assert replies[1].kind is RefusalKind.ERROR


def test_only_what_was_asked_is_sent_in_one_go(parser: type[Any]) -> None:
    """The server answers only when all three are there: one by one they would end as frozen."""
    seen = list[list[bytes]]()

    def behave(call: Call) -> None:
        seen.extend(call.read_commands(3))
        call.send(b"+OK\r\n" * 3)
        call.stay()
        seen.extend(read_commands(call.received)[0][3:])

    with odd_server(behave) as server:
        commands = [("CLUSTER", "INFO"), ("CONFIG", "GET", "cluster-*"), ("A", 5, b"\xff")]
        assert door(parser).read(server.endpoint, commands, deadline=soon()) == ("OK", "OK", "OK")
    assert seen == [[b"CLUSTER", b"INFO"], [b"CONFIG", b"GET", b"cluster-*"], [b"A", b"5", b"\xff"]]
    assert len(server.calls) == 1


def test_auth_goes_out_with_the_questions(parser: type[Any]) -> None:
    """The server answers only when all of it is there: a separate round trip for AUTH would end as frozen."""

    def behave(call: Call) -> None:
        call.read_commands(2)
        call.send(b"+OK\r\n+PONG\r\n")
        call.stay()

    with odd_server(behave) as server:
        known = door(parser, Credentials("bob", Secret(PASSWORD)))
        assert known.read(server.endpoint, [("PING",)], deadline=soon()) == ("PONG",)
        assert server.calls[0].read_commands(2)[0] == [b"AUTH", b"bob", PASSWORD.encode()]


def test_an_open_server_answers_although_a_password_was_given(parser: type[Any]) -> None:
    no_password = (
        b"-ERR AUTH <password> called without any password configured for the default user."
        b" Are you sure your configuration is correct?\r\n"
    )
    with odd_server(say_at_once(no_password + b"+PONG\r\n")) as server:
        known = door(parser, Credentials(None, Secret(PASSWORD)))
        assert known.read(server.endpoint, [("PING",)], deadline=soon()) == ("PONG",)


@pytest.mark.parametrize(
    "answer",
    [
        b"-WRONGPASS invalid username-password pair or user is disabled.\r\n",
        b"-ERR unknown command 'AUTH', with args beginning with: 'bob' '%b'\r\n" % PASSWORD.encode(),
        b"-ERR unknown command `AUTH`, with args beginning with: `bob`, `%b\r\n" % PASSWORD[:9].encode(),
        b"-ERR you sent %b to me\r\n" % PASSWORD.encode(),
        b"-ERR %b%b\r\n" % (b"x" * 290, PASSWORD.encode()),
        b"-HTTP %b\r\n" % PASSWORD.encode(),
        array([bulk("AUTH"), bulk("bob"), bulk(PASSWORD)]),
        bulk(PASSWORD),
        PASSWORD.encode() + b"\r\n",
    ],
)
def test_no_answer_to_auth_brings_the_password_out(answer: bytes, parser: type[Any]) -> None:
    """Where AUTH is renamed away, real servers quote its arguments, long ones cut off."""
    known = door(parser, Credentials("bob", Secret(PASSWORD)))
    with odd_server(say_at_once(answer + b"+PONG\r\n")) as server:
        replies = known.read(server.endpoint, [("PING",), ("INFO",)], deadline=soon())
        said = known.say(server.endpoint, ("PING",), deadline=soon())
    for reply in (*replies, said):
        assert isinstance(reply, Refusal)
        assert reply.silence in (SilenceReason.AUTH_REFUSED, SilenceReason.GARBAGE)
        assert PASSWORD[:9] not in repr(reply)
    assert PASSWORD not in repr(known) + repr(known.credentials) + str(known.credentials.password)


def test_a_failure_has_no_traceback_with_the_password(parser: type[Any]) -> None:
    secret = Secret(PASSWORD)
    assert PASSWORD not in f"{secret}{secret!r}{secret:>50}"
    with pytest.raises(TypeError, match="a secret is not saved"):
        __import__("pickle").dumps(Credentials("bob", secret))


# What is said once


def answering(command: str, reply: bytes) -> Behaviour:
    """Knows CLUSTER MYID and one more command."""
    known = {"CLUSTER MYID": bulk(ME), command: reply}
    return speaker(lambda words: known.get(" ".join(words), b"-ERR unknown command\r\n"))


def test_a_command_is_said_to_the_expected_node(parser: type[Any]) -> None:
    with odd_server(answering("CLUSTER SAVECONFIG", b"+OK\r\n")) as server:
        command = ("CLUSTER", "SAVECONFIG")
        assert door(parser).say(server.endpoint, command, expect_id=ME, deadline=soon()) == "OK"
        assert server.calls[0].read_commands(2) == [[b"CLUSTER", b"MYID"], [b"CLUSTER", b"SAVECONFIG"]]


def test_nothing_is_said_to_another_node(parser: type[Any]) -> None:
    with odd_server(answering("CLUSTER SAVECONFIG", b"+OK\r\n")) as server:
        other = NodeId("b" * 40)
        said = door(parser).say(server.endpoint, ("CLUSTER", "SAVECONFIG"), expect_id=other, deadline=soon())
    assert isinstance(said, Refusal)
    assert said.kind is RefusalKind.WRONG_NODE
    assert [call.received.count(b"\r\nSAVECONFIG\r\n") for call in server.calls] == [0]


@pytest.mark.parametrize("end", [Call.stay, hang_up, drip], ids=["frozen", "closed", "drip"])
def test_a_command_without_an_answer_may_have_happened(end: Behaviour, parser: type[Any]) -> None:
    def behave(call: Call) -> None:
        call.read_commands(1)
        call.send(bulk(ME))
        call.read_commands(2)
        end(call)

    with odd_server(behave) as server:
        said = door(parser).say(server.endpoint, ("CLUSTER", "FAILOVER"), expect_id=ME, deadline=soon())
    assert isinstance(said, Refusal)
    assert said.kind is RefusalKind.SENT_NO_ANSWER
    assert len(server.calls) == 1, "it must not be sent again"
    assert server.calls[0].received.count(b"FAILOVER") == 1


@pytest.mark.parametrize("end", [Call.stay, hang_up, drip], ids=["frozen", "closed", "drip"])
@pytest.mark.parametrize("credentials", [NOBODY, Credentials(None, Secret(PASSWORD))], ids=["nobody", "password"])
def test_a_command_that_was_not_sent_is_not_reported_as_sent(
    end: Behaviour, credentials: Credentials, parser: type[Any]
) -> None:
    with odd_server(end) as server:
        command = ("CLUSTER", "FAILOVER")
        said = door(parser, credentials).say(server.endpoint, command, expect_id=ME, deadline=soon())
    assert isinstance(said, Refusal)
    assert said.kind is RefusalKind.NO_ANSWER
    assert all(b"FAILOVER" not in call.received for call in server.calls)


def test_a_refused_password_sends_nothing(parser: type[Any]) -> None:
    with odd_server(speaker(lambda words: b"-WRONGPASS no\r\n" if words[0] == "AUTH" else b"+OK\r\n")) as server:
        known = door(parser, Credentials(None, Secret(PASSWORD)))
        said = known.say(server.endpoint, ("CLUSTER", "FAILOVER"), deadline=soon())
    assert isinstance(said, Refusal)
    assert said.kind is RefusalKind.AUTH_REFUSED
    assert b"FAILOVER" not in server.calls[0].received


def test_the_servers_no_is_told_as_it_is(parser: type[Any]) -> None:
    text = "ERR You should send CLUSTER FAILOVER to a replica"
    with odd_server(answering("CLUSTER FAILOVER", f"-{text}\r\n".encode())) as server:
        said = door(parser).say(server.endpoint, ("CLUSTER", "FAILOVER"), expect_id=ME, deadline=soon())
    assert said == Refusal(RefusalKind.ERROR, text)


# Several reads on one connection


def test_one_connection_serves_several_reads_each_with_its_own_time(parser: type[Any]) -> None:
    def behave(call: Call) -> None:
        for count in (1, 2, 3):
            call.read_commands(count)
            call.over.wait(READ_S * 0.6)  # together longer than one read may take
            call.send(b":%d\r\n" % count)
        call.stay()

    with odd_server(behave) as server, door(parser).open(server.endpoint, deadline=soon()) as conversation:
        assert [conversation.read([("PING",)]) for _ in range(3)] == [(1,), (2,), (3,)]
    assert len(server.calls) == 1


def test_after_a_failure_nothing_more_is_sent(parser: type[Any]) -> None:
    with odd_server(Call.stay) as server, door(parser).open(server.endpoint, deadline=soon()) as conversation:
        first = conversation.read([("PING",)])
        assert silences(first) == [SilenceReason.FROZEN]
        assert conversation.read([("INFO",)]) == first
    assert b"INFO" not in server.calls[0].received


# Where no conversation begins, and where one does


@pytest.mark.parametrize("host", LOOPBACKS)
def test_both_families_of_addresses_are_dialed(host: str, parser: type[Any]) -> None:
    server = OddServer(say_at_once(b"+PONG\r\n"), host)
    with serving(server):
        assert door(parser).read(server.endpoint, [("PING",)], deadline=soon()) == ("PONG",)


def test_nobody_listens(parser: type[Any]) -> None:
    replies = door(parser).read(closed_port(), [("PING",)], deadline=soon())
    assert silences(replies) == [SilenceReason.REFUSED]


@pytest.mark.parametrize(
    ("endpoint", "reason"),
    [
        (Endpoint("no-such-host.invalid", 6379), SilenceReason.UNRESOLVABLE),
        (Endpoint("a" * 70, 6379), SilenceReason.UNRESOLVABLE),
        (Endpoint("a\0b", 6379), SilenceReason.UNRESOLVABLE),
        (Endpoint("\udcff", 6379), SilenceReason.UNRESOLVABLE),
        (Endpoint("", 6379), SilenceReason.UNRESOLVABLE),
        (Endpoint("127.0.0.1", 0), SilenceReason.UNREACHABLE),
        (Endpoint("127.0.0.1", 99999), SilenceReason.UNREACHABLE),
        (Endpoint("127.0.0.1", -1), SilenceReason.UNREACHABLE),
    ],
)
def test_an_address_that_is_none(endpoint: Endpoint, reason: SilenceReason) -> None:
    assert silences(Door().read(endpoint, [("PING",)], deadline=soon())) == [reason]


@pytest.fixture
def dead_resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A resolver that does not come back before the test is over."""
    over = threading.Event()
    real = socket.getaddrinfo

    def getaddrinfo(host: str, *rest: Any, **named: Any) -> Any:
        if host.endswith(".stuck") and not named.get("flags", 0):
            over.wait(30)
            raise socket.gaierror(socket.EAI_AGAIN, "gave up")
        return real(host, *rest, **named)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    yield
    over.set()


@pytest.mark.usefixtures("dead_resolver")
def test_a_resolver_that_hangs_is_not_waited_for() -> None:
    began = time.monotonic()
    replies = Door(bounds=Bounds(resolve_s=0.2)).read(Endpoint("node.stuck", 6379), [("PING",)], deadline=soon())
    assert silences(replies) == [SilenceReason.UNRESOLVABLE]
    assert time.monotonic() - began < 0.2 + SLACK_S


def test_the_next_address_of_a_name_is_tried(monkeypatch: pytest.MonkeyPatch, parser: type[Any]) -> None:
    real = socket.getaddrinfo

    def getaddrinfo(host: str, port: int, *rest: Any, **named: Any) -> Any:
        hosts = ["127.0.0.9", "127.0.0.1"] if host == "two.example" and not named.get("flags") else [host]
        return [item for each in hosts for item in real(each, port, *rest, **named)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with odd_server(say_at_once(b"+PONG\r\n")) as server:
        replies = door(parser).read(Endpoint("two.example", server.endpoint.port), [("PING",)], deadline=soon())
    assert replies == ("PONG",)


def test_a_full_backlog_is_a_connect_timeout(parser: type[Any]) -> None:
    """Nobody accepts, and the queue is full: the kernel then drops the handshake, as a filtering firewall does."""
    waiting: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        endpoint = Endpoint(*listener.getsockname())
        try:
            for _ in range(3):
                sock = socket.socket()
                waiting.append(sock)
                sock.setblocking(False)
                sock.connect_ex(endpoint)
            began = time.monotonic()
            replies = door(parser, connect_s=0.3).read(endpoint, [("PING",)], deadline=soon())
            took = time.monotonic() - began
        finally:
            for sock in waiting:
                sock.close()
    assert silences(replies) == [SilenceReason.CONNECT_TIMEOUT]
    assert took < 0.3 + SLACK_S


def test_the_deadline_of_the_run_ends_a_conversation_without_blaming_the_node(parser: type[Any]) -> None:
    with odd_server(Call.stay) as server:
        began = time.monotonic()
        replies = door(parser, read_s=20.0).read(server.endpoint, [("PING",)], deadline=soon(0.2))
        took = time.monotonic() - began
        late = door(parser).read(server.endpoint, [("PING",)], deadline=soon(0.0))
    assert silences(replies) == silences(late) == [SilenceReason.NO_TIME]
    assert took < 0.2 + SLACK_S
    assert len(server.calls) == 1


def test_no_conversation_leaves_its_socket_to_the_collector(parser: type[Any]) -> None:
    """What it would warn of is an error in these tests."""
    with odd_server(say_at_once(b"+PONG\r\nHTTP/1.1 400 Bad Request\r\n")) as server:
        assert door(parser).read(server.endpoint, [("PING",)], deadline=soon()) == ("PONG",)
        assert silences(door(parser).read(server.endpoint, [("PING",)] * 2, deadline=soon()))[1]
    assert silences(door(parser).read(closed_port(), [("PING",)], deadline=soon()))
    gc.collect()


def test_a_door_apart_is_the_same_user_and_takes_nothing_that_was_begun(parser: type[Any]) -> None:
    with odd_server(speaker(lambda words: b"+OK\r\n" if words[0] == "AUTH" else bulk(words[0]))) as server:
        first = door(parser, Credentials("me", Secret(PASSWORD)))
        first.names.learn(server.endpoint, "node.example")
        assert list(first.begin([server.endpoint], [("INFO",)], soon())) == [server.endpoint]
        apart = first.apart()
        assert apart.names.of(server.endpoint) == ("node.example",)
        assert (apart.credentials, apart.bounds) == (first.credentials, first.bounds)
        assert apart.read(server.endpoint, [("PING",)], deadline=soon()) == ("PING",)
        assert first.has_begun(server.endpoint)
        assert first.read(server.endpoint, [("INFO",)], deadline=soon()) == ("INFO",)
        first.drop()
