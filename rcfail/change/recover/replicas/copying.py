"""The copies of one data set: who else holds it, how far a full copy has come, and how long one takes."""

from __future__ import annotations

from dataclasses import dataclass

from rcfail.change.checks import Check
from rcfail.change.recover.action import Losing
from rcfail.change.recover.expect import judged, name_of
from rcfail.cluster.nouns import NodeId
from rcfail.cluster.snapshot import Known, Node, Snapshot
from rcfail.cluster.sync import Sync, attached, sync_of
from rcfail.cluster.vitals import Replication
from rcfail.health.wording import called, size

_NO_STREAM = frozenset({"", "0" * 40})
_LEAST_MS = 120_000
_BYTES_A_MS = 5_000
"""A slow network and a slow disk: 5 MB a second."""


def stream_of(node: Node) -> Replication:
    return node.vitals.replication if node.vitals is not None else Replication()


def keys_of(node: Node) -> int | None:
    """None: it does not say. While it loads its files the count is still growing, so it says nothing."""
    if node.vitals is None or node.vitals.storage.loading:
        return None
    return node.vitals.storage.keys


def reached(node: Node) -> int | None:
    """Up to which byte of its stream the node has data."""
    said = stream_of(node)
    return said.primary_offset if said.role == "master" else said.own_offset


def history(node: Node) -> frozenset[str]:
    """The streams that the node's data comes from: its own and the one before (master_replid and master_replid2)."""
    said = stream_of(node)
    return frozenset({said.replid, said.replid2}) - _NO_STREAM


def continues(other: Node, node: Node) -> bool:
    """The other's stream has every byte that the node has, so whoever follows it loses nothing of its own.

    A promoted replica goes on with its primary's stream under a new name, from `second_offset` on
    (shiftReplicationId, replication.c); what a sibling has beyond that, it never had. A primary that is started from
    a dump does the same (loadDataFromDisk, server.c): what it sent after that dump, it has forgotten.
    """
    mine, theirs, held = stream_of(node), stream_of(other), reached(node)
    if held is None or mine.replid in _NO_STREAM:
        return False
    if theirs.replid == mine.replid:
        return (reached(other) or 0) >= held
    return theirs.replid2 == mine.replid and theirs.second_offset is not None and theirs.second_offset - 1 >= held


def has_all_of(other: Node, node: Node) -> bool:
    """The other holds every byte of the stream that the node holds."""
    return other.node_id != node.node_id and bool(keys_of(other)) and continues(other, node)


def copies(snapshot: Snapshot, node: Node) -> int:
    """How many other nodes hold what this one holds.

    A primary with keys that the node is in sync with has it too, although it was asked a moment before.
    """
    holders = {each.node_id for each in snapshot.nodes.values() if has_all_of(each, node)}
    primary = snapshot.node(node.primary_id)
    if primary is not None and keys_of(primary) and sync_of(snapshot, node) is Sync.IN_SYNC:
        holders.add(primary.node_id)
    return len(holders)


def losing(snapshot: Snapshot, node: Node) -> tuple[Losing, ...]:
    """What the node throws away when it takes a full copy of another primary; nothing where it is known to be empty."""
    keys = keys_of(node)
    return () if keys == 0 else (Losing(node.node_id, keys, copies(snapshot, node)),)


def within_ms(primary: Node | None) -> int:
    """How long a full copy of the primary's data may take."""
    used = primary.vitals.storage.used_memory if primary is not None and primary.vitals is not None else None
    return _LEAST_MS + (used or 0) // _BYTES_A_MS


def progress(snapshot: Snapshot, node: Node) -> str:
    """How far the full copy is, as the end of a sentence that begins with the node's name."""
    said, seen = stream_of(node), attached(snapshot, node)
    if said.sync_in_progress and said.sync_read_bytes is not None:
        total = said.sync_total_bytes or 0
        of = f" of {size(total)}" if total > 0 else ""
        quiet = said.sync_last_io_s
        stalled = f", the last of it {quiet} s ago" if quiet is not None and quiet > 2 else ""
        return f"has taken {size(max(0, said.sync_read_bytes))}{of} of a full copy{stalled}"
    shown = f" (its primary shows it as {seen.state})" if seen is not None and seen.state else ""
    if node.vitals is not None and node.vitals.storage.loading:
        eta_s = node.vitals.storage.loading_eta_s
        return "loads its data" + (f", {eta_s} s to go" if eta_s else "")
    return f"waits for a full copy{shown}"


@dataclass(frozen=True, slots=True)
class Copied:
    """The node has its full copy and follows the stream; until then its evidence tells how far it is."""

    node: NodeId

    def check(self, snapshot: Snapshot) -> Check:
        node, name = snapshot.node(self.node), name_of(snapshot, self.node)
        if node is None or node.vitals is None:
            return judged("copied", None, "", f"{name} does not answer")
        sync = sync_of(snapshot, node)
        if sync is Sync.IN_SYNC:
            return judged("copied", True, f"{name} is in sync", "")
        if sync is Sync.UNKNOWN:
            return judged("copied", None, "", f"{name} does not say whether its link is up")
        if sync in (Sync.SYNCING, Sync.LOADING):
            return judged("copied", False, "", f"{called(node)} {progress(snapshot, node)}")
        return judged("copied", False, "", f"the link of {name} to its primary is down")


@dataclass(frozen=True, slots=True)
class HeldByOthers:
    """Somebody else holds what the node holds, or it holds nothing: it may throw its data away."""

    node: NodeId

    def check(self, snapshot: Snapshot) -> Check:
        node, name = snapshot.node(self.node), name_of(snapshot, self.node)
        if node is None or node.alive is not Known.YES or node.vitals is None:
            return judged("held-by-others", None, "", f"{name} does not answer")
        if keys_of(node) is None:
            return judged("held-by-others", None, "", f"{name} does not say how many keys it holds")
        holds = not any(each.counts for each in losing(snapshot, node))
        return judged("held-by-others", holds, f"what {name} holds, others hold too", f"{name} holds the only copy")


def came_back_empty(node: Node, primary: Node) -> bool:
    """The replica holds keys, its primary none, and the primary's stream does not go on from there: it was started
    without its data, or from a dump of before. A copy would make the replica as empty."""
    if not keys_of(node) or keys_of(primary) != 0:
        return False
    return stream_of(node).replid != stream_of(primary).replid and not continues(primary, node)


@dataclass(frozen=True, slots=True)
class NotEmptied:
    """The primary has not come back without the data that its replica still holds."""

    node: NodeId
    primary: NodeId

    def check(self, snapshot: Snapshot) -> Check:
        node, primary = snapshot.node(self.node), snapshot.node(self.primary)
        name = name_of(snapshot, self.primary)
        if node is None or primary is None or keys_of(node) is None or keys_of(primary) is None:
            return judged("not-emptied", None, "", f"{name} does not say how many keys it holds")
        text = f"{name} holds no key, and its replica does"
        return judged("not-emptied", not came_back_empty(node, primary), f"{name} has its data", text)
