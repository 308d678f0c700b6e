"""The faults as they are typed: each command line reaches its fault, and answers as JSON with how to undo it."""

from __future__ import annotations

import json
from typing import Any

from rcfail.practice.lab.processes import ProcessState
from rcfail.practice.lab.status import look_at
from tests.real.conftest import LabMaker
from tests.real.servers import RunningLab


def fault(lab: RunningLab, *words: str, code: int = 0) -> dict[str, Any]:
    """The document of `rcfail lab fault WORDS`; its undo, if it has one, without the name of the lab."""
    ran = lab.rcfail("lab", "fault", *words, "--lab", lab.name, "-o", "json")
    assert ran.returncode == code, ran
    document: dict[str, Any] = json.loads(ran.stdout)
    assert document["command"] == f"lab fault {words[0]}"
    data: dict[str, Any] = document["data"] or {}
    if data.get("undo"):
        assert data["undo"].endswith(f" --lab {lab.name}")
        data["undo"] = data["undo"].removesuffix(f" --lab {lab.name}").removeprefix("rcfail lab fault ")
    return {**document, **data}


def test_what_is_told_to_a_primary_is_told_and_taken_back(lab: LabMaker) -> None:
    made = lab(3, 0)
    n1 = made.node("n1")
    for name in ("oom", "misconf", "noreplicas"):
        done = fault(made, name, "n1")
        assert (done["fault"], done["node"], done["address"], done["undo"]) == (name, "n1", str(n1.endpoint), "mend n1")
        assert look_at(made.register, made.name).nodes[0].refuses == (name,)
        assert fault(made, *done["undo"].split())["undo"] is None
    assert fault(made, "config", "n1", "maxclients", "99")["undo"] == "mend n1"
    assert made.ask("n1", "CONFIG", "GET", "maxclients") == ("maxclients", "99")
    fault(made, "mend", "n1")
    assert fault(made, "mend", "n1", code=64)["errors"][0]["code"] == "usage"


def test_slots_and_resets_are_typed(lab: LabMaker) -> None:
    made = lab(3, 0)
    undo = fault(made, "delslots", "7-9", "--on", "n1")["undo"]
    assert undo == "addslots 7-9 --on n1"
    assert made.belief("n1", "n1").slots == ((0, 6), (10, 5460))
    fault(made, *undo.split())
    assert made.belief("n1", "n1").slots == ((0, 5460),)
    assert fault(made, "delslots", "many", "--on", "n1", code=64)["errors"][0]["hint"]
    assert made.say("n1", "SET", "{06S}key", "value") == "OK"  # slot 0
    refused = fault(made, "reset", "n1", "--hard", code=70)
    assert f"rcfail lab fault reset n1 --hard --flush --lab {made.name}" in refused["errors"][0]["hint"]
    old = made.node("n1").node_id
    fault(made, "reset", "n1", "--hard", "--flush")
    assert made.node("n1").node_id != old
    fault(made, "reset", "n2")
    assert len(made.view("n2").beliefs) == 1


def test_ways_to_come_back_are_typed(lab: LabMaker) -> None:
    made = lab(3, 0, node_timeout_ms=5000)
    old = {node.name: node for node in made.nodes}
    assert fault(made, "restart", "n1", code=64)["errors"][0]["hint"].startswith(
        "End it with: rcfail lab fault kill n1"
    )
    made.kill("n1", "n2", "n3")
    assert fault(made, "restart", "n1", "--new-address", "--new-port")["address"] == str(made.node("n1").endpoint)
    assert made.node("n1").host != old["n1"].host
    assert made.node("n1").port != old["n1"].port
    fault(made, "restart", "n2", "--wipe")
    assert made.node("n2").node_id != old["n2"].node_id
    assert fault(made, "restart", "n3", "--wipe", "--wait", "5s", code=64)["errors"]
    assert look_at(made.register, made.name).nodes[2].process is ProcessState.ENDED
