"""What is gathered on the way for the question why nobody was promoted: it shows only while it happens."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from rcfail.change.after.causes import ASKED, GOT_VOTE, Attempt, Terms, Traces
from rcfail.change.after.verify import NOTHING, Cast, Name, Stages, Word, Words
from rcfail.cluster.nouns import NodeId, Role


@dataclass(slots=True)
class Clues:
    """Takes looks until somebody is promoted. `primary_failed`: the target heard so, and had not before the send."""

    cast: Cast
    terms: Terms
    name: Name
    traces: Traces = field(default_factory=lambda: Traces(link_down=True))
    primary_failed: bool = False
    _asked: int = 0
    _got: int = 0
    _got_before: int = 0

    def take(self, now: Stages, words: Words, at_ms: int) -> None:
        step, was = self.cast.step, self.traces
        primary, target = words.get(step.primary, NOTHING), words.get(step.target, NOTHING)
        failed_before = failed(self.cast.before.get(step.target, NOTHING), step.primary)
        self.primary_failed = self.primary_failed or (failed(target, step.primary) and not failed_before)
        fresh = primary.fresh and not primary.silence
        link, stream = target.vitals.replication, primary.vitals.replication
        self.traces = replace(
            was,
            listed=self._listed(primary) if was.listed is None and fresh else was.listed,
            met=was.met or (link.own_offset is not None and link.own_offset == stream.primary_offset),
            link_down=was.link_down and link.link_up is False,
            heard=was.heard or fresh,
            stale_epoch=was.stale_epoch if now.promoted or now.epoch is None else now.epoch,
        )
        self._count_votes(words, at_ms)

    def attempt(self, words: Words, at_ms: int) -> Attempt:
        return Attempt(self.cast, words, self.traces, self.terms, at_ms, self.name)

    def _listed(self, primary: Word) -> bool | None:
        """Before the send or after it: meanwhile the target's own claim may have changed it."""
        step = self.cast.step
        beliefs = (word.belief(step.target) for word in (self.cast.before.get(step.primary, NOTHING), primary))
        said = [each for each in beliefs if each is not None]
        return any(each.role is Role.REPLICA and each.primary_id == step.primary for each in said) if said else None

    def _count_votes(self, words: Words, at_ms: int) -> None:
        """Of each election of the target its own: whoever does not win stands again after a while."""
        attempt = self.attempt(words, at_ms)
        asked, got = (attempt.counted(self.cast.step.target, each) for each in (ASKED, GOT_VOTE))
        if asked is None or got is None:
            return
        if asked > self._asked:
            self._asked, self._got_before = asked, self._got
            self.traces = replace(self.traces, asked_at_ms=at_ms)
        self._got = got
        if asked:
            self.traces = replace(self.traces, votes=max(self.traces.votes, got - self._got_before))


def failed(word: Word, node_id: NodeId) -> bool:
    """The majority's verdict, as the node that says the word has heard it."""
    belief = word.belief(node_id)
    return belief is not None and belief.failed
