"""Two clusters under one list of seeds, two processes behind one id, one node at two addresses."""

from __future__ import annotations

import json
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from rcfail.cluster.nouns import Endpoint
from rcfail.practice.lab.network import can_filter
from rcfail.practice.lab.register import NodeEntry
from rcfail.practice.lab.restart import Comeback
from tests.real.conftest import LabMaker
from tests.real.servers import rcfail_environment, run_rcfail
from tests.real.twins import started_copy
from tests.real.verdicts import health_of

every_server = pytest.mark.every_server
needs_nft = pytest.mark.skipif(not can_filter(), reason="cutting a network takes nftables and root")
OK, WARNING, CRITICAL, UNKNOWN = 0, 1, 2, 3


@every_server
def test_seeds_of_two_clusters(lab: LabMaker) -> None:
    one, other = lab(replicas=0), lab()
    both = rcfail_environment(RCFAIL_SEEDS=f"{one.seeds},{other.seeds}")
    ran = run_rcfail("health", "-o", "json", "--min-replicas", "0", environment=both)
    data = json.loads(ran.stdout)["data"]
    told = [each for each in data["findings"] if each["severity"] != "info"]
    assert ran.returncode == UNKNOWN
    assert [each["code"] for each in told] == ["foreign-cluster"]
    assert (data["serving"], data["redundant"], data["failover_ready"]) == ("unknown",) * 3
    for node in (*one.nodes, *other.nodes):
        assert str(node.endpoint) in told[0]["evidence"]
    assert {each["id"] for each in data["nodes"]} == {node.node_id for node in one.nodes}

    one.kill("n1")
    one.wait(lambda: one.belief("n2", "n1").failed, "n1 to be failed")
    assert run_rcfail("health", "--min-replicas", "0", environment=both).returncode == CRITICAL
    turned = rcfail_environment(RCFAIL_SEEDS=f"{other.seeds},{one.seeds}")
    ran = run_rcfail("health", "-o", "json", environment=turned)
    assert ran.returncode == UNKNOWN, "the other one is well, and still it is not known which is meant"
    assert len(json.loads(ran.stdout)["data"]["nodes"]) == len(other.nodes)


@every_server
@pytest.mark.parametrize(("name", "severity", "exit_code"), [("n2", "critical", CRITICAL), ("n4", "warning", WARNING)])
def test_two_processes_of_one_node(lab: LabMaker, name: str, severity: str, exit_code: int) -> None:
    """A restored disk, or a second pod on one claim: the copied nodes.conf makes two of one."""
    one = lab()
    node = one.node(name)
    spare = f"{node.host.rpartition('.')[0]}.99"
    with started_copy(one, node, spare) as place:
        environment = one.environment() | {"RCFAIL_SEEDS": f"{one.seeds},{place}"}
        ran = run_rcfail("health", "-o", "json", environment=environment)
        found = json.loads(ran.stdout)["data"]["findings"]
        (said,) = [each for each in found if each["code"] == "address-disputed"]
        assert (said["severity"], said["subject"]["id"]) == (severity, node.node_id)
        assert ran.returncode >= exit_code
        assert f"2 processes say that they are node {node.node_id[:8]}" in said["evidence"]
        assert str(node.endpoint) in said["evidence"]
        assert str(place) in said["evidence"]
    one.wait(lambda: health_of(one).exit_code == OK, "OK again once the copy is gone", timeout_s=60)


class _Relay(socketserver.BaseRequestHandler):
    """Passes a connection on to `server.target`: the address where a node can be reached besides."""

    def handle(self) -> None:
        with suppress(OSError), socket.create_connection(self.server.target, timeout=10) as there:  # type: ignore[attr-defined]
            back = threading.Thread(target=_pass_on, args=(there, self.request))
            back.start()
            _pass_on(self.request, there)
            back.join()


def _pass_on(source: socket.socket, to: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            to.sendall(data)
    with suppress(OSError):
        to.shutdown(socket.SHUT_WR)


class _Relays(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    block_on_close = True


@contextmanager
def second_address(node: NodeEntry) -> Iterator[Endpoint]:
    with _Relays((node.host, 0), _Relay) as relay:
        relay.target = node.endpoint  # type: ignore[attr-defined]
        thread = threading.Thread(target=relay.serve_forever)
        thread.start()
        try:
            yield Endpoint(node.host, relay.server_address[1])
        finally:
            relay.shutdown()
            thread.join()


@every_server
def test_an_empty_node_that_is_the_first_seed_does_not_hide_its_cluster(lab: LabMaker) -> None:
    """It lost its nodes.conf, and knows nobody: its own slots are out, not all of them."""
    one = lab()
    old = one.node("n1")
    one.kill("n1")
    one.restart("n1", comeback=Comeback(wiped=True))
    assert one.seeds.startswith(str(one.node("n1").endpoint))
    health = health_of(one)
    assert "foreign-cluster" not in health.codes
    assert "slots-uncovered" not in health.codes
    # Valkey 9 may have promoted its replica by now: then it is a warning.
    assert health.exit_code in (WARNING, CRITICAL, UNKNOWN)
    told = {each.code for each in health.findings if each.id in (old.node_id, one.node("n1").node_id)}
    assert told & {"node-id-changed", "node-noaddr", "node-silent", "node-failed", "node-suspected"}
    assert " in 3 shards" in one.rcfail("health").stdout


@pytest.mark.every_server(but="redis-6.")
@needs_nft
def test_a_node_that_some_list_at_another_address(lab: LabMaker) -> None:
    """It got a new port, and one of the others cannot hear it."""
    one = lab(node_timeout_ms=2000)
    moved, deaf = one.node("n1"), one.node("n3")
    one.cut_bus(deaf)
    with second_address(moved) as place:
        one.say(moved, "CONFIG", "SET", "cluster-announce-port", place.port)
        hearing = [node for node in one.nodes if node.name not in (moved.name, deaf.name)]
        one.wait(
            lambda: all(one.belief(node, moved).address.port == place.port for node in hearing),
            "all but one to hear of the port",
        )
        health = health_of(one)
        said = health.the("address-disputed")
        assert (said.severity, said.id) == ("warning", moved.node_id)
        assert f"4 at {place} and 1 at {moved.endpoint}" in said.evidence
        assert f"({deaf.endpoint} ({deaf.node_id[:8]}) differs from most)" in said.evidence
        assert not health.all_of("self-address-wrong")
        one.mend(deaf)
        one.wait(lambda: not health_of(one).all_of("address-disputed"), "all to hear of it")
