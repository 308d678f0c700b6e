"""Each fault of the lab has the effect that it names, as the servers themselves show it."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time

import pytest

from rcfail.cluster.nouns import Link, Role
from rcfail.errors import LabFault, OutOfTime, UsageFault
from rcfail.practice.lab import network
from rcfail.practice.lab.damage import CutKind
from rcfail.practice.lab.processes import ProcessState, state_of
from rcfail.practice.lab.register import NodeEntry
from rcfail.practice.lab.status import look_at
from rcfail.practice.lab.tables import Side
from rcfail.practice.lab.wish import Persistence
from rcfail.wire.refusals import Refusal
from tests.real.conftest import LabMaker
from tests.real.servers import RunningLab

needs_firewall = pytest.mark.skipif(not network.can_filter(), reason="needs nft and CAP_NET_ADMIN")


def state(lab: RunningLab, name: str) -> ProcessState:
    process = lab.node(name).process
    assert process is not None
    return state_of(process)


def suspects(lab: RunningLab, node: NodeEntry | str) -> set[str]:
    """The names of the nodes whose own views have this one suspected or failed."""
    return {peer.name for peer in lab.nodes if peer.name != lab.node(node).name and lab.belief(peer, node).flagged}


@pytest.mark.every_server
def test_a_killed_primary_is_failed_over_and_comes_back_as_a_replica(lab: LabMaker) -> None:
    made = lab()
    assert made.say("n1", "SET", "{06S}key", "value") == "OK"  # slot 0
    old = made.node("n1")
    made.kill("n1")
    assert state(made, "n1") is ProcessState.ENDED
    assert isinstance(made.ask("n1", "PING"), Refusal)
    with pytest.raises(UsageFault, match="does not run"):
        made.kill("n1")
    made.wait(lambda: made.belief("n4", "n4").role is Role.PRIMARY, "n4 to be promoted")
    made.restart("n1", wait_s=20)
    assert made.node("n1").process != old.process
    assert made.node("n1").node_id == old.node_id
    made.wait(lambda: made.belief("n1", "n1").primary_id == made.node("n4").node_id, "n1 to follow n4")
    made.wait(lambda: made.ask("n1", "DBSIZE") == 1, "n1 to have the data of n4")


def test_a_restart_keeps_what_was_persistent(lab: LabMaker) -> None:
    made = lab(1, 0, persistence=Persistence.AOF)
    assert made.say("n1", "SET", "key", "value") == "OK"
    made.kill("n1")
    assert "cluster_state:ok" in made.restart("n1", wait_s=20).effect
    assert made.ask("n1", "GET", "key") == "value"
    with pytest.raises(UsageFault, match="has not ended"):
        made.restart("n1")


def test_a_restart_that_does_not_get_back_into_step_says_so(lab: LabMaker) -> None:
    made = lab(1, 1)
    made.kill("n1", "n2")
    with pytest.raises(OutOfTime, match="n2 answers, but is not in step"):
        made.restart("n2", wait_s=0.5)
    assert state(made, "n2") is ProcessState.RUNNING


def test_a_restart_does_not_fight_for_a_port(lab: LabMaker) -> None:
    made = lab(1, 0)
    made.kill("n1")
    node = made.node("n1")
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind((node.host, node.bus_port))
        other.listen()
        with pytest.raises(LabFault, match=f"port {node.bus_port} on {node.host} is busy"):
            made.restart("n1")
    made.restart("n1")


@pytest.mark.every_server
def test_a_frozen_node_takes_connections_and_never_answers(lab: LabMaker) -> None:
    made = lab(3, 0)
    made.freeze("n2")
    assert state(made, "n2") is ProcessState.FROZEN
    node = made.node("n2")
    assert network.reachable(node.host, node.port)
    assert isinstance(made.ask("n2", "PING"), Refusal)
    made.wait(lambda: made.belief("n1", "n2").failed, "n1 to see n2 failed")
    made.thaw("n2")
    assert state(made, "n2") is ProcessState.RUNNING
    assert made.ask("n2", "PING") == "PONG"
    made.wait(lambda: not suspects(made, "n2"), "n2 to be trusted again")


@pytest.mark.every_server
def test_broken_replication_goes_down_and_stays_down(lab: LabMaker) -> None:
    made = lab(1, 1)
    made.break_replication("n2")
    last = made.vitals("n2").replication.link_down_since_s
    assert last is not None
    # It stays down over several of the replica's attempts, one a second.
    made.wait(lambda: (made.vitals("n2").replication.link_down_since_s or 0) >= 3, "a link that is down for 3 s")
    assert made.vitals("n1").replication.connected_replicas == 0
    assert made.vitals("n2").cluster.state == "ok"
    assert made.ask("n2", "CONFIG", "GET", "masterauth") != ("masterauth", "")
    made.mend_replication("n2")
    assert made.vitals("n2").replication.link_up
    assert made.ask("n2", "CONFIG", "GET", "masterauth") == ("masterauth", "")
    with pytest.raises(UsageFault, match="n1 is no replica"):
        made.break_replication("n1")


@needs_firewall
@pytest.mark.every_server
def test_a_bus_cut_both_ways_makes_all_suspect_each_other_while_clients_are_served(lab: LabMaker) -> None:
    made = lab()
    made.cut_bus("n4")
    peers = {node.name for node in made.nodes} - {"n4"}
    made.wait(lambda: suspects(made, "n4") == peers, "all peers to suspect n4")
    made.wait(lambda: all(made.belief("n4", peer).flagged for peer in peers), "n4 to suspect all peers")
    assert made.ask("n4", "PING") == "PONG"
    # Its neighbours on the same host are not touched.
    assert not any(suspects(made, peer) - {"n4"} for peer in peers)
    with pytest.raises(UsageFault, match="cut like that already"):
        made.cut_bus("n4")
    made.mend("n4")
    made.wait(lambda: not suspects(made, "n4"), "n4 to be trusted again")
    assert not made.entry.cuts
    with pytest.raises(UsageFault, match="no port of n4 is cut"):
        made.mend("n4")


def refused(lab: RunningLab, peer: NodeEntry, node: NodeEntry) -> bool:
    """Whether a peer has no link to the node: connections are refused at once."""
    return lab.belief(peer, node).link is Link.DISCONNECTED


def unanswered(lab: RunningLab, peer: NodeEntry, node: NodeEntry) -> bool:
    """Whether a peer's oldest ping to the node has waited for longer than two node timeouts. Its link is shown as
    connected nearly all the time: the link object is there before TCP connects (createClusterLink, cluster_legacy.c).
    """
    sight = lab.see(peer)
    pulse = sight.nodes.pulse_of(node.node_id) if sight.nodes is not None else None
    assert pulse is not None
    return 0 < pulse.ping_sent_unix_ms < time.time() * 1000 - 2000


@pytest.fixture(params=["nftables", "announced"])
def firewall(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With the firewall, and as it is for a user who may not touch it."""
    if request.param == "announced":
        monkeypatch.setattr(network, "can_filter", lambda: False)
    elif not network.can_filter():
        pytest.skip("needs nft and CAP_NET_ADMIN")
    return str(request.param)


@pytest.mark.every_server
def test_a_bus_cut_one_way_breaks_the_links_to_the_node_alone(lab: LabMaker, firewall: str) -> None:
    made = lab()
    assert firewall in made.cut_bus("n4", one_way=True).effect.replace("announces", "announced")
    node = made.node("n4")
    peers = [peer for peer in made.nodes if peer.name != "n4"]
    cut_off = refused if firewall == "announced" else unanswered
    made.wait(lambda: all(cut_off(made, peer, node) for peer in peers), "every peer to fail to reach n4")
    assert not suspects(made, "n4")
    assert all(made.belief("n4", peer).link is Link.CONNECTED for peer in peers)
    assert network.reachable(node.host, node.bus_port) is (firewall == "announced")
    made.mend("n4")

    made.wait(
        lambda: not any(refused(made, peer, node) or unanswered(made, peer, node) for peer in peers),
        "every peer to have its link to n4 again",
    )
    assert {made.belief(peer, "n4").address.bus_port for peer in peers} == {node.bus_port}


def test_a_restart_forgets_an_announced_cut(lab: LabMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "can_filter", lambda: False)
    made = lab(3, 0)
    made.cut_bus("n1", one_way=True)
    assert [cut.kind for cut in made.entry.cuts] == [CutKind.BUS_IN_ANNOUNCED]
    made.kill("n1")
    made.restart("n1")
    assert not made.entry.cuts
    bus_port = made.node("n1").bus_port
    made.wait(lambda: made.belief("n2", "n1").address.bus_port == bus_port, "n2 to hear of the real bus port")


def test_without_the_firewall_a_cut_both_ways_is_refused(lab: LabMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    made = lab(1, 0)
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(LabFault, match="to cut a bus both ways nftables is needed, and there is no nft on PATH"):
        made.cut_bus("n1")
    assert not made.entry.cuts


@needs_firewall
def test_a_client_port_cut_from_us_stays_open_for_the_lab(lab: LabMaker) -> None:
    made = lab()
    made.cut_client("n1")
    assert isinstance(made.ask("n1", "PING"), Refusal)
    assert made.vitals("n4").replication.link_up
    made.say("n4", "CLIENT", "KILL", "TYPE", "master")
    made.wait(lambda: made.vitals("n4").replication.link_up, "n4 to connect to n1 again")
    assert not made.belief("n2", "n1").flagged
    status = {each.node.name: each for each in look_at(made.register, made.name).nodes}
    assert status["n1"].process is ProcessState.RUNNING
    assert status["n1"].silence
    assert status["n1"].cut == ("client",)
    made.mend("n1")
    assert made.ask("n1", "PING") == "PONG"


@needs_firewall
def test_firewall_rules_go_with_the_lab(lab: LabMaker) -> None:
    made = lab(2, 0)
    made.cut_bus("n1")
    table = network.table_of(made.entry)
    assert table in tables_of_the_firewall()
    made.down()
    assert table not in tables_of_the_firewall()


@pytest.mark.every_server
def test_a_node_forgotten_on_one_node(lab: LabMaker) -> None:
    made = lab()
    made.forget("n4", on="n2")
    passes_on = made.entry.passes_on_forget
    others = ["n1", "n3", "n5", "n6"]
    if passes_on:
        made.wait(lambda: not any(made.lists(peer, "n4") for peer in others), "all others to forget n4 too")
    else:
        assert not made.lists("n2", "n4")
        assert all(made.lists(peer, "n4") for peer in others)
    # The forgotten node itself still lists everybody.
    assert len(made.view("n4").beliefs) == 6
    with pytest.raises(UsageFault, match="cannot forget itself"):
        made.forget("n1", on="n1")
    with pytest.raises(LabFault, match="forget my master"):
        made.forget("n2", on="n5")


@pytest.mark.every_server
@pytest.mark.parametrize("side", list(Side))
def test_an_open_slot_is_shown_on_the_sides_that_were_opened(lab: LabMaker, side: Side) -> None:
    made = lab(3, 0)
    made.open_slot(77, "n3", side)
    source, target = made.node("n1"), made.node("n3")
    migrating = () if side is Side.IMPORTING else ((77, target.node_id),)
    importing = () if side is Side.MIGRATING else ((77, source.node_id),)
    assert made.belief("n1", "n1").migrating == migrating
    assert made.belief("n3", "n3").importing == importing
    assert made.belief("n2", "n2").migrating == made.belief("n2", "n2").importing == ()
    made.close_slot(77)
    assert made.belief("n1", "n1").migrating == made.belief("n3", "n3").importing == ()
    with pytest.raises(UsageFault, match="slot 77 is not open"):
        made.close_slot(77)


def test_a_slot_is_opened_where_it_can_be(lab: LabMaker) -> None:
    made = lab(3, 1)
    with pytest.raises(UsageFault, match="16384 is no slot"):
        made.open_slot(16384)
    with pytest.raises(UsageFault, match="n1 is not another running primary"):
        made.open_slot(77, "n1")
    with pytest.raises(UsageFault, match="n4 is not another running primary"):
        made.open_slot(77, "n4")
    made.kill("n1")
    with pytest.raises(LabFault, match="no running node owns slot 77"):
        made.open_slot(77)


def test_status_shows_every_fault(lab: LabMaker) -> None:
    made = lab()
    assert look_at(made.register, made.name).whole
    made.kill("n6")
    made.freeze("n5")
    made.break_replication("n4")
    status = look_at(made.register, made.name)
    by_name = {each.node.name: each for each in status.nodes}
    assert not status.whole
    assert status.running == 4
    assert by_name["n6"].process is ProcessState.ENDED
    assert by_name["n5"].process is ProcessState.FROZEN
    assert (by_name["n4"].role, by_name["n4"].primary, by_name["n4"].link_up) == (Role.REPLICA, "n1", False)
    assert (by_name["n1"].role, by_name["n1"].slots, by_name["n1"].cluster_state) == (Role.PRIMARY, 5461, "ok")


def tables_of_the_firewall() -> str:
    program = shutil.which("nft")
    assert program is not None
    return subprocess.run([program, "list", "tables"], capture_output=True, text=True, check=True).stdout
