"""What `rcfail whatif` predicts, and what the servers then do: real hosts and zones are killed after the question."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest

from rcfail.clock import SYSTEM_CLOCK
from rcfail.practice.lab.register import NodeEntry
from rcfail.wire.refusals import Refusal
from tests.real.conftest import LabMaker
from tests.real.servers import RunningLab
from tests.real.verdicts import health_of

every_server = pytest.mark.every_server
OK, WARNING, CRITICAL = 0, 1, 2

EARLY_MS = 500
"""A ping may be on its way when its node dies: the wait for its answer began before, on a busy machine by so much."""


def forecast_of(lab: RunningLab, *words: str) -> dict[str, Any]:
    """The data of one run, with the exit code under "exit_code"."""
    ran = lab.rcfail("whatif", "-o", "json", *words)
    document: dict[str, Any] = json.loads(ran.stdout)
    assert document["exit_code"] == ran.returncode, ran
    assert not document["errors"], document["errors"]
    return {**document["data"], "exit_code": ran.returncode}


def labels(lab: RunningLab) -> list[str]:
    """The lab's zones as an operator labels them: a Redis server knows none."""
    return [word for node in lab.nodes for word in ("--zone", f"{node.endpoint}={node.zone}")]


def on_host(lab: RunningLab, host: str) -> list[NodeEntry]:
    return [node for node in lab.nodes if node.host == host]


def shard_of(data: dict[str, Any], primary: NodeEntry) -> dict[str, Any]:
    found = next(each for each in data["after"]["shards"] if each["primary_id"] == primary.node_id)
    assert isinstance(found, dict)
    return found


def names(lab: RunningLab, ids: Iterable[str]) -> set[str]:
    meant = set(ids)
    return {node.name for node in lab.nodes if node.node_id in meant}


def owner(lab: RunningLab, observer: NodeEntry, slot: int) -> str:
    """The id of the node that an observer names for a slot; "" for none, or for one that has failed."""
    for belief in lab.view(observer).beliefs:
        if not belief.failed and any(first <= slot <= last for first, last in belief.slots):
            return belief.node_id
    return ""


def kill_and_compare(lab: RunningLab, lost: list[NodeEntry], data: dict[str, Any]) -> None:
    """Kill the nodes, wait for the failovers that are predicted, and compare who was elected, and not too soon."""
    after = data["after"]
    left = [node for node in lab.nodes if node not in lost]
    taken = [shard for shard in after["shards"] if shard["fate"] == "taken-over"]
    assert taken, after["summary"]
    began_s = SYSTEM_CLOCK.monotonic_s()
    lab.kill(*lost)
    served_s: dict[str, float] = {}
    for _ in taken:
        lab.wait(lambda: _first_new(lab, left, taken, served_s, began_s), "the next predicted failover", 60)
    for shard in taken:
        slot = shard["slots"][0][0]
        elected = owner(lab, left[0], slot)
        assert elected in shard["elected"], f"{shard['elected']} were to be elected, and it was {elected}"
        assert served_s[shard["primary_id"]] * 1000 >= shard["outage_ms"][0] - EARLY_MS
    lab.wait(lambda: all(lab.vitals(node).cluster.state == "ok" for node in left), "all that are left to serve", 60)
    for shard in after["shards"]:
        lab.wait(lambda s=shard: _agreed(lab, left, s, s in taken), "one opinion", 60)  # type: ignore[misc]


def _agreed(lab: RunningLab, left: list[NodeEntry], shard: dict[str, Any], taken: bool) -> bool:
    """All name one owner. Of a shard that was taken over that need not be the first one who was elected: from Valkey
    8.0.5 on a voter may vote for a second replica of a dead primary at once (clusterSendFailoverAuthIfNeeded), so one
    that asks before it hears of the winner can win after it."""
    owners = {owner(lab, observer, shard["slots"][0][0]) for observer in left}
    living = {node.node_id for node in left}
    return len(owners) == 1 and (owners <= living if taken else owners == {shard["primary_id"]})


def _first_new(
    lab: RunningLab, left: list[NodeEntry], taken: list[dict[str, Any]], served_s: dict[str, float], began_s: float
) -> bool:
    """True when one more of the shards has an owner that lives; notes when that was."""
    dead = {shard["primary_id"] for shard in taken}
    for shard in taken:
        if shard["primary_id"] not in served_s and owner(lab, left[0], shard["slots"][0][0]) not in {"", *dead}:
            served_s[shard["primary_id"]] = SYSTEM_CLOCK.monotonic_s() - began_s
            return True
    return False


@every_server
def test_a_host_with_a_primary_and_a_replica(lab: LabMaker) -> None:
    one = lab(node_timeout_ms=1500)
    lost = on_host(one, one.node("n1").host)
    data = forecast_of(one, "--lose", one.node("n1").host)
    assert names(one, data["after"]["lost"]) == {node.name for node in lost}
    assert (data["exit_code"], data["after"]["stop"], data["after"]["slots_out"]) == (WARNING, "nothing", [])
    assert names(one, shard_of(data, one.node("n1"))["elected"]) == {one.replica_of("n1").name}
    assert data["after"]["votes"] == {"voters": 3, "needed": 2, "left": 2, "after": 3, "standing": "yes"}
    kill_and_compare(one, lost, data)
    health = health_of(one, "--wait", "20s")
    bare = {each.id for each in health.all_of("replica-missing")}
    assert len(bare) == len(data["after"]["without_replica"]) == 2
    assert health.the("quorum-on-one-host"), "its successor leads beside another primary"


@every_server
def test_a_zone_by_labels(lab: LabMaker) -> None:
    one = lab(hosts=6, zones=3)
    lost = [node for node in one.nodes if node.zone == one.node("n2").zone]
    data = forecast_of(one, *labels(one), "--lose", one.node("n2").zone)
    assert names(one, data["after"]["lost"]) == {node.name for node in lost}
    assert (data["exit_code"], data["lose"][0]["kind"]) == (WARNING, "zone")
    kill_and_compare(one, lost, data)


@every_server
def test_of_two_replicas_one_that_was_named_is_elected(lab: LabMaker) -> None:
    one = lab(replicas=2)
    one.wait(
        lambda: len({one.vitals(node).replication.own_offset for node in one.replicas_of("n1")}) == 1, "equal offsets"
    )
    data = forecast_of(one, "--lose", one.node("n1").node_id[:10])
    shard = shard_of(data, one.node("n1"))
    assert set(shard["elected"]) == {node.node_id for node in one.replicas_of("n1")}, "either may be ahead by a ping"
    assert (data["exit_code"], shard["replicas_after"]) == (OK, 1)
    kill_and_compare(one, [one.node("n1")], data)
    # A replica is left, as was said: the shard is whole again without help.
    one.wait(lambda: _follows(one, one.replicas_of("n1"), shard["elected"]), "the sibling to follow", 30)


def _follows(lab: RunningLab, replicas: tuple[NodeEntry, ...], elected: list[str]) -> bool:
    beliefs = [lab.belief(node, node) for node in replicas]
    return any(each.primary_id in elected for each in beliefs)


@every_server
def test_a_replica_that_fell_behind_is_not_elected(lab: LabMaker) -> None:
    one = lab(replicas=2)
    stale, fresh = one.replicas_of("n1")
    one.break_replication(stale)
    one.wait(lambda: one.vitals(stale).replication.link_up is False, "the link to break")
    for at in range(20):
        assert one.ask("n1", "SET", f"{{b}}{at}", "later") == "OK"
    data = forecast_of(one, "--lose", str(one.node("n1").endpoint))
    assert names(one, shard_of(data, one.node("n1"))["elected"]) == {fresh.name}
    kill_and_compare(one, [one.node("n1")], data)


@every_server
def test_a_host_that_takes_the_quorum_along(lab: LabMaker) -> None:
    one = lab(hosts=2)
    lost = on_host(one, one.node("n1").host)
    left = [node for node in one.nodes if node not in lost]
    data = forecast_of(one, "--lose", one.node("n1").host)
    assert (data["exit_code"], data["after"]["stop"], data["after"]["votes"]["standing"]) == (CRITICAL, "quorum", "no")
    stuck = [shard for shard in data["after"]["shards"] if shard["fate"] == "stuck"]
    assert [shard["slots"] for shard in stuck] == [[[0, 5460]], [[10923, 16383]]]
    assert data["after"]["slots_out_count"] == 10922
    one.kill(*lost)
    one.wait(lambda: all(one.vitals(node).cluster.state == "fail" for node in left), "all that are left to stop")
    one.wait(lambda: _waited(one, left[0], lost[0], 4000), "as long as an election would take", 60)
    assert names(one, (each.node_id for each in one.view(left[0]).beliefs if each.slots)) == {"n1", "n2", "n3"}
    assert health_of(one).the("quorum-lost").severity == "critical"


def _waited(lab: RunningLab, observer: NodeEntry, dead: NodeEntry, ms: int) -> bool:
    """The observer, by its own clock, has been waiting for the dead node's answer for so long."""
    sight = lab.see(observer)
    assert sight.nodes is not None
    assert sight.vitals is not None
    pulse = sight.nodes.pulse_of(dead.node_id)
    now_ms = sight.vitals.server.server_time_unix_ms
    return bool(pulse and now_ms and pulse.ping_sent_unix_ms and now_ms - pulse.ping_sent_unix_ms > ms)


def together_on_one_host(one: RunningLab) -> str:
    """Let two shards exchange their replicas so that all of one are on one host; the name of its primary."""
    here = one.node("n1")
    guest = next(node for node in one.replicas if node.host == here.host)
    own = one.replica_of("n1")
    other = one.node(guest.primary or "")
    one.say(guest, "CLUSTER", "REPLICATE", here.node_id)
    one.say(own, "CLUSTER", "REPLICATE", other.node_id)
    for replica, primary in ((guest, here), (own, other)):
        one.wait(
            lambda r=replica, p=primary: (  # type: ignore[misc]
                one.vitals(r).replication.link_up and all(one.belief(n, r).primary_id == p.node_id for n in one.nodes)
            ),
            "the exchange to be known",
            30,
        )
    return here.name


@every_server
@pytest.mark.parametrize(("coverage", "stop", "state"), [("yes", "coverage", "fail"), ("no", "nothing", "ok")])
def test_a_host_with_all_copies_of_a_shard(lab: LabMaker, coverage: str, stop: str, state: str) -> None:
    settings = (f"cluster-require-full-coverage {coverage}", "cluster-allow-replica-migration no")
    one = lab(conf=settings)
    together_on_one_host(one)
    here = one.node("n1").host
    health = health_of(one, "--wait", "20s") if coverage == "yes" else health_of(one)
    found = health.the("shard-on-one-host")
    assert (found.severity, found.kind, found.id) == ("warning", "shard", one.node("n1").node_id)
    weakest = forecast_of(one)["weakest"]["host"]
    assert (weakest["name"], weakest["verdict"]) == (here, "critical")
    data = forecast_of(one, "--lose", here)
    gone = shard_of(data, one.node("n1"))
    assert (data["exit_code"], gone["fate"], data["after"]["slots_out"]) == (CRITICAL, "gone", [[0, 5460]])
    assert data["after"]["stop"] == stop
    lost = on_host(one, here)
    one.kill(*lost)
    left = [node for node in one.nodes if node not in lost]
    primaries = [node for node in left if not node.primary]
    one.wait(lambda: all(one.belief(node, "n1").failed for node in left), "n1 to be failed", 30)
    one.wait(lambda: all(one.vitals(node).cluster.state == state for node in primaries), f"state {state}")
    assert health_of(one).the("slots-failed").severity == "critical"


@every_server
def test_a_replica_that_may_not_stand_leaves_its_shard_stuck(lab: LabMaker) -> None:
    one = lab()
    replica = one.replica_of("n3")
    option = "cluster-replica-no-failover"
    one.say(replica, "CONFIG", "SET", option, "yes")
    data = forecast_of(one, "--lose", one.node("n3").host)
    stuck = shard_of(data, one.node("n3"))
    assert (data["exit_code"], stuck["fate"], stuck["elected"]) == (CRITICAL, "stuck", [])
    assert "no-failover" in str(stuck["reasons"])
    assert names(one, (each["id"] for each in stuck["reasons"])) == {replica.name}
    one.kill(*on_host(one, one.node("n3").host))
    one.wait(lambda: one.belief("n1", "n3").failed, "n3 to be failed")
    one.wait(lambda: _waited(one, one.node("n1"), one.node("n3"), 4000), "as long as an election would take", 60)
    assert one.belief("n1", "n3").slots
    assert not one.belief("n1", replica).slots


@every_server
def test_a_primary_that_wants_replicas_refuses_writes_without(lab: LabMaker) -> None:
    one = lab(conf=("min-replicas-to-write 1",))
    lost = one.replica_of("n2")
    data = forecast_of(one, "--lose", str(lost.endpoint))
    starved = shard_of(data, one.node("n2"))
    assert (data["exit_code"], starved["fate"], starved["writes_refused"]) == (CRITICAL, "kept", True)
    assert one.ask("n2", "SET", "c", "x") == "OK"
    one.kill(lost)

    def refused() -> bool:
        reply = one.ask("n2", "SET", "c", "y")
        return isinstance(reply, Refusal) and "NOREPLICAS" in reply.text

    one.wait(refused, "n2 to refuse writes")


@every_server
def test_a_shard_that_lost_its_replicas_gets_a_spare_one(lab: LabMaker) -> None:
    one = lab(replicas=2)
    lost = one.replicas_of("n1")
    data = forecast_of(one, *(word for node in lost for word in ("--lose", node.node_id)))
    shard = shard_of(data, one.node("n1"))
    (spare,) = (node for node in one.nodes if node.node_id == shard["adopts"])
    assert (data["exit_code"], spare.primary in ("n2", "n3"), shard["replicas_after"]) == (OK, True, 1)
    one.kill(*lost)
    one.wait(lambda: one.belief(spare, spare).primary_id == one.node("n1").node_id, "the spare replica to move", 60)
    movers = [
        node
        for node in one.replicas
        if node not in lost and one.belief(node, node).primary_id == one.node("n1").node_id
    ]
    assert movers == [spare]


def test_two_primaries_on_one_host_are_both_replaced(lab: LabMaker) -> None:
    one = lab(primaries=5, hosts=4)
    lost = on_host(one, one.node("n1").host)
    assert {"n1", "n5"} <= {node.name for node in lost}
    data = forecast_of(one, "--lose", one.node("n1").host)
    assert (data["exit_code"], data["after"]["votes"]["left"]) == (WARNING, 3)
    assert {shard_of(data, one.node(name))["fate"] for name in ("n1", "n5")} == {"taken-over"}
    kill_and_compare(one, lost, data)


def test_a_loss_on_top_of_another(lab: LabMaker) -> None:
    one = lab(primaries=5)
    one.kill("n1", one.replica_of("n1"))
    one.wait(lambda: all(one.belief(node, "n1").failed for node in one.primaries[1:]), "n1 to be failed")
    data = forecast_of(one, "--lose", str(one.node("n2").endpoint))
    assert (data["health"], data["before"]["verdict"], data["exit_code"]) == ("critical", "critical", CRITICAL)
    assert (data["before"]["slots_out_count"], data["after"]["slots_out_count"]) == (3277, 3277)
    assert shard_of(data, one.node("n2"))["fate"] == "taken-over", "three of five can still vote"
    one.kill("n2")
    successor = one.replica_of("n2")
    one.wait(lambda: one.belief(successor, successor).slots, "its replica to be elected", 30)
    more = forecast_of(one, "--lose", str(one.node("n3").endpoint), "--lose", str(one.node("n4").endpoint))
    assert more["after"]["votes"]["standing"] == "no"


@every_server
def test_a_fresh_cluster_has_its_weakest_host_and_no_finding(lab: LabMaker) -> None:
    one = lab()
    assert health_of(one).findings == ()
    data = forecast_of(one)
    assert (data["exit_code"], data["before"]["verdict"], len(data["hosts"])) == (WARNING, "ok", 3)
    assert data["weakest"]["host"] == data["hosts"][0]
    page = one.rcfail("whatif")
    assert page.returncode == WARNING
    assert page.stdout.startswith("WARNING  weakest host: ")
