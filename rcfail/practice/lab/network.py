"""Cuts between nodes, made with nftables: one table a lab, written anew at every change.

On loopback every packet leaves a socket of this machine, so all rules stand in the output hook, and the sender's
group id tells two nodes on one address apart (nft(8), meta skgid).
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterable
from contextlib import suppress

from rcfail.errors import LabFault
from rcfail.practice.lab.damage import Cut, CutKind
from rcfail.practice.lab.register import LabEntry, NodeEntry
from rcfail.practice.lab.walls import client_ports, family_of, walls_of

_NFT_WITHIN_S = 10.0
_REACH_WITHIN_S = 0.5
_FILTER_HINT = "It takes nft (apt install nftables), and root or CAP_NET_ADMIN."
_TABLES = "rcfail_lab_"
_FIRST_GROUP = 40000
_GROUPS_PER_LAB = 100


def can_filter() -> bool:
    """Whether this process may set firewall rules: nft is there, and lets us list them."""
    return hindrance() is None


def hindrance() -> str | None:
    """Why this process cannot set firewall rules, fit to follow "nftables"; None where it can."""
    if shutil.which("nft") is None:
        return "is needed, and there is no nft on PATH"
    why = _nft("list tables")
    if why is None:
        return None
    return "is needed, and it is for root alone" if "not permitted" in why else f"is needed, and nft says: {why}"


def must_filter(fault: str) -> None:
    """Raise LabFault where this process cannot set firewall rules. `fault` is what they are for: "to part a lab"."""
    why = hindrance()
    if why is not None:
        raise LabFault(f"{fault} nftables {why}", _FILTER_HINT)


def group_of(octet: int | None, index: int) -> int | None:
    """A group id for one node, where we may hand out group ids at all: as root, on a lab with its own addresses."""
    if octet is None or os.geteuid() != 0 or shutil.which("nft") is None:
        return None
    return _FIRST_GROUP + octet * _GROUPS_PER_LAB + index


def table_of(entry: LabEntry) -> str:
    """The firewall table of a lab. Two homes may each have a lab of one name, but never with one octet."""
    return f"{_TABLES}{entry.octet or 0}_{entry.name.replace('-', '_')}"


def apply(entry: LabEntry) -> None:
    """Make the firewall say exactly what `entry.cuts` says. Raises LabFault where it cannot."""
    run(script(entry))


def run(rules: str) -> None:
    """Carry out a script. Raises LabFault where it cannot be."""
    why = _nft(rules)
    if why is not None:
        raise LabFault(f"nft refused the rules: {why}", _FILTER_HINT)


def clear(entry: LabEntry) -> None:
    """Remove the lab's table, if there may be one. Raises LabFault where it cannot."""
    if entry.partitions or any(cut.kind is not CutKind.BUS_IN_ANNOUNCED for cut in entry.cuts):
        why = _nft(_without_table(entry))
        if why is not None:
            message = f"the firewall table {table_of(entry)} could not be removed: {why}"
            raise LabFault(message, f"Remove it as root: nft delete table inet {table_of(entry)}.")


def sweep(octet: int) -> None:
    """Remove what is left of labs that had these addresses and are gone, such as one whose folder was removed by hand.

    For who holds the addresses: nobody else's lab can have them. Where we may set no rules, nothing is done.
    """
    program = shutil.which("nft")
    if program is None:
        return
    with suppress(OSError, subprocess.SubprocessError):
        ran = subprocess.run([program, "list", "tables"], capture_output=True, timeout=_NFT_WITHIN_S, check=True)
        for table in tables_at(octet, ran.stdout.decode("utf-8", "replace")):
            _nft(f"delete table inet {table}\n")


def tables_at(octet: int, listed: str) -> list[str]:
    """The tables of labs with that octet, of those that `nft list tables` names."""
    return [row[2] for row in map(str.split, listed.splitlines()) if row[1:2] == ["inet"] and _is_at(octet, row[2])]


def _is_at(octet: int, table: str) -> bool:
    return table.startswith(f"{_TABLES}{octet}_")


def reachable(host: str, port: int, source: str = "") -> bool:
    """Whether a connection from here, that is from outside the lab, is taken within a moment; or one from `source`."""
    try:
        socket.create_connection((host, port), timeout=_REACH_WITHIN_S, source_address=(source, 0)).close()
    except OSError:
        return False
    return True


def script(entry: LabEntry) -> str:
    """The nft script that replaces the lab's table in one step."""
    rules = [rule for cut in entry.cuts for rule in _rules(entry, cut)]
    rules += [rule for partition in entry.partitions for rule in walls_of(entry, partition)]
    if not rules:
        return _without_table(entry)
    body = "\n".join(f"    {rule} drop" for rule in rules)
    chain = f"  chain cuts {{\n    type filter hook output priority 0; policy accept;\n{body}\n  }}"
    return f"{_without_table(entry)}table inet {table_of(entry)} {{\n{chain}\n}}\n"


def _without_table(entry: LabEntry) -> str:
    # Deleting a table that is not there fails, so it is made first.
    return f"add table inet {table_of(entry)}\ndelete table inet {table_of(entry)}\n"


def _rules(entry: LabEntry, cut: Cut) -> Iterable[str]:
    node = next(node for node in entry.nodes if node.name == cut.node)
    ip = family_of(node)
    if cut.kind in (CutKind.BUS, CutKind.BUS_IN):
        yield f"{ip} daddr {node.host} tcp dport {node.bus_port}"
        yield f"{ip} saddr {node.host} tcp sport {node.bus_port}"
    if cut.kind is CutKind.BUS:
        ports = ", ".join(str(peer.bus_port) for peer in entry.nodes if peer is not node)
        if ports:
            yield f"{_sender(entry, node)} tcp dport {{ {ports} }}"
    if cut.kind is CutKind.CLIENT:
        # The lab's own nodes still replicate: they come from the lab's own addresses.
        for port in client_ports(node):
            yield f"ip saddr != 127.{entry.octet}.0.0/16 ip daddr {node.host} tcp dport {port}"


def _sender(entry: LabEntry, node: NodeEntry) -> str:
    """What tells this node's own packets from everybody else's."""
    if node.group is not None:
        return f"meta skgid {node.group}"
    if [peer.name for peer in entry.nodes if peer.host == node.host] == [node.name]:
        return f"ip saddr {node.host}"
    raise LabFault(
        f"{node.name} shares {node.host} with another node, and the firewall cannot tell their packets apart",
        "Make the lab as root, or with as many hosts as nodes, or cut with --one-way.",
    )


def _nft(rules: str) -> str | None:
    """Run an nft script. None when it was carried out, else why not, in one line."""
    program = shutil.which("nft")
    if program is None:
        return "there is no nft on PATH"
    try:
        ran = subprocess.run(
            [program, "-f", "-"],
            input=rules.encode(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=_NFT_WITHIN_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if ran.returncode == 0:
        return None
    return ran.stderr.decode("utf-8", "replace").strip().split("\n")[0] or f"it ended with {ran.returncode}"
