"""A saved plan comes back as it was, and nothing else passes for one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcfail.change.plan import Step
from rcfail.change.plan_file import PlanEdited, SavedPlan, plan_text, read_plan
from rcfail.change.request import Mode, Override, Request
from rcfail.cluster.nouns import NodeId
from rcfail.errors import UsageFault
from rcfail.exits import ExitCode

IDS = st.text("0123456789abcdef", min_size=40, max_size=40).map(NodeId)


@st.composite
def plans(draw: st.DrawFn) -> SavedPlan:
    request = Request(
        target=draw(IDS),
        primary=draw(IDS),
        mode=draw(st.sampled_from(Mode)),
        given=draw(st.frozensets(st.sampled_from(Override))),
        expected_primary=draw(st.none() | IDS),
        fenced=draw(st.frozensets(IDS, max_size=3)),
        max_lag_bytes=draw(st.none() | st.integers(0, 1 << 40)),
    )
    step = Step(1, request.target, request.primary, request.mode, ((0, 99), (200, 200)), 7, 5000, 7000)
    return SavedPlan(draw(st.integers(0, 1 << 44)), ("10.0.0.1:6379",), request, step, draw(st.text(max_size=20)))


@given(plans())
def test_what_was_saved_is_read(tmp_path_factory: pytest.TempPathFactory, plan: SavedPlan) -> None:
    file = tmp_path_factory.mktemp("plan") / "plan.json"
    file.write_text(plan_text(plan))
    assert read_plan(file) == plan


def saved(path: Path) -> Path:
    a, b = NodeId("a" * 40), NodeId("b" * 40)
    step = Step(1, a, b, Mode.GRACEFUL, ((0, 5460),), 7, 5000, 7000)
    path.write_text(plan_text(SavedPlan(1, ("10.0.0.1:6379",), Request(a, b), step)))
    return path


@pytest.mark.parametrize(
    ("key", "value"), [("mode", "takeover"), ("given", ["--allow-data-loss"]), ("primary", "c" * 40), ("fenced", ["x"])]
)
def test_an_edited_plan_is_refused(tmp_path: Path, key: str, value: object) -> None:
    file = saved(tmp_path / "plan.json")
    said = json.loads(file.read_text())
    said["request"][key] = value
    file.write_text(json.dumps(said))
    with pytest.raises(PlanEdited, match="edited") as caught:
        read_plan(file)
    assert caught.value.exit_code is ExitCode.REFUSED


def test_white_space_is_no_edit(tmp_path: Path) -> None:
    file = saved(tmp_path / "plan.json")
    plan = read_plan(file)
    file.write_text(json.dumps(json.loads(file.read_text())))
    assert read_plan(file) == plan


@pytest.mark.parametrize("text", ["", "{}", "[]", "no plan", '{"schema": "rcfail-plan/9"}', "[" * 100_000])
def test_what_is_no_plan_is_a_wrong_command_line(tmp_path: Path, text: str) -> None:
    file = tmp_path / "plan.json"
    file.write_text(text)
    with pytest.raises(UsageFault, match=r"no (whole )?plan"):
        read_plan(file)


def test_a_plan_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageFault, match="cannot be read"):
        read_plan(tmp_path / "gone.json")


def test_a_plan_with_a_right_sum_and_half_a_body(tmp_path: Path) -> None:
    """Whoever makes the sum himself still gets no traceback."""
    from hashlib import sha256

    body = {"schema": "rcfail-plan/1", "request": {"target": "a"}}
    total = sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    file = tmp_path / "plan.json"
    file.write_text(json.dumps({**body, "sum": total}))
    with pytest.raises(UsageFault, match="no whole plan"):
        read_plan(file)
