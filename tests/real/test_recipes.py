"""The recipes for CI, monitors and Kubernetes, run as they stand on their pages, against real clusters."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.real.conftest import LabMaker
from tests.real.servers import REPOSITORY, RunningLab, rcfail_environment
from tests.real.verdicts import health_of
from tests.unit.test_recipes import blocks, containers, documents, page
from tests.unit.test_render_nagios import read as read_line
from tests.unit.test_render_prometheus import Metrics

OK, WARNING, CRITICAL, UNKNOWN = 0, 1, 2, 3
every_server = pytest.mark.every_server
Shell = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Runs a piece of a recipe as a CI runner does, with rcfail on the PATH, in a folder of its own."""
    programs, work = tmp_path / "bin", tmp_path / "work"
    for folder in (programs, work):
        folder.mkdir()
    program = programs / "rcfail"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m rcfail "$@"\n')
    program.chmod(0o755)
    path = f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}"

    def run(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", script.replace("/opt/rcfail/bin/", f"{programs}/")],
            cwd=work,
            env=rcfail_environment(PATH=path, PYTHONPATH=str(REPOSITORY), **environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )

    return run


def yaml_with(name: str, key: str) -> Any:
    (found,) = [each for each in documents(name) if key in each]
    return found


def test_the_steps_for_github_actions(shell: Shell, tmp_path: Path, lab_home: Path) -> None:
    """All but those that fetch something: a cluster of the job's own, a test, the verdict, the record."""
    work, variables = tmp_path / "work", tmp_path / "github_env"
    variables.touch()
    smoke = work / "smoke-test"
    smoke.write_text('#!/bin/sh\necho "seeds: $RCFAIL_SEEDS"\n')
    smoke.chmod(0o755)
    steps = [step for step in yaml_with("ci", "jobs")["jobs"]["cluster"]["steps"] if step.get("name")]
    ran = {}
    for step in steps:
        if step["name"] == "install":
            assert "pip install" in step["run"]
            continue
        rows = [row.partition("=") for row in variables.read_text().splitlines()]
        environment = {"GITHUB_ENV": str(variables), "RCFAIL_LAB_HOME": str(lab_home)}
        ran[step["name"]] = shell(step["run"], **environment, **{name: value for name, _, value in rows})
        assert ran[step["name"]].returncode == 0, (step, ran[step["name"]])
    assert list(ran) == ["cluster", "test", "judge", "keep"]
    assert re.match(r"seeds: 127\.", ran["test"].stdout)
    assert json.loads((work / "health.json").read_text())["verdict"] == "ok"
    again = shell("rcfail health --from-record cluster.json.gz -o json")
    assert (again.returncode, json.loads(again.stdout)["verdict"]) == (OK, "ok")
    assert shell("rcfail lab list -o json", RCFAIL_LAB_HOME=str(lab_home)).stdout.count("127.") == 0


def test_the_job_for_gitlab(shell: Shell, tmp_path: Path, lab: LabMaker) -> None:
    one = lab()
    job = yaml_with("ci", "redis-cluster")["redis-cluster"]
    seeds = {"RCFAIL_SEEDS": one.seeds}  # the user is one of another cluster
    for script in (*job["script"], *job["after_script"]):
        assert shell(script, **seeds).returncode == OK, script
    (reading,) = [each for each in blocks(page("ci"), "sh") if "findings" in each]
    assert shell(reading).stdout == "\n"
    one.kill(one.replica_of("n1"))
    one.wait(lambda: health_of(one).exit_code == WARNING, "the loss to be noticed")
    (script,) = job["script"]
    script = script.replace("--wait 2m", "--wait 1s")
    assert shell(script, **seeds).returncode == OK, "a warning is let pass"
    assert "replica-missing" in shell(reading).stdout.split()
    assert shell(script.replace("--fail-on critical", ""), **seeds).returncode == WARNING


def nagios_command(lab: RunningLab) -> str:
    """The command of the page, with the arguments of a service put in."""
    (line,) = re.findall(r"^ +command_line +(.+)$", page("nagios"), re.M)
    return str(line).replace("$ARG1$", lab.seeds)


@every_server
def test_the_check_for_nagios(shell: Shell, tmp_path: Path, lab: LabMaker) -> None:
    """Its code is the state, its line can be read, whatever has happened."""
    one = lab(node_timeout_ms=1500)
    # The cluster of the test has neither that user nor that password.
    command = nagios_command(one).split(" --user")[0]
    well = shell(command)
    line = read_line(well.stdout)
    assert (well.returncode, well.stderr, line.state) == (OK, "", "OK")
    assert (line.data["slots_ok"], line.data["replicas_healthy"]) == ("16384", "3")
    one.freeze(one.replica_of("n1"))
    frozen = shell(command)
    assert (frozen.returncode, read_line(frozen.stdout).state) == (WARNING, "WARNING")
    one.kill("n1", one.replica_of("n1"))
    one.wait(lambda: one.belief("n2", "n1").failed, "the loss to be noticed")
    dead = shell(command)
    line = read_line(dead.stdout)
    assert (dead.returncode, line.state, line.data["serving"]) == (CRITICAL, "CRITICAL", "0")
    assert "failover-blocked" in line.text
    one.kill(*[node for node in one.nodes if node.name not in ("n1", one.replica_of("n1").name)])
    gone = shell(command)
    line = read_line(gone.stdout)
    assert (gone.returncode, line.state, line.data["serving"]) == (UNKNOWN, "UNKNOWN", "U")
    missing = shell(nagios_command(one).replace("/etc/rcfail/password", "/nonexistent/password"))
    assert (missing.returncode, read_line(missing.stdout).state) == (UNKNOWN, "UNKNOWN")


@every_server
def test_the_metrics_for_prometheus(shell: Shell, tmp_path: Path, lab: LabMaker) -> None:
    """The line for cron, at first on a cluster that is well, then on the same with a dead shard, then without it."""
    one = lab(node_timeout_ms=1500)
    file = tmp_path / "redis.prom"
    (cron,) = [block for block in blocks(page("prometheus"), "") if "cron" not in block and "* *" in block]
    command = cron.split(" prometheus ", 1)[1].strip()
    command = re.sub(r"RCFAIL_SEEDS=\S+", f"RCFAIL_SEEDS={one.seeds}", command)
    command = re.sub(r"--password-file \S+", "", command)
    command = re.sub(r"--output-file \S+", f"--output-file {shlex.quote(str(file))}", command)

    def look() -> Metrics:
        ran = shell(command)
        said = Metrics(file.read_text())
        assert (ran.stdout, ran.returncode) == ("", said.the("rcfail_run_exit_code"))
        assert said.cluster == one.seeds
        return said

    well = look()
    assert (well.the("rcfail_up"), well.the("rcfail_verdict", verdict="ok")) == (1, 1)
    assert {value for _, value in well.all_of("rcfail_shard_replicas_healthy")} == {1}
    assert sum(value for _, value in well.all_of("rcfail_shard_slots")) == 16384
    replica = one.replica_of("n1")
    one.kill("n1", replica)
    one.wait(lambda: one.belief("n2", "n1").failed and one.belief("n2", replica).failed, "the loss to be noticed")
    hurt = look()
    assert (hurt.the("rcfail_up"), hurt.the("rcfail_verdict", verdict="critical")) == (1, 1)
    at = {"address": str(one.node("n1").endpoint), "id": one.node("n1").node_id}
    assert hurt.the("rcfail_finding", code="failover-blocked", severity="critical", kind="shard", **at) == 1
    assert (hurt.the("rcfail_slots", state="failed"), hurt.the("rcfail_voters_reachable")) == (5461, 2)
    assert hurt.the("rcfail_shard_replicas_healthy", primary_id=one.node("n1").node_id) == 0
    assert (hurt.the("rcfail_nodes", state="failed"), hurt.the("rcfail_nodes", state="answers")) == (2, 4)
    one.kill(*[node for node in one.nodes if node.name not in ("n1", replica.name)])
    gone = look()
    assert (gone.the("rcfail_up"), gone.the("rcfail_verdict", verdict="unknown")) == (0, 1)
    assert gone.all_of("rcfail_slots") == []
    assert gone.the("rcfail_run_timestamp_seconds") >= hurt.the("rcfail_run_timestamp_seconds")


def test_the_probes_and_the_job_for_kubernetes(shell: Shell, lab: LabMaker) -> None:
    one = lab()
    for container in containers("kubernetes"):
        for key in ("startupProbe", "livenessProbe", "readinessProbe"):
            if key in container:
                command = [*container[key]["exec"]["command"], "--node", str(one.node("n1").endpoint)]
                ran = shell(shlex.join(command))
                assert (ran.returncode, ran.stdout.count("\n")) == (OK, 1), ran
    (job,) = [each for each in containers("kubernetes") if "command" in each]
    assert shell(shlex.join(job["command"]), RCFAIL_SEEDS=one.seeds).returncode == OK
