"""Primaries that refuse writes: what a client gets, what health says, and that they can be mended."""

from __future__ import annotations

from pathlib import Path

import pytest

from rcfail.errors import LabFault, UsageFault
from rcfail.practice.lab.damage import Refusal
from rcfail.practice.lab.status import look_at
from rcfail.practice.lab.wish import Persistence
from tests.real.conftest import LabMaker
from tests.real.servers import RunningLab
from tests.real.verdicts import health_of

every_server = pytest.mark.every_server
OK, CRITICAL = 0, 2
SLOT_0 = "{06S}key"


def write(lab: RunningLab, value: str = "2") -> str:
    """What n1 answers to a SET in slot 0."""
    try:
        return str(lab.say("n1", "SET", SLOT_0, value))
    except LabFault as error:
        return error.message


@every_server
@pytest.mark.parametrize("persistence", [Persistence.NONE, Persistence.RDB, Persistence.AOF])
@pytest.mark.parametrize("refusal", list(Refusal))
def test_writes_are_refused_until_it_is_mended(lab: LabMaker, refusal: Refusal, persistence: Persistence) -> None:
    made = lab(3, 1, persistence=persistence)
    assert write(made, "1") == "OK"
    files = sorted(path.name for path in Path(made.node("n1").folder).glob("dump*"))
    made.refuse_writes("n1", refusal)
    assert f": {refusal.name} " in write(made)
    assert made.ask("n1", "GET", SLOT_0) == "1"
    assert made.ask("n1", "DBSIZE") == 1
    assert all(made.vitals(node).cluster.state == "ok" for node in made.nodes)
    health = health_of(made)
    critical = [code for code, severity in health.codes.items() if severity == "critical"]
    assert (health.exit_code, critical, health.serving) == (CRITICAL, ["writes-refused"], "no")
    assert refusal.name in health.the("writes-refused").evidence
    status = look_at(made.register, made.name)
    assert (status.nodes[0].refuses, status.whole) == ((refusal.value,), False)
    with pytest.raises(UsageFault, match="refuses writes with"):
        made.refuse_writes("n1", refusal)
    made.mend("n1")
    assert write(made) == "OK"
    assert health_of(made).exit_code == OK
    assert look_at(made.register, made.name).whole
    if persistence is not Persistence.RDB:
        assert sorted(path.name for path in Path(made.node("n1").folder).glob("dump*")) == files


def test_each_on_a_node_of_its_own_and_all_gone_with_the_lab(lab: LabMaker) -> None:
    made = lab()
    for node, refusal in zip(made.primaries, Refusal, strict=True):
        made.refuse_writes(node, refusal)
    with pytest.raises(UsageFault, match="n1 refuses writes with OOM already"):
        made.refuse_writes("n1", Refusal.MISCONF)
    said = {finding.id: finding.evidence for finding in health_of(made).all_of("writes-refused")}
    for node, refusal in zip(made.primaries, Refusal, strict=True):
        assert refusal.name in said[node.node_id]
    made.mend("n2")
    assert [stop.node for stop in made.entry.write_stops] == ["n1", "n3"]
    made.down()
    assert made.name not in made.register.names()


@pytest.mark.parametrize("refusal", list(Refusal))
def test_a_restart_mends_and_the_saved_data_is_there(lab: LabMaker, refusal: Refusal) -> None:
    made = lab(1, 0, persistence=Persistence.RDB)
    assert write(made) == "OK"
    made.say("n1", "SAVE")
    made.refuse_writes("n1", refusal)
    made.kill("n1")
    assert "not refuse" not in made.restart("n1", wait_s=20).effect
    assert not made.entry.write_stops
    assert made.ask("n1", "GET", SLOT_0) == "2"
    assert write(made) == "OK"


def test_what_takes_no_writes_anyway_cannot_be_made_to_refuse_them(lab: LabMaker) -> None:
    made = lab(1, 1)
    with pytest.raises(UsageFault, match="n2 owns no slots"):
        made.refuse_writes("n2", Refusal.OOM)
    made.refuse_writes("n1", Refusal.MISCONF)
    made.freeze("n1")
    with pytest.raises(UsageFault, match="n1 is frozen"):
        made.mend("n1")
    made.kill("n1")
    made.mend("n1")
    assert not made.entry.write_stops
    with pytest.raises(LabFault, match=r"n1 .* does not answer"):
        made.refuse_writes("n1", Refusal.OOM)
    made.down()


@every_server
def test_a_setting_of_one_node_is_its_own_until_it_is_mended_or_restarted(lab: LabMaker) -> None:
    made = lab()
    done = made.alter("n4", "cluster-replica-no-failover", "yes")
    assert (done.effect, done.undo) == (
        "cluster-replica-no-failover is yes, and was no",
        f"rcfail lab fault mend n4 --lab {made.name}",
    )
    made.wait(lambda: "failover-disabled" in health_of(made).codes, "health to see it")
    status = look_at(made.register, made.name)
    assert status.nodes[3].altered == ("cluster-replica-no-failover",)
    made.alter("n4", "cluster-replica-no-failover", "yes")
    made.mend("n4")
    assert made.ask("n4", "CONFIG", "GET", "cluster-replica-no-failover") == ("cluster-replica-no-failover", "no")
    made.alter("n4", "maxclients", "99")
    made.kill("n4")
    made.restart("n4", wait_s=20)
    assert not made.entry.altered
    assert made.ask("n4", "CONFIG", "GET", "maxclients") != ("maxclients", "99")
    made.wait(lambda: health_of(made).exit_code == OK, "health to find nothing")


def test_settings_that_cannot_be_had(lab: LabMaker) -> None:
    made = lab(1, 0)
    for option in ("port", "requirepass", "cluster-announce-ip", "TLS-PORT"):
        with pytest.raises(UsageFault, match="the lab needs"):
            made.alter("n1", option, "1")
    with pytest.raises(LabFault, match="it has no such setting"):
        made.alter("n1", "no-such-setting", "1")
    with pytest.raises(LabFault, match="refused CONFIG SET maxclients"):
        made.alter("n1", "maxclients", "many")
    assert not made.entry.altered
    made.refuse_writes("n1", Refusal.OOM)
    with pytest.raises(UsageFault, match="what makes it refuse writes"):
        made.alter("n1", "maxmemory", "0")
    made.alter("n1", "maxclients", "99")
    made.mend("n1")
    assert not made.entry.altered
    assert not made.entry.write_stops
