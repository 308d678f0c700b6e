"""What a recovery remarks beside its plan: places that were named and are of no use are said, never dropped."""

from __future__ import annotations

from dataclasses import replace

from rcfail.change.recover.condition import Condition, ConditionCode
from rcfail.change.recover.recovery import Recovery
from rcfail.change.told import Turn
from rcfail.cluster.merge import merge
from rcfail.cluster.nouns import Endpoint
from rcfail.cluster.observation import Silence, SilenceReason
from rcfail.commands.recovery_options import outcome_of
from rcfail.settings.sections import Settings
from tests.unit.world import World, node_id

A1 = node_id("a1")
NOWHERE = Endpoint("nosuch.invalid", 7003)


def with_an_outsider() -> World:
    """a1 is alone: it lists nobody, and nobody lists it."""
    world = World.of(3, 1)
    for member in world:
        if member.node_id != A1:
            member.sees[A1] = None
            world["a1"].sees[member.node_id] = None
    return world


def notes(world: World, *conditions: Condition) -> str:
    seen = replace(world.observe(), silences=(Silence(NOWHERE, None, SilenceReason.UNRESOLVABLE),))
    told = Recovery(Turn.REFUSED if conditions else Turn.NOTHING, merge(seen), conditions)
    return "\n".join(outcome_of("recover", Settings(), told).notes)


def test_an_address_that_leads_nowhere_is_told_with_its_reason() -> None:
    assert notes(World.of(3, 1)).startswith("nosuch.invalid:7003 ")


def test_a_node_outside_that_nobody_needs_is_told() -> None:
    assert f"({A1[:8]}) answers and is alone" in notes(with_an_outsider())
    taken_in = Condition(ConditionCode.NODE_REPLACED, (node_id("b1"), A1), "", "", "")
    assert "is alone" not in notes(with_an_outsider(), taken_in)
    assert "is alone" not in notes(World.of(3, 1))
