"""Nodes of real clusters that are down: followed until they are back, started by a command, or let alone."""

from __future__ import annotations

import shlex
import sys
import threading
from pathlib import Path

import pytest

from rcfail.practice.lab.register import NodeEntry
from rcfail.practice.lab.wish import Persistence
from tests.real.conftest import LabMaker
from tests.real.mended import FILLED, codes, fill, keys_on, nothing_left, planned, steps
from tests.real.operators import Answer, Operator, killed_at, leads
from tests.real.servers import REPOSITORY, RunningLab
from tests.real.verdicts import health_of

every_server = pytest.mark.every_server
OK, REFUSED, INCOMPLETE = 0, 10, 12
WAIT_S, RUN_S = 60.0, 150.0
FOLLOWED = ["wait", "wait", "wait"]


class Starter:
    """The operator's command: it starts the server that rcfail names, and leaves a line each time it is run."""

    def __init__(self, lab: RunningLab, folder: Path) -> None:
        self._log = folder / "started"
        script = folder / "start.sh"
        fault = f"{shlex.quote(sys.executable)} -m rcfail lab fault"
        script.write_text(
            f"#!/bin/sh\nset -e\ncd {shlex.quote(str(REPOSITORY))}\n"
            f"echo $RCFAIL_NODE_ID >> {shlex.quote(str(self._log))}\necho it is on its way\n"
            f"{fault} restart $RCFAIL_NODE_ADDRESS --lab {lab.name}\n"
        )
        self.command = f"sh {shlex.quote(str(script))}"

    @property
    def started(self) -> list[str]:
        """The ids of the nodes, in order."""
        return self._log.read_text().split() if self._log.exists() else []


def failed(lab: RunningLab, node: NodeEntry) -> None:
    lab.wait(lambda: "node-failed" in health_of(lab).codes, f"health to name {node.name} as failed", WAIT_S)


def well(lab: RunningLab) -> None:
    try:
        lab.wait(lambda: health_of(lab).exit_code == OK, "health to be OK", WAIT_S)
    except AssertionError as error:
        raise AssertionError(f"{health_of(lab).codes}\n{error}") from None


def the(answer: Answer) -> dict[str, object]:
    (one,) = answer.data["conditions"]
    found: dict[str, object] = one
    return found


class Follower:
    """A run that is under way, and what it has told so far."""

    def __init__(self, operator: Operator, *words: str) -> None:
        self.told: list[str] = []
        self._process = operator.start("recover", *words, "--yes")
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stderr is not None
        self.told.extend(self._process.stderr)

    def says(self, words: str) -> bool:
        return any(words in line for line in self.told)

    def awaited(self, lab: RunningLab, words: str) -> None:
        """Until it says so."""
        try:
            lab.wait(lambda: self.says(words), f"it to say {words!r}", WAIT_S)
        except AssertionError:
            raise AssertionError(f"it did not say {words!r}: {''.join(self.told)}") from None

    def ended(self) -> int:
        """Its exit code."""
        try:
            code = self._process.wait(RUN_S)
        finally:
            self._process.kill()
            self._reader.join(10)
            for pipe in (self._process.stdout, self._process.stderr):
                if pipe is not None:
                    pipe.close()
        return code


@every_server
def test_dead_nodes_are_started_once_and_hold_every_key_again(lab: LabMaker, tmp_path: Path) -> None:
    one = lab(hosts=6, node_timeout_ms=2000)
    operator, starter, replica = Operator(one, tmp_path), Starter(one, tmp_path), one.replica_of("n1")
    for name in ("n1", "n2", "n3"):
        fill(one, name)
    one.wait(lambda: all(keys_on(one, each) == FILLED for each in one.replicas), "the keys to arrive", WAIT_S)

    # A replica: without a word nothing is done, with one it is started and followed.
    one.kill(replica)
    failed(one, replica)
    said = planned(operator)
    assert (said.code, codes(said), steps(said)) == (REFUSED, ["node-down"], [])
    assert "--start-cmd" in str(the(said)["advice"])
    assert steps(planned(operator, "--wait")) == FOLLOWED
    start = ("--start-cmd", starter.command)
    assert steps(planned(operator, *start)) == ["start", *FOLLOWED]
    assert starter.started == []
    done = operator.ask("recover", replica.node_id, *start, "--yes", within_s=RUN_S)
    assert (done.code, starter.started) == (OK, [replica.node_id]), done.document
    assert one.belief(replica, replica).primary_id == one.node("n1").node_id
    assert keys_on(one, replica) == FILLED
    well(one)

    # A primary, by a run that is killed at every step: its replica takes over first, and it is started once.
    one.kill("n1")
    old = one.node("n1")
    for words in ("step 1", "it is on its way"):
        killed_at(operator, "recover", *start, "--yes", line=words)
    one.wait(lambda: one.see(old).nodes is not None, "the command to go on without us", WAIT_S)
    assert one.belief("n2", replica).slots, "the replica took over before its old primary was started"
    done = operator.ask("recover", *start, "--wait", "--yes", within_s=RUN_S)
    assert done.code == OK, done.document
    assert starter.started == [replica.node_id, old.node_id], "and not twice"
    assert one.belief(old, old).primary_id == replica.node_id
    assert [keys_on(one, each) for each in (old, replica, "n2", "n3")] == [FILLED] * 4
    well(one)
    nothing_left(operator, *start)


@every_server
def test_a_primary_that_would_come_back_empty_waits_until_its_data_are_safe(lab: LabMaker, tmp_path: Path) -> None:
    """Nothing is saved, and with one voter nobody is elected: to start it is the end of the data."""
    one = lab(primaries=1, node_timeout_ms=2000)
    operator, starter = Operator(one, tmp_path), Starter(one, tmp_path)
    old, replica = one.node("n1"), one.replica_of("n1")
    fill(one, old)
    one.wait(lambda: keys_on(one, replica) == FILLED, "the keys to arrive", WAIT_S)
    one.kill(old)
    one.wait(lambda: "failover-blocked" in health_of(one).codes, "health to name it", WAIT_S)

    said = operator.ask("recover", "--start-cmd", starter.command, "--yes", within_s=RUN_S)
    condition = the(said)
    assert (said.code, condition["condition"], starter.started) == (REFUSED, "node-down", [])
    assert condition["choice"] is True
    assert f"{FILLED} keys" in str(condition["story"])
    advice = str(condition["advice"])
    assert advice.endswith("--allow-data-loss")

    command = advice[advice.index("rcfail failover") :].partition(". ")[0]
    assert "--takeover --confirm-fenced" in command
    words = [each for each in shlex.split(command)[1:] if each != "--dry-run"]
    moved = operator.ask(*words, "--yes", within_s=RUN_S)
    assert leads(one, replica), moved.document
    assert keys_on(one, replica) == FILLED
    done = operator.ask("recover", "--start-cmd", starter.command, "--yes", within_s=RUN_S)
    assert (done.code, starter.started) == (OK, [old.node_id]), done.document
    assert one.belief(old, old).primary_id == replica.node_id
    assert [keys_on(one, old), keys_on(one, replica)] == [FILLED, FILLED]


@every_server
def test_a_dead_shard_comes_back_with_its_slots_and_what_it_saved(lab: LabMaker, tmp_path: Path) -> None:
    """Its primary is started before its replica: who waits for a replica alone would wait for ever."""
    one = lab(node_timeout_ms=2000, persistence=Persistence.AOF, conf=("appendfsync always",))
    operator, starter, old = Operator(one, tmp_path), Starter(one, tmp_path), one.node("n1")
    replica = one.replica_of(old)
    fill(one, old)
    one.wait(lambda: keys_on(one, replica) == FILLED, "the keys to arrive", WAIT_S)
    slots = one.belief(old, old).slots
    one.kill(replica, old)
    one.wait(lambda: len(health_of(one).all_of("node-failed")) == 2, "health to name both", WAIT_S)
    start = ("--start-cmd", starter.command)
    said = planned(operator, *start)
    assert (codes(said), steps(said)) == (["node-down"] * 2, ["start", *FOLLOWED] * 2)
    assert "what it saved last" in str(said.data["conditions"][0]["story"])
    done = operator.ask("recover", *start, "--yes", within_s=RUN_S)
    assert (done.code, starter.started) == (OK, [old.node_id, replica.node_id]), done.document
    assert (one.belief("n2", old).slots, keys_on(one, old), keys_on(one, replica)) == (slots, FILLED, FILLED)
    assert not one.belief("n2", old).flagged, "it is followed until the others trust it, not just until it answers"
    well(one)
    nothing_left(operator)


def test_whoever_waits_reads_at_which_stage_a_node_stands_and_why(lab: LabMaker, tmp_path: Path) -> None:
    one = lab(node_timeout_ms=2000)
    operator, starter, replica = Operator(one, tmp_path), Starter(one, tmp_path), one.replica_of("n1")

    # Frozen: its process lives, and no second one is started beside it.
    one.freeze(replica)
    one.wait(lambda: {"node-failed", "node-frozen"} & set(health_of(one).codes), "health to name it", WAIT_S)
    said = operator.ask("recover", "--start-cmd", starter.command, "--yes", within_s=RUN_S)
    assert (said.code, codes(said), starter.started) == (REFUSED, ["node-down"], [])
    assert "kill -CONT" in str(the(said)["advice"])
    run = Follower(operator, replica.node_id, "--wait")
    run.awaited(one, "hangs")
    one.thaw(replica)
    assert run.ended() == OK, run.told

    # Dead, and then back with a login that its primary refuses.
    one.kill(replica)
    failed(one, replica)
    with (Path(replica.folder) / "redis.conf").open("a") as conf:
        conf.write("masteruser nobody\nmasterauth nothing\n")
    run = Follower(operator, replica.node_id, "--wait")
    run.awaited(one, "nothing listens there")
    one.restart(replica)
    run.awaited(one, "what keeps it down says rcfail recover")
    asked = planned(operator, replica.node_id)
    assert (asked.code, codes(asked)) == (REFUSED, ["never-synced"]), asked.document
    assert "no user nobody" in str(the(asked)["evidence"])
    for name in ("masteruser", "masterauth"):
        one.say(replica, "CONFIG", "SET", name, "")
    assert run.ended() == OK, run.told
    assert one.vitals(replica).replication.link_up


@every_server
def test_a_node_that_loads_is_followed_and_not_started_again(lab: LabMaker, tmp_path: Path) -> None:
    """While it loads, Redis tells no table, and Valkey tells one."""
    # It looks at its clients after each 2 MB that it read: some nine seconds of loading.
    one = lab(node_timeout_ms=2000, conf=("key-load-delay 12000", "rdbcompression no"))
    operator, starter, replica = Operator(one, tmp_path), Starter(one, tmp_path), one.replica_of("n1")
    fill(one, "n1", 700, 40_000)
    one.wait(lambda: keys_on(one, replica) == 700, "the keys to arrive", WAIT_S)
    one.say(replica, "SAVE")
    one.kill(replica)
    failed(one, replica)
    run = Follower(operator, "--start-cmd", starter.command)
    run.awaited(one, "loads its data")
    said = operator.ask("recover", "--start-cmd", starter.command, "--dry-run")
    assert "start" not in steps(said)
    assert run.ended() == OK, run.told
    assert starter.started == [replica.node_id]
    assert one.vitals(replica).replication.link_up
    assert keys_on(one, replica) == 700
    nothing_left(operator)
