"""A second process of a node: what a copied nodes.conf makes."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rcfail.clock import Deadline
from rcfail.cluster.nouns import Endpoint
from rcfail.practice.lab.processes import end, hold_back
from rcfail.practice.lab.register import NodeEntry
from tests.real.servers import RunningLab


@contextmanager
def started_copy(lab: RunningLab, node: NodeEntry, host: str) -> Iterator[Endpoint]:
    """The same node once more: a second process on a copy of its folder, at another address."""
    folder = Path(node.folder).with_name(f"{node.name}-copy")
    shutil.copytree(node.folder, folder)
    conf = folder / "redis.conf"
    conf.write_text(conf.read_text().replace(node.folder, str(folder)).replace(node.host, host))
    held = hold_back([lab.entry.server, str(conf)], folder / "output.log")
    held.release()
    place = Endpoint(host, node.port)
    try:
        lab.wait(lambda: _takes_connections(place), "the copy to listen")
        yield place
    finally:
        end([held.process], Deadline.after(10))


def _takes_connections(place: Endpoint) -> bool:
    with suppress(OSError), socket.create_connection(place, timeout=1):
        return True
    return False
