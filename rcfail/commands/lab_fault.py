"""`rcfail lab fault`: break a practice cluster for real."""

from __future__ import annotations

import click

from rcfail.commands.lab_beliefs import BELIEFS
from rcfail.commands.lab_fault_pages import broken_outcome, mended_outcome
from rcfail.commands.lab_network import NETWORK
from rcfail.commands.lab_options import lab_option, lab_register, node_argument, wait_option
from rcfail.commands.options import VerbGroup
from rcfail.errors import UsageFault
from rcfail.practice.lab import altered, cuts, faults, mending, writes
from rcfail.practice.lab.damage import Refusal
from rcfail.practice.lab.restart import Comeback, restart_all
from rcfail.practice.lab.restart import restart as restart_node
from rcfail.render.outcome import Outcome


@click.group(cls=VerbGroup, example="rcfail lab fault kill n1\nrcfail lab fault restart n1 --wait 30s")
def fault() -> None:
    """Break a lab for real, or mend it.

    NODE is a name such as n1, a port, HOST:PORT, or the first digits of a node id: see `rcfail lab status`. Each
    command returns when the servers themselves show the effect.
    """


@fault.command("kill", example="rcfail lab fault kill n1")
@node_argument
@lab_option
def kill(name: str, node: str) -> Outcome:
    """End a server with SIGKILL."""
    return broken_outcome("lab fault kill", faults.kill(lab_register(), name, node))


@fault.command(
    "freeze", short_help="Stop a server with SIGSTOP: it answers nothing.", example="rcfail lab fault freeze n1"
)
@node_argument
@lab_option
def freeze(name: str, node: str) -> Outcome:
    """Stop a server with SIGSTOP: connections stay, answers do not come."""
    return broken_outcome("lab fault freeze", faults.freeze(lab_register(), name, node))


@fault.command("thaw", example="rcfail lab fault thaw n1")
@node_argument
@lab_option
def thaw(name: str, node: str) -> Outcome:
    """Let a frozen server go on."""
    return broken_outcome("lab fault thaw", faults.thaw(lab_register(), name, node))


@fault.command(
    "restart",
    short_help="Start a killed server, also elsewhere or empty.",
    example="rcfail lab fault restart n1 --wait 30s\nrcfail lab fault restart n1 --new-address\n"
    "rcfail lab fault restart n1 --wipe\nrcfail lab fault restart all --new-address",
)
@node_argument
@lab_option
@click.option("--new-address", is_flag=True, help="At another address of the lab, as a new pod has one.")
@click.option("--new-port", is_flag=True, help="At another port.")
@click.option("--wipe", "wiped", is_flag=True, help="Without nodes.conf and data: an empty node with a new id.")
@wait_option("Wait so long until it is in step again. [until it answers]")
def restart(name: str, node: str, new_address: bool, new_port: bool, wiped: bool, wait_s: float | None) -> Outcome:
    """Start a killed server again, with the folder that it had.

    Without persistence it comes back empty. A primary that is back before it was failed over then serves an empty
    shard, and its replicas copy that: as real servers do. At a new address it knows its peers from nodes.conf, and
    tells them. A wiped one is met by nobody: its peers go on looking for the node that it was.

    `all` ends every server that runs, and starts all at once: at new addresses none of them finds another one.
    """
    comeback = Comeback(new_host=new_address, new_port=new_port, wiped=wiped)
    if node == "all":
        return broken_outcome("lab fault restart", restart_all(lab_register(), name, wait_s, comeback=comeback))
    return broken_outcome("lab fault restart", restart_node(lab_register(), name, node, wait_s, comeback=comeback))


@fault.command(
    "break-replication",
    short_help="Let a replica lose its link to its primary.",
    example="rcfail lab fault break-replication n4",
)
@node_argument
@lab_option
def break_replication(name: str, node: str) -> Outcome:
    """Let a replica's link to its primary go down and stay down: its credentials are refused."""
    return broken_outcome("lab fault break-replication", faults.break_replication(lab_register(), name, node))


@fault.command(
    "mend-replication", short_help="Give a replica its link back.", example="rcfail lab fault mend-replication n4"
)
@node_argument
@lab_option
def mend_replication(name: str, node: str) -> Outcome:
    """Give a replica its credentials back, and wait for its link."""
    return broken_outcome("lab fault mend-replication", faults.mend_replication(lab_register(), name, node))


@fault.command(
    "config",
    short_help="Change a setting of one node while it runs.",
    example="rcfail lab fault config n4 cluster-replica-no-failover yes\n"
    "rcfail lab fault config n1 repl-backlog-size 16kb",
)
@node_argument
@click.argument("option")
@click.argument("value")
@lab_option
def config(name: str, node: str, option: str, value: str) -> Outcome:
    """Change a setting of one node while it runs, with CONFIG SET.

    `mend` gives it its value back, and so does a restart. Settings that make the node one of this lab cannot be had,
    nor passwords.
    """
    return broken_outcome("lab fault config", altered.alter(lab_register(), name, node, option, value))


@fault.command("oom", short_help="Let a primary refuse writes with OOM.", example="rcfail lab fault oom n1")
@node_argument
@lab_option
def oom(name: str, node: str) -> Outcome:
    """Let a primary refuse writes with OOM: maxmemory below what it uses, and nothing to evict."""
    return broken_outcome("lab fault oom", writes.refuse_writes(lab_register(), name, node, Refusal.OOM))


@fault.command("misconf", short_help="Let a primary refuse writes with MISCONF.", example="rcfail lab fault misconf n1")
@node_argument
@lab_option
def misconf(name: str, node: str) -> Outcome:
    """Let a primary refuse writes with MISCONF: its last background save failed.

    The file that it saves to cannot be replaced. What was saved before is put aside, and back by `mend` or `restart`.
    """
    return broken_outcome("lab fault misconf", writes.refuse_writes(lab_register(), name, node, Refusal.MISCONF))


@fault.command(
    "noreplicas", short_help="Let a primary refuse writes with NOREPLICAS.", example="rcfail lab fault noreplicas n1"
)
@node_argument
@lab_option
def noreplicas(name: str, node: str) -> Outcome:
    """Let a primary refuse writes with NOREPLICAS: min-replicas-to-write above what it has."""
    return broken_outcome("lab fault noreplicas", writes.refuse_writes(lab_register(), name, node, Refusal.NOREPLICAS))


@fault.command(
    "mend",
    short_help="Undo what was done to a node, or all.",
    example="rcfail lab fault mend n2\nrcfail lab fault mend --all --wait 30s",
)
@click.argument("node", required=False)
@lab_option
@click.option("--all", "every", is_flag=True, help="Everything that was broken in the lab and can be undone.")
@wait_option("With --all: wait so long until the lab is whole. [until all is undone]")
def mend(name: str, node: str | None, every: bool, wait_s: float | None) -> Outcome:
    """Undo all cuts of a node's ports, let it take writes again, and give it its settings back.

    With --all: heal partitions, open ports, thaw and restart nodes, mend replication, writes and settings, close open
    slots. What a node forgot stays forgotten: after forget, reset, delslots or restart --wipe, mend it as a real
    cluster.
    """
    if every is (node is not None):
        raise UsageFault("name one node, or say --all", "For example: rcfail lab fault mend --all.")
    if node is None:
        return mended_outcome("lab fault mend", mending.mend_all(lab_register(), name, wait_s))
    if wait_s is not None:
        raise UsageFault("--wait is for --all", "Leave it out: a node's ports and writes are mended when this returns.")
    return broken_outcome("lab fault mend", cuts.mend(lab_register(), name, node))


for _each in (*NETWORK, *BELIEFS):
    fault.add_command(_each)
