"""A rolling restart from the wish to the answer: node by node or host by host, and everybody back in place."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

from rcfail.change.many.layout import layout_of
from rcfail.change.many.rolling import (
    Unit,
    alone,
    formation_of,
    itinerary,
)
from rcfail.change.many.series import Gate, bad_before
from rcfail.change.many.site import NO_TERMS, Terms
from rcfail.change.many.tour import Rolled, Tour, digest_of
from rcfail.change.run import Moment
from rcfail.change.target import meant_places
from rcfail.change.told import Turn
from rcfail.cluster.snapshot import Known, Node, Snapshot
from rcfail.errors import Refused, UsageFault
from rcfail.health.wording import counted, named
from rcfail.runs.batches import Batches
from rcfail.runs.moving import Orders, Site, at_work
from rcfail.runs.relocating import judged, trouble_notes
from rcfail.runs.remembered import recall_tour, remember_tour


@dataclass(frozen=True, slots=True)
class Wish:
    """`only` are words for nodes, hosts and zones; none: all. Times are in seconds."""

    command: str
    pre: str = ""
    post: str = ""
    unit: Unit = Unit.NODE
    only: tuple[str, ...] = ()
    command_within_s: float = 600.0
    back_within_s: float = 600.0
    min_wait_s: float = 0.0
    resume: bool = False
    anew: bool = False
    restore: bool = True
    terms: Terms = NO_TERMS
    dry_run: bool = False
    reason: str = ""
    break_lock: bool = False
    without: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Ways:
    """How the operator is told and asked. `consent` raises Declined. `says` hears what a command prints, by node. After
    `over` no signal takes the answer away."""

    consent: Callable[[Rolled], bool]
    witness: Callable[[Snapshot, Moment], None]
    tell: Callable[[str], None]
    says: Callable[[Node, str], None]
    stop: Callable[[], bool]
    shield: Callable[[], AbstractContextManager[None]]
    over: Callable[[], None]


def roll(site: Site, wish: Wish, ways: Ways) -> Rolled:
    """Raises CannotSee, NotMeant, Declined, LockHeld, Refused, UsageFault; all of them before anything was done."""
    snapshot, findings = judged(site)
    earlier = recall_tour(snapshot)
    tour = _tour(snapshot, wish, earlier)
    formation = formation_of(snapshot)
    stops = itinerary(formation, tour.left, wish.unit)
    planned = Rolled(
        Turn.ALLOWED,
        snapshot,
        stops,
        done_before=tour.done,
        restores=wish.restore,
        notes=(*_left_out(snapshot), *bad_before(findings)),
    )
    if lone := alone(formation, tour.left):
        return replace(planned, turn=Turn.REFUSED, lone=lone)
    if not stops and not tour.done:
        return replace(planned, turn=Turn.NOTHING)
    if wish.dry_run:
        return planned
    ways.consent(planned)
    with at_work(
        site,
        snapshot,
        _orders(snapshot, tour, wish),
        witness=lambda moment: ways.witness(snapshot, moment),
        tell=ways.tell,
        shield=ways.shield,
    ) as hands:
        if recall_tour(snapshot) != earlier:
            raise Refused(
                "another rolling run went on meanwhile: nothing was done", "See how far it came: rcfail history"
            )
        remember_tour(snapshot, tour)
        gate = Gate(lambda: judged(site), snapshot, findings, site.clock)
        done = Batches(site, wish, ways, hands, gate, tour, planned).go()
        hands.exit_code = done.exit_code
        return replace(done, notes=(*done.notes, *trouble_notes(hands)))


def _tour(snapshot: Snapshot, wish: Wish, earlier: Tour | None) -> Tour:
    """The one that is resumed, or a new one over all that live. Raises Refused and UsageFault."""
    command = digest_of(wish.command) or ""
    if wish.resume:
        if earlier is None:
            raise Refused("there is no rolling run of this cluster to resume on this host", "Leave --resume out.")
        if wish.only:
            raise UsageFault("--resume and --only exclude each other", "The run that is resumed knows its nodes.")
        return replace(
            earlier, command=command, done=earlier.done & earlier.scope, scope=earlier.scope & snapshot.nodes.keys()
        )
    if earlier is not None and earlier.left and not wish.anew and not wish.dry_run:
        raise Refused(
            f"a rolling run of this cluster stopped after {len(earlier.done)} of {counted(len(earlier.scope), 'node')}",
            "Go on with it: --resume. Forget it, and begin with all nodes: --anew",
        )
    scope = meant_places(snapshot, "--only", wish.only) if wish.only else frozenset(snapshot.nodes)
    alive = frozenset(each for each in scope if snapshot.nodes[each].alive is not Known.NO)
    return Tour(command, wish.unit, alive, frozenset(), layout_of(snapshot))


def _left_out(snapshot: Snapshot) -> tuple[str, ...]:
    down = [each.node_id for each in snapshot.nodes.values() if each.alive is Known.NO]
    return (f"left out, for nobody can reach it: {named(snapshot, down)}",) if down else ()


def _orders(snapshot: Snapshot, tour: Tour, wish: Wish) -> Orders:
    return Orders(
        command="rolling",
        nodes=tuple(sorted(tour.scope)),
        facts={
            "cmd": digest_of(wish.command),
            "pre_cmd": digest_of(wish.pre),
            "post_cmd": digest_of(wish.post),
            "batch": wish.unit.value,
            "nodes": [str(snapshot.nodes[each].address) for each in sorted(tour.left)],
            "given": sorted(wish.terms.given),
        },
        reason=wish.reason,
        break_lock=wish.break_lock,
    )
