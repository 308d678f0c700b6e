"""How soon after an election another one can be: what the audit, the counters and the connections tell of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rcfail.change.checks import Check, CheckVerdict
from rcfail.change.history import Stood
from rcfail.change.preflight import preflight, retry_after_ms
from rcfail.change.request import Mode, Override, Request
from rcfail.change.seen import Seen
from rcfail.cluster.dialect import stands_again_after_ms, votes_again_after_ms
from rcfail.cluster.nouns import NodeId
from rcfail.cluster.vitals import Flavour, Server
from tests.unit.judging import A1, A2, A, seen_of, world_of
from tests.unit.world import NOW_UNIX_MS, World

PASS, WARN, FAIL = CheckVerdict.PASS, CheckVerdict.WARN, CheckVerdict.FAIL


def stood(*letters: str, times: int = 1) -> World:
    """These have asked for votes since they were started."""
    world = world_of(replicas=2)
    for each in letters:
        world[each].cluster_info["cluster_stats_messages_auth-req_sent"] = str(times)
    return world


def sent(world: World, ago_s: int, node: NodeId = A1, age_s: int = 4000) -> Seen:
    """Our audit knows of one send."""
    return replace(seen_of(world, age_s), stood=(Stood(node, NOW_UNIX_MS - ago_s * 1000),))


def cooldown(seen: Seen, *given: Override) -> Check:
    request = Request(A1, A, given=frozenset(given))
    return next(each for each in preflight(seen, request) if each.code == "cooldown")


def left_ms(seen: Seen) -> int | None:
    return retry_after_ms(seen, Request(A1, A))


@pytest.mark.parametrize(("server", "stands", "votes"), [
    (Server(Flavour.REDIS, (6, 2, 14)), 60_000, 30_000),
    (Server(Flavour.REDIS, (8, 2, 3)), 60_000, 30_000),
    (Server(Flavour.VALKEY, (8, 0, 4)), 60_000, 30_000),
    (Server(Flavour.VALKEY, (8, 0, 5)), 0, 30_000),
    (Server(Flavour.VALKEY, (8, 1, 0)), 0, 0),
    (Server(Flavour.VALKEY, (9, 1, 2)), 0, 0),
    (Server(), 60_000, 30_000),
])  # fmt: skip
def test_each_version_has_its_rules(server: Server, stands: int, votes: int) -> None:
    assert stands_again_after_ms(server, 15_000) == stands
    assert votes_again_after_ms(server, 15_000) == votes


def test_a_short_node_timeout_has_four_seconds_at_least() -> None:
    assert stands_again_after_ms(Server(Flavour.REDIS, (7, 0, 0)), 500) == 4000


def test_who_never_stood_can_stand_now() -> None:
    seen = seen_of(stood())
    assert (cooldown(seen).verdict, left_ms(seen)) == (PASS, None)


def test_an_election_that_the_audit_knows_is_too_soon_until_its_time_is_over() -> None:
    seen = sent(stood("a1"), 20)
    check = cooldown(seen)
    assert (check.verdict, check.override, left_ms(seen)) == (FAIL, Override.WAIT_COOLDOWN, 40_000)
    assert "20 s ago" in check.evidence
    assert "40 s more" in check.evidence
    assert "--wait-cooldown" in check.hint
    waited = cooldown(seen, Override.WAIT_COOLDOWN)
    assert (waited.verdict, waited.refuses, waited.overridden) == (FAIL, False, True)


def test_an_audit_that_is_older_does_not_prove_that_nobody_else_sent_one_since() -> None:
    seen = sent(stood("a1"), 90)
    assert (cooldown(seen).verdict, left_ms(seen)) == (WARN, None)


def test_what_was_sent_and_came_to_no_election_is_none() -> None:
    """A primary that ignores the request grants no pause, so the replica never asks for votes."""
    seen = sent(stood(), 5)
    assert (cooldown(seen).verdict, left_ms(seen)) == (PASS, None)


def test_a_process_that_was_started_since_knows_nothing_of_it_but_the_voters_do() -> None:
    world = stood()
    world["a1"].info["uptime_in_seconds"] = "10"
    seen = sent(world, 20)
    assert (cooldown(seen).verdict, left_ms(seen)) == (FAIL, 10_000), "30 s of the voters' own rule"
    seen = sent(world, 40)
    assert cooldown(seen).verdict is PASS


def test_without_an_audit_only_a_warning_is_left() -> None:
    check = cooldown(seen_of(stood("a1"), 400))
    assert check.verdict is WARN
    assert "7 min" in check.evidence
    unread = cooldown(replace(seen_of(stood("a1")), stood_unread="permission denied"))
    assert "permission denied" in unread.evidence
    nothing = cooldown(replace(seen_of(stood("a1")), connections=None))
    assert (nothing.verdict, "nobody tells when" in nothing.evidence) == (WARN, True)


def test_an_election_since_a_start_that_is_younger_than_the_rule_is_known_to_be_too_soon() -> None:
    world = stood("a1")
    world["a1"].info["uptime_in_seconds"] = "30"
    assert (cooldown(seen_of(world)).verdict, left_ms(seen_of(world))) == (FAIL, 60_000)


def test_votes_asked_for_between_two_looks_are_of_now() -> None:
    before, now = stood("a1").snapshot(), stood("a1", times=3)
    seen = replace(seen_of(now), before=before)
    assert (cooldown(seen).verdict, left_ms(seen)) == (FAIL, 60_000)


def test_voters_that_voted_for_a_sibling_refuse_for_a_while() -> None:
    seen = sent(stood("a2"), 12, node=A2)
    assert (cooldown(seen).verdict, left_ms(seen)) == (FAIL, 18_000)
    assert cooldown(sent(stood("a2"), 35, node=A2)).verdict is PASS


def test_a_sibling_that_stood_at_an_unknown_time_is_a_warning_while_it_follows_for_less() -> None:
    assert cooldown(seen_of(stood("a2"), 10)).verdict is WARN
    assert cooldown(seen_of(stood("a2"), 31)).verdict is PASS


@pytest.mark.parametrize("version", ["8.1.8", "9.1.2"])
def test_valkey_can_begin_anew_at_once(version: str) -> None:
    world = stood("a1", "a2")
    world.version = version
    seen = sent(world, 1)
    assert (cooldown(seen).verdict, left_ms(seen)) == (PASS, None)


def test_the_youngest_of_several_connections_from_one_host_counts() -> None:
    world = stood("a1")
    seen = seen_of(world, 400)
    assert seen.connections is not None
    young = replace(seen.connections[0], address=f"{world['a1'].endpoint.host}:50000", age_s=50)
    assert "50 s" in cooldown(replace(seen, connections=(*seen.connections, young))).evidence


def test_a_takeover_asks_for_no_votes() -> None:
    seen, request = sent(stood("a1"), 5), Request(A1, A, Mode.TAKEOVER)
    assert "cooldown" not in {each.code for each in preflight(seen, request)}
    assert retry_after_ms(seen, request) is None
