"""What a recovery is planned from: a settled look, what was asked besides, and what only the operator can say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from rcfail.change.request import Override
from rcfail.cluster.nouns import Endpoint, NodeId, SlotRange
from rcfail.cluster.snapshot import Snapshot
from rcfail.health.finding import Finding

if TYPE_CHECKING:
    from rcfail.wire.replies import Reply


class Question(NamedTuple):
    """One more thing to ask one node, that changes nothing, such as CLUSTER COUNTKEYSINSLOT."""

    place: Endpoint
    command: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Decisions:
    """What only the operator can say, looked up in the cluster already.

    `forget` are nodes that will never come back. `owners` are who shall own slots of which nobody can tell it.
    `fenced` are voters of which a human says that they are stopped. `start_cmd` starts a node that is down; `wait`
    follows one that comes by itself, for `within_s`. `since_unix_ms` is when this run first looked, 0 where that is
    now: what was so then lasts at least that long.
    """

    wait: bool = False
    start_cmd: str = ""
    within_s: float = 600.0
    forget: frozenset[NodeId] = frozenset()
    owners: tuple[tuple[SlotRange, NodeId], ...] = ()
    fenced: frozenset[NodeId] = frozenset()
    given: frozenset[Override] = frozenset()
    since_unix_ms: int = 0


NO_DECISIONS = Decisions()


@dataclass(frozen=True, slots=True)
class Case:
    """`findings` are health's. `replies` are the answers to what the planners asked for; a Refusal stands where there
    is none, and a question that was not asked at all is missing.
    """

    snapshot: Snapshot
    findings: tuple[Finding, ...] = ()
    decisions: Decisions = NO_DECISIONS
    replies: Mapping[Question, Reply] = field(default_factory=dict)

    def reply(self, place: Endpoint | None, *command: str) -> Reply | None:
        return self.replies.get(Question(place, command)) if place else None

    def number(self, place: Endpoint | None, *command: str) -> int | None:
        """The answer as a number; None where there is none."""
        found = self.reply(place, *command)
        return found if isinstance(found, int) else None

    def found(self, code: str) -> tuple[Finding, ...]:
        """Health's findings of one code."""
        return tuple(each for each in self.findings if each.code == code)
