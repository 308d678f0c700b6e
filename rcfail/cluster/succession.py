"""Who takes over when a primary is lost, and how long its slots are out meanwhile."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from rcfail.cluster.candidacy import Candidate, Obstacle, bars_failover, candidates
from rcfail.cluster.dialect import election_delay_ms, least_election_delay_ms
from rcfail.cluster.electorate import NODE_TIMEOUT_MS
from rcfail.cluster.nouns import NodeId
from rcfail.cluster.snapshot import Known, Node, Shard, Snapshot
from rcfail.cluster.vitals import Server

NEAR_BYTES = 65_536
"""Replicas with a link have all that the primary sent when it dies. We ask them one after the other, so up to this
much of a difference is only what was written meanwhile."""

SLACK_MS = 500
"""The cron that looks at all this runs every 100 ms (clusterCron), and votes have to travel."""

Span = tuple[int, int]
"""Least and most."""


@dataclass(frozen=True, slots=True)
class Succession:
    """What the election in one shard would come to.

    `contenders` may be promoted, the likeliest first; one alone is sure to be. `refused` are the others that live,
    each with what stands in its way. `certain` is UNKNOWN where all that could stand cannot be judged.
    `delay_ms` is the wait between the verdict and the request for votes.
    """

    certain: Known
    contenders: tuple[NodeId, ...]
    refused: tuple[tuple[NodeId, tuple[str, ...]], ...]
    delay_ms: Span = (0, 0)
    empty: bool = False


def succession(
    snapshot: Snapshot, shard: Shard, lost: Collection[NodeId], failed_primaries: int, timeouts_ms: Span
) -> Succession:
    """The election in a shard whose primary is lost, or dead already. `failed_primaries` are all that fail with it.

    `timeouts_ms` are the smallest and the greatest node timeout. A majority of the voters is taken to be left.
    """
    standing = [each for each in candidates(snapshot, shard, lost) if not each.has(Obstacle.DEAD)]
    able = [each for each in standing if each.eligible is Known.YES]
    perhaps = [each for each in standing if each.eligible is Known.UNKNOWN]
    rivals = _rivals(snapshot, able)
    chosen = {each.node_id for each in (*rivals, *perhaps)}
    refused = tuple((each.node_id, tuple(text for _, text in each.obstacles)) for each in standing if each not in able)
    if not chosen:
        return Succession(Known.NO, (), refused)
    return Succession(
        Known.YES if able else Known.UNKNOWN,
        tuple(each.node_id for each in (*rivals, *perhaps)),
        refused,
        _delay_ms(snapshot, shard, rivals or perhaps, failed_primaries, timeouts_ms),
        any(each.empty for each in rivals),
    )


def _rivals(snapshot: Snapshot, able: Sequence[Candidate]) -> list[Candidate]:
    """The one with most data, and those that have as much when the primary dies. `able` is in the order of rank.

    Equal offsets leave it open on Valkey too, where the smaller id then ranks first: a replica ranks itself by its own
    offset and by those that its siblings said in their last heartbeats (clusterGetReplicaRank), so with one ping of
    the primary on its way each of them believes that it is ahead.
    """
    if not able:
        return []
    best = able[0]
    return [each for each in able if each is best or _as_good(snapshot, best, each)]


def _as_good(snapshot: Snapshot, best: Candidate, other: Candidate) -> bool:
    if best.offset is None or other.offset is None or best.offset == other.offset:
        return True
    linked = all(_linked(snapshot.nodes[each.node_id]) for each in (best, other))
    return linked and best.offset - other.offset <= NEAR_BYTES


def _linked(node: Node) -> bool:
    return node.vitals is not None and node.vitals.replication.link_up is True


def _server(snapshot: Snapshot, node_id: NodeId) -> Server:
    vitals = snapshot.nodes[node_id].vitals
    return vitals.server if vitals else Server()


def _delay_ms(
    snapshot: Snapshot, shard: Shard, rivals: Sequence[Candidate], failed_primaries: int, timeouts_ms: Span
) -> Span:
    """The first to ask wins. Each sibling that is still listed may count as ahead of it, also one that is lost too."""
    servers = [_server(snapshot, each.node_id) for each in rivals]
    ranked = sum(1 for node in snapshot.replicas_of(shard) if not bars_failover(node)) - 1
    least = min(least_election_delay_ms(server, timeouts_ms[0], 0) for server in servers)
    most = max(election_delay_ms(server, timeouts_ms[1], max(0, ranked), failed_primaries) for server in servers)
    return least, most


def node_timeouts_ms(snapshot: Snapshot) -> Span:
    """The smallest and the greatest cluster-node-timeout that any node has; the default where none says it."""
    said = [view.vitals.config.node_timeout_ms for view in snapshot.views]
    known = [each for each in said if each] or [NODE_TIMEOUT_MS]
    return min(known), max(known)


def outage_ms(timeouts_ms: Span, delay_ms: Span, *, already: bool) -> Span:
    """From the loss of a primary until its successor serves.

    A node is suspected when it owes an answer for one node timeout, and it is asked at latest when the last answer
    is half of one old; the voters tell each other within another half (clusterCron). `already`: it is dead now,
    and part of that has passed.
    """
    least, most = timeouts_ms
    return (0 if already else least + delay_ms[0]), 2 * most + delay_ms[1] + SLACK_MS
