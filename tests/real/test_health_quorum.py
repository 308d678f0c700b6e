"""The quorum: real clusters that lost it, or may."""

from __future__ import annotations

import pytest

from rcfail.practice.lab.network import can_filter
from tests.real.conftest import LabMaker
from tests.real.servers import all_servers
from tests.real.verdicts import health_of

every_server = pytest.mark.every_server
OK, WARNING, CRITICAL = 0, 1, 2


@every_server
def test_two_of_three_primaries_are_dead(lab: LabMaker) -> None:
    one = lab()
    one.kill("n2", "n3")
    one.wait(lambda: one.vitals("n1").cluster.state == "fail", "n1 to stop")
    health = health_of(one)
    found = health.the("quorum-lost")
    assert (health.exit_code, found.severity) == (CRITICAL, "critical")
    assert (health.serving, health.failover_ready) == ("no", "no")
    assert "2 of 3 voters must stand together, and the largest group that we see is 1" in found.evidence
    assert str(one.node("n2").endpoint) in found.hint
    assert "quorum-fragile" not in health.codes
    one.restart("n2")
    one.restart("n3")
    assert health_of(one, "--wait", "30s").exit_code == OK


@every_server
def test_primaries_that_would_come_back_empty_are_not_to_be_started(lab: LabMaker) -> None:
    one = lab(hosts=6)
    assert one.ask("n2", "SET", "c", "kept") == "OK"
    assert one.ask("n2", "WAIT", 1, 1000) == 1
    one.kill("n2", "n3")
    one.wait(lambda: one.vitals("n1").cluster.state == "fail", "n1 to stop")
    health = health_of(one)
    assert health.the("quorum-lost").hint.startswith(f"Do not start {one.node('n2').endpoint}")
    # As its page says: one takeover brings the majority back, the other shard is voted in, then the dead may come.
    one.say("n5", "CLUSTER", "FAILOVER", "TAKEOVER")
    one.wait(lambda: one.belief("n6", "n6").slots, "n6 to be promoted")
    one.restart("n2")
    one.restart("n3")
    assert health_of(one, "--wait", "30s").exit_code == OK
    assert one.text("n5", "GET", "c") == "kept"


@every_server
@pytest.mark.skipif(not can_filter(), reason="cutting a network takes nftables and root")
def test_all_primaries_live_and_none_reaches_another(lab: LabMaker) -> None:
    one = lab(replicas=0)
    one.cut_bus("n1")
    one.cut_bus("n2")
    one.wait(lambda: all(one.vitals(node).cluster.state == "fail" for node in one.nodes), "all to stop")
    health = health_of(one, "--min-replicas", "0")
    found = health.the("quorum-lost")
    assert (health.exit_code, found.severity) == (CRITICAL, "critical")
    assert "3 gave us their view" in found.evidence
    assert "mend the network between them" in found.hint


@every_server
def test_two_primaries_hang_on_each_other(lab: LabMaker) -> None:
    one = lab(primaries=2)
    health = health_of(one)
    assert (health.exit_code, health.codes) == (WARNING, {"quorum-fragile": "warning"})
    assert health.failover_ready == "no"
    assert health_of(one, "--ignore", "quorum-fragile").exit_code == OK


@every_server
def test_the_next_primary_that_is_lost_ends_it(lab: LabMaker) -> None:
    one = lab(replicas=0)
    one.kill("n1")
    one.wait(lambda: one.belief("n2", "n1").failed and one.belief("n3", "n1").failed, "n1 to be failed")
    health = health_of(one, "--min-replicas", "0")
    assert health.exit_code == CRITICAL
    found = health.the("quorum-fragile")
    assert found.severity == "warning"
    assert f"missing: {one.node('n1').endpoint}" in found.evidence


@every_server
def test_two_of_three_primaries_on_one_host(lab: LabMaker) -> None:
    one = lab(hosts=2)
    health = health_of(one)
    assert (health.exit_code, health.codes) == (WARNING, {"quorum-on-one-host": "warning"})
    assert f"2 on host {one.node('n1').host}" in health.the("quorum-on-one-host").evidence


@every_server
def test_all_nodes_on_one_host_are_a_development_cluster(lab: LabMaker) -> None:
    health = health_of(lab(hosts=1))
    assert (health.exit_code, health.codes) == (OK, {})


@pytest.mark.parametrize("version", [(8, 1), (9, 0)])
def test_two_of_three_primaries_in_one_zone(lab: LabMaker, version: tuple[int, int]) -> None:
    paths = {each.label: each.path for each in all_servers() if each.label.startswith(f"valkey-{version[0]}.")}
    if not paths:
        pytest.skip(f"there is no Valkey {version[0]} here")
    health = health_of(lab(hosts=3, zones=2, server=next(iter(paths.values()))))
    assert (health.exit_code, health.codes) == (WARNING, {"quorum-in-one-zone": "warning"})
    assert "of 3 voters, 2 in zone zone-1" in health.the("quorum-in-one-zone").evidence
