"""CLUSTER NODES replies into beliefs, and back into text.

A thousand views of a thousand nodes are a million lines, and nearly all of them say the same. So a
well-formed reply is cut by one regular expression, its ping and pong times put aside, and what is left
looked up whole: only a line that was never seen before is read field by field. A table that came twice is
known by its stencil from then on. A reply with anything odd in it takes the careful path, line by line.

Every line that is not blank ends as a Belief, as a Problem, or as both when a part of it could be read
(parse_line says which). A line has at most one Problem, with all its reasons.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable
from threading import Lock
from typing import NamedTuple

from rcfail.cluster.nouns import Belief, NodeId, NodesReply, NodeTable, Problem, Pulse
from rcfail.cluster.parse_line import LineReading, read_line
from rcfail.cluster.stencil import Stencil, stencil_of

# id, address, flags, primary · ping and pong · epoch, link, slots. Only the shape, for speed: what the fields
# hold is judged by read_line.
_SHAPE = re.compile(r"^(.{41}\S+ \S+ \S+) ([0-9]{1,20} [0-9]{1,20}) (.+)$", re.ASCII | re.MULTILINE)
_SPACE = " \t\r\v\f"

# A long watch meets ever new lines and tables. One round of 1,000 nodes that all disagree still fits.
_MOST_LINES = 50_000
_MOST_TABLES = 2_000
_MOST_STENCILS = 4


class NumberedLine(NamedTuple):
    """One line as it came, without its newline; `number` counts from 1."""

    number: int
    text: str


MOST_BELIEFS = 20_000
MOST_TABLES = 500


class NodesReader:
    """Reads CLUSTER NODES replies; equal tables, beliefs and strings come out as the same objects.

    Make one for a whole run. Safe to use from several threads at once.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._beliefs: dict[str, Belief] = {}
        self._tables: dict[tuple[str, ...], NodeTable] = {}
        self._stencils: tuple[Stencil, ...] = ()

    @property
    def is_full(self) -> bool:
        """Whether it keeps so much that a new one should take its place: a liar says something new in every round."""
        return len(self._beliefs) > MOST_BELIEFS or len(self._tables) > MOST_TABLES

    def read(self, text: str) -> NodesReply:
        """Read one reply. Total: any text gives a NodesReply, what cannot be read is in `table.problems`."""
        reply = self._read_known(text) or self._read_well_formed(text)
        return reply if reply is not None else self.read_lines(numbered_lines(text), text)

    def read_lines(self, lines: Iterable[NumberedLine], text: str, known: tuple[Problem, ...] = ()) -> NodesReply:
        """The careful path: read each line by itself.

        `known` are problems of lines that the caller has read itself. If there is any problem at all, `text`
        is kept as `odd_text`.
        """
        found: list[tuple[str, str, Belief]] = []
        problems = list(known)
        first_seen: dict[NodeId, int] = {}
        myself: list[NodeId] = []
        for number, raw in lines:
            reading = self._reading(raw.strip(_SPACE))
            reasons = list(reading.reasons)
            belief = reading.belief
            if belief is not None:
                found.append((belief.line, reading.pulse, belief))
                if first_seen.setdefault(belief.node_id, number) != number:
                    reasons.append(f"node id is already in line {first_seen[belief.node_id]}")
                if reading.myself:
                    if myself:
                        reasons.append("another line is marked myself too")
                    myself.append(belief.node_id)
            if reasons:
                problems.append(Problem(number, raw, "; ".join(reasons)))
        found.sort(key=lambda item: item[:2])
        problems.sort(key=lambda problem: problem.line_number)
        beliefs = tuple([belief for _, _, belief in found])
        table = _odd_table(beliefs, tuple(problems)) if problems else self._table_of(beliefs)
        pulses = " ".join([pulse for _, pulse, _ in found])
        return NodesReply(table, tuple(sorted(set(myself))), pulses, text if problems else "")

    def _read_known(self, text: str) -> NodesReply | None:
        """The fastest path: a text that says what others said, or None."""
        if not self._stencils:
            return None
        at = text.find(" myself,")
        observer = _observer_before(text, at)
        lines = text.split("\n")
        lines.sort()
        if not lines[0]:
            del lines[0]  # what stands behind the last newline
        if observer:
            place = bisect_left(lines, observer)
            lines[place] = lines[place].replace(" myself,", " ", 1)
        for stencil in self._stencils:
            pulses = stencil.pulses_in(lines)
            if pulses is not None:
                return NodesReply(stencil.table, (observer,) if observer else (), pulses)
        return None

    def _read_well_formed(self, text: str) -> NodesReply | None:
        """The fast path, or None when the text is not in the one form that servers print today."""
        without_myself, myself = _without_myself(text)
        if without_myself is None:
            return None
        rows = _SHAPE.findall(without_myself)
        if len(rows) != text.count("\n") + (not text.endswith("\n") and text != ""):
            return None
        rows.sort()
        lines = tuple([f"{head} 0 0 {tail}" for head, _, tail in rows])
        table = self._tables.get(lines)
        if table is not None:
            self._remember(table)
        else:
            table = self._new_table(lines)
        if table is None:
            return None
        return NodesReply(table, myself, " ".join([pulse for _, pulse, _ in rows]))

    def _remember(self, table: NodeTable) -> None:
        """A table that came twice will come again. Where every view differs none does, and none is made."""
        if table.beliefs and not any(stencil.table is table for stencil in self._stencils):
            self._stencils = (stencil_of(table), *self._stencils)[:_MOST_STENCILS]

    def _new_table(self, lines: tuple[str, ...]) -> NodeTable | None:
        """The table of these lines, or None when one of them is odd or two have the same id."""
        with self._lock:
            known = self._tables.get(lines)
            if known is not None:
                return known
            beliefs: list[Belief] = []
            for line in lines:
                belief = self._beliefs.get(line)
                if belief is None:
                    belief, _, _, reasons = read_line(line)
                    # A line that is spaced otherwise would never be found again under its own text.
                    if belief is None or reasons or belief.line != line:
                        return None
                    belief = self._keep(belief)
                beliefs.append(belief)
            if len({belief.node_id for belief in beliefs}) != len(beliefs):
                return None
            return self._keep_table(tuple(beliefs))

    def _reading(self, line: str) -> LineReading:
        shape = _SHAPE.fullmatch(line)
        if shape and "myself" not in line:
            known = self._beliefs.get(f"{shape[1]} 0 0 {shape[3]}")
            if known is not None:
                return LineReading(known, shape[2])
        reading = read_line(line)
        if reading.belief is None or reading.reasons:
            return reading
        with self._lock:
            return reading._replace(belief=self._keep(reading.belief))

    def _table_of(self, beliefs: tuple[Belief, ...]) -> NodeTable:
        lines = tuple([belief.line for belief in beliefs])
        with self._lock:
            return self._tables.get(lines) or self._keep_table(beliefs)

    def _keep(self, belief: Belief) -> Belief:
        if len(self._beliefs) >= _MOST_LINES:
            self._beliefs.clear()
        return self._beliefs.setdefault(belief.line, belief)

    def _keep_table(self, beliefs: tuple[Belief, ...]) -> NodeTable:
        if len(self._tables) >= _MOST_TABLES:
            self._tables.clear()
        table = NodeTable(beliefs, (), {belief.node_id: belief for belief in beliefs})
        # The key is made of the beliefs' own strings: a new table costs its pointers, not its text.
        return self._tables.setdefault(tuple([belief.line for belief in beliefs]), table)


def _odd_table(beliefs: tuple[Belief, ...], problems: tuple[Problem, ...]) -> NodeTable:
    # Of two lines with one id the first stands, so it is put in last.
    return NodeTable(beliefs, problems, {belief.node_id: belief for belief in reversed(beliefs)})


def numbered_lines(text: str) -> list[NumberedLine]:
    """The lines of a text that are not blank. Only a newline ends a line: a host name may hold anything else."""
    return [NumberedLine(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip(_SPACE)]


def _without_myself(text: str) -> tuple[str | None, tuple[NodeId, ...]]:
    """The text without its one `myself,` and whose line that was; None when it is not at its usual place."""
    count = text.count("myself")
    if count == 0:
        return text, ()
    at = text.find(" myself,")
    observer = _observer_before(text, at)
    if count > 1 or observer is None:
        return None, ()
    return f"{text[:at]} {text[at + len(' myself,') :]}", (observer,)


def _observer_before(text: str, at: int) -> NodeId | None:
    """The id of the line in which ` myself,` stands at this place, or None when that is not where flags are."""
    head = text[text.rfind("\n", 0, at) + 1 : at] if at > 0 else ""
    return NodeId(head[:40]) if head[40:41] == " " and head.count(" ") == 1 else None


def render_line(belief: Belief, pulse: Pulse | str, myself: bool = False) -> str:
    """One line of CLUSTER NODES, without newline. `pulse` may also be the text "ping pong".

    It is made from `belief.line`: who changes a belief's other fields by hand must change its `line` too.
    """
    node_id, place, flags, primary, _, _, rest = belief.line.split(" ", 6)
    if myself:
        flags = "myself" if flags == "noflags" else f"myself,{flags}"
    beat = pulse if isinstance(pulse, str) else f"{pulse.ping_sent_unix_ms} {pulse.pong_received_unix_ms}"
    return f"{node_id} {place} {flags} {primary} {beat} {rest}"


def render_reply(reply: NodesReply) -> str:
    """The CLUSTER NODES text of a reply: reading it again gives an equal reply."""
    if reply.odd_text:
        return reply.odd_text
    numbers = reply.pulses.split(" ")
    lines = [
        render_line(belief, f"{numbers[2 * at]} {numbers[2 * at + 1]}", belief.node_id in reply.myself)
        for at, belief in enumerate(reply.table.beliefs)
    ]
    return "".join([f"{line}\n" for line in lines])
