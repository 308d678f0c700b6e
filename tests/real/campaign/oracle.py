"""What a cluster really does at this moment, found out without rcfail: raw sockets, and an honest client.

Nothing here is taken from the program under test, or it would only be compared with itself. What the register of a
lab says (names, addresses, process ids) is all that is used of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from rcfail.clock import SYSTEM_CLOCK
from tests.real.resp import Err, Mute, Reply, Wire, key_in
from tests.real.servers import RunningLab

WITHIN_S = 0.6
"""A server on this machine that takes longer to answer is as good as silent."""

_WAIT_MS = 400
_MOST_HOPS = 6

Fact = tuple[str, ...]
"""Something that is wrong: its kind, then whom it is about. `("gone", "n1")`, `("write", "77", "n4")`."""


class Line(NamedTuple):
    """One line of CLUSTER NODES, as far as it is needed here."""

    name: str
    flags: frozenset[str]
    primary: str
    epoch: int
    slots: tuple[tuple[int, int], ...]
    open: tuple[str, ...]

    def owns(self, slot: int) -> bool:
        return any(first <= slot <= last for first, last in self.slots)


@dataclass(frozen=True, slots=True)
class Word:
    """What one node says: of all (`lines`, by the lab's names), and of itself."""

    name: str
    lines: Mapping[str, Line]
    state: str
    role: str
    link: str
    keys: int

    @property
    def own(self) -> Line | None:
        return self.lines.get(self.name)

    def shape(self) -> tuple[object, ...]:
        """All that does not change at rest."""
        return (self.name, tuple(sorted(self.lines.values())), self.state, self.role, self.link)


@dataclass(frozen=True, slots=True)
class Truth:
    """One look at everything. `writes` and `reads`: by slot and entry node, "" where it worked, else why not.

    `copies`: by primary, how many replicas confirmed a write to it. `began_s`, `ended_s` are on the monotonic clock.
    """

    began_s: float
    ended_s: float
    processes: Mapping[str, str]
    words: Mapping[str, Word | str]
    writes: Mapping[tuple[int, str], str]
    reads: Mapping[tuple[int, str], str]
    copies: Mapping[str, int]

    @property
    def shape(self) -> tuple[object, ...]:
        """What stays the same at rest: the nodes' own tables, their state, their links, their processes."""
        words = tuple(word.shape() if isinstance(word, Word) else name for name, word in sorted(self.words.items()))
        return (tuple(sorted(self.processes.items())), words)

    @property
    def heard(self) -> Iterator[Word]:
        return (word for word in self.words.values() if isinstance(word, Word))

    def text(self) -> str:
        """The facts in one line; those that differ in the last word only are told together."""
        told: dict[Fact, list[str]] = {}
        wrong = facts(self)
        for *head, last in sorted(wrong):
            if head[:1] not in (["write"], ["read"]) or (f"no-{head[0]}", head[1]) not in wrong:
                told.setdefault(tuple(head), []).append(last)
        return ", ".join(" ".join((*head, *last)) for head, last in told.items()) or "nothing is wrong"


class Oracle:
    """Looks at one lab. `slots` are those that are written and read."""

    def __init__(self, lab: RunningLab, slots: Iterable[int]) -> None:
        self._lab = lab
        self._keys = {slot: key_in(slot) for slot in slots}
        self._count = 0

    def look(self, serve: bool = True) -> Truth:
        """Ask every node of the lab; with `serve` also write and read through each of them."""
        began_s = SYSTEM_CLOCK.monotonic_s()
        nodes = self._lab.nodes
        processes = {node.name: process_state(node.process.pid if node.process else 0) for node in nodes}
        with _Calls({(node.host, node.port): node.name for node in nodes}) as calls:
            names = {str(node.node_id): node.name for node in nodes}
            words = {node.name: _word(calls, node.name, node.host, node.port, names) for node in nodes}
            client = _Client(calls, self._next())
            living = [node for node in nodes if isinstance(words[node.name], Word)] if serve else []
            for slot, key in self._keys.items():
                for node in living:
                    client.visit(slot, key, node.name, (node.host, node.port))
        return Truth(
            began_s,
            SYSTEM_CLOCK.monotonic_s(),
            processes,
            words,
            client.writes,
            client.reads,
            client.copies,
        )

    def _next(self) -> str:
        self._count += 1
        return str(self._count)


_Place = tuple[str, int]


@dataclass(slots=True)
class _Calls:
    """The connections of one look. Who was mute for a command stays so: nobody is waited for twice."""

    names: Mapping[_Place, str]
    _wires: dict[_Place, Wire] = field(default_factory=dict)
    _mute: dict[tuple[_Place, str], str] = field(default_factory=dict)

    def call(self, place: _Place, *words: str | int) -> Reply:
        verb = str(words[0])
        why = self._mute.get((place, "")) or self._mute.get((place, verb))
        if why:
            raise Mute(why)
        wire = self._wires.get(place)
        try:
            if wire is None:
                verb = ""
                wire = self._wires[place] = Wire(*place, WITHIN_S)
                verb = str(words[0])
            return wire.call(*words)
        except Mute as error:
            self._mute[place, verb] = f"mute: {error}"
            if (gone := self._wires.pop(place, None)) is not None:
                gone.close()
            raise

    def __enter__(self) -> _Calls:
        return self

    def __exit__(self, *_: object) -> None:
        for wire in self._wires.values():
            wire.close()


@dataclass(slots=True)
class _Client:
    """A cluster client that follows where it is sent."""

    calls: _Calls
    value: str
    writes: dict[tuple[int, str], str] = field(default_factory=dict)
    reads: dict[tuple[int, str], str] = field(default_factory=dict)
    copies: dict[str, int] = field(default_factory=dict)

    def visit(self, slot: int, key: str, entry: str, place: _Place) -> None:
        why, owner = self._follow(place, "SET", key, self.value)
        self.writes[slot, entry] = why
        if not why and (name := self.calls.names.get(owner, "?")) not in self.copies:
            self.copies[name] = self._confirmed(owner)
        self.reads[slot, entry], _ = self._follow(place, "GET", key)

    def _follow(self, place: _Place, *words: str) -> tuple[str, _Place]:
        """Why it did not work, or "", and who had the last word."""
        asking = False
        for _ in range(_MOST_HOPS):
            try:
                if asking:
                    self.calls.call(place, "ASKING")
                reply = self.calls.call(place, *words)
            except Mute as error:
                return f"{self.calls.names.get(place, place)} {error}", place
            if not isinstance(reply, Err):
                return "", place
            kind, *rest = reply.text.split(" ")
            if kind not in ("MOVED", "ASK"):
                return f"{self.calls.names.get(place, place)}: {reply.text}", place
            host, _, port = rest[1].rpartition(":")
            place, asking = (host or place[0], int(port)), kind == "ASK"
        return "sent from one to the other without end", place

    def _confirmed(self, place: _Place) -> int:
        try:
            reply = self.calls.call(place, "WAIT", 1, _WAIT_MS)
        except Mute:
            return 0
        return reply if isinstance(reply, int) else 0


def facts(truth: Truth) -> frozenset[Fact]:
    """All that is wrong in one look."""
    return frozenset((*_of_processes(truth), *_of_service(truth), *_of_words(truth), *_of_shards(truth)))


def _of_processes(truth: Truth) -> Iterator[Fact]:
    for name, state in truth.processes.items():
        if state != "running":
            yield (state, name)
        elif not isinstance(truth.words[name], Word):
            yield ("mute", name)


def _of_service(truth: Truth) -> Iterator[Fact]:
    for verb, tried in (("write", truth.writes), ("read", truth.reads)):
        for slot in sorted({slot for slot, _ in tried}):
            failed = {entry: why for (at, entry), why in tried.items() if at == slot and why}
            yield from ((verb, str(slot), entry) for entry in failed)
            entries = sum(1 for at, _ in tried if at == slot)
            if len(failed) == entries:
                yield (f"no-{verb}", str(slot))
            elif 2 * len(failed) > entries:
                yield (f"hardly-{verb}", str(slot))
    yield from (("copy", name) for name, count in truth.copies.items() if not count)


def _of_words(truth: Truth) -> Iterator[Fact]:
    for word in truth.heard:
        if word.state != "ok":
            yield ("state", word.name)
        if word.role == "slave" and word.link != "up":
            yield ("link", word.name)
        for name in truth.words:
            line = word.lines.get(name)
            if line is None:
                yield ("stranger", word.name, name)
            elif line.flags & {"fail", "fail?"}:
                yield ("flag", word.name, name)
        own = word.own
        if own is not None:
            yield from (("open", word.name, mark) for mark in own.open if "master" in own.flags)
            if "nofailover" in own.flags and "slave" in own.flags:
                yield ("nofailover", word.name)


def _of_shards(truth: Truth) -> Iterator[Fact]:
    followed = {word.own.primary for word in truth.heard if word.own and word.role == "slave" and word.link == "up"}
    owners = [word.own for word in truth.heard if word.own and word.own.slots]
    for own in owners:
        if own.name not in followed:
            yield ("alone", own.name)
    for at, own in enumerate(owners):
        for other in owners[at + 1 :]:
            if any(a <= d and c <= b for a, b in own.slots for c, d in other.slots):
                yield ("disputed", own.name, other.name)
    if not any(_sees_majority(truth, word) for word in truth.heard):
        yield ("quorum",)
    for slot in sorted({slot for slot, _ in truth.writes}):
        claims = {own.name for own in owners if own.owns(slot)}
        for word in truth.heard:
            if claims and any(line.owns(slot) and line.name not in claims for line in word.lines.values()):
                yield ("astray", word.name, str(slot))


def _sees_majority(truth: Truth, word: Word) -> bool:
    """Whether enough voters are unflagged in this view, and really run."""
    voters = [line for line in word.lines.values() if line.slots]
    up = [line for line in voters if not line.flags & {"fail", "fail?"} and truth.processes[line.name] == "running"]
    return len(up) >= len(voters) // 2 + 1


def _word(calls: _Calls, name: str, host: str, port: int, names: Mapping[str, str]) -> Word | str:
    try:
        info = calls.call((host, port), "INFO")
        state = calls.call((host, port), "CLUSTER", "INFO")
        table = calls.call((host, port), "CLUSTER", "NODES")
    except Mute as error:
        return str(error)
    if not (isinstance(info, str) and isinstance(state, str) and isinstance(table, str)):
        return next(reply.text for reply in (info, state, table) if isinstance(reply, Err))
    said, cluster = _fields(info), _fields(state)
    keys = said.get("db0", "keys=0,").partition("keys=")[2].partition(",")[0]
    link = said.get("master_link_status", "")
    return Word(name, _table(table, names), cluster["cluster_state"], said["role"], link, int(keys))


def _fields(text: str) -> dict[str, str]:
    return {name: value for name, _, value in (line.partition(":") for line in text.split("\r\n"))}


def _table(text: str, names: Mapping[str, str]) -> dict[str, Line]:
    """The lines of the lab's nodes; a node being met is nobody yet."""
    found = {}
    for row in text.splitlines():
        node_id, _, flags, primary, _, _, epoch, _, *slots = row.split(" ")
        if (name := names.get(node_id)) is not None and "handshake" not in flags:
            ranges = tuple(_range(slot) for slot in slots if not slot.startswith("["))
            marks = tuple(slot[1:].split("-")[0] for slot in slots if slot.startswith("["))
            kept = frozenset(flags.split(",")) - {"myself"}
            found[name] = Line(name, kept, names.get(primary, ""), int(epoch), ranges, marks)
    return found


def _range(text: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    return int(first), int(last or first)


def process_state(pid: int) -> str:
    """running, frozen or gone, from /proc/PID/stat."""
    with suppress(OSError):
        state = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()[0]
        return {"T": "frozen", "t": "frozen", "Z": "gone", "X": "gone"}.get(state, "running")
    return "gone"
