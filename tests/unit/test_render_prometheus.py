"""Metrics as Prometheus' own parser reads them."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis.strategies import text
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from rcfail.cluster.nouns import Endpoint
from rcfail.cluster.observation import SilenceReason
from rcfail.exits import ExitCode
from rcfail.health.finding import Finding, Severity, Subject, SubjectKind
from rcfail.health.verdict import conclude
from rcfail.render.inert import inert
from rcfail.render.outcome import ClusterName, Outcome, Picture, Trouble
from rcfail.render.prometheus import exposition
from tests.unit.running import Ran, rcfail, recorded
from tests.unit.world import World, node_id

Capsys = pytest.CaptureFixture[str]
Labels = tuple[tuple[str, str], ...]


class Metrics:
    """What the text says. Reading it checks what a collector would refuse."""

    def __init__(self, text: str) -> None:
        self.families: dict[str, Metric] = {}
        self.values: dict[tuple[str, Labels], float] = {}
        assert text.endswith("\n")
        for family in text_string_to_metric_families(text):
            assert family.name not in self.families, "a family in two pieces"
            assert family.type == "gauge"
            assert family.documentation
            assert family.samples
            self.families[family.name] = family
            for sample in family.samples:
                key = (sample.name, tuple(sorted(sample.labels.items())))
                assert sample.name == family.name
                assert sample.timestamp is None, "the textfile collector refuses timestamps"
                assert key not in self.values, f"two series alike: {key}"
                self.values[key] = sample.value

    def the(self, name: str, **labels: str) -> float:
        """The value of the one series of this name that has these labels."""
        found = [
            value for key, value in self.values.items() if key[0] == name and labels.items() <= dict(key[1]).items()
        ]
        assert len(found) == 1, (name, labels, found)
        return found[0]

    def all_of(self, name: str) -> list[tuple[dict[str, str], float]]:
        return [(dict(key[1]), value) for key, value in self.values.items() if key[0] == name]

    @property
    def cluster(self) -> str:
        """The label that every series has, and all have alike."""
        (found,) = {dict(labels)["cluster"] for _, labels in self.values}
        return found


def judged(capsys: Capsys, folder: Path, world: World, *args: str) -> tuple[Ran, Metrics]:
    ran = rcfail(capsys, "health", "-o", "prometheus", "--from-record", recorded(world, folder), *args)
    assert ran.err == ""
    return ran, Metrics(ran.out)


def test_a_cluster_that_is_well(capsys: Capsys, tmp_path: Path) -> None:
    ran, said = judged(capsys, tmp_path, World.of(3, 1))
    assert ran.code == 0
    assert said.cluster == "127.50.1.1:7000"
    assert said.the("rcfail_up") == 1
    assert said.the("rcfail_run_exit_code") == 0
    assert {each["verdict"]: value for each, value in said.all_of("rcfail_verdict")} == {
        "ok": 1, "warning": 0, "unknown": 0, "critical": 0,
    }  # fmt: skip
    for promise in ("serving", "redundant", "failover_ready"):
        assert said.the("rcfail_promise", promise=promise, answer="yes") == 1
        assert said.the("rcfail_promise", promise=promise, answer="unknown") == 0
    assert said.all_of("rcfail_finding") == []
    assert said.the("rcfail_slots", state="ok") == 16384
    assert said.the("rcfail_nodes", state="answers") == 6
    assert said.the("rcfail_views") == 1
    voters = tuple(said.the(f"rcfail_voters{what}") for what in ("", "_reachable", "_needed"))
    assert list(voters) == [3, 3, 2]
    assert said.the("rcfail_quorum", answer="yes") == 1
    for letter, address in (("a", "127.50.1.1:7000"), ("b", "127.50.2.1:7000"), ("c", "127.50.3.1:7000")):
        at = {"primary_id": node_id(letter), "address": address}
        assert said.the("rcfail_shard_replicas_healthy", **at) == 1
        assert said.the("rcfail_shard_failover_ready", answer="yes", **at) == 1
        assert said.the("rcfail_shard_lag_bytes", **at) == 0


def test_a_dead_primary(capsys: Capsys, tmp_path: Path) -> None:
    world = World.of(3, 1)
    world.kill("a")
    ran, said = judged(capsys, tmp_path, world)
    assert (ran.code, said.the("rcfail_run_exit_code")) == (2, 2)
    assert said.the("rcfail_verdict", verdict="critical") == 1
    assert said.the("rcfail_promise", promise="serving", answer="no") == 1
    finding = {"code": "node-failed", "severity": "critical", "kind": "node", "id": node_id("a")}
    assert said.the("rcfail_finding", address="127.50.1.1:7000", **finding) == 1
    assert (said.the("rcfail_slots", state="ok"), said.the("rcfail_slots", state="failed")) == (10923, 5461)
    assert (said.the("rcfail_nodes", state="failed"), said.the("rcfail_nodes", state="answers")) == (1, 5)
    assert said.the("rcfail_silences", reason="refused") == 1
    assert said.the("rcfail_shard_replicas_healthy", primary_id=node_id("a")) == 0
    assert not [at for at, _ in said.all_of("rcfail_shard_lag_bytes") if at["primary_id"] == node_id("a")]


def test_what_one_dead_replica_leaves_ready(capsys: Capsys, tmp_path: Path) -> None:
    world = World.of(3, 1)
    world.kill("a1")
    _, said = judged(capsys, tmp_path, world)
    ready = {at["primary_id"]: at["answer"] for at, value in said.all_of("rcfail_shard_failover_ready") if value}
    assert ready == {node_id("a"): "no", node_id("b"): "yes", node_id("c"): "yes"}


def test_a_silent_primary_is_unknown_and_never_good(capsys: Capsys, tmp_path: Path) -> None:
    world = World.of(3, 1)
    world["a"].silence = SilenceReason.CONNECT_TIMEOUT
    _, said = judged(capsys, tmp_path, world)
    assert said.the("rcfail_promise", promise="serving", answer="unknown") == 1
    assert said.the("rcfail_promise", promise="serving", answer="yes") == 0
    assert said.the("rcfail_shard_failover_ready", primary_id=node_id("a"), answer="yes") == 0
    states = {at["state"]: value for at, value in said.all_of("rcfail_nodes") if value}
    assert states == {"answers": 5, "silent": 1}


def test_each_slot_and_each_node_is_counted_once(capsys: Capsys, tmp_path: Path) -> None:
    world = World.of(3, 1)
    world.kill("a")
    world["b"].silence = SilenceReason.FROZEN
    world["c"].slots = ((10922, 16000),)
    world["c1"].flags += ("fail?",)
    _, said = judged(capsys, tmp_path, world)
    assert sum(value for _, value in said.all_of("rcfail_slots")) == 16384
    assert said.the("rcfail_slots", state="unowned") == 383
    assert sum(value for _, value in said.all_of("rcfail_nodes")) == 6
    assert said.the("rcfail_nodes", state="flagged") == 1


def test_two_findings_of_one_subject_are_one_series() -> None:
    """Two series alike make node_exporter refuse the whole file, with all other metrics in it."""
    node = Subject(SubjectKind.NODE, node_id("a"), "h:1")
    findings = [Finding("node-failed", Severity.WARNING, node, evidence, "") for evidence in ("one", "two")]
    outcome = Outcome("health", ExitCode.WARNING, lambda _: (), dict)
    outcome = replace(outcome, judged=Picture(World.of(3, 1).snapshot(), conclude(findings)))
    assert len(Metrics(exposition(outcome, 0.1, 1.0)).all_of("rcfail_finding")) == 1


@pytest.mark.parametrize(
    "name", ['quo"te', "back\\slash", "back\\nslash", "new\nline", "\x1b[2J", "ö", "a}b{c,d=", "\ud800"]
)
def test_what_a_server_says_does_not_break_the_text(name: str) -> None:
    outcome = Outcome("health", ExitCode.OK, lambda _: (), dict, cluster=ClusterName(name=name))
    text = exposition(outcome, 0.1, 1.0)
    assert "\x1b" not in text
    assert text.encode("utf-8")
    plain = re.sub(r"[\n\x1b\ud800]", lambda match: f"\\{_ESCAPES[match[0]]}", name)
    assert Metrics(text).cluster == plain


@given(text())
def test_no_text_at_all_breaks_the_text(name: str) -> None:
    outcome = Outcome("health", ExitCode.OK, lambda _: (), dict, cluster=ClusterName(name=name))
    assert Metrics(exposition(outcome, 0.1, 1.0)).cluster == inert(name)


_ESCAPES = {"\n": "x0a", "\x1b": "x1b", "\ud800": "ud800"}


@pytest.mark.parametrize(
    ("args", "code", "cluster"),
    [
        (["health", "-s", "127.0.0.1:1"], 3, "127.0.0.1:1"),
        (["health", "-s", "127.0.0.1:1", "--ignore", "nosuch"], 64, "127.0.0.1:1"),
        (["health", "--from-record", "/nonexistent/x"], 78, ""),
        (["health"], 64, ""),
        (["health", "--nosuch"], 64, ""),
        (["nodes", "-s", "127.0.0.1:1,127.0.0.2:1"], 64, "127.0.0.1:1,127.0.0.2:1"),
    ],
)
def test_where_nothing_was_seen_the_metrics_say_so(capsys: Capsys, args: list[str], code: int, cluster: str) -> None:
    ran = rcfail(capsys, "-o", "prometheus", *args)
    said = Metrics(ran.out)
    assert (ran.code, said.cluster) == (code, cluster)
    assert ran.err.startswith("rcfail: error: ")
    assert said.the("rcfail_up") == 0
    assert said.the("rcfail_run_exit_code") == code
    assert said.the("rcfail_verdict", verdict="unknown") == 1
    assert said.the("rcfail_verdict", verdict="ok") == 0
    assert said.the("rcfail_promise", promise="serving", answer="unknown") == 1
    assert said.all_of("rcfail_slots") == []


def test_times_are_in_seconds() -> None:
    outcome = Outcome("health", ExitCode.UNKNOWN, lambda _: (), dict, errors=(Trouble("x", "y"),))
    said = Metrics(exposition(outcome, 1.25, 1_790_000_000.5))
    assert said.the("rcfail_run_duration_seconds") == 1.25
    assert said.the("rcfail_run_timestamp_seconds") == 1_790_000_000.5


SHARD = {"cluster", "primary_id", "address"}
CONTRACT = {
    "rcfail_up": {"cluster"},
    "rcfail_build_info": {"cluster", "version"},
    "rcfail_run_timestamp_seconds": {"cluster"},
    "rcfail_run_duration_seconds": {"cluster"},
    "rcfail_run_exit_code": {"cluster"},
    "rcfail_verdict": {"cluster", "verdict"},
    "rcfail_promise": {"cluster", "promise", "answer"},
    "rcfail_observation_timestamp_seconds": {"cluster"},
    "rcfail_finding": {"cluster", "code", "severity", "kind", "id", "address"},
    "rcfail_findings": {"cluster", "severity"},
    "rcfail_findings_ignored": {"cluster"},
    "rcfail_slots": {"cluster", "state"},
    "rcfail_nodes": {"cluster", "state"},
    "rcfail_silences": {"cluster", "reason"},
    "rcfail_views": {"cluster"},
    "rcfail_voters": {"cluster"},
    "rcfail_voters_reachable": {"cluster"},
    "rcfail_voters_needed": {"cluster"},
    "rcfail_quorum": {"cluster", "answer"},
    "rcfail_epoch": {"cluster"},
    "rcfail_shard_slots": SHARD,
    "rcfail_shard_replicas": SHARD,
    "rcfail_shard_replicas_healthy": SHARD,
    "rcfail_shard_lag_bytes": SHARD,
    "rcfail_shard_lag_seconds": SHARD,
    "rcfail_shard_failover_ready": SHARD | {"answer"},
}
"""Added to, never renamed: dashboards and alerts are built on it."""


def test_the_metrics_and_their_labels_are_a_contract(capsys: Capsys, tmp_path: Path) -> None:
    dead = World.of(3, 1)
    dead.kill("a")
    dead["b"].endpoint = Endpoint("", 0)
    found: dict[str, set[frozenset[str]]] = {}
    for world in (World.of(3, 1), dead, World.of(2, 0)):
        for name, labels in judged(capsys, tmp_path, world)[1].values:
            found.setdefault(name, set()).add(frozenset(label for label, _ in labels))
    assert found == {name: {frozenset(labels)} for name, labels in CONTRACT.items()}


@pytest.mark.parametrize("args", [[], ["--ignore", "nosuch"], ["--password-file", "/nonexistent/x"]])
def test_a_named_cluster_keeps_its_name_whatever_goes_wrong(
    capsys: Capsys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: list[str]
) -> None:
    """Otherwise its alert would be another one."""
    config = tmp_path / "config.toml"
    config.write_text('[clusters.prod]\nseeds = ["127.0.0.9:1"]\n')
    monkeypatch.setenv("RCFAIL_CONFIG", str(config))
    ran = rcfail(capsys, "health", "-c", "prod", "-o", "prometheus", *args)
    assert ran.code != 0
    assert Metrics(ran.out).cluster == "prod"
    config.write_text("nonsense")
    ran = rcfail(capsys, "health", "-c", "prod", "-o", "prometheus", *args)
    assert (ran.code, Metrics(ran.out).cluster) == (78, "prod")
