"""A parted lab: what the nodes of each side say of those beyond, and what we see of it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from rcfail.cluster.nouns import Role
from rcfail.errors import LabFault, UsageFault
from rcfail.practice.lab import network
from rcfail.practice.lab.damage import Way
from rcfail.practice.lab.register import Register
from rcfail.practice.lab.status import look_at
from rcfail.practice.lab.up import bring_up
from rcfail.practice.lab.wish import Wish
from rcfail.wire.refusals import Refusal
from tests.real.conftest import LabMaker
from tests.real.servers import REPOSITORY, RunningLab, rcfail_command
from tests.real.test_lab_faults import needs_firewall, suspects, tables_of_the_firewall, unanswered

pytestmark = needs_firewall


def names(lab: RunningLab, zone: str) -> set[str]:
    return {node.name for node in lab.nodes if node.zone == zone}


@pytest.mark.every_server
def test_the_greater_side_goes_on_and_the_lesser_one_stops(lab: LabMaker) -> None:
    made = lab()
    lesser = names(made, "zone-1")
    assert lesser == {"n1", "n6"}
    made.partition("z1", wait_s=20)
    # We still reach both sides, and each suspects exactly those beyond.
    for node in made.nodes:
        beyond = {"n2", "n3", "n4", "n5"} if node.name in lesser else lesser
        assert suspects(made, node) == beyond
    made.wait(lambda: made.belief("n4", "n4").role is Role.PRIMARY, "n4 to be promoted")
    made.wait(lambda: made.vitals("n1").cluster.state == "fail", "n1 to stop serving")
    assert made.belief("n1", "n1").role is Role.PRIMARY
    made.wait(lambda: made.vitals("n2").cluster.state == "ok", "n2 to serve")
    made.heal(wait_s=20)
    made.wait(lambda: made.belief("n1", "n1").primary_id == made.node("n4").node_id, "n1 to follow n4")
    made.wait(lambda: all(made.vitals(node).cluster.state == "ok" for node in made.nodes), "all nodes to serve")


@pytest.mark.every_server
@pytest.mark.parametrize("hosts", [1, 2])
def test_data_stops_at_once_on_a_link_that_was_there_before(lab: LabMaker, hosts: int) -> None:
    """Also between two nodes at one address, where no packet shows whom it is for: there the link is ended.

    Else the replica takes its link to be up until repl-timeout has passed, 60 s by default.
    """
    made = lab(1, 1, hosts=hosts)
    made.partition("n2")
    assert made.say("n1", "SET", "key", "value") == "OK"
    made.wait(lambda: suspects(made, "n1") and suspects(made, "n2"), "both to suspect each other")
    assert made.ask("n2", "DBSIZE") == 0
    assert made.vitals("n2").replication.link_up is (hosts == 2)
    made.heal(wait_s=20)
    made.wait(lambda: made.ask("n2", "DBSIZE") == 1, "n2 to have the data")


@pytest.mark.every_server
def test_three_sides_suspect_each_other_all_round(lab: LabMaker) -> None:
    made = lab(3, 0)
    made.partition("z1", "z2", wait_s=20)
    for node in made.nodes:
        assert suspects(made, node) == {other.name for other in made.nodes} - {node.name}
    made.wait(lambda: all(made.vitals(node).cluster.state == "fail" for node in made.nodes), "all nodes to stop")
    made.heal(wait_s=20)


@pytest.mark.every_server
def test_connections_cut_one_way_leave_everybody_unsuspected(lab: LabMaker) -> None:
    made = lab(3, 0)
    made.partition("n1", way=Way.CONNECTIONS)
    n1, n2, n3 = made.nodes
    made.wait(lambda: unanswered(made, n1, n2) and unanswered(made, n1, n3), "n1 to fail to reach the others")
    assert not any(unanswered(made, peer, n1) for peer in (n2, n3))
    assert not any(suspects(made, node) for node in made.nodes)
    made.heal()
    made.wait(lambda: not unanswered(made, n1, n2) and not unanswered(made, n1, n3), "n1 to reach them again")


@pytest.mark.every_server
def test_packets_cut_one_way_end_up_as_a_cut_both_ways(lab: LabMaker) -> None:
    made = lab(3, 0)
    made.partition("n1", way=Way.PACKETS, wait_s=20)
    assert suspects(made, "n1") == {"n2", "n3"}
    assert made.belief("n1", "n2").flagged
    assert not made.belief("n3", "n2").flagged
    made.heal(wait_s=20)


def test_an_observer_on_one_side_sees_that_side_alone(lab: LabMaker) -> None:
    made = lab()
    made.partition("z1", observer="z1", wait_s=20)
    answers = {node.name: made.ask(node, "PING") for node in made.nodes}
    assert {name for name, reply in answers.items() if reply == "PONG"} == {"n1", "n6"}
    assert all(isinstance(answers[name], Refusal) for name in ("n2", "n3", "n4", "n5"))
    made.heal()
    assert all(made.ask(node, "PING") == "PONG" for node in made.nodes)
    # Those that we could not ask had gone on without them.
    made.wait(lambda: made.belief("n4", "n4").role is Role.PRIMARY, "n4 to be promoted")


def test_partitions_add_up_and_one_heal_takes_them_all(lab: LabMaker) -> None:
    made = lab(4, 0, hosts=4)
    made.partition("n1")
    with pytest.raises(UsageFault, match="parted like that already"):
        made.partition("n1")
    made.partition("n2", wait_s=20)
    assert suspects(made, "n1") == {"n2", "n3", "n4"}
    assert suspects(made, "n2") == {"n1", "n3", "n4"}
    assert suspects(made, "n3") == suspects(made, "n4") == {"n1", "n2"}
    made.heal(wait_s=20)
    assert not made.entry.partitions
    assert network.table_of(made.entry) not in tables_of_the_firewall()
    with pytest.raises(UsageFault, match="has no partition"):
        made.heal()


def test_a_partition_goes_with_the_lab_and_leaves_the_cuts_alone(lab: LabMaker) -> None:
    made = lab(3, 0)
    made.cut_client("n1")
    made.partition("z2")
    made.heal()
    assert isinstance(made.ask("n1", "PING"), Refusal)
    made.partition("z2")
    made.mend("n1")
    made.wait(lambda: made.belief("n1", "n2").flagged, "n1 to suspect n2")
    table = network.table_of(made.entry)
    assert table in tables_of_the_firewall()
    made.down()
    assert table not in tables_of_the_firewall()


def test_a_restarted_node_is_still_beyond(lab: LabMaker) -> None:
    made = lab(3, 0)
    made.partition("n1", wait_s=20)
    made.kill("n1")
    made.restart("n1")
    # It reads its peers from nodes.conf, and would have links to them within a second.
    made.wait(lambda: made.belief("n1", "n2").flagged, "n1 to suspect n2 again")
    assert made.belief("n2", "n1").flagged


def test_without_the_firewall_nothing_is_parted(lab: LabMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    made = lab(2, 0)
    with monkeypatch.context() as without:
        without.setenv("PATH", "/nonexistent")
        with pytest.raises(LabFault, match="to part a lab nftables is needed, and there is no nft") as caught:
            made.partition("n1")
    assert "root or CAP_NET_ADMIN" in caught.value.hint
    assert not made.entry.partitions


def test_who_waits_keeps_nobody_from_healing_and_leaves_nothing_behind_when_killed(lab: LabMaker) -> None:
    made = lab(3, 0, node_timeout_ms=60_000)
    waiting = rcfail_command("lab", "fault", "partition", "--side", "n1", "--lab", made.name, "--wait", "10m")
    with subprocess.Popen(waiting, env=made.environment(), cwd=REPOSITORY, stdout=subprocess.DEVNULL) as process:
        try:
            made.wait(lambda: made.entry.partitions, "the partition to be entered")
            made.wait(lambda: not reachable_between(made, "n1", "n2"), "n1 to be cut off")
            made.heal()
            assert process.poll() is None
            made.partition("n2")
        finally:
            process.kill()
    assert reachable_between(made, "n1", "n3")
    table = network.table_of(made.entry)
    assert table in tables_of_the_firewall()
    made.down()
    assert table not in tables_of_the_firewall()


def test_rules_that_a_gone_lab_left_behind_do_not_cut_a_new_one(lab_home: Path) -> None:
    octets = range(250, 255)  # no other lab looks there
    register = Register(lab_home)
    for octet in octets:
        chain = f"type filter hook output priority 0; policy accept;\nip saddr 127.{octet}.0.0/16 drop\n"
        network.run(f"table inet rcfail_lab_{octet}_gone {{\nchain cuts {{\n{chain}}}\n}}\n")
    try:
        made = RunningLab(register, bring_up(Wish("fresh", 2, 0, octets=octets), register).name)
        assert made.entry.octet in octets
        assert f"rcfail_lab_{made.entry.octet}_gone" not in tables_of_the_firewall()
    finally:
        for octet in octets:
            network.sweep(octet)
    assert "_gone" not in tables_of_the_firewall()


def reachable_between(lab: RunningLab, source: str, target: str) -> bool:
    """Whether somebody at the address of one node can connect to the bus port of another."""
    node = lab.node(target)
    return network.reachable(node.host, node.bus_port, lab.node(source).host)


def test_a_partition_on_the_command_line(lab: LabMaker) -> None:
    made = lab(3, 0)
    words = ("--lab", made.name, "-o", "json")
    done = json.loads(made.rcfail("lab", "fault", "partition", "--side", "z1", "--side", "n2,n3", *words).stdout)
    parted = [{"sides": [["n1"], ["n2", "n3"]], "way": "both", "observer": None}]
    assert (done["data"]["partitions"], done["data"]["undo"]) == (parted, f"rcfail lab fault heal --lab {made.name}")
    status = json.loads(made.rcfail("lab", "status", made.name, "-o", "json").stdout)
    assert status["data"]["partitions"] == parted
    assert not status["data"]["lab"]["whole"]
    assert "parted: n1 | n2,n3" in made.rcfail("lab", "status", made.name).stdout
    ran = made.rcfail("lab", "fault", "heal", "--lab", made.name, "--wait", "20s")
    assert ran.returncode == 0, ran
    assert not look_at(made.register, made.name).lab.partitions
    ran = made.rcfail("lab", "fault", "partition", "--side", "n1", "--one-way", "--lab", made.name)
    assert "n1 cannot connect to n2,n3" in ran.stdout
    ran = made.rcfail("lab", "fault", "partition", "--side", "nowhere", *words)
    assert ran.returncode == 64
    assert "nowhere is no zone, host or node" in json.loads(ran.stdout)["errors"][0]["message"]
