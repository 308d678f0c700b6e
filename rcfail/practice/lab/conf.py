"""The redis.conf of one node."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rcfail.practice.lab.binary import ServerBinary
from rcfail.practice.lab.certs import authority, pair
from rcfail.practice.lab.logs import LOG_FILE
from rcfail.practice.lab.register import LabEntry, NodeEntry
from rcfail.practice.lab.users import user_lines
from rcfail.practice.lab.wish import Persistence, Wish, option_of

CONF_FILE = "redis.conf"

_SAVE = {Persistence.NONE: '""', Persistence.RDB: "3600 1 300 100 60 10000", Persistence.AOF: '""'}


def conf_text(entry: LabEntry, node: NodeEntry, wish: Wish, server: ServerBinary) -> str:
    """The whole file. The user's own lines stand last, where the server takes them for the valid ones."""
    lines = [
        f"bind {node.host}",
        *_port_lines(entry, node),
        "protected-mode no",
        "daemonize no",
        f"dir {quoted(node.folder)}",
        f"logfile {quoted(str(Path(node.folder) / LOG_FILE))}",
        "cluster-enabled yes",
        "cluster-config-file nodes.conf",
        f"cluster-node-timeout {wish.node_timeout_ms}",
        # Without it a node would tell its peers the source address of its packets, which need not be where it listens.
        f"cluster-announce-ip {node.host}",
        f"save {_SAVE[wish.persistence]}",
        f"appendonly {'yes' if wish.persistence is Persistence.AOF else 'no'}",
        # A primary waits this long for more replicas before it begins a first sync; here nobody else will come.
        "repl-diskless-sync-delay 0",
    ]
    if server.binds_source_address:
        lines.append(f"bind-source-addr {node.host}")
    if server.guards_debug:
        lines.append("enable-debug-command yes")
    if server.announces_zone:
        lines.append(f"availability-zone {node.zone}")
    if node.hostname:
        lines.append(f"cluster-announce-hostname {node.hostname}")
        lines.append(f"cluster-preferred-endpoint-type {entry.access.endpoint_type}")
    if entry.access.user:
        lines.extend(user_lines(entry, server))
    options = {option_of(line): line for line in wish.conf}
    if "requirepass" in options and "masterauth" not in options:
        # A replica that does not know its primary's password never gets any data.
        lines.append(f"masterauth {options['requirepass'].split(maxsplit=1)[1]}")
    return "\n".join([*lines, *wish.conf]) + "\n"


def _port_lines(entry: LabEntry, node: NodeEntry) -> Iterator[str]:
    if not entry.access.tls:
        yield f"port {node.port}"
        return
    certificate, key = pair(entry, node.name)
    yield f"port {node.plain_port or 0}"
    yield f"tls-port {node.port}"
    yield f"tls-cert-file {quoted(str(certificate))}"
    yield f"tls-key-file {quoted(str(key))}"
    yield f"tls-ca-cert-file {quoted(str(authority(entry)))}"
    yield f"tls-auth-clients {entry.access.client_certs}"
    yield "tls-cluster yes"
    yield "tls-replication yes"


def quoted(text: str) -> str:
    """A value as redis.conf reads it back, whatever is in it: in quotes, with hex escapes (sds.c, sdssplitargs)."""
    plain = "".join(char if _is_plain(char) else "".join(f"\\x{b:02x}" for b in char.encode()) for char in text)
    return f'"{plain}"'


def _is_plain(char: str) -> bool:
    return char.isascii() and char.isprintable() and char not in '"\\'


def conf_value(text: str, option: str) -> str | None:
    """The last value that a redis.conf gives to an option, without quotes; None where it does not name it."""
    values = [line.split(maxsplit=1)[1].strip() for line in text.splitlines() if option_of(line) == option]
    if not values:
        return None
    value = values[-1]
    return value[1:-1] if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'" else value
