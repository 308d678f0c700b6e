"""Which members hear each other on the bus, or know where they are: groups that find each other by themselves."""

from __future__ import annotations

from collections.abc import Sequence

from rcfail.change.recover.case import Case
from rcfail.change.recover.contact import reach
from rcfail.change.recover.expect import members
from rcfail.cluster.hearing import DEAF, Hearing, Regard, hearing
from rcfail.cluster.nouns import Link, NodeId
from rcfail.cluster.snapshot import Snapshot
from rcfail.health.standing import strangers


def groups_of(case: Case) -> tuple[tuple[NodeId, ...], ...]:
    """Members that answer, in sets whose nodes hear each other or know where they are; by their first id.

    A group of which no other lists anybody, and that lists nobody of the others, may be another cluster: it is left
    out, as is a node that knows nobody.
    """
    snapshot = case.snapshot
    alone = {each.node_id for each in strangers(snapshot)}
    inside = [observer for observer, _ in members(snapshot) if observer not in alone]
    if not _may_be_apart(snapshot, inside):
        return (tuple(sorted(inside)),) if inside else ()
    heard = hearing(snapshot)
    left, found = sorted(inside), []
    while left:
        group, waiting = [left[0]], [left.pop(0)]
        while waiting:
            one = waiting.pop()
            near = [each for each in left if _joined(snapshot, heard, one, each)]
            left = [each for each in left if each not in near]
            group += near
            waiting += near
        found.append(tuple(sorted(group)))
    return _acquainted(snapshot, found)


def _may_be_apart(snapshot: Snapshot, inside: Sequence[NodeId]) -> bool:
    return any("noaddr" in snapshot.nodes[each].flags or reach.misplaced(snapshot, each) for each in inside)


def _joined(snapshot: Snapshot, heard: Hearing, one: NodeId, other: NodeId) -> bool:
    return _finds(snapshot, heard, one, other) or _finds(snapshot, heard, other, one)


def _finds(snapshot: Snapshot, heard: Hearing, observer: NodeId, node_id: NodeId) -> bool:
    """It looks for the other where that one answers us; or it hears it, whatever we think of the address."""
    view = snapshot.by_observer[observer]
    said = view.belief(node_id)
    if said is None or said.noaddr or said.handshake:
        return False
    if not reach.listed_astray(snapshot, said):
        return True
    if heard.of(observer, node_id) in {*DEAF, Regard.UNLISTED} or said.link is Link.DISCONNECTED:
        return False
    pulse = view.reply.pulse_of(node_id) if view.reply else None
    return pulse is None or not pulse.ping_sent_unix_ms


def _acquainted(snapshot: Snapshot, groups: list[tuple[NodeId, ...]]) -> tuple[tuple[NodeId, ...], ...]:
    """Those that list each other, by way of third ones too; the largest set of them."""
    left = sorted(groups, key=lambda group: (-len(group), group))
    best: list[tuple[NodeId, ...]] = []
    while left:
        camp, waiting = [left[0]], [left.pop(0)]
        while waiting:
            one = waiting.pop()
            near = [each for each in left if _knows(snapshot, one, each) or _knows(snapshot, each, one)]
            left = [each for each in left if each not in near]
            camp += near
            waiting += near
        if sum(map(len, camp)) > sum(map(len, best)):
            best = camp
    return tuple(sorted(best))


def _knows(snapshot: Snapshot, group: tuple[NodeId, ...], other: tuple[NodeId, ...]) -> bool:
    views = (snapshot.by_observer[each] for each in group)
    return any(view.reply and not view.reply.table.by_id.keys().isdisjoint(other) for view in views)
