"""A simulation of a large cluster: one small process that answers as N nodes. It is not a Redis server.

It serves to measure how fast a cluster can be read. Each node has its own loopback address, its own
CLUSTER NODES text and INFO (a real server's in full length), and a reply delay that stands for the round
trip: what is read from a socket at once is answered at once, that many milliseconds later.

    python -m tests.bench.simulator --nodes 100 --delay-ms 10     until Ctrl-C
    with start(nodes=100, delay_ms=10) as simulation: ...         in tests and benchmarks
"""

from __future__ import annotations

import argparse
import contextlib
import json
import resource
import select
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from tests.bench.population import Faults, Node, Texts, populate
from tests.bench.replies import Answers, encode, error, hello, read_commands

PORTS = range(20_000, 22_000)  # with the bus port 10,000 above still below the system's own range
SEND_BUFFER = 1 << 20
MOST_PIECES_A_CALL = 512


@dataclass(slots=True)
class Caller:
    """One accepted connection and what is still to be sent on it."""

    socket: socket.socket
    index: int
    protocol: int = 2
    unread: bytes = b""
    waiting: deque[memoryview] = field(default_factory=deque)
    wants_to_write: bool = False


class Server:
    """The listening sockets of all nodes, their callers, and one event loop for all of them."""

    def __init__(self, nodes: tuple[Node, ...], texts: Texts, listeners: list[socket.socket], delay_s: float) -> None:
        self._epoll = select.epoll()
        self._answers = Answers(texts)
        self._delay_s = delay_s
        self._callers: dict[int, Caller] = {}
        self._due: deque[tuple[float, Caller, list[bytes]]] = deque()
        self._counts: dict[str, int] = {"connections": 0, "reads": 0}
        self._stop_on: int | None = None
        self._listeners = {listener.fileno(): (listener, node) for listener, node in zip(listeners, nodes, strict=True)}
        for node in nodes:
            # A node that is frozen stays in the kernel's hands: connected, and never answered.
            if node.index != texts.faults.frozen:
                self._epoll.register(listeners[node.index].fileno(), select.EPOLLIN)

    def stop_with(self, descriptor: int) -> None:
        """End when this descriptor (a pipe from the parent) is closed at the other end."""
        self._stop_on = descriptor
        self._epoll.register(descriptor, select.EPOLLIN)

    def serve(self) -> None:
        while True:
            for descriptor, events in self._next_events():
                if descriptor == self._stop_on:
                    return
                if descriptor in self._listeners:
                    self._accept(*self._listeners[descriptor])
                elif descriptor in self._callers:
                    self._attend(self._callers[descriptor], events)
            self._send_what_is_due()

    def _next_events(self) -> list[tuple[int, int]]:
        if not self._due:
            return self._epoll.poll()
        # epoll counts in whole milliseconds and select in microseconds, and a round trip must not grow by one.
        wait_s = max(0.0, self._due[0][0] - time.monotonic())
        ready, _, _ = select.select([self._epoll], [], [], wait_s)
        return self._epoll.poll(0) if ready else []

    def _accept(self, listener: socket.socket, node: Node) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                accepted, _ = listener.accept()
                accepted.setblocking(False)
                self._callers[accepted.fileno()] = Caller(accepted, node.index)
                self._epoll.register(accepted.fileno(), select.EPOLLIN)
                self._counts["connections"] += 1

    def _attend(self, caller: Caller, events: int) -> None:
        try:
            if events & select.EPOLLOUT:
                self._flush(caller)
            if events & ~select.EPOLLOUT:
                data = caller.socket.recv(65536)
                if not data:
                    self._drop(caller)
                    return
                self._take(caller, data)
        except BlockingIOError:
            return
        except OSError:
            self._drop(caller)

    def _take(self, caller: Caller, data: bytes) -> None:
        """Answer all commands of one read together: that is one round trip."""
        commands, used = read_commands(caller.unread + data)
        caller.unread = (caller.unread + data)[used:]
        pieces = [piece for words in commands for piece in self._reply(caller, words)]
        if not pieces:
            return
        self._counts["reads"] += 1
        if self._delay_s:
            self._due.append((time.monotonic() + self._delay_s, caller, pieces))
        else:
            self._send(caller, pieces)

    def _reply(self, caller: Caller, words: list[bytes]) -> tuple[bytes, ...]:
        name = b" ".join(words[:2]).upper().decode("utf-8", "replace")
        self._counts[name] = self._counts.get(name, 0) + 1
        if words[0].upper() == b"HELLO":
            if len(words) > 1 and words[1] not in {b"2", b"3"}:
                return error("NOPROTO unsupported protocol version")
            caller.protocol = int(words[1]) if len(words) > 1 else caller.protocol
            return (encode(hello(caller.index, caller.protocol), caller.protocol),)
        if name == "SIMULATOR COUNTS":
            return (encode(dict(self._counts), 2),)
        return self._answers.reply(caller.index, words, caller.protocol)

    def _send_what_is_due(self) -> None:
        now = time.monotonic()
        while self._due and self._due[0][0] <= now:
            _, caller, pieces = self._due.popleft()
            if caller.socket.fileno() < 0:
                continue
            try:
                self._send(caller, pieces)
            except OSError:
                self._drop(caller)

    def _send(self, caller: Caller, pieces: list[bytes]) -> None:
        caller.waiting.extend(memoryview(piece) for piece in pieces)
        if not caller.wants_to_write:
            self._flush(caller)

    def _flush(self, caller: Caller) -> None:
        waiting = caller.waiting
        while waiting:
            some = list(islice(waiting, MOST_PIECES_A_CALL))
            try:
                sent = caller.socket.sendmsg(some)
            except BlockingIOError:
                break
            while waiting and sent >= len(waiting[0]):
                sent -= len(waiting.popleft())
            if sent:
                waiting[0] = waiting[0][sent:]
        if bool(waiting) != caller.wants_to_write:
            caller.wants_to_write = bool(waiting)
            self._epoll.modify(caller.socket.fileno(), select.EPOLLIN | (select.EPOLLOUT if waiting else 0))

    def _drop(self, caller: Caller) -> None:
        descriptor = caller.socket.fileno()
        if descriptor >= 0:
            del self._callers[descriptor]
            self._epoll.unregister(descriptor)
            caller.socket.close()


def raise_open_file_limit() -> None:
    """Let this process open as many files as the system allows it without more rights."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def listen(count: int, faults: Faults) -> tuple[tuple[Node, ...], list[socket.socket]]:
    """The nodes on the first port that is free on all their addresses, and their listening sockets."""
    for port in PORTS:
        nodes = populate(count, port)
        listeners: list[socket.socket] = []
        try:
            for node in nodes:
                listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
                listeners.append(listener)
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                # Accepted sockets inherit both: no waiting to fill a packet, and a view fits in one call.
                listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
                listener.setblocking(False)
                listener.bind((node.host, node.port))
                listener.listen(1024)
        except OSError:
            for listener in listeners:
                listener.close()
            continue
        return nodes, listeners
    raise SystemExit("no port from 20000 to 21999 is free on all the loopback addresses")


@dataclass(frozen=True, slots=True)
class Simulation:
    """A running simulation: where its nodes are, as (host, port), and their ids, both in the same order."""

    addresses: tuple[tuple[str, int], ...]
    node_ids: tuple[str, ...]
    pid: int

    @property
    def seed(self) -> str:
        """The first node, as host:port."""
        host, port = self.addresses[0]
        return f"{host}:{port}"


@contextlib.contextmanager
def start(nodes: int, delay_ms: float = 0, faults: Faults | None = None) -> Iterator[Simulation]:
    """Run the simulation in a process of its own; yields when all nodes listen, ends it afterwards."""
    options = [f"--nodes={nodes}", f"--delay-ms={delay_ms}", "--until-stdin-ends"]
    for name in ("differs", "suspected", "frozen"):
        value = getattr(faults, name, None)
        if value is not None:
            options.append(f"--{name}={value}")
    with subprocess.Popen(
        [sys.executable, "-m", __spec__.name, *options],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            if not line:
                raise RuntimeError(f"the simulation did not start: exit code {process.wait()}")
            said = json.loads(line)
            addresses = tuple((host, port) for host, port in said["addresses"])
            yield Simulation(addresses, tuple(said["node_ids"]), process.pid)
        finally:
            process.stdin.close()  # it ends by itself then, and also if this process is killed
            process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description="Answer as a cluster of N nodes: a simulation, for benchmarks.")
    parser.add_argument("--nodes", type=int, default=100, help="an even number: half primaries, half replicas")
    parser.add_argument("--delay-ms", type=float, default=0.0, help="the time of a round trip")
    parser.add_argument("--differs", type=int, help="this node's view has one line that is not like the others'")
    parser.add_argument("--suspected", type=int, help="all others print fail? for this node")
    parser.add_argument("--frozen", type=int, help="this node takes connections and never answers")
    parser.add_argument("--until-stdin-ends", action="store_true", help="stop when standard input is closed")
    given = parser.parse_args()
    raise_open_file_limit()
    faults = Faults(given.differs, given.suspected, given.frozen)
    nodes, listeners = listen(given.nodes, faults)
    server = Server(nodes, Texts(nodes, faults), listeners, given.delay_ms / 1000)
    if given.until_stdin_ends:
        server.stop_with(sys.stdin.fileno())
    addresses = [(node.host, node.port) for node in nodes]
    print(json.dumps({"addresses": addresses, "node_ids": [node.node_id for node in nodes]}), flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        server.serve()


if __name__ == "__main__":
    main()
