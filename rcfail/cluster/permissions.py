"""The least that an ACL user may be allowed, to look at a cluster and to operate it, by server version.

Users belong to one node: they are not copied between the nodes of a cluster, so each needs its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

from rcfail.cluster.dialect import adds_slot_ranges, has_links, has_slot_migrations
from rcfail.cluster.vitals import Flavour, Server

KEYS = "~rcfail:*"
"""The only keys that rcfail ever writes: its locks and its canaries."""

_NOTHING = ("resetkeys", "resetchannels", "-@all")

_LOOK = ("info", "cluster|info", "cluster|nodes", "config|get")

# Identity before each change, then the changes themselves, then what proves that nothing was lost.
_CHANGE = (
    "ping",
    "dbsize",
    "cluster|myid",
    "cluster|failover",
    "cluster|replicate",
    "cluster|meet",
    "cluster|forget",
    "cluster|reset",
    "cluster|setslot",
    "cluster|addslots",
    "cluster|countkeysinslot",
    "client|list",
    "wait",
)
# The canary needs no more than the first three.
_LOCK = ("get", "set", "del", "pttl", "watch", "unwatch", "multi", "exec", "discard")


class Purpose(StrEnum):
    READING = "reading"
    OPERATING = "operating"


def permissions(server: Server, purpose: Purpose) -> tuple[str, ...]:
    """What the user may do, as words of ACL SETUSER such as `+cluster|info`, without its name and password.

    From Redis 7.0 on ACL SETUSER turns down a sub-command that the server does not have (acl.c), so each version
    gets only what it knows.
    """
    ranges = ("cluster|addslotsrange",) if adds_slot_ranges(server) else ()
    changes = () if purpose is Purpose.READING else (*_CHANGE, *ranges, *_LOCK)
    commands = (*_LOOK, *_questions_of(server), *changes)
    keys = () if purpose is Purpose.READING else (KEYS,)
    return (*_NOTHING, *keys, *(f"+{command}" for command in commands))


def _questions_of(server: Server) -> Iterator[str]:
    if has_links(server):
        yield "cluster|links"
    if has_slot_migrations(server):
        yield "cluster|getslotmigrations"


def server_named(text: str) -> Server | None:
    """A server as people name it: `redis 7.2`, `valkey-9.1.2`, `7.0` (Redis). None where that names none."""
    flavour, _, number = text.strip().lower().replace("-", " ").rpartition(" ")
    parts = number.split(".")
    if (
        flavour not in ("", *_FLAVOURS)
        or len(parts) > 3
        or not all(part.isascii() and part.isdecimal() for part in parts)
    ):
        return None
    if any(len(part) > 3 for part in parts):
        return None
    return Server(_FLAVOURS.get(flavour, Flavour.REDIS), tuple(int(part) for part in parts), number)


_FLAVOURS = {"redis": Flavour.REDIS, "valkey": Flavour.VALKEY}
