"""The typed values of INFO, CLUSTER INFO and CONFIG GET of one node. None always means: not said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Flavour(StrEnum):
    REDIS = "redis"
    VALKEY = "valkey"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Server:
    """Who the process is. `version` is Valkey's own on Valkey (`redis_version` is 7.2.4 there for ever)."""

    flavour: Flavour = Flavour.UNKNOWN
    version: tuple[int, ...] = ()
    version_text: str = ""
    run_id: str = ""
    uptime_s: int | None = None
    server_time_unix_ms: int | None = None
    availability_zone: str = ""
    cluster_enabled: bool | None = None
    connected_clients: int | None = None
    maxclients: int | None = None
    paused_reason: str = ""
    paused_actions: str = ""
    paused_for_ms: int | None = None


@dataclass(frozen=True, slots=True)
class AttachedReplica:
    """One `slaveN:` line of a primary's INFO. `state` is `online` when usable; `lag_s` is -1 or None if unknown."""

    ip: str
    port: int
    state: str
    offset: int | None
    lag_s: int | None


@dataclass(frozen=True, slots=True)
class Replication:
    """INFO replication. Offsets are bytes of the replication stream named by `replid`.

    `own_offset` is slave_repl_offset: 0 or 1 when the node never had a primary link. `link_down_since_s`
    is -1 when the link was never up since the process started; `last_io_s` is -1 while it is down. The `sync_*`
    figures are there while a copy is transferred; `sync_total_bytes` is 0 where the primary does not tell it before
    (a diskless copy), and `sync_last_io_s` is how long ago the last of it came.
    """

    role: str = ""
    primary_host: str = ""
    primary_port: int | None = None
    link_up: bool | None = None
    last_io_s: int | None = None
    sync_in_progress: bool | None = None
    sync_read_bytes: int | None = None
    sync_total_bytes: int | None = None
    sync_last_io_s: int | None = None
    link_down_since_s: int | None = None
    own_offset: int | None = None
    read_offset: int | None = None
    primary_offset: int | None = None
    replid: str = ""
    replid2: str = ""
    second_offset: int | None = None
    backlog_active: bool | None = None
    backlog_size: int | None = None
    backlog_histlen: int | None = None
    connected_replicas: int | None = None
    attached: tuple[AttachedReplica, ...] = ()
    min_replicas_good: int | None = None
    sync_full: int | None = None
    sync_partial_ok: int | None = None


@dataclass(frozen=True, slots=True)
class Storage:
    """INFO memory, persistence and keyspace, as far as they decide whether writes are taken.

    `uncounted_memory` is the part of `used_memory` that does not count against `maxmemory`: the buffers of
    replicas and of the append-only file. `volatile_keys` are those that have a time to live.
    """

    loading: bool | None = None
    async_loading: bool | None = None
    loading_eta_s: int | None = None
    bgsave_in_progress: bool | None = None
    last_bgsave_ok: bool | None = None
    aof_enabled: bool | None = None
    aof_last_write_ok: bool | None = None
    aof_rewrite_in_progress: bool | None = None
    used_memory: int | None = None
    maxmemory: int | None = None
    maxmemory_policy: str = ""
    keys: int | None = None
    uncounted_memory: int | None = None
    volatile_keys: int | None = None


@dataclass(frozen=True, slots=True)
class ClusterState:
    """CLUSTER INFO, all of it this node's own view. `messages` keeps the cluster_stats_messages_* counters
    under their middle name, such as `auth-req_sent`; a counter is absent until it is first not zero.
    """

    state: str = ""
    slots_assigned: int | None = None
    slots_ok: int | None = None
    slots_suspected: int | None = None
    slots_failed: int | None = None
    known_nodes: int | None = None
    size: int | None = None
    current_epoch: int | None = None
    my_epoch: int | None = None
    messages: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Configured:
    """CONFIG GET of what decides failover and writability; the units are in the names."""

    node_timeout_ms: int | None = None
    validity_factor: int | None = None
    no_failover: bool | None = None
    require_full_coverage: bool | None = None
    allow_replica_migration: bool | None = None
    allow_reads_when_down: bool | None = None
    migration_barrier: int | None = None
    ping_replica_period_s: int | None = None
    repl_timeout_s: int | None = None
    min_replicas_to_write: int | None = None
    min_replicas_max_lag_s: int | None = None
    stop_writes_on_bgsave_error: bool | None = None
    manual_failover_timeout_ms: int | None = None
    save: str | None = None


@dataclass(frozen=True, slots=True)
class Vitals:
    """Everything typed that one node said of itself, and the fields that did not parse (name, text)."""

    server: Server = Server()
    replication: Replication = Replication()
    storage: Storage = Storage()
    cluster: ClusterState = ClusterState()
    config: Configured = Configured()
    unread: tuple[tuple[str, str], ...] = ()
