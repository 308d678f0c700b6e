"""The data of `rcfail health -o json`. Merged facts of nodes and shards; what single views say is under `views`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rcfail.cluster.lag import lag_of
from rcfail.cluster.nouns import Problem, SlotRange
from rcfail.cluster.observation import Silence
from rcfail.cluster.snapshot import Node, Shard, Snapshot, View, ViewGroup
from rcfail.health.finding import Finding
from rcfail.health.verdict import Diagnosis
from rcfail.render.facts import epoch, slot_counts
from rcfail.render.outcome import Json


def health_data(snapshot: Snapshot, diagnosis: Diagnosis) -> Json:
    return {
        "serving": diagnosis.serving.value,
        "redundant": diagnosis.redundant.value,
        "failover_ready": diagnosis.failover_ready.value,
        "findings": [finding_json(each) for each in diagnosis.findings],
        "ignored": [finding_json(each) for each in diagnosis.ignored],
        "shards": [_shard(shard) for shard in snapshot.shards],
        "nodes": [_node(snapshot, node) for node in snapshot.nodes.values()],
        "silences": silences_json(snapshot.silences),
        "slots": slot_counts(snapshot)._asdict(),
        "quorum": {
            "voters": len(snapshot.electorate.voters),
            "reachable": len(snapshot.electorate.reachable),
            "needed": snapshot.electorate.needed,
            "standing": snapshot.electorate.quorum.value,
        },
        "epoch": epoch(snapshot),
        "views": [_view(each, snapshot) for each in snapshot.groups],
    }


def finding_json(finding: Finding) -> Json:
    return {
        "code": finding.code,
        "severity": finding.severity.value,
        "subject": {
            "kind": finding.subject.kind.value,
            "id": finding.subject.id,
            "address": finding.subject.address,
        },
        "evidence": finding.evidence,
        "consequence": finding.consequence,
        "hint": finding.hint,
        "runbook": f"runbooks/{finding.code}.md",
    }


def silences_json(silences: Iterable[Silence]) -> list[Json]:
    """`id` is null for a seed that nobody lists, host and port for a node whose address nobody knows."""
    return [
        {
            "id": silence.expected,
            "host": silence.endpoint.host if silence.endpoint else None,
            "port": silence.endpoint.port if silence.endpoint else None,
            "reason": silence.reason.value,
            "text": silence.text,
            "waited_ms": silence.waited_ms,
        }
        for silence in silences
    ]


def problems_json(problems: Iterable[Problem]) -> list[Json]:
    return [{"line_number": each.line_number, "line": each.line, "reason": each.reason} for each in problems]


def slots_json(slots: Iterable[SlotRange]) -> list[list[int]]:
    return [[first, last] for first, last in slots]


def _shard(shard: Shard) -> Json:
    return {
        "primary_id": shard.primary_id,
        "replica_ids": list(shard.replica_ids),
        "slots": slots_json(shard.slots),
        "slot_count": shard.slot_count,
    }


def _node(snapshot: Snapshot, node: Node) -> Json:
    endpoint = node.endpoint or node.address.endpoint
    return {
        "id": node.node_id,
        "host": endpoint.host if endpoint else "",
        "port": endpoint.port if endpoint else 0,
        "bus_port": node.address.bus_port,
        "hostname": node.address.hostname,
        "zone": node.zone,
        "role": node.role.value,
        "primary_id": node.primary_id,
        "config_epoch": node.config_epoch,
        "flags": sorted(node.flags),
        "slots": slots_json(node.slots),
        "alive": node.alive.value,
        "answers": node.view is not None,
        "silence": node.silence.reason.value if node.silence else None,
        "suspected_by": len(node.suspected_by),
        "failed_by": len(node.failed_by),
        "unknown_to": len(node.unknown_to),
        **_own_word(snapshot, node),
    }


def _own_word(snapshot: Snapshot, node: Node) -> dict[str, Any]:
    """What the node says of itself; null where it does not say."""
    lag = lag_of(snapshot, node) if node.primary_id else None
    vitals = node.vitals
    return {
        "version": vitals.server.version_text if vitals else None,
        "cluster_state": (vitals.cluster.state or None) if vitals else None,
        "loading": vitals.storage.loading if vitals else None,
        "keys": vitals.storage.keys if vitals else None,
        "link_up": vitals.replication.link_up if vitals else None,
        "lag_bytes": lag.behind_bytes if lag else None,
        "lag_s": lag.quiet_s if lag else None,
        "took_ms": node.view.took_ms if node.view else None,
        "absences": _absences(node.view) if node.view else [],
    }


def _absences(view: View) -> list[Json]:
    return [
        {"ask": ask.value, "kind": absence.kind.value, "text": absence.text}
        for ask, absence in sorted(view.absences.items())
    ]


def _view(group: ViewGroup, snapshot: Snapshot) -> Json:
    """One table of members, and all who hold it."""
    beliefs = group.table.beliefs
    return {
        "observers": list(group.observers),
        "listed": len(beliefs),
        "suspected": [each.node_id for each in beliefs if each.suspected],
        "failed": [each.node_id for each in beliefs if each.failed],
        "not_listed": [each for each in snapshot.nodes if each not in group.table.by_id],
        "problems": problems_json(group.table.problems),
    }
