"""From a server's error text, a socket's error or foreign bytes to a typed reason.

Only the first word of an error text is its code, and only that is stable: Valkey writes `LOADING Valkey is
...` where Redis writes `LOADING Redis is ...`. Behind `ERR` the text itself has to decide.
"""

from __future__ import annotations

import errno
import re
from dataclasses import dataclass
from enum import StrEnum

from rcfail.cluster.observation import Absence, AbsenceKind, SilenceReason


class RefusalKind(StrEnum):
    """Why a command got no reply. The last three are ours, the others were said by the server."""

    AUTH_REFUSED = "auth-refused"  # NOAUTH, WRONGPASS, protected mode
    NOT_PERMITTED = "not-permitted"  # NOPERM
    LOADING = "loading"
    MASTER_DOWN = "master-down"
    CLUSTER_DOWN = "cluster-down"
    UNSUPPORTED = "unsupported"  # the server does not know the command
    NOT_A_CLUSTER = "not-a-cluster"
    CLIENTS_FULL = "clients-full"
    BUSY = "busy"  # a script or a function runs for longer than busy-reply-threshold
    ERROR = "error"  # any other error reply
    NO_ANSWER = "no-answer"  # the conversation failed: `silence` says how. A `say` had sent nothing yet
    WRONG_NODE = "wrong-node"  # somebody else answers there: nothing was sent
    SENT_NO_ANSWER = "sent-no-answer"  # the one changing command left, no answer came: look what happened


@dataclass(frozen=True, slots=True)
class Refusal:
    """Stands where a reply would stand. `text` is the server's own error text, or ours for the last three kinds.

    `silence` is set where the node as a whole cannot be used, not just this command.
    """

    kind: RefusalKind
    text: str = ""
    silence: SilenceReason | None = None

    @property
    def absence(self) -> Absence:
        """The same, as the reason why one question has no answer."""
        return Absence(_ABSENCES.get(self.kind, AbsenceKind.REFUSED), self.text)


_ABSENCES = {
    RefusalKind.NOT_PERMITTED: AbsenceKind.NOT_PERMITTED,
    RefusalKind.UNSUPPORTED: AbsenceKind.UNSUPPORTED,
    RefusalKind.LOADING: AbsenceKind.LOADING,
    RefusalKind.NO_ANSWER: AbsenceKind.NO_ANSWER,
}

_SILENCES = {
    RefusalKind.AUTH_REFUSED: SilenceReason.AUTH_REFUSED,
    RefusalKind.NOT_A_CLUSTER: SilenceReason.NOT_A_CLUSTER,
    RefusalKind.CLIENTS_FULL: SilenceReason.CLIENTS_FULL,
    RefusalKind.BUSY: SilenceReason.BUSY,
}

_CODES = {
    "NOAUTH": RefusalKind.AUTH_REFUSED,
    "WRONGPASS": RefusalKind.AUTH_REFUSED,
    "DENIED": RefusalKind.AUTH_REFUSED,
    "NOPERM": RefusalKind.NOT_PERMITTED,
    "LOADING": RefusalKind.LOADING,
    "MASTERDOWN": RefusalKind.MASTER_DOWN,
    "CLUSTERDOWN": RefusalKind.CLUSTER_DOWN,
    "BUSY": RefusalKind.BUSY,
}

# Redis 6.2 begins with a capital, later servers do not; the clients' limit has a longer form in cluster mode
# ("max number of clients + cluster connections reached", networking.c).
_ERR_TEXTS = (
    ("unknown subcommand", RefusalKind.UNSUPPORTED),
    ("unknown command", RefusalKind.UNSUPPORTED),
    ("cluster support disabled", RefusalKind.NOT_A_CLUSTER),
    ("max number of clients", RefusalKind.CLIENTS_FULL),
    ("invalid password", RefusalKind.AUTH_REFUSED),
)

# Not the address of a page that explains the error.
_HTTP = re.compile(r"\bhttps?\b(?!://)", re.IGNORECASE)

_NO_PASSWORD_SET = ("without any password configured", "no password is set")


def refusal_of(text: str) -> Refusal:
    """The typed form of an error reply, given without its leading minus."""
    kind = _kind_of(text)
    if kind is RefusalKind.ERROR and _HTTP.search(text):
        return unheard(SilenceReason.GARBAGE, f"speaks HTTP, not Redis: {text}")
    return Refusal(kind, text, _SILENCES.get(kind))


def auth_refusal_of(text: str) -> Refusal | None:
    """The typed form of the error reply to AUTH, or None where it does not matter.

    A server without any password says so when it is given one (acl.c, authCommand), and answers everything
    all the same: it is open, not closed. Where AUTH is renamed away, the server quotes its arguments, that
    is the password: that part is cut off.
    """
    if any(words in text for words in _NO_PASSWORD_SET):
        return None
    text = text.partition(", with args")[0]
    known = refusal_of(text)
    if known.kind in (RefusalKind.ERROR, RefusalKind.UNSUPPORTED, RefusalKind.NOT_PERMITTED):
        return Refusal(RefusalKind.AUTH_REFUSED, known.text, SilenceReason.AUTH_REFUSED)
    return known


def unheard(reason: SilenceReason, text: str = "") -> Refusal:
    """A conversation that failed, as what stands for each of its replies."""
    return Refusal(RefusalKind.NO_ANSWER, text, reason)


def _kind_of(text: str) -> RefusalKind:
    code = text.split(" ", 1)[0]
    if code in _CODES:
        return _CODES[code]
    lowered = text.lower()
    return next((kind for words, kind in _ERR_TEXTS if words in lowered), RefusalKind.ERROR)


_CONNECT_ERRORS = {
    errno.ECONNREFUSED: SilenceReason.REFUSED,
    errno.ETIMEDOUT: SilenceReason.CONNECT_TIMEOUT,
    errno.ECONNRESET: SilenceReason.CLOSED,
    errno.ECONNABORTED: SilenceReason.CLOSED,
}


def connect_failure(error: OSError) -> SilenceReason:
    """Why a TCP connect failed. A rejecting firewall shows as no route or as not permitted."""
    if isinstance(error, TimeoutError):
        return SilenceReason.CONNECT_TIMEOUT
    return _CONNECT_ERRORS.get(error.errno or 0, SilenceReason.UNREACHABLE)


def foreign_speech(head: bytes) -> Refusal | None:
    """What speaks there, judged by the first bytes, or None where they could be the Redis protocol.

    A TLS server answers plain bytes with an alert: record type 0x15, version 0x03 and a minor one (RFC 8446,
    5.1). Only known kinds are named: a server that echoes would have us print what we sent it.
    """
    if head[:2] in (b"\x15\x03", b"\x16\x03"):
        return unheard(SilenceReason.TLS_EXPECTED, "answered with a TLS record: this is a TLS port")
    if head.startswith(b"HTTP/"):
        return unheard(SilenceReason.GARBAGE, "speaks HTTP, not Redis")
    if head.startswith(b"SSH-"):
        return unheard(SilenceReason.GARBAGE, "speaks SSH, not Redis")
    if head and head[:1] not in b"+-:$*%~#,(_=!>|":
        return unheard(SilenceReason.GARBAGE, "does not speak the Redis protocol")
    return None
