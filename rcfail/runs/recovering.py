"""A recovery from the wish to the answer: look, name, plan, check, ask, and then one action after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rcfail.change.audit import state_folder
from rcfail.change.checks import Check, refusing
from rcfail.change.locks.premises import premises
from rcfail.change.many.errand import SECRETS, Errand, run_errand
from rcfail.change.many.series import bad_before
from rcfail.change.mover import KNOWN_WITHIN_S
from rcfail.change.recover.action import Action, ActionKind, Send
from rcfail.change.recover.case import NO_DECISIONS, Case, Decisions, Question
from rcfail.change.recover.condition import Condition
from rcfail.change.recover.conduct import ActionRun, Sent, carry_out
from rcfail.change.recover.doctor import Planner
from rcfail.change.recover.preflight import preflight
from rcfail.change.recover.recovery import Recovery
from rcfail.change.run import Moment, StepOutcome
from rcfail.change.told import Turn
from rcfail.clock import Deadline, poll
from rcfail.cluster.nouns import Endpoint
from rcfail.cluster.observation import Observation
from rcfail.cluster.snapshot import Node, Snapshot
from rcfail.errors import CannotSee, ConfigFault, OutOfTime, Refused
from rcfail.health.finding import Finding, Severity, Thresholds
from rcfail.health.wording import listing
from rcfail.rounds import look_until_settled
from rcfail.runs.moving import Hands, Orders, Site, at_work
from rcfail.runs.permitted import permitted
from rcfail.settings.sections import Wanted
from rcfail.wire.pool import Pool

if TYPE_CHECKING:
    from rcfail.wire.replies import Reply

PLACES_AT_ONCE = 32
_EVERY_S = 0.5
_SAME_AGAIN = 2
"""An action that has worked twice and is planned a third time is undone by somebody else."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What holds for the whole run. `command` is its name for the audit; `lose_keys` is how many keys the operator says
    that will be thrown away for good. `without` are variables that his own command does not get. `within` picks the
    conditions that are meant: all, or those of one target."""

    command: str
    planner: Planner
    decisions: Decisions = NO_DECISIONS
    within: Callable[[tuple[Condition, ...]], tuple[Condition, ...]] = tuple
    dry_run: bool = False
    reason: str = ""
    break_lock: bool = False
    lose_keys: int | None = None
    asked: Mapping[str, Any] = field(default_factory=dict)
    without: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Ways:
    """How the operator is told and asked. `consent` returns when he said yes, True where that took a while; it raises
    Declined. `says` hears what the operator's own command prints, by node. `stop` tells that he wants no further
    action; `shield` holds signals back for its body. After `over` no signal takes the answer away."""

    consent: Callable[[Recovery], bool]
    witness: Callable[[Snapshot, Moment], None]
    tell: Callable[[str], None]
    says: Callable[[Node, str], None]
    stop: Callable[[], bool]
    shield: Callable[[], AbstractContextManager[None]]
    over: Callable[[], None]


class Examined(NamedTuple):
    """One settled look, what it is judged by, and what is wrong."""

    observation: Observation
    case: Case
    conditions: tuple[Condition, ...]
    agreed: bool


def examine(site: Site, wish: Wish) -> Examined:
    """Look until two looks agree, ask what the planner wants to know besides, and plan. Raises CannotSee."""
    deadline = Deadline.after(site.settings.limits.deadline_s, site.clock)
    looked = look_until_settled(
        site.sight, thresholds_kept(site.settings.wanted), site.clock, deadline, site.settings.zones
    )
    case = Case(looked.snapshot, looked.findings, wish.decisions)
    case = replace(case, replies=_asked(site, tuple(wish.planner.questions(case)), deadline))
    found = wish.within(tuple(wish.planner.conditions(case, frozenset())))
    fit = site.sight.manner.fit
    return Examined(
        looked.observation, case, tuple(replace(each, advice=fit(each.advice)) for each in found), looked.agreed
    )


def thresholds_kept(wanted: Wanted) -> Thresholds:
    """Who keeps a cluster without replicas on purpose says so in its settings, and none are borrowed for it."""
    usual = Thresholds()
    return usual if wanted.min_replicas is None else replace(usual, min_replicas=wanted.min_replicas)


def _asked(site: Site, questions: tuple[Question, ...], deadline: Deadline) -> Mapping[Question, Reply]:
    """All of them, one connection a place, all places at once."""
    by_place: dict[Endpoint, list[Question]] = {}
    for each in questions:
        by_place.setdefault(each.place, []).append(each)
    found: dict[Question, Reply] = {}
    if not by_place:
        return found
    pool: Pool[dict[Question, Reply]] = Pool(PLACES_AT_ONCE)
    for place, its in by_place.items():
        pool.submit(partial(_asked_there, site, place, its, deadline))
    while pool.open_jobs and (ended := pool.next_ended(deadline)) is not None:
        found.update(ended)
    pool.close()
    return found


def _asked_there(site: Site, place: Endpoint, its: list[Question], deadline: Deadline) -> dict[Question, Reply]:
    replies = site.door.apart().read(place, [each.command for each in its], deadline=deadline)
    return dict(zip(its, replies, strict=True))


def recover(site: Site, wish: Wish, ways: Ways) -> Recovery:
    """Raises CannotSee, NotMeant, Declined, LockHeld, Refused; all of them before anything was sent."""
    seen = examine(site, wish)
    found = _planned(site, wish, seen)
    if found.turn is not Turn.ALLOWED:
        return found
    if wish.dry_run:
        there = premises(
            site.door,
            seen.case.snapshot,
            state_folder() / "locks",
            site.audit_path,
            site.clock,
            break_lock=wish.break_lock,
        )
        checks = (*found.checks, *there)
        return replace(found, checks=checks, turn=Turn.REFUSED if refusing(checks) else Turn.ALLOWED)
    _insist_on_size(found, wish)
    waited = ways.consent(found)
    with at_work(
        site,
        seen.case.snapshot,
        _orders(found, wish),
        witness=lambda moment: ways.witness(seen.case.snapshot, moment),
        tell=ways.tell,
        shield=ways.shield,
    ) as hands:
        record = _recorded(seen.observation, site, wish.command)
        ways.tell(f"what was seen before the first change is kept in {record}")
        if alone := hands.means.held.local_alone:
            ways.tell(f"others on other hosts are not held off: the lock is on this host alone ({alone})")
        done = _Course(site, wish, ways, hands, replace(found, record=str(record))).go(None if waited else seen)
        ways.over()
        hands.exit_code = done.exit_code
        notes = (hands.audit.trouble,) if hands.audit.trouble else ()
        return replace(done, notes=(*done.notes, *notes))


def _planned(site: Site, wish: Wish, seen: Examined) -> Recovery:
    """What is wrong, what would be done, and whether it may."""
    snapshot, found = seen.case.snapshot, seen.conditions
    planned = Recovery(
        Turn.NOTHING,
        snapshot,
        found,
        unwell=_unexplained(seen),
        notes=bad_before(seen.case.findings) if found else (),
        what=wish.command,
    )
    if not planned.actions:
        return replace(planned, turn=Turn.REFUSED if found else Turn.NOTHING)
    checks = _fitted(site, preflight(seen.case, found, agreed=seen.agreed))
    if not refusing(checks):
        sends = [each for action in planned.actions for each in _leaving(snapshot, action)]
        deadline = Deadline.after(site.settings.limits.deadline_s, site.clock)
        checks = (*checks, *_fitted(site, (permitted(site.door, sends, deadline, dry=wish.dry_run),)))
    return replace(planned, checks=checks, turn=Turn.REFUSED if refusing(checks) else Turn.ALLOWED)


def _leaving(snapshot: Snapshot, action: Action) -> tuple[Send, ...]:
    """What it sends, also as a failover."""
    if action.request is None:
        return action.sends
    target = snapshot.nodes[action.request.target]
    return (Send(target.node_id, target.endpoint, ("CLUSTER", "FAILOVER")),) if target.endpoint else ()


def _fitted(site: Site, checks: tuple[Check, ...]) -> tuple[Check, ...]:
    return tuple(replace(each, hint=site.sight.manner.fit(each.hint)) for each in checks)


def _unexplained(seen: Examined) -> str:
    """What is critical or unknown for health, and no condition is about it."""
    explained = {code for each in seen.conditions for code in each.findings}
    bad = [each for each in seen.case.findings if _is_bad(each) and each.code not in explained]
    return listing([f"{each.code} {each.subject.address}".strip() for each in bad], 4)


def _is_bad(finding: Finding) -> bool:
    return finding.severity in (Severity.CRITICAL, Severity.UNKNOWN)


def _insist_on_size(found: Recovery, wish: Wish) -> None:
    """Raises Refused where the operator named another number of keys than would be lost."""
    if wish.lose_keys is not None and wish.lose_keys != found.keys_lost:
        raise Refused(
            f"--lose-keys says {wish.lose_keys}, and {found.keys_lost} keys would be lost: nothing was sent",
            "Look again: add --dry-run.",
        )


def _orders(found: Recovery, wish: Wish) -> Orders:
    return Orders(
        command=wish.command,
        nodes=tuple(dict.fromkeys(node for each in found.conditions for node in each.nodes)),
        facts={
            "asked": dict(wish.asked),
            "conditions": [{"condition": each.code.value, "subject": each.subject} for each in found.conditions],
            "steps": [{"kind": each.kind.value, "about": each.about, "title": each.title} for each in found.actions],
            "given": sorted(wish.decisions.given),
        },
        reason=wish.reason,
        break_lock=wish.break_lock,
    )


def _recorded(observation: Observation, site: Site, command: str) -> Path:
    """Where it is kept. Raises Refused: what was so before is worth more than a fast change."""
    from rcfail.wire.record import save

    path = state_folder() / "records" / f"{command}-{site.clock.unix_ms()}.json.gz"
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        save(observation, str(path))
    except (OSError, ConfigFault) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise Refused(
            f"what was seen cannot be kept in {path}: {why}; nothing was sent",
            "Set XDG_STATE_HOME to a folder of yours.",
        ) from None
    return path


class _Course:
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
            calm = _unexplained(seen) in ("", self._planned.unwell)
            return calm and not any(each.key not in self._known for each in seen.conditions)
        return not self._stray(action)

    @property
    def _known(self) -> set[tuple[str, str]]:
        return {each.key for each in self._planned.conditions}

    def _stray(self, action: Action) -> str:
        """Why this was not consented to, in a clause; "" where it was."""
        told = self._consented.get(action.key)
        if told is None:
            return f"the cluster changed, and what it takes now was not in the plan: {action.title}"
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
            self._planned, turn=Turn.RAN, runs=tuple(self._runs), left=seen.conditions, unwell=_unexplained(seen)
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
