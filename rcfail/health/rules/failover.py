"""Automatic failover: under way, blocked, or impossible before anything has failed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rcfail.cluster.candidacy import Candidate, Obstacle, candidates, candidates_by_themselves
from rcfail.cluster.electorate import NODE_TIMEOUT_MS, majority_beyond
from rcfail.cluster.failover_stage import FailoverStage, Stage, awaited, failover_stage
from rcfail.cluster.nouns import NodeId
from rcfail.cluster.observation import SilenceReason
from rcfail.cluster.snapshot import Known, Node, Shard, Snapshot
from rcfail.health import restart
from rcfail.health.finding import CLUSTER, Finding, Severity, Thresholds, of_shard
from rcfail.health.wording import (
    answering,
    called,
    counted,
    duration,
    listing,
    named,
    rcfail,
    redis_cli,
    slots_text,
)

_OUT = "Clients get no answer for these slots"


def awaited_failovers(snapshot: Snapshot, _: Thresholds) -> Iterator[Finding]:
    """failover-pending or failover-blocked for each shard whose primary is flagged and does not serve.

    Needs the views of at least one other node: who suspects, who could vote. The replicas' INFO and
    CONFIG tell who may stand; a replica that is silent to us alone does not make it blocked.
    """
    out = [shard for shard in snapshot.shards if awaited(snapshot, shard)]
    unvoted = [shard for shard in out if _no_majority(snapshot, shard)]
    told: set[NodeId] = set()
    if len(unvoted) > 1:
        yield _all_blocked(snapshot, unvoted)
        told = {shard.primary_id for shard in unvoted}
    for shard in out:
        if shard.primary_id in told:
            continue
        stage, standing = failover_stage(snapshot, shard), candidates(snapshot, shard)
        yield _blocked(snapshot, shard, stage, standing) or _pending(snapshot, shard, stage, standing)


def failover_disabled(snapshot: Snapshot, _: Thresholds) -> Iterator[Finding]:
    """The primary is well, and none of its living replicas could take its place.

    Needs INFO and CONFIG of the replicas; one that is silent may be able to, so then nothing is said here
    (the silence is a finding itself). What has another finding of its own, such as a first copy under way,
    is not repeated.
    """
    for shard in snapshot.shards:
        if not shard.slots or awaited(snapshot, shard) or snapshot.nodes[shard.primary_id].alive is not Known.YES:
            continue
        standing = candidates_by_themselves(snapshot, shard)
        living = [each for each in standing if not each.has(Obstacle.DEAD)]
        barred = [each for each in living if each.has(*_LASTING)]
        if barred and all(each.eligible is Known.NO for each in living):
            yield _disabled(snapshot, shard, living, barred)


_LASTING = (Obstacle.NOFAILOVER, Obstacle.DATA_TOO_OLD, Obstacle.NOT_SYNCED_SINCE_START)


def _disabled(snapshot: Snapshot, shard: Shard, living: Sequence[Candidate], barred: Sequence[Candidate]) -> Finding:
    primary = snapshot.nodes[shard.primary_id]
    switched_off = next((each for each in barred if each.has(Obstacle.NOFAILOVER)), None)
    if switched_off is not None:
        setting = redis_cli(
            snapshot.nodes[switched_off.node_id].endpoint, "CONFIG", "SET", "cluster-replica-no-failover", "no"
        )
        hint = f"If that is not meant, let one stand for election: {setting}"
    else:
        endpoint = snapshot.nodes[barred[0].node_id].endpoint
        hint = f"See why it has no link: {redis_cli(endpoint, 'INFO', 'replication')}"
    count = f"none of the {len(living)} living replicas of {called(primary)} may be promoted"
    if len(living) == 1:
        count = f"the only living replica of {called(primary)} may not be promoted"
    return Finding(
        "failover-disabled",
        Severity.WARNING,
        of_shard(snapshot, shard),
        f"{count}: {_obstacles(snapshot, living)}",
        f"When this primary fails, {slots_text(shard.slots)} stay without one until somebody acts.",
        hint,
    )


def _pending(snapshot: Snapshot, shard: Shard, stage: FailoverStage, standing: Sequence[Candidate]) -> Finding:
    chosen = next((each for each in standing if each.node_id == stage.candidate), None)
    consequence = f"{_OUT} until a replica is promoted; that needs no help."
    if chosen is not None and chosen.empty:
        consequence = (
            f"{_OUT}, and the replica that will be promoted holds no data, because cluster-replica-validity-factor "
            "is 0: the data of this shard will be lost unless its primary is back first."
        )
    return Finding(
        "failover-pending",
        Severity.CRITICAL,
        of_shard(snapshot, shard),
        f"{_stricken(snapshot, shard)} {_step(snapshot, stage)}",
        consequence,
        f"Wait for it: {rcfail('health', answering(snapshot), '--wait', '30s')}",
    )


def _stricken(snapshot: Snapshot, shard: Shard) -> str:
    return f"primary {called(snapshot.nodes[shard.primary_id])} of {slots_text(shard.slots)} is"


def _step(snapshot: Snapshot, stage: FailoverStage) -> str:
    if stage.stage is Stage.SUSPECTED:
        said = f"suspected by {len(stage.suspecting)} of the {counted(stage.needed, 'voter')} that must agree"
    else:
        said = f"held for failed by the majority ({len(stage.suspecting)} of {len(snapshot.electorate.voters)} voters)"
    candidate = snapshot.node(stage.candidate)
    if candidate is None:
        return f"{said}; whether a replica can take its place cannot be told, for none that could answers us"
    who = f"replica {called(candidate)}"
    if stage.stage is Stage.SUSPECTED:
        return f"{said}; {who} can take its place"
    if stage.stage is Stage.ELECTION_DUE and stage.due_in_ms:
        return f"{said}; {who} asks for their votes within about {duration(stage.due_in_ms)}"
    if stage.stage is Stage.ELECTION_DUE:
        return f"{said}; {who} asks for their votes at this moment"
    return f"{said}; {who} can take its place, and does not know the verdict yet"


def _blocked(snapshot: Snapshot, shard: Shard, stage: FailoverStage, standing: Sequence[Candidate]) -> Finding | None:
    found = _cause(snapshot, shard, stage, standing)
    if found is None:
        return None
    primary = snapshot.nodes[shard.primary_id]
    state = "failed" if primary.failed_by else "suspected"
    fate = "was not replaced" if found.passes else "will not be replaced by itself"
    back = ""
    if primary.view is not None:
        back = "; it answers us again, and its flag is cleared after 2 node timeouts if its bus port can be reached"
    return Finding(
        "failover-blocked",
        Severity.CRITICAL,
        of_shard(snapshot, shard),
        f"{_stricken(snapshot, shard)} {state} and {fate}: {found.text}{back}",
        f"{_OUT} until {_until(snapshot, shard, found)}.",
        found.hint,
    )


def _until(snapshot: Snapshot, shard: Shard, found: _Cause) -> str:
    if found.passes:
        return "the next vote is won or the primary is back"
    if _no_majority(snapshot, shard):
        return "a majority of the voters is back"
    if not shard.replica_ids:
        return "the primary is back: it has no replica"
    return "the primary is back: none of its replicas can be promoted as it is"


class _Cause(NamedTuple):
    """Why nothing will be promoted, and the next command. `passes`: by itself, with time."""

    text: str
    hint: str
    passes: bool = False


def _cause(snapshot: Snapshot, shard: Shard, stage: FailoverStage, standing: Sequence[Candidate]) -> _Cause | None:
    """None when something will be promoted, or that cannot be told."""
    if _no_majority(snapshot, shard):
        return _Cause(_too_few_votes(snapshot, [shard]), _regain(snapshot, [shard]))
    if not standing:
        return _Cause("it has no replica", _start_again(snapshot, shard))
    if all(each.eligible is Known.NO for each in standing):
        return _Cause(_obstacles(snapshot, standing), _way_out(snapshot, shard, standing))
    if stage.stage is Stage.VOTE_FAILED and stage.candidate and stage.due_in_ms is not None:
        return _lost_vote(snapshot, snapshot.nodes[stage.candidate], stage)
    return None


def _no_majority(snapshot: Snapshot, shard: Shard) -> bool:
    """With one or two voters the dead primary itself is missing for the majority."""
    electorate = snapshot.electorate
    left = len(electorate.voters) - (1 if shard.slots else 0)
    return electorate.quorum is Known.NO or left < electorate.needed


def _all_blocked(snapshot: Snapshot, shards: Sequence[Shard]) -> Finding:
    """One cause, one finding, however many shards it blocks."""
    primaries = [snapshot.nodes[shard.primary_id] for shard in shards]
    slots = tuple(sorted(each for shard in shards for each in shard.slots))
    return Finding(
        "failover-blocked",
        Severity.CRITICAL,
        CLUSTER,
        f"{len(primaries)} lost primaries of {slots_text(slots)} will not be replaced by themselves "
        f"({listing(map(called, primaries))}): {_too_few_votes(snapshot, shards)}",
        f"{_OUT} until a majority of the voters is back.",
        _regain(snapshot, shards),
    )


def _too_few_votes(snapshot: Snapshot, shards: Sequence[Shard]) -> str:
    electorate = snapshot.electorate
    lost = {shard.primary_id for shard in shards}
    # A primary that the others have lost still votes on its own side of a cut.
    together = [voter for voter in electorate.side if voter not in lost or snapshot.nodes[voter].view is not None]
    said = f"{len(together)} of {counted(len(electorate.voters), 'voter')} can still vote together and "
    # Where nothing listens the host itself answered, so that one is dead and not beyond a cut.
    dark = [each for each in majority_beyond(snapshot) if not _refuses(snapshot.nodes[each])]
    if len(dark) >= electorate.needed:
        return f"{said}{electorate.needed} must; {named(snapshot, dark)} may live and vote beyond a cut, unseen by us"
    return f"{said}{electorate.needed} must, so only a takeover could promote a replica"


def _refuses(node: Node) -> bool:
    return node.silence is not None and node.silence.reason is SilenceReason.REFUSED


def _regain(snapshot: Snapshot, shards: Sequence[Shard]) -> str:
    if danger := restart.warning(snapshot, [snapshot.nodes[shard.primary_id] for shard in shards], "failover-blocked"):
        return danger
    electorate = snapshot.electorate
    lost = [voter for voter in electorate.voters if voter not in electorate.side]
    who = named(snapshot, lost or [shard.primary_id for shard in shards])
    more = rcfail("recover", answering(snapshot), "--dry-run")
    return f"Start or reconnect a lost voter first ({who}); what else there is: {more}"


def _lost_vote(snapshot: Snapshot, candidate: Node, stage: FailoverStage) -> _Cause:
    view = snapshot.by_observer[candidate.node_id]
    asked = view.vitals.cluster.messages.get("auth-req_sent")
    ago = duration(stage.agreed_for_ms or 0)
    timeout_ms = view.vitals.config.node_timeout_ms or NODE_TIMEOUT_MS
    if view.vitals.cluster.messages and asked is None:
        cause = f"replica {called(candidate)} never asked for votes in the {ago} since the verdict"
        return _Cause(
            cause, f"Its log says why, and this shows its side: {redis_cli(candidate.endpoint, 'CLUSTER', 'INFO')}"
        )
    again = duration(stage.due_in_ms or 0)
    cause = (
        f"replica {called(candidate)} was not elected in the {ago} since the verdict, and it stands again only "
        f"4 node timeouts ({duration(4 * timeout_ms)}) after its last election, within about {again}"
    )
    wait = f"{(stage.due_in_ms or 0) // 1000 + 10}s"
    return _Cause(cause, f"Wait for that: {rcfail('health', answering(snapshot), '--wait', wait)}", passes=True)


def _obstacles(snapshot: Snapshot, standing: Sequence[Candidate]) -> str:
    """`A: it ...; B and C: it ...`, at most four, replicas with the same obstacle together."""
    by_text: dict[str, list[Node]] = {}
    for each in standing:
        text = listing([text for _, text in each.obstacles])
        by_text.setdefault(text, []).append(snapshot.nodes[each.node_id])
    said = [f"{listing(map(called, nodes))}: {text}" for text, nodes in by_text.items()]
    return "; ".join(said[:4])


def _way_out(snapshot: Snapshot, shard: Shard, standing: Sequence[Candidate]) -> str:
    ready = next((each for each in standing if {kind for kind, _ in each.obstacles} == {Obstacle.NOFAILOVER}), None)
    if ready is not None:
        endpoint = snapshot.nodes[ready.node_id].endpoint
        return f"Let it stand for election: {redis_cli(endpoint, 'CONFIG', 'SET', 'cluster-replica-no-failover', 'no')}"
    return _start_again(snapshot, shard, _with_data(standing))


_AGED = {Obstacle.DATA_TOO_OLD, Obstacle.NOT_SYNCED_SINCE_START}
"""What only an automatic failover minds: FORCE skips the test of the data's age (clusterHandleSlaveFailover)."""


def _with_data(standing: Sequence[Candidate]) -> Candidate | None:
    """The replica that a forced failover would promote with what it has, the one with most data first."""
    return next((each for each in standing if each.obstacles and {kind for kind, _ in each.obstacles} <= _AGED), None)


def _start_again(snapshot: Snapshot, shard: Shard, other: Candidate | None = None) -> str:
    """`other` may be promoted in its place, with what it has."""
    primary = snapshot.nodes[shard.primary_id]
    if primary.view is not None:
        return f"Wait for it: {rcfail('health', answering(snapshot), '--wait', '60s')}"
    if danger := restart.warning(snapshot, (primary,), "failover-blocked"):
        return danger
    start = f"Start {called(primary)} again, it had the newest data"
    if other is not None:
        node = snapshot.nodes[other.node_id]
        move = rcfail("failover", node.endpoint, node.short, "--force", "--dry-run")
        return f"{start}; if it is gone for good, see what would be lost: {move}"
    what = rcfail("recover", answering(snapshot), primary.short, "--dry-run")
    return f"{start}; what else there is: {what}"


RULES = (awaited_failovers, failover_disabled)
