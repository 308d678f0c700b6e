"""For how long a graceful failover would hold writes back."""

from __future__ import annotations

from rcfail.change.seen import Seen
from rcfail.cluster.dialect import manual_failover_timeout_ms, writes_pause_at_most_ms
from rcfail.cluster.lag import lag_of
from rcfail.cluster.nouns import NodeId
from rcfail.cluster.snapshot import Node
from rcfail.cluster.succession import NEAR_BYTES
from rcfail.cluster.vitals import Server

Span = tuple[int, int]
"""Least and most."""

CRON_MS = 100
"""The cron of both sides runs so often (clusterCron): the primary tells its offset in it, and the votes are asked in
it at latest."""

_TRIPS = 4
"""The request, the primary's offset, the votes, and the news of the promotion, one after the other."""


def graceful_pause_ms(seen: Seen, target: NodeId) -> Span:
    """From when the primary holds writes back until the replica takes them.

    It ends when the replica has all that the primary wrote and is elected, or with the attempt. Servers that do not
    let go before (Redis before 6.2.8) hold them back to the end.
    """
    replica = seen.snapshot.nodes[target]
    primary = seen.snapshot.node(replica.primary_id)
    server, config = (primary.vitals.server, primary.vitals.config) if primary and primary.vitals else (Server(), None)
    attempt_ms = manual_failover_timeout_ms(server, config)
    longest_ms = writes_pause_at_most_ms(server, config)
    if longest_ms > attempt_ms:
        return longest_ms, longest_ms
    trips_ms, copying_ms = round(_TRIPS * _worst_trip_ms(seen)), drain_ms(seen, replica)
    most = attempt_ms if copying_ms is None else min(attempt_ms, 2 * CRON_MS + trips_ms + copying_ms)
    return min(most, (copying_ms or 0) // 2), most


def _worst_trip_ms(seen: Seen) -> float:
    """Of our PINGs to the primary: how far the nodes are from each other nobody tells."""
    return max((each for each in seen.pings_ms if each is not None), default=0.0)


def drain_ms(seen: Seen, replica: Node) -> int | None:
    """How long the replica takes for what it has not yet, by how fast it went on between the two looks.

    None: it is behind, and it cannot be told how fast it catches up.
    """
    behind = lag_of(seen.snapshot, replica).behind_bytes
    if behind is None:
        return None
    if behind <= NEAR_BYTES:
        return 0
    before = seen.before.node(replica.node_id) if seen.before else None
    if before is None or before.view is None or replica.view is None:
        return None
    then, now = before.view.vitals.replication.own_offset, replica.view.vitals.replication.own_offset
    took_ms = replica.view.asked_at_unix_ms - before.view.asked_at_unix_ms
    if then is None or now is None or now <= then or took_ms <= 0:
        return None
    return round(behind * took_ms / (now - then))
