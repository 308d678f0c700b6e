"""Clusters whose nodes are set up differently: settings, versions, what they save."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.real.conftest import LabMaker
from tests.real.hints import run_hint
from tests.real.servers import all_servers
from tests.real.verdicts import health_of

every_server = pytest.mark.every_server
OK, WARNING = 0, 1


@every_server
def test_a_fresh_cluster_is_ok_and_says_nothing(lab: LabMaker) -> None:
    health = health_of(lab())
    assert (health.exit_code, health.findings) == (OK, ())


@every_server
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cluster-node-timeout", "2500"),
        ("cluster-require-full-coverage", "no"),
        ("min-replicas-max-lag", "77"),
        ("maxmemory", "100000000"),
        ("maxmemory-policy", "allkeys-lru"),
        ("appendonly", "yes"),
        ("save", "77 1"),
        ("timeout", "77"),
        ("repl-backlog-size", "77777"),
    ],
)
def test_a_setting_that_one_node_has_differently(lab: LabMaker, name: str, value: str) -> None:
    one = lab()
    one.say("n2", "CONFIG", "SET", name, value)
    health = health_of(one)
    assert (health.exit_code, health.codes) == (WARNING, {"config-drift": "warning"})
    said = health.the("config-drift")
    assert said.id == one.node("n2").node_id
    assert f"{name} is {value} on 1 node and " in said.evidence
    assert " on 5 nodes" in said.evidence
    assert run_hint(said.hint) == "OK"
    assert health_of(one).codes == {}


@every_server
def test_settings_of_a_node_alone_are_no_drift(lab: LabMaker) -> None:
    one = lab()
    one.say(one.replica_of("n1"), "CONFIG", "SET", "slowlog-log-slower-than", 5)
    one.say("n1", "CONFIG", "SET", "repl-diskless-sync-delay", 1)
    assert health_of(one).codes == {}


@every_server
def test_primaries_with_data_that_save_nothing(lab: LabMaker) -> None:
    one = lab()
    one.say("n1", "SET", "{06S}", "1")  # slot 0
    health = health_of(one)
    assert (health.exit_code, health.codes) == (OK, {})
    said = health.the("persistence-off-restart-risk")
    assert (said.severity, said.id) == ("info", one.node("n1").node_id)
    for node in one.nodes:
        one.say(node, "CONFIG", "SET", "appendonly", "yes")
    assert health_of(one).findings == ()


def test_nodes_of_two_versions(lab: LabMaker) -> None:
    """A rolling upgrade that stopped after the first replica: 7.0, which only Debian has here, and a newer one."""
    by_label = {each.label: each.path for each in all_servers()}
    old = next((label for label in by_label if label.startswith("redis-7.0")), None)
    new = next((label for label in by_label if label.startswith("redis-8.2")), None)
    if old is None or new is None:
        pytest.skip("needs redis-server 7.0 of the system beside the bundled 8.2")
    one = lab(server=by_label[old])
    replica = one.replica_of("n1")
    one.kill(replica)
    before = one.entry
    one.register.write(replace(before, server=by_label[new]))
    one.restart(replica, wait_s=15)
    one.wait(lambda: not any(one.belief(each, replica).flagged for each in ("n1", "n2", "n3")), "it to be back")
    health = health_of(one)
    assert (health.exit_code, health.codes) == (OK, {})
    said = health.the("version-mixed")
    assert said.severity == "info"
    assert f"{new.replace('-', ' ')} on 1 node ({replica.endpoint}" in said.evidence
    assert f"{old.replace('-', ' ')} on 5 nodes" in said.evidence
