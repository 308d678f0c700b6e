"""As what a node that is down would come back, and what of its shard's data that would cost."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

from rcfail.change.recover.action import Losing
from rcfail.change.recover.case import Case
from rcfail.change.recover.expect import name_of
from rcfail.change.recover.members.replaced import word_for
from rcfail.cluster.nouns import NodeId, Role
from rcfail.cluster.snapshot import Known, Node, Snapshot
from rcfail.cluster.succession import Succession, node_timeouts_ms, outage_ms, succession
from rcfail.health.finding import SubjectKind
from rcfail.health.restart import comes_back_empty, holds_data
from rcfail.health.wording import called, counted, duration, loss, named, rcfail


class Prospect(StrEnum):
    AS_REPLICA = "as-replica"  # it owns nothing: it follows whoever has what it owned, or whom it followed
    AFTER_FAILOVER = "after-failover"  # a replica is about to take over by itself
    WITH_SLOTS = "with-slots"  # nobody takes over: it has its slots, and what it saved
    EMPTY = "empty"  # the same, but it saved nothing, and its replicas would copy that


def prospect_of(case: Case, node: Node) -> Prospect:
    """As things stand. A replica that could be promoted by hand alone does not count: that is the operator's to say."""
    if not node.slots:
        return Prospect.AS_REPLICA
    if _heir(case, node) is not None:
        return Prospect.AFTER_FAILOVER
    return Prospect.EMPTY if comes_back_empty(case.snapshot, node) else Prospect.WITH_SLOTS


def _heir(case: Case, node: Node) -> Succession | None:
    """The election that comes without help; None where none does, or where it would promote an empty replica."""
    snapshot, shard = case.snapshot, case.snapshot.shard_of(node.node_id)
    if shard is None or shard.primary_id != node.node_id or _blocked(case, node.node_id):
        return None
    if not _majority_left(snapshot):
        return None
    found = succession(snapshot, shard, {node.node_id}, 1, node_timeouts_ms(snapshot))
    return found if found.certain is Known.YES and not found.empty else None


def _blocked(case: Case, node_id: NodeId) -> bool:
    said = (each.subject for each in case.found("failover-blocked"))
    return any(each.kind is SubjectKind.CLUSTER or each.id == node_id for each in said)


def _majority_left(snapshot: Snapshot) -> bool:
    votes = snapshot.electorate
    return votes.quorum is not Known.NO and len(votes.voters) - 1 >= votes.needed


def taken_over_within_ms(snapshot: Snapshot) -> int:
    """For how long an election is waited for: one that fails is tried again after four node timeouts."""
    _, most = node_timeouts_ms(snapshot)
    return 6 * most + 30_000


def stake(snapshot: Snapshot, node: Node) -> tuple[Losing, ...]:
    """What is gone for good if the node comes back empty: one data set, that its replicas hold each."""
    holders = [snapshot.nodes[each] for each in comes_back_empty(snapshot, node)]
    keys = [each.vitals.storage.keys if each.vitals else None for each in holders]
    if not holders:
        return ()
    known = [each for each in keys if each is not None]
    most = max(zip(keys, holders, strict=True), key=lambda each: (each[0] is None, each[0] or 0))
    return (Losing(most[1].node_id, max(known) if len(known) == len(keys) else None, 0),)


def _survivor(snapshot: Snapshot, node: Node) -> Node | None:
    """The replica that answers and holds most of the shard's data."""
    shard = snapshot.shard_of(node.node_id)
    replicas = snapshot.replicas_of(shard) if shard is not None and shard.primary_id == node.node_id else ()
    able = [each for each in replicas if each.vitals is not None and holds_data(each)]
    return max(able, key=lambda each: (_reached(each), each.node_id), default=None)


def _reached(node: Node) -> int:
    return (node.vitals.replication.own_offset if node.vitals else None) or 0


def way_out(snapshot: Snapshot, node: Node) -> str:
    """How what its replicas hold becomes the shard's data before the node is started; "" where they hold nothing."""
    best = _survivor(snapshot, node)
    if best is None:
        return ""
    mode = ("--force",) if _majority_left(snapshot) else ("--takeover", "--confirm-fenced", word_for(node))
    command = rcfail("failover", best.endpoint, word_for(best), *mode, "--dry-run")
    return f"promote {called(best)} first; what that takes, says {command}"


def remarks(case: Case, node: Node, prospect: Prospect) -> Iterator[str]:
    """What is lost while it is down, as what it comes back, and what that costs, a sentence each."""
    snapshot = case.snapshot
    yield f"{loss(snapshot, node)}."
    best, primary = _survivor(snapshot, node), snapshot.node(node.primary_id)
    match prospect:
        case Prospect.AS_REPLICA if node.role is Role.REPLICA and primary is not None:
            too = "" if primary.view is not None else ", which does not answer either"
            yield f"Once it is started it follows {called(primary)} again{too}, and copies what it lacks."
        case Prospect.AS_REPLICA:
            yield "It owns no slots any more: started again it follows whoever owns them now and copies from there."
            yield "Writes that it alone holds are thrown away then; if they matter, keep its files first."
        case Prospect.AFTER_FAILOVER:
            yield f"{_heir_text(case, node)} Then it comes back as a replica."
        case Prospect.EMPTY:
            lost = stake(snapshot, node)[0]
            keys = "all keys" if lost.keys is None else counted(lost.keys, "key")
            holders = named(snapshot, comes_back_empty(snapshot, node))
            yield (
                f"Do not just start it: nothing is saved to disk, so it would come back empty with its slots, and "
                f"{holders} would copy that: {keys} of {name_of(snapshot, lost.node)} would be lost."
            )
        case Prospect.WITH_SLOTS:
            yield "No replica takes over by itself, so it comes back with its slots and with what it saved last."
            if best is not None:
                yield f"What {called(best)} holds beyond that is thrown away then."


def _heir_text(case: Case, node: Node) -> str:
    snapshot, found = case.snapshot, _heir(case, node)
    assert found is not None
    _, most = outage_ms(node_timeouts_ms(snapshot), found.delay_ms, already=True)
    heirs = named(snapshot, found.contenders[:1])
    others = " or another replica" if len(found.contenders) > 1 else ""
    return f"{heirs}{others} takes over by itself, within about {duration(most)}; to start it earlier can lose writes."
