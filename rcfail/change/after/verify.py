"""Whether a failover holds: judged by what every node says itself, never by the reply to the command."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from rcfail.change.checks import Check, CheckVerdict
from rcfail.change.plan import Step
from rcfail.cluster.nouns import Belief, NodeId, NodeTable, Role, SlotRange
from rcfail.cluster.parse_info import vitals
from rcfail.cluster.vitals import Vitals
from rcfail.health.wording import counted, listing, slots_text


@dataclass(frozen=True, slots=True)
class Word:
    """What one node said last: its table, INFO replication (of members of the shard) and CLUSTER INFO, as texts.

    `silence` says why it says nothing, and is "" where it spoke. `loading`: it answers, but not with a table.
    `fresh`: it spoke just now, and not in an earlier look. `paused`: it holds writes back for a failover; only Valkey
    from 8.1 tells.
    """

    table: NodeTable | None = None
    info: str = ""
    cluster_info: str = ""
    silence: str = ""
    loading: bool = False
    fresh: bool = True
    paused: bool = False

    @property
    def vitals(self) -> Vitals:
        return _read(self.info, self.cluster_info)

    @property
    def state_ok(self) -> bool:
        return "cluster_state:ok" in self.cluster_info

    def belief(self, node_id: NodeId) -> Belief | None:
        return self.table.by_id.get(node_id) if self.table else None


@lru_cache(maxsize=64)
def _read(info: str, cluster_info: str) -> Vitals:
    """A round asks for the same texts several times."""
    return vitals(info, cluster_info, None)


Words = Mapping[NodeId, Word]
"""One round: what each node of the cluster said."""

NOTHING = Word(silence="it was never heard")


class Standing(StrEnum):
    """How far a member of the shard has come on its way behind the new primary."""

    LEFT_OUT = "left-out"  # it was silent, or had no link, before: nothing can be expected of it
    SILENT = "silent"
    ELSEWHERE = "elsewhere"  # it is not yet the new primary's replica
    COPYING = "copying"  # it takes a full copy
    UNLINKED = "unlinked"
    LINKED = "linked"


ARRIVED = frozenset({Standing.LEFT_OUT, Standing.LINKED})


@dataclass(frozen=True, slots=True)
class Cast:
    """Who takes part: the step, the replicas of the shard besides its target, and the last round before the send."""

    step: Step
    siblings: tuple[NodeId, ...]
    before: Words


@dataclass(frozen=True, slots=True)
class Stages:
    """Which stages hold in one round.

    `epoch` is the target's own word, None where it claims no slot of the step. `views` gave a table, `seen` of them
    show the target as owner of all slots, `know` show the old primary as a replica. `not_ok` said cluster_state ok
    before, and do not now.
    """

    promoted: bool
    epoch: int | None
    paused: bool
    views: tuple[NodeId, ...]
    seen: tuple[NodeId, ...]
    know: tuple[NodeId, ...]
    old: Standing
    siblings: Mapping[NodeId, Standing]
    not_ok: tuple[NodeId, ...]

    @property
    def all_see(self) -> bool:
        return self.promoted and len(self.seen) == len(self.views)

    @property
    def demoted(self) -> bool:
        return self.old in (Standing.COPYING, Standing.UNLINKED, Standing.LINKED)

    @property
    def redundant(self) -> bool:
        """Everybody of whom that can be expected follows the target, with the link up."""
        return all(each in ARRIVED for each in (self.old, *self.siblings.values()))

    @property
    def moved(self) -> bool:
        """All of it, by the last word of everybody who is heard."""
        return self.all_see and self.redundant and not self.not_ok

    @property
    def settled(self) -> bool:
        """Every view knows the demotion too. Of an old primary that is gone nobody can."""
        return self.all_see and (self.old is Standing.LEFT_OUT or len(self.know) == len(self.views))


def stages(cast: Cast, words: Words) -> Stages:
    """Judge one round."""
    step = cast.step
    own = words.get(step.target, NOTHING).belief(step.target)
    claims = own is not None and own.role is Role.PRIMARY and covers(own.slots, step.slots)
    views = tuple(each for each, word in words.items() if word.table is not None and not _outside(cast, words, each))
    return Stages(
        promoted=own is not None and _owns(own, step),
        epoch=own.config_epoch if own is not None and claims else None,
        paused=words.get(step.primary, NOTHING).paused,
        views=views,
        seen=tuple(each for each in views if _owns(words[each].belief(step.target), step)),
        know=tuple(each for each in views if _is_replica(words[each].belief(step.primary))),
        old=_standing(cast, words, step.primary),
        siblings={each: _standing(cast, words, each) for each in cast.siblings},
        not_ok=tuple(each for each, word in words.items() if _fell(cast.before.get(each, NOTHING), word)),
    )


def _outside(cast: Cast, words: Words, node_id: NodeId) -> bool:
    """It listed nobody but itself before, and does now: it is of no cluster, and hears of no failover."""
    said = (cast.before.get(node_id, NOTHING).table, words.get(node_id, NOTHING).table)
    alone = all(table is not None and table.by_id.keys() <= {node_id} for table in said)
    return alone and node_id not in (cast.step.target, cast.step.primary)


def covers(ranges: Iterable[SlotRange], wanted: Iterable[SlotRange]) -> bool:
    """Whether all wanted slots are among the ranges, which are sorted and do not touch, as servers print them."""
    have = tuple(ranges)
    return have == tuple(wanted) or all(any(a <= first and last <= b for a, b in have) for first, last in wanted)


def _owns(belief: Belief | None, step: Step) -> bool:
    """Without a greater epoch the others would not take its word (clusterUpdateSlotsConfigWith, cluster_legacy.c)."""
    return (
        belief is not None
        and belief.role is Role.PRIMARY
        and belief.config_epoch > step.epoch
        and covers(belief.slots, step.slots)
    )


def _is_replica(belief: Belief | None) -> bool:
    return belief is not None and belief.role is Role.REPLICA


def _fell(before: Word, now: Word) -> bool:
    return bool(now.cluster_info) and before.state_ok and not now.state_ok


def _standing(cast: Cast, words: Words, member: NodeId) -> Standing:
    before, now = cast.before.get(member, NOTHING), words.get(member, NOTHING)
    if now.silence:
        return Standing.LEFT_OUT if before.silence else Standing.SILENT
    link = now.vitals.replication
    own = now.belief(member)
    if own is None:  # a node that loads gives no table on Redis, and loads because it copies
        return Standing.COPYING if link.role == "slave" else Standing.ELSEWHERE
    if own.role is not Role.REPLICA or own.primary_id not in _above(cast, member):
        return Standing.ELSEWHERE
    if link.link_up:
        return Standing.LINKED
    if _had_no_link(cast, member):
        return Standing.LEFT_OUT
    return Standing.COPYING if link.sync_in_progress else Standing.UNLINKED


def _above(cast: Cast, member: NodeId) -> tuple[NodeId, ...]:
    """Whose replica it may be: the target's, or, where it was a replica's replica before, that one's still."""
    before = cast.before.get(member, NOTHING).belief(member)
    if before is None or before.primary_id is None or before.primary_id == cast.step.primary:
        return (cast.step.target,)
    return (cast.step.target, before.primary_id)


def _had_no_link(cast: Cast, member: NodeId) -> bool:
    """Its link was down while its primary answered: that is another trouble than this failover."""
    primary = cast.before.get(cast.step.primary, NOTHING)
    before = cast.before.get(member, NOTHING)
    return not primary.silence and member != cast.step.primary and before.vitals.replication.link_up is False


Name = Callable[[NodeId], str]


def checks(cast: Cast, now: Stages, words: Words, name: Name) -> tuple[Check, ...]:
    """What is verified, one check each, with what it rests on."""
    return tuple(_checks(cast, now, words, name))


def _checks(cast: Cast, now: Stages, words: Words, name: Name) -> Iterator[Check]:
    step = cast.step
    yield _promoted(step, now, words, name)
    if not now.promoted:
        return
    unseen = [each for each in now.views if each not in now.seen]
    silent = [each for each, word in words.items() if word.table is None]
    text = f"{len(now.seen)} of {counted(len(now.views), 'view')} show it as owner"
    text += f"; not those of {listing(map(name, unseen))}" if unseen else ""
    text += f"; no view from {listing(map(name, silent))}" if silent else ""
    yield Check("seen-by-all", CheckVerdict.FAIL if unseen else CheckVerdict.PASS, text)
    yield _member("old-primary", step.primary, now.old, words, name)
    for each, standing in now.siblings.items():
        yield _member("sibling-follows", each, standing, words, name)
    if now.not_ok:
        yield Check("state-ok", CheckVerdict.FAIL, f"cluster_state is fail for {listing(map(name, now.not_ok))}")
    else:
        yield Check("state-ok", CheckVerdict.PASS, "cluster_state is ok for all for whom it was before")
    yield _settled(now)


def _promoted(step: Step, now: Stages, words: Words, name: Name) -> Check:
    if now.promoted:
        return Check("promoted", CheckVerdict.PASS, f"it owns {slots_text(step.slots)} itself, in epoch {now.epoch}")
    word = words.get(step.target, NOTHING)
    if word.silence:
        return Check("promoted", CheckVerdict.UNKNOWN, f"{name(step.target)} is silent: {word.silence}")
    if now.epoch is not None:
        text = f"it claims the slots in epoch {now.epoch}, which is not above {step.epoch}: nobody takes its word"
        return Check("promoted", CheckVerdict.FAIL, text)
    own = word.belief(step.target)
    what = "loads its data" if own is None else f"is a {own.role}, and owns {counted(own.slot_count, 'slot')}"
    return Check("promoted", CheckVerdict.FAIL, f"{name(step.target)} {what}")


_STANDINGS = {
    Standing.ELSEWHERE: (CheckVerdict.FAIL, "is not its replica"),
    Standing.COPYING: (CheckVerdict.FAIL, "is its replica, and still takes a full copy"),
    Standing.UNLINKED: (CheckVerdict.FAIL, "is its replica, and has no link to it"),
    Standing.LINKED: (CheckVerdict.PASS, "is its replica, and its link is up"),
}


def _member(code: str, member: NodeId, standing: Standing, words: Words, name: Name) -> Check:
    word = words.get(member, NOTHING)
    if standing is Standing.SILENT:
        return Check(code, CheckVerdict.UNKNOWN, f"{name(member)} is silent since the send: {word.silence}")
    if standing is Standing.LEFT_OUT:
        why = f"is silent, as before the send: {word.silence}" if word.silence else "has no link, as before the send"
        return Check(code, CheckVerdict.WARN, f"{name(member)} {why}")
    verdict, text = _STANDINGS[standing]
    return Check(code, verdict, f"{name(member)} {text}")


def _settled(now: Stages) -> Check:
    if now.settled:
        return Check("settled", CheckVerdict.PASS, "every view knows that the old primary is not one any more")
    text = f"{len(now.know)} of {counted(len(now.views), 'view')} know the demotion so far; the others hear of it soon"
    return Check("settled", CheckVerdict.WARN, text, passes_soon=True)
