"""A writer whose every write has the same length in the replication stream, so that writes and bytes can be compared.

It is a process of its own: threads of one Python would take turns with what is measured. It writes to one node until
that node refuses, and never follows it anywhere.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rcfail.cluster.keyslot import tag_within
from tests.real.servers import REPOSITORY, RunningLab

_BATCH = 20
_OK = b"+OK\r\n"
_VALUE = b"v" * 64


def command(tag: str, number: int) -> bytes:
    """One SET, as a client sends it and as the primary passes it on (replicationFeedSlaves, replication.c)."""
    key = b"{%s}:%09d" % (tag.encode(), number)
    return b"*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n" % (len(key), key, len(_VALUE), _VALUE)


class Writer:
    """`tag` is that of all keys, `each` the bytes of one write."""

    def __init__(self, process: subprocess.Popen[str], tag: str) -> None:
        self._process = process
        self.each = len(command(tag, 0))

    def acknowledged(self) -> int:
        """How many writes were answered with OK, once the node has refused or is gone."""
        out, _ = self._process.communicate(timeout=60)
        return int(out.split()[-1])


@contextmanager
def writing(lab: RunningLab, node: str, first: int = 0) -> Iterator[Writer]:
    """Begins when the first writes are acknowledged. `first` is the number of the first key."""
    entry = lab.node(node)
    own = lab.view(node).by_id[entry.node_id]
    tag = tag_within(own.slots)
    words = [sys.executable, "-m", "tests.real.byte_writer", entry.endpoint.host, str(entry.endpoint.port), tag]
    with subprocess.Popen([*words, str(first)], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "writing\n"
            yield Writer(process, tag)
        finally:
            process.kill()


def _write(host: str, port: int, tag: str, number: int) -> None:
    acknowledged = 0
    with socket.create_connection((host, port), timeout=30) as sock:
        refused = False
        while not refused:
            sock.sendall(b"".join(command(tag, number + at) for at in range(_BATCH)))
            number += _BATCH
            lines = _lines(sock, _BATCH)
            refused = len(lines) < _BATCH or any(each != _OK for each in lines)
            acknowledged += lines.count(_OK)
            if acknowledged == _BATCH:
                print("writing", flush=True)
    print(acknowledged)


def _lines(sock: socket.socket, count: int) -> list[bytes]:
    """So many replies, or fewer where the connection ended before."""
    got = b""
    while got.count(b"\n") < count:
        try:
            more = sock.recv(65536)
        except OSError:
            more = b""
        if not more:
            break
        got += more
    return [each for each in got.splitlines(keepends=True) if each.endswith(b"\n")]


if __name__ == "__main__":
    _write(sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
