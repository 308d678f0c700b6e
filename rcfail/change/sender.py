"""The one place from which an operator's change leaves: lock and audit before it, one send, the audit after it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rcfail.change.audit import Audit, AuditUnwritable
from rcfail.change.checks import Check, CheckVerdict
from rcfail.change.run import Moment
from rcfail.clock import Clock, Deadline
from rcfail.cluster.nouns import Address, Endpoint, NodeId
from rcfail.cluster.snapshot import Snapshot
from rcfail.wire.refusals import Refusal, RefusalKind

if TYPE_CHECKING:
    from rcfail.change.locks.lock import Hold
    from rcfail.wire.door import Door
    from rcfail.wire.replies import Reply

SAY_S = 5.0
"""A server that does not answer for so long is frozen. The command may lie in its socket, so it is followed."""

NOT_SENT = frozenset({RefusalKind.NO_ANSWER, RefusalKind.WRONG_NODE})


@dataclass(frozen=True, slots=True)
class Means:
    """What a change is carried out with. `look` takes one fresh look at the whole cluster, and may raise CannotSee.

    `witness` hears each moment as it comes. `shield` holds signals back for its body and lets them through after it:
    between the line before a send and the line after it nobody may be interrupted. `sent` is called under it when all
    that matters is known of a command that was sent.
    """

    door: Door
    audit: Audit
    held: Hold
    look: Callable[[], Snapshot]
    witness: Callable[[Moment], None]
    clock: Clock
    shield: Callable[[], AbstractContextManager[None]] = nullcontext
    sent: Callable[[], None] = lambda: None


@dataclass(frozen=True, slots=True)
class Spoken:
    """The reply, and when the send began on the monotonic clock."""

    reply: Reply
    at_s: float

    @property
    def left(self) -> bool:
        """The command was sent, as far as anybody can tell."""
        return not (isinstance(self.reply, Refusal) and self.reply.kind in NOT_SENT)

    @property
    def text(self) -> str | None:
        """What the server said; None where it did not answer."""
        if not isinstance(self.reply, Refusal):
            return str(self.reply)
        silent = not self.left or self.reply.kind is RefusalKind.SENT_NO_ANSWER
        return None if silent else self.reply.text or self.reply.kind.value

    @property
    def refused(self) -> bool:
        """The server said no, so it did nothing."""
        return self.left and isinstance(self.reply, Refusal) and self.reply.kind is not RefusalKind.SENT_NO_ANSWER


def locked(held: Hold) -> Check:
    """Read again, on this host and in the cluster."""
    if not held.still_held():
        return Check("guard-lock", CheckVerdict.FAIL, held.lost)
    alone = f"held on this host alone: {held.local_alone}" if held.local_alone else "held on this host and the cluster"
    return Check("guard-lock", CheckVerdict.WARN if held.local_alone else CheckVerdict.PASS, alone)


def audited(means: Means, number: int, node: NodeId, place: Endpoint | Address, command: Sequence[str]) -> Check:
    """The line before the deed, on the disk."""
    try:
        means.audit.before(step=number, node=node, address=str(place), command=command)
    except AuditUnwritable as error:
        return Check("guard-audit", CheckVerdict.FAIL, error.message, hint=error.hint)
    return Check("guard-audit", CheckVerdict.PASS, f"written to {means.audit.path or 'no file, by your word'}")


def say_once(means: Means, number: int, node: NodeId, place: Endpoint, command: tuple[str, ...]) -> Spoken:
    """The one send, if this very node answers there, and the audit's line after it."""
    at_s = means.clock.monotonic_s()
    reply = means.door.say(place, command, expect_id=node, deadline=Deadline.after(SAY_S, means.clock))
    spoken = Spoken(reply, at_s)
    means.audit.after(step=number, node=node, reply=spoken.text, left=spoken.left)
    return spoken


def unsent(spoken: Spoken) -> Check:
    """Why nothing left: another node answers there, or none."""
    reply = spoken.reply
    text = reply.text or reply.kind.value if isinstance(reply, Refusal) else ""
    return Check("target-identity", CheckVerdict.FAIL, f"nothing was sent to the target: {text}")
