"""Who sees whom: sides, views that differ, shared epochs, links of one direction. Read once for all of them."""

from __future__ import annotations

from collections.abc import Iterator

from rcfail.cluster.sides import division
from rcfail.cluster.snapshot import Snapshot
from rcfail.health.finding import Finding, Thresholds
from rcfail.health.rules.agreement import epoch_collision, views_differ
from rcfail.health.rules.links import link_missing
from rcfail.health.rules.partition import partition

JUDGED = frozenset(
    {
        *("partition", "quorum-lost", "slots-disputed", "epoch-collision", "views-differ", "not-converged"),
        *("link-missing", "bus-unreachable", "node-failed", "node-suspected", "node-ghost", "node-handshake"),
        *("node-silent", "node-frozen", "node-loading", "clients-full", "auth-refused", "not-permitted"),
        *("reply-malformed", "node-noaddr", "node-id-changed", "node-duplicate-address", "node-unknown-to-some"),
        *("self-address-wrong", "address-disputed", "foreign-cluster"),
    }
)
"""The codes that say who sees whom, or that somebody could not be asked: what `rcfail views` judges."""


def who_sees_whom(snapshot: Snapshot, _: Thresholds) -> Iterator[Finding]:
    """partition, epoch-collision, views-differ, not-converged and link-missing."""
    parts = division(snapshot)
    yield from partition(snapshot, parts)
    yield from epoch_collision(snapshot)
    yield from views_differ(snapshot, parts)
    yield from link_missing(snapshot, parts.hearing)


RULES = (who_sees_whom,)
