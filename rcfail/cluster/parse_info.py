"""INFO, CLUSTER INFO and CONFIG GET of one node into its Vitals."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import count

from rcfail.cluster.vitals import (
    AttachedReplica,
    ClusterState,
    Configured,
    Flavour,
    Replication,
    Server,
    Storage,
    Vitals,
)

_VERSION = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9}){0,3}", re.ASCII)
_MESSAGES = "cluster_stats_messages_"
# Servers that speak this dialect under the version number of the Redis that they imitate.
_LOOKALIKES = ("garnet_version", "kvrocks_version", "dragonfly_version")


def parse_info(text: str) -> dict[str, str]:
    """The `name:value` lines of INFO or CLUSTER INFO. Section titles and whatever else has no colon are left out."""
    return _split(text)[0]


def vitals(info: str | None, cluster_info: str | None, config: Mapping[str, str] | None) -> Vitals:
    """Everything typed that the three replies say; None for a reply that is not there. Total.

    A field that is absent is None or "" in the result. A field that is there and does not parse is None too,
    and stands in `unread`; so does a line that is no field, under the name "".
    """
    unread: list[tuple[str, str]] = []
    said = _Fields.of(info or "", unread)
    return Vitals(
        server=_server(said),
        replication=_replication(said),
        storage=_storage(said, info or ""),
        cluster=_cluster(_Fields.of(cluster_info or "", unread)),
        config=_configured(_Fields(config or {}, unread)),
        unread=tuple(unread),
    )


def server_in(info: str) -> Server:
    """Only who the process is, of an INFO or of its first section. Total."""
    return _server(_Fields.of(info, []))


class _Fields:
    """Named texts, read as what the caller says that they are. What cannot be read so goes to `unread`."""

    __slots__ = ("all", "unread")

    def __init__(self, fields: Mapping[str, str], unread: list[tuple[str, str]]) -> None:
        self.all = fields
        self.unread = unread

    @classmethod
    def of(cls, text: str, unread: list[tuple[str, str]]) -> _Fields:
        fields, stray = _split(text)
        unread.extend([("", line) for line in stray])
        return cls(fields, unread)

    def text(self, name: str) -> str:
        return self.all.get(name, "")

    def number(self, name: str, old_name: str = "") -> int | None:
        """The whole number under the name, or under the old name where the new one is not there."""
        text = self.all.get(name)
        if text is None:
            return self.number(old_name) if old_name else None
        number = whole_number(text)
        if number is None:
            self.unread.append((name, text))
        return number

    def truth(self, name: str, yes: str = "1", no: str = "0") -> bool | None:
        text = self.all.get(name)
        if text is None:
            return None
        if text in (yes, no):
            return text == yes
        self.unread.append((name, text))
        return None


def _split(text: str) -> tuple[dict[str, str], list[str]]:
    """Fields, and the lines that are neither field, nor section title, nor blank. A thousand INFOs come by here."""
    lines = text.split("\r\n")
    fields: dict[str, str] = {}
    titles: list[str] = []
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            fields[name] = value
        elif name:
            titles.append(name)
    # As servers print it: nothing but fields, titles and empty lines, each ended in one way, and no title with a colon.
    whole = text.count("\n") == len(lines) - 1 and text.count("\n#") + text.startswith("#") == len(titles)
    if whole and "" not in fields and all(line[0] == "#" for line in titles):
        return fields, []
    return _split_with_care(text.replace("\r\n", "\n").split("\n"))


def _split_with_care(lines: list[str]) -> tuple[dict[str, str], list[str]]:
    fields: dict[str, str] = {}
    stray: list[str] = []
    for line in lines:
        name, colon, value = line.partition(":")
        if name[:1] == "#":
            continue
        if colon and name:
            fields[name] = value
        elif line and not line.isspace():
            stray.append(line)
    return fields, stray


def whole_number(text: str) -> int | None:
    """A decimal number of at most 20 digits (64 bits), or None."""
    if text.isdigit() and len(text) <= 20 and text.isascii():  # nearly always
        return int(text)
    digits = text[1:] if text[:1] == "-" else text
    return int(text) if len(digits) <= 20 and digits.isascii() and digits.isdigit() else None


def _server(said: _Fields) -> Server:
    flavour, name = _flavour(said)
    version_text = said.text(name)
    version = _VERSION.search(version_text)
    if version_text and not version:
        said.unread.append((name, version_text))
    time_us = said.number("server_time_usec")
    return Server(
        flavour=flavour,
        version=tuple(int(part) for part in version[0].split(".")) if version else (),
        version_text=version_text,
        run_id=said.text("run_id"),
        uptime_s=said.number("uptime_in_seconds"),
        server_time_unix_ms=None if time_us is None else time_us // 1000,
        availability_zone=said.text("availability_zone"),
        cluster_enabled=said.truth("cluster_enabled"),
        connected_clients=said.number("connected_clients"),
        maxclients=said.number("maxclients"),
        paused_reason=said.text("paused_reason"),
        paused_actions=said.text("paused_actions"),
        paused_for_ms=said.number("paused_timeout_milliseconds"),
    )


def _flavour(said: _Fields) -> tuple[Flavour, str]:
    """The flavour, and the field of its version. Valkey goes on saying redis_version:7.2.4 (server.c)."""
    if "valkey_version" in said.all:
        return Flavour.VALKEY, "valkey_version"
    for name in _LOOKALIKES:
        if name in said.all:
            return Flavour.UNKNOWN, name
    return Flavour.REDIS if "redis_version" in said.all else Flavour.UNKNOWN, "redis_version"


def _replication(said: _Fields) -> Replication:
    return Replication(
        role=said.text("role"),
        primary_host=said.text("master_host"),
        primary_port=said.number("master_port"),
        link_up=said.truth("master_link_status", "up", "down"),
        last_io_s=said.number("master_last_io_seconds_ago"),
        sync_in_progress=said.truth("master_sync_in_progress"),
        sync_read_bytes=said.number("master_sync_read_bytes"),
        sync_total_bytes=said.number("master_sync_total_bytes"),
        sync_last_io_s=said.number("master_sync_last_io_seconds_ago"),
        link_down_since_s=said.number("master_link_down_since_seconds"),
        own_offset=said.number("slave_repl_offset"),
        read_offset=said.number("slave_read_repl_offset"),
        primary_offset=said.number("master_repl_offset"),
        replid=said.text("master_replid"),
        replid2=said.text("master_replid2"),
        second_offset=said.number("second_repl_offset"),
        backlog_active=said.truth("repl_backlog_active"),
        backlog_size=said.number("repl_backlog_size"),
        backlog_histlen=said.number("repl_backlog_histlen"),
        connected_replicas=said.number("connected_slaves"),
        attached=_attached(said),
        min_replicas_good=said.number("min_slaves_good_slaves"),
        sync_full=said.number("sync_full"),
        sync_partial_ok=said.number("sync_partial_ok"),
    )


def _attached(said: _Fields) -> tuple[AttachedReplica, ...]:
    """The `slaveN:ip=,port=,state=,offset=,lag=` lines; newer servers add names after these."""
    attached: list[AttachedReplica] = []
    # The numbers have no gap: only a replica that is printed takes one (genRedisInfoString, server.c).
    for number in count():
        name = f"slave{number}"
        text = said.all.get(name)
        if text is None:
            break
        parts = dict(_pair(part) for part in text.split(","))
        port = whole_number(parts.get("port", ""))
        offset, lag = whole_number(parts.get("offset", "")), whole_number(parts.get("lag", ""))
        if "ip" not in parts or port is None:
            said.unread.append((name, text))
            continue
        if offset is None or ("lag" in parts and lag is None):
            said.unread.append((name, text))
        attached.append(AttachedReplica(parts["ip"], port, parts.get("state", ""), offset, lag))
    return tuple(attached)


def _pair(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name, value


def _storage(said: _Fields, info: str) -> Storage:
    keys, volatile_keys = _keyspace(said, info)
    return Storage(
        loading=said.truth("loading"),
        async_loading=said.truth("async_loading"),
        loading_eta_s=said.number("loading_eta_seconds"),
        bgsave_in_progress=said.truth("rdb_bgsave_in_progress"),
        last_bgsave_ok=said.truth("rdb_last_bgsave_status", "ok", "err"),
        aof_enabled=said.truth("aof_enabled"),
        aof_last_write_ok=said.truth("aof_last_write_status", "ok", "err"),
        aof_rewrite_in_progress=said.truth("aof_rewrite_in_progress"),
        used_memory=said.number("used_memory"),
        maxmemory=said.number("maxmemory"),
        maxmemory_policy=said.text("maxmemory_policy"),
        keys=keys,
        uncounted_memory=said.number("mem_not_counted_for_evict"),
        volatile_keys=volatile_keys,
    )


def _keyspace(said: _Fields, info: str) -> tuple[int | None, int | None]:
    """Keys in all databases, and those of them with a time to live.

    An empty database has no line, so it is the section's title that says 0.
    """
    _, title, section = info.partition("# Keyspace")
    if not title:
        return None, None
    keys = volatile = 0
    for name, text in parse_info(section).items():
        if not (name.startswith("db") and name[2:].isdigit()):
            continue
        parts = dict(_pair(part) for part in text.split(","))
        here, here_volatile = whole_number(parts.get("keys", "")), whole_number(parts.get("expires", ""))
        if here is None or here_volatile is None:
            said.unread.append((name, text))
            return None, None
        keys += here
        volatile += here_volatile
    return keys, volatile


def _cluster(said: _Fields) -> ClusterState:
    names = [name for name in said.all if name.startswith(_MESSAGES)]
    counts = {name.removeprefix(_MESSAGES): said.number(name) for name in names}
    return ClusterState(
        state=said.text("cluster_state"),
        slots_assigned=said.number("cluster_slots_assigned"),
        slots_ok=said.number("cluster_slots_ok"),
        slots_suspected=said.number("cluster_slots_pfail"),
        slots_failed=said.number("cluster_slots_fail"),
        known_nodes=said.number("cluster_known_nodes"),
        size=said.number("cluster_size"),
        current_epoch=said.number("cluster_current_epoch"),
        my_epoch=said.number("cluster_my_epoch"),
        messages={name: count for name, count in counts.items() if count is not None},
    )


def _configured(said: _Fields) -> Configured:
    """Names since Redis 5; `slave` spellings are what older servers and some forks answer with."""
    return Configured(
        node_timeout_ms=said.number("cluster-node-timeout"),
        validity_factor=said.number("cluster-replica-validity-factor", "cluster-slave-validity-factor"),
        no_failover=said.truth("cluster-replica-no-failover", "yes", "no"),
        require_full_coverage=said.truth("cluster-require-full-coverage", "yes", "no"),
        allow_replica_migration=said.truth("cluster-allow-replica-migration", "yes", "no"),
        allow_reads_when_down=said.truth("cluster-allow-reads-when-down", "yes", "no"),
        migration_barrier=said.number("cluster-migration-barrier"),
        ping_replica_period_s=said.number("repl-ping-replica-period", "repl-ping-slave-period"),
        repl_timeout_s=said.number("repl-timeout"),
        min_replicas_to_write=said.number("min-replicas-to-write", "min-slaves-to-write"),
        min_replicas_max_lag_s=said.number("min-replicas-max-lag", "min-slaves-max-lag"),
        stop_writes_on_bgsave_error=said.truth("stop-writes-on-bgsave-error", "yes", "no"),
        manual_failover_timeout_ms=said.number("cluster-manual-failover-timeout"),
        save=said.all.get("save"),
    )
