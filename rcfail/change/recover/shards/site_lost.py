"""Shards that nobody can be elected for, as too few voters are left: the fewest takeovers that bring a majority back.

Each takeover makes one voter that answers, whatever its slots. As soon as a majority of all voters stands, the other
lost shards are voted in by themselves, or are forced where the age of their data keeps them from standing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rcfail.change.candidates import Contender, chosen
from rcfail.change.checks import refusing
from rcfail.change.recover.action import Action
from rcfail.change.recover.case import Case
from rcfail.change.recover.condition import Condition, ConditionCode
from rcfail.change.recover.shards.heirs import (
    awaiting,
    ballot_of,
    copy_of,
    heirs,
    living,
    needs_consent,
    promotion,
    standing_with,
)
from rcfail.change.request import Mode, Override
from rcfail.cluster.bugs import BUGS
from rcfail.cluster.candidacy import candidates_by_themselves, never_linked
from rcfail.cluster.nouns import NodeId, SlotRange
from rcfail.cluster.placement import PlaceKind, place_of
from rcfail.cluster.snapshot import Known, Node, Shard, Snapshot
from rcfail.health import restart
from rcfail.health.wording import answering, called, counted, listing, named, rcfail, slots_text

_KEEPS_EPOCH = "takeover-keeps-epoch"
FINDINGS = (
    "quorum-lost",
    "slots-failed",
    "slots-suspected",
    "failover-blocked",
    "failover-pending",
    "cluster-state-fail",
    "node-failed",
    "node-suspected",
    "node-silent",
)


@dataclass(frozen=True, slots=True)
class Rescue:
    """What brings the majority back. `taken` are the shards to take over, each with its heir; `votable` the others
    that are elected by themselves then, `aged` those that have to be forced. `needed` is how many takeovers it takes,
    `lost` the voters of which a human must say that they are stopped.
    """

    needed: int
    taken: tuple[tuple[Shard, Contender], ...]
    votable: tuple[Shard, ...]
    aged: tuple[tuple[Shard, Contender], ...]
    stuck: tuple[tuple[Shard, tuple[Contender, ...]], ...]
    lost: tuple[NodeId, ...]

    @property
    def enough(self) -> bool:
        return len(self.taken) >= self.needed


def without_majority(case: Case, shards: Sequence[Shard], within_ms: int) -> Condition:
    """One condition for all of them. With the operator's word that the lost voters are stopped it has actions."""
    snapshot = case.snapshot
    rescue = rescued(case, shards)
    order = [
        *(shard for shard, _ in rescue.taken),
        *rescue.votable,
        *(shard for shard, _ in (*rescue.aged, *rescue.stuck)),
    ]
    nodes = tuple(dict.fromkeys(node for shard in order for node in (shard.primary_id, *shard.replica_ids)))
    said = rescue.enough and set(rescue.lost) <= case.decisions.fenced
    advice = "" if said else _advice(case, rescue)
    return Condition(
        ConditionCode.SHARD_LOST,
        nodes,
        _subject(snapshot, order),
        _evidence(snapshot, shards),
        _story(snapshot, rescue),
        _actions(case, rescue, within_ms) if said else (),
        FINDINGS,
        advice=advice,
        choice=bool(advice) and rescue.enough,
    )


def rescued(case: Case, shards: Sequence[Shard]) -> Rescue:
    """The plan, as if all lost voters were stopped: whether they are is for the operator to say."""
    snapshot = case.snapshot
    lost = _lost_voters(snapshot, shards)
    fenced = case.decisions.fenced | frozenset(lost)
    found = {shard.primary_id: heirs(case, shard, Mode.TAKEOVER, fenced) for shard in shards}
    able = [(shard, best) for shard in shards if (best := chosen(found[shard.primary_id])) is not None]
    beside = {shard.primary_id: len(standing_with(ballot_of(snapshot, best, shard, fenced))) for shard, best in able}
    most = max(beside.values(), default=0)
    # Who cannot hear the voters that live makes no majority with them.
    together = [(shard, best) for shard, best in able if beside[shard.primary_id] == most]
    needed = max(1, snapshot.electorate.needed - most)
    taken = tuple(sorted(together, key=lambda each: _rank(snapshot, *each))[:needed])
    rest = [each for each in able if each not in taken]
    return Rescue(
        needed,
        taken,
        tuple(shard for shard, _ in rest if _elected_later(snapshot, shard)),
        tuple(each for each in rest if not _elected_later(snapshot, each[0])),
        tuple((shard, found[shard.primary_id]) for shard in shards if chosen(found[shard.primary_id]) is None),
        lost,
    )


def _lost_voters(snapshot: Snapshot, shards: Sequence[Shard]) -> tuple[NodeId, ...]:
    """Whom the replicas that could take over do not hear, or we do not."""
    from rcfail.cluster.ballot import ballot

    missing = {
        voter
        for shard in shards
        for replica in living(snapshot, shard)
        if replica.view is not None
        for voter in ballot(snapshot, replica.node_id, shard.primary_id).lost
    }
    return tuple(each for each in snapshot.electorate.voters if each in missing)


def _rank(snapshot: Snapshot, shard: Shard, heir: Contender) -> tuple[bool, bool, int, tuple[SlotRange, ...]]:
    """First whom no vote would promote later: so nobody has to be forced. Then who brings most slots back at once."""
    return (
        _keeps_epoch(snapshot, shard, snapshot.nodes[heir.node_id]),
        _elected_later(snapshot, shard),
        -shard.slot_count,
        shard.slots,
    )


def _elected_later(snapshot: Snapshot, shard: Shard) -> bool:
    """By itself, once there is a majority."""
    standing = candidates_by_themselves(snapshot, shard)
    return any(each.eligible is Known.YES and not each.empty for each in standing)


def _keeps_epoch(snapshot: Snapshot, shard: Shard, heir: Node) -> bool:
    """Before Redis 7.0.3 a replica that was restarted takes its primary's epoch, read from its file, for its own. Where
    that is the greatest of all, a takeover raises nothing, and nobody accepts it; an election takes a new epoch
    (clusterBumpConfigEpochWithoutConsensus, cluster.c).
    """
    vitals = heir.vitals
    if vitals is None or not never_linked(vitals.replication):
        return False
    if not any(each.name == _KEEPS_EPOCH and each.affects(vitals.server) for each in BUGS):
        return False
    return snapshot.nodes[shard.primary_id].config_epoch >= max(each.config_epoch for each in snapshot.nodes.values())


def _actions(case: Case, rescue: Rescue, within_ms: int) -> tuple[Action, ...]:
    """Elections that come by themselves before those that are forced: a voter has one vote an epoch."""
    fenced = case.decisions.fenced
    return (
        *(promotion(case, shard, heir.node_id, Mode.TAKEOVER, fenced) for shard, heir in rescue.taken),
        *(awaiting(case.snapshot, shard, within_ms) for shard in rescue.votable),
        *(promotion(case, shard, heir.node_id, Mode.FORCE) for shard, heir in rescue.aged),
    )


def _subject(snapshot: Snapshot, shards: Sequence[Shard]) -> str:
    first = called(snapshot.nodes[shards[0].primary_id])
    return first if len(shards) == 1 else f"{first} and {counted(len(shards) - 1, 'other shard')}"


def _evidence(snapshot: Snapshot, shards: Sequence[Shard]) -> str:
    votes = snapshot.electorate
    slots = tuple(sorted(each for shard in shards for each in shard.slots))
    lost = {each.primary_id for each in shards}
    left = [each for each in votes.voters if each not in lost and snapshot.nodes[each].view is not None]
    who = named(snapshot, lost)
    return (
        f"{slots_text(slots)} are without a primary ({who}), and {len(left)} of {counted(len(votes.voters), 'voter')} "
        f"answer where {votes.needed} must vote: nobody can be elected"
    )


def _story(snapshot: Snapshot, rescue: Rescue) -> str:
    said = []
    if rescue.enough:
        heirs_told = [
            f"{called(heir)} ({copy_of(heir)})" for _, each in rescue.taken for heir in (snapshot.nodes[each.node_id],)
        ]
        times = "One takeover brings" if rescue.needed == 1 else f"{rescue.needed} takeovers bring"
        said.append(f"{times} the majority back: {listing(heirs_told, 4)}.")
        if rescue.votable:
            rest = named(snapshot, (each.primary_id for each in rescue.votable))
            said.append(f"Then a replica of {rest} is elected by itself{'' if len(rescue.votable) == 1 else ', each'}.")
        if rescue.aged:
            rest = named(snapshot, (each.primary_id for each, _ in rescue.aged))
            said.append(f"A replica of {rest} is too old, or barred, to stand by itself, and is forced then.")
        said.append("What a lost primary took last and had sent to nobody is lost by that, also when it comes back.")
    else:
        said.append(
            f"It takes {counted(rescue.needed, 'takeover')} to bring the majority back, and "
            f"{len(rescue.taken) or 'no'} of the lost shards can be taken over."
        )
    for shard, found in rescue.stuck:
        why = listing([each.evidence for each in refusing(found[0].checks)]) if found else "no living copy of its data"
        said.append(f"{called(snapshot.nodes[shard.primary_id])} can be replaced by nobody: {why}.")
    return " ".join(said)


def _advice(case: Case, rescue: Rescue) -> str:
    """What to do, and how it is said."""
    snapshot = case.snapshot
    silent = [each for each in rescue.lost if snapshot.nodes[each].view is None]
    primaries = [snapshot.nodes[each] for each in silent]
    start = restart.warning(snapshot, primaries, "quorum-lost")
    if not start and silent:
        again = rcfail("recover", answering(snapshot), "--start-cmd", "CMD")
        start = f"Start {named(snapshot, silent)} again if that is quick, and they save their data: {again}"
    if not rescue.enough:
        consented = any(needs_consent(found) for _, found in rescue.stuck)
        more = rcfail("recover", answering(snapshot), Override.DATA_LOSS, "--dry-run")
        return f"{start}; if data may be lost: {more}" if consented else start or "Mend the network between the voters."
    told = (*fencing_words(snapshot, rescue.lost), *((Override.DATA_LOSS,) if _lossy(case) else ()))
    said = rcfail("recover", answering(snapshot), *told, "--dry-run")
    stop = f"stop {'it' if len(rescue.lost) == 1 else 'them'} for certain, or cut every client off, and say so: {said}"
    return f"{start}. Else {stop}" if start else stop[0].upper() + stop[1:]


def _lossy(case: Case) -> bool:
    return Override.DATA_LOSS in case.decisions.given


def fencing_words(snapshot: Snapshot, lost: Sequence[NodeId]) -> tuple[str, ...]:
    """--confirm-fenced for a zone or host of which nothing answers and that has all the lost; else for each node."""
    for kind in (PlaceKind.ZONE, PlaceKind.HOST):
        places = {place_of(snapshot.nodes[each], kind) for each in lost}
        place = next(iter(places)) if len(places) == 1 else ""
        there = [each for each in snapshot.nodes.values() if place and place_of(each, kind) == place]
        if len(lost) > 1 and place and not any(each.view for each in there):
            return ("--confirm-fenced", place)
    named_so = sorted(str(snapshot.nodes[each].endpoint or snapshot.nodes[each].short) for each in lost)
    return tuple(word for each in named_so for word in ("--confirm-fenced", each))
