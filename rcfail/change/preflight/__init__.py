"""All that must be so before a failover, in each mode."""

from __future__ import annotations

from rcfail.change.checks import Check, CheckVerdict
from rcfail.change.request import Request
from rcfail.change.seen import Seen
from rcfail.cluster.nouns import Role


def preflight(seen: Seen, request: Request) -> tuple[Check, ...]:
    """Every check, in the order in which an operator reads them."""
    target = seen.snapshot.nodes[request.target]
    if target.role is Role.REPLICA and target.primary_id == request.primary:
        return (Check("target-role", CheckVerdict.PASS, f"{target.label} is a replica of the primary"),)
    return (Check("target-role", CheckVerdict.FAIL, f"{target.label} is no replica of the primary"),)


def retry_after_ms(seen: Seen, request: Request) -> int | None:
    """When the cooldown of the last election lets it work, in ms from now; None: there is none, or it is not known."""
    return None
