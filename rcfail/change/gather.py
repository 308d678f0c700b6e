"""What a failover is judged by: two looks, and what the shard is asked besides. Nothing here changes anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from rcfail.change.history import Stood, past_elections
from rcfail.change.seen import ReplicaConnection, Seen
from rcfail.clock import Clock, Deadline
from rcfail.cluster.merge import merge
from rcfail.cluster.nouns import NodeId
from rcfail.cluster.observation import Observation
from rcfail.cluster.snapshot import Snapshot
from rcfail.cluster.zones import NO_LABELS, ZoneLabels
from rcfail.wire.refusals import Refusal, RefusalKind

if TYPE_CHECKING:
    from rcfail.wire.conversation import Conversation
    from rcfail.wire.door import Door
    from rcfail.wire.replies import Reply

BETWEEN_S = 0.05
"""Between the two looks: a request for votes and its answers travel in far less."""

PINGS = 3


class Eye(Protocol):
    """How the cluster is seen: one round, and a later one."""

    def look(self, deadline: Deadline) -> Observation: ...

    def again(self, previous: Observation, deadline: Deadline) -> Observation | None: ...


def gather(
    sight: Eye,
    door: Door,
    primary: NodeId,
    *,
    clock: Clock,
    deadline: Deadline,
    audit_path: Path | None = None,
    labels: ZoneLabels = NO_LABELS,
) -> Seen:
    """Two rounds over the cluster, and between them three PINGs to the primary and the list of its replicas.

    Whatever cannot be had is None, with the reason where there is one. Raises what `sight.look` raises.
    """
    first = sight.look(deadline)
    before = merge(first, labels)
    began_s = clock.monotonic_s()
    pings, connections = asked(door, before, primary, clock, deadline)
    clock.sleep(deadline.at_most(max(0.0, BETWEEN_S - (clock.monotonic_s() - began_s))))
    later = None if deadline.passed() else sight.again(first, deadline)
    stood, unread = _stood(before, primary, audit_path)
    if later is None:
        return Seen(before, None, pings, connections, stood, unread)
    return Seen(merge(later, labels), before, pings, connections, stood, unread)


def asked(
    door: Door, snapshot: Snapshot, primary: NodeId, clock: Clock, deadline: Deadline
) -> tuple[tuple[float | None, ...], tuple[ReplicaConnection, ...] | None]:
    """Of a primary that is silent already nothing is asked: that would only take time."""
    node = snapshot.node(primary)
    if node is None or node.endpoint is None or node.view is None:
        return (), None
    with door.open(node.endpoint, deadline=deadline) as conversation:
        pings = tuple(_ping(conversation, clock) for _ in range(PINGS))
        return pings, _connections(conversation.read([("CLIENT", "LIST", "TYPE", "replica")])[0])


def _ping(conversation: Conversation, clock: Clock) -> float | None:
    began_s = clock.monotonic_s()
    reply = conversation.read([("PING",)])[0]
    took_ms = (clock.monotonic_s() - began_s) * 1000
    # Whoever says that we may not ask is as quick as with PONG; one that is busy or loading does nothing else either.
    quick = not isinstance(reply, Refusal) or reply.kind is RefusalKind.NOT_PERMITTED
    return took_ms if quick else None


def _connections(reply: Reply) -> tuple[ReplicaConnection, ...] | None:
    if not isinstance(reply, str):
        return None
    return tuple(_each_connection(reply))


def _each_connection(text: str) -> Iterator[ReplicaConnection]:
    for row in text.splitlines():
        fields: Mapping[str, str] = dict(word.partition("=")[::2] for word in row.split(" "))
        age = fields.get("age", "")
        if fields.get("addr") and age.isdecimal() and len(age) < 12:
            yield ReplicaConnection(fields["addr"], int(age))


def _stood(snapshot: Snapshot, primary: NodeId, path: Path | None) -> tuple[tuple[Stood, ...], str]:
    shard = snapshot.shard_of(primary)
    if path is None or shard is None:
        return (), "" if shard is None else "there is no audit"
    try:
        return past_elections(path, (shard.primary_id, *shard.replica_ids)), ""
    except OSError as error:
        return (), error.strerror or str(error)
