"""What is concluded of a sent failover from what nodes say, look by look. Constructed; real servers: tests/real."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from rcfail.change.after.causes import Terms
from rcfail.change.after.clues import Clues
from rcfail.change.after.followed import Answered, Followed
from rcfail.change.after.trail import Trail
from rcfail.change.after.verify import Cast, Standing, Word, Words, checks, stages
from rcfail.change.checks import CheckVerdict
from rcfail.change.plan import plan_failover
from rcfail.change.request import Mode, Request
from rcfail.change.run import StepOutcome
from rcfail.cluster.nouns import NodeId
from rcfail.cluster.observation import SilenceReason
from rcfail.cluster.parse_nodes import NodesReader
from tests.unit.world import World, node_id

OLD, NEW = node_id("a"), node_id("a1")
OVER_MS = 7000  # a graceful attempt of 5 s, and 2 s for the others to hear of it
READER = NodesReader()
NODES = ("a", "b", "c", "a1", "b1", "c1")


def words(world: World, silent: str = "", late: str = "") -> Words:
    """What the members say now. `silent` and `late` name some, by a blank between."""
    gone, slow = silent.split(), late.split()
    found: dict[NodeId, Word] = {}
    for member in world:
        letter = name(member.node_id)
        if member.silence or letter in gone:
            found[member.node_id] = Word(silence="connection refused")
        else:
            table = READER.read(world.nodes_text(member)).table
            info, cluster_info = world.info_text(member), world.cluster_info_text(member)
            found[member.node_id] = Word(table, info, cluster_info, fresh=letter not in slow)
    return found


def promote(world: World, seen_by: tuple[str, ...] = NODES, epoch: int = 7) -> None:
    """a1 has a's slots and a is its replica; who is not in `seen_by` still lists both as they were."""
    old, new = world["a"], world["a1"]
    before = {each.node_id: each.line() for each in (old, new)}
    new.primary, new.slots, new.epoch = None, old.slots, epoch
    old.primary, old.slots, old.epoch = NEW, (), epoch
    for member in world:
        for node, line in before.items():
            if member.node_id not in [node_id(each) for each in seen_by]:
                member.sees[node] = line


def counters(world: World, letter: str, **grown: int) -> None:
    """Its counters of bus messages: mfstart_sent=1 is the server's cluster_stats_messages_mfstart_sent."""
    for name, value in grown.items():
        world[letter].cluster_info[f"cluster_stats_messages_{name.replace('auth_', 'auth-')}"] = str(value)


def name(node: NodeId) -> str:
    return next(each for each in (*NODES, "a2") if node_id(each) == node)


def cast_of(world: World, mode: Mode = Mode.GRACEFUL) -> Cast:
    snapshot = world.snapshot()
    step = plan_failover(snapshot, Request(NEW, OLD, mode)).steps[0]
    siblings = tuple(each for each in snapshot.shards[0].replica_ids if each != NEW)
    return Cast(step, siblings, words(world))


TERMS = Terms(tuple(node_id(each) for each in "abc"), 2)


def trail_of(
    world: World, mode: Mode = Mode.GRACEFUL, terms: Terms = TERMS, answered: Answered | None = None, pause_ms: int = 0
) -> Trail:
    return Trail(Clues(cast_of(world, mode), terms, name), answered or Answered(), pause_ms)


def looks(trail: Trail, world: World, *at_ms: int, silent: str = "") -> Followed | None:
    for each in at_ms:
        trail.take(words(world, silent), each)
    return trail.ended()


def ended(trail: Trail, world: World, *at_ms: int, silent: str = "") -> Followed:
    followed = looks(trail, world, *at_ms, silent=silent)
    assert followed is not None
    return followed


def test_nothing_has_moved_before_it_moves() -> None:
    world = World.of(3, 1)
    now = stages(cast_of(world), words(world))
    assert (now.promoted, now.epoch, now.seen, now.demoted, now.moved, now.settled) == (
        False,
        None,
        (),
        False,
        False,
        False,
    )


def test_a_node_outside_of_the_cluster_hears_of_no_failover() -> None:
    world, lone = World.of(3, 1), World.of(1, 0)
    lone["a"].node_id, lone["a"].slots = node_id("9"), ()
    alone = {node_id("9"): Word(READER.read(lone.nodes_text(lone["a"])).table)}
    cast = cast_of(world)
    before = {**cast.before, **alone}
    promote(world)
    now = stages(replace(cast, before=before), {**words(world), **alone})
    assert now.all_see
    assert now.settled
    # A member that was told to forget all others meanwhile is none.
    forgetful = stages(cast, {**words(world), node_id("c"): Word(alone[node_id("9")].table)})
    assert not forgetful.all_see


def test_moved_and_settled_are_told_apart() -> None:
    world = World.of(3, 1)
    cast = cast_of(world)
    promote(world)
    world["b"].sees[OLD] = world["a"].line(primary=None)
    now = stages(cast, words(world))
    assert (now.moved, now.settled, len(now.know)) == (True, False, 5)
    del world["b"].sees[OLD]
    assert stages(cast, words(world)).settled


def test_each_view_counts() -> None:
    world = World.of(3, 1)
    cast = cast_of(world)
    promote(world, seen_by=("a", "a1", "b"))
    now = stages(cast, words(world))
    assert (now.promoted, len(now.seen), len(now.views), now.moved) == (True, 3, 6, False)
    said = next(each for each in checks(cast, now, words(world), name) if each.code == "seen-by-all")
    assert said.verdict is CheckVerdict.FAIL
    assert "not those of b1, c and c1" in said.evidence


def too_old(world: World) -> None:
    promote(world, epoch=1)


def in_part(world: World) -> None:
    promote(world)
    world["a1"].slots = ((0, 100),)


def by_hearsay(world: World) -> None:
    promote(world)
    world["a1"].silence = SilenceReason.REFUSED


@pytest.mark.parametrize("spoil", [too_old, in_part, by_hearsay])
def test_what_is_no_promotion(spoil: Callable[[World], None]) -> None:
    world = World.of(3, 1)
    cast = cast_of(world)
    spoil(world)
    now = stages(cast, words(world))
    assert not now.promoted
    assert not now.moved


def old_primary(world: World, cast: Cast) -> Standing:
    return stages(cast, words(world)).old


def test_how_far_the_old_primary_has_come() -> None:
    world = World.of(3, 1)
    cast = cast_of(world)
    assert old_primary(world, cast) is Standing.ELSEWHERE
    promote(world)
    assert old_primary(world, cast) is Standing.LINKED
    world["a"].info["master_link_status"] = "down"
    assert old_primary(world, cast) is Standing.UNLINKED
    world["a"].info["master_sync_in_progress"] = "1"
    assert old_primary(world, cast) is Standing.COPYING
    world["a"].silence = SilenceReason.REFUSED
    assert old_primary(world, cast) is Standing.SILENT, "it was alive before"
    assert not stages(cast, words(world)).redundant


def test_nothing_is_expected_of_a_primary_that_was_dead_before() -> None:
    world = World.of(3, 1)
    world.kill("a")
    cast = cast_of(world, Mode.FORCE)
    promote(world)
    now = stages(cast, words(world))
    assert now.old is Standing.LEFT_OUT
    assert now.redundant


def two_replicas() -> World:
    world = World.of(3, 1)
    member = replace(world["a1"], node_id=node_id("a2"), endpoint=world["a1"].endpoint._replace(port=7999))
    member.sees, member.info, member.cluster_info, member.config = {}, {}, {}, {}
    world.members[member.node_id] = member
    return world


@pytest.mark.parametrize(
    ("link_before", "primary_dead", "standing"),
    [("up", False, Standing.UNLINKED), ("down", False, Standing.LEFT_OUT), ("down", True, Standing.UNLINKED)],
    ids=["it was up", "it was down while the primary lived", "it was down because the primary is dead"],
)
def test_a_sibling_whose_link_is_down(link_before: str, primary_dead: bool, standing: Standing) -> None:
    world = two_replicas()
    world["a2"].info["master_link_status"] = link_before
    if primary_dead:
        world["a"].silence = SilenceReason.REFUSED
    cast = cast_of(world)
    promote(world, (*NODES, "a2"))
    assert stages(cast, words(world)).siblings[node_id("a2")] is Standing.ELSEWHERE
    world["a2"].primary = NEW
    world["a2"].info["master_link_status"] = "down"
    assert stages(cast, words(world)).siblings[node_id("a2")] is standing


def test_a_replica_of_the_target_may_stay_where_it_is() -> None:
    world = two_replicas()
    world["a2"].primary = NEW
    cast = cast_of(world)
    promote(world, (*NODES, "a2"))
    assert stages(cast, words(world)).siblings[node_id("a2")] is Standing.LINKED


def test_the_cluster_state_must_not_fall() -> None:
    world = World.of(3, 1)
    cast = cast_of(world)
    promote(world)
    world["c"].cluster_info["cluster_state"] = "fail"
    assert not stages(cast, words(world)).moved
    was_fail = Cast(cast.step, (), {**cast.before, node_id("c"): words(world)[node_id("c")]})
    assert stages(was_fail, words(world)).moved, "it was fail before too"


def test_two_rounds_in_a_row_and_all_have_to_speak_in_each() -> None:
    world = World.of(3, 1)
    trail = trail_of(world)
    looks(trail, world, 5)
    promote(world)
    counters(world, "a1", mfstart_sent=1)
    assert looks(trail, world, 10) is None
    trail.take(words(world, late="b c1"), 12)
    assert trail.ended() is None
    trail.take(words(world, late="b"), 14)
    assert trail.ended() is None, "b has said it once"
    trail.take(words(world, late="c1"), 16)
    followed = trail.ended()
    assert followed is not None
    assert (followed.outcome, followed.new_primary, followed.epoch_after, followed.ours) == (
        StepOutcome.DONE,
        NEW,
        7,
        True,
    )


def test_a_look_that_says_otherwise_begins_anew() -> None:
    world = World.of(3, 1)
    trail = trail_of(world)
    promote(world)
    assert looks(trail, world, 10) is None
    world["a"].info["master_link_status"] = "down"
    assert looks(trail, world, 12) is None
    world["a"].info["master_link_status"] = "up"
    assert looks(trail, world, 14) is None
    assert ended(trail, world, 16).outcome is StepOutcome.DONE


def test_each_moment_is_told_once_when_it_comes() -> None:
    world = World.of(3, 1)
    trail = trail_of(world)
    told = [trail.requested(1)]
    for seen_by, at_ms in ((("a1",), 5), (("a1", "a"), 8), (("a1", "a"), 9), (NODES, 12), (NODES, 14)):
        changed = World.of(3, 1)
        promote(changed, seen_by)
        if "a" not in seen_by:
            changed["a"].primary, changed["a"].slots, changed["a"].epoch = None, changed["a1"].slots, 1
        told += trail.take(words(changed), at_ms)
    assert [(each.at_ms, each.event) for each in told] == [
        (1, "requested"),
        (5, "promoted"),
        (5, "seen"),
        (8, "seen"),
        (8, "demoted"),
        (8, "linked"),
        (12, "seen"),
        (12, "settled"),
    ]
    assert [each.subject for each in told if each.event == "seen"] == [f"by {n} of 6 nodes" for n in (1, 2, 6)]
    assert ended(trail, changed, 16).timeline == tuple(told)


def test_what_takes_long_is_said_once_with_its_end() -> None:
    world = World.of(3, 1)
    trail = trail_of(world)
    looks(trail, world, 10, 1600, 1700, 2500)
    promote(world)
    world["a"].info["master_link_status"] = "down"
    looks(trail, world, 3000, 4000, 5000, 6000)
    said = [(each.at_ms, each.subject) for each in trail.timeline if each.event == "waiting"]
    assert said == [
        (1600, "for a promotion: up to 5.4 s more"),
        (5000, "for the rest of the cluster to follow: up to 58 s more"),
    ]


def test_it_is_watched_until_writes_cannot_pause_any_more() -> None:
    """Redis before 6.2.8 holds them back for twice as long as it tries."""
    world = World.of(3, 1)
    trail = trail_of(world, pause_ms=10_000)
    assert looks(trail, world, 10, OVER_MS, 9_999) is None
    assert ended(trail, world, 10_000).outcome is StepOutcome.NOT_DONE


def test_a_promotion_at_the_last_moment_is_seen() -> None:
    world = World.of(3, 1)
    trail = trail_of(world)
    looks(trail, world, OVER_MS - 1)
    promote(world)
    assert looks(trail, world, OVER_MS) is None
    assert ended(trail, world, OVER_MS + 1).outcome is StepOutcome.DONE


def test_what_is_missing_in_the_end_is_named() -> None:
    world = World.of(3, 1)
    trail = trail_of(world)
    promote(world)
    world["a"].info["master_link_status"] = "down"
    assert looks(trail, world, 10, 59_000) is None, "a full copy takes its time"
    followed = ended(trail, world, 60_010)
    assert followed.outcome is StepOutcome.INCOMPLETE
    assert "a is its replica, and has no link to it" in followed.why
    assert followed.new_primary == NEW


def test_a_view_that_never_hears_of_it_does_not_hold_us_for_a_minute() -> None:
    world = World.of(3, 1)
    trail = trail_of(world)
    promote(world, ("a", "a1", "b", "c", "b1"))
    assert looks(trail, world, 10, OVER_MS - 1) is None
    followed = ended(trail, world, OVER_MS)
    assert followed.outcome is StepOutcome.INCOMPLETE
    assert "not those of c1" in followed.why


def test_a_primary_that_failed_meanwhile_makes_it_another_election() -> None:
    """Then the server does not wait for equal offsets: OK and a promotion do not mean that nothing was lost."""
    world = World.of(3, 1)
    trail = trail_of(world)
    counters(world, "a1", mfstart_sent=1)
    world.kill("a")
    assert looks(trail, world, 3000, OVER_MS) is None, "the servers may still elect somebody"
    promote(world)
    followed = ended(trail, world, OVER_MS + 100, OVER_MS + 200, OVER_MS + 2200)
    assert followed.outcome is StepOutcome.INCOMPLETE
    assert not followed.ours
    assert "writes may be lost" in followed.why
    assert "failed" in [each.event for each in followed.timeline]


def test_a_promotion_that_nobody_asked_for_is_not_ours() -> None:
    world = World.of(3, 1)
    refused = Answered(refused="ERR Master is down or failed, please use CLUSTER FAILOVER FORCE")
    trail = trail_of(world, answered=refused)
    promote(world)
    followed = ended(trail, world, 10, 20)
    assert (followed.outcome, followed.ours) == (StepOutcome.DONE, False)


def test_without_a_request_of_the_target_it_is_not_ours() -> None:
    world = World.of(3, 1)
    counters(world, "a1", mfstart_sent=4)
    trail = trail_of(world)
    promote(world)
    assert not ended(trail, world, 10, 20).ours
    counters(world, "a1", mfstart_sent=5)
    assert ended(trail, world, 30).ours


def test_another_replica_that_is_promoted_is_not_the_target() -> None:
    world = two_replicas()
    trail = trail_of(world)
    other = world["a2"]
    other.primary, other.slots, other.epoch = None, world["a"].slots, 9
    world["a"].primary, world["a"].slots = other.node_id, ()
    followed = ended(trail, world, 10, 20)
    assert (followed.outcome, followed.ours, followed.new_primary, followed.epoch_after) == (
        StepOutcome.NOT_DONE,
        False,
        other.node_id,
        9,
    )


def test_what_was_refused_is_looked_at_twice_and_over() -> None:
    world = World.of(3, 1)
    trail = trail_of(world, answered=Answered(refused="NOPERM User rcfail has no permissions"))
    assert looks(trail, world, 10) is None
    followed = ended(trail, world, 20)
    assert followed.outcome is StepOutcome.NOT_DONE
    assert "NOPERM" in followed.why


@pytest.mark.parametrize(
    ("silent", "answered", "outcome"),
    [
        ("a1", Answered(), StepOutcome.NOT_DONE),
        ("a1 a b", Answered(), StepOutcome.INDETERMINATE),
        ("a1", Answered(unanswered=True), StepOutcome.NOT_DONE),
    ],
    ids=["the voters tell", "too few voters tell", "it is gone, so it cannot go on"],
)
def test_a_target_that_is_silent(silent: str, answered: Answered, outcome: StepOutcome) -> None:
    world = World.of(3, 1)
    followed = ended(trail_of(world, answered=answered), world, 10, OVER_MS, silent=silent)
    assert followed.outcome is outcome
    assert "a1 is silent" in followed.why


def test_a_frozen_target_that_took_the_command_may_carry_it_out_later() -> None:
    world = World.of(3, 1)
    trail = trail_of(world, answered=Answered(unanswered=True))
    frozen = {**words(world), NEW: Word(silence="took the connection, sent no byte in time")}
    trail.take(frozen, OVER_MS)
    followed = trail.ended()
    assert followed is not None
    assert followed.outcome is StepOutcome.INDETERMINATE


def test_cut_short_says_only_what_is_known() -> None:
    world = World.of(3, 1)
    assert trail_of(world).cut_short().outcome is StepOutcome.INDETERMINATE
    trail = trail_of(world)
    looks(trail, world, 2000)
    followed = trail.cut_short()
    assert followed.outcome is StepOutcome.INDETERMINATE
    assert "5.0 s more" in followed.why
    promote(world, ("a", "a1"))
    looks(trail, world, 2100)
    assert trail.cut_short().outcome is StepOutcome.INCOMPLETE
    looks(trail, World.of(3, 1), OVER_MS)


def ignored(world: World) -> None:
    world["a"].sees[NEW] = world["a1"].line(primary=None)


def unheard(world: World) -> None:
    counters(world, "a1", mfstart_sent=1)


def unlinked(world: World) -> None:
    world["a1"].info |= {"master_link_status": "down", "slave_repl_offset": "4200"}
    counters(world, "a1", mfstart_sent=1)
    counters(world, "a", mfstart_received=1)


def elsewhere(world: World) -> None:
    world["a1"].primary = node_id("b")


def lagging(world: World) -> None:
    counters(world, "a1", mfstart_sent=1)
    counters(world, "a", mfstart_received=1)
    world["a1"].info["slave_repl_offset"] = "4200"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (ignored, "a ignored the request: it did not list a1 as its replica yet"),
        (unheard, "the request of a1 did not reach a on the cluster bus"),
        (unlinked, "the offsets never met: the link of a1 to its primary is down"),
        (lagging, "the offsets never met: a1 is 800 bytes behind"),
        (elsewhere, "a1 became a replica of b meanwhile"),
    ],
)
def test_why_a_graceful_request_came_to_nothing(change: Callable[[World], None], why: str) -> None:
    world = World.of(3, 1)
    if change is ignored:
        change(world)  # it was so before the send too
    trail = trail_of(world)
    change(world)
    followed = ended(trail, world, 10, OVER_MS)
    assert (followed.outcome, followed.why) == (StepOutcome.NOT_DONE, why)


def test_a_primary_that_says_nothing_did_not_react() -> None:
    world = World.of(3, 1)
    followed = ended(trail_of(world), world, 10, OVER_MS, silent="a")
    assert followed.why == "a did not react: connection refused"
    assert "hold writes back" in followed.hint


def test_votes_are_counted_for_each_election_by_itself() -> None:
    """A node that does not win stands again within the attempt, and gets the same single vote again."""
    world = World.of(3, 1)
    counters(world, "a1", auth_req_sent=5, auth_ack_received=2)
    trail = trail_of(world, Mode.FORCE, replace(TERMS, cooldown_ms=4000))
    counters(world, "a1", auth_req_sent=10)
    looks(trail, world, 10)
    for at_ms, asked, got in ((20, 10, 3), (4100, 15, 3), (4110, 15, 4)):
        counters(world, "a1", auth_req_sent=asked, auth_ack_received=got)
        looks(trail, world, at_ms)
    counters(world, "b", auth_req_received=1)
    followed = ended(trail, world, OVER_MS, silent="a")
    assert followed.why.startswith("a1 asked for votes and got 1 of the 2 that are needed; silent: a;")
    assert "did not hear it: c" in followed.why
    assert "voted no: b (they voted in this shard a moment ago)" in followed.why
    assert followed.retry_after_ms is None, "with one voter that hears it no election can be won"


def test_after_a_denied_vote_another_attempt_works_when_its_cooldown_is_over() -> None:
    world = World.of(3, 1)
    trail = trail_of(world, terms=replace(TERMS, cooldown_ms=60_000))
    counters(world, "a1", auth_req_sent=5)
    for letter in "abc":
        counters(world, letter, auth_req_received=1)
    followed = ended(trail, world, 100, OVER_MS)
    assert followed.why.endswith("voted no: a, b and c (they voted in this shard a moment ago)")
    assert followed.retry_after_ms == 60_000 - (OVER_MS - 100)


def test_voters_that_did_not_know_it_as_a_replica_yet() -> None:
    """They do in the end, so what they knew before the send is the reason."""
    world = World.of(3, 1)
    for letter in "abc":
        world[letter].sees[NEW] = world["a1"].line(primary=None)
    trail = trail_of(world)
    for letter in "abc":
        world[letter].sees.clear()
        counters(world, letter, auth_req_received=1)
    counters(world, "a1", auth_req_sent=5)
    followed = ended(trail, world, 100, OVER_MS)
    assert followed.why.endswith("voted no: a, b and c (it was no replica for them yet)")


def in_cooldown(stood_ms: int | None, prepared_ms: int) -> Followed:
    world = World.of(3, 1)
    counters(world, "a1", auth_req_sent=5, mfstart_sent=1)
    counters(world, "a", mfstart_received=1)
    terms = replace(TERMS, cooldown_ms=60_000, stood_ms=stood_ms, prepared_ms=prepared_ms)
    trail = trail_of(world, terms=terms)
    counters(world, "a1", mfstart_sent=2)
    counters(world, "a", mfstart_received=2)
    return ended(trail, world, 10, OVER_MS)


def test_a_cooldown_is_told_with_its_end() -> None:
    known = in_cooldown(stood_ms=20_000, prepared_ms=300)
    assert "its last election was 27 s ago (cooldown)" in known.why
    assert known.retry_after_ms == 60_000 - 20_000 - OVER_MS
    unknown = in_cooldown(stood_ms=None, prepared_ms=300)
    assert "less than 60 s ago (cooldown)" in unknown.why
    assert unknown.retry_after_ms == 60_000 - 300 - OVER_MS, "at the latest"


def test_who_never_stood_has_no_cooldown() -> None:
    world = World.of(3, 1)
    followed = ended(trail_of(world, terms=replace(TERMS, cooldown_ms=60_000)), world, 10, OVER_MS)
    assert "cooldown" not in followed.why
    assert followed.retry_after_ms is None


def test_a_claim_in_an_old_epoch_is_no_promotion() -> None:
    """Redis counts the votes of a replica's last election again; the others take no notice, and it steps back."""
    world = World.of(3, 1)
    world["a"].epoch = world["a1"].epoch = 8
    trail = trail_of(world, terms=replace(TERMS, cooldown_ms=60_000))
    claiming = World.of(3, 1)
    claiming["a"].epoch, claiming["a1"].epoch = 8, 7
    claiming["a1"].primary, claiming["a1"].slots = None, claiming["a"].slots
    assert looks(trail, claiming, 5) is None
    followed = ended(trail, world, 20, OVER_MS)
    assert followed.outcome is StepOutcome.NOT_DONE
    assert "counted the votes of its last election again: it claimed the slots in epoch 7" in followed.why
    assert [each.event for each in followed.timeline] == ["claims"]
    assert followed.retry_after_ms == 60_000 - OVER_MS
