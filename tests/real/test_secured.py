"""Clusters behind TLS, NAT and names, met as an operator meets them: what is missing, what is wrong, what works."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from rcfail.exits import ExitCode
from rcfail.practice.lab.access import Access
from rcfail.practice.lab.certs import authority, pair
from rcfail.practice.lab.register import NodeEntry
from tests.real.conftest import LabMaker
from tests.real.servers import RunningLab, ServerUnderTest, rcfail_environment, run_rcfail

TLS = Access(tls=True)
SMALL = ("--min-replicas", "0", "--ignore", "quorum-fragile")


class Answer(NamedTuple):
    code: int
    document: dict[str, Any]

    @property
    def trouble(self) -> str:
        """The first error and its hint."""
        first = self.document["errors"][0]
        return f"{first['message']}\n{first['hint']}"

    @property
    def silences(self) -> dict[str, str]:
        """Reason and text by node id."""
        return {each["id"]: f"{each['reason']}: {each['text']}" for each in self.document["data"]["silences"]}


def ask(*words: str, **variables: str) -> Answer:
    """rcfail with nothing set but this."""
    ran = run_rcfail(*words, "-o", "json", environment=rcfail_environment(**variables))
    return Answer(ran.returncode, json.loads(ran.stdout))


def as_client(lab: RunningLab) -> tuple[str, ...]:
    certificate, key = pair(lab.entry)
    return ("--cacert", str(authority(lab.entry)), "--cert", str(certificate), "--key", str(key))


def reissue(lab: RunningLab, node: NodeEntry, alternatives: str, days: str = "2") -> None:
    """Give a node another certificate for its key, signed by the lab's authority, and let it take it."""
    certificate, key = pair(lab.entry, node.name)
    folder = certificate.parent
    (folder / "ext").write_text(f"subjectAltName={alternatives}\nextendedKeyUsage=serverAuth,clientAuth\n")
    request = ("openssl", "req", "-new", "-key", str(key), "-subj", f"/CN={node.name}", "-out", "csr")
    signer = ("-CA", "ca.crt", "-CAkey", "ca.key", "-set_serial", "4711", "-days", days, "-extfile", "ext")
    for command in (request, ("openssl", "x509", "-req", "-in", "csr", *signer, "-out", str(certificate))):
        subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=30)
    lab.say(node, "CONFIG", "SET", "tls-cert-file", str(certificate))


def test_what_is_missing_is_told_step_by_step(lab: LabMaker, tls_server: ServerUnderTest, tmp_path: Path) -> None:
    """From nothing but an address to a verdict, each time by what the hint says."""
    made = lab(access=TLS, server=tls_server.path)
    seed, plain = str(made.nodes[0].endpoint), f"{made.nodes[0].host}:{made.nodes[0].plain_port}"
    words = as_client(made)
    nothing = ask("health", "-s", seed)
    assert (nothing.code, "speaks TLS only" in nothing.trouble, "--tls" in nothing.trouble) == (3, True, True)
    no_authority = ask("health", "-s", seed, "--tls")
    assert (no_authority.code, "--cacert" in no_authority.trouble) == (3, True)
    assert "no trusted CA" in no_authority.trouble
    no_certificate = ask("health", "-s", seed, *words[:2])
    assert (no_certificate.code, "--cert FILE --key FILE" in no_certificate.trouble) == (3, True)
    assert ask("health", "-s", seed, *words).code == ExitCode.OK
    not_tls = ask("health", "-s", plain, *words)
    assert (not_tls.code, "does not speak TLS" in not_tls.trouble, "--no-tls" in not_tls.trouble) == (3, True, True)
    wrong_name = ask("health", "-s", seed, *words, "--sni", "elsewhere.example")
    assert (wrong_name.code, "not for elsewhere.example" in wrong_name.trouble) == (3, True)
    assert ask("health", "-s", seed, *words, "--sni", "elsewhere.example", "--tls-verify", "ca").code == ExitCode.OK
    assert ask("health", "-s", seed, "--insecure", *words[2:]).code == ExitCode.OK
    assert ask("health", "-s", seed, *words[:2], "--cert", "/nonexistent", "--key", words[5]).code == ExitCode.CONFIG
    unreadable = tmp_path / "key"
    subprocess.run(
        ["openssl", "pkey", "-in", words[5], "-aes256", "-passout", "pass:sesame", "-out", str(unreadable)],
        check=True,
        capture_output=True,
        timeout=30,
    )
    locked = ask("health", "-s", seed, *words[:4], "--key", str(unreadable))
    assert (locked.code, "passphrase" in locked.trouble) == (ExitCode.CONFIG, True)


def test_certificates_for_announced_names_are_verified_by_them(lab: LabMaker, tls_server: ServerUnderTest) -> None:
    made = lab(access=Access(tls=True, tls_only=True, hostnames=True), server=tls_server.path)
    first, second, third, *_ = made.nodes
    words = ("health", "-s", str(first.endpoint), *as_client(made))
    for node in made.nodes[1:]:
        reissue(made, node, f"DNS:{node.hostname}")
    assert ask(*words).code == ExitCode.OK
    reissue(made, second, "DNS:somebody.else")
    reissue(made, third, f"DNS:{third.hostname}", days="-1")
    seen = ask(*words)
    assert seen.code == ExitCode.UNKNOWN
    assert "it is for somebody.else, not for" in seen.silences[second.node_id]
    assert second.hostname in seen.silences[second.node_id]
    assert seen.silences[third.node_id] == "tls-expired: it is expired"
    told = {each["subject"]["id"]: each for each in seen.document["data"]["findings"] if each["code"] == "node-silent"}
    assert "cluster-announce-hostname" in told[second.node_id]["hint"]
    assert "Renew the certificate" in told[third.node_id]["hint"]


def test_a_named_cluster_needs_nothing_else_and_its_hints_work(
    lab: LabMaker, tls_server: ServerUnderTest, tmp_path: Path
) -> None:
    made = lab(access=Access(tls=True, tls_only=True), server=tls_server.path)
    certificate, key = pair(made.entry)
    config = tmp_path / "config.toml"
    config.write_text(
        f'[clusters.shop]\nseeds = ["{made.seeds}"]\nmin_replicas = 1\n'
        f'[clusters.shop.tls]\nca_file = "{authority(made.entry)}"\ncert_file = "{certificate}"\nkey_file = "{key}"\n'
        f'[clusters.shop.zones]\n"{made.nodes[0].host}" = "here"\n'
    )
    variables = {"RCFAIL_CONFIG": str(config)}
    checked = ask("config", "check", "-c", "shop", **variables)
    assert (checked.code, len(checked.document["data"]["reached"])) == (ExitCode.OK, 6)
    fine = ask("health", "-c", "shop", **variables)
    assert (fine.code, fine.document["cluster"]["name"]) == (ExitCode.OK, "shop")
    zones = {each["id"]: each["zone"] for each in fine.document["data"]["nodes"]}
    assert zones[made.nodes[0].node_id] == "here"
    assert ask("health", RCFAIL_CLUSTER="shop", **variables).code == ExitCode.OK

    victim = made.replica_of("n1")
    made.kill(victim)
    made.wait(lambda: ask("health", "-c", "shop", **variables).code == ExitCode.WARNING, "the dead replica", 60)
    hints = [each["hint"] for each in ask("health", "-c", "shop", **variables).document["data"]["findings"]]
    commands = [hint.partition(": ")[2] for hint in hints]
    ours = [command for command in commands if command.startswith("rcfail ") and "explain" not in command]
    theirs = [command for command in commands if command.startswith("redis-cli ") and str(victim.port) not in command]
    assert ours or theirs, hints
    for command in ours:
        assert command.split()[2:4] == ["-c", "shop"], command
    for command in theirs:
        done = subprocess.run(shlex.split(command), capture_output=True, text=True, timeout=20, check=False)
        assert done.returncode == 0, (command, done)
    partly = ask("config", "check", "-c", "shop", **variables)
    assert partly.code == ExitCode.UNKNOWN
    assert [each["id"] for each in partly.document["data"]["silences"]] == [victim.node_id]


@pytest.mark.every_server
def test_announced_ports_that_lead_nowhere_are_mapped(lab: LabMaker) -> None:
    """As with ports that a container publishes: the nodes announce what only others can reach."""
    made = lab(3, 0)
    shift = 1000
    for node in made.nodes:
        made.say(node, "CONFIG", "SET", "cluster-announce-port", str(node.port + shift))
    announced = {node.node_id: node.port + shift for node in made.nodes}
    # Of itself Redis 6.2 goes on printing the port where it listens.
    pairs = [(observer, node) for observer in made.nodes for node in made.nodes if observer != node]
    made.wait(
        lambda: all(made.belief(observer, of=node).address.port == announced[node.node_id] for observer, node in pairs),
        "all nodes to know the announced ports",
        60,
    )
    seed = str(made.nodes[0].endpoint)
    blind = ask("health", "-s", seed, *SMALL)
    assert blind.code in (ExitCode.CRITICAL, ExitCode.UNKNOWN)
    rules = [f"{node.host}:{announced[node.node_id]}={node.endpoint}" for node in made.nodes]
    mapped = ask("health", "-s", seed, *SMALL, *(word for rule in rules for word in ("--natmap", rule)))
    assert mapped.code == ExitCode.OK, mapped.document["data"]["findings"]
    assert {each["port"] for each in mapped.document["data"]["nodes"]} <= {node.port for node in made.nodes}
    by_variable = ask("health", "-s", seed, *SMALL, RCFAIL_NATMAP=",".join(rules))
    assert by_variable.code == ExitCode.OK

    first, second, _ = made.nodes
    crossed = [f"{second.host}:{announced[second.node_id]}={first.endpoint}", *rules[:1], *rules[2:]]
    wrong = ask("health", "-s", seed, *SMALL, *(word for rule in crossed for word in ("--natmap", rule)))
    assert wrong.code in (ExitCode.CRITICAL, ExitCode.UNKNOWN)
    assert wrong.silences[second.node_id].startswith("another-node")


def test_an_ipv6_cluster_by_its_bare_and_its_bracketed_address(lab: LabMaker) -> None:
    made = lab(1, 1, access=Access(ipv6=True))
    port = made.nodes[0].port
    assert ask("health", "-s", f"[::1]:{port}", "--ignore", "quorum-fragile").code == ExitCode.OK
    away = f"[::1]:{port}=[0:0:0:0:0:0:0:1]:{port}"
    assert ask("health", "-s", f"[::1]:{port}", "--ignore", "quorum-fragile", "--natmap", away).code == ExitCode.OK
