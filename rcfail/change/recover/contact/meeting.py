"""The one MEET that brings a node in: sent by a member, to where the members reach it, once its id was read there."""

from __future__ import annotations

from rcfail.change.recover.action import Action, ActionKind, Send
from rcfail.change.recover.expect import Alone, Answers, HoldsNothing, KnownToAll, OwnsNothing
from rcfail.cluster.nouns import Address, Endpoint
from rcfail.cluster.snapshot import Node, Snapshot
from rcfail.health.standing import strangers
from rcfail.health.wording import called

_WITHIN_MS = 60_000


def meeting(snapshot: Snapshot, old: Node, new: Node) -> Action | None:
    """`old` is whom the new one stands for. None where nobody can tell how the members reach it."""
    where = _reached_by_members(snapshot, old, new)
    member = _introducer(snapshot, new)
    if where is None or member is None:
        return None
    port = () if where.bus_port in (None, where.port + 10_000) else (str(where.bus_port),)
    outside = any(each.node_id == new.node_id for each in strangers(snapshot))
    return Action(
        ActionKind.MEET,
        new.node_id,
        f"let {called(member)} meet {called(new)}",
        (KnownToAll(new.node_id),),
        sends=(Send(member.node_id, place_of(member), ("CLUSTER", "MEET", where.host, str(where.port), *port)),),
        guards=(
            Answers(new.node_id, place_of(new)),
            Answers(member.node_id),
            *((Alone(new.node_id),) if outside else ()),
            HoldsNothing(new.node_id),
            OwnsNothing(old.node_id),
        ),
        within_ms=_WITHIN_MS,
    )


def place_of(node: Node) -> Endpoint:
    """Where a node that answers does so."""
    assert node.view is not None, node.label
    return node.view.endpoint


def _introducer(snapshot: Snapshot, new: Node) -> Node | None:
    """A member that the others trust, an owner of slots if there is one."""
    able = [
        node
        for node in snapshot.nodes.values()
        if node.view is not None
        and node.view.reply is not None
        and node.node_id != new.node_id
        and len(node.view.reply.table.by_id) > 1
        and not node.flags & {"fail", "fail?", "noaddr"}
    ]
    return min(able, key=lambda node: (not node.slots, node.node_id), default=None)


def _reached_by_members(snapshot: Snapshot, old: Node, new: Node) -> Address | None:
    """What it announces itself; else where its predecessor is listed, if that is where it answers; else where we reach
    it ourselves, unless our way there is not the members'. MEET takes an IP address, and no name.
    """
    own = new.view.own if new.view is not None else None
    if own is None:
        return None
    if own.address.endpoint:
        return own.address
    here = place_of(new)
    if old.address.endpoint and snapshot.natmap.reached(old.address) == here:
        return Address(old.address.host, old.address.port, own.address.bus_port)
    others = [node.address.host for node in snapshot.nodes.values() if node.view and node.node_id != new.node_id]
    local = _is_local(here.host) and not all(map(_is_local, filter(None, others)))
    return None if snapshot.natmap.rules or local else Address(here.host, here.port, own.address.bus_port)


def _is_local(host: str) -> bool:
    """A loopback address: on another host it is another node."""
    return host.startswith("127.") or host == "::1"
