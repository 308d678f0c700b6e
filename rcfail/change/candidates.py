"""Who could take over from a primary: every replica of its shard, the best first, with all reasons."""

from __future__ import annotations

from dataclasses import dataclass

from rcfail.change.checks import Check
from rcfail.cluster.nouns import NodeId


@dataclass(frozen=True, slots=True)
class Contender:
    """One replica as the target. `checks` are those of the preflight with it; `refused`: one of them says no.

    `avoided`: it is where the operator wants no primary, so it is never chosen. `behind_bytes` is how much of the
    primary's stream it has not, None where that cannot be told. Reasons are phrases without a full stop.
    """

    node_id: NodeId
    reasons_for: tuple[str, ...]
    reasons_against: tuple[str, ...]
    checks: tuple[Check, ...]
    refused: bool
    avoided: bool = False
    behind_bytes: int | None = None

    @property
    def able(self) -> bool:
        """It may be chosen."""
        return not self.refused and not self.avoided


def chosen(found: tuple[Contender, ...]) -> Contender | None:
    """The best one that may be chosen, or None."""
    return next((each for each in found if each.able), None)
