"""`rcfail probe`: one node by itself, for Kubernetes and its kind."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial

import click

from rcfail.cluster.nouns import Endpoint
from rcfail.cluster.observation import Silence
from rcfail.cluster.snapshot import Known
from rcfail.cluster.view import view_of
from rcfail.commands.options import Given, VerbGroup
from rcfail.errors import UsageFault
from rcfail.exits import ExitCode
from rcfail.health import probe as judge
from rcfail.health.probe import Probed
from rcfail.render.lines import Line, Span, line
from rcfail.render.outcome import ClusterName, Json, Outcome
from rcfail.render.words import SILENCE_WORDS, severity_style
from rcfail.session import deadline_of, open_bare_door, open_door
from rcfail.settings.load import Flags, load
from rcfail.settings.sections import Limits, Settings
from rcfail.settings.seeds import BadSeed, parse_seed

DEADLINE_S = 2.0
"""A kubelet that runs out of patience counts a failure; less than this, and a busy machine would do the same."""

_CODES = {Known.YES: ExitCode.OK, Known.NO: ExitCode.WARNING, Known.UNKNOWN: ExitCode.UNKNOWN}
_TLS_FILES = ("RCFAIL_CACERT", "RCFAIL_CACERTDIR", "RCFAIL_CERT", "RCFAIL_KEY")
_NODE = click.option(
    "--node",
    metavar="HOST:PORT",
    default="127.0.0.1:6379",
    show_default=True,
    help="The one node that is asked. Seeds are not: a probe is about its own pod.",
)


@click.group(cls=VerbGroup, example="rcfail probe live\nrcfail probe ready --node 127.0.0.1:7000")
def probe() -> None:
    """Ask one node about itself, for the probes of Kubernetes.

    The code is 0 for yes, 1 for no, 3 where it cannot be told. The state of the cluster never makes a no: a pod that
    is not ready, or is ended, because its cluster is sick, keeps the cluster from being mended.
    """


@probe.command("live", looks=True, example="rcfail probe live\nrcfail probe live --node 127.0.0.1:7000 --deadline 5s")
@_NODE
@click.pass_context
def live(ctx: click.Context, node: str) -> Outcome:
    """Say whether the server's process answers, be it with an error.

    It says no only where nobody answers at all. Loading, a refused password, a script that runs long, CLUSTERDOWN and
    a certificate that has expired are answers: a restart mends none of them. No password is sent or read.
    """
    endpoint, settings = _asked(ctx, node, bare=True)
    from rcfail.wire.probe import ping

    heard = ping(open_bare_door(settings), endpoint, deadline_of(settings))
    return _outcome("live", endpoint, judge.live(heard, SILENCE_WORDS))


@probe.command("ready", looks=True, example="rcfail probe ready\nrcfail probe ready --node 127.0.0.1:7000 -o json")
@_NODE
@click.option("--joined", is_flag=True, help="Say no for a node that has joined no cluster.")
@click.pass_context
def ready(ctx: click.Context, node: str, joined: bool) -> Outcome:
    """Say whether the node may be sent clients.

    It says no while the node loads its data, or is a replica that takes a copy from a primary that lives: both pass
    by themselves. A node that has not joined yet is ready, for it may have to be to be joined; --joined turns that
    round, for clusters whose pods start in parallel and have their names before they are ready.
    """
    endpoint, settings = _asked(ctx, node, bare=False)
    from rcfail.wire.probe import ask_itself

    heard = ask_itself(open_door(settings), endpoint, deadline_of(settings))
    said = judge.ready(heard if isinstance(heard, Silence) else view_of(heard), SILENCE_WORDS)
    if joined and said.state is judge.NodeState.UNJOINED:
        said = replace(said, answer=Known.NO)
    return _outcome("ready", endpoint, said)


def _asked(ctx: click.Context, node: str, bare: bool) -> tuple[Endpoint, Settings]:
    """Which node, and with which settings. `bare` leaves out all that could be wrong and is not needed.

    Raises UsageFault, and ConfigFault for a variable.
    """
    flags = ctx.ensure_object(Given).flags
    if flags.seeds or flags.from_record:
        raise UsageFault("a probe asks one node, and not a cluster", "Name it: --node HOST:PORT.")
    try:
        endpoint = parse_seed(node)
    except BadSeed as error:
        raise UsageFault(f"--node: {error}", "Write it as HOST:PORT, for example --node 127.0.0.1:6379.") from None
    if bare:
        flags = replace(_without_files(flags, os.environ), password_file=None, ask_password=False)
    settings = load(flags, dict(_environment(os.environ, bare)))
    deadline_s = flags.deadline or DEADLINE_S
    # Each part ends before the whole does, so that the answer tells who was silent.
    limits = Limits(deadline_s, flags.connect_timeout or deadline_s / 2, flags.read_timeout or deadline_s * 3 / 4)
    return endpoint, replace(settings, limits=limits)


def _without_files(flags: Flags, env: Mapping[str, str]) -> Flags:
    """TLS as before, and none of its files: one that is missing or out of date is no sign of death."""
    named = any((flags.cacert, flags.cacertdir, flags.cert, flags.key, *map(env.get, _TLS_FILES)))
    tls = True if named and flags.tls is None and not env.get("RCFAIL_TLS") else flags.tls
    return replace(flags, tls=tls, cacert=None, cacertdir=None, cert=None, key=None)


def _environment(env: Mapping[str, str], bare: bool) -> Iterator[tuple[str, str]]:
    """The variables without those that name a cluster; `bare`: without all but the word that TLS is spoken."""
    for name, value in env.items():
        ours = name.startswith("RCFAIL_")
        if name in ("RCFAIL_SEEDS", "RCFAIL_NATMAP") or (bare and ours and name not in ("RCFAIL_TLS", "RCFAIL_SNI")):
            continue
        yield name, value


def _outcome(asked: str, endpoint: Endpoint, said: Probed) -> Outcome:
    return Outcome(
        command=f"probe {asked}",
        exit_code=_CODES[said.answer],
        text=lambda _: (_line(asked, endpoint, said),),
        data=partial(_data, asked, endpoint, said),
        cluster=ClusterName(),
    )


def _line(asked: str, endpoint: Endpoint, said: Probed) -> Line:
    """One line, whatever its length: a log keeps it so."""
    answer = Span(said.answer.value, severity_style(said.answer))
    sick = "; it says cluster_state:fail, which is no fault of this node" if _sick(said) else ""
    return line(f"{asked}: ", answer, f"  {endpoint} {said.words}{sick}")


def _sick(said: Probed) -> bool:
    return said.view is not None and said.view.vitals.cluster.state == "fail" and said.answer is Known.YES


def _data(asked: str, endpoint: Endpoint, said: Probed) -> Json:
    view = said.view
    return {
        "probe": asked,
        "answer": said.answer.value,
        "state": said.state.value,
        "reason": said.words,
        "node": {"id": view.observer if view else None, "host": endpoint.host, "port": endpoint.port},
        "cluster_state": (view.vitals.cluster.state or None) if view else None,
    }
