"""Who could take over from a primary: every replica of its shard, the best first, with all reasons."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from rcfail.change.checks import Check, CheckVerdict, refusing
from rcfail.change.preflight import preflight
from rcfail.change.request import Mode, Request
from rcfail.change.seen import Seen
from rcfail.cluster.candidacy import bars_failover
from rcfail.cluster.lag import lag_of
from rcfail.cluster.nouns import NodeId
from rcfail.cluster.placement import PlaceKind, dividing, place_of
from rcfail.cluster.snapshot import Node, Snapshot
from rcfail.cluster.succession import NEAR_BYTES
from rcfail.health.wording import counted

NOBODY: frozenset[NodeId] = frozenset()


@dataclass(frozen=True, slots=True)
class Contender:
    """One replica as the target. `checks` are those of the preflight with it; `refused`: one of them says no.

    `avoided`: it is where the operator wants no primary, so it is never chosen. `behind_bytes` is how much of the
    primary's stream it has not, None where that cannot be told. Reasons are phrases without a full stop.
    """

    node_id: NodeId
    reasons_for: tuple[str, ...]
    reasons_against: tuple[str, ...]
    checks: tuple[Check, ...]
    refused: bool
    avoided: bool = False
    behind_bytes: int | None = None

    @property
    def able(self) -> bool:
        """It may be chosen."""
        return not self.refused and not self.avoided


def contenders(
    seen: Seen, request: Request, avoid: Collection[NodeId] = NOBODY, prefer_zone: str = ""
) -> tuple[Contender, ...]:
    """Every replica of the shard of the request's primary, the best first. The request's target does not count.

    The best: nothing refuses it, in the preferred zone, with the most data, away from other primaries.
    """
    shard = seen.snapshot.shard_of(request.primary)
    replicas = tuple(seen.snapshot.replicas_of(shard)) if shard else ()
    ranked = []
    for replica in replicas:
        asked = replace(request, target=replica.node_id)
        contender = _contender(seen, replica, asked, replica.node_id in avoid, prefer_zone)
        ranked.append((_rank(seen.snapshot, replica, contender, request.mode, prefer_zone), contender))
    return tuple(contender for _, contender in sorted(ranked, key=lambda each: each[0]))


def chosen(found: tuple[Contender, ...]) -> Contender | None:
    """The best one that may be chosen, or None."""
    return next((each for each in found if each.able), None)


def _contender(seen: Seen, replica: Node, request: Request, avoided: bool, prefer_zone: str) -> Contender:
    checks = preflight(seen, request)
    behind = lag_of(seen.snapshot, replica).behind_bytes
    reasons = tuple(_reasons(seen.snapshot, replica, request, checks, behind, prefer_zone))
    against = [text for speaks_for, text in reasons if not speaks_for]
    if avoided:
        against.insert(0, "it is where no primary is wanted (--avoid)")
    return Contender(
        node_id=replica.node_id,
        reasons_for=tuple(text for speaks_for, text in reasons if speaks_for),
        reasons_against=tuple(against),
        checks=checks,
        refused=bool(refusing(checks)),
        avoided=avoided,
        behind_bytes=behind,
    )


def _reasons(
    snapshot: Snapshot, replica: Node, request: Request, checks: tuple[Check, ...], behind: int | None, prefer: str
) -> Iterator[tuple[bool, str]]:
    """Each with whether it speaks for the replica."""
    refusals = refusing(checks)
    for each in refusals:
        yield False, f"{each.evidence} ({each.code})"
    if not refusals:
        yield True, f"no check speaks against it: {_passed(checks)}"
    if behind is not None:
        near = f"{counted(behind, 'byte')} behind" if behind else "it has all that its primary wrote"
        yield behind <= NEAR_BYTES, near
    if prefer:
        inside = replica.zone == prefer
        yield inside, f"it is {'in' if inside else 'not in'} zone {prefer}, which is preferred"
    yield from _crowding(snapshot, replica, request.primary)
    if bars_failover(replica):
        yield False, "cluster-replica-no-failover is set on it: it is not meant to lead"
    for each in checks:
        if each.verdict is CheckVerdict.WARN or each.overridden:
            yield False, f"{each.evidence} ({each.code})"


def _passed(checks: tuple[Check, ...]) -> str:
    passed = sum(1 for each in checks if each.verdict is CheckVerdict.PASS)
    rest = len(checks) - passed
    warned = f", {counted(rest, 'warning')}" if rest else ""
    return f"{passed} passed{warned}"


def _crowding(snapshot: Snapshot, replica: Node, primary: NodeId) -> Iterator[tuple[bool, str]]:
    for kind in PlaceKind:
        place = place_of(replica, kind)
        if place not in dividing(snapshot, kind):
            continue
        others = _primaries_there(snapshot, replica, primary, kind)
        where = f"on host {place}" if kind is PlaceKind.HOST else f"in zone {place}"
        text = f"{counted(others, 'other primary').replace('primarys', 'primaries')} {where}"
        yield not others, text if others else f"no other primary {where}"


def _primaries_there(snapshot: Snapshot, replica: Node, primary: NodeId, kind: PlaceKind) -> int:
    """How many voters share its place, without the one that it would replace."""
    place = place_of(replica, kind)
    voters = (snapshot.nodes[each] for each in snapshot.electorate.voters if each != primary)
    return sum(1 for each in voters if place and place_of(each, kind) == place)


def _rank(
    snapshot: Snapshot, replica: Node, contender: Contender, mode: Mode, prefer_zone: str
) -> tuple[int | bool | str, ...]:
    """Smaller is better."""
    primary = snapshot.node(replica.primary_id)
    mine = replica.vitals.replication if replica.vitals else None
    stream = primary.vitals.replication.replid if primary and primary.vitals else ""
    missing = _missing_data(contender.behind_bytes, mode)
    return (
        not contender.able,
        contender.refused,
        bool(prefer_zone) and replica.zone != prefer_zone,
        mine is None or mine.replid != stream,
        contender.behind_bytes is None,
        missing,
        -(mine.own_offset or 0) if mine and mode is not Mode.GRACEFUL else 0,
        *(_primaries_there(snapshot, replica, replica.primary_id or replica.node_id, kind) for kind in PlaceKind),
        bars_failover(replica),
        replica.node_id,
    )


def _missing_data(behind: int | None, mode: Mode) -> int:
    """Gracefully nothing is lost, and less than this is copied at once: where a replica stands counts more then.

    Without the primary's help every byte counts.
    """
    if behind is None:
        return 0
    return behind // NEAR_BYTES if mode is Mode.GRACEFUL else behind
