"""What a run needs besides a fit cluster: that nobody else changes it, and that it can be written down."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rcfail.change.audit import unwritable
from rcfail.change.checks import Check, CheckVerdict
from rcfail.change.history import PastRun, past_runs
from rcfail.change.locks.lock import rival
from rcfail.change.request import Override
from rcfail.clock import Clock

if TYPE_CHECKING:
    from rcfail.cluster.nouns import NodeId
    from rcfail.cluster.snapshot import Snapshot
    from rcfail.wire.door import Door


def premises(
    door: Door, snapshot: Snapshot, locks: Path, audit_path: Path | None, clock: Clock, *, break_lock: bool = False
) -> tuple[Check, ...]:
    """The lock and the audit, for who only asks: nothing is taken, no line is written."""
    return tuple(_premises(door, snapshot, locks, audit_path, clock, break_lock))


def _premises(
    door: Door, snapshot: Snapshot, locks: Path, audit_path: Path | None, clock: Clock, break_lock: bool
) -> Iterator[Check]:
    held = rival(door, snapshot, locks, clock)
    if held is not None:
        yield Check("lock", CheckVerdict.FAIL, held.message, Override.BREAK_LOCK, break_lock, hint=held.hint or "")
    else:
        yield Check("lock", CheckVerdict.PASS, "nobody else makes a change in this cluster")
    why = unwritable(audit_path, clock)
    if why:
        yield Check("audit", CheckVerdict.FAIL, f"the audit {audit_path} cannot be written: {why}", Override.NO_AUDIT)
    else:
        told = f"it is written to {audit_path}" if audit_path else "none is kept, by your word"
        yield Check("audit", CheckVerdict.PASS, told)


def repeated(
    audit_path: Path | None, asked: Mapping[str, Any], shard: Collection[NodeId], primary: NodeId, began_unix_ms: int
) -> PastRun | None:
    """The last run that touched the shard, where it was asked the same and promoted the node that is primary now, and
    either died before it could tell, or is under way, or sent it when this run had begun already.

    Who repeats a command that died, or gives it twice at once, wants what it promoted, and not that it is undone: named
    again, what was a replica then is a primary now, and the other way round. An audit that cannot be read tells
    nothing.
    """
    if audit_path is None:
        return None
    try:
        found = past_runs(audit_path, 1, lambda run: any(each in shard for each in run.nodes))
    except OSError:
        return None
    last = found[-1] if found else None
    if last is None or last.plan.get("asked") != dict(asked) or not last.sends or last.sends[-1].node != primary:
        return None
    at_once = last.exit_code == 0 and last.sends[-1].at_unix_ms >= began_unix_ms
    return last if last.indeterminate or last.running or at_once else None
