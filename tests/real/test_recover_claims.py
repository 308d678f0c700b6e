"""Slots of real clusters that two claim, that their owner does not claim, or that nobody claims."""

from __future__ import annotations

from pathlib import Path

import pytest

from rcfail.practice.lab.network import can_filter
from tests.real.conftest import LabMaker
from tests.real.operators import Operator, killed_after_each_send
from tests.real.slot_tables import owned_by, reply, tables, told, vacate
from tests.real.verdicts import health_of

every_server = pytest.mark.every_server
needs_firewall = pytest.mark.skipif(not can_filter(), reason="cutting a network takes nftables and root")
OK, REFUSED, INCOMPLETE = 0, 10, 12
LONG_S = 60.0

KEY_OF_SLOT_100 = "48063"  # found by trying names


@every_server
def test_slots_that_their_owner_gave_up_are_claimed_again_with_their_keys(lab: LabMaker, tmp_path: Path) -> None:
    one = lab(node_timeout_ms=2000)
    operator, n1 = Operator(one, tmp_path), one.node("n1")
    assert reply(one, "n1", "SET", KEY_OF_SLOT_100, "kept") == "OK"
    one.del_slots("90-110,500", on="n1")
    assert health_of(one).codes["slots-not-claimed"] == "critical"
    before = tables(one), told(one)
    dry = operator.ask("recover", "--dry-run")
    assert (dry.code, (tables(one), told(one))) == (OK, before), dry
    assert [send["address"] for step in dry.data["plan"]["steps"] for send in step["sends"]] == [str(n1.endpoint)]
    answer = operator.ask("recover", "--yes")
    assert answer.code == OK, answer
    assert owned_by(one, "n1", *range(90, 111), 500), one.tables()
    assert reply(one, "n1", "GET", KEY_OF_SLOT_100) == "kept"
    assert health_of(one, "--wait", "60s").exit_code == OK
    said = told(one)
    again = operator.ask("recover", "--yes")
    assert (again.code, again.data["conditions"], told(one)) == (OK, [], said)


@every_server
def test_an_owner_that_was_reset_is_brought_back_also_after_rcfail_was_killed_in_between(
    lab: LabMaker, tmp_path: Path
) -> None:
    one = lab(node_timeout_ms=2000)
    operator = Operator(one, tmp_path)
    assert reply(one, "n2", "SET", "c", "kept") == "OK"
    one.reset("n1")
    assert "slots-not-claimed" in health_of(one).codes
    before = told(one)
    dry = operator.ask("recover", "--dry-run")
    assert (dry.code, told(one)) == (OK, before), dry
    # Valkey 8.1 and newer meet a node again that forgot them.
    assert [step["kind"] for step in dry.data["plan"]["steps"]] in (["meet", "setslot"], ["setslot"]), dry
    assert killed_after_each_send(operator, "recover", "--yes") >= 1
    assert owned_by(one, "n1", *range(5461)), one.tables()
    one.wait(lambda: one.belief("n4", "n4").primary_id == one.node("n1").node_id, "n4 to follow n1", LONG_S)
    assert (reply(one, "n2", "GET", "c"), reply(one, "n1", "SET", KEY_OF_SLOT_100, "1")) == ("kept", "OK")
    assert health_of(one, "--wait", "60s").exit_code == OK
    assert operator.ask("recover", "--yes").data["conditions"] == []


@every_server
def test_slots_that_nobody_owns_go_to_who_holds_their_keys_and_else_to_whom_the_operator_names(
    lab: LabMaker, tmp_path: Path
) -> None:
    """n2 marks one of them as importing, and while it does it hears of no owner."""
    one = lab(node_timeout_ms=2000)
    operator, n3 = Operator(one, tmp_path), one.node("n3")
    assert reply(one, "n1", "SET", KEY_OF_SLOT_100, "kept") == "OK"
    one.say("n2", "CLUSTER", "SETSLOT", 100, "IMPORTING", one.node("n1").node_id)
    vacate(one, 99, 100, 101, 9000)
    assert "slots-uncovered" in health_of(one).codes
    before = tables(one), told(one)
    dry = operator.ask("recover", "--dry-run")
    assert (dry.code, (tables(one), told(one))) == (OK, before), dry
    answer = operator.ask("recover", "--yes")
    assert answer.code == INCOMPLETE, answer
    assert owned_by(one, "n1", 99, 100, 101), one.tables()
    assert reply(one, "n1", "GET", KEY_OF_SLOT_100).startswith("CLUSTERDOWN")
    (left,) = answer.data["left"]
    assert (left["condition"], left["subject"], left["choice"]) == ("slots-uncovered", "slot 9000", True)
    assert "--slot-owner 9000=NODE" in left["advice"]
    assert f"are of {one.node('n2').endpoint}" in left["advice"]
    assert operator.ask("recover", "--yes").code == REFUSED
    chosen = operator.ask("recover", "--slot-owner", f"9000={n3.endpoint}", "--yes")
    assert chosen.code == OK, chosen
    assert owned_by(one, "n3", 9000), one.tables()
    assert health_of(one, "--wait", "60s").exit_code == OK
    assert reply(one, "n1", "GET", KEY_OF_SLOT_100) == "kept"
    assert operator.ask("recover", "--yes").data["conditions"] == []


@pytest.mark.every_server(but="valkey")  # there the other side takes the slot by itself
def test_a_slot_that_its_source_gave_away_alone_goes_to_who_was_taking_it(lab: LabMaker, tmp_path: Path) -> None:
    """SETSLOT NODE on the source first, and then the tool died: the others name it, and it names the other side."""
    one = lab(node_timeout_ms=2000)
    operator, n2 = Operator(one, tmp_path), one.node("n2")
    assert reply(one, "n1", "SET", KEY_OF_SLOT_100, "kept") == "OK"
    one.open_slot(100, to="n2")
    one.say("n1", "MIGRATE", n2.host, n2.port, KEY_OF_SLOT_100, 0, 5000)
    one.say("n1", "CLUSTER", "SETSLOT", 100, "NODE", n2.node_id)
    assert reply(one, "n2", "GET", KEY_OF_SLOT_100).startswith(("MOVED", "CLUSTERDOWN"))
    assert "slots-not-claimed" in health_of(one).codes
    answer = operator.ask("recover", "--yes")
    assert answer.code == OK, answer
    assert owned_by(one, "n2", 100), one.tables()
    assert reply(one, "n2", "GET", KEY_OF_SLOT_100) == "kept"
    assert operator.ask("recover", "--yes").data["conditions"] == []


def test_keys_of_a_slot_on_two_nodes_are_the_operators_to_judge(lab: LabMaker, tmp_path: Path) -> None:
    one = lab(node_timeout_ms=2000)
    operator, n1, n2 = Operator(one, tmp_path), one.node("n1"), one.node("n2")
    for number in range(3):
        assert reply(one, "n1", "SET", f"{{{KEY_OF_SLOT_100}}}{number}", "kept") == "OK"
    one.open_slot(100, to="n2")
    one.say("n1", "MIGRATE", n2.host, n2.port, f"{{{KEY_OF_SLOT_100}}}0", 0, 5000)
    for name in ("n1", "n2"):
        one.say(name, "CLUSTER", "SETSLOT", 100, "STABLE")
    vacate(one, 100)
    before = tables(one), told(one)
    answer = operator.ask("recover", "--yes")
    assert (answer.code, (tables(one), told(one))) == (REFUSED, before), answer
    (found,) = answer.data["conditions"]
    assert (found["condition"], found["choice"]) == ("slots-uncovered", True)
    assert f"{n1.endpoint} ({n1.node_id[:8]}) holds 2 keys" in found["evidence"]
    words = ("recover", "--slot-owner", f"100={n1.endpoint}", "--yes")
    refused = operator.ask(*words)
    assert (refused.code, refused.refused_by, told(one)) == (REFUSED, {"data"}, before[1]), refused
    done = operator.ask(*words, "--allow-data-loss", "--lose-keys", "1")
    assert done.code == OK, done
    assert owned_by(one, "n1", 100), one.tables()
    held = [one.ask(name, "CLUSTER", "COUNTKEYSINSLOT", 100) for name in ("n1", "n2")]
    assert held == [2, 1], "nothing was deleted"


@every_server
@needs_firewall
def test_slots_that_both_sides_of_a_cut_claim_are_not_settled_by_a_command(lab: LabMaker, tmp_path: Path) -> None:
    one = lab(hosts=6, node_timeout_ms=2000)
    operator = Operator(one, tmp_path)
    assert reply(one, "n1", "SET", KEY_OF_SLOT_100, "kept") == "OK"
    one.cut_bus("n1")
    one.wait(lambda: one.belief("n4", "n4").slots == ((0, 5460),), "n4 to be promoted", LONG_S)
    one.wait(lambda: one.vitals("n1").cluster.state == "fail", "n1 to stop", LONG_S)
    one.wait(lambda: all(one.belief(node, "n4").slots for node in ("n2", "n3", "n5", "n6")), "all to know it", LONG_S)
    assert "slots-disputed" in health_of(one).codes
    said = told(one)
    answer = operator.ask("recover", one.node("n1").node_id, "--yes")
    assert (answer.code, told(one)) == (REFUSED, said), answer
    found = next(each for each in answer.data["conditions"] if each["condition"] == "slots-disputed")
    assert f"{one.node('n4').endpoint} ({one.node('n4').node_id[:8]}) wins by its config epoch" in found["story"]
    assert "--rdb" in found["advice"]
    one.mend("n1")
    assert health_of(one, "--wait", "60s").exit_code == OK
    assert operator.ask("recover", "--yes").data["conditions"] == []
    assert reply(one, "n4", "GET", KEY_OF_SLOT_100) == "kept"
