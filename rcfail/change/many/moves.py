"""Several failovers, one after the other: which, in which order, and what cannot be done."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from rcfail.change.checks import Check, refusing
from rcfail.change.plan import Plan, Step, plan_failover
from rcfail.change.preflight import preflight, retry_after_ms
from rcfail.change.request import Override, Request
from rcfail.change.seen import Seen
from rcfail.cluster.lag import lag_of
from rcfail.cluster.nouns import NodeId
from rcfail.cluster.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Move:
    """One failover of a series. `checks` are those of the preflight at the time of planning; none refuses.

    `wait_ms` is how long an election is still too soon, where it is to be waited for; else 0.
    """

    request: Request
    step: Step
    checks: tuple[Check, ...]
    wait_ms: int = 0


@dataclass(frozen=True, slots=True)
class Stuck:
    """A primary that should be replaced and cannot be. `wanted` is by whom, None: by anybody elsewhere.

    `why` are clauses; `checks` are those that refuse, with their overrides.
    """

    primary: NodeId
    wanted: NodeId | None
    why: tuple[str, ...]
    checks: tuple[Check, ...] = ()


def move_of(seen: Seen, request: Request) -> Move | Stuck:
    """One failover, if every check lets it pass now. Both nodes must be in the snapshot."""
    checks = preflight(seen, request)
    if no := refusing(checks):
        return Stuck(request.primary, request.target, (said(checks),), no)
    wait_ms = retry_after_ms(seen, request) if Override.WAIT_COOLDOWN in request.given else None
    return Move(request, plan_failover(seen.snapshot, request).steps[0], checks, wait_ms or 0)


def said(checks: Iterable[Check]) -> str:
    """What refuses, each with its code."""
    return "; ".join(f"{each.evidence} ({each.code})" for each in refusing(checks))


def in_order(snapshot: Snapshot, moves: Iterable[Move]) -> tuple[Move, ...]:
    """The least doubtful first, numbered from 1: what has to wait comes last, for the wait passes meanwhile.

    A replica that is far behind may not catch up in time, and would stop the rest.
    """

    def doubt(move: Move) -> tuple[int, int, tuple[tuple[int, int], ...]]:
        target = snapshot.nodes[move.request.target]
        return move.wait_ms, lag_of(snapshot, target).behind_bytes or 0, move.step.slots

    ordered = sorted(moves, key=doubt)
    return tuple(numbered(each, at) for at, each in enumerate(ordered, 1))


def numbered(move: Move, number: int) -> Move:
    return replace(move, step=replace(move.step, number=number))


def plan_of(snapshot: Snapshot, moves: Iterable[Move]) -> Plan:
    """All steps of the series as one plan."""
    return Plan(snapshot.taken_at_unix_ms, tuple(each.step for each in moves))


def checks_of(moves: Iterable[Move], stuck: Iterable[Stuck]) -> Mapping[NodeId, tuple[Check, ...]]:
    """The checks of each shard, by the primary that is to be replaced."""
    found = {each.request.primary: each.checks for each in moves}
    return {**found, **{each.primary: each.checks for each in stuck}}
