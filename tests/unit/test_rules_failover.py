"""The rules on automatic failover, on constructed clusters."""

from __future__ import annotations

import pytest

from rcfail.cluster.observation import Absence, AbsenceKind, Ask, SilenceReason
from rcfail.health.finding import CLUSTER, Finding, Severity, Thresholds
from rcfail.health.rules.failover import RULES
from tests.unit.parting import part
from tests.unit.world import NOW_UNIX_MS, World, node_id

A, A1 = node_id("a"), node_id("a1")
EMPTY: dict[str, str | None] = {"db0": None, "master_link_down_since_seconds": "-1"}


def findings(world: World) -> list[Finding]:
    snapshot = world.snapshot()
    return [finding for rule in RULES for finding in rule(snapshot, Thresholds())]


def the(world: World) -> Finding:
    (found,) = findings(world)
    return found


def with_dead_primary(replicas: int = 1, agreed: bool = True) -> World:
    world = World.of(3, replicas)
    world.kill("a", agreed)
    return world


@pytest.mark.parametrize(("primaries", "replicas"), [(3, 1), (3, 0), (1, 0), (2, 2), (5, 2)])
def test_a_healthy_cluster_has_no_finding(primaries: int, replicas: int) -> None:
    assert findings(World.of(primaries, replicas)) == []


# failover-pending


def test_agreed_and_due() -> None:
    found = the(with_dead_primary())
    assert (found.code, found.severity, found.subject.id) == ("failover-pending", Severity.CRITICAL, A)
    assert found.evidence == (
        "primary 127.50.1.1:7000 (aaaaaaaa) of 5461 slots (0-5460) is held for failed by the majority (2 of 3 voters); "
        "replica 127.50.2.1:8000 (a1000000) asks for their votes within about 1.0 s"
    )
    assert "needs no help" in found.consequence
    assert found.hint == "Wait for it: rcfail health --wait 30s -s 127.50.2.1:8000"


@pytest.mark.parametrize(("who", "count"), [("b", 1), ("bc", 2)])
def test_suspected_by_so_many_of_so_many(who: str, count: int) -> None:
    world = World.of(3, 1)
    world["a"].silence = SilenceReason.REFUSED
    world["a1"].info["master_link_status"] = "down"
    world["a1"].info["master_link_down_since_seconds"] = "3"
    for letter in who:
        world[letter].sees = {A: world["a"].line(flags=("fail?",))}
    assert f"is suspected by {count} of the 2 voters that must agree; replica 127.50.2.1:8000" in the(world).evidence


def test_a_primary_that_answers_and_that_a_minority_suspects_still_serves() -> None:
    world = World.of(3, 1)
    world["b"].sees = {A: world["a"].line(flags=("fail?",))}
    assert findings(world) == []


def test_a_replica_that_does_not_know_the_verdict_yet() -> None:
    world = with_dead_primary()
    world["a1"].sees = {A: world["a"].line(flags=("fail?",))}
    assert "can take its place, and does not know the verdict yet" in the(world).evidence


def test_an_empty_candidate_is_announced() -> None:
    world = with_dead_primary()
    world["a1"].info |= EMPTY
    world["a1"].config["cluster-replica-validity-factor"] = "0"
    found = the(world)
    assert found.code == "failover-pending"
    assert "the data of this shard will be lost unless its primary is back first" in found.consequence


@pytest.mark.parametrize("missing", ["silence", "info", "config"])
def test_what_cannot_be_read_is_not_blocked(missing: str) -> None:
    world = with_dead_primary()
    if missing == "silence":
        world["a1"].silence = SilenceReason.CONNECT_TIMEOUT
    elif missing == "info":
        world["a1"].absences = {Ask.INFO: Absence(AbsenceKind.NOT_PERMITTED)}
    else:
        world["a1"].absences = {Ask.CONFIG: Absence(AbsenceKind.NOT_PERMITTED)}
    found = the(world)
    assert found.code == "failover-pending"
    assert "cannot be told" in found.evidence


# failover-blocked


def test_each_cause_names_its_replica_and_like_ones_are_said_together() -> None:
    world = with_dead_primary(replicas=4)
    for letter in ("a1", "a2"):
        world[letter].config["cluster-replica-no-failover"] = "yes"
    world["a3"].info["master_link_down_since_seconds"] = "500"
    world.kill("a4")
    found = the(world)
    assert (found.code, found.severity) == ("failover-blocked", Severity.CRITICAL)
    assert found.evidence.endswith(
        "is failed and will not be replaced by itself: 127.50.2.1:8000 (a1000000) and 127.50.3.1:9000 (a2000000): "
        "cluster-replica-no-failover is set on it; 127.50.1.1:10000 (a3000000): its data is 500 s old and the limit is "
        "175 s; 127.50.2.1:11000 (a4000000): it is down"
    )
    assert found.hint.endswith("redis-cli -h 127.50.2.1 -p 8000 CONFIG SET cluster-replica-no-failover no")


def test_one_that_can_stand_is_enough() -> None:
    world = with_dead_primary(replicas=2)
    world["a1"].config["cluster-replica-no-failover"] = "yes"
    assert the(world).code == "failover-pending"


def test_a_stale_epoch_blocks() -> None:
    world = with_dead_primary()
    for letter in ("b", "c"):
        world[letter].sees = {A: world["a"].line(epoch=8)}
    assert "127.50.2.1:8000 (a1000000): it knows epoch 1 for its slots, and 2 voters know 8" in the(world).evidence


@pytest.mark.parametrize("primaries", [1, 2])
def test_the_dead_primary_is_missing_for_the_majority(primaries: int) -> None:
    world = World.of(primaries, 1)
    world.kill("a", agreed=False)
    found = the(world)
    assert found.code == "failover-blocked"
    assert "only a takeover could promote a replica" in found.evidence
    assert "takeover" not in found.hint.lower()


def test_a_majority_that_may_live_beyond_a_cut_is_not_called_blocked_for_good() -> None:
    """We stand with the minority: what we see is the same as if the majority were dead, but no takeover is due."""
    world = World.of(3, 1)
    for letter in "bc":
        world.kill(letter, agreed=False).silence = SilenceReason.CONNECT_TIMEOUT
    evidence = the(world).evidence
    assert "takeover" not in evidence
    assert "may live and vote beyond a cut" in evidence
    for letter in "bc":
        world[letter].silence = SilenceReason.REFUSED
    assert "only a takeover" in the(world).evidence


def test_a_lost_primary_still_votes_on_its_own_side() -> None:
    world = part(World.of(3, 1), "a c1", "b a1", "c b1")
    (found,) = findings(world)
    assert "1 of 3 voters can still vote together" in found.evidence


def test_no_quorum_blocks_all_shards_that_are_out_in_one_finding() -> None:
    world = World.of(5, 1)
    for letter in "abc":
        world.kill(letter)
    found = the(world)
    assert (found.code, found.severity, found.subject) == ("failover-blocked", Severity.CRITICAL, CLUSTER)
    assert found.evidence.startswith(
        "3 lost primaries of 9830 slots (0-3275, 3276-6552, 6553-9829) will not be replaced"
    )
    assert "2 of 5 voters can still vote together and 3 must" in found.evidence


def test_nobody_is_told_to_start_what_comes_back_empty() -> None:
    world = World.of(3, 1)
    for letter in "ab":
        world.kill(letter)
        world[f"{letter}1"].config["save"] = ""
    assert the(world).hint.startswith(
        "Do not start 127.50.1.1:7000 (aaaaaaaa) and 127.50.2.1:7000 (bbbbbbbb) again yet"
    )


def test_a_restarted_primary_without_a_replica_is_waited_for() -> None:
    world = World.of(3, 0)
    world.kill("a")
    world["a"].silence, world["a"].ping_sent = None, 0
    found = the(world)
    assert "it has no replica; it answers us again" in found.evidence
    assert found.hint.startswith("Wait for it: rcfail health --wait 60s")


def test_a_lost_vote_says_when_the_next_one_is() -> None:
    world = with_dead_primary()
    world["a"].ping_sent = NOW_UNIX_MS - 45_000
    world["a1"].cluster_info["cluster_stats_messages_auth-req_sent"] = "4"
    found = the(world)
    assert found.code == "failover-blocked"
    assert (
        "replica 127.50.2.1:8000 (a1000000) was not elected in the 30 s since the verdict, and it stands again only "
        "4 node timeouts (60 s) after its last election, within about 42 s"
    ) in found.evidence
    assert "is failed and was not replaced: replica" in found.evidence
    assert found.consequence.endswith("until the next vote is won or the primary is back.")
    assert "--wait 51s" in found.hint


def test_a_replica_that_never_asked_is_told_apart_from_one_that_lost() -> None:
    world = with_dead_primary()
    world["a"].ping_sent = NOW_UNIX_MS - 45_000
    world["a1"].cluster_info["cluster_stats_messages_ping_sent"] = "900"
    assert "never asked for votes in the 30 s since the verdict" in the(world).evidence


# failover-disabled


@pytest.mark.parametrize(
    ("info", "config", "said"),
    [
        ({}, {"cluster-replica-no-failover": "yes"}, "cluster-replica-no-failover is set on it"),
        (
            {"master_link_status": "down", "master_link_down_since_seconds": "176"},
            {},
            "its data is 176 s old and the limit is 175 s",
        ),
        ({"master_link_status": "down", "master_link_down_since_seconds": "-1"}, {}, "it was restarted"),
    ],
)
def test_nobody_may_take_over(info: dict[str, str | None], config: dict[str, str | None], said: str) -> None:
    world = World.of(3, 1)
    world["a1"].info |= info
    world["a1"].config |= config
    found = the(world)
    assert (found.code, found.severity, found.subject.id) == ("failover-disabled", Severity.WARNING, A)
    who = "the only living replica of 127.50.1.1:7000 (aaaaaaaa) may not be promoted: 127.50.2.1:8000 (a1000000)"
    assert f"{who}: {said}" in found.evidence


@pytest.mark.parametrize(
    "info",
    [
        {"master_link_status": "down", "master_link_down_since_seconds": "100"},
        EMPTY | {"master_link_status": "down"},
        {"loading": "1"},
    ],
)
def test_what_has_a_finding_of_its_own_or_passes_is_not_said_twice(info: dict[str, str | None]) -> None:
    world = World.of(3, 1)
    world["a1"].info |= info
    assert findings(world) == []


def test_a_silent_replica_may_be_able_to() -> None:
    world = World.of(3, 2)
    world["a1"].config["cluster-replica-no-failover"] = "yes"
    world["a2"].silence = SilenceReason.CONNECT_TIMEOUT
    assert findings(world) == []


def test_dead_replicas_do_not_count_as_an_opinion() -> None:
    world = World.of(3, 1)
    world.kill("a1")
    assert findings(world) == []


@pytest.mark.parametrize(("replicas", "why"), [(0, "it has no replica"), (1, "none of its replicas can be promoted")])
def test_the_consequence_says_what_is_waited_for(replicas: int, why: str) -> None:
    world = with_dead_primary(replicas)
    if replicas:
        world.kill("a1")
    assert why in the(world).consequence


def test_nobody_is_told_to_start_again_what_hangs() -> None:
    """Its process lives and holds the newest data in memory: a restart would throw that away."""
    world = with_dead_primary()
    world["a"].silence = SilenceReason.FROZEN
    world.kill("a1")
    hint = the(world).hint
    assert hint.startswith(f"Do not start {world['a'].endpoint} (aaaaaaaa) again yet: the process hangs")
    assert hint.endswith(" PING")
