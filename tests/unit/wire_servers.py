"""Small servers in threads that answer as real ones never should, and some that speak just enough of the protocol."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from redis._parsers import _HiredisParser, _RESP2Parser
from redis.utils import HIREDIS_AVAILABLE

from rcfail.cluster.nouns import Endpoint
from tests.bench.replies import read_commands

PARSERS: list[type[Any]] = [_RESP2Parser, *([_HiredisParser] if HIREDIS_AVAILABLE else [])]
"""Both of redis-py's parsers, where hiredis is installed."""

TURN_S = 0.02


class Call:
    """One accepted connection, as a server's behaviour sees it. Everything returns soon after `over` is set."""

    def __init__(self, sock: socket.socket, over: threading.Event) -> None:
        self.sock = sock
        self.over = over
        self.received = b""
        sock.settimeout(TURN_S)

    def read(self) -> bytes:
        """What came next; empty when the client hung up or the test is over."""
        while not self.over.is_set():
            try:
                data = self.sock.recv(65536)
            except TimeoutError:
                continue
            except OSError:
                return b""
            self.received += data
            return data
        return b""

    def read_commands(self, count: int) -> list[list[bytes]]:
        """The first commands, when that many came."""
        while len(commands := read_commands(self.received)[0]) < count and self.read():
            pass
        return commands[:count]

    def send(self, data: bytes) -> bool:
        """Whether it all left; False when the client hung up."""
        rest = memoryview(data)
        while rest and not self.over.is_set():
            try:
                rest = rest[self.sock.send(rest) :]
            except TimeoutError:
                continue
            except OSError:
                return False
        return not rest

    def stay(self) -> None:
        """Keep the connection open, and say nothing, until the client hangs up."""
        while self.read():
            pass


Behaviour = Callable[[Call], None]


class OddServer:
    """A listening socket and a behaviour for each connection; `calls` are those that were made."""

    def __init__(self, behave: Behaviour, host: str = "127.0.0.1", port: int = 0) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.listener = socket.create_server((host, port), family=family, backlog=128)
        self.endpoint = Endpoint(host, self.listener.getsockname()[1])
        self.calls: list[Call] = []
        self._behave = behave
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        self.listener.settimeout(TURN_S)
        self._spawn(self._accept)

    def stop(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive(), "a server of the test did not end"
        self.listener.close()

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                sock, _ = self.listener.accept()
            except TimeoutError:
                continue
            call = Call(sock, self._over)
            self.calls.append(call)
            self._spawn(lambda call=call: self._serve(call))  # type: ignore[misc]

    def _serve(self, call: Call) -> None:
        with call.sock:
            self._behave(call)

    def _spawn(self, run: Callable[[], None]) -> None:
        thread = threading.Thread(target=run, daemon=True)
        self._threads.append(thread)
        thread.start()


@contextlib.contextmanager
def serving(*servers: OddServer) -> Iterator[None]:
    for server in servers:
        server.start()
    try:
        yield
    finally:
        for server in servers:
            server.stop()


@contextlib.contextmanager
def odd_server(behave: Behaviour) -> Iterator[OddServer]:
    server = OddServer(behave)
    with serving(server):
        yield server


def bulk(text: str | bytes) -> bytes:
    raw = text.encode() if isinstance(text, str) else text
    return b"$%d\r\n%b\r\n" % (len(raw), raw)


def array(items: Sequence[bytes]) -> bytes:
    return b"*%d\r\n" % len(items) + b"".join(items)


def speaker(answer: Callable[[list[str]], bytes]) -> Behaviour:
    """A behaviour that answers one command after the other with what `answer` makes of it."""

    def behave(call: Call) -> None:
        done = 0
        while call.read():
            commands, _ = read_commands(call.received)
            for command in commands[done:]:
                if not call.send(answer([word.decode() for word in command])):
                    return
            done = len(commands)

    return behave


def closed_port() -> Endpoint:
    """Where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return Endpoint("127.0.0.1", listener.getsockname()[1])


def has_ipv6_loopback() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True
