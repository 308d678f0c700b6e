"""One line of a nodes.conf as a server's loader takes it, and what is wrong with it by itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from rcfail.cluster.flaws import Flaw, FlawCode
from rcfail.cluster.nouns import SLOT_COUNT, Belief, NodeId
from rcfail.cluster.parse_line import node_id_of, read_line

FIELDS = 8
_BLANKS = " \t\r\v\f"
FLAGS = frozenset(
    {"myself", "master", "primary", "slave", "replica", "fail?", "fail", "handshake", "noaddr", "nofailover", "noflags"}
)
AUX_NAMES = frozenset(
    {
        "shard-id",
        "nodename",
        "tcp-port",
        "tls-port",
        "client-ipv4",
        "client-ipv6",
        "client-tcp-port",
        "client-tls-port",
        "availability-zone",
    }
)
_PORT = re.compile(r"[0-9]{1,5}")
_MOST_PORT = 65535
_SLOTS = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")
_OPEN = re.compile(r"\[([0-9]{1,5})-[<>]-[0-9a-f]{40}\]")
_WORD = 60


@dataclass(frozen=True, slots=True)
class ConfLine:
    """`raw` is the line as it came, `fields` are its words; `belief` is None where it names no node. `vars` lines have
    fields and no belief. `ended`: a newline stands behind it."""

    number: int
    raw: str
    fields: tuple[str, ...]
    belief: Belief | None
    myself: bool
    ended: bool

    @property
    def is_vars(self) -> bool:
        """Also what is left of one at the end of a file that was cut off."""
        word = self.fields[0].lower() if self.fields else ""  # strcasecmp in clusterLoadConfig
        return word == "vars" or (len(self.fields) == 1 and not self.ended and "vars".startswith(word))

    @property
    def node_id(self) -> NodeId | None:
        return node_id_of(self.fields[0]) if self.fields else None


def conf_lines(text: str) -> tuple[ConfLine, ...]:
    """Every line that is not wholly empty. Only a newline ends one (fgets)."""
    rows = text.split("\n")
    last = len(rows)
    return tuple(_conf_line(at, row, at < last) for at, row in enumerate(rows, 1) if row)


def _conf_line(number: int, row: str, ended: bool) -> ConfLine:
    text = row.removeprefix("\ufeff").strip("\0" + _BLANKS)
    readable = is_text(text)
    reading = read_line(text) if readable else None
    fields = tuple(re.findall(r"\S+", text, re.ASCII)) if readable else ()
    belief = reading.belief if reading else None
    myself = len(fields) > 2 and "myself" in fields[2].split(",")
    return ConfLine(number, row, fields, belief, myself, ended)


def is_text(text: str) -> bool:
    """No NUL within, no quote (the loader takes quotes for its own, sdssplitargs), no bytes that are no UTF-8."""
    return not any(each in "\0\"'" or "\ud800" <= each <= "\udfff" for each in text)


def shown(text: str) -> str:
    """The same with what no text can hold written out."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def line_flaws(line: ConfLine) -> Iterator[Flaw]:
    """All that is wrong with one line, without a look at the others."""

    def flaw(code: FlawCode, text: str, worse: bool = False) -> Flaw:
        return Flaw(code, line.number, text, shown(line.raw), worse)

    if "\0" in line.raw:
        count = line.raw.count("\0")
        yield flaw(FlawCode.NUL_BYTES, f"{count} NUL bytes stand in it" if count > 1 else "a NUL byte stands in it")
        if not line.raw.strip("\0" + _BLANKS):
            return
    if line.raw.startswith("\ufeff"):
        yield flaw(FlawCode.BYTE_ORDER_MARK, "it begins with a byte order mark")
    if not line.raw.strip(_BLANKS):
        yield flaw(FlawCode.BLANK_LINE, "it holds blanks alone")
        return
    if line.is_vars:
        return
    if not line.fields or line.node_id is None:
        yield flaw(FlawCode.LINE_GARBAGE, "it does not begin with a node id of 40 hex digits")
    elif len(line.fields) < FIELDS:
        yield flaw(FlawCode.LINE_CUT, f"it is cut off: {len(line.fields)} fields where {FIELDS} are needed")
    else:
        for code, text in _field_flaws(line.fields):
            yield flaw(code, text, worse=code is FlawCode.ROLE_UNCLEAR and line.myself)


def _field_flaws(fields: tuple[str, ...]) -> Iterator[tuple[FlawCode, str]]:
    _, place, flags, primary, ping, pong, epoch, link = fields[:FIELDS]
    yield from _place_flaws(place)
    tokens = flags.split(",")
    unknown = [each for each in tokens if each not in FLAGS]
    if unknown:
        what = f"flag {unknown[0][:_WORD]!r} is none" if unknown[0] else f"flags {flags[:_WORD]!r} hold an empty one"
        yield FlawCode.FLAG_UNKNOWN, what
    elif {"primary", "replica"} & set(tokens):
        yield FlawCode.FLAG_UNKNOWN, "it says primary or replica, which only Valkey 8 and later read"
    roles = {("master", "primary"), ("slave", "replica")}
    said = sum(1 for names in roles if set(names) & set(tokens))
    if said > 1 or (not said and not {"handshake", "noflags", "noaddr"} & set(tokens)):
        yield FlawCode.ROLE_UNCLEAR, "it says both primary and replica" if said else "it says no role"
    if primary != "-" and node_id_of(primary) is None:
        yield FlawCode.PRIMARY_UNREADABLE, f"primary id {primary[:_WORD]!r} is not 40 hex digits"
    if not _is_epoch(epoch):
        yield FlawCode.EPOCH_UNREADABLE, f"config epoch {epoch[:_WORD]!r} is not a number of 64 bits"
    if link not in ("connected", "disconnected") or not (ping.isdecimal() and pong.isdecimal()):
        yield FlawCode.LINE_ODD, "ping time, pong time or link state is none"
    for token in fields[FIELDS:]:
        if why := _slot_flaw(token):
            yield FlawCode.SLOT_UNREADABLE, f"{token[:_WORD]!r} {why}"


def _is_epoch(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 20 and int(text) < 1 << 64


def _place_flaws(place: str) -> Iterator[tuple[FlawCode, str]]:
    where, *elements = place.split(",")
    before, at, bus = where.partition("@")
    if ":" not in before:
        yield FlawCode.ADDRESS_UNREADABLE, f"address {where[:_WORD]!r} has no port"
    elif not _is_port(before.rpartition(":")[2]) or (at and not _is_port(bus)):
        yield FlawCode.PORT_ZERO, f"the port in {where[:_WORD]!r} is none"
    for element in elements[1:]:
        name, equals, value = element.partition("=")
        if not equals:
            yield FlawCode.ADDRESS_UNREADABLE, f"{element[:_WORD]!r} behind the host name is no name=value"
        elif name not in AUX_NAMES:
            yield FlawCode.AUX_UNREADABLE, f"no version knows the field {name[:_WORD]!r}"
        elif not is_aux(name, value):
            yield FlawCode.AUX_UNREADABLE, f"{name} {value[:_WORD]!r} is none"
    if len(elements) == 1 and "=" in elements[0]:
        yield FlawCode.ADDRESS_UNREADABLE, f"{elements[0][:_WORD]!r} stands where the host name belongs"


def is_aux(name: str, value: str) -> bool:
    """Whether a loader takes that value for that field."""
    if not value:
        return False
    return node_id_of(value) is not None if name == "shard-id" else True


def _is_port(text: str) -> bool:
    return bool(_PORT.fullmatch(text)) and int(text) <= _MOST_PORT


def _slot_flaw(token: str) -> str:
    """Why it is no slot, range or open slot; "" where it is one."""
    if token.startswith("["):
        opened = _OPEN.fullmatch(token)
        return "" if opened and int(opened[1]) < SLOT_COUNT else "is no open slot"
    found = _SLOTS.fullmatch(token)
    if not found:
        return "is no slot"
    first, last = int(found[1]), int(found[2] or found[1])
    return "" if first <= last < SLOT_COUNT else "is no range of slots"
