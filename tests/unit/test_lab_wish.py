"""What may be wished for, and where the nodes of a wish are put."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcfail.cluster.nouns import SLOT_COUNT
from rcfail.errors import UsageFault
from rcfail.practice.lab.wish import OWNED_OPTIONS, Wish, default_hosts, place, slots_of

sizes = st.tuples(st.integers(1, 20), st.integers(0, 4))


@given(sizes)
def test_by_default_no_shard_shares_a_host_or_a_zone(size: tuple[int, int]) -> None:
    wish = Wish(primaries=size[0], replicas=size[1])
    spots = place(wish)
    for shard in range(wish.primaries):
        mine = [spot for spot in spots if spot.shard == shard]
        assert len({spot.host for spot in mine}) == len({spot.zone for spot in mine}) == 1 + wish.replicas


@given(sizes)
def test_by_default_losing_any_host_keeps_the_quorum(size: tuple[int, int]) -> None:
    wish = Wish(primaries=size[0], replicas=size[1])
    on_one_host = max(Counter(spot.host for spot in place(wish) if spot.primary is None).values())
    if wish.primaries > 2:
        assert wish.primaries - on_one_host >= wish.primaries // 2 + 1


@given(sizes, st.integers(1, 12), st.integers(1, 12))
def test_a_shard_uses_as_many_hosts_and_zones_as_there_are(size: tuple[int, int], hosts: int, zones: int) -> None:
    zones = min(hosts, zones)
    wish = Wish(primaries=size[0], replicas=size[1], hosts=hosts, zones=zones)
    spots = place(wish)
    assert len(spots) == wish.node_count
    assert [spot.name for spot in spots] == [f"n{number}" for number in range(1, len(spots) + 1)]
    for shard in range(wish.primaries):
        mine = [spot for spot in spots if spot.shard == shard]
        assert len({spot.host for spot in mine}) == min(hosts, 1 + wish.replicas)
        if zones == 2 and hosts % 2 == 0 and wish.replicas:
            assert len({spot.zone for spot in mine}) == 2
        assert [spot.primary for spot in mine] == [None] + [shard] * wish.replicas


def test_three_and_three_on_three_hosts() -> None:
    assert [(spot.shard, spot.host, spot.zone) for spot in place(Wish())] == [
        (0, 0, "zone-1"),
        (1, 1, "zone-2"),
        (2, 2, "zone-3"),
        (0, 1, "zone-2"),
        (1, 2, "zone-3"),
        (2, 0, "zone-1"),
    ]


def test_four_primaries_need_four_hosts() -> None:
    # On three hosts one has two of the four voters, and two are no quorum of four.
    assert [default_hosts(primaries, 1) for primaries in (1, 2, 3, 4, 5, 6)] == [3, 3, 3, 4, 3, 3]


@given(st.integers(1, 1000))
def test_slots_are_handed_out_once_and_evenly(shards: int) -> None:
    ranges = [slots_of(shard, shards) for shard in range(shards)]
    assert ranges[0][0] == 0
    assert ranges[-1][1] == SLOT_COUNT - 1
    assert all(one[1] + 1 == other[0] for one, other in pairwise(ranges))
    counts = {last - first + 1 for first, last in ranges}
    assert max(counts) - min(counts) <= 1


def test_three_shards_are_cut_where_redis_cli_cuts() -> None:
    assert [slots_of(shard, 3) for shard in range(3)] == [(0, 5460), (5461, 10922), (10923, 16383)]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"name": ""}, "'' is no name for a lab"),
        ({"name": "../x"}, "is no name for a lab"),
        ({"name": "Big"}, "is no name for a lab"),
        ({"name": ".locks"}, "is no name for a lab"),
        ({"name": "x" * 33}, "is no name for a lab"),
        ({"primaries": 0}, "at least 1 primary"),
        ({"replicas": -1}, "--replicas cannot be negative"),
        ({"primaries": 51}, "102 nodes are more than 100"),
        ({"hosts": 0}, "--hosts must be 1 to 254"),
        ({"hosts": 255}, "--hosts must be 1 to 254"),
        ({"hosts": 2, "zones": 3}, "--zones must be 1 to 2"),
        ({"zones": 0}, "--zones must be 1 to 3"),
        ({"node_timeout_ms": 50}, "--node-timeout must be 100"),
        ({"base_port": 80}, "--base-port must be 1024 to 22762"),
        ({"base_port": 22763}, "--base-port must be 1024 to 22762"),
        ({"conf": ("maxmemory",)}, "--conf needs a name and a value, but got maxmemory"),
        ({"conf": ("",)}, "--conf needs a name and a value, but got an empty line"),
        ({"conf": ("maxmemory 1\nport 1",)}, "--conf needs a name and a value"),
        ({"conf": ("PORT 7000",)}, "the lab sets port itself"),
    ],
)
def test_what_cannot_be_had_is_refused_in_one_line(asked: dict[str, object], said: str) -> None:
    with pytest.raises(UsageFault) as caught:
        Wish(**asked)  # type: ignore[arg-type]
    assert said in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.hint


def test_the_highest_base_port_keeps_all_bus_ports_below_what_the_system_hands_out() -> None:
    Wish(base_port=22762)
    assert 22762 + 5 + 10000 == 32767


def test_a_refused_conf_line_is_not_repeated() -> None:
    with pytest.raises(UsageFault) as caught:
        Wish(conf=("requirepass open-sesame\nx",))
    assert "open-sesame" not in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize("option", sorted(OWNED_OPTIONS))
def test_the_labs_own_options_cannot_be_set(option: str) -> None:
    with pytest.raises(UsageFault, match=f"the lab sets {option} itself"):
        Wish(conf=(f"{option} 1",))
