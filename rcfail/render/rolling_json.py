"""The `data` of `rolling` in JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rcfail.change.many.rolling import Stop
from rcfail.change.many.tour import NodeRun, Rolled
from rcfail.render.failover_json import change_data


def rolling_data(told: Rolled, command: str) -> Mapping[str, Any]:
    back = told.back.steps if told.back is not None else ()
    return {
        **change_data(told.snapshot, None, (), (*told.moves, *back)),
        "result": told.turn.value,
        "plan": {"steps": [_stop(at, each, command) for at, each in enumerate(told.stops, 1)]},
        "done_before": sorted(told.done_before),
        "without_replica": list(told.lone),
        "nodes": [_node(each) for each in told.nodes],
        "restored": told.back.done if told.back is not None else None,
        "left_over": list(told.left_over),
        "stopped": told.stopped or None,
    }


def _stop(at: int, stop: Stop, command: str) -> Mapping[str, Any]:
    return {
        "step": at,
        "kind": "command",
        "command": command,
        "nodes": list(stop.batch.nodes),
        "moves": [{"old_primary": primary, "target": target} for primary, target in stop.moves],
    }


def _node(run: NodeRun) -> Mapping[str, Any]:
    return {
        "id": run.node_id,
        "outcome": run.outcome.value,
        "phase": run.phase.value,
        "why": run.why or None,
        "exit_code": run.ended.code if run.ended else None,
        "timed_out": run.ended.timed_out if run.ended else None,
        "restarted": run.restarted,
        "version_before": run.versions[0] or None,
        "version_after": run.versions[1] or None,
        "away_ms": run.away_ms,
    }
