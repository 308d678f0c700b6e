"""The sides of a partition: sets of nodes that hear each other and nobody else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rcfail.cluster.hearing import DEAF, Hearing, Regard, hearing
from rcfail.cluster.nouns import NodeId, NodeTable, Role
from rcfail.cluster.snapshot import Known, Snapshot

_HEARD = frozenset({Regard.WELL, Regard.STILL_FAILED})
_UNHEARD = frozenset({*DEAF, Regard.UNLISTED})


@dataclass(frozen=True, slots=True)
class Side:
    """`observers` gave a table; `unheard` are silent to us, and placed here by the word of the observers.

    `voters` are the slot owners of this side, of all `electorate` owners that its own table lists; `needed` is their
    majority. `quorum` is YES when enough of them answered us, UNKNOWN when it takes some that are silent to us.
    """

    observers: tuple[NodeId, ...]
    unheard: tuple[NodeId, ...]
    voters: tuple[NodeId, ...]
    electorate: tuple[NodeId, ...]
    needed: int
    quorum: Known

    @property
    def members(self) -> tuple[NodeId, ...]:
        return tuple(sorted((*self.observers, *self.unheard)))


@dataclass(frozen=True, slots=True)
class Division:
    """All sides, the one with the quorum or else with most voters first.

    `unplaced` are silent to us and flagged by everybody who answers: dead, or on a side that we do not reach.
    """

    sides: tuple[Side, ...]
    unplaced: tuple[NodeId, ...]
    hearing: Hearing

    @property
    def parted(self) -> bool:
        """At least two sides. A single node beside a majority of all is a node whose bus cannot be reached, no more."""
        total = sum(len(side.members) for side in self.sides)
        grown = sum(1 for side in self.sides if len(side.members) > 1)
        return len(self.sides) > 1 and (grown > 1 or all(2 * len(side.members) <= total for side in self.sides))

    def side_of(self, node_id: NodeId) -> Side | None:
        return next((side for side in self.sides if node_id in side.observers or node_id in side.unheard), None)


def division(snapshot: Snapshot, heard: Hearing | None = None) -> Division:
    """Find the sides. Total: a cluster that nobody gave a view of has none."""
    heard = heard or hearing(snapshot)
    camps = [camp for camp in _camps(heard) if camp]
    camps = _of_one_cluster(camps, heard)
    placed = _placed(snapshot, camps, heard)
    sides = [_side(snapshot, camp, tuple(sorted(placed.get(at, ())))) for at, camp in enumerate(camps)]
    sides.sort(key=_weight)
    known = {each for side in sides for each in side.members}
    unplaced = tuple(each for each in _without_table(snapshot) if each not in known)
    return Division(tuple(sides), unplaced, heard)


def _without_table(snapshot: Snapshot) -> Iterator[NodeId]:
    """Who is silent to us, or gave no table of members, such as a node that is loading."""
    return (each for each, node in snapshot.nodes.items() if node.view is None or node.view.reply is None)


def _weight(side: Side) -> tuple[bool, int, int, tuple[NodeId, ...]]:
    return (side.quorum is Known.NO, -len(side.voters), -len(side.members), side.members)


def _camps(heard: Hearing) -> Iterator[frozenset[NodeId]]:
    """The observers in sets, so that whoever hears each other is in one, also by way of third ones."""
    apart = _apart(heard)
    left = set(heard.regards)
    while left:
        start = min(left)
        left.discard(start)
        camp, waiting = {start}, [start]
        while waiting and left:
            near = left - apart.get(waiting.pop(), set())
            left -= near
            camp |= near
            waiting.extend(near)
        yield frozenset(camp)


def _apart(heard: Hearing) -> Mapping[NodeId, set[NodeId]]:
    """With whom each observer exchanges nothing, whichever of the two says so."""
    apart: dict[NodeId, set[NodeId]] = {}
    for observer, seen in heard.regards.items():
        missed = {other for other, regard in seen.items() if regard in _UNHEARD} & heard.regards.keys()
        if missed:
            apart.setdefault(observer, set()).update(missed)
            for other in missed:
                apart.setdefault(other, set()).add(observer)
    return apart


def _of_one_cluster(camps: list[frozenset[NodeId]], heard: Hearing) -> list[frozenset[NodeId]]:
    """The largest camp and those that know it: seeds of two clusters, or a stranger, are no partition of one."""
    camps.sort(key=lambda camp: (-len(camp), min(camp)))
    main = camps[:1]
    return [camp for camp in camps if camp in main or any(_acquainted(camp, each, heard) for each in main)]


def _acquainted(one: frozenset[NodeId], other: frozenset[NodeId], heard: Hearing) -> bool:
    pairs = ((a, heard.regards[a].keys() & beyond) for camp, beyond in ((one, other), (other, one)) for a in camp)
    return any(heard.deaf(observer, each) for observer, missed in pairs for each in missed)


def _placed(snapshot: Snapshot, camps: list[frozenset[NodeId]], heard: Hearing) -> Mapping[int, list[NodeId]]:
    """Who is silent to us, by the number of the camp in which most see it well."""
    found: dict[int, list[NodeId]] = {}
    for node_id in _without_table(snapshot) if camps else ():
        friends = [sum(1 for each in camp if heard.of(each, node_id) in _HEARD) for camp in camps]
        if max(friends):
            found.setdefault(friends.index(max(friends)), []).append(node_id)
    return found


def _side(snapshot: Snapshot, camp: frozenset[NodeId], unheard: tuple[NodeId, ...]) -> Side:
    table = _usual_table(snapshot, camp)
    owners = (each for each in table.beliefs if each.slots and each.role is Role.PRIMARY and not each.handshake)
    voters = tuple(sorted(each.node_id for each in owners))
    needed = len(voters) // 2 + 1
    here = tuple(each for each in voters if each in camp or each in unheard)
    answering = sum(1 for each in here if each in camp)
    quorum = Known.YES if answering >= needed else Known.UNKNOWN if len(here) >= needed else Known.NO
    return Side(tuple(sorted(camp)), unheard, here, voters, needed, quorum)


def _usual_table(snapshot: Snapshot, camp: frozenset[NodeId]) -> NodeTable:
    """The table that most of them hold."""
    weight: Counter[int] = Counter()
    tables: dict[int, NodeTable] = {}
    for each in snapshot.groups:
        number = sum(1 for observer in each.observers if observer in camp)
        if number:
            weight[id(each.table)] += number
            tables[id(each.table)] = each.table
    best = max(tables, key=lambda key: (weight[key], [belief.line for belief in tables[key].beliefs]))
    return tables[best]
