"""Whether a command is a repeated one, out of the audit: then it is not to undo what the first one did."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from rcfail.change.audit import Audit
from rcfail.change.locks.owner import begun_unix_ms, myself
from rcfail.change.locks.premises import repeated
from rcfail.clock import SYSTEM_CLOCK
from tests.unit.world import node_id

SHARD = (node_id("a"), node_id("a1"))
ASKED = {"target": "a1", "slot": None}


def run(path: Path, *steps: Callable[[Audit], object], ended: bool = True, lives: bool = False) -> None:
    """One run in the audit, by a process that is no more, unless it lives or says how it ended."""
    owner = myself("", SYSTEM_CLOCK.unix_ms())
    audit = Audit(path, owner if ended or lives else replace(owner, pid=1 << 22, started="1"))
    audit.begin(command="failover", nodes=SHARD, plan={"steps": [], "asked": ASKED})
    for step in steps:
        step(audit)
    if ended:
        audit.end(exit_code=0)


def sends(node: str = SHARD[1]) -> Callable[[Audit], object]:
    return lambda audit: audit.before(step=1, node=node, address="h:1", command=("CLUSTER", "FAILOVER"))


def answered(left: bool = True) -> Callable[[Audit], object]:
    return lambda audit: audit.after(step=1, node=SHARD[1], reply="OK", left=left)


def seen(audit: Audit) -> None:
    audit.verified(step=1, outcome="done", why="", checks={})


def test_a_run_that_died_after_its_send_is_known_by_what_it_was_asked(tmp_path: Path) -> None:
    later = SYSTEM_CLOCK.unix_ms() + 60_000
    for number, steps in enumerate(((sends(),), (sends(), answered()))):
        path = tmp_path / str(number)
        run(path, *steps, ended=False)
        assert repeated(path, ASKED, SHARD, SHARD[1], later) is not None
        assert repeated(path, {**ASKED, "target": "a"}, SHARD, SHARD[1], later) is None, "another wish"
        assert repeated(path, ASKED, SHARD, SHARD[0], later) is None, "it did not come to that"
        assert repeated(path, ASKED, (node_id("b"),), SHARD[1], later) is None, "another shard"


@pytest.mark.parametrize(
    "steps", [(), (sends(), answered(left=False)), (sends(), answered(), seen)], ids=["unsent", "not left", "seen"]
)
def test_what_was_not_sent_or_was_seen_through_leaves_nothing_open(
    tmp_path: Path, steps: tuple[Callable[[Audit], object], ...]
) -> None:
    run(tmp_path / "audit", *steps, ended=False)
    assert repeated(tmp_path / "audit", ASKED, SHARD, SHARD[1], SYSTEM_CLOCK.unix_ms() + 60_000) is None


def test_a_run_that_ended_well_counts_only_beside_this_one(tmp_path: Path) -> None:
    before = SYSTEM_CLOCK.unix_ms()
    run(tmp_path / "audit", sends(), answered(), seen)
    assert repeated(tmp_path / "audit", ASKED, SHARD, SHARD[1], before) is not None
    assert repeated(tmp_path / "audit", ASKED, SHARD, SHARD[1], SYSTEM_CLOCK.unix_ms() + 1) is None
    run(tmp_path / "audit", sends(SHARD[0]), answered(), seen)
    assert repeated(tmp_path / "audit", ASKED, SHARD, SHARD[1], before) is None, "a later run is what counts"


def test_a_run_that_is_under_way_is_found_as_such(tmp_path: Path) -> None:
    run(tmp_path / "audit", sends(), answered(), ended=False, lives=True)
    found = repeated(tmp_path / "audit", ASKED, SHARD, SHARD[1], SYSTEM_CLOCK.unix_ms() + 60_000)
    assert found is not None
    assert (found.running, found.indeterminate) == (True, False)


def test_without_an_audit_nothing_is_known(tmp_path: Path) -> None:
    assert repeated(None, ASKED, SHARD, SHARD[1], 0) is None
    assert repeated(tmp_path, ASKED, SHARD, SHARD[1], 0) is None, "a folder"


def test_this_process_began_before_now_and_not_long_ago() -> None:
    now = SYSTEM_CLOCK.unix_ms()
    assert now - 86_400_000 < begun_unix_ms(now) <= now
