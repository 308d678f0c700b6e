"""A rolling restart: what was asked, how far it came, and what came of it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256

from rcfail.change.many.errand import Ended
from rcfail.change.many.layout import BadLayout, WrittenLayout, layout_data, layout_from
from rcfail.change.many.rolling import Stop, Unit
from rcfail.change.many.series import Series
from rcfail.change.run import StepOutcome, StepRun
from rcfail.change.told import Turn
from rcfail.cluster.nouns import NodeId
from rcfail.cluster.snapshot import Snapshot
from rcfail.exits import ExitCode

SCHEMA = "rcfail-rolling/1"


@dataclass(frozen=True, slots=True)
class Tour:
    """What is kept of a run that may be resumed. `before` is the layout when it began; `done` need no more.

    `command` is the digest of the operator's command, never its text.
    """

    command: str
    unit: Unit
    scope: frozenset[NodeId]
    done: frozenset[NodeId]
    before: WrittenLayout

    @property
    def left(self) -> frozenset[NodeId]:
        return self.scope - self.done


def digest_of(command: str) -> str | None:
    """By which a command of the operator is known again where it is kept: its text may hold a secret. None: no command.

    `sha256:` and the first 12 digits.
    """
    return f"sha256:{sha256(command.encode('utf-8', 'surrogateescape')).hexdigest()[:12]}" if command else None


def tour_text(tour: Tour) -> str:
    said = {
        "schema": SCHEMA,
        "command": tour.command,
        "batch": tour.unit.value,
        "scope": sorted(tour.scope),
        "done": sorted(tour.done),
        "layout": layout_data(tour.before),
    }
    return json.dumps(said, indent=2) + "\n"


def read_tour(text: str) -> Tour:
    """Raises BadLayout."""
    try:
        said = json.loads(text)
        if said["schema"] != SCHEMA:
            raise BadLayout(f"is not of this version of rcfail ({SCHEMA})")
        return Tour(
            str(said["command"]),
            Unit(said["batch"]),
            frozenset(NodeId(str(each)) for each in said["scope"]),
            frozenset(NodeId(str(each)) for each in said["done"]),
            layout_from(said["layout"]),
        )
    except BadLayout:
        raise
    except (KeyError, TypeError, ValueError, RecursionError, AttributeError):
        raise BadLayout("cannot be read") from None


class Phase(StrEnum):
    """Where a node's turn ended."""

    PRE = "pre-cmd"
    MOVE = "move"  # its shard needs another primary first
    COMMAND = "cmd"
    BACK = "back"  # it is waited for
    POST = "post-cmd"
    HEALTH = "health"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class NodeRun:
    """One node's turn. `ended` is what came of the last of the operator's commands that ran.

    `restarted`: its process is another one than before; None where that is not known. `versions` are before and after.
    """

    node_id: NodeId
    phase: Phase
    why: str = ""
    ended: Ended | None = None
    restarted: bool | None = None
    versions: tuple[str, str] = ("", "")
    away_ms: int | None = None

    @property
    def outcome(self) -> StepOutcome:
        return StepOutcome.DONE if self.phase is Phase.DONE else StepOutcome.NOT_DONE

    @property
    def touched(self) -> bool:
        """The operator's command ran for it."""
        return self.phase not in (Phase.PRE, Phase.MOVE)


@dataclass(frozen=True, slots=True)
class Rolled:
    """The answer, whichever way it went. `stops` is the whole way; `lone` are primaries that nobody can replace;
    `restores`: at the end those are to lead again that did before.

    `moves` are the failovers that were needed, `back` those that restored the layout; None: it did not come to that.
    `left_over` says in clauses what of the layout could not be restored.
    """

    turn: Turn
    snapshot: Snapshot
    stops: tuple[Stop, ...]
    lone: tuple[NodeId, ...] = ()
    done_before: frozenset[NodeId] = frozenset()
    restores: bool = True
    moves: tuple[StepRun, ...] = ()
    nodes: tuple[NodeRun, ...] = ()
    back: Series | None = None
    left_over: tuple[str, ...] = ()
    stopped: str = ""
    hint: str = ""
    interrupted: bool = False
    notes: tuple[str, ...] = ()

    @property
    def done(self) -> int:
        return sum(1 for each in self.nodes if each.phase is Phase.DONE)

    @property
    def exit_code(self) -> ExitCode:
        if self.turn is Turn.REFUSED:
            return ExitCode.REFUSED
        if self.turn is not Turn.RAN:
            return ExitCode.OK
        runs = (*self.moves, *(self.back.steps if self.back else ()))
        if any(each.outcome is StepOutcome.INDETERMINATE for each in runs):
            return ExitCode.INDETERMINATE
        if not self.stopped:
            return ExitCode.INCOMPLETE if self.left_over or (self.back and self.back.exit_code) else ExitCode.OK
        if any(each.sent for each in runs) and _nothing_else(self):
            return ExitCode.NOT_DONE if all(each.outcome is StepOutcome.NOT_DONE for each in runs) else _PARTLY
        return ExitCode.REFUSED if _nothing_else(self) else _PARTLY


_PARTLY = ExitCode.INCOMPLETE


def _nothing_else(rolled: Rolled) -> bool:
    """No command of the operator's but a --pre-cmd ran, now or in the run that is resumed."""
    return not rolled.done_before and not any(each.touched for each in rolled.nodes)


def nodes_of(stops: Iterable[Stop]) -> tuple[NodeId, ...]:
    return tuple(node for each in stops for node in each.batch.nodes)
