"""What `rcfail health` says of a real cluster, asked as a user would: the JSON and the exit code of a process."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from tests.real.servers import RunningLab


class Said(NamedTuple):
    """One finding of the JSON."""

    code: str
    severity: str
    kind: str
    id: str
    evidence: str
    consequence: str
    hint: str


class Health(NamedTuple):
    """One run. `serving`, `redundant` and `failover_ready` are "yes", "no" or "unknown"."""

    exit_code: int
    serving: str
    redundant: str
    failover_ready: str
    findings: tuple[Said, ...]

    @property
    def codes(self) -> dict[str, str]:
        """The worst severity of each code that is more than an info."""
        order = ("warning", "unknown", "critical")
        worst: dict[str, str] = {}
        for each in self.findings:
            if each.severity in order:
                worst[each.code] = max(worst.get(each.code, each.severity), each.severity, key=order.index)
        return worst

    def all_of(self, code: str) -> tuple[Said, ...]:
        return tuple(each for each in self.findings if each.code == code)

    def the(self, code: str) -> Said:
        """The one finding of this code."""
        found = self.all_of(code)
        assert len(found) == 1, f"{code} is there {len(found)} times: {self.findings}"
        return found[0]


def health_of(lab: RunningLab, *words: str) -> Health:
    """Run `rcfail health -o json` on the lab. Whatever it says of itself, the process must end so too."""
    ran = lab.rcfail("health", "-o", "json", *words)
    document: dict[str, Any] = json.loads(ran.stdout)
    assert document["exit_code"] == ran.returncode, ran
    assert not document["errors"], document["errors"]
    data = document["data"]
    findings = tuple(
        Said(
            each["code"],
            each["severity"],
            each["subject"]["kind"],
            each["subject"]["id"],
            each["evidence"],
            each["consequence"],
            each["hint"],
        )
        for each in data["findings"]
    )
    return Health(ran.returncode, data["serving"], data["redundant"], data["failover_ready"], findings)
