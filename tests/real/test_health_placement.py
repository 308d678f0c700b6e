"""Findings on what stands together, on real clusters. `shard-on-one-host` is in test_whatif.py, beside the kill."""

from __future__ import annotations

import pytest

from rcfail.practice.lab.register import NodeEntry
from tests.real.conftest import LabMaker
from tests.real.verdicts import health_of

every_server = pytest.mark.every_server
OK, WARNING = 0, 1


def labelled(zones: dict[str, str]) -> list[str]:
    """The options that put addresses into zones; the others are each in a zone of their own."""
    return [word for address, zone in zones.items() for word in ("--zone", f"{address}={zone}")]


def zone_per_host(nodes: tuple[NodeEntry, ...], together: set[str]) -> list[str]:
    """All hosts of the named nodes are one zone, every other host is another."""
    shared = {node.host for node in nodes if node.name in together}
    return labelled({node.host: "shared" if node.host in shared else f"alone-{node.host}" for node in nodes})


@every_server
def test_all_copies_of_a_shard_in_one_zone(lab: LabMaker) -> None:
    one = lab(hosts=6)
    replica = one.replica_of("n2")
    health = health_of(one, *zone_per_host(one.nodes, {"n2", replica.name}))
    assert (health.exit_code, health.codes) == (WARNING, {"shard-in-one-zone": "warning"})
    found = health.the("shard-in-one-zone")
    assert (found.kind, found.id) == ("shard", one.node("n2").node_id)
    assert "in zone shared" in found.evidence
    assert (health.serving, health.redundant) == ("yes", "no")
    # As its page says: a replica from elsewhere joins, and the shard has a copy in another zone.
    spare = one.replica_of("n1")
    one.say(spare, "CLUSTER", "REPLICATE", one.node("n2").node_id)
    one.wait(lambda: one.vitals(spare).replication.link_up, "the spare replica to be in sync", 30)
    one.wait(
        lambda: all(one.belief(node, spare).primary_id == one.node("n2").node_id for node in one.nodes), "to know it"
    )
    assert "shard-in-one-zone" not in health_of(one, *zone_per_host(one.nodes, {"n2", replica.name})).codes


@every_server
def test_a_replica_dies_and_what_is_left_stands_together(lab: LabMaker) -> None:
    one = lab(replicas=2, hosts=9)
    near, far = one.replicas_of("n3")
    words = zone_per_host(one.nodes, {"n3", near.name})
    assert health_of(one, *words).findings == ()
    one.kill(far)
    one.wait(lambda: one.belief("n1", far).failed, "the far replica to be failed", 30)
    health = health_of(one, *words)
    assert health.the("shard-in-one-zone").id == one.node("n3").node_id
    assert health.exit_code == WARNING
    one.restart(far)
    assert health_of(one, *words, "--wait", "30s").exit_code == OK


def test_one_zone_leads_twice_its_share(lab: LabMaker) -> None:
    one = lab(primaries=9, replicas=0, hosts=9)
    words = zone_per_host(one.nodes, {"n1", "n2", "n3", "n4"})
    health = health_of(one, "--min-replicas", "0", *words)
    assert (health.exit_code, health.codes) == (WARNING, {"primaries-concentrated": "warning"})
    found = health.the("primaries-concentrated")
    assert found.evidence == "of 9 primaries with slots, 4 in zone shared; an even share is 2"
    assert (health.serving, health.failover_ready) == ("yes", "yes")


@every_server
def test_addresses_that_tell_nothing_are_told_as_information(lab: LabMaker) -> None:
    one = lab(hosts=1)
    health = health_of(one)
    assert (health.exit_code, [(each.code, each.severity) for each in health.findings]) == (
        OK,
        [("placement-unknown", "info")],
    )
    told = labelled({str(node.endpoint): f"rack-{at % 3}" for at, node in enumerate(one.nodes)})
    assert "placement-unknown" not in [each.code for each in health_of(one, *told).findings]


@every_server
def test_a_host_for_each_node_without_labels(lab: LabMaker) -> None:
    one = lab(hosts=6)
    health = health_of(one)
    assert (health.exit_code, health.codes) == (OK, {})
    # A Valkey server announces its zone, and so the lab's are known there.
    announced = one.entry.flavour == "valkey"
    assert ("placement-unknown" in [each.code for each in health.findings]) is not announced
    ids = labelled({node.node_id[:8]: node.zone for node in one.nodes})
    assert health_of(one, *ids).findings == ()
