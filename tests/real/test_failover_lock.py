"""The lock and the audit of `rcfail failover`, as operators meet them: two at once, one that died, one broken."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from rcfail.practice.lab.access import DEFAULT_USER, Access
from rcfail.practice.lab.users import password_of
from tests.real.conftest import LabMaker
from tests.real.operators import Operator
from tests.real.servers import REPOSITORY, RunningLab
from tests.real.test_change_lock import HOLDER

# 6.2 has no statistics of sub-commands, by which it is shown what was sent.
counting_servers = pytest.mark.every_server(but="redis-6.2")


def command(lab: RunningLab, target: str, *words: str) -> tuple[str, ...]:
    return ("failover", lab.node(target).node_id, "--yes", *words)


def failover(operator: Operator, target: str, *words: str) -> subprocess.CompletedProcess[str]:
    """As pages and not as JSON: what is printed is looked at."""
    return operator.run(*command(operator.lab, target, *words))


def last_run(operator: Operator) -> dict[str, Any]:
    ran = operator.run("history", "-o", "json", "--limit", "1")
    assert ran.returncode == 0, ran
    found: dict[str, Any] = json.loads(ran.stdout)["data"]["runs"][-1]
    return found


def failovers(lab: RunningLab) -> dict[str, int]:
    """How often each node was sent CLUSTER FAILOVER, by its own statistics; a refused one counts."""
    found = {}
    for node in lab.nodes:
        stats = lab.text(node, "INFO", "commandstats").splitlines()
        fields = [each for each in stats if each.startswith("cmdstat_cluster|failover:")]
        found[node.name] = sum(int(each.partition("calls=")[2].partition(",")[0]) for each in fields)
    return {name: count for name, count in found.items() if count}


def is_primary(lab: RunningLab, node: str) -> bool:
    return lab.vitals(node).replication.role == "master"


@contextmanager
def another_run(lab: RunningLab, state: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock, of this host and of the cluster."""
    words = [sys.executable, "-c", HOLDER, str(lab.register.home), lab.name, str(state / "rcfail/locks")]
    with subprocess.Popen(words, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        yield other
        other.kill()


@counting_servers
@pytest.mark.parametrize("hosts", ["one host", "two hosts"])
def test_two_operators_at_once_send_once(lab: LabMaker, tmp_path: Path, hosts: str) -> None:
    """The other one meets the lock, or a world that has moved, or comes when all is done: never does it undo that.

    From another host that takes --expect-primary: whoever comes late there cannot know what was asked here.
    """
    made = lab()
    apart = hosts == "two hosts"
    operators = [Operator(made, tmp_path / "a"), Operator(made, tmp_path / ("b" if apart else "a"))]
    target = made.replica_of("n1").name
    words = ("--expect-primary", made.node("n1").node_id) if apart else ()
    running = [each.start(*command(made, target, *words)) for each in operators]
    told = [(*each.communicate(timeout=60), each.returncode) for each in running]
    codes = sorted(code for *_, code in told)
    assert codes[0] == 0, told
    assert codes[1] in (0, 10, 14), told
    assert failovers(made) == {target: 1}, told
    assert is_primary(made, target)


@counting_servers
@pytest.mark.parametrize("elsewhere", [False, True])
def test_who_has_the_lock_is_named(lab: LabMaker, tmp_path: Path, elsewhere: bool) -> None:
    """By the lock of this host, and from another host by the one in the cluster."""
    made = lab()
    target = made.replica_of("n1").name
    with another_run(made, tmp_path / "a") as other:
        operator = Operator(made, tmp_path / ("b" if elsewhere else "a"))
        ran = failover(operator, target)
        dry = operator.run("failover", made.node(target).node_id, "--dry-run")
    assert (dry.returncode, f"pid {other.pid}" in dry.stdout) == (10, True), dry
    assert ran.returncode == 14, ran
    assert f"pid {other.pid}" in ran.stderr
    assert "the other one" in ran.stderr
    assert "--break-lock" in ran.stderr
    assert failovers(made) == {}


@counting_servers
def test_a_lock_is_broken_by_name(lab: LabMaker, tmp_path: Path) -> None:
    made = lab()
    target = made.replica_of("n1").name
    with another_run(made, tmp_path / "a") as other:
        ran = failover(Operator(made, tmp_path / "a"), target, "--break-lock")
        assert ran.returncode == 0, ran
        assert f"pid {other.pid}" in ran.stderr
        assert "put aside" in ran.stderr
    assert failovers(made) == {target: 1}


@counting_servers
def test_killed_between_the_send_and_the_answer_and_run_again(lab: LabMaker, tmp_path: Path) -> None:
    made = lab()
    operator = Operator(made, tmp_path)
    for primary in ("n1", "n2", "n3"):
        target = made.replica_of(primary).name
        if killed_after_the_send(operator, target):
            break
    else:
        pytest.fail("it ended before it could be killed, three times")
    made.wait(lambda: is_primary(made, target), "the server goes on without it")
    past = last_run(operator)
    assert (past["exit_code"], past["running"], past["indeterminate"]) == (None, False, True)
    sent = failovers(made)
    assert sent[target] == 1

    again = failover(operator, target)
    assert (again.returncode, failovers(made)) == (0, sent), again
    assert "put aside" in again.stderr
    assert past["run"] in again.stderr, "the last line that the dead one wrote"
    assert last_run(operator)["exit_code"] == 0

    back = failover(operator, primary)
    assert (back.returncode, failovers(made)) == (0, {**sent, primary: 1}), back
    assert "put aside" not in back.stderr
    assert is_primary(made, primary)


@counting_servers
def test_who_names_the_primary_is_not_sent_back_by_a_second_try(lab: LabMaker, tmp_path: Path) -> None:
    """`failover PRIMARY` moves it away; named again it is a replica, and would be promoted."""
    made = lab()
    operator = Operator(made, tmp_path)
    for primary in ("n1", "n2", "n3"):
        if killed_after_the_send(operator, primary):
            break
    else:
        pytest.fail("it ended before it could be killed, three times")
    heir = made.replica_of(primary).name
    made.wait(lambda: is_primary(made, heir), "the server goes on without it")
    sent = failovers(made)
    again = failover(operator, primary)
    assert (again.returncode, failovers(made)) == (0, sent), again
    assert "it was carried out" in again.stderr
    once_more = failover(operator, primary)
    assert (once_more.returncode, is_primary(made, primary)) == (0, True), "asked again, it is a new wish"


def killed_after_the_send(operator: Operator, target: str) -> bool:
    """SIGKILL as soon as it says that it has sent. False where it was faster."""
    with operator.start(*command(operator.lab, target)) as running:
        assert running.stderr is not None
        for line in running.stderr:
            if "requested" in line:
                break
        running.kill()
    assert [each["line"] for each in operator.lines()].count("before") >= 1
    return last_run(operator)["exit_code"] is None


@counting_servers
def test_without_an_audit_nothing_is_sent(lab: LabMaker, tmp_path: Path) -> None:
    made = lab()
    target = made.replica_of("n1").name
    operator = Operator(made, tmp_path)
    for words in (("--audit", str(tmp_path)), ("--audit", "/proc/audit.jsonl")):
        ran = failover(operator, target, *words)
        assert ran.returncode == 10, ran
        assert "--audit -" in ran.stdout + ran.stderr
        dry = operator.run("failover", made.node(target).node_id, "--dry-run", *words)
        assert (dry.returncode, "only --audit - lets it pass" in dry.stdout) == (10, True), dry
    assert failovers(made) == {}
    by_word = failover(operator, target, "--audit", "-")
    assert by_word.returncode == 0, by_word
    assert not operator.audit.exists()
    assert failovers(made) == {target: 1}


def test_what_was_done_is_in_the_history_and_no_password_is(lab: LabMaker, tmp_path: Path) -> None:
    made = lab(access=Access(user=DEFAULT_USER))
    password = password_of(made.entry, DEFAULT_USER)
    target = made.replica_of("n1")
    operator = Operator(made, tmp_path)
    ran = failover(operator, target.name, "--reason", f"disks; the password is {password}", "--canary")
    assert ran.returncode == 0, ran
    assert operator.audit.stat().st_mode & 0o777 == 0o600
    past = last_run(operator)
    assert past["reason"].startswith("disks; the password is ")
    assert (past["exit_code"], past["running"], past["indeterminate"]) == (0, False, False)
    assert [(each["node_id"], each["command"], each["reply"]) for each in past["sends"]] == [
        (target.node_id, ["CLUSTER", "FAILOVER"], "OK")
    ]
    assert [each["outcome"] for each in past["verified"]] == ["done"]
    page = operator.run("history")
    assert "CLUSTER FAILOVER" in page.stdout
    for text in (operator.audit.read_text(), ran.stdout, ran.stderr, page.stdout):
        assert password not in text
    assert not list((tmp_path / "rcfail/locks").glob("*.lock"))
