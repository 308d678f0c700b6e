"""The few questions that one node is asked about itself alone."""

from __future__ import annotations

from rcfail.clock import Deadline
from rcfail.cluster.nouns import Endpoint
from rcfail.cluster.observation import Absence, AbsenceKind, Answer, Ask, Silence, SilenceReason
from rcfail.cluster.parse_nodes import NodesReader
from rcfail.wire.asks import MOST_CHARACTERS, MOST_LINES, silence_in
from rcfail.wire.door import Door
from rcfail.wire.packed import Command
from rcfail.wire.refusals import Refusal, RefusalKind
from rcfail.wire.replies import Reply

# In the order that silence_in relies on.
_ASKED: tuple[tuple[Ask, Command], ...] = (
    (Ask.INFO, ("INFO",)),
    (Ask.CLUSTER_INFO, ("CLUSTER", "INFO")),
    (Ask.CLUSTER_NODES, ("CLUSTER", "NODES")),
)


def ping(door: Door, endpoint: Endpoint, deadline: Deadline) -> str | Silence:
    """What the process says to PING, be it an error; a Silence where it says nothing. Never raises."""
    began_s = deadline.clock.monotonic_s()
    (reply,) = door.read(endpoint, [("PING",)], deadline=deadline)
    if not isinstance(reply, Refusal):
        return str(reply)
    if reply.kind is not RefusalKind.NO_ANSWER:
        return reply.text
    waited_ms = round((deadline.clock.monotonic_s() - began_s) * 1000)
    return Silence(endpoint, None, reply.silence or SilenceReason.CLOSED, reply.text, waited_ms)


def ask_itself(door: Door, endpoint: Endpoint, deadline: Deadline) -> Answer | Silence:
    """INFO and the node's own view of its cluster, over one connection. Never raises."""
    clock = deadline.clock
    began_s, at_unix_ms = clock.monotonic_s(), clock.unix_ms()
    replies = door.read(endpoint, [command for _, command in _ASKED], deadline=deadline)
    took_ms = round((clock.monotonic_s() - began_s) * 1000)
    silence = silence_in(replies)
    if silence is not None:
        return Silence(endpoint, None, silence[0], silence[1], took_ms)
    absences: dict[Ask, Absence] = {}
    info, cluster_info, nodes = (_text(ask, reply, absences) for (ask, _), reply in zip(_ASKED, replies, strict=True))
    return Answer(
        endpoint=endpoint,
        expected=None,
        asked_at_unix_ms=at_unix_ms,
        took_ms=took_ms,
        info=info,
        cluster_info=cluster_info,
        nodes=None if nodes is None else NodesReader().read(nodes),
        absences=absences,
    )


def _text(ask: Ask, reply: Reply, absences: dict[Ask, Absence]) -> str | None:
    if isinstance(reply, Refusal):
        absences[ask] = reply.absence
    elif isinstance(reply, str) and len(reply) <= MOST_CHARACTERS and reply.count("\n") <= MOST_LINES:
        return reply
    else:
        absences[ask] = Absence(AbsenceKind.MALFORMED, "the reply has not the form that this command gives")
    return None
