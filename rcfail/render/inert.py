"""Text from a server, a file or a command line made harmless for a terminal.

rich passes escape bytes through, and a terminal obeys them: a host name can move the cursor, hide a line
or answer in the operator's name. Here they become visible and dead.
"""

from __future__ import annotations

import re

# C0 and DEL, C1, the marks and overrides that turn the direction of text, what is invisible or breaks a line,
# tags, and halves of surrogate pairs, which stand for bytes that are no UTF-8.
_HARMFUL = (
    "\x00-\x1f\x7f-\x9f"
    "\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    "\U000e0000-\U000e007f"
)
_ANY = re.compile(f"[{_HARMFUL}]")
_ANY_BUT_LAYOUT = re.compile(f"(?![\n\t])[{_HARMFUL}]")


def inert(text: str) -> str:
    """The text on one line, each harmful character written as its escape: \\x1b, \\u202e."""
    return _ANY.sub(_escape, text)


def inert_block(text: str) -> str:
    """The same for text of several lines: newlines and tabs stay."""
    return _ANY_BUT_LAYOUT.sub(_escape, text)


def is_inert_block(text: str) -> bool:
    return _ANY_BUT_LAYOUT.search(text) is None


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
