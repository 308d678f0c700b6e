"""Which node shall be primary of which shard: written down, held against the cluster, and brought back."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from hashlib import sha256
from itertools import pairwise
from typing import Any

from rcfail.cluster.nouns import SLOT_COUNT, NodeId, Role, SlotRange
from rcfail.cluster.snapshot import Node, Shard, Snapshot
from rcfail.health.wording import called, slots_text

SCHEMA = "rcfail-layout/1"
_HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True)
class Seat:
    """A node in a layout. The id counts; the address is for people."""

    node_id: NodeId
    address: str


@dataclass(frozen=True, slots=True)
class WrittenShard:
    """A shard is known by its slots."""

    slots: tuple[SlotRange, ...]
    primary: Seat
    replicas: tuple[Seat, ...]


@dataclass(frozen=True, slots=True)
class WrittenLayout:
    """`made_at_unix_ms` is on the clock of the host that wrote it. `seeds` are host:port."""

    made_at_unix_ms: int
    seeds: tuple[str, ...]
    shards: tuple[WrittenShard, ...]

    @property
    def node_ids(self) -> frozenset[NodeId]:
        return frozenset(seat.node_id for each in self.shards for seat in (each.primary, *each.replicas))


class BadLayout(ValueError):
    """The text is no layout; the message says why, in words that follow the file's name."""


class Standing(StrEnum):
    """How a written shard stands now."""

    AS_WRITTEN = "as-written"
    MOVED = "moved"  # another of its nodes leads; the written primary is its replica: this can be brought back
    GONE = "gone"  # nobody knows the written primary any more
    ELSEWHERE = "elsewhere"  # the written primary belongs to another shard now
    SLOTS = "slots"  # the shard has other slots now
    UNWRITTEN = "unwritten"  # a shard that the file does not know


@dataclass(frozen=True, slots=True)
class Difference:
    """One shard and how it stands. `primary` leads it now, None where that cannot be told; `wanted` is as written.

    `text` says it in a clause. `beside` are clauses on its replicas.
    """

    standing: Standing
    slots: tuple[SlotRange, ...]
    wanted: Seat | None
    primary: NodeId | None
    text: str
    beside: tuple[str, ...] = ()

    @property
    def same(self) -> bool:
        return self.standing is Standing.AS_WRITTEN and not self.beside


def layout_of(snapshot: Snapshot) -> WrittenLayout:
    """As it is now, shards with slots only, by slot."""
    owning = sorted((each for each in snapshot.shards if each.slots), key=lambda each: each.slots)
    shards = (
        WrittenShard(each.slots, _seat(snapshot, each.primary_id), tuple(_seat(snapshot, n) for n in each.replica_ids))
        for each in owning
    )
    return WrittenLayout(snapshot.taken_at_unix_ms, tuple(map(str, snapshot.seeds)), tuple(shards))


def _seat(snapshot: Snapshot, node_id: NodeId) -> Seat:
    node = snapshot.nodes[node_id]
    return Seat(node_id, str(node.endpoint or node.address))


def cluster_key(node_ids: Iterable[NodeId]) -> str:
    """The identity of a cluster that has no name: a short sum over all its ids."""
    return sha256("\n".join(sorted(node_ids)).encode()).hexdigest()[:16]


def layout_text(layout: WrittenLayout) -> str:
    return json.dumps(layout_data(layout), indent=2) + "\n"


def layout_data(layout: WrittenLayout) -> dict[str, Any]:
    """As it stands in the file."""
    return {
        "schema": SCHEMA,
        "made_at_unix_ms": layout.made_at_unix_ms,
        "cluster": cluster_key(layout.node_ids),
        "seeds": list(layout.seeds),
        "shards": [
            {
                "slots": [list(part) for part in each.slots],
                "primary": _seat_data(each.primary),
                "replicas": [_seat_data(seat) for seat in each.replicas],
            }
            for each in layout.shards
        ],
    }


def _seat_data(seat: Seat) -> dict[str, str]:
    return {"id": seat.node_id, "address": seat.address}


def parse_layout(text: str) -> WrittenLayout:
    """Raises BadLayout. What is not needed to read it may be missing: people write such files by hand."""
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        raise BadLayout("is no layout: it is not JSON") from None
    return layout_from(said)


def layout_from(said: object) -> WrittenLayout:
    """From the value of `layout_data`. Raises BadLayout."""
    if not isinstance(said, dict) or said.get("schema") != SCHEMA:
        raise BadLayout(f"is no layout of this version of rcfail ({SCHEMA})")
    try:
        shards = tuple(_shard(each) for each in said["shards"])
        seeds = tuple(str(each) for each in said.get("seeds", ()))
        found = WrittenLayout(int(said.get("made_at_unix_ms", 0)), seeds, shards)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadLayout(f"is no whole layout: {_fault(error)}") from None
    if fault := _contradiction(found):
        raise BadLayout(f"contradicts itself: {fault}")
    return found


def _fault(error: Exception) -> str:
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)


def _shard(said: Any) -> WrittenShard:
    slots = tuple(sorted((int(first), int(last)) for first, last in said["slots"]))
    if not slots or not all(0 <= first <= last < SLOT_COUNT for first, last in slots):
        raise ValueError(f"a shard with the slots {said['slots']}")
    return WrittenShard(slots, _read_seat(said["primary"]), tuple(map(_read_seat, said.get("replicas", ()))))


def _read_seat(said: Any) -> Seat:
    node_id = str(said["id"]).lower()
    if len(node_id) != 40 or not _HEX.issuperset(node_id):
        raise ValueError(f"{node_id!r} is no node id")
    return Seat(NodeId(node_id), str(said.get("address", "")))


def _contradiction(layout: WrittenLayout) -> str:
    """A node in two shards, or a slot in two."""
    seats = [seat.node_id for each in layout.shards for seat in (each.primary, *each.replicas)]
    twice = next((each for each in seats if seats.count(each) > 1), None)
    if twice:
        return f"node {twice[:8]} is in it twice"
    parts = sorted(part for each in layout.shards for part in each.slots)
    overlap = next((later for earlier, later in pairwise(parts) if later[0] <= earlier[1]), None)
    return f"slot {overlap[0]} is in two shards" if overlap else ""


def differences(snapshot: Snapshot, layout: WrittenLayout) -> tuple[Difference, ...]:
    """Every written shard, and every one that is not written, each with how it stands now."""
    told = [_difference(snapshot, each) for each in layout.shards]
    known = {each.primary for each in told} | {each.primary.node_id for each in layout.shards}
    for shard in snapshot.shards:
        written = any(overlapping(shard.slots, each.slots) for each in layout.shards)
        if shard.slots and shard.primary_id not in known and not written:
            text = f"{_called(snapshot, shard.primary_id)} leads a shard that is not written"
            told.append(Difference(Standing.UNWRITTEN, shard.slots, None, shard.primary_id, text))
    return tuple(told)


def _difference(snapshot: Snapshot, written: WrittenShard) -> Difference:
    standing, primary, text = _standing(snapshot, written)
    beside = tuple(_beside(snapshot, written, primary))
    return Difference(standing, written.slots, written.primary, primary, text, beside)


def _standing(snapshot: Snapshot, written: WrittenShard) -> tuple[Standing, NodeId | None, str]:
    node = snapshot.node(written.primary.node_id)
    owners = _owners(snapshot, written.slots)
    owner = owners[0] if len(owners) == 1 else None
    now = _led_by(snapshot, owners)
    if node is None:
        name = f"{written.primary.address} ({written.primary.node_id[:8]})"
        return Standing.GONE, owner, f"nobody knows {name} any more; {now}"
    shard = snapshot.shard_of(node.node_id)
    if shard is not None and shard.slots == written.slots:
        if shard.primary_id == node.node_id:
            return Standing.AS_WRITTEN, node.node_id, f"{called(node)} leads it"
        return Standing.MOVED, shard.primary_id, f"{_called(snapshot, shard.primary_id)} leads it, not {called(node)}"
    if shard is not None and (overlapping(shard.slots, written.slots) or shard.primary_id == node.node_id):
        what = slots_text(shard.slots) if shard.slots else "no slots"
        return Standing.SLOTS, owner, f"the shard of {called(node)} has {what} now; {now}"
    return Standing.ELSEWHERE, owner, f"{called(node)} is {_place(snapshot, node, shard)}; {now}"


def _place(snapshot: Snapshot, node: Node, shard: Shard | None) -> str:
    if shard is None or shard.primary_id == node.node_id:
        return "in no shard" if node.role is not Role.PRIMARY else "a primary without slots"
    return f"a replica of {_called(snapshot, shard.primary_id)} now"


def _led_by(snapshot: Snapshot, owners: tuple[NodeId, ...]) -> str:
    if not owners:
        return "nobody owns these slots"
    names = [_called(snapshot, each) for each in owners[:3]]
    return f"the slots belong to {' and '.join(names)}" + (" and others" if len(owners) > 3 else "")


def _beside(snapshot: Snapshot, written: WrittenShard, primary: NodeId | None) -> Iterator[str]:
    """Replicas that are not in the shard any more."""
    for seat in written.replicas:
        node = snapshot.node(seat.node_id)
        shard = snapshot.shard_of(seat.node_id)
        if node is None:
            yield f"nobody knows its replica {seat.address} ({seat.node_id[:8]}) any more"
        elif primary is not None and (shard is None or shard.primary_id != primary):
            where = f"in the shard of {_called(snapshot, shard.primary_id)}" if shard else "in no shard"
            yield f"its replica {called(node)} is {where} now"


def _owners(snapshot: Snapshot, slots: tuple[SlotRange, ...]) -> tuple[NodeId, ...]:
    """Who owns any of these slots, each once, by slot."""
    parts = (part for part in snapshot.stretches if part.owner and overlapping(((part.first, part.last),), slots))
    return tuple(dict.fromkeys(part.owner for part in parts if part.owner))


def overlapping(one: Collection[SlotRange], other: Collection[SlotRange]) -> bool:
    return any(a <= d and c <= b for a, b in one for c, d in other)


def _called(snapshot: Snapshot, node_id: NodeId) -> str:
    return called(snapshot.nodes[node_id])


def with_homes(layout: WrittenLayout, earlier: WrittenLayout, place: Collection[NodeId]) -> WrittenLayout:
    """The layout of now, but with primaries of the place that an earlier one names and that have been moved since.

    So a drain that is run again does not forget what its first run moved.
    """
    homes = {each.slots: each.primary for each in earlier.shards if each.primary.node_id in place}
    return replace(layout, shards=tuple(_led_from_home(each, homes.get(each.slots)) for each in layout.shards))


def _led_from_home(shard: WrittenShard, home: Seat | None) -> WrittenShard:
    if home is None or home.node_id not in {each.node_id for each in shard.replicas}:
        return shard
    rest = tuple(each for each in shard.replicas if each.node_id != home.node_id)
    return replace(shard, primary=home, replicas=(shard.primary, *rest))
