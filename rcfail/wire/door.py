"""The one door to a server: read many things, or say one thing once.

Every conversation is one fresh, direct connection to one node: no pool, no retry, no redirect, nothing sent
that the caller did not ask for, but AUTH where there is a password. What goes wrong is a value that stands
where the reply would stand, so that nothing is lost of what the node did say.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from socket import socket
from typing import TYPE_CHECKING, Any

from redis._parsers import _RESP2Parser

from rcfail.clock import SYSTEM_CLOCK, Clock, Deadline
from rcfail.cluster.nouns import Endpoint, NodeId
from rcfail.wire.bounds import Bounds, BoundSocket
from rcfail.wire.conversation import Conversation
from rcfail.wire.names import Names
from rcfail.wire.packed import Command
from rcfail.wire.refusals import Refusal, RefusalKind
from rcfail.wire.replies import Reply, plain_errors
from rcfail.wire.secret import NOBODY, Credentials
from rcfail.wire.together import PATIENCE_S, begin

if TYPE_CHECKING:
    from rcfail.wire.tls import Guard


class Door:
    """Opens connections to single nodes, as one user, within bounds; with a guard by TLS."""

    def __init__(
        self,
        credentials: Credentials = NOBODY,
        bounds: Bounds | None = None,
        clock: Clock = SYSTEM_CLOCK,
        parser: type[Any] = _RESP2Parser,
        guard: Guard | None = None,
    ) -> None:
        # Also where hiredis is installed: it makes an announced array before its items come, and one line such as
        # "*2147483647" from a foreign server held the whole process for 15 s. For our replies it is no faster.
        self.credentials = credentials
        self.bounds = bounds or Bounds()
        self.clock = clock
        self.names = Names()
        self.all_take_patterns: bool | None = None
        """Whether every server met so far takes several patterns in one CONFIG GET; None before the first."""
        self._guard = guard
        self._parser: type[Any] = plain_errors(parser)
        self._begun: dict[Endpoint, Conversation] = {}
        self._half: dict[Endpoint, socket] = {}

    def apart(self) -> Door:
        """The same user, names, bounds and TLS, and nothing of what was begun here: for a thread of its own."""
        door = Door(self.credentials, self.bounds, self.clock, self._parser, self._guard)
        door.names = self.names
        return door

    def open(self, endpoint: Endpoint, *, deadline: Deadline) -> Conversation:
        """Connect, for several reads on one connection; use it in a `with`. Never raises: reads then say why.

        What `begin` began there is gone on with.
        """
        begun = self._begun.pop(endpoint, None)
        return begun or self._opened(endpoint, deadline, self._half.pop(endpoint, None))

    def begin(self, places: Iterable[Endpoint], commands: Iterable[Command], deadline: Deadline) -> Iterator[Endpoint]:
        """Dial all places and send them these; yield who begins to answer within a moment, as they come.

        To be gone on with by `open` and the same read. Not by TLS: a handshake is work, and done in threads. At the
        end `drop` lets go what nobody went on with.
        """
        if self._guard is not None:
            return
        asked = list(commands)

        def connected(place: Endpoint, sock: socket) -> bool:
            conversation = self._begun[place] = Conversation(self.credentials, self.bounds, deadline)
            conversation.take(BoundSocket(sock, self.clock, peer=place), self._parser)
            conversation.send_ahead(asked)
            return conversation.descriptor is not None

        for each in begin(places, Deadline.after(deadline.at_most(PATIENCE_S), self.clock), connected):
            if isinstance(each, Endpoint):
                yield each
            else:
                place, sock = each
                self._half[place] = sock

    def has_begun(self, place: Endpoint) -> bool:
        """Whether `begin` has sent its questions there."""
        return place in self._begun

    def drop(self) -> None:
        """Close what was begun, and not gone on with."""
        while self._begun:
            self._begun.popitem()[1].close()
        while self._half:
            self._half.popitem()[1].close()

    def _opened(self, endpoint: Endpoint, deadline: Deadline, half: socket | None = None) -> Conversation:
        conversation = Conversation(self.credentials, self.bounds, deadline)
        conversation.connect(endpoint, self._parser, self._guard, self.names.of(endpoint), half)
        return conversation

    def read(self, endpoint: Endpoint, commands: Iterable[Command], *, deadline: Deadline) -> tuple[Reply, ...]:
        """Send commands that change nothing in one write, and return one reply, or Refusal, for each. Never raises.

        Texts come as str (bytes that are no UTF-8 as backslash escapes), arrays as tuples.
        """
        with self.open(endpoint, deadline=deadline) as conversation:
            return conversation.read(commands)

    def say(
        self, endpoint: Endpoint, command: Command, *, expect_id: NodeId | None = None, deadline: Deadline
    ) -> Reply:
        """Send one changing command once. Never raises.

        With `expect_id`, CLUSTER MYID is read first on the same connection; where another node answers,
        nothing is sent and the Refusal is WRONG_NODE. A Refusal NO_ANSWER means that nothing was sent either;
        SENT_NO_ANSWER that the command left and may have been carried out; every other one is the server's no.
        """
        with self._opened(endpoint, deadline) as conversation:
            hindrance = conversation.authenticate()
            if hindrance is None and expect_id is not None:
                hindrance = _wrong_node(conversation.read([("CLUSTER", "MYID")])[0], expect_id)
            return hindrance or conversation.send_once(command)


def _wrong_node(reply: Reply, expect_id: NodeId) -> Refusal | None:
    if reply == expect_id:
        return None
    if isinstance(reply, Refusal):
        return reply
    return Refusal(RefusalKind.WRONG_NODE, f"expected node {expect_id}, but {str(reply)[:80]!r} answers there")
