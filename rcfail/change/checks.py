"""One mechanism for what must be so before a change, at the moment of it, and after it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from rcfail.change.request import Override


class CheckVerdict(StrEnum):
    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Check:
    """One question to the cluster and its answer, with what it rests on.

    `override` is what would let a check that refuses pass; None: nothing does. `overridden`: it was given.
    `hint` is the next command, where there is one. `passes_soon`: where it says no now, it says yes within seconds by
    itself, such as gossip that is on its way.
    """

    code: str
    verdict: CheckVerdict
    evidence: str
    override: Override | None = None
    overridden: bool = False
    hint: str = ""
    passes_soon: bool = False

    @property
    def refuses(self) -> bool:
        """UNKNOWN refuses as well: what cannot be seen is not taken to be well."""
        return self.verdict in (CheckVerdict.FAIL, CheckVerdict.UNKNOWN) and not self.overridden


def refusing(checks: Iterable[Check]) -> tuple[Check, ...]:
    """All that say no, so that the operator learns every reason at once."""
    return tuple(each for each in checks if each.refuses)


def pass_soon(checks: Iterable[Check]) -> bool:
    """Something says no, and all that does says yes soon."""
    no = refusing(checks)
    return bool(no) and all(each.passes_soon for each in no)
