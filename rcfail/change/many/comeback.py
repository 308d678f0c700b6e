"""A node that is handed to the operator's command, and what it lacks until it is a whole member again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rcfail.cluster.nouns import Role
from rcfail.cluster.snapshot import Node


def told_of(node: Node) -> Mapping[str, str]:
    """What the operator's command is told of its node."""
    place = node.endpoint or node.address.endpoint
    return {
        "RCFAIL_NODE_ID": node.node_id,
        "RCFAIL_NODE_HOST": place.host if place else node.host,
        "RCFAIL_NODE_PORT": str(place.port) if place else "",
        "RCFAIL_NODE_ADDRESS": str(place) if place else "",
        "RCFAIL_NODE_HOSTNAME": node.address.hostname,
        "RCFAIL_NODE_ROLE": node.role.value,
        "RCFAIL_NODE_ZONE": node.zone,
    }


def missing(node: Node | None) -> str:
    """What a node lacks to be a whole member, in a clause; "" for nothing."""
    return next(_lacking(node), "")


def _lacking(node: Node | None) -> Iterator[str]:
    if node is None:
        yield "nobody knows it"
        return
    own = node.view.own if node.view else None
    if own is None or node.vitals is None:
        yield f"it does not answer ({node.silence.reason})" if node.silence else "it does not say what it is"
        return
    vitals = node.vitals
    if vitals.storage.loading or vitals.storage.async_loading:
        yield "it is loading its data"
    if own.role is Role.REPLICA:
        if vitals.replication.sync_in_progress:
            yield "it is taking a copy"
        if not vitals.replication.link_up:
            yield "the link to its primary is down"
    elif own.slots and vitals.cluster.state != "ok":
        yield f"it is a primary with cluster_state:{vitals.cluster.state}"
