"""A layout saved from a real cluster, compared with it later, and brought back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.real.conftest import LabMaker
from tests.real.operators import Operator, leads, sends
from tests.real.test_drain import LONG_S, leaders, outcomes

every_server = pytest.mark.every_server
OK, WARNING, REFUSED, INCOMPLETE, USAGE = 0, 1, 10, 12, 64


@every_server
def test_only_what_differs_is_brought_back(lab: LabMaker, tmp_path: Path) -> None:
    one, file = lab(), str(tmp_path / "layout.json")
    operator = Operator(one, tmp_path)
    assert operator.run("layout", "save", file).returncode == OK
    same = operator.ask("layout", "diff", file)
    assert (same.code, {each["standing"] for each in same.data["differences"]}) == (OK, {"as-written"})

    new = one.replica_of("n2")
    assert operator.failover(new).code == OK
    other = operator.ask("layout", "diff", file)
    moved = [each for each in other.data["differences"] if each["standing"] == "moved"]
    assert (other.code, [each["primary"] for each in moved]) == (WARNING, [new.node_id])
    assert moved[0]["wanted"]["id"] == one.node("n2").node_id

    # A sum over all sends of this test: one to move it, one to bring it back.
    back = operator.ask("layout", "restore", file, "--yes", "--wait-cooldown", within_s=LONG_S)
    assert (back.code, outcomes(back)) == (OK, ["done"]), back
    assert leaders(one) == {"n1", "n2", "n3"}
    assert sum(sends(one).values()) == 2
    nothing = operator.ask("layout", "restore", file, "--yes")
    assert (nothing.code, nothing.data["result"]) == (OK, "nothing")


def test_who_is_dead_is_not_brought_back_and_the_rest_is(lab: LabMaker, tmp_path: Path) -> None:
    one, file = lab(primaries=5), str(tmp_path / "layout.json")
    operator = Operator(one, tmp_path)
    assert operator.run("layout", "save", file).returncode == OK
    for name in ("n1", "n2"):
        assert operator.failover(one.replica_of(name)).code == OK
        assert operator.run("wait", "settled", "--timeout", "60s").returncode == OK
    one.kill("n1")
    one.wait(lambda: all(one.belief(node, "n1").failed for node in one.nodes if node.name != "n1"), "n1 to be failed")
    dry = operator.ask("layout", "restore", file, "--dry-run")
    assert (dry.code, dry.data["result"]) == (INCOMPLETE, "allowed")
    back = operator.ask("layout", "restore", file, "--yes", "--wait-cooldown", within_s=LONG_S)
    assert (back.code, outcomes(back)) == (INCOMPLETE, ["done"]), back
    assert [each["wanted"] for each in back.data["stuck"]] == [one.node("n1").node_id]
    assert leads(one, "n2")
    alone = operator.ask("layout", "restore", file, "--yes")
    assert (alone.code, alone.data["outcomes"]) == (REFUSED, []), "nothing of it can be brought back now"


def test_what_cannot_be_read_or_written_is_said(lab: LabMaker, tmp_path: Path) -> None:
    one, other = lab(), lab()
    operator, file = Operator(one, tmp_path), tmp_path / "layout.json"
    unwritable = operator.ask("layout", "save", str(tmp_path / "no" / "such" / "folder.json"))
    assert (unwritable.code, unwritable.errors[0]["code"]) == (78, "config")
    missing = operator.ask("layout", "diff", str(file))
    assert (missing.code, "cannot be read" in missing.errors[0]["message"]) == (USAGE, True)
    file.write_text("{}")
    assert operator.ask("layout", "show", str(file)).code == USAGE
    assert Operator(other, tmp_path).run("layout", "save", str(file)).returncode == OK
    assert json.loads(file.read_text())["schema"] == "rcfail-layout/1"
    for words in (("diff", str(file)), ("restore", str(file), "--yes")):
        foreign = operator.ask("layout", *words)
        assert (foreign.code, "another cluster" in foreign.errors[0]["message"]) == (REFUSED, True)
    assert not sends(one)
