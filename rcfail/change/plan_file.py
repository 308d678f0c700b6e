"""A plan on the disk: what was asked for, what it rested on, and a sum that tells whether it was edited."""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from rcfail.change.plan import Step
from rcfail.change.request import Mode, Override, Request
from rcfail.cluster.nouns import NodeId
from rcfail.errors import Refused, UsageFault

SCHEMA = "rcfail-plan/1"
_LONGEST = 1 << 20


class PlanEdited(Refused):
    """The file is not what rcfail wrote: what it says was never checked."""

    code = "plan-edited"


@dataclass(frozen=True, slots=True)
class SavedPlan:
    """`seeds` are where the cluster was reached. Times are in ms since 1970 on the host that saved it."""

    made_at_unix_ms: int
    seeds: tuple[str, ...]
    request: Request
    step: Step
    reason: str = ""


def plan_text(plan: SavedPlan) -> str:
    """As it stands in the file. It holds no secret."""
    body = _body(plan)
    return json.dumps({**body, "sum": _sum(body)}, indent=2) + "\n"


def read_plan(path: Path) -> SavedPlan:
    """Raises UsageFault for what is no plan, and PlanEdited for one that was changed."""
    try:
        with path.open("rb") as file:
            said = json.loads(file.read(_LONGEST))
    except OSError as error:
        raise UsageFault(f"the plan {path} cannot be read: {error.strerror}", _MAKE) from None
    except (ValueError, RecursionError):
        raise UsageFault(f"{path} is no plan: it is not JSON", _MAKE) from None
    if not isinstance(said, dict) or said.get("schema") != SCHEMA:
        raise UsageFault(f"{path} is no plan of this version of rcfail ({SCHEMA})", _MAKE)
    if said.pop("sum", None) != _sum(said):
        raise PlanEdited(f"the plan {path} was edited after it was saved: nothing was sent", _MAKE)
    try:
        return _plan(said)
    except (KeyError, TypeError, ValueError):
        raise UsageFault(f"{path} is no whole plan", _MAKE) from None


_MAKE = "Make one: rcfail failover TARGET --save-plan FILE"


def _sum(body: dict[str, Any]) -> str:
    return sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _body(plan: SavedPlan) -> dict[str, Any]:
    request, step = plan.request, plan.step
    return {
        "schema": SCHEMA,
        "made_at_unix_ms": plan.made_at_unix_ms,
        "seeds": list(plan.seeds),
        "reason": plan.reason,
        "request": {
            "target": request.target,
            "primary": request.primary,
            "mode": request.mode.value,
            "given": sorted(each.value for each in request.given),
            "expected_primary": request.expected_primary,
            "fenced": sorted(request.fenced),
            "max_lag_bytes": request.max_lag_bytes,
        },
        "step": {
            "slots": [list(each) for each in step.slots],
            "epoch": step.epoch,
            "attempt_ms": step.attempt_ms,
            "verify_ms": step.verify_ms,
        },
    }


def _plan(said: dict[str, Any]) -> SavedPlan:
    asked, step = said["request"], said["step"]
    expected = asked["expected_primary"]
    request = Request(
        target=NodeId(str(asked["target"])),
        primary=NodeId(str(asked["primary"])),
        mode=Mode(asked["mode"]),
        given=frozenset(Override(each) for each in asked["given"]),
        expected_primary=NodeId(str(expected)) if expected else None,
        fenced=frozenset(NodeId(str(each)) for each in asked["fenced"]),
        max_lag_bytes=None if asked["max_lag_bytes"] is None else int(asked["max_lag_bytes"]),
    )
    return SavedPlan(
        made_at_unix_ms=int(said["made_at_unix_ms"]),
        seeds=tuple(map(str, said["seeds"])),
        request=request,
        step=Step(
            number=1,
            target=request.target,
            primary=request.primary,
            mode=request.mode,
            slots=tuple((int(first), int(last)) for first, last in step["slots"]),
            epoch=int(step["epoch"]),
            attempt_ms=int(step["attempt_ms"]),
            verify_ms=int(step["verify_ms"]),
        ),
        reason=str(said["reason"]),
    )
