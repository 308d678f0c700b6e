"""One failover after the other, each one judged anew, carried out once, and waited for until every view knows it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Protocol

from rcfail.change.checks import Check, pass_soon, refusing
from rcfail.change.conductor import carry_out
from rcfail.change.loss import at_risk
from rcfail.change.plan import Plan, plan_failover
from rcfail.change.preflight import preflight, retry_after_ms
from rcfail.change.request import Override, Request
from rcfail.change.run import StepOutcome, StepRun
from rcfail.change.seen import Seen
from rcfail.change.sender import Means
from rcfail.clock import Clock, Deadline, poll
from rcfail.cluster.nouns import NodeId
from rcfail.cluster.snapshot import Snapshot
from rcfail.errors import CannotSee, OutOfTime, Refused
from rcfail.health.conditions import unsettled

KNOWN_WITHIN_S = 15.0
"""A demotion is known to all after up to 11 s on Redis, where gossip alone carries it, and at once on Valkey >= 8.1."""

SETTLED_WITHIN_S = 60.0
_EVERY_S = 0.25
_COOLDOWN_MARGIN_MS = 1_000


class Eyes(Protocol):
    """How the cluster is seen. Both raise CannotSee where no cluster can be seen at all."""

    def look(self) -> Snapshot:
        """One round over all nodes."""
        ...

    def see(self, primary: NodeId) -> Seen:
        """All that a failover of this primary is judged by: two rounds and what they do not tell."""
        ...


@dataclass(frozen=True, slots=True)
class Judged:
    """A request, what it was judged by, and what would be done. `at_risk_bytes` is a range; None: nobody can tell."""

    request: Request
    seen: Seen
    plan: Plan
    checks: tuple[Check, ...]
    at_risk_bytes: tuple[int, int] | None

    @property
    def refused(self) -> bool:
        return bool(refusing(self.checks))

    @property
    def cooldown_ms(self) -> int | None:
        """How long an election is still too soon; None: it is not, or that is not known."""
        return retry_after_ms(self.seen, self.request)


def judge(eyes: Eyes, request: Request) -> Judged:
    """Look and check, once."""
    return judged(eyes.see(request.primary), request)


def judged(seen: Seen, request: Request) -> Judged:
    """Plan and check what was seen. Raises Refused where a node of the request is no member any more."""
    gone = [each for each in (request.target, request.primary) if each not in seen.snapshot.nodes]
    if gone:
        raise Refused(f"nobody knows node {gone[0][:8]} any more: nothing was sent", "See who is there: rcfail nodes")
    plan = plan_failover(seen.snapshot, request)
    return Judged(request, seen, plan, preflight(seen, request), at_risk(seen, request))


def judge_patiently(
    eyes: Eyes, request: Request, clock: Clock, tell: Callable[[str], None], first: Judged | None = None
) -> Judged:
    """As `judge`; what comes by itself within seconds is waited for by looks, and, if told so, the cooldown too.

    `first` is what was judged just now.
    """
    found = _soon(eyes, first or judge(eyes, request), clock, tell)
    wait_ms = found.cooldown_ms if Override.WAIT_COOLDOWN in request.given else None
    if not wait_ms or found.refused:
        return found
    tell(f"waiting {wait_ms / 1000:.0f} s for the cooldown of the last election")
    clock.sleep((wait_ms + _COOLDOWN_MARGIN_MS) / 1000)
    return _soon(eyes, judge(eyes, request), clock, tell)


def _soon(eyes: Eyes, found: Judged, clock: Clock, tell: Callable[[str], None]) -> Judged:
    """Where nothing but the next seconds is in the way they are waited for, by looks."""
    if not pass_soon(found.checks):
        return found
    tell(f"waiting for what comes by itself: {'; '.join(each.evidence for each in refusing(found.checks))}")
    last = [found]

    def look() -> Judged:
        last[0] = judge(eyes, found.request)
        return last[0]

    with suppress(OutOfTime):
        deadline = Deadline.after(KNOWN_WITHIN_S, clock)
        poll(
            look,
            lambda now: not pass_soon(now.checks),
            deadline=deadline,
            every_s=_EVERY_S,
            waiting_for="what comes by itself",
        )
    return last[0]


class Mover:
    """Moves one primary after the other, under one lock and in one audit (`means` holds both)."""

    def __init__(self, eyes: Eyes, means: Means, tell: Callable[[str], None]) -> None:
        self._eyes = eyes
        self._means = means
        self._tell = tell

    def look(self) -> Snapshot:
        """One round over all nodes. Raises CannotSee."""
        return self._eyes.look()

    def judge(self, request: Request) -> Judged:
        """Look and check; what comes by itself is waited for. Raises CannotSee."""
        return judge_patiently(self._eyes, request, self._means.clock, self._tell)

    def move(self, request: Request, number: int = 1) -> StepRun:
        """Judge the request anew and carry it out, unless a check says no: then nothing is sent. Raises CannotSee."""
        return self.carry_out(self.judge(request), number)

    def carry_out(self, found: Judged, number: int = 1) -> StepRun:
        """What was judged a moment ago. The guard looks once more."""
        step = replace(found.plan.steps[0], number=number)
        if found.refused:
            no = refusing(found.checks)
            why = f"nothing was sent: {'; '.join(each.evidence for each in no)}"
            hint = next((each.hint for each in no if each.hint), "")
            wait_ms = found.cooldown_ms
            return StepRun(step, StepOutcome.REFUSED, False, None, no, why=why, hint=hint, retry_after_ms=wait_ms)
        stood = max((each.at_unix_ms for each in found.seen.stood if each.node == step.target), default=None)
        return carry_out(self._means, found.seen.snapshot, step, found.at_risk_bytes, stood_unix_ms=stood)

    def settle(self, within_s: float = SETTLED_WITHIN_S) -> str:
        """Wait until all views say the same of everybody, twice in a row: "", or what they do not agree on in time."""
        lacking, in_a_row = ["not looked yet"], [0]

        def look() -> bool:
            try:
                lacking[0] = unsettled(self._eyes.look())
            except CannotSee as fault:
                lacking[0] = fault.message
            in_a_row[0] = 0 if lacking[0] else in_a_row[0] + 1
            return in_a_row[0] >= 2

        deadline = Deadline.after(within_s, self._means.clock)
        with suppress(OutOfTime):
            poll(look, bool, deadline=deadline, every_s=_EVERY_S, waiting_for="one opinion")
        return lacking[0]
