"""The address field of a CLUSTER NODES or nodes.conf line: `host:port[@busport][,hostname][,name=value...]`."""

from __future__ import annotations

from typing import NamedTuple

from rcfail.cluster.nouns import Address

_MAX_PORT = 65535
_LONGEST_HOST = 255  # of RFC 1035, and of cluster-announce-hostname (NET_HOST_STR_LEN, server.h)


class AddressReading(NamedTuple):
    """What one address field says. `reasons` is empty when all of it was read."""

    address: Address
    aux: tuple[tuple[str, str], ...]
    reasons: tuple[str, ...]


def read_address(text: str) -> AddressReading:
    """Read one address field; total, any text gives an Address.

    The host is whatever stands before the last colon, since IPv6 is printed bare (`::1:7000@17000`,
    clusterGenNodeDescription in cluster_legacy.c); brackets around it are taken off. A port that cannot be
    read is 0. After the commas, an element with `=` is an auxiliary field of nodes.conf, and the first other
    one that is not empty is the host name: an empty host name leaves `,,`, and release candidates of Redis
    7.2 left a trailing comma.
    """
    place, *elements = text.split(",")
    hostname, aux, reasons = _read_elements(elements)
    before_bus, at, bus_text = place.rpartition("@")
    host, colon, port_text = (before_bus if at else place).rpartition(":")
    bus_port = _port(bus_text) if at else None
    if at and bus_port is None:
        reasons.append(f"bus port {bus_text[:40]!r} is not a port")
    port = _port(port_text) if colon else None
    if not colon:
        host = port_text
        reasons.append(f"address {place[:80]!r} has no port")
    elif port is None:
        reasons.append(f"port {port_text[:40]!r} is not a port")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    if len(host) > _LONGEST_HOST:
        reasons.append(f"a host of {len(host)} characters is none")
        host = ""
    return AddressReading(Address(host, port or 0, bus_port, hostname), aux, tuple(reasons))


def _read_elements(elements: list[str]) -> tuple[str, tuple[tuple[str, str], ...], list[str]]:
    hostname = ""
    aux: list[tuple[str, str]] = []
    reasons: list[str] = []
    for element in elements:
        name, equals, value = element.partition("=")
        if equals:
            aux.append((name, value))
        elif len(element) > _LONGEST_HOST:
            reasons.append(f"a host name of {len(element)} characters is none")
        elif element and not hostname:
            hostname = element
        elif element:
            reasons.append(f"second host name {element[:80]!r}")
    return hostname, tuple(aux), reasons


def _port(text: str) -> int | None:
    if not text.isascii() or not text.isdigit() or len(text) > 5:
        return None
    port = int(text)
    return port if port <= _MAX_PORT else None
