"""Servers that say of themselves what a node would, and of others what they like."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha1

from tests.unit.wire_servers import Behaviour, OddServer, array, bulk, serving, speaker

Table = Callable[[str], bytes]
"""The CLUSTER NODES text of a server that listens at this host:port."""


def node_id(name: object) -> str:
    return sha1(str(name).encode()).hexdigest()


def line(name: object, address: str, flags: str = "master", primary: str = "-", slots: str = "", epoch: int = 1) -> str:
    return f"{node_id(name)} {address} {flags} {primary} 0 0 {epoch} connected {slots}".rstrip() + "\n"


def info_text(name: object = "me") -> str:
    stream = f"master_replid:{node_id(name)}\r\nmaster_repl_offset:10\r\n"
    return (
        f"# Server\r\nredis_version:8.2.3\r\nrun_id:{node_id(name)}\r\nserver_time_usec:{time.time_ns() // 1000}\r\n"
        f"# Replication\r\nrole:master\r\nconnected_slaves:0\r\n{stream}# Persistence\r\nloading:0\r\n"
        "# Cluster\r\ncluster_enabled:1\r\n# Keyspace\r\n"
    )


CLUSTER_INFO = (
    "cluster_state:ok\r\ncluster_slots_assigned:16384\r\ncluster_slots_ok:16384\r\ncluster_known_nodes:1\r\n"
    "cluster_size:1\r\ncluster_current_epoch:1\r\ncluster_my_epoch:1\r\n"
)


def answering(
    table: bytes, info: str | None = None, cluster_info: str = CLUSTER_INFO, config: bytes | None = None
) -> Behaviour:
    """A server with this table of members."""

    def answer(words: list[str]) -> bytes:
        match words:
            case ["INFO"]:
                return bulk(info or info_text())
            case ["CLUSTER", "INFO"]:
                return bulk(cluster_info)
            case ["CLUSTER", "NODES"]:
                return bulk(table)
            case ["CLUSTER", *_]:
                return array([])
            case ["CONFIG", *_]:
                return config or array([])
            case _:
                return b"-ERR unknown command\r\n"

    return speaker(answer)


@contextmanager
def liar(table: Table, **more: str | bytes | None) -> Iterator[str]:
    """A server with this table, and its address."""
    held: list[Behaviour] = []
    server = OddServer(lambda call: held[0](call))
    held.append(answering(table(str(server.endpoint)), **more))  # type: ignore[arg-type]
    with serving(server):
        yield str(server.endpoint)
