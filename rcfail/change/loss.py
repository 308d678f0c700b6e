"""How much of what clients were told is written a failover can lose, and has lost, in bytes of the stream."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

from rcfail.change.request import Mode
from rcfail.health.wording import size

if TYPE_CHECKING:
    from rcfail.change.request import Request
    from rcfail.change.seen import Seen
    from rcfail.cluster.nouns import NodeId
    from rcfail.cluster.snapshot import Snapshot, View
    from rcfail.cluster.vitals import Replication

OVERLAP_MS = 1000
"""For how long the old primary may go on taking writes that nobody copies, once the new one has stopped following it:
until it hears of that over the bus, which takes 5 to 50 ms where the bus is well, and up to some rounds of clusterCron
(100 ms each) where a bus link has to be made anew. Some slack is in it, for the speed of writes between two looks is
not that of the next moment."""

_FIRST_OFFSETS = (0, 1)
"""What slave_repl_offset says on a replica that has no stream yet: 1, and 0 since Redis 8.2 and Valkey 9."""


@dataclass(frozen=True, slots=True)
class Loss:
    """`at_risk_bytes` is a range, told before; None where nobody can tell. `lost_bytes` is exact, None where it could
    not be read; then `lost_bytes_at_least` is the known lower bound. `how` says where the figures come from.
    """

    at_risk_bytes: tuple[int, int] | None = None
    lost_bytes: int | None = None
    lost_bytes_at_least: int | None = None
    how: str = ""


NO_LOSS = Loss()
"""Nothing is known of it."""


@dataclass(frozen=True, slots=True)
class _Pace:
    """Where one node's stream was when it was asked last, and how fast it went on, None from one look alone."""

    at_unix_ms: int
    offset: int
    bytes_per_s: float | None


def at_risk(seen: Seen, request: Request) -> tuple[int, int] | None:
    """Bytes that it can lose if it is carried out now, from and to; None where nobody can tell. Never negative.

    Graceful: nothing, where the target can catch up with a primary that waits for it. Else, from a primary that
    answers: its lead over the target, less what the target copies meanwhile and more what clients write meanwhile,
    each at the speed of the two looks. Of a silent primary only the least is known, where anybody heard more of it
    than the target did: that is both ends then, and never 0, for what it did not send to anybody is not known.
    """
    source, copy = _said(seen.snapshot, request.primary), _said(seen.snapshot, request.target)
    if request.mode is Mode.GRACEFUL and _waited_for(source, copy):
        return 0, 0
    if copy is None or copy.own_offset is None or copy.own_offset in _FIRST_OFFSETS:
        return None
    if source is None or source.role != "master" or source.primary_offset is None:
        heard = _heard(seen, request, copy)
        return (heard, heard) if heard else None
    if not _same_stream(source, copy):
        return None
    written, copied = _pace(seen, request.primary), _pace(seen, request.target)
    if written is None or copied is None or written.bytes_per_s is None or copied.bytes_per_s is None:
        return None
    later_s = max(0, copied.at_unix_ms - written.at_unix_ms) / 1000  # the two are not asked at the same moment
    lead, seconds = max(0.0, written.offset + written.bytes_per_s * later_s - copied.offset), OVERLAP_MS / 1000
    gains = copied.bytes_per_s * seconds if copy.link_up else 0.0
    return max(0, int(lead - gains)), ceil(lead + written.bytes_per_s * seconds)


def risk_text(seen: Seen, request: Request, risk: tuple[int, int] | None) -> str:
    """`at_risk` in words, to stand after "can be lost: "."""
    if risk is None:
        return f"nobody can tell how much: {_blank(seen, request)}"
    low, high = risk
    if request.mode is Mode.GRACEFUL and high == 0:
        return "nothing: the primary holds writes back until the target has all of them"
    primary = _said(seen.snapshot, request.primary)
    if primary is None or primary.role != "master":
        return f"at least {size(low)}: so much more was heard of the primary, which is silent now"
    if high == 0:
        return "nothing, as long as nobody writes: the target has all that the primary wrote"
    between = f"up to {size(high)}" if low == 0 else f"between {size(low)} and {size(high)}"
    return f"{between} of writes that the target has not copied by then"


def _blank(seen: Seen, request: Request) -> str:
    """Why there is no figure."""
    source, copy = _said(seen.snapshot, request.primary), _said(seen.snapshot, request.target)
    if copy is None:
        return "the target does not say what it has"
    if copy.own_offset is None or copy.own_offset in _FIRST_OFFSETS:
        return "the target never finished a first copy"
    if source is None or source.role != "master" or source.primary_offset is None:
        return "the primary is silent, and may have taken writes that it sent to nobody"
    if not _same_stream(source, copy):
        return "the target does not follow the primary's stream"
    return "the speed of the writes is known from two looks only"


def _waited_for(source: Replication | None, copy: Replication | None) -> bool:
    """The target follows a primary that answers, also at the very beginning of a stream that nobody wrote to."""
    if source is None or source.role != "master" or source.primary_offset is None:
        return False
    return copy is not None and copy.own_offset is not None and bool(copy.link_up) and _same_stream(source, copy)


def _said(snapshot: Snapshot, node_id: NodeId) -> Replication | None:
    node = snapshot.node(node_id)
    return node.vitals.replication if node is not None and node.vitals is not None else None


def _same_stream(source: Replication, copy: Replication) -> bool:
    """Offsets count within one stream. A primary that was promoted goes on with the one it followed until then."""
    if not source.replid or source.replid == copy.replid:
        return bool(source.replid)
    end = source.second_offset
    return source.replid2 == copy.replid and end is not None and (copy.own_offset or 0) < end


def _heard(seen: Seen, request: Request, copy: Replication) -> int:
    """By how much the most that was heard of the primary's stream is ahead of the target."""
    found = [copy.own_offset or 0]
    before = _said(seen.before, request.primary) if seen.before is not None else None
    if before is not None and _same_stream(before, copy) and before.primary_offset is not None:
        found.append(before.primary_offset)
    shard = seen.snapshot.shard_of(request.primary)
    for other in shard.replica_ids if shard is not None else ():
        said = _said(seen.snapshot, other)
        if said is not None and said.replid == copy.replid:
            found.extend(each for each in (said.own_offset, said.read_offset) if each is not None)
    return max(found) - (copy.own_offset or 0)


def _pace(seen: Seen, node_id: NodeId) -> _Pace | None:
    """From the last two looks. A stream that was begun anew between them has no speed."""
    last, before = _moment(seen.snapshot, node_id), _moment(seen.before, node_id) if seen.before else None
    if last is None:
        return None
    at_ms, offset, replid = last
    if before is None or before[2] != replid or at_ms <= before[0] or offset < before[1]:
        return _Pace(at_ms, offset, None)
    return _Pace(at_ms, offset, (offset - before[1]) * 1000 / (at_ms - before[0]))


def _moment(snapshot: Snapshot, node_id: NodeId) -> tuple[int, int, str] | None:
    """When the node was asked, how far its stream was, and which one it is."""
    node = snapshot.node(node_id)
    view: View | None = node.view if node is not None else None
    if view is None:
        return None
    said = view.vitals.replication
    offset = said.primary_offset if said.role == "master" else said.own_offset
    return None if offset is None else (view.asked_at_unix_ms, offset, said.replid)
