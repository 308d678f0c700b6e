"""Looking until it is known what stays: the loop of `health`.

It stands between the session, which can look once, and the commands, which have no loops: sleeping is an
effect, so it is not in `health`, and which findings count twice is a rule, so it is not in `session`.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from rcfail.blind import cannot_see
from rcfail.clock import Clock, Deadline, poll
from rcfail.cluster.merge import merge
from rcfail.cluster.observation import Observation, SilenceReason
from rcfail.cluster.snapshot import Snapshot
from rcfail.cluster.zones import NO_LABELS, ZoneLabels
from rcfail.errors import CannotSee, OutOfTime
from rcfail.exits import ExitCode
from rcfail.health.diagnose import clean, diagnose, settled
from rcfail.health.finding import Finding, Thresholds
from rcfail.health.manner import fitted
from rcfail.health.verdict import Diagnosis, Policy, conclude
from rcfail.session import Sight

PAUSE_S = 0.2
"""Long enough for a gossip message and a vote to arrive, short enough not to be noticed."""

MOST_ROUNDS = 4


WAIT_EVERY_S = 0.5


@dataclass(frozen=True, slots=True)
class Looked:
    """What the last round shows. `rounds` were taken; `agreed`: the last one, or a clean first one, settled it.

    `observation` alone gives the same findings again.
    """

    observation: Observation
    snapshot: Snapshot
    findings: tuple[Finding, ...]
    rounds: int
    agreed: bool


@dataclass(frozen=True, slots=True)
class Judged:
    """A settled look and its verdict. `waited_s` is how long it was waited for the verdict to become OK."""

    looked: Looked
    diagnosis: Diagnosis
    waited_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Judge:
    """Looks through one sight, each time within `deadline_s`, and judges by one policy. `labels` tell zones."""

    sight: Sight
    thresholds: Thresholds
    policy: Policy
    clock: Clock
    deadline_s: float
    labels: ZoneLabels = NO_LABELS

    def judge(self, before: Sequence[Finding] | None = None) -> Judged:
        """Raises CannotSee when no cluster can be seen at all. `before` are the findings of a round just before."""
        deadline = Deadline.after(self.deadline_s, self.clock)
        looked = look_until_settled(self.sight, self.thresholds, self.clock, deadline, self.labels, before)
        return Judged(looked, conclude(looked.findings, self.policy))

    def judge_until_ok(self, within_s: float) -> Judged:
        """Judge again and again until the policy calls it OK, or time is up: then the last verdict stands.

        A look that has begun is ended, so this can take `within_s` and one look. Raises CannotSee when the
        last look showed no cluster.
        """
        began_s = self.clock.monotonic_s()
        last: list[Judged | CannotSee] = []

        def look() -> bool:
            try:
                judged: Judged | CannotSee = self.judge()
            except CannotSee as fault:
                judged = fault  # what is being started may not answer yet
            last[:] = [judged]
            return isinstance(judged, Judged) and judged.diagnosis.exit_code is ExitCode.OK

        with suppress(OutOfTime):  # the last verdict says more than that time is up
            poll(look, bool, deadline=Deadline.after(within_s, self.clock), every_s=WAIT_EVERY_S, waiting_for="OK")
        if isinstance(last[0], CannotSee):
            raise last[0]
        return replace(last[0], waited_s=self.clock.monotonic_s() - began_s)


def look_until_settled(
    sight: Sight,
    thresholds: Thresholds,
    clock: Clock,
    deadline: Deadline,
    labels: ZoneLabels = NO_LABELS,
    before: Sequence[Finding] | None = None,
) -> Looked:
    """Look once; if anything is wrong look again, until two rounds say the same of what can pass by itself.

    `before` are the findings of an earlier round: then the first look already has one to agree with.
    Raises CannotSee when the first round shows no cluster at all.
    """
    observation = sight.look(deadline)
    fault = cannot_see(observation)
    if fault is not None:
        raise fault
    snapshot = merge(observation, labels)
    findings = fitted(diagnose(snapshot, thresholds), sight.manner)
    if clean(findings) or (before is not None and settled(before, findings)):
        return Looked(observation, snapshot, findings, 1, agreed=True)
    for rounds in range(2, MOST_ROUNDS + 1):
        newer = look_again(sight, observation, clock, deadline)
        if newer is None:
            return Looked(observation, snapshot, findings, rounds - 1, agreed=False)
        snapshot = merge(newer, labels)
        earlier, findings = findings, fitted(diagnose(snapshot, thresholds), sight.manner)
        observation = newer
        if settled(earlier, findings):
            return Looked(observation, snapshot, findings, rounds, agreed=True)
    # No two looks in a row said the same: what the last one shows was not seen to stay, but not to pass either, and
    # a cluster that is never seen well is not.
    return Looked(observation, snapshot, findings, MOST_ROUNDS, agreed=False)


def look_again(sight: Sight, previous: Observation, clock: Clock, deadline: Deadline) -> Observation | None:
    """A later round, or None where there is none, or no time for a whole one."""
    if deadline.remaining_s() <= 2 * PAUSE_S:
        return None
    clock.sleep(PAUSE_S)
    newer = sight.again(previous, deadline)
    # A round that the deadline cut short knows less than the one before.
    return None if newer is None or _unasked(newer) > _unasked(previous) else newer


def _unasked(observation: Observation) -> int:
    return sum(1 for silence in observation.silences if silence.reason is SilenceReason.NO_TIME)
