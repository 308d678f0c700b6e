"""One connection to one node: what is read over it, and what is said over it once."""

from __future__ import annotations

from collections.abc import Iterable
from socket import socket
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rcfail.clock import Deadline
from rcfail.cluster.nouns import Endpoint
from rcfail.cluster.observation import SilenceReason
from rcfail.wire.bounds import Bounds, BoundSocket, Unheard
from rcfail.wire.dial import PROBE_S, dial, speaks_tls
from rcfail.wire.packed import NOTHING, Command, Packed, pack, packed
from rcfail.wire.refusals import Refusal, RefusalKind, auth_refusal_of, foreign_speech, unheard
from rcfail.wire.replies import UNREADABLE, Direct, Reply
from rcfail.wire.secret import Credentials

if TYPE_CHECKING:
    from rcfail.wire.tls import Guard

NOT_REDIS = "does not speak the Redis protocol"
_LONGEST_TEXT = 300


class Conversation:
    """One connection to one node. After the first failure every read returns that failure."""

    def __init__(self, credentials: Credentials, bounds: Bounds, deadline: Deadline) -> None:
        self._credentials = credentials
        self._bounds = bounds
        self._deadline = deadline
        self._auth_due = credentials.password is not None
        self._connection: Direct | None = None
        self._ahead = NOTHING
        self.failure: Refusal | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self.close()

    def connect(
        self,
        endpoint: Endpoint,
        parser: type[Any],
        guard: Guard | None = None,
        names: tuple[str, ...] = (),
        half: socket | None = None,
    ) -> None:
        """Dial once, or go on with a `half` made connection. What fails becomes `failure`."""
        try:
            if self._deadline.passed():
                if half is not None:
                    half.close()
                raise Unheard(SilenceReason.NO_TIME, "the deadline passed before this node was asked")
            self._connection = Direct(dial(endpoint, self._bounds, self._deadline, guard, names, half), parser)
        except Unheard as error:
            self.failure = unheard(error.reason, error.text)

    def take(self, bound: BoundSocket, parser: type[Any]) -> None:
        """Use a connection that stands."""
        self._connection = Direct(bound, parser)

    def read(self, commands: Iterable[Command], *, deadline: Deadline | None = None) -> tuple[Reply, ...]:
        """One write, and one reply or Refusal for each command, within `read_s` and the deadline in all.

        A `deadline` here can only shorten. AUTH, where it is due, goes out in the same write: it costs no time.
        """
        asked = packed(tuple(map(tuple, commands)))
        auth = self._credentials.auth if self._auth_due else None
        outgoing = pack((auth,)).then(asked) if auth else asked
        ahead, self._ahead = self._ahead, NOTHING
        if ahead.count and ahead != outgoing:
            self._exchange(ahead, self._deadline, sent=True)  # not what is wanted now, but it comes first
        replies = self._exchange(outgoing, deadline or self._deadline, sent=ahead == outgoing)
        if not auth:
            return tuple(replies)
        if self.failure is None:
            self._auth_due = False
        refused = self._auth_refusal(replies[0])
        if refused is None:
            return tuple(replies[1:])
        self.failure = self.failure or refused
        return (refused,) * asked.count

    def change(self, commands: Iterable[Command]) -> tuple[Reply, ...]:
        """Send commands that change something, once, in one write. Without an answer they may have been carried out.

        For what needs several commands on one connection; everything else is for `Door.say`.
        """
        asked = pack(tuple(map(tuple, commands)))
        hindrance = self.authenticate()
        return (hindrance,) * asked.count if hindrance else tuple(self._exchange(asked, self._deadline))

    def go_on(self, deadline: Deadline) -> None:
        """Use the connection for another round of questions, with an end of its own."""
        self._deadline = deadline

    def send_ahead(self, commands: Iterable[Command]) -> None:
        """Send what `read` will be asked to read next, so that others can be asked meanwhile."""
        auth = self._credentials.auth if self._auth_due else None
        asked = packed(tuple(map(tuple, commands)))
        self._ahead = pack((auth,)).then(asked) if auth else asked
        if self._connection is None or self.failure is not None:
            return
        try:
            self._begin(self._connection, self._deadline)
            self._connection.bound.sendall(self._ahead.data)
        except Unheard as error:
            self.failure = unheard(error.reason, error.text)

    @property
    def descriptor(self) -> int | None:
        """What to wait on for a reply; None where there is no connection."""
        return self._connection.bound.fileno() if self._connection is not None and self.failure is None else None

    def authenticate(self) -> Refusal | None:
        """Send AUTH alone, if it is due, and return what hinders, if anything does."""
        if self.failure is None and self._auth_due:
            self.read(())
        return self.failure

    def send_once(self, command: Command) -> Reply:
        """Send one changing command. Once it may have left, no answer is a kind of its own."""
        if self._connection is None or self.failure is not None:
            return self.failure or unheard(SilenceReason.CLOSED, "the conversation is over")
        reply = self._exchange(pack((command,)), self._deadline)[0]
        sent = self._connection.bound.bytes_out > 0
        if sent and isinstance(reply, Refusal) and reply.kind is RefusalKind.NO_ANSWER:
            return Refusal(RefusalKind.SENT_NO_ANSWER, reply.text, reply.silence)
        return reply

    def close(self) -> None:
        if self._connection is not None:
            self._connection.end()

    def _begin(self, connection: Direct, deadline: Deadline) -> None:
        connection.bound.begin(self._bounds.read_s, self._bounds.reply_bytes, _earlier(deadline, self._deadline))

    def _exchange(self, asked: Packed, deadline: Deadline, sent: bool = False) -> list[Reply]:
        """The replies that came, then the failure for each one that did not."""
        replies: list[Reply] = []
        if self._connection is not None and self.failure is None:
            bound = self._connection.bound
            try:
                # Also for what was sent ahead: its answer may lie here while another node's was waited for.
                self._begin(self._connection, deadline)
                if not sent:
                    bound.sendall(asked.data)
                while len(replies) < asked.count:
                    replies.append(self._printable(self._connection.next_reply()))
            except Unheard as error:
                self.failure = foreign_speech(bound.head) or self._tls_port(error) or unheard(error.reason, error.text)
            except UNREADABLE:
                # What the parser says is not passed on: it quotes the bytes that came.
                self.failure = foreign_speech(bound.head) or unheard(SilenceReason.GARBAGE, NOT_REDIS)
        failure = self.failure or unheard(SilenceReason.CLOSED, "the conversation is over")
        return [*replies, *[failure] * (asked.count - len(replies))]

    def _tls_port(self, error: Unheard) -> Refusal | None:
        """The TLS port of a real server ends a plain connection without a word, as others do too: so it is asked."""
        bound = self._connection.bound if self._connection else None
        if error.reason is not SilenceReason.CLOSED or bound is None or bound.head or bound.peer is None:
            return None
        if not speaks_tls(bound.peer, Deadline.after(self._deadline.at_most(PROBE_S))):
            return None
        return unheard(SilenceReason.TLS_EXPECTED, "answers a TLS handshake: this is a TLS port")

    def _printable(self, reply: Reply) -> Reply:
        """An error text is printed, and a server may quote in it what it was sent: it must not hold the password."""
        if not isinstance(reply, Refusal):
            return reply
        password = self._credentials.password
        text = password.scrub(reply.text) if password else reply.text
        return Refusal(reply.kind, text[:_LONGEST_TEXT], reply.silence)

    def _auth_refusal(self, reply: Reply) -> Refusal | None:
        if reply == "OK":
            return None
        if not isinstance(reply, Refusal):
            return unheard(SilenceReason.GARBAGE, "the answer to AUTH is none that Redis gives")
        return reply if reply.kind is RefusalKind.NO_ANSWER else auth_refusal_of(reply.text)


def _earlier(one: Deadline, other: Deadline) -> Deadline:
    return one if one.remaining_s() <= other.remaining_s() else other
