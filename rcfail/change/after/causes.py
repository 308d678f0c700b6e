"""Why a replica was not promoted though the server said OK: from counters, offsets and views before and after."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rcfail.change.after.verify import NOTHING, Cast, Name, Word, Words
from rcfail.change.request import Mode
from rcfail.cluster.nouns import Endpoint, NodeId, Role
from rcfail.health.wording import counted, duration, listing, rcfail

SENT_REQUEST, GOT_REQUEST = "mfstart_sent", "mfstart_received"
ASKED, HEARD_ASK = "auth-req_sent", "auth-req_received"
VOTED, GOT_VOTE = "auth-ack_sent", "auth-ack_received"


@dataclass(frozen=True, slots=True)
class Traces:
    """What was seen on the way, besides the last round. Times in ms after the send.

    `listed`: the primary listed the target as its replica when the request reached it; None where it was not heard.
    `met`: both had the same offset in some round. `link_down`: the target's link was down in every round. `heard`: the
    primary said anything since the send. `asked_at_ms` is when the target was last seen to ask for votes, and `votes`
    the most that it got in one election: it may stand again within one attempt. `stale_epoch`: it claimed the slots in
    this epoch, which is too old for the others to take its word.
    """

    listed: bool | None = None
    met: bool = False
    link_down: bool = False
    heard: bool = False
    asked_at_ms: int | None = None
    votes: int = 0
    stale_epoch: int | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """What the servers' version and settings make of elections.

    `cooldown_ms` is for how long a node that stood for election cannot stand again, 0 where it always can; `stood_ms`
    is how long before the send the target last stood, as far as that was written down. `voters` are all primaries with
    slots, and `needed` a majority of them. `prepared_ms` is how long before the send everything was looked at. A next
    command can begin at `seed`.
    """

    voters: tuple[NodeId, ...]
    needed: int
    cooldown_ms: int = 0
    stood_ms: int | None = None
    prepared_ms: int = 0
    seed: Endpoint | None = None


@dataclass(frozen=True, slots=True)
class Cause:
    """A sentence without its full stop, what to do next, and in how many ms from now another attempt can work."""

    why: str
    hint: str = ""
    retry_after_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt that is over: nobody was promoted by it."""

    cast: Cast
    words: Words
    traces: Traces
    terms: Terms
    now_ms: int
    name: Name

    @property
    def target(self) -> Word:
        return self.words.get(self.cast.step.target, NOTHING)

    @property
    def primary(self) -> Word:
        return self.words.get(self.cast.step.primary, NOTHING)

    def counted(self, node_id: NodeId, counter: str) -> int | None:
        """By how much a node's counter of bus messages grew since before the send; None where that is not known.

        A counter is not printed before it first counts; all begin anew with the process (clusterInit).
        """
        before, now = self.cast.before.get(node_id, NOTHING), self.words.get(node_id, NOTHING)
        if not before.cluster_info or not now.cluster_info:
            return None
        grown = _counter(now, counter) - _counter(before, counter)
        return grown if grown >= 0 else None


def _counter(word: Word, name: str) -> int:
    return word.vitals.cluster.messages.get(name, 0)


def why_not(attempt: Attempt) -> Cause:
    """The first cause that fits, the nearest to the target first."""
    return next(_causes(attempt))


def _causes(attempt: Attempt) -> Iterator[Cause]:
    yield from _of_target(attempt)
    if attempt.traces.stale_epoch is not None:
        yield _old_votes(attempt, attempt.traces.stale_epoch)
    if attempt.counted(attempt.cast.step.target, ASKED):
        yield _votes(attempt)
    if attempt.cast.step.mode is Mode.GRACEFUL:
        yield from _of_request(attempt)
        yield from _of_offsets(attempt)
    yield from _of_cooldown(attempt)
    if attempt.traces.asked_at_ms is not None or attempt.counted(attempt.cast.step.target, ASKED) is None:
        yield Cause(f"{_target(attempt)} was not promoted; what it asked for cannot be told, for it was started anew")
    yield Cause(f"{_target(attempt)} never asked for votes, and does not say why")


def _target(attempt: Attempt) -> str:
    return attempt.name(attempt.cast.step.target)


def _of_target(attempt: Attempt) -> Iterator[Cause]:
    word, step = attempt.target, attempt.cast.step
    if word.silence:
        hint = f"See what became of it, and who serves the shard: {rcfail('health', attempt.terms.seed)}"
        yield Cause(f"{_target(attempt)} is silent since the send: {word.silence}", hint)
        return
    own = word.belief(step.target)
    if own is None:
        yield Cause(f"{_target(attempt)} loads its data, and gives no view", "Again when it has loaded.")
    elif own.role is Role.PRIMARY and not own.slots:
        yield Cause(f"{_target(attempt)} became a primary without slots: it was reset, or made one")
    elif own.role is Role.PRIMARY:
        yield _stale(attempt, own.config_epoch)
    elif own.primary_id not in (None, step.primary):
        yield Cause(f"{_target(attempt)} became a replica of {attempt.name(own.primary_id)} meanwhile")


def _stale(attempt: Attempt, epoch: int) -> Cause:
    """A vote of an earlier election counted again, or a takeover by a replica that was started anew: Redis before
    7.0.3 then gives it no new epoch (clusterBumpConfigEpochWithoutConsensus), and nobody else takes its word.
    """
    text = f"{_target(attempt)} claims the slots in epoch {epoch}, which is not above {attempt.cast.step.epoch}"
    return Cause(
        f"{text}: the others do not take its word",
        f"Look at who owns the slots now: {rcfail('health', attempt.terms.seed)}",
    )


def _old_votes(attempt: Attempt, epoch: int) -> Cause:
    """Within half of its cooldown after an election that it won, Redis counts those votes again: the replica promotes
    itself in its old epoch, and steps back when it hears of the newer one (clusterHandleSlaveFailover).
    """
    why = f"{_target(attempt)} counted the votes of its last election again: it claimed the slots in epoch {epoch},"
    return _again(f"{why} which nobody takes for new, and stepped back (cooldown)", _cooldown_left_ms(attempt))


def _votes(attempt: Attempt) -> Cause:
    """It asked, and did not get enough."""
    terms, got = attempt.terms, attempt.traces.votes
    silent = [each for each in terms.voters if attempt.words.get(each, NOTHING).silence]
    deaf = [each for each in terms.voters if each not in silent and attempt.counted(each, HEARD_ASK) == 0]
    mute = [
        each
        for each in terms.voters
        if each not in silent and attempt.counted(each, HEARD_ASK) and attempt.counted(each, VOTED) == 0
    ]
    said = f"{_target(attempt)} asked for votes and got {got} of the {terms.needed} that are needed"
    notes = [f"silent: {_names(attempt, silent)}"] if silent else []
    notes += [f"did not hear it: {_names(attempt, deaf)}"] if deaf else []
    notes += [f"voted no: {_names(attempt, mute)}{_denial(attempt, mute)}"] if mute else []
    why = "; ".join((said, *notes))
    if len(terms.voters) - len(silent) - len(deaf) < terms.needed:
        return Cause(why, "Too few voters can be reached by it: bring them back. Without them only takeover can work.")
    asked_ms = attempt.traces.asked_at_ms or 0
    return _again(why, max(0, terms.cooldown_ms - (attempt.now_ms - asked_ms)))


def _names(attempt: Attempt, nodes: list[NodeId]) -> str:
    return listing(attempt.name(each) for each in nodes)


def _denial(attempt: Attempt, mute: list[NodeId]) -> str:
    """Why voters say no, where it shows (clusterSendFailoverAuthIfNeeded, cluster_legacy.c).

    What they knew when they were asked counts: seconds later they know more.
    """
    beliefs = (attempt.cast.before.get(each, NOTHING).belief(attempt.cast.step.target) for each in mute)
    if any(each is not None and each.role is not Role.REPLICA for each in beliefs):
        return " (it was no replica for them yet)"
    return " (they voted in this shard a moment ago)" if attempt.terms.cooldown_ms else ""


def _of_request(attempt: Attempt) -> Iterator[Cause]:
    """A graceful request has to reach the primary, and the primary has to take it up."""
    step, traces = attempt.cast.step, attempt.traces
    primary = attempt.name(step.primary)
    if not traces.heard:
        hint = f"When {primary} goes on, it can still take up the request and hold writes back for some seconds."
        yield Cause(f"{primary} did not react: {attempt.primary.silence or 'it did not answer'}", hint)
    elif traces.listed is False:
        why = f"{primary} ignored the request: it did not list {_target(attempt)} as its replica yet"
        yield Cause(why, f"Again when all views know the last change: {rcfail('wait', attempt.terms.seed, 'settled')}")
    elif attempt.counted(step.target, SENT_REQUEST) == 0:
        yield Cause(f"{_target(attempt)} sent no request to {primary}: it has no bus connection to it")
    elif attempt.counted(step.primary, GOT_REQUEST) == 0:
        hint = f"The bus port must be open both ways. Who hears whom: {rcfail('views', attempt.terms.seed)}"
        yield Cause(f"the request of {_target(attempt)} did not reach {primary} on the cluster bus", hint)


def _of_offsets(attempt: Attempt) -> Iterator[Cause]:
    """The election begins when the replica has all that the paused primary has (clusterHandleManualFailover)."""
    if attempt.traces.met:
        return
    if attempt.traces.link_down or attempt.target.vitals.replication.link_up is False:
        why = f"the offsets never met: the link of {_target(attempt)} to its primary is down"
        yield Cause(why, f"Mend the link first. What is wrong with it: {rcfail('health', attempt.terms.seed)}")
        return
    have, want = attempt.target.vitals.replication.own_offset, attempt.primary.vitals.replication.primary_offset
    if have is not None and want is not None and have != want:
        behind = counted(abs(want - have), "byte")
        yield Cause(f"the offsets never met: {_target(attempt)} is {behind} behind", "Again when it has caught up.")


def _of_cooldown(attempt: Attempt) -> Iterator[Cause]:
    """A node that stood for election asks for no votes again for a while; that it ever stood shows in a counter."""
    terms = attempt.terms
    before = attempt.cast.before.get(attempt.cast.step.target, NOTHING)
    if not terms.cooldown_ms or not before.cluster_info or not _counter(before, ASKED):
        return
    known = terms.stood_ms is not None
    when = f"{duration(_stood_ms(attempt))} ago" if known else f"less than {duration(terms.cooldown_ms)} ago"
    why = f"{_target(attempt)} never asked for votes: its last election was {when} (cooldown)"
    yield _again(why, _cooldown_left_ms(attempt))


def _stood_ms(attempt: Attempt) -> int:
    """How long ago the target stood for election; at least so long, where that was not written down."""
    terms = attempt.terms
    return attempt.now_ms + (terms.stood_ms if terms.stood_ms is not None else terms.prepared_ms)


def _cooldown_left_ms(attempt: Attempt) -> int:
    return max(0, attempt.terms.cooldown_ms - _stood_ms(attempt))


def _again(why: str, retry_after_ms: int) -> Cause:
    when = f"in {duration(retry_after_ms)}" if retry_after_ms else "at once"
    return Cause(why, f"Another attempt can work {when}.", retry_after_ms)
