"""Whether this host sees enough to judge the cluster: the observer may be the broken one."""

from __future__ import annotations

from collections.abc import Collection

from rcfail.change.checks import Check, CheckVerdict
from rcfail.change.preflight.case import Case, passed
from rcfail.change.request import Override
from rcfail.cluster.snapshot import Snapshot

_CODE = "observer"


def observer(case: Case) -> Check:
    """As `observed`, of a failover."""
    return observed(case.snapshot, case.request.given)


def observed(snapshot: Snapshot, given: Collection[Override]) -> Check:
    """It says no when more than half of the nodes are silent to us, and well for those that answer."""
    silent = [each for each in snapshot.nodes.values() if each.view is None]
    tables = sum(len(each.observers) for each in snapshot.groups)
    hidden = [each for each in silent if 2 * len({*each.suspected_by, *each.failed_by}) <= tables]
    total, dead = len(snapshot.nodes), len(silent) - len(hidden)
    if 2 * len(hidden) > total:
        text = f"{len(hidden)} of {total} nodes are silent to this host, and well for the nodes that answer: "
        text += "the fault is most likely between us and them"
        hint = "Try again from another host."
        return Check(_CODE, CheckVerdict.FAIL, text, Override.THIS_HOST, Override.THIS_HOST in given, hint)
    more = f"; silent to this host alone: {len(hidden)}" if hidden else ""
    more += f"; silent, and down for most others: {dead}" if dead else ""
    return passed(_CODE, f"{total - len(silent)} of {total} nodes answer this host{more}")
