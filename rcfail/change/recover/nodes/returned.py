"""A former member of a shard that stands beside it as a primary without slots: it follows the shard's primary again.

An old primary comes back so where cluster-allow-replica-migration is no and its successor owns more than it did
(clusterUpdateSlotsConfigWith, cluster_legacy.c); a replica that was reset and met again does so always.
"""

from __future__ import annotations

from collections.abc import Iterator

from rcfail.change.recover.action import Action, ActionKind, Send
from rcfail.change.recover.case import Case, Question
from rcfail.change.recover.condition import Condition, ConditionCode
from rcfail.change.recover.expect import Answers, Follows, HoldsNothing, InSync, KnownToAll, OwnsNothing, Serves
from rcfail.change.recover.members.replaced import word_for
from rcfail.change.recover.nodes import kin
from rcfail.change.recover.nodes.kin import MYSHARDID, Heir
from rcfail.change.recover.replicas.copying import keys_of, reached, stream_of, within_ms
from rcfail.cluster.nouns import NodeId, Role
from rcfail.cluster.snapshot import Node, Snapshot
from rcfail.health.standing import Standing, standings, strangers
from rcfail.health.wording import answering, called, counted, listing, rcfail, redis_cli, size

_FINDINGS = ("primary-empty",)


def questions(case: Case) -> Iterator[Question]:
    """The shard ids, where somebody stands outside whose data say nothing. Before 7.2 there are none: an error then."""
    outside = [each for each in _outside(case.snapshot) if not kin.heirs(case, each, _owners(case.snapshot))]
    for node in (*outside, *(_owners(case.snapshot) if outside else ())):
        if node.endpoint is not None:
            yield Question(node.endpoint, MYSHARDID)


def conditions(case: Case, taken: frozenset[NodeId]) -> Iterator[Condition]:
    """A plain spare, of which nothing tells that it was of a shard, is no condition."""
    for node in _outside(case.snapshot):
        if node.node_id not in taken and (found := kin.heirs(case, node, _owners(case.snapshot))):
            yield _condition(case, node, found)


def _owners(snapshot: Snapshot) -> tuple[Node, ...]:
    """The primaries that serve, as they say themselves."""
    leaders = (snapshot.nodes[each.primary_id] for each in snapshot.shards if each.slots)
    return tuple(each for each in leaders if each.role is Role.PRIMARY and each.view and each.view.own)


def _outside(snapshot: Snapshot) -> Iterator[Node]:
    """Members that say themselves that they are primaries, and to whom nobody gives a slot."""
    stands, alone = standings(snapshot), {each.node_id for each in strangers(snapshot)}
    for node in snapshot.nodes.values():
        own = node.view.own if node.view is not None else None
        if own is None or stands[node.node_id] is not Standing.ANSWERS or node.node_id in alone:
            continue
        if own.role is Role.PRIMARY and not own.slots and not node.slots and not node.failed_by:
            yield node


def _condition(case: Case, node: Node, found: tuple[Heir, ...]) -> Condition:
    snapshot, keys = case.snapshot, keys_of(node)
    nodes = (node.node_id, *(each.primary for each in found))
    told = (ConditionCode.PRIMARY_RETURNED, nodes, called(node), _evidence(snapshot, node, found))
    if len(found) > 1:
        return Condition(*told, _unclear(snapshot, found), (), _FINDINGS, _either(node, found), choice=True)
    primary = snapshot.nodes[found[0].primary]
    if keys is None:
        count = redis_cli(node.endpoint, "DBSIZE")
        return Condition(*told, "Whether it holds keys cannot be told.", (), _FINDINGS, f"Count them: {count}")
    if keys:
        return Condition(*told, _holding(node, primary, keys), (), _FINDINGS, _ways(case, node), choice=True)
    story = f"It holds nothing, so it follows {called(primary)} again and takes a full copy from there."
    return Condition(*told, story, (_following(node, primary),), _FINDINGS)


def _evidence(snapshot: Snapshot, node: Node, found: tuple[Heir, ...]) -> str:
    keys = keys_of(node)
    held = "" if keys is None else f" and {counted(keys, 'key')}"
    kinship = listing((f"that of {called(snapshot.nodes[each.primary])} ({each.because})" for each in found), 4)
    return f"{called(node)} is a primary without slots{held}; its shard is {kinship}"


def _following(node: Node, primary: Node) -> Action:
    assert node.view is not None
    place = node.view.endpoint
    return Action(
        ActionKind.REPLICATE,
        node.node_id,
        f"let {called(node)} follow {called(primary)}",
        (Follows(node.node_id, primary.node_id), InSync(node.node_id)),
        (Send(node.node_id, place, ("CLUSTER", "REPLICATE", primary.node_id)),),
        aims=(primary.node_id,),
        guards=(
            Answers(node.node_id, place),
            OwnsNothing(node.node_id),
            HoldsNothing(node.node_id),
            Serves(primary.node_id),
            KnownToAll(node.node_id),
        ),
        within_ms=within_ms(primary),
    )


# Where it holds keys


def _holding(node: Node, primary: Node, keys: int) -> str:
    """What it has, beside what its shard has: which of both is wanted, nobody but the operator knows."""
    theirs = keys_of(primary)
    return (
        f"The server lets no primary with keys follow another, and rcfail deletes none. It holds {counted(keys, 'key')}"
        f"{_stream(node)}; {called(primary)} holds {'an unknown number' if theirs is None else theirs}"
        f"{_stream(primary)}. All slots are served by others, so no client reaches these keys. {_beyond(node, primary)}"
    )


def _stream(node: Node) -> str:
    said, offset = stream_of(node), reached(node)
    return f" (offset {'unknown' if offset is None else offset} of stream {said.replid[:8] or 'unknown'})"


def _beyond(node: Node, primary: Node) -> str:
    """What it wrote that its shard did not hear of, by the two streams."""
    since = _written_since(node, primary)
    if since is None:
        return "Its stream is its own by now, so offsets do not tell whether the others have all that it holds."
    told = f"{size(since)} of writes that nobody else has" if since > 0 else "no write that its shard does not have"
    return f"By these offsets it holds {told}."


def _written_since(node: Node, primary: Node) -> int | None:
    """In bytes, of the stream that both know. A primary that is started from a dump goes on under a new name, and
    remembers that of the dump (loadDataFromDisk, server.c): then it has written nothing of its own as long as its
    offset stands where the old stream ended."""
    mine, theirs, held = stream_of(node), stream_of(primary), reached(node)
    if held is None:
        return None
    restarted = mine.second_offset is not None and held == mine.second_offset - 1
    stream = mine.replid2 if restarted and mine.replid2.strip("0") else mine.replid
    if stream and stream == theirs.replid and theirs.primary_offset is not None:
        return max(0, held - theirs.primary_offset)
    if stream and stream == theirs.replid2 and theirs.second_offset is not None:
        return max(0, held - theirs.second_offset + 1)
    return None


def _ways(case: Case, node: Node) -> str:
    """All of them are the operator's own. The copy comes first, and not into the node's own folder: whoever empties a
    node that saves has it write its dump anew, over the one that held the keys (flushAllDataAndResetRDB, db.c)."""
    again = rcfail("recover", answering(case.snapshot, node.node_id), word_for(node))
    save = redis_cli(node.endpoint, "--rdb", "FILE")
    return (
        f"Save what it holds in a file on this host: {save}. To take it in again without its keys, stop it, move its "
        f"dump file and append-only folder away (not nodes.conf), start it, then {again}. To keep it apart, leave it "
        "as it is"
    )


# Where several shards fit


def _unclear(snapshot: Snapshot, found: tuple[Heir, ...]) -> str:
    names = listing((called(snapshot.nodes[each.primary]) for each in found), 4)
    return f"Its data is of the stream of {names} alike, so nothing tells which of them it shall follow."


def _either(node: Node, found: tuple[Heir, ...]) -> str:
    commands = (redis_cli(node.endpoint, "CLUSTER", "REPLICATE", each.primary) for each in found)
    empty = "" if keys_of(node) == 0 else " It is refused while it holds keys; see rcfail explain primary-empty"
    return f"Let it follow one of them: {listing(commands, 4)}.{empty}"
