"""Who sees whom: a matrix, or what would be odd in it."""

from __future__ import annotations

from collections.abc import Iterator

from rcfail.cluster.hearing import Hearing, Regard
from rcfail.cluster.nouns import NodeId
from rcfail.cluster.sides import Division
from rcfail.cluster.snapshot import Snapshot
from rcfail.health.wording import named
from rcfail.render.lines import EMPTY, Line, Span, Style, line, span, wrapped
from rcfail.render.words import place

MOST_IN_MATRIX = 12
"""The matrix of a larger cluster is drawn only when it is asked for."""

_MOST_ODD = 12
_WIDEST_ADDRESS = 26

_SIGNS = {
    Regard.WELL: ".",
    Regard.WAITS: "w",
    Regard.NO_LINK: "x",
    Regard.SUSPECTS: "?",
    Regard.FAILED: "F",
    Regard.STILL_FAILED: "f",
    Regard.NO_ADDRESS: "@",
    Regard.UNLISTED: "-",
}
_WORDS = {
    Regard.WAITS: ("waits in vain for", "wait in vain for"),
    Regard.NO_LINK: ("has no bus link to", "have no bus link to"),
    Regard.SUSPECTS: ("suspects (fail?)", "suspect (fail?)"),
    Regard.FAILED: ("holds for failed (fail)", "hold for failed (fail)"),
    Regard.STILL_FAILED: ("flags fail, but hears again,", "flag fail, but hear again,"),
    Regard.NO_ADDRESS: ("has no address for", "have no address for"),
    Regard.UNLISTED: ("does not list", "do not list"),
}
_LEGEND = {
    Regard.WELL: ". sees it",
    Regard.SUSPECTS: "? fail?",
    Regard.FAILED: "F fail",
    Regard.STILL_FAILED: "f fail, but hears it again",
    Regard.WAITS: "w waits for its answer",
    Regard.NO_LINK: "x no bus link",
    Regard.NO_ADDRESS: "@ no address",
    Regard.UNLISTED: "- not listed",
}


def who_sees_whom(snapshot: Snapshot, parts: Division, in_full: bool, width: int) -> Iterator[Line]:
    """The matrix of a small cluster, the exceptions of a large one; nothing where all is well, unless `in_full`."""
    odd = any(parts.hearing.regards.values())
    if in_full or (odd and len(snapshot.nodes) <= MOST_IN_MATRIX):
        yield from _matrix(snapshot, parts)
    elif odd:
        yield from _exceptions(snapshot, parts.hearing, width)


def _matrix(snapshot: Snapshot, parts: Division) -> Iterator[Line]:
    """A row for each observer, a column for each node, in the order of the sides."""
    heard, order = parts.hearing, _in_order(snapshot, parts)
    column = min(_WIDEST_ADDRESS, max(len(place(snapshot.nodes[each])) for each in order))
    cell = len(str(len(order))) + 1
    lead = len(str(len(order))) + column + 4
    yield EMPTY
    heads = "".join(f"{number:>{cell}}" for number in range(1, len(order) + 1))
    yield line(Span(f"{'who sees whom':<{lead}}", Style.HEAD), heads)
    used: set[Regard] = set()
    for number, observer in enumerate(order, 1):
        cells: list[Span | str] = [f"  {number:>{cell - 1}} {place(snapshot.nodes[observer]):<{column}} "]
        for other in order:
            if observer not in heard.regards:
                cells.append(span(f"{' ':>{cell}}"))
                continue
            regard = heard.of(observer, other)
            used.add(regard)
            sign = "=" if observer == other else _SIGNS[regard]
            cells.append(Span(f"{sign:>{cell}}", Style.PLAIN if regard is Regard.WELL else Style.BAD))
        if observer not in heard.regards:
            cells.append(span("gives us no view", Style.DIM))
        yield line(*cells)
    legend = ["= itself", *(_LEGEND[each] for each in _LEGEND if each in used)]
    yield line(span(f"  {', '.join(legend)}", Style.DIM))


def _in_order(snapshot: Snapshot, parts: Division) -> list[NodeId]:
    placed = [each for side in parts.sides for each in side.members]
    known = set(placed)
    return [*placed, *(each for each in snapshot.nodes if each not in known)]


def _exceptions(snapshot: Snapshot, heard: Hearing, width: int) -> Iterator[Line]:
    """Who does not see whom well: observers that say the same of the same nodes in one line."""
    alike: dict[tuple[Regard, tuple[NodeId, ...]], list[NodeId]] = {}
    for observer, seen in heard.regards.items():
        for regard in sorted(set(seen.values())):
            targets = tuple(sorted(each for each, said in seen.items() if said is regard))
            alike.setdefault((regard, targets), []).append(observer)
    yield EMPTY
    yield line(Span("who does not see whom", Style.HEAD), span("  (--matrix shows all)", Style.DIM))
    ordered = sorted(alike.items(), key=lambda item: (-len(item[1]) * len(item[0][1]), item[1]))
    for (regard, targets), observers in ordered[:_MOST_ODD]:
        verb = _WORDS[regard][0 if len(observers) == 1 else 1]
        text = f"{named(snapshot, observers)} {verb} {named(snapshot, targets)}"
        yield from wrapped(text, width, first=line("  "), indent=4)
    if len(ordered) > _MOST_ODD:
        yield line(span(f"  and {len(ordered) - _MOST_ODD} more", Style.DIM))
