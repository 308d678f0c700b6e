"""How far a replica is behind its primary, as both tell it themselves."""

from __future__ import annotations

from typing import NamedTuple

from rcfail.cluster.snapshot import Node, Snapshot


class Lag(NamedTuple):
    """`behind_bytes` of the replication stream; `quiet_s` since the primary was last heard. None: cannot be told."""

    behind_bytes: int | None
    quiet_s: int | None


def lag_of(snapshot: Snapshot, replica: Node) -> Lag:
    """The two offsets are read at different moments, so a replica can seem ahead: that counts as 0.

    Offsets of different streams (another master_replid) cannot be compared. Without a link the age is that of
    the loss, and -1, "never since the process started", is no age.
    """
    if replica.vitals is None:
        return Lag(None, None)
    said = replica.vitals.replication
    age = said.last_io_s if said.link_up else said.link_down_since_s
    quiet_s = age if age is not None and age >= 0 else None
    primary = snapshot.node(replica.primary_id)
    if primary is None or primary.vitals is None:
        return Lag(None, quiet_s)
    stream = primary.vitals.replication
    if stream.primary_offset is None or said.own_offset is None or stream.replid != said.replid:
        return Lag(None, quiet_s)
    return Lag(max(0, stream.primary_offset - said.own_offset), quiet_s)
