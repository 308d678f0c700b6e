"""A node that is reset because the operator says so: what it loses, what the others remember, and its way back.

A soft reset keeps id and epochs, a hard one takes a new id and epoch 0. Both forget all other nodes, and both flush the
data set of a replica (clusterReset, cluster.c and later cluster_legacy.c). No other node is told.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from rcfail.change.recover.action import Action, ActionKind, Expectation, Send
from rcfail.change.recover.case import Case, Question
from rcfail.change.recover.condition import Condition, ConditionCode
from rcfail.change.recover.contact.meeting import meeting, place_of
from rcfail.change.recover.expect import (
    Alone,
    Answers,
    Follows,
    Forgotten,
    HoldsNothing,
    InSync,
    KnownToAll,
    OwnsNothing,
    Serves,
    members,
    name_of,
    own_word,
    tables,
)
from rcfail.change.recover.members import ban
from rcfail.change.recover.members.forgetting import NotFollowed, Unheard, forgetting
from rcfail.change.recover.replicas.copying import copies, keys_of, losing, within_ms
from rcfail.change.recover.reset.reset_objections import objection
from rcfail.change.recover.reset.reset_order import Emptied, Order, Renewed, Resettable, at
from rcfail.cluster.nouns import NodeId, Role
from rcfail.cluster.snapshot import Node, Snapshot
from rcfail.health.wording import answering, called, counted, duration, listing, rcfail, size

_RESET_MS = 90_000
"""A flush of much data blocks, and the others notice another id with their next ping."""


def questions(case: Case) -> Iterator[Question]:
    """How long a ban lasts."""
    yield from ban.questions(case)


def conditions(case: Case, order: Order) -> Iterator[Condition]:
    """One, with all that is left to do; none when all is done."""
    snapshot = case.snapshot
    node = snapshot.node(at(snapshot, order.place))
    if node is None:
        text = f"{order.place} does not answer, so nobody can tell it to reset"
        yield _refused(case, order, None, text, f"Start it, or see what became of it: {_recover(case, order)}")
        return
    if _emptied(snapshot, order, node):
        order.progress.emptied = True
    steps = tuple(_steps(case, order, node))
    if steps:
        no = objection(case, order, node, steps)
        yield _refused(case, order, node, *no) if no else _condition(case, order, node, steps)


def _recover(case: Case, order: Order) -> str:
    return rcfail("recover", answering(case.snapshot, order.node), str(order.place), "--dry-run")


def _emptied(snapshot: Snapshot, order: Order, node: Node) -> bool:
    """As after a reset of that kind. On its way back from a soft one it is a member again, and still empty."""
    if Emptied(node.node_id).check(snapshot).refuses:
        return False
    alone = not Alone(node.node_id).check(snapshot).refuses
    if order.hard:
        return alone and node.config_epoch == 0
    return alone or order.rejoin is not None


def _is_reset(snapshot: Snapshot, order: Order, node: Node) -> bool:
    """Nothing is left that a reset would change: now, or earlier in this run for one that was to come back since."""
    if order.hard and node.node_id != order.node:
        return True
    if order.rejoin is not None:
        return order.progress.emptied
    return _emptied(snapshot, order, node)


def _steps(case: Case, order: Order, node: Node) -> Iterator[Action]:
    """All that is left, in order."""
    snapshot = case.snapshot
    done = _is_reset(snapshot, order, node)
    old = order.gone
    if order.hard and not (done and node.node_id == order.node):
        old = order.node
    if not done or (_leaves(order) and _listed(snapshot, node.node_id)):
        yield _reset(case, order, node)
    if order.hard and old is not None and (not done or _listed(snapshot, old)):
        if done and Unheard(old).check(snapshot).refuses:
            yield _missed(case, order, old)
        yield forgetting(case, old, last=order.rejoin is None)
    if order.rejoin is None:
        return
    yield from _way_back(case, order, node, old, done=done)


def _listed(snapshot: Snapshot, node_id: NodeId) -> bool:
    return bool(_listing(snapshot, node_id))


def _listing(snapshot: Snapshot, node_id: NodeId) -> list[NodeId]:
    """Who else lists it."""
    return [observer for observer, view in tables(snapshot) if observer != node_id and view.belief(node_id)]


def _leaves(order: Order) -> bool:
    """With its id, and for good."""
    return not order.hard and order.rejoin is None


def _reset(case: Case, order: Order, node: Node) -> Action:
    """Who leaves with its id is forgotten first and reset then: from Valkey 8.1 on the others meet a node again that
    they know and that does not know them (clusterNodeCronHandleReconnect), and a node that was met again lists them all
    from then on. Who is banned is met by nobody. Another reset of an empty node loses nothing.
    """
    word = "HARD" if order.hard else "SOFT"
    leaves = _leaves(order)
    expects: tuple[Expectation, ...] = (Emptied(node.node_id),)
    if order.hard:
        expects = (Renewed(node.node_id, order.place),)
    elif leaves:
        expects = (Emptied(node.node_id), Alone(node.node_id), Forgotten(node.node_id))
    forgets = _forgets(case.snapshot, node.node_id) if leaves else ()
    told = (
        f"let {counted(len(forgets), 'node')} forget {called(node)}, and reset it"
        if forgets
        else f"reset {called(node)}"
    )
    return Action(
        ActionKind.RESET,
        order.node,
        f"{told}, {'with a new id' if order.hard else 'keeping its id'}",
        expects,
        sends=(*forgets, Send(node.node_id, place_of(node), ("CLUSTER", "RESET", word))),
        aims=(word,),
        guards=(
            Answers(node.node_id, order.place),
            OwnsNothing(node.node_id),
            NotFollowed(node.node_id),
            Resettable(node.node_id),
        ),
        within_ms=_RESET_MS,
        loses=losing(case.snapshot, node),
    )


def _missed(case: Case, order: Order, old: NodeId) -> Action:
    """Right after an interrupted reset: each of the others takes the address off the old id when its next ping there is
    answered under another one (clusterProcessPacket), and holds it for alive until then."""
    title = f"wait until nobody holds {name_of(case.snapshot, old)} for alive"
    return Action(
        ActionKind.WAIT, order.node, title, (Renewed(old, order.place),), aims=("missed",), within_ms=_RESET_MS
    )


def _forgets(snapshot: Snapshot, node_id: NodeId) -> tuple[Send, ...]:
    views = snapshot.by_observer
    return tuple(
        Send(each, views[each].endpoint, ("CLUSTER", "FORGET", node_id)) for each in _listing(snapshot, node_id)
    )


def _way_back(case: Case, order: Order, node: Node, old: NodeId | None, *, done: bool) -> Iterator[Action]:
    """MEET until all know it, then REPLICATE until it is in sync."""
    snapshot, primary = case.snapshot, case.snapshot.node(order.rejoin)
    if primary is None or order.rejoin is None:
        return
    if not done or KnownToAll(node.node_id).check(snapshot).refuses:
        met = meeting(snapshot, snapshot.node(old) or node, node)
        if met is not None:
            if done and not order.hard:
                yield from _after_ban(case, order, node)
            yield replace(met, about=order.node, aims=("rejoin",))
    follows = (Follows(node.node_id, order.rejoin), InSync(node.node_id))
    if done and not any(each.check(snapshot).refuses for each in follows):
        return
    end: tuple[Expectation, ...] = (*follows, *((Forgotten(old),) if old and order.hard else ()))
    yield Action(
        ActionKind.REPLICATE,
        order.node,
        f"let it follow {called(primary)} and take a copy of its data",
        end,
        sends=(Send(node.node_id, place_of(node), ("CLUSTER", "REPLICATE", order.rejoin)),),
        aims=(order.rejoin,),
        guards=(
            Answers(node.node_id, order.place),
            KnownToAll(node.node_id),
            HoldsNothing(node.node_id),
            OwnsNothing(node.node_id),
            Serves(order.rejoin),
        ),
        within_ms=within_ms(primary),
    )


def _after_ban(case: Case, order: Order, node: Node) -> Iterator[Action]:
    """Who keeps its id and is forgotten already may be banned still, and nobody says until when: the others would not
    let it in, and from 7.2 on tell each other to forget it again."""
    lists = {node.node_id, *_listing(case.snapshot, node.node_id)}
    if any(each not in lists for each, _ in members(case.snapshot)):
        title = f"wait until no ban of {called(node)} can run any more, up to {duration(ban.ban_ms(case))}"
        yield from ban.waiting(case.snapshot, order.node, title, ban.over_at_unix_ms(case))


def _condition(case: Case, order: Order, node: Node, steps: tuple[Action, ...]) -> Condition:
    return Condition(
        ConditionCode.RESET,
        _nodes(order, node),
        called(node),
        _evidence(case.snapshot, node),
        " ".join(_story(case.snapshot, order, node, steps)),
        steps,
    )


def _nodes(order: Order, node: Node | None) -> tuple[NodeId, ...]:
    found = (order.node, node.node_id if node else None, order.gone, order.rejoin)
    return tuple(dict.fromkeys(each for each in found if each))


def _evidence(snapshot: Snapshot, node: Node) -> str:
    """What it is and holds, and who holds the same."""
    keys, own = keys_of(node), own_word(snapshot, node.node_id)
    used = node.vitals.storage.used_memory if node.vitals else None
    held = "an unknown number of keys" if keys is None else counted(keys, "key")
    room = f" ({size(used)} of memory)" if used and keys else ""
    others = copies(snapshot, node)
    said = f"it holds {held}{room}"
    if keys != 0:
        said += f", and {counted(others, 'other node')} hold{'s' * (others == 1)} the same"
    if own is not None and own.role is Role.REPLICA and own.primary_id:
        return f"a replica of {name_of(snapshot, own.primary_id)}; {said}"
    return f"a primary{'' if node.slots else ' without slots'}; {said}"


def _story(snapshot: Snapshot, order: Order, node: Node, steps: tuple[Action, ...]) -> Iterator[str]:
    kinds = {each.kind for each in steps}
    if ActionKind.RESET in kinds and order.hard:
        yield "HARD gives it a new id and sets its epochs to 0; it forgets all other nodes, and its data is flushed."
    elif ActionKind.RESET in kinds:
        yield "SOFT keeps the id and the epochs, not the data: it forgets all other nodes, and its data is flushed."
    else:
        yield "It has been reset already; what is left is done."
    if order.rejoin is not None:
        if not order.hard and not _listed(snapshot, node.node_id):
            yield "Who forgot it less than a minute ago does not let it in, so that minute is waited for."
        yield "Then it is met, and follows its primary with a new copy."
        return
    shard = snapshot.shard_of(node.node_id)
    left = [each for each in shard.replica_ids if each != node.node_id] if shard else []
    if shard is not None and shard.slots and node.node_id in shard.replica_ids:
        kept = listing(name_of(snapshot, each) for each in left) if left else "none"
        yield f"It stays outside of the cluster; the replicas that its shard keeps: {kept}."
    else:
        yield "It stays outside of the cluster."


def _refused(case: Case, order: Order, node: Node | None, why: str, advice: str) -> Condition:
    return Condition(
        ConditionCode.RESET,
        _nodes(order, node),
        called(node) if node else name_of(case.snapshot, order.node),
        _evidence(case.snapshot, node) if node else f"nobody answers at {order.place}",
        f"It is not reset: {why}.",
        advice=advice,
    )
