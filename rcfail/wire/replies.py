"""redis-py's parsers on a socket of ours, and what they make of bytes as plain values."""

from __future__ import annotations

import sys
from typing import Any, TypeAlias

from redis.connection import Connection
from redis.exceptions import RedisError, ResponseError

from rcfail.wire.bounds import BoundSocket
from rcfail.wire.refusals import Refusal, refusal_of

Reply: TypeAlias = "str | int | tuple[Reply, ...] | Refusal | None"

# Otherwise every single connection looks up redis-py's version among the installed packages, in 0.8 ms. Before 7.2
# there was neither the module nor the argument.
_QUIET: dict[str, Any] = {"driver_info": None} if "redis.driver_info" in sys.modules else {}

# What the parsers of redis-py raise when bytes are not the protocol: their own errors, int() of a word, arrays
# without end nested in each other, lengths that no memory holds.
UNREADABLE = (RedisError, OSError, ValueError, ArithmeticError, LookupError, TypeError, RecursionError, MemoryError)


class Direct(Connection):
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


def plain_errors(parser: type[Any]) -> type[Any]:
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
