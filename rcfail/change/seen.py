"""What a change is judged by: two looks at the cluster, and what was asked of the shard besides."""

from __future__ import annotations

from dataclasses import dataclass

from rcfail.change.history import Stood
from rcfail.cluster.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class ReplicaConnection:
    """One line of the primary's CLIENT LIST TYPE replica: from where the replica connects, and since how long."""

    address: str
    age_s: int


@dataclass(frozen=True, slots=True)
class Seen:
    """`snapshot` is the last look and `before` the one just before it, None where there was no time for two.

    `pings_ms` are answers of the primary to PING, None for each that did not come; () where it was not asked.
    `connections` are its replicas' connections, None where it does not tell. `stood` is when nodes of the shard were
    made to stand for election by a send of ours, out of the audit; `stood_unread` is why that cannot be told, or "".
    `stirred` is what moved between the two looks, for who judges many shards by the same two; None: not compared yet.
    """

    snapshot: Snapshot
    before: Snapshot | None = None
    pings_ms: tuple[float | None, ...] = ()
    connections: tuple[ReplicaConnection, ...] | None = None
    stood: tuple[Stood, ...] = ()
    stood_unread: str = ""
    stirred: tuple[str, ...] | None = None
