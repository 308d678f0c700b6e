"""What `rcfail failover --dry-run` says before anything is sent, on clusters that are really broken."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from rcfail.practice.lab import network
from rcfail.practice.lab.register import NodeEntry
from tests.real.conftest import LabMaker
from tests.real.operators import Answer, Operator, sends
from tests.real.servers import RunningLab, ServerUnderTest, run_rcfail

every_server = pytest.mark.every_server
cutting = pytest.mark.skipif(shutil.which("nft") is None, reason="cutting takes nftables")
OK, REFUSED = 0, 10
LONG_MS = 15_000
"""A node timeout within which nobody is suspected, so that the servers do nothing by themselves."""
TIMEOUT_S = 60.0

EVERYWHERE = {
    "target-role",
    "target-identity",
    "observer",
    "primary-alive",
    "votes",
    "data",
    "lag",
    "other-change",
    "shard-agreed",
    "pair-after",
    "load",
    "lock",
    "audit",
}
BY_MODE = {
    "graceful": EVERYWHERE | {"primary-responsive", "cooldown", "known-as-replica"},
    "force": EVERYWHERE | {"sibling", "cooldown"},
    "takeover": EVERYWHERE | {"sibling", "known-as-replica", "fenced"},
}


def ask(lab: RunningLab, state: Path, target: NodeEntry | str, *words: str) -> Answer:
    """A dry run. Whatever it says, nobody was sent a thing by it, and nothing stands in the audit."""
    before, operator = sends(lab), Operator(lab, state)
    lines = len(operator.lines())
    answer = operator.ask("failover", lab.node(target).node_id, "--dry-run", *words)
    assert answer.code in (OK, REFUSED), answer
    assert sends(lab) == before
    assert len(operator.lines()) == lines
    assert bool(answer.refused_by) is (answer.code == REFUSED), answer
    assert all(row["evidence"] and "\n" not in row["evidence"] for row in answer.checks.values())
    return answer


def warned(answer: Answer) -> set[str]:
    return {code for code, row in answer.checks.items() if row["verdict"] == "warn"}


def stand_down(lab: RunningLab, *replicas: NodeEntry) -> None:
    """Nobody is promoted but by an operator."""
    for each in replicas:
        lab.say(each, "CONFIG", "SET", "cluster-replica-no-failover", "yes")


def await_verdict(lab: RunningLab, dead: str, *witnesses: NodeEntry | str) -> None:
    lab.wait(lambda: all(lab.belief(each, dead).failed for each in witnesses), f"all to hold {dead} for failed", 60.0)


def key_of(lab: RunningLab, node: NodeEntry | str) -> str:
    """A key in a slot of this primary."""
    first, last = lab.belief(node, node).slots[0]
    keys = (f"{{{number}}}" for number in range(10_000))
    return next(key for key in keys if first <= int(str(lab.ask(node, "CLUSTER", "KEYSLOT", key))) <= last)


def fill(lab: RunningLab, node: NodeEntry | str, keys: int, size: int) -> None:
    """Write keys of one slot."""
    script = "for i=1,ARGV[1] do redis.call('SET', KEYS[1]..i, string.rep('x', ARGV[2])) end"
    lab.say(node, "EVAL", script, 1, key_of(lab, node), keys, size)


@contextmanager
def stalled(lab: RunningLab, primary: NodeEntry, replica: NodeEntry) -> Iterator[None]:
    """Drop what goes from the client port of one to the other: the link stays, and nothing comes through."""
    table = f"rcfail_stalled_{lab.entry.octet}_{os.getpid()}"
    rule = f"ip saddr {primary.host} tcp sport {primary.port} ip daddr {replica.host} drop"
    chain = f"chain stalled {{\n type filter hook output priority 0; policy accept;\n {rule}\n }}"
    network.run(f"table inet {table} {{\n {chain}\n}}\n")
    try:
        yield
    finally:
        network.run(f"delete table inet {table}\n")


def pasted(lab: RunningLab, state: Path, target: NodeEntry, *words: str, having: str) -> int:
    """Run a command of the page's hints as it stands, with --dry-run, where nothing else tells of the cluster."""
    ran = Operator(lab, state).run("failover", target.node_id, "--dry-run", *words)
    assert all(len(line) <= 80 or str(state) in line for line in ran.stdout.splitlines()), ran.stdout
    text = " ".join(ran.stdout.split())
    found = re.findall(r"hint: [^:]*: rcfail (failover [^ ]+(?: --?[a-z-]+(?: [0-9a-f.:]+)?)*)", text)
    command = next((each for each in found if having in each), None)
    assert command is not None, ran.stdout
    environment = {**Operator(lab, state).environment, "RCFAIL_SEEDS": ""}
    return run_rcfail(*shlex.split(command), "--dry-run", environment=environment).returncode


# All is well


@every_server
def test_in_a_whole_cluster_each_mode_is_judged_by_all_of_its_checks(lab: LabMaker, tmp_path: Path) -> None:
    one = lab()
    target = one.replica_of("n1")
    # A voter lists a replica as a primary for a second after the cluster was made.
    one.wait(lambda: ask(one, tmp_path, target).code == OK, "the young cluster to be allowed", TIMEOUT_S)
    answer = ask(one, tmp_path, target)
    assert set(answer.checks) == BY_MODE["graceful"]
    assert {row["verdict"] for row in answer.checks.values()} == {"pass"}
    force = ask(one, tmp_path, target, "--force")
    assert set(force.checks) == BY_MODE["force"]
    assert force.refused_by == {"primary-alive"}
    assert force.checks["primary-alive"]["override"] == "--allow-data-loss"
    takeover = ask(one, tmp_path, target, "--takeover")
    assert set(takeover.checks) == BY_MODE["takeover"]
    assert takeover.refused_by == {"primary-alive", "votes"}
    assert takeover.checks["votes"]["override"] == "--takeover-with-quorum"
    for words in (("--force", "--allow-data-loss"), ("--takeover", "--allow-data-loss", "--takeover-with-quorum")):
        by_consent = ask(one, tmp_path, target, *words)
        assert by_consent.code == OK
        assert set(by_consent.checks) == BY_MODE[words[0].removeprefix("--")]
        assert by_consent.checks["primary-alive"]["overridden"]


def test_whom_the_operator_expects_has_to_be_the_primary(lab: LabMaker, tmp_path: Path) -> None:
    one = lab()
    target = one.replica_of("n1")
    wrong = ask(one, tmp_path, target, "--expect-primary", one.node("n2").node_id)
    assert "target-role" in wrong.refused_by
    assert wrong.checks["target-role"]["override"] is None
    assert one.node("n2").node_id[:8] in wrong.checks["target-role"]["evidence"]
    words = ("failover", target.node_id, "--dry-run", "--expect-primary", one.node("n2").node_id)
    assert "is sent to" not in Operator(one, tmp_path).run(*words).stdout, "what cannot be meant is not planned"
    assert "target-role" not in ask(one, tmp_path, target, "--expect-primary", one.node("n1").node_id).refused_by


def test_a_hint_names_the_cluster_as_the_operator_did(lab: LabMaker, tmp_path: Path) -> None:
    one = lab()
    config = tmp_path / "config.toml"
    config.write_text("[clusters.shop]\nseeds = [" + ", ".join(f'"{each}"' for each in one.seeds.split(",")) + "]\n")
    operator = Operator(one, tmp_path)
    environment = {**operator.environment, "RCFAIL_SEEDS": "", "RCFAIL_CONFIG": str(config)}
    words = ("failover", one.replica_of("n1").node_id, "--force", "--dry-run", "-c", "shop")
    ran = run_rcfail(*words, "-o", "json", environment=environment)
    rows = {row["check"]: row for row in json.loads(ran.stdout)["data"]["preflight"]}
    assert "rcfail failover -c shop " in rows["primary-alive"]["hint"]
    assert rows["data"]["hint"] is None
    assert "rcfail failover -c shop " in " ".join(run_rcfail(*words, environment=environment).stdout.split())


# The primary: dead, frozen, cut off from us


@every_server
def test_a_frozen_primary_is_not_asked_to_pause(lab: LabMaker, tmp_path: Path) -> None:
    one = lab(node_timeout_ms=8 * LONG_MS)
    target = one.replica_of("n1")
    one.freeze("n1")
    graceful = ask(one, tmp_path, target)
    assert "primary-responsive" in graceful.refused_by
    assert graceful.checks["primary-responsive"]["override"] == "--allow-write-pause"
    assert "frozen" in graceful.checks["primary-responsive"]["evidence"]
    force = ask(one, tmp_path, target, "--force")
    assert "primary-alive" in force.refused_by, "it is not held for failed, and may go on at any moment"


@every_server
def test_a_dead_primary_is_for_force_and_the_hint_says_so(lab: LabMaker, tmp_path: Path) -> None:
    one = lab()
    target = one.replica_of("n1")
    stand_down(one, target)
    fill(one, "n1", 10, 10)
    one.wait(lambda: one.vitals(target).storage.keys == 10, "the keys to be copied")
    one.kill("n1")
    early = ask(one, tmp_path, target, "--force")
    if not one.belief(target, "n1").flagged:
        assert "primary-alive" in early.refused_by, "nobody holds it for dead yet"
    await_verdict(one, "n1", target, "n2", "n3")
    graceful = ask(one, tmp_path, target)
    assert "primary-alive" in graceful.refused_by
    assert graceful.checks["primary-alive"]["override"] is None
    force = ask(one, tmp_path, target, "--force")
    assert force.code == OK, force
    assert force.checks["primary-alive"]["verdict"] == "pass"
    assert force.checks["votes"]["verdict"] == "pass"
    assert "10 keys" in force.checks["data"]["evidence"]
    assert pasted(one, tmp_path, target, having="--force") == OK
    takeover = ask(one, tmp_path, target, "--takeover")
    assert takeover.refused_by == {"votes"}, "two of three voters live"


@every_server
@cutting
def test_a_primary_that_only_we_cannot_reach(lab: LabMaker, tmp_path: Path) -> None:
    """Its replicas hear it: whoever took it for dead would lose what it goes on to acknowledge."""
    one = lab()
    target = one.replica_of("n1")
    one.cut_client("n1")
    force = ask(one, tmp_path, target, "--force")
    assert "primary-alive" in force.refused_by
    assert "our network" in force.checks["primary-alive"]["evidence"]
    assert force.checks["primary-alive"]["override"] == "--allow-data-loss"
    graceful = ask(one, tmp_path, target)
    assert "primary-responsive" in graceful.refused_by
    takeover = ask(one, tmp_path, target, "--takeover")
    assert {"primary-alive", "votes"} <= takeover.refused_by


# Votes


@every_server
def test_without_a_majority_only_takeover_and_only_when_a_human_says_that_the_others_are_stopped(
    lab: LabMaker, tmp_path: Path
) -> None:
    one = lab()
    target, lost = one.replica_of("n1"), (one.node("n1"), one.node("n2"))
    one.kill(*lost)
    one.wait(
        lambda: all(one.belief(each, dead).flagged for each in (target, "n3") for dead in lost), "the flags", TIMEOUT_S
    )
    force = ask(one, tmp_path, target, "--force")
    assert "votes" in force.refused_by
    assert "only takeover can work" in force.checks["votes"]["evidence"]
    assert force.checks["votes"]["override"] is None
    takeover = ask(one, tmp_path, target, "--takeover")
    assert takeover.refused_by == {"fenced"}, takeover
    assert takeover.checks["fenced"]["override"] == "--confirm-fenced"
    assert all(str(each.endpoint) in takeover.checks["fenced"]["evidence"] for each in lost)
    half = ask(one, tmp_path, target, "--takeover", "--confirm-fenced", lost[0].node_id)
    assert half.refused_by == {"fenced"}
    assert str(lost[1].endpoint) in half.checks["fenced"]["evidence"]
    whole = [word for each in lost for word in ("--confirm-fenced", each.node_id)]
    assert ask(one, tmp_path, target, "--takeover", *whole).code == OK
    assert pasted(one, tmp_path, target, "--takeover", having="--confirm-fenced") == OK
    assert pasted(one, tmp_path, target, "--force", having="--takeover") == REFUSED, "it does not confirm by itself"


@every_server
@cutting
def test_the_votes_of_the_other_side_of_a_partition_do_not_count(lab: LabMaker, tmp_path: Path) -> None:
    """The primary is dead, the target is cut off with one voter of the two that live, and both of these answer us."""
    one = lab(hosts=6)
    target, mate = one.replica_of("n1"), one.node("n2")
    stand_down(one, target)
    one.kill("n1")
    await_verdict(one, "n1", target, "n2", "n3")
    one.partition(f"{target.name},{mate.name}")
    one.wait(lambda: one.belief(target, "n3").flagged and one.belief("n3", target).flagged, "the flags", TIMEOUT_S)
    force = ask(one, tmp_path, target, "--force")
    assert "votes" in force.refused_by
    assert force.checks["votes"]["override"] is None
    assert str(one.node("n3").endpoint) in force.checks["votes"]["evidence"]
    one.heal()
    one.wait(lambda: ask(one, tmp_path, target, "--force").code == OK, "the votes to be one again", TIMEOUT_S)


# The data


@every_server
def test_a_replica_that_waits_for_its_first_copy_is_never_promoted_beside_its_primary(
    lab: LabMaker, tmp_path: Path
) -> None:
    """The primary waits a minute before it forks; the replica shows a link down, and no copy under way."""
    one = lab(conf=("repl-diskless-sync yes",), node_timeout_ms=2000)
    target = one.replica_of("n1")
    fill(one, "n1", 10, 10)
    one.kill(target)
    for path in Path(target.folder).glob("*.rdb"):
        path.unlink()
    one.say("n1", "CONFIG", "SET", "repl-diskless-sync-delay", "600")
    one.restart(target)
    one.wait(lambda: [each.state for each in one.vitals("n1").replication.attached] == ["wait_bgsave"], "the sync")
    assert not one.vitals(target).replication.sync_in_progress
    one.wait(lambda: not any(one.belief(each, target).flagged for each in ("n1", "n2", "n3")), "it to be back")
    assert "data" in ask(one, tmp_path, target).refused_by
    for mode in (("--force",), ("--takeover", "--takeover-with-quorum")):
        answer = ask(one, tmp_path, target, *mode, "--allow-data-loss")
        assert "data" in answer.refused_by, "the consent to lose some writes is none to lose all of them"
        assert answer.checks["data"]["override"] is None
    assert "data" in ask(one, tmp_path, target, "--takeover").refused_by


@every_server
@cutting
def test_a_replica_that_lags_and_how_much_lag_is_allowed(lab: LabMaker, tmp_path: Path) -> None:
    one = lab(node_timeout_ms=LONG_MS, hosts=6)
    target = one.replica_of("n1")
    one.wait(lambda: ask(one, tmp_path, target).code == OK, "the young cluster to be allowed", TIMEOUT_S)
    with stalled(one, one.node("n1"), target):
        fill(one, "n1", 100, 10_000)
        answer = ask(one, tmp_path, target)
        assert "lag" in answer.refused_by, answer
        assert answer.checks["lag"]["override"] == "--max-lag-bytes"
        less = ask(one, tmp_path, target, "--max-lag-bytes", "1000")
        assert "lag" in less.refused_by
        more = ask(one, tmp_path, target, "--max-lag-bytes", "100000000")
        assert "lag" not in more.refused_by
    one.wait(lambda: ask(one, tmp_path, target).code == OK, "it to catch up", TIMEOUT_S)


@every_server
@cutting
def test_a_sibling_that_has_more_is_named(lab: LabMaker, tmp_path: Path) -> None:
    one = lab(3, 2, hosts=9)
    target, ahead = one.replicas_of("n1")
    stand_down(one, target, ahead)
    fill(one, "n1", 10, 10)
    one.wait(lambda: one.vitals(target).storage.keys == 10, "the keys to be copied")
    with stalled(one, one.node("n1"), target):
        fill(one, "n1", 30, 10)
        one.wait(lambda: one.vitals(ahead).storage.keys == 30, "one of them to have all keys")
        one.kill("n1")
        await_verdict(one, "n1", target, ahead, "n2", "n3")
    answer = ask(one, tmp_path, target, "--force")
    assert answer.refused_by == {"sibling"}, answer
    assert str(ahead.endpoint) in answer.checks["sibling"]["evidence"]
    assert answer.checks["sibling"]["override"] == "--allow-data-loss"
    assert pasted(one, tmp_path, target, "--force", having=str(ahead.endpoint)) == OK
    chosen = ask(one, tmp_path, "n1", "--force")
    assert chosen.data["plan"]["steps"][0]["target"]["id"] == ahead.node_id, "of the primary's replicas the fuller one"


SLOW_LOADING = ("key-load-delay 12000", "rdbcompression no")
"""12 ms a key. A loading server looks at its clients after each 2 MB that it read."""


def loads(lab: RunningLab, node: NodeEntry) -> bool:
    return "loading:1" in lab.text(node, "INFO", "persistence")


@every_server
def test_a_target_that_loads_its_data(lab: LabMaker, tmp_path: Path) -> None:
    one = lab(node_timeout_ms=60_000, conf=SLOW_LOADING)
    target = one.replica_of("n1")
    fill(one, "n1", 1000, 40_000)
    one.wait(lambda: one.vitals(target).storage.keys == 1000, "the keys to be copied", TIMEOUT_S)
    one.say(target, "SAVE")
    one.kill(target)
    one.restart(target)
    assert loads(one, target)
    for words in ((), ("--force", "--allow-data-loss"), ("--takeover", "--allow-data-loss", "--takeover-with-quorum")):
        answer = ask(one, tmp_path, target, *words)
        if not loads(one, target):
            break
        assert answer.code == REFUSED
        assert "loading" in " ".join(answer.checks[code]["evidence"] for code in answer.refused_by)


# What else goes on


@every_server
def test_an_open_slot_of_the_shard(lab: LabMaker, tmp_path: Path) -> None:
    one = lab()
    target = one.replica_of("n1")
    one.open_slot(0, to="n2")
    answer = ask(one, tmp_path, target)
    assert "other-change" in answer.refused_by
    assert answer.checks["other-change"]["override"] == "--override other-change"
    assert "(0)" in answer.checks["other-change"]["evidence"]
    assert ask(one, tmp_path, target, "--override", "other-change").code == OK
    assert "other-change" not in ask(one, tmp_path, one.replica_of("n3")).refused_by, "another shard is not held up"
    one.close_slot(0)
    assert ask(one, tmp_path, target).code == OK


def _allowed(lab: RunningLab, state: Path, target: NodeEntry) -> bool:
    return ask(lab, state, target).code == OK


@every_server
def test_the_cooldown_is_known_from_the_audit_and_guessed_without_it(
    lab: LabMaker, tmp_path: Path, server: ServerUnderTest
) -> None:
    """A -> B -> A: on Redis B does not stand again for four node timeouts, and says OK all the same."""
    one = lab(node_timeout_ms=LONG_MS)
    old, new = one.node("n1"), one.replica_of("n1")
    operator = Operator(one, tmp_path)
    for target in (new, old):
        one.wait(partial(_allowed, one, tmp_path, target), "the switch to be allowed", TIMEOUT_S)
        assert operator.failover(target).code == OK
    one.wait(lambda: one.vitals(new).replication.link_up, "the link", TIMEOUT_S)
    free = server.label.startswith("valkey")
    answer = ask(one, tmp_path, new)
    assert ("cooldown" in answer.refused_by) is not free, answer
    assert warned(answer) & {"cooldown"} == set()
    if free:
        return
    assert answer.checks["cooldown"]["override"] == "--wait-cooldown"
    assert re.search(r"\d+ s more", answer.checks["cooldown"]["evidence"])
    # From another host the audit of this one is not known; the server tells that it stood since it was started.
    other = ask(one, tmp_path / "elsewhere", new)
    assert other.checks["cooldown"]["verdict"] in ("fail", "warn")
    takeover = ask(one, tmp_path, new, "--takeover")
    assert "cooldown" not in takeover.checks


PASSWORD = "sesame-of-the-shard"


class Secured(RunningLab):
    """A lab whose nodes want a password, asked with it."""

    def environment(self) -> dict[str, str]:
        return super().environment() | {"RCFAIL_PASSWORD": PASSWORD}


@every_server
def test_a_primary_that_could_not_log_in_afterwards(lab: LabMaker, tmp_path: Path) -> None:
    made = lab(conf=(f"requirepass {PASSWORD}",))
    one = Secured(made.register, made.name)
    target = one.replica_of("n1")
    one.wait(lambda: ask(one, tmp_path, target).code == OK, "the young cluster to be allowed", TIMEOUT_S)
    one.say("n1", "CONFIG", "SET", "masterauth", "not-the-word")
    answer = ask(one, tmp_path, target)
    assert answer.code == OK, "it would work, and the shard be left without that copy"
    assert "pair-after" in warned(answer)
    assert str(one.node("n1").endpoint) in answer.checks["pair-after"]["evidence"]
    assert PASSWORD not in str(answer.document) + answer.told
    assert "not-the-word" not in str(answer.document) + answer.told


# Where we stand


@every_server
@cutting
def test_most_nodes_are_silent_to_us_and_well_for_the_others(lab: LabMaker, tmp_path: Path) -> None:
    """We reach two of six nodes, and those hear the other four."""
    one = lab(node_timeout_ms=LONG_MS, hosts=6)
    target = one.replica_of("n1")
    for each in one.nodes:
        if each.name not in ("n1", target.name):
            one.cut_client(each)
    answer = ask(one, tmp_path, target)
    assert "observer" in answer.refused_by, answer
    assert answer.checks["observer"]["override"] == "--trust-this-host"
    assert "observer" not in ask(one, tmp_path, target, "--trust-this-host").refused_by
