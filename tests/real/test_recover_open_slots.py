"""Half moved slots of real clusters: closed, ended, or left to who moves the keys, and every key is there after it."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from rcfail.practice.lab.tables import Side
from tests.real.conftest import LabMaker
from tests.real.operators import Operator, killed_after_each_send
from tests.real.servers import RunningLab, all_servers
from tests.real.slot_tables import owned_by, reply, tables, told
from tests.real.test_beside_redis_cli import redis_cli
from tests.real.verdicts import health_of

every_server = pytest.mark.every_server
OK, REFUSED = 0, 10
LONG_S = 60.0

# Each names a slot of the first, or of the third of three equal shards; found by trying names.
KEY_OF_SLOT_100 = "48063"
SLOT_OF_A = 15495


def steps(document: dict[str, object]) -> list[str]:
    """What goes where, with nodes by their names where the test gave them."""
    plan = document["plan"]
    assert isinstance(plan, dict), document
    return [f"{send['address']} {send['command']}" for step in plan["steps"] for send in step["sends"]]


def changes_nothing(lab: RunningLab, operator: Operator, *words: str) -> dict[str, object]:
    before, said = tables(lab), told(lab)
    answer = operator.ask("recover", "--dry-run", *words)
    assert (tables(lab), told(lab)) == (before, said)
    assert answer.code == OK, answer
    return answer.data


def no_move_is_at_work(lab: RunningLab, *nodes: str) -> None:
    """Connections of MIGRATE end some 10 s after the last key."""
    lab.wait(
        lambda: all("migrate_cached_sockets:0" in lab.text(node, "INFO", "stats") for node in nodes), "rest", LONG_S
    )


@every_server
def test_moves_that_moved_nothing_are_closed_also_after_rcfail_was_killed_in_between(
    lab: LabMaker, tmp_path: Path
) -> None:
    one = lab(node_timeout_ms=2000)
    operator, n1, n2 = Operator(one, tmp_path), one.node("n1"), one.node("n2")
    assert reply(one, "n1", "SET", KEY_OF_SLOT_100, "kept") == "OK"
    one.open_slot(100, to="n2")
    one.open_slot(101, to="n2", side=Side.IMPORTING)
    one.open_slot(102, to="n2", side=Side.MIGRATING)
    assert set(health_of(one).codes) == {"slots-open", "slots-open-orphan"}
    planned = changes_nothing(one, operator)
    assert steps(planned) == [
        f"{n1.endpoint} CLUSTER SETSLOT 100 STABLE",
        f"{n1.endpoint} CLUSTER SETSLOT 102 STABLE",
        f"{n2.endpoint} CLUSTER SETSLOT 100 STABLE",
        f"{n2.endpoint} CLUSTER SETSLOT 101 STABLE",
    ]
    assert killed_after_each_send(operator, "recover", "--yes") >= 2
    one.wait(lambda: owned_by(one, "n1", 100, 101, 102), "all marks to be gone", LONG_S)
    assert reply(one, "n1", "GET", KEY_OF_SLOT_100) == "kept"
    assert health_of(one, "--wait", "60s").exit_code == OK
    before = told(one)
    again = operator.ask("recover", "--yes")
    assert (again.code, again.data["conditions"], told(one)) == (OK, [], before)


@every_server
def test_moves_that_lack_only_their_end_are_ended_and_moves_at_work_are_left_alone(
    lab: LabMaker, tmp_path: Path
) -> None:
    """To n1, whose epoch is lower than that of the source: nobody would believe it without a new one."""
    one = lab(node_timeout_ms=2000)
    operator, n1 = Operator(one, tmp_path), one.node("n1")
    assert one.ask("n3", "CLUSTER", "KEYSLOT", "a") == SLOT_OF_A
    assert one.belief("n1", "n1").config_epoch < one.belief("n3", "n3").config_epoch
    assert reply(one, "n3", "SET", "a", "moved") == "OK"
    one.open_slot(SLOT_OF_A, to="n1")
    one.say("n3", "MIGRATE", n1.host, n1.port, "a", 0, 5000)
    busy = operator.ask("recover", "--yes")
    assert (busy.code, [each["choice"] for each in busy.data["conditions"]]) == (REFUSED, [False]), busy
    assert "Let it end" in busy.data["conditions"][0]["advice"]
    no_move_is_at_work(one, "n1", "n3")
    one.say("n3", "CLUSTER", "SETSLOT", SLOT_OF_A, "STABLE")
    assert health_of(one).codes == {"slots-open-orphan": "warning"}
    changes_nothing(one, operator)
    assert killed_after_each_send(operator, "recover", "--yes") >= 2
    one.wait(lambda: owned_by(one, "n1", SLOT_OF_A), "n1 to own it in every view", LONG_S)
    assert reply(one, "n1", "GET", "a") == "moved"
    assert health_of(one, "--wait", "60s").exit_code == OK
    assert operator.ask("recover", "--yes").data["conditions"] == []


def test_keys_on_both_sides_are_the_operators_and_the_way_that_is_named_works(lab: LabMaker, tmp_path: Path) -> None:
    one = lab(node_timeout_ms=2000)
    operator, n2 = Operator(one, tmp_path), one.node("n2")
    names = [f"{{{KEY_OF_SLOT_100}}}{number}" for number in range(20)]
    for name in names:
        assert reply(one, "n1", "SET", name, "kept") == "OK"
    one.open_slot(100, to="n2")
    one.say("n1", "MIGRATE", n2.host, n2.port, names[0], 0, 5000)
    no_move_is_at_work(one, "n1", "n2")
    before, said = tables(one), told(one)
    answer = operator.ask("recover", "--yes")
    assert (answer.code, tables(one), told(one)) == (REFUSED, before, said), answer
    (found,) = answer.data["conditions"]
    assert (found["condition"], found["choice"]) == ("slot-open", True)
    assert f"{one.node('n1').endpoint} ({one.node('n1').node_id[:8]}) holds 19 keys" in found["evidence"]
    command = shlex.split(found["advice"].partition("redis-cli")[2].partition("(")[0])
    ran = redis_cli(*command)
    assert ran.returncode == 0, ran
    one.wait(lambda: owned_by(one, "n1", 100) or owned_by(one, "n2", 100), "one of them to own it", LONG_S)
    owner = "n1" if owned_by(one, "n1", 100) else "n2"
    assert {reply(one, owner, "GET", name) for name in names} == {"kept"}
    one.wait(lambda: operator.ask("recover", "--yes").code == OK, "nothing to be left", LONG_S)


def valkeys() -> list[str]:
    return [each.path for each in all_servers() if each.label.startswith("valkey")]


@pytest.mark.parametrize("path", valkeys())
def test_a_mark_that_only_a_replica_kept_is_taken_away_through_its_primary(
    lab: LabMaker, path: str, tmp_path: Path
) -> None:
    one = lab(node_timeout_ms=5000, server=path)
    operator = Operator(one, tmp_path)
    one.open_slot(100, to="n2")
    one.wait(
        lambda: one.belief("n4", "n4").migrating and one.belief("n5", "n5").importing, "the replicas to hear of it"
    )
    one.kill("n4", "n5")
    one.wait(
        lambda: [one.vitals(node).replication.connected_replicas for node in ("n1", "n2")] == [0, 0], "no link", LONG_S
    )
    for node in ("n1", "n2"):
        one.say(node, "CLUSTER", "SETSLOT", 100, "STABLE")
    for node in ("n4", "n5"):
        one.restart(node, wait_s=LONG_S)
    one.wait(lambda: all(one.vitals(node).replication.link_up for node in ("n4", "n5")), "both links", LONG_S)
    assert one.belief("n4", "n4").migrating, one.tables()
    assert not one.belief("n1", "n1").migrating, one.tables()
    one.wait(lambda: "slots-open-orphan" in health_of(one).codes, "health to name it", LONG_S)
    answer = operator.ask("recover", "--yes")
    assert answer.code == OK, answer
    assert owned_by(one, "n1", 100), one.tables()
    assert operator.ask("recover", "--yes").data["conditions"] == []


def test_a_move_to_a_node_that_died_goes_on_only_when_the_operator_says_that_it_is_gone(
    lab: LabMaker, tmp_path: Path
) -> None:
    one = lab(primaries=3, replicas=1, node_timeout_ms=2000)
    operator, n4 = Operator(one, tmp_path), one.node("n4")
    one.reset("n4")
    one.say("n1", "CLUSTER", "MEET", n4.host, n4.port)
    one.wait(lambda: len(one.view("n4").beliefs) == len(one.nodes) and one.lists("n1", "n4"), "n4 to be back", LONG_S)
    one.wait(lambda: not any(each.handshake for each in one.view("n4").beliefs), "no handshake", LONG_S)
    one.wait(lambda: one.belief("n1", "n4").primary_id is None, "n4 to be a primary for n1", LONG_S)
    assert reply(one, "n1", "SET", KEY_OF_SLOT_100, "kept") == "OK"
    one.open_slot(100, to="n4", side=Side.MIGRATING)
    one.kill("n4")
    living = [node for node in one.nodes if node.name != "n4"]
    one.wait(lambda: all(one.belief(node, "n4").failed for node in living), "n4 to be failed", LONG_S)
    first = operator.ask("recover", one.node("n1").node_id, "--yes")
    assert first.code == REFUSED, first
    assert one.belief("n1", "n1").migrating
    assert first.data["conditions"][0]["choice"]
    words = ("recover", one.node("n1").node_id, "--forget", n4.node_id, "--yes")
    answer = operator.ask(*words)
    assert [each["outcome"] for each in answer.data["outcomes"]][:1] == ["done"], answer
    assert not one.belief("n1", "n1").migrating, one.tables()
    assert "slot-open" not in [each["condition"] for each in answer.data["left"]], answer
    assert reply(one, "n1", "GET", KEY_OF_SLOT_100) == "kept"
