"""Who sees whom as text: the verdict, the sides, the groups of equal views, and the matrix or what is odd in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from rcfail.cluster.disparity import MEANINGLESS, alike, disparity
from rcfail.cluster.nouns import NodeId, SlotRange
from rcfail.cluster.outlook import Access, Forecast, Loss, Move, Prospect, Service
from rcfail.cluster.ownership import joined
from rcfail.cluster.sides import Division
from rcfail.cluster.snapshot import Known, Snapshot, ViewGroup
from rcfail.health.finding import Finding
from rcfail.health.verdict import Diagnosis, Verdict
from rcfail.health.wording import counted, duration, listing, slots_text
from rcfail.render.health_page import finding_blocks, headline, what_now
from rcfail.render.lines import EMPTY, Line, Span, Style, line, span, wrapped
from rcfail.render.matrix import who_sees_whom
from rcfail.render.words import severity_style, size

_MOST_NAMED = 6
_MOST_ROWS = 4
_MOST_GROUPS = 8
_LABEL = 9


@dataclass(frozen=True, slots=True)
class Picture:
    """All that the page and the JSON are made of. `matrix` True draws it whatever the size."""

    snapshot: Snapshot
    diagnosis: Diagnosis
    parts: Division
    prospects: tuple[Prospect, ...]
    matrix: bool = False


def views_page(picture: Picture, width: int) -> Iterator[Line]:
    yield from _head(picture, width)
    if picture.parts.parted:
        for number, prospect in enumerate(picture.prospects, 1):
            yield from _side(picture.snapshot, prospect, number, width)
    yield from _unplaced(picture, width)
    yield from _groups(picture, width)
    yield from who_sees_whom(picture.snapshot, picture.parts, picture.matrix, width)
    yield from _findings(picture, width)


def _head(picture: Picture, width: int) -> Iterator[Line]:
    snapshot, diagnosis = picture.snapshot, picture.diagnosis
    verdict = Span(diagnosis.verdict.upper(), severity_style(diagnosis.verdict))
    well = diagnosis.verdict is Verdict.OK
    said = _all_well(picture) if well else headline(snapshot, diagnosis, width - len(verdict.text) - 2)
    yield from wrapped(said, width, first=line(verdict, "  "), indent=2, style=Style.HEAD)
    if picture.parts.parted:
        for number, each in enumerate(picture.prospects, 1):
            lead = line("  ", Span(f"side {number}: ", Style.HEAD))
            yield from wrapped(_in_short(each), width, first=lead, indent=10)
    if not well:
        yield from what_now(_here(diagnosis.findings[0]), width, indent=0)


def _here(finding: Finding) -> Finding:
    """Without the hint to look at what is being looked at; the page of the finding is named instead."""
    return replace(finding, hint="") if "rcfail views" in finding.hint else finding


def _all_well(picture: Picture) -> str:
    views = sum(len(each.observers) for each in picture.snapshot.groups)
    odd = any(picture.parts.hearing.regards.values())
    groups = alike(picture.snapshot.groups)
    equal = "all equal" if len(groups) == 1 else f"{len(groups)} groups of equal ones"
    return f"{counted(views, 'view')}, {equal}; {'all hear each other' if odd else 'everybody sees everybody'}"


def _in_short(prospect: Prospect) -> str:
    """One side in one line: who, with what power, and what clients get there."""
    side = prospect.side
    votes = f"{len(side.voters)} of {counted(len(side.electorate), 'voter')}"
    power = {Known.YES: "the quorum", Known.NO: "no quorum", Known.UNKNOWN: "perhaps the quorum"}[side.quorum]
    written = _slots(prospect.services, Access.WRITES)
    serves = f"takes writes of {slots_text(written, 2)}" if written else _no_writes(prospect)
    return f"{counted(len(side.members), 'node')}, {votes}, {power}; {serves}"


def _no_writes(prospect: Prospect) -> str:
    kinds = {each.access for each in prospect.services}
    if not kinds:
        return "owns no slots"
    if Access.UNKNOWN in kinds:
        return "what it takes is not known"
    return "reads only" if Access.READS in kinds else "refuses all keys (CLUSTERDOWN)"


def _slots(services: Iterable[Service], access: Access) -> tuple[SlotRange, ...]:
    return joined(each for service in services if service.access is access for each in service.slots)


def _side(snapshot: Snapshot, prospect: Prospect, number: int, width: int) -> Iterator[Line]:
    side = prospect.side
    yield EMPTY
    yield line(Span(f"side {number}", Style.HEAD))
    yield from _row("nodes", _names(snapshot, side.members), width)
    if side.unheard:
        yield from _row("", f"silent to us, placed by the others' word: {_names(snapshot, side.unheard)}", width)
    yield from _served(snapshot, prospect, width)
    for forecast in prospect.forecasts[:_MOST_ROWS]:
        yield from _row("will", _forecast(snapshot, forecast), width, Style.WARN)
    if len(prospect.forecasts) > _MOST_ROWS:
        yield from _row("", f"and {len(prospect.forecasts) - _MOST_ROWS} more like these", width, Style.WARN)
    again_ms = max((each.again_ms or 0 for each in prospect.forecasts), default=0)
    if again_ms:
        text = f"these elections compete for votes; who loses one stands again {duration(again_ms)} later"
        yield from _row("", text, width)
    if side.quorum is Known.NO and not prospect.forecasts:
        keys = "refuse all keys, and " if prospect.services else ""
        yield from _row("will", f"{keys}promote nobody until it hears a majority of the voters", width)
    for loss in prospect.losses[:_MOST_ROWS]:
        yield from _row("loses", _loss(snapshot, loss), width, Style.BAD)
    if len(prospect.losses) > _MOST_ROWS:
        yield from _row("", f"and {len(prospect.losses) - _MOST_ROWS} more like these", width, Style.BAD)


def _served(snapshot: Snapshot, prospect: Prospect, width: int) -> Iterator[Line]:
    """What clients get, one row for each way in which the slots are served."""
    for access in Access:
        services = [each for each in prospect.services if each.access is access]
        if services:
            owners = _names(snapshot, (each.node_id for each in services), 3)
            text = f"{slots_text(_slots(services, access))} of {owners}: {_ACCESS[access]}"
            yield from _row("serves", text, width)
    if not prospect.services:
        yield from _row("serves", "nothing, no slot is owned here", width)


_ACCESS = {
    Access.WRITES: "reads and writes",
    Access.READS: "reads only, writes get CLUSTERDOWN",
    Access.NOTHING: "nothing, all keys get CLUSTERDOWN",
    Access.UNKNOWN: "it does not answer us, so that is not known",
}


def _forecast(snapshot: Snapshot, each: Forecast) -> str:
    name, slots = snapshot.nodes[each.node_id].label, slots_text(each.slots)
    soon = "at any moment" if each.within_ms == 0 else f"within about {duration(each.within_ms or 0)}"
    when = soon if each.within_ms is not None else "when a node timeout has passed"
    if each.move is Move.STOPS:
        return f"{name} stops taking writes of {slots} {when}"
    if each.move is Move.PROMOTES_NOBODY:
        return f"leave {slots} of {name} without an owner: no replica that could take them is here"
    successor = snapshot.node(each.successor)
    return f"promote {successor.label if successor else 'a replica'} for {slots} of {name}, {when}"


def _loss(snapshot: Snapshot, each: Loss) -> str:
    old, new = snapshot.nodes[each.primary_id].label, snapshot.nodes[each.successor].label
    much = "an unknown number of bytes" if each.up_to_bytes is None else f"up to {size(each.up_to_bytes)}"
    when = f"that {new} does not have" if each.certain else f"that {new} does not have, once it is promoted"
    more = "; it takes more at this moment" if each.still_taking else ""
    return f"{much} written to {old}, heartbeats included, {when}{more}"


def _row(label: str, text: str, width: int, style: Style = Style.PLAIN) -> Iterator[Line]:
    lead = line("  ", Span(f"{label:<{_LABEL - 2}}", Style.HEAD if label else Style.PLAIN))
    yield from wrapped(text, width, first=lead, indent=_LABEL, style=style)


def _names(snapshot: Snapshot, ids: Iterable[NodeId], most: int = _MOST_NAMED) -> str:
    return listing(sorted(snapshot.nodes[each].label for each in ids), most)


def _unplaced(picture: Picture, width: int) -> Iterator[Line]:
    if picture.parts.unplaced:
        yield EMPTY
        text = f"{_names(picture.snapshot, picture.parts.unplaced)}: dead, or on a side that we do not reach"
        yield from wrapped(text, width, first=line(Span("not seen  ", Style.HEAD)), indent=10)


def _groups(picture: Picture, width: int) -> Iterator[Line]:
    """The groups of equal views, where there are several."""
    groups = alike(picture.snapshot.groups)
    if len(groups) < 2:
        return
    yield EMPTY
    views = sum(len(each.observers) for each in groups)
    yield line(Span(f"{counted(views, 'view')} in {len(groups)} groups of equal ones", Style.HEAD))
    for number, each in enumerate(groups[:_MOST_GROUPS], 1):
        lead = f"  {number}. {counted(len(each.observers), 'view')}: "
        against = "" if each is groups[0] else f"; other {_aspects(each, groups[0])} than 1"
        yield from wrapped(f"{_names(picture.snapshot, each.observers)}{against}", width, first=line(lead), indent=5)
    if len(groups) > _MOST_GROUPS:
        yield line(span(f"  and {len(groups) - _MOST_GROUPS} more groups", Style.DIM))


def _aspects(one: ViewGroup, other: ViewGroup) -> str:
    """What differs, without what differs for no reason."""
    found = [each for each in disparity(one.table, other.table) if each not in MEANINGLESS]
    return listing(found, 9)


_EXPLAINED = frozenset({"node-failed", "node-suspected", "bus-unreachable", "slots-disputed"})


def _findings(picture: Picture, width: int) -> Iterator[Line]:
    """What is wrong, told in full, but for what the sides above tell already."""
    found: Sequence[Finding] = picture.diagnosis.findings
    explained = [each for each in found if picture.parts.parted and each.code in _EXPLAINED]
    rest = [_here(each) for each in found if each not in explained and each.code != "partition"]
    yield from finding_blocks(rest, width, False)
    if explained:
        yield EMPTY
        text = f"{counted(len(explained), 'more finding')}, which the partition explains: rcfail health tells them"
        yield from wrapped(text, width, style=Style.DIM)
