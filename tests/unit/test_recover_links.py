"""Why a link is down, from both its ends, on constructed clusters: each cause has its own sign and its own remedy."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from rcfail.change.recover.action import ActionKind
from rcfail.change.recover.case import Case, Decisions, Question
from rcfail.change.recover.condition import Condition, ConditionCode
from rcfail.change.recover.replicas import links
from rcfail.change.recover.replicas.causes import replica_limit
from rcfail.cluster.logins import AclUser, PrimaryLogin
from rcfail.cluster.snapshot import Known
from rcfail.health.diagnose import diagnose
from rcfail.health.finding import Thresholds
from rcfail.wire.replies import Reply
from tests.unit.world import Member, World, node_id

A, A1 = node_id("a"), node_id("a1")
DOWN: dict[str, str | None] = {
    "master_link_status": "down",
    "master_last_io_seconds_ago": "-1",
    "master_link_down_since_seconds": "20",
}
NEVER = DOWN | {"master_link_down_since_seconds": "-1", "db0": None, "slave_repl_offset": "0"}
Said = Mapping[tuple[str, ...], Reply]


def down(more: Mapping[str, str | None] | None = None) -> World:
    """The replica of a has lost its link, and a does not show it any more."""
    world = World.of(3, 1)
    world["a1"].info |= DOWN | dict(more or {})
    world["a"].info |= {"connected_slaves": "0", "slave0": None}
    return world


def case(world: World, replica: Said | None = None, primary: Said | None = None) -> Case:
    """`replica` and `primary` are what the two ends answer to what is asked besides."""
    snapshot = world.snapshot()
    replies = {Question(world["a1"].endpoint, command): said for command, said in (replica or {}).items()}
    replies |= {Question(world["a"].endpoint, command): said for command, said in (primary or {}).items()}
    return Case(snapshot, diagnose(snapshot, Thresholds()), replies=replies)


def the(case: Case) -> Condition:
    (found,) = links.conditions(case, frozenset())
    assert found.nodes[0] == A1
    return found


def test_links_that_are_up_are_no_matter() -> None:
    assert not list(links.conditions(case(World.of(3, 2)), frozenset()))
    assert not list(links.questions(case(World.of(3, 2))))


def test_only_the_two_ends_are_asked_and_never_for_a_secret() -> None:
    asked = list(links.questions(case(down())))
    world = World.of(3, 1)
    assert {each.place for each in asked} == {world["a"].endpoint, world["a1"].endpoint}
    assert not [each for each in asked if "masterauth" in each.command or each.command[:2] == ("CONFIG", "SET")]


def test_a_dead_primary_is_another_condition() -> None:
    world = World.of(3, 1)
    world.kill("a")
    assert not list(links.conditions(case(world), frozenset()))


def test_who_is_taken_is_left_alone() -> None:
    assert not list(links.conditions(case(down()), frozenset({A1})))


# Logins


def log_line(member: Member, age: str = "0.4", reason: str = "auth", what: str = "AUTH", name: str = "") -> Reply:
    client = f"id=9 addr={member.endpoint.host}:40120 laddr=127.50.1.1:7000 fd=9 name={name} age=0"
    pairs = ("count", 20, "reason", reason, "context", "toplevel", "object", what, "username", "repl")
    return (*pairs, "age-seconds", age, "client-info", client)


def test_a_refused_login_that_the_primary_logged() -> None:
    world = down()
    primary: Said = {
        ("ACL", "LOG", "32"): (log_line(world["a1"]),),
        ("CONFIG", "GET", "masteruser"): ("masteruser", "sync"),
    }
    found = the(case(world, primary=primary))
    assert (found.code, found.actions) == (ConditionCode.LINK_DOWN, ())
    assert "turns it away: it logged a refused AUTH of the user repl" in found.evidence
    at = "redis-cli -h 127.50.2.1 -p 8000 CONFIG SET"
    assert f"{at} masteruser sync" in found.advice
    assert f"{at} masterauth PASSWORD" in found.advice
    assert "replica-link-down goes away" in found.advice
    assert "rcfail health --wait 60s" in found.advice


def test_a_right_that_the_replication_user_lacks() -> None:
    world = down()
    rows = (log_line(world["a1"], reason="command", what="psync"),)
    assert "the user repl may not run PSYNC" in the(case(world, primary={("ACL", "LOG", "32"): rows})).evidence


@pytest.mark.parametrize("other", ["old", "operator", "elsewhere"])
def test_a_refusal_of_somebody_else_is_no_cause(other: str) -> None:
    world = down()
    row = {
        "old": log_line(world["a1"], age="300"),
        "operator": log_line(world["a1"], name="rcfail"),
        "elsewhere": log_line(world["c"]),
    }[other]
    found = the(case(world, primary={("ACL", "LOG", "32"): (row,)}))
    assert "turns it away" not in found.evidence
    assert "cannot be seen from outside" in found.story
    assert "CONFIG GET logfile" in found.advice


def test_a_user_that_the_primary_has_not() -> None:
    """Seen without any log, and the default user needs no password: the commands are whole."""
    world = down()
    world["a"].users = (AclUser("default", True, True, "r"),)
    replica: Said = {("CONFIG", "GET", "masteruser"): ("masteruser", "nobody")}
    found = the(case(world, replica, {("CONFIG", "GET", "masteruser"): ("masteruser", "")}))
    assert "its masteruser is nobody, and there is no user nobody" in found.evidence
    assert "CONFIG SET masteruser ''" in found.advice
    assert "CONFIG SET masterauth ''" in found.advice


def test_a_password_that_the_primary_does_not_take() -> None:
    world = down()
    world["a"].users = (AclUser("default", True, False, "r", ("right",)),)
    world["a1"].login = PrimaryLogin("", "f00d")
    found = the(case(world))
    assert "masterauth is no password of the user default" in found.evidence
    assert "f00d" not in found.advice + found.evidence


def test_refusals_that_may_be_anybodys_are_told_as_such() -> None:
    primary: Said = {
        ("INFO", "errorstats"): "# Errorstats\r\nerrorstat_WRONGPASS:count=12\r\nerrorstat_ERR:count=3\r\n"
    }
    found = the(case(down(), {("ROLE",): ("slave", "127.50.1.1", 7000, "connect", -1)}, primary))
    assert "its primary counted 12 WRONGPASS since its start, whoever was refused" in found.evidence
    assert "ROLE says connect" in found.evidence


# The way there


@pytest.mark.parametrize(
    ("tls", "port", "words", "setting"),
    [
        ("yes", "7000", "TLS to the primary's plain port", "no"),
        ("no", "9999", "without TLS to the primary's TLS port", "yes"),
    ],
)
def test_tls_on_one_side_only(tls: str, port: str, words: str, setting: str) -> None:
    primary: Said = {
        ("CONFIG", "GET", "port"): ("port", port),
        ("CONFIG", "GET", "tls-port"): ("tls-port", "7000" if port != "7000" else "7001"),
    }
    found = the(case(down(), {("CONFIG", "GET", "tls-replication"): ("tls-replication", tls)}, primary))
    assert words in found.evidence
    assert f"CONFIG SET tls-replication {setting}" in found.advice


def test_a_primary_that_takes_no_more_clients() -> None:
    world = down()
    world["a"].info |= {"connected_clients": "100", "maxclients": "100"}
    assert "CONFIG SET maxclients 200" in the(case(world)).advice


def test_a_connection_that_nobody_answers() -> None:
    found = the(case(down(), {("ROLE",): ("slave", "127.50.1.1", 7000, "connecting", -1)}))
    assert "nothing at 127.50.1.1:7000 answers its connection" in found.evidence
    assert "redis-cli -h 127.50.1.1 -p 7000 PING" in found.advice


def test_an_old_address_is_dialed_anew() -> None:
    found = the(case(down({"master_host": "127.50.9.9"})))
    (action,) = found.actions
    assert action.kind is ActionKind.REPLICATE
    assert action.key == ("replicate", A1, A)
    assert action.sends[0].command == ("CLUSTER", "REPLICATE", A)
    assert action.loses == ()


def test_an_old_address_on_valkey_is_left_alone() -> None:
    """The order does nothing there, and other hosts are announced to clients."""
    world = down({"master_host": "127.50.9.9"})
    world.version = "9.1.2"
    assert the(case(world)).actions == ()


def test_an_old_address_and_a_wrong_login_take_more_than_an_order() -> None:
    world = down({"master_host": "127.50.9.9"})
    found = the(case(world, primary={("ACL", "LOG", "32"): (log_line(world["a1"]),)}))
    assert found.actions == ()
    assert "turns it away" in found.evidence


# Copies


def test_a_copy_under_way_is_followed_with_its_bytes() -> None:
    world = down(
        {
            "master_sync_in_progress": "1",
            "master_sync_total_bytes": "2097152",
            "master_sync_read_bytes": "1048576",
            "master_sync_last_io_seconds_ago": "7",
        }
    )
    found = the(case(world))
    (action,) = found.actions
    assert (action.kind, action.sends) == (ActionKind.WAIT, ())
    assert "has taken 1.0 MB of 2.0 MB of a full copy, the last of it 7 s ago" in found.evidence
    check = action.expects[0].check(world.snapshot())
    assert (check.refuses, "1.0 MB of 2.0 MB" in check.evidence) == (True, True)
    assert not action.expects[0].check(World.of(3, 1).snapshot()).refuses


def test_a_wait_is_as_long_as_the_operator_says() -> None:
    world = down({"master_sync_in_progress": "1"})
    patient = Case(world.snapshot(), decisions=Decisions(within_s=5000))
    assert the(patient).actions[0].within_ms == 5_000_000


def test_a_first_copy_that_waits_to_begin() -> None:
    world = down(NEVER)
    world["a"].info["slave0"] = "ip=127.50.2.1,port=8000,state=wait_bgsave,offset=0,lag=0"
    found = the(case(world))
    assert (found.code, found.actions[0].kind) == (ConditionCode.NEVER_SYNCED, ActionKind.WAIT)
    assert "waits for a full copy (its primary shows it as wait_bgsave)" in found.evidence


def test_copies_that_never_end_are_not_waited_for() -> None:
    world = down({"master_sync_in_progress": "1", "master_sync_read_bytes": "5"})
    world["a"].info |= {"sync_full": "60", "uptime_in_seconds": "3600"}
    limits = "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60"
    primary: Said = {
        ("CONFIG", "GET", "client-output-buffer-limit"): ("client-output-buffer-limit", limits),
        ("INFO", "stats"): "# Stats\r\nclient_output_buffer_limit_disconnections:59\r\n",
    }
    found = the(case(world, primary=primary))
    assert found.actions == ()
    assert "has begun 60 full copies in 60 min, and broken 59 connections whose buffer was full" in found.evidence
    assert "256 MB, or 64 MB for 60 s, its repl-timeout 60 s" in found.evidence
    assert "CONFIG SET client-output-buffer-limit 'replica 0 0 0'" in found.advice
    between = the(case(world, {("ROLE",): ("slave", "127.50.1.1", 7000, "handshake", -1)}, primary))
    assert "has begun 60 full copies" in between.evidence
    assert "handshake" not in between.evidence + between.advice, "it is a moment between two copies"


def test_some_copies_in_a_long_life_are_no_loop() -> None:
    world = down({"master_sync_in_progress": "1"})
    world["a"].info |= {"sync_full": "60", "uptime_in_seconds": "360000"}
    assert the(case(world)).actions[0].kind is ActionKind.WAIT


@pytest.mark.parametrize(
    ("text", "said"),
    [("slave 0 0 0", "none"), ("normal 0 0 0 replica 5 0 0", "5 B"), ("normal 0 0 0", ""), ("slave x 1 2", "")],
)
def test_the_limit_of_a_replicas_buffer(text: str, said: str) -> None:
    assert replica_limit(text) == said


def test_a_primary_that_cannot_save() -> None:
    world = down(NEVER)
    world["a"].info["rdb_last_bgsave_status"] = "err"
    found = the(case(world))
    assert found.code is ConditionCode.NEVER_SYNCED
    assert "background save of its primary failed" in found.evidence
    assert "CONFIG GET dir" in found.advice


def test_what_has_left_the_backlog_is_told() -> None:
    world = down({"slave_repl_offset": "1000"})
    world["a"].info |= {"master_repl_offset": "9000", "repl_backlog_histlen": "5000"}
    found = the(case(world))
    assert "it needs byte 1001, and the first there is 4001" in found.evidence
    assert "CONFIG SET repl-backlog-size 2097152." in found.advice
    world["a"].info["repl_backlog_histlen"] = "8000"
    assert "backlog" not in the(case(world)).evidence


def test_a_primary_that_loads_is_waited_for() -> None:
    world = down()
    world["a"].info |= {"loading": "1"}
    assert the(case(world)).actions[0].kind is ActionKind.WAIT


# The primary lost its data


def test_the_link_to_a_primary_that_came_back_empty_is_not_mended() -> None:
    world = down({"master_host": "127.50.9.9", "master_replid": "e" * 40})
    world["a"].info["db0"] = None
    found = the(case(world))
    assert (found.choice, found.actions) == (True, ())
    assert "holds 10 keys" in found.evidence
    assert "held nowhere else" in found.story
    assert f"rcfail failover {A1} --force --dry-run" in found.advice


def test_a_replica_of_one_stream_with_an_empty_primary_lost_nothing() -> None:
    """Every key was deleted, and the replica has not heard of it."""
    world = down()
    world["a"].info["db0"] = None
    assert not the(case(world)).choice


def test_a_primary_from_an_older_dump_is_no_copy_of_its_replica() -> None:
    """It goes on from the dump under a new name, and knows the old stream up to there: its replica is far ahead."""
    world = down({"master_host": "127.50.9.9"})
    world["a"].info |= {"master_replid": "e" * 40, "master_replid2": A, "second_repl_offset": "4001"}
    (action,) = the(case(world)).actions
    assert [(each.node, each.keys, each.copies) for each in action.loses] == [(A1, 10, 0)]
    world["a"].info["second_repl_offset"] = "5001"
    assert the(case(world)).actions[0].loses == ()


def test_a_primary_from_an_empty_dump_came_back_empty_too() -> None:
    world = down({"master_host": "127.50.9.9"})
    world["a"].info |= {"master_replid": "e" * 40, "master_replid2": A, "second_repl_offset": "1", "db0": None}
    found = the(case(world))
    assert (found.choice, found.actions) == (True, ())


def test_who_mends_a_link_is_told_what_it_throws_away() -> None:
    """The primary lost its data, and has some keys again."""
    world = down()
    world["a"].info |= {"master_replid": "e" * 40, "db0": "keys=2,expires=0,avg_ttl=0"}
    found = the(case(world))
    assert "Its primary holds 2 keys" in found.story
    assert "redis-cli -h 127.50.2.1 -p 8000 BGSAVE" in found.story
    assert "BGSAVE" not in the(case(down())).story


def test_a_silent_end_is_never_called_well() -> None:
    world = down({"master_link_status": None})
    snapshot = world.snapshot()
    assert snapshot.nodes[A1].alive is Known.YES
    assert not list(links.conditions(Case(snapshot), frozenset()))
