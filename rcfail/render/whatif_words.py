"""What a forecast says in sentences, the same for one loss and for a row of a table."""

from __future__ import annotations

from collections.abc import Iterator

from rcfail.cluster.forecast import Fate, Forecast, ShardAfter, Stop
from rcfail.cluster.snapshot import Known, Snapshot
from rcfail.health.wording import called, counted, listing, named
from rcfail.render.words import size

_MOST_REASONS = 3
_ALWAYS_FRAGILE = 2
"""With one voter or two each of them is needed, wherever they stand."""


def between(span: tuple[int, int]) -> str:
    """A time that is known as a range, of milliseconds: `2.5 to 4.5 s`, `at most 4.5 s`."""
    least, most = span
    if most >= 120_000:
        return f"{least / 60_000:.1f} to {most / 60_000:.1f} min" if least else f"at most {most / 60_000:.1f} min"
    return f"{least / 1000:.1f} to {most / 1000:.1f} s" if least else f"at most {most / 1000:.1f} s"


def summary(forecast: Forecast) -> str:
    """All that counts in one line, the worst first."""
    return "; ".join(_effects(forecast))


def _effects(forecast: Forecast) -> Iterator[str]:
    votes = forecast.votes
    if not forecast.shards:
        yield "no primary with slots is known"
    if votes.standing is Known.NO:
        yield f"the quorum is lost ({votes.left} of {counted(votes.voters, 'voter')} left, {votes.needed} needed)"
        yield "every primary stops"
    if forecast.unowned:
        yield f"{counted(_count(forecast.unowned), 'slot')} have no owner already"
    if gone := forecast.of_fate(Fate.GONE):
        yield f"{_slots(gone)} lose their last copy"
    if stuck := forecast.of_fate(Fate.STUCK):
        yield f"{_slots(stuck)} stay without a primary"
    if unknown := forecast.of_fate(Fate.UNKNOWN):
        yield f"who serves {_slots(unknown)} cannot be told"
    if doubt := tuple(shard for shard in forecast.doubtful if shard.fate is not Fate.UNKNOWN):
        yield f"what protects {_slots(doubt)} cannot be told"
    if emptied := tuple(shard for shard in forecast.shards if shard.empty):
        yield f"{_slots(emptied)} lose their data: a replica without any is elected"
    if starved := tuple(shard for shard in forecast.shards if shard.starved):
        yield f"{_slots(starved)} take no writes for want of replicas"
    yield from _pauses(forecast)
    if (bare := forecast.bare) and forecast.stop is not Stop.QUORUM:
        yield f"{counted(len(bare), 'shard')} without a replica"
    if votes.standing is Known.YES and votes.spare < 1 and forecast.shards:
        yield "the next lost voter ends the quorum"


def _pauses(forecast: Forecast) -> Iterator[str]:
    if forecast.stop is Stop.COVERAGE:
        yield "all slots are refused"
    taken = forecast.of_fate(Fate.TAKEN_OVER)
    if taken and forecast.paused_ms:
        yield f"{_slots(taken)} take no writes for {between(forecast.paused_ms)}"
    elif forecast.shards and not forecast.out and forecast.stop is Stop.NOTHING and not forecast.of_fate(Fate.UNKNOWN):
        starved = any(shard.starved for shard in forecast.shards)
        yield "all slots serve reads" if starved else "all slots stay served"


def _slots(shards: tuple[ShardAfter, ...]) -> str:
    return counted(sum(shard.slot_count for shard in shards), "slot")


def _count(slots: tuple[tuple[int, int], ...]) -> int:
    return sum(last - first + 1 for first, last in slots)


def helping_page(forecast: Forecast) -> str:
    """The finding whose page tells what helps against the worst of it; "" where nothing is called for."""
    if forecast.votes.standing is Known.NO:
        return "quorum-on-one-host" if forecast.votes.voters > _ALWAYS_FRAGILE else "quorum-fragile"
    for code, shards in (
        ("shard-on-one-host", forecast.of_fate(Fate.GONE)),
        ("failover-disabled", forecast.of_fate(Fate.STUCK)),
        ("writes-refused", tuple(shard for shard in forecast.shards if shard.starved)),
        ("node-silent", forecast.doubtful),
        ("replica-missing", forecast.bare),
    ):
        if shards:
            return code
    return ""


def votes_text(forecast: Forecast) -> str:
    """Whether failovers can be voted right after the loss, and how many voters stand when they are over."""
    votes = forecast.votes
    said = f"{votes.left} of {counted(votes.voters, 'voter')} left, {votes.needed} needed"
    if votes.standing is Known.NO:
        return (
            f"{said}: no failover can be voted, neither an automatic one nor FORCE, and the primaries that are left "
            "refuse all commands on keys after about one node timeout"
        )
    if votes.standing is Known.UNKNOWN:
        return f"{said}, but some are silent to us: whether they stand together cannot be told"
    if votes.spare < 1:
        return f"{said}: failovers can be voted; {votes.after} stand after them, and the next lost one ends the quorum"
    return f"{said}: failovers can be voted; {votes.after} stand after them"


def stop_text(forecast: Forecast) -> str:
    """What happens to slots that lose nothing themselves; "" where nothing does."""
    if forecast.stop is Stop.COVERAGE:
        return "refused too, until these are back: cluster-require-full-coverage is yes"
    if forecast.out and forecast.coverage is Known.NO and forecast.stop is Stop.NOTHING:
        return "served: cluster-require-full-coverage is no"
    if forecast.stop is Stop.UNKNOWN and forecast.coverage is Known.UNKNOWN and forecast.out:
        return "whether they are served cannot be told: cluster-require-full-coverage could not be read"
    paused = forecast.others_paused_ms
    if paused is None:
        return ""
    why = "cluster-require-full-coverage is yes"
    if forecast.coverage is Known.UNKNOWN:
        why = "if cluster-require-full-coverage is yes (it could not be read)"
    return f"refused too for about {between(paused)}, while the elections run: {why}"


def fate_text(snapshot: Snapshot, shard: ShardAfter, stop: Stop) -> str:
    """What becomes of one shard."""
    primary = called(snapshot.nodes[shard.primary_id])
    if shard.fate is Fate.KEPT:
        return f"{primary} {_LIVES.get(stop, 'goes on')}"
    lead = f"{primary} is lost" if shard.primary_id in shard.lost else f"{primary} is down already"
    if shard.fate is Fate.GONE:
        return f"{lead}, and no copy of its data is left{_keys(snapshot, shard)}: out until a member is back with data"
    if shard.fate is Fate.STUCK:
        return f"{lead}, and nobody takes its place by itself: {_reasons(snapshot, shard) or 'no majority can vote'}"
    if shard.fate is Fate.UNKNOWN and not shard.contenders:
        return f"{primary} is silent to us, so whether it serves cannot be told"
    if shard.fate is Fate.UNKNOWN:
        why = _reasons(snapshot, shard)
        return f"{lead}; whether a replica takes its place cannot be told" + (f": {why}" if why else "")
    return f"{lead}; {_elected(snapshot, shard)}"


def _elected(snapshot: Snapshot, shard: ShardAfter) -> str:
    """Who takes over. A contender with reasons against it could not be judged, for it is silent to us."""
    doubtful = {each for each, _ in shard.reasons}
    sure = [each for each in shard.contenders if each not in doubtful]
    perhaps = [each for each in shard.contenders if each in doubtful]
    names = " or ".join(called(snapshot.nodes[each]) for each in sure)
    said = f"{names} is elected" + (": they hold as much, so chance decides" if len(sure) > 1 else "")
    return f"{said}; or perhaps {named(snapshot, perhaps)}, which could not be asked" if perhaps else said


_LIVES = {
    Stop.QUORUM: "lives, and refuses all keys without a quorum",
    Stop.COVERAGE: "lives, and refuses all keys while other slots are out",
}


def _keys(snapshot: Snapshot, shard: ShardAfter) -> str:
    vitals = snapshot.nodes[shard.primary_id].vitals
    return f" ({counted(vitals.storage.keys, 'key')})" if vitals and vitals.storage.keys is not None else ""


def _reasons(snapshot: Snapshot, shard: ShardAfter) -> str:
    return listing(
        (f"{called(snapshot.nodes[each])}: {listing(texts)}" for each, texts in shard.reasons if texts), _MOST_REASONS
    )


def risk_text(shard: ShardAfter) -> str:
    """Which writes are lost with the primary; "" where it is not lost."""
    if shard.fate is not Fate.TAKEN_OVER:
        return ""
    if shard.empty:
        return "all data of the shard: a replica that holds none may be elected (cluster-replica-validity-factor 0)"
    if shard.primary_id not in shard.lost:
        return "the last writes that its successor had not received when the primary went down"
    if not shard.linked:
        return "all writes since its successor lost its link"
    if shard.behind_bytes is None:
        return "the last writes that its successor had not received; how many cannot be told"
    return f"the last writes that its successor had not received ({size(shard.behind_bytes)} behind when we looked)"


def replicas_text(snapshot: Snapshot, shard: ShardAfter) -> str:
    before = f"there {'was' if shard.replicas_before == 1 else 'were'} {shard.replicas_before or 'none'}"
    if shard.adopts:
        mover = called(snapshot.nodes[shard.adopts])
        return f"none left, until {mover}, which another shard can spare, moves here by itself after 5 s; {before}"
    left = counted(shard.replicas_after, "replica") if shard.replicas_after else "no replica"
    unseen = f" for sure, and {shard.replicas_unseen} that could not be asked" if shard.replicas_unseen else ""
    return f"{left} left{unseen}; {before}"
