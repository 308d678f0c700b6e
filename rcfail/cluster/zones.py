"""Which zone a node is in, by the operator's own labels: patterns of addresses, host names or node ids."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from rcfail.cluster.nouns import NodeId

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

_HEX = frozenset("0123456789abcdef")
_SHORTEST_ID = 8  # as node ids are printed for people
_GLOB = frozenset("*?[")

_Names = tuple[str, ...]
_Test = Callable[[_Names, str], bool]
"""Whether one rule fits a node: its names in lower case, and its host alone."""


@dataclass(frozen=True, slots=True)
class ZoneLabels:
    """`rules` are pairs of pattern and zone; the first that fits a node is its zone.

    A pattern is a network such as 10.1.0.0/16, an address, a host name, an address with its port, a node id or the
    first eight digits or more of one; `*`, `?` and `[...]` stand for any text, one character, one of several.
    """

    rules: tuple[tuple[str, str], ...] = ()

    def zone_of(self, host: str, hostname: str = "", port: int = 0, node_id: NodeId | None = None) -> str:
        """The zone of a node, or "" where no rule fits. `host` is its address, without brackets."""
        if not self.rules:
            return ""
        with_port = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        names = tuple(name.lower() for name in (host, hostname, with_port if port else "", node_id or "") if name)
        return next((zone for pattern, zone in self.rules if _test(pattern)(names, host)), "")


NO_LABELS = ZoneLabels()


def fault_in(pattern: str, zone: str) -> str:
    """What is wrong with a rule, in words that follow its name; "" where nothing is."""
    if not pattern or not zone:
        return "needs a pattern and a zone"
    if any(each.isspace() or not each.isprintable() for each in pattern):
        return "holds a pattern with a space or an unprintable character"
    if zone != zone.strip() or not zone.isprintable():
        return "holds a zone with a space at its end or an unprintable character"
    if "/" in pattern and _network(pattern) is None:
        return f"holds {pattern!r}, which is no network such as 10.1.0.0/16"
    return ""


@lru_cache(maxsize=1024)
def _test(pattern: str) -> _Test:
    """Read once a pattern: a thousand nodes are asked about each."""
    if "/" in pattern:
        return _in_network(pattern)
    wanted = pattern.lower()
    inside, closing, _ = wanted.removeprefix("[").partition("]")
    if wanted.startswith("[") and closing and _address(inside) is not None:  # an IPv6 address, not a set of characters
        return _equal_to(inside if wanted.endswith("]") else wanted)
    if _GLOB.isdisjoint(wanted):
        return _equal_to(wanted)
    from fnmatch import fnmatchcase

    return lambda names, _: any(fnmatchcase(name, wanted) for name in names)


def _equal_to(wanted: str) -> _Test:
    if len(wanted) >= _SHORTEST_ID and _HEX.issuperset(wanted):
        return lambda names, _: any(name == wanted or (_is_id(name) and name.startswith(wanted)) for name in names)
    address = _address(wanted) if ":" in wanted else None
    if address is None:
        return lambda names, _: wanted in names
    # One IPv6 address has many spellings.
    return lambda names, host: wanted in names or _address(host) == address


def _is_id(name: str) -> bool:
    return len(name) == 40 and _HEX.issuperset(name)


def _in_network(pattern: str) -> _Test:
    network = _network(pattern)
    if network is None:
        return lambda _, __: False

    def inside(_: _Names, host: str) -> bool:
        address = _address(host)
        return address is not None and address in network  # False for the other family

    return inside


def _network(pattern: str) -> IPv4Network | IPv6Network | None:
    from ipaddress import ip_network  # only where a rule is a network

    try:
        return ip_network(pattern, strict=False)
    except ValueError:
        return None


def _address(host: str) -> IPv4Address | IPv6Address | None:
    from ipaddress import ip_address

    try:
        return ip_address(host)
    except ValueError:
        return None
