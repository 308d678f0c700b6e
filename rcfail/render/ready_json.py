"""The data of `rcfail ready -o json`."""

from __future__ import annotations

from rcfail.change.candidates import Contender
from rcfail.change.readiness import ModeReady, Readiness, ShardReady
from rcfail.cluster.nouns import NodeId
from rcfail.cluster.snapshot import Snapshot
from rcfail.cluster.succession import Span
from rcfail.health.manner import PLAIN, Manner
from rcfail.render.failover_json import check_data
from rcfail.render.health_json import slots_json
from rcfail.render.outcome import Json
from rcfail.render.ready_words import cause, headline, next_command


def ready_data(ready: Readiness, manner: Manner = PLAIN) -> Json:
    """Times in milliseconds and amounts in bytes, ranges as [least, most]; null is what cannot be told."""
    votes = ready.snapshot.electorate
    return {
        "summary": headline(ready),
        "quorum": {
            "voters": len(votes.voters),
            "standing": len(votes.side),
            "needed": votes.needed,
            "answer": votes.quorum.value,
        },
        "slots_unowned": slots_json(ready.unowned),
        "findings": list(dict.fromkeys(each.code for each in ready.findings)),
        "shards_total": ready.total,
        "shards": [_shard(ready, shard, manner) for shard in ready.shards],
    }


def _shard(ready: Readiness, shard: ShardReady, manner: Manner) -> Json:
    snapshot, best = ready.snapshot, shard.graceful.candidate
    return {
        "primary": _node(snapshot, shard.primary),
        "slots": slots_json(shard.slots),
        "slot_count": sum(last - first + 1 for first, last in shard.slots),
        "verdict": shard.verdict.value,
        "serving": not shard.out,
        "cause": cause(snapshot, shard) or None,
        "hint": manner.fit(next_command(ready, shard)) or None,
        "findings": list(dict.fromkeys(each.code for each in shard.findings)),
        "candidate": _node(snapshot, best.node_id) if best else None,
        "lag_bytes": best.behind_bytes if best else None,
        "votes": {"standing": shard.votes.standing, "voters": shard.votes.voters, "needed": shard.votes.needed},
        "graceful_pause_ms": _span(shard.pause_ms),
        "modes": {each.mode.value: _mode(snapshot, each) for each in shard.modes},
        "crash": _crash(shard),
    }


def _mode(snapshot: Snapshot, mode: ModeReady) -> Json:
    return {
        "answer": mode.answer.value,
        "candidate": _node(snapshot, mode.candidate.node_id) if mode.candidate else None,
        "needs": [each.value for each in mode.needs],
        "at_risk_bytes": _span(mode.at_risk_bytes),
        "cooldown_left_ms": mode.retry_after_ms,
        "preflight": [check_data(each) for each in mode.candidate.checks] if mode.candidate else [],
        "others": [_other(snapshot, each) for each in mode.others],
    }


def _other(snapshot: Snapshot, contender: Contender) -> Json:
    return {
        **_node(snapshot, contender.node_id),
        "refused": contender.refused,
        "for": list(contender.reasons_for),
        "against": list(contender.reasons_against),
    }


def _crash(shard: ShardReady) -> Json:
    """What the servers do by themselves when the primary dies, or since it died."""
    crash = shard.crash
    return {
        "survived": shard.survives_crash.value,
        "elected": list(crash.contenders) if crash else [],
        "outage_ms": _span(crash.outage_ms) if crash else None,
        "behind_bytes": crash.behind_bytes if crash else None,
        "reasons": [{"id": each, "obstacles": list(texts)} for each, texts in crash.reasons] if crash else [],
    }


def _node(snapshot: Snapshot, node_id: NodeId) -> dict[str, str | None]:
    node = snapshot.node(node_id)
    known = (node.endpoint or node.address.endpoint) if node else None
    return {"id": node_id, "address": str(known) if known else None}


def _span(span: Span | None) -> list[int] | None:
    return list(span) if span else None
