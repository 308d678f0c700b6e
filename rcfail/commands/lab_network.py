"""Faults of a lab's network: ports that are cut, and sides that do not hear each other."""

from __future__ import annotations

import click

from rcfail.commands.lab_fault_pages import broken_outcome, parted_outcome
from rcfail.commands.lab_options import lab_option, lab_register, node_argument, wait_option
from rcfail.commands.options import Verb
from rcfail.practice.lab import cuts, partitions
from rcfail.practice.lab.damage import Way
from rcfail.render.outcome import Outcome


@click.command(
    "cut-bus",
    cls=Verb,
    short_help="Cut a node's cluster bus; clients still reach it.",
    example="rcfail lab fault cut-bus n2\nrcfail lab fault cut-bus n2 --one-way",
)
@node_argument
@lab_option
@click.option("--one-way", is_flag=True, help="Peers cannot reach it, but it reaches them. Works without root too.")
def cut_bus(name: str, node: str, one_way: bool) -> Outcome:
    """Cut a node's cluster bus, while clients still reach it.

    Both ways needs nftables and root, and a lab that was made as root.
    """
    return broken_outcome("lab fault cut-bus", cuts.cut_bus(lab_register(), name, node, one_way=one_way))


@click.command(
    "cut-client",
    cls=Verb,
    short_help="Cut a node's client port off from us alone.",
    example="rcfail lab fault cut-client n2",
)
@node_argument
@lab_option
def cut_client(name: str, node: str) -> Outcome:
    """Cut a node's client port off from us, while its peers still reach it. Needs nftables and root."""
    return broken_outcome("lab fault cut-client", cuts.cut_client(lab_register(), name, node))


@click.command(
    "partition",
    cls=Verb,
    short_help="Cut a lab in sides that do not hear each other.",
    example="rcfail lab fault partition --side z1\n"
    "rcfail lab fault partition --side n1,n4 --side n2,n5 --side n3,n6\n"
    "rcfail lab fault partition --side n1 --one-way",
)
@lab_option
@click.option(
    "--side",
    "sides",
    multiple=True,
    required=True,
    metavar="NODES",
    help="Zones (zone-1 or z1), host addresses or nodes, with commas between; repeat it. Who is on none is one more.",
)
@click.option("--observer", metavar="NODES", help="Whose side we are on: we reach only that one. [we reach all nodes]")
@click.option(
    "--one-way",
    is_flag=False,
    flag_value=Way.CONNECTIONS.value,
    type=click.Choice([Way.CONNECTIONS.value, Way.PACKETS.value]),
    help="Cut only from the first side to the others: its own connections, or every packet of it. [connections]",
)
@wait_option("Return when all nodes suspect those beyond, after this long at most. [when packets are dropped]")
def partition(
    name: str, sides: tuple[str, ...], observer: str | None, one_way: str | None, wait_s: float | None
) -> Outcome:
    """Cut a lab in sides that hear nothing of each other, on existing connections too.

    We ourselves still reach all nodes, so both sides can be watched. A replica says that its link across is up until
    repl-timeout has passed (60 s), as on any network that drops packets: its last I/O tells more.

    One-way is of two kinds. Connections: those that the first side opens are dropped, those opened to it live on, so
    nobody is suspected. Packets: TCP needs answers, so in the end no connection works in either direction, but what
    was sent already still arrives at the first side.

    Needs nftables and root.
    """
    way = Way(one_way) if one_way is not None else Way.BOTH
    done = partitions.partition(lab_register(), name, sides, way=way, observer=observer, wait_s=wait_s)
    return parted_outcome("lab fault partition", done)


@click.command("heal", cls=Verb, example="rcfail lab fault heal\nrcfail lab fault heal --wait 30s")
@lab_option
@wait_option("Return when no running node suspects another, after this long at most. [when packets pass]")
def heal(name: str, wait_s: float | None) -> Outcome:
    """Take all partitions away. Cuts of single nodes stay: see `mend`."""
    return parted_outcome("lab fault heal", partitions.heal(lab_register(), name, wait_s=wait_s))


NETWORK = (cut_bus, cut_client, partition, heal)
