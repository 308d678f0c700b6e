"""`rcfail rolling`: restart or upgrade all nodes, one after the other, without a slot being out."""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

import click

from rcfail.change.many.rolling import Unit
from rcfail.change.many.tour import Rolled
from rcfail.cluster.snapshot import Node
from rcfail.commands.change_options import audit_path, tell
from rcfail.commands.consent import insist_on_consent
from rcfail.commands.options import Verb, duration, settings_of
from rcfail.commands.series_options import series_options, terms_of, witness
from rcfail.commands.stopping import Stopping
from rcfail.errors import UsageFault
from rcfail.render.facts import cluster_name
from rcfail.render.inert import inert
from rcfail.render.outcome import Outcome
from rcfail.render.rolling_json import rolling_data
from rcfail.render.rolling_page import consent_page, rolling_page
from rcfail.render.write import page_width
from rcfail.runs.moving import at_site
from rcfail.runs.touring import Ways, Wish, roll
from rcfail.settings.sections import SecretKind, Settings


@click.command(
    cls=Verb,
    looks=True,
    example="rcfail rolling --cmd 'ssh $RCFAIL_NODE_HOST sudo systemctl restart redis@$RCFAIL_NODE_PORT' --dry-run\n"
    "rcfail rolling --batch host --cmd 'ssh $RCFAIL_NODE_HOST sudo apt-get install -y redis' --yes\n"
    "rcfail rolling --cmd ./restart.sh --resume",
)
@click.option("--cmd", "command", metavar="CMD", required=True, help="What restarts one node, for /bin/sh.")
@click.option("--pre-cmd", metavar="CMD", default="", help="Before anything is done to a node; non-zero stops.")
@click.option("--post-cmd", metavar="CMD", default="", help="When the node is back; non-zero stops.")
@click.option(
    "--batch",
    type=click.Choice([each.value for each in Unit]),
    default=Unit.NODE.value,
    show_default=True,
    help="One node at a time, or all nodes of a host together.",
)
@click.option("--only", multiple=True, metavar="NODE|HOST|ZONE", help="These nodes alone; repeat it.")
@click.option("--cmd-timeout", type=duration, default="10m", metavar="DURATION", help="End a command after that. [10m]")
@click.option(
    "--back-within", type=duration, default="10m", metavar="DURATION", help="How long a node may be away. [10m]"
)
@click.option("--resume", is_flag=True, help="Go on with the run that stopped half way.")
@click.option("--anew", is_flag=True, help="Forget the run that stopped half way, and begin with all nodes.")
@click.option("--no-restore", is_flag=True, help="Leave the primaries where they are at the end.")
@series_options
@click.pass_context
def rolling(ctx: click.Context, /, **flags: Any) -> Outcome:
    """Run a command for every node that restarts or upgrades it: replicas first, primaries once another node leads.

    The command is told of its node by RCFAIL_NODE_ID, RCFAIL_NODE_HOST, RCFAIL_NODE_PORT, RCFAIL_NODE_ADDRESS,
    RCFAIL_NODE_HOSTNAME, RCFAIL_NODE_ROLE and RCFAIL_NODE_ZONE; RCFAIL_PASSWORD is not handed to it. A primary is
    replaced by a graceful failover before its turn, by a replica that had its turn if there is one. After the command
    the node must be back under the same id, its link up and its copy whole; then all nodes must agree and nothing may
    be worse than at the beginning. At the end those lead that did before.

    It stops at the first thing that goes wrong, and with Ctrl-C after the node that is under way; --resume goes on.

    The exit code: 0 all done, and the layout as before; 10 refused, nothing was done; 12 some nodes are done; else as
    for rcfail drain.
    """
    if not flags["command"].strip():
        raise UsageFault("--cmd is empty: what restarts a node?", "rcfail rolling --cmd 'ssh $RCFAIL_NODE_HOST ...'")
    if flags["resume"] and flags["anew"]:
        raise UsageFault("--resume and --anew exclude each other", "Give one of them.")
    settings, stopping = settings_of(ctx), Stopping()
    wish = _wish(flags, settings)
    ways = _ways(settings, stopping, wish.command, yes=flags["yes"])
    with stopping.noted(), at_site(settings, audit_path(flags["audit"])) as site:
        told = roll(site, wish, ways)
    return Outcome(
        command="rolling",
        exit_code=told.exit_code,
        text=lambda width: rolling_page(told, width, wish.command),
        data=partial(rolling_data, told, wish.command),
        cluster=cluster_name(told.snapshot),
        notes=(*settings.target.notes, *told.notes),
    )


def _wish(flags: dict[str, Any], settings: Settings) -> Wish:
    secret = settings.target.secret
    return Wish(
        command=flags["command"],
        pre=flags["pre_cmd"],
        post=flags["post_cmd"],
        unit=Unit(flags["batch"]),
        only=flags["only"],
        command_within_s=flags["cmd_timeout"],
        back_within_s=flags["back_within"],
        min_wait_s=flags["min_wait"] or 0.0,
        resume=flags["resume"],
        anew=flags["anew"],
        restore=not flags["no_restore"],
        terms=terms_of(flags),
        dry_run=flags["dry_run"],
        reason=flags["reason"],
        break_lock=flags["break_lock"],
        without=frozenset({secret.name}) if secret.kind is SecretKind.ENVIRONMENT else frozenset(),
    )


def _ways(settings: Settings, stopping: Stopping, command: str, *, yes: bool) -> Ways:
    color = settings.output.color

    def consent(planned: Rolled) -> bool:
        page = consent_page(planned, page_width(), command)
        insist_on_consent(page, "rolling", "the command's name", yes=yes, color=color)
        return not yes

    return Ways(consent, partial(witness, color), tell, _said, lambda: stopping.asked, stopping.shield, stopping.over)


def _said(node: Node, row: str) -> None:
    """A line that a command printed, behind its node."""
    if sys.stderr is not None:
        place = node.endpoint or node.address
        sys.stderr.write(inert(f"{place} | {row}") + "\n")
        sys.stderr.flush()
