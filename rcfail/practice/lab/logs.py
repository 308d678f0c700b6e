"""What a server that failed has left behind: the end of its log."""

from __future__ import annotations

import re
from pathlib import Path

from rcfail.errors import LabFault
from rcfail.practice.lab.register import NodeEntry

LOG_FILE = "server.log"
OUTPUT_FILE = "output.log"
_LINES = 8
_LONGEST = 160
_MOST_BYTES = 65536
# "12345:M 22 Nov 2026 16:36:01.123 # " in front of every line of a server's log.
_STAMP = re.compile(r"^\d+:[A-Z] .{1,30}? [*#.-] ")

_SECRET = re.compile(
    r"\b(requirepass|masterauth|primaryauth|masteruser|primaryuser|user|tls-\S+-pass)\b.*", re.IGNORECASE
)


class ServerFault(LabFault):
    """A server of the lab that ended, or never came so far. `log` is the end of what it wrote, oldest line first."""

    def __init__(self, message: str, node: NodeEntry) -> None:
        self.node = node.name
        self.log = log_tail(node)
        said = f", it says: {_STAMP.sub('', self.log[-1])[:_LONGEST]}" if self.log else ""
        where = Path(node.folder) / LOG_FILE
        super().__init__(message + said, f"Its log: {where}. Of an up that failed it is kept with --keep only.")


def log_tail(node: NodeEntry) -> tuple[str, ...]:
    """The last lines that a server wrote: to its log, or, when it never came that far, to its output."""
    for name in (LOG_FILE, OUTPUT_FILE):
        try:
            with (Path(node.folder) / name).open("rb") as file:
                file.seek(max(0, file.seek(0, 2) - _MOST_BYTES))
                text = file.read().decode("utf-8", "replace")
        except OSError:
            continue
        lines = [_scrubbed(line.rstrip()) for line in text.splitlines() if line.strip()][-_LINES:]
        if lines:
            return tuple(lines)
    return ()


def _scrubbed(line: str) -> str:
    """A server quotes the line of redis.conf that it cannot read: without the value, where that can be a password."""
    return _SECRET.sub(r"\1 ***", line)
