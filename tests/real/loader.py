"""Write load on a real cluster from a process of its own, and the truth about it afterwards.

Nothing of the program under test is used here: it is what that program is held against. Every write sets a new key, so
each one that was acknowledged can be looked for at the end, at whoever owns it then.

    with Loader(lab.nodes, slots=[0]) as load:   # returns when each writer has had its first answer
        ...                                      # break things
    load.shards[0].lost                          # acknowledged, and not there
"""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from tests.real.resp import Err, Mute, Reply, Wire, key_in

ANSWER_S = 2.0
BATCH = 500
FIRST_S = 30.0
LAST_S = 120.0
REPOSITORY = Path(__file__).parents[2]

Place = tuple[str, int]


class Node(Protocol):
    """What is needed of a lab's node."""

    @property
    def host(self) -> str: ...

    @property
    def port(self) -> int: ...


@dataclass
class ShardLoad:
    """One writer's truth. `gap_ms` is the longest time between two acknowledged writes, or to the end, if longer.

    `lost` were acknowledged and are not there; `lost_bytes` is what those take in the stream to replicas. `appeared`
    got no answer and are there; `resurrected` were answered with an error and are there. `where` answered at the end.
    """

    slot: int
    acknowledged: int = 0
    unknown: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    gap_ms: float = 0.0
    gap_began_s: float = 0.0
    lost: int = 0
    lost_bytes: int = 0
    appeared: int = 0
    resurrected: int = 0
    where: str = ""


class Loader:
    """Load in another process. `slots`: one writer each; `every_s`: a pause after each write, none by default."""

    def __init__(
        self,
        nodes: Iterable[Node],
        slots: Sequence[int] = (0, 6000, 12000),
        every_s: float = 0.0,
    ) -> None:
        self._order = {"nodes": [(node.host, node.port) for node in nodes], "slots": list(slots), "every_s": every_s}
        self._process: subprocess.Popen[str] | None = None
        self.shards: tuple[ShardLoad, ...] = ()

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.real.loader", json.dumps(self._order)],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        first = self._process.stdout.readline()
        if first != "ready\n":
            self._end()
            raise AssertionError(f"the load did not begin: {first!r}")
        return self

    def stop(self, read_at: Iterable[Node] = ()) -> tuple[ShardLoad, ...]:
        """End the writing, and look for everything: at the owner, or at `read_at`, where several claim to be that."""
        if self._process is None:
            return self.shards
        places = [(node.host, node.port) for node in read_at]
        try:
            said, _ = self._process.communicate(json.dumps(places) + "\n", timeout=LAST_S)
        finally:
            self._end()
        self.shards = tuple(ShardLoad(**each) for each in json.loads(said))
        return self.shards

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        if kind is None:
            self.stop()
        self._end()

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()

    @property
    def acknowledged(self) -> int:
        return sum(each.acknowledged for each in self.shards)

    @property
    def lost(self) -> int:
        return sum(each.lost for each in self.shards)


class Writer:
    """One connection that writes to one slot until it is stopped. Runs in the other process."""

    def __init__(self, nodes: Sequence[Place], slot: int, every_s: float) -> None:
        self._nodes = list(nodes)
        self._at = 0
        self._tag = key_in(slot)
        self._token = secrets.token_hex(4)  # what an earlier load left behind is none of this one's
        self._every_s = every_s
        self._wire: Wire | None = None
        self._errors: Counter[str] = Counter()
        self._acknowledged: list[int] = []
        self._unknown: list[int] = []
        self._refused: list[int] = []
        self._last_s = 0.0
        self.truth = ShardLoad(slot)
        self.first = threading.Event()

    def key(self, number: int) -> str:
        return f"{{{self._tag}}}:{self._token}:{number}"

    def run(self, over: threading.Event) -> None:
        number = 0
        while not over.is_set():
            number += 1
            self._write(number)
            if self._every_s:
                over.wait(self._every_s)
        self._gap(time.monotonic())
        self._close()

    def _write(self, number: int) -> None:
        wire = self._wired()
        if wire is None:
            return
        try:
            reply = wire.call("SET", self.key(number), number)
        except Mute:
            self._unknown.append(number)
            self._errors["mute"] += 1
            self._turn()
            return
        if reply == "OK":
            self._acknowledged.append(number)
            self._gap(time.monotonic())
            self.first.set()
            return
        self._refused.append(number)
        self._errors[str(getattr(reply, "text", reply)).split()[0]] += 1
        self._follow(reply)

    def _gap(self, now_s: float) -> None:
        if self._last_s and (now_s - self._last_s) * 1000 > self.truth.gap_ms:
            self.truth.gap_ms, self.truth.gap_began_s = (now_s - self._last_s) * 1000, self._last_s
        self._last_s = now_s

    def look(self, read_at: Sequence[Place]) -> None:
        """Read every key that was ever tried, from its owner."""
        if read_at:
            self._nodes, self._at = list(read_at), 0
        truth = self.truth
        truth.acknowledged, truth.unknown = len(self._acknowledged), len(self._unknown)
        truth.errors = dict(self._errors)
        lost = self._gone(self._acknowledged)
        truth.lost = len(lost)
        truth.lost_bytes = sum(len(_packed("SET", self.key(each), str(each))) for each in lost)
        truth.appeared = truth.unknown - len(self._gone(self._unknown))
        truth.resurrected = len(self._refused) - len(self._gone(self._refused))
        self._close()

    def _gone(self, numbers: Sequence[int]) -> list[int]:
        gone: list[int] = []
        for at in range(0, len(numbers), BATCH):
            some = numbers[at : at + BATCH]
            values = self._read(["MGET", *(self.key(each) for each in some)])
            gone += [each for each, value in zip(some, values, strict=True) if value != str(each)]
        return gone

    def _read(self, words: Sequence[str]) -> Sequence[Reply]:
        ends = time.monotonic() + LAST_S / 4
        said: object = None
        while time.monotonic() < ends:
            wire = self._wired()
            if wire is None:
                continue
            try:
                said = wire.call(*words)
            except Mute:
                self._turn()
                continue
            if isinstance(said, tuple) and not isinstance(said, Err):
                host, port = self._nodes[self._at]
                self.truth.where = f"{host}:{port}"
                return said
            self._follow(said)
        raise AssertionError(f"slot {self.truth.slot} was not readable: {said!r}")

    def _wired(self) -> Wire | None:
        if self._wire is None:
            try:
                self._wire = Wire(*self._nodes[self._at], ANSWER_S)
            except Mute:
                self._errors["no-connection"] += 1
                self._turn()
        return self._wire

    def _follow(self, reply: object) -> None:
        text = reply.text if isinstance(reply, Err) else ""
        if text.startswith("MOVED "):
            host, _, port = text.split()[2].rpartition(":")
            place = (host, int(port))
            if place in self._nodes:
                self._close()
                self._at = self._nodes.index(place)
        else:
            self._turn()

    def _turn(self) -> None:
        """To the next node, after a moment: nobody serves the slot just now."""
        self._close()
        self._at = (self._at + 1) % len(self._nodes)
        threading.Event().wait(0.01)

    def _close(self) -> None:
        if self._wire is not None:
            self._wire.close()
            self._wire = None


def _packed(*words: str) -> bytes:
    texts = [word.encode() for word in words]
    return b"*%d\r\n" % len(texts) + b"".join(b"$%d\r\n%b\r\n" % (len(text), text) for text in texts)


def main(order: dict[str, Any]) -> None:
    """Write until a line comes in that names where to read; then print the truth."""
    nodes = [(host, port) for host, port in order["nodes"]]
    writers = [Writer(nodes, slot, order["every_s"]) for slot in order["slots"]]
    over = threading.Event()
    threads = [threading.Thread(target=each.run, args=(over,), daemon=True) for each in writers]
    for thread in threads:
        thread.start()
    began = all(each.first.wait(FIRST_S) for each in writers)
    print("ready" if began else "nobody takes a write", flush=True)
    line = sys.stdin.readline()
    over.set()
    for thread in threads:
        thread.join(LAST_S)
    if not line:
        return  # who started us is gone
    for each in writers:
        each.look([(host, port) for host, port in json.loads(line)])
    print(json.dumps([asdict(each.truth) for each in writers]), flush=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
