"""Who would vote for a replica now, voter by voter, and why the others would not."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum

from rcfail.cluster.electorate import side_of
from rcfail.cluster.nouns import Belief, NodeId, NodeTable, Role, SlotRange
from rcfail.cluster.snapshot import Known, Node, Snapshot


class Vote(StrEnum):
    """What a voter would answer. Only the first counts; UNSEEN is silent to us, and the replica holds it for alive."""

    GIVEN = "given"
    UNSEEN = "unseen"
    DEAD = "dead"
    APART = "apart"  # the replica suspects it, or it suspects the replica
    LOADING = "loading"
    NOT_LISTING = "not-listing"  # it does not know the replica as one of this primary
    NEWER_EPOCH = "newer-epoch"  # it knows an owner of a claimed slot with a greater epoch


ANSWER_MS = 1_000
"""A PING on the bus is answered within milliseconds. A voter that owes one for longer will hardly vote in time."""

_TOGETHER = frozenset({Vote.GIVEN, Vote.UNSEEN, Vote.LOADING, Vote.NOT_LISTING, Vote.NEWER_EPOCH})


@dataclass(frozen=True, slots=True)
class Ballot:
    """The vote of each voter, dead ones included, and how many are `needed`: a majority of all."""

    votes: Mapping[NodeId, Vote]
    needed: int

    def of(self, *kinds: Vote) -> tuple[NodeId, ...]:
        return tuple(each for each, vote in self.votes.items() if vote in kinds)

    @property
    def elects(self) -> Known:
        """Whether the replica would be elected now."""
        return self._enough(self.of(Vote.GIVEN), self.of(Vote.UNSEEN))

    @property
    def majority(self) -> Known:
        """Whether a majority stands on the replica's side at all, however it would vote."""
        seen = self.of(*(_TOGETHER - {Vote.UNSEEN}))
        return self._enough(seen, self.of(Vote.UNSEEN))

    @property
    def lost(self) -> tuple[NodeId, ...]:
        """Voters that are dead, apart, or silent to us."""
        return self.of(Vote.DEAD, Vote.APART, Vote.UNSEEN)

    def _enough(self, sure: Collection[NodeId], unseen: Collection[NodeId]) -> Known:
        if len(sure) >= self.needed:
            return Known.YES
        return Known.UNKNOWN if len(sure) + len(unseen) >= self.needed else Known.NO


def ballot(snapshot: Snapshot, target: NodeId, primary: NodeId, stopped: Collection[NodeId] = ()) -> Ballot:
    """Ask every voter in thought, as clusterSendFailoverAuthIfNeeded does (cluster_legacy.c). The primary votes too.

    `stopped` are voters of which a human says so: as far as they are silent they do not vote.
    """
    voters = snapshot.electorate.voters
    side = frozenset(side_of(target, voters, snapshot.by_observer))
    claimed = _claimed(snapshot, target, primary)
    mute = _mute(snapshot, target)
    newer: dict[int, bool] = {}
    votes: dict[NodeId, Vote] = {}
    for voter in voters:
        node = snapshot.nodes[voter]
        if node.alive is Known.NO or (node.view is None and voter in stopped):
            votes[voter] = Vote.DEAD
        elif voter not in side:
            votes[voter] = Vote.APART
        else:
            vote = _vote(node, target, primary, claimed, newer)
            votes[voter] = Vote.UNSEEN if vote is Vote.GIVEN and voter in mute else vote
    return Ballot(votes, snapshot.electorate.needed)


def _mute(snapshot: Snapshot, target: NodeId) -> frozenset[NodeId]:
    """For whose answer on the bus the target waits, and suspects nobody yet: cut off, or frozen, just now.

    All are read at once, for with a thousand nodes each single pulse takes as long as all of them.
    """
    view = snapshot.by_observer.get(target)
    if view is None or view.reply is None:
        return frozenset()
    sent = view.reply.pulses.split(" ")[::2]
    before = view.clock_unix_ms - ANSWER_MS
    beliefs = view.reply.table.beliefs
    return frozenset(each.node_id for each, at in zip(beliefs, sent, strict=False) if at != "0" and int(at) < before)


def _claimed(snapshot: Snapshot, target: NodeId, primary: NodeId) -> Belief | None:
    """What the replica asks for: its primary's slots and epoch, as it knows them itself."""
    view = snapshot.by_observer.get(target)
    return view.belief(primary) if view else None


def _vote(node: Node, target: NodeId, primary: NodeId, claimed: Belief | None, newer: dict[int, bool]) -> Vote:
    view = node.view
    if view is None:
        return Vote.UNSEEN
    if view.vitals.storage.loading:
        return Vote.LOADING
    if view.reply is None:
        return Vote.UNSEEN
    if not lists(view.belief(target), primary):
        return Vote.NOT_LISTING
    table = view.reply.table
    if id(table) not in newer:  # equal views share one table
        newer[id(table)] = claimed is not None and _knows_newer(table, claimed)
    return Vote.NEWER_EPOCH if newer[id(table)] else Vote.GIVEN


def lists(belief: Belief | None, primary: NodeId) -> bool:
    """Whether a line tells of a replica of this primary."""
    return belief is not None and belief.role is Role.REPLICA and belief.primary_id == primary


def _knows_newer(table: NodeTable, claimed: Belief) -> bool:
    return any(
        belief.config_epoch > claimed.config_epoch and belief.slots and overlaps(belief.slots, claimed.slots)
        for belief in table.beliefs
    )


def overlaps(ours: tuple[SlotRange, ...], theirs: tuple[SlotRange, ...]) -> bool:
    """Whether two ascending lists of ranges share a slot."""
    at = other = 0
    while at < len(ours) and other < len(theirs):
        if ours[at][1] < theirs[other][0]:
            at += 1
        elif theirs[other][1] < ours[at][0]:
            other += 1
        else:
            return True
    return False
