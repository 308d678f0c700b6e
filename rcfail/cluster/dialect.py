"""What differs between server versions. Nobody else compares a version."""

from __future__ import annotations

from functools import lru_cache

from rcfail.cluster.parse_info import server_in
from rcfail.cluster.vitals import Configured, Flavour, Server

_LINKS_SINCE = (7, 0)  # Redis; every Valkey has it
_SLOT_MIGRATIONS_SINCE = (9, 0)  # Valkey only; Redis 8.4 has another command for its own way


def server_of(info: str) -> Server:
    """Who the process is, from the first section of its INFO. Total: what is not said is empty."""
    section, _, _ = info.partition("\r\n\r\n")
    return server_in(section)


def kind_of(info: str) -> Server:
    """Flavour and version alone, of what stands before the lines that differ from process to process. Total."""
    head, own, _ = info.partition("\r\nprocess_id:")
    return _kind(head) if own and len(head) < _LONGEST_HEAD else server_of(info)


_LONGEST_HEAD = 4096
_kind = lru_cache(maxsize=64)(server_in)


def name_of(server: Server) -> str:
    """Flavour and version for a human, such as `redis 6.2.14`."""
    return f"{server.flavour} {server.version_text}"


def has_links(server: Server) -> bool:
    """CLUSTER LINKS. A server that hides its version is taken to have it: trying costs one error reply."""
    if server.flavour is Flavour.REDIS:
        return server.version >= _LINKS_SINCE
    return server.flavour is Flavour.VALKEY or not server.version


def has_slot_migrations(server: Server) -> bool:
    """CLUSTER GETSLOTMIGRATIONS, the atomic migrations that leave no marks in CLUSTER NODES."""
    return server.flavour is Flavour.VALKEY and server.version >= _SLOT_MIGRATIONS_SINCE


def adds_slot_ranges(server: Server) -> bool:
    """CLUSTER ADDSLOTSRANGE (cluster.c of Redis 7.0, and every Valkey). Without it each slot has to be named."""
    return server.flavour is Flavour.VALKEY or server.version >= (7, 0)


def tells_replicas_of_marks(server: Server) -> bool:
    """Whether a primary passes SETSLOT on to its replicas, which then show its marks too: Valkey from 8.0 on
    (clusterCommandSetSlot, cluster_legacy.c).
    """
    return server.flavour is Flavour.VALKEY and server.version >= (8, 0)


def configures_several_at_once(server: Server) -> bool:
    """CONFIG SET takes several settings in one command, and CONFIG GET several patterns (config.c of Redis 7.0)."""
    return server.flavour is Flavour.VALKEY or server.version >= (7, 0)


def election_delay_ms(server: Server, node_timeout_ms: int, rank: int, failed_primaries: int = 1) -> int:
    """The longest wait between hearing that the primary failed and asking for votes.

    500 ms and up to 500 ms more, and a second for each sibling with more data (`rank`); from Valkey 8.1 also half a
    second for each other failed primary; from Valkey 9.0 the first two follow a small node timeout
    (clusterHandleSlaveFailover, cluster_legacy.c).
    """
    valkey = server.flavour is Flavour.VALKEY
    base = min(node_timeout_ms // 30, 500) if valkey and server.version >= (9, 0) else 500
    others = 500 * max(0, failed_primaries - 1) if valkey and server.version >= (8, 1) else 0
    return 2 * base + 1000 * rank + others


def least_election_delay_ms(server: Server, node_timeout_ms: int, rank: int) -> int:
    """The shortest wait between hearing that the primary failed and asking for votes; see `election_delay_ms`.

    From Valkey 9.1 the replica with the best rank does not wait at all.
    """
    if server.flavour is Flavour.VALKEY and server.version >= (9, 1) and rank == 0:
        return 0
    if server.flavour is Flavour.VALKEY and server.version >= (9, 0):
        return min(node_timeout_ms // 30, 500) * (1 + 2 * rank)
    return 500 + 1000 * rank


def elections_collide(server: Server) -> bool:
    """Whether replicas of two primaries that failed together may ask in one epoch, so that one of them has to wait
    for its next turn: before Valkey 8.1 nothing keeps them apart but chance (clusterGetFailedPrimaryRank).
    """
    return not (server.flavour is Flavour.VALKEY and server.version >= (8, 1))


def vote_again_after_ms(node_timeout_ms: int) -> int:
    """How long after an election that it did not win a replica stands again by itself, on every version."""
    return max(4 * node_timeout_ms, 4000)


def stands_again_after_ms(server: Server, node_timeout_ms: int) -> int:
    """For how long after an election, won or lost, a node asks for no votes, also when told to; 0: it always can.

    Redis and Valkey before 8.0.5 keep the time of the last election (failover_auth_time) until auth_retry_time has
    passed; since then a manual failover begins anew (clusterHandleSlaveFailover, cluster_legacy.c).
    """
    begins_anew = server.flavour is Flavour.VALKEY and server.version >= (8, 0, 5)
    return 0 if begins_anew else vote_again_after_ms(node_timeout_ms)


def votes_again_after_ms(server: Server, node_timeout_ms: int) -> int:
    """For how long a voter that voted for a replica of one primary votes for no other of that primary; 0: it does.

    Since Valkey 8.1 that holds no more (voted_time in clusterSendFailoverAuthIfNeeded, cluster_legacy.c).
    """
    free = server.flavour is Flavour.VALKEY and server.version >= (8, 1)
    return 0 if free else 2 * node_timeout_ms


def promotes_without_slots(server: Server) -> bool:
    """Whether a replica of a primary without slots can be promoted: Redis and Valkey before 8.0 do nothing
    (clusterHandleSlaveFailover asks for numslots, cluster_legacy.c).
    """
    return server.flavour is Flavour.VALKEY and server.version >= (8, 0)


MANUAL_FAILOVER_MS = 5000
"""CLUSTER_MF_TIMEOUT of cluster.h, and the default of Valkey's setting."""


def manual_failover_timeout_ms(server: Server, config: Configured | None) -> int:
    """How long a node goes on with a failover that was asked for, in ms.

    Fixed on Redis and on Valkey before 8.1; since then cluster-manual-failover-timeout, of each node for itself.
    """
    said = config.manual_failover_timeout_ms if config else None
    settable = server.flavour is Flavour.VALKEY and server.version >= (8, 1)
    return said if settable and said else MANUAL_FAILOVER_MS


def writes_pause_at_most_ms(server: Server, config: Configured | None) -> int:
    """How long a primary may hold writes back for a graceful failover, in ms, counted from when it was asked.

    Redis before 6.2.8 does not lift the pause when the attempt ends, so it lasts twice as long (clusterProcessPacket
    pauses for twice the timeout, and resetManualFailover of those versions leaves it so).
    """
    timeout_ms = manual_failover_timeout_ms(server, config)
    return 2 * timeout_ms if server.flavour is Flavour.REDIS and server.version < (6, 2, 8) else timeout_ms


def ban_is_configured(server: Server) -> bool:
    """Whether the ban of a forgotten id has a setting, cluster-blacklist-ttl: from Valkey 8.0 on (config.c)."""
    return server.flavour is Flavour.VALKEY and server.version >= (8, 0)


def passes_deletions_on(server: Server) -> bool:
    """Whether a node that forgets another one tells the rest to forget it too: Redis and Valkey from 7.2 on
    (CLUSTERMSG_EXT_TYPE_FORGOTTEN_NODE, cluster_legacy.c).
    """
    return server.flavour is Flavour.VALKEY or server.version >= (7, 2)


def comes_back_running(server: Server) -> bool:
    """Whether a forgotten node whose process still runs introduces itself again when its ban is over.

    From Valkey 8.1 on: a node that finds that a peer does not know it sends that peer a MEET (cluster_legacy.c).
    """
    return server.flavour is Flavour.VALKEY and server.version >= (8, 1)


def shards_keep_the_dead(server: Server) -> bool:
    """Whether CLUSTER SHARDS lists a dead former primary with the shard that it was of: the nodes keep ids of shards
    from Redis and Valkey 7.2 on (clusterGenShardsReply of cluster_legacy.c goes by the primary before that).
    """
    return server.flavour is Flavour.VALKEY or server.version >= (7, 2)


def relinks(server: Server) -> bool:
    """Whether CLUSTER REPLICATE with the primary that a replica follows already begins its link anew.

    It does on Redis, and the data is kept where the backlog allows it; since Valkey 8.0 it is an OK that does nothing
    (clusterCommandSpecial, cluster_legacy.c).
    """
    return not (server.flavour is Flavour.VALKEY and server.version >= (8, 0))


def has_shard_ids(server: Server) -> bool:
    """CLUSTER MYSHARDID: Redis from 7.2, and every Valkey."""
    return server.flavour is Flavour.VALKEY or server.version >= (7, 2)


def copies_to(primary: Server, replica: Server) -> bool:
    """Whether the replica can read a full copy of the primary: the format of an RDB grows with the versions, and Redis
    from 7.4 and Valkey write different ones (rdb.h). Where a version is not told, nothing is promised.
    """
    if not primary.version or not replica.version:
        return False
    if primary.flavour is replica.flavour:
        return replica.version[:2] >= primary.version[:2]
    return primary.flavour is Flavour.REDIS and primary.version < (7, 3)
