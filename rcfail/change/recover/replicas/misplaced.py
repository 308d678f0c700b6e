"""Replicas that follow somebody who serves nothing: another replica, or a primary that is gone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from rcfail.change.checks import Check
from rcfail.change.recover.action import Action, ActionKind, Send
from rcfail.change.recover.case import Case, Question
from rcfail.change.recover.condition import Condition, ConditionCode
from rcfail.change.recover.expect import Answers, Follows, InSync, Serves, judged, name_of, own_word
from rcfail.change.recover.nodes.kin import MYSHARDID, Heir, heirs
from rcfail.change.recover.replicas.copying import HeldByOthers, history, keys_of, losing, reached, stream_of, within_ms
from rcfail.cluster.dialect import has_shard_ids
from rcfail.cluster.nouns import NodeId, Role, SlotRange
from rcfail.cluster.snapshot import Known, Node, Shard, Snapshot
from rcfail.health.rules.copies import living_replicas
from rcfail.health.standing import dead_for_ms
from rcfail.health.wording import answering, called, counted, duration, listing, rcfail, redis_cli, slots_text

_PASSING_MS = 10_000
"""A replica hears within seconds who took over its primary's slots, and turns to that one by itself
(clusterUpdateSlotsConfigWith, cluster_legacy.c)."""


def questions(case: Case) -> Iterable[Question]:
    """To which shard a replica of a ghost belongs, as itself and the primaries say it (Redis and Valkey from 7.2)."""
    lost = [node for node in living_replicas(case.snapshot) if _is_lost(case.snapshot, node)]
    asked = [*lost, *_owners(case.snapshot)] if lost else []
    for node in asked:
        if node.endpoint is not None and node.vitals is not None and has_shard_ids(node.vitals.server):
            yield Question(node.endpoint, MYSHARDID)


def conditions(case: Case, taken: frozenset[NodeId]) -> Iterator[Condition]:
    for node in living_replicas(case.snapshot):
        if node.node_id in taken:
            continue
        above = case.snapshot.node(node.primary_id)
        if above is not None and above.role is Role.REPLICA:
            yield _under_replica(case.snapshot, node, above)
    for node in living_replicas(case.snapshot):
        if node.node_id not in taken and _is_lost(case.snapshot, node):
            yield _under_ghost(case, node)


# A replica of a replica


def _under_replica(snapshot: Snapshot, node: Node, above: Node) -> Condition:
    shard = snapshot.shard_of(node.node_id)
    top = snapshot.node(shard.primary_id) if shard is not None else None
    found = Condition(
        ConditionCode.REPLICA_OF_REPLICA,
        tuple(each.node_id for each in (node, above, top) if each is not None),
        called(node),
        f"{called(node)} follows {called(above)}, which is a replica itself",
        "",
        findings=("replica-of-replica",),
    )
    if top is None:
        return _ring(snapshot, found, node)
    if top.view is None or top.role is not Role.PRIMARY or not top.slots:
        wait = f"Bring {called(top)} back first, or promote a replica that follows it: "
        look = rcfail("recover", answering(snapshot), top.node_id, "--dry-run")
        return replace(found, story=f"The primary of its shard, {called(top)}, does not serve.", advice=f"{wait}{look}")
    story = (
        "It is never promoted when the primary of its shard fails. It is told to follow that primary, and catches up "
        "from its backlog, or takes a full copy."
    )
    return replace(found, story=story, actions=(_follow(snapshot, node, top),))


def _ring(snapshot: Snapshot, found: Condition, node: Node) -> Condition:
    """Replicas that follow each other have no primary at all, and hold whatever they held."""
    heirs_text = _choices(snapshot, node)
    return replace(
        found,
        evidence=f"{found.evidence}; no primary is above them",
        story="They follow each other, so none of them gets data. Which data is right nobody can tell for you.",
        advice=f"See what each holds, then let them follow the primary of their shard, which throws that away: "
        f"{heirs_text}",
        choice=True,
    )


def _choices(snapshot: Snapshot, node: Node) -> str:
    return redis_cli(node.endpoint, "CLUSTER", "REPLICATE", "NODE_ID") + (
        f" (the primaries: {rcfail('nodes', answering(snapshot))})"
    )


def _follow(snapshot: Snapshot, node: Node, top: Node) -> Action:
    place = node.endpoint
    sends = (Send(node.node_id, place, ("CLUSTER", "REPLICATE", top.node_id)),) if place is not None else ()
    loses = losing(snapshot, node)
    safe = () if any(each.counts for each in loses) else (HeldByOthers(node.node_id),)
    return Action(
        ActionKind.REPLICATE,
        node.node_id,
        f"let {called(node)} follow {called(top)}",
        (Follows(node.node_id, top.node_id), InSync(node.node_id)),
        sends,
        (top.node_id,),
        (Answers(node.node_id, place), Serves(top.node_id), Astray(node.node_id, top.node_id), *safe),
        within_ms(top),
        loses,
    )


@dataclass(frozen=True, slots=True)
class Astray:
    """The node is still a replica, and follows somebody else than this primary."""

    node: NodeId
    primary: NodeId

    def check(self, snapshot: Snapshot) -> Check:
        own, name = own_word(snapshot, self.node), name_of(snapshot, self.node)
        if own is None:
            return judged("astray", None, "", f"{name} does not say what it is")
        behind = name_of(snapshot, self.primary)
        if own.role is not Role.REPLICA:
            return judged("astray", False, "", f"{name} is no replica any more")
        holds = own.primary_id != self.primary
        return judged("astray", holds, f"{name} does not follow {behind}", f"{name} follows {behind} already")


# A replica of a ghost


def _is_lost(snapshot: Snapshot, node: Node) -> bool:
    """Whom it follows is dead, owns nothing, and has been so for longer than the news of a new primary takes.

    A dead primary that owns slots is no ghost: its replica is what brings these back.
    """
    above = snapshot.node(node.primary_id)
    if above is None:
        return True
    if above.role is Role.REPLICA or above.alive is not Known.NO or above.slots:
        return False
    dead_ms = dead_for_ms(snapshot, above)
    return dead_ms is None or dead_ms > _PASSING_MS


def _owners(snapshot: Snapshot) -> list[Node]:
    """Every primary that serves slots and answers."""
    nodes = (snapshot.nodes[shard.primary_id] for shard in snapshot.shards if shard.slots)
    return [node for node in nodes if node.view is not None and node.role is Role.PRIMARY]


def _under_ghost(case: Case, node: Node) -> Condition:
    snapshot, above = case.snapshot, case.snapshot.node(node.primary_id)
    keys = keys_of(node)
    found = Condition(
        ConditionCode.REPLICA_OF_GHOST,
        tuple(dict.fromkeys(each for each in (node.node_id, node.primary_id) if each is not None)),
        called(node),
        f"{called(node)} {_follows_whom(snapshot, node, above)}; it holds {_keys(keys)}",
        "",
        findings=("replica-link-down", "replica-never-synced", "node-ghost"),
    )
    right = heirs(case, node, _owners(snapshot))
    if len(right) == 1:
        return _sent_home(snapshot, found, node, right[0])
    if keys != 0 and (free := _free(snapshot)):
        return _last_copy(snapshot, found, node, free)
    if keys == 0 and (shard := _neediest(snapshot, node)) is not None:
        return _sent_on(snapshot, found, node, shard)
    return _undecided(snapshot, found, node, right)


def _keys(keys: int | None) -> str:
    return "an unknown number of keys" if keys is None else counted(keys, "key")


def _follows_whom(snapshot: Snapshot, node: Node, above: Node | None) -> str:
    if above is None:
        return f"follows node {node.primary_id[:8]}, that nobody knows" if node.primary_id else "knows no primary"
    dead_ms = dead_for_ms(snapshot, above)
    since = f" for {duration(dead_ms)}" if dead_ms else ""
    return f"follows {called(above)}, which is dead{since} and owns no slots"


def _free(snapshot: Snapshot) -> tuple[SlotRange, ...]:
    """Slots of nobody: whoever holds keys that fit no owner may hold theirs."""
    return tuple((part.first, part.last) for part in snapshot.stretches if part.owner is None)


def _last_copy(snapshot: Snapshot, found: Condition, node: Node, lost: tuple[SlotRange, ...]) -> Condition:
    """Nobody serves its slots: whoever it is told to follow, it would throw away the data that is missing."""
    rescue = rcfail("failover", answering(snapshot), node.node_id, "--force", "--dry-run")
    return replace(
        found,
        evidence=f"{found.evidence}, and nobody owns {slots_text(lost)}",
        story="It may hold the only copy of them, so it is not told to follow anybody.",
        advice=f"See whether it can be promoted with its data: {rescue}",
    )


def _sent_home(snapshot: Snapshot, found: Condition, node: Node, heir: Heir) -> Condition:
    primary = snapshot.nodes[heir.primary]
    story = f"It belongs to {called(primary)}: {heir.because}. It is told to follow that one, and takes its data."
    ahead = _ahead(node, primary)
    return replace(
        found,
        story=f"{story}{ahead}",
        nodes=(*found.nodes, primary.node_id),
        actions=(_follow(snapshot, node, primary),),
    )


def _ahead(node: Node, primary: Node) -> str:
    """What it got of the old stream after its new primary left that (second_repl_offset is the first byte after)."""
    mine, theirs, held = stream_of(node), stream_of(primary), reached(node)
    if held is None or theirs.second_offset is None or mine.replid != theirs.replid2:
        return ""
    more = held - theirs.second_offset + 1
    return f" It has {counted(more, 'byte')} of the old stream that its new primary never had." if more > 0 else ""


def _sent_on(snapshot: Snapshot, found: Condition, node: Node, shard: Shard) -> Condition:
    primary = snapshot.nodes[shard.primary_id]
    return replace(
        found,
        story=f"It holds nothing, so it can serve any shard; that of {called(primary)} has the fewest replicas.",
        nodes=(*found.nodes, primary.node_id),
        actions=(_follow(snapshot, node, primary),),
    )


def _neediest(snapshot: Snapshot, node: Node) -> Shard | None:
    """Of the shards that serve, the one with the fewest living replicas; of these, one on another host."""

    def need(shard: Shard) -> tuple[int, bool, str]:
        primary = snapshot.nodes[shard.primary_id]
        living = sum(1 for each in snapshot.replicas_of(shard) if each.alive is Known.YES)
        return living, primary.host == node.host, primary.node_id

    serving = {each.node_id for each in _owners(snapshot)}
    return min((each for each in snapshot.shards if each.primary_id in serving), key=need, default=None)


def _undecided(snapshot: Snapshot, found: Condition, node: Node, right: tuple[Heir, ...]) -> Condition:
    """It holds keys, and nothing tells whose they are."""
    told = f"It fits {listing(called(snapshot.nodes[each.primary]) for each in right)}." if right else ""
    streams = listing(sorted(each[:8] for each in history(node)))
    return replace(
        found,
        evidence=f"{found.evidence}, of stream {streams}" if streams else found.evidence,
        story=f"Whose data it holds cannot be told{': ' if told else '.'}{told} To follow anybody throws it away.",
        advice="If you do not need what it holds, name its new primary: "
        f"{_choices(snapshot, node)}. To look at it first: {redis_cli(node.endpoint, 'DBSIZE')}",
        choice=True,
    )
