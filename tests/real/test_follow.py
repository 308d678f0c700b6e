"""What is seen of a failover after it was sent, on real servers: verified, not done and why, or not to be told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import pytest

from rcfail.change.after.follow import Followed, Follower
from rcfail.change.checks import CheckVerdict
from rcfail.change.plan import Step, plan_failover
from rcfail.change.request import Mode, Request
from rcfail.change.run import Moment, StepOutcome
from rcfail.clock import SYSTEM_CLOCK, Deadline
from rcfail.cluster.nouns import NodeId, Role
from rcfail.cluster.snapshot import Snapshot
from rcfail.health.finding import Thresholds
from rcfail.practice.lab.access import Access, EndpointType
from rcfail.practice.lab.register import NodeEntry
from rcfail.rounds import look_until_settled
from rcfail.session import open_door, open_sight
from rcfail.settings.load import Flags, load
from rcfail.wire.door import Door
from rcfail.wire.replies import Reply
from tests.real.conftest import LabMaker
from tests.real.servers import RunningLab, ServerUnderTest

every_server = pytest.mark.every_server

Between = Callable[[], object]


class Watched:
    """One failover of a lab: prepared, sent as it is, followed. What was told is in `moments`."""

    def __init__(self, lab: RunningLab, target: NodeEntry, primary: NodeEntry, mode: Mode = Mode.GRACEFUL) -> None:
        environment = lab.environment()
        settings = load(Flags(), environment)
        looked = look_until_settled(open_sight(settings, environment), Thresholds(), SYSTEM_CLOCK, Deadline.after(20))
        self.door: Door = open_door(settings, environment)
        self.snapshot: Snapshot = looked.snapshot
        request = Request(NodeId(target.node_id), NodeId(primary.node_id), mode)
        self.step: Step = plan_failover(self.snapshot, request).steps[0]
        self.moments: list[Moment] = []
        self.reply: Reply = None

    @contextmanager
    def follower(self) -> Iterator[Follower]:
        with Follower(self.door, self.snapshot, self.step, self.moments.append, SYSTEM_CLOCK) as follower:
            follower.prepare()
            yield follower

    def send(self) -> float:
        at_s = SYSTEM_CLOCK.monotonic_s()
        place = self.snapshot.nodes[self.step.target].endpoint
        assert place is not None
        self.reply = self.door.say(place, self.step.command, expect_id=self.step.target, deadline=Deadline.after(5))
        return at_s

    def go(self, before: Between = lambda: None, after: Between = lambda: None) -> Followed:
        """`before` the send, when all is prepared, and `after` it, when it is answered."""
        with self.follower() as follower:
            before()
            at_s = self.send()
            after()
            followed = follower.follow(at_s, self.reply)
        for each in (*self.moments, *followed.checks, followed.why):
            print(each)  # pytest shows it when a test fails
        return followed


def events(followed: Followed) -> list[str]:
    return [each.event for each in followed.timeline]


def whole(lab: RunningLab, target: NodeEntry, old: NodeEntry) -> None:
    """What the servers themselves say, asked without anything of the follower."""
    assert lab.belief(target, target).role is Role.PRIMARY
    for node in lab.nodes:
        assert lab.belief(node, target).slots == lab.belief(target, target).slots
    assert lab.vitals(old).replication.link_up


@every_server
def test_graceful_is_verified_in_every_view(lab: LabMaker) -> None:
    made = lab()
    primary, target = made.node("n1"), made.replica_of("n1")
    watched = Watched(made, target, primary)
    followed = watched.go()
    assert followed.outcome is StepOutcome.DONE, followed
    whole(made, target, primary)
    assert followed.new_primary == target.node_id
    assert followed.epoch_after == made.belief(target, target).config_epoch
    assert followed.ours
    told = events(followed)
    order = [told.index(each) for each in ("requested", "promoted", "demoted", "linked")]
    assert order == sorted(order)
    assert followed.timeline == tuple(watched.moments)
    assert [each.at_ms for each in watched.moments] == sorted(each.at_ms for each in watched.moments)
    assert watched.moments[told.index("promoted")].subject.startswith(str(target.endpoint))
    seen = [each.subject for each in watched.moments if each.event == "seen"]
    assert seen[-1] == "by 6 of 6 nodes"
    assert len(set(seen)) == len(seen)
    verdicts = {each.code: each.verdict for each in followed.checks}
    assert verdicts.pop("settled") in (CheckVerdict.PASS, CheckVerdict.WARN)
    assert set(verdicts.values()) == {CheckVerdict.PASS}


@every_server
def test_force_with_a_dead_primary(lab: LabMaker) -> None:
    made = lab(node_timeout_ms=15000)
    primary, target = made.node("n1"), made.replica_of("n1")
    made.kill(primary)
    followed = Watched(made, target, primary, Mode.FORCE).go()
    assert (followed.outcome, followed.ours, followed.new_primary) == (StepOutcome.DONE, True, target.node_id)
    verdicts = {each.code: each.verdict for each in followed.checks}
    assert verdicts["seen-by-all"] is CheckVerdict.PASS
    assert verdicts["old-primary"] is CheckVerdict.WARN, "it is gone, and nothing is expected of it"


@every_server
def test_takeover_without_a_majority(lab: LabMaker) -> None:
    made = lab(node_timeout_ms=15000)
    primary, target = made.node("n1"), made.replica_of("n1")
    made.kill("n1", "n2")
    followed = Watched(made, target, primary, Mode.TAKEOVER).go()
    assert (followed.outcome, followed.ours, followed.new_primary) == (StepOutcome.DONE, True, target.node_id)
    assert made.belief("n3", target).config_epoch == followed.epoch_after


def test_over_tls_as_a_user(lab: LabMaker, tls_server: ServerUnderTest) -> None:
    """Certificates are for host names, which the nodes announce."""
    access = Access(tls=True, tls_only=True, user="operator", hostnames=True, endpoint_type=EndpointType.HOSTNAME)
    made = lab(server=tls_server.path, access=access, hosts=6)
    watched = Watched(made, made.replica_of("n1"), made.node("n1"))
    assert watched.go().outcome is StepOutcome.DONE


@every_server
def test_a_voter_that_is_frozen_costs_nothing(lab: LabMaker) -> None:
    made = lab(node_timeout_ms=15000)
    primary, target = made.node("n1"), made.replica_of("n1")
    followed = Watched(made, target, primary).go(before=lambda: made.freeze("n2"))
    assert followed.outcome is StepOutcome.DONE, followed
    seen = next(each for each in followed.checks if each.code == "seen-by-all")
    assert "5 of 5 views" in seen.evidence
    assert str(made.node("n2").endpoint) in seen.evidence


@every_server
def test_another_shard_may_be_dead(lab: LabMaker) -> None:
    made = lab()
    made.kill("n2", *made.replicas_of("n2"))
    made.wait(lambda: made.vitals("n1").cluster.state == "fail", "the others see it")
    followed = Watched(made, made.replica_of("n1"), made.node("n1")).go()
    assert followed.outcome is StepOutcome.DONE, followed
    assert followed.ours


@every_server
def test_a_frozen_primary_does_not_react(lab: LabMaker) -> None:
    made = lab(node_timeout_ms=15000)
    primary, target = made.node("n1"), made.replica_of("n1")
    followed = Watched(made, target, primary).go(before=lambda: made.freeze(primary))
    assert followed.outcome is StepOutcome.NOT_DONE, followed
    assert "did not react" in followed.why
    assert "hold writes back" in followed.hint


@every_server
def test_a_primary_that_fails_meanwhile_makes_it_an_ordinary_election(lab: LabMaker) -> None:
    """The server was asked for a failover without loss, and elects without waiting for the end of the stream."""
    made = lab(node_timeout_ms=1000)
    primary, target = made.node("n1"), made.replica_of("n1")
    followed = Watched(made, target, primary).go(before=lambda: made.freeze(primary))
    assert followed.new_primary == target.node_id, followed
    assert not followed.ours
    assert "failed meanwhile" in f"{followed.why} {[each.subject for each in followed.timeline]}"


@every_server
def test_a_target_that_dies_after_the_send(lab: LabMaker) -> None:
    made = lab(node_timeout_ms=15000)
    primary, target = made.node("n1"), made.replica_of("n1")
    followed = Watched(made, target, primary).go(before=lambda: made.freeze(primary), after=lambda: made.kill(target))
    assert followed.outcome is StepOutcome.NOT_DONE, followed
    assert "is silent since the send" in followed.why
    assert "silent" in events(followed)


@every_server
def test_a_target_that_dies_after_its_promotion(lab: LabMaker) -> None:
    made = lab(node_timeout_ms=15000)
    primary, target = made.node("n1"), made.replica_of("n1")
    watched = Watched(made, target, primary)

    def promoted() -> None:
        made.wait(lambda: made.belief("n2", target).slots, "another node knows of the promotion")
        made.kill(target)

    followed = watched.go(after=promoted)
    assert followed.outcome is StepOutcome.INCOMPLETE, followed
    assert str(target.endpoint) in followed.why


@every_server
def test_no_majority_to_vote(lab: LabMaker) -> None:
    made = lab()
    primary, target = made.node("n1"), made.replica_of("n1")
    watched = Watched(made, target, primary, Mode.FORCE)
    followed = watched.go(before=lambda: made.kill("n1", "n2"))
    assert followed.outcome is StepOutcome.NOT_DONE, followed
    assert "got 1 of the 2 that are needed" in followed.why
    assert str(made.node("n2").endpoint) in followed.why
    assert "only takeover" in followed.hint
    assert followed.retry_after_ms is None


@every_server
def test_an_old_primary_that_cannot_link_back(lab: LabMaker) -> None:
    made = lab()
    primary, target = made.node("n1"), made.replica_of("n1")
    made.say(primary, "CONFIG", "SET", "masterauth", "wrong")
    watched = Watched(made, target, primary)
    watched.step = replace(watched.step, redundant_ms=3000)
    followed = watched.go()
    assert followed.outcome is StepOutcome.INCOMPLETE, followed
    assert "has no link" in followed.why
    assert str(primary.endpoint) in followed.why
    assert followed.new_primary == target.node_id


@pytest.mark.every_server(but="valkey")
def test_a_primary_ignores_a_target_that_it_does_not_list_yet(lab: LabMaker) -> None:
    """On Redis the demotion of the old primary is told by gossip alone, seconds after the failover."""
    made = lab(node_timeout_ms=5000)
    for old in made.primaries:
        new = made.replica_of(old)
        assert Watched(made, new, old).go().outcome is StepOutcome.DONE
        back = Watched(made, old, new)
        knows = [knows_demotion(made, new, old)]
        followed = back.go(after=partial(note_demotion, made, new, old, knows))
        if not any(knows):
            assert followed.outcome is StepOutcome.NOT_DONE, followed
            assert "did not list" in followed.why
            assert "settled" in followed.hint
            return
    pytest.fail("each new primary knew at once")


@every_server
def test_nobody_can_be_seen_any_more(lab: LabMaker) -> None:
    made = lab()
    followed = Watched(made, made.replica_of("n1"), made.node("n1")).go(before=lambda: made.freeze(*made.nodes))
    assert followed.outcome is StepOutcome.INDETERMINATE, followed


@every_server
def test_what_the_server_refuses_was_not_begun(lab: LabMaker) -> None:
    made = lab(conf=("cluster-replica-no-failover yes",))
    primary, target = made.node("n1"), made.replica_of("n1")
    made.kill(primary)
    made.wait(lambda: made.belief(target, primary).failed, "the target holds its primary for failed")
    followed = Watched(made, target, primary).go()
    assert followed.outcome is StepOutcome.NOT_DONE, followed
    assert "Master is down or failed" in followed.why
    assert "requested" not in events(followed)


@every_server
def test_who_is_interrupted_learns_what_happened(lab: LabMaker) -> None:
    made = lab()
    watched = Watched(made, made.replica_of("n1"), made.node("n1"))

    def interrupt(moment: Moment) -> None:
        if moment.event == "requested":
            raise KeyboardInterrupt

    follower = Follower(watched.door, watched.snapshot, watched.step, interrupt, SYSTEM_CLOCK)
    with follower:
        follower.prepare()
        at_s = watched.send()
        with pytest.raises(KeyboardInterrupt):
            follower.follow(at_s, watched.reply)
        followed = follower.look_now()
    assert followed.outcome is StepOutcome.DONE, followed


@pytest.mark.every_server(but="valkey")
def test_a_target_that_stood_for_election_a_moment_ago(lab: LabMaker) -> None:
    """There, back, and there again: the replica of the first switch asks for no votes until its cooldown is over."""
    made = lab(node_timeout_ms=10000)
    old, new = made.node("n1"), made.replica_of("n1")
    assert Watched(made, new, old).go().outcome is StepOutcome.DONE
    made.wait(lambda: all(knows_demotion(made, each, old) for each in made.nodes), "all know of the demotion", 60)
    assert Watched(made, old, new).go().outcome is StepOutcome.DONE
    made.wait(lambda: all(knows_demotion(made, each, new) for each in made.nodes), "all know of the demotion", 60)
    followed = Watched(made, new, old).go()
    assert followed.outcome is StepOutcome.NOT_DONE, followed
    assert "cooldown" in followed.why
    assert followed.retry_after_ms is not None
    assert 0 < followed.retry_after_ms < 40_000
    assert made.belief(old, old).role is Role.PRIMARY


def knows_demotion(lab: RunningLab, observer: NodeEntry, old: NodeEntry) -> bool:
    """The observer lists the old primary as a replica."""
    return lab.belief(observer, old).role is Role.REPLICA


def note_demotion(lab: RunningLab, new: NodeEntry, old: NodeEntry, knows: list[bool]) -> None:
    knows.append(knows_demotion(lab, new, old))
