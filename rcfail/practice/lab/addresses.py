"""Addresses and ports that nobody else uses.

A "host" of a lab is a loopback address of its own, such as 127.40.1.1: the lab's number, then the host's.
Linux answers on all of 127.0.0.0/8. Where the system has only 127.0.0.1, as macOS does, all hosts are that
one, and labs side by side differ by their ports.
"""

from __future__ import annotations

import errno
import socket
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from rcfail.errors import LabFault

ONLY_ADDRESS = "127.0.0.1"
IPV6_ADDRESS = "::1"
OCTETS = range(40, 100)
FIRST_PORT = 7000
# Linux hands out 32768 and up to outgoing connections, so a bus port (port + 10000) there can be taken at any time.
LAST_BUS_PORT = 32767
BUS_PORT_DISTANCE = 10000
LOWEST_PORT = 1024
ONE_HOST_NOTE = (
    "this system has only 127.0.0.1: all hosts of the lab are one address, so host and zone checks see one host"
)
IPV6_NOTE = "IPv6 has one loopback address: all hosts of the lab are ::1, so host and zone checks see one host"
_PORT_STEP = 100
_GUARD_PORT = 6999
_LISTENERS = Path("/proc/net/tcp")
_LISTENING = "0A"


@dataclass(frozen=True, slots=True)
class Claim:
    """Addresses for a lab, held against every other lab on this machine until closed.

    `hosts[i]` is the address of host i, `ports[n]` the client port of node n. `octet` is the lab's number,
    None where all hosts are one address. The hold is a bound socket: it ends with the process, however it ends.
    """

    octet: int | None
    hosts: tuple[str, ...]
    ports: tuple[int, ...]
    guard: socket.socket

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self.guard.close()


def claim(
    host_of_node: Sequence[int],
    base_port: int | None,
    taken: Callable[[], Collection[int]],
    octets: Iterable[int] = OCTETS,
    *,
    ipv6: bool = False,
) -> Claim:
    """Free addresses for nodes on the given hosts (numbers from 0). Client and bus port of each are tried by binding.

    `taken` gives the octets of labs that exist; it is asked while the addresses are already held, because
    another lab may have been made just before. Raises LabFault when the ports are busy everywhere, or where `ipv6` is
    asked for and there is none.
    """
    if ipv6 and _bind_error(IPV6_ADDRESS, 0) is not None:
        raise LabFault(f"this system has no address {IPV6_ADDRESS}", "Leave --ipv6 out.")
    busy = ""
    for base in _bases(base_port, len(host_of_node)):
        ports = tuple(range(base, base + len(host_of_node)))
        for octet, hosts, guard_port in _places(max(host_of_node) + 1, base, octets, ipv6=ipv6):
            guard = _hold(hosts[0] if octet is None else f"127.{octet}.0.1", guard_port)
            if guard is None:
                continue
            if octet is not None and octet in taken():
                guard.close()
                continue
            first_busy = next(iter(_busy(hosts, host_of_node, ports)), None) or _neighbour(
                hosts[0], octet, None if base_port else base
            )
            if first_busy is None:
                return Claim(octet, hosts, ports, guard)
            busy = first_busy
            guard.close()
    raise _nothing_free(base_port, busy)


def has_own_addresses() -> bool:
    """Whether this system answers on every address of 127.0.0.0/8."""
    return _bind_error(f"127.{OCTETS[0]}.1.1", 0) != errno.EADDRNOTAVAIL


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen there now."""
    return _bind_error(host, port) is None


def _bases(base_port: int | None, count: int) -> Iterable[int]:
    if base_port is not None:
        return (base_port,)
    return range(FIRST_PORT, LAST_BUS_PORT - BUS_PORT_DISTANCE - count + 2, max(_PORT_STEP, count))


def _places(
    host_count: int, base: int, octets: Iterable[int], *, ipv6: bool
) -> Iterator[tuple[int | None, tuple[str, ...], int]]:
    """Octet, host addresses and guard port of each place that can be tried for one base port."""
    if ipv6 or not has_own_addresses():
        yield None, (IPV6_ADDRESS if ipv6 else ONLY_ADDRESS,) * host_count, base - 1
        return
    for octet in octets:
        yield octet, tuple(f"127.{octet}.{number}.1" for number in range(1, host_count + 1)), _GUARD_PORT


def _busy(hosts: Sequence[str], host_of_node: Sequence[int], ports: Sequence[int]) -> Iterator[str]:
    for host_number, port in zip(host_of_node, ports, strict=True):
        host = hosts[host_number]
        for what, number in (("port", port), ("bus port", port + BUS_PORT_DISTANCE)):
            if not is_free(host, number):
                yield f"{what} {number} on {host}"


def _neighbour(host: str, octet: int | None, block_at: int | None) -> str | None:
    """Somebody who listens among these addresses, or in the block of ports from there, though not where we need it.

    `taken` knows the labs of one home only. A lab of another home may have a killed node, whose ports look free:
    a server that is started there is found by that lab's nodes, and both clusters suffer.
    """
    if octet is not None:
        return next((f"port {port} on {host}" for host, port in _listeners() if host.startswith(f"127.{octet}.")), None)
    block = range(0) if block_at is None else range(block_at, block_at + _PORT_STEP)
    return next((f"port {port} on {host}" for port in block if not is_free(host, port)), None)


def _listeners() -> Iterator[tuple[str, int]]:
    """Address and port of every IPv4 listener on this machine; none where the system does not tell (proc_net_tcp)."""
    try:
        rows = _LISTENERS.read_text("ascii", "replace").splitlines()[1:]
    except OSError:
        return
    for row in rows:
        _, local, _, state, *_ = row.split()
        if state == _LISTENING:
            address, port = local.split(":")
            # The kernel prints the four bytes as one number in its own byte order.
            number = int(address, 16).to_bytes(4, sys.byteorder)
            yield socket.inet_ntoa(number), int(port, 16)


def _hold(host: str, port: int) -> socket.socket | None:
    """A socket bound there, without SO_REUSEADDR, so that only one process can have it; None if one has."""
    guard = socket.socket(_family(host), socket.SOCK_STREAM)
    try:
        guard.bind((host, port))
    except OSError:
        guard.close()
        return None
    return guard


def _bind_error(host: str, port: int) -> int | None:
    """The errno of an attempt to bind as a server does: with SO_REUSEADDR, which passes over TIME_WAIT only."""
    try:
        with socket.socket(_family(host), socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        return error.errno
    return None


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _nothing_free(base_port: int | None, busy: str) -> LabFault:
    if not busy:
        return LabFault("every address group for labs is taken", "End labs that you no longer need: rcfail lab list.")
    if base_port is None:
        return LabFault(f"no free ports for a lab, for example {busy} is busy", "Choose one with --base-port PORT.")
    port = busy.split()[1] if busy.startswith("port") else busy.split()[2]
    return LabFault(
        f"{busy} is busy",
        f"Choose another --base-port, or see who has it: ss -ltnp 'sport = :{port}'.",
    )
