"""What was acknowledged is there at the end, or counted as lost; and how long nothing was acknowledged."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcfail.practice.tally import Fate, Successes, Write, longest_gap, tally

# One attempt: its key, what the writer was told, and whether an unanswered one was carried out.
ATTEMPTS = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(Fate), st.booleans()), max_size=40)
MOMENTS = st.lists(st.floats(0, 1000, allow_nan=False), max_size=30)


def is_done(fate: Fate, carried_out: bool) -> bool:
    return fate is Fate.ACKNOWLEDGED or (fate is Fate.UNKNOWN and carried_out)


def test_each_fate_is_told_apart() -> None:
    writes = [
        Write("kept", 1, Fate.ACKNOWLEDGED),
        Write("gone", 2, Fate.ACKNOWLEDGED),
        Write("back", 3, Fate.ACKNOWLEDGED),
        Write("back", 4, Fate.ACKNOWLEDGED),
        Write("maybe", 5, Fate.UNKNOWN),
        Write("maybe not", 6, Fate.UNKNOWN),
        Write("refused", 7, Fate.ERROR),
        Write("undone", 8, Fate.ERROR),
        Write("late", 9, Fate.UNKNOWN),
        Write("late", 10, Fate.ACKNOWLEDGED),
        Write("foreign", 11, Fate.ACKNOWLEDGED),
        Write("not looked for", 12, Fate.ACKNOWLEDGED),
    ]
    found = {
        "kept": 1, "gone": None, "back": 3, "maybe": 5, "maybe not": None, "refused": 7, "undone": None, "late": 9,
        "foreign": 99,
    }  # fmt: skip
    told = tally(writes, found)
    assert (told.acknowledged, told.errors, told.unknown) == (6, 2, 3)
    assert (told.lost, told.lost_keys) == (2, ("gone", "back"))
    assert (told.appeared, told.overtaken, told.resurrected) == (2, 1, 2)


@given(ATTEMPTS)
def test_an_honest_store_loses_nothing(attempts: list[tuple[str, Fate, bool]]) -> None:
    """All that was promised is there, and of the rest what happened to be carried out."""
    store: dict[str, int | None] = dict.fromkeys("abc")
    writes = []
    for number, (key, fate, carried_out) in enumerate(attempts):
        writes.append(Write(key, number, fate))
        if is_done(fate, carried_out):
            store[key] = number
    told = tally(writes, store)
    assert (told.lost, told.overtaken, told.resurrected) == (0, 0, 0)
    assert told == tally(reversed(writes), store)


@given(st.lists(st.tuples(st.sampled_from(Fate), st.booleans()), max_size=40), st.integers(0, 40))
def test_a_store_that_forgets_its_end_loses_what_was_promised_there(
    attempts: list[tuple[Fate, bool]], kept: int
) -> None:
    writes = [Write(f"k{number}", number, fate) for number, (fate, _) in enumerate(attempts)]
    store = {f"k{number}": number if number < kept and is_done(*each) else None for number, each in enumerate(attempts)}
    told = tally(writes, store)
    promised = [number for number, (fate, _) in enumerate(attempts) if fate is Fate.ACKNOWLEDGED]
    assert set(told.lost_keys) == {f"k{number}" for number in promised if number >= kept}
    assert told.lost == len(told.lost_keys)
    assert told.acknowledged == len(promised)


@given(ATTEMPTS, st.integers(0, 40))
def test_of_one_key_every_promise_after_the_value_that_is_there_is_lost(
    attempts: list[tuple[str, Fate, bool]], there: int
) -> None:
    writes = [Write("k", number, fate) for number, (_, fate, _) in enumerate(attempts)]
    told = tally(writes, {"k": there})
    later = sum(each.fate is Fate.ACKNOWLEDGED for each in writes if each.number > there)
    assert told.lost + told.overtaken == later


@given(MOMENTS, st.floats(1000, 2000, allow_nan=False))
def test_the_longest_gap_is_that_between_two_neighbours_or_the_one_still_open(
    moments: list[float], until: float
) -> None:
    gap = longest_gap(moments, until)
    if not moments:
        assert gap is None
        return
    assert gap is not None
    between = [later - earlier for earlier, later in pairwise([*sorted(moments), until])]
    assert gap.seconds == pytest.approx(max(between))
    assert gap.is_open is (gap.seconds > max(between[:-1], default=-1.0))


def test_the_time_before_the_first_success_counts_only_where_it_was_waited_for() -> None:
    assert longest_gap([7.0, 8.0], until_s=8.5) == longest_gap([8.0, 7.0], until_s=8.5)
    waited = longest_gap([7.0, 8.0], until_s=8.5, since_s=1.0)
    assert waited is not None
    assert (waited.seconds, waited.began_at_s, waited.is_open) == (6.0, 1.0, False)
    assert Successes(since_s=1.0).longest(9.0) is None, "without a success there is no figure"


def test_it_can_be_asked_while_it_goes_on() -> None:
    successes = Successes()
    for at in (1.0, 1.5, 1.7):
        successes.add(at)
    first = successes.longest(1.8)
    assert first is not None
    assert (first.seconds, first.is_open) == (0.5, False)
    still = successes.longest(4.7)
    assert still is not None
    assert (still.seconds, still.began_at_s, still.is_open) == (3.0, 1.7, True)
