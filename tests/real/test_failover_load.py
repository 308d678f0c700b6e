"""`rcfail failover` while clients write: what was lost, how long they waited, and the limits that an operator sets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rcfail.cluster.permissions import KEYS, Purpose, permissions
from rcfail.practice.lab.damage import Refusal
from tests.real.conftest import LabMaker
from tests.real.loader import Loader
from tests.real.operators import Operator, leads, moved, sends
from tests.real.servers import RunningLab

every_server = pytest.mark.every_server
OK, REFUSED, LIMIT, USAGE = 0, 10, 13, 64
CALM = 5000
"""A node timeout that leaves a busy machine room: nobody is suspected, and no ping counts as slow."""


def own_keys(lab: RunningLab, node: str) -> object:
    return lab.ask(lab.node(node), "KEYS", KEYS.removeprefix("~"))


def canaries(lab: RunningLab, node: str) -> list[str]:
    found = own_keys(lab, node)
    assert isinstance(found, tuple), found
    return [str(each) for each in found if ":canary:" in str(each)]


@every_server
def test_under_load_nothing_acknowledged_is_lost(lab: LabMaker, tmp_path: Path) -> None:
    one = lab(node_timeout_ms=CALM)
    me = Operator(one, tmp_path)
    with Loader(one.nodes, slots=[0, 6000]) as load:
        for old in ("n1", "n2"):
            new = one.replica_of(old)
            answer = me.failover(new, "--canary", "--max-loss-bytes", "0")
            moved(one, new, old)
            felt, outcome = answer.data["canary"], answer.outcome
            assert felt["lost"] == 0, felt
            assert felt["checked"] == felt["acknowledged"] > 0
            assert felt["keys_left"] == 0
            assert outcome["gap_ms"] == felt["write_gap_ms"] > 0
            # The exact loss is a sample that can be missed; then a limit is not said to be kept.
            assert answer.code == (OK if outcome["loss"]["lost_bytes"] == 0 else LIMIT), answer
            assert outcome["loss"]["lost_bytes"] in (0, None)
            assert me.run("wait", "settled", "--timeout", "60s").returncode == OK
        load.stop()
    assert sends(one) == {one.replica_of(old).name: 1 for old in ("n1", "n2")}
    for truth in load.shards:
        assert (truth.lost, truth.resurrected) == (0, 0), truth
        assert truth.acknowledged > 1000
    assert not any(canaries(one, node.name) for node in one.nodes)


@every_server
def test_a_gap_beyond_the_limit_is_an_exit_code_of_its_own(lab: LabMaker, tmp_path: Path) -> None:
    one = lab(node_timeout_ms=CALM)
    me = Operator(one, tmp_path)
    strict = me.failover(one.replica_of("n1"), "--canary", "--max-gap", "1ms")
    assert (strict.code, strict.outcome["outcome"]) == (LIMIT, "done"), strict
    assert "--max-gap is 1 ms" in str(strict.document)
    (kept,) = json.loads(me.run("history", "-o", "json").stdout)["data"]["runs"]
    assert kept["exit_code"] == LIMIT, "the audit says how the process ended"
    moved(one, one.replica_of("n1"), "n1")
    assert me.run("wait", "settled", "--timeout", "60s").returncode == OK
    assert me.failover(one.replica_of("n2"), "--canary", "--max-gap", "1h").code == OK
    said = me.run("failover", one.replica_of("n3").node_id, "--yes", "--canary", "--max-gap", "1ms")
    assert said.returncode == LIMIT, said
    assert "--max-gap is 1 ms" in " ".join((said.stdout + said.stderr).split()), said
    assert "gap   clients could not write for" in said.stdout
    assert max(map(len, said.stdout.splitlines())) <= 80, said.stdout


def test_a_limit_of_the_gap_without_a_canary_is_a_wrong_command(lab: LabMaker, tmp_path: Path) -> None:
    one = lab()
    ended = Operator(one, tmp_path).run("failover", one.replica_of("n1").node_id, "--yes", "--max-gap", "1s")
    assert ended.returncode == USAGE
    assert "--canary" in ended.stderr
    assert not sends(one)


@every_server
def test_a_forced_loss_is_seen_by_the_canary_too(lab: LabMaker, tmp_path: Path) -> None:
    """The canary begins after the link broke, so all that it wrote to the old primary is lost."""
    one = lab(node_timeout_ms=CALM)
    old, new = one.node("n1"), one.replica_of("n1")
    with Loader(one.nodes, slots=[0], every_s=0.002) as load:
        one.break_replication(new)
        answer = Operator(one, tmp_path).failover(
            new, "--force", "--allow-data-loss", "--canary", "--max-loss-bytes", "10"
        )
        one.wait(lambda: leads(one, new) and not leads(one, old), "the old primary to step down", 60)
        load.stop()
    felt = answer.data["canary"]
    assert answer.code == LIMIT, answer
    assert felt["lost"] > 0, felt
    assert felt["lost_keys"]
    assert load.lost > felt["lost"] * 0.5, "an independent client of the shard lost its writes as well"


def test_a_canary_that_may_not_write_stops_the_failover_before_it(lab: LabMaker, tmp_path: Path) -> None:
    one = lab()
    for node in one.nodes:
        words = [each for each in permissions(one.vitals(node).server, Purpose.OPERATING) if each != KEYS]
        one.say(node, "ACL", "SETUSER", "keyless", "on", "nopass", *words)
    me = Operator(one, tmp_path)
    answer = me.failover(one.replica_of("n1"), "--canary", "--user", "keyless")
    assert answer.code == REFUSED, answer
    assert "NOPERM" in str(answer.errors), answer
    assert "rcfail acl operating" in str(answer.errors)
    assert leads(one, "n1")
    assert not sends(one)
    assert me.failover(one.replica_of("n1"), "--user", "keyless").code == OK, "without it nothing is in the way"


def test_a_primary_that_takes_no_writes_has_no_canary(lab: LabMaker, tmp_path: Path) -> None:
    one = lab()
    one.refuse_writes("n1", Refusal.OOM)
    answer = Operator(one, tmp_path).failover(one.replica_of("n1"), "--canary")
    assert answer.code == REFUSED, answer
    assert "OOM" in str(answer.document)
    assert not sends(one)


@every_server
def test_after_a_dead_primary_the_canary_feels_when_writes_are_taken_again(lab: LabMaker, tmp_path: Path) -> None:
    one = lab()
    old, new = one.node("n1"), one.replica_of("n1")
    one.alter(new, "cluster-replica-no-failover", "yes")
    one.kill(old)
    others = [node for node in one.nodes if node.name != "n1"]
    one.wait(lambda: all(one.belief(node, old).failed for node in others), "all to hold it for failed", 60)
    answer = Operator(one, tmp_path).failover(new, "--force", "--canary")
    assert answer.code == OK, answer
    felt = answer.data["canary"]
    assert felt["unready"]
    assert felt["write_gap_ms"] >= 3000, "it waited in vain for the dead primary first"
    assert (felt["lost"], felt["keys_left"]) == (0, 0), felt
    assert not canaries(one, new.name)
