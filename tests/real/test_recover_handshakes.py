"""Nodes of real clusters that are met in vain, and two clusters that must not meet."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.real.conftest import LabMaker
from tests.real.mended import codes, nothing_left, planned, steps
from tests.real.operators import Operator
from tests.real.verdicts import health_of

every_server = pytest.mark.every_server
OK, REFUSED = 0, 10


@every_server
def test_one_that_is_met_and_never_answers_is_waited_for(lab: LabMaker, tmp_path: Path) -> None:
    one = lab(node_timeout_ms=8000)
    operator, nobody = Operator(one, tmp_path), f"{one.node('n1').host.rsplit('.', 1)[0]}.77"
    one.say("n1", "CLUSTER", "MEET", nobody, 7999)
    assert "node-handshake" in health_of(one).codes
    plan = planned(operator)
    assert (plan.code, codes(plan), steps(plan)) == (OK, ["handshake-loop"], ["wait"]), plan.document
    done = operator.ask("recover", "--yes")
    assert done.code == OK, done.document
    assert not any(each.handshake for each in one.view("n1").beliefs)
    nothing_left(operator)


def test_two_clusters_are_never_made_one(lab: LabMaker, tmp_path: Path) -> None:
    ours, theirs = lab(3, 0, node_timeout_ms=5000), lab(3, 0, node_timeout_ms=5000)
    operator = Operator(ours, tmp_path)
    plan = planned(operator, "--at", theirs.seeds)
    assert (plan.code, codes(plan)[-1:], steps(plan)) == (REFUSED, ["foreign-member"], []), plan.document
    # Also with something that could be mended here.
    ours.open_slot(100, to="n2")
    again = planned(operator, "--at", theirs.seeds)
    assert again.code == REFUSED
    assert operator.ask("recover", "--at", theirs.seeds, "--yes").code == REFUSED
    for lab_ in (ours, theirs):
        assert all(len(lab_.view(each).beliefs) == 3 for each in lab_.nodes)
    assert ours.belief("n1", "n1").migrating
