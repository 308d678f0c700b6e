"""What can stand at a place of the command line: for the shell's completion, so quick, silent and never wrong to fail.

Everything is imported where it is needed: a command that runs pays nothing for it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from click.shell_completion import CompletionItem

from rcfail.commands.options import Given, default_config

if TYPE_CHECKING:
    import click

    from rcfail.cluster.nouns import NodesReply
    from rcfail.settings.sections import Settings

_LOOK_S = 0.6
_CONNECT_S = 0.3
"""A shell waits for the answer at every press of the key."""

Items = list[CompletionItem]


def codes(_: click.Context, __: click.Parameter, incomplete: str) -> Items:
    """Finding codes, also the last one of a comma list."""
    from rcfail.health.catalogue import ENTRIES

    return _last_of_list(((entry.code, entry.title) for entry in ENTRIES), incomplete)


def pages(_: click.Context, __: click.Parameter, incomplete: str) -> Items:
    """Runbook pages."""
    from rcfail.pages import page_names

    return _matching(((name, "") for name in page_names()), incomplete)


def clusters(_: click.Context, __: click.Parameter, incomplete: str) -> Items:
    """The clusters of the config file."""
    from rcfail.settings.contexts import read_config
    from rcfail.settings.load import config_path

    names = read_config(config_path(os.environ, default_config()), missing_ok=True).names
    return _matching(((name, "") for name in names), incomplete)


def addresses(ctx: click.Context, _: click.Parameter, incomplete: str) -> Items:
    """host:port of the nodes, also the last one of a comma list."""
    return _last_of_list(((address, words) for address, _, words in _members(ctx)), incomplete)


def conditions(ctx: click.Context, _: click.Parameter, incomplete: str) -> Items:
    """What rcfail wait can wait for; behind an equals sign the nodes."""
    from rcfail.health.conditions import OF_CLUSTER, What

    name, equals, _begun = incomplete.partition("=")
    if not equals:
        return _matching(((each if each in OF_CLUSTER else f"{each}=", "") for each in What), incomplete)
    return _matching(((f"{name}={address}", words) for address, _id, words in _members(ctx)), incomplete)


def members(ctx: click.Context, _: click.Parameter, incomplete: str) -> Items:
    """host:port and id of the nodes, and their hosts."""
    found = list(_members(ctx))
    hosts = {address.rpartition(":")[0] for address, _, _ in found}
    named = [(address, words) for address, _, words in found] + [(host, "host") for host in sorted(hosts)]
    # Ids only for who has begun to write one: forty digits are no choice to look through.
    ids = [(node_id, words) for _, node_id, words in found] if incomplete else []
    return _matching([*named, *ids], incomplete)


def labs(_: click.Context, __: click.Parameter, incomplete: str) -> Items:
    """The practice clusters of this machine."""
    from rcfail.practice.lab.register import Register, home_folder

    return _matching(((name, "") for name in Register(home_folder(os.environ)).names()), incomplete)


def lab_nodes(ctx: click.Context, _: click.Parameter, incomplete: str) -> Items:
    """The nodes of the practice cluster that the command line names."""
    from rcfail.practice.lab.register import LabEntry, Register, home_folder

    entry = Register(home_folder(os.environ)).look(ctx.params.get("name") or "default")
    nodes = entry.nodes if isinstance(entry, LabEntry) else ()
    return _matching(((node.name, str(node.endpoint)) for node in nodes), incomplete)


def _matching(candidates: Iterable[tuple[str, str]], incomplete: str) -> Items:
    return [CompletionItem(value, help=words or None) for value, words in candidates if value.startswith(incomplete)]


def _last_of_list(candidates: Iterable[tuple[str, str]], incomplete: str) -> Items:
    done, comma, last = incomplete.rpartition(",")
    given = set(done.split(","))
    left = ((f"{done}{comma}{value}", words) for value, words in candidates if value not in given)
    return _matching(left, f"{done}{comma}{last}")


def _members(ctx: click.Context) -> Iterable[tuple[str, str, str]]:
    """Address, id and role of each node, as the first seed that answers lists them."""
    from rcfail.clock import Deadline
    from rcfail.session import open_sight
    from rcfail.settings.sections import SecretKind

    settings = _hurried(ctx.ensure_object(Given).settings())
    if settings.target.secret.kind is SecretKind.PROMPT:
        return ()  # nobody is asked for a password in the midst of a line
    observation = open_sight(settings).first_view(Deadline.after(_LOOK_S))
    replies = [answer.nodes for answer in observation.answers if answer.nodes]
    return _rows(replies[-1]) if replies else ()


def _hurried(settings: Settings) -> Settings:
    from dataclasses import replace

    limits = replace(settings.limits, deadline_s=_LOOK_S, connect_s=_CONNECT_S, read_s=_LOOK_S)
    return replace(settings, limits=limits)


def _rows(reply: NodesReply) -> list[tuple[str, str, str]]:
    beliefs = (belief for belief in reply.table.beliefs if belief.address.endpoint and not belief.handshake)
    rows = ((str(belief.address), belief.node_id, f"{belief.role} {belief.node_id[:8]}") for belief in beliefs)
    return sorted(rows)
