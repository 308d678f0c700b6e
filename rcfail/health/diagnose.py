"""All rules over one snapshot, and the agreement of several rounds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib import import_module

from rcfail.cluster.snapshot import Snapshot
from rcfail.health.catalogue import BY_CODE
from rcfail.health.finding import Finding, Severity, Thresholds

Rule = Callable[[Snapshot, Thresholds], Iterator[Finding]]

_THEMES = ("slots", "quorum", "placement", "failover", "nodes", "visibility", "replication", "config", "views")


def rules() -> tuple[Rule, ...]:
    """Every rule, theme by theme."""
    modules = (import_module(f"rcfail.health.rules.{theme}") for theme in _THEMES)
    return tuple(rule for module in modules for rule in module.RULES)


def diagnose(snapshot: Snapshot, thresholds: Thresholds) -> tuple[Finding, ...]:
    """Everything that is wrong in one picture, each finding once."""
    found: dict[Finding, None] = {}
    for rule in rules():
        for finding in rule(snapshot, thresholds):
            found[finding] = None
    return tuple(found)


def clean(findings: Sequence[Finding]) -> bool:
    """True when nothing in them can pass by itself, or change a verdict, so that one look is enough."""
    return all(finding.severity is Severity.INFO for finding in findings)


def settled(before: Sequence[Finding], now: Sequence[Finding]) -> bool:
    """True when what can pass by itself is the same in two rounds, so that a third would tell nothing new."""
    return _passing(before) == _passing(now)


def confirmed(before: Sequence[Finding], now: Sequence[Finding]) -> tuple[Finding, ...]:
    """What stands now, without what can pass by itself and was not there the round before."""
    seen = {finding.key for finding in before}
    return tuple(finding for finding in now if finding.key in seen or not _can_pass(finding))


def _can_pass(finding: Finding) -> bool:
    return BY_CODE[finding.code].passing and finding.severity is not Severity.UNKNOWN


def _passing(findings: Sequence[Finding]) -> frozenset[object]:
    return frozenset(finding.key for finding in findings if _can_pass(finding))
