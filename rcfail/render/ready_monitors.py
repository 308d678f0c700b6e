"""What monitors are told by `rcfail ready`: the words and figures of a Nagios line, and metrics for Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from rcfail.change.readiness import Answer, Readiness, ShardReady
from rcfail.change.request import Mode
from rcfail.cluster.snapshot import Known
from rcfail.cluster.succession import Span
from rcfail.health.verdict import Verdict
from rcfail.render.nagios import Datum
from rcfail.render.outcome import Outcome
from rcfail.render.prometheus import Family, Sample, one_of


def ready_figures(ready: Readiness | None) -> Iterator[Datum]:
    """The same labels in every run; U where nothing was seen."""
    shards = ready.shards if ready else ()
    total = len(shards)
    counts: dict[str, int | None] = {
        "shards_ready": sum(each.verdict is Verdict.OK for each in shards),
        "shards_graceful": sum(each.graceful.answer is Answer.YES for each in shards),
        "shards_crash_survived": sum(each.survives_crash is Known.YES for each in shards),
    }
    for label, count in counts.items():
        yield Datum(
            label, count if ready else None, warn=f"{total}:" if ready else "", most=str(total) if ready else ""
        )
    yield Datum("shards_out", sum(each.out for each in shards) if ready else None, crit="0")
    votes = ready.snapshot.electorate if ready else None
    yield Datum("voters_standing", len(votes.side) if votes else None, crit=f"{votes.needed}:" if votes else "")
    yield Datum("voters_needed", votes.needed if votes else None)
    yield Datum("lag_bytes", _most(_lag(each) for each in shards), "B")
    yield Datum("cooldown", _in_s(_most(_cooldown_ms(each) or 0 for each in shards)), "s")
    yield Datum("graceful_pause_most", _in_s(_most(_end(each.pause_ms) for each in shards)), "s")
    yield Datum("crash_outage_most", _in_s(_most(_outage_ms(each) for each in shards)), "s")


def ready_families(outcome: Outcome, cluster: Mapping[str, str], elapsed_s: float, ended_s: float) -> Iterator[Family]:
    """Names of their own: the collector refuses two files that hold one series alike, and health may write another."""
    ready = outcome.readiness
    yield Family(
        "rcfail_ready_up",
        "1 when a cluster was seen and judged, 0 when none was.",
        [Sample(cluster, ready is not None)],
    )
    yield Family("rcfail_ready_run_timestamp_seconds", "When the run ended, as Unix time.", [Sample(cluster, ended_s)])
    yield Family("rcfail_ready_run_duration_seconds", "How long the run took.", [Sample(cluster, elapsed_s)])
    yield Family("rcfail_ready_run_exit_code", "What the run ended with.", [Sample(cluster, outcome.exit_code)])
    verdict = ready.verdict if ready else Verdict.UNKNOWN
    yield Family(
        "rcfail_ready_verdict",
        "Whether failovers would work: 1 for the verdict that stands.",
        one_of(cluster, "verdict", Verdict, verdict),
    )
    if ready is None:
        return
    votes = ready.snapshot.electorate
    yield Family("rcfail_ready_voters_standing", "Voters that stand together.", [Sample(cluster, len(votes.side))])
    yield Family("rcfail_ready_voters_needed", "Voters that elect a replica.", [Sample(cluster, votes.needed)])
    yield from _of_shards(ready, cluster)


def _of_shards(ready: Readiness, cluster: Mapping[str, str]) -> Iterator[Family]:
    """By the id of the primary, which a failover changes, and its address."""
    rows = [(_labels(ready, each, cluster), each) for each in ready.shards]
    yield Family(
        "rcfail_ready_shard_verdict",
        "Whether failovers of the shard would work: 1 for the verdict that stands.",
        [sample for at, each in rows for sample in one_of(at, "verdict", Verdict, each.verdict)],
    )
    yield Family(
        "rcfail_ready_shard_mode",
        "Whether rcfail failover would send now in this mode: 1 for the answer that stands.",
        [
            sample
            for at, each in rows
            for mode in Mode
            for sample in one_of({**at, "mode": mode.value}, "answer", Answer, each.mode(mode).answer)
        ],
    )
    yield Family(
        "rcfail_ready_shard_crash_survived",
        "Whether a primary that dies is replaced without help: 1 for the answer that stands.",
        [sample for at, each in rows for sample in one_of(at, "answer", Known, each.survives_crash)],
    )
    yield Family(
        "rcfail_ready_shard_out",
        "1 while the slots of the shard are not served.",
        [Sample(at, each.out) for at, each in rows],
    )
    yield Family("rcfail_ready_shard_lag_bytes", "How far the candidate is behind.", _known(rows, _lag))
    yield Family(
        "rcfail_ready_shard_cooldown_seconds",
        "How long an election is still too soon.",
        _known(rows, lambda each: _in_s(_cooldown_ms(each))),
    )
    yield Family(
        "rcfail_ready_shard_graceful_pause_seconds",
        "The longest that a graceful failover would hold writes back.",
        _known(rows, lambda each: _in_s(_end(each.pause_ms))),
    )
    yield Family(
        "rcfail_ready_shard_crash_outage_seconds",
        "The longest without writes when the primary dies and is replaced.",
        _known(rows, lambda each: _in_s(_outage_ms(each))),
    )


def _labels(ready: Readiness, shard: ShardReady, cluster: Mapping[str, str]) -> dict[str, str]:
    node = ready.snapshot.nodes[shard.primary]
    place = node.endpoint or node.address.endpoint
    return {**cluster, "primary_id": shard.primary, "address": str(place) if place else ""}


def _known(
    rows: Iterable[tuple[Mapping[str, str], ShardReady]], value: Callable[[ShardReady], float | None]
) -> list[Sample]:
    """What cannot be told has no series."""
    found = ((at, value(each)) for at, each in rows)
    return [Sample(at, number) for at, number in found if number is not None]


def _lag(shard: ShardReady) -> int | None:
    return shard.graceful.candidate.behind_bytes if shard.graceful.candidate else None


def _cooldown_ms(shard: ShardReady) -> int | None:
    return max((each.retry_after_ms for each in shard.modes if each.retry_after_ms), default=None)


def _outage_ms(shard: ShardReady) -> int | None:
    return _end(shard.crash.outage_ms) if shard.crash else None


def _end(span: Span | None) -> int | None:
    return span[1] if span else None


def _in_s(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000


def _most(values: Iterable[int | None]) -> int | None:
    return max((each for each in values if each is not None), default=None)
