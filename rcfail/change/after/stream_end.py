"""Where the old primary's stream ended, and up to where the new one took it over: the difference is lost. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from rcfail.change.loss import Loss
from rcfail.cluster.vitals import Replication
from rcfail.health.wording import size


@dataclass(frozen=True, slots=True)
class StreamEnd:
    """What was seen of one stream, named by `replid`, "" where nobody told.

    `last_offset` is the last one that the old primary said while it was primary. `ended_at` is its own offset once it
    was demoted and before it had copied from anybody. `now` is what it says last, `promoted` what the new primary
    says, None without an answer. `silent` says why the old primary could not be watched, or "". `copies` are the full
    and the partial ones that the new primary gave since before the send.
    """

    replid: str
    last_offset: int | None = None
    ended_at: int | None = None
    now: Replication | None = None
    promoted: Replication | None = None
    silent: str = ""
    copies: tuple[int, int] | None = None


def ends_here(said: Replication, replid: str, last_offset: int | None) -> int | None:
    """The end of the demoted node's own stream, while it says it.

    A demoted node goes on counting from where it was, so that it can ask for what comes next: INFO prints that as
    slave_repl_offset until a new copy begins, and as master_repl_offset until the new copy is whole. Both it and the
    stream's name are then replaced in one step (readSyncBulkPayload, replication.c).
    """
    if said.role != "slave" or said.link_up is not False or not replid or said.replid != replid:
        return None
    offset, asked_from = said.primary_offset, said.own_offset
    if offset is None or offset < (last_offset or 1) or asked_from not in (0, 1, None, offset):
        return None
    return offset


def lost(end: StreamEnd, risk: tuple[int, int] | None) -> Loss:
    """What was lost. Exact only where both ends of the gap were read; 0 too is told only then."""
    taken_to = _taken_to(end)
    if taken_to is None:
        return Loss(risk, how=_nothing_known(end))
    copies = _copies(end)
    if end.ended_at is not None:
        gap = max(0, end.ended_at - taken_to)
        taken = f"has it up to {taken_to}" if gap else "has all of it"
        how = f"the old primary's stream ended at {end.ended_at}, and the new one {taken}{copies}"
        return Loss(risk, gap, gap, how)
    if _went_on(end):
        how = "the old primary follows without a new copy, so it had written nothing that the new one has not"
        return Loss(risk, 0, 0, how + copies)
    why = end.silent or "the old primary was not caught between its demotion and its new copy"
    if end.last_offset is None:
        return Loss(risk, how=f"{why}, and it never said how far it was{copies}")
    least = max(0, end.last_offset - taken_to)
    how = f"{why}; it was at {end.last_offset} when it was last heard as primary, and the new one has up to {taken_to}"
    return Loss(risk, None, least, how + copies)


def _taken_to(end: StreamEnd) -> int | None:
    """The last byte of the old stream that the new primary has.

    A promoted node keeps the old stream's name and writes down its own first byte (shiftReplicationId, replication.c).
    """
    said = end.promoted
    if said is None or said.role != "master" or not end.replid or said.replid2 != end.replid:
        return None
    return said.second_offset - 1 if said.second_offset is not None and said.second_offset > 0 else None


def _went_on(end: StreamEnd) -> bool:
    """The demoted node was let go on from where it was: only who has nothing beyond the new primary's point is.

    (masterTryPartialResynchronization, replication.c). It then keeps the old stream's name as its second one.
    """
    now, new = end.now, end.promoted
    if now is None or new is None or now.role != "slave" or now.link_up is not True:
        return False
    return now.replid == new.replid and now.replid2 == end.replid


def _nothing_known(end: StreamEnd) -> str:
    if end.promoted is None:
        return "no new primary was seen"
    if not end.replid:
        return "nobody told the name of the old primary's stream"
    return "the new primary does not go on with the old primary's stream, so their offsets cannot be compared"


def _copies(end: StreamEnd) -> str:
    """A cross-check: who diverged needs a full copy."""
    if end.copies is None or not any(end.copies):
        return ""
    given = zip(end.copies, ("full", "partial"), strict=True)
    told = [f"{count} {kind} {'copy' if count == 1 else 'copies'}" for count, kind in given if count]
    return f"; since then it gave {' and '.join(told)}"


def words(loss: Loss) -> str:
    """What was lost, in a few words."""
    if loss.lost_bytes is not None:
        return f"{size(loss.lost_bytes)} of writes were lost" if loss.lost_bytes else "no write was lost"
    if loss.lost_bytes_at_least:
        return f"at least {size(loss.lost_bytes_at_least)} of writes were lost"
    return "nobody can tell what was lost"
