"""Nodes that are met and do not become members, and nodes of another cluster: who is there, and what ends it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rcfail.change.checks import Check
from rcfail.change.recover.action import Action, ActionKind
from rcfail.change.recover.case import Case, Question
from rcfail.change.recover.condition import Condition, ConditionCode
from rcfail.change.recover.expect import judged, tables
from rcfail.cluster.kinship import ForeignCluster
from rcfail.cluster.nouns import Address, Endpoint, NodeId
from rcfail.cluster.parse_nodes import NodesReader
from rcfail.cluster.snapshot import Node, Snapshot
from rcfail.cluster.succession import node_timeouts_ms
from rcfail.health.standing import strangers
from rcfail.health.wording import called, counted, duration, listing, named, rcfail, redis_cli, who

_WHO_IS_THERE = ("CLUSTER", "NODES")
_LEAST_MS = 1_000
_SLACK_MS = 10_000
_MOST_PLACES = 8


@dataclass(frozen=True, slots=True)
class NotMet:
    """No node has a handshake under way with this address."""

    address: Address

    def check(self, snapshot: Snapshot) -> Check:
        by = met(snapshot).get(self.address, ())
        told = f"{self.address} is being met by {named(snapshot, by)}"
        return judged("not-met", not by, f"nobody meets {self.address} any more", told)


def met(snapshot: Snapshot) -> Mapping[Address, tuple[NodeId, ...]]:
    """Who meets whom. The id of a handshake is made up anew at each attempt, so an address is what counts."""
    found: dict[Address, list[NodeId]] = {}
    for observer, view in tables(snapshot):
        for belief in view.reply.table.beliefs if view.reply else ():
            if belief.handshake:
                found.setdefault(belief.address, []).append(observer)
    return {address: tuple(sorted(set(by))) for address, by in found.items()}


def questions(case: Case) -> Iterator[Question]:
    """Who is there, asked at each address that is being met and that no view is from."""
    views = {view.endpoint for view in case.snapshot.views}
    for address in met(case.snapshot):
        place = case.snapshot.natmap.reached(address)
        if place is not None and place not in views:
            yield Question(place, _WHO_IS_THERE)


def conditions(case: Case, taken: frozenset[NodeId]) -> Iterator[Condition]:
    """First other clusters, then whoever is being met in two looks in a row, and no planner is about yet."""
    snapshot = case.snapshot
    for other in snapshot.foreign:
        yield _foreign(snapshot, other)
    lasting = {finding.subject.address for finding in case.found("node-handshake")}
    for address, by in sorted(met(snapshot).items(), key=lambda item: str(item[0])):
        if str(address) not in lasting:
            continue
        there = _there(case, address)
        if there.node is None or there.node.node_id not in taken:
            yield _loop(case, address, by, there)


@dataclass(frozen=True, slots=True)
class _There:
    """Who answers at an address that is being met. All empty: nobody does. `members` are the ids that it lists."""

    place: Endpoint | None
    node: Node | None = None
    members: tuple[NodeId, ...] = ()

    def is_foreign(self, snapshot: Snapshot) -> bool:
        return len(self.members) > 1 and snapshot.nodes.keys().isdisjoint(self.members)


def _there(case: Case, address: Address) -> _There:
    snapshot = case.snapshot
    place = snapshot.natmap.reached(address)
    node = next((n for n in snapshot.nodes.values() if n.view is not None and n.view.endpoint == place), None)
    if node is not None or place is None:
        return _There(place, node)
    foreign = next((each for each in snapshot.foreign if place in each.places), None)
    if foreign is not None:
        return _There(place, None, foreign.members)
    reply = case.reply(place, *_WHO_IS_THERE)
    return _There(place, None, tuple(NodesReader().read(reply).table.by_id) if isinstance(reply, str) else ())


def _loop(case: Case, address: Address, by: tuple[NodeId, ...], there: _There) -> Condition:
    snapshot = case.snapshot
    tell = "" if there.place else " (it names no port to ask at)"
    foreign = there.is_foreign(snapshot)
    return Condition(
        ConditionCode.FOREIGN_MEMBER if foreign else ConditionCode.HANDSHAKE_LOOP,
        (there.node.node_id,) if there.node else (),
        str(address),
        f"{address} is being met by {named(snapshot, by)}, and is no member{tell}",
        f"{_who_is_there(snapshot, address, there)} {_what_ends_it(snapshot)}",
        () if foreign else (_waiting(snapshot, address, there),),
        ("node-handshake",),
        _advice(snapshot, address, by, there),
    )


def _who_is_there(snapshot: Snapshot, address: Address, there: _There) -> str:
    if there.node is not None and there.node in tuple(strangers(snapshot)):
        return f"{called(there.node)} answers there, and knows no other node: it is not reached on the cluster bus."
    if there.node is not None:
        return f"{called(there.node)} answers there, and is a member already for most."
    if there.is_foreign(snapshot):
        return (
            f"A member of another cluster of {counted(len(there.members), 'node')} answers there: once they have met, "
            "the two are one for good, and each slot has two owners."
        )
    if there.members:
        return f"Node {there.members[0][:8]} answers there, and the others do not reach it on the cluster bus."
    return f"Nobody answers us at {address}."


def _what_ends_it(snapshot: Snapshot) -> str:
    lasts = duration(max(_LEAST_MS, node_timeouts_ms(snapshot)[1]))
    return f"An attempt is dropped after {lasts}, unless somebody sends CLUSTER MEET again or a node gossips of it."


def _waiting(snapshot: Snapshot, address: Address, there: _There) -> Action:
    """Nothing is sent: an attempt that nobody renews ends by itself (clusterCron)."""
    return Action(
        ActionKind.WAIT,
        there.node.node_id if there.node else NodeId(""),
        f"wait until nobody meets {address} any more",
        (NotMet(address),),
        aims=(str(address),),
        within_ms=2 * max(_LEAST_MS, node_timeouts_ms(snapshot)[1]) + _SLACK_MS,
    )


def _advice(snapshot: Snapshot, address: Address, by: tuple[NodeId, ...], there: _There) -> str:
    observer = snapshot.node(by[0])
    look = redis_cli(observer.endpoint if observer else None, "CLUSTER", "NODES")
    if there.is_foreign(snapshot):
        return f"Stop whatever sends CLUSTER MEET at once, and see whether they know each other yet: {look}"
    if there.node is not None or there.members:
        bus = f"port {address.bus_port}" if address.bus_port else "its bus port"
        return f"Let the nodes reach it on {bus}, and see what comes of it: {look}"
    return f"Stop whatever sends CLUSTER MEET, or correct its address; see who meets it: {look}"


def _foreign(snapshot: Snapshot, other: ForeignCluster) -> Condition:
    taken = [node for each in other.taken if (node := snapshot.node(each))]
    places = listing(map(str, other.places), _MOST_PLACES)
    theirs = f"{places} answer{'s' if len(other.places) == 1 else ''} for another cluster"
    evidence = f"{theirs} of {counted(len(other.members), 'node')}, which shares no node with this one"
    if taken:
        evidence += f"; {listing(who(snapshot, node) for node in taken)} is listed there"
    return Condition(
        ConditionCode.FOREIGN_MEMBER,
        other.taken,
        listing(map(str, other.places), 2),
        evidence,
        "Nothing is changed meanwhile, and nobody is met there: a CLUSTER MEET joins two clusters for good, each slot "
        "has two owners then, and the data of one of them is thrown away.",
        findings=("foreign-cluster",),
        advice=_advice_on(snapshot, other, taken),
    )


def _advice_on(snapshot: Snapshot, other: ForeignCluster, taken: list[Node]) -> str:
    if taken:
        return (
            f"Give {listing(map(called, taken))} an address of its own: it tells the others itself once it runs. See "
            f"who is there now: {rcfail('nodes', other.places[0])}"
        )
    ours = next((view.endpoint for view in snapshot.views if view.reply is not None), None)
    return f"Name places of one cluster only: {rcfail('recover', ours, '--dry-run')}"
