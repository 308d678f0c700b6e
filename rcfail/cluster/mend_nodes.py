"""A nodes.conf that a server starts with, made of what can be kept of a broken one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from rcfail.cluster.lint_line import AUX_NAMES, FIELDS, FLAGS, ConfLine, is_aux, shown
from rcfail.cluster.lint_nodes import Lint, is_named, shard_of
from rcfail.cluster.mend_primary import lines_for_primaries
from rcfail.cluster.nouns import SLOT_COUNT, Belief, NodeId, Role, SlotRange
from rcfail.cluster.parse_line import node_id_of


class Change(StrEnum):
    DROPPED = "dropped"
    CHANGED = "changed"
    ADDED = "added"


@dataclass(frozen=True, slots=True)
class Edit:
    """What was done to one line of the old file; `line_number` 0 is one that it did not have."""

    change: Change
    line_number: int
    before: str
    after: str
    why: str


@dataclass(frozen=True, slots=True)
class Mended:
    """`text` is the whole new file. Without one `refused` says in a sentence why there is none."""

    text: str = ""
    edits: tuple[Edit, ...] = ()
    refused: str = ""


_SPELLING = "blanks and line end as a server writes them"
_AS_WRITTEN = {"primary": "master", "replica": "slave"}


@dataclass(frozen=True, slots=True)
class _Row:
    """A line on its way into the new file."""

    line: ConfLine
    belief: Belief
    myself: bool
    text: str
    whys: tuple[str, ...] = ()

    @property
    def epoch(self) -> int:
        return self.belief.config_epoch


def mend(lint: Lint, self_id: str = "") -> Mended:
    """Keep every line that says what a server can take, in its order. Owned slots go to the higher epoch. Nobody is
    made up but primaries that replicas name: without a line for the node itself there is no file. `self_id` says which
    line that is."""
    rows, edits = _readable(lint.lines)
    own, why = _own_line([each.line for each in rows], self_id)
    if own is None:
        return Mended(refused=why)
    rows = [_marked(each, each.line is own) for each in rows]
    rows, more = _one_each(rows)
    edits += more
    rows = [_dressed(each) for each in _disjoint(rows)]
    rows = _known_marks(_same_shards(rows))
    for each in rows:
        after = each.text
        if after != each.line.raw:
            why = "; ".join(each.whys) or _SPELLING
            edits.append(Edit(Change.CHANGED, each.line.number, shown(each.line.raw), after, why))
    primaries = lines_for_primaries([each.belief for each in rows], lint.lines)
    edits += [
        Edit(Change.ADDED, 0, "", each, "a replica follows it; the rest is learned from the others")
        for each in primaries
    ]
    vars_line, vars_edits = _vars(lint, max(each.epoch for each in rows))
    edits += vars_edits
    edits.sort(key=lambda each: each.line_number or 1 << 30)
    texts = (*(each.text for each in rows), *primaries, vars_line)
    return Mended("".join(f"{text}\n" for text in texts), tuple(edits))


def _readable(lines: Iterable[ConfLine]) -> tuple[list[_Row], list[Edit]]:
    rows, edits = list[_Row](), list[Edit]()
    for line in lines:
        if line.is_vars:
            continue
        why = _unusable(line)
        if why:
            edits.append(Edit(Change.DROPPED, line.number, shown(line.raw), "", why))
        else:
            assert line.belief is not None
            rows.append(_Row(line, line.belief, line.myself, " ".join(line.fields)))
    return rows, edits


def _unusable(line: ConfLine) -> str:
    belief = line.belief
    if belief is None:
        return "it says nothing that can be read" if len(line.fields) < FIELDS else "no node can be read in it"
    if belief.config_epoch >= 1 << 64:
        return "its config epoch is no number of 64 bits"
    if ":" not in line.fields[1].split(",")[0].split("@")[0] and not line.myself:
        return "it says no address"
    if belief.handshake and not line.myself:
        return "it was still being met, and has no id of its own yet"
    return ""


def _own_line(lines: list[ConfLine], self_id: str) -> tuple[ConfLine | None, str]:
    """The line of the node itself, or why there is none."""
    if self_id:
        named = [each for each in lines if is_named(each, self_id)]
        ids = {each.node_id for each in named}
        if len(ids) == 1:
            return next((each for each in named if each.myself), named[0]), ""
        return None, f"{'no line that can be kept is' if not ids else 'several lines are'} about {self_id}"
    own = [each for each in lines if each.myself]
    if len({each.node_id for each in own}) == 1:
        return own[0], ""
    if own:
        return None, "two lines say that they are the node itself: say which with --self ID|HOST:PORT"
    return None, "no line that can be kept says which node this is: its identity is not in the file"


def _marked(row: _Row, myself: bool) -> _Row:
    """The mark `myself` at the one line, and at no other; a node does not hold itself for failed."""
    fields = row.text.split(" ")
    flags = [each for each in fields[2].split(",") if each in FLAGS and each not in ("myself", "noflags")]
    flags = [_AS_WRITTEN.get(each, each) for each in flags]
    if myself:
        flags = ["myself", *(each for each in flags if each not in ("fail", "fail?", "handshake", "noaddr"))]
    if {"master", "slave"} <= set(flags):
        flags.remove("master" if row.belief.primary_id else "slave")
    if myself and not {"master", "slave"} & set(flags):
        flags.append("slave" if row.belief.primary_id else "master")
    text = ",".join(flags) or "noflags"
    whys = () if text == fields[2] else (f"flags {fields[2]} become {text}",)
    role = Role.REPLICA if "slave" in flags else Role.PRIMARY if "master" in flags else Role.UNKNOWN
    fields[2] = text
    belief = replace(row.belief, role=row.belief.role if row.belief.role is not Role.UNKNOWN else role)
    return replace(row, text=" ".join(fields), myself=myself, belief=belief, whys=whys)


def _one_each(rows: list[_Row]) -> tuple[list[_Row], list[Edit]]:
    """Of two lines with one id that of the node itself stays, else that with the higher epoch, else the first."""
    best: dict[NodeId, _Row] = {}
    for row in rows:
        other = best.get(row.belief.node_id)
        if other is None or (row.myself, row.epoch) > (other.myself, other.epoch):
            best[row.belief.node_id] = row
    edits = [
        Edit(Change.DROPPED, row.line.number, shown(row.line.raw), "", _same_id(best[row.belief.node_id]))
        for row in rows
        if row is not best[row.belief.node_id]
    ]
    return [row for row in rows if row is best[row.belief.node_id]], edits


def _same_id(kept: _Row) -> str:
    return f"its node id stands in line {kept.line.number} too, and that one is kept"


def _disjoint(rows: list[_Row]) -> list[_Row]:
    """Each slot to one: a replica owns none, and of several claims the highest epoch holds, else the first line."""
    order = sorted(range(len(rows)), key=lambda at: (-rows[at].epoch, at))
    taken = bytearray(SLOT_COUNT)
    for at in order:
        row = rows[at]
        slots, why = _free(row.belief.slots, taken), ""
        if row.belief.role is Role.REPLICA and slots:
            slots, why = (), "a replica owns no slots"
        elif slots != row.belief.slots:
            why = "slots that a line with a higher epoch, or an earlier one, owns are left out"
        for first, last in slots:
            taken[first : last + 1] = b"\1" * (last + 1 - first)
        rows[at] = replace(row, belief=replace(row.belief, slots=slots), whys=(*row.whys, *([why] if why else [])))
    return rows


def _free(ranges: tuple[SlotRange, ...], taken: bytearray) -> tuple[SlotRange, ...]:
    """Those of the slots that nobody has taken."""
    found: list[SlotRange] = []
    for first, last in ranges:
        begin = taken.find(0, first, last + 1)
        while begin >= 0:
            end = taken.find(1, begin, last + 1)
            found.append((begin, (end if end >= 0 else last + 1) - 1))
            begin = taken.find(0, end, last + 1) if end >= 0 else -1
    return tuple(found)


def _dressed(row: _Row) -> _Row:
    """Address, primary, times, epoch and slots as a server writes them."""
    fields, whys = row.text.split(" "), list(row.whys)
    place, said = _place(fields[1], row.myself)
    whys += said
    primary = fields[3]
    if primary != "-" and node_id_of(primary) is None:
        primary = "-"
        whys.append("its primary cannot be read: it follows nobody until it is told")
    if row.belief.role is Role.PRIMARY and primary != "-":
        primary = "-"
        whys.append("a primary follows nobody")
    ping, pong = (each if each.isdecimal() else "0" for each in fields[4:6])
    link = fields[7] if fields[7] in ("connected", "disconnected") else "disconnected"
    if (ping, pong, link) != (fields[4], fields[5], fields[7]):
        whys.append("times and link state cannot be read, and are not read")
    slots = [str(first) if first == last else f"{first}-{last}" for first, last in row.belief.slots]
    marks = [f"[{slot}->-{peer}]" for slot, peer in row.belief.migrating]
    marks += [f"[{slot}-<-{peer}]" for slot, peer in row.belief.importing]
    unread = len([each for each in fields[FIELDS:] if each.startswith("[")]) - len(marks)
    owned = sum(1 for each in fields[FIELDS:] if not each.startswith("["))
    if unread or (owned != len(slots) and not any("slots" in each for each in whys)):
        whys.append("slots that cannot be read are left out")
    text = " ".join([fields[0], place, fields[2], primary, ping, pong, fields[6], link, *slots, *marks])
    return replace(row, text=text, whys=tuple(whys), belief=replace(row.belief, primary_id=node_id_of(primary)))


def _place(field: str, myself: bool) -> tuple[str, list[str]]:
    where, *elements = field.split(",")
    whys = list[str]()
    if myself and ":" not in where.split("@")[0]:
        where = ":0@0"
        whys.append("its own address cannot be read, and is taken from its settings")
    host = elements[0] if elements and "=" not in elements[0] else ""
    rest = [each.partition("=") for each in elements if "=" in each]
    aux = [f"{name}={value}" for name, _, value in rest if name in AUX_NAMES and is_aux(name, value)]
    fits = ",".join([where, *([host] if host or aux else []), *aux])
    if fits != ",".join([where, *elements]):
        whys.append("parts behind the address that no server takes are left out")
    return fits, whys


def _same_shards(rows: list[_Row]) -> list[_Row]:
    """A replica has the shard-id of its primary."""
    shards = {row.belief.node_id: shard_of(row.belief) for row in rows}
    return [_in_shard(row, shards.get(row.belief.primary_id or NodeId(""), "")) for row in rows]


def _in_shard(row: _Row, shard_id: str) -> _Row:
    mine = shard_of(row.belief)
    if not shard_id or not mine or mine == shard_id or node_id_of(shard_id) is None:
        return row
    why = f"shard-id {mine[:8]} becomes that of its primary, {shard_id[:8]}"
    return replace(row, text=row.text.replace(f"shard-id={mine}", f"shard-id={shard_id}", 1), whys=(*row.whys, why))


def _known_marks(rows: list[_Row]) -> list[_Row]:
    """Open slots stand on the line of the node itself alone, and lead to nodes of which a line tells."""
    known = {row.belief.node_id for row in rows}
    return [_with_marks(row, known) for row in rows]


def _with_marks(row: _Row, known: set[NodeId]) -> _Row:
    marks = [each for each in row.text.split(" ")[FIELDS:] if each.startswith("[")]
    stray = [each for each in marks if not row.myself or each[-41:-1] not in known]
    if not stray:
        return row
    text = " ".join(each for each in row.text.split(" ") if each not in stray)
    return replace(row, text=text, whys=(*row.whys, "marks of half moved slots that lead nowhere are left out"))


def _vars(lint: Lint, highest: int) -> tuple[str, list[Edit]]:
    """The last line. Where the last vote is not said, it was as late as it can be: a vote more in an epoch may promote
    two nodes in it, and a vote less costs nothing, for every election has a new epoch (clusterSendFailoverAuth)."""
    old = [each for each in lint.lines if each.is_vars]
    said, vote = lint.conf.current_epoch, lint.conf.last_vote_epoch
    current = max(highest, min(said or 0, (1 << 64) - 1))
    new = f"vars currentEpoch {current} lastVoteEpoch {current if vote is None else min(vote, current)}"
    edits = [
        Edit(Change.DROPPED, each.number, shown(each.raw), "", "one vars line is enough, and the last one holds")
        for each in old[:-1]
    ]
    why = "without the epoch of its last vote it takes the current one: it votes twice in none"
    if vote is not None:
        same = bool(old) and " ".join(old[-1].fields) == new
        why = _SPELLING if same else "the current epoch is at least that of every node, and of its last vote"
    if not old:
        edits.append(Edit(Change.ADDED, 0, "", new, f"the vars line is missing; {why}"))
    elif old[-1].raw != new:
        edits.append(Edit(Change.CHANGED, old[-1].number, shown(old[-1].raw), new, why))
    return new, edits
