"""The data of `rcfail whatif -o json`."""

from __future__ import annotations

from collections.abc import Sequence

from rcfail.cluster.forecast import Forecast, ShardAfter
from rcfail.cluster.lookup import Match
from rcfail.cluster.succession import Span
from rcfail.health.foresight import Trial, judged
from rcfail.render.health_json import slots_json
from rcfail.render.outcome import Json
from rcfail.render.whatif_page import Question
from rcfail.render.whatif_words import summary


def whatif_data(
    question: Question,
    lost: Sequence[Match] = (),
    after: Forecast | None = None,
    hosts: Sequence[Trial] = (),
    zones: Sequence[Trial] = (),
) -> Json:
    """`after` is null without --lose, and `weakest`, `hosts` and `zones` are empty with it."""
    return {
        "health": question.diagnosis.verdict.value,
        "lose": [{"kind": each.kind.value, "name": each.name, "node_ids": list(each.node_ids)} for each in lost],
        "before": forecast_json(question.now),
        "after": forecast_json(after) if after else None,
        "weakest": {
            "host": _trial(hosts[0]) if hosts else None,
            "zone": _trial(zones[0]) if zones else None,
        },
        "hosts": [_trial(each) for each in hosts],
        "zones": [_trial(each) for each in zones],
    }


def forecast_json(forecast: Forecast) -> Json:
    """Times in milliseconds, as [least, most]; null where nothing pauses."""
    return {
        "verdict": judged(forecast).value,
        "summary": summary(forecast),
        "lost": list(forecast.lost),
        "votes": {
            "voters": forecast.votes.voters,
            "needed": forecast.votes.needed,
            "left": forecast.votes.left,
            "after": forecast.votes.after,
            "standing": forecast.votes.standing.value,
        },
        "slots_out": slots_json(forecast.out),
        "slots_out_count": forecast.out_count,
        "stop": forecast.stop.value,
        "full_coverage": forecast.coverage.value,
        "paused_ms": _span(forecast.paused_ms),
        "others_paused_ms": _span(forecast.others_paused_ms),
        "retry_ms": forecast.retry_ms,
        "node_timeout_known": forecast.timeout_known,
        "without_replica": [shard.primary_id for shard in forecast.bare],
        "shards": [_shard(shard) for shard in forecast.shards],
    }


def _shard(shard: ShardAfter) -> Json:
    return {
        "primary_id": shard.primary_id,
        "slots": slots_json(shard.slots),
        "slot_count": shard.slot_count,
        "fate": shard.fate.value,
        "lost": list(shard.lost),
        "elected": list(shard.contenders),
        "reasons": [{"id": each, "obstacles": list(texts)} for each, texts in shard.reasons],
        "outage_ms": _span(shard.outage_ms),
        "behind_bytes": shard.behind_bytes,
        "linked": shard.linked,
        "empty": shard.empty,
        "replicas_before": shard.replicas_before,
        "replicas_after": shard.replicas_after,
        "replicas_unseen": shard.replicas_unseen,
        "doubt": shard.doubt,
        "adopts": shard.adopts,
        "writes_refused": shard.starved,
    }


def _trial(trial: Trial) -> Json:
    """One host or zone in short."""
    return {
        "name": trial.place.name,
        "node_ids": list(trial.place.node_ids),
        "verdict": trial.verdict.value,
        "summary": summary(trial.forecast),
        "slots_out_count": trial.forecast.out_count,
        "quorum": trial.forecast.votes.standing.value,
        "paused_ms": _span(trial.forecast.paused_ms),
        "without_replica": [shard.primary_id for shard in trial.forecast.bare],
    }


def _span(span: Span | None) -> list[int] | None:
    return list(span) if span else None
