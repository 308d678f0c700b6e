"""Who sees whom on real clusters: whole, parted, cut in one direction, taken over twice, and healed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rcfail.practice.lab import network
from rcfail.practice.lab.damage import Partition, Way
from rcfail.practice.lab.network import can_filter
from tests.real.conftest import LabMaker
from tests.real.servers import RunningLab, ServerUnderTest
from tests.real.test_beside_redis_cli import check
from tests.real.verdicts import health_of

every_server = pytest.mark.every_server
cutting = pytest.mark.skipif(not can_filter(), reason="cutting a network takes nftables and root")
OK, WARNING, CRITICAL, UNKNOWN = 0, 1, 2, 3
PARTED = {"partition", "views-differ", "not-converged", "epoch-collision", "link-missing"}
TIMEOUT_S = 60.0


def views_of(lab: RunningLab, exit_code: int, *words: str) -> dict[str, Any]:
    """The data of `rcfail views -o json`, which must end with this code."""
    ran = lab.rcfail("views", "-o", "json", *words)
    document: dict[str, Any] = json.loads(ran.stdout)
    assert (document["exit_code"], ran.returncode) == (exit_code, exit_code), document
    data: dict[str, Any] = document["data"]
    return data


def severities(data: dict[str, Any]) -> dict[str, str]:
    return {each["code"]: each["severity"] for each in data["findings"] if each["code"] in PARTED}


def members(lab: RunningLab, *names: str) -> list[str]:
    return sorted(lab.node(name).node_id for name in names)


def side_with(lab: RunningLab, data: dict[str, Any], name: str) -> dict[str, Any]:
    node_id = lab.node(name).node_id
    found: dict[str, Any] = next(each for each in data["sides"] if node_id in each["members"])
    return found


def sees(lab: RunningLab, data: dict[str, Any], observer: str, node: str) -> str:
    pair = (lab.node(observer).node_id, lab.node(node).node_id)
    return next((each["sees"] for each in data["pairs"] if (each["observer"], each["node"]) == pair), "well")


def names_at(lab: RunningLab, zone: str) -> list[str]:
    return [node.name for node in lab.nodes if node.zone == zone]


def suspicion_is_over(lab: RunningLab) -> bool:
    return not any(belief.flagged for node in lab.nodes for belief in lab.view(node).beliefs)


def all_agree(lab: RunningLab) -> bool:
    """Every view shows the same role and primary for every node."""
    tables = [lab.view(node) for node in lab.nodes]
    return len({tuple((each.node_id, each.role, each.primary_id) for each in table.beliefs) for table in tables}) == 1


@every_server
def test_a_whole_cluster_and_one_after_a_good_failover_have_no_warning(lab: LabMaker) -> None:
    one = lab()
    data = views_of(one, OK)
    assert (len(data["sides"]), len(data["groups"]), data["pairs"]) == (1, 1, [])
    assert data["sides"][0]["writable"] == 16384
    one.say(one.replica_of("n1"), "CLUSTER", "FAILOVER")
    one.wait(lambda: one.vitals(one.replica_of("n1")).replication.role == "master", "the failover")
    health = health_of(one)
    assert not PARTED & set(health.codes), health
    assert severities(views_of(one, OK)).keys() <= {"not-converged"}
    one.wait(lambda: all_agree(one), "all to know it")
    assert len(views_of(one, OK)["groups"]) == 1


@every_server
def test_a_demotion_is_told_while_it_spreads_and_is_no_warning(lab: LabMaker, server: ServerUnderTest) -> None:
    one = lab(hosts=6, node_timeout_ms=15_000)
    heir = one.replica_of("n1")
    one.say(heir, "CLUSTER", "FAILOVER")
    one.wait(lambda: one.vitals("n1").replication.role == "slave", "the demotion")
    health = health_of(one)
    assert (health.exit_code, health.codes) == (OK, {}), health
    told = health.all_of("not-converged")
    if server.label.startswith("valkey-"):
        return  # tells all nodes at once
    if not all_agree(one):
        assert told, "half of the views still list the old primary as one"
    assert all(str(one.node("n1").endpoint) in each.evidence for each in told)


@every_server
def test_a_restart_leaves_no_warning(lab: LabMaker) -> None:
    one = lab()
    replica = one.replica_of("n2")
    one.kill(replica)
    one.restart(replica, wait_s=TIMEOUT_S)
    health = health_of(one, "--wait", "30s")
    assert (health.exit_code, health.codes) == (OK, {})
    assert views_of(one, OK)["parted"] is False


@every_server
@cutting
def test_one_zone_against_two(lab: LabMaker) -> None:
    """First nothing is decided, then the majority promotes, at last all is healed."""
    one = lab(zones=3, hosts=3, node_timeout_ms=2000)
    minority = names_at(one, one.node("n1").zone)
    majority = [node.name for node in one.nodes if node.name not in minority]
    heir = one.replica_of("n1").name
    assert heir in majority
    one.partition(",".join(minority))
    one.wait(lambda: one.vitals("n1").cluster.state == "fail", "n1 to stop", TIMEOUT_S)
    one.wait(lambda: one.belief(heir, heir).slots, "the replica to be promoted", TIMEOUT_S)
    data = views_of(one, CRITICAL)
    assert data["parted"]
    main, other = data["sides"]
    assert main["members"] == members(one, *majority)
    assert other["members"] == members(one, *minority)
    assert (main["quorum"], other["quorum"]) == ("yes", "no")
    assert (main["writable"], other["writable"]) == (16384, 0)
    assert [each["access"] for each in other["serves"]] == ["nothing"]
    assert (main["will"], other["will"]) == ([], [])
    assert sees(one, data, heir, "n1") == "failed"
    assert sees(one, data, "n1", heir) == "suspects"
    assert severities(data) == {"partition": "critical"}
    health = health_of(one)
    assert (health.exit_code, health.serving) == (CRITICAL, "no")
    assert check(one, "n2").returncode == 0, "asked on this side, redis-cli passes over all that is flagged fail"
    assert health.codes["partition"] == health.codes["slots-disputed"] == "critical"
    assert "link-missing" not in health.codes
    one.heal()
    one.wait(lambda: suspicion_is_over(one), "all to hear each other", TIMEOUT_S)
    one.wait(lambda: all_agree(one), "all to know the new primary", TIMEOUT_S)
    assert not PARTED & set(health_of(one, "--wait", "30s").codes)
    assert views_of(one, OK)["parted"] is False


@every_server
@cutting
def test_what_both_sides_will_do_is_told_before_they_do_it(lab: LabMaker) -> None:
    """A replica that is held back from its promotion, so that the moment before it lasts."""
    one = lab(zones=3, hosts=3, node_timeout_ms=2000)
    minority = names_at(one, one.node("n1").zone)
    heir = one.replica_of("n1")
    one.freeze(heir)
    one.partition(",".join(minority))
    one.wait(lambda: one.belief("n2", "n1").failed, "the verdict on n1", TIMEOUT_S)
    one.wait(lambda: one.vitals("n1").cluster.state == "fail", "n1 to stop", TIMEOUT_S)
    held = views_of(one, CRITICAL)
    side = side_with(one, held, "n2")
    assert [each["move"] for each in side["will"]] == ["promotes-nobody"]
    assert heir.node_id in held["unplaced"]
    one.thaw(heir)
    one.wait(lambda: one.belief(heir, heir).slots, "the replica to be promoted", TIMEOUT_S)
    after = views_of(one, CRITICAL)
    assert side_with(one, after, "n2")["will"] == []
    assert side_with(one, after, heir.name)["writable"] == 16384


@every_server
@cutting
def test_writes_of_a_cut_primary_are_counted(lab: LabMaker) -> None:
    one = lab(zones=3, hosts=3, node_timeout_ms=2000)
    minority = names_at(one, one.node("n1").zone)
    heir = one.replica_of("n1")
    one.partition(",".join(minority))
    value = "x" * 5000
    assert one.ask("n1", "SET", "b", value) == "OK"  # slot 3300: it still takes writes, and its replica does not hear
    one.wait(lambda: one.belief(heir, heir).slots, "the replica to be promoted", TIMEOUT_S)
    one.wait(lambda: one.vitals("n1").cluster.state == "fail", "n1 to stop", TIMEOUT_S)
    (loss,) = side_with(one, views_of(one, CRITICAL), "n1")["loses"]
    assert (loss["id"], loss["successor"], loss["certain"]) == (one.node("n1").node_id, heir.node_id, True)
    assert loss["still_taking"] is False
    assert loss["up_to_bytes"] >= len(value)


@every_server
@cutting
def test_three_zones_and_none_hears_another(lab: LabMaker) -> None:
    one = lab(zones=3, hosts=3)
    zones = [names_at(one, f"zone-{number}") for number in (1, 2, 3)]
    one.partition(*(",".join(zone) for zone in zones))
    one.wait(
        lambda: all(one.vitals(name).cluster.state == "fail" for name in ("n1", "n2", "n3")), "all to stop", TIMEOUT_S
    )
    one.wait(
        lambda: all(one.belief(node, "n1").flagged for node in one.nodes if node.name not in zones[0]),
        "all to suspect n1",
        TIMEOUT_S,
    )
    one.wait(lambda: views_of(one, CRITICAL)["parted"], "the partition to be told", TIMEOUT_S)
    data = views_of(one, CRITICAL)
    assert sorted(each["members"] for each in data["sides"]) == sorted(members(one, *zone) for zone in zones)
    assert {each["quorum"] for each in data["sides"]} == {"no"}
    assert sum(each["writable"] for each in data["sides"]) == 0
    assert all(not each["loses"] for each in data["sides"])
    assert severities(data) == {"partition": "critical"}
    health = health_of(one)
    assert health.codes["quorum-lost"] == "critical"
    assert "No side has 2 of 3 voters" in health.the("partition").consequence
    one.heal()
    one.wait(lambda: suspicion_is_over(one), "all to hear each other", TIMEOUT_S)
    # While they find each other again, two that still suspect the third may fail it over: then two lead on one host.
    placed = [word for code in ("quorum-on-one-host", "quorum-in-one-zone") for word in ("--ignore", code)]
    health = health_of(one, "--wait", "30s", *placed)
    assert (health.exit_code, health.codes) == (OK, {}), health


@every_server
@cutting
def test_who_is_silent_to_us_is_placed_by_those_who_hear_it(lab: LabMaker, tmp_path: Path) -> None:
    """First one node of each side is silent to us, then a whole side: that could as well be dead."""
    one = lab(hosts=6)
    heir, mate = one.replica_of("n1").name, one.replica_of("n3").name
    minority = ["n1", mate]
    majority = [node.name for node in one.nodes if node.name not in minority]
    one.partition(",".join(minority))
    one.wait(lambda: one.vitals("n1").cluster.state == "fail", "n1 to stop", TIMEOUT_S)
    one.wait(lambda: one.belief(heir, heir).slots, "the replica to be promoted", TIMEOUT_S)
    one.cut_client(mate)
    one.cut_client("n2")
    data = views_of(one, CRITICAL)
    assert side_with(one, data, "n1")["unheard"] == members(one, mate)
    assert side_with(one, data, heir)["unheard"] == members(one, "n2")
    assert [each["members"] for each in data["sides"]] == [members(one, *majority), members(one, *minority)]
    assert data["unplaced"] == []

    record = str(tmp_path / "parted.json")
    assert one.rcfail("record", record).returncode == OK
    again = views_of(one, CRITICAL, "--from-record", record)
    assert [each["members"] for each in again["sides"]] == [each["members"] for each in data["sides"]]

    one.cut_client("n1")
    data = views_of(one, UNKNOWN)
    assert (data["parted"], sorted(data["unplaced"])) == (False, members(one, *minority))


@every_server
@cutting
def test_a_zone_of_replicas_is_cut_off(lab: LabMaker) -> None:
    one = lab(hosts=6)
    replicas = [one.replica_of("n1").name, one.replica_of("n2").name]
    one.partition(",".join(replicas))
    one.wait(lambda: all(one.belief("n3", name).failed for name in replicas), "the verdict on the replicas", TIMEOUT_S)
    one.wait(lambda: all(one.belief(name, "n3").flagged for name in replicas), "their own suspicion", TIMEOUT_S)
    health = health_of(one)
    assert health.exit_code == WARNING
    assert health.codes["partition"] == "warning"
    assert (health.serving, health.redundant) == ("yes", "no")


@every_server
@cutting
def test_connections_of_one_direction_are_dropped(lab: LabMaker, server: ServerUnderTest) -> None:
    """Nobody is suspected, cluster_state is ok, and redis-cli calls it good."""
    one = lab(hosts=6)
    one.partition("n1", way=Way.CONNECTIONS)
    alone = {"link-missing": "warning"}
    one.wait(lambda: severities(views_of(one, WARNING)) == alone, "the missing links alone to be told", TIMEOUT_S)
    data = views_of(one, WARNING)
    assert not data["parted"]
    assert sees(one, data, "n1", "n2") in ("waits", "no-link")
    assert sees(one, data, "n2", "n1") == "well"
    health = health_of(one)
    found = health.the("link-missing")
    assert (health.exit_code, health.codes) == (WARNING, {"link-missing": "warning"})
    assert (found.kind, found.id) == ("node", one.node("n1").node_id)
    assert ("no CLUSTER LINKS" in found.evidence) == server.label.startswith("redis-6.")
    assert not any(belief.flagged for node in one.nodes for belief in one.view(node).beliefs)
    assert all(one.vitals(node).cluster.state == "ok" for node in one.nodes)
    theirs = check(one)
    assert (theirs.returncode, "[OK] All nodes agree" in theirs.stdout) == (0, True)
    one.heal()
    one.wait(lambda: views_of(one, OK), "the links to work again", 150.0)


@every_server
@cutting
def test_two_takeovers_on_two_sides_take_one_epoch(lab: LabMaker) -> None:
    """Different shards: the epochs collide until the sides meet. One shard: the smaller id will win the slots."""
    one = lab(replicas=2, hosts=9)
    first, second = one.replicas_of("n1")
    other = one.replica_of("n2")
    left, right = ["n1", "n2", "n3"], [first.name, other.name]
    rest = [node.name for node in one.nodes if node.name not in {*left, *right, second.name}]
    one.partition(",".join(left), ",".join(right), ",".join([second.name, *rest]))
    one.wait(
        lambda: all(one.belief(node, "n1").flagged for node in (first, second, other)),
        "the replicas to be alone",
        TIMEOUT_S,
    )
    one.say(first, "CLUSTER", "FAILOVER", "TAKEOVER")
    one.say(second, "CLUSTER", "FAILOVER", "TAKEOVER")
    one.wait(lambda: all(one.belief(node, node).slots for node in (first, second)), "both takeovers", TIMEOUT_S)
    assert one.belief(first, first).config_epoch == one.belief(second, second).config_epoch
    health = health_of(one)
    found = health.the("epoch-collision")
    assert found.severity == "critical"
    winner = min((first, second), key=lambda node: node.node_id)
    assert f"{one.node(winner).endpoint} ({winner.node_id[:8]}) wins" in found.consequence
    one.heal()
    one.wait(lambda: suspicion_is_over(one), "all to hear each other", TIMEOUT_S)
    one.wait(lambda: all_agree(one), "all to agree", TIMEOUT_S)
    # Who leads in the end cannot be told: the side with the majority held both for failed, and until that flag
    # goes, a replica of the winner may be voted in.
    assert not {*PARTED, "slots-disputed"} & set(health_of(one, "--wait", "30s").codes)


@every_server
@cutting
def test_a_view_that_nobody_mends(lab: LabMaker) -> None:
    """One replica does not hear an old primary, and so never hears that it is none any more."""
    one = lab(hosts=6)
    deaf, heir = one.replica_of("n3"), one.replica_of("n1")
    others = [node.name for node in one.nodes if node.name not in (deaf.name, "n1")]
    cut_pair(one, deaf.name, "n1", Way.BOTH)
    one.wait(lambda: one.belief(deaf, "n1").suspected, "the suspicion", TIMEOUT_S)
    one.say(heir, "CLUSTER", "FAILOVER")
    one.wait(
        lambda: all(one.belief(name, "n1").primary_id == heir.node_id for name in others),
        "the rest to agree",
        TIMEOUT_S,
    )
    health = health_of(one)
    found = health.the("views-differ")
    assert (found.severity, found.kind, found.id) == ("warning", "view", deaf.node_id)
    assert "listed as a primary without slots" in found.evidence
    assert "partition" not in health.codes


@every_server
@cutting
def test_one_connection_of_one_pair_is_dropped(lab: LabMaker) -> None:
    one = lab(hosts=6)
    cut_pair(one, "n1", "n2", Way.CONNECTIONS)
    one.wait(
        lambda: severities(views_of(one, WARNING)) == {"link-missing": "warning"}, "the link to be told", TIMEOUT_S
    )
    data = views_of(one, WARNING)
    assert [(each["observer"], each["node"]) for each in data["pairs"]] == [
        (one.node("n1").node_id, one.node("n2").node_id)
    ]
    assert "bus-unreachable" not in health_of(one).codes


def cut_pair(lab: RunningLab, one: str, other: str, way: Way) -> None:
    """Between two nodes alone; both hear all the others. Entered, so that `down` takes the rules away."""
    pair = replace(lab.entry, partitions=(Partition(((one,), (other,)), way),))
    lab.register.write(pair)
    network.apply(replace(pair, nodes=(lab.node(one), lab.node(other))))
