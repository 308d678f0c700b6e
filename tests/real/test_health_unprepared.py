"""Shards whose replicas could be promoted, and would not do then."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from tests.real.conftest import LabMaker
from tests.real.hints import run_hint
from tests.real.servers import RunningLab
from tests.real.verdicts import Health, health_of

every_server = pytest.mark.every_server
OK, WARNING = 0, 1

PASSWORD = "sesame-of-the-cluster"
UNPREPARED = {"failover-unprepared": "warning"}


class Secured(RunningLab):
    """A lab whose nodes want a password, asked with it."""

    def environment(self) -> dict[str, str]:
        return super().environment() | {"RCFAIL_PASSWORD": PASSWORD}


def secured(lab: LabMaker) -> Secured:
    made = lab(conf=(f"requirepass {PASSWORD}",))
    return Secured(made.register, made.name)


def about_shard(health: Health, node_id: str) -> str:
    said = health.the("failover-unprepared")
    assert (said.kind, said.id) == ("shard", node_id)
    return said.evidence


@every_server
def test_a_primary_that_could_not_log_in_once_it_is_demoted(lab: LabMaker, tmp_path: Path) -> None:
    one = secured(lab)
    assert (health_of(one).exit_code, health_of(one).codes) == (OK, {})
    primary, replica = one.node("n1"), one.replica_of("n1")
    one.say(primary, "CONFIG", "SET", "masterauth", "")
    health = health_of(one)
    assert (health.exit_code, health.codes, health.failover_ready) == (WARNING, UNPREPARED, "no")
    evidence = about_shard(health, primary.node_id)
    assert f"{primary.endpoint} ({primary.node_id[:8]}) could not log in at {replica.endpoint}" in evidence
    assert "masterauth is not set" in evidence

    record = tmp_path / "seen.json.gz"
    assert one.rcfail("record", str(record)).returncode == OK
    assert PASSWORD not in gzip.decompress(record.read_bytes()).decode()
    again = one.rcfail("health", "-o", "json", "--from-record", str(record))
    assert [each["code"] for each in json.loads(again.stdout)["data"]["findings"]] == ["failover-unprepared"]

    # It is as was said: after a failover the old primary gets no data.
    one.say(replica, "CLUSTER", "FAILOVER")
    one.wait(lambda: one.vitals(primary).replication.role == "slave", "the old primary to be demoted")
    one.wait(lambda: "replica-missing" in health_of(one).codes, "the shard to be without its copy")
    assert one.vitals(primary).replication.link_up is False
    one.say(primary, "CONFIG", "SET", "masterauth", PASSWORD)
    one.wait(lambda: "replica-missing" not in health_of(one).codes, "it to have its copy again")


@every_server
def test_a_password_that_was_changed_on_one_node(lab: LabMaker) -> None:
    """The links are up from before; whoever breaks them finds out."""
    one = secured(lab)
    replica = one.replica_of("n2")
    one.say(replica, "CONFIG", "SET", "masterauth", "an-older-password")
    evidence = about_shard(health_of(one), one.node("n2").node_id)
    assert "could not log in at its primary" in evidence
    assert "masterauth is no password of the user default" in evidence


@every_server
def test_users_that_differ_between_a_primary_and_its_replica(lab: LabMaker) -> None:
    one = lab()
    replica = one.replica_of("n1")
    for node in one.nodes:
        one.say(node, "ACL", "SETUSER", "app", "on", ">a-password", "~app:*", "+@all")
    assert health_of(one).codes == {}
    for words, told in (
        (("SETUSER", "app", ">another-password"), "app has another password"),
        (("SETUSER", "app", "<another-password", "-@dangerous"), "app has other rules"),
        (("SETUSER", "app", "off"), "app is off"),
        (("DELUSER", "app"), "app is missing"),
    ):
        one.say(replica, "ACL", *words)
        health = health_of(one)
        assert (health.exit_code, health.codes) == (WARNING, UNPREPARED), words
        assert told in about_shard(health, one.node("n1").node_id)
    for node in one.nodes:
        one.say(node, "ACL", "DELUSER", "app")
    assert health_of(one).codes == {}


@every_server
def test_users_that_differ_between_shards(lab: LabMaker) -> None:
    one = lab()
    for node in ("n1", "n2", one.replica_of("n1"), one.replica_of("n2")):
        one.say(node, "ACL", "SETUSER", "app", "on", ">a-password", "~app:*", "+@all")
    health = health_of(one)
    assert (health.exit_code, health.codes) == (WARNING, {"config-drift": "warning"})
    said = health.the("config-drift")
    assert (said.id, said.evidence[-14:]) == (one.node("n3").node_id, "app is missing")
    assert run_hint(said.hint).startswith("user default")


@every_server
def test_users_that_we_may_not_see_are_no_finding(lab: LabMaker) -> None:
    class AsReader(RunningLab):
        def environment(self) -> dict[str, str]:
            return super().environment() | {"RCFAIL_USER": "reader", "RCFAIL_PASSWORD": PASSWORD}

    one = lab()
    for node in one.nodes:
        one.say(node, "ACL", "SETUSER", "reader", "on", f">{PASSWORD}", "-@all", "+info", "+cluster", "+config|get")
    one.say("n1", "ACL", "SETUSER", "app", "on", "nopass")
    health = health_of(AsReader(one.register, one.name))
    assert (health.exit_code, health.findings) == (OK, ())


@every_server
def test_a_replica_with_less_memory_than_its_primary(lab: LabMaker) -> None:
    one = lab(conf=("maxmemory 200mb",))
    assert health_of(one).codes == {}
    replica = one.replica_of("n3")
    one.say(replica, "CONFIG", "SET", "maxmemory", 100_000_000)
    health = health_of(one)
    assert (health.exit_code, health.codes) == (WARNING, UNPREPARED)
    assert "has maxmemory 100000000, its primary 209715200" in about_shard(health, one.node("n3").node_id)
    assert run_hint(health.the("failover-unprepared").hint) == "OK"
    assert health_of(one).codes == {}


@every_server
def test_writes_that_a_promoted_replica_would_refuse(lab: LabMaker) -> None:
    one = lab(conf=("min-replicas-to-write 1",))
    one.wait(lambda: one.vitals("n1").replication.min_replicas_good == 1, "its replica to count")
    health = health_of(one)
    assert (health.exit_code, health.codes) == (WARNING, UNPREPARED)
    assert len(health.all_of("failover-unprepared")) == 3
    primary, replica = one.node("n1"), one.replica_of("n1")
    one.kill(primary)
    one.wait(lambda: one.vitals(replica).replication.role == "master", "the replica to be promoted")
    one.wait(lambda: health_of(one).codes.get("writes-refused") == "critical", "it to refuse writes")
