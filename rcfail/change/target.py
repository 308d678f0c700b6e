"""Which primary is meant to be replaced, and by whom, when an operator names a node or a slot."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from rcfail.cluster.lookup import SHORTEST_ID, Kind, Match, meanings, near
from rcfail.cluster.nouns import SLOT_COUNT, NodeId, Role
from rcfail.cluster.snapshot import Node, Shard, Snapshot
from rcfail.errors import Refused, UsageFault
from rcfail.health.wording import called, counted, listing, rcfail, redis_cli, slots_text, who

_MOST_MATCHES = 6
_ZONE = f"{Kind.ZONE}:"


@dataclass(frozen=True, slots=True)
class Aim:
    """`primary` is to be replaced by `target`; None: by the best of its replicas.

    `named_primary`: the word named the primary itself, or the slot its shard, so nobody was chosen yet.
    """

    primary: NodeId
    target: NodeId | None
    named_primary: bool = False


class NotMeant(UsageFault):
    """A word or a slot that means no node here, or more than one."""

    code = "target"


class CannotMove(Refused):
    """What is named is there, and cannot be failed over."""

    code = "target"


def aimed(snapshot: Snapshot, word: str | None, slot: int | None) -> Aim:
    """What TARGET or --slot means. Raises NotMeant, or CannotMove.

    A target that is primary already is for the caller: it is the aim's primary, and `named_primary` is set.
    """
    if word is not None and slot is not None:
        raise NotMeant("TARGET and --slot exclude each other", "Name a node, or a slot of its shard.")
    if slot is not None:
        return _of_primary(snapshot, _owner(snapshot, slot))
    if word is None or not word.strip():
        raise NotMeant("which node?", "Name a replica, or a primary, by id or HOST:PORT; or a slot: --slot N.")
    node = _node(snapshot, word)
    if node.role is Role.REPLICA:
        return _of_replica(snapshot, node)
    return _of_primary(snapshot, node)


def meant_node(snapshot: Snapshot, word: str, option: str = "") -> NodeId:
    """The one node that a word names. Raises NotMeant; `option` stands before the word in the message."""
    return _node(snapshot, word, option).node_id


def meant_places(snapshot: Snapshot, option: str, words: Iterable[str]) -> frozenset[NodeId]:
    """All nodes that words name: a node, a host or a zone each. Raises NotMeant."""
    return frozenset(each for word in words for each in _place(snapshot, option, word).node_ids)


def meant_shards(snapshot: Snapshot, words: Collection[str]) -> tuple[NodeId, ...] | None:
    """The primaries of the shards that words name: by any node, a slot as slot:N, a host or a zone. None: no words.

    Raises NotMeant, and CannotMove where a word names no shard with slots.
    """
    if not words:
        return None
    found: dict[NodeId, None] = {}
    for word in words:
        shards = [snapshot.shard_of(each) for each in _members(snapshot, word)]
        owning = [each.primary_id for each in shards if each is not None and each.slots]
        if not owning:
            raise CannotMove(f"{word} is in no shard that owns slots", "There is nothing to fail over from.")
        found.update(dict.fromkeys(owning))
    return tuple(found)


def _members(snapshot: Snapshot, word: str) -> tuple[NodeId, ...]:
    kind, colon, rest = word.partition(":")
    if colon and kind == "slot" and rest.isdecimal():
        return (_owner(snapshot, int(rest)).node_id,)
    found = meanings(snapshot, word)
    if not found and word.isdecimal() and int(word) < SLOT_COUNT:
        return (_owner(snapshot, int(word)).node_id,)
    return _place(snapshot, "", word).node_ids


def meant_zone(snapshot: Snapshot, option: str, word: str) -> str:
    """The zone that a word names. Raises NotMeant."""
    zones = sorted({node.zone for node in snapshot.nodes.values() if node.zone})
    found = next((each for each in zones if each.lower() == word.removeprefix("zone:").strip().lower()), None)
    if found is None:
        raise _no_zone(snapshot, f"{option} {word}")
    return found


def _no_zone(snapshot: Snapshot, said: str) -> NotMeant:
    zones = sorted({node.zone for node in snapshot.nodes.values() if node.zone})
    known = f"There are: {listing(zones, _MOST_MATCHES)}." if zones else "The servers tell of no zone."
    hint = f"{known} Tell which nodes are in which: --zone PATTERN=ZONE, such as --zone '10.1.*=east'."
    return NotMeant(f"{said} is no zone of this cluster", hint)


def _node(snapshot: Snapshot, word: str, option: str = "") -> Node:
    found = meanings(snapshot, word)
    nodes = [snapshot.nodes[each.node_ids[0]] for each in found if each.kind is Kind.NODE]
    said = f"{option} {word}".strip()
    if len(nodes) == 1:
        return nodes[0]
    if nodes:
        told = "; ".join(who(snapshot, each) for each in nodes[:_MOST_MATCHES])
        more = f"; and {len(nodes) - _MOST_MATCHES} more" if len(nodes) > _MOST_MATCHES else ""
        raise NotMeant(f"{said} can mean {counted(len(nodes), 'node')}: {told}{more}", _longer(nodes))
    if found:
        raise _not_one_node(snapshot, said, found[0])
    raise NotMeant(f"{said} is no node of this cluster", _instead(snapshot, word))


def _longer(nodes: list[Node]) -> str:
    """The shortest beginning of the first id that names it alone."""
    first, others = nodes[0].node_id, [each.node_id for each in nodes[1:]]
    digits = next((n for n in range(SHORTEST_ID, len(first)) if not any(o.startswith(first[:n]) for o in others)), 40)
    return f"Give more digits of the id, such as {first[: max(digits, 8)]}, or HOST:PORT."


def _not_one_node(snapshot: Snapshot, said: str, match: Match) -> NotMeant:
    nodes = [snapshot.nodes[each] for each in match.node_ids]
    there = listing((called(each) for each in nodes), _MOST_MATCHES)
    many = f"rcfail drain --{match.kind} {match.name}"
    return NotMeant(
        f"{said} is the {match.kind} {match.name} with {counted(len(nodes), 'node')}: {there}",
        f"A failover takes one node: name it. To move all primaries away from there: {many}",
    )


def _instead(snapshot: Snapshot, word: str) -> str:
    close = near(snapshot, word)
    plain = word.strip()
    said = [f"Did you mean {listing(close, 4)}?"] if close else []
    if plain.isdecimal() and int(plain) < SLOT_COUNT:
        said.append(f"The owner of slot {int(plain)} is named by --slot {int(plain)}.")
    elif len(plain) < SHORTEST_ID and _is_hex(plain):
        said.append(f"An id takes at least its first {SHORTEST_ID} digits.")
    seed = snapshot.seeds[0] if snapshot.seeds else None
    said.append(f"All nodes: {rcfail('nodes', seed)}")
    return " ".join(said)


def _is_hex(text: str) -> bool:
    return bool(text) and all(each in "0123456789abcdef" for each in text.lower())


def _place(snapshot: Snapshot, option: str, word: str) -> Match:
    found, said = meanings(snapshot, word), f"{option} {word}".strip()
    if len(found) == 1:
        return found[0]
    if found:
        told = ", ".join(f"{each.word} ({counted(len(each.node_ids), 'node')})" for each in found[:_MOST_MATCHES])
        raise NotMeant(f"{said} can mean several things: {told}", f"Say which: {option} {found[0].word}".rstrip())
    if word.startswith(_ZONE):
        raise _no_zone(snapshot, f"{option} {word.removeprefix(_ZONE)}".strip())
    raise NotMeant(f"{said} is no node, host or zone of this cluster", _instead(snapshot, word))


def _owner(snapshot: Snapshot, slot: int) -> Node:
    if not 0 <= slot < SLOT_COUNT:
        raise NotMeant(f"there is no slot {slot}", f"Slots are 0 to {SLOT_COUNT - 1}.")
    part = next((each for each in snapshot.stretches if each.first <= slot <= each.last), None)
    owner = snapshot.node(part.owner) if part else None
    if owner is None:
        seed = snapshot.seeds[0] if snapshot.seeds else None
        raise CannotMove(
            f"slot {slot} has no owner", f"Nobody can take it over. What is wrong: {rcfail('health', seed)}"
        )
    return owner


def _of_replica(snapshot: Snapshot, node: Node) -> Aim:
    shard = snapshot.shard_of(node.node_id)
    if node.primary_id is None or shard is None or shard.primary_id == node.node_id:
        whom = f"{node.primary_id[:8]}, which nobody lists" if node.primary_id else "a primary that it does not know"
        way = redis_cli(node.endpoint, "CLUSTER", "REPLICATE", "ID")
        raise CannotMove(f"{called(node)} is a replica of {whom}", f"Give it a primary first: {way}")
    return Aim(shard.primary_id, node.node_id)


def _of_primary(snapshot: Snapshot, node: Node) -> Aim:
    shard = snapshot.shard_of(node.node_id)
    if node.role is Role.UNKNOWN and shard is None:
        raise CannotMove(
            f"nobody says whether {called(node)} is a primary or a replica",
            f"What is known of it: {rcfail('health', node.endpoint)}",
        )
    if shard is None or not shard.replica_ids:
        raise _without_replicas(snapshot, node, shard)
    return Aim(shard.primary_id, None, named_primary=True)


def _without_replicas(snapshot: Snapshot, node: Node, shard: Shard | None) -> CannotMove:
    slots = shard.slots if shard else node.slots
    if not slots:
        way = redis_cli(node.endpoint, "CLUSTER", "REPLICATE", "ID")
        return CannotMove(
            f"{called(node)} is a primary without slots and without replicas",
            f"There is nothing to move. As a replica of a shard it could take over: {way}",
        )
    spares = (each for each in snapshot.nodes.values() if each.role is Role.PRIMARY and each.view and not each.slots)
    spare = next((each for each in spares if not _has_replicas(snapshot, each)), None)
    way = redis_cli(spare.endpoint if spare else None, "CLUSTER", "REPLICATE", node.node_id)
    who_could = f"{called(spare)} owns no slots and could be one" if spare else "Make a node that owns no slots one"
    return CannotMove(
        f"{called(node)} has no replica that could take over {slots_text(slots)}",
        f"{who_could}: {way}, wait until it is in sync, and try again.",
    )


def _has_replicas(snapshot: Snapshot, node: Node) -> bool:
    shard = snapshot.shard_of(node.node_id)
    return shard is not None and bool(shard.replica_ids)
