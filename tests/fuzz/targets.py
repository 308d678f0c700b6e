"""What is fuzzed: bytes in, nothing out. A target fails by an exception, or by an assertion on what was made of them.

The seeds of each target are what real servers printed (tests/unit/corpus).
"""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from rcfail.clock import SYSTEM_CLOCK, Deadline
from rcfail.cluster.merge import merge
from rcfail.cluster.nouns import Endpoint
from rcfail.cluster.observation import Answer, Observation, Silence
from rcfail.cluster.parse_conf import parse_conf
from rcfail.cluster.parse_info import parse_info, vitals
from rcfail.cluster.parse_links import parse_links
from rcfail.cluster.parse_nodes import NodesReader, render_reply
from rcfail.errors import RcfailError
from rcfail.health.diagnose import diagnose
from rcfail.health.finding import Thresholds
from rcfail.health.verdict import Policy, conclude
from rcfail.render.inert import is_inert_block
from rcfail.render.lines import plain
from rcfail.wire.asks import Questioner
from rcfail.wire.bounds import Bounds, BoundSocket
from rcfail.wire.door import Door
from rcfail.wire.record import load, save

CORPUS = Path(__file__).parent.parent / "unit" / "corpus"
PLACE = Endpoint("127.0.0.1", 6379)
_SEPARATOR = b"\xff\x00"
_MOST_REPLY_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Target:
    """`run` takes one input; `seeds` are inputs that make sense."""

    run: Callable[[bytes], None]
    seeds: Callable[[], tuple[bytes, ...]]


def _text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")


def nodes(data: bytes) -> None:
    """What is read of a table, written and read again, is the same."""
    reply = NodesReader().read(_text(data))
    again = NodesReader().read(render_reply(reply))
    assert again.table.beliefs == reply.table.beliefs


def info(data: bytes) -> None:
    one, _, two = data.partition(_SEPARATOR)
    vitals(_text(one), _text(two), parse_info(_text(one)))


def conf(data: bytes) -> None:
    parse_conf(_text(data))


def links(data: bytes) -> None:
    parse_links(_parsed(data))


def record(data: bytes) -> None:
    """A file is a record or it is refused; what it holds can be judged and printed."""
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        file.write(data)
        file.flush()
        try:
            observation = load(file.name)
        except RcfailError:
            return
    _judge(observation)


def wire(data: bytes) -> None:
    """A node that answers these bytes, whatever it was asked, is an answer or a silence, and can be judged."""
    _judge(_asked(data))


def judge(data: bytes) -> None:
    """Up to four nodes with any tables and any INFO."""
    answers = tuple(_answer(at, part) for at, part in enumerate(data.split(_SEPARATOR)[:4]))
    _judge(Observation(1_700_000_000_000, 10, (PLACE,), answers, ()))


def _answer(at: int, part: bytes) -> Answer:
    table, _, said = part.partition(b"\x00")
    place = Endpoint(f"127.0.0.{at + 1}", 6379)
    return Answer(
        endpoint=place,
        expected=None,
        asked_at_unix_ms=1_700_000_000_000,
        took_ms=1,
        info=_text(said),
        cluster_info=_text(said),
        nodes=NodesReader().read(_text(table)),
        links=None,
        config=parse_info(_text(said)),
        slot_migrations=None,
        absences={},
    )


def _judge(observation: Observation) -> None:
    """From an observation to a page: nothing that a terminal obeys is on it."""
    from rcfail.render.health_json import health_data
    from rcfail.render.health_page import health_page
    from rcfail.render.json import document

    snapshot = merge(observation)
    diagnosis = conclude(diagnose(snapshot, Thresholds()), Policy())
    page = plain(health_page(snapshot, diagnosis, 80, show_all=True))
    assert is_inert_block(page), ascii(page)
    assert is_inert_block(document(health_data(snapshot, diagnosis)))


def _asked(data: bytes) -> Observation:
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    try:
        theirs.send(data[: 1 << 16])
        theirs.shutdown(socket.SHUT_WR)
        with mock.patch("rcfail.wire.conversation.dial", return_value=BoundSocket(ours, SYSTEM_CLOCK)):
            door = Door(bounds=Bounds(read_s=2.0, reply_bytes=_MOST_REPLY_BYTES))
            found = Questioner(door, NodesReader(), SYSTEM_CLOCK).ask(PLACE, Deadline.after(5.0))
    finally:
        ours.close()
        theirs.close()
    if isinstance(found, Silence):
        return Observation(1, 1, (PLACE,), (), (found,))
    return Observation(1, 1, (PLACE,), (found,), ())


def _parsed(data: bytes) -> object:
    """Any nesting of texts, numbers and lists: a byte says what comes next."""
    rest = iter(data)

    def value(depth: int) -> object:
        kind = next(rest, 0) % 5
        size = next(rest, 0) % 16
        if kind == 0 and depth < 6:
            return tuple(value(depth + 1) for _ in range(size))
        if kind == 1:
            return size
        if kind == 2:
            return ("direction", "node", "create-time", "events", "send-buffer-allocated", "to", "from", "rw")[size % 8]
        return _text(bytes(next(rest, 0) for _ in range(size)))

    return value(0)


def _corpus(*kinds: str) -> tuple[bytes, ...]:
    return tuple(path.read_bytes() for kind in kinds for path in sorted(CORPUS.glob(f"*.{kind}.txt")))


def _bulk(*texts: bytes) -> bytes:
    return b"".join(b"$%d\r\n%s\r\n" % (len(text), text) for text in texts)


def _tables() -> tuple[bytes, ...]:
    return tuple(path.read_bytes() for path in sorted(CORPUS.glob("*.nodes.txt")))


def _wire_seeds() -> tuple[bytes, ...]:
    said = b"# Server\r\nredis_version:8.2.3\r\nredis_mode:cluster\r\n"
    state = b"cluster_state:ok\r\ncluster_current_epoch:6\r\n"
    settings = b"*2\r\n$20\r\ncluster-node-timeout\r\n$5\r\n15000\r\n" * 6
    return tuple(_bulk(said, state, table) + settings for table in _tables())


def _record_seeds() -> tuple[bytes, ...]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "seed.json"
        seeds = []
        for seed in _wire_seeds()[:3]:
            save(_asked(seed), str(path))
            seeds.append(path.read_bytes())
        return tuple(seeds)


TARGETS = {
    "nodes": Target(nodes, _tables),
    "info": Target(info, lambda: _corpus("*info")),
    "conf": Target(conf, lambda: tuple(path.read_bytes() for path in sorted(CORPUS.glob("*conf*")))),
    "links": Target(links, lambda: (b"\x00\x02\x00\x0c\x02\x00",)),
    "record": Target(record, _record_seeds),
    "wire": Target(wire, _wire_seeds),
    "judge": Target(judge, lambda: tuple(_SEPARATOR.join((each, each)) for each in _tables())),
}
