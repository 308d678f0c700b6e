"""From a name and a port to a connected socket, never later than the bounds say."""

from __future__ import annotations

import errno
import os
import queue
import socket
import threading
from contextlib import suppress
from select import POLLOUT, poll
from typing import TYPE_CHECKING

from rcfail.clock import Deadline
from rcfail.cluster.nouns import Endpoint
from rcfail.cluster.observation import SilenceReason
from rcfail.wire.bounds import Bounds, BoundSocket, Secured, Unheard
from rcfail.wire.refusals import connect_failure

if TYPE_CHECKING:
    from rcfail.wire.tls import Guard

_LAST_PORT = 65535
PROBE_S = 0.5
"""How long to find out what else speaks at a port that does not answer as it should."""
# A name from a view or a user can be anything: too long for IDNA, with a null byte in it, half a surrogate.
_BAD_NAME = (OSError, UnicodeError, ValueError)


def addresses_of(endpoint: Endpoint, resolve_s: float, deadline: Deadline) -> tuple[Endpoint, ...]:
    """All addresses of a name, as IP literals in the resolver's order; a literal is its own only address.

    Raises Unheard: UNRESOLVABLE when there is none, or none came within `resolve_s`; NO_TIME when the
    deadline passed first.
    """
    if not 0 < endpoint.port <= _LAST_PORT:
        raise Unheard(SilenceReason.UNREACHABLE, f"{endpoint.port} is no port to connect to")
    return literal(endpoint) or _looked_up(endpoint, resolve_s, deadline)


def literal(endpoint: Endpoint) -> tuple[Endpoint, ...]:
    """The endpoint with its host as the system writes it, or nothing where the host is a name. Never waits."""
    # Nearly all hosts are plain IPv4. For those getaddrinfo would load the codec of international names first.
    with suppress(*_BAD_NAME):
        socket.inet_pton(socket.AF_INET, endpoint.host)
        return (endpoint,)
    try:
        return _resolved(endpoint, socket.AI_NUMERICHOST)
    except _BAD_NAME:
        return ()


def begin_connect(place: Endpoint) -> socket.socket | None:
    """A connection under way to an IP literal; None where that cannot be, and `dial` will say why. Never waits."""
    family = socket.AF_INET6 if ":" in place.host else socket.AF_INET
    try:
        socket.inet_pton(family, place.host)
        sock = _tcp(family)
    except _BAD_NAME:
        return None
    try:
        sock.setblocking(False)
        begun = sock.connect_ex((place.host, place.port)) in (0, errno.EINPROGRESS)
    except (*_BAD_NAME, OverflowError):
        begun = False
    if begun:
        return sock
    sock.close()
    return None


def dial(
    endpoint: Endpoint,
    bounds: Bounds,
    deadline: Deadline,
    guard: Guard | None = None,
    names: tuple[str, ...] = (),
    half: socket.socket | None = None,
) -> BoundSocket:
    """Connect to the first address of the endpoint that takes the connection, or end the one that is `half` made.

    With a `guard` the connection is TLS, within the same time, and its certificate must be for one of `names`.
    Raises Unheard with the reason of the first address that did not.
    """
    addresses = addresses_of(endpoint, bounds.resolve_s, deadline)
    ends = Deadline.after(deadline.at_most(bounds.connect_s), deadline.clock)
    starved = deadline.remaining_s() < bounds.connect_s
    failure: Unheard | None = None
    for address in addresses:
        if half is None and ends.passed():  # a half made one is looked at all the same, and closed by that
            break
        try:
            sock = _connect(address, ends) if half is None else _ended(half, ends)
            if guard is None:
                return BoundSocket(sock, deadline.clock, peer=address)
            secured = _secured(guard, sock, address, names or (endpoint.host,), ends, deadline)
            return BoundSocket(secured, deadline.clock, Secured.WITH_CERT if guard.shows_certificate else Secured.YES)
        except OSError as error:
            failure = failure or Unheard(connect_failure(error), _why(error))
    if failure is None or (starved and failure.reason is SilenceReason.CONNECT_TIMEOUT):
        raise Unheard(SilenceReason.NO_TIME, "the deadline passed before a connection stood")
    raise failure


def _tcp(family: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def _ended(half: socket.socket, ends: Deadline) -> socket.socket:
    """Wait until the connection stands. Raises OSError where it does not come to that."""
    waiting = poll()
    waiting.register(half, POLLOUT)
    try:
        if not waiting.poll(ends.remaining_s() * 1000):
            raise TimeoutError("timed out")
        check(half)
    except BaseException:
        half.close()
        raise
    return half


def check(sock: socket.socket) -> None:
    """Raise OSError where a connection that was under way does not stand."""
    if failed := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
        raise OSError(failed, os.strerror(failed))
    _not_with_itself(sock)


def _not_with_itself(sock: socket.socket) -> None:
    """Where nobody listens on a port of the ephemeral range, TCP may connect the socket with itself."""
    if sock.getsockname() == sock.getpeername():
        raise ConnectionRefusedError("nobody listens there")


def _connect(address: Endpoint, ends: Deadline) -> socket.socket:
    sock = _tcp(socket.AF_INET6 if ":" in address.host else socket.AF_INET)
    try:
        # A timeout of 0 would mean "do not block", which is another thing than "no time left".
        sock.settimeout(max(0.001, ends.remaining_s()))
        sock.connect((address.host, address.port))
        _not_with_itself(sock)
    except BaseException:
        sock.close()
        raise
    return sock


def _secured(
    guard: Guard, sock: socket.socket, address: Endpoint, names: tuple[str, ...], ends: Deadline, deadline: Deadline
) -> socket.socket:
    try:
        return guard.secure(sock, names, ends)
    except Unheard as error:
        if error.reason is not SilenceReason.FROZEN:
            raise
        if deadline.passed():
            raise Unheard(SilenceReason.NO_TIME, "the deadline passed in the TLS handshake") from None
        if _answers_plainly(address, Deadline.after(deadline.at_most(PROBE_S), deadline.clock)):
            raise Unheard(SilenceReason.NOT_TLS, "it answers plain commands") from None
        raise


def _answers_plainly(address: Endpoint, ends: Deadline) -> bool:
    """Whether a plain Redis is there, which never answers a TLS handshake.

    It looks for the end of a line with strchr (processInlineBuffer, networking.c), which stops at the first zero
    byte of the handshake, and so waits for more, as a frozen process would.
    """
    try:
        with _connect(address, ends) as sock:
            sock.settimeout(max(0.001, ends.remaining_s()))
            sock.sendall(b"PING\r\n")
            return sock.recv(1) in (b"+", b"-")
    except OSError:
        return False


def speaks_tls(address: Endpoint, ends: Deadline) -> bool:
    """Whether a TLS server is there: it answers a handshake, be it with an alert. Nothing of ours is sent by it."""
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with _connect(address, ends) as sock:
            sock.settimeout(max(0.001, ends.remaining_s()))
            with context.wrap_socket(sock):
                return True
    except ssl.SSLError as error:
        return "ALERT" in (error.reason or "")
    except OSError:
        return False


def _looked_up(endpoint: Endpoint, resolve_s: float, deadline: Deadline) -> tuple[Endpoint, ...]:
    """getaddrinfo has no timeout of its own, so it runs in a thread that nobody has to wait for."""
    answer: queue.SimpleQueue[tuple[Endpoint, ...] | Unheard] = queue.SimpleQueue()

    def look_up() -> None:
        try:
            answer.put(_resolved(endpoint))
        except _BAD_NAME as error:
            answer.put(Unheard(SilenceReason.UNRESOLVABLE, _why(error)))

    threading.Thread(target=look_up, name="resolve", daemon=True).start()
    try:
        found = answer.get(timeout=max(0.001, deadline.at_most(resolve_s)))
    except queue.Empty:
        if deadline.passed():
            raise Unheard(SilenceReason.NO_TIME, "the deadline passed before the name was resolved") from None
        raise Unheard(SilenceReason.UNRESOLVABLE, "the name was not resolved in time") from None
    if isinstance(found, Unheard):
        raise found
    if not found:
        raise Unheard(SilenceReason.UNRESOLVABLE, "the name has no address")
    return found


def _resolved(endpoint: Endpoint, flags: int = 0) -> tuple[Endpoint, ...]:
    """IP literals in the resolver's order, each once; a link-local one keeps its interface."""
    hosts: dict[str, None] = {}
    for _, _, _, _, address in socket.getaddrinfo(*endpoint, type=socket.SOCK_STREAM, flags=flags):
        host = str(address[0])
        scope = address[3] if len(address) == 4 else 0
        hosts[f"{host}%{scope}" if scope and "%" not in host else host] = None
    return tuple(Endpoint(host, endpoint.port) for host in hosts)


def _why(error: BaseException) -> str:
    """The system's own words, without the number in front."""
    words = error.strerror if isinstance(error, OSError) else None
    return (words or str(error) or type(error).__name__).lower()
