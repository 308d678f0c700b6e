"""Faults of labs with TLS, users, host names, or on IPv6."""

from __future__ import annotations

import pytest

from rcfail.cluster.nouns import Link
from rcfail.errors import LabFault
from rcfail.exits import ExitCode
from rcfail.practice.lab.access import Access, EndpointType
from rcfail.practice.lab.damage import Refusal
from rcfail.practice.lab.network import reachable
from rcfail.practice.lab.restart import Comeback
from tests.real.conftest import LabMaker
from tests.real.servers import ServerUnderTest
from tests.real.test_lab_faults import needs_firewall, suspects, unanswered
from tests.real.verdicts import health_of

SECURED = Access(tls=True, user="operator", hostnames=True, endpoint_type=EndpointType.HOSTNAME)
IPV6 = Access(ipv6=True)


def test_a_tls_node_at_a_new_address_shows_a_certificate_for_it(lab: LabMaker, tls_server: ServerUnderTest) -> None:
    made = lab(access=SECURED, server=tls_server.path)
    old = made.node("n4")
    made.kill("n4")
    assert "all peers have heard" in made.restart("n4", wait_s=20, comeback=Comeback(new_host=True)).effect
    new = made.node("n4")
    assert (new.host != old.host, new.port, new.plain_port) == (True, old.port, old.plain_port)
    assert f"{new.host} {new.hostname}\n" in made.entry.folder_of("hosts").read_text()
    # health verifies certificates.
    assert health_of(made).exit_code == ExitCode.OK
    made.kill("n4")
    made.restart("n4", wait_s=20, comeback=Comeback(new_port=True))
    assert made.node("n4").port not in {node.port for node in made.nodes if node.name != "n4"} | {old.port}
    assert health_of(made).exit_code == ExitCode.OK


@needs_firewall
def test_a_tls_lab_is_parted_on_all_its_ports(lab: LabMaker, tls_server: ServerUnderTest) -> None:
    made = lab(access=SECURED, server=tls_server.path)
    made.partition("n1", observer="n1", wait_s=20)  # n6 is at the same address
    n6 = made.node("n6")
    assert n6.plain_port is not None
    assert not reachable(n6.host, n6.port)
    assert not reachable(n6.host, n6.plain_port)
    made.heal(wait_s=20)
    made.cut_client("n6")
    assert not reachable(n6.host, n6.plain_port)
    made.mend("n6")
    assert reachable(n6.host, n6.plain_port)


def test_what_is_said_to_nodes_is_said_over_tls_as_the_lab_itself(lab: LabMaker, tls_server: ServerUnderTest) -> None:
    made = lab(access=SECURED, server=tls_server.path)
    for node, refusal in zip(made.primaries, Refusal, strict=True):
        made.refuse_writes(node, refusal)
        made.mend(node)
    made.del_slots("100", on="n1")
    made.add_slots("100", on="n1")
    made.kill("n5")
    made.restart("n5", comeback=Comeback(wiped=True))
    made.reset("n6", hard=True)
    assert len(made.view("n5").beliefs) == len(made.view("n6").beliefs) == 1


def test_what_one_address_allows(lab: LabMaker) -> None:
    made = lab(3, 1, access=IPV6)
    with pytest.raises(LabFault, match="all nodes of this lab share ::1, and cannot be parted"):
        made.partition("n1")
    with pytest.raises(LabFault, match="share ::1, so we cannot be cut off alone"):
        made.cut_client("n1")
    made.kill("n4")
    with pytest.raises(LabFault, match="share ::1") as caught:
        made.restart("n4", comeback=Comeback(new_host=True))
    assert "--new-port" in caught.value.hint
    made.restart("n4", wait_s=20, comeback=Comeback(new_port=True))
    assert health_of(made).exit_code == ExitCode.OK


@needs_firewall
def test_a_bus_is_cut_one_way_on_ipv6_too(lab: LabMaker) -> None:
    made = lab(3, 0, access=IPV6)
    assert "nftables" in made.cut_bus("n1", one_way=True).effect
    n1, *peers = made.nodes
    made.wait(lambda: all(unanswered(made, peer, n1) for peer in peers), "every peer to fail to reach n1")
    assert not suspects(made, "n1")
    assert all(made.belief("n1", peer).link is Link.CONNECTED for peer in peers)
    with pytest.raises(LabFault, match="shares ::1 with another node"):
        made.cut_bus("n2")
    made.mend("n1")
    made.wait(lambda: not any(unanswered(made, peer, n1) for peer in peers), "every peer to reach n1 again")
