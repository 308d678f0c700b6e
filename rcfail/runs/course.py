"""A recovery under way: one action after the other, each from a fresh look, and none that nobody said yes to."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from rcfail.change.many.errand import SECRETS, Errand, run_errand
from rcfail.change.mover import KNOWN_WITHIN_S
from rcfail.change.recover.action import Action, ActionKind, Send
from rcfail.change.recover.case import Case
from rcfail.change.recover.conduct import ActionRun, Sent, carry_out
from rcfail.change.recover.recovery import Recovery
from rcfail.change.run import StepOutcome
from rcfail.change.told import Turn
from rcfail.clock import Deadline, poll
from rcfail.cluster.nouns import Endpoint
from rcfail.errors import CannotSee, OutOfTime
from rcfail.runs.moving import Hands, Site

if TYPE_CHECKING:
    pass

from rcfail.runs.examining import Examined, Ways, Wish, examine, unexplained

_EVERY_S = 0.5
_SAME_AGAIN = 2
"""An action that has worked twice and is planned a third time is undone by somebody else."""


class Course:
    """One run: the plan that was consented to, and how far it has come."""

    def __init__(self, site: Site, wish: Wish, ways: Ways, hands: Hands, planned: Recovery) -> None:
        self._site = site
        self._wish = wish
        self._ways = ways
        self._hands = hands
        self._planned = planned
        self._consented = {each.key: each for each in planned.actions}
        self._runs: list[ActionRun] = []
        self._worked: dict[tuple[str, ...], int] = {}

    def go(self, seen: Examined | None) -> Recovery:
        """`seen` is the look that was consented to, if that took no time."""
        try:
            while True:
                seen = self._next_look(seen)
                action = _first(seen)
                if action is None:
                    return self._over(seen)
                if why := self._stray(action):
                    return self._stopped(seen, why)
                self._carry_out(seen, action)
                if self._runs[-1].outcome is not StepOutcome.DONE:
                    return self._stopped(None, "")
                if self._ways.stop():
                    return self._stopped(None, "interrupted")
                seen = None
        except KeyboardInterrupt:
            if not any(each.acted or each.outcome is StepOutcome.DONE for each in self._runs):
                raise
            return self._stopped(None, "interrupted")

    def _next_look(self, seen: Examined | None) -> Examined:
        """A look whose first action is one that was consented to, or that stays another for a while."""
        if seen is not None and self._expected(seen):
            return seen
        last = [seen or examine(self._site, self._wish)]

        def look() -> bool:
            if not self._expected(last[0]):
                last[0] = examine(self._site, self._wish)
            return self._expected(last[0])

        with suppress(OutOfTime):
            deadline = Deadline.after(KNOWN_WITHIN_S, self._site.clock)
            poll(look, bool, deadline=deadline, every_s=_EVERY_S, waiting_for="the next step of the plan")
        return last[0]

    def _expected(self, seen: Examined) -> bool:
        action = _first(seen)
        if action is None:
            # Right after a step health may find what passes within seconds: nodes keep their state for up to 5 s
            # once they see a majority again (CLUSTER_MAX_REJOIN_DELAY, cluster_legacy.c).
            calm = unexplained(seen) in ("", self._planned.unwell)
            return calm and not any(each.key not in self._known for each in seen.conditions)
        return not self._stray(action)

    @property
    def _known(self) -> set[tuple[str, str]]:
        return {each.key for each in self._planned.conditions}

    def _stray(self, action: Action) -> str:
        """Why this was not consented to, in a clause; "" where it was."""
        told = self._consented.get(action.key)
        if told is None:
            return (
                f"the cluster changed, and what it takes now was not in the plan: {action.title}; run it again to see "
                "all of that, and to say yes to it"
            )
        lost, allowed = _lost(action), _lost(told)
        if lost is None or (allowed is not None and lost > allowed):
            if lost is None and allowed is None:
                return ""
            return f"more would be lost than you said yes to: {'an unknown number of' if lost is None else lost} keys"
        if self._worked.get(action.key, 0) >= _SAME_AGAIN:
            return f"it was done {_SAME_AGAIN} times, and does not stay done: {action.title}"
        return ""

    def _carry_out(self, seen: Examined, action: Action) -> None:
        number = len(self._runs) + 1
        self._ways.tell(f"step {number}: {action.title}")
        if action.kind is ActionKind.FAILOVER:
            run = self._failed_over(action, number)
        else:
            means = self._hands.means
            run = carry_out(means, seen.case.snapshot, action, number, partial(self._start, seen.case))
        self._runs.append(replace(run, hint=self._site.sight.manner.fit(run.hint)))
        self._worked[action.key] = self._worked.get(action.key, 0) + 1

    def _failed_over(self, action: Action, number: int) -> ActionRun:
        """With all the checks and the follower of `rcfail failover`."""
        assert action.request is not None, action
        began_s = self._site.clock.monotonic_s()
        try:
            run = self._hands.mover.move(action.request, number)
        except CannotSee as fault:
            return ActionRun(
                number, action, StepOutcome.REFUSED, why=f"nothing was sent: {fault.message}", hint=fault.hint
            )
        place = self._planned.snapshot.nodes[run.step.target].endpoint
        tried = Send(run.step.target, place or Endpoint("", 0), run.step.command)
        sent = (Sent(tried, run.reply, run.sent, refused=False),) if run.sent else ()
        took_ms = round((self._site.clock.monotonic_s() - began_s) * 1000)
        return ActionRun(number, action, run.outcome, sent, run.verification, run.timeline, run.why, run.hint, took_ms)

    def _start(self, case: Case, action: Action) -> str:
        """Run the operator's command for a node that is down: "", or why it did not go well."""
        node = case.snapshot.nodes[action.about]
        told = {"RCFAIL_NODE_ID": node.node_id, "RCFAIL_NODE_ADDRESS": str(node.address)}
        errand = Errand(action.command, told, self._wish.decisions.within_s, SECRETS | self._wish.without)
        ended = run_errand(errand, partial(self._ways.says, node), self._ways.tell, self._site.clock)
        if ended.interrupted:
            raise KeyboardInterrupt
        return "" if ended.well else f"the command {ended.text}"

    def _over(self, seen: Examined) -> Recovery:
        return replace(
            self._planned, turn=Turn.RAN, runs=tuple(self._runs), left=seen.conditions, unwell=unexplained(seen)
        )

    def _stopped(self, seen: Examined | None, why: str) -> Recovery:
        left = seen.conditions if seen else ()
        if seen is None:
            with suppress(CannotSee, KeyboardInterrupt):
                left = examine(self._site, self._wish).conditions
        return replace(self._planned, turn=Turn.RAN, runs=tuple(self._runs), left=left, stopped=why)


def _first(seen: Examined) -> Action | None:
    return next((action for each in seen.conditions for action in each.actions), None)


def _lost(action: Action) -> int | None:
    """Keys that are gone for good; None where nobody can count them."""
    counted = [each.keys for each in action.loses if each.counts]
    return None if None in counted else sum(each or 0 for each in counted)
