"""Watches the stream of a primary that is about to be replaced: where it ends is to be seen for a moment only.

The demoted node says the exact end of its own stream from its demotion until it has copied from the new primary. With
little data these are some ten milliseconds, so it is asked every few, over a connection of its own, from before the
send on.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rcfail.change.after.stream_end import StreamEnd, ends_here, lost
from rcfail.change.loss import Loss
from rcfail.clock import SYSTEM_CLOCK, Clock, Deadline
from rcfail.cluster.nouns import Endpoint, NodeId
from rcfail.cluster.parse_info import server_in, vitals
from rcfail.cluster.vitals import Replication
from rcfail.wire.refusals import Refusal

if TYPE_CHECKING:
    from rcfail.change.plan import Step
    from rcfail.cluster.snapshot import Snapshot
    from rcfail.wire.conversation import Conversation
    from rcfail.wire.door import Door

EVERY_S = 0.002
"""The shortest time that was seen between the demotion and the link is 13 ms."""

LATER_EVERY_S = 0.02
"""When what was sent cannot work any more, and only something else can demote it."""

_ANSWER_S = 0.5
_AGAIN_S = 0.05
_LATE_S = 12.0  # the last look before the send may take its whole deadline
_ASKED = (("CLUSTER", "MYID"), ("INFO", "server"), ("INFO", "replication"), ("INFO", "stats"))


@dataclass(frozen=True, slots=True)
class _Word:
    """What a node says of itself. `copies` are the full and the partial ones that it ever gave."""

    process: str
    said: Replication
    copies: tuple[int, int] | None


class Sampler:
    """Begin it before the send, in a `with`; ask it for the loss when it is known how the step ended. Never raises."""

    def __init__(self, door: Door, snapshot: Snapshot, step: Step, clock: Clock = SYSTEM_CLOCK) -> None:
        self._door = door
        self._snapshot = snapshot
        self._step = step
        self._clock = clock
        self._over, self._warm = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._before: dict[NodeId, _Word] = {}
        self._process = ""
        self._last: Replication | None = None
        self._demoted: Replication | None = None
        self._silent = "nobody has asked the old primary"
        self.samples = 0
        """How often the old primary has answered."""

    def __enter__(self) -> Self:
        primary = self._snapshot.node(self._step.primary)
        if primary is not None and primary.endpoint is not None:
            self._thread = threading.Thread(
                target=self._watch, args=(primary.endpoint,), name="stream sampler", daemon=True
            )
            self._thread.start()
        for node_id in self._copies():
            word = self._ask(node_id)
            if word is not None:
                self._before[node_id] = word
        if primary is not None and primary.view is not None:
            self._warm.wait(_ANSWER_S)  # who answered a moment ago is waited for, a silent one is not
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Ask no more."""
        self._over.set()
        if self._thread is not None:
            self._thread.join(2 * _ANSWER_S)

    def loss(self, at_risk: tuple[int, int] | None) -> Loss:
        """What was lost, with what was told to be at risk before. Asks the shard once more."""
        new = self._promoted()
        now = self._ask(self._step.primary)
        replid = self._replid()
        last_offset = self._last.primary_offset if self._last else None
        same = now is not None and now.process == (self._process or now.process)
        late = now.said if now is not None and same else None
        ends = (ends_here(each, replid, last_offset) for each in (self._demoted, late) if each is not None)
        end = StreamEnd(
            replid=replid,
            last_offset=last_offset,
            ended_at=next((each for each in ends if each is not None), None),
            now=late,
            promoted=new[1].said if new else None,
            silent=self._silent or ("" if now is None or same else "the old primary was restarted"),
            copies=self._given(new) if new else None,
        )
        return lost(end, at_risk)

    def _copies(self) -> Iterator[NodeId]:
        """Who may be promoted, the target first."""
        shard = self._snapshot.shard_of(self._step.primary)
        yield self._step.target
        yield from (each for each in (shard.replica_ids if shard else ()) if each != self._step.target)

    def _promoted(self) -> tuple[NodeId, _Word] | None:
        for node_id in self._copies():
            word = self._ask(node_id)
            if word is not None and word.said.role == "master":
                return node_id, word
        return None

    def _given(self, new: tuple[NodeId, _Word]) -> tuple[int, int] | None:
        before, after = self._before.get(new[0]), new[1]
        if before is None or before.copies is None or after.copies is None or before.process != after.process:
            return None
        return after.copies[0] - before.copies[0], after.copies[1] - before.copies[1]

    def _replid(self) -> str:
        """The old stream's name: as the old primary said it, else as the target followed it."""
        if self._last is not None:
            return self._last.replid
        known = self._snapshot.node(self._step.primary)
        said = known.vitals.replication if known is not None and known.vitals is not None else None
        if said is not None and said.role == "master":
            return said.replid
        before = self._before.get(self._step.target)
        return before.said.replid if before is not None and before.said.role == "slave" else ""

    def _ask(self, node_id: NodeId) -> _Word | None:
        node = self._snapshot.node(node_id)
        if node is None or node.endpoint is None:
            return None
        replies = self._door.read(node.endpoint, _ASKED, deadline=Deadline.after(_ANSWER_S, self._clock))
        return _word(node_id, replies)

    def _watch(self, endpoint: Endpoint) -> None:
        """Ask the old primary until it is one no more, or this is over."""
        slower = Deadline.after(self._step.attempt_ms / 1000 + _LATE_S, self._clock)
        while not self._over.is_set() and self._demoted is None:
            with self._door.open(endpoint, deadline=Deadline.after(_ANSWER_S, self._clock)) as conversation:
                replies = conversation.read(_ASKED)
                word = _word(self._step.primary, replies)
                if word is None:
                    self._silent = f"the old primary was silent: {_why(replies)}"
                elif self._process and word.process != self._process:
                    self._silent = "the old primary was restarted"
                    return
                else:
                    self._process = word.process
                    self._note(word.said)
                    self._watch_over(conversation, slower)
            self._over.wait(_AGAIN_S)

    def _watch_over(self, conversation: Conversation, slower: Deadline) -> None:
        while not self._over.is_set() and self._demoted is None:
            self._over.wait(LATER_EVERY_S if slower.passed() else EVERY_S)
            conversation.go_on(Deadline.after(_ANSWER_S, self._clock))
            (reply,) = conversation.read([("INFO", "replication")])
            if not isinstance(reply, str):
                self._silent = f"the old primary fell silent: {_why((reply,))}"
                return
            self._note(vitals(reply, None, None).replication)

    def _note(self, said: Replication) -> None:
        """The first word as a replica tells the end; see `ends_here`."""
        self.samples += 1
        self._silent = ""
        if said.role == "master":
            self._last = said
        elif said.role == "slave":
            self._demoted = said
        self._warm.set()


def _word(node_id: NodeId, replies: tuple[object, ...]) -> _Word | None:
    name, server, replication, stats = replies
    if name != node_id or not isinstance(server, str) or not isinstance(replication, str):
        return None
    said = vitals(replication, None, None).replication
    given = vitals(stats, None, None).replication if isinstance(stats, str) else Replication()
    known = given.sync_full is not None and given.sync_partial_ok is not None
    copies = (given.sync_full or 0, given.sync_partial_ok or 0) if known else None
    return _Word(server_in(server).run_id, said, copies)


def _why(replies: tuple[object, ...]) -> str:
    refusal = next((each for each in replies if isinstance(each, Refusal)), None)
    return (refusal.text or refusal.kind.value) if refusal is not None else "another node answers there"
