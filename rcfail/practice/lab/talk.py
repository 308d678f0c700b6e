"""The lab's own conversations with its nodes, on the same wire as all of rcfail."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rcfail.clock import SYSTEM_CLOCK, Clock, Deadline
from rcfail.cluster.parse_info import vitals
from rcfail.cluster.parse_nodes import NodesReader
from rcfail.errors import LabFault
from rcfail.practice.lab.access import ADMIN
from rcfail.practice.lab.agreement import Sight
from rcfail.practice.lab.certs import authority, pair
from rcfail.practice.lab.conf import CONF_FILE, conf_value
from rcfail.practice.lab.register import LabEntry, NodeEntry
from rcfail.practice.lab.users import password_of
from rcfail.wire.bounds import Bounds
from rcfail.wire.door import Door
from rcfail.wire.packed import Command
from rcfail.wire.refusals import Refusal
from rcfail.wire.replies import Reply
from rcfail.wire.secret import NOBODY, Credentials, Secret

if TYPE_CHECKING:
    from rcfail.wire.tls import Guard

_ANSWER_WITHIN_S = 2.0
# A change is often written to nodes.conf, with an fsync, before it is answered (clusterSaveConfig).
_CHANGE_WITHIN_S = 10.0
_CONNECT_WITHIN_S = 1.0


class Talk:
    """Asks and tells the nodes of one lab. Every exchange is bounded."""

    def __init__(
        self, credentials: Credentials = NOBODY, clock: Clock = SYSTEM_CLOCK, guard: Guard | None = None
    ) -> None:
        asking = Bounds(connect_s=_CONNECT_WITHIN_S, read_s=_ANSWER_WITHIN_S)
        self._door = Door(credentials, asking, clock, guard=guard)
        self._telling = Door(credentials, replace(asking, read_s=_CHANGE_WITHIN_S), clock, guard=guard)
        self._clock = clock
        self._reader = NodesReader()

    def ask(self, node: NodeEntry, *commands: Command) -> tuple[Reply, ...]:
        """One reply or Refusal for each command. Never raises."""
        self._meet(node)
        return self._door.read(node.endpoint, commands, deadline=self._deadline(_ANSWER_WITHIN_S))

    def tell(self, node: NodeEntry, *command: str | int) -> Reply:
        """Send one changing command once, to this very node. Raises LabFault when it says no or nothing."""
        self._meet(node)
        deadline = self._deadline(_CHANGE_WITHIN_S)
        reply = self._telling.say(node.endpoint, command, expect_id=node.node_id or None, deadline=deadline)
        if isinstance(reply, Refusal):
            said = reply.text or reply.kind.value
            verb = "refused" if reply.silence is None else "gave no answer to"
            raise LabFault(
                f"{node.name} ({node.endpoint}) {verb} {_named(command)}: {said}", "Look at: rcfail lab status."
            )
        return reply

    def see(self, node: NodeEntry) -> Sight:
        """Read all that agreement is judged by, in one round trip."""
        info, cluster_info, nodes = self.ask(node, ("INFO",), ("CLUSTER", "INFO"), ("CLUSTER", "NODES"))
        for reply in (info, cluster_info, nodes):
            if not isinstance(reply, str):
                why = (reply.text or reply.kind.value) if isinstance(reply, Refusal) else "an odd answer"
                return Sight(node, silence=why)
        return Sight(node, self._reader.read(str(nodes)), vitals(str(info), str(cluster_info), None))

    def _meet(self, node: NodeEntry) -> None:
        """A certificate may be for the name that a node announces, or for its address."""
        for door in (self._door, self._telling):
            door.names.learn(node.endpoint, node.host, node.hostname)

    def _deadline(self, within_s: float) -> Deadline:
        return Deadline.after(_CONNECT_WITHIN_S + within_s, self._clock)


def talk_to(entry: LabEntry, clock: Clock = SYSTEM_CLOCK) -> Talk:
    """A Talk as who may do everything there, over TLS where the nodes speak it."""
    return Talk(credentials_of(entry), clock, _guard_of(entry) if entry.access.tls else None)


def credentials_of(entry: LabEntry) -> Credentials:
    """Who to be for the nodes of this lab: its own user, or who redis.conf sets a password for, if it sets one.

    The register never holds a password.
    """
    if entry.access.user:
        return Credentials(ADMIN, Secret(password_of(entry, ADMIN)))
    try:
        text = (Path(entry.nodes[0].folder) / CONF_FILE).read_text("utf-8")
    except (OSError, IndexError):
        return NOBODY
    password = conf_value(text, "requirepass")
    return Credentials(password=Secret(password)) if password else NOBODY


def _guard_of(entry: LabEntry) -> Guard:
    from rcfail.wire.tls import Guard, Terms  # brings ssl with it, which most labs do not need

    certificate, key = pair(entry)
    return Guard(Terms(ca_file=str(authority(entry)), cert_file=str(certificate), key_file=str(key)))


def _named(command: tuple[str | int, ...]) -> str:
    """A command as it may be printed: of CONFIG SET only the names, a value can be a secret."""
    words = [str(word) for word in command]
    if words[:2] == ["CONFIG", "SET"]:
        return " ".join(words[:2] + words[2::2])
    return " ".join(words if len(words) <= 6 else [*words[:4], "..."])
