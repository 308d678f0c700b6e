"""What the nodes themselves say of the cluster: cluster_state."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from rcfail.cluster.nouns import SLOT_COUNT, NodeId, NodeTable, Role
from rcfail.cluster.snapshot import Known, Snapshot, View
from rcfail.health.finding import CLUSTER, Finding, Severity, Thresholds
from rcfail.health.wording import answering, counted, listing, named, rcfail


def cluster_state_fail(snapshot: Snapshot, _: Thresholds) -> Iterator[Finding]:
    """One finding for all nodes that say cluster_state:fail. Needs CLUSTER INFO of each node that shall count."""
    told = {observer: view for observer, view in snapshot.by_observer.items() if view.vitals.cluster.state}
    failing = tuple(observer for observer, view in told.items() if view.vitals.cluster.state == "fail")
    if not failing:
        return
    owners = [observer for observer in failing if snapshot.is_voter(observer)]
    broken = bool(owners) or snapshot.electorate.quorum is Known.NO or len(failing) == len(told)
    reasons = _found(snapshot, failing)
    yield Finding(
        "cluster-state-fail",
        Severity.CRITICAL if broken else Severity.WARNING,
        CLUSTER,
        f"{len(failing)} of {counted(len(told), 'node')} {'says' if len(failing) == 1 else 'say'} cluster_state:fail "
        f"({named(snapshot, failing)}), {len(owners) or 'none'} of them with slots; {_why(reasons)}",
        "These nodes refuse commands on all keys with CLUSTERDOWN."
        if owners
        else "Clients of these nodes are refused with CLUSTERDOWN, while the slot owners that answer us go on serving.",
        _hint(snapshot, failing, broken, bool(reasons)),
    )


def _hint(snapshot: Snapshot, failing: tuple[NodeId, ...], broken: bool, explained: bool) -> str:
    if broken:
        look = rcfail("health", answering(snapshot), "--wait", "60s")
        if not explained:
            return f"It may have just started, or been cut off: that passes in seconds, so wait for ok: {look}"
        return f"Settle the findings on slots and quorum, then wait for ok: {look}"
    return "See whom such a node reaches: " + rcfail("nodes", snapshot.nodes[failing[0]].endpoint)


def _why(reasons: Counter[str]) -> str:
    if not reasons:
        return "none of them shows a reason: a primary also says so for 2 s after its start and up to 5 s after a cut"
    return "reason: " + listing((f"{reason} ({counted(count, 'node')})" for reason, count in reasons.most_common()), 4)


def _found(snapshot: Snapshot, failing: Iterable[NodeId]) -> Counter[str]:
    """The reasons of clusterUpdateState (cluster_legacy.c), as the counts and the views of these nodes show them."""
    tables = {observer: each.table for each in snapshot.groups for observer in each.observers}
    reasons: Counter[str] = Counter()
    known: dict[tuple[int, int | None, int | None, bool | None], tuple[str, ...]] = {}
    for observer in failing:
        view, table = snapshot.by_observer[observer], tables.get(observer)
        counts = view.vitals.cluster
        key = (id(table), counts.slots_assigned, counts.slots_failed, view.vitals.config.require_full_coverage)
        if key not in known:
            known[key] = tuple(_reasons(view, table))
        reasons.update(known[key])
    return reasons


def _reasons(view: View, table: NodeTable | None) -> Iterator[str]:
    counts = view.vitals.cluster
    if view.vitals.config.require_full_coverage is not False:
        if counts.slots_assigned is not None and counts.slots_assigned < SLOT_COUNT:
            yield f"no owner for {counted(SLOT_COUNT - counts.slots_assigned, 'slot')}"
        if counts.slots_failed:
            yield f"failed owners of {counted(counts.slots_failed, 'slot')}"
    if table is None:
        return
    voters = [belief for belief in table.beliefs if belief.slots and belief.role is Role.PRIMARY]
    reached = sum(1 for belief in voters if not belief.flagged)
    if voters and reached < len(voters) // 2 + 1:
        yield f"only {reached} of {counted(len(voters), 'voter')} in reach"
