"""Members that do not find each other any more because their addresses changed: met again by the fewest MEETs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rcfail.change.recover.action import Action, ActionKind, Expectation
from rcfail.change.recover.case import Case, Question
from rcfail.change.recover.condition import Condition, ConditionCode
from rcfail.change.recover.contact import reach
from rcfail.change.recover.contact.groups import groups_of
from rcfail.change.recover.contact.reach import KnowsItself, Together
from rcfail.change.recover.expect import Answers, InSync
from rcfail.cluster.nouns import NodeId
from rcfail.cluster.snapshot import Known, Node, Snapshot
from rcfail.cluster.succession import node_timeouts_ms
from rcfail.health.wording import called, counted, listing, named, rcfail

_LEAST_MS = 60_000
_MOST_NAMED = 6
_SLOWEST_BYTES_PER_MS = 5_000
"""Of a full copy: 5 MB/s."""

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
    plan = _plan(case, groups)
    return frozenset(each for each in plan.all if not reach.fixed(case, case.snapshot.nodes[each]))


# Who meets whom


class _Plan(NamedTuple):
    """`hub` meets one node of each other group: first of those with owners of slots, then the `others`. `unmet` are
    the groups of which nobody can be met."""

    hub: Node | None
    owners: tuple[Node, ...]
    others: tuple[Node, ...]
    unmet: tuple[tuple[NodeId, ...], ...]
    first: tuple[NodeId, ...]
    all: tuple[NodeId, ...]


def _plan(case: Case, groups: tuple[tuple[NodeId, ...], ...]) -> _Plan:
    """The hub is the same after each step, so that a plan goes on as it was shown."""
    snapshot = case.snapshot
    nodes = [snapshot.nodes[each] for group in groups for each in group]
    able = [node for node in nodes if not reach.fixed(case, node)]
    hub = min(able, key=lambda node: (not node.slots, node.node_id), default=None)
    if hub is None:
        return _Plan(None, (), (), groups, (), ())
    home = next(group for group in groups if hub.node_id in group)
    owners, others, unmet, first, joined = [], [], [], list(home), list(home)
    for group in groups:
        if group is home:
            continue
        at = _to_meet(case, group)
        if at is None:
            unmet.append(group)
            continue
        joined += group
        if any(snapshot.nodes[each].slots for each in group):
            owners.append(at)
            first += group
        else:
            others.append(at)
    return _Plan(hub, tuple(owners), tuple(others), tuple(unmet), tuple(sorted(first)), tuple(sorted(joined)))


def _to_meet(case: Case, group: tuple[NodeId, ...]) -> Node | None:
    """Who of a group is met: an owner of slots if that can be, for it is that one that the others wait for."""
    nodes = (case.snapshot.nodes[each] for each in group)
    able = [each for each in nodes if _meetable(case, each)]
    return min(able, key=lambda node: (not node.slots, node.node_id), default=None)


def _meetable(case: Case, node: Node) -> bool:
    return not reach.fixed(case, node) and reach.reached_at(case.snapshot, node) is not None


def _apart(case: Case, groups: tuple[tuple[NodeId, ...], ...]) -> Condition:
    plan = _plan(case, groups)
    snapshot = case.snapshot
    ids = [each for group in groups for each in group]
    subject = plan.hub.node_id if plan.hub else ids[0]
    told = listing((named(snapshot, group, 2) for group in groups), _MOST_NAMED)
    missing = _silent(snapshot)
    return Condition(
        ConditionCode.NODES_APART,
        tuple(dict.fromkeys((subject, *ids))),
        counted(len(ids), "node"),
        f"{counted(len(ids), 'member')} answer in {len(groups)} groups that look for each other in the wrong places: "
        f"{told}",
        _story(case, plan, missing),
        _actions(case, plan),
        FINDINGS,
        _advice(case, plan, missing),
    )


def _actions(case: Case, plan: _Plan) -> tuple[Action, ...]:
    found = []
    if plan.owners:
        found.append(_owners_met(case, plan))
    if plan.others:
        found.append(_others_met(case, plan))
    if found:
        found += own_addresses(case, _unmet_by_others(case, plan))
    return tuple(found)


def _owners_met(case: Case, plan: _Plan) -> Action:
    assert plan.hub is not None
    return _meeting(
        case, plan, plan.owners, "owners", tuple((plan.hub, each) for each in plan.owners), (Together(plan.first),)
    )


def _others_met(case: Case, plan: _Plan) -> Action:
    """A replica sends the MEET itself, to its primary: it goes there for its data only if it learns the new address
    by its own handshake. By gossip it learns the address alone (clusterProcessGossipSection, cluster_legacy.c).
    """
    assert plan.hub is not None
    snapshot, pairs, copies = case.snapshot, [], []
    for each in plan.others:
        primary = snapshot.node(each.primary_id)
        if primary is None or primary.node_id not in plan.all or not _meetable(case, primary):
            pairs.append((plan.hub, each))
            continue
        pairs.append((each, primary))
        copies.append(InSync(each.node_id))
    return _meeting(case, plan, plan.others, "others", tuple(pairs), (Together(plan.all), *copies))


def _meeting(
    case: Case,
    plan: _Plan,
    whom: tuple[Node, ...],
    stage: str,
    pairs: tuple[tuple[Node, Node], ...],
    expects: tuple[Expectation, ...],
) -> Action:
    """`pairs` are who meets whom, `whom` are those that are brought in by it."""
    assert plan.hub is not None
    at = [(sender, reach.reached_at(case.snapshot, target)) for sender, target in pairs]
    both = {each.node_id: each for pair in pairs for each in pair}
    direct = all(sender is plan.hub for sender, _ in pairs)
    some = listing(map(called, whom), _MOST_NAMED)
    return Action(
        ActionKind.MEET,
        plan.hub.node_id,
        f"let {called(plan.hub)} meet {some}" if direct else f"let {some} meet {_whom(pairs, plan.hub)}",
        expects,
        sends=tuple(reach.meet(sender, place) for sender, place in at if place is not None),
        aims=(stage,),
        guards=tuple(Answers(each.node_id, each.endpoint) for each in both.values()),
        within_ms=settling_ms(case.snapshot) + _copying_ms(whom),
    )


def _whom(pairs: tuple[tuple[Node, Node], ...], hub: Node) -> str:
    led = sum(1 for sender, _ in pairs if sender is not hub)
    if led < len(pairs):
        return f"{'their primaries' if led > 1 else 'its primary'} or {called(hub)}"
    return "their primaries" if led > 1 else "its primary"


def _copying_ms(nodes: tuple[Node, ...]) -> int:
    """A replica whose process was started anew may take a full copy, as large as what it holds itself."""
    sizes = [node.vitals.storage.used_memory or 0 for node in nodes if node.vitals is not None]
    return sum(sizes) // _SLOWEST_BYTES_PER_MS


def _unmet_by_others(case: Case, plan: _Plan) -> tuple[Node, ...]:
    """Who prints an old address as its own, and gets no MEET of another node that would tell it better."""
    assert plan.hub is not None
    led = {each.node_id for each in plan.others if case.snapshot.node(each.primary_id) is not None}
    met = {each.node_id for each in (*plan.owners, *plan.others)} - led
    nodes = (case.snapshot.nodes[each] for each in plan.all if each not in met)
    return tuple(each for each in nodes if reach.stale(case, each) and not reach.fixed(case, each))


def settling_ms(snapshot: Snapshot) -> int:
    """A flag of an owner of slots stays for twice the node timeout after it is heard again."""
    return _LEAST_MS + 6 * node_timeouts_ms(snapshot)[1]


def own_addresses(case: Case, nodes: Sequence[Node]) -> Iterator[Action]:
    """A node without cluster-announce-ip learns its own address from a MEET that reaches it, and from nothing else
    (clusterProcessPacket, cluster_legacy.c). It may be one that it sends to itself."""
    for node in nodes:
        if (at := reach.reached_at(case.snapshot, node)) is not None:
            yield Action(
                ActionKind.MEET,
                node.node_id,
                f"let {called(node)} meet itself, so that it learns its own address",
                (KnowsItself(node.node_id),),
                sends=(reach.meet(node, at),),
                aims=("itself",),
                guards=(Answers(node.node_id, node.endpoint),),
                within_ms=_LEAST_MS,
            )


def _story(case: Case, plan: _Plan, missing: tuple[Node, ...]) -> str:
    told = [
        "Each of them knows only where the others were, so none finds another one. All are of one cluster, and their "
        "ids are the same."
    ]
    if plan.owners and plan.others:
        told.append("Owners of slots are met first, so that nobody votes one of them out before it is heard again.")
    if plan.owners or plan.others:
        told.append("One MEET a group is enough: the others hear of it by gossip, and replicas find their primaries.")
    if plan.hub is not None and _unmet_by_others(case, plan):
        told.append("Who prints an old address as its own, and is met by no other, meets itself.")
    if missing:
        told.append(f"{named(case.snapshot, (each.node_id for each in missing), _MOST_NAMED)} cannot be found.")
    return " ".join(told)


def _advice(case: Case, plan: _Plan, missing: tuple[Node, ...]) -> str:
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
        f"{named(snapshot, (each.node_id for each in lost), _MOST_NAMED)} {'was' if len(lost) == 1 else 'were'}",
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
    who = "them" if len(lost) > 1 else "it"
    return f"Say where {who} can be found now, by the address of the pod or container: {again}{more}"
