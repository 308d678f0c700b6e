"""Addresses are claimed by one lab at a time, and only where every port can be bound."""

from __future__ import annotations

import errno
import socket

import pytest

from rcfail.errors import LabFault
from rcfail.practice.lab import addresses
from rcfail.practice.lab.addresses import claim, has_own_addresses, is_free

# Away from the command line's and from the other tests' numbers.
FREE = range(251, 254)

needs_linux = pytest.mark.skipif(not has_own_addresses(), reason="this system has only 127.0.0.1")


def listener(host: str, port: int) -> socket.socket:
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.bind((host, port))
    one.listen()
    return one


@needs_linux
def test_each_host_has_an_address_and_each_node_a_port() -> None:
    with claim([0, 1, 2, 1], 8100, frozenset, FREE) as held:
        assert held.octet in FREE
        assert held.hosts == tuple(f"127.{held.octet}.{number}.1" for number in (1, 2, 3))
        assert held.ports == (8100, 8101, 8102, 8103)


@needs_linux
def test_what_is_claimed_is_not_claimed_again_until_it_is_let_go() -> None:
    with claim([0], 8100, frozenset, FREE) as one, claim([0], 8100, frozenset, FREE) as other:
        assert one.octet != other.octet
        first = one.octet
    with claim([0], 8100, frozenset, FREE) as third:
        assert third.octet == first


@needs_linux
def test_a_lab_whose_servers_are_down_keeps_its_addresses() -> None:
    with claim([0], 8100, lambda: {FREE[0]}, FREE) as held:
        assert held.octet == FREE[1]
    with pytest.raises(LabFault, match="every address group for labs is taken"):
        claim([0], 8100, lambda: set(FREE), FREE)


@needs_linux
@pytest.mark.parametrize("port", [8100, 18100])
def test_a_busy_port_or_bus_port_moves_the_lab_to_other_addresses(port: int) -> None:
    with listener(f"127.{FREE[0]}.1.1", port):
        assert not is_free(f"127.{FREE[0]}.1.1", port)
        with claim([0], 8100, frozenset, FREE) as held:
            assert held.octet == FREE[1]


@needs_linux
def test_a_lab_of_another_home_keeps_the_addresses_of_its_dead_nodes() -> None:
    """Its first node was killed: that port is free, but its peers would find our server there."""
    with listener(f"127.{FREE[0]}.2.1", 8101), claim([0], 8100, frozenset, FREE) as held:
        assert held.octet == FREE[1]


@needs_linux
def test_a_port_that_is_busy_everywhere_is_named() -> None:
    with listener("0.0.0.0", 18101), pytest.raises(LabFault) as caught:
        claim([0, 0], 8100, frozenset, FREE)
    assert caught.value.message == f"bus port 18101 on 127.{FREE[-1]}.1.1 is busy"
    assert "sport = :18101" in caught.value.hint


@needs_linux
def test_without_a_base_port_the_next_free_ones_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "FIRST_PORT", 8100)
    with listener("0.0.0.0", 8101), claim([0, 0], None, frozenset, FREE) as held:
        assert held.ports == (8200, 8201)


def test_a_system_with_one_address_has_one_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "has_own_addresses", lambda: False)
    monkeypatch.setattr(addresses, "FIRST_PORT", 8300)
    with claim([0, 1, 2], None, frozenset, FREE) as one, claim([0, 1], None, frozenset, FREE) as other:
        assert one.octet is None
        assert set(one.hosts) == {"127.0.0.1"}
        # Side by side they differ by their ports, although no server listens yet.
        assert not set(one.ports) & set(other.ports)


def test_on_one_address_a_lab_keeps_the_ports_of_its_dead_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "has_own_addresses", lambda: False)
    monkeypatch.setattr(addresses, "FIRST_PORT", 8300)
    with listener("127.0.0.1", 8305), claim([0, 0], None, frozenset) as held:
        assert held.ports == (8400, 8401)


def test_ports_run_out_below_what_the_system_hands_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "is_free", lambda *_: False)
    with pytest.raises(LabFault, match="no free ports for a lab"):
        claim([0], None, frozenset, FREE)
    assert max(max(addresses._bases(None, 6)) + 5 + 10000 for _ in range(1)) <= 32767


needs_ipv6 = pytest.mark.skipif(not is_free("::1", 0), reason="this system has no IPv6")


@needs_ipv6
def test_on_ipv6_nodes_differ_by_their_ports() -> None:
    with claim([0, 1, 2], 8200, frozenset, FREE, ipv6=True) as one:
        assert (one.octet, one.hosts, one.ports) == (None, ("::1",) * 3, (8200, 8201, 8202))
        with pytest.raises(LabFault), claim([0], 8200, frozenset, FREE, ipv6=True):
            pass
    with socket.socket(socket.AF_INET6) as busy:
        busy.bind(("::1", 8201))
        with pytest.raises(LabFault, match="port 8201 on ::1 is busy"), claim([0, 1], 8200, frozenset, ipv6=True):
            pass


def test_a_system_without_ipv6_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "_bind_error", lambda host, _: errno.EADDRNOTAVAIL if ":" in host else None)
    with pytest.raises(LabFault, match="has no address ::1") as caught:
        claim([0], None, frozenset, FREE, ipv6=True)
    assert caught.value.hint == "Leave --ipv6 out."
