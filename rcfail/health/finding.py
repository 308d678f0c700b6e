"""What a rule finds: one problem, with its evidence, what it means, and the next command."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from rcfail.cluster.snapshot import Node, Shard, Snapshot


class Severity(StrEnum):
    """INFO never changes the verdict. The order for verdicts is in `rcfail.health.verdict`."""

    INFO = "info"
    WARNING = "warning"
    UNKNOWN = "unknown"
    CRITICAL = "critical"


ALARMING = frozenset({Severity.CRITICAL, Severity.UNKNOWN})
"""With a finding of these nobody can be told that all is well."""


class Promise(StrEnum):
    """What a healthy cluster promises; a finding says which of the three it breaks."""

    SERVING = "serving"
    REDUNDANT = "redundant"
    FAILOVER_READY = "failover_ready"


class SubjectKind(StrEnum):
    CLUSTER = "cluster"
    SHARD = "shard"
    NODE = "node"
    SLOT = "slot"
    VIEW = "view"


@dataclass(frozen=True, slots=True)
class Subject:
    """What a finding is about. `id`: a node id (also for shard and view: the primary's, the observer's),
    a slot range such as "0-5460", or "" for the cluster. `address` is host:port where there is one.
    """

    kind: SubjectKind
    id: str = ""
    address: str = ""


CLUSTER = Subject(SubjectKind.CLUSTER)


def of_node(node: Node) -> Subject:
    return Subject(SubjectKind.NODE, node.node_id, _address(node))


def of_shard(snapshot: Snapshot, shard: Shard) -> Subject:
    return Subject(SubjectKind.SHARD, shard.primary_id, _address(snapshot.nodes[shard.primary_id]))


def _address(node: Node) -> str:
    place = node.endpoint or node.address.endpoint
    return str(place) if place else ""


def of_slots(first: int, last: int) -> Subject:
    return Subject(SubjectKind.SLOT, str(first) if first == last else f"{first}-{last}")


@dataclass(frozen=True, slots=True)
class Finding:
    """One problem. `code` is in the catalogue and names the runbook page.

    `evidence` states what was seen, with figures and names; `consequence` what it means for clients or
    data; `hint` is a sentence with the exact next command, or "". `impairs` None takes the catalogue's.
    """

    code: str
    severity: Severity
    subject: Subject
    evidence: str
    consequence: str
    hint: str = ""
    impairs: tuple[Promise, ...] | None = None

    @property
    def key(self) -> tuple[str, Subject]:
        """What makes it the same finding in the next round, whatever its figures."""
        return (self.code, self.subject)


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What the operator set. `max_lag_bytes` None means: half of the primary's replication backlog."""

    min_replicas: int = 1
    max_lag_bytes: int | None = None
    max_lag_s: int = 10
