"""Settings that differ, versions that are mixed or faulty, primaries that save nothing."""

from __future__ import annotations

import pytest

from rcfail.cluster.bugs import BUGS, Occasion
from rcfail.cluster.dialect import server_of
from rcfail.cluster.logins import AclUser
from rcfail.cluster.observation import SilenceReason
from rcfail.cluster.snapshot import Snapshot
from rcfail.health.finding import Finding, Severity, SubjectKind, Thresholds
from rcfail.health.rules import config, drift
from rcfail.health.verdict import Verdict, conclude
from tests.unit.world import World, node_id


def found(world: World) -> list[Finding]:
    snapshot = world.snapshot()
    return [each for rule in config.RULES for each in rule(snapshot, Thresholds())]


def drifts(world: World) -> list[Finding]:
    return list(drift.config_drift(world.snapshot(), Thresholds()))


def only(world: World) -> Finding:
    (one,) = found(world)
    return one


@pytest.mark.parametrize("shards", [1, 3])
def test_a_healthy_cluster_has_nothing_to_tell(shards: int) -> None:
    assert found(World.of(shards, 2)) == []


class TestDrift:
    @pytest.mark.parametrize(
        ("name", "usual", "odd"),
        [
            ("cluster-node-timeout", "15000", "5000"),
            ("cluster-require-full-coverage", "yes", "no"),
            ("cluster-allow-reads-when-down", "no", "yes"),
            ("cluster-replica-validity-factor", "10", "0"),
            ("cluster-migration-barrier", "1", "2"),
            ("min-replicas-to-write", "0", "1"),
            ("save", "3600 1", ""),
            ("appendfsync", "everysec", "no"),
            ("notify-keyspace-events", "", "KEA"),
            ("timeout", "0", "300"),
        ],
    )
    def test_one_node_that_differs_is_named_with_both_values(self, name: str, usual: str, odd: str) -> None:
        world = World.of(3, 1)
        for member in world:
            member.config[name] = usual
        world["b1"].config[name] = odd
        (one,) = drifts(world)
        assert (one.code, one.severity) == ("config-drift", Severity.WARNING)
        assert (one.subject.kind, one.subject.id) == (SubjectKind.NODE, node_id("b1"))
        assert f"{name} is {odd or '(empty)'} on 1 node and {usual or '(empty)'} on 5 nodes" in one.evidence
        assert world["b1"].endpoint.host in one.hint
        assert f"CONFIG SET {name} " in one.hint

    @pytest.mark.parametrize(
        ("field", "name", "said"),
        [
            ("maxmemory", "maxmemory", "1000000"),
            ("maxmemory_policy", "maxmemory-policy", "allkeys-lru"),
            ("aof_enabled", "appendonly", "1"),
            ("repl_backlog_size", "repl-backlog-size", "16384"),
            ("maxclients", "maxclients", "4064"),
        ],
    )
    def test_what_info_tells_is_compared_too(self, field: str, name: str, said: str) -> None:
        world = World.of(3, 1)
        world["c"].info[field] = said
        (one,) = drifts(world)
        assert f"{name} is {'yes' if said == '1' else said} on 1 node" in one.evidence
        assert ("size" in one.consequence) is (name == "maxmemory")

    def test_all_that_one_node_has_differently_is_one_finding_and_one_command(self) -> None:
        world = World.of(3, 1)
        world["a"].config |= {"cluster-node-timeout": "5000", "min-replicas-to-write": "1"}
        (one,) = drifts(world)
        assert "cluster-node-timeout is 5000" in one.evidence
        assert "min-replicas-to-write is 1" in one.evidence
        assert one.hint.endswith("CONFIG SET cluster-node-timeout 15000 min-replicas-to-write 0")

    def test_an_old_server_takes_one_setting_a_command(self) -> None:
        world = World.of(3, 1)
        world.version = "6.2.14"
        world["a"].config |= {"cluster-node-timeout": "5000", "min-replicas-to-write": "1"}
        (one,) = drifts(world)
        assert one.hint.endswith("CONFIG SET cluster-node-timeout 15000")

    def test_where_no_value_is_in_the_lead_nobody_is_accused(self) -> None:
        world = World.of(2, 1)
        for letter in ("a", "b"):
            world[letter].config["cluster-node-timeout"] = "5000"
        (one,) = drifts(world)
        assert one.subject.kind is SubjectKind.CLUSTER
        assert "differ" not in one.evidence
        assert "5000 on 2 nodes" in one.evidence
        assert "15000 on 2 nodes" in one.evidence
        assert "CONFIG SET" not in one.hint

    def test_different_nodes_with_different_settings_are_two_findings(self) -> None:
        world = World.of(3, 1)
        world["a"].config["cluster-node-timeout"] = "5000"
        world["b"].config["min-replicas-to-write"] = "1"
        assert {each.subject.id for each in drifts(world)} == {node_id("a"), node_id("b")}

    @pytest.mark.parametrize(
        "name", ["cluster-replica-no-failover", "cluster-announce-ip", "cluster-port", "cluster-config-file"]
    )
    def test_what_belongs_to_a_node_is_not_compared(self, name: str) -> None:
        world = World.of(3, 1)
        for member in world:
            member.config[name] = "no"
        world["a1"].config[name] = "yes"
        assert drifts(world) == []

    def test_who_does_not_say_a_setting_is_left_out(self) -> None:
        """A version without the setting, and a node that does not answer."""
        world = World.of(3, 1)
        world["a"].config["cluster-manual-failover-timeout"] = "5000"
        world["b"].silence = SilenceReason.REFUSED
        world["c"].config["cluster-node-timeout"] = None
        assert drifts(world) == []

    def test_the_default_backlog_of_another_version_is_no_drift(self) -> None:
        world = World.of(3, 1)
        world["a"].info |= {"redis_version": "7.2.4", "server_name": "valkey", "valkey_version": "8.0.1"}
        world["a"].info["repl_backlog_size"] = "10485760"
        assert drifts(world) == []

    def test_a_value_that_a_server_made_up_is_cut(self) -> None:
        world = World.of(3, 1)
        for member in world:
            member.config["save"] = "3600 1"
        world["a"].config["save"] = "1 1 " * 5000
        (one,) = drifts(world)
        assert len(one.evidence) < 300


class TestUsers:
    APP = AclUser("app", True, False, "rules", ("p",))
    DEFAULT = AclUser("default", True, True, "all")

    def with_users(self, shards: int, **odd: tuple[AclUser, ...]) -> World:
        world = World.of(shards, 1)
        for member in world:
            member.users = odd.get(member.node_id[0], (self.DEFAULT, self.APP))
        return world

    def test_a_shard_with_other_users_is_named(self) -> None:
        one = only(self.with_users(3, b=(self.DEFAULT,)))
        assert (one.code, one.severity, one.subject.id) == ("config-drift", Severity.WARNING, node_id("b"))
        assert one.evidence.endswith("app is missing")
        assert "127.50.2.1:7000 (bbbbbbbb) are not those of" in one.evidence

    def test_the_same_users_in_another_order_are_the_same(self) -> None:
        assert found(self.with_users(3, b=(self.APP, self.DEFAULT))) == []

    def test_who_does_not_show_its_users_and_other_versions_are_left_out(self) -> None:
        world = self.with_users(3, b=())
        world["b"].users = world["b1"].users = None
        assert found(world) == []
        world = self.with_users(3, b=(self.DEFAULT,))
        world["b"].info["redis_version"] = world["b1"].info["redis_version"] = "7.0.15"
        assert [each.code for each in found(world)] == ["version-mixed"]


class TestVersions:
    def test_two_versions_are_told_and_change_no_verdict(self) -> None:
        world = World.of(3, 1)
        world["b"].info["redis_version"] = "7.0.15"
        one = only(world)
        assert (one.code, one.severity) == ("version-mixed", Severity.INFO)
        assert "redis 7.0.15 on 1 node (" in one.evidence
        assert "redis 8.2.3 on 5 nodes (" in one.evidence
        assert conclude([one]).verdict is Verdict.OK

    def test_a_node_that_hides_its_version_is_no_other_version(self) -> None:
        world = World.of(3, 1)
        world["b"].info["redis_version"] = None
        assert found(world) == []

    def test_redis_beside_valkey_is_said(self) -> None:
        world = World.of(3, 1)
        world["b"].info |= {"redis_version": "7.2.4", "server_name": "valkey", "valkey_version": "8.0.5"}
        assert "Redis and Valkey are on one bus" in only(world).consequence

    def test_a_grave_fault_of_a_version_is_a_warning(self) -> None:
        world = World.of(3, 1)
        world.version = "7.0.4"
        by_source = {each.evidence.rpartition("#")[2]: each for each in found(world)}
        assert by_source["11263)"].severity is Severity.WARNING
        assert all("every node" in each.evidence for each in by_source.values())

    def test_a_fault_of_one_node_names_it(self) -> None:
        world = World.of(3, 1)
        world["c1"].info["redis_version"] = "7.0.12"
        bug = next(each for each in found(world) if each.code == "version-bug")
        assert bug.subject.id == node_id("c1")
        assert "#12344" in bug.evidence

    def test_what_only_a_forget_meets_is_told_when_a_forget_is_near(self) -> None:
        world = World.of(3, 1)
        assert found(world) == []
        world.kill("b1")
        one = only(world)
        assert (one.code, one.severity) == ("version-bug", Severity.INFO)
        assert "CLUSTER FORGET" in one.evidence

    def test_what_only_a_takeover_meets_is_told_when_a_slot_owner_is_dead(self) -> None:
        world = World.of(3, 1)
        world.version = "6.2.14"
        assert found(world) == []
        world.kill("b1")
        assert found(world) == []
        world.kill("c")
        assert "TAKEOVER" in only(world).evidence


@pytest.mark.parametrize(
    ("info", "names"),
    [
        ("redis_version:6.2.7", {"pause-outlives-failover", "takeover-keeps-epoch"}),
        ("redis_version:6.2.16", {"takeover-keeps-epoch"}),
        ("redis_version:7.0.15", set()),
        ("redis_version:7.2.5", {"nodes-conf-mixed-shard-ids", "forget-short-id"}),
        ("redis_version:8.2.6", {"forget-short-id"}),
        ("redis_version:8.2.7", set()),
        ("redis_version:8.4.3", {"full-sync-crash"}),
        ("redis_version:8.4.4", set()),
        ("redis_version:8.6.1", {"full-sync-crash"}),
        ("redis_version:7.2.4\r\nvalkey_version:8.0.4", {"stale-epoch-stalls"}),
        ("redis_version:7.2.4\r\nvalkey_version:9.1.2", {"forgotten-comes-back"}),
        ("redis_version:7.2.4\r\nvalkey_version:7.2.7", set()),
        ("redis_version:255.255.255", set()),
        ("garnet_version:1.0.1\r\nredis_version:7.2.5", set()),
        ("", set()),
    ],
)
def test_which_faults_a_version_has(info: str, names: set[str]) -> None:
    server = server_of(info)
    assert {bug.name for bug in BUGS if bug.affects(server)} == names


def test_every_fault_says_where_it_is_written_down() -> None:
    for bug in BUGS:
        assert "#" in bug.source
        assert bug.grave <= (bug.occasion is Occasion.ALWAYS), f"{bug.name} is grave, and not always told"
        assert bug.until is None or bug.since < bug.until


class TestPersistence:
    def bare(self, *letters: str) -> World:
        world = World.of(3, 1)
        for letter in ("a", "b", "c", "a1", "b1", "c1"):
            world[letter].config["save"] = "" if letter in letters or not letters else "3600 1"
        return world

    def seen(self, world: World) -> list[Finding]:
        return list(config.persistence_off(world.snapshot(), Thresholds()))

    def test_primaries_that_save_nothing_are_one_finding(self) -> None:
        (one,) = self.seen(self.bare())
        assert (one.code, one.severity) == ("persistence-off-restart-risk", Severity.INFO)
        assert "3 primaries save nothing" in one.evidence

    def test_one_is_named(self) -> None:
        (one,) = self.seen(self.bare("b"))
        assert one.subject.id == node_id("b")
        assert "1 primary saves nothing of its data" in one.evidence

    @pytest.mark.parametrize("why", ["aof", "no keys", "replica", "not said"])
    def test_without_the_risk_nothing_is_said(self, why: str) -> None:
        world = self.bare("b1" if why == "replica" else "b")
        if why == "aof":
            world["b"].info["aof_enabled"] = "1"
        elif why == "no keys":
            world["b"].info["db0"] = None
        elif why == "not said":
            world["b"].config["save"] = None
        assert self.seen(world) == []

    def test_a_primary_without_a_replica_has_nobody_who_copies_it(self) -> None:
        world = World.of(3, 0)
        for member in world:
            member.config["save"] = ""
        assert self.seen(world) == []


def test_rules_see_nothing_where_nothing_was_seen() -> None:
    world = World.of(3, 1)
    for member in world:
        member.silence = SilenceReason.REFUSED
    snapshot: Snapshot = world.snapshot()
    assert [each for rule in config.RULES for each in rule(snapshot, Thresholds())] == []
