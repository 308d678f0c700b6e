"""Where a node stands between down and a whole member of its cluster."""

from __future__ import annotations

from enum import StrEnum

from rcfail.change.recover.case import Case
from rcfail.change.recover.nodes.comeback import doubters
from rcfail.cluster.nouns import Role
from rcfail.cluster.observation import SilenceReason
from rcfail.cluster.snapshot import Known, Node, Snapshot
from rcfail.cluster.sync import Sync, sync_of
from rcfail.health.standing import Standing, held_for_dead

_LATELY_S = 60
"""A process that is no older is still on its way back; whatever its link lacks later has a cause of its own."""


class Stage(StrEnum):
    """Where a node stands that is not a whole member."""

    DOWN = "down"
    GOING = "going"  # nothing listens there, and the others have not agreed yet that it is dead
    HIDDEN = "hidden"  # silent to us, and alive for the others
    HANGS = "hangs"  # it takes connections and answers nothing
    CUT = "cut"  # it answers us, and nobody on the cluster bus
    LOADING = "loading"
    DOUBTED = "doubted"  # it answers, and others still hold it for dead
    MISPLACED = "misplaced"  # it has just started, and claims slots that others own
    COPYING = "copying"  # it has just started, and its link is not up


ANSWERING = frozenset({Stage.LOADING, Stage.DOUBTED, Stage.MISPLACED, Stage.COPYING})


def stage_of(case: Case, node: Node, stand: Standing, cut: frozenset[str]) -> Stage | None:
    """None: it is a whole member, or another planner's."""
    match stand:
        case Standing.FAILED:
            return Stage.DOWN
        case Standing.GHOST:  # given up by the nodes, and not by whoever wants it back
            return Stage.DOWN if followed(case) else None
        case Standing.SILENT:
            return _silent(case.snapshot, node)
        case Standing.FROZEN if node.silence is not None and node.silence.reason is SilenceReason.FROZEN:
            return Stage.HANGS
        case Standing.LOADING | Standing.ANSWERS if node.node_id in cut:
            return Stage.CUT
        case Standing.LOADING:
            # A replica that loads what its primary sent is in the middle of a full copy.
            said = node.vitals.replication if node.vitals else None
            copying = said is not None and said.role == "slave" and bool(said.sync_in_progress)
            return Stage.LOADING if not copying else Stage.COPYING if followed(case) else None
        case Standing.ANSWERS:
            return _returning(case, node)
    return None


def followed(case: Case) -> bool:
    return case.decisions.wait or bool(case.decisions.start_cmd)


def _silent(snapshot: Snapshot, node: Node) -> Stage:
    if node.alive is Known.NO or held_for_dead(snapshot, node):
        return Stage.DOWN
    gone = node.silence is not None and node.silence.reason is SilenceReason.REFUSED
    return Stage.GOING if gone and (node.suspected_by or node.failed_by) else Stage.HIDDEN


def _returning(case: Case, node: Node) -> Stage | None:
    """It answers. What else passes by itself is awaited only if that is wanted, and, but for a copy under way, only
    where the process is young: later it has a cause that other planners look for."""
    snapshot = case.snapshot
    if any(each in node.failed_by for each in doubters(snapshot, node)):
        return Stage.DOUBTED
    if not followed(case):
        return None
    sync = sync_of(snapshot, node) if node.role is Role.REPLICA else Sync.IN_SYNC
    uptime_s = node.vitals.server.uptime_s if node.vitals else None
    young = uptime_s is not None and uptime_s <= _LATELY_S
    own = node.view.own if node.view else None
    if young and doubters(snapshot, node):
        return Stage.DOUBTED
    if young and own is not None and own.role is Role.PRIMARY and set(own.slots) - set(node.slots):
        return Stage.MISPLACED
    primary = snapshot.node(node.primary_id)
    waits = young and sync is not Sync.IN_SYNC and primary is not None and primary.view is not None
    if sync is Sync.SYNCING or waits:
        return Stage.COPYING
    return None
