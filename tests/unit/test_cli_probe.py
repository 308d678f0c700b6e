"""The command probe, where no real server is needed: what it reads, and what it makes of silence."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rcfail.cluster.nouns import Endpoint
from rcfail.cluster.observation import Silence, SilenceReason
from rcfail.cluster.snapshot import Known
from rcfail.health.probe import NodeState, live, ready
from rcfail.render.words import SILENCE_WORDS
from tests.unit.running import rcfail
from tests.unit.world import World, node_id

Capsys = pytest.CaptureFixture[str]
NOBODY = "127.0.0.1:1"


@contextmanager
def saying(*replies: bytes) -> Iterator[str]:
    """A server that says this to whatever it is asked, and its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for reply in replies:
                client, _ = listener.accept()
                with client:
                    client.settimeout(10)
                    client.recv(65536)
                    client.sendall(reply)
                    client.shutdown(socket.SHUT_WR)
                    while client.recv(65536):
                        pass

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        thread.join(10)


@pytest.mark.parametrize(
    "reply",
    [
        b"+PONG\r\n",
        b"-LOADING Redis is loading the dataset in memory\r\n",
        b"-LOADING Valkey is loading the dataset in memory\r\n",
        b"-NOAUTH Authentication required.\r\n",
        b"-NOPERM User probe has no permissions to run the 'ping' command\r\n",
        b"-CLUSTERDOWN The cluster is down\r\n",
        b"-MASTERDOWN Link with MASTER is down\r\n",
        b"-BUSY Redis is busy running a script.\r\n",
        b"-ERR max number of clients reached\r\n",
        b"-DENIED Redis is running in protected mode\r\n",
        b"-MISCONF Errors writing to the AOF file\r\n",
        b"-SOMETHING that no version says yet\r\n",
        b"\x15\x03\x03\x00\x02\x02\x46",  # a TLS alert
        b"",  # it takes the connection and ends it
    ],
)
def test_whatever_is_said_is_a_sign_of_life(capsys: Capsys, reply: bytes) -> None:
    with saying(reply) as node:
        ran = rcfail(capsys, "probe", "live", "--node", node)
    assert (ran.code, ran.err) == (0, ""), ran
    assert ran.out.startswith(f"live: yes  {node} ")


def test_another_service_is_no_life(capsys: Capsys) -> None:
    with saying(b"HTTP/1.1 400 Bad Request\r\n\r\n") as node:
        assert rcfail(capsys, "probe", "live", "--node", node).code == 1


def test_what_a_server_says_is_one_harmless_line(capsys: Capsys) -> None:
    with saying(b"-ERR \x1b[2J oh\x07 no\r\n") as node:
        ran = rcfail(capsys, "probe", "live", "--node", node)
    assert ran.out.count("\n") == 1
    assert "\x1b" not in ran.out


def test_nobody_there(capsys: Capsys) -> None:
    for word in ("live", "ready"):
        ran = rcfail(capsys, "probe", word, "--node", "127.0.0.9:1")
        assert (ran.code, ran.err) == (1, "")
        assert ran.out == f"{word}: no  127.0.0.9:1 refuses the connection\n"


def test_the_data_of_a_probe(capsys: Capsys) -> None:
    ran = rcfail(capsys, "probe", "live", "--node", "127.0.0.9:1", "-o", "json")
    assert (ran.code, ran.document["command"]) == (1, "probe live")
    assert ran.document["data"] == {
        "probe": "live", "answer": "no", "state": "silent", "reason": "refuses the connection",
        "node": {"id": None, "host": "127.0.0.9", "port": 1}, "cluster_state": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    "setting",
    [
        {"RCFAIL_SEEDS": "no seed at all"},
        {"RCFAIL_PASSWORD": "wrong"},
        {"RCFAIL_CACERT": "/nonexistent/ca.pem"},
        {"RCFAIL_CERT": "/nonexistent/cert.pem"},
        {"RCFAIL_TLS_VERIFY": "nonsense"},
        {"RCFAIL_NATMAP": "nonsense"},
        {"RCFAIL_USER": "nobody"},
    ],
)
def test_no_setting_of_the_probe_ends_a_server(
    capsys: Capsys, monkeypatch: pytest.MonkeyPatch, setting: dict[str, str]
) -> None:
    """A password that was changed or a certificate that has gone would otherwise end all pods at once."""
    for name, value in setting.items():
        monkeypatch.setenv(name, value)
    reply = b"\x15\x03\x03\x00\x02\x02\x46" if "RCFAIL_C" in str(setting) else b"-NOAUTH Authentication required.\r\n"
    with saying(reply) as node:
        assert rcfail(capsys, "probe", "live", "--node", node).code == 0
    with saying(b"+PONG\r\n") as node:
        options = ("--password-file", "/nonexistent/x", "--node", node)
        assert rcfail(capsys, "probe", "live", "--no-tls", *options).code == 0


@pytest.mark.parametrize(
    "args",
    [
        ["probe"],
        ["probe", "startup"],
        ["probe", "live", "-s", NOBODY],
        ["probe", "ready", "--from-record", "f"],
        ["probe", "ready", "--node", "h:x"],
        ["probe", "live", "--joined"],
        ["probe", "live", "-o", "prometheus"],
    ],
)
def test_a_wrong_command_line(capsys: Capsys, args: list[str]) -> None:
    assert rcfail(capsys, *args).code == 64


def test_a_password_file_that_is_gone_is_no_verdict_of_the_node(capsys: Capsys, tmp_path: Path) -> None:
    ran = rcfail(capsys, "probe", "ready", "--node", NOBODY, "--password-file", str(tmp_path / "nosuch"))
    assert (ran.code, ran.out) == (78, "")


@pytest.mark.parametrize("reason", SilenceReason)
def test_every_silence_is_told(reason: SilenceReason) -> None:
    silence = Silence(Endpoint("h", 1), None, reason)
    alive, able = live(silence, SILENCE_WORDS), ready(silence, SILENCE_WORDS)
    assert alive.words == able.words == SILENCE_WORDS[reason]
    assert alive.answer is not Known.UNKNOWN
    assert able.answer is not Known.YES, "silence is never good"
    if reason.value.startswith(("tls", "not-tls", "auth")):
        assert (alive.answer, able.answer) == (Known.YES, Known.UNKNOWN), "what is wrong is the probe"


def test_what_is_not_said_is_unknown() -> None:
    """A replica whose INFO is refused or cut short."""
    world = World.of(3, 1)
    world["a1"].info["master_link_status"] = None
    said = ready(world.snapshot().by_observer[node_id("a1")], SILENCE_WORDS)
    assert (said.answer, said.state) == (Known.UNKNOWN, NodeState.UNCLEAR)


def test_a_replica_whose_primary_nobody_knows_may_not_be_waited_for() -> None:
    world = World.of(3, 1)
    world["a1"].info["master_link_status"] = "down"
    world["a1"].sees[node_id("a")] = None
    said = ready(world.snapshot().by_observer[node_id("a1")], SILENCE_WORDS)
    assert (said.answer, said.state) == (Known.YES, NodeState.REPLICA_ALONE)
