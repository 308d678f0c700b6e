"""The one action that makes all nodes forget a dead id: sent to each of them, so that none tells the others again."""

from __future__ import annotations

from dataclasses import dataclass

from rcfail.change.checks import Check
from rcfail.change.recover.action import Action, ActionKind, Expectation, Send
from rcfail.change.recover.case import Case
from rcfail.change.recover.expect import (
    Forgotten,
    OwnsNothing,
    Silent,
    judged,
    name_of,
    own_word,
    tables,
)
from rcfail.change.recover.members.ban import SLACK_MS, StaysForgotten, ban_ms
from rcfail.cluster.nouns import NodeId
from rcfail.cluster.snapshot import Snapshot
from rcfail.health.wording import counted, named

_SEEN_MS = 30_000


@dataclass(frozen=True, slots=True)
class NotFollowed:
    """No node that answers says that it is a replica of this id: `Can't forget my master!` (cluster_legacy.c)."""

    node: NodeId

    def check(self, snapshot: Snapshot) -> Check:
        behind, name = followers(snapshot, self.node), name_of(snapshot, self.node)
        verb = "follows" if len(behind) == 1 else "follow"
        told = f"{named(snapshot, behind)} {verb} {name}, and cannot forget it"
        return judged("not-followed", not behind, f"nobody follows {name}", told)


@dataclass(frozen=True, slots=True)
class Unheard:
    """Everybody who lists the id suspects it, holds it for dead, or has lost its address.

    Less than a majority's verdict: where only a node that was down for a while lists it still, none ever comes.
    """

    node: NodeId

    def check(self, snapshot: Snapshot) -> Check:
        said = [(each, view.belief(self.node)) for each, view in tables(snapshot) if each != self.node]
        hear = [each for each, belief in said if belief and not (belief.flagged or belief.noaddr)]
        name = name_of(snapshot, self.node)
        if not said:
            return judged("unheard", None, "", "no node told its table")
        some = named(snapshot, hear) if len(hear) == 1 else counted(len(hear), "node")
        told = f"{some} {'does' if len(hear) == 1 else 'do'} not miss {name} yet"
        return judged("unheard", not hear, f"nobody hears {name}", told)


def followers(snapshot: Snapshot, node_id: NodeId) -> tuple[NodeId, ...]:
    """Nodes that answer and say that they are replicas of this one."""
    owns = ((each, own_word(snapshot, each)) for each in snapshot.by_observer)
    return tuple(each for each, own in owns if own is not None and own.primary_id == node_id)


def forgetting(case: Case, node_id: NodeId, *, last: bool = True) -> Action:
    """Sent to every node that answers and lists it. Of several the last one waits for the ban to end, and sees then
    that none of them is back.
    """
    snapshot = case.snapshot
    listing_it = [
        (observer, view) for observer, view in tables(snapshot) if observer != node_id and view.belief(node_id)
    ]
    behind = followers(snapshot, node_id)
    ban = ban_ms(case) + SLACK_MS
    stays = StaysForgotten(node_id, snapshot.taken_at_unix_ms + ban, frozenset(snapshot.nodes))
    expects: tuple[Expectation, ...] = (stays,) if last else (Forgotten(node_id),)
    until = ", and see that none is back when the ban is over" if last else ""
    return Action(
        ActionKind.FORGET,
        node_id,
        f"let {counted(len(listing_it), 'node')} forget {name_of(snapshot, node_id)}{until}",
        expects,
        sends=tuple(
            Send(observer, view.endpoint, ("CLUSTER", "FORGET", node_id))
            for observer, view in listing_it
            if observer not in behind
        ),
        guards=(Silent(node_id), Unheard(node_id), OwnsNothing(node_id), NotFollowed(node_id)),
        within_ms=_SEEN_MS + (ban if last else 0),
    )
