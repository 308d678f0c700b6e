"""Seeds as people write them: host:port, a name, an IPv6 literal with or without brackets."""

from __future__ import annotations

import socket

from rcfail.cluster.nouns import Endpoint

DEFAULT_PORT = 6379
_LAST_PORT = 65535
_LONGEST_NAME = 253  # RFC 1035, without the final dot
_LONGEST_LABEL = 63


class BadSeed(ValueError):
    """A seed that names no address. The text never repeats what could be a password."""


def parse_seeds(text: str) -> tuple[Endpoint, ...]:
    """A comma list of seeds. Raises BadSeed."""
    return tuple(parse_seed(part.strip()) for part in text.split(","))


def parse_seed(text: str) -> Endpoint:
    """One seed; without a port it is 6379. Raises BadSeed."""
    if not text:
        raise BadSeed("a seed is empty")
    if "@" in text or "://" in text:
        # A URL can hold a password, so it is not repeated.
        raise BadSeed("a seed is HOST:PORT, without a scheme, a user, a password or a bus port")
    if text.startswith("["):
        return _bracketed(text)
    if text.count(":") > 1:
        return Endpoint(_ipv6(text, text), DEFAULT_PORT)
    host, colon, port = text.partition(":")
    return Endpoint(_name(host, text), _port(port, text) if colon else DEFAULT_PORT)


def doubt(text: str) -> str:
    """Tells when a bare IPv6 literal may have been meant as address and port, else empty."""
    address, _, last = text.strip().rpartition(":")
    if ":" not in address or "[" in text or not last.isdecimal() or not _is_ipv6(text) or not _is_ipv6(address):
        return ""
    return f"{text} was read as an IPv6 address with port {DEFAULT_PORT}; write [{address}]:{last} to name the port"


def _bracketed(text: str) -> Endpoint:
    host, closing, rest = text[1:].partition("]")
    if not closing or (rest and not rest.startswith(":")):
        raise BadSeed(f"{text!r} is not [IPV6]:PORT")
    return Endpoint(_ipv6(host, text), _port(rest[1:], text) if rest else DEFAULT_PORT)


def _port(port: str, text: str) -> int:
    if not (port.isascii() and port.isdecimal() and len(port) <= 5 and 1 <= int(port) <= _LAST_PORT):
        raise BadSeed(f"the port in {text!r} is not a number from 1 to {_LAST_PORT}")
    return int(port)


def _ipv6(host: str, text: str) -> str:
    if not _is_ipv6(host):
        raise BadSeed(f"{text!r} holds no IPv6 address")
    return host


def _is_ipv6(host: str) -> bool:
    try:
        socket.inet_pton(socket.AF_INET6, host.partition("%")[0])
    except (OSError, ValueError):  # ValueError: a null byte
        return False
    return True


def _name(host: str, text: str) -> str:
    """A name or an IPv4 literal; only what no resolver can take is turned down here."""
    labels = host.removesuffix(".").split(".")
    shaped = all(0 < len(label) <= _LONGEST_LABEL for label in labels) and len(host) <= _LONGEST_NAME
    if not shaped or any(each.isspace() or not each.isprintable() or each in "/\\\"'[]" for each in host):
        raise BadSeed(f"{text!r} names no host")
    return host
