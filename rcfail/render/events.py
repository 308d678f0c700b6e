"""Events and turns of the verdict in words: one line for what happened alike to several."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence

from rcfail.cluster.drift import Event, EventKind, Scope
from rcfail.cluster.nouns import NodeId
from rcfail.cluster.observation import SilenceReason
from rcfail.cluster.snapshot import Snapshot
from rcfail.health.catalogue import BY_CODE
from rcfail.health.turns import Turn, TurnKind
from rcfail.health.wording import listing
from rcfail.render.health_page import subject_words
from rcfail.render.lines import Line, Span, Style, line, wrapped
from rcfail.render.outcome import Json
from rcfail.render.words import SILENCE_WORDS, severity_style

_MOST_ALIKE = 3

_GOOD = frozenset(
    {
        EventKind.ANSWERS, EventKind.LOADED, EventKind.CLEARED, EventKind.PROMOTED, EventKind.SLOTS_TAKEN,
        EventKind.LINK_UP, EventKind.SYNC_FINISHED, EventKind.STATE_OK, EventKind.QUORUM_STANDS,
    }
)  # fmt: skip
_BAD = frozenset(
    {
        EventKind.SILENT, EventKind.FAILED, EventKind.SLOTS_LOST, EventKind.LINK_DOWN, EventKind.STATE_FAIL,
        EventKind.QUORUM_LOST, EventKind.NODE_VANISHED,
    }
)  # fmt: skip
_DOUBTFUL = frozenset(
    {
        EventKind.SUSPECTED, EventKind.LOADING, EventKind.SYNC_BEGUN, EventKind.QUORUM_UNKNOWN, EventKind.SLOTS_OPEN,
        EventKind.ROLE_CHANGED, EventKind.RESTARTED,
    }
)  # fmt: skip

# What is said of the subject; {before} and {after} are filled in.
_WORDS = {
    EventKind.NODE_APPEARED: "appeared, a {after}",
    EventKind.NODE_VANISHED: "is listed by nobody any more (was a {before})",
    EventKind.RESTARTED: "was started anew",
    EventKind.LOADING: "is loading its data set",
    EventKind.LOADED: "has loaded its data set",
    EventKind.SUSPECTED: "is suspected (fail?)",
    EventKind.FAILED: "has failed (fail)",
    EventKind.CLEARED: "is flagged by nobody any more",
    EventKind.EPOCH: "went from epoch {before} to {after}",
    EventKind.PROMOTED: "was promoted: it is primary",
    EventKind.DEMOTED: "was demoted: it is a replica",
    EventKind.ROLE_CHANGED: "was {before}, is {after}",
    EventKind.FOLLOWS: "follows {after}",
    EventKind.LINK_UP: "link up, in sync",
    EventKind.SYNC_BEGUN: "takes a full copy",
    EventKind.SYNC_FINISHED: "has its full copy, in sync",
    EventKind.STATE_OK: "says cluster_state:ok",
    EventKind.STATE_FAIL: "says cluster_state:{after}",
    EventKind.QUORUM_STANDS: "a majority of the voters stands together",
    EventKind.QUORUM_LOST: "no majority of the voters stands together",
    EventKind.QUORUM_UNKNOWN: "it cannot be told whether a majority of the voters stands together",
    EventKind.ADDRESS: "moved from {before} to {after}",
    EventKind.VERSION: "went from version {before} to {after}",
}


def event_words(event: Event, snapshot: Snapshot) -> str:
    """What happened, without whom it happened to."""
    match event.kind:
        case EventKind.SILENT:
            return SILENCE_WORDS[SilenceReason(event.after)] if event.after in _REASONS else event.after
        case EventKind.ANSWERS:
            return f"answers again (was: {event.before})"
        case EventKind.LINK_DOWN:
            return "holds no data, and no copy is on its way" if event.after == "never-synced" else "link down"
        case EventKind.SLOTS_OPEN:
            return f"half moved: {event.after}" if event.after else "no slot is half moved any more"
        case EventKind.FLAGS:
            return f"flags: {event.after or 'none'} (were: {event.before or 'none'})"
        case EventKind.SLOTS_MOVED:
            return f"went from {_named(event.before, snapshot)} to {_named(event.after, snapshot)}"
        case EventKind.SLOTS_TAKEN:
            return f"belong to {_named(event.after, snapshot)} now"
        case EventKind.SLOTS_LOST:
            return f"have no owner any more (had {_named(event.before, snapshot)})"
        case EventKind.FOLLOWS:
            return f"follows {_named(event.after, snapshot)}"
    return _WORDS[event.kind].format(before=event.before, after=event.after)


_REASONS = frozenset(reason.value for reason in SilenceReason)


def whom(event: Event) -> str:
    """The subject of an event; nothing for the quorum, whose words say it."""
    match event.subject.kind:
        case Scope.NODE:
            short = event.subject.id[:8]
            return f"{event.subject.address} ({short})" if event.subject.address else short
        case Scope.SLOT:
            return f"slots {event.subject.id}"
    return "the cluster" if event.kind is EventKind.EPOCH else ""


def turn_words(turn: Turn) -> str:
    """A turn as one sentence."""
    if turn.kind is TurnKind.VERDICT:
        return f"{turn.after.upper()}, was {turn.before.upper()}"
    about = f"{turn.code}  {subject_words(turn.subject)}"
    match turn.kind:
        case TurnKind.APPEARED:
            return f"+ {turn.after.upper()}  {about}: {BY_CODE[turn.code].title}"
        case TurnKind.CHANGED:
            return f"! {turn.after.upper()}, was {turn.before.upper()}  {about}"
    return f"- {about}"


def history_rows(
    events: Sequence[Event], turned: Iterable[Turn], snapshot: Snapshot | None, stamp: str, width: int
) -> Iterator[Line]:
    """All that became different in one round, each line with its time; causes first, then what it means."""
    lead, indent = line(Span(f"{stamp}  ", Style.DIM)), len(stamp) + 4
    for alike in _alike(events) if snapshot else ():
        first = alike[0]
        assert snapshot
        subjects = listing(map(whom, alike), _MOST_ALIKE) if whom(first) else ""
        text = f"{subjects}{': ' if subjects else ''}{event_words(first, snapshot)}"
        yield from wrapped(text, width, first=lead, indent=indent, style=_style(first))
    for turn in turned:
        style = severity_style(turn.after) if turn.after else Style.GOOD
        yield from wrapped(turn_words(turn), width, first=lead, indent=indent, style=style)


def _alike(events: Sequence[Event]) -> Iterator[Sequence[Event]]:
    """What happened alike to several, together, at the place of the first."""
    groups: dict[tuple[str, ...], list[Event]] = {}
    for event in events:
        # What differs from node to node without a word about it must not part them.
        told = () if event.kind is EventKind.RESTARTED else (event.before, event.after)
        own = event.subject.id if event.subject.kind is Scope.SLOT else ""
        groups.setdefault((event.kind, own, *told), []).append(event)
    return iter(groups.values())


def _style(event: Event) -> Style:
    if event.kind in _GOOD:
        return Style.GOOD
    if event.kind in _BAD:
        return Style.BAD
    return Style.WARN if event.kind in _DOUBTFUL else Style.PLAIN


def _named(node_id: str, snapshot: Snapshot) -> str:
    node = snapshot.node(NodeId(node_id))
    return node.label if node else node_id[:8]


def events_json(events: Iterable[Event], turned: Iterable[Turn], snapshot: Snapshot | None) -> list[Json]:
    """One form for both: `code` is a finding's or null; `text` is a sentence for people."""
    said: list[Json] = []
    for event in events if snapshot else ():
        assert snapshot
        text = f"{whom(event)}: {event_words(event, snapshot)}".removeprefix(": ")
        subject = {"kind": event.subject.kind.value, "id": event.subject.id, "address": event.subject.address}
        said.append(_json(event.at_unix_ms, event.kind.value, None, subject, event.before, event.after, text))
    for turn in turned:
        subject = {"kind": turn.subject.kind.value, "id": turn.subject.id, "address": turn.subject.address}
        code = turn.code or None
        said.append(_json(turn.at_unix_ms, turn.kind.value, code, subject, turn.before, turn.after, turn_words(turn)))
    return said


def _json(at: int, kind: str, code: str | None, subject: Json, before: str, after: str, text: str) -> Json:
    return {
        "at_unix_ms": at, "kind": kind, "code": code, "subject": subject, "before": before, "after": after,
        "text": text,
    }  # fmt: skip


def clock_stamp(unix_ms: int) -> str:
    """The time of day where the reader is, for a terminal."""
    return time.strftime("%H:%M:%S", time.localtime(unix_ms / 1000))


def log_stamp(unix_ms: int) -> str:
    """The whole moment with its distance from UTC, for a log."""
    moment = time.localtime(unix_ms / 1000)
    zone = time.strftime("%z", moment)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', moment)}{zone[:3]}:{zone[3:]}"
