"""Why a replica has no link to its living primary: each cause with what shows it, and what ends it.

A replica that is turned away or finds nobody begins again every second (replicationCron), so in one look all causes
look alike from its own side: `connect`. What tells them apart stands on the other side, or in the settings of both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import NamedTuple

from rcfail.change.recover.case import Case, Question
from rcfail.change.recover.copying import reached, stream_of
from rcfail.cluster.dialect import relinks
from rcfail.cluster.logins import DEFAULT_USER, refusal
from rcfail.cluster.nouns import Endpoint
from rcfail.cluster.parse_info import parse_info, whole_number
from rcfail.cluster.snapshot import Node
from rcfail.health.wording import counted, duration, redis_cli, size

ROLE = ("ROLE",)
ACL_LOG = ("ACL", "LOG", "32")
ERRORS = ("INFO", "errorstats")
STATS = ("INFO", "stats")
USER = ("CONFIG", "GET", "masteruser")
TLS = ("CONFIG", "GET", "tls-replication")
PORT = ("CONFIG", "GET", "port")
TLS_PORT = ("CONFIG", "GET", "tls-port")
BUFFER = ("CONFIG", "GET", "client-output-buffer-limit")

_FRESH_S = 15.0
"""A replica that is refused tries again every second, so an older line of the ACL log is none of this trouble."""

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


def questions_about(node: Node, primary: Node) -> Iterator[Question]:
    """All of them change nothing, and no reply holds a secret: masterauth is not asked for."""
    if node.endpoint is not None:
        yield from (Question(node.endpoint, each) for each in (ROLE, USER, TLS))
    if primary.endpoint is not None:
        wanted = (ACL_LOG, ERRORS, STATS, USER, PORT, TLS_PORT, BUFFER)
        yield from (Question(primary.endpoint, each) for each in wanted)


def causes(case: Case, node: Node, primary: Node) -> tuple[Cause, ...]:
    """What is known to keep the link down, the surest first; nothing where no cause can be seen."""
    return tuple(_causes(case, node, primary))


def _causes(case: Case, node: Node, primary: Node) -> Iterator[Cause]:
    yield from _login(case, node, primary)
    yield from _transport(case, node, primary)
    yield from _full(primary)
    yield from _no_copy(case, node, primary)
    yield from _network(case, node, primary)


def setting(case: Case, place: Endpoint | None, command: tuple[str, ...]) -> str | None:
    """One setting as text: the reply is its name and its value. None where the server has none, or does not say."""
    found = case.reply(place, *command)
    return str(found[1]) if isinstance(found, tuple) and len(found) == 2 else None


def _section(case: Case, place: Endpoint | None, command: tuple[str, ...]) -> Mapping[str, str]:
    found = case.reply(place, *command)
    return parse_info(found) if isinstance(found, str) else {}


def role_state(case: Case, node: Node) -> str:
    """How far the replica's own attempt is: connect, connecting, handshake, sync, connected; "" where unknown."""
    found = case.reply(node.endpoint, *ROLE)
    return str(found[3]) if isinstance(found, tuple) and len(found) > 3 and found[0] == "slave" else ""


# Logins


def _login(case: Case, node: Node, primary: Node) -> Iterator[Cause]:
    why = _why_refused(case, node, primary)
    if why:
        yield Cause(Kind.LOGIN, f"its primary turns it away: {why}", _set_login(case, node, primary))


def _why_refused(case: Case, node: Node, primary: Node) -> str:
    """First by what both are set to, then by what the primary logged."""
    users = primary.view.users if primary.view is not None else None
    login = node.view.login if node.view is not None else None
    if login is not None and users is not None and (why := refusal(login, users)):
        return why
    user = setting(case, node.endpoint, USER)
    if users is not None and user and user not in {each.name for each in users}:
        return f"its masteruser is {user}, and there is no user {user}"
    return _logged(case, node, primary)


def _logged(case: Case, node: Node, primary: Node) -> str:
    """The ACL log names who was refused, what, and from where (addACLLogEntry, acl.c)."""
    rows = case.reply(primary.endpoint, *ACL_LOG)
    for row in rows if isinstance(rows, tuple) else ():
        said = dict(zip(row[::2], row[1::2], strict=False)) if isinstance(row, tuple) else {}
        if not _is_of(node, str(said.get("client-info", ""))) or _age_s(said.get("age-seconds")) > _FRESH_S:
            continue
        who = said.get("username", DEFAULT_USER)
        if said.get("reason") == "auth":
            return f"it logged a refused AUTH of the user {who} from there"
        return f"it logged that the user {who} may not run {str(said.get('object', '')).upper()}"
    return ""


def _is_of(node: Node, client_info: str) -> bool:
    """A replication link begins with AUTH, REPLCONF or PSYNC; an operator's own refusal has a library name or a name,
    and hardly comes from the replica's address."""
    words = dict(word.partition("=")[::2] for word in client_info.split(" "))
    hosts = {node.address.host, node.endpoint.host if node.endpoint else ""} - {""}
    return words.get("addr", "").rpartition(":")[0].strip("[]") in hosts and not words.get("name")


def _age_s(text: object) -> float:
    try:
        return float(str(text))
    except ValueError:
        return float("inf")


def _set_login(case: Case, node: Node, primary: Node) -> str:
    """What the primary itself would log in with fits it mostly, for roles change. No secret stands in it."""
    users = primary.view.users if primary.view is not None else None
    default = next((each for each in users or () if each.name == DEFAULT_USER), None)
    theirs = setting(case, primary.endpoint, USER)
    user = theirs if theirs is not None else "USER"
    open_to_all = default is not None and default.enabled and default.open and not user
    password = "" if open_to_all else "PASSWORD"
    first = redis_cli(node.endpoint, "CONFIG", "SET", "masteruser", user)
    second = redis_cli(node.endpoint, "CONFIG", "SET", "masterauth", password)
    how = "The primary asks for no password"
    if not open_to_all:
        how = f"Let it log in as the user {user or DEFAULT_USER}, with the password that the primary takes"
    return (
        f"{how}: {first} and {second}, then CONFIG REWRITE. Do so on every node whose login is wrong, for roles "
        "change: health names them as failover-unprepared."
    )


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
        _section(case, primary.endpoint, STATS).get("client_output_buffer_limit_disconnections", "") or ""
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


def counted_refusals(case: Case, primary: Node) -> str:
    """What the primary refused since its start, whoever it was: `12 WRONGPASS and 3 NOAUTH`."""
    counts = _section(case, primary.endpoint, ERRORS)
    found = ((name, counts.get(f"errorstat_{name}", "")) for name in ("WRONGPASS", "NOAUTH", "NOPERM"))
    return " and ".join(f"{text.removeprefix('count=')} {name}" for name, text in found if text.startswith("count="))
