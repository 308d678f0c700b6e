"""`rcfail acl`: the ACL user that rcfail needs, and no more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import click

from rcfail.blind import cannot_see
from rcfail.cluster.dialect import name_of, server_of
from rcfail.cluster.observation import Observation
from rcfail.cluster.permissions import Purpose, permissions, server_named
from rcfail.cluster.vitals import Flavour, Server
from rcfail.commands.options import Verb, settings_of
from rcfail.errors import CannotSee, UsageFault
from rcfail.exits import ExitCode
from rcfail.health.wording import counted, listing
from rcfail.render.facts import seed_texts
from rcfail.render.lines import EMPTY, Line, Style, line, span, wrapped
from rcfail.render.outcome import ClusterName, Json, Outcome
from rcfail.session import deadline_of, open_sight

_NAMES = {Purpose.READING: "rcfail-read", Purpose.OPERATING: "rcfail-operate"}
_FOR = {Purpose.READING: "for looking", Purpose.OPERATING: "for operating: looking, and every change that rcfail makes"}
_VERSION_HINT = "Write it as redis-7.2 or valkey-9.1."

# One of each form that the rules take, the oldest first; shown where no cluster and no version was named.
_VERSIONS = (
    Server(Flavour.REDIS, (6, 2), "6.2"),
    Server(Flavour.REDIS, (7, 0), "7.0 and later, Valkey 7.2 and 8"),
    Server(Flavour.VALKEY, (9, 0), "9.0 and later"),
)


@dataclass(frozen=True, slots=True)
class _Kind:
    """Servers that take the same rules. `places` are the nodes; none where only a version was named."""

    title: str
    server: Server
    places: tuple[str, ...] = ()


@click.command(
    cls=Verb, looks=True, example="rcfail acl reading -s 10.0.0.5:6379\nrcfail acl operating --version redis-7.2"
)
@click.argument("purpose", required=False, type=click.Choice([each.value for each in Purpose]))
@click.option("--name", metavar="NAME", help="The user's name. [rcfail-read, rcfail-operate]")
@click.option("--version", "wanted", metavar="VERSION", help="For this server, such as redis-7.2; asks no cluster.")
@click.pass_context
def acl(ctx: click.Context, purpose: str | None, name: str | None, wanted: str | None) -> Outcome:
    """Print the ACL user that rcfail needs: one for looking, one for operating.

    Nothing is sent to a server but questions about its version. Without a cluster and without --version the
    rules for all versions are shown. An administrator sets the user on every node, since users are not copied
    between nodes; what is missing on a node later, `rcfail health` names with the node.
    """
    purposes = tuple(Purpose) if purpose is None else (Purpose(purpose),)
    if name is not None and (purpose is None or not name or not name.isprintable() or " " in name):
        raise UsageFault(
            "--name names one user, without spaces: say which of the two" if purpose is None else "not a user's name",
            "For example: rcfail acl reading --name monitor",
        )
    kinds, cluster, notes = _kinds(ctx, wanted)
    users = [(each, name or _NAMES[each]) for each in purposes]
    return Outcome(
        "acl",
        ExitCode.OK,
        text=lambda width: _page(kinds, users, width),
        data=lambda: {"users": [_facts(kind, each, called) for kind in kinds for each, called in users]},
        cluster=cluster,
        notes=notes,
    )


def _kinds(ctx: click.Context, wanted: str | None) -> tuple[tuple[_Kind, ...], ClusterName, tuple[str, ...]]:
    settings = settings_of(ctx)
    live = bool(settings.target.seeds or settings.target.record)
    if wanted is not None:
        server = server_named(wanted)
        if server is None:
            raise UsageFault(f"--version {wanted}: names no server", _VERSION_HINT)
        return (_Kind(name_of(server), server),), ClusterName(), ()
    if not live:
        return tuple(_Kind(name_of(each), each) for each in _VERSIONS), ClusterName(), ()
    observation = open_sight(settings).look(deadline_of(settings))
    fault = cannot_see(observation)
    if fault is not None:
        raise fault
    kinds = tuple(_kinds_in(observation))
    if not kinds:
        raise CannotSee("no node tells its version", "Name it: rcfail acl --version redis-7.2")
    silent = [str(each.endpoint) for each in observation.silences]
    notes = (f"not asked for their version, because they are silent: {listing(silent)}",) if silent else ()
    return kinds, ClusterName(seeds=seed_texts(observation.seeds)), (*settings.target.notes, *notes)


def _kinds_in(observation: Observation) -> Iterator[_Kind]:
    """The servers that answered, those with the same rules together."""
    alike: dict[tuple[str, ...], list[tuple[Server, str]]] = {}
    for answer in observation.answers:
        server = server_of(answer.info or "")
        if server.version:
            key = permissions(server, Purpose.OPERATING)
            alike.setdefault(key, []).append((server, str(answer.endpoint)))
    for members in alike.values():
        names = dict.fromkeys(name_of(server) for server, _ in members)
        yield _Kind(", ".join(names), members[0][0], tuple(place for _, place in members))


def _rule(kind: _Kind, purpose: Purpose) -> str:
    return " ".join(permissions(kind.server, purpose))


def _page(kinds: Sequence[_Kind], users: Sequence[tuple[Purpose, str]], width: int) -> Iterator[Line]:
    for kind in kinds:
        on = f" (all {counted(len(kind.places), 'node')} that answered)" if len(kinds) == 1 and kind.places else ""
        on = on or (f" ({listing(kind.places)})" if kind.places else "")
        for purpose, called in users:
            yield line(span(f"# {kind.title}{on}, {_FOR[purpose]}", Style.HEAD))
            # One line, whatever the width: it is there to be copied.
            yield line(f"ACL SETUSER {called} on #SHA256 {_rule(kind, purpose)}")
            yield EMPTY
    yield from wrapped(
        "#SHA256 stands for the password's hash, so that no shell history keeps the password: # and the 64 digits of "
        'printf %s "$PASSWORD" | sha256sum. Set the user on every node: users are not copied between nodes, and a '
        "replica without it cannot be operated after it was promoted. It lasts over a restart with ACL SAVE, where "
        "the server has an aclfile, or CONFIG REWRITE.",
        width,
    )


def _facts(kind: _Kind, purpose: Purpose, called: str) -> Json:
    return {
        "purpose": purpose.value,
        "name": called,
        "servers": kind.title,
        "nodes": list(kind.places),
        "rules": list(permissions(kind.server, purpose)),
    }
