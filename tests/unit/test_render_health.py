"""The page of health: whole pages against golden files, and what must hold for any page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from rcfail.cluster.merge import merge
from rcfail.cluster.nouns import Endpoint
from rcfail.cluster.observation import Observation, Silence, SilenceReason
from rcfail.health.diagnose import diagnose
from rcfail.health.finding import CLUSTER, Finding, Severity, Subject, SubjectKind, Thresholds
from rcfail.health.verdict import Policy, conclude
from rcfail.render.health_page import health_page
from rcfail.render.lines import plain
from rcfail.wire.record import save
from tests.unit.golden import assert_golden
from tests.unit.running import rcfail
from tests.unit.world import World, node_id

ESCAPES = "\x1b[2J\u202e[bold]"


def well() -> World:
    return World.of(3, 1)


def primary_dead() -> World:
    world = World.of(3, 1)
    world.kill("a")
    return world


def primary_suspected() -> World:
    world = World.of(3, 1)
    world.kill("b", agreed=False)
    return world


def replica_dead() -> World:
    world = World.of(3, 1)
    world.kill("c1")
    return world


def replica_behind() -> World:
    world = World.of(3, 2)
    world["a1"].info |= {"slave_repl_offset": "100", "master_last_io_seconds_ago": "40"}
    world["b2"].info |= {"master_link_status": "down", "master_link_down_since_seconds": "75"}
    return world


def odd_members() -> World:
    """A spare primary, a replica of a replica, IPv6 and scattered slots."""
    world = World.of(3, 2)
    world["a2"].primary = node_id("a1")
    world["c"].endpoint = Endpoint("2001:db8::7:1", 7000)
    world["b"].slots = (
        (5461, 5461),
        (5463, 5470),
        (5472, 5472),
        (5474, 6000),
        (6002, 6002),
        (6004, 7000),
        (7002, 9000),
    )
    world["a"].slots = (
        (0, 5460),
        (5462, 5462),
        (5471, 5471),
        (5473, 5473),
        (6001, 6001),
        (6003, 6003),
        (7001, 7001),
        (9001, 10921),
    )
    spare = replace(world["a"], node_id=node_id("d"), endpoint=Endpoint("127.50.4.1", 7000), slots=(), epoch=0)
    world.members[spare.node_id] = spare
    return world


def large_and_hurt() -> World:
    world = World.of(60, 1)
    world.kill("0002a")
    for at in range(30, 40):
        world.kill(f"{at:04x}a1")
    return world


PAGES: dict[str, Callable[[], World]] = {
    "well": well,
    "primary-dead": primary_dead,
    "primary-suspected": primary_suspected,
    "replica-dead": replica_dead,
    "replica-behind": replica_behind,
    "odd-members": odd_members,
    "large-and-hurt": large_and_hurt,
}


def page(world: World, width: int = 80, show_all: bool = False) -> str:
    snapshot = world.snapshot()
    return plain(health_page(snapshot, conclude(diagnose(snapshot, Thresholds())), width, show_all))


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_as_it_was(name: str) -> None:
    assert_golden(f"health-{name}", page(PAGES[name]()))


def test_the_whole_output_of_a_run_is_as_it_was(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """From the record to stdout, with notes, as a pipe reads it."""
    stray = Silence(Endpoint("10.9.9.9", 7000), None, SilenceReason.REFUSED, "connection refused")
    observation = replica_dead().observe()
    monkeypatch.chdir(tmp_path)
    path = "r.json"  # the notes name it
    save(replace(observation, silences=(*observation.silences, stray)), path)
    ran = rcfail(capsys, "health", "--from-record", path, "--fail-on", "critical", "--ignore", "replica-missing")
    assert (ran.code, ran.err) == (0, "")
    assert_golden("run-replica-dead", ran.out)


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("width", [80, 100, 120])
def test_a_page_fits_its_width_but_for_commands(name: str, width: int) -> None:
    for row in page(PAGES[name](), width).splitlines():
        command = row.strip().startswith(("redis-cli ", "rcfail "))
        assert command or len(row) <= width, row


@pytest.mark.parametrize("name", PAGES)
def test_what_is_wrong_what_it_means_and_what_to_do_come_first(name: str) -> None:
    rows = page(PAGES[name]()).splitlines()
    verdict = rows[0].split()[0]
    assert verdict in ("OK", "WARNING", "CRITICAL", "UNKNOWN")
    assert rows[1].startswith("serving ")
    if verdict != "OK":
        assert rows[2].startswith("means: ")
        assert any(row.startswith("hint:  ") for row in rows[3:6])


@pytest.mark.parametrize("name", PAGES)
def test_no_node_is_lost_from_the_whole_page(name: str) -> None:
    world = PAGES[name]()
    text = page(world, show_all=True)
    for member in world:
        assert f"  {member.node_id[:8]}  " in text, member.node_id


def test_a_large_cluster_stays_short_and_says_what_it_left_out() -> None:
    world = World.of(120, 1)
    text = page(world)
    assert len(text.splitlines()) < 12
    assert "120 shards with 240 nodes not shown, nothing wrong with them: --all shows them" in text
    assert len(page(world, show_all=True).splitlines()) > 360


def test_of_a_large_cluster_the_hurt_shards_are_drawn() -> None:
    text = page(large_and_hurt())
    assert "FAILED for 109 of 109" in text
    assert "and 49 shards with 98 nodes not shown, nothing wrong with them: --all shows them" in text
    assert len(text.splitlines()) < 200


def test_many_alike_are_counted_and_every_one_can_be_had() -> None:
    world = World.of(60, 1)
    for at in range(30):
        world.kill(f"{at:04x}a1")
    short, whole = page(world), page(world, show_all=True)
    assert "6-30. WARNING  node-failed, the same of " in short
    assert "31. WARNING  replica-missing" in short
    assert whole.count("  node-failed  ") == 30
    assert short.splitlines()[0] == "WARNING  a node has failed: 127.50.2.1:8000 and 29 more (60 findings)"


def test_nothing_that_a_server_says_is_obeyed() -> None:
    world = World.of(3, 1)
    for member in world:
        member.sees = {
            other.node_id: other.line(other is member).replace("@17000 ", f"@17000,{ESCAPES} ") for other in world
        }
        member.info["availability_zone"] = ESCAPES
        member.info["redis_version"] = f"8.2{ESCAPES}"
    text = page(world)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "[bold]" in text


def test_evidence_of_any_form_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    findings = (
        Finding("slots-uncovered", Severity.CRITICAL, Subject(SubjectKind.SLOT, "5-9"), "five slots", "", ""),
        Finding(
            "quorum-lost", Severity.CRITICAL, CLUSTER, "one \x1b[31mvoter", "no votes", "Do it: redis-cli -p 1 PING"
        ),
        Finding("not-permitted", Severity.UNKNOWN, Subject(SubjectKind.VIEW, "a" * 40), "NOPERM", "", "Read on."),
        Finding("clock-skew", Severity.INFO, Subject(SubjectKind.NODE, "b" * 40, "h:1"), "3 s", "little"),
    )
    text = plain(health_page(World.of(3, 1).snapshot(), conclude(findings), 80, False))
    assert_golden("health-findings", text)
    assert "\x1b" not in text


def test_what_is_ignored_is_said() -> None:
    snapshot = replica_dead().snapshot()
    diagnosis = conclude(diagnose(snapshot, Thresholds()), Policy(ignore=("node-failed", "replica-missing")))
    text = plain(health_page(snapshot, diagnosis, 80, False))
    assert text.startswith("OK  ")
    assert "ignored by --ignore node-failed: 127.50.1.1:8002" in text
    assert "FAILED for 5 of 5" in text, "the node is as dead as before"


def test_nobody_but_a_loading_node_is_still_a_page() -> None:
    observation = Observation(0, 1, (Endpoint("h", 1),), (), ())
    snapshot = merge(observation)
    text = plain(health_page(snapshot, conclude(diagnose(snapshot, Thresholds())), 80, False))
    assert text.startswith("UNKNOWN  ")


def test_a_primary_that_a_finding_is_about_is_not_called_ok() -> None:
    world = World.of(3, 1)
    world["b"].info |= {"used_memory": "2000", "maxmemory": "1000", "maxmemory_policy": "noeviction"}
    rows = {row.split()[1]: row for row in page(world).splitlines() if row.startswith("  primary  ")}
    assert "  writes-refused" in rows[str(world["b"].endpoint)]
    assert rows[str(world["a"].endpoint)].endswith(" ok")
