"""Which shard a lost member was of, also one that was its primary before another one was promoted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from rcfail.change.recover.case import Case, Question
from rcfail.cluster.dialect import shards_keep_the_dead
from rcfail.cluster.nouns import NodeId
from rcfail.cluster.snapshot import Node, Snapshot

_SHARDS = ("CLUSTER", "SHARDS")
_SAMPLE = 100
"""How many views are looked at: a thousand would say the same."""


@dataclass(frozen=True, slots=True)
class Bereft:
    """`primary` is who leads that shard now; None: it cannot be told, or nobody does. `perhaps` are who it may be."""

    primary: Node | None
    perhaps: tuple[NodeId, ...] = ()


def questions(case: Case) -> Iterator[Question]:
    """One node that groups its shards by id is asked for them."""
    for view in case.snapshot.views:
        if view.reply is not None and len(view.reply.table.beliefs) > 1 and shards_keep_the_dead(view.vitals.server):
            yield Question(view.endpoint, _SHARDS)
            return


def shard_of(case: Case, old: Node) -> Bereft:
    """By whom it followed; by the shards that the servers keep; by which shard alone has fewest copies."""
    snapshot = case.snapshot
    if old.slots:
        return _own_successor(snapshot, old)
    for leader in _followed(snapshot, old):
        if leader.slots:
            return Bereft(leader)
    for leader in _beside(case, old):
        return Bereft(leader)
    return _poorest(snapshot)


def ranked(case: Case, lost: Iterable[Node]) -> tuple[Node, ...]:
    """By id, but last those whose place is taken: a replica of that shard was started after they were last heard of.

    One such replica stands for one of them.
    """
    young: Counter[NodeId] = Counter()
    missing, replaced = [], []
    for old in sorted(lost, key=lambda node: node.node_id):
        primary = shard_of(case, old).primary
        at = primary.node_id if primary is not None else old.node_id
        if young[at] < _started_since(case.snapshot, primary, old):
            young[at] += 1
            replaced.append(old)
        else:
            missing.append(old)
    return (*missing, *replaced)


def _started_since(snapshot: Snapshot, primary: Node | None, old: Node) -> int:
    """How many living replicas of this primary are younger than the last sign of the lost node."""
    shard = snapshot.shard_of(primary.node_id) if primary is not None else None
    silent_ms = _silent_ms(snapshot, old)
    if shard is None or silent_ms is None:
        return 0
    ages = (node.vitals.server.uptime_s for node in snapshot.replicas_of(shard) if node.vitals is not None)
    return sum(1 for age_s in ages if age_s is not None and age_s * 1000 < silent_ms)


def _silent_ms(snapshot: Snapshot, old: Node) -> int | None:
    """Since its last answer to any node that tells; the longest time, as one that was restarted counts anew."""
    found = []
    for view in islice(snapshot.by_observer.values(), _SAMPLE):
        pulse = view.reply.pulse_of(old.node_id) if view.reply is not None else None
        if pulse is not None and pulse.pong_received_unix_ms:
            found.append(view.clock_unix_ms - pulse.pong_received_unix_ms)
    return max(found, default=None)


def _own_successor(snapshot: Snapshot, old: Node) -> Bereft:
    """It owns its slots still: its replica will, if there is exactly one that can be promoted."""
    shard = snapshot.shard_of(old.node_id)
    living = [each for each in snapshot.replicas_of(shard) if each.view is not None] if shard else []
    return Bereft(living[0] if len(living) == 1 else None, tuple(each.node_id for each in living))


def _followed(snapshot: Snapshot, old: Node) -> Iterator[Node]:
    """Its primary, and whom that one follows now."""
    seen = {old.node_id}
    above = snapshot.node(old.primary_id)
    while above is not None and above.node_id not in seen:
        seen.add(above.node_id)
        yield above
        above = snapshot.node(above.primary_id)


def _beside(case: Case, old: Node) -> Iterator[Node]:
    """The owner of slots that a server lists in one shard with it."""
    for question in questions(case):
        reply = case.replies.get(question)
        for ids in _groups(reply):
            if old.node_id in ids:
                yield from (node for each in ids if (node := case.snapshot.nodes.get(NodeId(each))) and node.slots)


def _groups(reply: object) -> Iterator[tuple[str, ...]]:
    """The ids of each shard in a reply of CLUSTER SHARDS. Total: what has another shape is passed over."""
    for shard in reply if isinstance(reply, tuple) else ():
        nodes = _fields(shard).get("nodes")
        members = [_fields(each).get("id") for each in nodes] if isinstance(nodes, tuple) else []
        yield tuple(each for each in members if isinstance(each, str))


def _fields(flat: object) -> dict[object, object]:
    """A map as RESP2 has it: name, value, name, value."""
    if not isinstance(flat, tuple):
        return {}
    return {name: value for name, value in zip(flat[::2], flat[1::2], strict=False) if isinstance(name, str)}


def _poorest(snapshot: Snapshot) -> Bereft:
    """The shard that alone has the fewest replicas alive."""
    counts = {
        shard.primary_id: sum(1 for each in snapshot.replicas_of(shard) if each.view is not None)
        for shard in snapshot.shards
        if shard.slots
    }
    least = min(counts.values(), default=0)
    fewest = tuple(sorted(each for each, count in counts.items() if count == least))
    return Bereft(snapshot.nodes[fewest[0]] if len(fewest) == 1 else None, fewest)
