"""Servers that are no node of a cluster, or do what no server should: over real sockets, through the command line."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from rcfail.exits import ExitCode
from tests.unit.ordeal import QUICK, SLACK_S, endure, fails, weighed
from tests.unit.wire_servers import Behaviour, Call, array, bulk, odd_server, speaker

READING = ["health", "nodes", "record"]
LIGHT_MIB = 200
"""A process that has read nothing takes some 35; one that keeps all that comes would take gigabytes."""


def says(raw: bytes, then_stays: bool = False) -> Behaviour:
    def behave(call: Call) -> None:
        call.read()
        call.send(raw)
        if then_stays:
            call.stay()

    return behave


def never_ends(head: bytes, more: bytes) -> Behaviour:
    def behave(call: Call) -> None:
        call.read()
        call.send(head)
        while call.send(more):
            pass

    return behave


def drips(call: Call) -> None:
    call.read()
    while call.send(b"$") and not call.over.wait(0.1):
        pass


def drips_lines(call: Call) -> None:
    """Whole replies, one now and then: each single wait is short."""
    call.read()
    while call.send(b"+OK\r\n") and not call.over.wait(0.15):
        pass


ENDLESS = {
    "bulk": never_ends(b"$99999999999\r\n", b"x" * 65536),
    "line": never_ends(b"+", b"x" * 65536),
    "numbers": never_ends(b"*1000000000\r\n", b":1\r\n" * 16384),
    "empty arrays": never_ends(b"*1000000000\r\n", b"*0\r\n" * 16384),
    "nulls": never_ends(b"*2147483647\r\n", b"$-1\r\n" * 16384),
    "nested arrays": never_ends(b"", b"*1\r\n" * 16384),
    "wide nested arrays": never_ends(b"", b"*999999\r\n" * 8192),
    "bytes": never_ends(b"", b"\x00" * 65536),
}


@pytest.mark.parametrize("kind", ENDLESS)
@pytest.mark.parametrize("output", ["text", "json"])
def test_what_never_ends_costs_little_time_and_memory(kind: str, output: str) -> None:
    with odd_server(ENDLESS[kind]) as server:
        ended, weight = weighed("health", "-s", str(server.endpoint), *QUICK, "-o", output)
    assert ended.code == ExitCode.UNKNOWN
    assert ended.took_s < 0.5 + SLACK_S
    assert weight.mib < LIGHT_MIB


ODD = {
    "random bytes": says(bytes(range(256)) * 4, then_stays=True),
    "http": says(b"HTTP/1.1 400 Bad Request\r\nServer: \x1b[2Jx\r\n\r\n"),
    "ssh": says(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "smtp": says(b"220 mail ESMTP\r\n" * 9),
    "too few replies": says(b"+OK\r\n" * 2),
    "too many replies": says(b"+OK\r\n" * 50, then_stays=True),
    "half a reply": says(b"$100\r\nabc"),
    "half a header": says(b"*2147483647", then_stays=True),
    "only a huge header": says(b"*2147483647\r\n", then_stays=True),
    "only a huge bulk header": says(b"$2147483647\r\n", then_stays=True),
    "lengths below zero": says(b"*-5\r\n$-7\r\n", then_stays=True),
    "numbers without end": says(b":" + b"9" * 100_000 + b"\r\n" + b"$" + b"9" * 100_000 + b"\r\n", then_stays=True),
    "nulls": says(b"$-1\r\n" * 50, then_stays=True),
    "numbers": says(b":5\r\n" * 50, then_stays=True),
    "arrays": says(b"*1\r\n$1\r\na\r\n" * 50, then_stays=True),
    "resp3": says(b">2\r\n+a\r\n+b\r\n%1\r\n+a\r\n+b\r\n_\r\n#t\r\n", then_stays=True),
    "error with escapes": says(b"-ERR \x1b[2J\x1b]8;;x\x07\xe2\x80\xae[bold red]\xff\x00\x9b\r\n" * 50),
    "refusal with escapes": says(b"-NOAUTH \x1b]0;x\x07\x1b[31m\xc2\x9b2J\r\n" * 50),
    "an error without end": says(b"-ERR " + b"x" * 1_000_000 + b"\r\n"),
    "closes at once": lambda _: None,
    "says nothing": Call.stay,
    "a byte now and then": drips,
    "a reply now and then": drips_lines,
}


@pytest.fixture(params=ODD)
def seed(request: pytest.FixtureRequest) -> Iterator[str]:
    with odd_server(ODD[request.param]) as server:
        yield str(server.endpoint)


def test_what_is_no_node_is_one_line_a_hint_and_unknown(seed: str) -> None:
    failure = fails(ExitCode.UNKNOWN, "health", "-s", seed, *QUICK)
    assert failure.error.startswith(f"{seed} ")
    assert len(failure.error) < 400
    assert failure.document["verdict"] == "unknown"
    assert failure.took_s < SLACK_S


@pytest.mark.parametrize("command", READING)
def test_every_reading_command_says_the_same(command: str, tmp_path: str) -> None:
    words = [command, str(tmp_path) + "/seen.json"] if command == "record" else [command]
    with odd_server(ODD["error with escapes"]) as server:
        ended = endure(*words, "-s", str(server.endpoint), *QUICK)
        assert ended.code == ExitCode.UNKNOWN
        assert r"\x1b[2J" in ended.err
        assert "[bold red]" in ended.err


def test_an_error_text_that_mentions_a_web_address_is_no_web_server() -> None:
    with odd_server(says(b"-ERR not allowed here, see https://example.com/why\r\n" * 50)) as server:
        failure = fails(ExitCode.UNKNOWN, "health", "-s", str(server.endpoint), *QUICK)
    assert "see https://example.com/why" in failure.error
    assert "does not speak the Redis protocol" not in failure.error


def test_nobody_takes_the_connection() -> None:
    """A listener whose queue is full lets every further connection wait."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        waiting = []
        try:
            for _ in range(8):
                sock = socket.socket()
                waiting.append(sock)
                sock.setblocking(False)
                sock.connect_ex(full.getsockname())
            seed = "{}:{}".format(*full.getsockname())
            failure = fails(ExitCode.UNKNOWN, "health", "-s", seed, *QUICK)
        finally:
            for sock in waiting:
                sock.close()
    assert "does not take the connection in time" in failure.error


PASSWORD = "s3cret-kolibri"


def echoes(call: Call) -> None:
    while data := call.read():
        call.send(data)


QUOTING = {
    "quotes what it was asked": speaker(lambda words: f"-ERR unknown command {' '.join(words)}\r\n".encode()),
    "quotes as wrong password": speaker(lambda words: f"-WRONGPASS {' '.join(words)}\r\n".encode()),
    "echoes": echoes,
    "says OK to all": speaker(lambda _: b"+OK\r\n"),
    "answers in kind": speaker(lambda words: array([bulk(word) for word in words])),
    "answers with the password as text": speaker(lambda words: bulk(words[-1])),
}


@pytest.mark.parametrize("kind", QUOTING)
def test_a_server_that_says_what_it_was_sent_does_not_have_us_print_the_password(kind: str, tmp_path: str) -> None:
    record = os.path.join(tmp_path, "seen.json")
    with odd_server(QUOTING[kind]) as server:
        for words in (["health"], ["health", "-o", "json"], ["nodes"], ["record", record, "--force"]):
            ended = endure(
                *words, "-s", str(server.endpoint), *QUICK, env={"RCFAIL_PASSWORD": PASSWORD, "RCFAIL_DEBUG": "1"}
            )
            assert PASSWORD not in ended.out + ended.err
        assert any(PASSWORD.encode() in call.received for call in server.calls), "it was sent, so it could be quoted"
    with open(record) as file:
        assert PASSWORD not in file.read()
