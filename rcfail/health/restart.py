"""What a dead primary would bring back. To start it again is the first thought, and can be the end of the data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rcfail.cluster.nouns import NodeId
from rcfail.cluster.observation import SilenceReason
from rcfail.cluster.snapshot import Node, Snapshot
from rcfail.health.wording import named, redis_cli


def comes_back_empty(snapshot: Snapshot, primary: Node) -> tuple[NodeId, ...]:
    """The replicas whose data would be lost if this silent primary were started again now; mostly none.

    A primary that saves nothing comes back empty and still owns its slots, and its replicas copy the
    emptiness. What it saves cannot be asked any more, so its replicas stand for it: one that holds keys and
    itself saves nothing, with `save ""` and no append-only file. Unknown settings give no answer.
    """
    shard = snapshot.shard_of(primary.node_id)
    if primary.view is not None or shard is None or shard.primary_id != primary.node_id:
        return ()
    return tuple(node.node_id for node in snapshot.replicas_of(shard) if saves_nothing(node) and holds_data(node))


def saves_nothing(node: Node) -> bool:
    said = node.vitals
    return said is not None and said.config.save == "" and said.storage.aof_enabled is False


def holds_data(node: Node) -> bool:
    return node.vitals is not None and node.vitals.storage.keys != 0


def warning(snapshot: Snapshot, primaries: Iterable[Node], code: str) -> str:
    """A hint that keeps somebody from starting any of these again, or "" where nothing speaks against it."""
    lost = tuple(primaries)
    at_stake = {node.node_id: replicas for node in lost if (replicas := comes_back_empty(snapshot, node))}
    if not at_stake:
        return _let_go_on(snapshot, [node for node in lost if hangs(node)])
    holders = sorted({each for replicas in at_stake.values() for each in replicas})
    return (
        f"Do not start {named(snapshot, at_stake)} again yet: nothing is saved to disk, so it comes back empty and "
        f"{named(snapshot, holders)} would copy that. How to keep the data: rcfail explain {code}"
    )


def hangs(node: Node) -> bool:
    """It takes connections and says nothing: its process lives, and holds its data in memory."""
    return node.silence is not None and node.silence.reason is SilenceReason.FROZEN


def _let_go_on(snapshot: Snapshot, hanging: Sequence[Node]) -> str:
    if not hanging:
        return ""
    who = named(snapshot, (node.node_id for node in hanging))
    return (
        f"Do not start {who} again yet: the process hangs, and what only its memory holds would be lost; look there "
        f"for a stopped process, a paused machine or a stalled disk, then: {redis_cli(hanging[0].endpoint, 'PING')}"
    )
