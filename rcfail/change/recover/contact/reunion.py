"""Who meets whom, where members are apart: one node of each group, owners of slots first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from rcfail.change.recover.action import Action, ActionKind, Expectation
from rcfail.change.recover.case import Case
from rcfail.change.recover.contact import reach
from rcfail.change.recover.contact.reach import KnowsItself, Together
from rcfail.change.recover.contact.stakes import stakes, unharmed
from rcfail.change.recover.expect import Answers, InSync
from rcfail.cluster.nouns import NodeId
from rcfail.cluster.snapshot import Node, Snapshot
from rcfail.cluster.succession import node_timeouts_ms
from rcfail.health.wording import called, listing

MOST_NAMED = 6
_LEAST_MS = 60_000
_SLOWEST_BYTES_PER_MS = 5_000
"""Of a full copy: 5 MB/s."""


class Plan(NamedTuple):
    """`hub` meets one node of each other group: first of those with owners of slots, then the `others`. `unmet` are
    the groups of which nobody can be met."""

    hub: Node | None
    owners: tuple[Node, ...]
    others: tuple[Node, ...]
    unmet: tuple[tuple[NodeId, ...], ...]
    first: tuple[NodeId, ...]
    all: tuple[NodeId, ...]


def plan_of(case: Case, groups: tuple[tuple[NodeId, ...], ...]) -> Plan:
    """The hub is the same after each step, so that a plan goes on as it was shown."""
    snapshot = case.snapshot
    nodes = [snapshot.nodes[each] for group in groups for each in group]
    able = [node for node in nodes if not reach.fixed(case, node)]
    hub = min(able, key=lambda node: (not node.slots, node.node_id), default=None)
    if hub is None:
        return Plan(None, (), (), groups, (), ())
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
    return Plan(hub, tuple(owners), tuple(others), tuple(unmet), tuple(sorted(first)), tuple(sorted(joined)))


def _to_meet(case: Case, group: tuple[NodeId, ...]) -> Node | None:
    """Who of a group is met: an owner of slots if that can be, for it is that one that the others wait for."""
    nodes = (case.snapshot.nodes[each] for each in group)
    able = [each for each in nodes if _meetable(case, each)]
    return min(able, key=lambda node: (not node.slots, node.node_id), default=None)


def _meetable(case: Case, node: Node) -> bool:
    return not reach.fixed(case, node) and reach.reached_at(case.snapshot, node) is not None


def actions(case: Case, plan: Plan) -> tuple[Action, ...]:
    found = []
    if plan.owners:
        found.append(_owners_met(case, plan))
    elif plan.others and Together(plan.first).check(case.snapshot).refuses:
        found.append(_owners_heard(case, plan))
    if plan.others:
        found.append(_others_met(case, plan))
    if found:
        # Counted once, although a step before the last may be the one that costs it.
        found[-1] = replace(found[-1], loses=tuple(each.losing for each in stakes(case.snapshot, plan.all)))
        found += own_addresses(case, unmet_by_others(case, plan))
    return tuple(found)


def _owners_met(case: Case, plan: Plan) -> Action:
    assert plan.hub is not None
    return _meeting(
        case, plan, plan.owners, "owners", tuple((plan.hub, each) for each in plan.owners), (Together(plan.first),)
    )


def _owners_heard(case: Case, plan: Plan) -> Action:
    """A flag of an owner outlives the meeting. A replica that is met while its primary is held for failed would stand
    for election, and may lack what that primary wrote last."""
    assert plan.hub is not None
    title = "wait until all owners of slots that were met hear each other"
    return Action(
        ActionKind.WAIT,
        plan.hub.node_id,
        title,
        (Together(plan.first),),
        aims=("owners",),
        within_ms=settling_ms(case.snapshot),
    )


def _others_met(case: Case, plan: Plan) -> Action:
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
    plan: Plan,
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
    some = listing(map(called, whom), MOST_NAMED)
    return Action(
        ActionKind.MEET,
        plan.hub.node_id,
        f"let {called(plan.hub)} meet {some}" if direct else f"let {some} meet {_whom(pairs, plan.hub)}",
        expects,
        sends=tuple(reach.meet(sender, place) for sender, place in at if place is not None),
        aims=(stage,),
        guards=(*(Answers(each.node_id, each.endpoint) for each in both.values()), *unharmed(case, plan.all)),
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


def unmet_by_others(case: Case, plan: Plan) -> tuple[Node, ...]:
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
