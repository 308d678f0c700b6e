"""Real clusters whose nodes came back at other addresses, or forgot one of them: met again, with every key."""

from __future__ import annotations

from pathlib import Path

import pytest

from rcfail.practice.lab.register import NodeEntry
from rcfail.practice.lab.restart import Comeback, restart_all
from rcfail.practice.lab.wish import Persistence
from tests.real.conftest import LabMaker
from tests.real.mended import FILLED, changes, codes, fill, keys_on, nothing_left, planned, steps
from tests.real.operators import Operator, killed_after_each_send, leads
from tests.real.servers import RunningLab
from tests.real.verdicts import health_of

every_server = pytest.mark.every_server
OK, UNKNOWN, REFUSED = 0, 3, 10
WAIT_S = 60.0
MOVED = Comeback(new_host=True)


def places(lab: RunningLab, *nodes: NodeEntry | str) -> list[str]:
    """`--at` for each of them."""
    return [word for node in nodes or lab.nodes for word in ("--at", str(lab.node(node).endpoint))]


def without_announced_ip(lab: RunningLab) -> None:
    """As a container is configured: nodes tell nobody where they are, and learn it from others."""
    for node in lab.nodes:
        conf = Path(node.folder) / "redis.conf"
        rows = [row for row in conf.read_text().splitlines() if not row.startswith("cluster-announce-ip")]
        conf.write_text("\n".join(rows) + "\n")


def scattered(lab: RunningLab) -> None:
    """All nodes at new addresses at once, and each has noticed that the others are gone."""
    restart_all(lab.register, lab.name, comeback=MOVED)
    lab.wait(
        lambda: all(lab.belief(a, b).flagged for a in lab.nodes for b in lab.nodes if a.name != b.name),
        "every node to miss every other one",
        WAIT_S,
    )


def well(lab: RunningLab) -> bool:
    """Every node lists every node where it is, itself too, and suspects none."""
    for observer in lab.nodes:
        table = lab.view(observer).by_id
        for node in lab.nodes:
            said = table[node.node_id]
            if said.flagged or said.noaddr or (said.address.host, said.address.port) != (node.host, node.port):
                return False
    return len(lab.view("n1").by_id) == len(lab.nodes)


@every_server
def test_all_nodes_at_new_addresses(lab: LabMaker, tmp_path: Path) -> None:
    """Owners of slots first, so nobody is failed over; then replicas; then whoever is met by no other learns its own
    address."""
    one = lab(node_timeout_ms=2000, persistence=Persistence.AOF)
    operator = Operator(one, tmp_path)
    for node in one.primaries:
        fill(one, node)
    without_announced_ip(one)
    scattered(one)
    answer = planned(operator, *places(one))
    assert (answer.code, steps(answer)) == (OK, ["meet"] * 6), answer.document
    assert codes(answer)[0] == "nodes-apart"
    assert killed_after_each_send(operator, "recover", *places(one), "--yes") >= 3
    assert well(one), one.tables()
    assert [node.name for node in one.nodes if leads(one, node)] == ["n1", "n2", "n3"]
    assert [keys_on(one, node) for node in one.nodes] == [FILLED] * 6
    one.wait(lambda: health_of(one).exit_code == OK, "health to be OK", WAIT_S)
    nothing_left(operator)


@every_server
def test_a_replica_that_would_copy_an_emptied_primary_is_not_let_near_it(lab: LabMaker, tmp_path: Path) -> None:
    """All have new addresses, and a primary has lost its files: that its replica does not find it saves the data."""
    one = lab(node_timeout_ms=2000, persistence=Persistence.AOF)
    operator, replica = Operator(one, tmp_path), one.replica_of("n1")
    fill(one, "n1")
    one.wait(lambda: keys_on(one, replica) == FILLED, "the keys to arrive", WAIT_S)
    without_announced_ip(one)
    scattered(one)
    one.kill("n1")
    for path in Path(one.node("n1").folder).rglob("*"):
        if path.suffix in (".aof", ".rdb", ".manifest"):
            path.unlink()
    one.restart("n1")
    one.wait(lambda: keys_on(one, "n1") == 0, "n1 to answer, empty", WAIT_S)
    before = changes(one)
    answer = operator.ask("recover", *places(one), "--yes")
    assert (answer.code, answer.refused_by) == (REFUSED, {"data"}), answer.document
    assert f"throws away its {FILLED} keys" in answer.data["conditions"][0]["story"]
    assert (changes(one), keys_on(one, replica)) == (before, FILLED)
    consented = operator.ask("recover", *places(one), "--allow-data-loss", "--dry-run")
    assert consented.code == OK, consented.document


@pytest.mark.long
@every_server
def test_a_member_that_was_forgotten_by_one_node(lab: LabMaker, tmp_path: Path) -> None:
    """From Redis 7.2 on the others are told to forget it too; Valkey 8.1 brings it back when the ban is over."""
    one = lab(node_timeout_ms=2000)
    operator, replica = Operator(one, tmp_path), one.replica_of("n1")
    fill(one, "n1")
    one.wait(lambda: keys_on(one, replica) == FILLED, "the keys to arrive", WAIT_S)
    one.say("n2", "CLUSTER", "FORGET", replica.node_id)
    one.wait(lambda: "node-unknown-to-some" in health_of(one).codes, "health to name it", WAIT_S)
    answer = planned(operator)
    assert answer.code == OK, answer.document
    # From Valkey 8.1 on the one that forgot it may be meeting it again already, in vain while its ban lasts.
    assert {"unknown-to-some", "handshake-loop"} & set(codes(answer)), answer.document
    done = operator.ask("recover", "--yes", within_s=240)
    assert done.code == OK, done.told
    assert all(one.lists(node, replica) for node in one.nodes), one.tables()
    assert keys_on(one, replica) == FILLED
    one.wait(lambda: health_of(one).exit_code == OK, "health to be OK", WAIT_S)
    nothing_left(operator)


def test_most_members_that_nobody_names(lab: LabMaker, tmp_path: Path) -> None:
    """One of six is found at a new address: whether the others moved as well or are down cannot be told."""
    one = lab(node_timeout_ms=2000, persistence=Persistence.AOF)
    operator = Operator(one, tmp_path)
    without_announced_ip(one)
    scattered(one)
    operator.lab.kill(*one.nodes[1:])
    before = changes(one)
    answer = operator.ask("recover", *places(one, "n1"), "--yes")
    found = answer.data["conditions"][0]
    assert (answer.code, found["condition"], found["doubt"]) == (UNKNOWN, "nodes-apart", ["node-down"]), answer.document
    assert "--at HOST:PORT" in found["advice"]
    assert changes(one) == before
