"""The cluster in two or more sides that hear nothing of each other."""

from __future__ import annotations

from collections.abc import Iterator

from rcfail.cluster.nouns import NodeId
from rcfail.cluster.ownership import joined
from rcfail.cluster.sides import Division, Side
from rcfail.cluster.snapshot import Known, Snapshot
from rcfail.health.finding import CLUSTER, Finding, Promise, Severity
from rcfail.health.wording import answering, counted, listing, named, rcfail, slots_text

_MOST_SIDES = 4


def partition(snapshot: Snapshot, parts: Division) -> Iterator[Finding]:
    """Needs the views of at least two sides: one that we cannot reach at all looks dead, and is told as silent."""
    if not parts.parted:
        return
    main, *others = parts.sides
    cut = [each for side in others for each in side.members if _owns(snapshot, each)]
    grave = bool(cut) or main.quorum is Known.NO
    told = [_told(snapshot, side) for side in parts.sides[:_MOST_SIDES]]
    if len(parts.sides) > _MOST_SIDES:
        told.append(f"{len(parts.sides) - _MOST_SIDES} more sides")
    yield Finding(
        "partition",
        Severity.CRITICAL if grave else Severity.WARNING,
        CLUSTER,
        f"{len(parts.sides)} sides hear nothing of each other: {'; '.join(told)}",
        _meaning(snapshot, main, others),
        "Mend the network between them, client ports and bus ports, or, if their addresses changed, see "
        f"{rcfail('recover', answering(snapshot), '--dry-run')}; what each side serves and will do: "
        + rcfail("views", answering(snapshot)),
        None if grave else (Promise.REDUNDANT, Promise.FAILOVER_READY),
    )


def _owns(snapshot: Snapshot, node_id: NodeId) -> bool:
    """It owns slots, or goes on claiming those that another side has given away."""
    return bool(snapshot.nodes[node_id].slots or claimed(snapshot, node_id))


def claimed(snapshot: Snapshot, node_id: NodeId) -> tuple[tuple[int, int], ...]:
    """The slots that a node gives to itself."""
    view = snapshot.by_observer.get(node_id)
    return view.own.slots if view and view.own else ()


def _told(snapshot: Snapshot, side: Side) -> str:
    votes = f"{len(side.voters)} of {counted(len(side.electorate), 'voter')}"
    majority = {Known.YES: ", the quorum", Known.UNKNOWN: ", perhaps the quorum", Known.NO: ""}[side.quorum]
    return f"{counted(len(side.members), 'node')} with {votes}{majority} ({named(snapshot, side.members)})"


def _meaning(snapshot: Snapshot, main: Side, others: list[Side]) -> str:
    slots = joined(each for side in others for node in side.members for each in claimed(snapshot, node))
    if main.quorum is Known.NO:
        return (
            f"No side has {main.needed} of {counted(len(main.electorate), 'voter')}: all primaries refuse commands on "
            "keys within a node timeout, and nothing is promoted by itself."
        )
    if slots:
        return (
            f"Whoever lost the quorum refuses {slots_text(slots)} within a node timeout of the cut; what it took until "
            "then is thrown away once the side with the quorum has promoted a replica."
        )
    where = listing(counted(len(side.members), "node") for side in others)
    return f"All slots are served, but {where} cut off can neither take a copy nor be promoted nor vote."
