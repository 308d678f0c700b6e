"""Primaries whose data has one history: two halves of one shard, or a former member left outside."""

from __future__ import annotations

from collections.abc import Iterator

from rcfail.cluster.nouns import NodeId, Role, SlotRange
from rcfail.cluster.snapshot import Node, Snapshot
from rcfail.cluster.vitals import Replication
from rcfail.health.finding import Finding, Severity, Thresholds, of_node
from rcfail.health.wording import answering, called, counted, named, rcfail, redis_cli, slots_text

_NO_ID = frozenset({"", "0" * 40})
_MOST_WINNERS = 3


def primaries_two_in_shard(snapshot: Snapshot, _: Thresholds) -> Iterator[Finding]:
    """Two nodes that both say they own the same slots, and whose data comes from one stream.

    slots-disputed tells of any two such claims. Here it is known that one was the other's primary: both took
    or take writes since, and only one side's will be kept. A shared history alone is no fault: a replica that was
    detached and then given slots of its own has it too. Needs the INFO of both, or the view of the
    one with the smaller epoch, which then still lists the other as its replica.
    """
    for (low, high), ranges in sorted(_rivals(snapshot).items()):
        old, new = snapshot.nodes[low], snapshot.nodes[high]
        if _related(old, new):
            yield _two(snapshot, old, new, tuple(ranges))


def _rivals(snapshot: Snapshot) -> dict[tuple[NodeId, NodeId], list[SlotRange]]:
    """Pairs of confirmed claims over the same slots, the one with the smaller epoch first; the other is among the
    three greatest."""
    pairs: dict[tuple[NodeId, NodeId], list[SlotRange]] = {}
    for stretch in snapshot.stretches:
        confirmed = stretch.confirmed
        # Two or three claim a slot where anything real is wrong. Of thousands that lie, all pairs would be millions.
        for at, high in enumerate(confirmed[:_MOST_WINNERS]):
            for low in confirmed[at + 1 :]:
                pairs.setdefault((low.node_id, high.node_id), []).append((stretch.first, stretch.last))
    return pairs


def _related(old: Node, new: Node) -> bool:
    listed = old.view.belief(new.node_id) if old.view else None
    return bool(_history(old) & _history(new)) or (listed is not None and listed.primary_id == old.node_id)


def _history(node: Node) -> frozenset[str]:
    """The streams that a node's data comes from: its own and the one before (master_replid and master_replid2)."""
    said = node.vitals.replication if node.vitals else Replication()
    return frozenset({said.replid, said.replid2}) - _NO_ID


def _two(snapshot: Snapshot, old: Node, new: Node, ranges: tuple[SlotRange, ...]) -> Finding:
    followers = (
        (node, [each.node_id for each in snapshot.nodes.values() if each.primary_id == node.node_id])
        for node in (old, new)
    )
    split = "".join(f"; {node.short} has {named(snapshot, ids)} as replica" for node, ids in followers if ids)
    return Finding(
        "primaries-two-in-shard",
        Severity.CRITICAL,
        of_node(old),
        f"{called(old)} (epoch {old.config_epoch}) and {called(new)} (epoch {new.config_epoch}) are both primaries of "
        f"{slots_text(ranges)}, and their data has one history{split}",
        f"{_writes(old)} When they hear of each other, {old.short} becomes a replica; {_apart(old, new)}.",
        f"Keep clients away from the older one, and see what it hears: {redis_cli(old.endpoint, 'CLUSTER', 'NODES')}",
    )


def _writes(old: Node) -> str:
    """A primary that misses the majority refuses commands on keys after about a node timeout (clusterUpdateState)."""
    if old.vitals is not None and old.vitals.cluster.state == "fail":
        return f"{old.short} refuses writes by now (cluster_state:fail), but took them until then."
    return "Both may take writes."


def _apart(old: Node, new: Node) -> str:
    """What the old primary wrote after the new one left its stream (second_repl_offset is the first byte after)."""
    mine = old.vitals.replication if old.vitals else Replication()
    theirs = new.vitals.replication if new.vitals else Replication()
    if mine.replid != theirs.replid2 or mine.primary_offset is None or theirs.second_offset is None:
        return "what it wrote since is thrown away"
    since = mine.primary_offset - theirs.second_offset + 1
    return f"the {since} bytes that it wrote since are thrown away" if since > 0 else "it has written nothing since"


def primary_empty(snapshot: Snapshot, _: Thresholds) -> Iterator[Finding]:
    """A primary without slots whose data has the history of a shard: it was a member of it, and is none now.

    Needs the INFO of both. A spare node without any history shared is no fault.
    """
    owners: dict[str, Node] = {}
    for shard in snapshot.shards:
        primary = snapshot.nodes[shard.primary_id]
        if shard.slots and primary.role is Role.PRIMARY:
            owners |= dict.fromkeys(_history(primary), primary)
    for node in snapshot.nodes.values():
        if node.role is not Role.PRIMARY or node.slots or node.view is None or _claims(node):
            continue
        owner = next((owners[stream] for stream in sorted(_history(node)) if stream in owners), None)
        if owner is not None:
            yield _empty(snapshot, node, owner)


def _claims(node: Node) -> bool:
    own = node.view.own if node.view else None
    return own is not None and bool(own.slots)


def _empty(snapshot: Snapshot, node: Node, owner: Node) -> Finding:
    keys = node.vitals.storage.keys if node.vitals else None
    join = redis_cli(node.endpoint, "CLUSTER", "REPLICATE", owner.node_id)
    place = str(node.endpoint or node.node_id)
    mend = rcfail("recover", answering(snapshot, node.node_id), place, "--dry-run")
    if keys:
        hint = f"It refuses to follow while it holds keys; see {mend}; what to do: rcfail explain primary-empty"
    else:
        hint = f"Let it follow its shard again, with every check: {mend}; or by hand: {join}"
    held = "" if keys is None else f" and {counted(keys, 'key')}"
    return Finding(
        "primary-empty",
        Severity.WARNING,
        of_node(node),
        f"{called(node)} is a primary with no slots{held}, and its data has the history of {called(owner)}",
        "It was a member of that shard; now it copies nothing, so the shard has one replica less.",
        hint,
    )


RULES = (primaries_two_in_shard, primary_empty)
