"""What becomes of a command that was sent: looked at fast, in every view, until it is verified or cannot come."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from types import TracebackType
from typing import Self

from rcfail.change.after.causes import Terms
from rcfail.change.after.clues import Clues
from rcfail.change.after.followed import Answered, Followed
from rcfail.change.after.trail import Trail
from rcfail.change.after.verify import Cast, Word, Words
from rcfail.change.plan import Step
from rcfail.change.run import Moment
from rcfail.clock import Clock, Deadline
from rcfail.cluster.dialect import stands_again_after_ms, writes_pause_at_most_ms
from rcfail.cluster.electorate import NODE_TIMEOUT_MS
from rcfail.cluster.nouns import Endpoint, NodeId
from rcfail.cluster.parse_nodes import NodesReader
from rcfail.cluster.snapshot import Node, Snapshot
from rcfail.cluster.vitals import Server
from rcfail.health.wording import answering, called
from rcfail.wire.chorus import Chorus, Heard
from rcfail.wire.door import Door
from rcfail.wire.packed import Command
from rcfail.wire.refusals import Refusal, RefusalKind
from rcfail.wire.replies import Reply

__all__ = ["Followed", "Follower"]

_NODES: Command = ("CLUSTER", "NODES")
_CLUSTER: Command = ("CLUSTER", "INFO")
_STREAM: Command = ("INFO", "replication")
_CLIENTS: Command = ("INFO", "clients")

PREPARE_S = 1.0
"""Who answered a moment ago has so long to answer again before the send."""

PATIENCE_S = 0.02
"""For so long a look waits for who is asked in it. Servers that write nodes.conf answer later, and count then."""

LOOK_S = 2.0
_FAST_S, _MEDIUM_S, _SLOW_S, _BRIEFLY_S = 0.02, 0.05, 0.2, 0.002
_EAGER_S, _FAST_FOR_S, _MEDIUM_UNTIL_S = 0.5, 2.0, 5.0
"""After the last news, in seconds: how long looks follow without a pause, every 20 ms, and every 50 ms."""


class Follower:
    """Looks at every node, fast, from before a send until its effect is verified or cannot come any more.

    `witness` is told each transition at once, once. `stood_unix_ms` is when the target last stood for election as far
    as the audit knows. Nothing raises but KeyboardInterrupt; nothing is ever sent that changes anything.
    """

    def __init__(
        self,
        door: Door,
        snapshot: Snapshot,
        step: Step,
        witness: Callable[[Moment], None],
        clock: Clock,
        *,
        stood_unix_ms: int | None = None,
    ) -> None:
        self._door = door
        self._snapshot = snapshot
        self._step = step
        self._witness = witness
        self._clock = clock
        self._stood_unix_ms = stood_unix_ms
        self._reader = NodesReader()
        self._places = {node.node_id: node.endpoint for node in snapshot.nodes.values() if node.endpoint is not None}
        shard = snapshot.shard_of(step.primary)
        replicas = shard.replica_ids if shard else ()
        self._siblings = tuple(each for each in replicas if each != step.target)
        self._members = (step.target, step.primary, *self._siblings)
        self._questions = self._asked()
        self._chorus = Chorus(door)
        self._words: Words = {}
        self._all_answered = False
        self._before: Words = {}
        self._prepared_s = clock.monotonic_s()
        self._trail: Trail | None = None
        self._sent_s = self._prepared_s

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self.close()

    def prepare(self) -> None:
        """Open and warm a connection to every node, and read what is compared with later. Right before the send."""
        self._connect()
        deadline = Deadline.after(PREPARE_S, self._clock)
        self._look()
        missing = self._unheard(self._words)
        while missing and not deadline.passed():
            self._clock.sleep(_BRIEFLY_S)
            self._look(missing)
            missing = self._unheard(missing)
        self._before, self._prepared_s = self._words, self._clock.monotonic_s()

    def follow(self, sent_at_s: float, reply: Reply) -> Followed:
        """From the send, at `sent_at_s` on the clock's monotonic time, to the outcome. `reply` is what `say` gave."""
        trail = self._trail = self._begun(sent_at_s, reply)
        if not (trail.answered.refused or trail.answered.unanswered):
            self._witness(trail.requested(self._elapsed_ms()))
        while (followed := self._stride(trail)) is None:
            pass
        return followed

    def look_now(self, sent_at_s: float | None = None) -> Followed:
        """What can be told within two seconds, for who was interrupted. `sent_at_s` where `follow` was not begun.

        All connections are made anew: on an interrupted one an answer may lie half read.
        """
        deadline = Deadline.after(LOOK_S, self._clock)
        trail = self._trail = self._trail or self._begun(sent_at_s or self._sent_s, None)
        self._chorus.close()
        self._chorus = Chorus(self._door)
        self._connect()
        while not deadline.passed():
            if (followed := self._stride(trail)) is not None:
                return followed
        return trail.cut_short()

    def close(self) -> None:
        """Close all connections."""
        self._chorus.close()

    def _unheard(self, among: Iterable[NodeId]) -> frozenset[NodeId]:
        words = self._words
        return frozenset(each for each in among if not (words[each].fresh or words[each].silence))

    def _connect(self) -> None:
        """Nodes that gave no view a moment ago are not waited for."""
        for node in self._snapshot.nodes.values():
            if node.endpoint is not None:
                self._door.names.learn(node.endpoint, node.endpoint.host, node.address.hostname)
        heard = {node.endpoint for node in self._snapshot.nodes.values() if node.endpoint and node.view is not None}
        aside = [each for each in self._questions if each not in heard]
        self._chorus.open(sorted(heard), Deadline.after(PREPARE_S, self._clock), aside)

    def _asked(self) -> dict[Endpoint, tuple[Command, ...]]:
        """What each node is asked in each look."""
        step = self._step
        primary = self._snapshot.node(step.primary)
        # Only servers that know the field are asked for it (paused_reason, Valkey from 8.1).
        tells = primary is not None and primary.vitals is not None and primary.vitals.server.paused_reason != ""
        return {
            place: (
                _NODES,
                _CLUSTER,
                *((_STREAM,) if node_id in self._members else ()),
                *((_CLIENTS,) if node_id == step.primary and tells else ()),
            )
            for node_id, place in self._places.items()
        }

    def _begun(self, sent_at_s: float, reply: Reply) -> Trail:
        self._sent_s = sent_at_s
        target, primary = (self._snapshot.nodes[each] for each in (self._step.target, self._step.primary))
        votes = self._snapshot.electorate
        prepared_ms = max(0, round((sent_at_s - self._prepared_s) * 1000))
        stood_ms = None
        if self._stood_unix_ms is not None:
            stood_ms = max(0, self._clock.unix_ms() - self._stood_unix_ms - self._elapsed_ms())
        terms = Terms(
            voters=votes.voters,
            needed=votes.needed,
            cooldown_ms=stands_again_after_ms(_server(target), _node_timeout_ms(target)),
            stood_ms=stood_ms,
            prepared_ms=prepared_ms,
            seed=answering(self._snapshot, target.node_id),
        )
        config = primary.vitals.config if primary.vitals else None
        pause_ms = writes_pause_at_most_ms(_server(primary), config)
        cast = Cast(self._step, self._siblings, self._before)
        return Trail(Clues(cast, terms, self._name), _answered(reply), pause_ms)

    def _stride(self, trail: Trail) -> Followed | None:
        """One look, and the wait for the next where there is one."""
        began_s = self._clock.monotonic_s()
        self._look(trail.wanted)
        for moment in trail.take(self._words, self._elapsed_ms()):
            self._witness(moment)
        followed = trail.ended()
        if followed is None:
            self._rest(trail, self._clock.monotonic_s() - began_s)
        return followed

    def _rest(self, trail: Trail, took_s: float) -> None:
        """Fast after the send, and after whatever happened.

        Where a look is quick the next follows sooner; at most half of a core is used, but for the moment between the
        promotion and its last proof.
        """
        quiet_s = (self._elapsed_ms() - trail.news_ms) / 1000
        eager = trail.promoted_ms is not None and quiet_s < _EAGER_S
        if eager and self._all_answered:
            return
        if eager:
            pace_s = 0.0
        elif quiet_s < _FAST_FOR_S:
            pace_s = min(_FAST_S, 2 * took_s + _BRIEFLY_S)
        else:
            pace_s = _MEDIUM_S if quiet_s < _MEDIUM_UNTIL_S else _SLOW_S
        self._clock.sleep(max(_BRIEFLY_S, pace_s - took_s))

    def _elapsed_ms(self) -> int:
        return round((self._clock.monotonic_s() - self._sent_s) * 1000)

    def _look(self, wanted: frozenset[NodeId] | None = None) -> None:
        """Ask these, or everybody; of the others the last word stands."""
        asked = {place for node_id, place in self._places.items() if wanted is None or node_id in wanted}
        questions = {place: commands for place, commands in self._questions.items() if place in asked}
        heard = self._chorus.ask(questions, PATIENCE_S)
        self._all_answered = all(each is not None for each in heard.values())
        last = self._words
        self._words = {
            node_id: self._word(node_id, heard.get(place), last.get(node_id)) for node_id, place in self._places.items()
        }

    def _word(self, node_id: NodeId, heard: Heard | Refusal | None, last: Word | None) -> Word:
        if heard is None:
            return replace(last, fresh=False) if last else Word(fresh=False)
        if isinstance(heard, Refusal):
            return Word(silence=heard.text or str(heard.silence or heard.kind))
        said = dict(zip(heard.asked, heard.replies, strict=True))
        nodes = said.get(_NODES)
        if isinstance(nodes, Refusal) and nodes.kind is not RefusalKind.LOADING:
            return Word(silence=nodes.text or str(nodes.kind))
        if isinstance(nodes, str) and "myself" not in _line(nodes, node_id):
            return Word(silence="another node answers at its address")
        reply = self._reader.read(_excerpt(nodes, self._members)) if isinstance(nodes, str) else None
        return Word(
            table=reply.table if reply else None,
            info=_text(said.get(_STREAM)),
            cluster_info=_text(said.get(_CLUSTER)),
            loading=isinstance(nodes, Refusal),
            paused="paused_reason:failover_in_progress" in _text(said.get(_CLIENTS)),
        )

    def _name(self, node_id: NodeId) -> str:
        node = self._snapshot.node(node_id)
        return called(node) if node else f"node {node_id[:8]}"


def _excerpt(table: str, ids: Iterable[NodeId]) -> str:
    """The lines of these nodes: of fifty views of fifty nodes the rest is not looked at, and takes time to read."""
    return "".join([f"{line}\n" for each in ids if (line := _line(table, each))])


def _line(table: str, node_id: NodeId) -> str:
    at = 0 if table.startswith(node_id) else table.find(f"\n{node_id}") + 1
    end = table.find("\n", at)
    line = table[at:] if end < 0 else table[at:end]
    return line if line.startswith(node_id) else ""


def _text(reply: Reply) -> str:
    return reply if isinstance(reply, str) else ""


def _answered(reply: Reply) -> Answered:
    if not isinstance(reply, Refusal):
        return Answered(unanswered=reply is None)
    if reply.kind in (RefusalKind.SENT_NO_ANSWER, RefusalKind.NO_ANSWER):
        return Answered(unanswered=True)
    return Answered(refused=reply.text or str(reply.kind))


def _server(node: Node) -> Server:
    return node.vitals.server if node.vitals else Server()


def _node_timeout_ms(node: Node) -> int:
    told = node.vitals.config.node_timeout_ms if node.vitals else None
    return told or NODE_TIMEOUT_MS
