"""A cluster behind TLS, mutual TLS, ACL users and host names, used as an operator would, from end to end.

What one look at it needs is given through the environment, as `rcfail lab env` prints it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from rcfail.exits import ExitCode
from rcfail.practice.lab import certs
from rcfail.practice.lab.access import ADMIN, REPLICATION, Access, EndpointType
from rcfail.practice.lab.certs import authority, issue_for, pair
from rcfail.practice.lab.users import password_of
from tests.real.conftest import LabMaker
from tests.real.servers import REPOSITORY, RunningLab, ServerUnderTest, rcfail_environment, run_rcfail
from tests.real.verdicts import Health, health_of

ACCESS = Access(tls=True, tls_only=True, user="operator", hostnames=True, endpoint_type=EndpointType.HOSTNAME)
WRONG_PASSWORD = "not-the-password-7f3a"


@pytest.fixture
def secured(lab: LabMaker, tls_server: ServerUnderTest) -> RunningLab:
    return lab(access=ACCESS, server=tls_server.path, hosts=6)


def secrets_of(lab: RunningLab) -> tuple[str, ...]:
    entry = lab.entry
    keys = [pair(entry, whose)[1].read_text().splitlines()[1] for whose in ("client", "n1")]
    return (*(password_of(entry, user) for user in (ADMIN, REPLICATION, entry.access.user)), *keys, WRONG_PASSWORD)


def told(lab: RunningLab, ran: subprocess.CompletedProcess[str]) -> str:
    """All that a run printed, which is no traceback and holds no secret."""
    text = ran.stdout + ran.stderr
    assert "Traceback" not in text
    assert not [secret for secret in secrets_of(lab) if secret in text]
    return text


def document(ran: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    found = json.loads(ran.stdout)
    assert isinstance(found, dict)
    return found


def test_every_look_works(secured: RunningLab, tmp_path: Path) -> None:
    health = secured.rcfail("health", "--all")
    assert health.returncode == ExitCode.OK, health
    assert "16384 slots served by 3 primaries with 3 replicas" in told(secured, health)
    assert all(node.hostname in health.stdout for node in secured.nodes)
    nodes = secured.rcfail("nodes", "-o", "json")
    assert nodes.returncode == ExitCode.OK, nodes
    listed = {(each["host"], each["port"], each["hostname"]) for each in document(nodes)["data"]["nodes"]}
    assert listed == {(node.host, node.port, node.hostname) for node in secured.nodes}
    views = secured.rcfail("views")
    assert views.returncode == ExitCode.OK, views
    whatif = secured.rcfail("whatif", "--lose", "n1", "-o", "json")
    by_name = secured.rcfail("whatif", "--lose", secured.nodes[0].hostname, "-o", "json")
    assert by_name.returncode == ExitCode.WARNING, (whatif, by_name)
    for ran in (nodes, views, whatif, by_name):
        told(secured, ran)


def test_every_other_command_works_and_tells_no_secret(secured: RunningLab) -> None:
    node = secured.nodes[0]
    runs = {
        ("health", "-o", "nagios"): "OK",
        ("health", "-o", "prometheus"): "rcfail_",
        ("health", "--watch", "200ms", "--rounds", "2"): "16384 slots",
        ("probe", "live", "--node", str(node.endpoint)): "",
        ("probe", "ready", "--node", str(node.endpoint)): "",
        ("acl", "reading"): "redis 7.0",
        ("acl", "operating"): "+cluster|failover",
        ("lab", "status", secured.name): "TLS",
        ("lab", "env", secured.name): "RCFAIL_PASSWORD_FILE",
        ("lab", "list"): secured.name,
    }
    for words, expected in runs.items():
        ran = secured.rcfail(*words)
        assert ran.returncode == ExitCode.OK, ran
        assert expected in told(secured, ran), ran
    for each in secured.nodes:
        assert secured.ask(each, "ACL", "LOG") == (), f"{each.name} was asked for more than this user may"


def test_it_is_a_named_cluster_too(secured: RunningLab, tmp_path: Path) -> None:
    env = secured.environment()
    seeds = ", ".join(f'"{seed}"' for seed in env["RCFAIL_SEEDS"].split(","))
    rows = [
        "[clusters.prod]",
        f"seeds = [{seeds}]",
        f'user = "{env["RCFAIL_USER"]}"',
        f'password_file = "{env["RCFAIL_PASSWORD_FILE"]}"',
        "[clusters.prod.tls]",
        *(f'{kind}_file = "{env[f"RCFAIL_{name}"]}"' for kind, name in _FILES.items()),
    ]
    config = tmp_path / "config.toml"
    config.write_text("\n".join(rows) + "\n")
    bare = rcfail_environment(RCFAIL_CONFIG=str(config))
    for words in (("health",), ("config", "check"), ("config", "show"), ("views",)):
        ran = run_rcfail(*words, "-c", "prod", environment=bare)
        assert ran.returncode == ExitCode.OK, ran
        told(secured, ran)
    secured.kill("n4")
    ran = run_rcfail("health", "-c", "prod", environment=bare)
    assert ran.returncode in (ExitCode.WARNING, ExitCode.UNKNOWN), ran
    said = " ".join(told(secured, ran).split())
    # The others may not miss it yet, and then it is to be asked from elsewhere.
    way = "redis-cli --tls" if ran.returncode == ExitCode.UNKNOWN else "rcfail recover -c prod"
    assert way in said, said


_FILES = {"ca": "CACERT", "cert": "CERT", "key": "KEY"}


def test_a_record_of_it_holds_no_secret_and_is_judged_without_any(secured: RunningLab, tmp_path: Path) -> None:
    record = tmp_path / "incident.json"
    saved = secured.rcfail("record", str(record))
    assert saved.returncode == ExitCode.OK, saved
    told(secured, saved)
    assert not [secret for secret in secrets_of(secured) if secret in record.read_text()]
    later = run_rcfail("health", "-o", "json", "--from-record", str(record), environment=rcfail_environment())
    assert later.returncode == ExitCode.OK, later
    live = document(secured.rcfail("health", "-o", "json"))
    assert _nodes_in(document(later)) == _nodes_in(live)


def _nodes_in(answer: dict[str, Any]) -> set[tuple[str, str]]:
    return {(node["id"], node["role"]) for node in answer["data"]["nodes"]}


def test_it_is_judged_as_a_plain_cluster_is(secured: RunningLab, lab: LabMaker, tls_server: ServerUnderTest) -> None:
    """The same faults, side by side, and the same findings; the failover is followed on both."""
    plain = lab(server=tls_server.path, hosts=6)
    both = (secured, plain)
    for said in _each(both, "after they came up"):
        assert said.exit_code == ExitCode.OK
    for one in both:
        one.kill("n1")
        replica = one.replica_of("n1")
        one.wait(lambda one=one, replica=replica: one.belief("n2", of=replica).slots, "the replica to be promoted", 30)  # type: ignore[misc]
        one.wait(lambda one=one: health_of(one).serving == "yes", "all slots to be served", 30)  # type: ignore[misc]
    for said in _each(both, "after a failover"):
        assert (said.exit_code, set(said.codes)) == (ExitCode.WARNING, {"node-failed", "replica-missing"})
    for one in both:
        one.restart("n1", wait_s=30)
        one.freeze("n3")
        one.wait(lambda one=one: "node-frozen" in health_of(one).codes, "the frozen node to be reported", 30)  # type: ignore[misc]
        one.wait(lambda one=one: one.belief("n2", of=one.replica_of("n3")).slots, "the next failover", 30)  # type: ignore[misc]
        one.wait(lambda one=one: health_of(one).serving == "yes", "all slots to be served again", 30)  # type: ignore[misc]
    for said in _each(both, "with a frozen node"):
        assert "node-frozen" in said.codes
    for one in both:
        one.thaw("n3")
        one.wait(lambda one=one: health_of(one).exit_code == ExitCode.OK, "the cluster to be healthy", 30)  # type: ignore[misc]


def _each(labs: tuple[RunningLab, RunningLab], when: str) -> Iterator[Health]:
    """The verdicts on both, which must be the same."""
    first, second = (health_of(one) for one in labs)
    same = ("exit_code", "serving", "redundant", "failover_ready", "codes")
    assert [getattr(first, name) for name in same] == [getattr(second, name) for name in same], when
    yield from (first, second)


def test_nodes_are_known_by_the_names_that_they_announce(secured: RunningLab) -> None:
    """All but the seed show a certificate that is for their host name only: it is taken, since a view names it so."""
    entry = secured.entry
    for node in entry.nodes[1:]:
        issue_for(entry, replace(node, host="192.0.2.1"))
        # Any TLS setting that changes has the server read its files again (applyTlsCfg, config.c).
        secured.say(node, "CONFIG", "SET", "tls-session-cache-size", "1000")
    seed = f"{entry.nodes[0].host}:{entry.nodes[0].port}"
    ran = run_rcfail("health", "-o", "json", environment={**secured.environment(), "RCFAIL_SEEDS": seed})
    assert ran.returncode == ExitCode.OK, ran
    other = f"{entry.nodes[1].host}:{entry.nodes[1].port}"
    alone = run_rcfail("health", environment={**secured.environment(), "RCFAIL_SEEDS": other})
    assert alone.returncode == ExitCode.UNKNOWN, alone
    assert "another name" in alone.stderr
    assert entry.nodes[1].hostname in alone.stderr


# rcfail on a machine that knows the names: its first argument is a file of lines as in /etc/hosts.
_KNOWING_NAMES = """
import runpy, socket, sys
with open(sys.argv.pop(1)) as file:
    addresses = dict(reversed(line.split()) for line in file)
ask = socket.getaddrinfo
def knowing(host, *rest, flags=0, **more):
    literal = flags & socket.AI_NUMERICHOST
    return ask(host if literal else addresses.get(host, host), *rest, flags=flags, **more)
socket.getaddrinfo = knowing
runpy.run_module("rcfail", run_name="__main__")
"""


def test_seeds_are_host_names_and_certificates_are_for_nothing_else(secured: RunningLab) -> None:
    entry = secured.entry
    for node in entry.nodes:
        issue_for(entry, replace(node, host="192.0.2.1"))
        secured.say(node, "CONFIG", "SET", "tls-session-cache-size", "1000")
    hosts = str(entry.folder_of("hosts"))
    names = [f"{node.hostname}:{node.port}" for node in entry.nodes]
    for seeds in (names[0], ",".join(names)):
        ran = subprocess.run(
            [sys.executable, "-c", _KNOWING_NAMES, hosts, "health", "-s", seeds],
            env=secured.environment(),
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ran.returncode == ExitCode.OK, ran
        told(secured, ran)


def test_all_can_be_said_on_the_command_line_but_the_password(secured: RunningLab) -> None:
    env = secured.environment()
    names = ("cacert", "cert", "key", "user", "password-file")
    flags = [word for name in names for word in (f"--{name}", env[f"RCFAIL_{name.upper().replace('-', '_')}"])]
    ran = run_rcfail("health", "-s", env["RCFAIL_SEEDS"], "--tls", *flags, environment=rcfail_environment())
    assert ran.returncode == ExitCode.OK, ran
    told(secured, ran)


def test_one_node_with_a_certificate_of_another_authority_is_named(secured: RunningLab, lab: LabMaker) -> None:
    other = lab(1, 0, access=ACCESS, server=secured.entry.server)
    for suffix in range(2):
        pair(secured.entry, "n5")[suffix].write_bytes(pair(other.entry, "n1")[suffix].read_bytes())
    secured.say("n5", "CONFIG", "SET", "tls-session-cache-size", "1000")
    said = health_of(secured)
    silent = said.all_of("node-silent")
    assert [each.id for each in silent] == [secured.node("n5").node_id], said
    assert "no CA that we trust signed its certificate" in silent[0].evidence


def test_certificates_that_run_out_are_named(secured: RunningLab, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bus goes on, since its links stand, and so nobody but a client notices."""
    monkeypatch.setattr(certs, "LIVES_DAYS", 0)
    n5 = secured.node("n5")
    issue_for(secured.entry, n5)
    secured.say(n5, "CONFIG", "SET", "tls-session-cache-size", "1000")
    secured.wait(lambda: health_of(secured).all_of("node-silent"), "its certificate to run out", 30)
    silent = health_of(secured).the("node-silent")
    assert silent.id == n5.node_id
    assert "its certificate is not valid now" in silent.evidence, silent
    ran = run_rcfail("health", environment={**secured.environment(), "RCFAIL_SEEDS": str(n5.endpoint)})
    assert ran.returncode == ExitCode.UNKNOWN, ran
    assert "expired" in told(secured, ran)
    assert "hint: Renew the certificate" in ran.stderr


class Mistake(NamedTuple):
    """What is set wrongly, and what rcfail must say of it."""

    environment: dict[str, str | None]
    says: str
    hint: str
    words: tuple[str, ...] = ()


def mistakes(lab: RunningLab, other: RunningLab, folder: Path) -> dict[str, Mistake]:
    password = folder / "password"
    password.write_text(WRONG_PASSWORD)
    password.chmod(0o600)
    certificate, key = (str(path) for path in pair(other.entry))
    credentials = "Check the user (--user) and the password"
    shown = "Show a certificate that the server's CA signed"
    return {
        "another CA": Mistake({"RCFAIL_CACERT": str(authority(other.entry))}, "no trusted CA signed", "--cacert FILE"),
        "no CA": Mistake({"RCFAIL_CACERT": None}, "no trusted CA signed", "--cacert FILE"),
        "another name": Mistake({"RCFAIL_SNI": "db.example"}, "not for db.example", "--sni NAME"),
        "no certificate": Mistake({"RCFAIL_CERT": None, "RCFAIL_KEY": None}, "it was shown none", shown),
        "another's certificate": Mistake({"RCFAIL_CERT": certificate, "RCFAIL_KEY": key}, "it refuses ours", shown),
        "no TLS": Mistake({"RCFAIL_TLS": None}, "speaks TLS only", "--tls --cacert FILE", ("--no-tls",)),
        "wrong password": Mistake({"RCFAIL_PASSWORD_FILE": str(password)}, "WRONGPASS", credentials),
        "wrong user": Mistake({"RCFAIL_USER": "nobody"}, "WRONGPASS", credentials),
        "no password": Mistake({"RCFAIL_PASSWORD_FILE": None, "RCFAIL_USER": None}, "NOAUTH", credentials),
    }


def test_what_is_set_wrongly_is_said_exactly(
    secured: RunningLab, lab: LabMaker, tls_server: ServerUnderTest, tmp_path: Path
) -> None:
    other = lab(1, 0, access=ACCESS, server=tls_server.path)
    record = tmp_path / "incident.json"
    others = cycle((("nodes",), ("record", str(record), "--force"), ("views",), ("whatif",)))
    for name, mistake in mistakes(secured, other, tmp_path).items():
        changed = {**secured.environment(), **mistake.environment}
        env = {variable: value for variable, value in changed.items() if value is not None}
        for verb in (("health",), next(others)):
            ran = run_rcfail(*verb, *mistake.words, environment=env)
            text = told(secured, ran)
            assert ran.returncode == ExitCode.UNKNOWN, (name, verb, ran)
            assert mistake.says in text, (name, verb, ran)
            assert mistake.hint in text.partition("hint: ")[2], (name, verb, ran)
        as_json = run_rcfail("health", "-o", "json", *mistake.words, environment=env)
        told(secured, as_json)
        facts = document(as_json)
        assert (facts["exit"], facts["verdict"]) == ("UNKNOWN", "unknown"), name
        assert len(facts["data"]["silences"]) == len(secured.nodes), name
    assert not [secret for secret in secrets_of(secured) if secret in record.read_text()]


def test_a_file_that_cannot_be_used_is_named(secured: RunningLab, tmp_path: Path) -> None:
    odd = tmp_path / "odd.pem"
    odd.write_text("nothing of the kind")
    for variable in ("RCFAIL_CACERT", "RCFAIL_CERT", "RCFAIL_KEY", "RCFAIL_PASSWORD_FILE"):
        for path in (odd, tmp_path / "missing"):
            if variable == "RCFAIL_PASSWORD_FILE" and path is odd:
                continue  # any line of text may be a password
            ran = run_rcfail("health", environment={**secured.environment(), variable: str(path)})
            assert ran.returncode == ExitCode.CONFIG, (variable, ran)
            assert str(path) in told(secured, ran), (variable, ran)
            assert "hint: " in ran.stderr, (variable, ran)
