"""What turned in the verdict between two rounds: findings that came, went or changed their weight."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from rcfail.health.finding import CLUSTER, Finding, Severity, Subject
from rcfail.health.verdict import Diagnosis, Verdict


class TurnKind(StrEnum):
    VERDICT = "verdict"  # before and after: verdicts
    APPEARED = "finding-appeared"  # after: its severity
    CLEARED = "finding-cleared"  # before: its severity
    CHANGED = "finding-changed"  # before and after: severities


@dataclass(frozen=True, slots=True)
class Turn:
    """One change of the verdict. `code` is the finding's, or empty for the verdict itself."""

    at_unix_ms: int
    kind: TurnKind
    subject: Subject
    code: str
    before: str
    after: str


def turns(before: Diagnosis | None, after: Diagnosis | None, at_unix_ms: int) -> tuple[Turn, ...]:
    """The verdict first, then what came, what changed and what went, each in the order of report.

    None is a round that showed no cluster: its verdict is UNKNOWN, and of no finding it is known that it went.
    """
    old, new = (each.verdict if each else Verdict.UNKNOWN for each in (before, after))
    found = [Turn(at_unix_ms, TurnKind.VERDICT, CLUSTER, "", old.value, new.value)] if old is not new else []
    if before is None or after is None:
        return tuple(found)
    was, stands = _by_key(before.findings), _by_key(after.findings)
    for key, finding in stands.items():
        if key not in was:
            found.append(_turn(at_unix_ms, TurnKind.APPEARED, finding, "", finding.severity))
    for key, finding in stands.items():
        if key in was and was[key].severity is not finding.severity:
            found.append(_turn(at_unix_ms, TurnKind.CHANGED, finding, was[key].severity, finding.severity))
    for key, finding in was.items():
        if key not in stands:
            found.append(_turn(at_unix_ms, TurnKind.CLEARED, finding, finding.severity, ""))
    return tuple(found)


def _by_key(findings: tuple[Finding, ...]) -> dict[tuple[str, Subject], Finding]:
    """Of two findings with one key the first, which is the heavier."""
    return {finding.key: finding for finding in reversed(findings)}


def _turn(at_unix_ms: int, kind: TurnKind, finding: Finding, before: Severity | str, after: Severity | str) -> Turn:
    return Turn(at_unix_ms, kind, finding.subject, finding.code, str(before), str(after))
