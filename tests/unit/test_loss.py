"""How much a failover can lose, and has lost: what is not known is never told as nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcfail.change.after.stream_end import StreamEnd, ends_here, lost, words
from rcfail.change.loss import OVERLAP_MS, at_risk, risk_text
from rcfail.change.request import Mode, Request
from rcfail.change.seen import Seen
from rcfail.cluster.merge import merge
from rcfail.cluster.snapshot import Snapshot
from rcfail.cluster.vitals import Replication
from tests.unit.world import World, node_id

STREAM, OTHER = "a" * 40, "b" * 40
PRIMARY, TARGET = node_id("a"), node_id("a1")
OFFSETS = st.integers(0, 1 << 40)
MAYBE = st.none() | OFFSETS


def request(mode: Mode = Mode.FORCE) -> Request:
    return Request(TARGET, PRIMARY, mode)


def look(written: int, copied: int, later_ms: int = 0, **info: str) -> Snapshot:
    """The primary is at `written`, its replica at `copied`; both are asked so many ms later."""
    world = World.of(3, 2)
    world["a"].info["master_repl_offset"] = str(written)
    world["a1"].info |= {"slave_repl_offset": str(copied), "master_repl_offset": str(copied), **info}
    observed = world.observe()
    answers = tuple(replace(each, asked_at_unix_ms=each.asked_at_unix_ms + later_ms) for each in observed.answers)
    return merge(replace(observed, answers=answers))


def silent(heard_by_sibling: int, copied: int) -> Snapshot:
    world = World.of(3, 2)
    world.kill("a")
    for letter, offset in (("a1", copied), ("a2", heard_by_sibling)):
        world[letter].info |= {"slave_repl_offset": str(offset), "slave_read_repl_offset": str(offset)}
    return merge(world.observe())


def test_graceful_risks_nothing_while_the_target_can_catch_up() -> None:
    behind = look(90_000, 50_000)
    assert at_risk(Seen(behind, look(80_000, 50_000)), request(Mode.GRACEFUL)) == (0, 0)
    down = look(90_000, 50_000, master_link_status="down")
    assert at_risk(Seen(down), request(Mode.GRACEFUL)) is None, "offsets cannot come to match"


def test_force_risks_the_lead_and_what_is_written_meanwhile() -> None:
    """1,000 ms between the looks: the primary wrote 10,000 bytes, the target copied none of them."""
    seen = Seen(look(60_000, 50_000, later_ms=1000), look(50_000, 50_000))
    assert at_risk(seen, request()) == (10_000, 10_000 + 10_000 * OVERLAP_MS // 1000)
    assert at_risk(seen, request(Mode.TAKEOVER)) == at_risk(seen, request())
    assert risk_text(seen, request(), (10_000, 15_000)) == (
        "between 9.8 KB and 15 KB of writes that the target has not copied by then"
    )


def test_what_the_target_copies_meanwhile_may_be_saved() -> None:
    """It copies 100,000 bytes a second and is 10,000 behind; without a link it copies nothing more."""
    before, after = look(100_000, 90_000), look(200_000, 190_000, later_ms=1000)
    assert at_risk(Seen(after, before), request()) == (0, 10_000 + 100_000 * OVERLAP_MS // 1000)
    cut = look(200_000, 190_000, later_ms=1000, master_link_status="down")
    assert at_risk(Seen(cut, before), request()) == (10_000, 10_000 + 100_000 * OVERLAP_MS // 1000)


def test_an_idle_primary_risks_nothing() -> None:
    seen = Seen(look(50_000, 50_000, later_ms=200), look(50_000, 50_000))
    assert at_risk(seen, request()) == (0, 0)
    assert "as long as nobody writes" in risk_text(seen, request(), (0, 0))


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        (Seen(look(60_000, 50_000)), "two looks"),
        (Seen(look(60_000, 50_000, 200), look(70_000, 50_000)), "two looks"),
        (Seen(look(60_000, 1, 200), look(50_000, 1)), "never finished a first copy"),
        (Seen(look(60_000, 50_000, 200, master_replid=OTHER), look(50_000, 50_000)), "does not follow"),
        (Seen(silent(50_000, 50_000)), "silent"),
        (Seen(silent(40_000, 50_000), look(50_000, 50_000)), "silent"),
    ],
)
def test_what_nobody_can_tell_is_not_told(seen: Seen, why: str) -> None:
    assert at_risk(seen, request()) is None
    assert why in risk_text(seen, request(), None)


def test_of_a_dead_primary_the_least_is_known() -> None:
    """From a sibling that heard more, or from the primary's own word a moment before."""
    assert at_risk(Seen(silent(57_000, 50_000)), request()) == (7_000, 7_000)
    seen = Seen(silent(57_000, 50_000), look(58_000, 50_000))
    assert at_risk(seen, request()) == (8_000, 8_000)
    assert risk_text(seen, request(), (8_000, 8_000)).startswith("at least 7.8 KB")


def test_a_primary_that_was_promoted_itself_goes_on_with_the_old_offsets() -> None:
    def seen(copied: int) -> Seen:
        both = []
        for later_ms, written in ((0, 60_000), (1000, 61_000)):
            world = World.of(3, 2)
            world["a"].info |= {"master_replid": OTHER, "master_replid2": STREAM, "second_repl_offset": "55001"}
            world["a"].info["master_repl_offset"] = str(written)
            world["a1"].info |= {"slave_repl_offset": str(copied), "master_replid": STREAM}
            observed = world.observe()
            answers = tuple(replace(each, asked_at_unix_ms=later_ms) for each in observed.answers)
            both.append(merge(replace(observed, answers=answers)))
        return Seen(both[1], both[0])

    assert at_risk(seen(55_000), request()) == (6_000, 6_000 + 1_000 * OVERLAP_MS // 1000)
    assert at_risk(seen(55_001), request()) is None, "what it has beyond that point is another history"


@given(
    written=OFFSETS,
    copied=OFFSETS,
    more=st.integers(-5, 1 << 30),
    copies=st.integers(-5, 1 << 30),
    ms=st.integers(0, 9),
)
def test_a_risk_is_never_negative_and_never_upside_down(
    written: int, copied: int, more: int, copies: int, ms: int
) -> None:
    seen = Seen(look(written + max(0, more), max(0, copied + copies), later_ms=ms), look(written, copied))
    for mode in Mode:
        risk = at_risk(seen, request(mode))
        assert risk is None or 0 <= risk[0] <= risk[1]
        assert risk_text(seen, request(mode), risk)


@given(heard=OFFSETS, copied=OFFSETS)
def test_a_silent_primary_is_never_said_to_risk_nothing(heard: int, copied: int) -> None:
    risk = at_risk(Seen(silent(heard, copied)), request())
    assert risk is None or risk[0] > 0


def promoted(at: int | None, name: str = STREAM) -> Replication:
    return Replication(role="master", replid=OTHER, replid2=name, second_offset=None if at is None else at + 1)


def demoted(at: int | None, own: int | None, name: str = STREAM) -> Replication:
    return Replication(role="slave", link_up=False, own_offset=own, primary_offset=at, replid=name)


def test_lost_is_the_end_of_the_old_stream_less_what_the_new_one_took() -> None:
    loss = lost(StreamEnd(STREAM, last_offset=900, ended_at=1_100, promoted=promoted(1_000)), (50, 200))
    assert (loss.lost_bytes, loss.lost_bytes_at_least, loss.at_risk_bytes) == (100, 100, (50, 200))
    assert words(loss) == "100 B of writes were lost"


def test_without_the_end_the_last_word_of_the_primary_is_the_least() -> None:
    loss = lost(StreamEnd(STREAM, last_offset=1_080, promoted=promoted(1_000), silent="it was killed"), None)
    assert (loss.lost_bytes, loss.lost_bytes_at_least) == (None, 80)
    assert loss.how.startswith("it was killed")
    assert words(loss) == "at least 80 B of writes were lost"


def test_who_was_let_go_on_had_nothing_of_its_own() -> None:
    """A partial copy from the point of the demotion: the old primary keeps the old name as its second one."""
    now = Replication(role="slave", link_up=True, replid=OTHER, replid2=STREAM)
    assert lost(StreamEnd(STREAM, 1_000, now=now, promoted=promoted(1_000)), None).lost_bytes == 0
    copied = replace(now, replid2="0" * 40)
    assert lost(StreamEnd(STREAM, 1_000, now=copied, promoted=promoted(1_000)), None).lost_bytes is None


@pytest.mark.parametrize(
    "end",
    [
        StreamEnd(STREAM, 1_000, 1_000),
        StreamEnd("", 1_000, 1_000, promoted=promoted(1_000)),
        StreamEnd(STREAM, 1_000, 1_000, promoted=promoted(None)),
        StreamEnd(STREAM, 1_000, 1_000, promoted=promoted(1_000, "c" * 40)),
        StreamEnd(STREAM, promoted=promoted(1_000)),
    ],
)
def test_what_cannot_be_compared_is_not_told(end: StreamEnd) -> None:
    loss = lost(end, (0, 0))
    assert (loss.lost_bytes, loss.lost_bytes_at_least) == (None, None)
    assert loss.how
    assert words(loss) == "nobody can tell what was lost"


@pytest.mark.parametrize(
    ("said", "end"),
    [
        (demoted(1_100, 1_100), 1_100),
        (demoted(1_100, 1), 1_100),
        (demoted(1_100, 0), 1_100),
        (demoted(900, 900), None),
        (demoted(1_100, 5_000), None),
        (demoted(1_100, 1_100, OTHER), None),
        (demoted(None, 1_100), None),
        (replace(demoted(1_100, 1_100), link_up=True), None),
        (replace(demoted(1_100, 1_100), role="master"), None),
    ],
)
def test_the_end_is_read_from_a_demoted_node_that_still_counts_in_its_own_stream(
    said: Replication, end: int | None
) -> None:
    assert ends_here(said, STREAM, 1_000) == end


@given(
    name=st.sampled_from(["", STREAM, OTHER]),
    last=MAYBE,
    said=st.none() | st.builds(demoted, MAYBE, MAYBE, st.sampled_from([STREAM, OTHER])),
    new=st.none() | st.builds(promoted, MAYBE, st.sampled_from([STREAM, OTHER])),
    link=st.none() | st.booleans(),
)
def test_a_loss_is_never_negative_and_nothing_only_where_it_was_shown(
    name: str, last: int | None, said: Replication | None, new: Replication | None, link: bool | None
) -> None:
    now = replace(said, link_up=link) if said else None
    ended = ends_here(said, name, last) if said else None
    loss = lost(StreamEnd(name, last, ended, now, new), None)
    assert loss.lost_bytes is None or loss.lost_bytes >= 0
    assert loss.lost_bytes_at_least is None or loss.lost_bytes_at_least >= 0
    if loss.lost_bytes is not None:
        assert new is not None
        assert new.replid2 == name
        assert ended is not None or (now is not None and now.replid2 == name)
