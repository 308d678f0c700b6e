"""What the two ends of a link that is down are asked besides, and what they say to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rcfail.change.recover.case import Case, Question
from rcfail.cluster.nouns import Endpoint
from rcfail.cluster.parse_info import parse_info
from rcfail.cluster.snapshot import Node

ROLE = ("ROLE",)
ACL_LOG = ("ACL", "LOG", "32")
ERRORS = ("INFO", "errorstats")
STATS = ("INFO", "stats")
USER = ("CONFIG", "GET", "masteruser")
TLS = ("CONFIG", "GET", "tls-replication")
PORT = ("CONFIG", "GET", "port")
TLS_PORT = ("CONFIG", "GET", "tls-port")
BUFFER = ("CONFIG", "GET", "client-output-buffer-limit")


def questions_about(node: Node, primary: Node) -> Iterator[Question]:
    """All of them change nothing, and no reply holds a secret: masterauth is not asked for."""
    if node.endpoint is not None:
        yield from (Question(node.endpoint, each) for each in (ROLE, USER, TLS))
    if primary.endpoint is not None:
        wanted = (ACL_LOG, ERRORS, STATS, USER, PORT, TLS_PORT, BUFFER)
        yield from (Question(primary.endpoint, each) for each in wanted)


def setting(case: Case, place: Endpoint | None, command: tuple[str, ...]) -> str | None:
    """One setting as text: the reply is its name and its value. None where the server has none, or does not say."""
    found = case.reply(place, *command)
    return str(found[1]) if isinstance(found, tuple) and len(found) == 2 else None


def section(case: Case, place: Endpoint | None, command: tuple[str, ...]) -> Mapping[str, str]:
    found = case.reply(place, *command)
    return parse_info(found) if isinstance(found, str) else {}


def role_state(case: Case, node: Node) -> str:
    """How far the replica's own attempt is: connect, connecting, handshake, sync, connected; "" where unknown."""
    found = case.reply(node.endpoint, *ROLE)
    return str(found[3]) if isinstance(found, tuple) and len(found) > 3 and found[0] == "slave" else ""
