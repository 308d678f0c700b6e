"""How the operator reaches this cluster, so that a command in a hint can be pasted as it stands."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from rcfail.health.finding import Finding

# The commands that look at a cluster, as hints write them; `rcfail explain` needs no cluster.
_VERBS = "acl|drain|failover|health|nodes|probe|ready|record|recover|reset|undrain|views|wait|whatif"
_RCFAIL = rf"\brcfail (?:{_VERBS})\b(?= )"
_REDIS_CLI = r"\bredis-cli(?= -)"


class Manner(NamedTuple):
    """The words that each command needs besides an address, quoted for a shell: which cluster, which user, TLS."""

    rcfail: str = ""
    redis_cli: str = ""

    def fit(self, hint: str) -> str:
        """The hint with those words in its commands."""
        if self.rcfail:
            hint = re.sub(_RCFAIL, lambda match: f"{match[0]} {self.rcfail}", hint)
        if self.redis_cli:
            hint = re.sub(_REDIS_CLI, lambda match: f"{match[0]} {self.redis_cli}", hint)
        return hint


PLAIN = Manner()


def fitted(findings: Sequence[Finding], manner: Manner) -> tuple[Finding, ...]:
    """The same findings, with hints for this operator."""
    if manner == PLAIN:
        return tuple(findings)
    return tuple(replace(each, hint=manner.fit(each.hint)) for each in findings)
