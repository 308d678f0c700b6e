"""All that must be so before a failover, in each mode: one module a theme, composed here."""

from __future__ import annotations

from collections.abc import Iterator

from rcfail.change.checks import Check, CheckVerdict
from rcfail.change.preflight.case import Case
from rcfail.change.preflight.data import data, lag, sibling
from rcfail.change.preflight.identity import speaks_as_replica, target_identity, target_role
from rcfail.change.preflight.observer import observer
from rcfail.change.preflight.primary import primary_alive, primary_responsive
from rcfail.change.preflight.surroundings import load, other_change, pair_after, shard_agreed
from rcfail.change.preflight.timing import cooldown, remaining_ms
from rcfail.change.preflight.votes import fenced, known_as_replica, votes
from rcfail.change.request import Mode, Request
from rcfail.change.seen import Seen
from rcfail.cluster.ballot import ballot


def preflight(seen: Seen, request: Request) -> tuple[Check, ...]:
    """Every check, in the order in which an operator reads them.

    Of a target that is no replica of the primary, by its own word, or is silent, nothing further is asked.
    """
    case = _case(seen, request)
    if case is None:
        text = "the target, or its primary, is no member of this cluster"
        return (Check("target-role", CheckVerdict.FAIL, text),)
    return tuple(_checks(case))


def retry_after_ms(seen: Seen, request: Request) -> int | None:
    """When the cooldown of the last election lets it work, in ms from now; None: there is none, or it is not known."""
    case = _case(seen, request)
    return remaining_ms(case) if case is not None and speaks_as_replica(case) else None


def _case(seen: Seen, request: Request) -> Case | None:
    target, primary = seen.snapshot.node(request.target), seen.snapshot.node(request.primary)
    if target is None or primary is None:
        return None
    votes_now = ballot(seen.snapshot, target.node_id, primary.node_id, request.fenced)
    return Case(seen, request, target, primary, votes_now)


def _checks(case: Case) -> Iterator[Check]:
    yield target_role(case)
    yield target_identity(case)
    yield observer(case)
    if not speaks_as_replica(case):
        return
    yield primary_alive(case)
    if case.graceful and not case.primary_dead:
        yield primary_responsive(case)
    yield votes(case)
    if case.mode is Mode.TAKEOVER:
        yield fenced(case)
    yield data(case)
    if not case.graceful:
        yield sibling(case)
    if not (case.graceful and case.primary_dead):
        yield lag(case)
    if case.mode is not Mode.TAKEOVER:
        yield cooldown(case)
    if case.mode is not Mode.FORCE:
        yield known_as_replica(case)
    yield other_change(case)
    yield shard_agreed(case)
    yield pair_after(case)
    yield load(case)
