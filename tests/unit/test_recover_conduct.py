"""One action of a recovery: each command is sent once, and what came of it is what the nodes say, not the reply."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcfail.change.audit import AuditUnwritable
from rcfail.change.checks import Check, CheckVerdict
from rcfail.change.recover.action import Action, ActionKind, Losing, Send
from rcfail.change.recover.conduct import ActionRun, carry_out
from rcfail.change.run import Moment, StepOutcome
from rcfail.change.sender import Means
from rcfail.cluster.nouns import Endpoint, NodeId
from rcfail.cluster.snapshot import Snapshot
from rcfail.errors import CannotSee
from rcfail.wire.refusals import Refusal, RefusalKind
from tests.unit.scripted import ScriptedClock
from tests.unit.world import World, node_id

NODES = tuple(map(node_id, ("a", "b", "c")))
WORLD = World.of(3, 1).snapshot()
FORGET = ("CLUSTER", "FORGET", node_id("c1"))


@dataclass(frozen=True)
class Is:
    """An expectation that says what a function of the look's number says."""

    verdict: CheckVerdict

    def check(self, _: Snapshot) -> Check:
        return Check("is", self.verdict, "so" if self.verdict is CheckVerdict.PASS else "not so yet")


@dataclass
class Late:
    """Holds from the nth look on, but for the looks that are named."""

    looks: list[int]
    since: int
    lapses: frozenset[int] = frozenset()

    def check(self, _: Snapshot) -> Check:
        holds = self.looks[0] >= self.since and self.looks[0] not in self.lapses
        return Check("late", CheckVerdict.PASS if holds else CheckVerdict.FAIL, f"look {self.looks[0]}")


@dataclass
class Stage:
    """Everything around an action. `replies` are given in turn, OK after them."""

    replies: list[Any] = field(default_factory=list)
    locked: bool = True
    writable: int = 99
    blind: bool = False
    said: list[tuple[NodeId, tuple[str, ...]]] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    looks: list[int] = field(default_factory=lambda: [0])
    interrupt_at: str = ""
    clock: ScriptedClock = field(default_factory=ScriptedClock)
    path = None
    local_alone = ""
    unread: bool = False
    lost = "the lock was broken by another rcfail"

    def say(self, _: object, command: tuple[str, ...], *, expect_id: NodeId, deadline: object) -> object:
        assert deadline is not None
        self.said.append((expect_id, command))
        self.log.append("say")
        return self.replies.pop(0) if self.replies else "OK"

    def before(self, **_: object) -> None:
        self.log.append("before")
        self.writable -= 1
        if self.writable < 0:
            raise AuditUnwritable("the audit is full", "Name another file.")

    def after(self, **_: object) -> None:
        self.log.append("after")

    def verified(self, **facts: object) -> None:
        self.log.append(f"verified {facts['outcome']}")

    def still_held(self) -> bool:
        return self.locked

    def look(self) -> Snapshot:
        self.looks[0] += 1
        if self.blind:
            raise CannotSee("nobody answers")
        return WORLD

    def witness(self, moment: Moment) -> None:
        if moment.event == self.interrupt_at:
            raise KeyboardInterrupt


def act(stage: Stage, action: Action, start: Callable[[Action], str] | None = None) -> ActionRun:
    anyone = cast(Any, stage)
    means = Means(anyone, anyone, anyone, stage.look, stage.witness, stage.clock)
    return carry_out(means, WORLD, action, 1, start or (lambda _: "no"))


def action(kind: ActionKind = ActionKind.REPLICATE, *expects: Any, sends: int = 1, **more: Any) -> Action:
    out = tuple(Send(each, Endpoint("127.0.0.1", 7000 + at), FORGET) for at, each in enumerate(NODES[:sends]))
    return Action(kind, NODES[0], "do it", expects or (Is(CheckVerdict.PASS),), out, **more)


def test_a_line_before_and_after_each_send_and_two_looks_in_a_row() -> None:
    stage = Stage()
    run = act(stage, action(sends=2))
    assert run.outcome is StepOutcome.DONE
    assert stage.log == ["before", "say", "after", "before", "say", "after", "verified done"]
    assert stage.looks == [2]


def test_one_look_that_says_no_between_makes_it_begin_again() -> None:
    stage = Stage()
    run = act(stage, action(ActionKind.MEET, Late(stage.looks, 3, frozenset({4}))))
    assert run.outcome is StepOutcome.DONE
    assert stage.looks == [6]
    assert len(stage.said) == 1


@pytest.mark.parametrize("verdict", [CheckVerdict.FAIL, CheckVerdict.UNKNOWN])
def test_a_guard_that_does_not_hold_sends_nothing(verdict: CheckVerdict) -> None:
    stage = Stage()
    run = act(stage, action(guards=(Is(CheckVerdict.PASS), Is(verdict))))
    assert (run.outcome, stage.said, stage.log) == (StepOutcome.REFUSED, [], [])
    assert "not so yet" in run.why


def test_without_lock_or_audit_nothing_is_sent() -> None:
    for stage in (Stage(locked=False), Stage(writable=0)):
        run = act(stage, action())
        assert (run.outcome, stage.said) == (StepOutcome.REFUSED, [])
        assert not run.acted


def test_a_server_that_says_no_ends_a_sequence() -> None:
    stage = Stage(replies=["OK", Refusal(RefusalKind.ERROR, "ERR not that"), "OK"])
    run = act(stage, action(ActionKind.SETSLOT, Is(CheckVerdict.FAIL), sends=3))
    assert len(stage.said) == 2
    assert run.outcome is StepOutcome.INCOMPLETE  # the first one was taken


def test_a_refused_command_that_was_the_only_one_is_not_done() -> None:
    run = act(
        Stage(replies=[Refusal(RefusalKind.ERROR, "ERR not that")]), action(ActionKind.MEET, Is(CheckVerdict.FAIL))
    )
    assert run.outcome is StepOutcome.NOT_DONE
    assert "ERR not that" in run.why
    assert not run.acted


def test_forgetting_goes_on_where_one_node_says_no() -> None:
    """A half is worse: the others would tell the forgetful of it again."""
    stage = Stage(replies=[Refusal(RefusalKind.ERROR, "ERR Unknown node"), Refusal(RefusalKind.NO_ANSWER, "refused")])
    run = act(stage, action(ActionKind.FORGET, sends=3))
    assert len(stage.said) == 3
    assert run.outcome is StepOutcome.DONE  # every view shows it, whatever was said


def test_what_was_said_no_to_and_is_so_all_the_same_is_done() -> None:
    stage = Stage(replies=[Refusal(RefusalKind.ERROR, "ERR I can only replicate a master")])
    assert act(stage, action()).outcome is StepOutcome.DONE


def test_an_answer_that_does_not_come_is_neither_yes_nor_no() -> None:
    stage = Stage(replies=[Refusal(RefusalKind.SENT_NO_ANSWER, "closed")])
    assert act(stage, action(ActionKind.RESET, Is(CheckVerdict.FAIL))).outcome is StepOutcome.INDETERMINATE
    assert len(stage.said) == 1
    stage = Stage(replies=[Refusal(RefusalKind.SENT_NO_ANSWER, "closed")])
    assert act(stage, action(ActionKind.RESET)).outcome is StepOutcome.DONE


def test_a_blind_observer_never_calls_it_done() -> None:
    run = act(Stage(blind=True), action())
    assert run.outcome is StepOutcome.INCOMPLETE
    assert "cannot be seen" in run.why


def test_ctrl_c_after_the_send_looks_once_more() -> None:
    stage = Stage(interrupt_at="sent")
    assert act(stage, action()).outcome is StepOutcome.DONE
    stage = Stage(interrupt_at="sent")
    run = act(stage, action(ActionKind.MEET, Is(CheckVerdict.FAIL)))
    assert run.outcome is StepOutcome.INDETERMINATE
    assert len(stage.said) == 1


def test_ctrl_c_while_nothing_was_sent_passes_through() -> None:
    stage = Stage(interrupt_at="waiting")
    with pytest.raises(KeyboardInterrupt):
        act(stage, action(ActionKind.WAIT, Is(CheckVerdict.FAIL), sends=0))


@pytest.mark.parametrize(("unread", "loses", "starts"), [(True, 0, True), (False, 0, False), (True, 1, False)])
def test_a_lock_that_cannot_be_read_holds_up_no_start(unread: bool, loses: int, starts: bool) -> None:
    """Its keys are in slots that are out; another's value in them, and a start that loses data, are another matter."""
    stage, ran = Stage(locked=False, unread=unread), list[Action]()

    def start(each: Action) -> str:
        ran.append(each)
        return ""

    run = act(stage, action(ActionKind.START, sends=0, loses=(Losing(NODES[0], 9, 0),) * loses), start)
    assert (len(ran), run.outcome is StepOutcome.DONE) == (starts, starts)
    assert act(Stage(locked=False, unread=unread), action()).outcome is StepOutcome.REFUSED


def test_a_command_of_the_operator_that_fails_is_not_waited_for() -> None:
    stage = Stage()
    run = act(stage, action(ActionKind.START, sends=0), lambda _: "the command ended with exit code 3")
    assert (run.outcome, run.why) == (StepOutcome.NOT_DONE, "the command ended with exit code 3")
    assert stage.looks == [0]
    assert stage.log == ["before", "after", "verified not_done"]


def test_a_command_of_the_operator_does_not_run_where_the_audit_cannot_tell_of_it() -> None:
    stage, ran = Stage(writable=0), list[Action]()

    def start(each: Action) -> str:
        ran.append(each)
        return ""

    run = act(stage, action(ActionKind.START, sends=0), start)
    assert (run.outcome, ran) == (StepOutcome.REFUSED, [])
    assert "the audit is full" in run.why


@given(
    st.lists(st.sampled_from(["OK", *(Refusal(each, "x") for each in RefusalKind)]), max_size=3),
    st.sampled_from(CheckVerdict),
    st.sampled_from([each for each in ActionKind if each is not ActionKind.START]),
)
def test_nothing_is_ever_sent_twice_nor_called_done_without_being_so(
    replies: list[Any], verdict: CheckVerdict, kind: ActionKind
) -> None:
    stage = Stage(replies=list(replies))
    run = act(stage, action(kind, Is(verdict), sends=3))
    assert len(set(stage.said)) == len(stage.said)
    assert (run.outcome is StepOutcome.DONE) <= (verdict is CheckVerdict.PASS)
    assert run.acted == any(each.left and not each.refused for each in run.sent)
