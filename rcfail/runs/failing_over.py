"""One failover from the wish to the answer: who is meant, whether it may, consent, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from rcfail.change.audit import state_folder
from rcfail.change.candidates import chosen, contenders
from rcfail.change.checks import Check, CheckVerdict, refusing
from rcfail.change.locks.lock import LockHeld
from rcfail.change.locks.owner import begun_unix_ms
from rcfail.change.locks.premises import premises, repeated
from rcfail.change.mover import Judged, judge_patiently, judged
from rcfail.change.plan import Step, guard
from rcfail.change.request import Mode, Override, Request
from rcfail.change.run import Moment
from rcfail.change.target import Aim, NotMeant, aimed, meant_node, meant_places, meant_zone
from rcfail.change.told import NO_LIMITS, Limits, Told, Turn
from rcfail.cluster.nouns import NodeId
from rcfail.cluster.snapshot import Snapshot
from rcfail.errors import Refused
from rcfail.exits import ExitCode
from rcfail.render.failover_json import step_data
from rcfail.runs.moving import Hands, Orders, Site, at_work

if TYPE_CHECKING:
    from rcfail.practice.canary import Canary


@dataclass(frozen=True, slots=True)
class Wish:
    """What the operator wants, in his own words; each is looked up in the cluster. Limits are in ms and bytes.

    `request` and `step` are those of a saved plan: then no word counts.
    """

    word: str | None = None
    slot: int | None = None
    mode: Mode = Mode.GRACEFUL
    given: frozenset[Override] = frozenset()
    expect: str = ""
    avoid: tuple[str, ...] = ()
    prefer_zone: str = ""
    fenced: tuple[str, ...] = ()
    max_lag_bytes: int | None = None
    dry_run: bool = False
    reason: str = ""
    break_lock: bool = False
    canary: bool = False
    limits: Limits = NO_LIMITS
    command: str = "failover"
    request: Request | None = None
    step: Step | None = None


@dataclass(frozen=True, slots=True)
class Ways:
    """How the operator is told and asked. `consent` is shown what would be done, and returns when he said yes, True
    where that took a while; it raises Declined. `witness` hears each moment after the send, `shield` holds signals
    back for its body. `sent` is called when all that matters is known of a command that was sent: the little that is
    left ends by itself, and nothing may cut off the answer any more."""

    consent: Callable[[Told], bool]
    witness: Callable[[Snapshot, Moment], None]
    tell: Callable[[str], None]
    shield: Callable[[], AbstractContextManager[None]] = nullcontext
    sent: Callable[[], None] = lambda: None


def fail_over(site: Site, wish: Wish, ways: Ways) -> Told:
    """Raises CannotSee, NotMeant, CannotMove, Declined, LockHeld, Refused; all of them before anything was sent."""
    first = site.look()
    if wish.request is not None:
        return _as_planned(site, first, wish, wish.request, ways)
    aim = aimed(first, wish.word, wish.slot)
    expected = meant_node(first, wish.expect, "--expect-primary") if wish.expect else None
    if wish.word is not None and aim.named_primary and _replaced(first, aim, expected):
        return Told(Turn.NOTHING, first, aim.primary)
    if _done_before(site, first, wish, aim, ways):
        return Told(Turn.NOTHING, first, aim.primary)
    base = _request(first, wish, aim, expected)
    if aim.target is not None:
        if wish.avoid or wish.prefer_zone:
            raise NotMeant("--avoid and --prefer-zone choose a replica, and you named one", "Name its primary instead.")
        found = judge_patiently(site, base, site.clock, ways.tell)
        return _go_on(site, wish, ways, Told(Turn.REFUSED, found.seen.snapshot, aim.primary, found))
    seen = site.see(aim.primary)
    avoid = meant_places(first, "--avoid", wish.avoid)
    zone = meant_zone(first, "--prefer-zone", wish.prefer_zone) if wish.prefer_zone else ""
    others = contenders(seen, base, avoid=avoid, prefer_zone=zone)
    best = chosen(others) or next((each for each in others if not each.avoided), None)
    if best is None:
        return Told(Turn.REFUSED, seen.snapshot, aim.primary, None, others)
    request = replace(base, target=best.node_id)
    found = judge_patiently(site, request, site.clock, ways.tell, judged(seen, request))
    return _go_on(site, wish, ways, Told(Turn.REFUSED, found.seen.snapshot, aim.primary, found, others))


def _request(snapshot: Snapshot, wish: Wish, aim: Aim, expected: NodeId | None) -> Request:
    """Where the target is to be chosen the primary stands in its place."""
    return Request(
        target=aim.target or aim.primary,
        primary=aim.primary,
        mode=wish.mode,
        given=wish.given,
        expected_primary=expected,
        fenced=meant_places(snapshot, "--confirm-fenced", wish.fenced),
        max_lag_bytes=wish.max_lag_bytes,
    )


def _as_planned(site: Site, first: Snapshot, wish: Wish, request: Request, ways: Ways) -> Told:
    """A saved plan, if its nodes are here, and its guard still holds beside the checks of now."""
    target, primary = first.node(request.target), first.node(request.primary)
    if target is None or primary is None:
        raise Refused(
            f"the plan is of another cluster: nobody here knows {request.target[:8] if target is None else ''}"
            f"{request.primary[:8] if target is not None else ''}",
            "Name a node of its cluster: -s HOST:PORT, or make a new plan.",
        )
    shard = first.shard_of(request.target)
    if shard is not None and shard.primary_id == request.target and target.slots:
        return Told(Turn.NOTHING, first, request.target)
    found = judge_patiently(site, request, site.clock, ways.tell)
    still = guard(found.seen.snapshot, wish.step) if wish.step else ()
    stale = tuple(replace(each, code=f"plan-{each.code}", hint=_NEW_PLAN) for each in still if each.refuses)
    kept = Check("plan-holds", CheckVerdict.PASS, "the shard and the quorum are as when the plan was saved")
    found = replace(found, checks=(*found.checks, *(stale or (kept,))))
    return _go_on(site, wish, ways, Told(Turn.REFUSED, found.seen.snapshot, request.primary, found))


_NEW_PLAN = "Make a new plan: rcfail failover TARGET --save-plan FILE"


def _go_on(site: Site, wish: Wish, ways: Ways, told: Told) -> Told:
    found = told.found
    if found is not None and wish.dry_run:
        found = replace(found, checks=(*found.checks, *_premises(site, found.seen.snapshot, wish)))
        return replace(told, turn=Turn.REFUSED if found.refused else Turn.ALLOWED, found=found)
    if found is None or found.refused:
        return told
    waited = ways.consent(told)
    snapshot = found.seen.snapshot
    steps = [step_data(snapshot, each) for each in found.plan.steps]
    orders = _orders(snapshot, wish, told.primary, steps=steps, given=sorted(found.request.given))

    def witness(moment: Moment) -> None:
        ways.witness(snapshot, moment)

    with at_work(site, snapshot, orders, witness=witness, tell=ways.tell, shield=ways.shield, sent=ways.sent) as hands:
        if waited:
            found = _judged_anew(hands, found)
        if found.refused:
            hands.exit_code = ExitCode.REFUSED
            return replace(told, found=found)
        with _canary(site, found, wish.canary) as canary:
            run = hands.mover.carry_out(found)
            if canary is not None:
                canary.stop(run.new_primary)  # an old primary that was cut off would still have every key
        done = replace(
            told, turn=Turn.RAN, found=found, run=run, felt=canary.result() if canary else None, limits=wish.limits
        )
        hands.exit_code = done.exit_code
        if hands.audit.trouble:
            ways.tell(f"{hands.audit.trouble}; not all of this run is written down")
        return done


def _judged_anew(hands: Hands, found: Judged) -> Judged:
    """After the operator has thought: all checks again, and whether it is still the plan that he said yes to."""
    newly = hands.mover.judge(found.request)
    still = guard(newly.seen.snapshot, found.plan.steps[0])
    saved = (each for each in found.checks if each.code.startswith("plan-"))
    return replace(newly, checks=(*newly.checks, *saved, *refusing(still)))


def _replaced(snapshot: Snapshot, aim: Aim, expected: NodeId | None) -> bool:
    """The primary that the operator expects follows the one that he names: that is what he wanted."""
    shard = snapshot.shard_of(aim.primary)
    return shard is not None and expected in shard.replica_ids


def _orders(snapshot: Snapshot, wish: Wish, primary: NodeId, **facts: Any) -> Orders:
    return Orders(
        command=wish.command,
        nodes=_shard_ids(snapshot, primary),
        facts={**facts, "asked": _asked(wish)},
        reason=wish.reason,
        break_lock=wish.break_lock,
    )


def _asked(wish: Wish) -> dict[str, str | int | None]:
    """The operator's own words, by which a repeated command is known."""
    return {"target": wish.word, "slot": wish.slot}


def _done_before(site: Site, snapshot: Snapshot, wish: Wish, aim: Aim, ways: Ways) -> bool:
    """The same command has promoted this primary: in a run that was killed, or in one beside this.

    Of one that was killed that is written down now, under the lock, whose dead owner is told of. So asked once more,
    it is a new wish.
    """
    began_unix_ms = begun_unix_ms(site.clock.unix_ms())
    past = repeated(site.audit_path, _asked(wish), _shard_ids(snapshot, aim.primary), aim.primary, began_unix_ms)
    if past is None:
        return False
    if past.running:
        raise LockHeld(past.owner, site.clock.unix_ms())
    died = "and ended before it could tell" if past.indeterminate else "at the same time"
    ways.tell(f"{past.owner.label} sent this {died}: it was carried out")
    if past.indeterminate and not wish.dry_run:
        orders = _orders(snapshot, wish, aim.primary, steps=[])
        with at_work(site, snapshot, orders, witness=lambda _: None, tell=ways.tell, shield=ways.shield) as hands:
            hands.exit_code = ExitCode.OK
    return True


def _premises(site: Site, snapshot: Snapshot, wish: Wish) -> tuple[Check, ...]:
    folder = state_folder() / "locks"
    return premises(site.door, snapshot, folder, site.audit_path, site.clock, break_lock=wish.break_lock)


def _shard_ids(snapshot: Snapshot, primary: NodeId) -> tuple[NodeId, ...]:
    shard = snapshot.shard_of(primary)
    return (shard.primary_id, *shard.replica_ids) if shard else (primary,)


@contextmanager
def _canary(site: Site, found: Judged, wanted: bool) -> Iterator[Canary | None]:
    """Writes and reads of our own in the shard, running before the send. Raises Refused where they cannot."""
    if not wanted:
        yield None
        return
    from rcfail.practice.canary import Canary

    with Canary(site.door, found.seen.snapshot, found.request.primary, site.clock) as canary:
        # A dead primary serves no canary either: then it feels when the new one does.
        if canary.is_shut_out or (canary.unready and found.request.mode is Mode.GRACEFUL):
            hint = _NOT_LET if canary.is_shut_out else _NO_CANARY
            raise Refused(f"the canary cannot write in this shard: {canary.unready}; nothing was sent", hint)
        yield canary


_NOT_LET = "Leave out --canary, or let this user write its keys: rcfail acl operating"
_NO_CANARY = "Leave out --canary, or see first why clients cannot write: rcfail health"
