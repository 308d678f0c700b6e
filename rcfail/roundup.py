"""One look at a whole cluster for all its shards at once: what a failover of any of them would be judged by."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rcfail.change.gather import asked
from rcfail.change.history import Stood, past_elections
from rcfail.change.preflight.surroundings import stirred
from rcfail.change.seen import ReplicaConnection, Seen
from rcfail.clock import Clock, Deadline
from rcfail.cluster.merge import merge
from rcfail.cluster.nouns import NodeId
from rcfail.cluster.snapshot import Snapshot
from rcfail.cluster.zones import NO_LABELS, ZoneLabels
from rcfail.health.diagnose import confirmed, diagnose
from rcfail.health.finding import Finding, Thresholds
from rcfail.rounds import look_again, look_until_settled
from rcfail.session import Sight
from rcfail.wire.door import Door
from rcfail.wire.pool import Pool

PRIMARIES_AT_ONCE = 64

Told = tuple[tuple[float | None, ...], tuple[ReplicaConnection, ...] | None]
"""What a primary was asked: how long its PINGs took, and its replicas' connections."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What was seen: the last look, what was asked of each shard by its primary, and what health finds in it,
    with hints that are not fitted to the operator yet.

    `only` are the primaries of the shards that were asked for, None for all. `agreed`: what can pass by itself was
    seen twice. `stood_unread` is why past elections are not known, or "".
    """

    snapshot: Snapshot
    by_primary: Mapping[NodeId, Seen]
    findings: tuple[Finding, ...]
    only: tuple[NodeId, ...] | None
    agreed: bool
    stood_unread: str


def survey(
    sight: Sight,
    door: Door,
    wanted: Callable[[Snapshot], tuple[NodeId, ...] | None],
    *,
    deadline: Deadline,
    clock: Clock,
    audit_path: Path | None,
    labels: ZoneLabels = NO_LABELS,
) -> Survey:
    """Look twice, or until two looks agree, then ask the primaries of the `wanted` shards, all at once.

    Raises CannotSee where no cluster can be seen, and what `wanted` raises.
    """
    looked = look_until_settled(sight, Thresholds(), clock, deadline, labels)
    before, snapshot = None, looked.snapshot
    newer = look_again(sight, looked.observation, clock, deadline)
    if newer is not None:
        before, snapshot = looked.snapshot, merge(newer, labels)
    findings = confirmed(looked.findings, diagnose(snapshot, Thresholds()))
    only = wanted(snapshot)
    primaries = [
        each.primary_id for each in snapshot.shards if each.slots and (only is None or each.primary_id in only)
    ]
    told = _told(snapshot, primaries, door, clock, deadline)
    stood, unread = _stood(audit_path, snapshot.nodes.keys())
    moved = stirred(before, snapshot) if before is not None else None
    seen = {each: Seen(snapshot, before, *said, stood, unread, moved) for each, said in told.items()}
    return Survey(snapshot, seen, findings, only, looked.agreed, unread)


def _stood(path: Path | None, nodes: Collection[NodeId]) -> tuple[tuple[Stood, ...], str]:
    """Past elections of all nodes in one reading of the audit, and why they cannot be told."""
    if path is None:
        return (), "there is no audit"
    try:
        return past_elections(path, nodes), ""
    except OSError as error:
        return (), error.strerror or str(error)


def _told(
    snapshot: Snapshot, primaries: Collection[NodeId], door: Door, clock: Clock, deadline: Deadline
) -> dict[NodeId, Told]:
    """What each primary says of itself. Those that do not answer hold nobody up."""
    found: dict[NodeId, Told] = dict.fromkeys(primaries, ((), None))
    pool: Pool[tuple[NodeId, Told]] = Pool(PRIMARIES_AT_ONCE)

    def job(primary: NodeId) -> tuple[NodeId, Told]:
        return primary, asked(door, snapshot, primary, clock, deadline)

    for each in primaries:
        pool.submit(partial(job, each))
    while pool.open_jobs and (ended := pool.next_ended(deadline)) is not None:
        found[ended[0]] = ended[1]
    pool.close()
    return found
