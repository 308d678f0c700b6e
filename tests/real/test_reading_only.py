"""Nothing that reads ever changes a cluster, and no secret is ever told. On real servers of every version."""

from __future__ import annotations

import hashlib
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rcfail.clock import Deadline, poll
from rcfail.exits import ExitCode
from rcfail.practice.lab.register import NodeEntry
from tests.real.conftest import LabMaker
from tests.real.resp import Err, Mute, Wire
from tests.real.servers import RunningLab, ServerUnderTest
from tests.real.test_wire_servers import CLUSTER, Starter, start
from tests.unit.ordeal import QUICK, endure, environment, on_terminal

__all__ = ["start"]  # a fixture

every_server = pytest.mark.every_server
PASSWORD = "s3cret-kolibri-of-the-test"
USER = "rcfail-ro"


# What is told of secrets


def commands_and_outputs(folder: Path) -> list[list[str]]:
    """Every command that looks, in every form that it writes."""
    looks = [["health", "--all"], ["nodes"], ["views"], ["whatif", "--all"], ["acl"], ["config", "show"]]
    forms = [[*look, "-o", output] for look in looks for output in ("text", "json")]
    forms += [["health", "-o", output] for output in ("nagios", "prometheus")]
    forms += [["health", "--watch", "200ms", "--rounds", "2"], ["health", "--watch", "--rounds", "1", "-o", "json"]]
    return [*forms, ["config", "check"], ["probe", "ready"], ["record", str(folder / "r"), "--force"]]


def test_no_secret_stands_in_any_output_record_or_list_of_processes(lab: LabMaker, tmp_path: Path) -> None:
    """The password of the cluster, given in every way, and its users' hashes, while the cluster breaks."""
    one = lab(conf=(f"requirepass {PASSWORD}", f"masterauth {PASSWORD}"))
    other, hashes = "another-s3cret-of-the-test", [hashlib.sha256(PASSWORD.encode()).hexdigest()]
    one.say("n3", "ACL", "SETUSER", "app", "on", f">{other}", "~*", "+@all")  # on one node alone, to be told about
    hashes.append(hashlib.sha256(other.encode()).hexdigest())
    file = tmp_path / "password"
    file.write_text(PASSWORD)
    file.chmod(0o600)
    told: list[str] = []
    ways: tuple[tuple[tuple[str, ...], dict[str, str]], ...] = (
        ((), {"RCFAIL_PASSWORD": PASSWORD}),
        (("--password-file", str(file)), {}),
    )
    for broken in (False, True):
        if broken:
            one.break_replication("n4")
            one.kill("n2")
            one.freeze("n3")
        for at, command in enumerate(commands_and_outputs(tmp_path)):
            way, env = ways[at % len(ways)]
            seed = one.seeds.split(",")[0] if command[0] == "probe" else one.seeds
            where = ["--node", seed] if command[0] == "probe" else ["-s", seed]
            ended = endure(*command, *where, *QUICK, *way, env={"RCFAIL_DEBUG": "1", **env})
            assert "refuses our credentials" not in ended.out + ended.err
            assert "Traceback" not in ended.err, ended
            assert ended.out or command[0] == "probe", ended
            told += [ended.out, ended.err, (tmp_path / "r").read_text() if command[0] == "record" else ""]
    code, shown = on_terminal(
        "health", "--ask-password", "-s", one.seeds, *QUICK, typed=[(b"Password: ", f"{PASSWORD}\n".encode())]
    )
    assert code in (ExitCode.WARNING, ExitCode.CRITICAL, ExitCode.UNKNOWN)
    told.append(shown.decode())
    for secret in (PASSWORD, other, *hashes):
        assert not [text for text in told if secret in text]


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="this system has no /proc")
def test_no_secret_stands_in_the_list_of_processes(start: Starter, tmp_path: Path) -> None:
    node = start(*CLUSTER)
    file = tmp_path / "password"
    file.write_text(PASSWORD)
    file.chmod(0o600)
    node.process.send_signal(signal.SIGSTOP)
    for way, env in (((), {"RCFAIL_PASSWORD": PASSWORD}), (("--password-file", str(file)), {})):
        words = ["health", "-s", str(node.endpoint), "--read-timeout", "3s", *way]
        command = [sys.executable, "-m", "rcfail", *words]
        with subprocess.Popen(
            command, env=environment(**env), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            connected = f"/proc/{process.pid}/net/tcp"
            target = f":{node.endpoint.port:04X} 01 "
            poll(
                lambda connected=connected, target=target: target in Path(connected).read_text(),  # type: ignore[misc]
                bool,
                deadline=Deadline.after(20),
                every_s=0.02,
                waiting_for="the connection",
            )
            seen = Path(f"/proc/{process.pid}/cmdline").read_bytes()
            out, err = process.communicate(timeout=30)
        assert b"rcfail" in seen
        assert PASSWORD.encode() not in seen + out + err
        assert process.returncode == ExitCode.UNKNOWN


# Nothing is ever written

LOOKS = (
    ["health"],
    ["health", "--all", "-o", "json", "--min-replicas", "2", "--max-lag-bytes", "1", "--max-lag-s", "0"],
    ["health", "--wait", "1s", "--fail-on", "critical", "--ignore", "quorum-fragile"],
    ["nodes"],
    ["nodes", "-o", "json"],
    ["whatif"],
    ["whatif", "-o", "json", "--all"],
    ["views"],
    ["acl"],
    ["config", "check"],
    ["health", "-o", "nagios"],
    ["health", "-o", "prometheus"],
    ["health", "--watch", "200ms", "--rounds", "2"],
    ["record", "FILE", "--force"],
    ["record", "FILE.gz", "--force", "-o", "json"],
)
ASKED = {"info", "cluster|info", "cluster|nodes", "cluster|links", "cluster|getslotmigrations", "config|get", "auth"}
ASKED |= {"acl|list"}  # as the default user
OF_REPLICATION = {"ping", "replconf", "psync"}


@every_server
def test_reading_commands_send_only_questions(lab: LabMaker, server: ServerUnderTest, tmp_path: Path) -> None:
    """By the servers' own count of commands, on a clean cluster and on a broken one.

    Redis 6.2 counts no sub-commands: there it is the next test that proves it.
    """
    one = lab()
    counts_sub_commands = not server.label.startswith("redis-6.")
    for breaking in (
        lambda: None,
        lambda: one.open_slot(7),
        lambda: one.break_replication("n4"),
        lambda: one.kill("n2"),
    ):
        breaking()
        before = {node.name: calls(node) for node in alive(one)}
        tables = {node.name: config_of(node) for node in alive(one)}
        look(one, tmp_path, ("--user", "default"), {"RCFAIL_PASSWORD": "any"})
        for node in alive(one):
            added = {name for name, count in calls(node).items() if count > before[node.name].get(name, 0)}
            asked = ASKED if counts_sub_commands else {name.split("|")[0] for name in ASKED}
            assert "info" in added, "it was asked"
            assert added - OF_REPLICATION <= asked, f"{node.name} was told something"
            assert config_of(node) == tables[node.name]


@every_server
def test_reading_commands_need_no_more_than_permission_to_read(
    lab: LabMaker, server: ServerUnderTest, tmp_path: Path
) -> None:
    """A user who may ask these questions and nothing else is never turned away: no node's ACL LOG has a line."""
    one = lab()
    version = tuple(int(part) for part in server.label.split("-")[1].split("."))
    questions = ["+info", "+cluster|info", "+cluster|nodes", "+config|get"]
    questions += ["+cluster|links"] if version >= (7,) else []
    questions += ["+cluster|getslotmigrations"] if server.label.startswith("valkey-9") else []
    for node in one.nodes:
        one.say(node, "ACL", "SETUSER", USER, "on", f">{PASSWORD}", "resetkeys", "resetchannels", "-@all", *questions)
    env = {"RCFAIL_PASSWORD": PASSWORD}
    assert endure("health", "-s", one.seeds, "--user", USER, env=env).code == ExitCode.OK
    for breaking in (lambda: None, lambda: one.open_slot(7), lambda: one.freeze("n5"), lambda: one.kill("n2")):
        breaking()
        look(one, tmp_path, ("--user", USER), env)
        for node in alive(one):
            assert ask(node, "ACL", "LOG") == (), f"{node.name} was asked for more"


def look(one: RunningLab, folder: Path, way: tuple[str, ...], env: dict[str, str]) -> None:
    """Every reading command, with all its options."""
    for words in LOOKS:
        named = [str(folder / word) if word.startswith("FILE") else word for word in words]
        ended = endure(*named, "-s", one.seeds, *QUICK, *way, env=env)
        assert ended.code in (ExitCode.OK, ExitCode.WARNING, ExitCode.CRITICAL, ExitCode.UNKNOWN), ended


def alive(one: RunningLab) -> list[NodeEntry]:
    """The nodes that answer."""
    found = []
    for node in one.nodes:
        try:
            ask(node, "PING")
        except Mute:
            continue
        found.append(node)
    return found


def ask(node: NodeEntry, *words: str) -> object:
    with Wire(node.endpoint.host, node.endpoint.port, 1.0) as wire:
        reply = wire.call(*words)
    assert not isinstance(reply, Err), reply
    return reply


def calls(node: NodeEntry) -> dict[str, int]:
    """How often each command was called, failed and rejected calls included."""
    text = str(ask(node, "INFO", "commandstats"))
    rows = re.findall(r"^cmdstat_([^:]+):calls=([0-9]+)(?:.*rejected_calls=([0-9]+))?", text, re.MULTILINE)
    return {name: int(count) + int(rejected or 0) for name, count, rejected in rows}


def config_of(node: NodeEntry) -> object:
    """All settings, but whom it follows: a failover changes that by itself."""
    said = ask(node, "CONFIG", "GET", "*")
    assert isinstance(said, tuple)
    return [pair for pair in zip(said[::2], said[1::2], strict=True) if pair[0] not in ("slaveof", "replicaof")]
