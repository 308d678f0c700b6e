"""What stands together and so falls together: the copies of a shard, and primaries, on one host or in one zone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rcfail.cluster.placement import (
    Layout,
    PlaceKind,
    dividing,
    ending_quorum,
    even_share,
    layout,
    place_of,
    shared_place,
    survivors,
    voters_by_place,
)
from rcfail.cluster.snapshot import Node, Shard, Snapshot
from rcfail.health.finding import CLUSTER, Finding, Severity, Thresholds, of_shard
from rcfail.health.rules.quorum import IN, spread_hint
from rcfail.health.wording import answering, called, counted, listing, named, rcfail, redis_cli, slots_text

if TYPE_CHECKING:
    from rcfail.health.diagnose import Rule

_CODES = {PlaceKind.HOST: "shard-on-one-host", PlaceKind.ZONE: "shard-in-one-zone"}
_FEWEST_PRIMARIES = 3
"""Two primaries on one host are one too many at worst; the quorum's own rules tell where that matters."""


def shard_in_one_place(snapshot: Snapshot, _: Thresholds) -> Iterator[Finding]:
    """shard-on-one-host or shard-in-one-zone: all living copies of a shard would be lost together.

    A shard with one copy left is told as replica-missing. Needs labels for zones; nothing is said of hosts where all
    nodes share one address, as in development.
    """
    telling = {kind: dividing(snapshot, kind) for kind in PlaceKind}
    many_zones = len({node.zone for node in snapshot.nodes.values() if node.zone}) > 1
    for shard in snapshot.shards:
        copies = survivors(snapshot, shard) if shard.slots else ()
        if len(copies) < 2:
            continue
        host = shared_place(copies, PlaceKind.HOST)
        if host:
            if host in telling[PlaceKind.HOST]:
                yield _together(snapshot, shard, copies, PlaceKind.HOST, host)
            continue
        zone = shared_place(copies, PlaceKind.ZONE)
        if zone and many_zones:
            yield _together(snapshot, shard, copies, PlaceKind.ZONE, zone)


def _together(snapshot: Snapshot, shard: Shard, copies: Sequence[Node], kind: PlaceKind, name: str) -> Finding:
    return Finding(
        _CODES[kind],
        Severity.WARNING,
        of_shard(snapshot, shard),
        f"all {len(copies)} copies of {slots_text(shard.slots)} are {IN[kind]} {name}: "
        f"{named(snapshot, (node.node_id for node in copies))}",
        f"When that {kind} is lost, these slots have no copy left: nothing can be promoted, and data that is not "
        "saved elsewhere is gone.",
        _apart_hint(snapshot, shard, copies, kind),
    )


def _apart_hint(snapshot: Snapshot, shard: Shard, copies: Sequence[Node], kind: PlaceKind) -> str:
    """A replica elsewhere that its own shard can spare; else one to exchange; else a new one."""
    here = place_of(copies[0], kind)
    elsewhere = [
        (other, replica)
        for other in snapshot.shards
        for replica in snapshot.replicas_of(other)
        if other is not shard and replica.view is not None and place_of(replica, kind) not in ("", here)
    ]
    for other, replica in elsewhere:
        if sum(1 for node in survivors(snapshot, other) if node.node_id != other.primary_id) > 1:
            move = redis_cli(replica.endpoint, "CLUSTER", "REPLICATE", shard.primary_id)
            return f"Its shard can spare {called(replica)}, which stands elsewhere; let it copy this one: {move}"
    for other, replica in elsewhere:
        if place_of(snapshot.nodes[other.primary_id], kind) != here:
            code = rcfail("explain", None, _CODES[kind])
            return f"Exchange a replica with {called(replica)}, which stands elsewhere; how: {code}"
    new = redis_cli(None, "CLUSTER", "REPLICATE", shard.primary_id)
    return f"Start an empty node on another {kind}, let a member CLUSTER MEET it, and make it a replica there: {new}"


def primaries_concentrated(snapshot: Snapshot, _: Thresholds) -> Iterator[Finding]:
    """A host or zone with twice its even share of primaries, or more, where that does not end the quorum by itself.

    So it is after a rolling restart: the hosts that came back last lead nothing.
    """
    enough = ending_quorum(snapshot.electorate)
    for kind in PlaceKind:
        telling = dividing(snapshot, kind)
        held = voters_by_place(snapshot, kind, telling)
        share = even_share(snapshot, kind)
        limit = max(_FEWEST_PRIMARIES, 2 * share)
        full = {name: ids for name, ids in held.items() if limit <= len(ids) < enough}
        if not full:
            continue
        spots = listing(f"{len(ids)} {IN[kind]} {name}" for name, ids in sorted(full.items()))
        yield Finding(
            "primaries-concentrated",
            Severity.WARNING,
            CLUSTER,
            f"of {len(snapshot.electorate.voters)} primaries with slots, {spots}; an even share is {share}",
            f"When that {kind} is lost, writes to all of these shards stop at once, and their elections run at the "
            "same time, which takes longer.",
            spread_hint(snapshot, kind, held, limit),
        )


def placement_unknown(snapshot: Snapshot, _: Thresholds) -> Iterator[Finding]:
    """The addresses tell nothing of machines: said once, so that the silence of the other rules is no comfort."""
    seen = layout(snapshot)
    if seen is Layout.KNOWN:
        return
    place = next((node.host for node in snapshot.nodes.values() if node.host), "")
    nodes = counted(len(snapshot.nodes), "node")
    evidence = {
        Layout.ONE_HOST: f"all {nodes} have one address ({place}), as in development",
        Layout.ADDRESS_EACH: f"each of {nodes} has an address of its own, as pods have, and no zone is known",
    }[seen]
    yield Finding(
        "placement-unknown",
        Severity.INFO,
        CLUSTER,
        evidence,
        "Which nodes one failed machine or zone takes with it cannot be told, so nothing is said of that.",
        f"Label the nodes by address or id: {rcfail('health', answering(snapshot), '--zone', 'PATTERN=ZONE')}",
    )


RULES: tuple[Rule, ...] = (shard_in_one_place, primaries_concentrated, placement_unknown)
