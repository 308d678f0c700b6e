"""One operator at a time: a lock on this host, and one in the cluster where a majority of the voters can be written.

It never waits for another one: whoever holds it is named at once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rcfail.change.locks.cluster_lock import TTL_MS, ClusterLock, dead, places_of, seats_of
from rcfail.change.locks.local_lock import LocalLock
from rcfail.change.locks.owner import Owner, myself, read_owner
from rcfail.clock import SYSTEM_CLOCK, Clock
from rcfail.errors import OutOfTime, RcfailError, Refused
from rcfail.exits import ExitCode

if TYPE_CHECKING:
    from rcfail.cluster.snapshot import Snapshot
    from rcfail.wire.door import Door


class LockHeld(RcfailError):
    """Another operator's change is under way. `owner` None: the key holds what no rcfail wrote."""

    exit_code = ExitCode.LOCKED
    code = "locked"

    def __init__(self, owner: Owner | None, now_unix_ms: int) -> None:
        self.owner = owner
        self.age_ms = max(0, now_unix_ms - owner.at_unix_ms) if owner else None
        told = "a change is under way: the lock holds a value that no rcfail wrote"
        if owner is not None:
            reason = f": {owner.reason}" if owner.reason else ", without a reason given"
            told = f"{owner.label} has had the lock for {(self.age_ms or 0) / 1000:.0f} s{reason}"
        super().__init__(
            told, "Wait for it, or ask its owner. What was done: rcfail history. If it is dead: --break-lock"
        )


class Hold:
    """The lock while it is held. `local_alone` says why there is none in the cluster, else ""."""

    def __init__(self, local: LocalLock, cluster: ClusterLock, local_alone: str) -> None:
        self._local = local
        self._cluster = cluster
        self.local_alone = local_alone
        self.lost = ""

    def still_held(self) -> bool:
        """Read again, in the cluster too: ask right before each send. `lost` then says why it is not."""
        if not self._local.is_ours():
            self.lost = "the lock on this host was broken by another rcfail"
        elif not self.local_alone:
            self.lost = self._cluster.still_ours()
        return not self.lost

    @property
    def unread(self) -> bool:
        """After `still_held` said no: nobody else has it, as far as can be read. So it is where slots are out since
        it was taken, for then no key is served."""
        return bool(self.lost) and self._local.is_ours() and not self._cluster.taken


def _nothing(_: Owner) -> None:
    return None


@contextmanager
def hold(
    door: Door,
    snapshot: Snapshot,
    owner: Owner,
    folder: Path,
    *,
    break_lock: bool = False,
    over: Callable[[Owner], None] = _nothing,
    ttl_ms: int = TTL_MS,
    clock: Clock = SYSTEM_CLOCK,
) -> Iterator[Hold]:
    """Hold both locks for the body; they are renewed meanwhile and let go at the end, however it ends.

    `folder` is that of the local locks. `over` is told of each owner that is put aside, before that is done: one that
    died on this host, or, with `break_lock`, any. Raises LockHeld, and Refused where the folder cannot be written.
    """
    over = _once(over)
    local = LocalLock(folder, owner, sorted(snapshot.nodes), clock)
    _take_local(local, folder, break_lock, over, clock)
    cluster = ClusterLock(door, seats_of(snapshot), owner, ttl_ms, places_of(snapshot))
    try:
        held = Hold(local, cluster, _take_cluster(cluster, break_lock, over, clock))
        with _renewed(cluster, ttl_ms):
            yield held
    finally:
        try:
            cluster.release()
        finally:
            local.release()


def rival(door: Door, snapshot: Snapshot, folder: Path, clock: Clock = SYSTEM_CLOCK) -> LockHeld | None:
    """Who would send us away now. Nothing is taken. An owner that died on this host does not count."""
    asking = myself("", clock.unix_ms())
    local = LocalLock(folder, asking, sorted(snapshot.nodes), clock).other()
    if local is not None:
        return LockHeld(local, clock.unix_ms())
    cluster = ClusterLock(door, seats_of(snapshot), asking, places=places_of(snapshot))
    living = [value for value in cluster.look() if dead(value) is None]
    return LockHeld(read_owner(living[0]), clock.unix_ms()) if living else None


def _once(over: Callable[[Owner], None]) -> Callable[[Owner], None]:
    """An owner stands in several places, and is told of once."""
    told: set[str] = set()

    def tell(owner: Owner) -> None:
        if owner.token not in told:
            told.add(owner.token)
            over(owner)

    return tell


def _take_local(local: LocalLock, folder: Path, breaks: bool, over: Callable[[Owner], None], clock: Clock) -> None:
    try:
        other = local.take(breaks, over)
    except (OSError, OutOfTime) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise Refused(
            f"the lock in {folder} cannot be taken: {why}", "Set XDG_STATE_HOME to a folder of yours."
        ) from None
    if other is not None:
        raise LockHeld(other, clock.unix_ms())


def _take_cluster(cluster: ClusterLock, breaks: bool, over: Callable[[Owner], None], clock: Clock) -> str:
    """ "" when a majority is ours, else why the local lock stands alone. Raises LockHeld."""
    for value in cluster.look():
        owner = dead(value) or (read_owner(value) if breaks else None)
        if owner is None and not breaks:
            raise LockHeld(read_owner(value), clock.unix_ms())
        if owner is not None:
            over(owner)
        cluster.remove(value)
    held, other, why = cluster.take()
    if other is not None:
        raise LockHeld(read_owner(other.value), clock.unix_ms())
    if held >= cluster.needed:
        return ""
    cluster.release()
    return f"{held} of the {cluster.needed} shards that are needed take the lock{': ' + why if why else ''}"


@contextmanager
def _renewed(cluster: ClusterLock, ttl_ms: int) -> Iterator[None]:
    """Three times in each life, so that one renewal may fail."""
    over = threading.Event()

    def renew() -> None:
        while not over.wait(ttl_ms / 3000):
            cluster.renew()

    thread = threading.Thread(target=renew, name="lock renewal", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
