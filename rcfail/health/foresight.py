"""How bad a forecast is, and the single host and zone whose loss would be the worst."""

from __future__ import annotations

from dataclasses import dataclass

from rcfail.cluster.forecast import Forecast, Stop, harm
from rcfail.cluster.placement import Place, PlaceKind, places
from rcfail.cluster.snapshot import Known, Snapshot
from rcfail.cluster.whatif import Foresight
from rcfail.health.verdict import Verdict


def judged(forecast: Forecast) -> Verdict:
    """CRITICAL: slots, data, writes or the quorum are lost for good. UNKNOWN: that cannot be told. WARNING: a shard
    is left without a replica, or one more voter ends the quorum. OK: everything is served, by shards with replicas.
    """
    lost_writes = any(shard.starved or shard.empty for shard in forecast.shards)
    if forecast.out or forecast.votes.standing is Known.NO or lost_writes:
        return Verdict.CRITICAL
    if forecast.doubtful or forecast.stop is Stop.UNKNOWN or not forecast.shards:
        return Verdict.UNKNOWN
    return Verdict.WARNING if forecast.bare or forecast.votes.spare < 1 else Verdict.OK


@dataclass(frozen=True, slots=True)
class Trial:
    """One host or zone, and what its loss would do."""

    place: Place
    forecast: Forecast

    @property
    def verdict(self) -> Verdict:
        return judged(self.forecast)


def trials(snapshot: Snapshot, foresight: Foresight, kind: PlaceKind) -> tuple[Trial, ...]:
    """Every host, or every zone, the one whose loss would be the worst first."""
    tried = (Trial(place, foresight.after(place.node_ids)) for place in places(snapshot, kind))
    return tuple(sorted(tried, key=lambda trial: (*(-each for each in harm(trial.forecast)), trial.place.name)))
