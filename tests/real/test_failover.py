"""`rcfail failover` on real clusters, whole and broken: done and verified, refused, or not done, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rcfail.practice.lab.register import NodeEntry
from tests.real.conftest import LabMaker
from tests.real.operators import Answer, Operator, leads, moved, sends
from tests.real.servers import RunningLab

every_server = pytest.mark.every_server
OK, REFUSED, NOT_DONE, INCOMPLETE, INDETERMINATE = 0, 10, 11, 12, 15
LONG = 15_000
"""A node timeout within which nobody is suspected, so that the servers do nothing by themselves."""

PASSWORD = "sesame-of-the-cluster"


class Secured(RunningLab):
    """A lab whose nodes want a password, asked with it."""

    def environment(self) -> dict[str, str]:
        return super().environment() | {"RCFAIL_PASSWORD": PASSWORD}


def outcome(answer: Answer) -> tuple[int, str, bool]:
    return answer.code, answer.outcome["outcome"], answer.outcome["sent"]


def written(lab: RunningLab, *replicas: NodeEntry) -> None:
    """Their primaries have written to their streams, and they have it: a replica at the very beginning of one cannot
    be told from one that never had a copy, once its primary is gone."""
    for replica in replicas:
        lab.ask(replica.primary, "PUBLISH", "rcfail-test", "1")
        lab.wait(lambda replica=replica: (lab.vitals(replica).replication.own_offset or 0) > 1, "it has a stream")  # type: ignore[misc]


@every_server
def test_a_named_replica_takes_over(lab: LabMaker, tmp_path: Path) -> None:
    one = lab()
    old, new = one.node("n1"), one.replica_of("n1")
    before = one.belief(old, old)
    answer = Operator(one, tmp_path).failover(new, "--reason", "a test")
    assert outcome(answer) == (OK, "done", True), answer
    moved(one, new, old)
    assert sends(one) == {new.name: 1}

    data = answer.data
    assert set(data) >= {"result", "plan", "preflight", "outcomes", "verification", "timeline", "candidates"}
    (step,) = data["plan"]["steps"]
    assert (step["target"]["id"], step["old_primary"]["id"]) == (new.node_id, old.node_id)
    assert (step["command"], step["slots"]) == ("CLUSTER FAILOVER", [list(each) for each in before.slots])
    assert {row["verdict"] for row in data["preflight"]} <= {"pass", "warn"}
    assert {row["verdict"] for row in data["verification"] if row["check"] != "settled"} == {"pass"}
    said = answer.outcome
    assert (said["old_primary"], said["new_primary"], said["ours"]) == (old.node_id, new.node_id, True)
    assert (said["epoch_before"], said["epoch_after"]) == (before.config_epoch, one.belief(new, new).config_epoch)
    assert said["loss"]["at_risk_bytes"] == [0, 0]
    assert said["loss"]["lost_bytes"] in (0, None)
    assert data["candidates"] == []


@every_server
def test_each_moment_is_told_when_it_is_seen(lab: LabMaker, tmp_path: Path) -> None:
    one = lab()
    answer = Operator(one, tmp_path).failover(one.replica_of("n1"))
    assert answer.code == OK, answer
    events = answer.events
    order = [events.index(each) for each in ("requested", "promoted", "demoted", "linked")]
    assert order == sorted(order), events
    told = re.findall(r"^  \+ *(\d+) ms  (\S+)", answer.told, re.MULTILINE)
    assert [event for _, event in told] == events
    at_ms = [int(each) for each, _ in told]
    assert at_ms == sorted(at_ms)
    assert at_ms == [row["at_ms"] for row in answer.data["timeline"]]


@every_server
def test_of_a_primary_the_best_replica_is_chosen_and_shown(lab: LabMaker, tmp_path: Path) -> None:
    one = lab(3, 2, node_timeout_ms=LONG)
    primary, (lame, good) = one.node("n2"), one.replicas_of("n2")
    one.break_replication(lame)
    answer = Operator(one, tmp_path).failover(primary)
    assert outcome(answer) == (OK, "done", True), answer
    assert answer.outcome["new_primary"] == good.node_id
    assert sends(one) == {good.name: 1}
    first, second = answer.data["candidates"]
    assert (first["id"], first["able"], first["refused_by"]) == (good.node_id, True, [])
    assert (second["id"], second["able"]) == (lame.node_id, False)
    assert "data" in second["refused_by"]
    assert second["against"]
    assert str(good.endpoint) in answer.told, "who was chosen is said before it is sent"


@every_server
def test_a_slot_names_its_shard(lab: LabMaker, tmp_path: Path) -> None:
    one = lab()
    ran = Operator(one, tmp_path).run("failover", "--slot", "16383", "--yes")
    assert ran.returncode == OK, ran
    moved(one, one.replica_of("n3"), "n3")
    assert ran.stdout.startswith(f"DONE  {one.replica_of('n3').endpoint} (")
    assert all(len(line) <= 80 for line in ran.stdout.splitlines())


@every_server
def test_six_primaries_with_six_replicas(lab: LabMaker, tmp_path: Path) -> None:
    one = lab(6, 1)
    answer = Operator(one, tmp_path).failover("n4")
    assert outcome(answer) == (OK, "done", True), answer
    moved(one, one.replica_of("n4"), "n4")
    assert sends(one) == {one.replica_of("n4").name: 1}


# A primary that is dead, and one that lives


@every_server
def test_force_takes_over_from_a_dead_primary(lab: LabMaker, tmp_path: Path) -> None:
    one = lab(conf=("cluster-replica-no-failover yes",))
    new = one.replica_of("n1")
    written(one, new)
    one.kill("n1")
    one.wait(lambda: all("fail" in one.belief(f"n{n}", "n1").flags for n in range(2, 7)), "all hold it for failed")
    refused = Operator(one, tmp_path).failover(new)
    assert (refused.code, refused.data["result"]) == (REFUSED, "refused"), refused
    assert "primary-alive" in refused.refused_by
    assert sends(one) == {}
    answer = Operator(one, tmp_path).failover(new, "--force")
    assert outcome(answer) == (OK, "done", True), answer
    assert leads(one, new)
    assert sends(one) == {new.name: 1}


@every_server
def test_force_on_a_living_primary_takes_consent(lab: LabMaker, tmp_path: Path) -> None:
    one, new = (made := lab()), made.replica_of("n1")
    operator = Operator(one, tmp_path)
    refused = operator.failover(new, "--force")
    assert refused.code == REFUSED, refused
    assert refused.refused_by == {"primary-alive"}
    assert refused.checks["primary-alive"]["override"] == "--allow-data-loss"
    assert sends(one) == {}
    answer = operator.failover(new, "--force", "--allow-data-loss")
    assert outcome(answer) == (OK, "done", True), answer
    assert answer.checks["primary-alive"]["overridden"]
    moved(one, new, "n1")
    assert sends(one) == {new.name: 1}


@every_server
def test_without_a_majority_only_takeover_works_and_brings_the_votes_back(lab: LabMaker, tmp_path: Path) -> None:
    one = lab()
    new, other = one.replica_of("n1"), one.replica_of("n2")
    written(one, new, other)
    one.kill("n1", "n2")
    one.wait(lambda: one.belief("n3", "n1").flagged and one.belief(new, "n2").flagged, "they suspect the dead")
    operator = Operator(one, tmp_path)
    refused = operator.failover(new, "--force")
    assert refused.code == REFUSED, refused
    assert "only takeover can work" in refused.checks["votes"]["evidence"]
    alone = operator.failover(new, "--takeover")
    assert (alone.code, "fenced" in alone.refused_by) == (REFUSED, True), alone
    assert sends(one) == {}
    fenced = [word for name in ("n1", "n2") for word in ("--confirm-fenced", one.node(name).node_id[:8])]
    answer = operator.failover(new, "--takeover", *fenced)
    assert outcome(answer) == (OK, "done", True), answer
    assert sends(one) == {new.name: 1}
    one.wait(lambda: leads(one, other), "with the vote of the new primary the other shard is voted in")


@every_server
def test_a_shard_that_is_wholly_dead_does_not_hinder_another(lab: LabMaker, tmp_path: Path) -> None:
    one = lab()
    new, living = one.replica_of("n1"), [one.node(name) for name in ("n1", "n2", "n4", "n5")]
    assert one.replica_of("n3").name == "n6"
    one.kill("n3", "n6")
    one.wait(lambda: all("fail" in one.belief(node, "n3").flags for node in living), "all hold it for failed")
    answer = Operator(one, tmp_path).failover(new)
    assert outcome(answer) == (OK, "done", True), answer
    moved(one, new, "n1", *living)


# There and back


@every_server
def test_there_and_back_as_fast_as_it_lets_you(lab: LabMaker, tmp_path: Path) -> None:
    """Every switch works, or is refused before it is sent; with --wait-cooldown all of them work."""
    one = lab(node_timeout_ms=500)
    operator, pair = Operator(one, tmp_path), (one.replica_of("n1"), one.node("n1"))
    for at in range(4):
        new, old = pair[at % 2], pair[1 - at % 2]
        answer = operator.failover(new)
        if answer.code == REFUSED:
            assert answer.refused_by <= {"cooldown", "known-as-replica", "other-change"}, answer
            assert sum(sends(one).values()) == at
            answer = operator.failover(new, "--wait-cooldown")
        assert outcome(answer) == (OK, "done", True), answer
        assert sum(sends(one).values()) == at + 1
        moved(one, new, old)


# What freezes and what dies meanwhile


@every_server
def test_a_frozen_primary(lab: LabMaker, tmp_path: Path) -> None:
    """Refused; by consent it is sent, nothing comes of it, and the answer says why."""
    one = lab(node_timeout_ms=LONG)
    new = one.replica_of("n1")
    one.freeze("n1")
    operator = Operator(one, tmp_path)
    refused = operator.failover(new)
    assert refused.code == REFUSED, refused
    assert "primary-responsive" in refused.refused_by
    assert sends(one) == {}
    answer = operator.failover(new, "--allow-write-pause")
    if answer.code == REFUSED:
        assert "primary-responsive" not in answer.refused_by, "that one was let pass"
        assert sends(one) == {}
        return
    assert outcome(answer) == (NOT_DONE, "not_done", True), answer
    assert "did not react" in answer.outcome["why"]
    assert str(one.node("n1").endpoint) in answer.outcome["why"]
    assert sends(one) == {new.name: 1}


@every_server
def test_a_frozen_voter(lab: LabMaker, tmp_path: Path) -> None:
    one = lab(node_timeout_ms=LONG)
    one.freeze("n3")
    answer = Operator(one, tmp_path).failover(one.replica_of("n1"))
    if answer.code == REFUSED:
        assert sends(one) == {}
        return
    assert outcome(answer) == (OK, "done", True), answer
    moved(one, one.replica_of("n1"), "n1", *(f"n{n}" for n in (1, 2, 4, 5, 6)))


@every_server
def test_a_target_that_dies_right_after_the_send(lab: LabMaker, tmp_path: Path) -> None:
    one = lab(node_timeout_ms=LONG)
    new = one.replica_of("n1")
    # The primary hears of the request, and cannot finish it: it stands still while the target is killed.
    with Operator(one, tmp_path).start("failover", new.node_id, "--yes") as running:
        assert running.stderr is not None
        first = running.stderr.readline()
        while "requested" not in first:
            assert first, "it ended before it was sent"
            first = running.stderr.readline()
        one.kill(new)
        said, talk = running.communicate(timeout=120)
    assert running.returncode in (NOT_DONE, INCOMPLETE, INDETERMINATE, OK), (said, talk)
    served_by_new = any(one.belief(node, new).slots for node in ("n2", "n3"))
    head = said.split(maxsplit=1)[0]
    if not served_by_new:
        assert running.returncode in (NOT_DONE, INDETERMINATE), said
        assert head in ("NOT", "INDETERMINATE"), said
    assert str(new.endpoint) in said


def test_a_primary_that_cannot_log_in_is_replaced_and_does_not_follow(lab: LabMaker, tmp_path: Path) -> None:
    made = lab(conf=(f"requirepass {PASSWORD}",))
    one = Secured(made.register, made.name)
    new = one.replica_of("n1")
    one.say("n1", "CONFIG", "SET", "masterauth", "nonsense")
    answer = Operator(one, tmp_path).failover(new, within_s=120)
    assert outcome(answer) == (INCOMPLETE, "incomplete", True), answer
    assert answer.outcome["new_primary"] == new.node_id
    assert str(one.node("n1").endpoint) in answer.outcome["why"]
    assert leads(one, new)
    assert one.vitals("n1").replication.link_up is False
    assert PASSWORD not in answer.told + str(answer.document)
