"""`rcfail reset`: empty one node and make it forget the cluster, with all that follows from it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

import click

from rcfail.change.recover.case import Case, Decisions
from rcfail.change.recover.doctor import Planner
from rcfail.change.recover.reset import resetting
from rcfail.change.recover.reset.reset_order import Order
from rcfail.change.target import NotMeant, meant_node
from rcfail.cluster.lookup import Kind, meanings
from rcfail.cluster.nouns import NodeId
from rcfail.cluster.snapshot import Snapshot
from rcfail.commands.change_options import audit_path, overrides
from rcfail.commands.options import Verb, completed_by, settings_of
from rcfail.commands.recovery_options import kept_back, outcome_of, recovery_options, ways_of
from rcfail.commands.stopping import Stopping
from rcfail.errors import UsageFault
from rcfail.health.standing import replacements
from rcfail.render.outcome import Outcome
from rcfail.runs.examining import Wish
from rcfail.runs.moving import at_site
from rcfail.runs.recovering import recover
from rcfail.settings.sections import Settings
from rcfail.settings.seeds import BadSeed, parse_seeds


@click.command(
    cls=Verb,
    looks=True,
    example="rcfail reset 10.0.0.7:6379 --soft --rejoin 10.0.0.1:6379 --dry-run\n"
    "rcfail reset 10.0.0.7:6379 --hard --rejoin 10.0.0.1:6379 --yes\n"
    "rcfail reset 10.0.0.7:6379 --soft",
)
@click.argument("node", metavar="NODE", shell_complete=completed_by("members"))
@click.option("--soft", is_flag=True, help="Keep the id and the epochs. The data of a replica is flushed all the same.")
@click.option("--hard", is_flag=True, help="Take a new id, and epoch 0. The others are made to forget the old id.")
@click.option(
    "--rejoin", metavar="PRIMARY", shell_complete=completed_by("members"), help="Bring it back as its replica."
)
@recovery_options
@click.pass_context
def reset(ctx: click.Context, /, **flags: Any) -> Outcome:
    """Reset NODE: it forgets all other nodes, and the data of a replica is flushed. No form of it keeps the data.

    What is lost is counted and shown first: its keys, and how many other nodes hold the same. A node that owns slots
    is refused, and so is a primary with keys. The only copy of a data set is not thrown away without --allow-data-loss
    and the number of its keys, typed in or given by --lose-keys.

    The other nodes are not told by a server that is reset: so they are made to forget it, or its old id after --hard.
    With --rejoin it is then met, follows PRIMARY, and is waited for until it is in sync. Each step is looked at in all
    views before the next one. Stopped half way, run it again: it goes on from where the node stands.

    The exit code: 0 done and verified, or nothing to do; 10 refused, nothing was sent; 11 sent, without effect; 12 done
    in part; 14 another change is under way; 15 it cannot be told what became of it; 65 you said no.
    """
    if flags["soft"] == flags["hard"]:
        raise UsageFault("a reset is --soft or --hard, one of them", "SOFT keeps the id and the epochs, HARD neither.")
    settings, stopping = _looking_at(settings_of(ctx), flags["node"]), Stopping()
    ways = ways_of(settings, stopping, "reset", yes=flags["yes"], lose_keys=flags["lose_keys"])
    path = audit_path(flags["audit"])
    with at_site(settings, path) as site:
        snapshot = site.look()
        order = _order(snapshot, flags)
    with stopping.noted(), at_site(_beginning_at(settings, order), path) as site:
        told = recover(site, _wish(settings, order, flags, snapshot.taken_at_unix_ms), ways)
    return outcome_of("reset", settings, told)


def _looking_at(settings: Settings, word: str) -> Settings:
    """A node that was reset is listed by nobody: its address is where to look for it."""
    with suppress(BadSeed):
        if ":" in word and settings.target.record is None:
            more = parse_seeds(word)
            seeds = tuple(dict.fromkeys((*settings.target.seeds, *more)))
            return replace(settings, target=replace(settings.target, seeds=seeds))
    return settings


def _beginning_at(settings: Settings, order: Order) -> Settings:
    """With its place among the seeds: after a hard reset no view leads there any more."""
    seeds = tuple(dict.fromkeys((*settings.target.seeds, order.place)))
    return replace(settings, target=replace(settings.target, seeds=seeds))


def _order(snapshot: Snapshot, flags: dict[str, Any]) -> Order:
    """Raises NotMeant, and UsageFault for what makes no sense."""
    node_id, gone = _meant(snapshot, flags["node"])
    node = snapshot.nodes[node_id]
    rejoin = meant_node(snapshot, flags["rejoin"], "--rejoin") if flags["rejoin"] else None
    if rejoin in (node_id, gone) and rejoin is not None:
        raise UsageFault("--rejoin names the node itself", "Name the primary that it shall follow.")
    place = node.view.endpoint if node.view is not None else node.endpoint
    if place is None:
        raise NotMeant(f"no node answers for {flags['node']}", "Name it by the address at which it answers: HOST:PORT.")
    return Order(node_id, place, flags["hard"], rejoin, gone)


def _meant(snapshot: Snapshot, word: str) -> tuple[NodeId, NodeId | None]:
    """The node that answers, and the id that stood there before it and is still remembered."""
    after = {old: view.observer for old, view in replacements(snapshot).items() if view.observer}
    found = [each.node_ids[0] for each in meanings(snapshot, word) if each.kind is Kind.NODE]
    pairs = [(new, old) for old, new in after.items() if {old, new} & set(found) and set(found) <= {old, new}]
    if pairs:
        return pairs[0]
    node_id = meant_node(snapshot, word)
    return node_id, _left_behind(snapshot, node_id)


def _left_behind(snapshot: Snapshot, node_id: NodeId) -> NodeId | None:
    """The id that has no address any more, where the node stands outside and there is one such id alone."""
    from rcfail.health.standing import Standing, standings, strangers

    if all(each.node_id != node_id for each in strangers(snapshot)):
        return None
    stands = standings(snapshot)
    lost = [each for each, how in stands.items() if how is Standing.NO_ADDRESS and not snapshot.nodes[each].slots]
    return lost[0] if len(lost) == 1 else None


def _wish(settings: Settings, order: Order, flags: dict[str, Any], since_unix_ms: int) -> Wish:
    asked = {each: flags[each] for each in ("node", "soft", "hard", "rejoin")}
    given = overrides(
        data_loss=flags["allow_data_loss"], this_host=flags["trust_this_host"], break_lock=flags["break_lock"]
    )
    return Wish(
        command="reset",
        planner=Planner(partial(_conditions, order), resetting.questions),
        decisions=Decisions(given=given, since_unix_ms=since_unix_ms),
        dry_run=flags["dry_run"],
        reason=flags["reason"],
        break_lock=flags["break_lock"],
        lose_keys=flags["lose_keys"],
        asked=asked,
        without=kept_back(settings),
    )


def _conditions(order: Order, case: Case, _: frozenset[NodeId]) -> Any:
    return resetting.conditions(case, order)
