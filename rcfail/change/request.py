"""What the operator asks for: a replica that shall become primary, how, and what was consented to."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from rcfail.cluster.nouns import NodeId


class Mode(StrEnum):
    """How a replica becomes primary. GRACEFUL loses nothing; FORCE needs votes and no primary; TAKEOVER neither."""

    GRACEFUL = "graceful"
    FORCE = "force"
    TAKEOVER = "takeover"


class Override(StrEnum):
    """The only ways past a check that refuses, each as the operator writes it."""

    DATA_LOSS = "--allow-data-loss"
    WRITE_PAUSE = "--allow-write-pause"
    TAKEOVER_WITH_QUORUM = "--takeover-with-quorum"
    MAX_LAG = "--max-lag-bytes"
    WAIT_COOLDOWN = "--wait-cooldown"
    OTHER_CHANGE = "--override other-change"
    SHARD_AGREED = "--override shard-agreed"
    THIS_HOST = "--trust-this-host"
    FENCED = "--confirm-fenced"
    BREAK_LOCK = "--break-lock"
    NO_AUDIT = "--audit -"


@dataclass(frozen=True, slots=True)
class Request:
    """One failover: `target` shall own what `primary` owns.

    `expected_primary` is what the operator says that the primary is now. `fenced` are voters of which a human says
    that they are stopped. `max_lag_bytes` None: whatever drains in time. `given` are the overrides.
    """

    target: NodeId
    primary: NodeId
    mode: Mode = Mode.GRACEFUL
    given: frozenset[Override] = frozenset()
    expected_primary: NodeId | None = None
    fenced: frozenset[NodeId] = frozenset()
    max_lag_bytes: int | None = None
