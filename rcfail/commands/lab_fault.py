"""`rcfail lab fault`: break a practice cluster for real."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import click

from rcfail.commands.lab_pages import broken_outcome, parted_outcome
from rcfail.commands.options import VerbGroup, duration
from rcfail.practice.lab import claims, cuts, faults, partitions, tables, writes
from rcfail.practice.lab.register import Refusal, Register, Way, home_folder
from rcfail.practice.lab.restart import Comeback
from rcfail.practice.lab.restart import restart as restart_node
from rcfail.render.outcome import Outcome

F = TypeVar("F", bound=Callable[..., Any])


def _lab(command: F) -> F:
    return click.option("--lab", "name", default="default", show_default=True, help="Which lab.")(command)


def _node(command: F) -> F:
    return click.argument("node")(command)


def _wait(text: str) -> Callable[[F], F]:
    return click.option("--wait", "wait_s", type=duration, metavar="DURATION", help=text)


def _on(text: str) -> Callable[[F], F]:
    return click.option("--on", required=True, metavar="NODE", help=text)


@click.group(cls=VerbGroup, example="rcfail lab fault kill n1\nrcfail lab fault restart n1 --wait 30s")
def fault() -> None:
    """Break a lab for real, or mend it.

    NODE is a name such as n1, a port, HOST:PORT, or the first digits of a node id: see `rcfail lab status`. Each
    command returns when the servers themselves show the effect.
    """


@fault.command("kill", example="rcfail lab fault kill n1")
@_node
@_lab
def kill(name: str, node: str) -> Outcome:
    """End a server with SIGKILL."""
    return broken_outcome("lab fault kill", faults.kill(_register(), name, node))


@fault.command("freeze", example="rcfail lab fault freeze n1")
@_node
@_lab
def freeze(name: str, node: str) -> Outcome:
    """Stop a server with SIGSTOP: connections stay, answers do not come."""
    return broken_outcome("lab fault freeze", faults.freeze(_register(), name, node))


@fault.command("thaw", example="rcfail lab fault thaw n1")
@_node
@_lab
def thaw(name: str, node: str) -> Outcome:
    """Let a frozen server go on."""
    return broken_outcome("lab fault thaw", faults.thaw(_register(), name, node))


@fault.command(
    "restart",
    example="rcfail lab fault restart n1 --wait 30s\nrcfail lab fault restart n1 --new-address\n"
    "rcfail lab fault restart n1 --wipe",
)
@_node
@_lab
@click.option("--new-address", is_flag=True, help="At another address of the lab, as a new pod has one.")
@click.option("--new-port", is_flag=True, help="At another port.")
@click.option("--wipe", "wiped", is_flag=True, help="Without nodes.conf and data: an empty node with a new id.")
@_wait("Wait so long until it is in step again. [until it answers]")
def restart(name: str, node: str, new_address: bool, new_port: bool, wiped: bool, wait_s: float | None) -> Outcome:
    """Start a killed server again, with the folder that it had.

    Without persistence it comes back empty. A primary that is back before it was failed over then serves an empty
    shard, and its replicas copy that: as real servers do. At a new address it knows its peers from nodes.conf, and
    tells them. A wiped one is met by nobody: its peers go on looking for the node that it was.
    """
    comeback = Comeback(new_host=new_address, new_port=new_port, wiped=wiped)
    return broken_outcome("lab fault restart", restart_node(_register(), name, node, wait_s, comeback=comeback))


@fault.command("break-replication", example="rcfail lab fault break-replication n4")
@_node
@_lab
def break_replication(name: str, node: str) -> Outcome:
    """Let a replica's link to its primary go down and stay down: its credentials are refused."""
    return broken_outcome("lab fault break-replication", faults.break_replication(_register(), name, node))


@fault.command("mend-replication", example="rcfail lab fault mend-replication n4")
@_node
@_lab
def mend_replication(name: str, node: str) -> Outcome:
    """Give a replica its credentials back, and wait for its link."""
    return broken_outcome("lab fault mend-replication", faults.mend_replication(_register(), name, node))


@fault.command("cut-bus", example="rcfail lab fault cut-bus n2\nrcfail lab fault cut-bus n2 --one-way")
@_node
@_lab
@click.option("--one-way", is_flag=True, help="Peers cannot reach it, but it reaches them. Works without root too.")
def cut_bus(name: str, node: str, one_way: bool) -> Outcome:
    """Cut a node's cluster bus, while clients still reach it.

    Both ways needs nftables and root, and a lab that was made as root.
    """
    return broken_outcome("lab fault cut-bus", cuts.cut_bus(_register(), name, node, one_way=one_way))


@fault.command("cut-client", example="rcfail lab fault cut-client n2")
@_node
@_lab
def cut_client(name: str, node: str) -> Outcome:
    """Cut a node's client port off from us, while its peers still reach it. Needs nftables and root."""
    return broken_outcome("lab fault cut-client", cuts.cut_client(_register(), name, node))


@fault.command("oom", example="rcfail lab fault oom n1")
@_node
@_lab
def oom(name: str, node: str) -> Outcome:
    """Let a primary refuse writes with OOM: maxmemory below what it uses, and nothing to evict."""
    return broken_outcome("lab fault oom", writes.refuse_writes(_register(), name, node, Refusal.OOM))


@fault.command("misconf", example="rcfail lab fault misconf n1")
@_node
@_lab
def misconf(name: str, node: str) -> Outcome:
    """Let a primary refuse writes with MISCONF: its last background save failed.

    The file that it saves to cannot be replaced. What was saved before is put aside, and back by `mend` or `restart`.
    """
    return broken_outcome("lab fault misconf", writes.refuse_writes(_register(), name, node, Refusal.MISCONF))


@fault.command("noreplicas", example="rcfail lab fault noreplicas n1")
@_node
@_lab
def noreplicas(name: str, node: str) -> Outcome:
    """Let a primary refuse writes with NOREPLICAS: min-replicas-to-write above what it has."""
    return broken_outcome("lab fault noreplicas", writes.refuse_writes(_register(), name, node, Refusal.NOREPLICAS))


@fault.command("mend", example="rcfail lab fault mend n2")
@_node
@_lab
def mend(name: str, node: str) -> Outcome:
    """Undo all cuts of a node's ports, and let it take writes again."""
    return broken_outcome("lab fault mend", cuts.mend(_register(), name, node))


@fault.command(
    "partition",
    example="rcfail lab fault partition --side z1\n"
    "rcfail lab fault partition --side n1,n4 --side n2,n5 --side n3,n6\n"
    "rcfail lab fault partition --side n1 --one-way",
)
@_lab
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
@_wait("Return when all nodes suspect those beyond, after this long at most. [when packets are dropped]")
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
    done = partitions.partition(_register(), name, sides, way=way, observer=observer, wait_s=wait_s)
    return parted_outcome("lab fault partition", done)


@fault.command("heal", example="rcfail lab fault heal\nrcfail lab fault heal --wait 30s")
@_lab
@_wait("Return when no running node suspects another, after this long at most. [when packets pass]")
def heal(name: str, wait_s: float | None) -> Outcome:
    """Take all partitions away. Cuts of single nodes stay: see `mend`."""
    return parted_outcome("lab fault heal", partitions.heal(_register(), name, wait_s=wait_s))


@fault.command("reset", example="rcfail lab fault reset n4 --hard\nrcfail lab fault reset n1 --flush")
@_node
@_lab
@click.option("--hard/--soft", default=False, show_default=True, help="With a new id and epoch 0, or with the old id.")
@click.option("--flush", is_flag=True, help="Delete its data first, on its replicas too: a primary with keys says no.")
def reset(name: str, node: str, hard: bool, flush: bool) -> Outcome:
    """Let a node forget the cluster with CLUSTER RESET: its peers, its slots, its primary.

    Its peers are told nothing. For a while, or for good, they take it for what it was: also for the owner of slots
    that it does not serve any more, while every node says cluster_state:ok.
    """
    return broken_outcome("lab fault reset", claims.reset(_register(), name, node, hard=hard, flush=flush))


@fault.command("delslots", example="rcfail lab fault delslots 77 --on n1\nrcfail lab fault delslots 0-99 --on n1")
@click.argument("slots")
@_lab
@_on("The node that gives them up.")
def delslots(name: str, slots: str, on: str) -> Outcome:
    """Let one node give up a slot, or a range of them, and tell nobody.

    The owner then refuses what the others send it. Any other node hears of the owner again with its next ping.
    """
    outcome = claims.del_slots(_register(), name, claims.slots_of_text(slots), on)
    return broken_outcome("lab fault delslots", outcome)


@fault.command("addslots", example="rcfail lab fault addslots 77 --on n1")
@click.argument("slots")
@_lab
@_on("The node that claims them.")
def addslots(name: str, slots: str, on: str) -> Outcome:
    """Let one node claim slots of which it knows no owner."""
    outcome = claims.add_slots(_register(), name, claims.slots_of_text(slots), on)
    return broken_outcome("lab fault addslots", outcome)


@fault.command("forget", example="rcfail lab fault forget n4 --on n1")
@_node
@_lab
@click.option("--on", "teller", required=True, metavar="NODE", help="The node that forgets.")
def forget(name: str, node: str, teller: str) -> Outcome:
    """Let one node forget another, for 60 s at least.

    Redis 6.2 and 7.0 keep that to themselves. Newer servers pass it on to all others, and cannot be kept from it.
    """
    return broken_outcome("lab fault forget", tables.forget(_register(), name, node, teller))


@fault.command("open-slot", example="rcfail lab fault open-slot 77 --to n2")
@click.argument("slot", type=int)
@_lab
@click.option("--to", "receiver", metavar="NODE", help="The primary that it moves to. [the first other one]")
@click.option(
    "--side",
    type=click.Choice([each.value for each in tables.Side]),
    default=tables.Side.BOTH.value,
    show_default=True,
    help="Open it on both ends, or on one, as an interrupted move leaves it.",
)
def open_slot(name: str, slot: int, receiver: str | None, side: str) -> Outcome:
    """Leave a slot half moved."""
    outcome = tables.open_slot(_register(), name, slot, receiver, tables.Side(side))
    return broken_outcome("lab fault open-slot", outcome)


@fault.command("close-slot", example="rcfail lab fault close-slot 77")
@click.argument("slot", type=int)
@_lab
def close_slot(name: str, slot: int) -> Outcome:
    """Close an open slot; its owner stays."""
    return broken_outcome("lab fault close-slot", tables.close_slot(_register(), name, slot))


def _register() -> Register:
    return Register(home_folder(os.environ))
