"""A constructed cluster as a preflight sees it: two looks, quick PINGs, and old connections of all replicas."""

from __future__ import annotations

from rcfail.change.checks import Check
from rcfail.change.preflight import preflight
from rcfail.change.request import Mode, Override, Request
from rcfail.change.seen import ReplicaConnection, Seen
from tests.unit.world import World, node_id

A, A1, A2, B, C = node_id("a"), node_id("a1"), node_id("a2"), node_id("b"), node_id("c")


def world_of(replicas: int = 1, version: str = "8.2.3") -> World:
    world = World.of(3, replicas)
    world.version = version
    return world


def seen_of(world: World, age_s: int = 4000) -> Seen:
    """As `gather` sees it: a silent primary is asked nothing more."""
    snapshot = world.snapshot()
    if world["a"].silence is not None:
        return Seen(snapshot, snapshot)
    ages = tuple(ReplicaConnection(f"{each.endpoint.host}:41000", age_s) for each in world if each.primary)
    return Seen(snapshot, snapshot, (0.2, 0.2, 0.2), ages)


def judged(world: World, mode: Mode, *given: Override) -> tuple[Check, ...]:
    """The checks of a failover from a to a1."""
    return preflight(seen_of(world), Request(A1, A, mode, frozenset(given)))
