"""What is wrong with a nodes.conf, line by line and as a whole, before a server has to find out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rcfail.cluster.flaws import Flaw, FlawCode, Grade
from rcfail.cluster.lint_line import ConfLine, conf_lines, line_flaws, shown
from rcfail.cluster.nouns import SLOT_COUNT, Belief, NodeId, Role
from rcfail.cluster.parse_conf import NodesConf, parse_conf


@dataclass(frozen=True, slots=True)
class Lint:
    """`flaws` are in the order of the file, those of the whole file first. `myself` is who the node is, by the file;
    None where it does not say so, or twice."""

    text: str
    lines: tuple[ConfLine, ...]
    conf: NodesConf
    flaws: tuple[Flaw, ...]
    myself: ConfLine | None

    @property
    def grade(self) -> Grade | None:
        """The worst of all flaws; None: there is none."""
        grades = {each.grade for each in self.flaws}
        return Grade.CRITICAL if Grade.CRITICAL in grades else Grade.WARNING if grades else None


def lint(text: str, self_id: str = "") -> Lint:
    """Total: any text is judged. `self_id` is the id or the host:port that the node should have by its operator."""
    lines = conf_lines(text)
    conf = parse_conf("\n".join(row.strip("\0") for row in text.split("\n")))
    own = [each for each in lines if each.myself]
    found = [*_file_flaws(text, lines, conf)]
    if text:
        found += _self_flaws(lines, own, self_id)
    found += [flaw for each in lines for flaw in line_flaws(each)]
    found += _between(lines)
    found.sort(key=lambda each: each.line_number)
    return Lint(text, lines, conf, tuple(found), own[0] if len(own) == 1 else None)


def nodes_of(lines: tuple[ConfLine, ...]) -> list[tuple[ConfLine, Belief]]:
    """The lines that tell of a node."""
    return [(each, each.belief) for each in lines if each.belief is not None]


def _of(line: ConfLine, code: FlawCode, text: str, worse: bool = False) -> Flaw:
    return Flaw(code, line.number, text, shown(line.raw), worse)


def _file_flaws(text: str, lines: tuple[ConfLine, ...], conf: NodesConf) -> Iterator[Flaw]:
    if not text:
        yield Flaw(FlawCode.FILE_EMPTY, 0, "the file is empty")
        return
    ends = sum(1 for each in lines if each.raw.endswith("\r"))
    if ends:
        yield Flaw(FlawCode.LINE_ENDS, 0, f"{ends} of {len(lines)} lines end as on Windows (CR LF)")
    if lines and not lines[-1].ended and lines[-1].raw.strip("\0"):
        yield _of(lines[-1], FlawCode.END_CUT, "the last line has no newline")
    said = [each for each in lines if each.is_vars]
    if not said:
        yield Flaw(FlawCode.VARS_MISSING, 0, "no line says `vars currentEpoch N lastVoteEpoch M`")
    for line in said:
        yield from _vars_flaws(line, conf)
    for line in said[1:]:
        yield _of(line, FlawCode.VARS_ODD, f"another vars line, after that in line {said[0].number}")
    if conf.current_epoch is None:
        return
    highest = max((belief.config_epoch for _, belief in nodes_of(lines)), default=0)
    if highest > conf.current_epoch:
        text = f"config epoch {highest} of a node is above the current epoch {conf.current_epoch}"
        yield _of(said[-1], FlawCode.EPOCH_OVER, text)
    if (conf.last_vote_epoch or 0) > max(highest, conf.current_epoch):
        text = f"its last vote was in epoch {conf.last_vote_epoch}, above the current epoch {conf.current_epoch}"
        yield _of(said[-1], FlawCode.VOTE_OVER, text)


def _vars_flaws(line: ConfLine, conf: NodesConf) -> Iterator[Flaw]:
    if line.fields[0].lower() != "vars":
        yield _of(line, FlawCode.VARS_CUT, "it is what is left of the vars line")
        return
    words = line.fields[1:]
    if len(words) % 2:
        yield _of(line, FlawCode.VARS_CUT, f"the vars line is cut off behind {words[-1][:40]!r}")
    pairs = {name.lower(): value for name, value in zip(words[::2], words[1::2], strict=False)}
    for name in ("currentEpoch", "lastVoteEpoch"):
        value = pairs.get(name.lower())
        if value is None and not len(words) % 2:
            yield _of(line, FlawCode.VARS_ODD, f"it lacks {name}")
        elif value is not None and value.startswith("-"):
            yield _of(line, FlawCode.EPOCH_UNREADABLE, f"{name} {value[:40]!r} is negative")
        elif value is not None and not (value.isascii() and value.isdecimal() and len(value) <= 20):
            yield _of(line, FlawCode.VARS_ODD, f"{name} {value[:40]!r} is not a number")
    if conf.other_vars and line.number and set(pairs) - {"currentepoch", "lastvoteepoch"}:
        yield _of(line, FlawCode.VARS_ODD, f"no version knows the name {conf.other_vars[0][0][:40]!r}")


def _self_flaws(lines: tuple[ConfLine, ...], own: list[ConfLine], self_id: str) -> Iterator[Flaw]:
    if not own:
        cut = [f"line {each.number} ({each.fields[0]})" for each in lines if each.node_id and not each.belief]
        text = "no line that can be read is marked `myself`"
        yield Flaw(FlawCode.MYSELF_MISSING, 0, f"{text}; its own may have been {' or '.join(cut)}" if cut else text)
    for line in own[1:]:
        yield _of(line, FlawCode.MYSELF_TWICE, f"it is marked `myself`, and line {own[0].number} is so too")
    for line in own:
        belief = line.belief
        if self_id and not is_named(line, self_id):
            yield _of(line, FlawCode.MYSELF_WRONG, f"it says that this node is another one than {self_id}")
        if belief and (belief.failed or belief.suspected):
            yield _of(line, FlawCode.MYSELF_FAILED, "it is marked as failed")


def is_named(line: ConfLine, word: str) -> bool:
    """Whether a line is about the node of that id, or of that address as it stands there."""
    if line.node_id is not None and len(word) >= 8 and line.node_id.startswith(word.lower()):
        return True
    return line.belief is not None and str(line.belief.address) == word


def _between(lines: tuple[ConfLine, ...]) -> Iterator[Flaw]:
    nodes = nodes_of(lines)
    by_id: dict[NodeId, tuple[ConfLine, Belief]] = {}
    for line, belief in nodes:
        if belief.node_id in by_id:
            yield _of(line, FlawCode.ID_TWICE, f"its node id stands in line {by_id[belief.node_id][0].number} too")
        else:
            by_id[belief.node_id] = (line, belief)
    for line, belief in by_id.values():
        yield from _address_flaws(line, belief)
        yield from _following_flaws(line, belief, by_id)
        yield from _open_flaws(line, belief, by_id)
    yield from _same_address([*by_id.values()])
    yield from _claims([*by_id.values()])


def _address_flaws(line: ConfLine, belief: Belief) -> Iterator[Flaw]:
    """Its own address a server has from its configuration."""
    if line.myself or belief.noaddr:
        return
    if not belief.address.host:
        yield _of(line, FlawCode.ADDRESS_MISSING, "it says no address, and is not marked noaddr")
    elif not belief.address.port and not _speaks_tls(belief) and not _told_of_port(line):
        yield _of(line, FlawCode.PORT_ZERO, "its port is 0")
    if belief.handshake:
        yield _of(line, FlawCode.HANDSHAKE, "it was still being met: such a line is never saved")


def _speaks_tls(belief: Belief) -> bool:
    """Where a node takes TLS alone its other port is 0, and tls-port stands behind the address."""
    return any(name == "tls-port" and value != "0" for name, value in belief.aux)


def _told_of_port(line: ConfLine) -> bool:
    return any(each.code is FlawCode.PORT_ZERO for each in line_flaws(line))


def _following_flaws(line: ConfLine, belief: Belief, by_id: dict[NodeId, tuple[ConfLine, Belief]]) -> Iterator[Flaw]:
    if belief.role is Role.REPLICA and belief.primary_id is None:
        yield _of(line, FlawCode.PRIMARY_MISSING, "it is a replica, and follows nobody", worse=False)
    if belief.role is Role.REPLICA and belief.slots:
        yield _of(line, FlawCode.SLOTS_ON_REPLICA, "it is a replica, and owns slots")
    if belief.primary_id is None:
        return
    if belief.role is Role.PRIMARY:
        yield _of(line, FlawCode.ROLE_UNCLEAR, f"it is a primary, and follows {belief.primary_id[:8]}", line.myself)
    found = by_id.get(belief.primary_id)
    if found is None:
        yield _of(line, FlawCode.PRIMARY_UNKNOWN, f"it follows {belief.primary_id}, of which no line tells")
        return
    above = found[1]
    if above.node_id == belief.node_id:
        yield _of(line, FlawCode.FOLLOWS_REPLICA, "it follows itself")
    elif above.role is Role.REPLICA:
        yield _of(line, FlawCode.FOLLOWS_REPLICA, f"it follows a replica, that in line {found[0].number}")
    mine, its = shard_of(belief), shard_of(above)
    if mine and its and mine != its:
        text = f"its shard-id is {mine[:8]}, and {its[:8]} that of its primary in line {found[0].number}"
        yield _of(line, FlawCode.SHARD_MISMATCH, text)
    elif bool(mine) != bool(its):
        has, lacks = ("a", "none") if mine else ("no", "one")
        text = f"it has {has} shard-id, its primary in line {found[0].number} has {lacks}"
        yield _of(line, FlawCode.SHARD_MISSING, text)


def shard_of(belief: Belief) -> str:
    """The shard-id of a line of 7.2 or later, else ""."""
    return next((value for name, value in belief.aux if name == "shard-id"), "")


def _open_flaws(line: ConfLine, belief: Belief, by_id: dict[NodeId, tuple[ConfLine, Belief]]) -> Iterator[Flaw]:
    marks = [("migrating to", each) for each in belief.migrating]
    marks += [("importing from", each) for each in belief.importing]
    for word, (slot, peer) in marks:
        if not line.myself:
            yield _of(line, FlawCode.SLOT_OPEN_ELSEWHERE, f"slot {slot} is {word} {peer[:8]}, and this is another node")
        elif peer not in by_id:
            text = f"slot {slot} is {word} {peer[:8]}, of which no line tells"
            yield _of(line, FlawCode.SLOT_OPEN_ELSEWHERE, text)
        else:
            yield _of(line, FlawCode.SLOT_OPEN, f"slot {slot} is {word} {peer[:8]}")


def _same_address(nodes: list[tuple[ConfLine, Belief]]) -> Iterator[Flaw]:
    seen: dict[str, ConfLine] = {}
    for line, belief in nodes:
        if belief.address.endpoint is None:
            continue
        place = str(belief.address)
        if place in seen:
            yield _of(
                line, FlawCode.ADDRESS_TWICE, f"{place} is the address of the node in line {seen[place].number} too"
            )
        seen.setdefault(place, line)


def _claims(nodes: list[tuple[ConfLine, Belief]]) -> Iterator[Flaw]:
    """Who owns what, and with which epoch."""
    owners = [(line, belief) for line, belief in nodes if belief.slots]
    epochs: dict[int, ConfLine] = {}
    for line, belief in owners:
        if belief.role is Role.PRIMARY and belief.config_epoch in epochs:
            other = epochs[belief.config_epoch].number
            text = f"its config epoch {belief.config_epoch} is also that of the owner in line {other}"
            yield _of(line, FlawCode.EPOCH_EQUAL, text)
        epochs.setdefault(belief.config_epoch, line)
    holders: list[ConfLine | None] = [None] * SLOT_COUNT
    for line, belief in owners:
        told: set[int] = set()
        for begin, end in belief.slots:
            for slot in range(begin, end + 1):
                holder = holders[slot]
                if holder is None:
                    holders[slot] = line
                elif holder.number not in told:
                    told.add(holder.number)
                    text = f"slot {slot} is claimed here and in line {holder.number}"
                    yield _of(line, FlawCode.SLOTS_TWICE, text, worse=line.myself or holder.myself)
