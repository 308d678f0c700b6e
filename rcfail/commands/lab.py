"""`rcfail lab`: practice clusters of real servers on this machine."""

from __future__ import annotations

import os

import click

from rcfail.commands.access import access_options
from rcfail.commands.interruption import ended_like_ctrl_c
from rcfail.commands.lab_fault import fault
from rcfail.commands.lab_pages import env_outcome, failed_outcome, list_outcome, lost_outcome, status_outcome
from rcfail.commands.options import VerbGroup, completed_by, duration
from rcfail.errors import LabFault, UsageFault
from rcfail.practice.lab.access import Access
from rcfail.practice.lab.down import take_down
from rcfail.practice.lab.logs import ServerFault
from rcfail.practice.lab.register import Register, home_folder
from rcfail.practice.lab.status import look_at
from rcfail.practice.lab.up import bring_up
from rcfail.practice.lab.wish import Persistence, Wish
from rcfail.render.inert import inert
from rcfail.render.outcome import Outcome

_name = click.argument("name", default="default", shell_complete=completed_by("labs"))


@click.group(cls=VerbGroup, example='rcfail lab up\neval "$(rcfail lab env)"\nrcfail health\nrcfail lab down')
def lab() -> None:
    """Run practice clusters of real servers on this machine, and break them.

    A lab is made of real redis-server or valkey-server processes. Each of its hosts is a loopback address of its own.
    Its state is kept under ~/.local/state/rcfail/labs, or where RCFAIL_LAB_HOME says.
    """


@lab.command(
    "up",
    example="rcfail lab up\nrcfail lab up big --primaries 5 --replicas 2 --hosts 5\nrcfail lab up safe --tls --acl",
)
@_name
@click.option("--primaries", type=int, default=3, show_default=True, help="How many primaries.")
@click.option("--replicas", type=int, default=1, show_default=True, help="How many replicas for each primary.")
@click.option("--hosts", type=int, help="How many hosts. [enough that losing one does no harm: 3 for 3 primaries]")
@click.option("--zones", type=int, help="How many zones the hosts are in. [one for each host]")
@click.option("--node-timeout", type=duration, default="2s", show_default=True, help="cluster-node-timeout.")
@click.option("--base-port", type=int, help="The port of the first node; the others follow. [the first free one]")
@click.option(
    "--persistence",
    type=click.Choice([each.value for each in Persistence]),
    default=Persistence.NONE.value,
    show_default=True,
    help="What the servers keep on disk.",
)
@click.option("--server", metavar="PATH", help="The server program. [the bundled one, else the first on PATH]")
@access_options
@click.option("--conf", multiple=True, metavar="'NAME VALUE'", help="A further line of redis.conf; repeat it.")
@click.option("--keep", is_flag=True, help="Keep the servers' folders when it fails.")
def up(
    name: str, node_timeout: float, persistence: str, conf: tuple[str, ...], access: Access, **asked: object
) -> Outcome:
    """Start a cluster, and return when all its nodes agree.

    That is: every node has the same table, all slots are served, every replica has finished its first sync. When it
    fails, or is interrupted, nothing is left behind.
    """
    wish = Wish(
        name=name,
        node_timeout_ms=round(node_timeout * 1000),
        persistence=Persistence(persistence),
        conf=conf,
        access=access,
        **asked,  # type: ignore[arg-type]  # click gives the types that the options name
    )
    try:
        with ended_like_ctrl_c():
            bring_up(wish, _register(), _say)
    except ServerFault as error:
        return failed_outcome("lab up", error)
    return status_outcome("lab up", look_at(_register(), name))


@lab.command("status", example="rcfail lab status\nrcfail lab status big -o json")
@_name
def status(name: str) -> Outcome:
    """Show the nodes of a lab: processes, roles, links, and what is cut."""
    return status_outcome("lab status", look_at(_register(), name))


@lab.command("env", example='eval "$(rcfail lab env)"')
@_name
def env(name: str) -> Outcome:
    """Print the shell lines that make a lab the cluster of all other commands."""
    return env_outcome(_register().read(name), os.environ)


@lab.command("down", example="rcfail lab down\nrcfail lab down --all")
@click.argument("name", required=False)
@click.option("--all", "every", is_flag=True, help="All labs, half-made ones too.")
def down(name: str | None, every: bool) -> Outcome:
    """End the servers of a lab, and remove all that it left.

    Works from any shell, also for a lab whose `up` was killed half way. Only processes that the lab started itself
    are ended.
    """
    if every and name is not None:
        raise UsageFault("a name and --all exclude each other", "Give one of them.")
    register = _register()
    names = register.names() if every else (name or "default",)
    gone, stuck = [], []
    for each in names:
        try:
            gone.append(take_down(register, each).name)
        except LabFault as error:
            stuck.append(error)
    return lost_outcome(gone, stuck)


@lab.command("list", example="rcfail lab list")
def list_labs() -> Outcome:
    """List all labs of this user."""
    register = _register()
    return list_outcome([(name, register.look(name)) for name in register.names()], str(register.home))


lab.add_command(fault)


def _register() -> Register:
    return Register(home_folder(os.environ))


def _say(text: str) -> None:
    click.echo(inert(text), err=True)
