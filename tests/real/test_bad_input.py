"""Bad input on real servers, as a user types it: who is asked, and as whom."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rcfail.clock import Deadline, poll
from rcfail.exits import ExitCode
from rcfail.wire.secret import Credentials, Secret
from tests.real.conftest import LabMaker
from tests.real.servers import ServerUnderTest, all_servers
from tests.real.test_wire_servers import CLUSTER, Starter, free_port, make_certificate, speaks_tls, start
from tests.unit.ordeal import QUICK, endure, fails, on_terminal

__all__ = ["start"]  # a fixture

every_server = pytest.mark.every_server
READING = (["health"], ["nodes"])
PASSWORD = "s3cret-kolibri of the test"
USER = "rcfail-ro"


# Who is asked


@every_server
def test_a_server_that_is_no_cluster(start: Starter, tmp_path: Path) -> None:
    node = start("--cluster-enabled", "no")
    for command in (*READING, ["record", str(tmp_path / "seen.json"), "--force"]):
        ended = endure(*command, "-s", str(node.endpoint))
        assert ended.code == ExitCode.UNKNOWN
        assert f"{node.endpoint} is not a member of a cluster" in ended.err
    failure = fails(ExitCode.UNKNOWN, "health", "-s", str(node.endpoint))
    assert "cluster-enabled yes" in failure.hint


@every_server
def test_a_node_of_its_own_is_told_from_a_cluster(start: Starter) -> None:
    """cluster-enabled yes, but nobody gave it slots: that is seen, and is not OK."""
    seed = str(start(*CLUSTER).endpoint)
    assert endure("nodes", "-s", seed).code == ExitCode.OK
    assert endure("health", "-s", seed, "-o", "json").document["data"]["serving"] == "no"


@every_server
def test_the_bus_port_of_a_node(start: Starter) -> None:
    node = start(*CLUSTER)
    seed = f"{node.endpoint.host}:{node.endpoint.port + 10_000}"
    failure = fails(ExitCode.UNKNOWN, "health", "-s", seed, *QUICK)
    assert failure.error.startswith(f"{seed} ")
    assert "bus port" in failure.hint
    assert isinstance(node.ask("CLUSTER", "MYID"), str), "the node lives on"


def test_a_port_that_speaks_tls(tmp_path: Path) -> None:
    found = [each.path for each in all_servers() if speaks_tls(each.path, tmp_path)]
    if not found or not shutil.which("openssl"):
        pytest.skip("no server here was built with TLS, or there is no openssl")
    make_certificate(tmp_path)
    port, cert, key = free_port(), str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")
    tls = ("--tls-port", str(port), "--tls-auth-clients", "no", "--tls-cert-file", cert, "--tls-key-file", key)
    with server_on("127.0.0.1", found[0], tmp_path, *CLUSTER, *tls, "--tls-ca-cert-file", cert):
        failure = fails(ExitCode.UNKNOWN, "health", "-s", f"127.0.0.1:{port}", *QUICK)
    assert "TLS" in failure.error + failure.hint


def test_a_server_on_ipv6(server: ServerUnderTest, tmp_path: Path) -> None:
    if not can_listen_on("::1"):
        failure = fails(ExitCode.UNKNOWN, "health", "-s", "[::1]:7000", *QUICK)
        assert failure.error.startswith("[::1]:7000 "), "a machine without IPv6 says so"
        return
    with server_on("::1", server.path, tmp_path, *CLUSTER) as port:
        ended = endure("nodes", "-s", f"[::1]:{port}", *QUICK, "-o", "json")
        assert ended.code == ExitCode.OK
        assert [each["myself"] for each in ended.document["data"]["nodes"]] == [True]
        health = endure("health", "-s", f"[::1]:{port}", *QUICK)
        assert health.code == ExitCode.CRITICAL, "no slot has an owner"
        assert f"[::1]:{port}" in health.out


@every_server
def test_a_name_that_stands_for_several_addresses(start: Starter) -> None:
    port = start(*CLUSTER).endpoint.port
    ended = endure("nodes", "-s", f"localhost:{port}", *QUICK)
    assert (ended.code, ended.err) == (ExitCode.OK, "")


# As whom


@every_server
def test_every_way_to_give_a_password(start: Starter, tmp_path: Path) -> None:
    seed = str(start(*CLUSTER, "--requirepass", PASSWORD, credentials=Credentials(None, Secret(PASSWORD))).endpoint)
    right, wrong = tmp_path / "right", tmp_path / "wrong"
    for file, text in ((right, PASSWORD), (wrong, "wrong")):
        file.write_text(f"{text}\n")
        file.chmod(0o600)
    nodes = ("nodes", "-s", seed)
    for way, env in (
        ((), {"RCFAIL_PASSWORD": PASSWORD}),
        ((), {"REDISCLI_AUTH": PASSWORD}),
        ((), {"RCFAIL_PASSWORD": PASSWORD, "REDISCLI_AUTH": "wrong"}),
        (("--password-file", str(right)), {"RCFAIL_PASSWORD": "wrong"}),
        (("--user", "default"), {"RCFAIL_PASSWORD": PASSWORD}),
    ):
        ended = endure(*nodes, *way, env=env)
        assert (ended.code, ended.err) == (ExitCode.OK, ""), ended
    code, shown = on_terminal(*nodes, "--ask-password", typed=[(b"Password: ", PASSWORD.encode() + b"\n")])
    assert code == ExitCode.OK
    assert PASSWORD.encode() not in shown
    for way, env, said in (
        ((), {}, "NOAUTH"),
        ((), {"RCFAIL_PASSWORD": "wrong"}, "WRONGPASS"),
        ((), {"RCFAIL_PASSWORD": f"{PASSWORD} "}, "WRONGPASS"),
        (("--password-file", str(wrong)), {"RCFAIL_PASSWORD": PASSWORD}, "WRONGPASS"),
        (("--user", "nobody"), {"RCFAIL_PASSWORD": PASSWORD}, "WRONGPASS"),
    ):
        failure = fails(ExitCode.UNKNOWN, *nodes, *way, env={"RCFAIL_DEBUG": "1", **env})
        assert f"refuses our credentials ({said}" in failure.error
        assert "--password-file" in failure.hint
        assert PASSWORD not in f"{failure}"
    code, shown = on_terminal(*nodes, "--ask-password", typed=[(b"Password: ", b"wrong\n")])
    assert code == ExitCode.UNKNOWN
    assert b"WRONGPASS" in shown


def test_a_password_file_that_others_can_read_is_told_once(start: Starter, tmp_path: Path) -> None:
    seed = str(start(*CLUSTER).endpoint)
    path = tmp_path / "password"
    path.write_text(PASSWORD)
    path.chmod(0o644)
    ended = endure("nodes", "-s", seed, "--password-file", str(path))
    assert ended.code == ExitCode.OK
    assert ended.out.count("other users can read the password file") == 1
    assert PASSWORD not in ended.out + ended.err


@every_server
def test_a_user_who_may_do_nothing_and_one_who_may_not_see_the_members(start: Starter) -> None:
    node = start(*CLUSTER)
    seed, env = str(node.endpoint), {"RCFAIL_PASSWORD": PASSWORD}
    node.say("ACL", "SETUSER", USER, "on", f">{PASSWORD}", "-@all")
    failure = fails(ExitCode.UNKNOWN, "health", "-s", seed, "--user", USER, env=env)
    assert f"{seed} refuses our credentials (NOPERM " in failure.error
    node.say("ACL", "SETUSER", USER, "+info", "+cluster|info", "+config|get")
    failure = fails(ExitCode.UNKNOWN, "health", "-s", seed, "--user", USER, env=env)
    assert f"{seed} does not let this user read CLUSTER NODES" in failure.error
    assert "ACL SETUSER" in failure.hint
    assert PASSWORD not in f"{failure}"


@every_server
def test_some_nodes_want_another_password_and_some_forbid_a_question(lab: LabMaker, tmp_path: Path) -> None:
    one = lab()
    for node in one.nodes:
        allowed = ["+info", "+cluster|nodes", "+config|get", *([] if node.name == "n2" else ["+cluster|info"])]
        password = "another one" if node.name in ("n1", "n4") else PASSWORD
        one.say(node, "ACL", "SETUSER", USER, "on", f">{password}", "-@all", *allowed)
    words = ("health", "-s", one.seeds, "--user", USER)
    env = {"RCFAIL_PASSWORD": PASSWORD, "RCFAIL_DEBUG": "1"}
    ended = endure(*words, "-o", "json", env=env)
    assert ended.code == ExitCode.UNKNOWN
    findings = ended.document["data"]["findings"]
    refused = {each["subject"]["address"] for each in findings if each["code"] == "auth-refused"}
    assert refused == {str(one.node(name).endpoint) for name in ("n1", "n4")}
    (forbidden,) = [each for each in findings if each["code"] == "not-permitted" and each["severity"] == "unknown"]
    assert forbidden["subject"]["address"] == str(one.node("n2").endpoint)
    assert "CLUSTER INFO" in forbidden["evidence"]
    page = endure(*words, env=env)
    assert page.code == ExitCode.UNKNOWN
    assert PASSWORD not in page.out + page.err + ended.out + ended.err


# Servers that the starter cannot start


@contextmanager
def server_on(host: str, path: str, folder: Path, *words: str) -> Iterator[int]:
    """A server at this address, until it listens; hands out its port."""
    port = free_port()
    command = [path, "--port", str(port), "--bind", host, "--dir", str(folder), "--save", "", "--logfile", "log"]
    process = subprocess.Popen([*command, *words], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        poll(lambda: listens(host, port), bool, deadline=Deadline.after(15), every_s=0.02, waiting_for="the server")
        yield port
    finally:
        process.kill()
        process.wait(10)


def listens(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def can_listen_on(host: str) -> bool:
    try:
        with socket.create_server((host, 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False
