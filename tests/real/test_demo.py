"""The demo is what a new user sees first: it must tell the truth, end by itself, and leave nothing behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.real.servers import ServerUnderTest

pytestmark = pytest.mark.real

RCFAIL = (sys.executable, "-m", "rcfail")


def _environment(home: Path) -> dict[str, str]:
    return os.environ | {"RCFAIL_LAB_HOME": str(home), "NO_COLOR": "1", "COLUMNS": "80"}


def _leftovers(home: Path) -> list[str]:
    """Files of labs, and processes whose command line names this test's own folder."""
    found = [str(path) for path in home.rglob("*") if not path.is_dir() or path.name != ".locks"]
    for cmdline in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = cmdline.read_bytes().decode(errors="replace")
        except OSError:
            continue
        if str(home) in words:
            found.append(words)
    return found


def test_the_story_of_a_secured_cluster(tls_server: ServerUnderTest, tmp_path: Path) -> None:
    home = tmp_path / "labs"
    words = ["--tls-only", "--acl", "--hostnames", "--server", tls_server.path, "--node-timeout", "1500ms"]
    done = subprocess.run(
        [*RCFAIL, "demo", *words], env=_environment(home), capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done
    assert "rcfail health says CRITICAL" in done.stdout
    assert done.stdout.count("rcfail health says OK") == 2
    assert ".localhost" in done.stdout
    # Commands in hints reach this cluster, and name no password.
    assert f"--cacert {home}" in done.stdout
    assert "redis-cli -h" not in done.stdout
    assert _leftovers(home) == []


@pytest.mark.every_server
def test_the_whole_story_is_told_and_ends_healthy(server: ServerUnderTest, tmp_path: Path) -> None:
    home = tmp_path / "labs"
    done = subprocess.run(
        [*RCFAIL, "demo", "-o", "json", "--server", server.path, "--node-timeout", "1500ms"],
        env=_environment(home),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["exit"], answer["errors"]) == (0, "OK", [])
    events = [moment["event"] for moment in answer["data"]["timeline"]]
    steps = [
        "killed",
        "agreed",
        "election-due",
        "promoted",
        "known",
        "started",
        "answers",
        "replica",
        "in-sync",
        "listed",
    ]
    if server.label.startswith("valkey-9.1"):
        # It asks for votes as soon as it hears the verdict: both can pass between two looks.
        steps = [step for step in steps if step in events or step not in ("agreed", "election-due")]
    assert [event for event in events if event in steps] == steps
    assert "suspected" in events[: events.index("promoted")]
    verdicts = answer["data"]["verdicts"]
    assert (verdicts[0], verdicts[-1]) == ("ok", "ok")
    assert "critical" in verdicts
    assert answer["data"]["old_primary"] != answer["data"]["new_primary"]
    # Nobody votes before the node timeout has passed.
    assert answer["data"]["unserved_ms"] >= 1500
    assert _leftovers(home) == []


def test_the_page_says_which_slots_are_out_and_why(tmp_path: Path) -> None:
    home = tmp_path / "labs"
    done = subprocess.run(
        [*RCFAIL, "demo", "--node-timeout", "1500ms"],
        env=_environment(home),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"CRITICAL .*(primary|slots).*0-5460", done.stdout, re.S)
    assert done.stdout.index("CRITICAL") < done.stdout.index("promoted: ") < done.stdout.rindex("    OK  16384")
    assert "\x1b" not in done.stdout


@pytest.mark.parametrize(("number", "at"), [(signal.SIGINT, "nodes agree"), (signal.SIGTERM, "kill -9")])
def test_an_interrupted_demo_cleans_up(number: signal.Signals, at: str, tmp_path: Path) -> None:
    home = tmp_path / "labs"
    with subprocess.Popen(
        [*RCFAIL, "demo"], env=_environment(home), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as story:
        assert story.stdout
        for row in story.stdout:
            if at in row:
                assert _leftovers(home)  # there is something to clean up
                story.send_signal(number)
                break
        rest, said = story.communicate(timeout=60)
    assert story.returncode == 130, rest + said
    assert "Traceback" not in said
    assert _leftovers(home) == []
