"""From the address that a node announces to the one that reaches it from here, by the operator's own rules.

A rule is ANNOUNCED=REACHABLE, each side HOST or HOST:PORT, an IPv6 host in brackets. One `*` in a host, and one in a
port, stands for any text; on the right it is what it stood for on the left:

    10.0.0.5:6379=127.0.0.1:7001      one node
    10.0.0.5=203.0.113.7              one host, every port as it is
    10.0.0.*=192.168.1.*              a network
    10.0.0.5:*=127.0.0.1:1*           one host, a 1 before every port
    *.internal=*.example.com          host names that are announced besides
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from rcfail.cluster.nouns import Address, Endpoint

_LAST_PORT = 65535
_HOST = r"[^\s\[\]=/@,]+"
_PORT = r"[0-9*]{1,6}"


@dataclass(frozen=True, slots=True)
class Natmap:
    """`rules` as they were written; the first that fits an address says where it is reached."""

    rules: tuple[str, ...] = ()

    def reached(self, address: Address) -> Endpoint | None:
        """Where a client here could dial, or None where the view prints no address, or a rule leads to no port."""
        announced = address.endpoint
        if announced is None or not self.rules:
            return announced
        for text in self.rules:
            rule = _read(text)
            for host in filter(None, (address.host, address.hostname)):
                if (place := rule.apply(host, address.port)) is not None:
                    return place if 0 < place.port <= _LAST_PORT else None
        return announced


NO_NATMAP = Natmap()


class _Rule(NamedTuple):
    """Both sides of a rule. An empty port is any port on the left, the same port on the right."""

    announced: tuple[str, str]
    reachable: tuple[str, str]

    def apply(self, host: str, port: int) -> Endpoint | None:
        (host_pattern, port_pattern), (to_host, to_port) = self.announced, self.reachable
        found_host = _starred(host_pattern, host.lower())
        found_port = _starred(port_pattern or "*", str(port))
        if found_host is None or found_port is None:
            return None
        number = to_port.replace("*", found_port) if to_port else str(port)
        return Endpoint(to_host.replace("*", found_host), int(number) if len(number) <= 5 else 0)


def fault_in(text: str) -> str:
    """What is wrong with a rule, in words that follow it; "" where nothing is."""
    announced, equals, reachable = text.partition("=")
    if not equals:
        return "has no ="
    for side in (announced, reachable):
        if fault := _fault_in_side(side):
            return fault
    rule = _read(text)
    (host, port), (to_host, to_port) = rule.announced, rule.reachable
    if ("*" in to_host and "*" not in host) or ("*" in to_port and "*" not in (port or "*")):
        return "has a * on the right that stands for nothing on the left"
    return ""


def as_told(text: str) -> str:
    """A rule that is none, for a message. What stands before an @ can be a password, so it is not repeated."""
    return "a rule with an @ in it" if "@" in text else text


def _fault_in_side(side: str) -> str:
    host, port = _split(side)
    if not re.fullmatch(_HOST, host):
        return "needs a host on both sides"
    if side.count(":") > 1 and not side.startswith("["):
        return f"holds {side!r}: write an IPv6 address in brackets"
    if host.count("*") > 1 or (port or "").count("*") > 1:
        return "holds more than one * in a host or a port"
    if port is None:
        return ""
    if not re.fullmatch(_PORT, port, re.ASCII) or ("*" not in port and not 0 < int(port) <= _LAST_PORT):
        return f"holds {port!r}, which is no port"
    return ""


@lru_cache(maxsize=1024)
def _read(text: str) -> _Rule:
    announced, _, reachable = text.partition("=")
    (host, port), (to_host, to_port) = _split(announced), _split(reachable)
    return _Rule((host.lower(), port or ""), (to_host, to_port or ""))


def _split(side: str) -> tuple[str, str | None]:
    """Host without brackets, and the port, None where there is none."""
    if side.startswith("["):
        host, _, rest = side[1:].partition("]")
        return host, rest[1:] if rest.startswith(":") else None
    host, colon, port = side.rpartition(":")
    return (host, port) if colon else (side, None)


def _starred(pattern: str, text: str) -> str | None:
    """What the star of a pattern stands for in a text ("" without a star), or None where the pattern does not fit."""
    before, star, after = pattern.partition("*")
    if not star:
        return "" if pattern == text else None
    fits = len(text) > len(before) + len(after) and text.startswith(before) and text.endswith(after)
    return text[len(before) : len(text) - len(after)] if fits else None
