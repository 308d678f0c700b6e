"""A campaign: break and mend a real cluster at random, ask rcfail each time, and hold its answers against the truth.

A contradiction counts only where the truth was the same before and after the question: what changes meanwhile may be
told either way.
"""

from __future__ import annotations

import itertools
import json
import random
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rcfail.clock import SYSTEM_CLOCK, Deadline
from rcfail.cluster.merge import merge
from rcfail.cluster.vitals import Flavour
from rcfail.errors import CannotSee
from rcfail.health.diagnose import diagnose
from rcfail.health.finding import Thresholds
from rcfail.health.verdict import conclude
from rcfail.render.health_json import health_data
from rcfail.wire.record import load, save
from tests.real.campaign.caretaker import Caretaker
from tests.real.campaign.mischief import Mischief
from tests.real.campaign.oracle import Fact, Oracle, Truth, facts
from tests.real.pictures import judging
from tests.real.servers import RunningLab

OVER_S = 30.0
"""A run may end so long after its deadline: the process has to start, and to print."""

_IN_PROCESS_DEADLINE_S = 4.0


@dataclass(frozen=True, slots=True)
class Ran:
    """One answer of rcfail. `how` is the command, or "judge" for the same without its process."""

    how: str
    took_s: float
    deadline_s: float
    code: int
    document: Mapping[str, Any]
    stderr: str = ""

    @property
    def data(self) -> Mapping[str, Any]:
        found = self.document.get("data")
        return found if isinstance(found, Mapping) else {}

    @property
    def findings(self) -> tuple[Mapping[str, Any], ...]:
        return tuple(self.data.get("findings", ()))

    @property
    def verdict(self) -> str:
        return str(self.document.get("verdict"))

    @property
    def codes(self) -> list[str]:
        return sorted({f"{each['code']}:{each['severity']}" for each in self.findings})

    @property
    def keys(self) -> set[tuple[str, str, str]]:
        """What two looks at one cluster at rest have in common."""
        return {(each["code"], each["severity"], each["subject"]["id"]) for each in self.findings}


@dataclass(slots=True)
class Campaign:
    """`bugs` are contradictions; `doubts` are what a human should look at.

    `slow`: also what takes a minute to mend.
    """

    lab: RunningLab
    seed: int
    slow: bool = False
    most: int = 3
    min_replicas: int = 1
    story: list[str] = field(default_factory=list)
    bugs: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    runs: int = 0
    actions: int = 0
    rests: int = 0
    rng: random.Random = field(init=False)
    oracle: Oracle = field(init=False)
    care: Caretaker = field(init=False)
    mischief: Mischief = field(init=False)
    began_s: float = field(init=False)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        # Two of every shard: what nobody writes to and reads from would pass for served.
        ends = [at * 16384 // len(self.lab.primaries) for at in range(len(self.lab.primaries) + 1)]
        slots = tuple(
            slot
            for first, end in itertools.pairwise(ends)
            for slot in sorted(self.rng.sample(range(first + 2, end - 2), 2))
        )
        self.oracle = Oracle(self.lab, slots)
        self.care = Caretaker(self.lab, self.oracle, slots)
        self.mischief = Mischief(self.care, self.rng, slots, self.slow)
        self.began_s = SYSTEM_CLOCK.monotonic_s()
        version = f"{self.lab.entry.flavour.value} {self.lab.entry.version}"
        self.tell(f"seed {self.seed}, {version}, slots {slots}")

    @property
    def timeout_s(self) -> float:
        return self.lab.entry.node_timeout_ms / 1000

    @property
    def _accepted(self) -> frozenset[Fact]:
        """What is no fault with as few replicas as are asked for."""
        kinds = () if self.min_replicas else ("alone", "copy")
        return frozenset((kind, node.name) for kind in kinds for node in self.lab.nodes)

    @property
    def _pauses_show(self) -> bool:
        """Valkey tells of a pause since 8.1."""
        entry = self.lab.entry
        return entry.flavour is Flavour.VALKEY and entry.version_numbers >= (8, 1)

    def report(self) -> str:
        """The whole story, and what went wrong in it."""
        return "\n".join([*self.story, *self.bugs])

    def tell(self, text: str) -> None:
        self.story.append(f"{SYSTEM_CLOCK.monotonic_s() - self.began_s:7.2f} {text}")

    def run(self, actions: int) -> None:
        """The whole campaign, to its end in health. Bugs are collected, not raised."""
        self.sample(process=True)
        for _ in range(actions):
            self.act()
            for _ in range(self.rng.choice((1, 2, 3))):
                SYSTEM_CLOCK.sleep(self.rng.uniform(0, 1.2) * self.timeout_s)
                self.sample(process=self.rng.random() < 0.25)
            if self.rng.random() < 0.6:
                self.rest_and_sample()
        self.end()

    def act(self) -> None:
        scars = self.mischief.scars
        heal = bool(scars) and (len(scars) >= self.most or self.rng.random() < 0.4)
        self.actions += 1
        self.tell("*** " + (self.mischief.heal_something() if heal else self.mischief.break_something()))

    # ---- asking

    def sample(self, process: bool, rest: bool = False) -> Ran:
        seed = self.rng.choice(self.lab.nodes).name if process and not rest and self.rng.random() < 0.25 else None
        before = self.oracle.look()
        ran = self.ask_process(seed) if process else self.ask_here()
        after = self.oracle.look()
        self.runs += 1
        self.tell(f"{'at rest: ' if rest else ''}{before.text()}")
        self.tell(f"    {ran.how} {ran.took_s:.2f} s: {ran.verdict} {' '.join(ran.codes)}")
        if facts(after) != facts(before):
            self.tell(f"    then: {after.text()}")
        steady = (facts(before) & facts(after)) - self._accepted - self._hidden(before, ran)
        if seed is not None and any(fact[0] == "stranger" for fact in facts(before) | facts(after)):
            steady = frozenset()  # who is known by none that the seed knows cannot be found from there
        found = [*broken_contract(ran), *self._delay(ran), *lies(ran, steady)]
        if rest and before.shape == after.shape:
            if ran.verdict == "ok" and steady:
                self._contradiction(f"OK at rest: {before.text()}", ran, self.doubts)
            if ran.verdict != "ok" and not steady and not self.mischief.scars:
                self._contradiction(f"{ran.verdict} at rest, though nothing is wrong: {ran.codes}", ran, self.doubts)
            found += self._false_alarms(ran, facts(before) | facts(after))
        for text in found:
            self._contradiction(text, ran, self.bugs)
        return ran

    def ask_process(self, seed: str | None = None) -> Ran:
        deadline_s = self.rng.choice((3.0, 8.0))
        words = ["-o", "json", "--deadline", f"{deadline_s:g}s", "--min-replicas", str(self.min_replicas)]
        if seed is not None:
            words += ["-s", str(self.lab.node(seed).endpoint)]
        elif self.rng.random() < 0.1:
            words += ["--wait", "1s"]
            deadline_s += 1
        began_s = SYSTEM_CLOCK.monotonic_s()
        ran = self.lab.rcfail("health", *words)
        took_s = SYSTEM_CLOCK.monotonic_s() - began_s
        try:
            document = json.loads(ran.stdout)
        except ValueError:
            document = {"unreadable": ran.stdout}
        how = "health" if seed is None else f"health -s {seed}"
        return Ran(how, took_s, deadline_s, ran.returncode, document, ran.stderr)

    def ask_here(self) -> Ran:
        began_s = SYSTEM_CLOCK.monotonic_s()
        try:
            judged = replace(judging(self.lab), thresholds=Thresholds(self.min_replicas)).judge()
        except CannotSee as fault:
            took_s = SYSTEM_CLOCK.monotonic_s() - began_s
            return Ran("judge", took_s, _IN_PROCESS_DEADLINE_S, 3, {"verdict": "unknown", "errors": [fault.message]})
        took_s = SYSTEM_CLOCK.monotonic_s() - began_s
        diagnosis = judged.diagnosis
        document = {"verdict": diagnosis.verdict.value, "data": health_data(judged.looked.snapshot, diagnosis)}
        self._same_offline(judged.looked.observation)
        return Ran("judge", took_s, _IN_PROCESS_DEADLINE_S, int(diagnosis.exit_code), document)

    def _same_offline(self, observation: Any) -> None:
        """What is saved gives exactly the findings of the round that was saved."""
        live = conclude(diagnose(merge(observation), Thresholds())).findings
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / "record.json.gz")
            save(observation, path)
            offline = conclude(diagnose(merge(load(path)), Thresholds())).findings
        if live != offline:
            differing = set(live) ^ set(offline)
            self.bugs.append(f"a record tells another story: {differing}")
            self.tell(self.bugs[-1])

    # ---- rest

    def rest_and_sample(self) -> None:
        if not self.rest():
            self.tell("no rest")
            return
        self.rests += 1
        live = self.sample(process=True, rest=True)
        before = self.oracle.look(serve=False)
        offline = self._recorded()
        if before.shape == self.oracle.look(serve=False).shape and offline is not None and offline.keys != live.keys:
            differing = sorted(offline.keys ^ live.keys)
            self._contradiction(f"live and recorded differ at rest: {differing}", offline, self.doubts)

    def rest(self, within_s: float = 12.0) -> bool:
        """Wait until nothing changed for longer than a suspicion takes."""
        still_s = 2 * self.timeout_s + 0.5
        deadline = Deadline.after(within_s)
        shape, since_s = self.oracle.look(serve=False).shape, SYSTEM_CLOCK.monotonic_s()
        while not deadline.passed():
            SYSTEM_CLOCK.sleep(0.2)
            now = self.oracle.look(serve=False).shape
            if now != shape:
                shape, since_s = now, SYSTEM_CLOCK.monotonic_s()
            elif SYSTEM_CLOCK.monotonic_s() - since_s > still_s:
                return True
        return False

    def _recorded(self) -> Ran | None:
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / "record.json")
            saved = self.lab.rcfail("record", path)
            if saved.returncode != 0:
                self.tell(f"    record ended with {saved.returncode}: {saved.stderr.strip()}")
                return None
            fewest = str(self.min_replicas)
            ran = self.lab.rcfail("health", "-o", "json", "--from-record", path, "--min-replicas", fewest)
        return Ran("offline", 0.0, 60.0, ran.returncode, json.loads(ran.stdout), ran.stderr)

    # ---- the end

    def end(self, within_s: float = 45.0) -> None:
        """Mend everything. Then it must say OK within the bound, if need be after what a human does at the end."""
        deadline = Deadline.after(within_s + (70.0 if self.slow else 0.0))
        swept = 0
        while True:
            for text in self.mischief.heal_all():
                self.tell(f"*** {text}")
            ran = self.sample(process=True, rest=self.rest(within_s=6.0))
            if ran.code == 0 and not self.mischief.scars:
                self.tell("healthy again")
                return
            if deadline.passed():
                self._contradiction("not OK after all repairs", ran, self.bugs)
                self.tell(self.lab.tables())
                return
            swept += 1
            if swept > 1:
                for text in self.care.sweep():
                    self.tell(f"*** by hand: {text}")

    # ---- judging

    def _delay(self, ran: Ran) -> Iterator[str]:
        """It hangs: far longer than its deadline, unless a process that does nothing is as late."""
        if ran.took_s <= ran.deadline_s + OVER_S:
            return
        began_s = SYSTEM_CLOCK.monotonic_s()
        self.lab.rcfail("exit-codes")
        idle_s = SYSTEM_CLOCK.monotonic_s() - began_s
        text = f"took {ran.took_s:.1f} s with a deadline of {ran.deadline_s:g} s; doing nothing takes {idle_s:.1f} s"
        if ran.took_s - idle_s > ran.deadline_s + OVER_S and idle_s < 2:
            yield text
        else:
            self.doubts.append(text)
            self.tell(text)

    def _hidden(self, before: Truth, ran: Ran) -> frozenset[Fact]:
        """A pause of writes: no server before Valkey 8.1 shows it, and since then it is a warning."""
        paused = {name for name, until_s in self.mischief.paused_until_s.items() if until_s > before.began_s}
        told = any(each["code"] == "writes-paused" for each in ran.findings)
        if not paused or (self._pauses_show and not told):
            return frozenset()
        return frozenset(fact for fact in facts(before) if fact[0] in ("write", "no-write", "hardly-write", "copy"))

    def _false_alarms(self, ran: Ran, wrong: frozenset[Fact]) -> Iterator[str]:
        if ran.verdict == "critical" and not wrong & {f for f in wrong if f[0] in _GRAVE}:
            yield "CRITICAL at rest, though everything is served and a majority stands"
        if ran.verdict == "critical" and wrong and self._only_cut_from_us(wrong):
            yield "CRITICAL at rest, though only the way from here is cut"

    def _only_cut_from_us(self, wrong: Iterable[Fact]) -> bool:
        """Nothing but what a cut of client ports explains."""
        cut = {scar.nodes[0] for scar in self.mischief.scars if scar.kind == "cut-client"}
        if {scar.kind for scar in self.mischief.scars} != {"cut-client"}:
            return False
        mute = {fact[1] for fact in wrong if fact[0] == "mute"}
        inner = {"flag", "state", "link", "quorum", "disputed", "stranger", "open", "gone", "frozen"}
        return mute <= cut and not any(fact[0] in inner for fact in wrong)

    def _contradiction(self, text: str, ran: Ran, to: list[str]) -> None:
        self.tell(f"!!! {text}")
        shown = {**ran.document, "data": {**ran.data, "views": "..."}} if ran.data else ran.document
        to.append(f"{text}\n{json.dumps(shown, indent=1)}\n{ran.stderr}")
        self.tell(json.dumps(shown))


_GRAVE = frozenset(
    {"no-write", "no-read", "hardly-write", "hardly-read", "write", "read", "quorum", "disputed", "state"}
)
_OK_FORBIDS = frozenset(
    {
        "gone", "frozen", "mute", "write", "read", "no-write", "no-read", "copy", "link", "alone", "state", "stranger",
        "flag", "open", "nofailover", "quorum", "disputed",
    }
)  # fmt: skip
_WARNING_FORBIDS = frozenset({"no-write", "no-read", "hardly-write", "hardly-read", "quorum"})
_PROMISES = {
    "serving": frozenset({"no-write", "no-read", "hardly-write", "hardly-read", "disputed"}),
    "redundant": frozenset({"gone", "frozen", "alone", "link"}),
    "failover_ready": frozenset({"quorum", "alone"}),
}


def lies(ran: Ran, steady: frozenset[Fact]) -> Iterator[str]:
    """What it says and cannot be so."""
    for verdict, forbidden in (("ok", _OK_FORBIDS), ("warning", _WARNING_FORBIDS)):
        if ran.verdict == verdict and (against := sorted(f for f in steady if f[0] in forbidden)):
            yield f"{verdict.upper()}, though all the while: {against}"
    for promise, forbidden in _PROMISES.items():
        if ran.data.get(promise) == "yes" and (against := sorted(f for f in steady if f[0] in forbidden)):
            yield f"{promise}: yes, though all the while: {against}"


_ENVELOPE = {"schema", "command", "exit_code", "exit", "verdict", "cluster", "data", "notes", "errors", "elapsed_ms"}
_FINDING = {"code", "severity", "subject", "evidence", "consequence", "hint", "runbook"}


def broken_contract(ran: Ran) -> Iterator[str]:
    """Crash, delay, or another form of answer than promised."""
    if ran.code not in (0, 1, 2, 3):
        yield f"ended with {ran.code}"
    if "Traceback" in ran.stderr:
        yield "a traceback"
    if not ran.how.startswith("health"):
        return
    if ran.document.keys() != _ENVELOPE or ran.document.get("exit_code") != ran.code:
        yield "not the envelope"
    elif ran.code != 3 and ran.document["errors"]:
        yield "an error beside a verdict"
    for each in ran.findings:
        if each.keys() != _FINDING or not each["evidence"]:
            yield f"not a finding: {each}"
