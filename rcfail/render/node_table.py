"""One node's table of members, as a tree by shard and as JSON. What other nodes think is not in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rcfail.cluster.nouns import Belief, Link, NodeId, NodesReply, OpenSlot, Problem, Role
from rcfail.health.wording import counted
from rcfail.render.health_json import problems_json, slots_json
from rcfail.render.lines import EMPTY, Line, Span, Style, line, span, wrapped
from rcfail.render.outcome import Json
from rcfail.render.words import ranges, short

_PROTOCOL_ROLES = frozenset({"master", "slave", "primary", "replica", "noflags"})
_WIDEST_ADDRESS = 26
_MOST_PROBLEM = 60


@dataclass(frozen=True, slots=True)
class TableView:
    """One view to show: whose it is, and where it was read. The epochs are None where they are not said."""

    reply: NodesReply
    origin: str
    current_epoch: int | None = None
    last_vote_epoch: int | None = None

    @property
    def observer(self) -> Belief | None:
        """The line of the node whose view it is; None where no line, or more than one, says `myself`."""
        own = self.reply.myself
        return self.reply.table.by_id.get(own[0]) if len(own) == 1 else None


class Branch(NamedTuple):
    """A node, and how many nodes stand above it."""

    depth: int
    belief: Belief


def tree(beliefs: Sequence[Belief]) -> Iterator[tuple[Branch, ...]]:
    """One branch list a shard, in the order of slots: a node that follows nobody listed, and all below it.

    Every line is in exactly one branch, also where two have one id or replicas follow each other in a ring.
    """
    below: dict[NodeId, list[Belief]] = {}
    listed = {belief.node_id for belief in beliefs}
    tops: list[Belief] = []
    for belief in beliefs:
        if belief.primary_id in listed and belief.primary_id != belief.node_id:
            below.setdefault(NodeId(belief.primary_id or ""), []).append(belief)
        else:
            tops.append(belief)
    tops.sort(key=lambda top: (not top.slots, top.slots[:1], top.role is Role.REPLICA, str(top.address)))
    for top in tops:
        yield tuple(_climb(top, below))
    while below:  # what is left follows itself in a ring
        first = min(below)
        yield tuple(Branch(0, belief) for belief in below.pop(first))


def _climb(top: Belief, below: dict[NodeId, list[Belief]]) -> Iterator[Branch]:
    waiting = [Branch(0, top)]
    while waiting:
        branch = waiting.pop()
        yield branch
        under = sorted(below.pop(branch.belief.node_id, ()), key=lambda each: str(each.address), reverse=True)
        waiting.extend(Branch(branch.depth + 1, each) for each in under)


def node_page(view: TableView, width: int) -> Iterator[Line]:
    beliefs = view.reply.table.beliefs
    yield from wrapped(_title(view), width, indent=2, style=Style.HEAD)
    column = min(_WIDEST_ADDRESS, max((len(_address(each)) for each in beliefs), default=0))
    for branches in tree(beliefs):
        yield EMPTY
        for depth, belief in branches:
            yield from _row(view, depth, belief, column, width)
    yield from _problems(view.reply.table.problems, width)


def _title(view: TableView) -> str:
    beliefs = view.reply.table.beliefs
    owners = [each for each in beliefs if each.slots]
    said = f"{view.origin}: {counted(len(beliefs), 'node')}, {len(owners)} with slots"
    said += f", {counted(sum(each.slot_count for each in owners), 'slot')}"
    if view.current_epoch is not None:
        said += f", current epoch {view.current_epoch}"
    if view.last_vote_epoch is not None:
        said += f", last vote in epoch {view.last_vote_epoch}"
    return said


def _row(view: TableView, depth: int, belief: Belief, column: int, width: int) -> Iterator[Line]:
    margin = "  " * depth
    head = f"{margin}{belief.role.value:<7}  {_address(belief):<{column}}  {short(belief.node_id)}  "
    facts = [f"epoch {belief.config_epoch}", *(["myself"] if belief.node_id in view.reply.myself else [])]
    trouble = [flag for flag in belief.flags if flag not in _PROTOCOL_ROLES]
    if belief.link is not Link.CONNECTED:
        trouble.append(belief.link.value)
    if depth == 0 and belief.primary_id:
        where = "in a ring" if belief.primary_id in view.reply.table.by_id else "not listed"
        trouble.append(f"follows {short(belief.primary_id)}, {where}")
    if belief.address.hostname:
        facts.append(belief.address.hostname)
    style = Style.BAD if trouble else Style.PLAIN
    yield from wrapped(
        [*facts, *trouble], width, first=line(span(head)), indent=min(len(head), width // 2), style=style
    )
    indent = len(margin) + 9
    if belief.slots:
        words = [*ranges(belief.slots).split(", ")]
        lead = line(" " * indent, f"{counted(belief.slot_count, 'slot')}: ")
        yield from wrapped(words, width, first=lead, indent=indent + 2)
    for verb, open_slots in (("migrating", belief.migrating), ("importing", belief.importing)):
        if open_slots:
            lead = line(" " * indent, Span(f"{verb}: ", Style.WARN))
            yield from wrapped(_open_words(verb, open_slots), width, first=lead, indent=indent + 2)


def _open_words(verb: str, open_slots: Sequence[OpenSlot]) -> list[str]:
    joint = "to" if verb == "migrating" else "from"
    return [f"{slot} {joint} {short(node_id)}" for slot, node_id in open_slots]


def _address(belief: Belief) -> str:
    return str(belief.address) if belief.address.endpoint else "no address"


def _problems(problems: Sequence[Problem], width: int) -> Iterator[Line]:
    if problems:
        yield EMPTY
        yield line(Span(f"{counted(len(problems), 'line')} that could not be read whole", Style.WARN))
    for problem in problems:
        lead = line(f"  line {problem.line_number}: ")
        yield from wrapped(problem.reason, width, first=lead, indent=4)
        text = problem.line if len(problem.line) <= _MOST_PROBLEM else problem.line[:_MOST_PROBLEM] + "..."
        yield line("    ", span(text, Style.DIM))


def node_data(view: TableView) -> Json:
    own = view.observer
    pulses = view.reply.pulses.split(" ")
    return {
        "observer": {"id": own.node_id, "host": own.address.host, "port": own.address.port} if own else None,
        "origin": view.origin,
        "current_epoch": view.current_epoch,
        "last_vote_epoch": view.last_vote_epoch,
        "nodes": [
            _node(belief, belief.node_id in view.reply.myself, int(pulses[2 * at]), int(pulses[2 * at + 1]))
            for at, belief in enumerate(view.reply.table.beliefs)
        ],
        "problems": problems_json(view.reply.table.problems),
    }


def _node(belief: Belief, myself: bool, ping_sent: int, pong_received: int) -> Json:
    return {
        "id": belief.node_id,
        "host": belief.address.host,
        "port": belief.address.port,
        "bus_port": belief.address.bus_port,
        "hostname": belief.address.hostname,
        "role": belief.role.value,
        "flags": list(belief.flags),
        "myself": myself,
        "primary_id": belief.primary_id,
        "ping_sent_unix_ms": ping_sent,
        "pong_received_unix_ms": pong_received,
        "config_epoch": belief.config_epoch,
        "link": belief.link.value,
        "slots": slots_json(belief.slots),
        "migrating": [[slot, node_id] for slot, node_id in belief.migrating],
        "importing": [[slot, node_id] for slot, node_id in belief.importing],
    }
