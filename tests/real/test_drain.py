"""A zone or a host emptied of primaries and filled again, on real clusters, under load and with trouble on the way."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from rcfail.practice.lab.register import NodeEntry
from tests.real.conftest import LabMaker
from tests.real.loader import Loader
from tests.real.operators import Answer, Operator, leads, sends
from tests.real.servers import RunningLab

every_server = pytest.mark.every_server
OK, REFUSED, INCOMPLETE, LOCKED, USAGE, DECLINED = 0, 10, 12, 14, 64, 65
LONG_S = 240.0


def labels(lab: RunningLab) -> list[str]:
    """The lab's zones as an operator labels them: a Redis server knows none."""
    return [word for node in lab.nodes for word in ("--zone", f"{node.endpoint}={node.zone}")]


def leaders(lab: RunningLab) -> set[str]:
    return {node.name for node in lab.nodes if leads(lab, node)}


def outcomes(answer: Answer) -> list[str]:
    return [row["outcome"] for row in answer.data["outcomes"]]


def agreed(lab: RunningLab) -> None:
    """Every node's own table says the same of roles and owners."""
    tables = [
        {each.node_id: (each.role, each.primary_id, each.slots) for each in lab.view(node).beliefs}
        for node in lab.nodes
    ]
    assert all(table == tables[0] for table in tables), lab.tables()


@every_server
def test_a_zone_is_emptied_and_filled_again_and_no_write_is_lost(lab: LabMaker, tmp_path: Path) -> None:
    one = lab(primaries=6, hosts=6, zones=3, node_timeout_ms=5000)
    operator = Operator(one, tmp_path)
    zone, before = one.node("n1").zone, leaders(one)
    inside = {node.name for node in one.nodes if node.zone == zone}
    there = before & inside
    assert len(there) == 2
    words = [*labels(one), "--zone", zone, "--yes"]
    with Loader(one.nodes, slots=(0, 4000, 9000, 15000), every_s=0.005) as load:
        answer = operator.ask("drain", *words, within_s=LONG_S)
        assert (answer.code, outcomes(answer)) == (OK, ["done", "done"]), answer
        assert not leaders(one) & inside
        assert len(leaders(one)) == 6
        agreed(one)
        after = answer.data["after"]
        assert (after["primaries_there"], after["left"], after["needed"], after["majority"]) == (0, 6, 4, True)

        again = operator.ask("drain", *words)
        assert (again.code, again.data["result"], again.data["outcomes"]) == (OK, "nothing", [])
        back = operator.ask("undrain", *labels(one), "--zone", zone, "--yes", "--wait-cooldown", within_s=LONG_S)
        assert (back.code, outcomes(back)) == (OK, ["done", "done"]), back
        assert leaders(one) == before
        agreed(one)
    assert load.acknowledged > 0
    assert load.lost == 0, load.shards
    assert sum(sends(one).values()) == 4, "each failover was sent once"
    none = operator.ask("undrain", "--yes")
    assert (none.code, none.errors[0]["code"]) == (REFUSED, "refused")
    ends = [line["exit_code"] for line in operator.lines() if line["line"] == "end"]
    assert ends == [OK, OK], "one run of the audit for each that changed something"


def test_one_primary_that_cannot_leave_keeps_all_of_them(lab: LabMaker, tmp_path: Path) -> None:
    one = lab(primaries=5, hosts=5)
    replica = one.replica_of("n1")
    one.break_replication(replica)
    one.wait(lambda: one.vitals(replica).replication.link_up is False, "the link to break")
    words = [word for name in ("n1", "n3") for word in ("--host", one.node(name).host)]
    answer = Operator(one, tmp_path).ask("drain", *words, "--yes")
    assert (answer.code, answer.data["result"]) == (REFUSED, "refused")
    stuck = {each["primary"]: each["why"] for each in answer.data["stuck"]}
    assert list(stuck) == [one.node("n1").node_id]
    assert str(replica.endpoint) in stuck[one.node("n1").node_id][0]
    assert not sends(one)
    assert leaders(one) == {"n1", "n2", "n3", "n4", "n5"}
    assert not (tmp_path / "rcfail/layouts").exists(), "what was not moved needs no way back"


def told(process: subprocess.Popen[str], text: str) -> None:
    """Wait until it says so on stderr."""
    assert process.stderr is not None
    heard = []
    for row in process.stderr:
        heard.append(row)
        if text in row:
            return
    raise AssertionError(f"it never said {text!r}: {''.join(heard)}")


def moves_of(answer: Answer) -> list[tuple[str, str]]:
    return [(each["old_primary"]["id"], each["target"]["id"]) for each in answer.data["plan"]["steps"]]


def by_id(lab: RunningLab, node_id: str) -> NodeEntry:
    return next(node for node in lab.nodes if node.node_id == node_id)


def two_hosts(lab: RunningLab) -> list[str]:
    return [word for name in ("n1", "n3") for word in ("--host", lab.node(name).host)]


@every_server
def test_a_candidate_that_freezes_between_two_steps_stops_it_and_it_goes_on_later(
    lab: LabMaker, tmp_path: Path
) -> None:
    one = lab(primaries=5, hosts=5, node_timeout_ms=2000)
    operator = Operator(one, tmp_path)
    plan = moves_of(operator.ask("drain", *two_hosts(one), "--dry-run"))
    assert len(plan) == 2
    frozen = by_id(one, plan[1][1])
    process = operator.start("drain", *two_hosts(one), "--yes", "--min-wait", "3s")
    with process:
        told(process, "before the next step")
        one.freeze(frozen)
        out, _ = process.communicate(timeout=LONG_S)
    assert process.returncode == INCOMPLETE, out
    assert "1 of 2 failovers done" in out
    assert leads(one, by_id(one, plan[0][1]))
    assert sum(sends(one).values()) == 1, "nothing was sent to whom does not answer"

    one.thaw(frozen)
    one.wait(lambda: one.vitals(frozen).replication.link_up, "the replica to follow", 60)
    assert operator.run("wait", "settled", "--timeout", "60s").returncode == OK
    rest = operator.ask("drain", *two_hosts(one), "--yes", "--wait-cooldown", within_s=LONG_S)
    assert (rest.code, outcomes(rest)) == (OK, ["done"]), rest
    assert not {"n1", "n3"} & leaders(one)
    back = operator.ask("undrain", "--yes", "--wait-cooldown", within_s=LONG_S)
    assert (back.code, sorted(outcomes(back))) == (OK, ["done", "done"]), "both runs are remembered as one drain"
    assert leaders(one) == {"n1", "n2", "n3", "n4", "n5"}


def test_ctrl_c_between_two_steps_ends_it_with_what_was_done(lab: LabMaker, tmp_path: Path) -> None:
    one = lab(primaries=5, hosts=5)
    operator = Operator(one, tmp_path)
    process = operator.start("drain", *two_hosts(one), "--yes", "--min-wait", "60s")
    with process:
        told(process, "before the next step")
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=LONG_S)
    assert process.returncode == INCOMPLETE, out
    assert "SKIPPED" in out
    assert sum(sends(one).values()) == 1
    assert operator.ask("drain", *two_hosts(one), "--dry-run").code == OK, "the lock is free again"


def test_what_is_said_before_anything_is_done(lab: LabMaker, tmp_path: Path) -> None:
    one = lab()
    operator = Operator(one, tmp_path)
    host = one.node("n1").host
    dry = operator.run("drain", "--host", host, "--dry-run")
    assert dry.returncode == OK
    assert dry.stdout.startswith("ALLOWED  1 failover would move every primary out of host ")
    asked = operator.ask("drain", "--host", host)
    assert (asked.code, asked.errors[0]["code"]) == (DECLINED, "declined")
    nowhere = operator.ask("drain", "--zone", "nowhere", "--yes")
    assert (nowhere.code, nowhere.errors[0]["code"]) == (USAGE, "target")
    assert operator.ask("drain", "--yes").code == USAGE
    empty = operator.ask("drain", one.replica_of("n1").node_id, "--yes")
    assert (empty.code, empty.data["result"]) == (OK, "nothing")
    assert not sends(one)
    assert not operator.lines()


def test_a_second_operator_has_to_wait(lab: LabMaker, tmp_path: Path) -> None:
    one = lab(primaries=5, hosts=5)
    first, second = Operator(one, tmp_path / "first"), Operator(one, tmp_path / "second")
    process = first.start("drain", *two_hosts(one), "--yes", "--min-wait", "60s", "--reason", "power work")
    with process:
        told(process, "before the next step")
        other = second.ask("drain", "--host", one.node("n2").host, "--yes")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=LONG_S)
    assert other.code == LOCKED
    assert "power work" in other.errors[0]["message"]
    assert sum(sends(one).values()) == 1
