"""A rolling run while it goes on: batch by batch, each of them back and well before the next, and the way home."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from rcfail.change.candidates import chosen, contenders
from rcfail.change.many.comeback import missing, told_of
from rcfail.change.many.errand import Ended, Errand, run_errand
from rcfail.change.many.layout import WrittenLayout
from rcfail.change.many.moves import numbered
from rcfail.change.many.rolling import (
    Batch,
    Formation,
    formation_of,
    next_batch,
    preferred,
)
from rcfail.change.many.series import Gate, Pace, one_by_one
from rcfail.change.many.tour import NodeRun, Phase, Rolled, Tour
from rcfail.change.run import StepOutcome, StepRun
from rcfail.change.told import Turn
from rcfail.clock import Deadline, poll
from rcfail.cluster.nouns import NodeId
from rcfail.cluster.snapshot import Node, Snapshot
from rcfail.errors import CannotSee, OutOfTime
from rcfail.health.wording import called, counted
from rcfail.runs.moving import Hands, Site
from rcfail.runs.relocating import restoring, survey_of
from rcfail.runs.remembered import forget_tour, remember_tour

if TYPE_CHECKING:
    from rcfail.runs.touring import Ways, Wish

_EVERY_S = 0.25
RESTART_SHOWS_S = 3.0
"""How long after a command that returned at once its restart may still be to come (systemctl --no-block)."""


class _Halt(Exception):
    """Nothing more is done. The message is a clause."""

    def __init__(self, why: str, hint: str = "", *, interrupted: bool = False) -> None:
        super().__init__(why)
        self.why = why
        self.hint = hint
        self.interrupted = interrupted


@dataclass
class Batches:
    """One run while it goes on. `moves` and `nodes` grow; the tour is written down after each batch. `under_way` are
    nodes whose command ran, and that were not seen to be back."""

    site: Site
    wish: Wish
    ways: Ways
    hands: Hands
    gate: Gate
    tour: Tour
    planned: Rolled
    moves: list[StepRun] = field(default_factory=list)
    nodes: list[NodeRun] = field(default_factory=list)
    under_way: dict[NodeId, Ended] = field(default_factory=dict)

    def go(self) -> Rolled:
        """To the end, or as far as it goes."""
        told = replace(self.planned, turn=Turn.RAN)
        try:
            while (step := self._next()) is not None:
                self._batch(*step)
                self._pause()
            told = self._back(told) if self.wish.restore else told
            if not told.left_over and not told.stopped:
                forget_tour(told.snapshot)
        except _Halt as halt:
            hint = halt.hint or "Go on from here: the same command with --resume"
            told = replace(told, stopped=halt.why, hint=hint, interrupted=halt.interrupted)
        except CannotSee as fault:
            told = replace(told, stopped=fault.message, hint=fault.hint)
        except KeyboardInterrupt:
            if not self.moves and not self.nodes and not self.under_way:
                raise
            told = replace(told, stopped="interrupted", hint=_GO_ON, interrupted=True)
        self.ways.over()
        for node_id, ended in self.under_way.items():
            self.nodes.append(NodeRun(node_id, Phase.BACK, "the command ran, and it was not seen to be back", ended))
        if (
            not self.tour.done
            and not any(each.sent for each in self.moves)
            and not any(each.touched for each in self.nodes)
        ):
            forget_tour(told.snapshot)  # nothing was done, so there is nothing to go on from
            told = replace(told, hint="")
        return replace(told, moves=tuple(self.moves), nodes=tuple(self.nodes))

    def _next(self) -> tuple[Snapshot, Formation, Batch] | None:
        if self.ways.stop():
            raise _Halt("interrupted", _GO_ON, interrupted=True)
        if not self.tour.left:
            return None
        snapshot = self.site.look()
        formation = formation_of(snapshot)
        batch = next_batch(formation, self.tour.left, self.wish.unit)
        return None if batch is None else (snapshot, formation, batch)

    def _batch(self, snapshot: Snapshot, formation: Formation, batch: Batch) -> None:
        """Ask, make room, run, wait, ask again; then everybody has to agree and be well."""
        for each in batch.nodes:
            self._hook(self.wish.pre, snapshot, each, Phase.PRE)
        for primary in batch.first:
            self._make_room(formation, primary, batch)
        before = self.site.look()
        if leading := [each for each in batch.nodes if formation_of(before).leads(each)]:
            raise self._halted(leading[0], Phase.MOVE, "it leads its shard although it was moved away")
        for each in batch.nodes:
            self.under_way[each] = self._run(before, each)
        backs = [replace(self._await(before, each), ended=self.under_way[each]) for each in batch.nodes]
        after = self.site.look()
        for each in batch.nodes:
            self._hook(self.wish.post, after, each, Phase.POST)
        self._well(batch)
        self.under_way.clear()
        for run in backs:
            self.nodes.append(run)
            self.hands.audit.verified(step=len(self.nodes), outcome="done", why=f"{run.node_id[:8]} is back", checks={})
        self.tour = replace(self.tour, done=self.tour.done | frozenset(batch.nodes))
        remember_tour(after, self.tour)

    def _halted(self, node_id: NodeId, phase: Phase, why: str, ended: Ended | None = None) -> _Halt:
        """The node's turn ends here, and everything with it."""
        ran = self.under_way.pop(node_id, None)
        self.nodes.append(NodeRun(node_id, phase, why, ended or ran))
        node = self.planned.snapshot.node(node_id)
        name = called(node) if node else node_id[:8]
        interrupted = self.ways.stop() or (ended is not None and ended.interrupted)
        return _Halt(f"{name}: {why}", _GO_ON, interrupted=interrupted)

    def _hook(self, command: str, snapshot: Snapshot, node_id: NodeId, phase: Phase) -> None:
        if not command:
            return
        ended = self._errand(command, snapshot, node_id)
        if ended.well and not ended.interrupted:
            return
        what = "nothing was done to it" if phase is Phase.PRE else "it is back, and the run stops here"
        raise self._halted(node_id, phase, f"--{phase} {ended.text}; {what}", ended)

    def _make_room(self, formation: Formation, primary: NodeId, batch: Batch) -> None:
        """Another node leads its shard, or the run ends."""
        able = preferred(formation, primary, batch, self.tour.left)
        crew = formation.crew_of(primary)
        avoid = [each for each in (crew.replicas if crew else ()) if each not in able]
        seen = self.site.see(primary)
        best = chosen(contenders(seen, self.wish.terms.request(primary, primary), avoid=avoid))
        target = best.node_id if best else next(iter(able), None)
        if target is None:
            raise self._halted(primary, Phase.MOVE, "no replica elsewhere may lead its shard")
        request = self.wish.terms.request(target, primary)
        run = self.hands.mover.move(request, len(self.moves) + 1)
        self.moves.append(run)
        if run.outcome is not StepOutcome.DONE:
            raise self._halted(primary, Phase.MOVE, run.why)
        if worse := self.hands.mover.settle() or self.gate.trouble():
            raise self._halted(primary, Phase.MOVE, f"after its shard was moved: {worse}")
        if self.ways.stop():
            raise _Halt("interrupted", _GO_ON, interrupted=True)

    def _run(self, snapshot: Snapshot, node_id: NodeId) -> Ended:
        if self.ways.stop():
            raise _Halt("interrupted", _GO_ON, interrupted=True)
        ended = self._errand(self.wish.command, snapshot, node_id)
        if not ended.well:
            raise self._halted(node_id, Phase.COMMAND, f"the command {ended.text}", ended)
        return ended

    def _errand(self, command: str, snapshot: Snapshot, node_id: NodeId) -> Ended:
        node = snapshot.nodes[node_id]
        self.ways.tell(f"{called(node)}: {command}")
        errand = Errand(command, told_of(node), self.wish.command_within_s)
        errand = replace(errand, without=errand.without | self.wish.without)
        return run_errand(errand, lambda row: self.ways.says(node, row), self.ways.tell, self.site.clock)

    def _await(self, before: Snapshot, node_id: NodeId) -> NodeRun:
        """Until the node is a whole member again."""
        node, clock = before.nodes[node_id], self.site.clock
        old = node.vitals.server if node.vitals else None
        began_s, lacking, now = clock.monotonic_s(), ["not looked yet"], list[Node]()

        def look() -> bool:
            try:
                found = self.site.look().node(node_id)
            except CannotSee as fault:
                lacking[0] = fault.message
                return False
            lacking[0] = missing(found)
            if found is None or lacking[0]:
                return False
            now[:] = [found]
            same = old is not None and found.vitals is not None and found.vitals.server.run_id == old.run_id
            return not same or clock.monotonic_s() - began_s >= RESTART_SHOWS_S

        self.ways.tell(f"waiting until {called(node)} is back")
        try:
            deadline = Deadline.after(max(self.wish.back_within_s, RESTART_SHOWS_S), clock)
            poll(look, bool, deadline=deadline, every_s=_EVERY_S, waiting_for="the node")
        except OutOfTime:
            within = f"{self.wish.back_within_s:g} s"
            raise self._halted(node_id, Phase.BACK, f"it is not back after {within}: {lacking[0]}") from None
        new = now[0].vitals.server if now[0].vitals else None
        restarted = None if old is None or new is None or not old.run_id else new.run_id != old.run_id
        versions = (old.version_text if old else "", new.version_text if new else "")
        away_ms = round((clock.monotonic_s() - began_s) * 1000)
        return NodeRun(node_id, Phase.DONE, "", None, restarted, versions, away_ms)

    def _well(self, batch: Batch) -> None:
        worse = self.hands.mover.settle()
        worse = f"the nodes do not agree: {worse}" if worse else self.gate.trouble()
        if worse:
            raise self._halted(batch.nodes[-1], Phase.HEALTH, worse)

    def _pause(self) -> None:
        if self.wish.min_wait_s and self.tour.left:
            self.ways.tell(f"waiting {self.wish.min_wait_s:g} s before the next batch")
            self.site.clock.sleep(self.wish.min_wait_s)

    def _back(self, told: Rolled) -> Rolled:
        """Those lead again that did before."""
        layout = _of_scope(self.tour)
        survey = survey_of(self.site, layout)
        found = restoring(survey, layout, self.wish.terms)
        left_over = tuple(why for each in found.stuck for why in each.why)
        if not found.moves:
            return replace(told, left_over=left_over, hint=_RESTORE if left_over else "")
        self.ways.tell(f"{counted(len(found.moves), 'failover')} back to the layout from before")
        pace = Pace(self.ways.tell, self.ways.stop, self.site.clock, self.wish.min_wait_s)
        moves = tuple(numbered(each, at) for at, each in enumerate(found.moves, len(self.moves) + 1))
        series = one_by_one(moves, self.hands.mover, self.gate, pace)
        stopped = f"the layout is not restored: {series.stopped}" if series.stopped else ""
        hint = _RESTORE if left_over or stopped else ""
        return replace(
            told, back=series, left_over=left_over, stopped=stopped, hint=hint, interrupted=series.interrupted
        )


_GO_ON = "Go on from here: the same command with --resume"
_RESTORE = "All nodes had their turn. To bring the layout back: the same command with --resume"


def _of_scope(tour: Tour) -> WrittenLayout:
    """The shards whose primary had a turn: no other was moved."""
    return replace(tour.before, shards=tuple(each for each in tour.before.shards if each.primary.node_id in tour.scope))
