"""The looks after a send, one after the other: what came to be in each, and when it is over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from rcfail.change.after.causes import SENT_REQUEST, Cause, why_not
from rcfail.change.after.clues import Clues
from rcfail.change.after.followed import Answered, Followed
from rcfail.change.after.moments import Event, claim, following, troubles
from rcfail.change.after.verify import (
    ARRIVED,
    NOTHING,
    Cast,
    Name,
    Stages,
    Standing,
    Word,
    Words,
    checks,
    covers,
    stages,
)
from rcfail.change.plan import PROPAGATION_MS
from rcfail.change.request import Mode
from rcfail.change.run import Moment, StepOutcome
from rcfail.cluster.nouns import NodeId, Role
from rcfail.health.wording import counted, duration, listing, rcfail

TIMES = 2
"""What is concluded has to show in so many rounds in a row. In a round everybody speaks once who is not silent."""

EVERYBODY_MS = 200
"""So often everybody is asked, also while only some can tell of something new."""

SLOW_MS = 1500
"""A failover that goes well takes a tenth of it."""


@dataclass(slots=True)
class Trail:
    """Takes looks, tells what is new in each, and knows when it is over. Times are ms after the send.

    A look has the last word of each node; a round is over when each has spoken anew. `writes_pause_ms` is for how long
    the old primary may hold writes back.
    """

    clues: Clues
    answered: Answered
    writes_pause_ms: int = 0
    timeline: list[Moment] = field(default_factory=list)
    words: Words = field(default_factory=dict)
    promoted_ms: int | None = None
    news_ms: int = 0
    _now: Stages | None = None
    _at_ms: int = 0
    _told: set[str] = field(default_factory=set)
    _most_seen: int = 0
    _moved: int = 0
    _other: NodeId | None = None
    _others: int = 0
    _rounds: int = 0
    _due: set[NodeId] | None = None
    _all_ms: int = 0

    @property
    def cast(self) -> Cast:
        return self.clues.cast

    @property
    def name(self) -> Name:
        return self.clues.name

    def take(self, words: Words, at_ms: int) -> list[Moment]:
        """One look. The moments that are new."""
        known = len(self.timeline)
        self.words, self._at_ms = words, at_ms
        self._now = now = stages(self.cast, words)
        if self.promoted_ms is None:
            self.clues.take(now, words, at_ms)
        for event, subject in self._events(now, words):
            # The reason behind a colon may change, as from a reset to a refused connection: it is one event.
            if (key := f"{event} {subject.partition(': ')[0]}") not in self._told:
                self._told.add(key)
                self.timeline.append(Moment(at_ms, event, subject))
        if now.promoted and self.promoted_ms is None:
            self.promoted_ms = at_ms
        self._count(now, words)
        if len(self.timeline) > known:
            self.news_ms = at_ms
        return self.timeline[known:]

    def _count(self, now: Stages, words: Words) -> None:
        """In how many rounds in a row the same has shown. What any look does not show begins anew."""
        other = self._other_owner(words)
        self._moved = self._moved if now.moved else 0
        self._others = self._others if other == self._other else 0
        self._other = other
        due = words.keys() if self._due is None else self._due
        self._due = {each for each in due if not (words[each].fresh or words[each].silence)}
        if not self._due:
            self._due = set(words)
            self._all_ms = self._at_ms
            self._rounds += 1
            self._moved += now.moved
            self._others += other is not None

    @property
    def wanted(self) -> frozenset[NodeId] | None:
        """Whom to ask next; None: everybody. To ask who has nothing new to tell slows down those who have.

        Before the promotion only the shard can tell of it. After it: who has not spoken in this round, who does not
        show it yet, and who is silent.
        """
        now, step = self._now, self.cast.step
        if now is None or self._at_ms - self._all_ms >= EVERYBODY_MS:
            return None
        if self.promoted_ms is None:
            return frozenset((step.target, step.primary, *self.cast.siblings))
        members = {step.primary: now.old, **now.siblings}
        coming = {each for each, standing in members.items() if standing not in ARRIVED}
        silent = {each for each, word in self.words.items() if word.silence}
        unseen = set(now.views) - set(now.seen)
        return frozenset((step.target, *coming, *silent, *unseen, *now.not_ok, *(self._due or ())))

    def requested(self, at_ms: int) -> Moment:
        """The server has taken the command."""
        moment = Moment(at_ms, "requested", self.name(self.cast.step.target))
        self.timeline.append(moment)
        return moment

    def ended(self) -> Followed | None:
        """The outcome, or None while something can still come."""
        now, at_ms = self._now, self._at_ms
        if now is None:
            return None
        if self._moved >= TIMES:
            return self._followed(StepOutcome.DONE, Cause(self._caveat()))
        if self.promoted_ms is not None:
            return self._incomplete(now) if at_ms >= self._patience_ms(now, self.promoted_ms) else None
        if self._others >= TIMES:
            return self._taken_by_another()
        if self.answered.refused and self._rounds >= TIMES:
            return self._refused()
        return self.not_promoted() if at_ms >= self._attempt_over_ms() else None

    def cut_short(self) -> Followed:
        """What can be said now, when nobody can wait any longer."""
        ended = self.ended()
        if ended is not None or self._now is None:
            return ended or self._followed(StepOutcome.INDETERMINATE, Cause("nothing was seen of it"))
        if self.promoted_ms is not None:
            return self._incomplete(self._now)
        left_ms = self._attempt_over_ms() - self._at_ms
        why = f"{self._target} is not promoted so far, and can be for {duration(left_ms)} more"
        return self._followed(StepOutcome.INDETERMINATE, Cause(why, f"Look again then: {self._health}"))

    @property
    def _target(self) -> str:
        return self.name(self.cast.step.target)

    @property
    def _health(self) -> str:
        return rcfail("health", self.clues.terms.seed)

    def _word(self, node_id: NodeId) -> Word:
        return self.words.get(node_id, NOTHING)

    def _events(self, now: Stages, words: Words) -> Iterator[Event]:
        """All that holds now, in the order in which it usually comes."""
        step, target = self.cast.step, self._target
        if now.paused:
            yield "paused", f"{self.name(step.primary)} holds writes back"
        yield from troubles(self.cast, words, self.name)
        if self.promoted_ms is None and not now.promoted:
            if self.clues.primary_failed:
                yield "failed", f"{self.name(step.primary)}: the servers may elect somebody by themselves"
            if self.clues.traces.asked_at_ms is not None:
                yield "asks", f"{target} asks for votes"
        yield from claim(self.cast, now, self.name)
        if self._lost(now):
            yield "lost", f"{target} is not the primary any more"
        if len(now.seen) > self._most_seen:
            self._most_seen = len(now.seen)
            yield "seen", f"by {len(now.seen)} of {counted(len(now.views), 'node')}"
        yield from following(self.cast, now, self.name)
        yield from self._waiting(now)

    def _waiting(self, now: Stages) -> Iterator[Event]:
        """What is still to come, and how long it may take: whoever looks on must not wonder."""
        began_ms = self.promoted_ms or 0
        if self._at_ms - began_ms < SLOW_MS or now.moved or self.answered.refused:
            return
        until_ms = self._attempt_over_ms() if self.promoted_ms is None else self._patience_ms(now, self.promoted_ms)
        what = "a promotion" if self.promoted_ms is None else "the rest of the cluster to follow"
        if until_ms > self._at_ms:
            yield "waiting", f"for {what}: up to {duration(until_ms - self._at_ms)} more"

    def _lost(self, now: Stages) -> bool:
        return self.promoted_ms is not None and not now.promoted and not self._word(self.cast.step.target).silence

    def _other_owner(self, words: Words) -> NodeId | None:
        """Who says itself that it owns what the step was about, in a new epoch, and is not the target."""
        step = self.cast.step
        for node_id in self.cast.siblings:
            own = words.get(node_id, NOTHING).belief(node_id)
            if own is not None and own.role is Role.PRIMARY and own.config_epoch > step.epoch:
                return node_id if covers(own.slots, step.slots) else None
        return None

    def _patience_ms(self, now: Stages, promoted_ms: int) -> int:
        """Until when what is still missing is waited for: links may need a copy; views and the silent need no time."""
        standings = (now.old, *now.siblings.values())
        coming = any(each in (Standing.COPYING, Standing.UNLINKED, Standing.ELSEWHERE) for each in standings)
        soon = max(self.cast.step.verify_ms, promoted_ms + PROPAGATION_MS)
        return max(soon, promoted_ms + self.cast.step.redundant_ms) if coming or now.not_ok else soon

    def _attempt_over_ms(self) -> int:
        """From when on nothing can come of it, and writes cannot pause for it any more.

        Where the primary has failed meanwhile the servers may promote somebody by themselves: that is waited for once.
        """
        step = self.cast.step
        pause_ms = self.writes_pause_ms if step.mode is Mode.GRACEFUL else 0
        over_ms = max(step.verify_ms, pause_ms)
        return 2 * over_ms if self.clues.primary_failed else over_ms

    @property
    def _ours(self) -> bool:
        """Whether the promotion is this command's doing, and on its terms.

        A graceful request makes the target send MFSTART. Once its primary has failed, it is elected without waiting for
        the end of the stream (clusterHandleSlaveFailover, cluster_legacy.c).
        """
        if self.answered.refused:
            return False
        if self.cast.step.mode is not Mode.GRACEFUL:
            return True
        requests = self.clues.attempt(self.words, self._at_ms).counted(self.cast.step.target, SENT_REQUEST)
        return requests != 0 and not self.clues.primary_failed

    def _caveat(self) -> str:
        if self._ours:
            return ""
        if self.clues.primary_failed:
            primary = self.name(self.cast.step.primary)
            return f"{primary} failed meanwhile: it was elected without the end of the stream, and writes may be lost"
        return "it was elected without this command"

    def _followed(self, outcome: StepOutcome, cause: Cause, new_primary: NodeId | None = None) -> Followed:
        now = self._now
        promoted = now is not None and now.promoted
        return Followed(
            outcome=outcome,
            checks=checks(self.cast, now, self.words, self.name) if now is not None else (),
            timeline=tuple(self.timeline),
            new_primary=self.cast.step.target if promoted else new_primary,
            epoch_after=now.epoch if now is not None and promoted else self._epoch_of(new_primary),
            why=cause.why,
            hint=cause.hint,
            ours=self._ours if self.promoted_ms is not None else new_primary is None,
            retry_after_ms=cause.retry_after_ms,
        )

    def _epoch_of(self, node_id: NodeId | None) -> int | None:
        own = self._word(node_id).belief(node_id) if node_id else None
        return own.config_epoch if own else None

    def _incomplete(self, now: Stages) -> Followed:
        """Promoted, and something of the rest is missing."""
        if self._lost(now):
            own = self._word(self.cast.step.target).belief(self.cast.step.target)
            whose = f", and is a replica of {self.name(own.primary_id)} now" if own and own.primary_id else ""
            return self._followed(StepOutcome.NOT_DONE, Cause(f"{self._target} was promoted and lost it again{whose}"))
        found = [each.evidence for each in checks(self.cast, now, self.words, self.name) if each.refuses]
        missing = "; ".join(found) or "not everybody was heard in two rounds in a row"
        since = f"it was promoted {duration(self._at_ms - (self.promoted_ms or 0))} ago"
        caveat = f"{self._caveat()}; " if not self._ours else ""
        hint = f"What is wrong with it: {self._health}"
        return self._followed(StepOutcome.INCOMPLETE, Cause(f"{caveat}{since}, and is not whole: {missing}", hint))

    def _taken_by_another(self) -> Followed:
        assert self._other is not None
        why = f"{self.name(self._other)} was promoted instead, by an election of its own and not by this command"
        return self._followed(StepOutcome.NOT_DONE, Cause(why), self._other)

    def _refused(self) -> Followed:
        return self._followed(
            StepOutcome.NOT_DONE,
            Cause(f"{self._target} refused it, and nothing was begun: {self.answered.refused}"),
        )

    def not_promoted(self) -> Followed:
        """The attempt is over, and the target does not say that it is primary."""
        target = self._word(self.cast.step.target)
        cause = why_not(self.clues.attempt(self.words, self._at_ms))
        if target.silence and not self._others_tell(target):
            return self._followed(StepOutcome.INDETERMINATE, replace(cause, retry_after_ms=None))
        seen = self._now.seen if self._now else ()
        if target.silence and seen:
            why = f"{listing(map(self.name, seen))} list it as the owner, but {cause.why}"
            return self._followed(StepOutcome.INCOMPLETE, Cause(why, f"What is wrong with it: {self._health}"))
        return self._followed(StepOutcome.NOT_DONE, cause)

    def _others_tell(self, target: Word) -> bool:
        """Whether the others' views can stand for the silent target's own.

        Not where it took the command and never answered, and is still there: it may carry it out when it goes on.
        """
        if self.answered.unanswered and "refuse" not in target.silence:
            return False
        telling = [each for each in self.clues.terms.voters if self._word(each).table is not None]
        return len(telling) >= self.clues.terms.needed
