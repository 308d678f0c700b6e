"""One line of CLUSTER NODES or nodes.conf, read field by field."""

from __future__ import annotations

import re
from sys import intern
from typing import NamedTuple

from rcfail.cluster.nouns import SLOT_COUNT, Belief, Link, NodeId, OpenSlot, Role, SlotRange
from rcfail.cluster.parse_address import read_address

# The server's own loader splits at what isspace(3) calls space (sdssplitargs, sds.c); a no-break space is none.
_FIELD = re.compile(r"\S+", re.ASCII)
_NODE_ID = re.compile(r"[0-9a-f]{40}")
_OPEN_SLOT = re.compile(r"\[([0-9]{1,5})-([<>])-([0-9a-f]{40})\]")
# 64 bits have at most 20 digits; int() refuses texts of more than 4300.
_NUMBER = re.compile(r"[0-9]{1,20}")

_FIELD_COUNT = 8
_SPELLED_OUT = 3
_ROLES = {"master": Role.PRIMARY, "primary": Role.PRIMARY, "slave": Role.REPLICA, "replica": Role.REPLICA}
_LINKS = {"connected": Link.CONNECTED, "disconnected": Link.DISCONNECTED}
NO_PULSE = "0 0"


class LineReading(NamedTuple):
    """What one line says.

    `belief` is None when there are fewer than eight fields, the id is not 40 hex digits, or the config epoch
    is not a number: the id is who it is, the epoch decides who owns a slot, and neither may be made up.
    Any other defect leaves the belief standing without the part that could not be read. `pulse` is
    "ping pong". `reasons` names every defect.
    """

    belief: Belief | None
    pulse: str = NO_PULSE
    myself: bool = False
    reasons: tuple[str, ...] = ()


class _Slots(NamedTuple):
    owned: tuple[SlotRange, ...]
    migrating: tuple[OpenSlot, ...]
    importing: tuple[OpenSlot, ...]
    reasons: tuple[str, ...]


def node_id_of(text: str) -> NodeId | None:
    """The text as a node id, or None where it is not 40 lower-case hex digits."""
    return NodeId(intern(text)) if _NODE_ID.fullmatch(text) else None


def read_line(text: str) -> LineReading:
    """Read one line; total, any text without a newline gives a reading."""
    first = _FIELD.search(text)
    node_id = node_id_of(first[0]) if first else None
    if first is None or node_id is None:
        return LineReading(None, reasons=(_no_identity(first[0] if first else ""),))
    fields = _FIELD.findall(text)
    if len(fields) < _FIELD_COUNT:
        return LineReading(None, reasons=(f"cut off: {len(fields)} fields where {_FIELD_COUNT} are needed",))
    _, place, flag_text, primary_text, ping, pong, epoch_text, link_text = fields[:_FIELD_COUNT]
    if not _NUMBER.fullmatch(epoch_text):
        return LineReading(None, reasons=(f"config epoch {epoch_text[:40]!r} is not a number",))

    where = read_address(place)
    myself, flags, role, flag_reasons = _read_flags(flag_text)
    primary_id = node_id_of(primary_text)
    slots = _read_slots(fields[_FIELD_COUNT:])
    pulse, pulse_reasons = _read_pulse(ping, pong)
    reasons = [*where.reasons, *flag_reasons, *pulse_reasons, *slots.reasons]
    if primary_id is None and primary_text != "-":
        reasons.append(f"primary id {primary_text[:60]!r} is not 40 hex digits")
    if link_text not in _LINKS:
        reasons.append(f"link state {link_text[:40]!r} is neither connected nor disconnected")
    belief = Belief(
        node_id=node_id,
        address=where.address,
        flags=flags,
        role=role,
        primary_id=primary_id,
        config_epoch=int(epoch_text),
        link=_LINKS.get(link_text, Link.UNKNOWN),
        slots=slots.owned,
        migrating=slots.migrating,
        importing=slots.importing,
        aux=where.aux,
        line=" ".join([node_id, place, ",".join(flags) or "noflags", primary_text, NO_PULSE, *fields[6:]]),
    )
    return LineReading(belief, pulse, myself, tuple(reasons))


def _no_identity(first: str) -> str:
    if len(first) > 20 and all(letter in "0123456789abcdefABCDEF" for letter in first[:64]):
        return f"node id has {len(first)} characters where 40 lower-case hex digits are needed"
    return "does not begin with a node id of 40 hex digits"


def _read_flags(text: str) -> tuple[bool, tuple[str, ...], Role, list[str]]:
    """Whether `myself` is among the flags, the other flags (none for `noflags`), the role, and what is wrong."""
    tokens = text.split(",")
    flags = tuple(intern(token) for token in tokens if token and token != "myself")
    reasons = [] if all(tokens) else [f"flags {text[:80]!r} hold an empty one"]
    roles = {_ROLES[flag] for flag in flags if flag in _ROLES}
    if len(roles) > 1:
        reasons.append(f"flags {text[:80]!r} say both primary and replica")
    role = roles.pop() if len(roles) == 1 else Role.UNKNOWN
    return "myself" in tokens, () if flags == ("noflags",) else flags, role, reasons


def _read_pulse(ping: str, pong: str) -> tuple[str, list[str]]:
    good_ping, good_pong = bool(_NUMBER.fullmatch(ping)), bool(_NUMBER.fullmatch(pong))
    reasons = [] if good_ping else [f"ping time {ping[:40]!r} is not a number"]
    if not good_pong:
        reasons.append(f"pong time {pong[:40]!r} is not a number")
    return f"{ping if good_ping else 0} {pong if good_pong else 0}", reasons


def _read_slots(tokens: list[str]) -> _Slots:
    owned: list[SlotRange] = []
    migrating: list[OpenSlot] = []
    importing: list[OpenSlot] = []
    strange: list[str] = []
    for token in tokens:
        opened = _OPEN_SLOT.fullmatch(token)
        if opened:
            slot, way, peer = int(opened[1]), opened[2], NodeId(intern(opened[3]))
            if slot < SLOT_COUNT:
                (migrating if way == ">" else importing).append((slot, peer))
            else:
                strange.append(token)
            continue
        slots = _slot_range(token)
        if slots:
            owned.append(slots)
        else:
            strange.append(token)
    reasons = [f"{token[:60]!r} is no slot, slot range or open slot" for token in strange[:_SPELLED_OUT]]
    if len(strange) > _SPELLED_OUT:
        reasons.append(f"{len(strange) - _SPELLED_OUT} more such slots")
    disjoint = _disjoint(owned)
    if len(disjoint) != len(owned):
        reasons.append("slot ranges overlap")
    return _Slots(tuple(disjoint), tuple(migrating), tuple(importing), tuple(reasons))


def _slot_range(token: str) -> SlotRange | None:
    first_text, dash, last_text = token.partition("-")
    if not _NUMBER.fullmatch(first_text) or (dash and not _NUMBER.fullmatch(last_text)):
        return None
    first = int(first_text)
    last = int(last_text) if dash else first
    return (first, last) if first <= last < SLOT_COUNT else None


def _disjoint(ranges: list[SlotRange]) -> list[SlotRange]:
    """The ranges in ascending order, those that overlap made one: fewer come out than went in."""
    disjoint: list[SlotRange] = []
    for first, last in sorted(ranges):
        if disjoint and first <= disjoint[-1][1]:
            disjoint[-1] = (disjoint[-1][0], max(last, disjoint[-1][1]))
        else:
            disjoint.append((first, last))
    return disjoint
