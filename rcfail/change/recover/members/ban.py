"""How long a forgotten id stays banned, and whether it is still forgotten when the ban is over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rcfail.change.checks import Check, CheckVerdict
from rcfail.change.recover.action import Action, ActionKind
from rcfail.change.recover.case import Case, Question
from rcfail.change.recover.expect import KnownToAll, judged, tables
from rcfail.cluster.dialect import ban_is_configured
from rcfail.cluster.nouns import NodeId
from rcfail.cluster.snapshot import Snapshot
from rcfail.health.wording import counted, listing

BAN_MS = 60_000
"""CLUSTER_BLACKLIST_TTL of cluster_legacy.c; a setting from Valkey 8.0 on, with this default."""

SLACK_MS = 5_000
"""The commands go out one after the other, and a ban is counted in whole seconds."""

_ROUNDED_MS = 15_000
"""What is left is told in such steps: nobody reads a line a second."""

_LONGEST_MS = 3_600_000
_SETTING = ("CONFIG", "GET", "cluster-blacklist-ttl")


def questions(case: Case) -> Iterator[Question]:
    """The length of the ban, of every node on which it can be set."""
    for view in case.snapshot.by_observer.values():
        if ban_is_configured(view.vitals.server):
            yield Question(view.endpoint, _SETTING)


def ban_ms(case: Case) -> int:
    """The longest ban of all nodes that answer, in ms; at most an hour."""
    said = [_told_ms(case, each) for each in questions(case)]
    others = len(said) < len(case.snapshot.by_observer)
    return min(_LONGEST_MS, max([BAN_MS] * others + said, default=BAN_MS))


def over_at_unix_ms(case: Case) -> int:
    """From when on no ban can run that did when this run first looked: nobody says when an id was forgotten."""
    return (case.decisions.since_unix_ms or case.snapshot.taken_at_unix_ms) + ban_ms(case) + SLACK_MS


def _told_ms(case: Case, question: Question) -> int:
    reply = case.replies.get(question)
    text = reply[1] if isinstance(reply, tuple) and len(reply) == 2 else ""
    return int(text) * 1000 if isinstance(text, str) and text.isdecimal() and len(text) < 9 else BAN_MS


@dataclass(frozen=True, slots=True)
class StaysForgotten:
    """No view lists the id, now and when its ban is over; nor any dead id that was gone already.

    `known` are all that were listed when the ban began, so that one that was forgotten before it and comes back is
    seen too. A node that joins meanwhile answers, and is none.
    """

    node: NodeId
    until_unix_ms: int
    known: frozenset[NodeId]

    def check(self, snapshot: Snapshot) -> Check:
        name = f"node {self.node[:8]}"
        views = [view for _, view in tables(snapshot)]
        if not views:
            return judged("stays-forgotten", None, "", "no node told its table")
        listed = sum(1 for view in views if view.belief(self.node) is not None and view.observer != self.node)
        if listed:
            return _no(f"{listed} of {counted(len(views), 'node')} still {_list(listed)} {name}")
        if back := self._back(snapshot):
            return _no(f"{listing(f'node {each[:8]}' for each in back)} is listed again, some node was not told of it")
        left_ms = self.until_unix_ms - snapshot.taken_at_unix_ms
        if left_ms > 0:
            return _no(f"no node lists {name}, its ban runs for up to {_rounded_s(left_ms)} s more")
        return judged("stays-forgotten", True, f"no node lists {name}, also after its ban", "")

    def _back(self, snapshot: Snapshot) -> tuple[NodeId, ...]:
        return tuple(each for each in snapshot.nodes if each not in self.known and each not in snapshot.by_observer)


@dataclass(frozen=True, slots=True)
class BackOrFree:
    """All know the node, or no ban of its id can run any more."""

    node: NodeId
    until_unix_ms: int

    def check(self, snapshot: Snapshot) -> Check:
        known = KnownToAll(self.node).check(snapshot)
        left_ms = self.until_unix_ms - snapshot.taken_at_unix_ms
        if not known.refuses:
            return judged("back-or-free", True, known.evidence, "")
        told = f"{known.evidence}, and a ban may run for up to {_rounded_s(left_ms)} s more"
        return judged("back-or-free", left_ms <= 0, "no ban of it runs any more", told)


def waiting(snapshot: Snapshot, node_id: NodeId, title: str, until_unix_ms: int) -> tuple[Action, ...]:
    """Until all know it again, or no ban of it can run any more; nothing where that is so by the clock."""
    left_ms = until_unix_ms - snapshot.taken_at_unix_ms
    if left_ms <= 0:
        return ()
    expects = (BackOrFree(node_id, until_unix_ms),)
    return (Action(ActionKind.WAIT, node_id, title, expects, aims=("ban",), within_ms=left_ms + SLACK_MS),)


def _rounded_s(left_ms: int) -> int:
    return -(-left_ms // _ROUNDED_MS) * _ROUNDED_MS // 1000


def _no(text: str) -> Check:
    return Check("stays-forgotten", CheckVerdict.FAIL, text)


def _list(number: int) -> str:
    return "lists" if number == 1 else "list"
