"""All primaries away from a host or a zone: who takes over from whom, and what stands when the place is lost then."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from rcfail.change.candidates import Contender, contenders
from rcfail.change.many.moves import Move, Stuck, in_order, move_of, said
from rcfail.change.request import Override, Request
from rcfail.change.seen import Seen
from rcfail.cluster.nouns import NodeId
from rcfail.cluster.placement import PlaceKind, dividing, ending_quorum, place_of, survivors, voters_by_place
from rcfail.cluster.snapshot import Snapshot
from rcfail.health.wording import called

_PASSES = 4
"""How often the choice is looked over; one pass nearly always ends it."""


@dataclass(frozen=True, slots=True)
class Crowded:
    """A host or zone whose loss would end the quorum."""

    kind: PlaceKind
    name: str
    voters: int


@dataclass(frozen=True, slots=True)
class Afterwards:
    """What stands once the moves are done and the place is lost. `left` voters of `needed` stand elsewhere.

    `there` primaries with slots stay in the place. `bare` are shards, by the primary that they have then, without any
    living copy elsewhere but that one. `tips` are other places whose loss ends the quorum then, and did not before.
    """

    left: int
    voters: int
    needed: int
    there: int
    bare: tuple[NodeId, ...]
    tips: tuple[Crowded, ...]

    @property
    def keeps_majority(self) -> bool:
        return self.left >= self.needed


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for every failover of a series: the overrides that were given, and how far a target may lag."""

    given: frozenset[Override] = frozenset()
    max_lag_bytes: int | None = None

    def request(self, target: NodeId, primary: NodeId) -> Request:
        return Request(target, primary, given=self.given, max_lag_bytes=self.max_lag_bytes)


NO_TERMS = Terms()


@dataclass(frozen=True, slots=True)
class Drain:
    """A plan for a whole place. With anything `stuck` nothing is moved. `others` are all candidates, by primary."""

    place: frozenset[NodeId]
    moves: tuple[Move, ...]
    stuck: tuple[Stuck, ...]
    others: Mapping[NodeId, tuple[Contender, ...]]
    after: Afterwards


def leaving(snapshot: Snapshot, place: Collection[NodeId]) -> tuple[NodeId, ...]:
    """The primaries of the place that own slots, by slot. One without slots serves nobody, and stays."""
    return tuple(each.primary_id for each in snapshot.shards if each.slots and each.primary_id in place)


def plan_drain(
    snapshot: Snapshot, by_primary: Mapping[NodeId, Seen], place: Collection[NodeId], terms: Terms = NO_TERMS
) -> Drain:
    """Who takes over from each primary there. `by_primary` must hold all of `leaving`."""
    away = frozenset(place)
    others: dict[NodeId, tuple[Contender, ...]] = {}
    for primary in leaving(snapshot, away):
        others[primary] = contenders(by_primary[primary], terms.request(primary, primary), avoid=away)
    chosen = spread(snapshot, others)
    moves, stuck = [], []
    for primary, found in others.items():
        target = chosen.get(primary)
        result = move_of(by_primary[primary], terms.request(target, primary)) if target else None
        if isinstance(result, Move):
            moves.append(result)
        else:
            stuck.append(result or _nobody(snapshot, primary, found))
    taken = {each.request.primary: each.request.target for each in moves}
    return Drain(away, in_order(snapshot, moves), tuple(stuck), others, afterwards(snapshot, away, taken))


def _nobody(snapshot: Snapshot, primary: NodeId, found: tuple[Contender, ...]) -> Stuck:
    """No replica elsewhere may: each with its reasons."""
    outside = [each for each in found if not each.avoided]
    why = [f"{called(snapshot.nodes[each.node_id])}: {said(each.checks)}" for each in outside]
    if not found:
        why = ["it has no replica"]
    elif not outside:
        why = ["all its replicas are in the same place"]
    return Stuck(primary, None, tuple(why), outside[0].checks if outside else ())


def spread(snapshot: Snapshot, others: Mapping[NodeId, tuple[Contender, ...]]) -> dict[NodeId, NodeId]:
    """One candidate for each primary that has any, so that no zone and no host gets more of them than it must.

    Whoever has the least choice chooses first; then each looks again at what the rest has chosen. Of equals the one
    that `contenders` puts first is taken.
    """
    able = {primary: [each.node_id for each in found if each.able] for primary, found in others.items()}
    staying = [each for each in snapshot.electorate.voters if each not in able]
    load = Counter(key for each in staying for key in _places(snapshot, each))
    chosen: dict[NodeId, NodeId] = {}
    order = sorted((each for each in able if able[each]), key=lambda each: (len(able[each]), each))
    for _ in range(_PASSES):
        before = dict(chosen)
        for primary in order:
            if primary in chosen:
                load.subtract(_places(snapshot, chosen[primary]))
            options = able[primary]
            chosen[primary] = min(options, key=lambda each: (*_crowd(snapshot, load, each), options.index(each)))
            load.update(_places(snapshot, chosen[primary]))
        if chosen == before:
            break
    return chosen


def _places(snapshot: Snapshot, node_id: NodeId) -> tuple[tuple[PlaceKind, str], ...]:
    """The zone and the host of a node, as far as they are known."""
    node = snapshot.nodes[node_id]
    found = ((kind, place_of(node, kind)) for kind in (PlaceKind.ZONE, PlaceKind.HOST))
    return tuple(each for each in found if each[1])


def _crowd(snapshot: Snapshot, load: Mapping[tuple[PlaceKind, str], int], node_id: NodeId) -> tuple[int, int]:
    """How many primaries are in its zone, and on its host."""
    node = snapshot.nodes[node_id]
    zone, host = ((kind, place_of(node, kind)) for kind in (PlaceKind.ZONE, PlaceKind.HOST))
    return load.get(zone, 0), load.get(host, 0)


def afterwards(snapshot: Snapshot, place: Collection[NodeId], taken: Mapping[NodeId, NodeId]) -> Afterwards:
    """What stands when the targets of `taken` lead instead of its primaries, and all of the place is lost."""
    votes = snapshot.electorate
    voters = [taken.get(each, each) for each in votes.voters]
    standing = {taken.get(each, each) for each in votes.side}
    bare = []
    for shard in snapshot.shards:
        primary = taken.get(shard.primary_id, shard.primary_id)
        if shard.slots and len(survivors(snapshot, shard, place)) < 2 and primary not in place:
            bare.append(primary)
    return Afterwards(
        left=sum(1 for each in standing if each not in place),
        voters=len(voters),
        needed=votes.needed,
        there=sum(1 for each in voters if each in place),
        bare=tuple(bare),
        tips=_tips(snapshot, taken),
    )


def _tips(snapshot: Snapshot, taken: Mapping[NodeId, NodeId]) -> tuple[Crowded, ...]:
    enough, found = ending_quorum(snapshot.electorate), []
    for kind in PlaceKind:
        within = dividing(snapshot, kind)
        before = {name: len(ids) for name, ids in voters_by_place(snapshot, kind, within).items()}
        after = Counter(place_of(snapshot.nodes[taken.get(each, each)], kind) for each in snapshot.electorate.voters)
        for name, count in sorted(after.items()):
            if name in within and count >= enough > before.get(name, 0):
                found.append(Crowded(kind, name, count))
    return tuple(found)
