"""From one answer to one view."""

from __future__ import annotations

from rcfail.cluster.nouns import NodeId
from rcfail.cluster.observation import Answer
from rcfail.cluster.parse_info import vitals
from rcfail.cluster.snapshot import View, ViewGroup


def view_of(answer: Answer) -> View:
    """Type what one node answered. Total: what is absent stays absent."""
    return View(
        endpoint=answer.endpoint,
        observer=_observer(answer),
        expected=answer.expected,
        asked_at_unix_ms=answer.asked_at_unix_ms,
        took_ms=answer.took_ms,
        vitals=vitals(answer.info, answer.cluster_info, answer.config),
        reply=answer.nodes,
        links=answer.links,
        slot_migrations=answer.slot_migrations,
        absences=answer.absences,
        settings=answer.config,
        users=answer.users,
        login=answer.login,
    )


def _observer(answer: Answer) -> NodeId | None:
    """The id that the node claims. Without a readable `myself` line the views' expectation stands in."""
    if answer.nodes and len(answer.nodes.myself) == 1:
        return answer.nodes.myself[0]
    if answer.nodes and answer.expected in answer.nodes.myself:
        return answer.expected
    return answer.expected


def group(views: tuple[View, ...]) -> tuple[ViewGroup, ...]:
    """Put equal views together, the largest group first. Equal views share one table object."""
    observers: dict[int, list[NodeId]] = {}
    tables = {}
    for view in views:
        if view.reply is None or view.observer is None:
            continue
        key = id(view.reply.table)
        tables[key] = view.reply.table
        observers.setdefault(key, []).append(view.observer)
    groups = (ViewGroup(tables[key], tuple(sorted(ids))) for key, ids in observers.items())
    return tuple(sorted(groups, key=lambda each: (-len(each.observers), each.observers)))
