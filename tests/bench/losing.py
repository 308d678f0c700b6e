"""How often the exact loss is caught, and how it compares with the risk that was told: `python -m tests.bench.losing
[ROUNDS] [SERVER ...]`. Each round forces a failover of a primary that lives and is written to as fast as it takes it.

What is really lost are the acknowledged writes that the new primary does not have; each has the same length.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from rcfail.change.after.sampler import Sampler
from rcfail.change.loss import Loss, at_risk
from rcfail.change.plan import plan_failover
from rcfail.change.request import Mode, Request
from rcfail.change.seen import Seen
from rcfail.clock import SYSTEM_CLOCK
from rcfail.practice.lab.register import Register
from rcfail.practice.lab.up import bring_up
from rcfail.practice.lab.wish import Wish
from tests.real.byte_writer import writing
from tests.real.servers import RunningLab, ServerUnderTest, all_servers
from tests.real.test_change_lock import seen

SHARDS = 4
PATIENCE_S = 60.0


class Round(NamedTuple):
    truth: int
    loss: Loss


def main(rounds: int, labels: list[str]) -> None:
    for server in all_servers():
        if labels and not any(server.label.startswith(each) for each in labels):
            continue
        found = on(server, rounds)
        caught = [each for each in found if each.loss.lost_bytes is not None]
        right = sum(each.loss.lost_bytes == each.truth for each in caught)
        shares = [each.truth / each.loss.at_risk_bytes[1] for each in found if each.loss.at_risk_bytes]
        lost = [each.truth for each in found]
        print(
            f"{server.label}: caught {len(caught)} of {len(found)}, right {right}; lost {min(lost)} to {max(lost)} "
            f"bytes, at most {max(shares):.0%} of what was told to be at risk",
            flush=True,
        )


def on(server: ServerUnderTest, rounds: int) -> list[Round]:
    with tempfile.TemporaryDirectory() as folder:
        register = Register(Path(folder))
        conf = ("repl-ping-replica-period 3600",)  # pings would add bytes that are no writes
        bring_up(Wish(name="loss", primaries=SHARDS, node_timeout_ms=1000, conf=conf, server=server.path), register)
        lab = RunningLab(register, "loss")
        try:
            return [each for number in range(rounds) for each in one(lab, number)]
        finally:
            lab.down()


def one(lab: RunningLab, number: int) -> list[Round]:
    """One failover; none where the servers did not carry it out, as within a cooldown."""
    names = [f"n{number % SHARDS + 1}", lab.replica_of(f"n{number % SHARDS + 1}").name]
    old, new = names if is_primary(lab, names[0]) else names[::-1]
    lab.wait(lambda: ready(lab, old, new), "a shard that is whole and known to be", PATIENCE_S)
    door, before = seen(lab)
    request = Request(lab.node(new).node_id, lab.node(old).node_id, Mode.FORCE)
    keys = lab.vitals(new).storage.keys or 0
    with writing(lab, old, number * 10_000_000) as writer:
        SYSTEM_CLOCK.sleep(0.3)
        first, second = seen(lab)[1], seen(lab)[1]
        risk = at_risk(Seen(second, first), request)
        with Sampler(door, before, plan_failover(before, request).steps[0]) as sampler:
            lab.say(new, "CLUSTER", "FAILOVER", "FORCE")
            try:
                lab.wait(lambda: is_primary(lab, new) and not is_primary(lab, old), "the promotion")
            except AssertionError:
                return []
            acknowledged = writer.acknowledged()
            lab.wait(lambda: lab.vitals(old).replication.link_up, "a new copy", PATIENCE_S)
            loss = sampler.loss(risk)
        kept = (lab.vitals(new).storage.keys or 0) - keys
    return [Round((acknowledged - kept) * writer.each, loss)]


def ready(lab: RunningLab, old: str, new: str) -> bool:
    linked = lab.vitals(new).replication.link_up and is_primary(lab, old)
    return bool(linked) and all("slave" in lab.belief(node, new).flags for node in lab.nodes)


def is_primary(lab: RunningLab, node: str) -> bool:
    return lab.vitals(node).replication.role == "master"


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20, sys.argv[2:])
