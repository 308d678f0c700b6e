"""How long we listen and how much, enforced on the socket itself.

A socket's own timeout starts again at every recv, so a server that sends one byte a second outlives it
for ever; and a reply parser reads on as long as bytes come. Here a whole exchange has one end in time and
one end in bytes, whichever parser reads.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from enum import Enum

from rcfail.clock import Clock, Deadline
from rcfail.cluster.nouns import Endpoint
from rcfail.cluster.observation import SilenceReason

HEAD_BYTES = 64
MIB = 1024 * 1024

_Buffer = bytearray | memoryview


@dataclass(frozen=True, slots=True)
class Bounds:
    """The most that one node may cost.

    `connect_s` covers the TCP connect to all addresses of a name together, `read_s` one pipelined write
    and all its replies, `reply_bytes` those replies, `resolve_s` the lookup of a name.
    """

    connect_s: float = 1.0
    read_s: float = 2.0
    reply_bytes: int = 16 * MIB
    resolve_s: float = 2.0


class Unheard(Exception):
    """A conversation that failed as a whole. `text` is one line for a human, and holds nothing secret."""

    def __init__(self, reason: SilenceReason, text: str = "") -> None:
        super().__init__(f"{reason}: {text}" if text else str(reason))
        self.reason = reason
        self.text = text


class Secured(Enum):
    """Whether the socket speaks TLS, and whether it showed a certificate of ours."""

    NO = 0
    YES = 1
    WITH_CERT = 2


class BoundSocket:
    """A connected socket for redis-py's parsers, which ends an exchange at its limit by raising Unheard.

    `bytes_in` and `bytes_out` count the running exchange; `head` keeps the first bytes of the connection,
    because they tell what kind of server speaks when it does not speak Redis. `peer` is the address dialled.
    """

    __slots__ = ("_ends", "_limit_bytes", "_secured", "_sock", "_starved", "bytes_in", "bytes_out", "head", "peer")

    def __init__(
        self, sock: socket.socket, clock: Clock, secured: Secured = Secured.NO, peer: Endpoint | None = None
    ) -> None:
        self._sock = sock
        self._secured = secured
        self.peer = peer
        self._ends = Deadline.after(0.0, clock)
        self._limit_bytes = 0
        self._starved = False
        self.bytes_in = 0
        self.bytes_out = 0
        self.head = b""

    def begin(self, seconds: float, limit_bytes: int, deadline: Deadline) -> None:
        """Start an exchange: it may last `seconds`, but not past the deadline, and bring `limit_bytes`."""
        left_s = deadline.remaining_s()
        self._starved = left_s < seconds
        self._ends = Deadline.after(min(seconds, left_s), deadline.clock)
        self._limit_bytes = limit_bytes
        self.bytes_in = 0
        self.bytes_out = 0

    def recv(self, size: int, flags: int = 0) -> bytes:
        self._arm()
        try:
            data = self._sock.recv(size, flags)
        except OSError as error:
            raise self._lost(error) from None
        self._count(data, len(data))
        return data

    def recv_into(self, buffer: _Buffer, size: int = 0, flags: int = 0) -> int:
        self._arm()
        try:
            count = self._sock.recv_into(buffer, size, flags)
        except OSError as error:
            raise self._lost(error) from None
        self._count(buffer, count)
        return count

    def sendall(self, data: bytes) -> None:
        """Send all, or stop when the peer has hung up; `bytes_out` says how much went.

        A peer that hangs up often said why before, such as "max number of clients reached". Raising here
        would lose that: so reading goes on, and finds the end by itself.
        """
        rest = memoryview(data)
        while rest:
            self._arm()
            try:
                count = self._sock.send(rest)
            except (BrokenPipeError, ConnectionResetError):
                return
            except OSError as error:
                if type(error).__name__ == "SSLEOFError":
                    return
                raise self._lost(error) from None
            self.bytes_out += count
            rest = rest[count:]

    def settimeout(self, _: float | None) -> None:
        """Does nothing: parsers set timeouts for one recv, and here the end of the exchange decides."""

    def gettimeout(self) -> float:
        return self._ends.remaining_s()

    def shutdown(self, _: int) -> None:
        """Does nothing: redis-py calls it just before close, and nobody else holds this socket."""

    def close(self) -> None:
        self._sock.close()

    def fileno(self) -> int:
        return self._sock.fileno()

    def getsockname(self) -> object:
        return self._sock.getsockname()

    def getpeername(self) -> object:
        return self._sock.getpeername()

    def _arm(self) -> None:
        left_s = self._ends.remaining_s()
        if left_s <= 0.0:
            raise self._out_of_time()
        self._sock.settimeout(left_s)

    def _count(self, data: bytes | _Buffer, count: int) -> None:
        if count == 0:
            raise self._closed("closed")
        if len(self.head) < HEAD_BYTES:
            self.head += bytes(data[: min(count, HEAD_BYTES - len(self.head))])
        self.bytes_in += count
        if self.bytes_in > self._limit_bytes:
            raise Unheard(SilenceReason.TOO_LARGE, f"more than {self._limit_bytes} bytes for one exchange")

    def _lost(self, error: OSError) -> Unheard:
        if isinstance(error, TimeoutError) and error.errno is None:
            return self._out_of_time()
        if isinstance(error, ConnectionError):
            return self._closed("reset")
        if self._secured is not Secured.NO:
            from rcfail.wire.tls import alert

            return alert(error) or self._closed("ended")
        return Unheard(SilenceReason.UNREACHABLE, (error.strerror or "the connection broke").lower())

    def _closed(self, how: str) -> Unheard:
        if self.head:
            return Unheard(SilenceReason.CLOSED, f"{how} the connection in the midst of its answer")
        if self._secured is Secured.NO:
            # The TLS port of a real server ends a plain connection so, without a TLS alert (seen on Redis 7.0).
            return Unheard(SilenceReason.CLOSED, f"{how} the connection without an answer, as a TLS port does")
        if self._secured is Secured.YES:
            # In TLS 1.3 a server asks for it after our handshake is over, and its alert can be lost on the way.
            return Unheard(SilenceReason.TLS_CLIENT_CERT, "it was shown none")
        return Unheard(SilenceReason.CLOSED, f"{how} the connection without an answer")

    def _out_of_time(self) -> Unheard:
        if self._starved:
            return Unheard(SilenceReason.NO_TIME, "the deadline passed before the answer was whole")
        if self.bytes_in == 0:
            return Unheard(SilenceReason.FROZEN, "took the connection, sent no byte in time")
        return Unheard(SilenceReason.TOO_SLOW, f"only {self.bytes_in} bytes of the answer came in time")
