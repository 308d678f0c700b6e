"""How much memory a watch of a hundred nodes holds after so many rounds: a process of its own, on a simulated clock.

    python -m tests.bench.watching 10000      prints the resident set after 100 rounds and at the end, in MB

One round of the simulated cluster is really read; then it is shown again and again by a fake sight, each time with
other heartbeats and counters, as new objects. So it is judging, comparing and remembering that is measured.
"""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path

from rcfail.clock import Deadline
from rcfail.cluster.nouns import Endpoint
from rcfail.cluster.observation import Answer, Observation
from rcfail.cluster.parse_nodes import NodesReader, render_reply
from rcfail.health.finding import Thresholds
from rcfail.health.manner import PLAIN
from rcfail.health.verdict import Policy
from rcfail.rounds import Judge
from rcfail.watch import Round, Watch
from rcfail.wire.crawl import crawl
from rcfail.wire.door import Door
from tests.bench.simulator import start

NODES = 100
SETTLED_AFTER = 100


class SimulatedClock:
    """Passes only by sleeping."""

    def __init__(self) -> None:
        self.now_s = 1_000_000.0

    def monotonic_s(self) -> float:
        return self.now_s

    def unix_ms(self) -> int:
        return int(self.now_s * 1000)

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


class FakeSight:
    """Shows what was once read, with a node that comes and goes every seven rounds, and figures that change."""

    manner = PLAIN

    def __init__(self, seen: Observation, clock: SimulatedClock) -> None:
        self._seen = seen
        self._texts = [render_reply(answer.nodes) if answer.nodes else "" for answer in seen.answers]
        self._reader = NodesReader()
        self._clock = clock
        self._missing = cycle([0] * 7 + [1] * 7)
        self._round = 0

    def look(self, _: Deadline) -> Observation:
        self._round += 1
        last = len(self._seen.answers) - next(self._missing)
        pairs = zip(self._seen.answers[:last], self._texts, strict=False)
        answers = tuple(self._fresh(answer, text) for answer, text in pairs)
        return replace(self._seen, taken_at_unix_ms=self._clock.unix_ms(), answers=answers)

    def again(self, _: Observation, deadline: Deadline) -> Observation:
        return self.look(deadline)

    def first_view(self, deadline: Deadline) -> Observation:
        return self.look(deadline)

    def _fresh(self, answer: Answer, text: str) -> Answer:
        beaten = text.replace(" 0 1", f" {self._round} 1", 1)
        return replace(
            answer, info=f"{answer.info}round:{self._round}\r\n", nodes=self._reader.read(beaten) if text else None
        )


def watched(seen: Observation) -> Iterator[Round]:
    clock = SimulatedClock()
    return Watch(Judge(FakeSight(seen, clock), Thresholds(), Policy(), clock, deadline_s=8.0), 1.0).rounds()


def resident_mb() -> float:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096 / 1024 / 1024


def main() -> None:
    rounds = int(sys.argv[1])
    with start(NODES) as simulation:
        host, port = simulation.addresses[0]
        seen = crawl([Endpoint(host, port)], Door(), deadline=Deadline.after(30.0))
    running = watched(seen)
    for _ in islice(running, SETTLED_AFTER):
        pass
    settled_mb = resident_mb()
    told = sum(len(each.events) for each in islice(running, rounds - SETTLED_AFTER))
    print(json.dumps({"settled_mb": settled_mb, "end_mb": resident_mb(), "events": told}))


if __name__ == "__main__":
    main()
