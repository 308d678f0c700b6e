"""How soon a failover is verified after the last node's view shows it: real servers, and an independent loop.

    python -m tests.bench.following 50 10     fifty nodes, ten failovers; prints the delays in ms, as JSON

The loop is a process of its own (`--shows`): plain sockets, a question to every node as soon as it has answered the
last, and nothing of rcfail but the layout of a line. Both read the same monotonic clock of the machine.
"""

from __future__ import annotations

import json
import selectors
import socket
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from rcfail.change.after.follow import Follower
from rcfail.change.plan import plan_failover
from rcfail.change.request import Request
from rcfail.change.run import StepOutcome
from rcfail.clock import SYSTEM_CLOCK, Deadline, poll
from rcfail.cluster.snapshot import Snapshot
from rcfail.health.finding import Thresholds
from rcfail.practice.lab.down import take_down
from rcfail.practice.lab.register import LabEntry, Register
from rcfail.practice.lab.up import bring_up
from rcfail.practice.lab.wish import Wish
from rcfail.rounds import look_until_settled
from rcfail.session import open_door, open_sight
from rcfail.settings.load import Flags, load
from rcfail.wire.door import Door

ASKED = b"*2\r\n$7\r\nCLUSTER\r\n$5\r\nNODES\r\n*2\r\n$4\r\nINFO\r\n$11\r\nreplication\r\n"
NAP_S = 0.004
GIVE_UP_S = 30.0
NODE_TIMEOUT_MS, SMALL_TIMEOUT_MS = 5000, 1000


def main() -> None:
    nodes, rounds = int(sys.argv[1]), int(sys.argv[2])
    server = sys.argv[3] if len(sys.argv) > 3 else None
    with TemporaryDirectory(prefix="rcfail-bench-") as home:
        register = Register(Path(home) / "labs")
        name = "following"
        timeout_ms = NODE_TIMEOUT_MS if nodes > 12 else SMALL_TIMEOUT_MS
        bring_up(Wish(name=name, primaries=nodes // 2, replicas=1, node_timeout_ms=timeout_ms, server=server), register)
        try:
            print(json.dumps(measure(register.read(name), rounds, 4.5 * timeout_ms / 1000)))
        finally:
            take_down(register, name)


def measure(entry: LabEntry, rounds: int, cooldown_s: float) -> dict[str, object]:
    """Failovers of one shard after the other, each when all views agree and its last election is long enough ago."""
    settings = load(Flags(seeds=(",".join(map(str, entry.seeds)),)), {})
    sight, door = open_sight(settings, {}), open_door(settings, {})
    delays: list[float] = []
    took: list[float] = []
    for number in range(rounds):
        if number and number % (len(entry.nodes) // 2) == 0:
            SYSTEM_CLOCK.sleep(cooldown_s)
        snapshot = poll(
            lambda: look_until_settled(sight, Thresholds(), SYSTEM_CLOCK, Deadline.after(60)).snapshot,
            lambda seen: len(seen.groups) == 1,
            deadline=Deadline.after(60),
            every_s=0.5,
            waiting_for="equal views",
        )
        shards = sorted(snapshot.shards, key=lambda each: each.slots)
        shard = shards[number % len(shards)]
        delay_ms, took_ms = one(door, snapshot, Request(shard.replica_ids[0], shard.primary_id))
        delays.append(delay_ms)
        took.append(took_ms)
    return {
        "nodes": len(entry.nodes),
        "delays_ms": [round(each, 1) for each in delays],
        "longest_ms": max(delays),
        "verified_after_ms": [round(each) for each in took],
    }


def one(door: Door, snapshot: Snapshot, request: Request) -> tuple[float, float]:
    """Ms from when the last view showed it to when it was verified, and from the send to then."""
    step = plan_failover(snapshot, request).steps[0]
    places = [node.endpoint for node in snapshot.nodes.values() if node.endpoint]
    words = [sys.executable, "-m", "tests.bench.following", "--shows", step.target, step.primary]
    first = str(step.slots[0][0])
    loop = subprocess.Popen([*words, first, *map(str, places)], stdout=subprocess.PIPE, text=True)
    assert loop.stdout is not None
    try:
        assert loop.stdout.readline() == "ready\n"
        with Follower(door, snapshot, step, lambda _: None, SYSTEM_CLOCK) as follower:
            follower.prepare()
            sent_s = time.monotonic()
            place = snapshot.nodes[step.target].endpoint
            assert place is not None
            reply = door.say(place, step.command, expect_id=step.target, deadline=Deadline.after(5))
            followed = follower.follow(sent_s, reply)
            verified_s = time.monotonic()
        assert followed.outcome is StepOutcome.DONE, followed
        shown_s = float(loop.stdout.readline())
    finally:
        loop.kill()
        loop.wait()
        loop.stdout.close()
    return (verified_s - shown_s) * 1000, (verified_s - sent_s) * 1000


def shows(target: str, primary: str, first_slot: str, places: list[str]) -> None:
    """Ask all nodes over and over, and print the time when the last of them shows it first."""
    chosen = selectors.DefaultSelector()
    waiting = set(places)
    for each in places:
        host, _, port = each.rpartition(":")
        sock = socket.create_connection((host, int(port)))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        chosen.register(sock, selectors.EVENT_READ, [each, b"", sock])
    socks: list[socket.socket] = [key.data[2] for key in chosen.get_map().values()]
    print("ready", flush=True)
    for sock in socks:
        sock.sendall(ASKED)
    last_s = 0.0
    ends_s = time.monotonic() + GIVE_UP_S
    while waiting and time.monotonic() < ends_s:
        answered = []
        for key, _ in chosen.select(0.1):
            mine = key.data
            sock = mine[2]
            mine[1] += sock.recv(262144)
            texts = whole(mine[1])
            if texts is None:
                continue
            mine[1] = b""
            if shown(*texts, target, primary, first_slot):
                waiting.discard(mine[0])
                last_s = time.monotonic()
            else:
                answered.append(sock)
        # A pause, or the loop would take the processor from what it measures.
        SYSTEM_CLOCK.sleep(NAP_S)
        for sock in answered:
            sock.sendall(ASKED)
    print(last_s, flush=True)


def whole(data: bytes) -> tuple[str, str] | None:
    """Two bulk strings, or None while they are not there yet."""
    texts = []
    for _ in range(2):
        head, found, rest = data.partition(b"\r\n")
        if not found or len(rest) < int(head[1:]) + 2:
            return None
        texts.append(rest[: int(head[1:])].decode())
        data = rest[int(head[1:]) + 2 :]
    return texts[0], texts[1]


def shown(table: str, stream: str, target: str, primary: str, first_slot: str) -> bool:
    """The target owns the slots in this view; in the old primary's, its link is up too."""
    for line in table.splitlines():
        words = line.split()
        if words[0] == primary and "myself" in words[2] and "master_link_status:up" not in stream:
            return False
    for line in table.splitlines():
        words = line.split()
        if words[0] == target:
            return "master" in words[2] and any(each.split("-")[0] == first_slot for each in words[8:])
    return False


if __name__ == "__main__":
    if sys.argv[1] == "--shows":
        shows(sys.argv[2], sys.argv[3], sys.argv[4], sys.argv[5:])
    else:
        main()
