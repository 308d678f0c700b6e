"""Who could take over, best first, each with what speaks for and against it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rcfail.change.candidates import Contender
from rcfail.cluster.nouns import NodeId
from rcfail.cluster.snapshot import Snapshot
from rcfail.health.wording import called
from rcfail.render.lines import Line, Span, Style, line, span, wrapped

_HEAD = len("candidates  ")


def candidates_page(
    snapshot: Snapshot, contenders: Iterable[Contender], width: int, chosen: NodeId | None = None
) -> Iterator[Line]:
    """Each on its lines. `chosen` is the one that is taken; None: nobody is."""
    for at, each in enumerate(contenders):
        label = "candidates  " if at == 0 else " " * _HEAD
        node = snapshot.node(each.node_id)
        word, style = _standing(each, each.node_id == chosen)
        name = called(node) if node else f"node {each.node_id[:8]}"
        yield line(span(label, Style.DIM), span(f"{at + 1}. {name}  "), Span(word, style))
        for sign, tone, reasons in (("+", Style.GOOD, each.reasons_for), ("-", Style.WARN, each.reasons_against)):
            for reason in reasons:
                lead = line(" " * (_HEAD + 3), Span(sign, tone), " ")
                yield from wrapped(reason, width, first=lead, indent=_HEAD + 5)


def _standing(contender: Contender, chosen: bool) -> tuple[str, Style]:
    if chosen:
        return "chosen", Style.GOOD
    if contender.avoided:
        return "avoided", Style.WARN
    return ("refused", Style.BAD) if contender.refused else ("possible", Style.PLAIN)
