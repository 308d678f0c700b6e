"""The oracle of the random campaign: it sees what is wrong, and it catches a lie."""

from __future__ import annotations

from tests.real.campaign.oracle import Oracle, Truth, facts
from tests.real.campaign.story import Ran, lies
from tests.real.conftest import LabMaker
from tests.real.servers import RunningLab


def _ran(verdict: str, **data: object) -> Ran:
    return Ran("judge", 0.1, 4.0, 0, {"verdict": verdict, "data": {"findings": [], **data}})


def _kinds(truth: Truth) -> set[str]:
    return {fact[0] for fact in facts(truth)}


def test_the_oracle_itself_sees_what_is_wrong_and_catches_a_lie(lab: LabMaker) -> None:
    cluster: RunningLab = lab()
    oracle = Oracle(cluster, (77, 12000))
    assert not facts(oracle.look())
    cluster.kill("n4")
    cluster.say("n3", "CONFIG", "SET", "min-replicas-to-write", 2)
    truth = oracle.look()
    assert {"gone", "alone", "copy", "no-write"} <= _kinds(truth)
    assert "no-read" not in _kinds(truth)
    assert all("NOREPLICAS" in why for (slot, _), why in truth.writes.items() if slot == 12000)
    assert len(list(lies(_ran("ok", redundant="yes", serving="yes"), facts(truth)))) == 3
    assert len(list(lies(_ran("warning", redundant="no", serving="yes"), facts(truth)))) == 2
    assert not list(lies(_ran("critical", redundant="no", serving="no", failover_ready="no"), facts(truth)))
