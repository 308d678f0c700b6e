"""What must be so before the first action of a recovery, whatever it is."""

from __future__ import annotations

from collections.abc import Iterator

from rcfail.change.checks import Check, CheckVerdict
from rcfail.change.preflight.observer import observed
from rcfail.change.recover.action import Losing
from rcfail.change.recover.case import Case
from rcfail.change.recover.condition import Condition
from rcfail.change.recover.expect import name_of
from rcfail.change.request import Override
from rcfail.cluster.snapshot import Snapshot
from rcfail.health.wording import counted, listing


def preflight(case: Case, found: tuple[Condition, ...], *, agreed: bool) -> tuple[Check, ...]:
    """`agreed`: two looks in a row said the same."""
    return tuple(_checks(case, found, agreed))


def _checks(case: Case, found: tuple[Condition, ...], agreed: bool) -> Iterator[Check]:
    snapshot, given = case.snapshot, case.decisions.given
    yield observed(snapshot, given)
    yield _one_cluster(snapshot)
    still = "two looks in a row say the same" if agreed else "no two looks in a row said the same: it is changing now"
    yield Check("settled", CheckVerdict.PASS if agreed else CheckVerdict.WARN, still)
    losing = [each for condition in found for action in condition.actions for each in action.loses]
    if losing:
        yield _data(snapshot, losing, Override.DATA_LOSS in given)


def _one_cluster(snapshot: Snapshot) -> Check:
    """Two clusters that are introduced to each other become one, and nothing parts them again."""
    if not snapshot.foreign:
        return Check("one-cluster", CheckVerdict.PASS, "all that answers is of one cluster, or of none")
    places = listing(str(place) for each in snapshot.foreign for place in each.places)
    text = f"nodes of another cluster answer at {places}: nothing is changed while it is unclear which one is meant"
    return Check("one-cluster", CheckVerdict.FAIL, text, hint="Name seeds of one cluster only.")


def _data(snapshot: Snapshot, losing: list[Losing], allowed: bool) -> Check:
    last = [each for each in losing if each.counts]
    if not last:
        told = listing(f"{_keys(each)} on {name_of(snapshot, each.node)}" for each in losing)
        return Check("data", CheckVerdict.PASS, f"thrown away are {told}, and others hold them too")
    told = listing(f"{_keys(each)} on {name_of(snapshot, each.node)}" for each in last)
    text = f"the only copy of {told} would be thrown away"
    return Check("data", CheckVerdict.FAIL, text, Override.DATA_LOSS, allowed)


def _keys(losing: Losing) -> str:
    return "an unknown number of keys" if losing.keys is None else counted(losing.keys, "key")
