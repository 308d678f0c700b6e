"""A watch of a real cluster while it is broken and mends itself: what happens is told, in its order, and once."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from rcfail.practice.lab.network import can_filter
from tests.real.conftest import LabMaker
from tests.real.servers import REPOSITORY, RunningLab, ServerUnderTest, rcfail_command

needs_nft = pytest.mark.skipif(not can_filter(), reason="cutting a network takes nftables and root")


class Documents:
    """What a watch says, read while it runs."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.all: list[dict[str, Any]] = []

    def next(self) -> dict[str, Any]:
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line, "the watch ended"
        self.all.append(json.loads(line))
        return self.all[-1]

    def until(self, lab: RunningLab, what: str, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        lab.wait(lambda: holds(self.next()), what, timeout_s=60.0)
        return self.all[-1]

    @property
    def events(self) -> list[tuple[str, str]]:
        """Kind and subject of all, in their order."""
        return [(each["kind"], each["subject"]["id"]) for one in self.all for each in one["data"].get("events", ())]

    def end(self) -> int:
        self.process.terminate()
        assert self.process.stdout
        self.process.stdout.read()
        return self.process.wait(30)


@contextmanager
def watching(lab: RunningLab, *words: str) -> Iterator[Documents]:
    command = rcfail_command("health", "--watch", "200ms", "-o", "json", *words)
    with subprocess.Popen(
        command, cwd=REPOSITORY, env=lab.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Documents(process)
        finally:
            process.kill()


@pytest.mark.every_server
def test_a_killed_primary_is_suspected_failed_replaced_and_comes_back(lab: LabMaker, server: ServerUnderTest) -> None:
    one = lab(hosts=6)  # so that no two primaries share a host whoever they are
    old, new = one.node("n1"), one.replica_of("n1")
    with watching(one, "-s", str(old.endpoint)) as said:  # the seed itself dies
        assert said.next()["verdict"] == "ok"
        one.kill(old)
        promoted = ("promoted", new.node_id)
        said.until(one, "the promotion", lambda _: promoted in said.events)
        one.restart(old)
        said.until(one, "the cluster to be whole again", lambda each: each["verdict"] == "ok")
        assert said.end() == 0
    events = said.events
    story = ("silent", "suspected", "failed", "answers", "demoted")
    told = [events.index((kind, old.node_id)) for kind in story if (kind, old.node_id) in events]
    assert told == sorted(told), events
    assert {(kind, old.node_id) for kind in ("silent", "failed", "answers", "restarted", "demoted")} <= set(events)
    assert events.index(("silent", old.node_id)) < events.index(promoted) < events.index(("answers", old.node_id))
    assert [kind for kind, subject in events if subject == new.node_id].count("promoted") == 1
    verdicts = [each["verdict"] for each in said.all]
    # Valkey 9.1 asks for votes as soon as it hears the verdict: both can pass between two looks.
    assert "critical" in verdicts or server.label.startswith("valkey-9.1")
    moved = next(each for one in said.all for each in one["data"]["events"] if each["kind"] == "slots-moved")
    assert (moved["before"], moved["after"]) == (old.node_id, new.node_id)
    assert moved["subject"]["id"] == "0-5460"


@needs_nft
def test_a_node_behind_a_new_firewall_is_silent_and_then_answers_again(lab: LabMaker) -> None:
    """Its connection stands, and nothing comes through it: that is no frozen process."""
    one = lab(hosts=6)
    node = one.replica_of("n1")
    with watching(one, "--read-timeout", "500ms") as said:
        assert said.next()["verdict"] == "ok"
        one.cut_client(node)
        silent = ("silent", node.node_id)
        said.until(one, "the node to be silent", lambda _: silent in said.events)
        told = next(each for one in said.all for each in one["data"]["events"] if each["kind"] == "silent")
        assert told["after"] in ("connect-timeout", "unreachable"), told
        one.mend(node)
        said.until(one, "it to answer again", lambda each: each["verdict"] == "ok")
        assert ("answers", node.node_id) in said.events
        assert said.end() == 0


@pytest.mark.every_server
def test_a_setting_that_changes_is_seen_although_connections_are_kept(lab: LabMaker) -> None:
    one = lab(hosts=6)
    node = one.replica_of("n1")
    with watching(one) as said:
        assert said.next()["verdict"] == "ok"
        one.say(node, "CONFIG", "SET", "repl-timeout", "77")
        drifted = ("finding-appeared", "config-drift")
        said.until(
            one,
            "the drift to be seen",
            lambda each: drifted in [(event["kind"], event["code"]) for event in each["data"]["events"]],
        )
        assert said.end() in (0, 1)
