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
    """Which voters each observer lists without a fail flag. Equal tables are read once."""

    def __init__(self, voters: tuple[NodeId, ...], by_observer: Mapping[NodeId, View]) -> None:
        self._voters = voters
        self._table_of = {each: id(view.reply.table) for each, view in by_observer.items() if view.reply}
        tables = {id(view.reply.table): view.reply.table for view in by_observer.values() if view.reply}
        self._trusted = {key: frozenset(_unflagged(table, voters)) for key, table in tables.items()}
        self.reachable = self.answering(voters)
        self.anybody = bool(tables)

    def answering(self, voters: tuple[NodeId, ...]) -> tuple[NodeId, ...]:
        """Those that gave a table."""
        return tuple(voter for voter in voters if voter in self._table_of)

    def side(self, voter: NodeId) -> tuple[NodeId, ...]:
        """A voter and all that it trusts and that do not distrust it; the silent ones may."""
        mine = self._by(voter) or frozenset()
        return tuple(each for each in self._voters if each == voter or (each in mine and self._returned(each, voter)))

    def largest_hidden_side(self) -> int:
        """How many could stand together around a voter that is silent to us, and that somebody trusts."""
        trusted = frozenset().union(*self._trusted.values()) if self._trusted else frozenset()
        hidden = [voter for voter in self._voters if voter in trusted and voter not in self._table_of]
        friends = (sum(1 for voter in self.reachable if each in (self._by(voter) or ())) for each in hidden)
        return len(hidden) + max(friends, default=0)

    def _by(self, observer: NodeId) -> frozenset[NodeId] | None:
        key = self._table_of.get(observer)
        return None if key is None else self._trusted[key]

    def _returned(self, voter: NodeId, to: NodeId) -> bool:
        theirs = self._by(voter)
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
