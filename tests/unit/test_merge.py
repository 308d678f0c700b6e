"""Many views become one picture, and what was not seen is never made up."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rcfail.cluster.merge import merge
from rcfail.cluster.nouns import Endpoint, Role
from rcfail.cluster.observation import Absence, AbsenceKind, Ask, Observation, Silence, SilenceReason
from rcfail.cluster.snapshot import Known, Snapshot
from rcfail.health.diagnose import diagnose
from rcfail.health.finding import Thresholds
from rcfail.health.verdict import Diagnosis, Verdict, conclude
from tests.unit.world import Member, World, node_id

A, B, C = node_id("a"), node_id("b"), node_id("c")


def alive(world: World, letter: str) -> Known:
    return world.snapshot().nodes[node_id(letter)].alive


# Who owns a slot


def test_a_healthy_cluster_has_one_owner_for_every_slot() -> None:
    snapshot = World.of(3, 1).snapshot()
    assert [(part.first, part.last, part.owner) for part in snapshot.stretches] == [
        (0, 5460, A),
        (5461, 10921, B),
        (10922, 16383, C),
    ]
    assert all(claim.confirmed and len(claim.observers) == 6 for part in snapshot.stretches for claim in part.claims)
    assert [node.slot_count for node in snapshot.nodes.values() if node.slots] == [5461, 5461, 5462]


def test_the_owner_is_who_confirms_the_claim_with_the_greatest_epoch() -> None:
    """A primary that hears nobody goes on claiming its slots after a failover: its epoch is the smaller one."""
    world = World.of(3, 1)
    world["a1"].primary, world["a1"].slots, world["a1"].epoch = None, world["a"].slots, 9
    for observer in world:
        if observer.node_id != A:
            observer.sees = {A: world["a"].line(slots=())}
    world["a"].sees = {node_id("a1"): world["a1"].line(primary=A, slots=(), epoch=1)}
    first = world.snapshot().stretches[0]
    assert (first.owner, [claim.node_id for claim in first.confirmed]) == (node_id("a1"), [node_id("a1"), A])


def test_a_claim_that_only_others_make_is_nobodys() -> None:
    """After RESET SOFT a primary claims nothing, and all others go on naming it as the owner."""
    world = World.of(3, 1)
    world["a"].slots = ()
    for observer in world:
        if observer.node_id != A:
            observer.sees = {A: world["a"].line(slots=((0, 5460),))}
    first = world.snapshot().stretches[0]
    assert (first.owner, first.confirmed) == (None, ())
    assert [claim.node_id for claim in first.claims] == [A]


def test_a_dead_owner_keeps_its_slots_until_somebody_takes_them() -> None:
    world = World.of(3, 1)
    world.kill("a")
    assert world.snapshot().nodes[A].slots == ((0, 5460),)


def test_a_confirmed_claim_beats_a_greater_epoch_that_the_claimant_denies() -> None:
    world = World.of(3, 1)
    world["c"].sees = {B: world["b"].line(slots=((0, 10921),), epoch=99)}
    assert world.snapshot().stretches[0].owner == A


# Roles, primaries, shards


def test_a_node_is_what_it_says_itself() -> None:
    """After a failover on Redis the others go on listing the old primary as one for up to 11 s."""
    world = World.of(3, 1)
    old, new = world["a"], world["a1"]
    new.primary, new.slots, new.epoch = None, old.slots, 9
    old.primary, old.slots = new.node_id, ()
    for observer in world:
        if observer is not old:
            observer.sees = {A: old.line(primary=None)}
    snapshot = world.snapshot()
    assert (snapshot.nodes[A].role, snapshot.nodes[A].primary_id) == (Role.REPLICA, new.node_id)
    assert (snapshot.shards[0].primary_id, snapshot.shards[0].replica_ids) == (new.node_id, (A,))


def test_a_silent_node_is_what_most_say() -> None:
    world = World.of(3, 1)
    world["a1"].silence = SilenceReason.CONNECT_TIMEOUT
    world["b"].sees = {node_id("a1"): world["a1"].line(primary=B)}
    assert world.snapshot().nodes[node_id("a1")].primary_id == A


def test_a_replica_of_a_replica_is_in_the_shard_of_the_top() -> None:
    world = World.of(3, 2)
    world["a2"].primary = node_id("a1")
    assert world.snapshot().shards[0].replica_ids == (node_id("a1"), node_id("a2"))


def test_a_ring_of_replicas_ends_the_search() -> None:
    world = World.of(3, 2)
    world["a1"].primary, world["a2"].primary = node_id("a2"), node_id("a1")
    assert world.snapshot().shards[0].replica_ids == ()


def test_flags_are_counted_by_who_raises_them() -> None:
    world = World.of(3, 1)
    world["b"].sees = {A: world["a"].line(flags=("fail?",))}
    world["c"].sees = {A: world["a"].line(flags=("fail",)), node_id("b1"): None}
    snapshot = world.snapshot()
    assert (snapshot.nodes[A].suspected_by, snapshot.nodes[A].failed_by) == ((B,), (C,))
    assert snapshot.nodes[node_id("b1")].unknown_to == (C,)


# Alive: silent to us is not dead


def test_a_silent_node_lives_while_a_majority_of_voters_hears_it() -> None:
    world = World.of(3, 1)
    world["b1"].silence = SilenceReason.CONNECT_TIMEOUT
    assert alive(world, "b1") is Known.YES


def test_a_silent_primary_lives_while_its_replica_hears_it() -> None:
    """Two of the three voters are silent to us, so no majority of them can tell."""
    world = World.of(3, 1)
    world["a"].silence = world["b"].silence = SilenceReason.CONNECT_TIMEOUT
    assert (alive(world, "a"), alive(world, "b")) == (Known.YES, Known.YES)


@pytest.mark.parametrize("last_io", ["13", "-1", None])
def test_an_old_or_unknown_link_proves_no_life(last_io: str | None) -> None:
    world = World.of(3, 1)
    world["a"].silence = world["b"].silence = SilenceReason.CONNECT_TIMEOUT
    world["a1"].info |= {"master_last_io_seconds_ago": last_io}
    assert alive(world, "a") is Known.UNKNOWN


@pytest.mark.parametrize("agreed", [True, False])
def test_a_killed_node_is_dead(agreed: bool) -> None:
    world = World.of(3, 1)
    world.kill("a", agreed)
    assert alive(world, "a") is Known.NO


def test_when_nobody_can_vouch_it_is_unknown() -> None:
    world = World.of(3, 1)
    for letter in ("a", "b", "c", "a1"):
        world[letter].silence = SilenceReason.CONNECT_TIMEOUT
    assert alive(world, "a") is Known.UNKNOWN


# Properties


def _broken(seed: int) -> World:
    """A cluster with a few things wrong, of every kind that a view can show."""
    dice = random.Random(seed)
    world = World.of(dice.choice((1, 2, 3, 5)), dice.choice((0, 1, 2)))
    members = list(world)
    for _ in range(dice.randint(0, 3)):
        member, other = dice.choice(members), dice.choice(members)
        faults: tuple[Callable[[], object], ...] = (
            lambda member=member: world.kill(_letters(member.node_id), dice.random() < 0.5),  # type: ignore[misc]
            lambda member=member: setattr(member, "silence", SilenceReason.CONNECT_TIMEOUT),  # type: ignore[misc]
            lambda member=member, other=other: member.sees.update({other.node_id: None}),  # type: ignore[misc]
            lambda member=member, other=other: member.sees.update(  # type: ignore[misc]
                {other.node_id: other.line(flags=("fail?",))}
            ),
            lambda member=member: member.info.update({"master_link_status": "down"}),  # type: ignore[misc]
            lambda member=member: member.absences.update(  # type: ignore[misc]
                {Ask.INFO: Absence(AbsenceKind.NOT_PERMITTED)}
            ),
            lambda member=member: setattr(member, "slots", ()),  # type: ignore[misc]
            lambda member=member: setattr(member, "epoch", 9),  # type: ignore[misc]
        )
        dice.choice(faults)()
    return world


def _letters(member_id: str) -> str:
    return member_id[0] if len(set(member_id)) == 1 else member_id.rstrip("0")


def _judge(observation: Observation) -> tuple[Snapshot, Diagnosis]:
    snapshot = merge(observation)
    return snapshot, conclude(diagnose(snapshot, Thresholds()))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.randoms(use_true_random=False))
def test_the_order_of_the_views_does_not_matter(seed: int, dice: random.Random) -> None:
    observation = _broken(seed).observe()
    answers, silences = list(observation.answers), list(observation.silences)
    dice.shuffle(answers)
    dice.shuffle(silences)
    shuffled = replace(observation, answers=tuple(answers), silences=tuple(silences))
    (one, judged), (other, judged_other) = _judge(observation), _judge(shuffled)
    assert replace(one, silences=()) == replace(other, silences=())
    assert judged == judged_other


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10_000), st.data())
def test_a_silence_never_makes_it_better(seed: int, data: st.DataObject) -> None:
    """Replace one answer by a silence: nothing that was not YES becomes so, and no verdict becomes OK."""
    observation = _broken(seed).observe()
    if not observation.answers:
        return
    lost = data.draw(st.sampled_from(observation.answers))
    silence = Silence(lost.endpoint, lost.expected, SilenceReason.CONNECT_TIMEOUT, "", 1000)
    less = replace(
        observation,
        answers=tuple(answer for answer in observation.answers if answer is not lost),
        silences=(*observation.silences, silence),
    )
    (whole, before), (part, after) = _judge(observation), _judge(less)
    assert after.verdict is not Verdict.OK
    for promise in ("serving", "redundant", "failover_ready"):
        assert getattr(after, promise) is not Known.YES or getattr(before, promise) is Known.YES
    if part.electorate.voters == whole.electorate.voters:
        assert part.electorate.quorum is not Known.YES or whole.electorate.quorum is Known.YES
    for each, node in part.nodes.items():
        assert node.alive is not Known.YES or whole.nodes[each].alive is Known.YES


def test_a_stranger_that_claims_slots_owns_none_and_a_node_alone_owns_its_own() -> None:
    world = World.of(3, 0)
    stranger = Member(node_id("e"), Endpoint("127.50.9.1", 7900), slots=((0, 16000),), epoch=99)
    seen, foreign = world.observe(), World([stranger]).observe()
    both = merge(replace(seen, answers=(*seen.answers, replace(foreign.answers[0], expected=None))))
    assert both.nodes[node_id("e")].slots == ()
    assert {owner for part in both.stretches if (owner := part.owner)} == {node_id("a"), node_id("b"), node_id("c")}
    assert merge(foreign).nodes[node_id("e")].slots == ((0, 16000),)


def test_an_empty_node_named_first_does_not_stand_for_the_cluster() -> None:
    """It lost its nodes.conf and came back where its primary was: the cluster behind the other seeds is judged."""
    world = World.of(3, 1)
    seen, empty = world.observe(), World([Member(node_id("e"), Endpoint("127.50.9.1", 7900))]).observe()
    both = replace(seen, seeds=(*empty.seeds, *seen.seeds), answers=(empty.answers[0], *seen.answers))
    picture = merge(both)
    assert picture.electorate.voters == merge(seen).electorate.voters
    assert all(part.owner for part in picture.stretches)
    assert not picture.foreign
    assert node_id("e") in picture.nodes
