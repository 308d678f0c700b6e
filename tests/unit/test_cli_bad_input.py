"""What a user meets by mistake: each a line, a hint, the right code, in time, over real sockets."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from rcfail.clock import Deadline, poll
from tests.unit.running import Ran, rcfail
from tests.unit.wire_servers import Behaviour, Call, closed_port, odd_server, serving, speaker
from tests.unit.wire_world import Servers
from tests.unit.world import World

Capsys = pytest.CaptureFixture[str]
QUICK = ("--connect-timeout", "500ms", "--read-timeout", "500ms")

SLACK_S = 20.0  # for a loaded machine; what hangs would take far longer


def says(raw: bytes) -> Behaviour:
    """Whatever is asked, this comes, and then the end."""

    def behave(call: Call) -> None:
        call.read()
        call.send(raw)

    return behave


def drips(call: Call) -> None:
    call.read()
    call.send(b"$100\r\n")
    while call.send(b"a") and not call.over.wait(0.05):
        pass


def never_ends(call: Call) -> None:
    call.read()
    call.send(b"$999999999999\r\n")
    while call.send(b"a" * 65536):
        pass


def freezes(call: Call) -> None:
    call.stay()


NO_CLUSTER = speaker(
    lambda words: b"-ERR This instance has cluster support disabled\r\n" if words[0] == "CLUSTER" else b"$0\r\n\r\n"
)
NO_AUTH = speaker(lambda _: b"-NOAUTH Authentication required.\r\n")
WRONG = speaker(lambda _: b"-WRONGPASS invalid username-password pair or user is disabled.\r\n")
NO_PERMISSION = speaker(lambda _: b"-NOPERM User ro has no permissions to run the 'info' command\r\n")
HOSTILE = speaker(lambda _: b"-NOPERM \x1b[2J\xe2\x80\xaeevil [bold]x[/]\r\n")


@pytest.mark.parametrize(
    ("behave", "message", "hint"),
    [
        (NO_CLUSTER, "is not a member of a cluster", "cluster-enabled yes"),
        (NO_AUTH, "refuses our credentials (NOAUTH", "--password-file"),
        (WRONG, "refuses our credentials (WRONGPASS", "--user"),
        (NO_PERMISSION, "refuses our credentials (NOPERM", "--user"),
        (HOSTILE, r"(NOPERM \x1b[2J\u202eevil [bold]x[/])", "--user"),
        (says(b"\x15\x03\x01\x00\x02\x02\x46"), "speaks TLS only", "--tls"),
        (says(b"220 mail ESMTP\r\n" * 9), "does not speak the Redis protocol", "client port"),
        (says(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "speaks HTTP", "client port"),
        (says(b""), "closes the connection", "10000 lower"),
        (drips, "answers too slowly", "--read-timeout"),
        (never_ends, "", ""),
        (freezes, "takes the connection and never answers", "PING"),
    ],
    ids=[
        "not a cluster", "no password", "wrong password", "no permission", "hostile text", "tls", "garbage", "http",
        "closed", "drip", "endless", "frozen",
    ],
)  # fmt: skip
@pytest.mark.parametrize("command", ["health", "nodes"])
def test_what_is_no_node_of_a_cluster(capsys: Capsys, command: str, behave: Behaviour, message: str, hint: str) -> None:
    with odd_server(behave) as server:
        began_s = time.monotonic()
        ran = rcfail(capsys, command, "-s", str(server.endpoint), *QUICK)
        took_s = time.monotonic() - began_s
    assert (ran.code, ran.out) == (3, "")
    error, hinted = ran.err.splitlines()
    assert error.startswith(f"rcfail: error: {server.endpoint} ")
    assert message in error
    assert hinted.startswith("hint: ")
    assert hint in hinted
    assert "\x1b" not in ran.err
    assert took_s < 0.5 + SLACK_S


def test_a_port_where_nobody_listens(capsys: Capsys) -> None:
    port = closed_port()
    ran = rcfail(capsys, "health", "-s", str(port))
    assert ran.code == 3
    assert ran.err.splitlines() == [
        f"rcfail: error: {port} refuses the connection",
        "hint: Check that the server runs and that this is its client port: "
        f"redis-cli -h {port.host} -p {port.port} PING",
    ]


@pytest.mark.parametrize("name", ["no-such-host.invalid", "a.b.c.invalid"])
def test_a_name_that_does_not_resolve(capsys: Capsys, name: str) -> None:
    ran = rcfail(capsys, "health", "-s", name)
    assert ran.code == 3
    assert f"{name}:6379 has a name that does not resolve" in ran.err


def test_all_that_is_wrong_with_all_seeds_is_said(capsys: Capsys) -> None:
    with odd_server(NO_CLUSTER) as first, odd_server(NO_AUTH) as second:
        port = closed_port()
        seeds = f"{first.endpoint},{second.endpoint},{port}"
        ran = rcfail(capsys, "health", "-s", seeds, "-o", "json")
    assert ran.code == 3
    for words in (
        f"{first.endpoint} is not a member",
        f"{second.endpoint} refuses our cred",
        f"{port} refuses the conn",
    ):
        assert words in ran.error["message"]
    assert "password" in ran.error["hint"]
    reasons = sorted(each["reason"] for each in ran.document["data"]["silences"])
    assert reasons == ["auth-refused", "not-a-cluster", "refused"]


@pytest.fixture
def cluster() -> Iterator[Servers]:
    servers = Servers(World.of(3, 1))
    with serving(*servers.all):
        yield servers


def test_one_live_seed_of_several_is_enough(capsys: Capsys, cluster: Servers) -> None:
    ran = rcfail(capsys, "health", "-s", f"{closed_port()},{cluster.first}")
    assert ran.code == 0
    assert ran.out.startswith("OK  16384 slots served by 3 primaries with 3 replicas")
    assert "refused" in ran.out, "the dead seed is not dropped"


def test_a_seed_that_is_silent_is_passed_over_by_nodes(capsys: Capsys, cluster: Servers) -> None:
    dead, live = closed_port(), cluster.all[2].endpoint
    ran = rcfail(capsys, "nodes", "-s", f"{dead},{live}")
    assert ran.code == 0
    assert ran.out.startswith(f"view of {live}: 6 nodes")
    assert f"note: {dead} refuses the connection" in ran.out
    asked = [server.endpoint for server in cluster.all if server.calls]
    assert asked == [live], "one view is one node's"


def test_the_password_of_the_environment_is_used_and_never_told(
    capsys: Capsys, monkeypatch: pytest.MonkeyPatch, cluster: Servers
) -> None:
    monkeypatch.setenv("REDISCLI_AUTH", "hunter2")
    ran = rcfail(capsys, "health", "-s", str(cluster.first), "--user", "ro", "-o", "json")
    assert "hunter2" not in ran.out + ran.err
    said = b"".join(call.received for server in cluster.all for call in server.calls)
    assert b"hunter2" in said
    assert b"\r\nro\r\n" in said


def test_a_frozen_node_among_six_costs_a_read_timeout_and_a_second(capsys: Capsys, cluster: Servers) -> None:
    assert rcfail(capsys, "health", "-s", str(cluster.first)).code == 0  # so that nothing is left to be imported
    victim = list(cluster.world)[1]
    cluster.behaviours[victim.node_id] = freezes
    began_s = time.monotonic()
    ran = rcfail(capsys, "health", "-s", str(cluster.first), "--read-timeout", "1s")
    took_s = time.monotonic() - began_s
    assert "node-frozen" in ran.out
    assert ran.code == 1
    assert took_s < 1 + SLACK_S


def test_nothing_lasts_longer_than_the_deadline(capsys: Capsys) -> None:
    with odd_server(drips) as server:
        began_s = time.monotonic()
        ran = rcfail(capsys, "health", "-s", str(server.endpoint), "--read-timeout", "60s", "--deadline", "700ms")
        took_s = time.monotonic() - began_s
    assert ran.code == 3
    assert took_s < 0.7 + SLACK_S


@pytest.mark.parametrize("output", ["text", "json"])
def test_ctrl_c_ends_at_once_with_130(output: str) -> None:
    with odd_server(freezes) as server:
        with subprocess.Popen(
            [sys.executable, "-m", "rcfail", "health", "-s", str(server.endpoint), "--read-timeout", "30s",
             "--deadline", "60s", "-o", output],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        ) as running:  # fmt: skip
            poll(lambda: server.calls, bool, deadline=Deadline.after(20), every_s=0.01, waiting_for="the connection")
            began_s = time.monotonic()
            os.kill(running.pid, signal.SIGINT)
            out, err = running.communicate(timeout=20)
        took_s = time.monotonic() - began_s
    ran = Ran(running.returncode, out, err)
    assert ran.code == 130
    assert took_s < SLACK_S
    assert "Traceback" not in ran.err
    if output == "json":
        assert ran.document["exit"] == "INTERRUPTED"
    else:
        assert ran.err == "rcfail: error: interrupted\n"
