"""Nodes of real clusters that are reset because the operator says so: what is lost, what is left, and the way back."""

from __future__ import annotations

from pathlib import Path

import pytest

from rcfail.cluster.nouns import Belief, NodeId, Role
from rcfail.practice.lab.register import NodeEntry
from tests.real.conftest import LabMaker
from tests.real.mended import FILLED, fill, keys_on, steps
from tests.real.operators import Answer, Operator, killed_at
from tests.real.servers import RunningLab
from tests.real.verdicts import health_of

every_server = pytest.mark.every_server
OK, REFUSED, USAGE, DECLINED = 0, 10, 64, 65
WAIT_S = 60.0


def filled(lab: RunningLab) -> None:
    for node in lab.primaries:
        fill(lab, node)
    lab.wait(lambda: all(keys_on(lab, each) == FILLED for each in lab.nodes), "the keys to arrive", WAIT_S)


def place(node: NodeEntry) -> str:
    return str(node.endpoint)


def own(lab: RunningLab, node: NodeEntry) -> Belief:
    """What it says of itself, whatever its id is now."""
    return lab.view(node).by_id[NodeId(lab.text(node, "CLUSTER", "MYID"))]


def ids(lab: RunningLab) -> set[frozenset[str]]:
    """The tables of all, as sets of ids: one where they agree."""
    return {frozenset(lab.view(node).by_id) for node in lab.nodes}


def whole(lab: RunningLab, node: NodeEntry, primary: NodeEntry) -> None:
    """It follows its primary with all keys, everybody knows six nodes, and health has nothing to say."""
    assert (own(lab, node).role, own(lab, node).primary_id) == (Role.REPLICA, primary.node_id)
    assert [keys_on(lab, each) for each in lab.nodes] == [FILLED] * len(lab.nodes)
    assert [len(each) for each in ids(lab)] == [len(lab.nodes)]
    lab.wait(lambda: health_of(lab).exit_code == OK, "health to be OK", WAIT_S)


def carried_out(lab: RunningLab) -> dict[str, int]:
    """How often each node did what CLUSTER told it, without what it refused: that is asked to see who may do what."""
    found: dict[str, int] = {}
    for node in lab.nodes:
        for line in str(lab.ask(node, "INFO", "commandstats")).splitlines():
            name, _, figures = line.partition(":")
            fields = dict(pair.split("=") for pair in figures.split(",")) if name.startswith("cmdstat_cluster|") else {}
            if name.partition("|")[2] in ("reset", "meet", "forget", "replicate"):
                found[f"{node.name} {name}"] = int(fields["calls"]) - int(fields.get("failed_calls", 0))
    return {name: count for name, count in found.items() if count}


def pictured(lab: RunningLab) -> list[object]:
    """Every table as it is told, and how many keys are where; without the state of links, which are tried again and
    again where a node is dead."""
    living = [node for node in lab.nodes if lab.see(node).nodes is not None]
    tables = {node.name: sorted([*words[:7], *words[8:]] for words in lines_of(lab, node)) for node in living}
    return [(node.name, tables[node.name], keys_on(lab, node)) for node in living]


def lines_of(lab: RunningLab, node: NodeEntry) -> list[list[str]]:
    """The words of each line that it tells."""
    return [each.line.split() for each in lab.view(node).beliefs]


def refused(operator: Operator, *words: str) -> Answer:
    """Nothing was done, by the servers' own word."""
    before = carried_out(operator.lab), pictured(operator.lab)
    answer = operator.ask("reset", *words)
    assert (carried_out(operator.lab), pictured(operator.lab)) == before
    return answer


@every_server
def test_a_soft_reset_and_the_way_back_keep_id_and_keys(lab: LabMaker, tmp_path: Path) -> None:
    one = lab(node_timeout_ms=2000)
    operator, replica, primary = Operator(one, tmp_path), one.node("n4"), one.node("n1")
    filled(one)
    words = (place(replica), "--soft", "--rejoin", place(primary))
    dry = refused(operator, *words, "--dry-run")
    assert (dry.code, steps(dry)) == (OK, ["reset", "meet", "replicate"])
    done = operator.ask("reset", *words, "--yes")
    assert done.code == OK, done.document
    assert one.text(replica, "CLUSTER", "MYID") == replica.node_id
    whole(one, replica, primary)
    # Cut off behind each step, it goes on.
    for line in ("sent", "step 2:", "step 3:"):
        killed_at(operator, "reset", *words, "--yes", line=line)
        again = operator.ask("reset", *words, "--yes")
        assert again.code == OK, (line, again.document)
        whole(one, replica, primary)


@every_server
def test_a_hard_reset_and_the_way_back_leave_one_new_id(lab: LabMaker, tmp_path: Path) -> None:
    one = lab(node_timeout_ms=2000)
    operator, replica, primary = Operator(one, tmp_path), one.node("n4"), one.node("n1")
    filled(one)
    words = (place(replica), "--hard", "--rejoin", place(primary))
    dry = refused(operator, *words, "--dry-run")
    assert (dry.code, steps(dry)) == (OK, ["reset", "forget", "meet", "replicate"])
    seen = {replica.node_id}
    for line in ("", "sent", "step 2:", "step 3:", "step 4:"):
        if line:
            killed_at(operator, "reset", *words, "--yes", line=line)
        done = operator.ask("reset", *words, "--yes")
        assert done.code == OK, (line, done.document)
        whole(one, replica, primary)
        new = own(one, replica).node_id
        assert new not in seen
        assert not seen & next(iter(ids(one))), "no old id is listed"
        seen.add(new)


@pytest.mark.long
@every_server
def test_a_node_that_leaves_is_known_to_nobody(lab: LabMaker, tmp_path: Path) -> None:
    """Softly, then hard, and then there is nothing to do."""
    one = lab(node_timeout_ms=2000, conf=("cluster-allow-replica-migration no",))
    operator = Operator(one, tmp_path)
    filled(one)
    soft, hard = one.node("n4"), one.node("n5")
    for node, word in ((soft, "--soft"), (hard, "--hard")):
        killed_at(operator, "reset", place(node), word, "--yes", line="sent")
        done = operator.ask("reset", place(node), word, "--yes")
        assert done.code == OK, done.document
        assert [own(one, node).node_id] == [each.node_id for each in one.view(node).beliefs]
        assert (one.text(node, "CLUSTER", "MYID") == node.node_id) == (word == "--soft")
        assert keys_on(one, node) == 0
        left = [each for each in one.nodes if each not in (soft, hard)]
        assert not any(node.node_id in one.view(each).by_id for each in left)
        again = refused(operator, place(node), word, "--yes")
        assert (again.code, again.data["conditions"]) == (OK, [])
    assert [keys_on(one, each) for each in one.primaries] == [FILLED] * 3
    back = operator.ask("reset", place(soft), "--soft", "--rejoin", place(one.node("n1")), "--yes", within_s=240)
    assert back.code == OK, back.document
    assert (own(one, soft).node_id, keys_on(one, soft)) == (soft.node_id, FILLED)


@every_server
def test_what_serves_or_holds_keys_is_not_reset(lab: LabMaker, tmp_path: Path) -> None:
    one = lab(3, 1, node_timeout_ms=2000, conf=("cluster-require-full-coverage no",))
    operator, owner = Operator(one, tmp_path), one.node("n1")
    filled(one)
    for word in ("--soft", "--hard"):
        answer = refused(operator, owner.node_id, word, "--yes")
        assert answer.code == REFUSED
        (condition,) = answer.data["conditions"]
        assert "owns 5461 slots" in condition["story"]
        assert f"rcfail failover {place(one.node('n4'))}" in condition["advice"]
    back = refused(operator, place(one.node("n4")), "--soft", "--rejoin", place(one.node("n5")), "--yes")
    assert (back.code, "no primary with slots" in back.data["conditions"][0]["story"]) == (REFUSED, True)
    assert refused(operator, place(owner), "--yes").code == USAGE
    assert refused(operator, place(owner), "--soft", "--hard", "--yes").code == USAGE
    # A primary whose slots everybody dropped keeps its keys.
    one.say("n4", "CLUSTER", "REPLICATE", one.node("n2").node_id)
    one.wait(lambda: own(one, one.node("n4")).primary_id == one.node("n2").node_id, "n4 to follow n2", WAIT_S)
    for node in one.nodes:
        one.say(node, "CLUSTER", "DELSLOTS", *range(5461))
    one.wait(lambda: not any(one.belief(each, owner).slots for each in one.nodes), "n1 to own nothing", WAIT_S)
    if keys_on(one, owner):  # from Valkey 8.1 on DELSLOTS takes the keys along
        answer = operator.ask("reset", place(owner), "--hard", "--yes")
        assert (answer.code, keys_on(one, owner)) == (REFUSED, FILLED)
        assert own(one, owner).node_id == owner.node_id
        assert f"holds {FILLED} keys" in answer.data["conditions"][0]["story"]


@every_server
def test_the_only_copy_is_thrown_away_by_its_size_alone(lab: LabMaker, tmp_path: Path) -> None:
    """The primary is dead for good, and its replica may not take over: what it holds nobody else does."""
    one = lab(node_timeout_ms=2000, conf=("cluster-replica-no-failover yes",))
    operator, replica = Operator(one, tmp_path), one.node("n4")
    filled(one)
    one.kill("n1")
    living = [each for each in one.nodes if each.name != "n1"]
    one.wait(lambda: all(one.belief(each, "n1").failed for each in living), "n1 to be failed", WAIT_S)
    words = (place(replica), "--soft", "--rejoin", place(one.node("n2")))
    no = refused(operator, *words, "--yes")
    assert (no.code, no.refused_by) == (REFUSED, {"data"})
    assert "the only copy of 40 keys" in no.checks["data"]["evidence"]
    declined = refused(operator, *words, "--allow-data-loss", "--yes")
    assert declined.code == DECLINED
    assert "--lose-keys 40" in declined.errors[0]["hint"]
    assert refused(operator, *words, "--allow-data-loss", "--yes", "--lose-keys", "39").code == REFUSED
    assert keys_on(one, replica) == FILLED
    done = operator.ask("reset", *words, "--allow-data-loss", "--yes", "--lose-keys", "40")
    assert done.code == OK, done.document
    assert own(one, replica).primary_id == one.node("n2").node_id
    assert one.ask(replica, "DBSIZE") == one.ask("n2", "DBSIZE")
