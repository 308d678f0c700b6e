"""An operator who changes a lab through the command line, and what the servers themselves say that he sent."""

from __future__ import annotations

import json
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rcfail.cluster.nouns import Role
from rcfail.exits import ExitCode
from rcfail.practice.lab.register import NodeEntry
from rcfail.wire.refusals import Refusal
from tests.real.servers import REPOSITORY, RunningLab, rcfail_command, run_rcfail

# What a server writes into its log when it takes the command up: 6.2 has no statistics of sub-commands.
_TAKEN_UP = (
    "Manual failover user request accepted",
    "Forced failover user request accepted",
    "Taking over the master (user request)",
    "Taking over the primary (user request)",
)

WITHIN_S = 90.0


@dataclass(frozen=True)
class Answer:
    """One run with -o json: the document, and the lines of talk."""

    code: int
    document: dict[str, Any]
    told: str

    @property
    def data(self) -> dict[str, Any]:
        found: dict[str, Any] = self.document["data"]
        return found

    @property
    def outcome(self) -> dict[str, Any]:
        """Of the one step."""
        outcomes = self.data["outcomes"]
        assert len(outcomes) == 1, self
        found: dict[str, Any] = outcomes[0]
        return found

    @property
    def refused_by(self) -> set[str]:
        """The checks that say no, before or at the moment of the send."""
        rows = [*self.data["preflight"], *self.data["verification"]]
        return {row["check"] for row in rows if row["verdict"] in ("fail", "unknown") and not row["overridden"]}

    @property
    def checks(self) -> dict[str, dict[str, Any]]:
        return {row["check"]: row for row in self.data["preflight"]}

    @property
    def events(self) -> list[str]:
        return [row["event"] for row in self.data["timeline"]]

    @property
    def errors(self) -> list[dict[str, str]]:
        found: list[dict[str, str]] = self.document["errors"]
        return found


class Operator:
    """One user on one host: the audit and the local lock are in `state`."""

    def __init__(self, lab: RunningLab, state: Path) -> None:
        self.lab = lab
        self.state = state
        self.audit = state / "rcfail/audit.jsonl"

    @property
    def environment(self) -> dict[str, str]:
        return {**self.lab.environment(), "XDG_STATE_HOME": str(self.state)}

    def run(self, *words: str, within_s: float = WITHIN_S) -> subprocess.CompletedProcess[str]:
        return run_rcfail(*words, environment=self.environment, within_s=within_s)

    def ask(self, *words: str, within_s: float = WITHIN_S) -> Answer:
        """With -o json. Stdout must be one document, whatever comes, and agree with the process."""
        ran = self.run(*words, "-o", "json", within_s=within_s)
        assert ran.stdout.count("\n") == 1, ran
        assert "Traceback" not in ran.stderr, ran
        document = json.loads(ran.stdout)
        assert document["exit_code"] == ran.returncode, ran
        assert document["exit"] == ExitCode(ran.returncode).name, ran
        return Answer(ran.returncode, document, ran.stderr)

    def failover(self, target: NodeEntry | str, *words: str, within_s: float = WITHIN_S) -> Answer:
        """Of a node by its name in the lab, with --yes."""
        return self.ask("failover", self.lab.node(target).node_id, "--yes", *words, within_s=within_s)

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Left running, in a group of its own, with pipes for its three streams."""
        return subprocess.Popen(
            rcfail_command(*words),
            cwd=REPOSITORY,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def lines(self) -> list[dict[str, Any]]:
        """Of the audit."""
        return [json.loads(each) for each in self.audit.read_text().splitlines()] if self.audit.exists() else []


def killed_at(operator: Operator, *words: str, line: str) -> list[str]:
    """Run it and end it with SIGKILL when it says this on stderr. All that it said until then."""
    code, said, printed = _killed(operator, words, line)
    assert code == -signal.SIGKILL, (code, said, printed)
    return said


def killed_after_each_send(operator: Operator, *words: str) -> int:
    """Run it again and again, each time ended with SIGKILL right after it sent something, until one run has nothing to
    send any more and ends well. How many were killed."""
    for killed in range(_MOST_KILLED):
        code, said, printed = _killed(operator, words, "  sent  ")
        if code != -signal.SIGKILL:
            assert code == 0, (code, said, printed)
            return killed
    raise AssertionError(f"{_MOST_KILLED} runs sent something, and it is not mended: {said}")


def _killed(operator: Operator, words: tuple[str, ...], line: str) -> tuple[int, list[str], str]:
    """How it ended, what it had said, and what it printed where it ended before it said the line."""
    said: list[str] = []
    with operator.start(*words) as process:
        assert process.stderr is not None
        for row in process.stderr:
            said.append(row)
            if line in row:
                process.kill()
                break
        printed, _ = process.communicate()
    return process.returncode, said, printed


_MOST_KILLED = 20


def sends(lab: RunningLab) -> dict[str, int]:
    """How often each living node took CLUSTER FAILOVER, refused or not; since its start, by its own statistics."""
    found = {node.name: _sends_to(lab, node) for node in lab.nodes}
    return {name: count for name, count in found.items() if count}


def _sends_to(lab: RunningLab, node: NodeEntry) -> int:
    stats = lab.ask(node, "INFO", "commandstats")
    if isinstance(stats, Refusal):
        return 0
    rows = [line for line in str(stats).splitlines() if line.startswith("cmdstat_cluster|")]
    if not rows:
        log = (Path(node.folder) / "server.log").read_text(errors="replace")
        return sum(log.count(each) for each in _TAKEN_UP)
    row = next((each for each in rows if each.startswith("cmdstat_cluster|failover:")), "")
    fields = dict(pair.split("=") for pair in row.partition(":")[2].split(",") if pair)
    return int(fields.get("calls", 0)) + int(fields.get("rejected_calls", 0))


def leads(lab: RunningLab, node: NodeEntry | str) -> bool:
    """It says itself that it is a primary with slots."""
    own = lab.belief(node, node)
    return own.role is Role.PRIMARY and bool(own.slots)


def moved(lab: RunningLab, new: NodeEntry | str, old: NodeEntry | str, *views: NodeEntry | str) -> None:
    """What every node says, asked without anything of the program: the new primary owns all, the old one follows."""
    slots = lab.belief(new, new).slots
    assert slots, lab.tables()
    for node in views or lab.nodes:
        assert lab.belief(node, new).slots == slots, lab.tables()
        assert lab.belief(node, new).role is Role.PRIMARY, lab.tables()
        assert not lab.belief(node, old).slots, lab.tables()
    follower = lab.belief(old, old)
    assert (follower.role, follower.primary_id) == (Role.REPLICA, lab.node(new).node_id), lab.tables()
    assert lab.vitals(old).replication.link_up
