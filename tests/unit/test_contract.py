"""The JSON contract: keys are added, never renamed or dropped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rcfail.cluster.nouns import Endpoint
from rcfail.cluster.observation import Silence, SilenceReason
from rcfail.health.catalogue import BY_CODE
from tests.unit.running import rcfail, recorded
from tests.unit.world import World, node_id

Capsys = pytest.CaptureFixture[str]

ENVELOPE = {
    "schema", "command", "exit_code", "exit", "verdict", "cluster", "data", "notes", "errors", "elapsed_ms",
}  # fmt: skip
CLUSTER = {"name", "seeds", "flavour", "versions"}
TROUBLE = {"code", "message", "hint"}
HEALTH = {
    "serving", "redundant", "failover_ready", "findings", "ignored", "shards", "nodes", "silences", "slots", "quorum",
    "epoch", "views",
}  # fmt: skip
FINDING = {"code", "severity", "subject", "evidence", "consequence", "hint", "runbook"}
SUBJECT = {"kind", "id", "address"}
SHARD = {"primary_id", "replica_ids", "slots", "slot_count"}
NODE = {
    "id", "host", "port", "bus_port", "hostname", "zone", "role", "primary_id", "config_epoch", "flags", "slots",
    "alive", "answers", "silence", "suspected_by", "failed_by", "unknown_to", "version", "cluster_state", "loading",
    "keys", "link_up", "lag_bytes", "lag_s", "took_ms", "absences",
}  # fmt: skip
SILENCE = {"id", "host", "port", "reason", "text", "waited_ms"}
SLOTS = {"assigned", "covered", "ok", "suspected", "failed"}
QUORUM = {"voters", "reachable", "needed", "standing"}
VIEW = {"observers", "listed", "suspected", "failed", "not_listed", "problems"}
TABLE = {"observer", "origin", "current_epoch", "last_vote_epoch", "nodes", "problems"}
ROW = {
    "id", "host", "port", "bus_port", "hostname", "role", "flags", "myself", "primary_id", "ping_sent_unix_ms",
    "pong_received_unix_ms", "config_epoch", "link", "slots", "migrating", "importing",
}  # fmt: skip
PROBLEM = {"line_number", "line", "reason"}


def hurt() -> World:
    """A cluster with a dead primary, a foreign line in one view, and nothing left out."""
    world = World.of(3, 1)
    world.kill("a")
    world["b"].extra_lines = ("what is this",)
    return world


def health(capsys: Capsys, world: World, folder: Path, *args: str) -> dict[str, Any]:
    return rcfail(capsys, "health", "--from-record", recorded(world, folder), "-o", "json", *args).document


def test_health_has_its_keys_in_sickness_and_in_health(capsys: Capsys, tmp_path: Path) -> None:
    for world in (hurt(), World.of(3, 1)):
        document = health(capsys, world, tmp_path)
        data = document["data"]
        assert document.keys() == ENVELOPE
        assert document["cluster"].keys() == CLUSTER
        assert data.keys() == HEALTH
        assert data["slots"].keys() == SLOTS
        assert data["quorum"].keys() == QUORUM
        keys = {
            "findings": FINDING, "shards": SHARD, "nodes": NODE, "silences": SILENCE, "views": VIEW,
        }  # fmt: skip
        for name, expected in keys.items():
            assert all(each.keys() == expected for each in data[name]), name
        assert all(each["subject"].keys() == SUBJECT for each in data["findings"])
        assert all(each.keys() == PROBLEM for view in data["views"] for each in view["problems"])


def test_health_values(capsys: Capsys, tmp_path: Path) -> None:
    document = health(capsys, hurt(), tmp_path)
    assert document["schema"] == "rcfail/1"
    assert (document["command"], document["exit"], document["exit_code"]) == ("health", "CRITICAL", 2)
    assert document["verdict"] == "critical"
    assert document["cluster"] == {
        "name": None, "seeds": ["127.50.1.1:7000"], "flavour": "redis", "versions": ["8.2.3"],
    }  # fmt: skip
    data = document["data"]
    assert data["serving"] == "no"
    assert data["slots"] == {"assigned": 16384, "covered": 16384, "ok": 10923, "suspected": 0, "failed": 5461}
    assert data["quorum"] == {"voters": 3, "reachable": 2, "needed": 2, "standing": "yes"}
    assert data["epoch"] == 3
    assert len(data["nodes"]) == 6, "a silent node is a row like any other"
    dead = next(each for each in data["nodes"] if each["id"] == node_id("a"))
    assert (dead["answers"], dead["silence"], dead["failed_by"], dead["alive"]) == (False, "refused", 5, "no")
    replica = next(each for each in data["nodes"] if each["id"] == node_id("b1"))
    assert (replica["role"], replica["link_up"], replica["lag_bytes"], replica["lag_s"]) == ("replica", True, 0, 1)
    assert data["silences"][0]["id"] == node_id("a")
    assert sum(len(view["problems"]) for view in data["views"]) == 1
    for finding in data["findings"]:
        assert finding["code"] in BY_CODE
        assert finding["runbook"] == f"runbooks/{finding['code']}.md"
        assert finding["severity"] in ("info", "warning", "unknown", "critical")
        assert finding["evidence"]


def test_a_finding_that_is_ignored_stays_visible(capsys: Capsys, tmp_path: Path) -> None:
    document = health(capsys, World.of(2, 1), tmp_path, "--ignore", "quorum-fragile")
    assert document["verdict"] == "ok"
    assert [each["code"] for each in document["data"]["ignored"]] == ["quorum-fragile"]
    assert document["data"]["ignored"][0].keys() == FINDING


def test_a_silence_without_a_member_is_in_the_silences(capsys: Capsys, tmp_path: Path) -> None:
    from dataclasses import replace

    from rcfail.wire.record import save

    stray = Silence(Endpoint("10.9.9.9", 7000), None, SilenceReason.REFUSED, "connection refused")
    observation = World.of(3, 1).observe()
    path = str(tmp_path / "stray.json")
    save(replace(observation, silences=(stray,)), path)
    document = rcfail(capsys, "health", "--from-record", path, "-o", "json").document
    assert [(each["host"], each["id"]) for each in document["data"]["silences"]] == [("10.9.9.9", None)]
    text = rcfail(capsys, "health", "--from-record", path).out
    assert "10.9.9.9:7000" in text


def test_nodes_has_its_keys_and_values(capsys: Capsys, tmp_path: Path) -> None:
    world = World.of(3, 1)
    world["a"].open_slots = (f"[93->-{node_id('b')}]", f"[7000-<-{node_id('b')}]")
    world["a"].extra_lines = ("what is this",)
    document = rcfail(capsys, "nodes", "--from-record", recorded(world, tmp_path), "-o", "json").document
    assert document.keys() == ENVELOPE
    data = document["data"]
    assert data.keys() == TABLE
    assert data["observer"] == {"id": node_id("a"), "host": "127.50.1.1", "port": 7000}
    assert all(each.keys() == ROW for each in data["nodes"])
    own = next(each for each in data["nodes"] if each["myself"])
    assert own["migrating"] == [[93, node_id("b")]]
    assert own["importing"] == [[7000, node_id("b")]]
    assert own["slots"] == [[0, 5460]]
    assert (own["role"], own["flags"], own["link"], own["bus_port"]) == ("primary", ["master"], "connected", 17000)
    replica = next(each for each in data["nodes"] if each["id"] == node_id("a1"))
    assert (replica["role"], replica["primary_id"], replica["myself"]) == ("replica", node_id("a"), False)
    assert replica["pong_received_unix_ms"] > 1_700_000_000_000
    assert data["problems"][0].keys() == PROBLEM
    assert (data["problems"][0]["line_number"], data["problems"][0]["line"]) == (7, "what is this")


@pytest.mark.parametrize(
    ("args", "exit_name"),
    [
        (["health"], "USAGE"),
        (["nodes", "-s", "127.0.0.1:1"], "UNKNOWN"),
        (["health", "--from-record", "/nonexistent/x"], "CONFIG"),
        (["nodes", "--from", "/nonexistent/x"], "CONFIG"),
        (["nosuch"], "USAGE"),
        (["explain", "nosuch"], "USAGE"),
        (["record", "/nonexistent/x", "-s", "127.0.0.1:1"], "CONFIG"),
        ([], "USAGE"),
    ],
)
def test_a_failure_has_the_same_envelope(capsys: Capsys, args: list[str], exit_name: str) -> None:
    ran = rcfail(capsys, *args, "-o", "json")
    document = ran.document
    assert document.keys() == ENVELOPE
    assert document["cluster"].keys() == CLUSTER
    assert (document["exit"], document["exit_code"]) == (exit_name, ran.code)
    assert ran.err == ""
    assert document["errors"]
    assert all(each.keys() == TROUBLE and each["message"] and each["hint"] for each in document["errors"])


@pytest.mark.parametrize("args", [["explain"], ["explain", "slots-failed"], ["exit-codes"]])
def test_every_answer_has_the_envelope(capsys: Capsys, args: list[str]) -> None:
    document = rcfail(capsys, *args, "-o", "json").document
    assert document.keys() == ENVELOPE
    assert (document["exit"], document["errors"]) == ("OK", [])
    assert json.dumps(document)
