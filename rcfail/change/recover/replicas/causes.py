"""Why a replica has no link to its living primary: each cause with what shows it, and what ends it.

A replica that is turned away or finds nobody begins again every second (replicationCron), so in one look all causes
look alike from its own side: `connect`. What tells them apart stands on the other side, or in the settings of both.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from rcfail.change.recover.case import Case
from rcfail.change.recover.replicas.asked import BUFFER, PORT, STATS, TLS, TLS_PORT, role_state, section, setting
from rcfail.change.recover.replicas.copying import reached, stream_of
from rcfail.change.recover.replicas.refused_logins import set_login, why_refused
from rcfail.cluster.dialect import relinks
from rcfail.cluster.nouns import Endpoint
from rcfail.cluster.parse_info import whole_number
from rcfail.cluster.snapshot import Node
from rcfail.health.wording import counted, duration, redis_cli, size

_LOOP_COPIES = 4
_LOOP_EVERY_S = 120
"""More full copies than that, on average more often than that: the replicas do not just come and go."""


class Kind(StrEnum):
    LOGIN = "login"
    TRANSPORT = "transport"  # TLS on one side only
    FULL = "full"  # the primary takes no more clients
    COPY = "copy"  # full copies are begun and never end
    BACKLOG = "backlog"  # no fault by itself: it says that a full copy comes
    ADDRESS = "address"  # it dials where its primary is no more
    NETWORK = "network"


class Cause(NamedTuple):
    """`seen` is a clause of the evidence; `remedy` says with the exact command what ends it."""

    kind: Kind
    seen: str
    remedy: str = ""


def causes(case: Case, node: Node, primary: Node) -> tuple[Cause, ...]:
    """What is known to keep the link down, the surest first; nothing where no cause can be seen."""
    return tuple(_causes(case, node, primary))


def _causes(case: Case, node: Node, primary: Node) -> Iterator[Cause]:
    if refused := why_refused(case, node, primary):
        yield Cause(Kind.LOGIN, f"its primary turns it away: {refused}", set_login(case, node, primary))
    yield from _transport(case, node, primary)
    yield from _full(primary)
    copies = tuple(_no_copy(case, node, primary))
    yield from copies
    # Whose copies are begun is answered there: a handshake is then a moment between two of them.
    begun = any(each.kind is Kind.COPY for each in copies)
    yield from () if begun and role_state(case, node) == "handshake" else _network(case, node, primary)


# TLS


def _transport(case: Case, node: Node, primary: Node) -> Iterator[Cause]:
    """With tls-replication a replica speaks TLS to whatever port it is told (connTypeOfReplication, replication.c)."""
    port = stream_of(node).primary_port
    tls = setting(case, node.endpoint, TLS) == "yes"
    plain_port, tls_port = (whole_number(setting(case, primary.endpoint, each) or "") for each in (PORT, TLS_PORT))
    if port is None or plain_port is None or plain_port == tls_port:
        return
    if tls and port == plain_port:
        speaks, wanted = "TLS to the primary's plain port", "no"
    elif not tls and port == tls_port:
        speaks, wanted = "without TLS to the primary's TLS port", "yes"
    else:
        return
    fix = redis_cli(node.endpoint, "CONFIG", "SET", "tls-replication", wanted)
    yield Cause(
        Kind.TRANSPORT, f"it speaks {speaks} {port}", f"Let all nodes replicate in one way: {fix}, then CONFIG REWRITE."
    )


# The primary has no room


def _full(primary: Node) -> Iterator[Cause]:
    server = primary.vitals.server if primary.vitals is not None else None
    if server is None or server.connected_clients is None or not server.maxclients:
        return
    if server.connected_clients + 1 >= server.maxclients:
        more = redis_cli(primary.endpoint, "CONFIG", "SET", "maxclients", str(2 * server.maxclients))
        yield Cause(
            Kind.FULL,
            f"its primary has {server.connected_clients} of {server.maxclients} clients and takes no more",
            f"Let it take more, and find who holds so many: {more}",
        )


# Copies that never end


def _no_copy(case: Case, node: Node, primary: Node) -> Iterator[Cause]:
    """A replica whose place in the stream is gone needs a full copy, and that fails again and again."""
    lacks = beyond_backlog(node, primary)
    failed = primary.vitals is not None and primary.vitals.storage.last_bgsave_ok is False
    if failed and not stream_of(node).sync_in_progress:
        log = redis_cli(primary.endpoint, "CONFIG", "GET", "logfile")
        where = redis_cli(primary.endpoint, "CONFIG", "GET", "dir")
        yield Cause(
            Kind.COPY,
            "the last background save of its primary failed, and a full copy needs one",
            f"Its log says why ({log}); mostly its disk is full or may not be written ({where}), or memory lacks for "
            "the fork.",
        )
    yield from _loop(case, primary)
    if lacks:
        yield Cause(
            Kind.BACKLOG,
            f"what it lacks has left the backlog of its primary ({lacks})",
            "Once it is linked it takes a full copy. A larger backlog, on all nodes alike, spares that next time: "
            + redis_cli(primary.endpoint, "CONFIG", "SET", "repl-backlog-size", str(_ample(primary))),
        )


def _ample(primary: Node) -> int:
    """A backlog for a minute of the average writes since the start, and at least twice what it is."""
    said, uptime_s = stream_of(primary), primary.vitals.server.uptime_s if primary.vitals is not None else None
    written = (said.primary_offset or 0) - max(0, said.second_offset or 0)
    return max(2 * (said.backlog_size or 0), 60 * written // uptime_s if uptime_s else 0)


def beyond_backlog(node: Node, primary: Node) -> str:
    """The next byte that the replica needs, where the primary has it no more; "" where it has, or nobody can tell."""
    mine, theirs, held = stream_of(node), stream_of(primary), reached(node)
    if held is None or theirs.primary_offset is None or theirs.backlog_histlen is None or not theirs.backlog_active:
        return ""
    if mine.replid not in (theirs.replid, theirs.replid2):
        return ""
    first = theirs.primary_offset - theirs.backlog_histlen + 1
    if held + 1 >= first:
        return ""
    return f"it needs byte {held + 1}, and the first there is {first}"


def _loop(case: Case, primary: Node) -> Iterator[Cause]:
    """Copies that are begun again and again: too slow for a limit that the primary sets."""
    said, uptime_s = stream_of(primary), primary.vitals.server.uptime_s if primary.vitals is not None else None
    cut = whole_number(
        section(case, primary.endpoint, STATS).get("client_output_buffer_limit_disconnections", "") or ""
    )
    many = uptime_s and said.sync_full and said.sync_full >= _LOOP_COPIES + len(said.attached)
    if not (many and uptime_s and said.sync_full and uptime_s / said.sync_full < _LOOP_EVERY_S):
        return
    limit = replica_limit(setting(case, primary.endpoint, BUFFER) or "")
    timeout_s = primary.vitals.config.repl_timeout_s if primary.vitals is not None else None
    told = f"its client-output-buffer-limit for replicas is {limit}" if limit else ""
    told += f", its repl-timeout {timeout_s} s" if told and timeout_s else ""
    seen = f"its primary has begun {said.sync_full} full copies in {duration(1000 * uptime_s)}"
    if cut:
        seen += f", and broken {counted(cut, 'connection')} whose buffer was full"
    yield Cause(
        Kind.COPY,
        seen + (f"; {told}" if told else ""),
        _give_room(primary, counted_cuts=cut),
    )


def _give_room(primary: Node, counted_cuts: int | None) -> str:
    """Where the server counts the connections that it broke for their buffer, it is known which limit it was."""
    buffer = redis_cli(primary.endpoint, "CONFIG", "SET", "client-output-buffer-limit", "replica 0 0 0")
    longer = redis_cli(primary.endpoint, "CONFIG", "SET", "repl-timeout", "600")
    room = f"let the primary keep more for a replica while it copies: {buffer}"
    if not counted_cuts:
        room += f"; and wait longer for it: {longer}"
    return (
        f"Each copy is cut off before it ends: {room}; back to what it was once it is in sync, for a buffer without "
        "limit can fill the memory."
    )


def replica_limit(text: str) -> str:
    """Of the setting `normal 0 0 0 slave 268435456 67108864 60 pubsub ...`: `256 MB, or 64 MB for 60 s`; "": none."""
    words = text.split(" ")
    for at, word in enumerate(words[:-3]):
        numbers = [whole_number(each) for each in words[at + 1 : at + 4]]
        if word in ("slave", "replica") and None not in numbers:
            hard, soft, seconds = (each or 0 for each in numbers)
            parts = [size(hard)] if hard else []
            parts += [f"{size(soft)} for {seconds} s"] if soft else []
            return ", or ".join(parts) or "none"
    return ""


# The way there


def _network(case: Case, node: Node, primary: Node) -> Iterator[Cause]:
    said, state = stream_of(node), role_state(case, node)
    target = f"{said.primary_host}:{said.primary_port}"
    if (stale := old_address(node, primary)) is not None:
        yield Cause(Kind.ADDRESS, f"it asks for its primary at {target}, and that is at {stale}")
    elif state == "connecting":
        yield Cause(
            Kind.NETWORK,
            f"nothing at {target} answers its connection (ROLE says connecting)",
            f"Let {target} be reached from {node.host}: a firewall or a route drops it. Try from there: "
            + redis_cli(Endpoint(said.primary_host, said.primary_port or 0), "PING"),
        )
    elif state == "handshake":
        yield Cause(
            Kind.NETWORK,
            f"whoever takes its connection at {target} does not answer (ROLE says handshake)",
            f"See who listens there, from {node.host}: "
            + redis_cli(Endpoint(said.primary_host, said.primary_port or 0), "CLUSTER", "MYID"),
        )


def old_address(node: Node, primary: Node) -> Endpoint | None:
    """Where the replica's own table has its primary, when its link goes to another host; None where it does not.

    Ports are no sign: one node has a plain and a TLS port, and each asker is shown its own. Since Valkey 8.0 hosts
    are none either, for a node may announce other addresses to clients (clusterNodeIp, cluster_legacy.c).
    """
    said, known = stream_of(node), node.view.belief(primary.node_id) if node.view is not None else None
    if known is None or not said.primary_host or node.vitals is None or not relinks(node.vitals.server):
        return None
    same = said.primary_host in (known.address.host, known.address.hostname)
    return None if same else known.address.endpoint
