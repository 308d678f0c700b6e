"""One failover, carried out: guard, lock, audit, one send, and what came of it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from rcfail.change.after.follow import Followed, Follower
from rcfail.change.after.sampler import Sampler
from rcfail.change.checks import Check, CheckVerdict, refusing
from rcfail.change.loss import Loss
from rcfail.change.plan import Step, guard
from rcfail.change.run import StepOutcome, StepRun
from rcfail.change.sender import Means, Spoken, audited, locked, say_once, unsent
from rcfail.clock import Clock
from rcfail.cluster.nouns import Endpoint
from rcfail.cluster.snapshot import Snapshot
from rcfail.errors import CannotSee


@dataclass(slots=True)
class _Course:
    """How far a step has come."""

    spoken: Spoken | None = None
    followed: Followed | None = None

    @property
    def left(self) -> bool:
        return self.spoken is not None and self.spoken.left


def carry_out(
    means: Means, judged: Snapshot, step: Step, at_risk: tuple[int, int] | None, *, stood_unix_ms: int | None = None
) -> StepRun:
    """Send one step, once, if the world is still the one that was judged, and follow it to its end.

    `stood_unix_ms` is when the target stood for election last, as far as that is known.
    Ctrl-C before the send passes through as KeyboardInterrupt. After it, one last look tells what happened.
    """
    course = _Course()
    try:
        run = _taken(means, judged, step, at_risk, stood_unix_ms, course)
    except KeyboardInterrupt:
        if not course.left:
            raise
        run = _told(step, course, Loss(at_risk))
    if run.sent:
        facts = {each.code: f"{each.verdict}: {each.evidence}" for each in run.verification}
        # It is over: Ctrl-C while its last line is written must not turn the answer into "before anything was sent".
        with suppress(KeyboardInterrupt), means.shield():
            means.audit.verified(step=step.number, outcome=run.outcome.value, why=run.why, checks=facts)
            means.sent()
    return run


def _taken(
    means: Means,
    judged: Snapshot,
    step: Step,
    at_risk: tuple[int, int] | None,
    stood_unix_ms: int | None,
    course: _Course,
) -> StepRun:
    """From the connections that watch it to the loss. What is known so far stands in `course` when it is cut off."""
    with Follower(means.door, judged, step, means.witness, means.clock, stood_unix_ms=stood_unix_ms) as follower:
        follower.prepare()
        with Sampler(means.door, judged, step, means.clock) as sampler:
            checks = _last_checks(means, judged, step)
            if refusing(checks):
                return _refused(step, checks)
            try:
                with means.shield():
                    checks = (*checks, audited(means, step.number, step.target, _place(judged, step), step.command))
                    if not refusing(checks):
                        course.spoken = say_once(means, step.number, step.target, _place(judged, step), step.command)
                if course.spoken is None or not course.left:
                    why = () if course.spoken is None else (unsent(course.spoken),)
                    return _refused(step, (*checks, *why))
                course.followed = follower.follow(course.spoken.at_s, course.spoken.reply)
            except KeyboardInterrupt:
                if course.spoken is None or not course.left:
                    raise
                course.followed = _last_look(follower, means.clock, step, course.spoken)
            return _told(step, course, sampler.loss(at_risk))


def _last_checks(means: Means, judged: Snapshot, step: Step) -> tuple[Check, ...]:
    """All that must still be so right before the send."""
    try:
        now = means.look()
    except CannotSee as fault:
        return (Check("guard-look", CheckVerdict.UNKNOWN, f"the cluster cannot be seen any more: {fault.message}"),)
    return (*guard(now, step), _no_election_since(judged, now), locked(means.held))


def _no_election_since(judged: Snapshot, now: Snapshot) -> Check:
    """The current epoch grows with every election and every takeover, in all shards (clusterHandleSlaveFailover and
    clusterBumpConfigEpochWithoutConsensus, cluster_legacy.c): a new one means that something else is under way."""
    before, after = newest_epoch(judged), newest_epoch(now)
    if before == after:
        return Check("guard-epoch", CheckVerdict.PASS, f"no election since the checks: epoch {after}")
    text = f"somebody stood for election since the checks: epoch {before} became {after}"
    return Check("guard-epoch", CheckVerdict.FAIL, text, hint="Run it again: everything is then looked at anew.")


def newest_epoch(snapshot: Snapshot) -> int:
    """The highest current epoch that any node tells; 0 where none does."""
    told = (view.vitals.cluster.current_epoch for view in snapshot.views)
    return max((each for each in told if each is not None), default=0)


def _place(judged: Snapshot, step: Step) -> Endpoint:
    place = judged.nodes[step.target].endpoint
    assert place is not None, "the guard has seen the target answer"
    return place


def _last_look(follower: Follower, clock: Clock, step: Step, spoken: Spoken) -> Followed:
    """After Ctrl-C: what is so now. What the servers still try is not "not done"."""
    try:
        seen = follower.look_now(spoken.at_s)
    except KeyboardInterrupt:
        return Followed(StepOutcome.INDETERMINATE, why="interrupted, and interrupted again before the last look")
    left_ms = step.attempt_ms - round((clock.monotonic_s() - spoken.at_s) * 1000)
    if seen.outcome is not StepOutcome.NOT_DONE or left_ms <= 0 or seen.retry_after_ms is not None:
        return seen
    return Followed(
        StepOutcome.INDETERMINATE,
        seen.checks,
        seen.timeline,
        why=f"interrupted: not promoted yet, and the servers may go on with it for {left_ms / 1000:.1f} s",
        hint="See what became of it: rcfail health",
    )


def _refused(step: Step, checks: tuple[Check, ...]) -> StepRun:
    said = "; ".join(each.evidence for each in refusing(checks))
    hint = next((each.hint for each in refusing(checks) if each.hint), "")
    return StepRun(step, StepOutcome.REFUSED, False, None, checks, why=f"nothing was sent: {said}", hint=hint)


_CUT_OFF = Followed(StepOutcome.INDETERMINATE, why="interrupted before it was seen", hint="Look: rcfail health")


def _told(step: Step, course: _Course, loss: Loss) -> StepRun:
    followed = course.followed or _CUT_OFF
    return StepRun(
        step=step,
        outcome=followed.outcome,
        sent=True,
        reply=course.spoken.text if course.spoken else None,
        verification=followed.checks,
        timeline=followed.timeline,
        new_primary=followed.new_primary,
        epoch_after=followed.epoch_after,
        why=followed.why,
        hint=followed.hint,
        ours=followed.ours,
        retry_after_ms=followed.retry_after_ms,
        loss=loss,
    )
