"""Slots that are half moved, by the old marks of SETSLOT or by the atomic migrations of Valkey 9."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby

from rcfail.cluster.marks import LeftOver, left_on_replicas
from rcfail.cluster.nouns import Belief, NodeId, Role, SlotRange
from rcfail.cluster.snapshot import Known, Snapshot, View
from rcfail.health.finding import Finding, Severity, Subject, SubjectKind, Thresholds, of_node
from rcfail.health.wording import answering, called, rcfail, redis_cli, slots_text

_Pair = tuple[NodeId, NodeId]
"""The node that gives a slot away, and the one that takes it."""

_ENDED = frozenset({"success", "failed", "cancelled"})


def slots_open(snapshot: Snapshot, _: Thresholds) -> Iterator[Finding]:
    """Slots with a mark on both ends, or on one end while the other cannot be asked. One finding a pair of nodes."""
    giving, taking = _marks(snapshot)
    for pair in sorted(giving.keys() | taking.keys()):
        source, target = pair
        marked = giving.get(pair, frozenset()) | taking.get(pair, frozenset())
        whole = giving.get(pair, frozenset()) & taking.get(pair, frozenset())
        unseen = frozenset() if _both_known(snapshot, pair) else marked - whole
        if not whole | unseen:
            continue
        slots = _joined(whole | unseen)
        hidden = next((each for each in pair if not _says_marks(snapshot, each)), None)
        doubt = f"; {_name(snapshot, hidden)} cannot be asked whether it is still at it" if hidden and unseen else ""
        yield Finding(
            "slots-open",
            Severity.WARNING,
            _of(snapshot, source),
            f"half moved from {_name(snapshot, source)} to {_name(snapshot, target)}: {slots_text(slots)}{doubt}",
            "Clients meet ASK and TRYAGAIN, and a failover of either node can lose the marks and leave keys on both.",
            f"Let the resharding end. See who holds its keys and what ends it: {_recovery(snapshot, source)}",
        )


def slots_open_orphan(snapshot: Snapshot, _: Thresholds) -> Iterator[Finding]:
    """Slots with a mark on one end only, although the other end answered, is dead, or is no member."""
    giving, taking = _marks(snapshot)
    for pair in sorted(giving.keys() | taking.keys()):
        if not _both_known(snapshot, pair):
            continue
        source, target = pair
        given, taken = giving.get(pair, frozenset()), taking.get(pair, frozenset())
        if given - taken:
            yield _orphan(snapshot, source, target, "migrating to", _joined(given - taken))
        if taken - given:
            yield _orphan(snapshot, target, source, "importing from", _joined(taken - given))
    for left in left_on_replicas(snapshot):
        yield _left(snapshot, left)


def _orphan(snapshot: Snapshot, here: NodeId, there: NodeId, way: str, slots: list[SlotRange]) -> Finding:
    return Finding(
        "slots-open-orphan",
        Severity.WARNING,
        _of(snapshot, here),
        f"{called(snapshot.nodes[here])} marks {slots_text(slots)} as {way} {_name(snapshot, there)}, "
        f"which {_why_absent(snapshot, there)}",
        "Nothing will end this move, and clients that are sent to the other end are sent back.",
        f"See who holds its keys, and what takes the mark away: {_recovery(snapshot, here)}",
    )


def _left(snapshot: Snapshot, left: LeftOver) -> Finding:
    primary, replica = snapshot.nodes[left.primary], snapshot.nodes[left.replica]
    return Finding(
        "slots-open-orphan",
        Severity.WARNING,
        of_node(replica),
        f"{called(replica)} marks {slots_text(_joined(left.slots))} as half moved, and its primary {called(primary)} "
        "does not",
        "Once it is promoted it takes up a move that is long over, and sends clients to the other end.",
        "The primary takes it away when it closes the slot again, and tells its replicas: "
        + _recovery(snapshot, left.replica),
    )


def _why_absent(snapshot: Snapshot, node_id: NodeId) -> str:
    node = snapshot.node(node_id)
    if node is None:
        return "no view lists"
    return "is dead" if node.alive is Known.NO else "has no such mark"


def slot_migration_active(snapshot: Snapshot, _: Thresholds) -> Iterator[Finding]:
    """Atomic migrations that are not over, as their primaries list them. Needs CLUSTER GETSLOTMIGRATIONS."""
    jobs: dict[str, Mapping[str, str]] = {}
    for observer, view in snapshot.by_observer.items():
        if (node := snapshot.node(observer)) and node.role is Role.PRIMARY:
            running = (job for job in view.slot_migrations or () if is_running(job))
            # Both ends list a job under one name; the source knows more of its progress.
            for job in running:
                if job.get("name", "") not in jobs or job.get("operation") == "EXPORT":
                    jobs[job.get("name", "")] = job
    for name in sorted(jobs):
        yield _migration(snapshot, jobs[name])


def is_running(job: Mapping[str, str]) -> bool:
    """Whether an entry of CLUSTER GETSLOTMIGRATIONS is not over."""
    return job.get("state", "") not in _ENDED


def _migration(snapshot: Snapshot, job: Mapping[str, str]) -> Finding:
    source, target = NodeId(job.get("source_node", "")), NodeId(job.get("target_node", ""))
    return Finding(
        "slot-migration-active",
        Severity.INFO,
        _of(snapshot, source),
        f"the slots {job.get('slot_ranges', '?')} are on their way from {_name(snapshot, source)} to "
        f"{_name(snapshot, target)}, state {job.get('state', '?')}",
        "Writes to these slots are held back for a moment at the end, and a failover of either node ends the move.",
        "Wait until it is over before a planned failover of these nodes: "
        + redis_cli(node.endpoint if (node := snapshot.node(source)) else None, "CLUSTER", "GETSLOTMIGRATIONS"),
    )


def _marks(snapshot: Snapshot) -> tuple[dict[_Pair, frozenset[int]], dict[_Pair, frozenset[int]]]:
    """What primaries say on their own lines. Since Valkey 8.0 their replicas repeat it, so those are left out."""
    giving: dict[_Pair, set[int]] = {}
    taking: dict[_Pair, set[int]] = {}
    for observer, own in _own_lines(snapshot):
        for slot, other in own.migrating:
            giving.setdefault((observer, other), set()).add(slot)
        for slot, other in own.importing:
            taking.setdefault((other, observer), set()).add(slot)
    return _frozen(giving), _frozen(taking)


def _own_lines(snapshot: Snapshot) -> Iterator[tuple[NodeId, Belief]]:
    for observer, view in snapshot.by_observer.items():
        own = view.own
        if own is not None and own.role is not Role.REPLICA and (own.migrating or own.importing):
            yield observer, own


def _frozen(marks: Mapping[_Pair, set[int]]) -> dict[_Pair, frozenset[int]]:
    return {pair: frozenset(slots) for pair, slots in marks.items()}


def _both_known(snapshot: Snapshot, pair: _Pair) -> bool:
    return all(_says_marks(snapshot, each) or _is_gone(snapshot, each) for each in pair)


def _says_marks(snapshot: Snapshot, node_id: NodeId) -> bool:
    view: View | None = snapshot.by_observer.get(node_id)
    return view is not None and view.own is not None


def _is_gone(snapshot: Snapshot, node_id: NodeId) -> bool:
    node = snapshot.node(node_id)
    return node is None or node.alive is Known.NO


def _joined(slots: Iterable[int]) -> list[SlotRange]:
    """Single slots into ranges, ascending."""
    runs = (list(run) for _, run in groupby(enumerate(sorted(slots)), key=lambda pair: pair[1] - pair[0]))
    return [(run[0][1], run[-1][1]) for run in runs]


def _name(snapshot: Snapshot, node_id: NodeId | None) -> str:
    node = snapshot.node(node_id)
    return called(node) if node else f"node {(node_id or '?')[:8]}"


def _of(snapshot: Snapshot, node_id: NodeId) -> Subject:
    node = snapshot.node(node_id)
    return of_node(node) if node else Subject(SubjectKind.NODE, node_id)


def _recovery(snapshot: Snapshot, node_id: NodeId) -> str:
    node = snapshot.node(node_id)
    target = str(node.endpoint) if node is not None and node.endpoint else node_id
    return rcfail("recover", answering(snapshot), target, "--dry-run")


RULES = (slots_open, slots_open_orphan, slot_migration_active)
