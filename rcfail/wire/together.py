"""Many conversations begun at once: to wait for a hundred nodes takes no thread each.

A thread costs more than the reading itself, because only one of them can run Python at a time. So all are dialled
and asked without waiting, and who answers within a moment is read by the caller, one after the other. Who takes
longer is left to a thread, with the connection as far as it got.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from select import POLLIN, POLLOUT, poll

from rcfail.clock import Deadline
from rcfail.cluster.nouns import Endpoint
from rcfail.wire.dial import begin_connect, check

PATIENCE_S = 0.05
"""So long is waited for answers that are read without threads."""


def begin(
    places: Iterable[Endpoint], patience: Deadline, connected: Callable[[Endpoint, socket.socket], bool]
) -> Iterator[Endpoint | tuple[Endpoint, socket.socket]]:
    """Dial all places, which are IP literals; yield each that begins to answer, as they come.

    `connected` is called once for each connection that stands, and sends what is to be asked; False where nothing is
    to be waited for. One that fails is closed: who dials it again learns why. At the end, connections that are still
    under way are yielded with their sockets: they are the caller's.
    """
    half: dict[int, tuple[Endpoint, socket.socket]] = {}
    asked: dict[int, Endpoint] = {}
    watched = poll()
    for place in places:
        if (sock := begin_connect(place)) is not None:
            half[sock.fileno()] = (place, sock)
            watched.register(sock, POLLOUT)
    while (half or asked) and (ready := watched.poll(patience.remaining_s() * 1000)):
        for descriptor, _ in ready:
            if descriptor in asked:
                watched.unregister(descriptor)
                yield asked.pop(descriptor)
            else:
                place, sock = half.pop(descriptor)
                if _stands(sock) and connected(place, sock):
                    watched.modify(descriptor, POLLIN)
                    asked[descriptor] = place
                else:
                    watched.unregister(descriptor)
    yield from half.values()


def _stands(sock: socket.socket) -> bool:
    try:
        check(sock)
    except OSError:
        sock.close()
        return False
    return True


def answering(waiting: Mapping[int, Endpoint], patience: Deadline) -> Iterator[Endpoint]:
    """Those whose socket has something to read, as they come."""
    watched = poll()
    for descriptor in waiting:
        watched.register(descriptor, POLLIN)
    left = len(waiting)
    while left and (ready := watched.poll(patience.remaining_s() * 1000)):
        for descriptor, _ in ready:
            watched.unregister(descriptor)
            yield waiting[descriptor]
        left -= len(ready)
