"""Taking a lab down, from any shell, whole or half made."""

from __future__ import annotations

from rcfail.clock import Deadline
from rcfail.practice.lab import network
from rcfail.practice.lab.processes import end
from rcfail.practice.lab.register import LabEntry, Register
from rcfail.practice.lab.wish import check_name

_END_WITHIN_S = 10.0


def take_down(register: Register, name: str) -> LabEntry:
    """End the servers of a lab, remove its firewall rules and its folder, and return what it was.

    Only processes that the lab itself started are ended. Raises UsageFault when there is no such lab, LabFault
    when something of it would not go; it can be tried again then.
    """
    check_name(name)
    if name not in register.names():
        register.read(name)
    with register.lock(name):
        entry = register.read(name)
        dismantle(register, entry)
    return entry


def dismantle(register: Register, entry: LabEntry) -> None:
    """The same, by who holds the lab's lock already."""
    end_servers(entry)
    network.clear(entry)
    register.remove(entry.name)


def end_servers(entry: LabEntry) -> None:
    """End every server of the lab that still runs, frozen ones too."""
    end([node.process for node in entry.nodes if node.process is not None], Deadline.after(_END_WITHIN_S))
