"""How long `rcfail failover` takes end to end beside `rcfail health`: a process each, on an idle real cluster."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from tests.bench.stopwatch import Lap, run


class Took(NamedTuple):
    """Seconds of each run."""

    health_s: tuple[float, ...]
    failover_s: tuple[float, ...]


def measure(
    rcfail: Sequence[str],
    seeds: str,
    environment: Mapping[str, str],
    rounds: int,
    must: Callable[[bool, str, Lap], None],
) -> Took:
    """Health on the healthy cluster first, then one failover of each shard in turn, each when all nodes agree.

    Health is not asked between: two primaries on one host are a warning, and then it looks twice.
    """
    with TemporaryDirectory(prefix="rcfail-bench-") as state:
        surroundings = {**environment, "XDG_STATE_HOME": str(Path(state))}

        def call(*words: str) -> Lap:
            lap = run((*rcfail, *words, "-s", seeds), surroundings)
            must(lap.exit_code == 0, f"rcfail {words[0]} did not end with 0", lap)
            return lap

        call("wait", "healthy", "--timeout", "60s")
        looks = [call("health", "-o", "json") for _ in range(rounds)]
        replicas = _replicas(json.loads(looks[0].output))
        failover_s = []
        for each in replicas:
            call("wait", "settled", "--timeout", "60s")
            failover_s.append(call("failover", each, "--yes", "-o", "json").seconds)
    health_s = [each.seconds for each in looks]
    return Took(tuple(health_s), tuple(failover_s))


def _replicas(document: Mapping[str, Any]) -> list[str]:
    """One replica a shard, in the order of the shards' slots."""
    nodes = {each["id"]: each for each in document["data"]["nodes"]}
    primaries = sorted((each for each in nodes.values() if each["slots"]), key=lambda each: each["slots"])
    return [next(each["id"] for each in nodes.values() if each["primary_id"] == owner["id"]) for owner in primaries]
