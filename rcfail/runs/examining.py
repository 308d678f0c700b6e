"""A settled look at the whole cluster for a recovery: what is asked besides, and what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from rcfail.change.recover.case import NO_DECISIONS, Case, Decisions, Question
from rcfail.change.recover.condition import Condition
from rcfail.change.recover.doctor import Planner
from rcfail.change.recover.recovery import Recovery
from rcfail.change.run import Moment
from rcfail.clock import Deadline
from rcfail.cluster.nouns import Endpoint
from rcfail.cluster.observation import Observation
from rcfail.cluster.snapshot import Node, Snapshot
from rcfail.health.finding import ALARMING, Finding, Thresholds
from rcfail.health.wording import listing
from rcfail.rounds import look_until_settled
from rcfail.runs.moving import Site
from rcfail.settings.sections import Wanted
from rcfail.wire.pool import Pool

if TYPE_CHECKING:
    from rcfail.wire.replies import Reply

PLACES_AT_ONCE = 32
_STATE = "cluster-state-fail"


@dataclass(frozen=True, slots=True)
class Wish:
    """What holds for the whole run. `command` is its name for the audit; `lose_keys` is how many keys the operator says
    that will be thrown away for good. `without` are variables that his own command does not get. `within` picks the
    conditions that are meant: all, or those of one target."""

    command: str
    planner: Planner
    decisions: Decisions = NO_DECISIONS
    within: Callable[[tuple[Condition, ...]], tuple[Condition, ...]] = tuple
    dry_run: bool = False
    reason: str = ""
    break_lock: bool = False
    lose_keys: int | None = None
    asked: Mapping[str, Any] = field(default_factory=dict)
    without: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Ways:
    """How the operator is told and asked. `consent` returns when he said yes, True where that took a while; it raises
    Declined. `says` hears what the operator's own command prints, by node. `stop` tells that he wants no further
    action; `shield` holds signals back for its body. After `over` no signal takes the answer away."""

    consent: Callable[[Recovery], bool]
    witness: Callable[[Snapshot, Moment], None]
    tell: Callable[[str], None]
    says: Callable[[Node, str], None]
    stop: Callable[[], bool]
    shield: Callable[[], AbstractContextManager[None]]
    over: Callable[[], None]


class Examined(NamedTuple):
    """One settled look, what it is judged by, and what is wrong."""

    observation: Observation
    case: Case
    conditions: tuple[Condition, ...]
    agreed: bool


def examine(site: Site, wish: Wish) -> Examined:
    """Look until two looks agree, ask what the planner wants to know besides, and plan. Raises CannotSee."""
    deadline = Deadline.after(site.settings.limits.deadline_s, site.clock)
    looked = look_until_settled(
        site.sight, thresholds_kept(site.settings.wanted), site.clock, deadline, site.settings.zones
    )
    case = Case(looked.snapshot, looked.findings, wish.decisions)
    case = replace(case, replies=_asked(site, tuple(wish.planner.questions(case)), deadline))
    found = wish.within(tuple(wish.planner.conditions(case, frozenset())))
    fit = site.sight.manner.fit
    return Examined(
        looked.observation, case, tuple(replace(each, advice=fit(each.advice)) for each in found), looked.agreed
    )


def thresholds_kept(wanted: Wanted) -> Thresholds:
    """Who keeps a cluster without replicas on purpose says so in its settings, and none are borrowed for it."""
    usual = Thresholds()
    return usual if wanted.min_replicas is None else replace(usual, min_replicas=wanted.min_replicas)


def _asked(site: Site, questions: tuple[Question, ...], deadline: Deadline) -> Mapping[Question, Reply]:
    """All of them, one connection a place, all places at once."""
    by_place: dict[Endpoint, list[Question]] = {}
    for each in questions:
        by_place.setdefault(each.place, []).append(each)
    found: dict[Question, Reply] = {}
    if not by_place:
        return found
    pool: Pool[dict[Question, Reply]] = Pool(PLACES_AT_ONCE)
    for place, its in by_place.items():
        pool.submit(partial(_asked_there, site, place, its, deadline))
    while pool.open_jobs and (ended := pool.next_ended(deadline)) is not None:
        found.update(ended)
    pool.close()
    return found


def _asked_there(site: Site, place: Endpoint, its: list[Question], deadline: Deadline) -> dict[Question, Reply]:
    replies = site.door.apart().read(place, [each.command for each in its], deadline=deadline)
    return dict(zip(its, replies, strict=True))


def unexplained(seen: Examined) -> str:
    """What is critical or unknown for health, and no condition is about it."""
    return listing([f"{each.code} {each.subject.address}".strip() for each in _unexplained(seen)], 4)


def passing(seen: Examined) -> str:
    """What is wrong, in a clause, where all of it passes by itself and nothing is to be done; else ""."""
    if seen.conditions:
        return listing([each.subject for each in seen.conditions], 3) if all(map(_passes, seen.conditions)) else ""
    left = _unexplained(seen)
    # Nodes keep their state for up to 5 s once they see a majority again (CLUSTER_MAX_REJOIN_DELAY, cluster_legacy.c).
    return _STATE if left and all(each.code == _STATE for each in left) else ""


def _passes(condition: Condition) -> bool:
    return condition.passes and not condition.actions


def _unexplained(seen: Examined) -> list[Finding]:
    explained = {code for each in seen.conditions for code in each.findings}
    return [each for each in seen.case.findings if each.severity in ALARMING and each.code not in explained]
