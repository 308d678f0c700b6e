"""Figures of each shard, and of the nodes by how they stand: what a monitor draws and compares over time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from rcfail.cluster.lag import lag_of
from rcfail.cluster.nouns import NodeId
from rcfail.cluster.snapshot import Known, Shard, Snapshot
from rcfail.health.finding import Finding, Promise, Severity, Subject, SubjectKind
from rcfail.health.rules.replication import worth
from rcfail.health.standing import Standing, flagged_by, standings
from rcfail.health.verdict import impaired

FLAGGED = "flagged"
"""A node that answers us and that others suspect, or hold for failed."""

NODE_STATES = (*(each.value for each in Standing), FLAGGED)


@dataclass(frozen=True, slots=True)
class ShardGauge:
    """One shard with slots. `healthy` replicas live, follow the primary and are in sync, for certain.

    `lag_bytes` and `lag_s` are the greatest of those that a replica tells; None: none tells. `address` may be empty.
    """

    primary_id: NodeId
    address: str
    slots: int
    replicas: int
    healthy: int
    lag_bytes: int | None
    lag_s: int | None
    failover_ready: Known


def shard_gauges(snapshot: Snapshot, findings: Sequence[Finding]) -> tuple[ShardGauge, ...]:
    """Every shard that owns slots; `findings` are all, also those that the operator leaves out of the verdict."""
    ready = _failover_ready(snapshot, findings)
    return tuple(_gauge(snapshot, shard, ready[shard.primary_id]) for shard in snapshot.shards if shard.slots)


def node_states(snapshot: Snapshot) -> Mapping[str, int]:
    """How many nodes are in each of NODE_STATES; together they are all nodes."""
    found: Counter[str] = Counter()
    for node_id, standing in standings(snapshot).items():
        answers = standing is Standing.ANSWERS
        found[FLAGGED if answers and flagged_by(snapshot.nodes[node_id]) else standing.value] += 1
    return {state: found[state] for state in NODE_STATES}


def _gauge(snapshot: Snapshot, shard: Shard, failover_ready: Known) -> ShardGauge:
    replicas = tuple(snapshot.replicas_of(shard))
    lags = [lag_of(snapshot, node) for node in replicas]
    primary = snapshot.nodes[shard.primary_id]
    place = primary.endpoint or primary.address.endpoint
    return ShardGauge(
        primary_id=shard.primary_id,
        address=str(place) if place else "",
        slots=shard.slot_count,
        replicas=len(replicas),
        healthy=sum(1 for node in replicas if worth(snapshot, shard, node).healthy is Known.YES),
        lag_bytes=max((each.behind_bytes for each in lags if each.behind_bytes is not None), default=None),
        lag_s=max((each.quiet_s for each in lags if each.quiet_s is not None), default=None),
        failover_ready=failover_ready,
    )


def _failover_ready(snapshot: Snapshot, findings: Iterable[Finding]) -> Mapping[NodeId, Known]:
    """Of each shard, by its primary: NO where a finding breaks it, UNKNOWN where one cannot tell, else YES."""
    answers = {shard.primary_id: Known.YES for shard in snapshot.shards}
    for finding in findings:
        if Promise.FAILOVER_READY not in impaired(finding) or finding.severity is Severity.INFO:
            continue
        said = Known.UNKNOWN if finding.severity is Severity.UNKNOWN else Known.NO
        for shard in touched(snapshot, finding.subject):
            if answers[shard.primary_id] is not Known.NO:
                answers[shard.primary_id] = said
    return answers


def touched(snapshot: Snapshot, subject: Subject) -> Iterator[Shard]:
    """The shards that a finding is about: all of them, unless it names one, or some of its nodes or slots."""
    if subject.kind is SubjectKind.SLOT:
        first, _, last = subject.id.partition("-")
        span = (int(first), int(last or first))
        found = [each for each in snapshot.shards if _overlaps(each, *span)]
    else:
        shard = snapshot.shard_of(NodeId(subject.id)) if subject.id else None
        found = [shard] if shard else []
    yield from found or snapshot.shards


def _overlaps(shard: Shard, first: int, last: int) -> bool:
    return any(begin <= last and first <= end for begin, end in shard.slots)
