"""Looking at a real cluster many times a second, in this process: what a command of its own would be too slow for."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from rcfail.clock import SYSTEM_CLOCK, Deadline
from rcfail.cluster.merge import merge
from rcfail.cluster.snapshot import Snapshot
from rcfail.health.finding import Thresholds
from rcfail.health.verdict import Policy
from rcfail.rounds import Judge
from rcfail.session import Sight, open_sight
from rcfail.settings.sections import Limits, Settings, Target
from tests.real.servers import RunningLab

_LOOK_S = 4.0


def looking_at(lab: RunningLab) -> Callable[[], Snapshot]:
    """Each call is one round over the whole cluster."""
    sight = _sight(lab)
    return lambda: merge(sight.look(Deadline.after(_LOOK_S)))


def judging(lab: RunningLab) -> Judge:
    """What `rcfail health` does, without its process."""
    return Judge(_sight(lab), Thresholds(), Policy(), SYSTEM_CLOCK, _LOOK_S)


def every(seconds: float, for_s: float) -> Iterator[float]:
    """Moments in seconds since the first one, that far apart."""
    deadline = Deadline.after(for_s)
    while not deadline.passed():
        yield for_s - deadline.remaining_s()
        SYSTEM_CLOCK.sleep(deadline.at_most(seconds))


def _sight(lab: RunningLab) -> Sight:
    return open_sight(Settings(Target(lab.entry.seeds), Limits(_LOOK_S, 0.5, 0.5)), {})
