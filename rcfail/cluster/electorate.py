"""Who votes, and whether a majority of them stands together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from rcfail.cluster.nouns import NodeId, NodeTable
from rcfail.cluster.snapshot import Electorate, Known, Snapshot, View

NODE_TIMEOUT_MS = 15_000
"""The default of config.c, used only where CONFIG GET gave nothing."""

_UNFIT = frozenset({"fail", "fail?", "noaddr"})


def electorate(voters: tuple[NodeId, ...], by_observer: Mapping[NodeId, View]) -> Electorate:
    """The voters' own opinion of each other decides whether a majority stands together.

    A quorum is a majority of all primaries with slots, dead ones included (cluster_size / 2 + 1 in
    clusterUpdateState and clusterHandleSlaveFailover, cluster_legacy.c).
    """
    needed = len(voters) // 2 + 1
    trust = _Trust(voters, by_observer)
    side: tuple[NodeId, ...] = ()
    # One side of a majority is enough, and in a healthy cluster the first voter's is all of them.
    for voter in trust.reachable:
        found = trust.side(voter)
        if len(found) > len(side):
            side = found
        if len(side) == len(voters):
            break
    return Electorate(voters, needed, trust.reachable, side, _quorum(trust, side, needed))


def _quorum(trust: _Trust, side: tuple[NodeId, ...], needed: int) -> Known:
    """YES when enough voters told us themselves that they stand together, NO when enough cannot.

    Voters that are silent to us may stand together behind a network that only we cannot pass: as long as some node,
    a replica too, trusts enough of them, nobody can say that the quorum is lost.
    """
    if len(trust.answering(side)) >= needed:
        return Known.YES
    if not trust.anybody or len(side) >= needed or trust.largest_hidden_side() >= needed:
        return Known.UNKNOWN
    return Known.NO


class _Trust:
    """Whom each observer among the voters flags. Equal tables are read once, and flags are few: so it stays fast."""

    def __init__(self, voters: tuple[NodeId, ...], by_observer: Mapping[NodeId, View]) -> None:
        self._voters = voters
        tables = {id(view.reply.table): view.reply.table for view in by_observer.values() if view.reply}
        distrusted = {key: frozenset(_flagged(table, voters)) for key, table in tables.items()}
        self._of = {each: distrusted[id(view.reply.table)] for each, view in by_observer.items() if view.reply}
        self._by: dict[NodeId, set[NodeId]] = {}
        self.reachable = self.answering(voters)
        for voter in self.reachable:
            for each in self._of[voter]:
                self._by.setdefault(each, set()).add(voter)
        self.anybody = bool(tables)
        self._by_all = frozenset(voters).intersection(*distrusted.values())

    def answering(self, voters: tuple[NodeId, ...]) -> tuple[NodeId, ...]:
        """Those that gave a table."""
        return tuple(voter for voter in voters if voter in self._of)

    def side(self, voter: NodeId) -> tuple[NodeId, ...]:
        """A voter and all that it trusts and that do not distrust it; the silent ones may."""
        apart = (self._of[voter] | self._by.get(voter, set())) - {voter}
        return tuple(each for each in self._voters if each not in apart) if apart else self._voters

    def largest_hidden_side(self) -> int:
        """How many could stand together around a voter that is silent to us, and that somebody trusts."""
        hidden = [voter for voter in self._voters if voter not in self._of and voter not in self._by_all]
        friends = (len(self.reachable) - len(self._by.get(each, ())) for each in hidden)
        return len(hidden) + max(friends, default=0)


def _flagged(table: NodeTable, members: Iterable[NodeId]) -> Iterator[NodeId]:
    """The members that a table flags, has no address for, or does not list."""
    for member in members:
        belief = table.by_id.get(member)
        if belief is None or not _UNFIT.isdisjoint(belief.flags):
            yield member


def majority_beyond(snapshot: Snapshot) -> tuple[NodeId, ...]:
    """Voters that are silent to us and apart from the largest side, where they are enough for a quorum; else none.

    Beyond a cut they may live, vote and promote. Who is cut off together with us suspects them as if they were dead.
    """
    votes = snapshot.electorate
    beyond = tuple(each for each in votes.voters if each not in votes.side and snapshot.nodes[each].view is None)
    return beyond if len(beyond) >= votes.needed else ()


def side_of(observer: NodeId, members: tuple[NodeId, ...], by_observer: Mapping[NodeId, View]) -> tuple[NodeId, ...]:
    """The members that `observer` lists without a fail flag and that, where they gave a table, list it so too."""
    view = by_observer.get(observer)
    if view is None or view.reply is None:
        return ()
    apart = frozenset(_flagged(view.reply.table, members))
    return tuple(
        member
        for member in members
        if member == observer or (member not in apart and _answers_in_kind(member, observer, by_observer))
    )


def _answers_in_kind(member: NodeId, observer: NodeId, by_observer: Mapping[NodeId, View]) -> bool:
    other = by_observer.get(member)
    return other is None or other.reply is None or not any(_flagged(other.reply.table, (observer,)))
