"""Members that do not find each other any more because their addresses changed: met again by the fewest MEETs."""

from __future__ import annotations

from collections.abc import Iterator

from rcfail.change.recover.case import Case, Question
from rcfail.change.recover.condition import Condition, ConditionCode
from rcfail.change.recover.contact import reach
from rcfail.change.recover.contact.groups import groups_of
from rcfail.change.recover.contact.reunion import MOST_NAMED, Plan, actions, plan_of, unmet_by_others
from rcfail.change.recover.contact.stakes import stakes
from rcfail.change.recover.contact.stakes import told as stakes_told
from rcfail.cluster.nouns import NodeId
from rcfail.cluster.snapshot import Known, Node, Snapshot
from rcfail.health.wording import called, counted, listing, named, rcfail

FINDINGS = (
    "partition",
    "self-address-wrong",
    "address-disputed",
    "node-duplicate-address",
    "node-noaddr",
    "node-suspected",
    "node-failed",
    "node-unknown-to-some",
    "bus-unreachable",
    "link-missing",
    "views-differ",
    "quorum-lost",
    "cluster-state-fail",
    "slots-suspected",
    "slots-failed",
    "failover-pending",
    "failover-blocked",
    "replica-link-down",
    "replica-never-synced",
)


def questions(case: Case) -> Iterator[Question]:
    yield from reach.questions(case)


def conditions(case: Case, _: frozenset[NodeId]) -> Iterator[Condition]:
    """One of all groups that look for each other in the wrong places; or one of members that are nowhere to be found.

    Nothing is said of groups of which one node still knows where another one is: those find each other by themselves,
    or a network parts them.
    """
    groups = groups_of(case)
    if len(groups) > 1:
        yield _apart(case, groups)
    elif groups and (lost := _nowhere(case, groups[0])):
        yield _to_be_named(case, groups[0], lost)


def to_be_met(case: Case) -> frozenset[NodeId]:
    """Who gets its right address everywhere by the plan that mends it."""
    groups = groups_of(case)
    if len(groups) < 2:
        return frozenset()
    plan = plan_of(case, groups)
    return frozenset(each for each in plan.all if not reach.fixed(case, case.snapshot.nodes[each]))


def _apart(case: Case, groups: tuple[tuple[NodeId, ...], ...]) -> Condition:
    plan = plan_of(case, groups)
    snapshot = case.snapshot
    ids = [each for group in groups for each in group]
    subject = plan.hub.node_id if plan.hub else ids[0]
    told = listing((named(snapshot, group, 2) for group in groups), MOST_NAMED)
    missing = _silent(snapshot)
    return Condition(
        ConditionCode.NODES_APART,
        tuple(dict.fromkeys((subject, *ids))),
        counted(len(ids), "node"),
        f"{counted(len(ids), 'member')} answer in {len(groups)} groups that look for each other in the wrong places: "
        f"{told}",
        _story(case, plan, missing),
        actions(case, plan),
        FINDINGS,
        _advice(case, plan, missing),
    )


def _story(case: Case, plan: Plan, missing: tuple[Node, ...]) -> str:
    told = [
        "Each of them knows only where the others were, so none finds another one. All are of one cluster, and their "
        "ids are the same."
    ]
    if plan.owners and plan.others:
        told.append("Owners of slots are met first, so that nobody votes one of them out before it is heard again.")
    if plan.owners or plan.others:
        told.append("One MEET a group is enough: the others hear of it by gossip, and replicas find their primaries.")
    if plan.hub is not None and unmet_by_others(case, plan):
        told.append("Who prints an old address as its own, and is met by no other, meets itself.")
    if lost := stakes_told(case.snapshot, stakes(case.snapshot, plan.all)):
        told.append(lost)
    if missing:
        told.append(f"{named(case.snapshot, (each.node_id for each in missing), MOST_NAMED)} cannot be found.")
    return " ".join(told)


def _advice(case: Case, plan: Plan, missing: tuple[Node, ...]) -> str:
    said = []
    for group in plan.unmet:
        node = case.snapshot.nodes[group[0]]
        why = (
            f"it is told to announce {reach.told_to_announce(case, node)}"
            if reach.fixed(case, node)
            else "how the others reach it cannot be told from here"
        )
        said.append(f"{called(node)} is not met, for {why}: see rcfail runbook addresses-changed")
    if missing:
        said.append(_name_them(case, missing))
    return ". ".join(said)


# Who is nowhere


def _silent(snapshot: Snapshot) -> tuple[Node, ...]:
    """Members at whose address nobody answers, and that nobody vouches for."""
    return tuple(node for node in snapshot.nodes.values() if node.view is None and node.alive is not Known.YES)


def _nowhere(case: Case, group: tuple[NodeId, ...]) -> tuple[Node, ...]:
    """Members that may have moved too: one that answers has, and most of the members are not there."""
    snapshot = case.snapshot
    lost = _silent(snapshot)
    few = len(lost) >= len(group) and not any(_trusted(each, group) for each in lost)
    return lost if few and any(reach.stale(case, snapshot.nodes[each]) for each in group) else ()


def _trusted(node: Node, group: tuple[NodeId, ...]) -> bool:
    return any(each not in (*node.suspected_by, *node.failed_by, *node.unknown_to) for each in group)


def _to_be_named(case: Case, group: tuple[NodeId, ...], lost: tuple[Node, ...]) -> Condition:
    snapshot = case.snapshot
    moved = [each for each in group if reach.stale(case, snapshot.nodes[each])]
    return Condition(
        ConditionCode.NODES_APART,
        (group[0], *(each.node_id for each in lost)),
        counted(len(lost), "node"),
        f"{named(snapshot, moved)} answer{'s' if len(moved) == 1 else ''} at a new address, and nobody answers where "
        f"{named(snapshot, (each.node_id for each in lost), MOST_NAMED)} {'was' if len(lost) == 1 else 'were'}",
        "If the others have new addresses as well, none of them can find another one, and neither can rcfail. If they "
        "are down, they have to be started.",
        (),
        (*FINDINGS, "node-silent"),
        _name_them(case, lost),
        doubt=(ConditionCode.NODE_DOWN,),
    )


def _name_them(case: Case, lost: tuple[Node, ...]) -> str:
    place = next((view.endpoint for view in case.snapshot.views if view.reply is not None), None)
    again = rcfail("recover", place, "--at", "HOST:PORT", "--dry-run")
    more = "; --at may be given again, or name a file with one address a line" if len(lost) > 1 else ""
    who = "they" if len(lost) > 1 else "it"
    return f"Say where {who} can be found now, by the address of the pod or container: {again}{more}"
