"""Replicas of real clusters without their data: refused, copying, cut off, and above an empty primary."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rcfail.practice.lab import network
from rcfail.practice.lab.network import can_filter
from rcfail.practice.lab.register import NodeEntry
from tests.real.conftest import LabMaker
from tests.real.mended import FILLED, codes, fill, follow_advice, keys_on, nothing_left, planned, steps
from tests.real.operators import Operator
from tests.real.servers import RunningLab, run_rcfail
from tests.real.verdicts import health_of

every_server = pytest.mark.every_server
needs_nft = pytest.mark.skipif(not can_filter(), reason="cutting a network takes nftables and root")
OK, REFUSED, INCOMPLETE = 0, 10, 12
WAIT_S = 60.0


@every_server
def test_a_login_that_the_primary_refuses(lab: LabMaker, tmp_path: Path) -> None:
    """No command of the cluster helps: the advice does, word for word."""
    one = lab(node_timeout_ms=2000)
    operator, replica = Operator(one, tmp_path), one.replica_of("n1")
    one.break_replication(replica)
    fill(one, "n1")
    one.wait(lambda: "replica-link-down" in health_of(one).codes, "health to name it", WAIT_S)
    answer = planned(operator)
    (found,) = answer.data["conditions"]
    assert (answer.code, found["condition"], steps(answer)) == (REFUSED, "link-down", [])
    assert "its masteruser is rcfail-nobody, and there is no user rcfail-nobody" in found["evidence"]
    assert found["nodes"][0] == replica.node_id
    assert "it logged a refused AUTH of the user rcfail-nobody" in seen_by_another_user(operator)
    assert follow_advice(found["advice"]) == ["OK", "OK"]
    assert operator.run("health", "--wait", "60s").returncode == OK
    one.wait(lambda: keys_on(one, replica) == FILLED, "every key to arrive", WAIT_S)
    nothing_left(operator)


@every_server
def test_a_copy_under_way_is_followed_to_its_end(lab: LabMaker, tmp_path: Path) -> None:
    """A slow first copy: the primary sleeps for each key that it sends."""
    one = lab(node_timeout_ms=5000, conf=("repl-diskless-sync no", "rdb-key-save-delay 10000"))
    operator, replica = Operator(one, tmp_path), one.replica_of("n1")
    one.kill(replica)
    for path in Path(replica.folder).glob("*.rdb"):
        path.unlink()
    fill(one, "n1", 1500)
    one.restart(replica)
    one.wait(lambda: "replica-syncing" in health_of(one).codes, "health to name it", WAIT_S)
    answer = planned(operator, replica.node_id)
    assert (answer.code, codes(answer), steps(answer)) == (OK, ["never-synced"], ["wait"])
    done = operator.ask("recover", replica.node_id, "--yes")
    assert done.code == OK, done.document
    assert keys_on(one, replica) == 1500
    one.wait(lambda: health_of(one).exit_code == OK, "health to be OK", WAIT_S)
    nothing_left(operator)


def test_the_link_to_a_primary_that_came_back_empty_stays_down(lab: LabMaker, tmp_path: Path) -> None:
    """It was restarted without its data before anybody failed over, and its replica holds all of it."""
    one = lab(node_timeout_ms=15_000)
    operator, replica = Operator(one, tmp_path), one.replica_of("n1")
    fill(one, "n1")
    one.wait(lambda: keys_on(one, replica) == FILLED, "the keys to arrive", WAIT_S)
    one.break_replication(replica)
    one.kill("n1")
    for path in Path(one.node("n1").folder).glob("*.rdb"):
        path.unlink()
    one.restart("n1")
    one.wait(lambda: one.vitals("n1").cluster.state == "ok", "n1 to serve again", WAIT_S)
    assert keys_on(one, "n1") == 0
    one.wait(lambda: "replica-link-down" in health_of(one).codes, "health to name it", WAIT_S)
    answer = planned(operator)
    (found,) = answer.data["conditions"]
    assert (answer.code, found["condition"], found["choice"]) == (REFUSED, "link-down", True)
    assert "held nowhere else" in found["story"]
    assert operator.ask("recover", "--yes").code == REFUSED
    assert keys_on(one, replica) == FILLED


@pytest.mark.long
def test_copies_that_never_end(lab: LabMaker, tmp_path: Path) -> None:
    """A slow copy, a small buffer for what is written meanwhile, and somebody who writes all the time."""
    small = ("repl-backlog-size 16kb", "client-output-buffer-limit replica 64kb 0 0", "rdb-key-save-delay 20000")
    one = lab(node_timeout_ms=10_000, conf=("repl-diskless-sync yes", "repl-diskless-sync-delay 0", *small))
    operator, replica = Operator(one, tmp_path), one.replica_of("n1")
    fill(one, "n1", 500)
    one.say(replica, "CLIENT", "KILL", "TYPE", "master")

    def written() -> int:
        fill(one, "n1", 500, 500)
        return one.vitals("n1").replication.sync_full or 0

    one.wait(lambda: written() >= 8, "the copies to fail again and again", WAIT_S)
    named: list[dict[str, str]] = []

    def seen() -> bool:
        written()
        told = operator.ask("recover", "--dry-run").data["conditions"]
        named.extend(each for each in told if "connections whose buffer was full" in each["evidence"])
        return bool(named)

    one.wait(seen, "it to be named", 3 * WAIT_S)
    found = named[0]
    assert found["condition"] == "link-down"
    assert "its client-output-buffer-limit for replicas is 64 KB" in found["evidence"]
    assert set(follow_advice(found["advice"])) == {"OK"}
    for _ in range(3):
        written()
    one.wait(lambda: not [code for code in health_of(one).codes if code.startswith("replica-")], "it to sync", WAIT_S)
    assert keys_on(one, replica) == keys_on(one, "n1") == 500


@needs_nft
def test_a_primary_whose_client_port_the_replica_does_not_reach(lab: LabMaker, tmp_path: Path) -> None:
    """The cluster bus is well, so every view calls both connected."""
    one = lab(node_timeout_ms=5000, hosts=6, conf=("repl-timeout 3", "repl-ping-replica-period 1"))
    operator, replica = Operator(one, tmp_path), one.replica_of("n1")
    fill(one, "n1")
    with dropped(one, one.node("n1"), replica):
        one.wait(lambda: "replica-link-down" in health_of(one).codes, "the link to end", WAIT_S)
        one.wait(lambda: one.ask(replica, "ROLE")[3] == "connecting", "it to dial again", WAIT_S)  # type: ignore[index]
        (found,) = planned(operator).data["conditions"]
        assert f"nothing at {one.node('n1').endpoint} answers its connection" in found["evidence"]
        assert "PING" in found["advice"]
    one.wait(lambda: health_of(one).exit_code == OK, "it to come back by itself", WAIT_S)
    assert keys_on(one, replica) == FILLED
    nothing_left(operator)


def seen_by_another_user(operator: Operator) -> str:
    """One that is not the default user: it is not told who may log in, and the log of the primary says it."""
    for node in operator.lab.nodes:
        operator.lab.say(node, "ACL", "SETUSER", "ops", "on", ">pw", "~*", "+@all")
    user = {"RCFAIL_USER": "ops", "RCFAIL_PASSWORD": "pw"}
    ran = run_rcfail("recover", "--dry-run", "-o", "json", environment=operator.environment | user)
    return ran.stdout


@contextmanager
def dropped(lab: RunningLab, primary: NodeEntry, replica: NodeEntry) -> Iterator[None]:
    """Drop all between a replica and the client port of its primary."""
    table = f"rcfail_test_{lab.entry.octet}_{os.getpid()}"
    rule = f"ip saddr {replica.host} tcp dport {primary.port} ip daddr {primary.host} drop"
    network.run(
        f"table inet {table} {{\n chain cut {{\n type filter hook output priority 0; policy accept;\n {rule}\n }}\n}}\n"
    )
    try:
        yield
    finally:
        network.run(f"delete table inet {table}\n")
