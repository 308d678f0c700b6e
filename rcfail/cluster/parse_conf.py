"""A file with node lines: a nodes.conf of any server, or a CLUSTER NODES reply that somebody saved."""

from __future__ import annotations

from dataclasses import dataclass

from rcfail.cluster.nouns import NodeId, NodesReply, NodeTable, Problem
from rcfail.cluster.parse_info import whole_number
from rcfail.cluster.parse_nodes import NodesReader, NumberedLine, numbered_lines

_BYTE_ORDER_MARK = "\ufeff"
_VARS = "vars"
_SPELLINGS = {"currentepoch": "currentEpoch", "lastvoteepoch": "lastVoteEpoch"}


@dataclass(frozen=True, slots=True)
class NodesConf:
    """What the file says. A file that is empty or about something else has a table without beliefs.

    The two epochs come from the `vars` line and are None where it does not say them, or where there is none, as
    in a saved reply (`has_vars` is False then). `other_vars` are further names on it, which servers skip.
    What is wrong with the `vars` line stands in `table.problems` and, by itself, in `vars_problem`.
    """

    reply: NodesReply
    has_vars: bool = False
    current_epoch: int | None = None
    last_vote_epoch: int | None = None
    other_vars: tuple[tuple[str, str], ...] = ()
    vars_problem: str = ""

    @property
    def table(self) -> NodeTable:
        return self.reply.table

    @property
    def myself(self) -> tuple[NodeId, ...]:
        return self.reply.myself


def parse_conf(text: str, reader: NodesReader | None = None) -> NodesConf:
    """Read a nodes.conf or a saved reply. Total: what cannot be read is in `table.problems`."""
    node_lines: list[NumberedLine] = []
    vars_lines: list[NumberedLine] = []
    lines = numbered_lines(text.removeprefix(_BYTE_ORDER_MARK))
    for line in lines:
        is_vars = _is_vars(line.text) or (line is lines[-1] and _is_vars_cut(line.text.strip()))
        (vars_lines if is_vars else node_lines).append(line)
    values: dict[str, str] = {}
    problems: list[Problem] = []
    for line in vars_lines:
        said, reason = _read_vars(line.text)
        # The server's loader takes them one after the other, so the last value stands.
        values |= said
        if line is not vars_lines[0]:
            reason = f"{reason}; another vars line" if reason else "another vars line"
        if reason:
            problems.append(Problem(line.number, line.text, reason))
    return NodesConf(
        reply=(reader or NodesReader()).read_lines(node_lines, text, tuple(problems)),
        has_vars=bool(vars_lines),
        current_epoch=_epoch(values, "currentEpoch"),
        last_vote_epoch=_epoch(values, "lastVoteEpoch"),
        other_vars=tuple((name, value) for name, value in values.items() if name not in _SPELLINGS.values()),
        vars_problem="; ".join([problem.reason for problem in problems]),
    )


def _is_vars(line: str) -> bool:
    # The loader compares names with strcasecmp (clusterLoadConfig, cluster_legacy.c).
    return [word.lower() for word in line.split(None, 1)[:1]] == [_VARS]


def _is_vars_cut(line: str) -> bool:
    """Whether the last line of a file is what is left of the word `vars`."""
    return bool(line) and _VARS.startswith(line)


def _read_vars(line: str) -> tuple[dict[str, str], str]:
    """The names and values of one `vars` line, and what is wrong with it."""
    word, *rest = line.split()
    pairs = dict(zip(rest[::2], rest[1::2], strict=False))
    values = {_SPELLINGS.get(name.lower(), name): value for name, value in pairs.items()}
    reasons: list[str] = []
    if word.lower() != _VARS or len(rest) % 2:
        reasons.append("vars line is cut off")
    for name in _SPELLINGS.values():
        if name in values and _epoch(values, name) is None:
            reasons.append(f"{name} {values[name][:40]!r} is not a number")
        elif name not in values and not reasons:
            reasons.append(f"vars line lacks {name}")
    return values, "; ".join(reasons)


def _epoch(values: dict[str, str], name: str) -> int | None:
    number = whole_number(values.get(name, ""))
    return number if number is not None and number >= 0 else None
