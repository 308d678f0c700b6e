"""Breaking a lab on purpose: each fault is real, and each says what the servers show of it.

A fault is told by its effect, not by an OK: a function returns when the effect can be seen, and raises LabFault
when it does not come.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rcfail.clock import Deadline, poll
from rcfail.cluster.nouns import Endpoint
from rcfail.errors import LabFault, OutOfTime, UsageFault
from rcfail.practice.lab.conf import CONF_FILE, conf_value
from rcfail.practice.lab.processes import Process, ProcessState, end, send, state_of
from rcfail.practice.lab.register import LabEntry, NodeEntry, Register
from rcfail.practice.lab.talk import Talk, talk_to

_SIGNAL_WITHIN_S = 5.0
_ANSWER_WITHIN_S = 15.0
_POLL_S = 0.02

# A user that no server has: AUTH as it is refused everywhere, also by a primary that asks for no password at all,
# where a wrong password alone would be taken for a user without one (acl.c, authCommand).
NOBODY_AT_ALL = "rcfail-nobody"


@dataclass(frozen=True, slots=True)
class Broken:
    """What was done to which node, and what can be seen of it. `undo` is the command that mends it, or ""."""

    lab: str
    fault: str
    node: str
    endpoint: Endpoint
    effect: str
    undo: str = ""


def kill(register: Register, name: str, word: str) -> Broken:
    """End a server with SIGKILL: no goodbye, no last save."""
    with opened(register, name) as entry:
        node = entry.find(word)
        process = _living(node)
        end([process], Deadline.after(_SIGNAL_WITHIN_S))
        return broken(entry, "kill", node, f"process {process.pid} is gone", "restart")


def freeze(register: Register, name: str, word: str) -> Broken:
    """Stop a server with SIGSTOP: it keeps its connections and answers nothing."""
    with opened(register, name) as entry:
        node = entry.find(word)
        process = _living(node)
        _signal(process, signal.SIGSTOP, ProcessState.FROZEN)
        return broken(entry, "freeze", node, f"process {process.pid} is stopped", "thaw")


def thaw(register: Register, name: str, word: str) -> Broken:
    """Let a frozen server go on with SIGCONT."""
    with opened(register, name) as entry:
        node = entry.find(word)
        process = _living(node)
        _signal(process, signal.SIGCONT, ProcessState.RUNNING)
        return broken(entry, "thaw", node, f"process {process.pid} runs")


def break_replication(register: Register, name: str, word: str) -> Broken:
    """Give a replica a user for its primary that is refused, and cut its link: it goes down and stays down."""
    with opened(register, name) as entry:
        node, talk = entry.find(word), talk_to(entry)
        _must_replicate(entry, node, talk)
        _tell_user(node, talk, NOBODY_AT_ALL, NOBODY_AT_ALL)
        talk.tell(node, "CLIENT", "KILL", "TYPE", "master")
        _await_link(node, talk, up=False)
        return broken(entry, "break-replication", node, "master_link_status:down", "mend-replication")


def mend_replication(register: Register, name: str, word: str) -> Broken:
    """Give a replica back the user that its redis.conf names, and wait for its link."""
    with opened(register, name) as entry:
        node, talk = entry.find(word), talk_to(entry)
        _must_replicate(entry, node, talk)
        text = (Path(node.folder) / CONF_FILE).read_text("utf-8")
        _tell_user(node, talk, conf_value(text, "masteruser") or "", conf_value(text, "masterauth") or "")
        _await_link(node, talk, up=True)
        return broken(entry, "mend-replication", node, "master_link_status:up")


@contextmanager
def opened(register: Register, name: str) -> Iterator[LabEntry]:
    """The entry of a lab, held against every other process until the fault is done."""
    register.read(name)
    with register.lock(name):
        yield register.read(name)


def broken(entry: LabEntry, fault: str, node: NodeEntry, effect: str, undo: str = "") -> Broken:
    """`undo` is the name of the fault that mends this one; with its own arguments, if the node is not its argument."""
    undoing = "" if not undo else command(entry, undo if " " in undo else f"{undo} {node.name}")
    return Broken(entry.name, fault, node.name, node.endpoint, effect, undoing)


def command(entry: LabEntry, fault: str) -> str:
    """The command line of a fault, as a user would type it."""
    named = "" if entry.name == "default" else f" --lab {entry.name}"
    return f"rcfail lab fault {fault}{named}"


def state(node: NodeEntry) -> ProcessState:
    return state_of(node.process) if node.process is not None else ProcessState.ENDED


def _living(node: NodeEntry) -> Process:
    if node.process is None or state_of(node.process) is ProcessState.ENDED:
        raise UsageFault(f"{node.name} ({node.endpoint}) does not run", "See which do: rcfail lab status.")
    return node.process


def _signal(process: Process, number: signal.Signals, wanted: ProcessState) -> None:
    send(process, number)
    await_effect(lambda: state_of(process) is wanted, _SIGNAL_WITHIN_S, f"process {process.pid} to be {wanted.value}")


def _must_replicate(entry: LabEntry, node: NodeEntry, talk: Talk) -> None:
    sight = talk.see(node)
    if sight.vitals is None:
        raise LabFault(f"{node.name} ({node.endpoint}) does not answer: {sight.silence}", "Look: rcfail lab status.")
    if sight.vitals.replication.role != "slave":
        raise UsageFault(f"{node.name} is no replica at the moment", f"See the roles: rcfail lab status {entry.name}.")


def _tell_user(node: NodeEntry, talk: Talk, user: str, password: str) -> None:
    talk.tell(node, "CONFIG", "SET", "masteruser", user)
    talk.tell(node, "CONFIG", "SET", "masterauth", password)


def _await_link(node: NodeEntry, talk: Talk, *, up: bool) -> None:
    def look() -> bool:
        vitals = talk.see(node).vitals
        return vitals is not None and vitals.replication.link_up is up

    await_effect(look, _ANSWER_WITHIN_S, f"the link of {node.name} to be {'up' if up else 'down'}")


def await_effect(look: Callable[[], bool], within_s: float, what: str) -> None:
    try:
        poll(look, bool, deadline=Deadline.after(within_s), every_s=_POLL_S, waiting_for=what)
    except OutOfTime as error:
        raise LabFault(error.message, "Look: rcfail lab status.") from error
