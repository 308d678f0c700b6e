"""Members of real clusters that come back empty and under a new id: taken in again, and the old id forgotten."""

from __future__ import annotations

from pathlib import Path

import pytest

from rcfail.practice.lab.register import NodeEntry
from rcfail.practice.lab.restart import Comeback
from tests.real.conftest import LabMaker
from tests.real.mended import FILLED, codes, fill, keys_on, nothing_left, planned, steps
from tests.real.operators import Answer, Operator, killed_at
from tests.real.servers import RunningLab, all_servers
from tests.real.verdicts import health_of

every_server = pytest.mark.every_server
OK, REFUSED = 0, 10
WAIT_S, RUN_S = 60.0, 240.0
WIPED = Comeback(wiped=True)
CHAIN = ["meet", "replicate", "forget"]
SHORT_BAN = ("cluster-blacklist-ttl 3",)
"""Of Valkey from 8.0 on; a Redis bans for a minute."""


def valkeys() -> list[str]:
    return [each.path for each in all_servers() if each.label.startswith("valkey")]


def wiped(lab: RunningLab, name: str, comeback: Comeback = WIPED) -> str:
    """Kill it and start it empty; its old id, which is without an address for all others by then."""
    old = lab.node(name)
    lab.kill(name)
    lab.restart(name, comeback=comeback)
    others = [each for each in lab.nodes if each.name != name]
    lab.wait(lambda: all(lab.view(each).by_id[old.node_id].noaddr for each in others), "the address to be lost", WAIT_S)
    return old.node_id


def whole(lab: RunningLab, name: str, primary: NodeEntry | str, old: str) -> None:
    """What every node says, asked without anything of the program."""
    for each in lab.nodes:
        assert lab.belief(each, name).primary_id == lab.node(primary).node_id, lab.tables()
        assert old not in lab.view(each).by_id, lab.tables()
    lab.wait(lambda: keys_on(lab, name) == FILLED, "every key to be there", WAIT_S)
    assert health_of(lab, "--wait", "60s").exit_code == OK


def aims(answer: Answer) -> list[str]:
    """What the planned nodes are told to follow."""
    sends = [send["command"].split() for step in answer.data["plan"]["steps"] for send in step["sends"]]
    return [each[2] for each in sends if each[1] == "REPLICATE"]


@every_server
def test_a_wiped_replica_is_a_replica_again(lab: LabMaker, tmp_path: Path) -> None:
    one = lab(node_timeout_ms=2000)
    operator, replica = Operator(one, tmp_path), one.replica_of("n1")
    fill(one, "n1")
    old = wiped(one, replica.name)
    assert "node-id-changed" in health_of(one).codes
    plan = planned(operator)
    assert (plan.code, codes(plan), steps(plan)) == (OK, ["node-replaced"], CHAIN), plan.document
    done = operator.ask("recover", "--yes", within_s=RUN_S)
    assert done.code == OK, done.document
    whole(one, replica.name, "n1", old)
    nothing_left(operator)


@pytest.mark.parametrize("path", valkeys())
def test_killed_after_each_command_it_goes_on_from_where_the_cluster_stands(
    lab: LabMaker, path: str, tmp_path: Path
) -> None:
    goes_on(lab(node_timeout_ms=2000, conf=SHORT_BAN, server=path), tmp_path)


@pytest.mark.long
@every_server
def test_killed_after_each_command_it_goes_on_also_with_a_ban_of_a_minute(lab: LabMaker, tmp_path: Path) -> None:
    goes_on(lab(node_timeout_ms=2000), tmp_path)


def goes_on(one: RunningLab, state: Path) -> None:
    operator, replica = Operator(one, state), one.replica_of("n2")
    fill(one, "n2")
    old = wiped(one, replica.name)
    for word in ("MEET", "REPLICATE", "FORGET"):
        killed_at(operator, "recover", "--yes", line=f"sent  {word}")
    # What is left depends on how far the last command had come: nothing, or the rest of the nodes to be told.
    one.wait(lambda: operator.ask("recover", "--yes", within_s=RUN_S).code == OK, "it to be whole", RUN_S)
    whole(one, replica.name, "n2", old)
    nothing_left(operator)


@pytest.mark.parametrize("path", valkeys()[-1:])
def test_a_primary_and_a_replica_wiped_at_once_are_one_plan(lab: LabMaker, path: str, tmp_path: Path) -> None:
    one = lab(hosts=6, node_timeout_ms=2000, conf=SHORT_BAN, server=path)
    operator, heir, replica = Operator(one, tmp_path), one.replica_of("n1"), one.replica_of("n2")
    for name in ("n1", "n2"):
        fill(one, name)
    one.wait(lambda: keys_on(one, heir) == FILLED, "its replica to hold every key", WAIT_S)
    one.kill("n1")
    one.wait(lambda: all(one.belief(each, heir).slots for each in ("n2", "n3")), "its replica to take over", WAIT_S)
    former = one.node("n1").node_id
    one.restart("n1", comeback=WIPED)
    one.kill(replica)
    one.restart(replica, comeback=WIPED)
    one.wait(lambda: len(steps(operator.ask("recover", "--dry-run"))) == 2 * len(CHAIN), "both to be named", WAIT_S)
    plan = planned(operator)
    assert (plan.code, codes(plan), steps(plan)) == (OK, ["node-replaced"] * 2, CHAIN * 2), plan.document
    assert set(aims(plan)) == {heir.node_id, one.node("n2").node_id}
    done = operator.ask("recover", "--yes", within_s=RUN_S)
    assert done.code == OK, done.document
    assert not any({former, replica.node_id} & one.view(each).by_id.keys() for each in one.nodes), one.tables()
    assert health_of(one, "--wait", "60s").exit_code == OK
    assert all(keys_on(one, each) == FILLED for each in (heir, "n2"))
    nothing_left(operator)


@every_server
def test_a_wiped_primary_follows_whoever_took_over(lab: LabMaker, tmp_path: Path) -> None:
    """Its id stays a primary without slots for the others: which shard it was of, the tables do not say."""
    one = lab(node_timeout_ms=2000)
    operator, heir = Operator(one, tmp_path), one.replica_of("n3")
    one.kill("n3")
    one.wait(lambda: all(one.belief(each, heir).slots for each in ("n1", "n2")), "its replica to take over", WAIT_S)
    one.restart("n3", comeback=WIPED)
    one.wait(lambda: codes(operator.ask("recover", "--dry-run")) == ["node-replaced"], "it to be named", WAIT_S)
    plan = planned(operator)
    assert (plan.code, steps(plan), aims(plan)) == (OK, CHAIN, [heir.node_id]), plan.document


def test_an_owner_wiped_before_anybody_took_over_is_one_plan(lab: LabMaker, tmp_path: Path) -> None:
    """On Redis nobody stands by himself for an owner without an address. The last command need not be waited for."""
    one = lab(node_timeout_ms=2000)
    operator, heir = Operator(one, tmp_path), one.replica_of("n1")
    old = wiped(one, "n1")
    plan = planned(operator)
    assert (plan.code, codes(plan)) == (OK, ["owner-without-address", "node-replaced"]), plan.document
    assert (steps(plan), aims(plan)) == (["failover", *CHAIN], [heir.node_id]), plan.document
    killed_at(operator, "recover", "--yes", line="sent  FORGET")
    assert all(one.belief(each, "n1").primary_id == heir.node_id for each in one.nodes), one.tables()
    assert one.belief(heir, heir).slots == ((0, 5460),)
    # From Redis 7.2 on one FORGET is passed on.
    one.wait(lambda: not any(old in one.view(each).by_id for each in one.nodes), "the old id to be forgotten", WAIT_S)
    nothing_left(operator)


@pytest.mark.parametrize("path", valkeys()[-1:])
def test_a_newcomer_elsewhere_takes_the_place_of_one_that_is_given_up(lab: LabMaker, path: str, tmp_path: Path) -> None:
    one = lab(node_timeout_ms=2000, conf=SHORT_BAN, server=path)
    operator, old = Operator(one, tmp_path), one.replica_of("n1")
    fill(one, "n1")
    one.kill(old)
    living = [each for each in one.nodes if each.name != old.name]
    one.wait(lambda: all(one.belief(each, old).failed for each in living), "it to be failed", WAIT_S)
    one.restart(old, comeback=Comeback(wiped=True, new_host=True))
    new = one.node(old.name)
    place = ("--at", str(new.endpoint))
    first = planned(operator, *place)
    (choice,) = [each for each in first.data["conditions"] if each["condition"] == "node-replaced"]
    assert (choice["choice"], steps(first)) == (True, [])
    assert f"--forget {old.endpoint}" in choice["advice"]
    words = (*place, "--forget", old.node_id)
    plan = planned(operator, *words)
    assert (plan.code, steps(plan)) == (OK, CHAIN), plan.document
    done = operator.ask("recover", *words, "--yes", within_s=RUN_S)
    assert done.code == OK, done.document
    whole(one, new.name, "n1", old.node_id)


def test_a_newcomer_with_keys_is_left_as_it_is(lab: LabMaker, tmp_path: Path) -> None:
    one = lab(node_timeout_ms=2000)
    operator, replica = Operator(one, tmp_path), one.replica_of("n1")
    wiped(one, replica.name)
    # With a slot of its own it takes a key.
    slot = str(one.ask(replica.name, "CLUSTER", "KEYSLOT", "key"))
    one.say(replica.name, "CLUSTER", "ADDSLOTS", slot)
    one.say(replica.name, "CONFIG", "SET", "cluster-require-full-coverage", "no")
    one.wait(lambda: one.vitals(replica.name).cluster.state == "ok", "it to take writes", WAIT_S)
    one.say(replica.name, "SET", "key", "only here")
    plan = planned(operator)
    (found,) = [each for each in plan.data["conditions"] if each["condition"] == "node-replaced"]
    assert (plan.code, found["choice"], steps(plan)) == (REFUSED, True, [])
    assert f"holds 1 key, and claims 1 slot ({slot})" in found["story"]
    assert operator.ask("recover", "--yes").code == REFUSED
    assert one.ask(replica.name, "GET", "key") == "only here"
