"""How facts are said in text: styles of verdicts, sizes, ages, states of nodes, reasons for silence."""

from __future__ import annotations

from rcfail.cluster.nouns import NodeId, SlotRange
from rcfail.cluster.observation import SilenceReason
from rcfail.cluster.snapshot import Known, Node
from rcfail.health.finding import Promise, Severity
from rcfail.health.wording import size as size
from rcfail.render.lines import Style

PROMISE_WORDS = {
    Promise.SERVING: "serving",
    Promise.REDUNDANT: "redundant",
    Promise.FAILOVER_READY: "failover-ready",
}

_STYLES = {
    "ok": Style.GOOD,
    "info": Style.DIM,
    "warning": Style.WARN,
    "unknown": Style.WARN,
    "critical": Style.BAD,
    "yes": Style.GOOD,
    "no": Style.BAD,
}

# Each completes "127.0.0.1:7000 ...".
SILENCE_WORDS = {
    SilenceReason.UNRESOLVABLE: "has a name that does not resolve",
    SilenceReason.REFUSED: "refuses the connection",
    SilenceReason.UNREACHABLE: "cannot be reached",
    SilenceReason.CONNECT_TIMEOUT: "does not take the connection in time",
    SilenceReason.FROZEN: "takes the connection and never answers",
    SilenceReason.TOO_SLOW: "answers too slowly",
    SilenceReason.TOO_LARGE: "answers without end",
    SilenceReason.CLOSED: "closes the connection",
    SilenceReason.BUSY: "answers nothing but BUSY",
    SilenceReason.CLIENTS_FULL: "takes no more clients",
    SilenceReason.AUTH_REFUSED: "refuses our credentials",
    SilenceReason.NOT_A_CLUSTER: "is not a member of a cluster",
    SilenceReason.TLS_EXPECTED: "speaks TLS only",
    SilenceReason.NOT_TLS: "does not speak TLS",
    SilenceReason.TLS_UNTRUSTED: "shows a certificate that no trusted CA signed",
    SilenceReason.TLS_EXPIRED: "shows a certificate that is not valid now",
    SilenceReason.TLS_NAME: "shows a certificate for another name",
    SilenceReason.TLS_CLIENT_CERT: "wants a client certificate that it trusts",
    SilenceReason.TLS_FAILED: "fails in the TLS handshake",
    SilenceReason.GARBAGE: "does not speak the Redis protocol",
    SilenceReason.NO_TIME: "could not be asked before the deadline",
    SilenceReason.NO_ADDRESS: "has no address that anybody lists",
    SilenceReason.NO_PORT: "is listed with port 0",
    SilenceReason.ANOTHER_NODE: "is listed only where another node answers",
}


def severity_style(word: Severity | Known | str) -> Style:
    """The colour of a severity, a verdict, or of yes and no."""
    return _STYLES.get(str(word), Style.PLAIN)


def ranges(slots: tuple[SlotRange, ...], most: int | None = None) -> str:
    """`0-5460, 5462`; after `most` pieces the rest is counted."""
    pieces = [str(first) if first == last else f"{first}-{last}" for first, last in slots[:most]]
    rest = len(slots) - len(pieces)
    return ", ".join(pieces) + (f" and {rest} more" if rest else "")


def place(node: Node) -> str:
    """host:port of a node, or what stands for it where nobody lists an address."""
    return str(node.endpoint or node.address) if node.endpoint or node.address.endpoint else "no address"


def short(node_id: NodeId | None) -> str:
    return node_id[:8] if node_id else "-"
