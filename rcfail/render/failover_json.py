"""The `data` of a change in JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rcfail.change.candidates import Contender
from rcfail.change.checks import Check, refusing
from rcfail.change.plan import Plan, Step
from rcfail.change.run import StepRun
from rcfail.cluster.nouns import NodeId
from rcfail.cluster.snapshot import Snapshot


def change_data(
    snapshot: Snapshot,
    plan: Plan | None,
    checks: Iterable[Check],
    steps: Iterable[StepRun],
    gap_ms: int | None = None,
) -> Mapping[str, Any]:
    """What was planned, checked, done and seen. Without a plan there was nothing to do. `gap_ms` is for how long a
    client could not write, where that was measured."""
    done = tuple(steps)
    return {
        "plan": {"steps": [step_data(snapshot, each) for each in plan.steps]} if plan else None,
        "preflight": [check_data(each) for each in checks],
        "outcomes": [_outcome(each, gap_ms) for each in done],
        "verification": [check_data(check) for each in done for check in each.verification],
        "timeline": [
            {"step": each.step.number, "at_ms": moment.at_ms, "event": moment.event, "subject": moment.subject}
            for each in done
            for moment in each.timeline
        ],
    }


def check_data(check: Check) -> Mapping[str, Any]:
    return {
        "check": check.code,
        "verdict": check.verdict.value,
        "evidence": check.evidence,
        "override": check.override.value if check.override else None,
        "overridden": check.overridden,
        "hint": check.hint or None,
    }


def candidates_data(snapshot: Snapshot, found: Iterable[Contender]) -> list[Mapping[str, Any]]:
    """Every replica that could have been chosen, the best first; none where the target was named."""
    return [
        {
            **_node(snapshot, each.node_id),
            "able": each.able,
            "avoided": each.avoided,
            "behind_bytes": each.behind_bytes,
            "for": list(each.reasons_for),
            "against": list(each.reasons_against),
            "refused_by": [check.code for check in refusing(each.checks)],
        }
        for each in found
    ]


def step_data(snapshot: Snapshot, step: Step) -> Mapping[str, Any]:
    """One step of a plan, as it stands in JSON and in the audit."""
    return {
        "step": step.number,
        "kind": "failover",
        "mode": step.mode.value,
        "target": _node(snapshot, step.target),
        "old_primary": _node(snapshot, step.primary),
        "slots": [list(each) for each in step.slots],
        "epoch": step.epoch,
        "command": " ".join(step.command),
        "attempt_ms": step.attempt_ms,
        "verify_ms": step.verify_ms,
    }


def _node(snapshot: Snapshot, node_id: NodeId) -> Mapping[str, Any]:
    node = snapshot.node(node_id)
    known = (node.endpoint or node.address.endpoint) if node else None
    return {"id": node_id, "address": str(known) if known else None}


def _outcome(done: StepRun, gap_ms: int | None) -> Mapping[str, Any]:
    return {
        "step": done.step.number,
        "outcome": done.outcome.value,
        "sent": done.sent,
        "reply": done.reply,
        "ours": done.ours,
        "old_primary": done.step.primary,
        "new_primary": done.new_primary,
        "epoch_before": done.step.epoch,
        "epoch_after": done.epoch_after,
        "why": done.why or None,
        "hint": done.hint or None,
        "retry_after_ms": done.retry_after_ms,
        "loss": {
            "at_risk_bytes": list(done.loss.at_risk_bytes) if done.loss.at_risk_bytes else None,
            "lost_bytes": done.loss.lost_bytes,
            "lost_bytes_at_least": done.loss.lost_bytes_at_least,
        },
        "gap_ms": gap_ms,
    }
