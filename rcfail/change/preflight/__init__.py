"""All that must be so before a failover, in each mode. Pure: it judges what `gather` has seen."""

from __future__ import annotations

from rcfail.change.checks import Check
from rcfail.change.preflight import data, identity, observer, primary, surroundings, timing, votes
from rcfail.change.preflight.grounds import Grounds
from rcfail.change.request import Request
from rcfail.change.seen import Seen

CHECKS = (
    identity.target_role,
    identity.target_identity,
    primary.primary_alive,
    primary.primary_responsive,
    votes.votes,
    votes.known_as_replica,
    data.data,
    data.sibling,
    data.lag,
    timing.cooldown,
    surroundings.other_change,
    surroundings.shard_agreed,
    surroundings.pair_after,
    surroundings.load,
    observer.observer,
    observer.fenced,
)
"""In the order in which an operator reads them. Each gives its check, or None where its mode does not ask for it."""


def preflight(seen: Seen, request: Request) -> tuple[Check, ...]:
    """Every check of the request's mode. Both of its nodes must be in the snapshot that was seen."""
    grounds = Grounds(seen, request)
    found = (check(grounds) for check in CHECKS)
    return tuple(each for each in found if each is not None)


def retry_after_ms(seen: Seen, request: Request) -> int | None:
    """When the cooldown of the last election lets it work, in ms from now; None: there is none, or it is not known."""
    return timing.left_ms(Grounds(seen, request))
