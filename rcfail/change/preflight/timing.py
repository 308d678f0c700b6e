"""Whether an election is possible so soon after the last one.

When a node last stood for election no server tells. Three sources know a part of it: our audit; the counter
auth-req_sent, which is absent from CLUSTER INFO until a node first stands since its start; and the age of the replica's
connection to its primary, before which it had another role.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rcfail.change.checks import Check, CheckVerdict
from rcfail.change.preflight.case import Case, node_timeout_ms, passed, server_of, warned
from rcfail.change.request import Mode, Override
from rcfail.cluster.dialect import name_of, stands_again_after_ms, votes_again_after_ms
from rcfail.cluster.snapshot import Node
from rcfail.health.wording import called, duration

_CODE = "cooldown"
_ASKED = "auth-req_sent"


@dataclass(frozen=True, slots=True)
class Wait:
    """One rule that may still stand in the way. `left_ms` is how long at most; None: it is not known whether."""

    left_ms: int | None
    why: str


def cooldown(case: Case) -> Check:
    """Known to be too soon: no. Not known: a warning, for an attempt can come to nothing, and stop writes for it."""
    found = tuple(_waits(case))
    known = [each for each in found if each.left_ms is not None]
    if known:
        longest = max(known, key=lambda each: each.left_ms or 0)
        text = f"{longest.why}: too soon, for {duration(longest.left_ms or 0)} more"
        hint = f"Wait for it: {case.command(None, '--wait-cooldown')}"
        return case.check(_CODE, CheckVerdict.FAIL, text, Override.WAIT_COOLDOWN, hint)
    if found:
        return warned(_CODE, "; ".join(each.why for each in found))
    return passed(_CODE, _free(case))


def remaining_ms(case: Case) -> int | None:
    """How long it is still too soon; None: it is not, or nobody knows."""
    known = [each.left_ms for each in _waits(case) if each.left_ms is not None]
    return max(known, default=None) if case.mode is not Mode.TAKEOVER else None


def _free(case: Case) -> str:
    server = server_of(case.target)
    if not stands_again_after_ms(server, 1) and not _vote_rule_ms(case):
        return f"{name_of(server)} can begin anew at any time"
    return "no election in this shard is so recent that another one would be too soon"


def _waits(case: Case) -> Iterator[Wait]:
    own = _of_target(case)
    if own is not None:
        yield own
    voters = _of_voters(case)
    if voters is not None:
        yield voters


def _of_target(case: Case) -> Wait | None:
    """It does not stand again for a while after it stood, won or lost (auth_retry_time, cluster_legacy.c)."""
    rule_ms = stands_again_after_ms(server_of(case.target), node_timeout_ms(case.target))
    if not rule_ms:
        return None
    name, rule = called(case.target), duration(rule_ms)
    stood = _ever_stood(case.target)
    if stood is False:
        return None
    if _stood_just_now(case):
        return Wait(rule_ms, f"{name} asked for votes between two looks just now, and stands again {rule} after that")
    since_ms, up_ms = _since_sent_ms(case, case.target), _up_ms(case.target)
    # The time of it is kept in memory alone: a process that was started later knows nothing of it.
    if since_ms is not None and since_ms < rule_ms and (up_ms is None or up_ms >= since_ms):
        why = f"{name} stood for election {duration(since_ms)} ago, and stands again {rule} after that"
        return Wait(rule_ms - since_ms, why)
    if stood and up_ms is not None and up_ms < rule_ms:
        why = (
            f"{name} stood for election since it was started {duration(up_ms)} ago, and stands again {rule} after that"
        )
        return Wait(rule_ms, why)
    if stood is None:
        return Wait(None, f"{name} does not tell whether it stood for election (CLUSTER INFO); {rule} must have passed")
    return Wait(
        None, f"{name} has stood for election before, {_since(case)}; within {rule} of that it would not stand again"
    )


def _since(case: Case) -> str:
    """What the age of its connection and the audit tell of when."""
    age_s = connected_s(case, case.target)
    audit = f"; our audit cannot be read: {case.seen.stood_unread}" if case.seen.stood_unread else ""
    if age_s is None:
        return f"and nobody tells when{audit}"
    return f"won none for {duration(age_s * 1000)}, and when it lost one nobody tells{audit}"


def _of_voters(case: Case) -> Wait | None:
    """Who voted for one replica of a primary votes for no other one of it for a while (voted_time)."""
    rule_ms = _vote_rule_ms(case)
    if not rule_ms:
        return None
    rule = duration(rule_ms)
    members = (case.target, *case.siblings())
    sent = [(since, node) for node in members if (since := _since_sent_ms(case, node)) is not None]
    recent = [(since, node) for since, node in sent if not _came_to_nothing(node, since)]
    if recent:
        since_ms, node = min(recent, key=lambda each: each[0])
        if since_ms < rule_ms:
            why = f"voters may have voted for {called(node)} {duration(since_ms)} ago, and vote here {rule} after that"
            return Wait(rule_ms - since_ms, why)
    for node in case.siblings():
        age_s = connected_s(case, node)
        if _ever_stood(node) and (age_s is None or age_s * 1000 < rule_ms):
            when = "at an unknown time" if age_s is None else f"some time before the last {duration(age_s * 1000)}"
            why = f"{called(node)} stood for election {when}; if {rule} have not passed since, voters would refuse"
            return Wait(None, why)
    return None


def _vote_rule_ms(case: Case) -> int:
    """The longest of all voters that are still bound by it."""
    nodes = (case.snapshot.nodes[each] for each in case.snapshot.electorate.voters)
    return max((votes_again_after_ms(server_of(each), node_timeout_ms(each)) for each in nodes if each.view), default=0)


def _since_sent_ms(case: Case, node: Node) -> int | None:
    """How long ago our audit knows of a send that made it stand."""
    times = [each.at_unix_ms for each in case.seen.stood if each.node == node.node_id]
    return max(0, case.snapshot.taken_at_unix_ms - max(times)) if times else None


def _came_to_nothing(node: Node, since_ms: int) -> bool:
    """It lives since before the send, and has asked for no votes: what was sent never came to an election."""
    up_ms = _up_ms(node)
    return _ever_stood(node) is False and up_ms is not None and up_ms > since_ms


def _stood_just_now(case: Case) -> bool:
    earlier = case.seen.before.node(case.target.node_id) if case.seen.before else None
    then, now = (node.vitals.cluster if node and node.vitals else None for node in (earlier, case.target))
    return bool(then and now and then.state and then.messages.get(_ASKED, 0) < now.messages.get(_ASKED, 0))


def _ever_stood(node: Node) -> bool | None:
    """Whether it asked for votes since its process was started; None: it does not tell."""
    said = node.vitals.cluster if node.vitals else None
    return _ASKED in said.messages if said and said.state else None


def _up_ms(node: Node) -> int | None:
    up_s = node.vitals.server.uptime_s if node.vitals else None
    return None if up_s is None else up_s * 1000


def connected_s(case: Case, node: Node) -> int | None:
    """The age of the node's connection to its primary, by its host; of several on one host the youngest."""
    hosts = {node.address.host, node.endpoint.host if node.endpoint else ""} - {""}
    ages = [each.age_s for each in case.seen.connections or () if each.address.rpartition(":")[0].strip("[]") in hosts]
    return min(ages, default=None)
