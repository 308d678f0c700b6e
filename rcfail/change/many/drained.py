"""The way back from a drain: what was where before, one entry a place, as it is kept between two runs."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from rcfail.change.many.layout import BadLayout, WrittenLayout, WrittenShard, layout_data, layout_from, with_homes
from rcfail.cluster.nouns import NodeId, SlotRange

SCHEMA = "rcfail-drained/1"


@dataclass(frozen=True, slots=True)
class Drained:
    """A place that was emptied: what it was called, its nodes, and the layout from before."""

    name: str
    node_ids: frozenset[NodeId]
    before: WrittenLayout


def drained_text(entries: Iterable[Drained]) -> str:
    said = [
        {"place": each.name, "node_ids": sorted(each.node_ids), "layout": layout_data(each.before)} for each in entries
    ]
    return json.dumps({"schema": SCHEMA, "drained": said}, indent=2) + "\n"


def read_drained(text: str) -> tuple[Drained, ...]:
    """Raises BadLayout."""
    try:
        said = json.loads(text)
        if said["schema"] != SCHEMA:
            raise BadLayout(f"is not of this version of rcfail ({SCHEMA})")
        return tuple(
            Drained(
                str(each["place"]), frozenset(NodeId(str(n)) for n in each["node_ids"]), layout_from(each["layout"])
            )
            for each in said["drained"]
        )
    except BadLayout:
        raise
    except (KeyError, TypeError, ValueError, RecursionError, AttributeError):
        raise BadLayout("cannot be read") from None


def noted(entries: Collection[Drained], new: Drained) -> tuple[Drained, ...]:
    """With the new one. Of the same place the earlier entry goes on counting for what it moved."""
    earlier = next((each for each in entries if each.node_ids == new.node_ids), None)
    rest = tuple(each for each in entries if each is not earlier)
    before = with_homes(new.before, earlier.before, new.node_ids) if earlier else new.before
    return (*rest, Drained(new.name, new.node_ids, before))


def way_back(entries: Iterable[Drained], within: Collection[NodeId] | None = None) -> WrittenLayout | None:
    """The shards that were led from the drained places, each with its primary of then; None: no such place.

    `within`: only primaries among these. Of several drains that moved one shard the earliest counts.
    """
    shards: dict[tuple[SlotRange, ...], WrittenShard] = {}
    seeds: tuple[str, ...] = ()
    made = 0
    for each in entries:
        homes = each.node_ids if within is None else each.node_ids & frozenset(within)
        seeds, made = each.before.seeds, each.before.made_at_unix_ms
        for shard in each.before.shards:
            if shard.primary.node_id in homes:
                shards.setdefault(shard.slots, shard)
    return WrittenLayout(made, seeds, tuple(shards[slots] for slots in sorted(shards))) if shards else None
