"""The pages of a recovery at eighty columns, its exit codes, and the keys of its JSON."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from rcfail.change.checks import Check, CheckVerdict
from rcfail.change.recover.action import Action, ActionKind, Losing, Send
from rcfail.change.recover.condition import Condition, ConditionCode
from rcfail.change.recover.conduct import ActionRun, Sent
from rcfail.change.recover.expect import Follows, Forgotten, InSync, KnownToAll
from rcfail.change.recover.recovery import Recovery
from rcfail.change.request import Override
from rcfail.change.run import StepOutcome
from rcfail.change.told import Turn
from rcfail.exits import ExitCode
from rcfail.render.lines import Line, plain
from rcfail.render.recovery_json import recovery_data
from rcfail.render.recovery_page import consent_page, recovery_page
from tests.unit.golden import assert_golden
from tests.unit.world import World, node_id

A, B, C1, D = map(node_id, ("a", "b", "c1", "d"))
WORLD = World.of(3, 1)
SNAPSHOT = WORLD.snapshot()
RECOVERY = {
    "result", "conditions", "plan", "preflight", "outcomes", "verification", "timeline", "left", "stopped", "unwell",
    "keys_lost", "record",
}  # fmt: skip
CONDITION = {
    "condition", "subject", "nodes", "evidence", "story", "findings", "steps", "advice", "choice", "doubt",
}  # fmt: skip
STEP = {"step", "kind", "condition", "about", "title", "sends", "within_ms", "loses"}
OUTCOME = {"step", "kind", "title", "outcome", "sent", "why", "hint", "took_ms"}


def send(letter: str, *command: str) -> Send:
    place = SNAPSHOT.nodes[node_id(letter)].endpoint
    assert place is not None
    return Send(node_id(letter), place, ("CLUSTER", *command))


MEET = Action(
    ActionKind.MEET,
    D,
    "introduce 127.50.1.1:9000 (d0000000)",
    (KnownToAll(D),),
    (send("a", "MEET", "127.50.1.1", "9000"),),
)
FOLLOW = Action(
    ActionKind.REPLICATE,
    D,
    "let it follow 127.50.3.1:7000 (cccccccc)",
    (Follows(D, node_id("c")), InSync(D)),
    (send("b", "REPLICATE", node_id("c")),),
    loses=(Losing(C1, 1200, 2),),
    within_ms=60_000,
)
FORGET = Action(
    ActionKind.FORGET,
    C1,
    "let all nodes forget c1000000",
    (Forgotten(C1),),
    tuple(send(each, "FORGET", C1) for each in ("a", "b", "c", "a1", "b1")),
    within_ms=75_000,
)
REPLACED = Condition(
    ConditionCode.NODE_REPLACED,
    (D, C1),
    "127.50.1.1:9000 (d0000000)",
    "an empty node with a new id answers where c1000000 was listed",
    "Its nodes.conf was lost. It joins, copies the shard, and the old id is forgotten.",
    (MEET, FOLLOW, FORGET),
    ("node-id-changed",),
)
CHOICE = Condition(
    ConditionCode.PRIMARY_RETURNED,
    (B,),
    "127.50.2.1:7000 (bbbbbbbb)",
    "it owns no slots and holds 42 keys that another node serves now",
    "It came back after a failover and did not become a replica.",
    (),
    ("primary-empty",),
    "Save what it holds, empty it, then: rcfail recover 127.50.2.1:7000",
    choice=True,
)
DOUBT = Condition(
    ConditionCode.LINK_DOWN,
    (C1,),
    "127.50.3.1:8002 (c1000000)",
    "its link is down",
    "Its log would say why.",
    (),
    (),
    "Look there: redis-cli -h 127.50.3.1 -p 8002 CONFIG GET logfile",
    doubt=(ConditionCode.NEVER_SYNCED,),
)
LOSS = replace(FOLLOW, loses=(Losing(C1, 1200, 0), Losing(B, None, 0)))
PASSED = Check("observer", CheckVerdict.PASS, "6 of 6 nodes answer this host")
NO = Check("data", CheckVerdict.FAIL, "the only copy of 1200 keys would be thrown away", Override.DATA_LOSS)


def ran(*outcomes: StepOutcome) -> tuple[ActionRun, ...]:
    whys = {StepOutcome.INCOMPLETE: "not so within 60 s: the link of d0000000 to its primary is down"}
    done = Check("forgotten", CheckVerdict.PASS, "no node lists node c1000000")
    return tuple(
        ActionRun(
            at, act, outcome, tuple(Sent(each, "OK", True, False) for each in act.sends),
            (done,) if outcome is StepOutcome.DONE else (), (), whys.get(outcome, ""), took_ms=700 * at,
        )
        for at, (act, outcome) in enumerate(zip(REPLACED.actions, outcomes, strict=False), 1)
    )  # fmt: skip


D3 = (StepOutcome.DONE,) * 3
PAGES = {
    "nothing": Recovery(Turn.NOTHING, SNAPSHOT, ()),
    "unwell": Recovery(Turn.NOTHING, SNAPSHOT, (), unwell="node-frozen 127.50.1.1:7000"),
    "allowed": Recovery(Turn.ALLOWED, SNAPSHOT, (REPLACED, CHOICE), (PASSED,)),
    "refused": Recovery(Turn.REFUSED, SNAPSHOT, (replace(REPLACED, actions=(LOSS,)),), (PASSED, NO)),
    "choice": Recovery(Turn.REFUSED, SNAPSHOT, (CHOICE,)),
    "doubt": Recovery(Turn.REFUSED, SNAPSHOT, (DOUBT, CHOICE)),
    "done": Recovery(Turn.RAN, SNAPSHOT, (REPLACED,), (PASSED,), ran(*D3), record="/state/recover-1.json.gz"),
    "left": Recovery(Turn.RAN, SNAPSHOT, (REPLACED, CHOICE), (PASSED,), ran(*D3), (CHOICE,), record="/state/r.gz"),
    "incomplete": Recovery(
        Turn.RAN, SNAPSHOT, (REPLACED,), (PASSED,), ran(StepOutcome.DONE, StepOutcome.INCOMPLETE),
        (replace(REPLACED, actions=(FOLLOW, FORGET)),), record="/state/recover-1.json.gz",
    ),
    "stray": Recovery(Turn.RAN, SNAPSHOT, (REPLACED,), (PASSED,), (), (REPLACED,), "the cluster changed"),
}  # fmt: skip
CODES = {
    "nothing": ExitCode.OK,
    "unwell": ExitCode.REFUSED,
    "allowed": ExitCode.OK,
    "refused": ExitCode.REFUSED,
    "choice": ExitCode.REFUSED,
    "doubt": ExitCode.UNKNOWN,
    "done": ExitCode.OK,
    "left": ExitCode.INCOMPLETE,
    "incomplete": ExitCode.INCOMPLETE,
    "stray": ExitCode.REFUSED,
}


def rows(page: Iterable[Line]) -> str:
    text = plain(page)
    assert max(map(len, text.splitlines())) <= 80
    return text


@pytest.mark.parametrize("name", PAGES)
def test_a_page_of_a_recovery(name: str) -> None:
    assert PAGES[name].exit_code is CODES[name]
    assert_golden(f"recovery-{name}", rows(recovery_page(PAGES[name], 80)))


def test_the_question_before_a_recovery_says_what_is_lost() -> None:
    assert_golden("recovery-consent", rows(consent_page(PAGES["refused"], 80)))


@pytest.mark.parametrize("name", PAGES)
def test_the_json_of_a_recovery_has_its_keys(name: str) -> None:
    data = recovery_data(PAGES[name])
    assert data.keys() == RECOVERY
    assert all(each.keys() == CONDITION for each in (*data["conditions"], *data["left"]))
    assert all(each.keys() == STEP for each in (data["plan"] or {"steps": ()})["steps"])
    assert all(each.keys() == OUTCOME for each in data["outcomes"])


def test_what_failed_first_and_changed_nothing_keeps_its_own_code() -> None:
    for outcome, code in ((StepOutcome.NOT_DONE, ExitCode.NOT_DONE), (StepOutcome.REFUSED, ExitCode.REFUSED)):
        [run] = ran(outcome)
        alone = replace(PAGES["done"], runs=(replace(run, sent=()),))
        assert alone.exit_code is code
    [unseen] = ran(StepOutcome.INDETERMINATE)
    assert replace(PAGES["done"], runs=(*ran(StepOutcome.DONE), unseen)).exit_code is ExitCode.INDETERMINATE


def test_a_step_that_became_needless_is_not_called_undone() -> None:
    told = Recovery(Turn.RAN, SNAPSHOT, (REPLACED, CHOICE), (PASSED,), ran(*D3[:2]), (CHOICE,))
    page = rows(recovery_page(told, 80))
    assert "2 of 3 steps done, 1 came by itself" in page
    assert "BY ITSELF  let all nodes forget c1000000" in page
    stopped = rows(recovery_page(replace(told, stopped="interrupted"), 80))
    assert "NOT BEGUN  let all nodes forget c1000000" in stopped
    assert "by itself" not in stopped


def test_a_step_whose_condition_is_still_there_did_not_come_by_itself() -> None:
    """Who was to be forgotten came back while the question was asked: he is refused now, and nothing was done."""
    (condition,) = PAGES["allowed"].conditions[:1]
    still = replace(condition, actions=(), advice="Stop its process")
    page = rows(recovery_page(Recovery(Turn.RAN, SNAPSHOT, (condition,), (PASSED,), (), (still,)), 80))
    assert "NOT BEGUN" in page
    assert "BY ITSELF" not in page
    assert "by itself" not in page.splitlines()[0]
