"""The answer of what moves several primaries, whichever way it went."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from rcfail.change.candidates import Contender
from rcfail.change.many.layout import Difference
from rcfail.change.many.moves import Move, Stuck
from rcfail.change.many.series import Series
from rcfail.change.many.site import Afterwards, afterwards
from rcfail.change.told import Turn
from rcfail.cluster.nouns import NodeId
from rcfail.cluster.snapshot import Snapshot
from rcfail.exits import ExitCode


@dataclass(frozen=True, slots=True)
class Relocation:
    """`goal` says what it is for ("move every primary out of zone east"), `so` what is so in the end, in a clause.

    `place` and `after` are there for a drain, `differences` for a layout. With anything `stuck` a drain is refused; a
    layout is brought back as far as it can be.
    """

    turn: Turn
    snapshot: Snapshot
    goal: str
    so: str
    moves: tuple[Move, ...] = ()
    stuck: tuple[Stuck, ...] = ()
    after: Afterwards | None = None
    place: frozenset[NodeId] = frozenset()
    others: Mapping[NodeId, tuple[Contender, ...]] = field(default_factory=dict)
    differences: tuple[Difference, ...] = ()
    series: Series | None = None
    notes: tuple[str, ...] = ()

    def ran(self, series: Series) -> Relocation:
        """With what came of the moves; what stands afterwards counts those alone that were really made."""
        after = self.after
        if after is not None:
            taken = {each.step.primary: each.new_primary for each in series.steps if each.new_primary}
            after = afterwards(self.snapshot, self.place, taken)
        return replace(self, turn=Turn.RAN, series=series, after=after)

    @property
    def exit_code(self) -> ExitCode:
        if self.turn is Turn.REFUSED:
            return ExitCode.REFUSED
        code = self.series.exit_code if self.series is not None else ExitCode.OK
        return ExitCode.INCOMPLETE if code is ExitCode.OK and self.stuck else code
