"""A layout that is written, read, and held against the cluster."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcfail.change.many.drained import Drained, drained_text, noted, read_drained, way_back
from rcfail.change.many.layout import (
    BadLayout,
    Standing,
    WrittenLayout,
    cluster_key,
    differences,
    layout_data,
    layout_of,
    layout_text,
    parse_layout,
)
from tests.unit.world import World, node_id


def swapped(world: World, primary: str, replica: str) -> World:
    """The replica leads, and the old primary follows it."""
    old, new = world[primary], world[replica]
    new.slots, new.primary, new.epoch = old.slots, None, 90
    old.slots, old.primary = (), new.node_id
    for member in world:
        if member.primary == old.node_id:
            member.primary = new.node_id
    return world


def standings(world: World, layout: WrittenLayout) -> list[Standing]:
    return [each.standing for each in differences(world.snapshot(), layout)]


def test_what_is_written_is_read_again() -> None:
    layout = layout_of(World.of(3, 2).snapshot())
    assert parse_layout(layout_text(layout)) == layout
    assert [each.primary.node_id for each in layout.shards] == [node_id(each) for each in "abc"]
    assert layout.shards[0].primary.address == "127.50.1.1:7000"


def test_the_file_names_its_form_and_its_cluster() -> None:
    said = json.loads(layout_text(layout_of(World.of(3, 1).snapshot())))
    assert said["schema"] == "rcfail-layout/1"
    assert said["cluster"] == cluster_key(each.node_id for each in World.of(3, 1))
    assert said["shards"][0]["slots"] == [[0, 5460]]


def test_nothing_differs_in_the_cluster_that_it_was_made_of() -> None:
    world = World.of(3, 1)
    found = differences(world.snapshot(), layout_of(world.snapshot()))
    assert all(each.same for each in found)
    assert len(found) == 3


def test_a_shard_that_another_of_its_nodes_leads() -> None:
    layout = layout_of(World.of(3, 1).snapshot())
    found = differences(swapped(World.of(3, 1), "b", "b1").snapshot(), layout)
    assert [each.standing for each in found] == [Standing.AS_WRITTEN, Standing.MOVED, Standing.AS_WRITTEN]
    assert found[1].primary == node_id("b1")
    assert found[1].wanted is not None
    assert found[1].wanted.node_id == node_id("b")
    assert found[1].text.endswith("(b1000000) leads it, not 127.50.2.1:7000 (bbbbbbbb)")


def test_a_node_that_is_gone_is_told_and_not_guessed_at() -> None:
    layout = layout_of(World.of(3, 1).snapshot())
    world = swapped(World.of(3, 1), "b", "b1")
    del world.members[node_id("b")]
    found = differences(world.snapshot(), layout)[1]
    assert (found.standing, found.primary) == (Standing.GONE, node_id("b1"))
    assert "nobody knows" in found.text


def test_a_primary_that_serves_another_shard_now() -> None:
    layout = layout_of(World.of(3, 1).snapshot())
    world = swapped(World.of(3, 1), "b", "b1")
    world["b"].primary = node_id("c")
    found = differences(world.snapshot(), layout)[1]
    assert found.standing is Standing.ELSEWHERE
    assert "a replica of" in found.text


def test_a_shard_with_other_slots() -> None:
    layout = layout_of(World.of(3, 1).snapshot())
    world = World.of(3, 1)
    world["a"].slots, world["b"].slots = ((0, 5000),), ((5001, 10921),)
    assert standings(world, layout) == [Standing.SLOTS, Standing.SLOTS, Standing.AS_WRITTEN]
    moved = swapped(world, "a", "a1")
    assert standings(moved, layout)[0] is Standing.SLOTS, "other slots are no reason to guess that it is the same shard"


def test_a_replica_that_went_elsewhere_stands_beside_its_shard() -> None:
    layout = layout_of(World.of(3, 2).snapshot())
    world = World.of(3, 2)
    world["a2"].primary = node_id("b")
    found = differences(world.snapshot(), layout)
    assert (found[0].standing, found[0].same) == (Standing.AS_WRITTEN, False)
    assert "in the shard of" in found[0].beside[0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda said: said.update(schema="rcfail-layout/9"), "no layout of this version"),
        (lambda said: said.pop("shards"), "'shards' is missing"),
        (lambda said: said["shards"][0].pop("primary"), "'primary' is missing"),
        (lambda said: said["shards"][0]["primary"].update(id="abc"), "no node id"),
        (lambda said: said["shards"][0].update(slots=[[5, 99999]]), "slots"),
        (lambda said: said["shards"][0].update(slots=[]), "slots"),
        (lambda said: said["shards"].append(said["shards"][0]), "in it twice"),
        (lambda said: said["shards"][0].update(slots=[[0, 6000]]), "slot 5461 is in two shards"),
    ],
)
def test_what_is_no_layout_is_said_so(change: object, said: str) -> None:
    value = layout_data(layout_of(World.of(3, 1).snapshot()))
    change(value)  # type: ignore[operator]
    with pytest.raises(BadLayout, match=said):
        parse_layout(json.dumps(value))


@given(st.text() | st.from_regex(r"[\[\]{}\":,0-9a-z]*"))
def test_any_text_is_a_layout_or_a_bad_one(text: str) -> None:
    with pytest.raises(BadLayout):
        parse_layout(text)


def drained(world: World, *letters: str, name: str = "zone east") -> Drained:
    return Drained(name, frozenset(map(node_id, letters)), layout_of(world.snapshot()))


def test_the_way_back_holds_only_what_was_led_from_there() -> None:
    entry = drained(World.of(3, 1), "a", "c1")
    back = way_back([entry])
    assert back is not None
    assert [each.primary.node_id for each in back.shards] == [node_id("a")]
    assert read_drained(drained_text([entry])) == (entry,)


def test_a_drain_that_is_run_again_does_not_forget_what_the_first_one_moved() -> None:
    first = drained(World.of(3, 1), "a", "b")
    half = swapped(World.of(3, 1), "a", "a1")
    (entry,) = noted([first], drained(half, "a", "b"))
    back = way_back([entry])
    assert back is not None
    assert [each.primary.node_id for each in back.shards] == [node_id("a"), node_id("b")]


def test_of_two_drains_each_has_its_way_back_and_together_the_first_counts() -> None:
    first = drained(World.of(3, 2), "a", name="host 1")
    second = drained(swapped(World.of(3, 2), "a", "a1"), "a1", name="host 2")
    entries = noted(noted((), first), second)
    alone, together = way_back(entries, {node_id("a1")}), way_back(entries)
    assert alone is not None
    assert together is not None
    assert [each.primary.node_id for each in alone.shards] == [node_id("a1")]
    assert [each.primary.node_id for each in together.shards] == [node_id("a")]
    assert way_back(entries, {node_id("b")}) is None


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"schema": "rcfail-drained/1"}', '{"schema": "x", "drained": []}'])
def test_a_torn_record_of_drains_is_said_so(text: str) -> None:
    with pytest.raises(BadLayout):
        read_drained(text)
