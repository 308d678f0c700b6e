"""Living members that some nodes forgot: awaited while a ban of their id runs, then met again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from rcfail.change.recover.action import Action, ActionKind
from rcfail.change.recover.case import Case, Question
from rcfail.change.recover.condition import Condition, ConditionCode
from rcfail.change.recover.contact import reach
from rcfail.change.recover.contact.reunion import settling_ms
from rcfail.change.recover.contact.stakes import stakes, unharmed
from rcfail.change.recover.expect import Answers, KnownToAll, members
from rcfail.change.recover.members import ban
from rcfail.cluster.dialect import comes_back_running, passes_deletions_on
from rcfail.cluster.nouns import NodeId
from rcfail.cluster.snapshot import Node, Snapshot
from rcfail.health.standing import strangers
from rcfail.health.wording import called, counted, duration, named, rcfail, redis_cli, who

_FINDINGS = ("node-unknown-to-some", "views-differ", "cluster-state-fail", "slots-uncovered")


class _Forgotten(NamedTuple):
    """`observers` do not list `node`, though it lists some of them or they some that list it."""

    node: Node
    observers: tuple[NodeId, ...]


def questions(case: Case) -> Iterator[Question]:
    """How long a ban lasts, where somebody is forgotten."""
    if _forgotten(case.snapshot):
        yield from ban.questions(case)


def conditions(case: Case, taken: frozenset[NodeId]) -> Iterator[Condition]:
    """One a node. Whom the operator gives up by --forget is not met again."""
    for each in _forgotten(case.snapshot):
        if each.node.node_id not in taken | case.decisions.forget:
            yield _condition(case, each)


def _forgotten(snapshot: Snapshot) -> tuple[_Forgotten, ...]:
    """Who answers and is a member for some. A node that forgot several others is one case, its own."""
    inside = {observer for observer, _ in members(snapshot)} - {each.node_id for each in strangers(snapshot)}
    pairs = {
        node.node_id: tuple(each for each in node.unknown_to if each in inside)
        for node in snapshot.nodes.values()
        if node.node_id in inside
    }
    lacking = {node_id: by for node_id, by in pairs.items() if by}
    by_one = {by[0] for by in lacking.values() if len(by) == 1}
    lonely = {one for one in by_one if sum(1 for by in lacking.values() if by == (one,)) > 1}
    found = [
        _Forgotten(snapshot.nodes[node_id], by)
        for node_id, by in lacking.items()
        if not (len(by) == 1 and by[0] in lonely)
    ]
    for one in sorted(lonely - {each.node.node_id for each in found}):
        found.append(_Forgotten(snapshot.nodes[one], tuple(sorted(i for i, by in lacking.items() if by == (one,)))))
    return tuple(sorted(found, key=lambda each: each.node.node_id))


def _condition(case: Case, found: _Forgotten) -> Condition:
    snapshot, (node, observers) = case.snapshot, found
    total = sum(1 for each, _ in members(snapshot) if each != node.node_id)
    by_all = len(node.unknown_to) >= total
    at = reach.reached_at(snapshot, node)
    end = rcfail("recover", node.endpoint, "--forget", str(node.endpoint or node.node_id))
    story = (
        "It runs and lists the others, so it is brought back. If it was forgotten on purpose, say no and stop its "
        f"process; then: {end}"
        if by_all
        else "A forgotten node is banned for a while where it was forgotten, and may be found again by gossip after it."
    )
    return Condition(
        ConditionCode.UNKNOWN_TO_SOME,
        (node.node_id, *observers),
        called(node),
        f"{who(snapshot, node)} answers, and {_lacking(snapshot, node, observers, total)}",
        story,
        () if at is None else _actions(case, found),
        _FINDINGS,
        "" if at is not None else _by_hand(snapshot, found),
    )


def _lacking(snapshot: Snapshot, node: Node, observers: tuple[NodeId, ...], total: int) -> str:
    if not set(observers) <= set(node.unknown_to):
        return f"it does not know {counted(len(observers), 'other node')} ({named(snapshot, observers)})"
    some = f"{len(observers)} of {counted(total, 'other node')}"
    return f"{some} {'does' if len(observers) == 1 else 'do'} not know it ({named(snapshot, observers)})"


def _actions(case: Case, found: _Forgotten) -> tuple[Action, ...]:
    """The ban is waited for where the others would undo a MEET: each tells the others whom it forgot, for a while
    (CLUSTERMSG_EXT_TYPE_FORGOTTEN_NODE, cluster_legacy.c). Older servers take a MEET of a banned id."""
    snapshot, node = case.snapshot, found.node
    if not any(passes_deletions_on(view.vitals.server) for view in snapshot.by_observer.values()):
        return (_meeting(case, found, found.observers),)
    until = ban.over_at_unix_ms(case)
    if any(comes_back_running(view.vitals.server) for view in snapshot.by_observer.values()):
        until += settling_ms(snapshot) // 2
    title = f"wait until all know {called(node)} again, or its ban of {duration(ban.ban_ms(case))} is over"
    waits = ban.waiting(snapshot, node.node_id, title, until)
    return (*waits, _meeting(case, found, found.observers[:1]))


def _meeting(case: Case, found: _Forgotten, senders: tuple[NodeId, ...]) -> Action:
    snapshot, node = case.snapshot, found.node
    at = reach.reached_at(snapshot, node)
    together = tuple(dict.fromkeys((node.node_id, *(each for each, _ in members(snapshot)))))
    assert at is not None
    return Action(
        ActionKind.MEET,
        node.node_id,
        f"let {named(snapshot, senders)} meet {called(node)} again",
        (KnownToAll(node.node_id),),
        sends=tuple(reach.meet(snapshot.nodes[each], at) for each in senders),
        aims=("forgotten",),
        guards=(Answers(node.node_id, node.endpoint), *unharmed(case, together)),
        within_ms=settling_ms(snapshot),
        loses=tuple(each.losing for each in stakes(snapshot, together)),
    )


def _by_hand(snapshot: Snapshot, found: _Forgotten) -> str:
    sender = snapshot.nodes[found.observers[0]]
    port = str(found.node.endpoint.port if found.node.endpoint else "PORT")
    meet = redis_cli(sender.endpoint, "CLUSTER", "MEET", "IP", port)
    return f"How the others reach it cannot be told from here. With the address that they reach: {meet}"
