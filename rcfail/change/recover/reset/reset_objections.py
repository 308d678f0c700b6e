"""Why a node is not reset, and what would help."""

from __future__ import annotations

from rcfail.change.recover.action import Action, ActionKind
from rcfail.change.recover.case import Case
from rcfail.change.recover.expect import Serves, tables
from rcfail.change.recover.members.forgetting import followers
from rcfail.change.recover.replicas.copying import keys_of
from rcfail.change.recover.reset.reset_order import Order, Resettable
from rcfail.cluster.snapshot import Node, Snapshot
from rcfail.cluster.sync import Sync, sync_of
from rcfail.health.wording import answering, called, counted, named, rcfail, redis_cli, slots_text


def objection(case: Case, order: Order, node: Node, steps: tuple[Action, ...]) -> tuple[str, str] | None:
    """Why it is not done, and what would help; None where nothing speaks against it."""
    snapshot, seed = case.snapshot, answering(case.snapshot, node.node_id)
    if any(each.kind is ActionKind.RESET for each in steps):
        if owned := _owned(snapshot, node):
            heir = next(iter(_heirs(snapshot, node)), None)
            advice = "Nobody else holds their data: see it with " + rcfail("health", seed)
            if heir is not None:
                advice = f"Move them to a replica first: {rcfail('failover', seed, str(heir.endpoint), '--dry-run')}"
            return f"{called(node)} owns {owned}: reset, it would serve them no more", advice
        if behind := followers(snapshot, node.node_id):
            text = f"{named(snapshot, behind)} would follow a node that is none"
            return text, f"Give them another primary first: {redis_cli(seed, 'CLUSTER', 'REPLICATE', 'ID')}"
        if Resettable(node.node_id).check(snapshot).refuses:
            return _full(case, node)
    if order.rejoin is not None and (wrong := _no_way_back(snapshot, order, steps)):
        return wrong
    return None


def _owned(snapshot: Snapshot, node: Node) -> str:
    """Slots that any view gives it, as words."""
    said = [view.belief(node.node_id) for _, view in tables(snapshot)]
    slots = next((each.slots for each in said if each and each.slots), ())
    return slots_text(slots) if slots else ""


def _heirs(snapshot: Snapshot, node: Node) -> list[Node]:
    """Replicas that are in sync with it."""
    below = [snapshot.nodes[each] for each in followers(snapshot, node.node_id) if each in snapshot.nodes]
    return [each for each in below if sync_of(snapshot, each) is Sync.IN_SYNC]


def _full(case: Case, node: Node) -> tuple[str, str]:
    keys = keys_of(node)
    held = "does not say how many keys it holds" if keys is None else f"holds {counted(keys, 'key')}"
    look = rcfail("recover", answering(case.snapshot, node.node_id), str(node.endpoint), "--dry-run")
    text = f"{called(node)} is a primary and {held}: no server resets a primary with keys, and rcfail deletes none"
    return text, f"See whether it belongs to a shard: {look}. Its keys: {redis_cli(node.endpoint, '--scan')}"


def _no_way_back(snapshot: Snapshot, order: Order, steps: tuple[Action, ...]) -> tuple[str, str] | None:
    assert order.rejoin is not None
    check = Serves(order.rejoin).check(snapshot)
    if check.refuses:
        return check.evidence, f"Name a primary that serves: {rcfail('nodes', answering(snapshot, order.node))}"
    resets = any(each.kind is ActionKind.RESET for each in steps)
    if resets and not any(each.kind is ActionKind.MEET for each in steps):
        text = f"how the other nodes reach {order.place} cannot be told from here, so it would not find back"
        return text, "Name a seed by the address that the nodes use among themselves, or leave --rejoin out."
    return None
