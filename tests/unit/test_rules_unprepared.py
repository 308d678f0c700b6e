"""What a failover would bring to light: logins, users, memory, copies for a write."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from rcfail.cluster.logins import AclUser, PrimaryLogin, differing, refusal
from rcfail.cluster.merge import merge
from rcfail.health.finding import Finding, Severity, SubjectKind, Thresholds
from rcfail.health.rules.drift import config_drift
from rcfail.health.rules.unprepared import failover_unprepared
from rcfail.wire.fingerprints import UserReader, fingerprint, login_of
from rcfail.wire.record_form import observation_from, observation_to
from tests.unit.world import World, node_id

OPEN = AclUser("default", True, True, "all")
CLOSED = AclUser("default", True, False, "all", ("p1",))
OFF = AclUser("default", False, False, "none")
APP = AclUser("app", True, False, "app", ("p2",))
REPLICATOR = AclUser("replicator", True, False, "sync", ("p3",))
LOGIN = PrimaryLogin("", "p1")
NO_LOGIN = PrimaryLogin("", "")


def secured(shards: int = 3, replicas: int = 1) -> World:
    """Everybody needs the one password, and has it."""
    world = World.of(shards, replicas)
    for member in world:
        member.users, member.login = (CLOSED, APP), LOGIN
    return world


def found(world: World) -> list[Finding]:
    return list(failover_unprepared(world.snapshot(), Thresholds()))


def only(world: World) -> Finding:
    (one,) = found(world)
    return one


def test_shards_that_are_prepared_have_nothing_to_tell() -> None:
    assert found(secured()) == []
    assert found(World.of(3, 1)) == []


class TestLogins:
    def test_a_primary_without_masterauth_could_not_follow(self) -> None:
        world = secured()
        world["b"].login = NO_LOGIN
        one = only(world)
        assert (one.code, one.severity, one.subject.kind) == (
            "failover-unprepared",
            Severity.WARNING,
            SubjectKind.SHARD,
        )
        assert one.subject.id == node_id("b")
        assert "127.50.2.1:7000 (bbbbbbbb) could not log in at" in one.evidence
        assert "masterauth is not set" in one.evidence
        assert one.hint.endswith("CONFIG GET masteruser")

    def test_a_replica_whose_link_is_up_from_before_is_told(self) -> None:
        world = secured()
        world["b1"].login = PrimaryLogin("", "an older one")
        one = only(world)
        assert "could not log in at its primary" in one.evidence
        assert "masterauth is no password of the user default" in one.evidence
        world["b1"].info["master_link_status"] = "down"
        assert found(world) == [], "replica-link-down tells that"

    def test_siblings_have_to_follow_too(self) -> None:
        world = secured(replicas=2)
        world["a2"].users = (replace(CLOSED, passwords=("another",)), APP)
        one = only(world)
        assert one.evidence.count("could not log in at") == 2

    def test_without_the_users_one_without_masterauth_among_others_with_it_is_told(self) -> None:
        world = secured()
        for member in world:
            member.users = None
        world["c"].login = NO_LOGIN
        assert "masterauth is not set" in only(world).evidence
        world["c"].login = None
        assert found(world) == []

    def test_where_nobody_shows_anything_nothing_is_said(self) -> None:
        world = secured()
        for member in world:
            member.users = member.login = None
        assert found(world) == []


@pytest.mark.parametrize(
    ("login", "users", "why"),
    [
        (LOGIN, (CLOSED,), ""),
        (NO_LOGIN, (OPEN,), ""),
        (NO_LOGIN, (CLOSED,), "masterauth is not set"),
        (NO_LOGIN, (OFF, REPLICATOR), "the user default is off"),
        (LOGIN, (OPEN,), "masterauth is set, and the default user has no password"),
        (PrimaryLogin("default", "p1"), (OPEN,), ""),
        (PrimaryLogin("replicator", "p3"), (OFF, REPLICATOR), ""),
        (PrimaryLogin("replicator", "p1"), (OFF, REPLICATOR), "masterauth is no password of the user replicator"),
        (PrimaryLogin("replicator", "p3"), (CLOSED,), "there is no user replicator"),
        (PrimaryLogin("replicator", ""), (OPEN,), ""),
    ],
)
def test_who_is_let_in(login: PrimaryLogin, users: tuple[AclUser, ...], why: str) -> None:
    """As replication.c logs in, and acl.c lets in."""
    assert refusal(login, users) == why


class TestUsers:
    @pytest.mark.parametrize(
        ("theirs", "told"),
        [
            ((CLOSED,), "app is missing"),
            ((CLOSED, APP, REPLICATOR), "replicator exists there alone"),
            ((CLOSED, replace(APP, enabled=False)), "app is off"),
            ((CLOSED, replace(APP, passwords=("p9",))), "app has another password"),
            ((CLOSED, replace(APP, open=True)), "app has another password"),
            ((CLOSED, replace(APP, rules="other")), "app has other rules"),
        ],
    )
    def test_a_user_that_differs_is_named(self, theirs: tuple[AclUser, ...], told: str) -> None:
        world = secured()
        world["a1"].users = theirs
        one = only(world)
        assert told in one.evidence
        assert one.hint.endswith("ACL LIST")

    def test_rules_of_another_version_are_not_compared(self) -> None:
        world = secured()
        world["a1"].users = (CLOSED, replace(APP, rules="in other words"))
        world["a1"].info["redis_version"] = "7.0.15"
        assert found(world) == []

    def test_order_is_no_difference(self) -> None:
        assert differing((APP, CLOSED), (CLOSED, APP), rules=True) == ()


class TestFingerprints:
    LINE = "user app on nopass sanitize-payload #{0} ~a* resetchannels -@all +get"

    def read(self, *lines: str) -> tuple[AclUser, ...] | None:
        return UserReader().read(lines)

    def test_a_line_becomes_what_can_be_compared_and_nothing_else(self) -> None:
        secret = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"  # SHA-256 of "x"
        (user,) = self.read(f"user app on #{secret} ~a* resetchannels -@all +get") or ()
        assert (user.name, user.enabled, user.open) == ("app", True, False)
        assert user.passwords == (login_of("", "x").password,)
        assert secret not in str(user)
        assert "~a*" not in str(user)
        assert "x" not in login_of("", "x").password

    def test_the_same_means_the_same(self) -> None:
        reader = UserReader()
        lines = ("user app on #aa #bb ~a* +get", "user app on #bb #aa ~a* +get", "user app on #aa #bb ~b* +get")
        (one,), (same,), (other,) = (reader.read([line]) or () for line in lines)
        assert one == same
        assert one.passwords == other.passwords
        assert one.rules != other.rules

    def test_the_key_is_no_constant(self) -> None:
        """Else a fingerprint in a record could be guessed at."""
        import subprocess
        import sys

        code = "from rcfail.wire.fingerprints import fingerprint; print(fingerprint('x'))"
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
        assert len(ran.stdout.strip()) == len(fingerprint("x"))
        assert ran.stdout.strip() != fingerprint("x")

    @pytest.mark.parametrize(
        "lines", [("what is this",), ("user  on",), ("user app",), (7,), (None,), ("",), (("a",),)]
    )
    def test_half_a_list_is_none(self, lines: tuple[object, ...]) -> None:
        assert UserReader().read(("user default on nopass ~* &* +@all", *lines)) is None

    def test_no_password_is_no_fingerprint(self) -> None:
        assert login_of("replicator", "") == PrimaryLogin("replicator", "")

    def test_they_survive_the_file(self) -> None:
        seen = secured().observe()
        document = json.loads(json.dumps(observation_to(seen)))
        assert observation_from(document) == seen
        for answer in document["answers"]:
            del answer["users"], answer["login"]
        old = observation_from(document)
        assert all(each.users is None and each.login is None for each in old.answers)
        assert list(failover_unprepared(merge(old), Thresholds())) == []


class TestMemory:
    @pytest.mark.parametrize(
        ("primary", "replica", "said"), [("1000", "500", "its primary 1000"), ("0", "500", "no limit")]
    )
    def test_a_replica_with_less_is_told_here_and_not_as_drift(self, primary: str, replica: str, said: str) -> None:
        world = World.of(3, 1)
        for member in world:
            member.info["maxmemory"] = primary
        world["c1"].info["maxmemory"] = replica
        one = only(world)
        assert f"has maxmemory {replica}, its primary" in one.evidence
        assert said in one.evidence
        assert one.hint.endswith(f"CONFIG SET maxmemory {primary}")
        assert list(config_drift(world.snapshot(), Thresholds())) == []

    @pytest.mark.parametrize(("primary", "replica"), [("1000", "0"), ("1000", "2000"), ("0", "0")])
    def test_a_replica_with_as_much_or_more_is_prepared(self, primary: str, replica: str) -> None:
        world = World.of(1, 1)
        world["a"].info["maxmemory"], world["a1"].info["maxmemory"] = primary, replica
        assert found(world) == []


class TestCopies:
    def wanting(self, number: str, replicas: int, max_lag: str = "10") -> World:
        world = World.of(1, replicas)
        for member in world:
            member.config |= {"min-replicas-to-write": number, "min-replicas-max-lag": max_lag}
        return world

    def test_as_many_as_there_are_replicas_is_one_too_many(self) -> None:
        one = only(self.wanting("1", replicas=1))
        assert "wants 1 replica for a write (min-replicas-to-write), and would have 0" in one.evidence
        assert "until more replicas are there" in one.consequence
        assert one.hint.endswith("CONFIG SET min-replicas-to-write 0")

    def test_more_than_there_will_ever_be(self) -> None:
        assert "also when the old primary is back" in only(self.wanting("2", replicas=1)).consequence

    @pytest.mark.parametrize(("number", "replicas", "max_lag"), [("1", 2, "10"), ("0", 1, "10"), ("1", 1, "0")])
    def test_enough_of_them_or_no_such_rule(self, number: str, replicas: int, max_lag: str) -> None:
        assert found(self.wanting(number, replicas, max_lag)) == []


def test_a_long_list_of_reasons_is_cut() -> None:
    world = secured(1, 6)
    for member in world:
        member.users = (replace(CLOSED, passwords=(member.node_id,)), APP)
    one = only(world)
    assert "more of the kind" in one.evidence
    assert len(one.evidence) < 900
