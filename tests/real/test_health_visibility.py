"""What a real cluster does not let us see: full nodes, refused credentials, refused questions."""

from __future__ import annotations

import json
import socket
import subprocess
from contextlib import ExitStack

import pytest

from rcfail.practice.lab.register import NodeEntry
from tests.real.conftest import LabMaker
from tests.real.servers import RunningLab, ServerUnderTest, run_rcfail
from tests.real.verdicts import Health, Said, health_of

every_server = pytest.mark.every_server
OK, CRITICAL, UNKNOWN = 0, 2, 3

USER, PASSWORD = "rcfail-ro", "sesame-of-the-reader"
ESSENTIAL = ("+info", "+cluster|info", "+cluster|nodes", "+config|get")


def about(health: Health, code: str, node: NodeEntry) -> Said:
    said = health.the(code)
    assert (said.kind, said.id) == ("node", node.node_id), said
    return said


def is_before_7_0(server: ServerUnderTest) -> bool:
    return server.label.startswith("redis-6.")


# Full


@every_server
@pytest.mark.parametrize(("name", "severity", "exit_code"), [("n1", "critical", CRITICAL), ("n4", "unknown", UNKNOWN)])
def test_a_node_that_takes_no_more_clients(lab: LabMaker, name: str, severity: str, exit_code: int) -> None:
    one = lab()
    node = one.node(name)
    with ExitStack() as held:
        # Some idle connections, and a limit that they reach (the bus links count too from Redis 6.2 on).
        for _ in range(3):
            idle = held.enter_context(socket.create_connection(node.endpoint, timeout=5))
            idle.sendall(b"PING\r\n")
            assert idle.recv(64) == b"+PONG\r\n"
        one.say(name, "CONFIG", "SET", "maxclients", 3)
        health = health_of(one)
    assert health.codes == {"clients-full": severity}
    assert (health.exit_code, health.serving == "yes") == (exit_code, False)
    said = about(health, "clients-full", node)
    assert "max number of clients" in said.evidence
    assert "none of 5 other nodes suspects it" in said.evidence


# Credentials


@every_server
def test_one_node_wants_another_password(lab: LabMaker) -> None:
    one = lab()
    node = one.replica_of("n1")
    one.say(node, "CONFIG", "SET", "requirepass", "only-here")
    health = health_of(one)
    assert health.codes == {"auth-refused": "unknown"}
    assert (health.exit_code, health.serving) == (UNKNOWN, "unknown")
    said = about(health, "auth-refused", node)
    assert "5 other nodes take: NOAUTH" in said.evidence
    assert "only-here" not in json.dumps(said)


@every_server
def test_all_nodes_want_a_password(lab: LabMaker) -> None:
    one = lab(conf=(f"requirepass {PASSWORD}",))
    without = one.rcfail("health", "-o", "json")
    assert without.returncode == UNKNOWN
    assert "NOAUTH" in without.stdout
    wrong = run_rcfail("health", environment=one.environment() | {"RCFAIL_PASSWORD": "a-wrong-guess"})
    assert wrong.returncode == UNKNOWN
    assert "WRONGPASS" in wrong.stderr
    assert "a-wrong-guess" not in wrong.stdout + wrong.stderr
    right = run_rcfail("health", environment=one.environment() | {"RCFAIL_PASSWORD": PASSWORD})
    assert right.returncode == OK, right.stdout


# Questions


def let_read(lab: RunningLab, node: NodeEntry | str, *permissions: str) -> None:
    """Give the reader these permissions on one node, and no others."""
    lab.say(node, "ACL", "SETUSER", USER, "reset", "on", f">{PASSWORD}", "-@all", "+ping", *permissions)


def health_as_reader(lab: RunningLab) -> Health:
    class AsReader(RunningLab):
        def environment(self) -> dict[str, str]:
            return super().environment() | {"RCFAIL_USER": USER, "RCFAIL_PASSWORD": PASSWORD}

    return health_of(AsReader(lab.register, lab.name))


@every_server
def test_questions_that_one_node_does_not_permit(lab: LabMaker, server: ServerUnderTest) -> None:
    one = lab()
    links = () if is_before_7_0(server) else ("+cluster|links",)
    for node in one.nodes:
        let_read(one, node, *ESSENTIAL, *links)
    well = health_as_reader(one)
    assert (well.exit_code, well.codes) == (OK, {}), well

    for missing in ESSENTIAL:
        let_read(one, "n2", *(each for each in ESSENTIAL if each != missing), *links)
        health = health_as_reader(one)
        assert health.codes == {"not-permitted": "unknown"}, (missing, health)
        assert (health.exit_code, health.failover_ready) == (UNKNOWN, "unknown")
        said = next(each for each in health.all_of("not-permitted") if each.severity == "unknown")
        assert (said.kind, said.id) == ("node", one.node("n2").node_id)
        assert missing in said.hint
        assert "NOPERM" in said.evidence
    let_read(one, "n2", *ESSENTIAL, *links)


def test_questions_that_no_node_permits_are_one_finding(lab: LabMaker) -> None:
    one = lab()
    for node in one.nodes:
        let_read(one, node, "+info", "+cluster|info", "+cluster|nodes")
    health = health_as_reader(one)
    assert (health.exit_code, health.codes) == (UNKNOWN, {"not-permitted": "unknown"})
    unknown, info = health.all_of("not-permitted")
    assert (unknown.kind, unknown.severity, info.severity) == ("cluster", "unknown", "info")
    assert "6 of 6 nodes" in unknown.evidence
    assert "CONFIG GET" in unknown.evidence
    assert "CLUSTER LINKS" in info.evidence


def test_a_reader_with_no_permission_at_all_sees_nothing_and_says_so(lab: LabMaker) -> None:
    one = lab()
    for node in one.nodes:
        let_read(one, node)
    ran: subprocess.CompletedProcess[str] = run_rcfail(
        "health", environment=one.environment() | {"RCFAIL_USER": USER, "RCFAIL_PASSWORD": PASSWORD}
    )
    assert ran.returncode == UNKNOWN
    assert "NOPERM" in ran.stderr
    assert PASSWORD not in ran.stdout + ran.stderr
