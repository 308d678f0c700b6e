"""The pages of one failover, whole, and the keys of its JSON."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rcfail.change.candidates import contenders
from rcfail.change.checks import Check, CheckVerdict
from rcfail.change.loss import Loss
from rcfail.change.mover import Judged
from rcfail.change.mover import judged as judged_by
from rcfail.change.request import Mode, Override, Request
from rcfail.change.run import Moment, StepOutcome, StepRun
from rcfail.change.told import Told, Turn
from rcfail.render.failover_answer import answer_page, consent_page, failover_data, intent_page
from rcfail.render.failover_page import checks_page
from rcfail.render.lines import plain
from tests.unit.golden import assert_golden
from tests.unit.judging import A1, A, seen_of, world_of

WIDTH = 80


def found(mode: Mode = Mode.GRACEFUL, *given: Override, replicas: int = 1) -> Judged:
    return judged_by(seen_of(world_of(replicas)), Request(A1, A, mode, frozenset(given)))


def told(turn: Turn, judged: Judged, run: StepRun | None = None) -> Told:
    return Told(turn, judged.seen.snapshot, A, judged, run=run)


def ran(outcome: StepOutcome, why: str = "", hint: str = "", *, ours: bool = True, loss: Loss | None = None) -> Told:
    judged = found()
    promoted = outcome in (StepOutcome.DONE, StepOutcome.INCOMPLETE)
    run = StepRun(
        step=judged.plan.steps[0],
        outcome=outcome,
        sent=True,
        reply="OK",
        verification=(
            Check("promoted", CheckVerdict.PASS, "it owns 5461 slots (0-5460) itself, in epoch 7")
            if promoted
            else Check("promoted", CheckVerdict.FAIL, "it is a replica, and owns 0 slots"),
        ),
        timeline=(Moment(4, "requested", "127.50.4.1:7003"),),
        new_primary=A1 if promoted else None,
        epoch_after=7 if promoted else None,
        why=why,
        hint=hint,
        ours=ours,
        loss=loss or Loss((0, 0)),
    )
    return told(Turn.RAN, judged, run)


PAGES = {
    "failover-allowed": told(Turn.ALLOWED, found()),
    "failover-refused": told(Turn.REFUSED, found(Mode.FORCE)),
    "failover-nothing": Told(Turn.NOTHING, found().seen.snapshot, A),
    "failover-done": ran(StepOutcome.DONE, loss=Loss((0, 0), 0, how="both ends were read")),
    "failover-done-by-itself": ran(StepOutcome.DONE, "it was elected without this command", ours=False),
    "failover-not-done": ran(
        StepOutcome.NOT_DONE, "127.50.1.1:7000 did not react: it did not answer", "See what is wrong with it."
    ),
    "failover-incomplete": ran(
        StepOutcome.INCOMPLETE, "it was promoted 60 s ago, and is not whole: 127.50.1.1:7000 has no link to it"
    ),
}


@pytest.mark.parametrize("name", PAGES)
def test_the_page_is_as_it_was_read(name: str) -> None:
    text = plain(answer_page(PAGES[name], WIDTH))
    assert all(len(line) <= WIDTH for line in text.splitlines())
    assert_golden(name, text)


def test_the_page_before_consent() -> None:
    judged = found(Mode.FORCE, Override.DATA_LOSS, replicas=2)
    others = contenders(judged.seen, judged.request)
    asked = replace(told(Turn.REFUSED, judged), others=others)
    assert_golden("failover-consent", plain(consent_page(asked, WIDTH)))
    assert "chosen out of 2 replicas" in " ".join(plain(intent_page(asked, WIDTH)).split())


DATA = {
    "result", "plan", "preflight", "outcomes", "verification", "timeline", "candidates", "at_risk_bytes", "canary",
}  # fmt: skip
CHECK = {"check", "verdict", "evidence", "override", "overridden"}
STEP = {
    "step", "kind", "mode", "target", "old_primary", "slots", "epoch", "command", "attempt_ms", "verify_ms",
}  # fmt: skip
OUTCOME = {
    "step", "outcome", "sent", "reply", "ours", "old_primary", "new_primary", "epoch_before", "epoch_after", "why",
    "retry_after_ms", "loss", "gap_ms",
}  # fmt: skip
LOSS = {"at_risk_bytes", "lost_bytes", "lost_bytes_at_least"}


@pytest.mark.parametrize("name", PAGES)
def test_its_json_has_its_keys_whatever_came_of_it(name: str) -> None:
    data = failover_data(PAGES[name])
    assert set(data) >= DATA
    assert all(set(each) >= CHECK for each in (*data["preflight"], *data["verification"]))
    assert all(set(each) >= OUTCOME and set(each["loss"]) >= LOSS for each in data["outcomes"])
    assert all(set(each) >= {"step", "at_ms", "event", "subject"} for each in data["timeline"])
    steps = data["plan"]["steps"] if data["plan"] else []
    assert all(set(each) >= STEP and set(each["target"]) >= {"id", "address"} for each in steps)


def test_another_promotion_than_ours_says_why() -> None:
    page = " ".join(plain(answer_page(PAGES["failover-done-by-itself"], WIDTH)).split())
    assert "it was elected without this command" in page


def test_what_is_on_its_way_is_no_warning() -> None:
    """On Redis the last views hear of the demotion seconds later, after each failover that went well."""
    coming = Check("settled", CheckVerdict.WARN, "1 of 6 views know the demotion so far", passes_soon=True)
    wrong = Check("state-ok", CheckVerdict.WARN, "cluster_state is fail for one")
    page = plain(checks_page((coming, wrong), 80, before=False))
    assert [row.split()[:2] for row in page.splitlines()] == [["SOON", "settled"], ["WARN", "state-ok"]]
