"""From findings to a verdict, and from a verdict to an exit code."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from rcfail.cluster.snapshot import Known
from rcfail.exits import ExitCode
from rcfail.health.catalogue import BY_CODE, RANK
from rcfail.health.finding import Finding, Promise, Severity


class Verdict(StrEnum):
    OK = "ok"
    WARNING = "warning"
    UNKNOWN = "unknown"
    CRITICAL = "critical"


# Not to know is worse than a warning: the warning may hide a dead shard.
_ORDER = (Verdict.OK, Verdict.WARNING, Verdict.UNKNOWN, Verdict.CRITICAL)
_OF_SEVERITY = {
    Severity.INFO: Verdict.OK,
    Severity.WARNING: Verdict.WARNING,
    Severity.UNKNOWN: Verdict.UNKNOWN,
    Severity.CRITICAL: Verdict.CRITICAL,
}
EXIT_OF: dict[Verdict, ExitCode] = {
    Verdict.OK: ExitCode.OK,
    Verdict.WARNING: ExitCode.WARNING,
    Verdict.UNKNOWN: ExitCode.UNKNOWN,
    Verdict.CRITICAL: ExitCode.CRITICAL,
}


@dataclass(frozen=True, slots=True)
class Policy:
    """How strict the caller is. `fail_on` CRITICAL lowers warnings to exit 0, never UNKNOWN."""

    fail_on: Verdict = Verdict.WARNING
    ignore: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The verdict with all its reasons. `ignored` are findings dropped by name; they stay visible."""

    verdict: Verdict
    serving: Known
    redundant: Known
    failover_ready: Known
    findings: tuple[Finding, ...]
    ignored: tuple[Finding, ...]
    exit_code: ExitCode


def conclude(findings: Iterable[Finding], policy: Policy = Policy()) -> Diagnosis:
    """Order the findings, drop what the policy ignores, and judge the rest."""
    ordered = sorted(findings, key=_by_weight)
    kept = tuple(finding for finding in ordered if finding.code not in policy.ignore)
    verdict = max((_OF_SEVERITY[finding.severity] for finding in kept), key=_ORDER.index, default=Verdict.OK)
    return Diagnosis(
        verdict=verdict,
        serving=_promise(ordered, Promise.SERVING, Severity.CRITICAL),
        redundant=_promise(ordered, Promise.REDUNDANT, Severity.WARNING),
        failover_ready=_promise(ordered, Promise.FAILOVER_READY, Severity.WARNING),
        findings=kept,
        ignored=tuple(finding for finding in ordered if finding.code in policy.ignore),
        exit_code=_exit(verdict, policy),
    )


def _by_weight(finding: Finding) -> tuple[int, int, str, str]:
    weight = _ORDER.index(_OF_SEVERITY[finding.severity])
    info_last = 1 if finding.severity is Severity.INFO else 0
    return (-weight + info_last, RANK[finding.code], finding.subject.id, finding.evidence)


def _exit(verdict: Verdict, policy: Policy) -> ExitCode:
    if verdict is Verdict.WARNING and policy.fail_on is Verdict.CRITICAL:
        return ExitCode.OK
    return EXIT_OF[verdict]


def _promise(findings: Iterable[Finding], promise: Promise, broken_from: Severity) -> Known:
    """NO when a finding at or above `broken_from` breaks it, UNKNOWN when one could not tell, else YES."""
    touching = [finding for finding in findings if promise in impaired(finding)]
    severities = {finding.severity for finding in touching}
    breaking = {Severity.CRITICAL} if broken_from is Severity.CRITICAL else {Severity.CRITICAL, Severity.WARNING}
    if severities & breaking:
        return Known.NO
    return Known.UNKNOWN if Severity.UNKNOWN in severities else Known.YES


def impaired(finding: Finding) -> tuple[Promise, ...]:
    """The promises that a finding breaks: its own, or the catalogue's for its code."""
    return BY_CODE[finding.code].impairs if finding.impairs is None else finding.impairs
