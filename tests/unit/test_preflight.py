"""What is checked before a failover: every check, in each mode, as it passes, warns, refuses, and is let pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from rcfail.change.checks import Check, CheckVerdict, refusing
from rcfail.change.preflight import preflight
from rcfail.change.request import Mode, Override, Request
from rcfail.change.seen import Seen
from rcfail.cluster.nouns import Endpoint, NodeId
from rcfail.cluster.observation import Absence, AbsenceKind, Ask, SilenceReason
from tests.unit.judging import A1, A2, A, B, C, judged, seen_of, world_of
from tests.unit.world import World, node_id

GRACEFUL, FORCE, TAKEOVER = Mode.GRACEFUL, Mode.FORCE, Mode.TAKEOVER
PASS, WARN, FAIL, UNKNOWN = CheckVerdict.PASS, CheckVerdict.WARN, CheckVerdict.FAIL, CheckVerdict.UNKNOWN

CODES: Mapping[Mode, list[str]] = {
    GRACEFUL: [
        "target-role", "target-identity", "observer", "primary-alive", "primary-responsive", "votes", "data", "lag",
        "cooldown", "known-as-replica", "other-change", "shard-agreed", "pair-after", "load",
    ],
    FORCE: [
        "target-role", "target-identity", "observer", "primary-alive", "votes", "data", "sibling", "lag", "cooldown",
        "other-change", "shard-agreed", "pair-after", "load",
    ],
    TAKEOVER: [
        "target-role", "target-identity", "observer", "primary-alive", "votes", "fenced", "data", "sibling", "lag",
        "known-as-replica", "other-change", "shard-agreed", "pair-after", "load",
    ],
}  # fmt: skip


def the(code: str, checks: tuple[Check, ...]) -> Check:
    found = [each for each in checks if each.code == code]
    assert len(found) == 1, [each.code for each in checks]
    return found[0]


@pytest.mark.parametrize("mode", Mode)
def test_each_mode_has_its_checks(mode: Mode) -> None:
    assert [each.code for each in judged(world_of(), mode)] == CODES[mode]


def test_nothing_is_said_against_a_graceful_failover_in_a_healthy_cluster() -> None:
    checks = judged(world_of(), GRACEFUL)
    assert {each.verdict for each in checks} == {PASS}
    assert all(each.override is None and each.evidence for each in checks)


@pytest.mark.parametrize(("mode", "refused"), [(FORCE, {"primary-alive"}), (TAKEOVER, {"primary-alive", "votes"})])
def test_the_other_modes_are_for_a_primary_that_does_not_serve(mode: Mode, refused: set[str]) -> None:
    assert {each.code for each in refusing(judged(world_of(), mode))} == refused


# What is broken, in which mode, and what the check then says. None as override: nothing lets it pass.
Break = Callable[[World], object]
Row = tuple[str, Break, Mode, CheckVerdict, Override | None]


def whole(_: World) -> None:
    """Nothing is broken."""


def dead(world: World) -> None:
    world.kill("a")


def dead_unsuspected(world: World) -> None:
    """It died a moment ago: nobody has noticed."""
    world["a"].silence = SilenceReason.REFUSED
    world["a1"].info |= {"master_link_status": "down", "master_link_down_since_seconds": "1"}


def hidden(world: World) -> None:
    """Silent to us alone."""
    world["a"].silence = SilenceReason.CONNECT_TIMEOUT


def not_serving(world: World) -> None:
    world["a"].cluster_info["cluster_state"] = "fail"


def no_majority(world: World) -> None:
    world.kill("a")
    world.kill("b")


def suspected_by_target(world: World) -> None:
    world["a1"].sees[A] = world["a"].line(flags=("fail?",))


def suspected_by_a_voter(world: World) -> None:
    world["b"].sees[A] = world["a"].line(flags=("fail?",))


def unlisted(*observers: str) -> Break:
    """These still take the target for a primary without slots."""

    def broken(world: World) -> None:
        for each in observers:
            world[each].sees[A1] = world["a1"].line(primary=None)

    return broken


def parted_target(world: World) -> None:
    """The target and its primary hear each other, and nobody else, in both directions."""
    for here in ("a", "a1"):
        for there in ("b", "c"):
            world[here].sees[node_id(there)] = world[there].line(flags=("fail?",))
            world[there].sees[node_id(here)] = world[here].line(flags=("fail?",))


def newer_owner(world: World) -> None:
    """Two voters know another owner of the slots with a greater epoch."""
    for each in ("b", "c"):
        world[each].sees[A] = world["a"].line(slots=())
        world[each].sees[C if each == "b" else B] = world["c" if each == "b" else "b"].line(
            slots=((0, 5460), *world["c" if each == "b" else "b"].slots), epoch=9
        )


def info(letter: str, **fields: str | None) -> Break:
    return lambda world: world[letter].info.update(fields)


def several(*breaks: Break) -> Break:
    return lambda world: [each(world) for each in breaks]


def lost_link(seconds: str = "20", **fields: str) -> Break:
    return info("a1", master_link_status="down", master_link_down_since_seconds=seconds, **fields)


NO_STREAM = {"slave_repl_offset": "0", "slave_read_repl_offset": "0", "db0": None}
EMPTY = info("a1", **NO_STREAM)

ROWS: list[Row] = [
    ("primary-alive", dead, GRACEFUL, FAIL, None),
    ("primary-alive", dead, FORCE, PASS, None),
    ("primary-alive", dead, TAKEOVER, PASS, None),
    ("primary-alive", suspected_by_target, GRACEFUL, FAIL, Override.DATA_LOSS),
    ("primary-alive", suspected_by_a_voter, GRACEFUL, FAIL, Override.DATA_LOSS),
    ("primary-alive", hidden, GRACEFUL, PASS, None),
    ("primary-alive", hidden, FORCE, FAIL, Override.DATA_LOSS),
    ("primary-alive", hidden, TAKEOVER, FAIL, Override.DATA_LOSS),
    ("primary-alive", not_serving, GRACEFUL, PASS, None),
    ("primary-alive", not_serving, FORCE, WARN, None),
    ("primary-alive", not_serving, TAKEOVER, WARN, None),
    ("primary-alive", info("a", loading="1"), FORCE, WARN, None),
    ("primary-alive", info("a", loading="1"), GRACEFUL, FAIL, None),
    ("primary-alive", lambda world: world["a"].absences.update({Ask.CLUSTER_INFO: Absence(AbsenceKind.REFUSED)}), FORCE,
     UNKNOWN, Override.DATA_LOSS),
    ("primary-responsive", hidden, GRACEFUL, UNKNOWN, Override.WRITE_PAUSE),
    ("votes", dead, FORCE, PASS, None),
    ("votes", no_majority, GRACEFUL, FAIL, None),
    ("votes", no_majority, FORCE, FAIL, None),
    ("votes", no_majority, TAKEOVER, PASS, None),
    ("votes", dead, TAKEOVER, FAIL, Override.TAKEOVER_WITH_QUORUM),
    ("votes", parted_target, GRACEFUL, FAIL, None),
    ("votes", parted_target, TAKEOVER, PASS, None),
    ("votes", newer_owner, GRACEFUL, FAIL, None),
    ("votes", newer_owner, TAKEOVER, WARN, None),
    ("votes", several(dead, unlisted("b")), FORCE, FAIL, None),
    ("votes", several(dead, unlisted("b")), TAKEOVER, FAIL, Override.TAKEOVER_WITH_QUORUM),
    ("votes", several(dead, info("b", loading="1")), FORCE, FAIL, None),
    ("votes", several(dead, info("b", loading="1")), TAKEOVER, FAIL, Override.TAKEOVER_WITH_QUORUM),
    ("fenced", dead, TAKEOVER, PASS, None),
    ("fenced", no_majority, TAKEOVER, FAIL, Override.FENCED),
    ("fenced", parted_target, TAKEOVER, FAIL, None),
    ("data", lost_link(), GRACEFUL, FAIL, None),
    ("data", info("a1", master_replid="f" * 40), GRACEFUL, FAIL, None),
    ("data", hidden, GRACEFUL, UNKNOWN, None),
    ("data", info("a1", master_link_status=None), GRACEFUL, UNKNOWN, None),
    ("data", several(dead, info("a1", master_link_status=None)), FORCE, UNKNOWN, Override.DATA_LOSS),
    ("data", several(dead, lost_link("-1"), EMPTY), FORCE, FAIL, Override.DATA_LOSS),
    ("data", several(dead, lost_link("-1"), EMPTY), TAKEOVER, FAIL, Override.DATA_LOSS),
    ("data", several(lost_link("3"), EMPTY), FORCE, FAIL, None),
    ("data", lost_link(master_sync_in_progress="1"), FORCE, FAIL, Override.DATA_LOSS),
    ("data", several(dead, lost_link("-1")), FORCE, WARN, None),
    ("data", several(dead, lost_link("-1")), TAKEOVER, WARN, None),
    ("data", dead, FORCE, PASS, None),
    ("data", several(dead, EMPTY), FORCE, PASS, None),
    ("data", several(dead, lost_link("9000")), FORCE, WARN, None),
    ("data", several(dead, info("a1", db0=None, slave_repl_offset=None)), FORCE, PASS, None),
    ("data", info("a1", async_loading="1"), GRACEFUL, FAIL, None),
    ("data", info("a1", async_loading="1"), TAKEOVER, FAIL, None),
    ("sibling", several(dead, info("a2", slave_repl_offset="9000")), FORCE, FAIL, Override.DATA_LOSS),
    ("sibling", several(dead, info("a2", slave_repl_offset="9000")), TAKEOVER, FAIL, Override.DATA_LOSS),
    ("sibling", several(dead, info("a2", slave_repl_offset="4000")), FORCE, PASS, None),
    ("sibling", several(dead, info("a2", slave_repl_offset="9000", master_replid="f" * 40)), FORCE, PASS, None),
    ("sibling", several(dead, lambda world: world.kill("a2")), FORCE, PASS, None),
    ("sibling", several(dead, info("a2", slave_repl_offset=None)), FORCE, UNKNOWN, Override.DATA_LOSS),
    ("sibling", several(dead, info("a1", slave_repl_offset=None)), FORCE, UNKNOWN, Override.DATA_LOSS),
    ("lag", info("a", master_repl_offset="900000"), GRACEFUL, FAIL, Override.MAX_LAG),
    ("lag", info("a", master_repl_offset=None), GRACEFUL, UNKNOWN, Override.MAX_LAG),
    ("lag", info("a", master_repl_offset="900000"), FORCE, WARN, None),
    ("lag", info("a", master_repl_offset="900000"), TAKEOVER, WARN, None),
    ("known-as-replica", unlisted("a"), GRACEFUL, FAIL, None),
    ("known-as-replica", unlisted("b", "c"), GRACEFUL, FAIL, None),
    ("known-as-replica", unlisted("b"), GRACEFUL, PASS, None),
    ("known-as-replica", hidden, GRACEFUL, UNKNOWN, None),
    ("known-as-replica", unlisted("b", "c"), TAKEOVER, WARN, None),
    ("votes", unlisted("b", "c"), GRACEFUL, PASS, None),
    ("shard-agreed", lambda world: world["b"].sees.update({A: world["a"].line(epoch=7)}), GRACEFUL, FAIL,
     Override.SHARD_AGREED),
    ("shard-agreed", newer_owner, FORCE, FAIL, Override.SHARD_AGREED),
    ("shard-agreed", newer_owner, TAKEOVER, WARN, None),
    ("shard-agreed", lambda world: setattr(world["b"], "silence", SilenceReason.FROZEN), GRACEFUL, UNKNOWN,
     Override.SHARD_AGREED),
    ("shard-agreed", lambda world: world.kill("b"), GRACEFUL, PASS, None),
    ("pair-after", info("a1", maxmemory="1000"), GRACEFUL, WARN, None),
    ("pair-after", info("a1", maxmemory="1000"), FORCE, WARN, None),
    ("pair-after", dead, TAKEOVER, WARN, None),
    ("load", info("a", rdb_bgsave_in_progress="1"), GRACEFUL, WARN, None),
    ("load", info("a1", aof_rewrite_in_progress="1"), FORCE, WARN, None),
    ("load", info("a2", master_link_status="down", master_sync_in_progress="1"), TAKEOVER, WARN, None),
    ("load", info("a", master_repl_offset=None), GRACEFUL, WARN, None),
]  # fmt: skip


@pytest.mark.parametrize(("code", "broken", "mode", "verdict", "override"), ROWS)
def test_what_is_broken_is_told(
    code: str, broken: Break, mode: Mode, verdict: CheckVerdict, override: Override | None
) -> None:
    world = world_of(replicas=2)
    broken(world)
    check = the(code, judged(world, mode))
    assert (check.verdict, check.override) == (verdict, override), check.evidence
    assert not check.overridden
    if override not in (None, Override.MAX_LAG, Override.FENCED):
        allowed = the(code, judged(world, mode, override))
        assert allowed.overridden
        assert not allowed.refuses
    others = frozenset(Override) - {override}
    assert not the(code, judged(world, mode, *others)).overridden, "no other consent lets it pass"


def test_the_evidence_has_names_and_figures() -> None:
    world = world_of(replicas=2)
    no_majority(world)
    check = the("votes", judged(world, FORCE))
    assert "0 of 3 voters" not in check.evidence
    assert check.evidence.startswith("1 of 3 voters would vote for it, and 2 are needed (down: 127.50.1.1:7000 and ")
    assert check.evidence.endswith("only takeover can work")
    assert "rcfail failover 127.50.2.1:8000 --takeover --dry-run" in check.hint
    assert "--confirm-fenced" not in check.hint, "that is for a human to say, and not to paste"


def test_a_primary_that_serves_is_handed_over_without_loss() -> None:
    check = the("primary-alive", judged(world_of(), FORCE))
    assert "lives and serves" in check.evidence
    assert "rcfail failover 127.50.2.1:8000 -s " in check.hint


def test_a_primary_that_we_alone_do_not_reach_is_our_network() -> None:
    world = world_of()
    hidden(world)
    check = the("primary-alive", judged(world, FORCE))
    assert "our network" in check.evidence
    assert "over its link" in check.evidence


def test_a_primary_that_has_just_died_is_left_to_the_others() -> None:
    """Nothing listens there, and nobody has noticed yet: that is not our network."""
    world = world_of()
    world["a"].silence = SilenceReason.REFUSED
    check = the("primary-alive", judged(world, FORCE))
    assert check.verdict is FAIL
    assert "our network" not in check.evidence
    assert "rcfail health --wait 60s -s " in check.hint


def test_an_empty_first_copy_is_never_promoted_unasked() -> None:
    """While the primary waits to fork, the replica shows no sync in progress: only a link that is down."""
    world = world_of()
    lost_link("-1", **{key: value for key, value in NO_STREAM.items() if value})(world)
    world["a1"].info["db0"] = None
    check = the("data", judged(world, FORCE))
    assert (check.verdict, check.override) == (FAIL, None)
    assert "empty" in check.evidence


def test_the_sibling_that_is_ahead_is_named_with_the_command_for_it() -> None:
    world = world_of(replicas=2)
    dead(world)
    world["a2"].info["slave_repl_offset"] = "5100"
    check = the("sibling", judged(world, FORCE))
    assert "127.50.3.1:9000" in check.evidence
    assert "100 bytes more" in check.evidence
    assert "rcfail failover 127.50.3.1:9000 --force -s " in check.hint


def test_while_the_stream_flows_a_sibling_is_ahead_only_if_it_was_so_before() -> None:
    """The two are asked one after the other: what was written meanwhile is no lead."""
    world = world_of(replicas=2)
    before = world.snapshot()
    world["a2"].info["slave_repl_offset"] = "5100"
    now = world.snapshot()
    request = Request(A1, A, FORCE)
    assert the("sibling", preflight(replace(seen_of(world), before=before, snapshot=now), request)).verdict is PASS
    assert the("sibling", preflight(replace(seen_of(world), before=now, snapshot=now), request)).verdict is FAIL


@pytest.mark.parametrize(("pings", "verdict"), [
    ((0.2, 0.3, 0.2), PASS),
    ((0.2, 1499.0, 0.2), PASS),
    ((0.2, 1500.0, 0.2), FAIL),
    ((0.2, None, None), FAIL),
    ((), UNKNOWN),
])  # fmt: skip
def test_the_slowest_ping_has_a_tenth_of_the_node_timeout(
    pings: tuple[float | None, ...], verdict: CheckVerdict
) -> None:
    seen = replace(seen_of(world_of()), pings_ms=pings)
    check = the("primary-responsive", preflight(seen, Request(A1, A)))
    assert check.verdict is verdict
    allowed = the("primary-responsive", preflight(seen, Request(A1, A, given=frozenset({Override.WRITE_PAUSE}))))
    assert not allowed.refuses


@pytest.mark.parametrize(("worst_ms", "verdict"), [(249.0, PASS), (250.0, FAIL)])
def test_a_short_node_timeout_does_not_make_a_busy_host_a_slow_primary(worst_ms: float, verdict: CheckVerdict) -> None:
    world = world_of()
    world["a"].config["cluster-node-timeout"] = "500"
    seen = replace(seen_of(world), pings_ms=(0.2, worst_ms, 0.2))
    assert the("primary-responsive", preflight(seen, Request(A1, A))).verdict is verdict


def lagging(before: str, now: str, primary: str = "2000000") -> Seen:
    """Two looks that are a second apart, with the target's offset in each."""
    world = world_of()
    world["a"].info["master_repl_offset"] = primary
    world["a1"].info["slave_repl_offset"] = before
    earlier = world.snapshot()
    views = tuple(replace(each, asked_at_unix_ms=each.asked_at_unix_ms - 1000) for each in earlier.views)
    nodes = {
        key: replace(each, view=next(view for view in views if view.observer == key))
        for key, each in earlier.nodes.items()
    }
    world["a1"].info["slave_repl_offset"] = now
    return replace(seen_of(world), before=replace(earlier, views=views, nodes=nodes))


@pytest.mark.parametrize(("seen", "limit", "verdict", "refuses"), [
    (lagging("1000000", "1500000"), None, PASS, False),  # 500,000 bytes at 500,000 a second
    (lagging("1400000", "1500000"), None, FAIL, True),  # five seconds, and half of an attempt is 2.5
    (lagging("1500000", "1500000"), None, FAIL, True),  # it does not move
    (lagging("1500000", "1500000"), 600_000, FAIL, False),
    (lagging("1500000", "1500000"), 400_000, FAIL, True),
    (lagging("1000000", "1500000"), 400_000, FAIL, True),
    (lagging("1990000", "1990000"), None, PASS, False),  # two moments of asking
    (lagging("1990000", "1990000"), 100, FAIL, True),
])  # fmt: skip
def test_lag_must_drain_in_half_of_an_attempt(
    seen: Seen, limit: int | None, verdict: CheckVerdict, refuses: bool
) -> None:
    given = frozenset({Override.MAX_LAG} if limit is not None else set[Override]())
    check = the("lag", preflight(seen, Request(A1, A, given=given, max_lag_bytes=limit)))
    assert (check.verdict, check.refuses) == (verdict, refuses), check.evidence


def test_a_takeover_without_a_majority_needs_all_lost_voters_by_name() -> None:
    world = world_of()
    no_majority(world)
    given = frozenset({Override.FENCED})

    def check(*fenced: NodeId) -> Check:
        request = Request(A1, A, TAKEOVER, given=given, fenced=frozenset(fenced))
        return the("fenced", preflight(seen_of(world), request))

    assert check().refuses
    assert "127.50.1.1:7000 and 127.50.2.1:7000" in check().evidence
    assert check(A).refuses
    assert "127.50.1.1:7000" not in check(A).evidence
    both = check(A, B)
    assert (both.refuses, both.overridden, both.verdict) == (False, True, FAIL)


def test_voters_that_nobody_suspects_yet_count_as_stopped_once_a_human_says_so() -> None:
    world = world_of()
    for each in ("a", "b"):
        world[each].silence = SilenceReason.REFUSED
    request = Request(A1, A, TAKEOVER, frozenset({Override.FENCED}), fenced=frozenset({A, B}))
    checks = preflight(seen_of(world), request)
    assert the("votes", checks).verdict is PASS
    assert the("votes", judged(world, TAKEOVER)).verdict is UNKNOWN
    assert not the("fenced", checks).refuses


def test_who_is_said_to_be_stopped_and_answers_is_told() -> None:
    world = world_of()
    parted_target(world)
    request = Request(A1, A, TAKEOVER, frozenset({Override.FENCED}), fenced=frozenset({B, C}))
    serving = the("fenced", preflight(seen_of(world), request))
    assert serving.refuses
    assert "they are not stopped" in serving.evidence
    for letter in ("b", "c"):
        world[letter].cluster_info["cluster_state"] = "fail"
    stopped = the("fenced", preflight(seen_of(world), request))
    assert not stopped.refuses
    assert "answer us, and are not stopped" in stopped.evidence


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize(("broken", "target", "primary", "verdict", "said"), [
    (lambda world: setattr(world["a1"], "silence", SilenceReason.FROZEN), A1, A, FAIL, "does not answer us"),
    (lambda world: world.kill("a1"), A1, A, FAIL, "is down"),
    (whole, B, A, FAIL, "is a primary already"),
    (whole, A1, B, FAIL, "not of 127.50.2.1:7000"),
    (lambda world: setattr(world["a2"], "primary", A1), A2, A, FAIL, "is a replica itself"),
    (lambda world: setattr(world["a2"], "primary", A1), A2, A1, FAIL, "is a replica itself"),
    (info("a1", loading="1"), A1, A, FAIL, "is loading"),
    (lambda world: world["a1"].absences.update({Ask.CLUSTER_NODES: Absence(AbsenceKind.REFUSED)}), A1, A, UNKNOWN,
     "does not say what it is"),
    (whole, node_id("9"), A, FAIL, "no member"),
])  # fmt: skip
def test_what_is_no_replica_of_that_primary_is_refused(
    mode: Mode, broken: Break, target: NodeId, primary: NodeId, verdict: CheckVerdict, said: str
) -> None:
    world = world_of(replicas=2)
    broken(world)
    checks = preflight(seen_of(world), Request(target, primary, mode, frozenset(Override)))
    check = the("target-role", checks)
    assert (check.verdict, check.override, check.refuses) == (verdict, None, True)
    assert said in check.evidence


@pytest.mark.parametrize("mode", Mode)
def test_another_primary_than_the_expected_one_is_refused(mode: Mode) -> None:
    seen = seen_of(world_of())
    assert the("target-role", preflight(seen, Request(A1, A, mode, expected_primary=A))).verdict is PASS
    no = the("target-role", preflight(seen, Request(A1, A, mode, frozenset(Override), expected_primary=B)))
    assert no.refuses
    assert "127.50.2.1:7000" in no.evidence


@pytest.mark.parametrize(("version", "verdict"), [("7.0.15", FAIL), ("8.2.3", FAIL), ("8.1.8", PASS), ("9.1.2", PASS)])
def test_a_shard_without_slots_cannot_be_handed_over_on_redis(version: str, verdict: CheckVerdict) -> None:
    world = world_of(version=version)
    world["a"].slots = ()
    for mode in Mode:
        check = the("target-role", judged(world, mode, *Override))
        assert (check.verdict, check.refuses) == (verdict, verdict is FAIL)


def test_two_processes_with_the_targets_id_are_refused() -> None:
    seen = seen_of(world_of())
    double = replace(seen.snapshot.by_observer[A1], endpoint=Endpoint("127.50.9.9", 7000))
    found = replace(seen, snapshot=replace(seen.snapshot, doubles=(double,)))
    check = the("target-identity", preflight(found, Request(A1, A, given=frozenset(Override))))
    assert check.refuses
    assert "127.50.9.9:7000" in check.evidence


def test_a_target_where_others_list_another_node_is_refused() -> None:
    seen = seen_of(world_of())
    view = replace(seen.snapshot.by_observer[A1], expected=node_id("e"))
    node = replace(seen.snapshot.nodes[A1], view=view)
    snapshot = replace(seen.snapshot, nodes={**seen.snapshot.nodes, A1: node})
    assert the("target-identity", preflight(replace(seen, snapshot=snapshot), Request(A1, A))).verdict is FAIL


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize(("silent", "verdict"), [
    (("b", "b1", "c"), PASS),
    (("b", "b1", "c", "c1"), FAIL),
])  # fmt: skip
def test_a_host_that_alone_does_not_see_most_nodes_changes_nothing(
    mode: Mode, silent: tuple[str, ...], verdict: CheckVerdict
) -> None:
    world = world_of()
    for each in silent:
        world[each].silence = SilenceReason.CONNECT_TIMEOUT
    check = the("observer", judged(world, mode))
    assert check.verdict is verdict
    assert check.override is (Override.THIS_HOST if verdict is FAIL else None)
    assert not the("observer", judged(world, mode, Override.THIS_HOST)).refuses


def test_nodes_that_are_down_for_the_others_too_are_no_fault_of_this_host() -> None:
    world = world_of()
    for each in ("b", "b1", "c", "c1"):
        world.kill(each)
    assert the("observer", judged(world, TAKEOVER)).verdict is PASS


@pytest.mark.parametrize("mode", [FORCE, TAKEOVER])
def test_a_replica_that_still_holds_the_data_of_another_shard_is_not_promoted(mode: Mode) -> None:
    """It was told to replicate this primary, and its first copy from it has not begun."""
    world = world_of()
    lost_link("3", master_replid=B)(world)
    check = the("data", judged(world, mode, *Override))
    assert (check.verdict, check.override) == (FAIL, None)
    assert "127.50.2.1:7000" in check.evidence
    dead(world)
    assert not the("data", judged(world, mode, Override.DATA_LOSS)).refuses
