"""`rcfail ready` on clusters that are really broken; and it says what `rcfail failover --dry-run` then does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rcfail.cluster.snapshot import Known
from rcfail.practice.lab.network import can_filter
from rcfail.practice.lab.register import NodeEntry
from tests.real.conftest import LabMaker
from tests.real.servers import RunningLab, ServerUnderTest

every_server = pytest.mark.every_server
cutting = pytest.mark.skipif(not can_filter(), reason="cutting a network takes nftables and root")
OK, WARNING, CRITICAL, UNKNOWN, REFUSED = 0, 1, 2, 3, 10
TIMEOUT_S = 40.0
MODES = {"graceful": (), "force": ("--force",), "takeover": ("--takeover",)}


def ready_of(lab: RunningLab, *words: str) -> dict[str, Any]:
    """The data of one run, with the exit code under "exit_code"."""
    ran = lab.rcfail("ready", "-o", "json", *words)
    document: dict[str, Any] = json.loads(ran.stdout)
    assert document["exit_code"] == ran.returncode, ran
    assert not document["errors"], document["errors"]
    assert document["verdict"] == ("ok", "warning", "critical", "unknown")[ran.returncode]
    return {**document["data"], "exit_code": ran.returncode}


def until_ready_says(lab: RunningLab, code: int) -> dict[str, Any]:
    """The first answer with this code: what the cluster does by itself takes its time."""
    last: list[dict[str, Any]] = []

    def look() -> bool:
        last[:] = [ready_of(lab)]
        return bool(last[0]["exit_code"] == code)

    lab.wait(look, f"rcfail ready to end with {code}", TIMEOUT_S)
    return last[0]


def shard_of(lab: RunningLab, data: dict[str, Any], node: NodeEntry | str) -> dict[str, Any]:
    """The shard whose primary this is."""
    wanted = lab.node(node).node_id
    return next(each for each in data["shards"] if each["primary"]["id"] == wanted)


def codes(mode: dict[str, Any]) -> set[str]:
    return {each["check"] for each in mode["preflight"] if each["verdict"] in ("fail", "unknown")}


def insist_on_agreement(lab: RunningLab, data: dict[str, Any]) -> None:
    """Of every shard and mode: YES exactly where failover would send, and the checks that refuse are the same."""
    for shard in data["shards"]:
        for mode, words in MODES.items():
            said = shard["modes"][mode]
            refused = {each["check"] for each in said["preflight"] if _refuses(each)}
            assert (said["answer"] == "yes") is (said["candidate"] is not None and not refused)
            if said["candidate"] is None:
                continue
            ran = lab.rcfail("failover", said["candidate"]["address"], *words, "--dry-run", "-o", "json")
            document = json.loads(ran.stdout)
            where = f"{mode} of {shard['primary']['address']}: ready said {said}, failover {ran.stdout}"
            assert ran.returncode == (OK if said["answer"] == "yes" else REFUSED), where
            then = {each["check"] for each in document["data"]["preflight"] if _refuses(each)}
            assert then == refused, where


def _refuses(check: dict[str, Any]) -> bool:
    return check["verdict"] in ("fail", "unknown") and not check["overridden"]


@every_server
def test_a_healthy_cluster(lab: LabMaker) -> None:
    one = lab()
    data = until_ready_says(one, OK)
    assert [each["votes"] for each in data["shards"]] == [{"standing": 3, "voters": 3, "needed": 2}] * 3
    assert {each["modes"]["graceful"]["answer"] for each in data["shards"]} == {"yes"}
    assert {each["crash"]["survived"] for each in data["shards"]} == {"yes"}
    assert all(each["candidate"]["id"] == one.replica_of(_primary(one, each)).node_id for each in data["shards"])
    insist_on_agreement(one, data)
    text = one.rcfail("ready")
    assert text.stdout.startswith("OK  all 3 shards are ready")
    assert "\x1b" not in text.stdout
    assert max(map(len, text.stdout.splitlines())) <= 80
    two = ready_of(one, "slot:0", str(one.node("n2").endpoint))
    assert (len(two["shards"]), two["shards_total"]) == (2, 3)


def _primary(lab: RunningLab, shard: dict[str, Any]) -> NodeEntry:
    return next(node for node in lab.nodes if node.node_id == shard["primary"]["id"])


@every_server
def test_a_killed_replica_leaves_its_shard_without_any_failover(lab: LabMaker) -> None:
    one = lab()
    heir = one.replica_of("n1")
    one.kill(heir)
    one.wait(lambda: one.belief("n2", heir).failed and one.belief("n3", heir).failed, "the verdict", TIMEOUT_S)
    data = until_ready_says(one, WARNING)
    shard = shard_of(one, data, "n1")
    assert (shard["verdict"], shard["serving"], shard["crash"]["survived"]) == ("warning", True, "no")
    assert {each["answer"] for each in shard["modes"].values()} <= {"no", "unknown"}
    assert str(heir.endpoint) in shard["cause"]
    assert shard["hint"]
    assert [shard_of(one, data, name)["verdict"] for name in ("n2", "n3")] == ["ok", "ok"]
    insist_on_agreement(one, data)


@every_server
def test_a_killed_primary_is_critical_until_its_successor_leads(lab: LabMaker) -> None:
    one = lab(node_timeout_ms=4000)
    heir = one.replica_of("n1")
    one.kill("n1")
    one.wait(lambda: one.belief("n2", "n1").failed, "the verdict", TIMEOUT_S)
    data = ready_of(one)
    if not one.belief(heir, heir).slots:  # it may have been promoted meanwhile, on a busy machine
        shard = shard_of(one, data, "n1")
        assert data["exit_code"] == CRITICAL
        assert (shard["serving"], shard["modes"]["graceful"]["answer"]) == (False, "no")
    one.wait(lambda: one.belief(heir, heir).slots, "the successor", TIMEOUT_S)
    after = until_ready_says(one, WARNING)
    shard = shard_of(one, after, heir)
    assert (shard["verdict"], shard["serving"], shard["crash"]["survived"]) == ("warning", True, "no")


@every_server
def test_without_a_majority_force_cannot_and_takeover_is_named(lab: LabMaker) -> None:
    one = lab()
    one.kill("n1", "n2")
    one.wait(lambda: one.vitals("n3").cluster.state == "fail", "n3 to stop", TIMEOUT_S)
    flagged = [one.replica_of("n1"), one.replica_of("n2"), one.node("n3")]
    one.wait(
        lambda: all(one.belief(node, dead).flagged for node in flagged for dead in ("n1", "n2")), "all flags", TIMEOUT_S
    )
    data = until_ready_says(one, CRITICAL)
    assert (data["quorum"]["answer"], data["quorum"]["needed"]) == ("no", 2)
    assert data["summary"].startswith("no majority")
    for name in ("n1", "n2"):
        modes = shard_of(one, data, name)["modes"]
        assert modes["force"]["answer"] == "no"
        assert "votes" in codes(modes["force"])
        assert "takeover" in next(each["evidence"] for each in modes["force"]["preflight"] if each["check"] == "votes")
        assert (modes["takeover"]["answer"], "--confirm-fenced" in modes["takeover"]["needs"]) == ("with-consent", True)
        assert "--takeover" in shard_of(one, data, name)["hint"]
    insist_on_agreement(one, data)


@every_server
def test_a_replica_without_a_link_and_one_that_is_stopped(lab: LabMaker) -> None:
    one = lab()
    cut, stopped = one.replica_of("n1"), one.replica_of("n2")
    one.break_replication(cut)
    one.wait(lambda: one.vitals(cut).replication.link_up is False, "the link to break")
    one.freeze(stopped)
    one.wait(lambda: one.belief("n1", stopped).failed and one.belief("n3", stopped).failed, "the verdict", TIMEOUT_S)
    data = until_ready_says(one, WARNING)
    first, second = shard_of(one, data, "n1"), shard_of(one, data, "n2")
    assert "data" in codes(first["modes"]["graceful"])
    assert first["crash"]["survived"] == "yes", "its data is young enough for an election"
    assert second["modes"]["graceful"]["answer"] != "yes"
    assert second["crash"]["survived"] == "no"
    insist_on_agreement(one, data)


@every_server
def test_the_cooldown_of_past_elections(lab: LabMaker, server: ServerUnderTest, tmp_path: Path) -> None:
    """A -> B -> A: B stood for election, and on Redis it cannot stand again for four node timeouts."""
    one = lab(node_timeout_ms=20_000)
    old, new = one.node("n1"), one.replica_of("n1")
    audit = ("--audit", str(tmp_path / "audit.jsonl"))
    for target in (new, old):
        ran = one.rcfail("failover", str(target.endpoint), "--yes", *audit, within_s=120)
        assert ran.returncode == OK, ran
    one.wait(lambda: one.vitals(new).replication.link_up, "the link of the replica", TIMEOUT_S)
    one.wait(lambda: known_replica(one, new, old), "all to know the replica", TIMEOUT_S)
    shard = shard_of(one, ready_of(one, *audit), old)
    graceful = shard["modes"]["graceful"]
    assert graceful["candidate"]["id"] == new.node_id
    if server.label.startswith("valkey"):
        assert graceful["cooldown_left_ms"] is None
        assert "cooldown" not in codes(graceful)
        return
    assert 0 < graceful["cooldown_left_ms"] <= 82_000
    assert "cooldown" in codes(graceful)
    assert (shard["verdict"], graceful["needs"]) == ("warning", ["--wait-cooldown"])
    assert "--wait-cooldown" in shard["hint"]
    unread = shard_of(one, ready_of(one, "--audit", "-"), old)["modes"]["graceful"]
    told = next(each for each in unread["preflight"] if each["check"] == "cooldown")
    assert told["verdict"] != "pass", "it stood before, and nothing says that this is long enough ago"


def known_replica(lab: RunningLab, replica: NodeEntry, primary: NodeEntry) -> bool:
    beliefs = [lab.belief(node, replica) for node in lab.nodes]
    return all(each.primary_id == primary.node_id and not each.slots for each in beliefs)


@every_server
def test_a_frozen_primary(lab: LabMaker) -> None:
    one = lab(node_timeout_ms=15_000)
    one.freeze("n1")
    data = ready_of(one)
    assert data["exit_code"] in (UNKNOWN, CRITICAL), data
    shard = next((each for each in data["shards"] if each["primary"]["id"] == one.node("n1").node_id), None)
    assert shard is not None, "nobody was promoted within a node timeout"
    assert shard["modes"]["graceful"]["answer"] != "yes"
    one.thaw("n1")


@every_server
@cutting
def test_a_shard_whose_replica_is_on_the_lesser_side(lab: LabMaker) -> None:
    """We reach both sides. The replica hears one voter of three: neither it nor FORCE could win."""
    one = lab()
    heir = one.replica_of("n1")
    mate = one.node("n2")
    one.partition(f"{heir.name},{mate.name}")
    one.wait(lambda: one.vitals(mate).cluster.state == "fail", "the lesser side to stop", TIMEOUT_S)
    one.wait(lambda: one.belief("n3", heir).failed, "the verdict", TIMEOUT_S)
    data = ready_of(one)
    assert data["exit_code"] == CRITICAL
    shard = shard_of(one, data, "n1")
    assert shard["modes"]["graceful"]["answer"] != "yes"
    assert shard["modes"]["force"]["answer"] == "no"
    assert "votes" in codes(shard["modes"]["force"])
    assert shard["votes"]["standing"] < shard["votes"]["needed"]
    assert shard["crash"]["survived"] == Known.NO


@every_server
@cutting
def test_cut_off_together_with_the_lesser_side_it_advises_no_takeover(lab: LabMaker) -> None:
    """The others elect and serve, where we do not see them: a takeover here would make two primaries."""
    one = lab(zones=3, hosts=3)
    here = one.node("n1").zone
    one.partition(",".join(node.name for node in one.nodes if node.zone == here), observer=here)
    one.wait(lambda: one.vitals("n1").cluster.state == "fail", "the lesser side to stop", TIMEOUT_S)
    data = until_ready_says(one, CRITICAL)
    assert data["quorum"]["answer"] == "no"
    assert "may serve beyond a cut" in data["summary"]
    for shard in data["shards"]:
        assert "yes" not in {mode["answer"] for mode in shard["modes"].values()}
        assert shard["crash"]["survived"] != "yes"
        assert "--takeover" not in shard["hint"]
    out = [each for each in data["shards"] if not each["serving"]]
    assert out
    assert all("Look from a host that reaches" in each["hint"] for each in out)


@every_server
def test_every_shard_is_asked_at_once_and_nothing_is_sent(lab: LabMaker) -> None:
    one = lab(primaries=5, replicas=2)
    before = {node.name: one.vitals(node).cluster.messages.get("auth-req_sent", 0) for node in one.nodes}
    data = until_ready_says(one, OK)
    assert len(data["shards"]) == 5
    assert all(len(each["modes"]["graceful"]["others"]) == 1 for each in data["shards"])
    assert before == {node.name: one.vitals(node).cluster.messages.get("auth-req_sent", 0) for node in one.nodes}
    assert [node.name for node in one.nodes if one.belief(node, node).slots] == [each.name for each in one.primaries]
