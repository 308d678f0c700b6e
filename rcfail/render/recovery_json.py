"""The `data` of recover and reset in JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rcfail.change.recover.action import Action, Send
from rcfail.change.recover.condition import Condition
from rcfail.change.recover.conduct import ActionRun
from rcfail.change.recover.recovery import Recovery
from rcfail.cluster.nouns import NodeId
from rcfail.cluster.snapshot import Snapshot
from rcfail.render.failover_json import check_data


def recovery_data(told: Recovery) -> Mapping[str, Any]:
    """Steps are numbered through all conditions; outcomes have numbers of their own, in the order of what was done."""
    return {
        "result": told.turn.value,
        "conditions": [_condition(each) for each in told.conditions],
        "plan": {"steps": _steps(told)} if told.actions else None,
        "preflight": [check_data(each) for each in told.checks],
        "outcomes": [_outcome(each) for each in told.runs],
        "verification": [check_data(check) for each in told.runs for check in each.verification],
        "timeline": [
            {"step": each.number, "at_ms": moment.at_ms, "event": moment.event, "subject": moment.subject}
            for each in told.runs
            for moment in each.timeline
        ],
        "left": [_condition(each) for each in told.left],
        "stopped": told.stopped or None,
        "unwell": told.unwell or None,
        "keys_lost": told.keys_lost,
        "record": told.record or None,
    }


def _condition(condition: Condition) -> Mapping[str, Any]:
    return {
        "condition": condition.code.value,
        "subject": condition.subject,
        "nodes": list(condition.nodes),
        "evidence": condition.evidence,
        "story": condition.story,
        "findings": list(condition.findings),
        "steps": len(condition.actions),
        "advice": condition.advice or None,
        "choice": condition.choice,
        "doubt": [each.value for each in condition.doubt],
    }


def _steps(told: Recovery) -> list[Mapping[str, Any]]:
    pairs = [(each, action) for each in told.conditions for action in each.actions]
    return [_step(told.snapshot, each, action, number) for number, (each, action) in enumerate(pairs, 1)]


def _step(snapshot: Snapshot, condition: Condition, action: Action, number: int) -> Mapping[str, Any]:
    return {
        "step": number,
        "kind": action.kind.value,
        "condition": condition.code.value,
        "about": _node(snapshot, action.about),
        "title": action.title,
        "sends": [_send(each) for each in action.sends],
        "within_ms": action.within_ms,
        "loses": [{"node": each.node, "keys": each.keys, "copies": each.copies} for each in action.loses],
    }


def _node(snapshot: Snapshot, node_id: NodeId) -> Mapping[str, Any]:
    node = snapshot.node(node_id)
    known = (node.endpoint or node.address.endpoint) if node else None
    return {"id": node_id, "address": str(known) if known else None}


def _send(send: Send) -> Mapping[str, Any]:
    return {"node": send.node, "address": str(send.place), "command": " ".join(send.command)}


def _outcome(run: ActionRun) -> Mapping[str, Any]:
    return {
        "step": run.number,
        "kind": run.action.kind.value,
        "title": run.action.title,
        "outcome": run.outcome.value,
        "sent": [{**_send(each.send), "reply": each.reply, "left": each.left} for each in run.sent],
        "why": run.why or None,
        "hint": run.hint or None,
        "took_ms": run.took_ms,
    }
