"""What would happen if some nodes were lost at once, from one picture of the cluster. Nothing is asked or sent.

It tells what the servers do by themselves: who is elected, which slots stay without an owner, whether a majority is
left. A node that is dead in the picture is dead in every forecast.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from rcfail.cluster.adoption import adopted
from rcfail.cluster.dialect import elections_collide, vote_again_after_ms
from rcfail.cluster.failover_stage import awaited
from rcfail.cluster.forecast import Fate, Forecast, ShardAfter, Stop, VotesAfter
from rcfail.cluster.lag import lag_of
from rcfail.cluster.nouns import NodeId
from rcfail.cluster.placement import NOBODY, survivors
from rcfail.cluster.snapshot import Known, Node, Shard, Snapshot
from rcfail.cluster.succession import Succession, node_timeouts_ms, outage_ms, succession


class Foresight:
    """Forecasts from one snapshot. What no loss touches is worked out once, so that every host can be tried."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._owning = tuple(shard for shard in snapshot.shards if shard.slots)
        # Nobody's table tells nothing of owners.
        vacant = [part for part in snapshot.stretches if part.owner is None] if snapshot.groups else []
        self._unowned = tuple((part.first, part.last) for part in vacant)
        self._named_owners = frozenset(claim.node_id for part in vacant for claim in part.claims)
        self._timeouts_ms = node_timeouts_ms(snapshot)
        self._collide = any(elections_collide(view.vitals.server) for view in snapshot.views)
        self._dead = frozenset(node.node_id for node in snapshot.nodes.values() if node.alive is Known.NO)
        self._timeout_known = any(view.vitals.config.node_timeout_ms for view in snapshot.views)
        # Dead, or given up by the majority: a primary may answer us and yet be cut off from the others.
        self._down = frozenset(
            shard.primary_id for shard in self._owning if awaited(snapshot, shard) or shard.primary_id in self._dead
        )
        self._untouched: dict[NodeId, ShardAfter] = {}
        before = self._forecast(NOBODY)
        self._untouched = {shard.primary_id: shard for shard in before.shards}
        self.now = adopted(snapshot, before)

    def after(self, lost: Collection[NodeId]) -> Forecast:
        """The forecast for these nodes lost at once; for nobody: what becomes of the cluster as it is."""
        return adopted(self._snapshot, self._forecast(frozenset(lost)))

    def _forecast(self, gone: frozenset[NodeId]) -> Forecast:
        left, standing = self._votes_left(gone)
        failed = sum(1 for shard in self._owning if shard.primary_id in gone or shard.primary_id in self._down)
        shards = tuple(self._shard_after(shard, gone, standing, failed) for shard in self._owning)
        serving = sum(1 for shard in shards if shard.fate in (Fate.KEPT, Fate.TAKEN_OVER))
        votes = self._snapshot.electorate
        coverage = self._coverage(gone)
        elected = [shard for shard in shards if shard.fate is Fate.TAKEN_OVER]
        forecast = Forecast(
            lost=tuple(sorted(gone)),
            shards=shards,
            unowned=self._unowned,
            votes=VotesAfter(len(votes.voters), votes.needed, left, serving, standing),
            stop=Stop.NOTHING,
            coverage=coverage,
            retry_ms=self._retry_ms(elected),
            timeout_known=self._timeout_known,
        )
        return replace(forecast, stop=_stop(forecast, self._unnoticed(gone)))

    def _votes_left(self, gone: frozenset[NodeId]) -> tuple[int, Known]:
        """Voters of the side that stands now, without the lost; and whether they are a majority of all.

        Silent ones may stand together where only we cannot see it: then it cannot be told.
        """
        votes = self._snapshot.electorate
        if not self._snapshot.groups:
            return 0, Known.UNKNOWN
        left = [voter for voter in votes.side if voter not in gone]
        telling = [voter for voter in left if voter in votes.reachable]
        if votes.quorum is Known.YES and len(telling) >= votes.needed:
            return len(left), Known.YES
        possible = sum(1 for voter in votes.voters if voter not in gone and voter not in self._dead)
        if votes.quorum is Known.NO or possible < votes.needed:
            return len(left), Known.NO
        if votes.quorum is Known.YES and len(left) < votes.needed:
            return len(left), Known.NO
        return len(left), Known.UNKNOWN

    def _shard_after(self, shard: Shard, gone: frozenset[NodeId], standing: Known, failed: int) -> ShardAfter:
        calm = gone.isdisjoint((shard.primary_id, *shard.replica_ids)) and shard.primary_id not in self._down
        if calm and shard.primary_id in self._untouched:
            return self._untouched[shard.primary_id]
        members = (shard.primary_id, *shard.replica_ids)
        lost = tuple(each for each in members if each in gone and each not in self._dead)
        before, _ = self._copies(shard, NOBODY, shard.primary_id)
        after = ShardAfter(shard.primary_id, shard.slots, Fate.KEPT, lost, replicas_before=before)
        primary = self._snapshot.nodes[shard.primary_id]
        if shard.primary_id not in gone and shard.primary_id not in self._down:
            after = self._with_replicas(after, shard, gone, (primary,))
            if primary.alive is Known.UNKNOWN:
                return replace(after, fate=Fate.UNKNOWN, reasons=((primary.node_id, ("it does not answer us",)),))
            return replace(after, doubt=after.doubt or primary.view is None)
        if not survivors(self._snapshot, shard, gone):
            return replace(after, fate=Fate.GONE)
        return self._succeeded(shard, gone, standing, failed, after)

    def _succeeded(
        self, shard: Shard, gone: frozenset[NodeId], standing: Known, failed: int, after: ShardAfter
    ) -> ShardAfter:
        """The shard after its election, or why there is none."""
        primary = self._snapshot.nodes[shard.primary_id]
        if shard.primary_id not in gone and "noaddr" in primary.flags and not primary.failed_by:
            # Nodes without an address are not pinged, so nobody ever suspects them (clusterCron, cluster_legacy.c).
            left, unseen = self._copies(shard, gone, shard.primary_id)
            why = ((primary.node_id, ("nobody knows its address, so nobody will hold it for failed",)),)
            return replace(after, fate=Fate.STUCK, reasons=why, replicas_after=left, replicas_unseen=unseen)
        found = succession(self._snapshot, shard, gone, failed, self._timeouts_ms)
        fate = _fate(found, standing)
        after = replace(after, fate=fate, contenders=found.contenders, reasons=found.refused)
        if fate is Fate.STUCK:
            left, unseen = self._copies(shard, gone, shard.primary_id)
            return replace(after, contenders=(), replicas_after=left, replicas_unseen=unseen)
        already = shard.primary_id in self._down
        first = self._snapshot.nodes[found.contenders[0]]
        said = first.vitals.replication if first.vitals else None
        chosen = [self._snapshot.nodes[each] for each in found.contenders]
        return replace(
            self._with_replicas(after, shard, gone, chosen),
            outage_ms=outage_ms(self._timeouts_ms, found.delay_ms, already=already),
            delay_ms=found.delay_ms,
            behind_bytes=lag_of(self._snapshot, first).behind_bytes,
            linked=said is not None and said.link_up is True,
            empty=found.empty,
        )

    def _with_replicas(
        self, after: ShardAfter, shard: Shard, gone: frozenset[NodeId], serving: Sequence[Node]
    ) -> ShardAfter:
        """The replicas below whoever serves afterwards, likeliest first, and whether they are enough for writes.

        min-replicas-to-write refuses writes with fewer replicas (NOREPLICAS); 0 switches it off.
        """
        left, unseen = self._copies(shard, gone, serving[0].node_id)
        said = [node.vitals.config.min_replicas_to_write if node.vitals else None for node in serving]
        wanted = max((each for each in said if each is not None), default=0)
        return replace(
            after,
            replicas_after=left,
            replicas_unseen=unseen,
            starved=wanted > left + unseen,
            doubt=left + unseen >= wanted > left or (left == 0 and unseen > 0),
        )

    def _copies(self, shard: Shard, gone: frozenset[NodeId], serving: NodeId) -> tuple[int, int]:
        """How many replicas below `serving` live with their link up, and how many do not tell.

        One that says that it has no link is neither. To a primary that is down nobody has one: there all that answer
        count.
        """
        apart = {shard.primary_id, serving}
        living = [node for node in survivors(self._snapshot, shard, gone) if node.node_id not in apart]
        if shard.primary_id in self._down:
            return sum(1 for node in living if node.view), sum(1 for node in living if not node.view)
        links = [node.vitals.replication.link_up if node.vitals else None for node in living]
        return links.count(True), links.count(None)

    def _coverage(self, gone: frozenset[NodeId]) -> Known:
        """Whether primaries stop when slots are out: YES when any that is left says so, for it stops itself."""
        left = (self._snapshot.nodes[voter] for voter in self._snapshot.electorate.voters if voter not in gone)
        said = {
            node.vitals.config.require_full_coverage if node.vitals else None
            for node in left
            if node.node_id not in self._dead
        }
        if True in said:
            return Known.YES
        return Known.NO if said == {False} else Known.UNKNOWN

    def _unnoticed(self, gone: frozenset[NodeId]) -> bool:
        """Whether primaries go on although slots have no owner: they are given to a node that lives and claims none.

        To stop, a primary must see the slot free or its owner failed (clusterUpdateState, cluster_legacy.c).
        """
        if not self._named_owners.isdisjoint(gone | self._dead):
            return False
        left = (self._snapshot.nodes[voter] for voter in self._snapshot.electorate.voters if voter not in gone)
        return any(node.vitals is not None and node.vitals.cluster.state == "ok" for node in left)

    def _retry_ms(self, elected: Collection[ShardAfter]) -> int | None:
        if len(elected) < 2 or not self._collide:
            return None
        return vote_again_after_ms(self._timeouts_ms[1])


def _fate(found: Succession, standing: Known) -> Fate:
    if found.certain is Known.NO or standing is Known.NO:
        return Fate.STUCK
    return Fate.TAKEN_OVER if found.certain is Known.YES and standing is Known.YES else Fate.UNKNOWN


def _stop(forecast: Forecast, unnoticed: bool) -> Stop:
    if forecast.votes.standing is Known.NO:
        return Stop.QUORUM
    if forecast.votes.standing is Known.UNKNOWN:
        return Stop.UNKNOWN
    if not forecast.out or (unnoticed and not any(shard.out for shard in forecast.shards)):
        return Stop.NOTHING
    return {Known.YES: Stop.COVERAGE, Known.NO: Stop.NOTHING, Known.UNKNOWN: Stop.UNKNOWN}[forecast.coverage]
