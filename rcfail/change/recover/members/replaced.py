"""Members that came back as empty nodes with a new id: met, made a replica where one was lost, the old id forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from rcfail.change.recover.action import Action, ActionKind, Send
from rcfail.change.recover.case import Case, Question
from rcfail.change.recover.condition import Condition, ConditionCode
from rcfail.change.recover.contact.meeting import meeting, place_of
from rcfail.change.recover.expect import (
    Follows,
    HoldsNothing,
    InSync,
    KnownToAll,
    OwnsNothing,
    Serves,
)
from rcfail.change.recover.members import ban, bereft
from rcfail.change.recover.members.bereft import Bereft
from rcfail.change.recover.members.forgetting import forgetting
from rcfail.cluster.nouns import NodeId, Role
from rcfail.cluster.snapshot import Known, Node, Snapshot
from rcfail.health.standing import Standing, replacements, standings, strangers
from rcfail.health.wording import answering, called, counted, listing, rcfail, redis_cli, slots_text, who

_COPYING_MS = 60_000
_SLOWEST_BYTES_PER_MS = 5_000
"""Of a full copy: 5 MB/s."""

_FINDINGS = ("node-id-changed", "node-noaddr", "node-unknown-to-some", "replica-missing")


class Pair(NamedTuple):
    """A member that is gone, and the node that stands for it now."""

    old: Node
    new: Node


def questions(case: Case) -> Iterator[Question]:
    """Which shard had lost members that were primaries, and how long a ban lasts."""
    if any(_lost(case)) and any(_fresh(case.snapshot)):
        yield from bereft.questions(case)
        yield from ban.questions(case)


def pairs(case: Case) -> tuple[Pair, ...]:
    """Who was replaced by whom: by the address where that is known, else in the order of their ids.

    The nodes take the address away from an id when another one answers there, so soon nobody knows it any more.
    Fresh nodes hold nothing, so it does not matter which of them stands for which. But the order has to be the same
    all the way: whose place somebody has taken already, and who is only not forgotten yet, comes last.
    """
    snapshot = case.snapshot
    fresh = {node.node_id: node for node in _fresh(snapshot)}
    lost = {node.node_id: node for node in _lost(case)}
    found = []
    for old_id, view in replacements(snapshot).items():
        if old_id in lost and view.observer in fresh:
            found.append(Pair(lost.pop(old_id), fresh.pop(view.observer)))
    if lost and fresh:
        newcomers = sorted(fresh.values(), key=lambda node: node.node_id)
        found += [Pair(*each) for each in zip(bereft.ranked(case, lost.values()), newcomers, strict=False)]
    return tuple(sorted(found, key=lambda pair: pair.old.node_id))


def _lost(case: Case) -> Iterator[Node]:
    """Silent ids that have no way back, or that the operator gave up."""
    stands = standings(case.snapshot)
    for node in case.snapshot.nodes.values():
        given_up = node.node_id in case.decisions.forget and node.view is None
        if given_up or stands[node.node_id] in (Standing.REPLACED, Standing.NO_ADDRESS):
            yield node


def _fresh(snapshot: Snapshot) -> Iterator[Node]:
    """Nodes outside of the cluster, and members that own nothing, hold nothing, follow nobody and never did.

    A former primary that is back keeps its config epoch, and one that was never anything has none.
    """
    outside = {node.node_id for node in strangers(snapshot)}
    for node in snapshot.nodes.values():
        own = node.view.own if node.view is not None else None
        if own is None or own.role is not Role.PRIMARY:
            continue
        spare = node.config_epoch == 0 and not own.slots and not node.slots and _keys(node) == 0
        if node.node_id in outside or spare:
            yield node


def _keys(node: Node) -> int | None:
    return node.vitals.storage.keys if node.vitals is not None else None


def conditions(case: Case, taken: frozenset[NodeId]) -> Iterator[Condition]:
    """One for each pair; and one for each node outside that may stand for a dead member, if the operator says so."""
    found = pairs(case)
    for pair in found:
        if pair.new.node_id not in taken:
            yield _replaced(case, pair, taken)
    dead = _dead(case.snapshot)
    paired = {pair.new.node_id for pair in found}
    for node in strangers(case.snapshot):
        if node.node_id not in paired and node.node_id not in taken and dead:
            yield _whom(case, node, dead)


def _dead(snapshot: Snapshot) -> tuple[Node, ...]:
    """Members that may have been replaced: nobody hears them."""
    stands = standings(snapshot)
    down = (Standing.FAILED, Standing.GHOST, Standing.SILENT)
    return tuple(
        n for n in snapshot.nodes.values() if stands[n.node_id] in down and n.alive is Known.NO and not n.slots
    )


def _replaced(case: Case, pair: Pair, taken: frozenset[NodeId]) -> Condition:
    """Its chain of actions, or what stands in the way of it."""
    old, new = pair
    keys, claimed = _keys(new), new.view.own.slots if new.view and new.view.own else ()
    if keys != 0 or claimed:
        return _holding(case, pair)
    goal = bereft.shard_of(case, old)
    if old.slots and old.node_id not in taken:
        return _stuck(
            case,
            pair,
            f"{called(old)} still owns {slots_text(old.slots)}, and no replica has taken them over",
            f"Nobody knows a copy of its data. See who is left: {rcfail('nodes', answering(case.snapshot))}"
            if goal.primary is None
            else f"Promote its replica first: {rcfail('recover', answering(case.snapshot), old.node_id, '--dry-run')}",
        )
    if goal.primary is None and old.slots:
        why = (
            f"{called(old)} owns {slots_text(old.slots)} until one of its {counted(len(goal.perhaps), 'replica')} does"
        )
        again = rcfail("recover", answering(case.snapshot, new.node_id), "--at", str(new.endpoint))
        return _stuck(case, pair, why, f"When its slots have another owner, bring the new one in: {again}")
    if goal.primary is None:
        return _undecided(case, pair, goal)
    if goal.primary.view is None:
        back = rcfail("recover", answering(case.snapshot), str(goal.primary.endpoint), "--dry-run")
        return _stuck(case, pair, f"{called(goal.primary)}, which it would copy, does not answer", f"First: {back}")
    return _chain(case, pair, goal.primary)


def _chain(case: Case, pair: Pair, primary: Node) -> Condition:
    snapshot, (old, new) = case.snapshot, pair
    known = KnownToAll(new.node_id).check(snapshot)
    met = meeting(snapshot, old, new) if known.refuses else None
    if known.refuses and met is None:
        place = new.endpoint
        return _stuck(
            case,
            pair,
            f"how the other nodes reach {place} cannot be told from here",
            "Introduce it by an address that they reach, then run this again: "
            + redis_cli(
                answering(snapshot, new.node_id), "CLUSTER", "MEET", "IP", str(place.port if place else "PORT")
            ),
        )
    steps = (*((met,) if met else ()), _following(pair, primary), forgetting(case, old.node_id))
    return _condition(
        case,
        pair,
        f"An empty node stands where {called(old)} was. It becomes a replica of {called(primary)} with a copy of its "
        "data, and then all nodes forget the old id.",
        steps,
    )


def _following(pair: Pair, primary: Node) -> Action:
    new = pair.new
    size = primary.vitals.storage.used_memory if primary.vitals is not None else None
    return Action(
        ActionKind.REPLICATE,
        new.node_id,
        f"let {called(new)} follow {called(primary)} and take a copy of its data",
        (Follows(new.node_id, primary.node_id), InSync(new.node_id)),
        sends=(Send(new.node_id, place_of(new), ("CLUSTER", "REPLICATE", primary.node_id)),),
        aims=(primary.node_id,),
        guards=(KnownToAll(new.node_id), HoldsNothing(new.node_id), OwnsNothing(new.node_id), Serves(primary.node_id)),
        within_ms=_COPYING_MS + (size or 0) // _SLOWEST_BYTES_PER_MS,
    )


def _holding(case: Case, pair: Pair) -> Condition:
    """Keys on the newcomer: the operator knows whether anybody needs them."""
    new = pair.new
    keys = _keys(new)
    claimed = new.view.own.slots if new.view and new.view.own else ()
    held = "does not say how many keys it holds" if keys is None else f"holds {counted(keys, 'key')}"
    only = "It may be the only copy: compare it with the cluster before anything is emptied. "
    look = redis_cli(new.endpoint, "--scan")
    more = f", and claims {slots_text(claimed)}" if claimed else ""
    return _condition(
        case,
        pair,
        f"{called(new)} {held}{more}, so it is no empty node: a node with keys can follow nobody, and rcfail deletes "
        "no keys.",
        (),
        advice=f"{only}See its keys with {look}; what to do then is in: rcfail runbook replace-a-node",
        choice=True,
    )


def _undecided(case: Case, pair: Pair, goal: Bereft) -> Condition:
    new = pair.new
    shards = listing((called(case.snapshot.nodes[each]) for each in goal.perhaps), 4)
    member = answering(case.snapshot, new.node_id)
    rejoin = rcfail("reset", member, str(new.endpoint), "--rejoin", "PRIMARY", "-s", str(new.endpoint))
    return _condition(
        case,
        pair,
        f"Which shard {called(pair.old)} was of cannot be told"
        + (f": that of {shards} may be it." if shards else ": nobody says whom it followed."),
        (),
        advice=f"Say whose copy it shall be: {rejoin}",
        choice=True,
    )


def _stuck(case: Case, pair: Pair, why: str, advice: str) -> Condition:
    return _condition(case, pair, f"An empty node stands where {called(pair.old)} was, but {why}.", (), advice=advice)


def _condition(
    case: Case, pair: Pair, story: str, actions: tuple[Action, ...], *, advice: str = "", choice: bool = False
) -> Condition:
    old, new = pair
    shard = case.snapshot.shard_of(old.node_id)
    family = (shard.primary_id, *shard.replica_ids) if shard else ()
    return Condition(
        ConditionCode.NODE_REPLACED,
        tuple(dict.fromkeys((new.node_id, old.node_id, *family))),
        called(new),
        f"{called(new)} {_place_in_cluster(case.snapshot, new)}; {who(case.snapshot, old)}, {_gone(old)}",
        story,
        actions,
        _FINDINGS,
        advice,
        choice,
    )


def _place_in_cluster(snapshot: Snapshot, new: Node) -> str:
    if any(each.node_id == new.node_id for each in strangers(snapshot)):
        return "answers, knows no other node and is known by none"
    return "is a member without slots and follows nobody"


def _gone(old: Node) -> str:
    if old.address.endpoint is None:
        return "has no address any more"
    return "does not answer there any more"


def _whom(case: Case, new: Node, dead: tuple[Node, ...]) -> Condition:
    """A node outside of the cluster, and dead members: only the operator knows whether it stands for one of them."""
    gone = dead[0]
    say = rcfail(
        "recover", answering(case.snapshot, new.node_id), "--at", str(new.endpoint), "--forget", word_for(gone)
    )
    return Condition(
        ConditionCode.NODE_REPLACED,
        (new.node_id, *(each.node_id for each in dead)),
        called(new),
        f"{called(new)} answers, knows no other node and is known by none; {listing(map(called, dead))} "
        f"{'is' if len(dead) == 1 else 'are'} down",
        "It is outside of the cluster. If it stands for a node that will never come back, it can take its place.",
        (),
        ("node-unknown-to-some",),
        f"If so, say which one is gone for good: {say}",
        choice=True,
    )


def word_for(node: Node) -> str:
    """A node as one word of a command: its address, or its id where it has none."""
    place = node.endpoint or node.address.endpoint
    return str(place) if place else node.node_id
