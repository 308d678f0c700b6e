"""Whether the canary's own load lengthens the gap that it measures: `python -m tests.bench.canary_gap [ROUNDS]`.

An independent client writes to one shard at 200 a second while the shard is moved gracefully, in turns with a canary
in the shard and without one. What it felt is compared, and with what the canary says it felt.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from rcfail.clock import SYSTEM_CLOCK, Deadline, poll
from rcfail.cluster.nouns import Belief, Role
from rcfail.health.finding import Thresholds
from rcfail.practice.canary import Canary
from rcfail.practice.lab.register import NodeEntry, Register
from rcfail.practice.lab.up import bring_up
from rcfail.practice.lab.wish import Wish
from rcfail.rounds import look_until_settled
from rcfail.session import open_door, open_sight
from rcfail.settings.load import Flags, load
from tests.real.loader import Loader
from tests.real.servers import RunningLab

NODE_TIMEOUT_MS = 1000
COOLDOWN_S = 4 * NODE_TIMEOUT_MS / 1000 + 1
SLOTS = (0, 6000, 12000)


def main(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        register = Register(Path(folder))
        bring_up(Wish(name="gap", node_timeout_ms=NODE_TIMEOUT_MS), register)
        lab = RunningLab(register, "gap")
        try:
            compare(lab, rounds)
        finally:
            lab.down()


def compare(lab: RunningLab, rounds: int) -> None:
    without: list[float] = []
    beside: list[float] = []
    told: list[float] = []
    for turn in range(rounds):
        slot = SLOTS[turn % len(SLOTS)]
        without.append(move(lab, slot, None)[0])
        felt, said = move(lab, slot, told)
        beside.append(felt)
        print(f"{turn + 1:3}  without {without[-1]:6.1f} ms  beside a canary {felt:6.1f} ms  it says {said:6.1f} ms")
    for name, gaps in (("without", without), ("beside a canary", beside), ("the canary itself", told)):
        quarter, median, most = statistics.quantiles(gaps, n=4)
        print(
            f"{name:18} median {median:5.1f} ms, quartiles {quarter:5.1f} and {most:5.1f} ms, longest {max(gaps):.1f}"
        )


def move(lab: RunningLab, slot: int, told: list[float] | None) -> tuple[float, float]:
    """Move the slot's shard, and wait until it can be moved again. What the client felt, and the canary, in ms."""
    owner = the(lab, lambda own: own.role is Role.PRIMARY and any(a <= slot <= b for a, b in own.slots))
    target = the(lab, lambda own: own.primary_id == owner.node_id)
    settings = load(Flags(seeds=(lab.seeds,)), {})
    looked = look_until_settled(open_sight(settings, {}), Thresholds(), SYSTEM_CLOCK, Deadline.after(20))
    canary = Canary(open_door(settings, {}), looked.snapshot, owner.node_id)
    with Loader(lab.nodes, slots=[slot], every_s=0.005) as load_:
        if told is not None:
            assert not canary.start(), canary.unready
        SYSTEM_CLOCK.sleep(1)
        lab.say(target, "CLUSTER", "FAILOVER")
        lab.wait(lambda: lab.belief(target, target).role is Role.PRIMARY, "the promotion")
        SYSTEM_CLOCK.sleep(0.5)
        canary.stop(target.node_id)
    said = float(canary.result().write_gap_ms or 0)
    if told is not None:
        told.append(said)
    assert load_.lost == 0
    began_s = SYSTEM_CLOCK.monotonic_s()
    poll(
        lambda: SYSTEM_CLOCK.monotonic_s() - began_s > COOLDOWN_S,
        bool,
        deadline=Deadline.after(2 * COOLDOWN_S),
        every_s=0.1,
        waiting_for="the cooldown",
    )
    return load_.shards[0].gap_ms, said


def the(lab: RunningLab, fits: Callable[[Belief], bool]) -> NodeEntry:
    return next(node for node in lab.nodes if fits(lab.belief(node, node)))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 12)
