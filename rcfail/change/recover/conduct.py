"""One action, carried out: guards, lock, audit, each command sent once, and its effect awaited in every view."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from rcfail.change.checks import Check, CheckVerdict, refusing
from rcfail.change.recover.action import Action, ActionKind, Expectation, Send
from rcfail.change.run import Moment, StepOutcome
from rcfail.change.sender import Means, Spoken, audited, locked, say_once, unsent
from rcfail.clock import Clock, Deadline, poll
from rcfail.cluster.snapshot import Node, Snapshot
from rcfail.errors import CannotSee, OutOfTime
from rcfail.health.wording import duration, listing

_EVERY_S = 0.25
_AGAIN_MS = 5_000
"""What is waited for is told anew so often while nothing but its figures change."""
_REFUSED_MS = 3_000
"""What a server refused may be so already, or come from elsewhere: so long it is looked for."""


@dataclass(frozen=True, slots=True)
class Sent:
    """One command that was tried. `reply` is what the server said, None without an answer; `left`: it may have been
    carried out."""

    send: Send
    reply: str | None
    left: bool
    refused: bool


@dataclass(frozen=True, slots=True)
class ActionRun:
    """What was done for one action, and what was seen of it. `why` says in a clause why it is not done."""

    number: int
    action: Action
    outcome: StepOutcome
    sent: tuple[Sent, ...] = ()
    verification: tuple[Check, ...] = ()
    timeline: tuple[Moment, ...] = ()
    why: str = ""
    hint: str = ""
    took_ms: int = 0

    @property
    def acted(self) -> bool:
        """Something was changed, as far as anybody can tell."""
        return any(each.left and not each.refused for each in self.sent)


@dataclass(slots=True)
class _Course:
    """How far an action has come, also where it is cut off."""

    clock: Clock
    witness: Callable[[Moment], None]
    began_s: float
    sent: list[Sent] = field(default_factory=list)
    moments: list[Moment] = field(default_factory=list)
    checks: tuple[Check, ...] = ()
    started: bool = False

    @property
    def took_ms(self) -> int:
        return round((self.clock.monotonic_s() - self.began_s) * 1000)

    def see(self, event: str, subject: str) -> None:
        """A moment, unless it is the last one again; where only figures differ it is told now and then."""
        last = self.moments[-1] if self.moments else Moment(0, "", "")
        if (last.event, last.subject) == (event, subject):
            return
        if last.event == event and _shape(last.subject) == _shape(subject) and self.took_ms - last.at_ms < _AGAIN_MS:
            return
        self.moments.append(Moment(self.took_ms, event, subject))
        self.witness(self.moments[-1])


def _shape(text: str) -> str:
    """The text without its figures: ids and addresses stay, for they stand in words with other characters."""
    return " ".join("#" if word.strip("%,.s").isdecimal() else word for word in text.split(" "))


def carry_out(
    means: Means,
    snapshot: Snapshot,
    action: Action,
    number: int,
    start: Callable[[Action], str] = lambda _: "there is no command to start it",
) -> ActionRun:
    """Do it once, if the look that it was planned on still allows it, and wait until every view shows it.

    `start` runs the operator's own command for START and returns "" or why it did not go well. Ctrl-C before anything
    was sent passes through as KeyboardInterrupt; after it, one last look tells what happened.
    """
    course = _Course(means.clock, means.witness, means.clock.monotonic_s())
    # Whoever waits changes nothing, and where slots are out the lock's own keys cannot be read either.
    changes = action.kind is not ActionKind.WAIT
    checks = (*(each.check(snapshot) for each in action.guards), *((_locked(means, action),) if changes else ()))
    if refusing(checks):
        why = f"nothing was sent: {listing([each.evidence for each in refusing(checks)])}"
        return _told(action, number, course, StepOutcome.REFUSED, why, checks)
    try:
        if action.kind is ActionKind.START:
            stopped = _started(means, snapshot.nodes[action.about], action, number, course, start)
        else:
            stopped = _sent(means, action, number, course) if action.sends else None
        run = stopped(action, number, course) if stopped else _followed(means, action, number, course)
    except KeyboardInterrupt:
        if not course.sent and not course.started:
            raise
        run = _cut_off(means, action, number, course)
    if run.sent or course.started:
        facts = {each.code: f"{each.verdict}: {each.evidence}" for each in run.verification}
        with suppress(KeyboardInterrupt), means.shield():
            means.audit.verified(step=number, outcome=run.outcome.value, why=run.why, checks=facts)
            means.sent()
    return run


def _locked(means: Means, action: Action) -> Check:
    """A node is started also where the lock's keys cannot be read: those very slots may be what it brings back. Two
    that start it at once do no harm, for its guard says that nothing runs there."""
    check = locked(means.held)
    if check.refuses and action.kind is ActionKind.START and not action.loses and means.held.unread:
        return Check(check.code, CheckVerdict.WARN, f"held on this host alone: {check.evidence}")
    return check


_Ending = Callable[[Action, int, _Course], ActionRun]


def _sent(means: Means, action: Action, number: int, course: _Course) -> _Ending | None:
    """All commands, in their order. How it ends where the first of them did not leave; None: go on."""
    for each in action.sends:
        with means.shield():
            check = audited(means, number, each.node, each.place, each.command)
            if check.refuses:
                course.checks = (check,)
                break
            spoken = say_once(means, number, each.node, each.place, each.command)
            course.sent.append(Sent(each, spoken.text, spoken.left, spoken.refused))
        if not spoken.left:
            course.checks = (*course.checks, unsent(spoken))
        course.see("sent" if spoken.left else "not sent", _line(each, spoken))
        if (spoken.refused or not spoken.left) and action.kind is not ActionKind.FORGET:
            break
    return None if any(each.left for each in course.sent) else _nothing_left


def _line(send: Send, spoken: Spoken) -> str:
    said = spoken.text if spoken.text is not None else "no answer"
    return f"{' '.join(_short(each) for each in send.command[1:8])} to {send.place}: {said}"


def _short(word: str) -> str:
    """Ids are 40 digits long, and eight tell a node from others."""
    return word[:8] if len(word) == 40 else word


def _nothing_left(action: Action, number: int, course: _Course) -> ActionRun:
    no = refusing(course.checks)
    why = f"nothing was sent: {listing([each.evidence for each in no])}"
    return _told(
        action, number, course, StepOutcome.REFUSED, why, course.checks, next((x.hint for x in no if x.hint), "")
    )


def _started(
    means: Means, node: Node, action: Action, number: int, course: _Course, start: Callable[[Action], str]
) -> _Ending | None:
    """The operator's command. The audit tells that it ran and how it ended, not its words: they may hold a secret."""
    check = audited(means, number, node.node_id, node.address, ("--start-cmd",))
    if check.refuses:
        course.checks = (check,)
        return _nothing_left
    course.started = True
    course.see("start", action.title)
    failure = start(action)
    means.audit.after(step=number, node=node.node_id, reply=failure or "the command ended well", left=True)
    if not failure:
        return None
    return lambda action, number, course: _told(action, number, course, StepOutcome.NOT_DONE, failure)


def _followed(means: Means, action: Action, number: int, course: _Course) -> ActionRun:
    """Until all that is expected is so, in two looks in a row, or time is up."""
    refused = next((each for each in course.sent if each.refused), None)
    within_ms = action.within_ms if refused is None or action.kind is ActionKind.FORGET else _REFUSED_MS
    in_a_row = [0]

    def look() -> bool:
        course.checks = _seen(means, action.expects)
        lacking = [each.evidence for each in course.checks if each.verdict is not CheckVerdict.PASS]
        in_a_row[0] = 0 if lacking else in_a_row[0] + 1
        if lacking:
            course.see("waiting", listing(lacking, 2))
        return in_a_row[0] >= 2

    try:
        deadline = Deadline.after(within_ms / 1000, means.clock)
        poll(look, bool, deadline=deadline, every_s=_EVERY_S, waiting_for=action.title)
    except OutOfTime:
        return _late(action, number, course, within_ms, refused)
    course.see("done", listing([each.evidence for each in course.checks], 3))
    return _told(action, number, course, StepOutcome.DONE, "", course.checks)


def _seen(means: Means, expects: Iterable[Expectation]) -> tuple[Check, ...]:
    try:
        now = means.look()
    except CannotSee as fault:
        return (Check("look", CheckVerdict.UNKNOWN, f"the cluster cannot be seen: {fault.message}"),)
    return tuple(each.check(now) for each in expects)


def _late(action: Action, number: int, course: _Course, within_ms: int, refused: Sent | None) -> ActionRun:
    """What was expected did not come."""
    lacking = listing([each.evidence for each in course.checks if each.verdict is not CheckVerdict.PASS], 3)
    if refused is not None and not any(each.left and not each.refused for each in course.sent):
        return _told(
            action, number, course, StepOutcome.NOT_DONE, f"the server refused it: {refused.reply}", course.checks
        )
    unanswered = [each for each in course.sent if each.left and each.reply is None]
    if unanswered and action.kind is not ActionKind.FORGET:
        why = f"{unanswered[0].send.place} did not answer to it, and within {duration(within_ms)} {lacking}"
        return _told(action, number, course, StepOutcome.INDETERMINATE, why, course.checks, _LOOK)
    why = f"not so within {duration(within_ms)}: {lacking}"
    return _told(action, number, course, StepOutcome.INCOMPLETE, why, course.checks, _AGAIN)


_LOOK = "Look what became of it: rcfail health"
_AGAIN = "Run it again: it goes on from where the cluster stands."


def _cut_off(means: Means, action: Action, number: int, course: _Course) -> ActionRun:
    """After Ctrl-C: what is so now."""
    try:
        course.checks = _seen(means, action.expects)
    except KeyboardInterrupt:
        return _told(
            action, number, course, StepOutcome.INDETERMINATE, "interrupted twice before it was seen", (), _LOOK
        )
    lacking = [each.evidence for each in course.checks if each.verdict is not CheckVerdict.PASS]
    if not lacking:
        return _told(action, number, course, StepOutcome.DONE, "", course.checks)
    why = f"interrupted before it was so: {listing(lacking)}"
    return _told(action, number, course, StepOutcome.INDETERMINATE, why, course.checks, _AGAIN)


def _told(
    action: Action,
    number: int,
    course: _Course,
    outcome: StepOutcome,
    why: str,
    checks: tuple[Check, ...] = (),
    hint: str = "",
) -> ActionRun:
    return ActionRun(
        number, action, outcome, tuple(course.sent), checks, tuple(course.moments), why, hint, course.took_ms
    )
