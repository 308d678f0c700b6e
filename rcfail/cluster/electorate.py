"""Who votes, and whether a majority of them stands together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rcfail.cluster.nouns import NodeId, NodeTable
from rcfail.cluster.snapshot import Electorate, Known, View

NODE_TIMEOUT_MS = 15_000
"""The default of config.c, used only where CONFIG GET gave nothing."""


def electorate(voters: tuple[NodeId, ...], by_observer: Mapping[NodeId, View]) -> Electorate:
    """The voters' own opinion of each other decides whether a majority stands together.

    A quorum is a majority of all primaries with slots, dead ones included (cluster_size / 2 + 1 in
    clusterUpdateState and clusterHandleSlaveFailover, cluster_legacy.c).
    """
    needed = len(voters) // 2 + 1
    trust = _Trust(voters, by_observer)
    reachable = tuple(voter for voter in voters if trust.by(voter) is not None)
    side: tuple[NodeId, ...] = ()
    # One side of a majority is enough, and in a healthy cluster the first voter's is all of them.
    for voter in reachable:
        found = trust.side(voter)
        if len(found) > len(side):
            side = found
        if len(side) == len(voters):
            break
    return Electorate(voters, needed, reachable, side, _quorum(len(side), needed, trust.most))


def _quorum(together: int, needed: int, most: int | None) -> Known:
    """YES on a side that we could ask. `most` is the largest number of voters that any node, a replica too, trusts.

    Voters that are silent to us may stand together behind a network that only we cannot pass. As long as some
    node trusts enough of them, nobody can say that the quorum is lost; when none does, it is.
    """
    if together >= needed:
        return Known.YES
    return Known.UNKNOWN if most is None or most >= needed else Known.NO


class _Trust:
    """Which voters each observer lists without a fail flag. Equal tables are read once."""

    def __init__(self, voters: tuple[NodeId, ...], by_observer: Mapping[NodeId, View]) -> None:
        self._voters = voters
        self._table_of = {each: id(view.reply.table) for each, view in by_observer.items() if view.reply}
        tables = {id(view.reply.table): view.reply.table for view in by_observer.values() if view.reply}
        self._trusted = {key: frozenset(_unflagged(table, voters)) for key, table in tables.items()}

    @property
    def most(self) -> int | None:
        return max(map(len, self._trusted.values()), default=None)

    def by(self, observer: NodeId) -> frozenset[NodeId] | None:
        """The voters that this observer trusts; None when it gave no table."""
        key = self._table_of.get(observer)
        return None if key is None else self._trusted[key]

    def side(self, voter: NodeId) -> tuple[NodeId, ...]:
        mine = self.by(voter) or frozenset()
        return tuple(each for each in self._voters if each == voter or (each in mine and self._returned(each, voter)))

    def _returned(self, voter: NodeId, to: NodeId) -> bool:
        theirs = self.by(voter)
        return theirs is None or to in theirs


def _unflagged(table: NodeTable, members: Iterable[NodeId]) -> Iterable[NodeId]:
    for member in members:
        belief = table.by_id.get(member)
        if belief is not None and not belief.flagged and not belief.noaddr:
            yield member


def side_of(observer: NodeId, members: Iterable[NodeId], by_observer: Mapping[NodeId, View]) -> tuple[NodeId, ...]:
    """The members that `observer` lists without a fail flag and that, where they gave a table, list it so too."""
    view = by_observer.get(observer)
    if view is None or view.reply is None:
        return ()
    trusted = frozenset(_unflagged(view.reply.table, members))
    return tuple(
        member
        for member in members
        if member == observer or (member in trusted and _answers_in_kind(member, observer, by_observer))
    )


def _answers_in_kind(member: NodeId, observer: NodeId, by_observer: Mapping[NodeId, View]) -> bool:
    other = by_observer.get(member)
    return other is None or other.reply is None or any(_unflagged(other.reply.table, (observer,)))
