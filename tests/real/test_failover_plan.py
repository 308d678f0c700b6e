"""Plans that are saved and carried out later, and words that a failover is given and cannot follow."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.real.conftest import LabMaker
from tests.real.operators import Answer, Operator, moved, sends
from tests.real.servers import RunningLab
from tests.unit.ordeal import on_terminal

every_server = pytest.mark.every_server
OK, REFUSED, USAGE = 0, 10, 64


def planned(operator: Operator, target: str, file: Path, *words: str) -> Answer:
    answer = operator.ask("failover", operator.lab.node(target).node_id, "--save-plan", str(file), *words)
    assert (answer.code, answer.data["result"]) == (OK, "allowed"), answer
    assert sends(operator.lab) == {}, "saving sends nothing"
    return answer


@every_server
def test_a_saved_plan_is_carried_out_once(lab: LabMaker, tmp_path: Path) -> None:
    one = lab()
    new, file, operator = one.replica_of("n1"), tmp_path / "plan.json", Operator(one, tmp_path)
    planned(operator, new.name, file, "--reason", "disks")
    dry = operator.ask("apply", str(file), "--dry-run")
    assert (dry.code, dry.data["result"]) == (OK, "allowed"), dry
    done = operator.ask("apply", str(file), "--yes")
    assert (done.code, done.outcome["outcome"]) == (OK, "done"), done
    moved(one, new, "n1")
    assert sends(one) == {new.name: 1}
    assert operator.lines()[0]["reason"] == "disks"
    again = operator.ask("apply", str(file), "--yes")
    assert (again.code, again.data["result"]) == (OK, "nothing"), again
    assert sends(one) == {new.name: 1}


@every_server
def test_a_plan_of_a_shard_that_has_changed_is_refused(lab: LabMaker, tmp_path: Path) -> None:
    """There and back: the roles are those of the plan, and its epoch is not."""
    one = lab(node_timeout_ms=500)
    new, file, operator = one.replica_of("n1"), tmp_path / "plan.json", Operator(one, tmp_path)
    planned(operator, new.name, file)
    for target in (new, one.node("n1")):
        assert operator.failover(target, "--wait-cooldown").code == OK
    before = sends(one)
    stale = operator.ask("apply", str(file), "--yes")
    assert stale.code == REFUSED, stale
    assert "plan-guard-owner" in stale.refused_by
    assert "epoch" in stale.checks["plan-guard-owner"]["evidence"]
    assert sends(one) == before


def test_what_is_not_the_plan_that_was_saved(lab: LabMaker, tmp_path: Path) -> None:
    one, other = lab(), lab()
    file, operator = tmp_path / "plan.json", Operator(one, tmp_path)
    planned(operator, one.replica_of("n1").name, file)
    elsewhere = Operator(other, tmp_path).ask("apply", str(file), "--yes", "-s", other.seeds)
    assert elsewhere.code == REFUSED, elsewhere
    assert "another cluster" in elsewhere.errors[0]["message"]
    said = json.loads(file.read_text())
    said["request"]["given"] = ["--allow-data-loss"]
    file.write_text(json.dumps(said))
    edited = operator.ask("apply", str(file), "--yes")
    assert (edited.code, edited.errors[0]["code"]) == (REFUSED, "plan-edited"), edited
    gone = operator.ask("apply", str(tmp_path / "nothing.json"), "--yes")
    assert gone.code == USAGE, gone
    assert sends(one) == {}
    assert sends(other) == {}


@every_server
def test_the_cluster_changes_while_the_operator_thinks(lab: LabMaker, tmp_path: Path) -> None:
    """Somebody else moves the shard there and back before he types: he has said yes to another cluster."""
    one = lab(node_timeout_ms=500)
    new = one.replica_of("n1")
    for rounds, targets in enumerate(([new], [new, one.node("n1")])):
        if rounds:
            assert Operator(one, tmp_path / "c").failover("n1", "--wait-cooldown").code == OK
        before = sum(sends(one).values())
        code, shown = thinking(one, tmp_path, [each.node_id for each in targets])
        assert code == REFUSED, shown
        assert "nothing was sent" in shown
        assert sum(sends(one).values()) == before + len(targets)


def thinking(lab: RunningLab, state: Path, meanwhile: list[str]) -> tuple[int, str]:
    """`rcfail failover` of n1 by its replica, and another operator on another host who is faster."""
    answer = lab.node("n1").node_id[:8].encode() + b"\n"

    def typed() -> bytes:
        for target in meanwhile:
            ran = Operator(lab, state / "b").ask("failover", target, "--yes", "--wait-cooldown")
            assert ran.code == OK, ran
        return answer

    environment = {**Operator(lab, state / "a").environment, "NO_COLOR": "1"}
    words = ("failover", lab.replica_of("n1").node_id)
    code, shown = on_terminal(*words, env=environment, typed=[(b"to go on: ", typed)], within_s=180)
    return code, shown.decode()


# Words that mean nothing here, or too much


@every_server
def test_what_cannot_be_followed_sends_nothing(lab: LabMaker, tmp_path: Path) -> None:
    one = lab()
    new, operator = one.replica_of("n1"), Operator(one, tmp_path)
    n1, n2 = one.node("n1"), one.node("n2")
    folder = tmp_path / "folder"
    folder.mkdir()
    for words, code, told in (
        (("ffff0000ffff",), USAGE, "no node of this cluster"),
        (("10.255.0.1:6379",), USAGE, "no node of this cluster"),
        ((), USAGE, "which node"),
        ((new.node_id, "--slot", "3"), USAGE, "exclude each other"),
        (("--slot", "16384"), USAGE, "there is no slot"),
        ((new.node_id, "--force", "--takeover"), USAGE, "exclude each other"),
        ((new.node_id, "--confirm-fenced", n2.node_id), USAGE, "--takeover"),
        ((new.node_id, "--force", "--allow-write-pause"), USAGE, "graceful"),
        ((new.node_id, "--max-gap", "1s"), USAGE, "--canary"),
        ((new.node_id, "--avoid", n2.host), USAGE, "choose a replica"),
        ((n1.node_id, "--prefer-zone", "nowhere"), USAGE, "no zone"),
        ((new.node_id, "--expect-primary", "ffff0000ffff"), USAGE, "no node of this cluster"),
        ((new.node_id, "--audit", str(folder)), REFUSED, "--audit"),
    ):
        answer = operator.ask("failover", *words, "--yes")
        assert answer.code == code, (words, answer)
        said = " ".join(f"{each['message']} {each['hint']}" for each in answer.errors)
        assert told in said, (words, said)
    for words in ((new.node_id, "--expect-primary", n2.node_id), (n1.node_id, "--expect-primary", n2.node_id)):
        answer = operator.ask("failover", *words, "--yes")
        assert answer.code == REFUSED, (words, answer)
        assert "target-role" in answer.refused_by
    assert sends(one) == {}


@every_server
def test_a_primary_is_what_was_asked_for_already(lab: LabMaker, tmp_path: Path) -> None:
    """By the primary that is expected and is none any more, a repeated command is known."""
    one = lab()
    new, operator = one.replica_of("n1"), Operator(one, tmp_path)
    words = (new.node_id, "--expect-primary", one.node("n1").node_id, "--yes")
    for result in ("ran", "nothing"):
        answer = operator.ask("failover", *words)
        assert (answer.code, answer.data["result"]) == (OK, result), answer
        assert sends(one) == {new.name: 1}


def test_a_primary_without_replicas(lab: LabMaker, tmp_path: Path) -> None:
    one = lab(3, 0)
    answer = Operator(one, tmp_path).failover("n1")
    assert answer.code == REFUSED, answer
    assert "has no replica" in answer.errors[0]["message"]
    assert sends(one) == {}


def test_a_record_is_no_cluster(lab: LabMaker, tmp_path: Path) -> None:
    one = lab(3, 0)
    record = tmp_path / "record"
    assert one.rcfail("record", str(record)).returncode == OK
    answer = Operator(one, tmp_path).ask("failover", "--slot", "1", "--yes", "--from-record", str(record))
    assert answer.code == USAGE, answer
    assert sends(one) == {}


def test_an_id_that_is_too_short_lists_whom_it_can_mean(lab: LabMaker, tmp_path: Path) -> None:
    """Ids are drawn by lot: two that begin alike are written into the files of a cluster that stands still."""
    one = lab(node_timeout_ms=15_000)
    old, twin = one.node("n4").node_id, one.node("n5").node_id[:6] + one.node("n4").node_id[6:]
    one.kill(*one.nodes)
    for node in one.nodes:
        conf = Path(node.folder) / "nodes.conf"
        conf.write_text(conf.read_text().replace(old, twin))
    for node in one.nodes:
        one.restart(node)
    prefix = twin[:6]
    one.wait(lambda: all(twin in one.text(node, "CLUSTER", "NODES") for node in one.nodes), "they know it")
    answer = Operator(one, tmp_path).ask("failover", prefix, "--yes")
    assert answer.code == USAGE, answer
    said = answer.errors[0]["message"]
    assert "can mean 2 nodes" in said
    assert str(one.node("n4").endpoint) in said
    assert str(one.node("n5").endpoint) in said
    assert sends(one) == {}
