"""Which answers belong to one cluster: seeds of two, or an address that another cluster took over, are no one picture.

Nodes of one cluster list each other, dead members and those on the other side of a partition too. So two groups of
nodes whose tables share no id at all are two clusters. Or they are halves that were told to forget each other: these
own different slots, while two clusters claim the same ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import reduce

from rcfail.cluster.nouns import SLOT_COUNT, Endpoint, NodeId, NodeTable
from rcfail.cluster.observation import Answer, Observation, Silence, SilenceReason


@dataclass(frozen=True, slots=True)
class ForeignCluster:
    """A cluster that was met besides the one that is judged. `places` are where its members answered, `members` all
    ids that these list, `taken` the ids of ours that are listed where one of its members answers.
    """

    members: tuple[NodeId, ...]
    places: tuple[Endpoint, ...]
    taken: tuple[NodeId, ...] = ()


def kin(observation: Observation) -> tuple[Observation, tuple[ForeignCluster, ...]]:
    """What was seen of one cluster, and the others that were met. Total.

    The first seed that answered, or at which somebody lists a node that is silent, says which one it is; where seeds
    are names it is the one of which most nodes answered. A lone node that does not serve all slots, or answers where a
    member is listed, is no cluster: it was reset, replaced, or is new. As first seed it does not say which one it is.
    """
    clans = _clans(observation.answers)
    if len(clans) < 2:
        return observation, ()
    ours = _ours(clans, observation)
    foreign = [clan for clan in clans if clan is not ours and _is_cluster(clan, observation.answers, ours)]
    if not foreign:
        return observation, ()
    theirs = set().union(*foreign)
    found = tuple(sorted((_described(clan, observation.answers) for clan in foreign), key=lambda each: each.places))
    return _without(observation, theirs), found


def _clans(answers: Sequence[Answer]) -> list[set[NodeId]]:
    """Ids that are linked by anybody listing both, one set a cluster."""
    tables: dict[int, tuple[NodeTable, set[NodeId]]] = {}
    for answer in answers:
        if answer.nodes is not None:
            tables.setdefault(id(answer.nodes.table), (answer.nodes.table, set()))[1].update(answer.nodes.myself)
    clans: list[set[NodeId]] = []
    for table, myself in tables.values():
        ids = myself.union(table.by_id)
        if not ids:
            continue
        apart = [clan for clan in clans if clan.isdisjoint(ids)]
        if len(apart) == len(clans) - 1:  # by far the most frequent: one more table of a cluster that is known
            next(clan for clan in clans if not clan.isdisjoint(ids)).update(ids)
            continue
        clans = [*apart, ids.union(*(clan for clan in clans if not clan.isdisjoint(ids)))]
    return clans


def _ours(clans: Sequence[set[NodeId]], observation: Observation) -> set[NodeId]:
    by_place = {answer.endpoint: answer for answer in observation.answers}
    silent = {silence.endpoint: silence.expected for silence in observation.silences}
    # A node that came back without nodes.conf stands first in many a list of seeds, and knows nothing of its cluster.
    clans = [clan for clan in clans if len(clan) > 1 or _serves_all(clan, observation.answers)] or clans
    for seed in observation.seeds:
        listed = silent.get(seed)
        for clan in clans:
            if listed in clan or (seed in by_place and _says(by_place[seed], clan)):
                return clan
    return max(clans, key=lambda clan: (sum(1 for each in observation.answers if _says(each, clan)), min(clan)))


def _says(answer: Answer, clan: set[NodeId]) -> bool:
    """Whether the node that answered is of that cluster."""
    return answer.nodes is not None and not clan.isdisjoint(answer.nodes.myself or tuple(answer.nodes.table.by_id))


def _slots_in(clan: set[NodeId], answers: Iterable[Answer]) -> int:
    """The slots that the longest table of these nodes gives to anybody, one bit each."""
    tables = [answer.nodes.table for answer in answers if answer.nodes is not None and _says(answer, clan)]
    longest = max(tables, key=lambda table: len(table.beliefs))
    ranges = [each for belief in longest.beliefs for each in belief.slots]
    return reduce(lambda mask, each: mask | ((1 << (each[1] - each[0] + 1)) - 1) << each[0], ranges, 0)


def _is_cluster(clan: set[NodeId], answers: Iterable[Answer], ours: set[NodeId]) -> bool:
    if len(clan) > 1:
        here, there = _slots_in(clan, answers), _slots_in(ours, answers)
        return not (here and there) or bool(here & there)
    where = next((answer.expected for answer in answers if _says(answer, clan)), None)
    return _serves_all(clan, answers) and where not in ours


def _serves_all(clan: set[NodeId], answers: Iterable[Answer]) -> bool:
    """Whether a lone node owns all slots: a cluster of one, as in development."""
    return _slots_in(clan, answers).bit_count() == SLOT_COUNT


def _described(clan: set[NodeId], answers: Iterable[Answer]) -> ForeignCluster:
    there = [answer for answer in answers if _says(answer, clan)]
    return ForeignCluster(
        tuple(sorted(clan)),
        tuple(sorted(answer.endpoint for answer in there)),
        tuple(sorted(answer.expected for answer in there if answer.expected and answer.expected not in clan)),
    )


def _without(observation: Observation, theirs: set[NodeId]) -> Observation:
    """The same round without the other clusters. Who answers at the address of one of ours is that one's silence."""
    left = tuple(answer for answer in observation.answers if not _says(answer, theirs))
    gone = [answer for answer in observation.answers if _says(answer, theirs)]
    known = {answer.expected for answer in left} | {silence.expected for silence in observation.silences}
    known.update(own for answer in left if answer.nodes for own in answer.nodes.myself)
    taken = tuple(
        Silence(
            answer.endpoint, answer.expected, SilenceReason.ANOTHER_NODE, "a member of another cluster answers there"
        )
        for answer in gone
        if answer.expected and answer.expected not in theirs and answer.expected not in known
    )
    silences = tuple(silence for silence in observation.silences if silence.expected not in theirs)
    return replace(
        observation,
        answers=left,
        silences=(*silences, *taken),
        deserted=tuple(silence for silence in observation.deserted if silence.expected not in theirs),
        doubles=tuple(answer for answer in observation.doubles if not _says(answer, theirs)),
    )
