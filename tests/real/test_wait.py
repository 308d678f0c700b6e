"""`rcfail wait` on clusters that are really broken, and come back."""

from __future__ import annotations

import json
import signal
import subprocess
import threading

import pytest

from tests.real.conftest import LabMaker
from tests.real.servers import RunningLab, rcfail_command

every_server = pytest.mark.every_server
OK, UNKNOWN, TIMEOUT, INTERRUPTED = 0, 3, 16, 130


def test_a_whole_cluster_is_not_waited_for_long(lab: LabMaker) -> None:
    one = lab()
    ran = one.rcfail("wait", "healthy", "settled", "--timeout", "50s")
    assert ran.returncode == OK, ran.stderr
    assert ran.stdout.startswith("DONE  after ")
    assert "healthy, settled" in ran.stdout


@every_server
def test_a_failover_and_the_return_of_the_old_primary_are_waited_for(lab: LabMaker) -> None:
    one = lab()
    old, new = one.node("n1"), one.replica_of("n1")
    one.kill(old)
    ran = one.rcfail("wait", f"primary={new.node_id}", "settled", "--timeout", "50s", "-o", "json")
    assert ran.returncode == OK, ran.stderr
    assert "myself,master" in one.text(new, "CLUSTER", "NODES")
    assert all(row["holds"] for row in json.loads(ran.stdout)["data"]["conditions"])
    back = threading.Thread(target=lambda: one.restart(old))
    back.start()
    ran = one.rcfail("wait", f"synced={old.endpoint}", "settled", "--timeout", "50s")
    back.join()
    assert ran.returncode == OK, ran.stderr + one.tables()
    vitals = one.vitals(old)
    assert (vitals.replication.role, vitals.replication.link_up) == ("slave", True)


def test_what_does_not_come_true_is_told_with_its_reason(lab: LabMaker) -> None:
    one = lab()
    replica = one.replica_of("n2")
    ran = one.rcfail("wait", f"primary={replica.endpoint}", "healthy", "--timeout", "1s", "-o", "json")
    document = json.loads(ran.stdout)
    assert (ran.returncode, document["exit"]) == (TIMEOUT, "TIMEOUT")
    assert [row["holds"] for row in document["data"]["conditions"]] == [False, True]
    assert document["data"]["conditions"][0]["node_id"] == replica.node_id
    assert f"{replica.endpoint}" in document["errors"][0]["message"]
    assert "is a replica" in ran.stderr


def test_a_warning_that_is_expected_is_not_waited_for(lab: LabMaker) -> None:
    """A cluster for development: two primaries without replicas are as they should be."""
    one = lab(2, 0)
    assert one.rcfail("wait", "healthy", "--timeout", "1s").returncode == TIMEOUT
    for words in (("--ignore", "quorum-fragile", "--min-replicas", "0"), ("--fail-on", "critical")):
        ran = one.rcfail("wait", "healthy", *words, "--timeout", "30s")
        assert ran.returncode == OK, ran.stderr


def test_a_cluster_that_nobody_can_see_is_unknown(lab: LabMaker) -> None:
    one = lab(3, 0)
    one.kill(*one.nodes)
    ran = one.rcfail("wait", "healthy", "--timeout", "1s")
    assert ran.returncode == UNKNOWN
    assert ran.stdout == ""
    assert "refuses the connection" in ran.stderr


def test_a_cluster_that_comes_up_while_it_is_waited_for(lab: LabMaker) -> None:
    """As in CI: the job waits for servers that another one is starting."""
    one = lab(3, 0)
    one.kill(*one.nodes)
    back = threading.Thread(target=lambda: [one.restart(node) for node in one.nodes])
    back.start()
    ran = one.rcfail("wait", "settled", "--timeout", "50s")
    back.join()
    assert ran.returncode == OK, ran.stderr


def waiting(one: RunningLab) -> subprocess.Popen[str]:
    """In vain, until somebody ends it; it has said so."""
    words = rcfail_command("wait", f"primary={one.replica_of('n1').endpoint}", "--timeout", "10m")
    process = subprocess.Popen(words, env=one.environment(), stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert process.stderr.readline().startswith("waiting for primary=")
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_whoever_has_waited_enough_can_end_it(lab: LabMaker, number: signal.Signals) -> None:
    process = waiting(lab())
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == INTERRUPTED
    assert "Traceback" not in said
