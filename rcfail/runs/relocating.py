"""Many primaries moved, from the wish to the answer: a place emptied, a layout brought back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace

from rcfail.change.checks import pass_soon
from rcfail.change.many.drained import Drained, noted, way_back
from rcfail.change.many.layout import Difference, Standing, WrittenLayout, differences, layout_of
from rcfail.change.many.moves import Move, Stuck, in_order, move_of, plan_of
from rcfail.change.many.relocation import Relocation
from rcfail.change.many.series import Gate, Pace, bad_before, one_by_one
from rcfail.change.many.site import NO_TERMS, Terms, leaving, plan_drain
from rcfail.change.mover import KNOWN_WITHIN_S
from rcfail.change.run import Moment
from rcfail.change.seen import Seen
from rcfail.change.target import meant_places
from rcfail.change.told import Turn
from rcfail.clock import Deadline, poll
from rcfail.cluster.lookup import Kind, meanings
from rcfail.cluster.nouns import NodeId
from rcfail.cluster.snapshot import Snapshot
from rcfail.errors import OutOfTime, Refused
from rcfail.exits import ExitCode
from rcfail.health.finding import Finding, Thresholds
from rcfail.health.wording import called, listing
from rcfail.render.failover_json import step_data
from rcfail.rounds import look_until_settled
from rcfail.roundup import Survey, survey
from rcfail.runs.moving import Hands, Orders, Site, at_work
from rcfail.runs.remembered import forget, recall, remember

_EVERY_S = 0.5


@dataclass(frozen=True, slots=True)
class Wish:
    """What holds for the whole run. `min_wait_s` lies between two steps."""

    terms: Terms = NO_TERMS
    dry_run: bool = False
    reason: str = ""
    break_lock: bool = False
    min_wait_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Ways:
    """How the operator is told and asked. `consent` returns when he said yes, True where that took a while; it raises
    Declined. `stop` tells that he wants no further step; `shield` holds signals back for its body. After `over` no
    signal takes the answer away."""

    consent: Callable[[Relocation], bool]
    witness: Callable[[Snapshot, Moment], None]
    tell: Callable[[str], None]
    stop: Callable[[], bool]
    shield: Callable[[], AbstractContextManager[None]]
    over: Callable[[], None]


@dataclass(frozen=True, slots=True)
class _Planned:
    """An answer that is not carried out yet, and the look that it rests on."""

    found: Relocation
    seen: Survey


def drain(site: Site, words: Sequence[str], wish: Wish, ways: Ways) -> Relocation:
    """Move every primary away from the places that are named, or none of them if one cannot leave.

    Raises CannotSee, NotMeant, Declined, LockHeld, Refused; all of them before anything was sent.
    """

    def place(snapshot: Snapshot) -> frozenset[NodeId]:
        return meant_places(snapshot, "", words)

    def look() -> _Planned:
        seen = _survey(site, lambda snapshot: leaving(snapshot, place(snapshot)))
        plan = plan_drain(seen.snapshot, seen.by_primary, place(seen.snapshot), wish.terms)
        turn = Turn.REFUSED if plan.stuck else Turn.ALLOWED if plan.moves else Turn.NOTHING
        name = named_places(seen.snapshot, words)
        goal, so = f"move every primary out of {name}", f"no primary with slots is in {name}"
        found = Relocation(turn, seen.snapshot, goal, so, plan.moves, plan.stuck, plan.after, plan.place, plan.others)
        return _Planned(found, seen)

    def drained(snapshot: Snapshot) -> Drained:
        return Drained(named_places(snapshot, words), place(snapshot), layout_of(snapshot))

    def note(before: Survey) -> None:
        remember(
            before.snapshot,
            lambda known: noted(known, drained(before.snapshot)),
        )

    return _go_on(site, "drain", look, wish, ways, note)


def undrain(site: Site, words: Sequence[str], wish: Wish, ways: Ways) -> Relocation:
    """Bring back what `drain` moved away, from here: from the places that are named, or from all."""
    first = site.look()
    known = recall(first)
    within = meant_places(first, "", words) if words else None
    layout = way_back(known, within)
    if layout is None:
        where = f" of {named_places(first, words)}" if words else ""
        raise Refused(
            f"no drain{where} is on record on this host, so the way back is not known",
            "Move one primary: rcfail failover NODE. From a layout that was saved: rcfail layout restore FILE",
        )
    found = restore(site, layout, wish, ways, command="undrain")
    if found.turn in (Turn.NOTHING, Turn.RAN) and found.exit_code is ExitCode.OK:
        forget(first, within)
    return found


def restore(site: Site, layout: WrittenLayout, wish: Wish, ways: Ways, command: str = "layout restore") -> Relocation:
    """Make the written nodes primaries again, where they are healthy replicas of their shard now."""

    def look() -> _Planned:
        seen = survey_of(site, layout)
        insist_on_same_cluster(seen.snapshot, layout)
        return _Planned(restoring(seen, layout, wish.terms), seen)

    return _go_on(site, command, look, wish, ways)


def named_places(snapshot: Snapshot, words: Iterable[str]) -> str:
    """`zone east and host 10.0.0.7`: what the words mean, each as one thing."""
    found = (each for word in words for each in meanings(snapshot, word)[:1])
    return listing(
        called(snapshot.nodes[each.node_ids[0]]) if each.kind is Kind.NODE else f"{each.kind} {each.name}"
        for each in found
    )


def insist_on_same_cluster(snapshot: Snapshot, layout: WrittenLayout) -> None:
    """Raises Refused for the layout of another cluster: nothing in it means anything here."""
    if not layout.node_ids & snapshot.nodes.keys():
        raise Refused(
            "this is the layout of another cluster: none of its nodes is known here",
            f"Its seeds were {', '.join(layout.seeds) or 'not written'}; name one of them: -s HOST:PORT",
        )


def restoring(seen: Survey, layout: WrittenLayout, terms: Terms) -> Relocation:
    """What it takes to have every written primary back, and what stands in the way."""
    told = tuple(each for each in differences(seen.snapshot, layout) if each.standing is not Standing.UNWRITTEN)
    moves, stuck = list[Move](), list[Stuck]()
    for each in told:
        if each.standing is Standing.AS_WRITTEN:
            continue
        result = _back(each, seen.by_primary, terms)
        moves.append(result) if isinstance(result, Move) else stuck.append(result)
    turn = Turn.ALLOWED if moves else Turn.REFUSED if stuck else Turn.NOTHING
    ordered = in_order(seen.snapshot, moves)
    goal, so = "bring every primary back to where it is written", "every shard is led as written"
    return Relocation(turn, seen.snapshot, goal, so, ordered, tuple(stuck), differences=told)


def _back(difference: Difference, by_primary: Mapping[NodeId, Seen], terms: Terms) -> Move | Stuck:
    primary, wanted = difference.primary, difference.wanted
    if difference.standing is not Standing.MOVED or primary is None or wanted is None or primary not in by_primary:
        return Stuck(primary or NodeId(""), wanted.node_id if wanted else None, (difference.text,))
    return move_of(by_primary[primary], terms.request(wanted.node_id, primary))


def survey_of(site: Site, layout: WrittenLayout) -> Survey:
    """A look at the whole cluster, and at the shards that are not led as written. Raises CannotSee."""

    def wanted(snapshot: Snapshot) -> tuple[NodeId, ...]:
        moved = (each for each in differences(snapshot, layout) if each.standing is Standing.MOVED)
        return tuple(each.primary for each in moved if each.primary)

    return _survey(site, wanted)


def _survey(site: Site, wanted: Callable[[Snapshot], tuple[NodeId, ...]]) -> Survey:
    return survey(
        site.sight,
        site.door,
        wanted,
        deadline=Deadline.after(site.settings.limits.deadline_s, site.clock),
        clock=site.clock,
        audit_path=site.audit_path,
        labels=site.settings.zones,
    )


def _patiently(site: Site, look: Callable[[], _Planned], tell: Callable[[str], None]) -> _Planned:
    """As planned; what only the next seconds bring is waited for."""
    last = [look()]
    if not _passes_soon(last[0]):
        return last[0]
    tell(f"waiting for what comes by itself: {'; '.join(why for each in last[0].found.stuck for why in each.why)}")

    def again() -> bool:
        last[0] = look()
        return not _passes_soon(last[0])

    deadline = Deadline.after(KNOWN_WITHIN_S, site.clock)
    with suppress(OutOfTime):
        poll(again, bool, deadline=deadline, every_s=_EVERY_S, waiting_for="what comes by itself")
    return last[0]


def _passes_soon(planned: _Planned) -> bool:
    return pass_soon(check for each in planned.found.stuck for check in each.checks)


def _go_on(
    site: Site,
    command: str,
    look: Callable[[], _Planned],
    wish: Wish,
    ways: Ways,
    note: Callable[[Survey], None] | None = None,
) -> Relocation:
    """From a plan to what came of it. `note` keeps what a later run needs, before anything is sent."""
    planned = _patiently(site, look, ways.tell)
    planned = replace(planned, found=replace(planned.found, notes=bad_before(planned.seen.findings)))
    if planned.found.turn is not Turn.ALLOWED or wish.dry_run:
        return planned.found
    waited = ways.consent(planned.found)
    with at_work(
        site,
        planned.seen.snapshot,
        _orders(command, planned.found, wish),
        witness=lambda moment: ways.witness(planned.seen.snapshot, moment),
        tell=ways.tell,
        shield=ways.shield,
    ) as hands:
        if waited:
            planned = _same(planned, _patiently(site, look, ways.tell))
        if note is not None:
            note(planned.seen)
        gate = Gate(lambda: judged(site), planned.seen.snapshot, planned.seen.findings, site.clock)
        return _carried_out(site, planned.found, wish, ways, hands, gate)


def _carried_out(site: Site, found: Relocation, wish: Wish, ways: Ways, hands: Hands, gate: Gate) -> Relocation:
    pace = Pace(ways.tell, ways.stop, site.clock, wish.min_wait_s)
    series = one_by_one(found.moves, hands.mover, gate, pace)
    ways.over()
    done = replace(found.ran(series), notes=(*found.notes, *trouble_notes(hands)))
    hands.exit_code = done.exit_code
    return done


def trouble_notes(hands: Hands) -> tuple[str, ...]:
    return (hands.audit.trouble,) if hands.audit.trouble else ()


def _same(shown: _Planned, now: _Planned) -> _Planned:
    """What was consented to is what is done. Raises Refused."""
    if [each.request for each in shown.found.moves] != [each.request for each in now.found.moves]:
        raise Refused(
            "the cluster changed while you were asked: the plan is another one now; nothing was sent",
            "Run it again.",
        )
    return now


def _orders(command: str, found: Relocation, wish: Wish) -> Orders:
    steps = [step_data(found.snapshot, each) for each in plan_of(found.snapshot, found.moves).steps]
    return Orders(
        command=command,
        nodes=touched(found.snapshot, (each.request.primary for each in found.moves)),
        facts={"goal": found.goal, "steps": steps, "given": sorted(wish.terms.given)},
        reason=wish.reason,
        break_lock=wish.break_lock,
    )


def touched(snapshot: Snapshot, primaries: Iterable[NodeId]) -> tuple[NodeId, ...]:
    """All members of these shards."""
    shards = [snapshot.shard_of(each) for each in primaries]
    return tuple(each for shard in shards if shard for each in (shard.primary_id, *shard.replica_ids))


def judged(site: Site) -> tuple[Snapshot, Sequence[Finding]]:
    """A settled look at the whole cluster and what is wrong with it. Raises CannotSee."""
    deadline = Deadline.after(site.settings.limits.deadline_s, site.clock)
    looked = look_until_settled(site.sight, Thresholds(), site.clock, deadline, site.settings.zones)
    return looked.snapshot, looked.findings
