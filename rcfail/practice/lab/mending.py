"""Undoing all that was broken in a lab and can be undone, so that it can be used on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from rcfail.clock import Deadline, poll
from rcfail.errors import OutOfTime
from rcfail.practice.lab import cuts, faults, partitions, tables
from rcfail.practice.lab.faults import state
from rcfail.practice.lab.processes import ProcessState
from rcfail.practice.lab.register import LabEntry, Register
from rcfail.practice.lab.restart import restart
from rcfail.practice.lab.status import LabStatus, look_at
from rcfail.practice.lab.talk import talk_to

_POLL_S = 0.1
_LINKS_WITHIN_S = 15.0


@dataclass(frozen=True, slots=True)
class Mended:
    """What was undone, a line each; `lacks` is what is not whole after it, where somebody waited for that."""

    lab: str
    done: tuple[str, ...]
    lacks: tuple[str, ...] = ()


def mend_all(register: Register, name: str, wait_s: float | None = None) -> Mended:
    """Heal partitions, open ports, thaw and restart nodes, mend replication and writes, close open slots.

    What a node forgot stays forgotten: of FORGET, RESET, DELSLOTS and a wiped node the lab does not know what it was
    to be. `wait_s`: return when every node serves and every link is up. Raises LabFault, OutOfTime.
    """
    done = [said for step in _STEPS for said in step(register, name)]
    if wait_s is not None:
        _await_whole(register, name, wait_s)
    return Mended(name, tuple(done), lacks_of(look_at(register, name)))


def lacks_of(status: LabStatus) -> tuple[str, ...]:
    """What keeps a lab from being whole, as far as its nodes say it themselves."""
    found = []
    for node in status.nodes:
        called = node.node.name
        if node.silence:
            found.append(f"{called} does not answer: {node.silence}")
        elif node.cluster_state != "ok":
            found.append(f"{called} says cluster_state:{node.cluster_state}")
        elif node.link_up is False:
            found.append(f"the link of {called} is down")
    return tuple(found)


def _heal(register: Register, name: str) -> Iterator[str]:
    if register.read(name).partitions:
        yield partitions.heal(register, name).effect


def _thaw(register: Register, name: str) -> Iterator[str]:
    for node in register.read(name).nodes:
        if state(node) is ProcessState.FROZEN:
            yield _line(faults.thaw(register, name, node.name))


def _restart(register: Register, name: str) -> Iterator[str]:
    for node in register.read(name).nodes:
        if state(node) is ProcessState.ENDED:
            yield _line(restart(register, name, node.name))


def _mend(register: Register, name: str) -> Iterator[str]:
    entry = register.read(name)
    stopped = {stop.node for stop in entry.write_stops}
    broken = stopped | {cut.node for cut in entry.cuts} | {each.node for each in entry.altered}
    for node in entry.nodes:
        if node.name in broken:
            yield _line(cuts.mend(register, name, node.name))


def _mend_replication(register: Register, name: str) -> Iterator[str]:
    entry = register.read(name)
    talk = talk_to(entry)
    for node in entry.nodes:
        (reply,) = talk.ask(node, ("CONFIG", "GET", "masteruser"))
        vitals = talk.see(node).vitals
        replicates = vitals is not None and vitals.replication.role == "slave"
        if replicates and reply == ("masteruser", faults.NOBODY_AT_ALL):
            yield _line(faults.mend_replication(register, name, node.name))


def _close_slots(register: Register, name: str) -> Iterator[str]:
    slots = sorted(_open_slots(register.read(name)))
    if slots:
        _await_links(register, name)
    for slot in slots:
        yield _line(tables.close_slot(register, name, slot))


def _await_links(register: Register, name: str) -> None:
    """Wait until no replica says that its link is down, or for as long as that mostly takes.

    Valkey from 8.0 on keeps open slots on replicas too, and they are closed there only by what comes over that link.
    """
    with suppress(OutOfTime):
        poll(
            lambda: any(node.link_up is False for node in look_at(register, name).nodes),
            lambda down: not down,
            deadline=Deadline.after(_LINKS_WITHIN_S),
            every_s=_POLL_S,
            waiting_for="the links of all replicas",
        )


def _open_slots(entry: LabEntry) -> set[int]:
    talk = talk_to(entry)
    found: set[int] = set()
    for node in entry.nodes:
        sight = talk.see(node)
        own = sight.nodes.table.by_id.get(node.node_id) if sight.nodes is not None else None
        if own is not None and own.primary_id is None:
            found.update(slot for slot, _ in (*own.migrating, *own.importing))
    return found


# Nodes must hear each other and run before they can be told anything.
_STEPS: tuple[Callable[[Register, str], Iterator[str]], ...] = (
    _heal,
    _thaw,
    _restart,
    _mend,
    _mend_replication,
    _close_slots,
)


def _line(done: faults.Broken) -> str:
    return f"{done.fault} {done.node}: {done.effect}"


def _await_whole(register: Register, name: str, wait_s: float) -> None:
    status = look_at(register, name)

    def look() -> bool:
        nonlocal status
        status = look_at(register, name)
        return status.whole

    try:
        poll(look, bool, deadline=Deadline.after(wait_s), every_s=_POLL_S, waiting_for="the lab to be whole")
    except OutOfTime as error:
        lacks = lacks_of(status) or ("not every slot has an owner",)
        more = f" (and {len(lacks) - 1} more)" if len(lacks) > 1 else ""
        raise OutOfTime(
            f"all is undone that can be, but after {wait_s:g} s {lacks[0]}{more}",
            "What a node forgot stays forgotten: make a new lab, or mend it by hand as you would a real one.",
        ) from error
