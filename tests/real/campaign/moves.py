"""Many graceful failovers in a row over all shards, under write load: nothing lost, and every verdict true.

By hand: `pytest tests/real/campaign/moves.py --servers all`. RCFAIL_MOVES says how many on each server.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import pytest

from rcfail.cluster.nouns import Role
from rcfail.practice.lab.register import NodeEntry
from tests.real.conftest import LabMaker
from tests.real.loader import Loader
from tests.real.servers import RunningLab, ServerUnderTest

MOVES = int(os.environ.get("RCFAIL_MOVES", "200"))
SLOTS = (0, 6000, 12000)
BETWEEN_WRITES_S = 0.001
WITHIN_S = 120.0


@pytest.mark.every_server
def test_many_failovers_in_a_row_lose_nothing_and_are_told_as_they_are(
    lab: LabMaker, server: ServerUnderTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    one = lab(node_timeout_ms=2000)
    said: Counter[str] = Counter()
    wrong: list[str] = []
    with Loader(one.nodes, SLOTS, every_s=BETWEEN_WRITES_S) as loader:
        for number in range(MOVES):
            primary, replica = _pair(one, number % len(SLOTS))
            ran = one.rcfail("failover", replica.node_id, "--yes", "--wait-cooldown", "-o", "json", within_s=WITHIN_S)
            told = json.loads(ran.stdout)
            said[told["exit"]] += 1
            if told["exit"] not in ("OK", "REFUSED"):
                wrong.append(f"move {number}: {ran.stdout}\n{ran.stderr}")
            if not _true(one, primary, replica, ran.returncode):
                wrong.append(
                    f"move {number}: {told['exit']}, and the nodes say otherwise: {ran.stdout}\n{one.tables()}"
                )
        loader.stop()
    gaps = sorted(each.gap_ms for each in loader.shards)
    print(
        f"\n{server.label}: {MOVES} moves {dict(said)}, {loader.acknowledged} writes acknowledged, "
        f"{loader.lost} lost, longest gaps {gaps} ms, {len(wrong)} wrong verdicts"
    )
    assert not wrong, "\n".join(wrong[:3])
    assert loader.lost == 0
    assert loader.acknowledged > MOVES
    # What is refused was refused before it was sent, and comes from a demotion that is not known to all yet.
    assert set(said) <= {"OK", "REFUSED"}
    assert said["OK"] > MOVES // 2


def _pair(one: RunningLab, shard: int) -> tuple[NodeEntry, NodeEntry]:
    """Who is primary and who is replica of a shard now, by their own words."""
    nodes = [each for each in one.nodes if each.shard == shard]
    by_role: dict[Role, NodeEntry] = {}

    def told() -> bool:
        by_role.update({one.belief(each, each).role: each for each in nodes})
        return by_role.keys() >= {Role.PRIMARY, Role.REPLICA}

    one.wait(told, "one primary and one replica")
    return by_role[Role.PRIMARY], by_role[Role.REPLICA]


def _true(one: RunningLab, primary: NodeEntry, replica: NodeEntry, code: int) -> bool:
    """Whether the two say themselves what the exit code says of them."""
    now, before = one.belief(replica, replica), one.belief(primary, primary)
    moved = now.role is Role.PRIMARY and bool(now.slots) and before.role is Role.REPLICA
    stayed = now.role is Role.REPLICA and before.role is Role.PRIMARY and bool(before.slots)
    return moved if code == 0 else stayed
