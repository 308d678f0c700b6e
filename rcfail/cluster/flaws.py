"""What can be wrong with a nodes.conf, and what a server does with it at its start.

All of it was tried on Redis 6.2, 7.0 and 8.2 and on Valkey 8.1 and 9.1 (clusterLoadConfig of cluster.c, later of
cluster_legacy.c). "Refuses" is always the same: `Unrecoverable error: corrupted cluster config file` in its log, and
the process ends, from Valkey 8.1 on with a crash report.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class Grade(StrEnum):
    WARNING = "warning"
    CRITICAL = "critical"  # the server refuses the file, or starts as another node than it was


class FlawCode(StrEnum):
    """Codes never change meaning."""

    FILE_EMPTY = "file-empty"
    NUL_BYTES = "nul-bytes"
    BYTE_ORDER_MARK = "byte-order-mark"
    LINE_ENDS = "line-ends"
    BLANK_LINE = "blank-line"
    LINE_CUT = "line-cut"
    LINE_GARBAGE = "line-garbage"
    LINE_ODD = "line-odd"
    END_CUT = "end-cut"
    VARS_MISSING = "vars-missing"
    VARS_CUT = "vars-cut"
    VARS_ODD = "vars-odd"
    MYSELF_MISSING = "myself-missing"
    MYSELF_TWICE = "myself-twice"
    MYSELF_WRONG = "myself-wrong"
    MYSELF_FAILED = "myself-failed"
    ID_TWICE = "id-twice"
    ADDRESS_UNREADABLE = "address-unreadable"
    ADDRESS_MISSING = "address-missing"
    ADDRESS_TWICE = "address-twice"
    PORT_ZERO = "port-zero"
    AUX_UNREADABLE = "aux-unreadable"
    SHARD_MISMATCH = "shard-id-mismatch"
    SHARD_MISSING = "shard-id-missing"
    FLAG_UNKNOWN = "flag-unknown"
    ROLE_UNCLEAR = "role-unclear"
    HANDSHAKE = "handshake"
    PRIMARY_UNREADABLE = "primary-unreadable"
    PRIMARY_UNKNOWN = "primary-unknown"
    PRIMARY_MISSING = "primary-missing"
    FOLLOWS_REPLICA = "follows-replica"
    SLOT_UNREADABLE = "slot-unreadable"
    SLOTS_TWICE = "slots-twice"
    SLOTS_ON_REPLICA = "slots-on-replica"
    SLOT_OPEN = "slot-open"
    SLOT_OPEN_ELSEWHERE = "slot-open-elsewhere"
    EPOCH_UNREADABLE = "epoch-unreadable"
    EPOCH_OVER = "epoch-over"
    EPOCH_EQUAL = "epoch-equal"
    VOTE_OVER = "vote-over"


class Meaning(NamedTuple):
    """`server` is what it does with that at its start; `advice` what to do about it."""

    grade: Grade
    server: str
    advice: str


_REFUSES = "It refuses the file and ends."
_REPAIR = "Write a repaired copy: --repair."
_REPLACE = (
    "Keep its data files elsewhere, start it with an empty folder as a new node, and let it take the old one's place: "
    "rcfail recover."
)
_GOSSIP = "Nothing: once it runs, the other nodes tell it."
_WATCH = "Once it runs: rcfail health."

MEANINGS: dict[FlawCode, Meaning] = {
    FlawCode.FILE_EMPTY: Meaning(
        Grade.CRITICAL, "It starts as a new node with a new id, alone, and owns nothing.", _REPLACE
    ),
    FlawCode.NUL_BYTES: Meaning(
        Grade.CRITICAL,
        "It reads a line up to the first NUL: it refuses what is left, or skips it without a word.",
        f"A full disk or a crash leaves them: look at the disk first. {_REPAIR}",
    ),
    FlawCode.BYTE_ORDER_MARK: Meaning(
        Grade.CRITICAL, "It refuses the file and ends; Redis 6.2 takes the mark for a part of the id.", _REPAIR
    ),
    FlawCode.LINE_ENDS: Meaning(Grade.WARNING, "It reads them as blanks.", f"An editor did that. {_REPAIR}"),
    FlawCode.BLANK_LINE: Meaning(Grade.CRITICAL, "A line of blanks alone: it refuses the file or crashes.", _REPAIR),
    FlawCode.LINE_CUT: Meaning(Grade.CRITICAL, _REFUSES, _REPAIR),
    FlawCode.LINE_GARBAGE: Meaning(
        Grade.CRITICAL, "It refuses the file and ends; Redis 6.2 takes any word for an id.", _REPAIR
    ),
    FlawCode.LINE_ODD: Meaning(Grade.WARNING, "It does not read that part.", _REPAIR),
    FlawCode.END_CUT: Meaning(
        Grade.WARNING,
        "It reads the last line as it is, and a number that was cut short as a smaller one.",
        f"It always ends the file with a newline: compare the line with another node's. {_REPAIR}",
    ),
    FlawCode.VARS_MISSING: Meaning(
        Grade.CRITICAL,
        "It starts, with the highest config epoch as the current one, and may vote a second time in one epoch.",
        f"It always writes that line, as the last one: the file was cut off, and lines may be gone with it. {_REPAIR}",
    ),
    FlawCode.VARS_CUT: Meaning(Grade.CRITICAL, _REFUSES, _REPAIR),
    FlawCode.VARS_ODD: Meaning(
        Grade.WARNING, "It reads a value that is missing or no number as 0, and skips unknown names.", _REPAIR
    ),
    FlawCode.MYSELF_MISSING: Meaning(
        Grade.CRITICAL,
        _REFUSES,
        "Nothing in the file says who it is. If the file lists it, by an id or an address that you know: --repair "
        "--self ID|HOST:PORT. "
        f"Else the identity is lost. {_REPLACE}",
    ),
    FlawCode.MYSELF_TWICE: Meaning(
        Grade.CRITICAL, "It crashes at an assertion.", "Say which one it is: --repair --self ID|HOST:PORT."
    ),
    FlawCode.MYSELF_WRONG: Meaning(
        Grade.CRITICAL,
        "It starts as that node. Where that one runs too, two nodes have one id.",
        "Never start it with this file. Find its own, or --repair where the file lists it, or let it be a new node.",
    ),
    FlawCode.MYSELF_FAILED: Meaning(Grade.WARNING, "It starts, and holds itself for failed.", _REPAIR),
    FlawCode.ID_TWICE: Meaning(
        Grade.CRITICAL,
        "Valkey 9.1 refuses the file and ends, unless a replica of that node stands above; others let the later line "
        "overwrite the first.",
        _REPAIR,
    ),
    FlawCode.ADDRESS_UNREADABLE: Meaning(
        Grade.CRITICAL, "It refuses the file and ends; from a later comma on, before 7.2 it does not.", _REPAIR
    ),
    FlawCode.ADDRESS_MISSING: Meaning(Grade.WARNING, "It cannot reach that node, and waits to hear of it.", _GOSSIP),
    FlawCode.ADDRESS_TWICE: Meaning(
        Grade.WARNING,
        "It dials both there; the one that does not answer with its own id is marked noaddr.",
        "One of them is gone or has moved: rcfail health once it runs.",
    ),
    FlawCode.PORT_ZERO: Meaning(Grade.WARNING, "It cannot reach that node, and waits to hear of it.", _GOSSIP),
    FlawCode.AUX_UNREADABLE: Meaning(
        Grade.CRITICAL,
        "It refuses the file and ends, from 7.2 on; a name that a newer version writes is refused by an older one.",
        f"After a downgrade start the newer version again. Else: {_REPAIR[0].lower()}{_REPAIR[1:]}",
    ),
    FlawCode.SHARD_MISMATCH: Meaning(
        Grade.CRITICAL,
        "Redis 7.2 and Valkey 7.2 refuse the file and end; Redis 8.2 and Valkey 8.1 put it right without a word.",
        _REPAIR,
    ),
    FlawCode.SHARD_MISSING: Meaning(
        Grade.WARNING, "It makes one up, or takes that of the primary.", "Nodes of a version before 7.2 have none."
    ),
    FlawCode.FLAG_UNKNOWN: Meaning(Grade.CRITICAL, "It crashes: `Unknown flag in redis cluster config file`.", _REPAIR),
    FlawCode.ROLE_UNCLEAR: Meaning(
        Grade.WARNING, "It starts, and does not know what that node is until it hears.", _GOSSIP
    ),
    FlawCode.HANDSHAKE: Meaning(Grade.WARNING, "It starts, and drops the node after the node timeout.", _REPAIR),
    FlawCode.PRIMARY_UNREADABLE: Meaning(
        Grade.CRITICAL, "It refuses the file and ends; Redis 6.2 takes any word for an id.", _REPAIR
    ),
    FlawCode.PRIMARY_UNKNOWN: Meaning(
        Grade.WARNING,
        "It makes a node without address and role of that id, until it hears of it; Valkey 9.1 ends then, by a failed "
        "assertion.",
        f"On Valkey: {_REPAIR[0].lower()}{_REPAIR[1:]} Else nothing: once it runs, the other nodes tell it.",
    ),
    FlawCode.PRIMARY_MISSING: Meaning(Grade.WARNING, "It starts with a replica that follows nobody.", _WATCH),
    FlawCode.FOLLOWS_REPLICA: Meaning(Grade.WARNING, "It starts so; versions before 7.0.5 may crash on it.", _WATCH),
    FlawCode.SLOT_UNREADABLE: Meaning(
        Grade.CRITICAL,
        "It refuses the file and ends, or starts without those slots.",
        f"{_REPAIR} Slots that its own line lost are told by rcfail health (slots-not-claimed) once it runs.",
    ),
    FlawCode.SLOTS_TWICE: Meaning(
        Grade.WARNING, "It believes the first of the two lines, whatever their epochs are.", _REPAIR
    ),
    FlawCode.SLOTS_ON_REPLICA: Meaning(Grade.WARNING, "It gives the slots to the replica.", _REPAIR),
    FlawCode.SLOT_OPEN: Meaning(
        Grade.WARNING,
        "It goes on with the half moved slot where it was.",
        "Finish or end the move once it runs: rcfail recover.",
    ),
    FlawCode.SLOT_OPEN_ELSEWHERE: Meaning(
        Grade.WARNING, "It takes the mark for its own, or makes a node without address of its other end.", _REPAIR
    ),
    FlawCode.EPOCH_UNREADABLE: Meaning(
        Grade.CRITICAL, "It reads the digits that it finds, none as 0, and a negative number as a huge one.", _REPAIR
    ),
    FlawCode.EPOCH_OVER: Meaning(Grade.WARNING, "It raises the current epoch to it.", _REPAIR),
    FlawCode.EPOCH_EQUAL: Meaning(
        Grade.WARNING, "It starts so; the two sort it out once they hear each other.", _WATCH
    ),
    FlawCode.VOTE_OVER: Meaning(
        Grade.WARNING, "It votes in no election until the current epoch has passed that one.", _REPAIR
    ),
}


@dataclass(frozen=True, slots=True)
class Flaw:
    """One problem. `line_number` counts from 1 and is 0 for the whole file; `line` is its text as it came."""

    code: FlawCode
    line_number: int
    text: str
    line: str = ""
    worse: bool = False

    @property
    def grade(self) -> Grade:
        """As of its code, unless it is `worse` here: when it is about the node itself."""
        return Grade.CRITICAL if self.worse else MEANINGS[self.code].grade

    @property
    def server(self) -> str:
        return MEANINGS[self.code].server

    @property
    def advice(self) -> str:
        return MEANINGS[self.code].advice
