"""What the audit says: runs, what was sent, and what was not finished. Read from its end, for it only grows."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rcfail.change.audit import Kind
from rcfail.change.locks.owner import Owner, lives_here
from rcfail.cluster.nouns import NodeId

_BLOCK = 1 << 16
_LONGEST_LINE = 1 << 22


@dataclass(frozen=True, slots=True)
class Send:
    """One command that was about to leave. `answered` False: no line stands after it. `left`: it may have worked."""

    node: str
    address: str
    command: tuple[str, ...]
    at_unix_ms: int
    answered: bool
    reply: str | None
    left: bool


@dataclass(frozen=True, slots=True)
class PastRun:
    """One run, as far as its lines tell. `running`: its process lives on this host. Times on the host's own clock."""

    run: str
    command: str
    owner: Owner
    nodes: tuple[str, ...]
    plan: Mapping[str, Any]
    sends: tuple[Send, ...]
    verified: tuple[Mapping[str, Any], ...]
    exit_code: int | None
    running: bool

    @property
    def indeterminate(self) -> bool:
        """What became of something that may have been carried out was not written: it has to be looked at."""
        if self.running:
            return False
        unseen = self.exit_code is None and len(self.verified) < sum(each.left for each in self.sends)
        return unseen or any(not each.answered for each in self.sends)


@dataclass(frozen=True, slots=True)
class Stood:
    """A node was sent what makes it stand for election."""

    node: NodeId
    at_unix_ms: int


def past_runs(
    path: Path, limit: int | None = None, wanted: Callable[[PastRun], bool] = lambda _: True
) -> list[PastRun]:
    """The last `limit` runs that are wanted, the newest last. A file that is not there has none. Raises OSError."""
    later: dict[str, list[Mapping[str, Any]]] = {}
    found: list[PastRun] = []
    for line in _lines_from_end(path):
        said = _read(line)
        if said is None:
            continue
        lines = later.setdefault(said["run"], [])
        lines.append(said)
        if said["line"] == Kind.BEGIN:
            run = _run(later.pop(said["run"])[::-1])
            if run is not None and wanted(run):
                found.append(run)
                if limit is not None and len(found) >= limit:
                    break
    return found[::-1]


def past_elections(path: Path, nodes: Collection[NodeId]) -> tuple[Stood, ...]:
    """When each of these nodes was last made to stand for election by a send of ours. Raises OSError.

    A takeover asks for no votes. What the server refused did not begin; what has no answer may have.
    """
    marks = {each.encode(): each for each in nodes}
    left, refused, found = set(nodes), set[tuple[str, int, str]](), []
    for line in _lines_from_end(path):
        if not left:
            break
        if not any(mark in line for mark in marks) or (said := _read(line)) is None:
            continue
        node, key = said.get("node"), (said["run"], said.get("step", 0), str(said.get("node")))
        if said["line"] == Kind.AFTER and (not said.get("left", True) or _is_no(said.get("reply"))):
            refused.add(key)
        elif said["line"] == Kind.BEFORE and node in left and _asks_votes(said.get("sent")) and key not in refused:
            found.append(Stood(NodeId(node), said["at_unix_ms"]))
            left.discard(node)
    return tuple(found)


def last_words(path: Path, owner: Owner) -> str:
    """The last line that a run wrote, as it stands there, or "" where there is none."""
    mark = owner.token.encode()
    try:
        for line in _lines_from_end(path):
            if mark in line and (said := _read(line)) is not None and said["run"] == owner.token:
                return line.decode("utf-8", "backslashreplace")
    except OSError:
        pass
    return ""


def _is_no(reply: object) -> bool:
    return isinstance(reply, str) and reply != "OK"


def _asks_votes(sent: object) -> bool:
    words = [str(each).upper() for each in sent] if isinstance(sent, list) else []
    return words[:2] == ["CLUSTER", "FAILOVER"] and "TAKEOVER" not in words


def _run(lines: list[Mapping[str, Any]]) -> PastRun | None:
    """From the lines of one run in their order, or None where the first one is not whole."""
    begin = lines[0]
    try:
        who = begin["who"]
        owner = Owner(
            token=begin["run"],
            host=str(who["host"]),
            boot=str(who["boot"]),
            pid=int(who["pid"]),
            started=str(who["started"]),
            user=str(who["user"]),
            sudo_user=str(who["sudo_user"]),
            reason=str(begin["reason"]),
            at_unix_ms=begin["at_unix_ms"],
        )
        nodes, plan = tuple(map(str, begin["nodes"])), dict(begin["plan"])
    except (KeyError, TypeError, ValueError):
        return None
    ends = [each.get("exit_code") for each in lines if each["line"] == Kind.END]
    return PastRun(
        run=owner.token,
        command=str(begin.get("command", "")),
        owner=owner,
        nodes=nodes,
        plan=plan,
        sends=tuple(_sends(lines)),
        verified=tuple(each for each in lines if each["line"] == Kind.VERIFIED),
        exit_code=next((each for each in ends if isinstance(each, int)), None),
        running=not ends and lives_here(owner),
    )


def _sends(lines: list[Mapping[str, Any]]) -> Iterator[Send]:
    after = {(each.get("step"), each.get("node")): each for each in lines if each["line"] == Kind.AFTER}
    for each in lines:
        if each["line"] != Kind.BEFORE:
            continue
        answer = after.get((each.get("step"), each.get("node")))
        reply = answer.get("reply") if answer else None
        sent = each.get("sent")
        yield Send(
            node=str(each.get("node")),
            address=str(each.get("address")),
            command=tuple(map(str, sent)) if isinstance(sent, list) else (),
            at_unix_ms=each["at_unix_ms"],
            answered=answer is not None,
            reply=reply if isinstance(reply, str) else None,
            left=answer is None or bool(answer.get("left", True)),
        )


def _read(line: bytes) -> dict[str, Any] | None:
    """One line, or None where it is torn or not ours."""
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, dict) or not isinstance(said.get("run"), str) or not isinstance(said.get("line"), str):
        return None
    return said if type(said.get("at_unix_ms")) is int else None


def _lines_from_end(path: Path) -> Iterator[bytes]:
    """The lines, the last one first. What is too long to be one of ours is left out."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        return
    with os.fdopen(handle, "rb") as file:
        at, rest = file.seek(0, os.SEEK_END), b""
        while at > 0:
            size = min(_BLOCK, at)
            at -= size
            file.seek(at)
            block = file.read(size) + rest
            first, *whole = block.split(b"\n")
            yield from (each for each in reversed(whole) if each)
            rest = first if len(first) <= _LONGEST_LINE else b""
        if rest:
            yield rest
