"""Host names of a lab's nodes. They stand under `localhost`, which is nobody's on any network (RFC 6761, 6.3)."""

from __future__ import annotations

from collections.abc import Iterator

from rcfail.clock import Deadline
from rcfail.cluster.nouns import Endpoint
from rcfail.practice.lab.register import LabEntry
from rcfail.wire.bounds import Unheard
from rcfail.wire.dial import addresses_of

_HOSTS_FILE = "hosts"
_RESOLVE_WITHIN_S = 2.0


def name_of(node: str, lab: str) -> str:
    """Such as n1.default.localhost."""
    return f"{node}.{lab}.localhost"


def write_hosts(entry: LabEntry) -> None:
    """All names as lines for /etc/hosts."""
    rows = (f"{node.host} {node.hostname}\n" for node in entry.nodes)
    entry.folder_of(_HOSTS_FILE).write_text("".join(rows), "ascii")


def unresolved(entry: LabEntry) -> Iterator[str]:
    """What to do where this machine does not know the names: many know none below localhost, others one address."""
    first = entry.nodes[0]
    deadline = Deadline.after(_RESOLVE_WITHIN_S)
    try:
        found = addresses_of(Endpoint(first.hostname, first.port), _RESOLVE_WITHIN_S, deadline)
    except Unheard:
        found = ()
    if first.endpoint not in found:
        yield (
            f"this machine does not know the nodes' names, such as {first.hostname}; rcfail takes their addresses. "
            f"For programs that do not, as root: cat {entry.folder_of(_HOSTS_FILE)} >> /etc/hosts"
        )
