"""Primaries that serve their slots and take no writes, while every node says cluster_state:ok."""

from __future__ import annotations

from collections.abc import Iterator

from rcfail.cluster.snapshot import Node, Snapshot
from rcfail.cluster.vitals import Configured, Replication, Storage, Vitals
from rcfail.health.finding import Finding, Severity, Thresholds, of_node
from rcfail.health.wording import called, counted, duration, listing, redis_cli


def writes_refused(snapshot: Snapshot, _: Thresholds) -> Iterator[Finding]:
    """Slot owners whose INFO and CONFIG say that the next write is refused.

    Needs INFO; a failed background save also needs CONFIG GET, and is unknown without it.
    """
    for node, vitals in _slot_owners(snapshot):
        sure, perhaps = _refusals(vitals)
        if not sure and not perhaps:
            continue
        reasons = sure or perhaps
        yield Finding(
            "writes-refused",
            Severity.CRITICAL if sure else Severity.UNKNOWN,
            of_node(node),
            f"{called(node)}, the owner of {node.slot_count} slots, {'refuses' if sure else 'may refuse'} writes: "
            + listing((reason for reason, _ in reasons), 9),
            "Every write to these slots fails with an error, while reads go on and cluster_state is ok."
            if sure
            else "If it does, every write to these slots fails, while reads go on and cluster_state is ok.",
            f"{reasons[0][1]}: {redis_cli(node.endpoint, 'INFO', _SECTION[reasons[0][0].split(' ')[0]])}",
        )


_SECTION = {"OOM": "memory", "MISCONF": "persistence", "NOREPLICAS": "replication"}
_Reason = tuple[str, str]
"""What a client gets and why, and what to do about it."""


def _refusals(vitals: Vitals) -> tuple[list[_Reason], list[_Reason]]:
    """The reasons that are sure, and those that a missing CONFIG GET leaves open."""
    sure = [*_out_of_memory(vitals.storage), *_append_only_broken(vitals.storage)]
    sure.extend(_too_few_replicas(vitals.replication, vitals.config))
    perhaps: list[_Reason] = []
    (perhaps if _saves_in_doubt(vitals.config) else sure).extend(_saving_broken(vitals.storage, vitals.config))
    return sure, perhaps


def _out_of_memory(storage: Storage) -> Iterator[_Reason]:
    """Over the limit, and nothing that the policy allows to evict (getMaxmemoryState and performEvictions, evict.c)."""
    if not storage.maxmemory or storage.used_memory is None:
        return
    # Buffers of replicas and of the append-only file do not count, or evicting would fill them further.
    counted = storage.used_memory - (storage.uncounted_memory or 0)
    if counted <= storage.maxmemory:
        return
    policy = storage.maxmemory_policy
    nothing_volatile = policy.startswith("volatile-") and storage.volatile_keys == 0
    if policy == "noeviction" or nothing_volatile or storage.keys == 0:
        left = "" if policy == "noeviction" else " and no key that it may evict"
        yield (
            f"OOM (uses {counted} bytes of maxmemory {storage.maxmemory}, policy {policy}{left})",
            "Free memory, or raise maxmemory on its replicas and then on it",
        )


def _saving_broken(storage: Storage, config: Configured) -> Iterator[_Reason]:
    """The last background save failed and writes stop then (writeCommandsDeniedByDiskError, server.c)."""
    if storage.last_bgsave_ok is False and config.stop_writes_on_bgsave_error is not False and config.save != "":
        doubt = ", CONFIG GET is missing" if _saves_in_doubt(config) else ""
        yield (
            f"MISCONF (rdb_last_bgsave_status:err with stop-writes-on-bgsave-error{doubt})",
            "Make its disk writable, then run BGSAVE on it, and look whether it says ok",
        )


def _saves_in_doubt(config: Configured) -> bool:
    return config.stop_writes_on_bgsave_error is None or config.save is None


def _append_only_broken(storage: Storage) -> Iterator[_Reason]:
    """The server goes on trying, and takes writes again by itself once one has worked (flushAppendOnlyFile, aof.c)."""
    if storage.aof_enabled and storage.aof_last_write_ok is False:
        yield ("MISCONF (aof_last_write_status:err)", "Make room on its disk, and look whether it says ok again")


def _too_few_replicas(replication: Replication, config: Configured) -> Iterator[_Reason]:
    """INFO counts good replicas only while both min-replicas settings are in force (refreshGoodSlavesCount)."""
    good = replication.min_replicas_good
    if good is None:
        return
    needed = config.min_replicas_to_write if config.min_replicas_to_write is not None else 1
    if good < needed:
        at_least = "" if config.min_replicas_to_write is not None else "at least "
        yield (
            f"NOREPLICAS ({counted(good, 'good replica')}, min-replicas-to-write is {at_least}{needed})",
            "Bring its replicas back, and look at their lag",
        )


def writes_paused(snapshot: Snapshot, _: Thresholds) -> Iterator[Finding]:
    """Slot owners that hold clients back. Only Valkey >= 8.1 says so; elsewhere a pause cannot be seen from outside.

    CLIENT PAUSE in mode ALL holds our own INFO back too, so such a node is silent instead.
    """
    for node, vitals in _slot_owners(snapshot):
        server = vitals.server
        if server.paused_reason in ("", "none") or server.paused_actions in ("", "none"):
            continue
        left = "" if server.paused_for_ms is None else f", for {duration(server.paused_for_ms)} more"
        yield Finding(
            "writes-paused",
            Severity.WARNING,
            of_node(node),
            f"{called(node)}, the owner of {node.slot_count} slots, holds back {server.paused_actions} commands "
            f"(paused_reason:{server.paused_reason}{left})",
            "Writes to these slots hang without an error until the pause ends, and clients may time out.",
            _unpause(node, server.paused_reason),
        )


def _unpause(node: Node, reason: str) -> str:
    if reason == "client_pause":
        return f"If nobody needs the pause any more, end it: {redis_cli(node.endpoint, 'CLIENT', 'UNPAUSE')}"
    return f"It ends by itself; look again: {redis_cli(node.endpoint, 'INFO', 'clients')}"


def _slot_owners(snapshot: Snapshot) -> Iterator[tuple[Node, Vitals]]:
    """The slot owners that answered, with what they said. Replicas take no writes of clients."""
    for voter in snapshot.electorate.voters:
        node = snapshot.nodes[voter]
        if node.vitals is not None:
            yield node, node.vitals


RULES = (writes_refused, writes_paused)
