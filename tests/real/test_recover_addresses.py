"""Real nodes that announce a wrong address, and owners of slots that nobody has an address for any more."""

from __future__ import annotations

from pathlib import Path

import pytest

from rcfail.cluster.vitals import Flavour
from rcfail.practice.lab.restart import Comeback
from rcfail.practice.lab.wish import Persistence
from tests.real.conftest import LabMaker
from tests.real.mended import FILLED, codes, fill, follow_advice, keys_on, nothing_left, planned, steps
from tests.real.operators import Operator, leads
from tests.real.test_recover_apart import WAIT_S, every_server, well, without_announced_ip
from tests.real.verdicts import health_of

OK, REFUSED, INCOMPLETE = 0, 10, 12


@every_server
def test_a_setting_that_announces_a_wrong_address(lab: LabMaker, tmp_path: Path) -> None:
    """No MEET helps, and rcfail changes no settings: its advice does, word for word."""
    one = lab(node_timeout_ms=5000)
    operator = Operator(one, tmp_path)
    one.say("n2", "CONFIG", "SET", "cluster-announce-port", "7999")
    one.wait(lambda: "self-address-wrong" in health_of(one).codes, "health to name it", WAIT_S)
    answer = planned(operator)
    found = answer.data["conditions"][0]
    assert (answer.code, found["condition"], steps(answer)) == (REFUSED, "address-wrong", []), answer.document
    assert found["nodes"][0] == one.node("n2").node_id
    assert "cluster-announce-port 7999" in found["evidence"]
    assert follow_advice(found["advice"])[:1] == ["OK"]
    one.wait(lambda: health_of(one).exit_code == OK, "health to be OK", WAIT_S)
    nothing_left(operator)


@every_server
def test_a_node_that_prints_its_old_address(lab: LabMaker, tmp_path: Path) -> None:
    """A new pod of one node: the others know it, and it tells clients its old address until somebody meets it."""
    one = lab(node_timeout_ms=2000, persistence=Persistence.AOF)
    operator = Operator(one, tmp_path)
    fill(one, "n1")
    without_announced_ip(one)
    one.kill("n4")
    one.restart("n4", wait_s=WAIT_S, comeback=Comeback(new_host=True))
    one.wait(lambda: one.belief("n1", "n4").address.host == one.node("n4").host, "n1 to hear of it", WAIT_S)
    assert not well(one)
    answer = planned(operator)
    assert (answer.code, codes(answer), steps(answer)) == (OK, ["address-wrong"], ["meet"]), answer.document
    done = operator.ask("recover", "--yes")
    assert done.code == OK, done.told
    assert well(one), one.tables()
    assert keys_on(one, "n4") == FILLED
    nothing_left(operator)


@pytest.mark.long
@every_server
def test_an_owner_whose_id_is_gone(lab: LabMaker, tmp_path: Path) -> None:
    """Its nodes.conf is lost: on Redis nobody flags it and nobody takes over; its replica holds all keys.

    The link is cut before that: a replica follows an address, and would copy the empty node that answers there.
    """
    one = lab(node_timeout_ms=2000)
    operator, replica = Operator(one, tmp_path), one.replica_of("n1")
    fill(one, "n1")
    one.wait(lambda: keys_on(one, replica) == FILLED, "the keys to arrive", WAIT_S)
    old = one.node("n1").node_id
    one.break_replication(replica)
    one.kill("n1")
    one.restart("n1", comeback=Comeback(wiped=True))
    if one.vitals("n2").server.flavour is Flavour.VALKEY:
        one.wait(lambda: leads(one, replica), "the voters to elect the replica", WAIT_S)
    one.wait(
        lambda: all("noaddr" in one.view(each).by_id[old].flags for each in ("n2", "n3", replica)),
        "the others to lose its address",
        WAIT_S,
    )
    seen = planned(operator, *_at(one.node("n1").endpoint))
    assert seen.code == OK, seen.document
    done = operator.ask("recover", *_at(one.node("n1").endpoint), "--yes", within_s=240)
    assert done.code == OK, (done.told, done.data["left"], done.data["stopped"])
    assert leads(one, replica)
    assert keys_on(one, replica) == keys_on(one, "n1") == FILLED
    one.say(replica, "CONFIG", "SET", "masteruser", "")
    health = health_of(one)
    assert (health.serving, health.redundant) == ("yes", "yes"), health
    assert not {"node-noaddr", "node-id-changed", "node-unknown-to-some", "replica-missing"} & set(health.codes), health
    nothing_left(operator)


def _at(place: object) -> tuple[str, str]:
    return "--at", str(place)
