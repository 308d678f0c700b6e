"""What can be waited for, and what is still missing to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from rcfail.cluster.lookup import Kind, meanings, near
from rcfail.cluster.nouns import NodeId, Role
from rcfail.cluster.snapshot import Known, Node, Snapshot, View
from rcfail.exits import ExitCode
from rcfail.health.verdict import Diagnosis
from rcfail.health.wording import called, counted, listing, named


class What(StrEnum):
    """`HEALTHY` and `SETTLED` are of the whole cluster, the others of one node."""

    HEALTHY = "healthy"
    SETTLED = "settled"
    PRIMARY = "primary"
    REPLICA = "replica"
    SYNCED = "synced"


OF_CLUSTER = (What.HEALTHY, What.SETTLED)


@dataclass(frozen=True, slots=True)
class Condition:
    """`word` names a node as the operator wrote it: an id, its first digits, or host:port; "" for the whole cluster."""

    what: What
    word: str = ""

    def __str__(self) -> str:
        return f"{self.what}={self.word}" if self.word else str(self.what)


class BadCondition(ValueError):
    """The text is no condition."""


def condition(text: str) -> Condition:
    """`healthy`, `settled`, `primary=NODE`, `replica=NODE`, `synced=NODE`. Raises BadCondition."""
    name, equals, word = text.strip().partition("=")
    try:
        what = What(name.strip().lower())
    except ValueError:
        raise BadCondition(f"{text} is nothing that can be waited for") from None
    word = word.strip()
    if what in OF_CLUSTER and equals:
        raise BadCondition(f"{what} is of the whole cluster and takes no node")
    if what not in OF_CLUSTER and not word:
        raise BadCondition(f"{what} needs a node: {what}=NODE")
    return Condition(what, word)


class Ambiguous(ValueError):
    """The word of a condition names several nodes."""


def node_of(snapshot: Snapshot, wanted: Condition) -> NodeId | None:
    """The node that a condition is about; None while nobody knows it. Raises Ambiguous."""
    found = [each for each in meanings(snapshot, wanted.word) if each.kind is Kind.NODE] if wanted.word else []
    if len(found) > 1:
        told = listing([called(snapshot.nodes[each.node_ids[0]]) for each in found], 8)
        raise Ambiguous(f"{wanted}: {wanted.word} can be {told}")
    return found[0].node_ids[0] if found else None


def missing(wanted: Condition, snapshot: Snapshot, diagnosis: Diagnosis) -> str:
    """What is still missing, in a clause; "" where the condition holds. Raises Ambiguous."""
    if wanted.what is What.HEALTHY:
        return _to_health(diagnosis)
    if wanted.what is What.SETTLED:
        return unsettled(snapshot)
    node = snapshot.node(node_of(snapshot, wanted))
    if node is None:
        close = near(snapshot, wanted.word)
        return f"no node {wanted.word} is known" + (f" (there is {listing(close, 4)})" if close else "")
    return next(_to_be(wanted.what, snapshot, node), "")


def unsettled(snapshot: Snapshot) -> str:
    """On what the nodes do not agree, in a clause; "" where they do."""
    return next(_to_settled(snapshot), "")


def _to_health(diagnosis: Diagnosis) -> str:
    if diagnosis.exit_code is ExitCode.OK:
        return ""
    codes = dict.fromkeys(each.code for each in diagnosis.findings if each.severity != "info")
    return f"{diagnosis.verdict.upper()}: {listing(list(codes), 4)}"


def _to_settled(snapshot: Snapshot) -> Iterator[str]:
    """All tables that can be read say the same of roles, owners and epochs, and those of all who live were read."""
    unread = [each.node_id for each in snapshot.nodes.values() if _lives_unread(each)]
    if unread:
        yield f"the table of {named(snapshot, unread)} could not be read"
    if snapshot.handshakes:
        yield f"{counted(len(snapshot.handshakes), 'node')} in handshake"
    for node in snapshot.nodes.values():
        if len(said := {_said(view, node.node_id) for view in snapshot.by_observer.values() if view.reply}) > 1:
            yield f"{counted(len(said), 'opinion')} of {called(node)}"


def _lives_unread(node: Node) -> bool:
    return node.alive is not Known.NO and (node.view is None or node.view.reply is None)


def _said(view: View, node_id: NodeId) -> object:
    belief = view.belief(node_id)
    if belief is None:
        return None
    return belief.role, belief.primary_id, belief.slots, belief.config_epoch if belief.slots else 0, belief.flagged


def _to_be(what: What, snapshot: Snapshot, node: Node) -> Iterator[str]:
    own = node.view.own if node.view else None
    if own is None:
        yield f"{called(node)} does not say what it is"
        return
    role = Role.PRIMARY if what is What.PRIMARY else Role.REPLICA
    if own.role is not role:
        yield f"{called(node)} is a {own.role}"
        return
    if what is What.PRIMARY and not own.slots:
        yield f"{called(node)} owns no slots"
    others = [
        observer
        for observer, view in snapshot.by_observer.items()
        if view.reply and ((said := view.belief(node.node_id)) is None or (said.role, said.slots) != (role, own.slots))
    ]
    if others:
        yield f"not known yet to {counted(len(others), 'node')} of {len(snapshot.by_observer)}"
    if what is What.SYNCED:
        yield from _to_be_synced(node)


def _to_be_synced(node: Node) -> Iterator[str]:
    said = node.vitals.replication if node.vitals else None
    if said is None or said.link_up is None:
        yield f"{called(node)} does not say whether its link is up"
    elif said.sync_in_progress:
        yield f"{called(node)} is taking a copy"
    elif not said.link_up:
        yield f"the link of {called(node)} to its primary is down"
