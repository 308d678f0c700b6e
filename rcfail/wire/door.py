"""The one door to a server: read many things, or say one thing once.

Every conversation is one fresh, direct connection to one node: no pool, no retry, no redirect, nothing sent
that the caller did not ask for, but AUTH where there is a password. What goes wrong is a value that stands
where the reply would stand, so that nothing is lost of what the node did say.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from socket import socket
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from redis._parsers import _RESP2Parser
from redis.connection import Connection
from redis.exceptions import RedisError, ResponseError

from rcfail.clock import SYSTEM_CLOCK, Clock, Deadline
from rcfail.cluster.nouns import Endpoint, NodeId
from rcfail.cluster.observation import SilenceReason
from rcfail.wire.bounds import Bounds, BoundSocket, Unheard
from rcfail.wire.dial import PROBE_S, dial, speaks_tls
from rcfail.wire.names import Names
from rcfail.wire.packed import NOTHING, Command, Packed, pack, packed
from rcfail.wire.refusals import Refusal, RefusalKind, auth_refusal_of, foreign_speech, refusal_of, unheard
from rcfail.wire.secret import NOBODY, Credentials
from rcfail.wire.together import PATIENCE_S, begin

if TYPE_CHECKING:
    from rcfail.wire.tls import Guard

Reply: TypeAlias = "str | int | tuple[Reply, ...] | Refusal | None"

# Otherwise every single connection looks up redis-py's version among the installed packages, in 0.8 ms. Before 7.2
# there was neither the module nor the argument.
_QUIET: dict[str, Any] = {"driver_info": None} if "redis.driver_info" in sys.modules else {}

NOT_REDIS = "does not speak the Redis protocol"
_LONGEST_TEXT = 300

# What the parsers of redis-py raise when bytes are not the protocol: their own errors, int() of a word, arrays
# without end nested in each other, lengths that no memory holds.
_UNREADABLE = (RedisError, OSError, ValueError, ArithmeticError, LookupError, TypeError, RecursionError, MemoryError)


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
        self._parser: type[Any] = _plain_errors(parser)
        self._begun: dict[Endpoint, Conversation] = {}
        self._half: dict[Endpoint, socket] = {}

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


class Conversation:
    """One connection to one node. After the first failure every read returns that failure."""

    def __init__(self, credentials: Credentials, bounds: Bounds, deadline: Deadline) -> None:
        self._credentials = credentials
        self._bounds = bounds
        self._deadline = deadline
        self._auth_due = credentials.password is not None
        self._connection: _Direct | None = None
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
            self._connection = _Direct(dial(endpoint, self._bounds, self._deadline, guard, names, half), parser)
        except Unheard as error:
            self.failure = unheard(error.reason, error.text)

    def take(self, bound: BoundSocket, parser: type[Any]) -> None:
        """Use a connection that stands."""
        self._connection = _Direct(bound, parser)

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

    def _begin(self, connection: _Direct, deadline: Deadline) -> None:
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
            except _UNREADABLE:
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


class _Direct(Connection):
    """redis-py's packer and parser on a socket of ours, without any command of its own.

    By default it would send up to four commands at connect, each waited for. `redis_connect_func` replaces
    that, in every supported version of redis-py, by what only readies the parser.
    """

    def __init__(self, bound: BoundSocket, parser: type[Any]) -> None:
        self.bound = bound
        super().__init__(  # type: ignore[no-untyped-call]
            protocol=2,
            parser_class=parser,
            encoding_errors="backslashreplace",
            socket_read_size=65536,
            redis_connect_func=_ready_parser,
            **_QUIET,
        )
        self.connect()  # type: ignore[no-untyped-call]

    def _connect(self) -> Any:
        return self.bound

    def end(self) -> None:
        """Close, and let the memory go at once."""
        self.disconnect()  # type: ignore[no-untyped-call]
        # hiredis's parser refers to itself through this, so its buffer would stay until a garbage collection:
        # 64 MB after a thousand connections.
        if hasattr(self._parser, "pubsub_push_handler_func"):
            self._parser.pubsub_push_handler_func = None

    def next_reply(self) -> Reply:
        try:
            return _plain(self.read_response(disable_decoding=True, disconnect_on_error=False))
        except ResponseError as error:
            return _plain(error)


def _ready_parser(connection: Any) -> None:
    connection._parser.on_connect(connection)


def _plain_errors(parser: type[Any]) -> type[Any]:
    """The same parser, which hands out every error reply as a value with its whole text.

    With its own table the parser raises LOADING and NOAUTH as broken connections and, in pure Python, stands
    before that reply for ever; and it takes the code off the text.
    """
    return type(f"PlainErrors{parser.__name__}", (parser,), {"EXCEPTION_CLASSES": {}})


def _plain(value: Any) -> Reply:
    """A parser's value as text, number, nothing, tuple or Refusal."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, (list, tuple, set)):
        # Nearly every item is a text, and a call for each would be half of the work.
        return tuple(
            [item.decode("utf-8", "backslashreplace") if type(item) is bytes else _plain(item) for item in value]
        )
    if isinstance(value, dict):
        return tuple(_plain(item) for pair in value.items() for item in pair)
    if isinstance(value, ResponseError):
        return refusal_of(str(value))
    return str(value)


def _earlier(one: Deadline, other: Deadline) -> Deadline:
    return one if one.remaining_s() <= other.remaining_s() else other


def _wrong_node(reply: Reply, expect_id: NodeId) -> Refusal | None:
    if reply == expect_id:
        return None
    if isinstance(reply, Refusal):
        return reply
    return Refusal(RefusalKind.WRONG_NODE, f"expected node {expect_id}, but {str(reply)[:80]!r} answers there")
