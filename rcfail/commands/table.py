"""All commands by name. Only the module of the one that runs is imported."""

from __future__ import annotations

from importlib import import_module
from typing import NamedTuple

import click

from rcfail import __version__
from rcfail.commands.options import GLOBAL_OPTIONS, Given, NoCommand, write_option_sections
from rcfail.errors import UsageFault


class Entry(NamedTuple):
    """`where` is module:attribute below rcfail.commands; `summary` is the line in the list of commands."""

    where: str
    summary: str


COMMANDS = {
    "health": Entry("health:health", "Say whether the cluster serves, and what threatens it."),
    "nodes": Entry("nodes:nodes", "Show one node's table of the cluster as a tree by shard."),
    "views": Entry("views:views", "Say who sees whom, and what each side of a partition will do."),
    "whatif": Entry("whatif:whatif", "Say what the loss of a node, a host or a zone would do."),
    "ready": Entry("ready:ready", "Say whether a failover would work now, in each shard and each mode."),
    "failover": Entry("failover:failover", "Make a replica the primary of its shard, and verify it in every view."),
    "apply": Entry("apply:apply", "Carry out a failover that was planned and saved, if it still holds."),
    "drain": Entry("drain:drain", "Move every primary away from a host or a zone, one after the other."),
    "undrain": Entry("undrain:undrain", "Bring the primaries back that drain moved away."),
    "layout": Entry("layout:layout", "Write down which node leads which shard, and bring it back."),
    "rolling": Entry("rolling:rolling", "Restart or upgrade every node, without a slot being out."),
    "recover": Entry("recover:recover", "Name what is wrong with nodes, replicas and slots, and mend it."),
    "reset": Entry("reset:reset", "Empty one node and let it forget the cluster, or bring it back as a replica."),
    "wait": Entry("wait:wait", "Wait until the cluster, or a node of it, is as it should be."),
    "history": Entry("history:history", "Show what was changed from this host, by whom, and what came of it."),
    "explain": Entry("explain:explain", "Explain a finding: what it means, how to confirm it, what to do."),
    "probe": Entry("probe:probe", "Ask one node about itself: is it alive, is it ready (for Kubernetes)."),
    "runbook": Entry("runbook:runbook", "List the runbook pages, or show one."),
    "record": Entry("record:record", "Save what the cluster says, to be judged again offline."),
    "config": Entry("config:config", "Show the named clusters and all settings, and try them."),
    "acl": Entry("acl:acl", "Print the least ACL user that rcfail needs, to look or to operate."),
    "lab": Entry("lab:lab", "Run a practice cluster of real servers on this machine, and break it."),
    "demo": Entry("demo:demo", "Watch a failover of a real cluster on this machine, start to end."),
    "completion": Entry("completion:completion", "Print the script that completes rcfail's words in your shell."),
    "exit-codes": Entry("exit_codes:exit_codes", "List the exit codes and what they mean."),
}

_NO_KEYS_MOVED = "It moves no keys between nodes: use redis-cli --cluster"

# The words of `redis-cli --cluster`, and what stands for them here.
FOREIGN = {
    "check": "Here it is: rcfail health -s HOST:PORT",
    "info": "Here it is: rcfail nodes -s HOST:PORT, or rcfail health -s HOST:PORT",
    "create": "For a practice cluster: rcfail lab up. A real one is made by redis-cli --cluster create.",
    "fix": "Here it is, and it deletes nothing: rcfail recover --dry-run -s HOST:PORT",
    "add-node": "In the place of a dead node: rcfail recover --at NEW --forget OLD --dry-run -s HOST:PORT",
    "del-node": "A dead one: rcfail recover --forget NODE --dry-run. A living one: rcfail reset NODE --hard --dry-run",
    "reshard": f"{_NO_KEYS_MOVED} reshard. Who owns which slots: rcfail nodes -s HOST:PORT",
    "rebalance": f"{_NO_KEYS_MOVED} rebalance. Who owns which slots: rcfail nodes -s HOST:PORT",
    "call": "It sends no commands of yours. What every node says of itself: rcfail health -o json -s HOST:PORT",
    "set-timeout": "It changes no settings. What every node says of itself: rcfail health -o json -s HOST:PORT",
    "import": "Copying keys is not its trade: use redis-cli --cluster import.",
    "backup": "Saving keys is not its trade; rcfail record FILE saves the cluster's state.",
    "help": "Here it is: rcfail --help",
}


class Root(click.Group):
    """The group of all commands."""

    def list_commands(self, _: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _: click.Context, name: str) -> click.Command | None:
        entry = COMMANDS.get(name)
        if entry is None:
            return None
        module, attribute = entry.where.split(":")
        command = getattr(import_module(f"rcfail.commands.{module}"), attribute)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        command = self.get_command(ctx, args[0])
        if command is None:
            ctx.ensure_object(Given).command = args[0]
            raise no_such_command(args[0])
        return args[0], command, args[1:]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in COMMANDS.items()])
        own = [param for param in self.get_params(ctx) if param not in GLOBAL_OPTIONS]
        write_option_sections(ctx, formatter, own, looks=True)

    def format_epilog(self, _: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Examples"):
            formatter.write_dl(
                [
                    ("rcfail demo", "see a failover of real servers, nothing to prepare"),
                    ("rcfail health -s 10.0.0.5:6379", "judge a cluster; the exit code is the verdict"),
                    ("rcfail COMMAND --help", "options and an example of each command"),
                ]
            )


def no_such_command(name: str) -> UsageFault:
    """What to answer to a word that is no command here."""
    if name in FOREIGN:
        return UsageFault(f"there is no command '{name}': that is redis-cli's word", FOREIGN[name])
    if ":" in name:
        return UsageFault(f"there is no command '{name}'", "To judge the cluster of a node: rcfail health -s HOST:PORT")
    from difflib import get_close_matches

    near = get_close_matches(name, COMMANDS, n=1, cutoff=0.5)
    hint = f"Did you mean: rcfail {near[0]}" if near else "All commands: rcfail --help"
    return UsageFault(f"there is no command '{name}'", hint)


@click.group(
    cls=Root,
    name="rcfail",
    params=list(GLOBAL_OPTIONS),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    invoke_without_command=True,
)
@click.version_option(__version__, message="%(prog)s %(version)s")
@click.pass_context
def root(ctx: click.Context) -> None:
    """The truth about a Redis or Valkey Cluster, within a deadline.

    rcfail asks every node that any node knows, compares all their views, and says what is wrong, what it means
    and what mends it. The options below work before and after the command.
    """
    if ctx.invoked_subcommand is None:
        raise NoCommand(ctx)
