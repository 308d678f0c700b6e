"""Where a change meets its cluster: one way to see it, one lock over it, and one audit of what is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rcfail.blind import cannot_see
from rcfail.change.audit import Audit, state_folder, unwritable
from rcfail.change.gather import gather
from rcfail.change.history import last_words
from rcfail.change.locks.lock import hold
from rcfail.change.locks.owner import Owner, myself
from rcfail.change.mover import Mover
from rcfail.change.run import Moment
from rcfail.change.seen import Seen
from rcfail.change.sender import Means
from rcfail.clock import SYSTEM_CLOCK, Clock, Deadline
from rcfail.cluster.merge import merge
from rcfail.cluster.nouns import NodeId
from rcfail.cluster.observation import Observation
from rcfail.cluster.snapshot import Snapshot
from rcfail.errors import RcfailError, Refused, UsageFault
from rcfail.exits import ExitCode
from rcfail.health.manner import Manner
from rcfail.session import Sight, lasting, open_door, open_sight
from rcfail.settings.sections import Settings
from rcfail.wire.door import Door


class _Seeing:
    """A sight that raises where no cluster can be seen, instead of showing an empty one."""

    def __init__(self, sight: Sight) -> None:
        self._sight = sight

    @property
    def manner(self) -> Manner:
        return self._sight.manner

    def look(self, deadline: Deadline) -> Observation:
        return _seen(self._sight.look(deadline))

    def again(self, previous: Observation, deadline: Deadline) -> Observation | None:
        later = self._sight.again(previous, deadline)
        return None if later is None else _seen(later)

    def first_view(self, deadline: Deadline) -> Observation:
        return self._sight.first_view(deadline)


def _seen(observation: Observation) -> Observation:
    fault = cannot_see(observation)
    if fault is not None:
        raise fault
    return observation


@dataclass(frozen=True, slots=True)
class Site:
    """One cluster, as one operator sees and changes it. `audit_path` None: no audit, by the operator's word."""

    settings: Settings
    sight: Sight
    door: Door
    audit_path: Path | None
    clock: Clock = SYSTEM_CLOCK

    def look(self) -> Snapshot:
        """One round over all nodes. Raises CannotSee."""
        return merge(self.sight.look(self._deadline()), self.settings.zones)

    def see(self, primary: NodeId) -> Seen:
        """All that a failover of this primary is judged by. Raises CannotSee."""
        return gather(
            self.sight,
            self.door,
            primary,
            clock=self.clock,
            deadline=self._deadline(),
            audit_path=self.audit_path,
            labels=self.settings.zones,
        )

    def _deadline(self) -> Deadline:
        return Deadline.after(self.settings.limits.deadline_s, self.clock)


@contextmanager
def at_site(settings: Settings, audit_path: Path | None) -> Iterator[Site]:
    """Open the way to the cluster that the user named; it is kept open between looks, and closed at the end."""
    if settings.target.record is not None:
        raise UsageFault("a change needs live servers: a record never changes", "Name a node: -s HOST:PORT.")
    with lasting(open_sight(settings)) as sight:
        yield Site(settings, _Seeing(sight), open_door(settings), audit_path)


@dataclass(frozen=True, slots=True)
class Orders:
    """What the operator says of the whole run. `facts` are of the plan, as the audit keeps them."""

    command: str
    nodes: Sequence[NodeId]
    facts: Mapping[str, Any]
    reason: str = ""
    break_lock: bool = False


class Hands:
    """The mover, and the code that the run ends with, for the audit's last line."""

    def __init__(self, mover: Mover, audit: Audit, means: Means) -> None:
        self.mover = mover
        self.audit = audit
        self.means = means
        self.exit_code = ExitCode.INTERNAL


@contextmanager
def at_work(
    site: Site,
    snapshot: Snapshot,
    orders: Orders,
    *,
    witness: Callable[[Moment], None],
    tell: Callable[[str], None],
    shield: Callable[[], AbstractContextManager[None]] = nullcontext,
    sent: Callable[[], None] = lambda: None,
) -> Iterator[Hands]:
    """Hold the lock, begin the audit, and end both, however the body ends. The body sets `exit_code`.

    Raises LockHeld, AuditUnwritable, and Refused where neither can be had. `tell` hears of owners that are put aside.
    """
    password = site.door.credentials.password
    owner = myself(orders.reason, site.clock.unix_ms(), password.scrub if password else str)
    audit = Audit(site.audit_path, owner, password.scrub if password else str, site.clock)
    if why := unwritable(site.audit_path, site.clock):
        raise Refused(
            f"the audit {site.audit_path} cannot be written: {why}",
            "Name another file: --audit FILE. To keep none, by name: --audit -",
        )

    def over(other: Owner) -> None:
        last = last_words(site.audit_path, other) if site.audit_path else ""
        tell(f"the lock of {other.label} is put aside" + (f"; its last line in the audit: {last}" if last else ""))

    folder = state_folder() / "locks"
    with hold(site.door, snapshot, owner, folder, break_lock=orders.break_lock, over=over, clock=site.clock) as held:
        audit.begin(command=orders.command, nodes=list(orders.nodes), plan=orders.facts)
        means = Means(site.door, audit, held, site.look, witness, site.clock, shield, sent)
        hands = Hands(Mover(site, means, tell), audit, means)
        try:
            yield hands
        except BaseException as error:
            hands.exit_code = _code_of(error)
            raise
        finally:
            audit.end(exit_code=hands.exit_code)


def _code_of(error: BaseException) -> ExitCode:
    if isinstance(error, RcfailError):
        return error.exit_code
    return ExitCode.INTERRUPTED if isinstance(error, KeyboardInterrupt) else ExitCode.INTERNAL
