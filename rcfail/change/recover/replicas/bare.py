"""A shard that serves without a replica: one is borrowed where it is not missed, an unused node before any replica."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from rcfail.change.checks import Check
from rcfail.change.recover.action import Action, ActionKind, Expectation, Send
from rcfail.change.recover.case import Case
from rcfail.change.recover.condition import Condition, ConditionCode
from rcfail.change.recover.expect import (
    Answers,
    Follows,
    HoldsNothing,
    InSync,
    KnownToAll,
    OwnsNothing,
    Serves,
    judged,
    name_of,
)
from rcfail.change.recover.members import replaced
from rcfail.change.recover.nodes import returned
from rcfail.change.recover.replicas import misplaced
from rcfail.change.recover.replicas.copying import HeldByOthers, keys_of, losing, within_ms
from rcfail.cluster.candidacy import bars_failover
from rcfail.cluster.dialect import copies_to
from rcfail.cluster.nouns import NodeId, Role
from rcfail.cluster.placement import PlaceKind, dividing
from rcfail.cluster.snapshot import Known, Node, Shard, Snapshot
from rcfail.health.rules.replication import worth
from rcfail.health.standing import Standing, standings
from rcfail.health.wording import answering, called, counted, listing, named, rcfail, redis_cli, slots_text

_SPARED = 2
"""A shard with fewer healthy replicas than that lends none."""


def conditions(case: Case, taken: frozenset[NodeId]) -> Iterator[Condition]:
    """One for each bare shard, in the order of slots; what one shard gets, the next cannot have.

    Health says which shards lack replicas, so the operator's own wish (none are meant) holds here too.
    """
    snapshot, told = case.snapshot, {each.subject.id for each in case.found("replica-missing")}
    lent: list[NodeId] = []
    if not told:
        return
    coming, stands, stock = _coming(case), standings(snapshot), _stock(snapshot)
    for shard in snapshot.shards:
        primary = snapshot.nodes[shard.primary_id]
        if shard.primary_id not in told or primary.view is None or primary.role is not Role.PRIMARY:
            continue
        if not _is_bare(case, shard, stands) or shard.primary_id in {*taken, *coming}:
            continue
        found = _condition(case, shard, stock, {*taken, *lent})
        lent.extend(action.about for action in found.actions)
        yield found


def _coming(case: Case) -> frozenset[NodeId]:
    """Primaries that get a replica from what is mended before."""
    before = (each for planner in (replaced, returned, misplaced) for each in planner.conditions(case, frozenset()))
    actions = (action for each in before for action in each.actions if action.kind is ActionKind.REPLICATE)
    return frozenset(NodeId(aim) for action in actions for aim in action.aims)


def _is_bare(case: Case, shard: Shard, stands: Mapping[NodeId, Standing]) -> bool:
    """No replica lives, none is expected back, and nobody who is down can be its former primary."""
    snapshot = case.snapshot
    living = any(each.alive is not Known.NO for each in snapshot.replicas_of(shard))
    return not living and not _expected(case, shard, stands)


def _expected(case: Case, shard: Shard, stands: Mapping[NodeId, Standing]) -> list[Node]:
    """Nodes that are down and not given up: its replicas, and primaries without slots, for one that lost its slots
    to a promoted replica comes back as a replica of that. Which shard's it was, nobody says."""
    return [
        node
        for node in case.snapshot.nodes.values()
        if node.alive is Known.NO
        and not node.slots
        and (node.node_id in shard.replica_ids or node.role is Role.PRIMARY)
        and stands[node.node_id] not in (Standing.GHOST, Standing.REPLACED, Standing.NO_ADDRESS)
        and node.node_id not in case.decisions.forget
    ]


@dataclass(frozen=True, slots=True)
class _Stock:
    """What there is to give, gathered once: the healthy replicas of each primary that serves, and members that do
    nothing. `hosts` and `zones` are those that tell something of their own."""

    snapshot: Snapshot
    healthy: Mapping[NodeId, tuple[Node, ...]]
    unused: tuple[Node, ...]
    hosts: frozenset[str]
    zones: frozenset[str]

    def rank(self, primary: Node, node: Node) -> tuple[bool, bool, bool, str]:
        """Never where the primary falls with it, if there is a choice; one that may be promoted; then by id."""
        return (
            bool(self.hosts) and node.host == primary.host,
            bool(self.zones) and node.zone != "" and node.zone == primary.zone,
            bars_failover(node),
            node.node_id,
        )


def _stock(snapshot: Snapshot) -> _Stock:
    return _Stock(
        snapshot,
        {shard.primary_id: tuple(_healthy(snapshot, shard)) for shard in snapshot.shards if shard.slots},
        tuple(_unused(snapshot)),
        dividing(snapshot, PlaceKind.HOST),
        dividing(snapshot, PlaceKind.ZONE),
    )


def _condition(case: Case, shard: Shard, stock: _Stock, used: Collection[NodeId]) -> Condition:
    snapshot, primary = case.snapshot, case.snapshot.nodes[shard.primary_id]
    gone = [each for each in shard.replica_ids if each in snapshot.nodes]
    lost = f"; {named(snapshot, gone)} {'is' if len(gone) == 1 else 'are'} gone" if gone else ""
    found = Condition(
        ConditionCode.SHARD_BARE,
        (primary.node_id,),
        called(primary),
        f"{called(primary)} owns {slots_text(primary.slots)} and has no replica{lost}",
        "",
        findings=("replica-missing",),
    )
    unused = [each for each in stock.unused if each.node_id not in used and _fits(primary, each)]
    if unused:
        return _given(found, stock, primary, min(unused, key=lambda each: stock.rank(primary, each)))
    offers = _offers(stock, primary, used)
    if offers:
        return _borrowed(found, stock, primary, min(offers, key=lambda each: _cost(stock, primary, each)))
    return _nobody(snapshot, found, primary)


def _fits(primary: Node, node: Node) -> bool:
    """An older server cannot read the copy of a newer one."""
    if primary.vitals is None or node.vitals is None:
        return False
    return copies_to(primary.vitals.server, node.vitals.server)


# An unused node


def _unused(snapshot: Snapshot) -> Iterator[Node]:
    """Members without slots, keys and replicas of their own, that all know."""
    followed = {each.primary_id for each in snapshot.nodes.values()}
    for node in snapshot.nodes.values():
        if node.role is not Role.PRIMARY or node.slots or node.node_id in followed or node.view is None:
            continue
        if keys_of(node) == 0 and not node.unknown_to and not node.failed_by:
            yield node


def _given(found: Condition, stock: _Stock, primary: Node, node: Node) -> Condition:
    action = _follow(node, primary, (HoldsNothing(node.node_id), OwnsNothing(node.node_id), KnownToAll(node.node_id)))
    story = f"When it is lost, so are its slots. {called(node)} is a member that does nothing: it is made its replica."
    nodes = (*found.nodes, node.node_id)
    return replace(found, nodes=nodes, story=story + _near(stock, primary, node), actions=(action,))


def _near(stock: _Stock, primary: Node, node: Node) -> str:
    same_host, same_zone, *_ = stock.rank(primary, node)
    if same_host:
        return " There is none on another host: losing this host loses both."
    return " There is none in another zone: losing this zone loses both." if same_zone else ""


# A replica of a rich shard


class _Offer(NamedTuple):
    """A replica that can be spared, its primary, and the healthy siblings that stay."""

    node: Node
    giver: Node
    rest: tuple[Node, ...]


def _offers(stock: _Stock, primary: Node, used: Collection[NodeId]) -> list[_Offer]:
    found: list[_Offer] = []
    for giver, replicas in stock.healthy.items():
        healthy = tuple(each for each in replicas if each.node_id not in used)
        if len(healthy) < _SPARED:
            continue
        for node in healthy:
            if _fits(primary, node):
                rest = tuple(each for each in healthy if each is not node)
                found.append(_Offer(node, stock.snapshot.nodes[giver], rest))
    return found


def _healthy(snapshot: Snapshot, shard: Shard) -> list[Node]:
    return [each for each in snapshot.replicas_of(shard) if worth(snapshot, shard, each).healthy is Known.YES]


def _cost(stock: _Stock, primary: Node, offer: _Offer) -> tuple[object, ...]:
    """The new place first, then what is left behind, then the richest shard."""
    same_host, same_zone, barred, node_id = stock.rank(primary, offer.node)
    spoils = bool(stock.hosts) and all(each.host == offer.giver.host for each in offer.rest)
    return (same_host, same_zone, spoils, barred, -len(offer.rest), node_id)


def _borrowed(found: Condition, stock: _Stock, primary: Node, offer: _Offer) -> Condition:
    node, giver = offer.node, offer.giver
    guards = (Redundant(giver.node_id, without=node.node_id), HeldByOthers(node.node_id))
    action = replace(_follow(node, primary, guards), loses=losing(stock.snapshot, node))
    healthy = counted(len(offer.rest) + 1, "healthy replica")
    story = (
        f"When it is lost, so are its slots. The shard of {called(giver)} has {healthy}: {called(node)} leaves it, "
        "throws its copy away, and takes one of the bare shard."
    )
    return replace(
        found,
        nodes=(*found.nodes, node.node_id, giver.node_id),
        story=story + _near(stock, primary, node) + _by_itself(stock.snapshot, found, node),
        actions=(action,),
    )


def _by_itself(snapshot: Snapshot, found: Condition, node: Node) -> str:
    """Servers move a replica themselves to a primary whose last replica died, not to one that never had any
    (clusterHandleSlaveMigration, cluster_legacy.c)."""
    shard = snapshot.shard_of(found.nodes[0])
    allowed = node.vitals is not None and node.vitals.config.allow_replica_migration
    if not allowed or shard is None or not shard.replica_ids:
        return ""
    return " The servers may do so themselves (cluster-allow-replica-migration); then nothing is sent."


def _follow(node: Node, primary: Node, guards: tuple[Expectation, ...]) -> Action:
    place = node.endpoint
    aim = primary.node_id
    return Action(
        ActionKind.REPLICATE,
        node.node_id,
        f"let {called(node)} follow {called(primary)}",
        (Follows(node.node_id, aim), InSync(node.node_id)),
        (Send(node.node_id, place, ("CLUSTER", "REPLICATE", aim)),) if place is not None else (),
        (aim,),
        (Answers(node.node_id, place), Serves(aim), Bare(aim), *guards),
        within_ms(primary),
    )


def _nobody(snapshot: Snapshot, found: Condition, primary: Node) -> Condition:
    meet = redis_cli(None, "CLUSTER", "MEET", *_place(primary)).replace("HOST", "NEW_HOST", 1)
    again = rcfail("recover", answering(snapshot), primary.node_id)
    return replace(
        found,
        story="When it is lost, so are its slots. No other shard has a replica to spare, and no member is unused.",
        advice=f"Start an empty node, of this version or newer, on another host, and let it meet the cluster: {meet}. "
        f"Then this makes it a replica: {again}",
    )


def _place(node: Node) -> tuple[str, str]:
    return (node.endpoint.host, str(node.endpoint.port)) if node.endpoint else ("HOST", "PORT")


@dataclass(frozen=True, slots=True)
class Bare:
    """No replica of this primary lives: nobody has come meanwhile."""

    primary: NodeId

    def check(self, snapshot: Snapshot) -> Check:
        name = name_of(snapshot, self.primary)
        nodes = (each for each in snapshot.nodes.values() if each.primary_id == self.primary)
        living = [called(each) for each in nodes if each.alive is not Known.NO and each.role is Role.REPLICA]
        return judged("bare", not living, f"{name} has no replica", f"{name} has {listing(living)} by now")


@dataclass(frozen=True, slots=True)
class Redundant:
    """The shard of this primary has a healthy replica besides the one that leaves."""

    primary: NodeId
    without: NodeId

    def check(self, snapshot: Snapshot) -> Check:
        name, shard = name_of(snapshot, self.primary), snapshot.shard_of(self.primary)
        if shard is None:
            return judged("redundant", None, "", f"{name} has no shard any more")
        left = [called(each) for each in _healthy(snapshot, shard) if each.node_id != self.without]
        so = f"{name} keeps {listing(left)}"
        return judged("redundant", bool(left), so, f"{name} has no other healthy replica")
