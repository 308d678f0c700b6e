"""Nodes that come back elsewhere or empty, that forget the cluster, or that give up slots."""

from __future__ import annotations

import pytest

from rcfail.cluster.nouns import Role
from rcfail.errors import LabFault, UsageFault
from rcfail.practice.lab import network
from rcfail.practice.lab.restart import Comeback
from rcfail.practice.lab.wish import Persistence
from tests.real.conftest import LabMaker
from tests.real.servers import RunningLab
from tests.real.test_lab_faults import needs_firewall, suspects
from tests.real.verdicts import health_of

every_server = pytest.mark.every_server
OK, WARNING, CRITICAL = 0, 1, 2
NEW_ADDRESS, NEW_PORT, WIPED = Comeback(new_host=True), Comeback(new_port=True), Comeback(wiped=True)


def all_ok(lab: RunningLab) -> bool:
    return all(lab.vitals(node).cluster.state == "ok" for node in lab.nodes)


@every_server
@pytest.mark.parametrize("comeback", [NEW_ADDRESS, NEW_PORT, Comeback(new_host=True, new_port=True)])
def test_a_node_at_a_new_address_is_found_by_its_peers(lab: LabMaker, comeback: Comeback) -> None:
    made = lab()
    old = made.node("n4")
    made.kill("n4")
    done = made.restart("n4", wait_s=20, comeback=comeback)
    assert f"it was at {old.endpoint}, and all peers have heard" in done.effect
    new = made.node("n4")
    assert (new.host != old.host, new.port != old.port) == (comeback.new_host, comeback.new_port)
    assert (done.endpoint, new.bus_port, new.node_id) == (new.endpoint, new.port + 10000, old.node_id)
    assert not network.reachable(old.host, old.port)
    for node in made.nodes:
        address = made.belief(node, "n4").address
        assert (address.host, address.port) == (new.host, new.port)
    made.wait(lambda: not suspects(made, "n4"), "n4 to be trusted")
    assert made.belief("n1", "n4").primary_id == made.node("n1").node_id
    made.wait(lambda: health_of(made).exit_code == OK, "health to find nothing")
    # It stays there, and knows its peers also after another restart.
    made.kill("n4")
    made.restart("n4", wait_s=20)
    assert made.node("n4").endpoint == new.endpoint


@every_server
def test_a_primary_at_a_new_address_keeps_its_replica(lab: LabMaker) -> None:
    made = lab(node_timeout_ms=5000, persistence=Persistence.AOF)
    made.kill("n1")
    made.restart("n1", wait_s=20, comeback=NEW_ADDRESS)
    made.wait(lambda: made.vitals("n4").replication.link_up, "n4 to follow n1 to its new address")
    assert made.vitals("n4").replication.primary_host == made.node("n1").host
    assert made.belief("n1", "n1").role is Role.PRIMARY


@every_server
def test_a_wiped_node_is_another_one(lab: LabMaker) -> None:
    made = lab()
    old = made.node("n4")
    made.kill("n4")
    done = made.restart("n4", comeback=WIPED)
    new = made.node("n4")
    assert (new.endpoint, new.node_id != old.node_id) == (old.endpoint, True)
    assert "without peers, slots and data" in done.effect
    assert made.text("n4", "CLUSTER", "MYID") == new.node_id
    assert [belief.node_id for belief in made.view("n4").beliefs] == [new.node_id]
    assert made.ask("n4", "DBSIZE") == 0
    # Who knew the old one does not take the new one for it.
    health = health_of(made)
    assert health.exit_code != OK
    assert {"node-id-changed", "node-silent", "node-noaddr", "node-failed", "node-suspected"} & set(health.codes)
    # It is free to be met.
    made.say("n4", "CLUSTER", "MEET", made.node("n1").host, made.node("n1").port)
    made.wait(lambda: made.lists("n4", "n1") and made.lists("n1", "n4"), "n4 to be a member again")


@every_server
def test_a_wiped_node_has_lost_what_it_had_saved(lab: LabMaker) -> None:
    made = lab(1, 0, persistence=Persistence.AOF)
    assert made.say("n1", "SET", "key", "value") == "OK"
    made.kill("n1")
    with pytest.raises(UsageFault, match="never gets into step"):
        made.restart("n1", wait_s=5, comeback=WIPED)
    made.restart("n1", comeback=WIPED)
    assert made.ask("n1", "DBSIZE") == 0
    assert made.belief("n1", "n1").slots == ()


@needs_firewall
def test_a_partition_follows_a_node_to_its_new_address(lab: LabMaker) -> None:
    made = lab(3, 0)
    made.partition("n1", wait_s=20)
    made.kill("n1")
    done = made.restart("n1", comeback=NEW_ADDRESS)
    assert "for n2, n3 still is" in done.effect
    made.wait(lambda: made.belief("n1", "n2").flagged, "n1 to suspect n2")
    made.heal(wait_s=20)
    assert made.belief("n2", "n1").address.host == made.node("n1").host


@every_server
@pytest.mark.parametrize("hard", [False, True])
def test_a_reset_owner_serves_nothing_and_the_others_still_send_clients_to_it(lab: LabMaker, hard: bool) -> None:
    made = lab(3, 0)
    old = made.node("n1")
    assert made.say("n1", "SET", "{06S}key", "value") == "OK"  # slot 0
    with pytest.raises(LabFault, match="containing keys") as caught:
        made.reset("n1", hard=hard)
    assert "--flush" in caught.value.hint
    assert made.node("n1") == old
    assert len(made.view("n1").beliefs) == 3
    made.reset("n1", hard=hard, flush=True)
    assert (made.node("n1").node_id != old.node_id) is hard
    assert [belief.node_id for belief in made.view("n1").beliefs] == [made.node("n1").node_id]
    assert made.belief("n1", "n1").slots == ()
    assert made.view("n2").by_id[old.node_id].slots == ((0, 5460),)
    health = health_of(made, "--min-replicas", "0", "--ignore", "quorum-fragile")
    assert (health.exit_code, health.serving) == (CRITICAL, "no")
    if not hard:
        assert health.codes["slots-not-claimed"] == "critical"


@every_server
def test_a_replica_is_reset_without_ado(lab: LabMaker) -> None:
    made = lab()
    made.reset("n4")
    assert made.belief("n4", "n4").primary_id is None
    assert health_of(made).exit_code != OK


@every_server
def test_slots_that_their_owner_gave_up(lab: LabMaker) -> None:
    made = lab(3, 0)
    done = made.del_slots("100-102", on="n1")
    assert done.undo == f"rcfail lab fault addslots 100-102 --on n1 --lab {made.name}"
    assert made.belief("n1", "n1").slots == ((0, 99), (103, 5460))
    with pytest.raises(LabFault, match="already unassigned"):
        made.del_slots("100", on="n1")
    health = health_of(made, "--min-replicas", "0")
    assert (health.exit_code, health.serving) == (CRITICAL, "no")
    assert {"slots-not-claimed", "slots-uncovered"} & set(health.codes)
    made.add_slots("100-102", on="n1")
    assert made.belief("n1", "n1").slots == ((0, 5460),)
    made.wait(lambda: all_ok(made), "all nodes to serve")
    assert health_of(made, "--min-replicas", "0").exit_code == OK


def test_only_slots_that_a_node_had_are_given_back(lab: LabMaker) -> None:
    made = lab(3, 0)
    made.del_slots("100,200-201", on="n1")
    made.add_slots("200", on="n1")
    made.wait(lambda: made.belief("n2", "n3").slots, "n2 to know who owns what")
    done = made.del_slots("0-99,200,6000", on="n1")  # 6000 is not its own
    assert done.undo.startswith("rcfail lab fault addslots 0-99,200 --on n1")
    assert made.belief("n1", "n1").slots == ((101, 199), (202, 5460))


@every_server
def test_slots_that_a_bystander_forgot_come_back_by_themselves(lab: LabMaker) -> None:
    made = lab(3, 0)
    assert "until it hears" in made.del_slots("100", on="n2").effect
    made.wait(lambda: made.belief("n2", "n1").slots == ((0, 5460),), "n2 to hear of the owner of slot 100")
    with pytest.raises(LabFault, match="already busy"):
        made.add_slots("100", on="n2")
