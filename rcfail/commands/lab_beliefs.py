"""Faults of what a lab's nodes believe: of each other, of slots, of themselves."""

from __future__ import annotations

import click

from rcfail.commands.lab_fault_pages import broken_outcome
from rcfail.commands.lab_options import lab_option, lab_register, node_argument, on_option
from rcfail.commands.options import Verb
from rcfail.practice.lab import claims, tables
from rcfail.render.outcome import Outcome


@click.command("forget", cls=Verb, example="rcfail lab fault forget n4 --on n1")
@node_argument
@lab_option
@click.option("--on", "teller", required=True, metavar="NODE", help="The node that forgets.")
def forget(name: str, node: str, teller: str) -> Outcome:
    """Let one node forget another, for 60 s at least.

    Redis 6.2 and 7.0 keep that to themselves. Newer servers pass it on to all others, and cannot be kept from it.
    """
    return broken_outcome("lab fault forget", tables.forget(lab_register(), name, node, teller))


@click.command("open-slot", cls=Verb, example="rcfail lab fault open-slot 77 --to n2")
@click.argument("slot", type=int)
@lab_option
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
    outcome = tables.open_slot(lab_register(), name, slot, receiver, tables.Side(side))
    return broken_outcome("lab fault open-slot", outcome)


@click.command("close-slot", cls=Verb, example="rcfail lab fault close-slot 77")
@click.argument("slot", type=int)
@lab_option
def close_slot(name: str, slot: int) -> Outcome:
    """Close an open slot; its owner stays."""
    return broken_outcome("lab fault close-slot", tables.close_slot(lab_register(), name, slot))


@click.command(
    "delslots",
    cls=Verb,
    short_help="Let one node give up slots, and tell nobody.",
    example="rcfail lab fault delslots 77 --on n1\nrcfail lab fault delslots 0-99 --on n1",
)
@click.argument("slots")
@lab_option
@on_option("The node that gives them up.")
def delslots(name: str, slots: str, on: str) -> Outcome:
    """Let one node give up slots, such as 77,80-99, and tell nobody.

    The owner then refuses what the others send it. Any other node hears of the owner again with its next ping.
    """
    outcome = claims.del_slots(lab_register(), name, claims.slots_of_text(slots), on)
    return broken_outcome("lab fault delslots", outcome)


@click.command("addslots", cls=Verb, example="rcfail lab fault addslots 77 --on n1")
@click.argument("slots")
@lab_option
@on_option("The node that claims them.")
def addslots(name: str, slots: str, on: str) -> Outcome:
    """Let one node claim slots of which it knows no owner."""
    outcome = claims.add_slots(lab_register(), name, claims.slots_of_text(slots), on)
    return broken_outcome("lab fault addslots", outcome)


@click.command(
    "reset",
    cls=Verb,
    short_help="Let a node forget the cluster: CLUSTER RESET.",
    example="rcfail lab fault reset n4 --hard\nrcfail lab fault reset n1 --flush",
)
@node_argument
@lab_option
@click.option("--hard/--soft", default=False, show_default=True, help="With a new id and epoch 0, or with the old id.")
@click.option("--flush", is_flag=True, help="Delete its data first, on its replicas too: a primary with keys says no.")
def reset(name: str, node: str, hard: bool, flush: bool) -> Outcome:
    """Let a node forget the cluster with CLUSTER RESET: its peers, its slots, its primary.

    Its peers are told nothing. For a while, or for good, they take it for what it was: also for the owner of slots
    that it does not serve any more, while every node says cluster_state:ok.
    """
    return broken_outcome("lab fault reset", claims.reset(lab_register(), name, node, hard=hard, flush=flush))


BELIEFS = (forget, open_slot, close_slot, delslots, addslots, reset)
