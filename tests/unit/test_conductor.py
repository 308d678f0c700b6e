"""The one send of a failover: never when anything says no, never twice, and never without an answer after it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rcfail.change import conductor
from rcfail.change.after.follow import Followed
from rcfail.change.audit import AuditUnwritable
from rcfail.change.conductor import carry_out
from rcfail.change.loss import NO_LOSS, Loss
from rcfail.change.plan import Step, plan_failover
from rcfail.change.request import Mode, Request
from rcfail.change.run import StepOutcome, StepRun
from rcfail.change.sender import NOT_SENT, Means
from rcfail.cluster.nouns import NodeId
from rcfail.cluster.snapshot import Snapshot
from rcfail.errors import CannotSee
from rcfail.wire.refusals import Refusal, RefusalKind
from tests.unit.scripted import ScriptedClock
from tests.unit.world import World, node_id

A, A1 = node_id("a"), node_id("a1")
DONE = Followed(StepOutcome.DONE, new_primary=A1)


@dataclass
class Stage:
    """Everything around a send, as a test wants it. `said` are the commands that left; `log` what happened in order."""

    reply: Any = "OK"
    now: Callable[[], Snapshot] = lambda: World.of(3, 1).snapshot()
    locked: bool = True
    writable: bool = True
    interrupts: frozenset[str] = frozenset()
    followed: Followed = DONE
    looked: Followed = DONE
    said: list[tuple[NodeId, tuple[str, ...]]] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    heard: list[Any] = field(default_factory=list)

    def at(self, moment: str) -> None:
        self.log.append(moment)
        if moment in self.interrupts:
            raise KeyboardInterrupt

    # The door

    def say(self, _: object, command: tuple[str, ...], *, expect_id: NodeId, deadline: object) -> object:
        assert deadline is not None
        self.said.append((expect_id, command))
        self.log.append("say")
        return self.reply

    # The audit

    path = None

    def before(self, **_: object) -> None:
        self.log.append("before")
        if not self.writable:
            raise AuditUnwritable("the audit is full", "Name another file.")

    def after(self, **_: object) -> None:
        self.log.append("after")

    def verified(self, **facts: object) -> None:
        self.at(f"verified {facts['outcome']}")

    # The lock

    local_alone = ""
    lost = "the lock was broken by another rcfail"

    def still_held(self) -> bool:
        self.at("lock")
        return self.locked

    # The follower and the sampler

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def prepare(self) -> None:
        self.at("prepare")

    def follow(self, _: float, reply: object) -> Followed:
        self.heard.append(reply)
        self.at("follow")
        return self.followed

    def look_now(self, _: float) -> Followed:
        self.at("look_now")
        return self.looked

    def loss(self, risk: tuple[int, int] | None) -> Loss:
        self.at("loss")
        return Loss(risk)

    def look(self) -> Snapshot:
        self.at("look")
        return self.now()


def step_of(snapshot: Snapshot, mode: Mode = Mode.GRACEFUL) -> Step:
    return plan_failover(snapshot, Request(A1, A, mode)).steps[0]


def play(stage: Stage, monkeypatch: pytest.MonkeyPatch, mode: Mode = Mode.GRACEFUL) -> StepRun:
    anyone = cast(Any, stage)
    monkeypatch.setattr(conductor, "Follower", lambda *_, **__: anyone)
    monkeypatch.setattr(conductor, "Sampler", lambda *_, **__: anyone)
    means = Means(anyone, anyone, anyone, stage.look, lambda _: None, ScriptedClock())
    snapshot = World.of(3, 1).snapshot()
    return carry_out(means, snapshot, step_of(snapshot, mode), (0, 7))


def test_sent_once_between_two_lines_of_the_audit(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage()
    run = play(stage, monkeypatch)
    assert stage.said == [(A1, ("CLUSTER", "FAILOVER"))]
    assert stage.log == [
        "prepare",
        "look",
        "lock",
        "before",
        "say",
        "after",
        "follow",
        "loss",
        "verified done",
    ]
    assert (run.outcome, run.sent, run.reply, run.new_primary) == (StepOutcome.DONE, True, "OK", A1)
    assert run.loss == Loss((0, 7))


def moved() -> Snapshot:
    """Somebody else was faster: the target is primary."""
    world = World.of(3, 1)
    world["a1"].primary, world["a"].primary = None, A1
    world["a1"].slots, world["a"].slots = world["a"].slots, ()
    world["a1"].epoch = 9
    return world.snapshot()


def elected() -> Snapshot:
    """Somebody stood for election in another shard."""
    world = World.of(3, 1)
    world["c"].epoch = 99
    return world.snapshot()


def blind() -> Snapshot:
    raise CannotSee("nobody answers")


@pytest.mark.parametrize("now", [moved, elected, blind])
def test_a_world_that_is_another_one_gets_nothing(monkeypatch: pytest.MonkeyPatch, now: Callable[[], Snapshot]) -> None:
    stage = Stage(now=now)
    run = play(stage, monkeypatch)
    assert (run.outcome, run.sent, stage.said) == (StepOutcome.REFUSED, False, [])
    assert run.why.startswith("nothing was sent: ")
    assert "before" not in stage.log, "what is not sent is not announced"


def test_a_lock_that_is_lost_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(locked=False)
    run = play(stage, monkeypatch)
    assert (run.outcome, stage.said) == (StepOutcome.REFUSED, [])
    assert stage.lost in run.why


def test_without_its_line_in_the_audit_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(writable=False)
    run = play(stage, monkeypatch)
    assert (run.outcome, run.sent, stage.said) == (StepOutcome.REFUSED, False, [])
    assert run.hint == "Name another file."


@pytest.mark.parametrize("kind", [RefusalKind.NO_ANSWER, RefusalKind.WRONG_NODE])
def test_what_did_not_leave_was_refused(monkeypatch: pytest.MonkeyPatch, kind: RefusalKind) -> None:
    stage = Stage(reply=Refusal(kind, "another node answers there"))
    run = play(stage, monkeypatch)
    assert (run.outcome, run.sent, run.reply) == (StepOutcome.REFUSED, False, None)
    assert "follow" not in stage.log
    assert "another node answers there" in run.why


def test_what_left_without_an_answer_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    reply = Refusal(RefusalKind.SENT_NO_ANSWER, "")
    stage = Stage(reply=reply)
    run = play(stage, monkeypatch)
    assert (run.outcome, run.sent, run.reply, stage.heard) == (StepOutcome.DONE, True, None, [reply])


def test_an_error_reply_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "ERR Master is down or failed, please use CLUSTER FAILOVER FORCE"
    refused = Followed(StepOutcome.NOT_DONE, why="it refused")
    run = play(Stage(reply=Refusal(RefusalKind.ERROR, text), followed=refused), monkeypatch)
    assert (run.outcome, run.sent, run.reply) == (StepOutcome.NOT_DONE, True, text)


@pytest.mark.parametrize("moment", ["prepare", "look", "lock"])
def test_interrupted_before_the_send_is_interrupted(monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    stage = Stage(interrupts=frozenset({moment}))
    with pytest.raises(KeyboardInterrupt):
        play(stage, monkeypatch)
    assert stage.said == []


def test_interrupted_after_the_send_it_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(interrupts=frozenset({"follow"}))
    run = play(stage, monkeypatch)
    assert (run.outcome, stage.log[-4:]) == (StepOutcome.DONE, ["follow", "look_now", "loss", "verified done"])


def test_interrupted_again_it_cannot_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(interrupts=frozenset({"follow", "look_now"}))
    run = play(stage, monkeypatch)
    assert (run.outcome, run.sent) == (StepOutcome.INDETERMINATE, True)


def test_what_the_servers_still_try_is_not_called_not_done(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(interrupts=frozenset({"follow"}), looked=Followed(StepOutcome.NOT_DONE))
    assert play(stage, monkeypatch).outcome is StepOutcome.INDETERMINATE


def test_interrupted_at_the_count_of_the_loss_the_outcome_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    run = play(Stage(interrupts=frozenset({"loss"})), monkeypatch)
    assert (run.outcome, run.sent, run.loss.lost_bytes) == (StepOutcome.DONE, True, NO_LOSS.lost_bytes)


def test_interrupted_at_the_last_line_of_the_audit_the_outcome_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    run = play(Stage(interrupts=frozenset({"verified done"})), monkeypatch)
    assert (run.outcome, run.sent) == (StepOutcome.DONE, True)


REPLIES = st.sampled_from(("OK", *(Refusal(kind, "") for kind in RefusalKind)))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(
    reply=REPLIES,
    now=st.sampled_from([moved, elected, blind, lambda: World.of(3, 1).snapshot()]),
    locked=st.booleans(),
    writable=st.booleans(),
    interrupts=st.frozensets(
        st.sampled_from(["prepare", "look", "lock", "follow", "look_now", "loss", "verified done"])
    ),
    mode=st.sampled_from(Mode),
)
def test_whatever_happens_it_is_said_once_at_most(
    monkeypatch: pytest.MonkeyPatch,
    reply: object,
    now: Callable[[], Snapshot],
    locked: bool,
    writable: bool,
    interrupts: frozenset[str],
    mode: Mode,
) -> None:
    stage = Stage(reply=reply, now=now, locked=locked, writable=writable, interrupts=interrupts)
    try:
        run = play(stage, monkeypatch, mode)
    except KeyboardInterrupt:
        run = None
    fit = locked and writable and now not in (moved, elected, blind)
    assert len(stage.said) <= 1
    if not fit:
        assert stage.said == []
    left = bool(stage.said) and not (isinstance(reply, Refusal) and reply.kind in NOT_SENT)
    if left:
        assert run is not None, "after a send there is an answer"
        assert run.sent
    elif run is not None:
        assert (run.outcome, run.sent) == (StepOutcome.REFUSED, False)
