"""What is seen of a failover after it was sent, on real servers: verified, not done and why, or not to be told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from rcfail.change.checks import CheckVerdict
from rcfail.change.follow import Followed, Follower
from rcfail.change.plan import Step, plan_failover
from rcfail.change.request import Mode, Request
from rcfail.change.run import Moment, StepOutcome
from rcfail.clock import SYSTEM_CLOCK, Deadline
from rcfail.cluster.nouns import NodeId, Role
from rcfail.cluster.snapshot import Snapshot
from rcfail.health.finding import Thresholds
from rcfail.practice.lab.register import NodeEntry
from rcfail.rounds import look_until_settled
from rcfail.session import open_door, open_sight
from rcfail.settings.load import Flags, load
from rcfail.wire.door import Door
from rcfail.wire.replies import Reply
from tests.real.conftest import LabMaker
from tests.real.servers import RunningLab

every_server = pytest.mark.every_server

Between = Callable[[], object]


class Watched:
    """One failover of a lab: prepared, sent as it is, followed. What was told is in `moments`."""

    def __init__(self, lab: RunningLab, target: NodeEntry, primary: NodeEntry, mode: Mode = Mode.GRACEFUL) -> None:
        self.lab = lab
        settings = load(Flags(seeds=(lab.seeds,)), {})
        looked = look_until_settled(open_sight(settings, {}), Thresholds(), SYSTEM_CLOCK, Deadline.after(20))
        self.door: Door = open_door(settings, {})
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
        print(followed.outcome, followed.why, followed.hint, followed.retry_after_ms)
        for moment in self.moments:
            print(moment)
        for check in followed.checks:
            print(check)
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
    assert [each for each in told if each in ("requested", "promoted", "demoted", "linked")] == [
        "requested",
        "promoted",
        "demoted",
        "linked",
    ] or told.index("demoted") > told.index("requested")
    assert followed.timeline == tuple(watched.moments)
    assert [each.at_ms for each in watched.moments] == sorted(each.at_ms for each in watched.moments)
    verdicts = {each.code: each.verdict for each in followed.checks}
    assert verdicts.pop("settled") in (CheckVerdict.PASS, CheckVerdict.WARN)
    assert set(verdicts.values()) == {CheckVerdict.PASS}
