"""What a failover loses, sampled on real servers and held against the writes that are really gone."""

from __future__ import annotations

from contextlib import suppress

import pytest

from rcfail.change.after.sampler import Sampler
from rcfail.change.loss import Loss, at_risk
from rcfail.change.plan import plan_failover
from rcfail.change.request import Mode, Request
from rcfail.change.seen import Seen
from rcfail.errors import LabFault
from rcfail.practice.lab.writes import key_of
from tests.real.byte_writer import Writer, writing
from tests.real.conftest import LabMaker
from tests.real.servers import RunningLab
from tests.real.test_change_lock import seen

every_server = pytest.mark.every_server

# A primary that pings its replicas now and then would add bytes that are no writes. And a copy that begins a second
# late leaves the end of the old stream to be seen for that long, however busy this machine is.
EVEN = ("repl-ping-replica-period 3600", "repl-diskless-sync yes", "repl-diskless-sync-delay 1")


def sampler(lab: RunningLab, mode: Mode, primary: str = "n1") -> Sampler:
    door, snapshot = seen(lab)
    target = lab.replica_of(primary)
    request = Request(target.node_id, lab.node(primary).node_id, mode)
    return Sampler(door, snapshot, plan_failover(snapshot, request).steps[0])


def is_primary(lab: RunningLab, node: str) -> bool:
    return lab.vitals(node).replication.role == "master"


def follows(lab: RunningLab, node: str) -> bool:
    said = lab.vitals(node).replication
    return said.role == "slave" and said.link_up is True


def gone(lab: RunningLab, writer: Writer, new: str) -> int:
    """Bytes of acknowledged writes that the new primary does not have. Nobody else writes."""
    return (writer.acknowledged() - int(str(lab.ask(new, "DBSIZE")))) * writer.each


@every_server
@pytest.mark.parametrize("mode", [Mode.FORCE, Mode.TAKEOVER])
def test_the_sample_is_what_is_really_lost(lab: LabMaker, mode: Mode) -> None:
    made = lab(conf=EVEN)
    new = made.replica_of("n1")
    with writing(made, "n1") as writer, sampler(made, mode) as sampled:
        seen_twice = Seen(seen(made)[1], seen(made)[1])
        risk = at_risk(seen_twice, Request(new.node_id, made.node("n1").node_id, mode))
        made.say(new, "CLUSTER", "FAILOVER", mode.name)
        made.wait(lambda: is_primary(made, new.name) and follows(made, "n1"), "n1 follows", 60)
        loss = sampled.loss(risk)
        truth = gone(made, writer, new.name)
    assert (loss.lost_bytes, loss.at_risk_bytes) == (truth, risk), loss
    assert sampled.samples > 1


@every_server
def test_graceful_loses_nothing_and_that_is_shown(lab: LabMaker) -> None:
    made = lab(conf=EVEN)
    new = made.replica_of("n1")
    with writing(made, "n1") as writer, sampler(made, Mode.GRACEFUL) as sampled:
        made.say(new, "CLUSTER", "FAILOVER")
        made.wait(lambda: is_primary(made, new.name) and follows(made, "n1"), "n1 follows")
        loss = sampled.loss((0, 0))
        assert gone(made, writer, new.name) == 0
    assert (loss.lost_bytes, loss.lost_bytes_at_least) == (0, 0), loss
    assert "stream ended at" in loss.how or "follows without a new copy" in loss.how


@every_server
def test_a_late_look_tells_that_nothing_was_lost_but_not_how_much(lab: LabMaker) -> None:
    """Where the moment itself was missed, a partial copy still shows that there was nothing to throw away."""
    made = lab(conf=EVEN)
    new = made.replica_of("n1")
    late = sampler(made, Mode.GRACEFUL)
    made.say("n1", "SET", key_of(made.belief("n1", "n1")), "x" * 1000)
    made.wait(lambda: made.vitals(new).storage.keys == 1, "a copy of it")
    made.say(new, "CLUSTER", "FAILOVER")
    made.wait(lambda: is_primary(made, new.name) and follows(made, "n1"), "n1 follows")
    loss = late.loss(None)
    assert (loss.lost_bytes, loss.at_risk_bytes) == (0, None), loss


@every_server
def test_a_killed_primary_leaves_only_the_least(lab: LabMaker) -> None:
    made = lab(conf=EVEN)
    new = made.replica_of("n1")
    with writing(made, "n1") as writer, sampler(made, Mode.FORCE) as sampled:
        made.wait(lambda: sampled.samples > 20, "samples")
        made.kill("n1")
        made.wait(lambda: "fail" in made.belief(new, "n1").flags, "n1 is failed")
        with suppress(LabFault):  # it may have been elected meanwhile, and then it refuses
            made.say(new, "CLUSTER", "FAILOVER", "FORCE")
        made.wait(lambda: is_primary(made, new.name), "promoted")
        loss = sampled.loss(None)
        truth = gone(made, writer, new.name)
    assert loss.lost_bytes is None, loss
    assert loss.lost_bytes_at_least is not None
    assert loss.lost_bytes_at_least <= max(0, truth) + writer.each
    assert "silent" in loss.how


@every_server
def test_what_a_replica_without_a_link_had_not_copied_is_counted(lab: LabMaker) -> None:
    made = lab(conf=EVEN, node_timeout_ms=15000)
    new = made.replica_of("n1")
    with writing(made, "n1") as writer:
        made.break_replication(new)
        far = made.vitals(new).replication.own_offset or 0
        made.wait(lambda: (made.vitals("n1").replication.primary_offset or 0) > far + 1_000_000, "a lead of 1 MB")
        with sampler(made, Mode.TAKEOVER) as sampled:
            request = Request(new.node_id, made.node("n1").node_id, Mode.TAKEOVER)
            first = seen(made)[1]
            risk = at_risk(Seen(seen(made)[1], first), request)
            made.say(new, "CLUSTER", "FAILOVER", "TAKEOVER")
            made.wait(lambda: made.vitals("n1").replication.role == "slave", "n1 is demoted")
            loss = sampled.loss(risk)
            truth = gone(made, writer, new.name)
    assert risk is not None
    assert 1_000_000 < risk[0] <= risk[1]
    assert loss.lost_bytes == truth, loss
    assert truth > risk[0]


@every_server
def test_a_graceful_request_that_an_election_overtakes_is_not_called_lossless(lab: LabMaker) -> None:
    """The primary is frozen and the request lies there. When the voters call it failed the election begins at once,
    though no offsets were matched (clusterHandleSlaveFailover tests mf_end, cluster_legacy.c)."""
    made = lab(conf=EVEN)
    new = made.replica_of("n1")
    with writing(made, "n1"), sampler(made, Mode.GRACEFUL) as sampled:
        made.wait(lambda: sampled.samples > 20, "samples")
        made.freeze("n1")
        made.say(new, "CLUSTER", "FAILOVER")
        made.wait(lambda: is_primary(made, new.name), "promoted")
        loss = sampled.loss((0, 0))
        assert (loss.lost_bytes, "silent" in loss.how) == (None, True), loss
        made.thaw("n1")
        made.wait(lambda: follows(made, "n1"), "n1 follows", 60)


def test_nobody_promoted_is_no_loss_of_nothing(lab: LabMaker) -> None:
    made = lab()
    with sampler(made, Mode.FORCE) as sampled:
        assert sampled.loss((0, 10)) == Loss((0, 10), None, None, "no new primary was seen")


@every_server
def test_whoever_is_promoted_instead_is_counted_from(lab: LabMaker) -> None:
    """The target was asked for, and its sibling became primary: what that one took over is what counts."""
    made = lab(replicas=2, conf=EVEN)
    sibling = made.replicas_of("n1")[1]
    with writing(made, "n1") as writer, sampler(made, Mode.FORCE) as sampled:
        made.say(sibling, "CLUSTER", "FAILOVER", "TAKEOVER")
        made.wait(lambda: is_primary(made, sibling.name) and follows(made, "n1"), "n1 follows", 60)
        loss = sampled.loss(None)
        truth = gone(made, writer, sibling.name)
    assert loss.lost_bytes == truth, loss
