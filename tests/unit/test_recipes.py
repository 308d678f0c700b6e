"""The pages for CI, monitors and Kubernetes: their YAML is YAML, their commands are read, their names exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from rcfail.change.readiness import Answer
from rcfail.health.finding import Severity
from rcfail.health.verdict import Verdict
from rcfail.render.nagios import status_line
from rcfail.render.prometheus import exposition
from tests.unit.running import rcfail, recorded
from tests.unit.test_cli_help import read_only
from tests.unit.test_docs import PROCEDURES, README, ROOT
from tests.unit.test_ready import ready_outcome
from tests.unit.test_render_nagios import judged as nagios_of
from tests.unit.test_render_nagios import read
from tests.unit.test_render_prometheus import Metrics
from tests.unit.test_render_prometheus import judged as metrics_of
from tests.unit.world import World

Capsys = pytest.CaptureFixture[str]


def ready_metrics(world: World) -> Metrics:
    return Metrics(exposition(ready_outcome(world), 0.1, 1_790_000_000.0))


def page(name: str) -> str:
    return (ROOT / "runbooks" / f"{name}.md").read_text("utf-8")


def blocks(text: str, kind: str = "[a-z]*") -> list[str]:
    """The fenced blocks of a kind, such as yaml; else all."""
    return re.findall(rf"^```{kind}\n(.*?)^```$", text, re.M | re.S)


def documents(name: str) -> Iterator[Any]:
    for block in blocks(page(name), "yaml"):
        yield from yaml.safe_load_all(block)


def containers(name: str) -> Iterator[dict[str, Any]]:
    """Every container of the Kubernetes objects on a page."""
    pending = list(documents(name))
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            yield from value.get("containers", ())
            pending.extend(value.values())
        elif isinstance(value, list):
            pending.extend(value)


def commands(name: str) -> Iterator[list[str]]:
    """Every rcfail command line of a page, without the program's own name."""
    for container in containers(name):
        yield from (probe["exec"]["command"][1:] for key, probe in container.items() if key.endswith("Probe"))
        if "command" in container:
            yield container["command"][1:]
    for block in blocks(page(name)):
        for words in re.findall(
            r"(?:^|[ /])rcfail ((?:health|ready|probe|acl|record|lab|explain)\b[^|;&\n]*)", block, re.M
        ):
            if "{{" not in words:  # a template of an alert
                yield shlex.split(words.replace("$ARG1$", "h:1"))


@pytest.mark.parametrize("name", PROCEDURES)
def test_every_command_of_a_page_is_read(name: str) -> None:
    found = list(commands(name))
    assert found
    for words in found:
        read_only(words)


@pytest.mark.parametrize("name", ["ci", "prometheus", "kubernetes"])
def test_the_yaml_of_a_page_is_yaml(name: str) -> None:
    found = list(documents(name))
    assert found
    assert all(isinstance(each, dict) for each in found)


def test_the_pods_have_the_probes_that_the_page_tells_of() -> None:
    (pod,) = [each for each in containers("kubernetes") if "livenessProbe" in each]
    asked = {key: pod[key]["exec"]["command"][1:] for key in pod if key.endswith("Probe")}
    assert asked == {
        "startupProbe": ["probe", "live"],
        "livenessProbe": ["probe", "live"],
        "readinessProbe": ["probe", "ready"],
    }
    for key in asked:
        assert pod[key]["timeoutSeconds"] > 2, "longer than the probe's own deadline, and the start of the program"


def test_the_alert_rules_ask_for_what_there_is(capsys: Capsys, tmp_path: Path) -> None:
    """A rule on a series that does not exist never fires, and nobody is told."""
    world = World.of(3, 1)
    world.kill("a")
    said = metrics_of(capsys, tmp_path, world)[1]
    ready = ready_metrics(world)
    asked = [rule["expr"] for rules in documents("prometheus") for group in rules["groups"] for rule in group["rules"]]
    assert len(asked) == 8
    for expression in asked:
        for name, labels in re.findall(r"(rcfail_[a-z_]+)(?:\{(.*?)\})?", expression):
            series = (ready if name.startswith("rcfail_ready_") else said).all_of(name)
            assert series, name
            for label, how, value in re.findall(r'(\w+)(=~|!=|=)"(.*?)"', labels):
                known = {each[label] for each, _ in series} | (set(Severity) | set(Verdict) | set(Answer))
                assert set(value.split("|")) <= known, expression
                assert how


def test_the_page_lists_every_metric(capsys: Capsys, tmp_path: Path) -> None:
    world = World.of(3, 1)
    world.kill("a")
    there = {*metrics_of(capsys, tmp_path, world)[1].families, *ready_metrics(World.of(3, 1)).families}
    there -= {"rcfail_ready_shard_cooldown_seconds"}  # only while an election is too soon
    listed = set(re.findall(r"\b(rcfail_[a-z_]+)", page("prometheus"))) - {"rcfail_ready_"}
    assert listed >= there - {
        "rcfail_build_info", "rcfail_observation_timestamp_seconds", "rcfail_findings_ignored",
    }  # fmt: skip
    assert listed <= there | {"rcfail_ready_shard_cooldown_seconds"}


def test_the_page_lists_every_label_of_the_performance_data(capsys: Capsys, tmp_path: Path) -> None:
    labels = set(nagios_of(capsys, tmp_path, World.of(3, 1)).data)
    labels |= set(read(status_line(ready_outcome(World.of(3, 1)), 0.1)).data)
    listed = page("nagios").partition("performance data have")[2].partition("UNKNOWN is worth")[0]
    assert set(re.findall(r"`([a-z_]+)`", listed)) - {"max_check_attempts"} == labels


def test_a_yaml_reader_reads_our_json(capsys: Capsys, tmp_path: Path) -> None:
    """The README says so: that is why there is no -o yaml."""
    world = World.of(3, 1)
    world["b"].extra_lines = ("what: is # this\t\x1b 'x' \u2028",)
    ran = rcfail(capsys, "health", "--from-record", recorded(world, tmp_path), "-o", "json")
    assert yaml.safe_load(ran.out) == ran.document
    assert "JSON is YAML" in " ".join(README.split())


def test_metrics_of_no_cluster_are_in_the_alerts(capsys: Capsys) -> None:
    said = Metrics(rcfail(capsys, "health", "-o", "prometheus", "-s", "127.0.0.9:1").out)
    assert said.the("rcfail_verdict", verdict="unknown") == 1
