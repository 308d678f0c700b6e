"""What we cannot see, or cannot trust: refused clients, credentials and questions, unreadable answers, odd clocks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from rcfail.cluster.nouns import NodeId
from rcfail.cluster.observation import Absence, AbsenceKind, Ask, Silence, SilenceReason
from rcfail.cluster.snapshot import Node, Snapshot, View
from rcfail.health.finding import CLUSTER, Finding, Promise, Severity, Subject, SubjectKind, Thresholds, of_node
from rcfail.health.rules.silence import ESSENTIAL
from rcfail.health.standing import loading
from rcfail.health.wording import called, counted, duration, listing, rcfail, redis_cli, tally, who

_ALL = (Promise.SERVING, Promise.REDUNDANT, Promise.FAILOVER_READY)
_STATE = (Promise.SERVING, Promise.FAILOVER_READY)

_ONE_BY_ONE = 3
"""Up to so many nodes with the same trouble get a line each; more of them get one line together."""

SKEW_MS = 5_000
"""Clocks that differ by less are no trouble to anybody who reads times of several nodes side by side."""


def clients_full(snapshot: Snapshot, _: Thresholds) -> Iterator[Finding]:
    """maxclients is reached: who is connected goes on working, everybody else is turned away, and so are we."""
    for silence in _silences(snapshot, SilenceReason.CLIENTS_FULL):
        node = snapshot.node(silence.expected)
        owns = node is not None and bool(node.slots)
        yield Finding(
            "clients-full",
            Severity.CRITICAL if owns else Severity.UNKNOWN,
            _subject(node, silence),
            f"{who(snapshot, node) if node else silence.endpoint} turns new clients away: {_said(silence)}"
            + (f"; {tally(snapshot, node)}" if node else ""),
            "New connections to its slots fail, and so does a replica that has to connect again."
            if owns
            else "It cannot be asked how it stands, and once it is promoted, nobody new can connect to it.",
            "End idle connections on the side of the clients; as soon as one place is free: "
            + redis_cli(silence.endpoint, "INFO", "clients"),
        )


def auth_refused(snapshot: Snapshot, _: Thresholds) -> Iterator[Finding]:
    """Our credentials are refused: by everybody (they are wrong), or by some (users are set on each node by itself)."""
    refusing = _silences(snapshot, SilenceReason.AUTH_REFUSED)
    if not refusing:
        return
    accepting = sum(len(each.observers) for each in snapshot.groups)
    everywhere = not accepting
    if everywhere or len(refusing) > _ONE_BY_ONE:
        places = listing(str(each.endpoint) for each in refusing)
        yield Finding(
            "auth-refused",
            Severity.UNKNOWN,
            CLUSTER,
            f"{counted(len(refusing), 'node')} {'refuses' if len(refusing) == 1 else 'refuse'} our credentials "
            f"({places}), {accepting or 'none'} take them: {_said(refusing[0])}",
            "Nothing can be said of the cluster." if everywhere else "Nothing can be said of these nodes.",
            _auth_hint(refusing[0], everywhere),
        )
        return
    for silence in refusing:
        node = snapshot.node(silence.expected)
        yield Finding(
            "auth-refused",
            Severity.UNKNOWN,
            _subject(node, silence),
            f"{who(snapshot, node) if node else silence.endpoint} refuses the credentials that "
            f"{counted(accepting, 'other node')} {'takes' if accepting == 1 else 'take'}: {_said(silence)}",
            "Nothing can be said of this node. Users and passwords are set on each node by itself: a client that "
            "is sent there is refused too, and a replica with other credentials cannot follow.",
            _auth_hint(silence, everywhere),
        )


def _auth_hint(silence: Silence, everywhere: bool) -> str:
    if everywhere:
        again = rcfail("health", silence.endpoint, "--password-file", "FILE")
        return f"Give the password in RCFAIL_PASSWORD or in a file, and the user with --user: {again}"
    return (
        f"Compare its users with those of the others, as an administrator: {redis_cli(silence.endpoint, 'ACL', 'LIST')}"
    )


_UNJUDGED = {
    Ask.INFO: ("+info", "replication, loading and refused writes", _ALL),
    Ask.CLUSTER_INFO: ("+cluster|info", "the node's own cluster_state and epochs", _STATE),
    Ask.CLUSTER_NODES: ("+cluster|nodes", "what the node knows of the others, and which slots it claims", _ALL),
    Ask.CONFIG: ("+config|get", "the node timeout, and the settings for failover and for refused writes", _STATE),
    Ask.CLUSTER_LINKS: ("+cluster|links", "bus links that work in one direction only", ()),
    Ask.SLOT_MIGRATIONS: ("+cluster|getslotmigrations", "running slot migrations", ()),
}
"""For each question: the permission that it takes, what cannot be judged without it, and what that touches. ACL LIST
is not among them: it shows hashes of passwords, so nobody is asked to permit it to whoever only looks.
"""

_REFUSALS = frozenset({AbsenceKind.NOT_PERMITTED, AbsenceKind.UNSUPPORTED, AbsenceKind.REFUSED, AbsenceKind.NOT_ASKED})


def not_permitted(snapshot: Snapshot, _: Thresholds) -> Iterator[Finding]:
    """Questions that nodes refuse, one finding for all questions that the same nodes refuse."""
    refused: dict[tuple[Ask, ...], list[View]] = {}
    for view in snapshot.views:
        asks = [ask for ask, absence in view.absences.items() if _refused(view, ask, absence)]
        for part in (set(asks) & set(ESSENTIAL), set(asks) - set(ESSENTIAL)):
            if part:
                refused.setdefault(tuple(sorted(part)), []).append(view)
    for together, views in refused.items():
        yield _refusal(snapshot, together, views)


def _refused(view: View, ask: Ask, absence: Absence) -> bool:
    """A question that the version does not know, or that is not worth its price, is no loss unless it is essential."""
    if ask not in _UNJUDGED:
        return False
    if ask not in ESSENTIAL:
        return absence.kind is AbsenceKind.NOT_PERMITTED
    return absence.kind in _REFUSALS and not (absence.kind is AbsenceKind.NOT_ASKED and loading(view))


def _refusal(snapshot: Snapshot, asks: tuple[Ask, ...], views: Sequence[View]) -> Finding:
    essential = asks[0] in ESSENTIAL
    first = views[0].absences[asks[0]]
    place = views[0].endpoint
    user = _user_in(first.text)
    permissions = [_UNJUDGED[ask][0] for ask in asks]
    touched = {promise for ask in asks for promise in _UNJUDGED[ask][2]}
    return Finding(
        "not-permitted",
        Severity.UNKNOWN if essential else Severity.INFO,
        _subject_of(snapshot, views),
        f"{len(views)} of {counted(len(snapshot.views), 'node')} ({_places(snapshot, views)}) refuse us "
        f"{listing(asks, 6)}: {first.text or first.kind}",
        f"Without it, these cannot be judged: {'; '.join(_UNJUDGED[ask][1] for ask in asks)}.",
        "Let an administrator permit it on every node, because users are not copied between nodes: "
        + redis_cli(place, "ACL", "SETUSER", user or "USER", *permissions),
        tuple(promise for promise in Promise if promise in touched),
    )


def _user_in(text: str) -> str:
    """The user's name, as Redis 7.2 and later put it into the error text."""
    found = re.match(r"NOPERM User (\S+) has no permissions", text)
    return found[1] if found else ""


def reply_malformed(snapshot: Snapshot, _: Thresholds) -> Iterator[Finding]:
    """Answers that could not be read whole: broken lines, fields that do not parse, replies of another form."""
    odd = [(view, troubles) for view in snapshot.views if (troubles := tuple(_troubles(view)))]
    if len(odd) > _ONE_BY_ONE:
        yield _malformed(snapshot, [view for view, _ in odd], odd[0][1])
        return
    for view, troubles in odd:
        yield _malformed(snapshot, [view], troubles)


def _troubles(view: View) -> Iterator[str]:
    for ask, absence in view.absences.items():
        if absence.kind is AbsenceKind.MALFORMED:
            yield f"{ask}: {absence.text or 'not the form that this command gives'}"
    for name, text in view.vitals.unread:
        yield f"field {name or 'without a name'}: {text[:60]!r}"
    if view.reply is None:
        return
    for problem in view.reply.table.problems:
        yield f"{Ask.CLUSTER_NODES} line {problem.line_number}: {problem.reason}"
    if not view.reply.myself:
        yield f"{Ask.CLUSTER_NODES} has no line of the node itself"


def _malformed(snapshot: Snapshot, views: Sequence[View], troubles: tuple[str, ...]) -> Finding:
    subject = _subject_of(snapshot, views)
    more = f", and {len(troubles) - 2} more" if len(troubles) > 2 else ""
    return Finding(
        "reply-malformed",
        Severity.UNKNOWN,
        Subject(SubjectKind.VIEW, subject.id, subject.address) if subject.kind is SubjectKind.NODE else subject,
        f"{_places(snapshot, views)}: {'; '.join(troubles[:2])}{more}",
        "What stands in the part that could not be read is missing from this verdict.",
        f"Keep the answers as they came, for a closer look: {rcfail('record', views[0].endpoint, 'FILE')}",
    )


def clock_skew(snapshot: Snapshot, _: Thresholds) -> Iterator[Finding]:
    """Nodes whose clock is far from most clocks, ours among them. Needs INFO; our own odd clock blames nobody."""
    skews = {view.endpoint: (view, skew) for view in snapshot.views if (skew := _skew_ms(view)) is not None}
    if not skews:
        return
    # The lower median. The module statistics would load fractions and decimals at every start.
    in_order = sorted([0, *(skew for _, skew in skews.values())])
    usual = in_order[(len(in_order) - 1) // 2]
    odd = [(view, skew - usual) for view, skew in skews.values() if abs(skew - usual) > SKEW_MS + view.took_ms / 2]
    if not odd:
        return
    told = (f"{_places(snapshot, [view])} by {_signed(skew)}" for view, skew in odd)
    yield Finding(
        "clock-skew",
        Severity.INFO,
        CLUSTER,
        f"the clocks of {len(odd)} of {counted(len(skews), 'node')} differ from most: {listing(told)}",
        "Redis needs no common clock for failover, but keys that expire by the clock live longer or shorter after a "
        "failover, and logs of several nodes are hard to compare.",
        f"Compare them, and mend the time service of that host: {redis_cli(odd[0][0].endpoint, 'TIME')}",
    )


def _skew_ms(view: View) -> int | None:
    """How far the node's clock is ahead of ours, half the round trip being taken for the way there."""
    said = view.vitals.server.server_time_unix_ms
    return None if said is None else said - view.asked_at_unix_ms - view.took_ms // 2


def _signed(milliseconds: int) -> str:
    return f"{'+' if milliseconds > 0 else '-'}{duration(abs(milliseconds))}"


def _silences(snapshot: Snapshot, reason: SilenceReason) -> list[Silence]:
    return [each for each in snapshot.silences if each.reason is reason and not _answered(snapshot, each.expected)]


def _answered(snapshot: Snapshot, node_id: NodeId | None) -> bool:
    return node_id in snapshot.by_observer


def _subject(node: Node | None, silence: Silence) -> Subject:
    return of_node(node) if node else Subject(SubjectKind.NODE, "", str(silence.endpoint or ""))


def _subject_of(snapshot: Snapshot, views: Sequence[View]) -> Subject:
    if len(views) > 1:
        return CLUSTER
    node = snapshot.node(views[0].observer)
    return of_node(node) if node else Subject(SubjectKind.NODE, "", str(views[0].endpoint))


def _places(snapshot: Snapshot, views: Sequence[View]) -> str:
    nodes = ((snapshot.node(view.observer), view) for view in views)
    return listing(called(node) if node else str(view.endpoint) for node, view in nodes)


def _said(silence: Silence) -> str:
    return silence.text or str(silence.reason)


RULES = (clients_full, auth_refused, not_permitted, reply_malformed, clock_skew)
