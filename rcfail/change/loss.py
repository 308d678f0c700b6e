"""How much of what clients were told is written a failover can lose, and has lost, in bytes of the stream."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Loss:
    """`at_risk_bytes` is a range, told before; None where nobody can tell. `lost_bytes` is exact, None where it could
    not be read; then `lost_bytes_at_least` is the known lower bound. `how` says where the figures come from.
    """

    at_risk_bytes: tuple[int, int] | None = None
    lost_bytes: int | None = None
    lost_bytes_at_least: int | None = None
    how: str = ""


NO_LOSS = Loss()
"""Nothing is known of it."""
