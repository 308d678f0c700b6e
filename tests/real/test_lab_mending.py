"""A lab that was broken in many ways is made whole with one command."""

from __future__ import annotations

import json

import pytest

from rcfail.errors import OutOfTime
from rcfail.practice.lab.damage import Refusal
from rcfail.practice.lab.network import can_filter
from rcfail.practice.lab.status import look_at
from tests.real.conftest import LabMaker
from tests.real.verdicts import health_of

GENEROUS_S = 60.0


@pytest.mark.every_server
def test_all_that_can_be_undone_is_undone(lab: LabMaker) -> None:
    made = lab(3, 1, node_timeout_ms=2000)
    made.open_slot(77)
    made.refuse_writes("n2", Refusal.MISCONF)
    made.refuse_writes("n3", Refusal.NOREPLICAS)
    made.break_replication("n4")
    made.cut_bus("n5", one_way=True)
    if can_filter():
        made.partition("n6", "n5")
    made.freeze("n5")
    made.kill("n6")
    assert not look_at(made.register, made.name).whole
    mended = made.mend_all(GENEROUS_S)
    begun = [said.split(":")[0] for said in mended.done]
    healed = ["no packet is dropped between the sides any more"] if can_filter() else []
    undone = ["thaw n5", "restart n6", "mend n2", "mend n3", "mend n5", "mend-replication n4", "close-slot n1"]
    assert (begun, mended.lacks) == ([*healed, *undone], ())
    assert look_at(made.register, made.name).whole
    made.wait(lambda: not health_of(made).codes, "health to find nothing", GENEROUS_S)
    assert made.mend_all().done == ()


def test_what_a_node_forgot_is_not_made_up(lab: LabMaker) -> None:
    made = lab(3, 0)
    made.del_slots("100", on="n1")
    with pytest.raises(OutOfTime, match="all is undone that can be") as caught:
        made.mend_all(1)
    assert "forgot" in caught.value.hint


def test_mending_on_the_command_line(lab: LabMaker) -> None:
    made = lab(1, 1)
    words = ("lab", "fault", "mend", "--lab", made.name)
    assert "nothing in the lab" in made.rcfail(*words, "--all").stdout
    made.kill("n2")
    ran = made.rcfail(*words, "--all", "--wait", f"{GENEROUS_S:g}s", "-o", "json")
    data = json.loads(ran.stdout)["data"]
    assert (ran.returncode, len(data["done"]), data["lacks"]) == (0, 1, [])
    assert data["done"][0].startswith("restart n2: process ")
    for wrong in ((), ("n1", "--all"), ("n1", "--wait", "5s")):
        assert made.rcfail(*words, *wrong).returncode == 64
