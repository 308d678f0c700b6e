"""Labs with TLS, users, IPv6 and host names: made, judged, broken, mended, and nothing secret told."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
from itertools import chain
from pathlib import Path

import pytest

from rcfail.errors import LabFault, UsageFault
from rcfail.exits import ExitCode
from rcfail.practice.lab import access as kinds
from rcfail.practice.lab.access import ADMIN, REPLICATION, Access, ClientCerts, EndpointType
from rcfail.practice.lab.certs import authority, pair
from rcfail.practice.lab.environment import variables
from rcfail.practice.lab.register import LabEntry, Register
from rcfail.practice.lab.up import bring_up
from rcfail.practice.lab.users import password_file, password_of
from rcfail.practice.lab.wish import Wish
from tests.real.conftest import LabMaker
from tests.real.servers import (
    REPOSITORY,
    RunningLab,
    ServerUnderTest,
    default_server,
    rcfail_command,
    rcfail_environment,
    run_rcfail,
)
from tests.real.verdicts import health_of

SECURED = Access(tls=True, tls_only=True, user="operator", hostnames=True, endpoint_type=EndpointType.HOSTNAME)


def knows_names(server: ServerUnderTest) -> bool:
    return not server.label.startswith("redis-6.")


def all_passwords(entry: LabEntry) -> list[str]:
    return [password_of(entry, user) for user in (ADMIN, REPLICATION, entry.access.user)]


def rcfail_without(lab: RunningLab, variables: tuple[str, ...], *words: str) -> subprocess.CompletedProcess[str]:
    """rcfail with the lab's variables, some of them left out."""
    kept = {name: value for name, value in lab.environment().items() if name not in variables}
    return run_rcfail(*words, environment=kept)


def fails_over(lab: RunningLab) -> None:
    """Kill a primary, see its replica take over and the others agree, bring it back; health follows all of it."""
    replica = lab.replica_of("n1")
    lab.kill("n1")
    lab.wait(lambda: health_of(lab).codes.get("node-failed"), "the failed node to be reported", 30)
    lab.wait(lambda: lab.belief("n2", of=replica).slots, "the replica to be promoted", 30)
    lab.wait(lambda: health_of(lab).serving == "yes", "all slots to be served", 30)
    said = health_of(lab)
    assert (said.exit_code, set(said.codes)) == (ExitCode.WARNING, {"node-failed", "replica-missing"}), said
    lab.restart("n1", wait_s=30)
    lab.wait(lambda: health_of(lab).exit_code == ExitCode.OK, "the cluster to be healthy again", 30)


@pytest.mark.every_server
def test_a_lab_with_users_lets_nobody_in_without_a_password(lab: LabMaker) -> None:
    made = lab(access=Access(user="watcher"), hosts=6)
    assert health_of(made).exit_code == ExitCode.OK
    variable = made.environment()
    assert variable["RCFAIL_USER"] == "watcher"
    for without in (("RCFAIL_USER", "RCFAIL_PASSWORD_FILE"), ("RCFAIL_USER",), ("RCFAIL_PASSWORD_FILE",)):
        refused = rcfail_without(made, without, "health", "-o", "json")
        assert refused.returncode == ExitCode.UNKNOWN, refused
        assert "auth-refused" in refused.stdout
    fails_over(made)


@pytest.mark.every_server
def test_the_users_of_a_lab_have_their_own_passwords_and_rights(lab: LabMaker) -> None:
    made = lab(1, 1, access=Access(user="watcher"))
    assert len(set(all_passwords(made.entry))) == 3
    listed = made.ask("n1", "ACL", "LIST")
    assert isinstance(listed, tuple)
    rules = {name: rest for _, name, rest in (str(line).split(" ", 2) for line in listed)}
    assert rules["default"].startswith("off")
    assert "+@all" in rules[ADMIN]
    assert "+@all" not in rules["watcher"]
    assert "+cluster|failover" in rules["watcher"]
    assert "+psync" in rules[REPLICATION]
    assert "+cluster" not in rules[REPLICATION]
    made.break_replication("n2")
    assert "replica-link-down" in health_of(made).codes
    made.mend_replication("n2")
    assert "replica-link-down" not in health_of(made).codes


def test_passwords_and_keys_stand_only_where_their_owner_alone_reads(
    lab: LabMaker, tls_server: ServerUnderTest
) -> None:
    made = lab(1, 1, access=SECURED, server=tls_server.path)
    folder = made.register.folder(made.name)
    secret = [text.encode() for text in all_passwords(made.entry)]
    for path in (path for path in folder.rglob("*") if path.is_file()):
        content = path.read_bytes()
        if any(each in content for each in secret) or b"PRIVATE KEY" in content:
            assert path.stat().st_mode & 0o077 == 0, f"others can read {path}"
            assert path.name == "redis.conf" or path.parent.name in ("passwords", "tls"), path
    assert folder.stat().st_mode & 0o077 == 0
    for node in made.nodes:
        assert node.process is not None
        command = Path(f"/proc/{node.process.pid}/cmdline")
        if command.exists():
            assert not any(each in command.read_bytes() for each in secret)


@pytest.mark.every_server
def test_a_lab_on_ipv6(lab: LabMaker) -> None:
    made = lab(access=Access(ipv6=True))
    assert {node.host for node in made.nodes} == {"::1"}
    assert health_of(made).exit_code == ExitCode.OK
    ran = made.rcfail("nodes")
    assert all(f"[::1]:{node.port}" in ran.stdout for node in made.nodes), ran
    fails_over(made)


def test_labs_on_ipv6_stand_side_by_side(lab: LabMaker) -> None:
    one, other = lab(1, 1, access=Access(ipv6=True)), lab(1, 1, access=Access(ipv6=True))
    assert not {node.port for node in one.nodes} & {node.port for node in other.nodes}
    assert not {node.node_id for node in one.nodes} & set(other.view("n1").by_id)


@pytest.mark.every_server
def test_host_names_are_announced(lab: LabMaker, server: ServerUnderTest, lab_register: Register) -> None:
    access = Access(hostnames=True, endpoint_type=EndpointType.HOSTNAME)
    if not knows_names(server):
        with pytest.raises(UsageFault, match="has no host names"):
            lab(access=access)
        return
    made = lab(access=access, hosts=6)
    hosts = (lab_register.folder(made.name) / "hosts").read_text()
    for node in made.nodes:
        assert node.hostname == f"{node.name}.{made.name}.localhost"
        assert f"{node.host} {node.hostname}\n" in hosts
        assert made.belief("n1", of=node).address.hostname == node.hostname
    # Clients are sent there: the second item of a node's entry in CLUSTER SLOTS has become the name.
    assert str(made.ask("n1", "CLUSTER", "SLOTS")).count(f"n1.{made.name}.localhost")
    assert health_of(made).exit_code == ExitCode.OK
    assert made.nodes[3].hostname in made.rcfail("health", "--all").stdout
    fails_over(made)


@pytest.mark.parametrize("certs", list(ClientCerts))
def test_tls_beside_plain_ports(lab: LabMaker, tls_server: ServerUnderTest, certs: ClientCerts) -> None:
    made = lab(access=Access(tls=True, client_certs=certs), server=tls_server.path)
    assert health_of(made).exit_code == ExitCode.OK
    plain = ",".join(f"{node.host}:{node.plain_port}" for node in made.nodes)
    bare = rcfail_environment(RCFAIL_SEEDS=plain)
    assert run_rcfail("health", environment=bare).returncode == ExitCode.OK
    # No link between the nodes is plain: on their plain ports there is nobody.
    for node in made.nodes:
        clients = made.text(node, "CLIENT", "LIST")
        assert f"laddr={node.host}:{node.plain_port}" not in clients, clients
    without = ("RCFAIL_CERT", "RCFAIL_KEY")
    shown_none = rcfail_without(made, without, "health", "-o", "json")
    if certs is ClientCerts.YES:
        assert shown_none.returncode == ExitCode.UNKNOWN
    else:
        assert shown_none.returncode == ExitCode.OK, shown_none


def test_a_tls_lab_of_one_port_each_fails_over(lab: LabMaker, tls_server: ServerUnderTest) -> None:
    made = lab(access=Access(tls=True, tls_only=True), server=tls_server.path, hosts=6)
    assert all(node.plain_port is None for node in made.nodes)
    assert made.ask("n1", "CONFIG", "GET", "port") == ("port", "0")
    assert health_of(made).exit_code == ExitCode.OK
    fails_over(made)


def test_tls_and_ipv6_and_users_at_once(lab: LabMaker, tls_server: ServerUnderTest) -> None:
    made = lab(1, 1, access=Access(tls=True, ipv6=True, user="operator", hostnames=True), server=tls_server.path)
    assert health_of(made, "--ignore", "quorum-fragile").exit_code == ExitCode.OK


def test_certificates_are_for_addresses_and_names_and_short_lived(lab: LabMaker, tls_server: ServerUnderTest) -> None:
    made = lab(1, 1, access=SECURED, server=tls_server.path)
    for node in made.nodes:
        certificate, key = pair(made.entry, node.name)
        shown = openssl("x509", "-in", str(certificate), "-noout", "-ext", "subjectAltName")
        assert f"DNS:{node.hostname}" in shown
        assert f"IP Address:{node.host}" in shown
        assert openssl("verify", "-CAfile", str(authority(made.entry)), str(certificate)).endswith("OK\n")
        openssl("x509", "-in", str(certificate), "-noout", "-checkend", "3600")
        eight_days = subprocess.run(
            ["openssl", "x509", "-in", str(certificate), "-noout", "-checkend", str(8 * 86400)],
            capture_output=True,
            check=False,
        )
        assert eight_days.returncode == 1, "it lives for longer than a week"
        assert key.stat().st_mode & 0o077 == 0


def openssl(*words: str) -> str:
    return subprocess.run(["openssl", *words], capture_output=True, text=True, check=True).stdout


def test_a_server_without_tls_is_turned_down_with_a_hint(lab_home: Path) -> None:
    env = rcfail_environment(RCFAIL_LAB_HOME=str(lab_home))
    ran = run_rcfail("lab", "up", "--tls", "--server", default_server().path, environment=env)
    assert ran.returncode == ExitCode.USAGE, ran
    assert "was built without TLS" in ran.stderr
    assert "hint: Debian's and Ubuntu's have it" in ran.stderr
    ran = run_rcfail("lab", "up", "--tls", environment={**env, "PATH": "/nonexistent"})
    assert ran.returncode == ExitCode.INTERNAL, ran
    assert "made with openssl" in ran.stderr
    assert "apt install openssl" in ran.stderr
    assert not Register(lab_home).names()


def test_where_no_server_has_tls_all_that_were_tried_are_named(
    lab_home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tls_server: ServerUnderTest
) -> None:
    program = tmp_path / "openssl"
    program.symlink_to(openssl_path())
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LabFault, match="no server with TLS was found: redis") as caught:
        bring_up(Wish(access=Access(tls=True)), Register(lab_home))
    assert default_server().path in caught.value.message
    assert not Register(lab_home).names()


def openssl_path() -> str:
    found = [Path(folder) / "openssl" for folder in os.environ["PATH"].split(os.pathsep)]
    return str(next(path for path in found if path.exists()))


def test_up_env_and_down_of_a_secured_lab_by_hand(lab_home: Path, tls_server: ServerUnderTest) -> None:
    env = rcfail_environment(RCFAIL_LAB_HOME=str(lab_home))
    words = ("--tls-only", "--acl", "--user", "me", "--hostnames", "--primaries", "1", "--server", tls_server.path)
    up = run_rcfail("lab", "up", *words, environment=env)
    assert up.returncode == ExitCode.OK, up
    assert "TLS, no plain port; client certificates: required" in up.stdout
    assert "you are me" in up.stdout
    entry = Register(lab_home).read("default")
    shell = {**env, "RCFAIL_PASSWORD": "of-another", "RCFAIL_SNI": "another"}
    told = run_rcfail("lab", "env", environment=shell)
    assert "unset RCFAIL_PASSWORD RCFAIL_SNI" in told.stdout.splitlines()
    assert variables(entry)["RCFAIL_PASSWORD_FILE"] == str(password_file(entry, "me"))
    lab_env, health = (shlex.join(rcfail_command(*words)) for words in (("lab", "env"), ("health",)))
    judged = by_shell(f'eval "$({lab_env})"; {health} --ignore quorum-fragile', shell)
    assert judged.returncode == ExitCode.OK, judged
    line = next(row for row in told.stdout.splitlines() if row.startswith("# all rights: "))
    # The redis-cli of this server knows TLS, others may not.
    path = f"{Path(tls_server.path).parent}{os.pathsep}{env['PATH']}"
    assert by_shell(f"{line.partition(': ')[2]} SET key value", {**env, "PATH": path}).stdout == "OK\n"
    status = run_rcfail("lab", "status", "-o", "json", environment=env)
    facts = json.loads(status.stdout)["data"]
    assert (facts["lab"]["tls"], facts["lab"]["user"], facts["lab"]["whole"]) == (True, "me", True)
    assert [node["hostname"] for node in facts["nodes"]] == ["n1.default.localhost", "n2.default.localhost"]
    assert run_rcfail("lab", "down", environment=env).returncode == ExitCode.OK
    said = "".join(chain.from_iterable((ran.stdout, ran.stderr) for ran in (up, told, judged, status)))
    assert "Traceback" not in said


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, ExitCode.INTERRUPTED)])
def test_an_up_that_ends_while_it_makes_certificates_leaves_nothing(
    lab_home: Path, tls_server: ServerUnderTest, number: signal.Signals, code: int
) -> None:
    env = rcfail_environment(RCFAIL_LAB_HOME=str(lab_home))
    words = rcfail_command("lab", "up", "--tls", "--acl", "--server", tls_server.path)
    with subprocess.Popen(
        words, env=env, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as made:
        assert made.stderr is not None
        assert any("making certificates" in line for line in iter(made.stderr.readline, ""))
        made.send_signal(number)
        made.communicate(timeout=60)
    assert made.returncode == code
    if number is signal.SIGKILL:
        half = run_rcfail("lab", "up", environment=env)
        assert "half-made" in half.stderr
        assert run_rcfail("lab", "status", environment=env).returncode == ExitCode.OK
        assert run_rcfail("lab", "down", environment=env).returncode == ExitCode.OK
    assert not Register(lab_home).names()


def by_shell(script: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    words = ["/bin/sh", "-c", script]
    return subprocess.run(words, env=env, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("name", ["default", ADMIN, REPLICATION, "two words", "", "x" * 33, ">secret"])
def test_odd_names_of_users_are_turned_down(lab_home: Path, name: str) -> None:
    if not name:
        assert kinds.Access(user=name) == kinds.PLAIN
        return
    ran = run_rcfail("lab", "up", "--user", name, environment=rcfail_environment(RCFAIL_LAB_HOME=str(lab_home)))
    assert ran.returncode == ExitCode.USAGE, ran
    assert "hint: Use up to 32 letters" in ran.stderr
