"""The canary in real shards that change hands: what it says is held against the servers and an independent load."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from rcfail.change.after.felt import CanaryResult
from rcfail.clock import SYSTEM_CLOCK, Deadline
from rcfail.cluster.nouns import Role
from rcfail.cluster.permissions import Purpose, permissions
from rcfail.cluster.snapshot import Snapshot
from rcfail.health.finding import Thresholds
from rcfail.practice.canary import Canary
from rcfail.practice.canary_keys import Keys
from rcfail.practice.lab.access import Access, EndpointType
from rcfail.practice.lab.damage import Refusal
from rcfail.practice.lab.environment import variables
from rcfail.rounds import look_until_settled
from rcfail.session import open_door, open_sight
from rcfail.settings.load import Flags, load
from rcfail.wire.door import Door
from tests.real.conftest import LabMaker
from tests.real.loader import Loader
from tests.real.resp import key_in
from tests.real.servers import RunningLab, ServerUnderTest
from tests.real.test_lab_faults import needs_firewall

every_server = pytest.mark.every_server

GAP_MS = 1000
"""The node timeout of these labs: no automatic failover is faster."""


@dataclass
class Shard:
    """The first shard of a lab, seen and ready for a canary."""

    lab: RunningLab
    door: Door
    snapshot: Snapshot

    def canary(self, **options: float) -> Canary:
        return Canary(self.door, self.snapshot, self.lab.node("n1").node_id, **options)  # type: ignore[arg-type]

    @property
    def target(self) -> str:
        return self.lab.replica_of("n1").name

    def leads(self, name: str) -> bool:
        return self.lab.belief(name, name).role is Role.PRIMARY

    def until_written(self, more: int = 100, at: str = "n1") -> None:
        """Until that many keys more stand on the node."""
        before = keys_on(self.lab, at)
        self.lab.wait(lambda: keys_on(self.lab, at) >= before + more, f"{more} canary writes", 60)

    def sizes(self) -> list[int]:
        return [keys_on(self.lab, node.name) for node in self.lab.nodes]


def keys_on(lab: RunningLab, name: str) -> int:
    found = lab.ask(lab.node(name), "DBSIZE")
    assert isinstance(found, int), found
    return found


def shard_of(lab: RunningLab) -> Shard:
    """As whom the lab's own variables say."""
    env = variables(lab.entry)
    settings = load(Flags(), env)
    sight = open_sight(settings, env)
    looked = look_until_settled(sight, Thresholds(), SYSTEM_CLOCK, Deadline.after(20))
    return Shard(lab, open_door(settings, env), looked.snapshot)


def threads() -> list[str]:
    return [each.name for each in threading.enumerate() if each.name.startswith("canary")]


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Callable[[RunningLab, str], int]:
    """The canary's keys are not removed, so that a test can count them itself."""
    monkeypatch.setattr(Keys, "remove", lambda *_: 0)

    def count(lab: RunningLab, name: str) -> int:
        found = lab.ask(lab.node(name), "KEYS", "rcfail:*")
        assert isinstance(found, tuple), found
        return len(found)

    return count


def adds_up(felt: CanaryResult) -> None:
    answered = felt.written - felt.acknowledged - felt.unknown
    assert 0 <= answered <= sum(count for _, count in felt.errors), felt
    assert felt.lost is None or felt.lost + felt.appeared <= felt.written, felt


@every_server
def test_nothing_happens_to_a_shard_that_is_well(lab: LabMaker) -> None:
    one = shard_of(lab())
    one.lab.say("n1", "SET", key_in(0), "theirs")
    before = one.sizes()
    with one.canary() as canary:
        assert canary.unready == ""
        one.until_written(150)
        ttl = [one.lab.ask(one.lab.node("n1"), "PTTL", str(key)) for key in _some_keys(one.lab)]
        assert ttl
        assert all(isinstance(each, int) and 500_000 < each <= 600_000 for each in ttl)
    felt = canary.result()
    assert (felt.lost, felt.unknown, felt.errors, felt.left) == (0, 0, (), 0), felt
    assert felt.acknowledged == felt.written == felt.checked >= 150
    assert felt.write_gap_ms is not None
    assert felt.read_gap_ms is not None
    assert not felt.write_gap_open
    one.lab.wait(lambda: one.sizes() == before, "the keys to be gone, on the replicas too")
    assert threads() == []


def _some_keys(lab: RunningLab) -> list[str]:
    found = lab.ask(lab.node("n1"), "KEYS", "rcfail:*")
    assert isinstance(found, tuple)
    return [str(each) for each in found[:5]]


@every_server
def test_a_graceful_failover_loses_nothing_and_is_felt(lab: LabMaker, kept: Callable[[RunningLab, str], int]) -> None:
    one = shard_of(lab())
    with one.canary() as canary:
        one.until_written()
        one.lab.say(one.target, "CLUSTER", "FAILOVER")
        one.lab.wait(lambda: one.leads(one.target), "the target to lead")
        one.until_written(at=one.target)
        canary.stop(one.lab.node(one.target).node_id)
    felt = canary.result()
    adds_up(felt)
    assert (felt.lost, felt.unknown, felt.write_gap_open) == (0, 0, False), felt
    assert dict(felt.errors).get("MOVED", 0) >= 2, "the writer and the reader were both sent on"
    assert felt.checked == felt.acknowledged == kept(one.lab, one.target)
    assert threads() == []


@every_server
def test_a_killed_primary_is_felt_as_long_as_an_independent_client_feels_it(lab: LabMaker) -> None:
    one = shard_of(lab(node_timeout_ms=GAP_MS))
    with Loader(one.lab.nodes, slots=[0], every_s=0.005) as load:
        with one.canary() as canary:
            one.until_written()
            one.lab.kill("n1")
            one.lab.wait(lambda: one.leads(one.target), "the automatic failover", 60)
            one.until_written(at=one.target)
            canary.stop(one.lab.node(one.target).node_id)
        load.stop()
    felt, truth = canary.result(), load.shards[0]
    adds_up(felt)
    assert felt.write_gap_ms is not None
    assert felt.read_gap_ms is not None
    assert felt.write_gap_ms > GAP_MS * 0.8, "nobody is failed before the node timeout"
    assert 0.6 < felt.write_gap_ms / truth.gap_ms < 1.6, (felt, truth)
    assert felt.read_gap_ms > GAP_MS * 0.8
    assert felt.lost is not None, felt
    assert {"closed", "refused"} & dict(felt.errors).keys(), felt
    one.lab.wait(lambda: not _some_keys_on(one.lab, one.target), "the keys to be removed")


def _some_keys_on(lab: RunningLab, name: str) -> object:
    return lab.ask(lab.node(name), "KEYS", "rcfail:*")


@every_server
def test_what_a_forced_failover_loses_is_counted_to_the_key(
    lab: LabMaker, kept: Callable[[RunningLab, str], int]
) -> None:
    one = shard_of(lab())
    with Loader(one.lab.nodes, slots=[0], every_s=0.005) as load:
        with one.canary() as canary:
            one.until_written(400)
            one.lab.break_replication(one.target)
            one.until_written(400)
            one.lab.say(one.target, "CLUSTER", "FAILOVER", "FORCE")
            one.lab.wait(lambda: one.leads(one.target), "the target to lead")
            one.lab.wait(lambda: not one.leads("n1"), "the old primary to step down")
            one.until_written(at=one.target)
            canary.stop(one.lab.node(one.target).node_id)
        load.stop()
    felt, truth = canary.result(), load.shards[0]
    adds_up(felt)
    assert felt.lost, felt
    assert felt.lost == felt.acknowledged - (kept(one.lab, one.target) - felt.appeared)
    assert felt.lost_keys
    assert all(one.lab.ask(one.lab.node(one.target), "EXISTS", key) == 0 for key in felt.lost_keys)
    # The same time of the same shard: what both lost is the same part of what they wrote in it.
    assert truth.lost > 0
    assert 0.5 < (felt.lost / felt.acknowledged) / (truth.lost / truth.acknowledged) < 2, (felt, truth)


@needs_firewall
def test_what_was_written_to_a_primary_that_was_cut_off_is_lost(
    lab: LabMaker, kept: Callable[[RunningLab, str], int]
) -> None:
    """We reach both sides. The old primary still has every key, and the new one's word counts."""
    one = shard_of(lab(node_timeout_ms=2000))
    with one.canary() as canary:
        one.until_written()
        one.lab.partition("n1")
        one.lab.wait(lambda: one.leads(one.target), "the greater side to promote its replica", 60)
        one.until_written(at=one.target)
        assert one.leads("n1"), "nobody told it yet"
        canary.stop(one.lab.node(one.target).node_id)
    felt = canary.result()
    adds_up(felt)
    assert felt.lost, felt
    assert felt.lost == felt.acknowledged - (kept(one.lab, one.target) - felt.appeared)
    assert "CLUSTERDOWN" in dict(felt.errors), felt


@needs_firewall
def test_of_two_that_serve_one_shard_neither_is_believed(lab: LabMaker) -> None:
    """A takeover beside a primary that was just cut off; nobody says who shall count."""
    one = shard_of(lab(node_timeout_ms=15_000))
    with one.canary() as canary:
        one.until_written()
        one.lab.partition("n1")
        one.until_written()
        one.lab.say(one.target, "CLUSTER", "FAILOVER", "TAKEOVER")
        one.lab.wait(lambda: one.leads(one.target), "the takeover")
        canary.stop()
    felt = canary.result()
    assert (felt.lost, felt.checked > 0) == (None, True), felt
    assert "both serve the shard" in felt.why


@every_server
def test_a_primary_that_pauses_longer_than_a_client_waits(lab: LabMaker) -> None:
    """The write that got no answer is unknown and not repeated; the end of the pause is felt at once all the same."""
    one = shard_of(lab())
    with one.canary() as canary:
        one.until_written()
        one.lab.say("n1", "CLIENT", "PAUSE", "5000", "WRITE")
        one.lab.wait(lambda: one.lab.ask(one.lab.node("n1"), "PING") == "PONG", "reads")
        one.until_written()
    felt = canary.result()
    adds_up(felt)
    assert felt.write_gap_ms is not None
    assert felt.read_gap_ms is not None
    assert felt.write_gap_ms > 4000, felt
    assert felt.read_gap_ms < felt.write_gap_ms, "a paused primary is read"
    assert (felt.unknown >= 1, felt.lost, felt.left) == (True, 0, 0), felt
    assert dict(felt.errors)["timeout"] == felt.unknown


def test_a_frozen_primary_is_left_and_its_successor_found(lab: LabMaker) -> None:
    one = shard_of(lab(node_timeout_ms=GAP_MS))
    with one.canary() as canary:
        one.until_written()
        one.lab.freeze("n1")
        one.lab.wait(lambda: one.leads(one.target), "the automatic failover", 60)
        one.until_written(at=one.target)
        canary.stop(one.lab.node(one.target).node_id)
    felt = canary.result()
    assert felt.write_gap_ms is not None
    assert (felt.write_gap_ms > GAP_MS * 0.8, felt.unknown >= 1, felt.write_gap_open) == (True, True, False), felt


def test_a_gap_is_not_cut_short_when_the_change_is_over_before_it(lab: LabMaker) -> None:
    """A client still waits for an answer of the frozen primary when the takeover is done."""
    one = shard_of(lab(node_timeout_ms=15_000))
    with one.canary() as canary:
        one.until_written()
        one.lab.freeze("n1")
        one.lab.say(one.target, "CLUSTER", "FAILOVER", "TAKEOVER")
        canary.stop(one.lab.node(one.target).node_id)
    felt = canary.result()
    assert felt.write_gap_ms is not None
    assert felt.write_gap_ms >= one.door.bounds.read_s * 1000
    assert (felt.write_gap_open, felt.read_gap_open, felt.unknown) == (False, False, 1), felt


@every_server
def test_a_shard_that_takes_no_writes_is_said_so(lab: LabMaker) -> None:
    one = shard_of(lab())
    one.lab.refuse_writes("n1", Refusal.OOM)
    with one.canary() as canary:
        assert "no write was acknowledged: OOM" in canary.unready
    felt = canary.result()
    assert (felt.acknowledged, felt.lost, felt.write_gap_ms) == (0, None, None), felt
    assert felt.read_gap_ms is not None
    assert felt.why == canary.unready
    assert dict(felt.errors)["OOM"] == felt.written


def test_it_goes_on_where_nobody_serves_and_feels_when_somebody_does(lab: LabMaker) -> None:
    one = shard_of(lab(node_timeout_ms=GAP_MS))
    one.lab.kill("n1")
    with one.canary() as canary:
        one.lab.wait(lambda: one.leads(one.target), "the automatic failover", 60)
        one.until_written(at=one.target)
        canary.stop(one.lab.node(one.target).node_id)
    felt = canary.result()
    assert (felt.lost, felt.left) == (0, 0), felt
    assert felt.acknowledged >= 100
    if canary.unready:  # else the failover was faster than its patience
        assert felt.write_gap_ms is not None
        assert felt.write_gap_ms >= 3000, "the time from the start on"


@every_server
def test_the_operating_user_is_enough_and_the_reading_one_is_told_what_is_missing(lab: LabMaker) -> None:
    one = shard_of(lab())
    for purpose in Purpose:
        for node in one.lab.nodes:
            words = permissions(one.lab.vitals(node).server, purpose)
            one.lab.say(node, "ACL", "SETUSER", purpose.value, "on", "nopass", *words)
        one.door = open_door(load(Flags(seeds=(one.lab.seeds,), user=purpose.value), {}), {})
        with one.canary() as canary:
            if purpose is Purpose.OPERATING:
                assert canary.unready == ""
                one.until_written()
            else:
                assert "NOPERM" in canary.unready
        felt = canary.result()
        told = (felt.lost, felt.left, "NOPERM" in dict(felt.errors))
        assert told == ((0, 0, False) if purpose is Purpose.OPERATING else (None, 0, True)), felt
    assert one.sizes() == [0] * 6
    assert threads() == []


def test_over_tls_as_a_user(lab: LabMaker, tls_server: ServerUnderTest) -> None:
    access = Access(tls=True, tls_only=True, user="operator", hostnames=True, endpoint_type=EndpointType.HOSTNAME)
    made = lab(access=access, server=tls_server.path)
    one = shard_of(made)
    with one.canary() as canary:
        assert canary.unready == ""
        one.until_written()
        one.lab.say(one.target, "CLUSTER", "FAILOVER")
        one.lab.wait(lambda: one.leads(one.target), "the target to lead")
        one.until_written(at=one.target)
        canary.stop(one.lab.node(one.target).node_id)
    felt = canary.result()
    assert (felt.lost, felt.left, felt.unknown) == (0, 0, 0), felt


def test_a_redirection_that_names_nobody_is_no_dead_end(lab: LabMaker) -> None:
    """The server leaves the host away, and at the host of the one that says so nobody else is."""
    one = shard_of(lab())
    for node in one.lab.nodes:
        one.lab.say(node, "CONFIG", "SET", "cluster-preferred-endpoint-type", "unknown-endpoint")
    with one.canary() as canary:
        one.until_written()
        one.lab.say(one.target, "CLUSTER", "FAILOVER")
        one.lab.wait(lambda: one.leads(one.target), "the target to lead")
        one.until_written(at=one.target)
    assert canary.result().lost == 0


def test_an_interrupted_change_leaves_no_key(lab: LabMaker) -> None:
    one = shard_of(lab())

    def change() -> None:
        with one.canary():
            one.until_written()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        change()
    one.lab.wait(lambda: one.sizes() == [0] * 6, "the keys to be gone")
    assert threads() == []


def test_the_keys_of_a_long_watch_stay_few(lab: LabMaker) -> None:
    one = shard_of(lab())
    with one.canary(pace_s=0.0, most_keys=300) as canary:
        began_s = SYSTEM_CLOCK.monotonic_s()
        most = [0]

        def grown() -> bool:
            most[0] = max(most[0], keys_on(one.lab, "n1"))
            return SYSTEM_CLOCK.monotonic_s() - began_s > 4

        one.lab.wait(grown, "more writes than keys", 30)
    felt = canary.result()
    assert felt.acknowledged > felt.checked > 0
    assert most[0] <= 300 + 500
    assert (felt.lost, felt.left) == (0, 0), felt
    one.lab.wait(lambda: one.sizes() == [0] * 6, "the keys to be gone")


def test_an_owner_that_cannot_be_asked_leaves_the_loss_unknown(lab: LabMaker) -> None:
    one = shard_of(lab())
    with one.canary() as canary:
        one.until_written()
        one.lab.kill(one.target)
        canary.stop(one.lab.node(one.target).node_id)
    felt = canary.result()
    assert (felt.lost, felt.checked) == (None, 0), felt
    assert "no canary key could be looked for" in felt.why
    assert felt.left == felt.acknowledged


def test_a_new_primary_that_does_not_know_the_user_is_felt(lab: LabMaker) -> None:
    """Users are not copied between nodes."""
    one = shard_of(lab())
    for node in one.lab.nodes:
        if node.name != one.target:
            words = permissions(one.lab.vitals(node).server, Purpose.OPERATING)
            one.lab.say(node, "ACL", "SETUSER", "operator", "on", "nopass", *words)
    one.door = open_door(load(Flags(seeds=(one.lab.seeds,), user="operator"), {}), {})
    target = one.lab.node(one.target)
    with one.canary() as canary:
        one.until_written()
        one.lab.say(target, "CLUSTER", "FAILOVER")
        one.lab.wait(lambda: one.leads(one.target), "the target to lead")
        one.lab.wait(lambda: "WRONGPASS" in one.lab.text(target, "INFO", "errorstats"), "the canary to be turned away")
        canary.stop(target.node_id)
    felt = canary.result()
    assert (felt.lost, felt.write_gap_open, felt.read_gap_open) == (None, True, True), felt
    assert "WRONGPASS" in dict(felt.errors)
    assert "WRONGPASS" in felt.why


def test_evicted_keys_are_not_called_lost(lab: LabMaker) -> None:
    """Keys with an end of their own are the first to go where that is the policy."""
    one = shard_of(lab())
    one.lab.say("n1", "CONFIG", "SET", "maxmemory-policy", "volatile-ttl")
    used = one.lab.vitals("n1").storage.used_memory
    assert used is not None
    with one.canary() as canary:
        one.until_written()
        one.lab.say("n1", "CONFIG", "SET", "maxmemory", str(used + 300_000))
        one.lab.wait(lambda: "evicted_keys:0" not in one.lab.text("n1", "INFO", "stats"), "evictions", 60)
    felt = canary.result()
    assert (felt.lost, felt.checked > 0) == (None, True), felt
    assert "evicted" in felt.why
