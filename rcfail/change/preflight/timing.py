"""Whether the servers would begin an election now: the cooldown of the last one."""

from __future__ import annotations

from rcfail.change.checks import Check
from rcfail.change.preflight.grounds import FAIL, PASS, WARN, Grounds
from rcfail.change.request import Mode, Override
from rcfail.cluster.dialect import election_cooldown_ms, name_of, revote_ms
from rcfail.health.wording import called, duration

MARGIN_MS = 500
"""Clocks of hosts differ a little, and the cron that looks at it runs every 100 ms."""


def cooldown(grounds: Grounds) -> Check | None:
    """Redis lets nobody stand again for 4 node timeouts, and says OK all the same; a takeover is no election."""
    if grounds.mode is Mode.TAKEOVER:
        return None
    code, server = "cooldown", grounds.server
    rest_ms = election_cooldown_ms(server, grounds.node_timeout_ms)
    if not rest_ms:
        return grounds.check(code, PASS, f"{name_of(server)} has none")
    left = left_ms(grounds)
    if left:
        text = (
            f"{called(grounds.target)} stood for election, or its voters voted, too recently: the servers begin none "
        )
        text += f"for {duration(left)} more, and answer OK all the same"
        hint = f"Wait for it: {grounds.failover('--wait-cooldown', *_mode(grounds))}"
        return grounds.check(code, FAIL, text, Override.WAIT_COOLDOWN, hint)
    messages = grounds.target.vitals.cluster.messages if grounds.target.vitals else {}
    if messages and "auth-req_sent" not in messages:
        return grounds.check(code, PASS, f"{called(grounds.target)} never stood for election since it started")
    known = [each for each in grounds.seen.stood if each.node == grounds.request.target]
    age_ms = _follows_since_ms(grounds)
    if age_ms is not None and age_ms >= rest_ms:
        return grounds.check(
            code, PASS, f"it has followed its primary for {duration(age_ms)}; the rest is {duration(rest_ms)}"
        )
    if known and age_ms is None:
        return grounds.check(code, PASS, f"its last election from this host is longer ago than {duration(rest_ms)}")
    why = f"; the audit cannot be read: {grounds.seen.stood_unread}" if grounds.seen.stood_unread else ""
    text = f"{called(grounds.target)} has stood for election before, and when cannot be told{why}: within "
    text += f"{duration(rest_ms)} of that the servers answer OK and do nothing"
    return grounds.check(code, WARN, text)


def _mode(grounds: Grounds) -> tuple[str, ...]:
    return () if grounds.graceful else (f"--{grounds.mode}",)


def left_ms(grounds: Grounds) -> int | None:
    """How long it is still known to be too soon; None: it is not, as far as anybody knows."""
    if grounds.mode is Mode.TAKEOVER:
        return None
    now_ms = grounds.snapshot.taken_at_unix_ms
    shard = grounds.shard
    own_ms = election_cooldown_ms(grounds.server, grounds.node_timeout_ms)
    voters_ms = revote_ms(grounds.server, grounds.node_timeout_ms)
    ends = [0]
    for each in grounds.seen.stood:
        if each.node == grounds.request.target and own_ms:
            ends.append(each.at_unix_ms + own_ms)
        elif shard is not None and each.node in shard.replica_ids and voters_ms:
            ends.append(each.at_unix_ms + voters_ms)  # a sibling that stood for the same primary, and did not win
    left = max(ends) + MARGIN_MS - now_ms
    return left if max(ends) and left > 0 else None


def _follows_since_ms(grounds: Grounds) -> int | None:
    """The age of the target's connection in its primary's list, which begins anew at each switch."""
    endpoint, address = grounds.target.endpoint, grounds.target.address
    hosts = {place for place in (endpoint.host if endpoint else "", address.host) if place}
    ages = [
        each.age_s for each in grounds.seen.connections or () if each.address.rpartition(":")[0].strip("[]") in hosts
    ]
    return min(ages) * 1000 if ages else None
