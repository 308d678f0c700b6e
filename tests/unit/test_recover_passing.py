"""What is over within seconds by itself is told apart from what stays: a run right after a killed one waits for it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rcfail.change.recover.action import Action, ActionKind
from rcfail.change.recover.case import Case
from rcfail.change.recover.condition import Condition, ConditionCode
from rcfail.health.finding import Finding, Severity, Subject, SubjectKind
from rcfail.runs.examining import Examined, passing
from tests.unit.world import World, node_id

B = node_id("b")
DOUBTED = Condition(
    ConditionCode.NODE_DOWN, (B,), "10.0.0.2:6379 (bbbbbbbb)", "", "", findings=("node-failed",), passes=True
)
STAYS = replace(DOUBTED, passes=False)
ACTED = replace(DOUBTED, actions=(Action(ActionKind.WAIT, B, "wait", ()),))


def finding(code: str, severity: Severity = Severity.CRITICAL) -> Finding:
    return Finding(code, severity, Subject(SubjectKind.CLUSTER, "", ""), "", "", "")


def seen(conditions: tuple[Condition, ...], *findings: Finding) -> Examined:
    world = World.of(3, 1)
    return Examined(world.observe(), Case(world.snapshot(), findings), conditions, agreed=True)


@pytest.mark.parametrize(
    ("conditions", "findings", "passes"),
    [
        ((), (), False),
        ((DOUBTED,), (finding("node-failed"),), True),
        ((DOUBTED, STAYS), (), False),
        ((ACTED,), (), False),
        ((), (finding("cluster-state-fail"),), True),
        ((), (finding("cluster-state-fail"), finding("node-frozen")), False),
        ((), (finding("auth-refused", Severity.UNKNOWN),), False),
        ((), (finding("version-mixed", Severity.INFO),), False),
    ],
)
def test_only_what_is_over_by_itself_is_waited_for(
    conditions: tuple[Condition, ...], findings: tuple[Finding, ...], passes: bool
) -> None:
    assert bool(passing(seen(conditions, *findings))) is passes
