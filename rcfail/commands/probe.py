"""`rcfail probe`: one node by itself, for Kubernetes and its kind."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial

import click

from rcfail.cluster.nouns import Endpoint
from rcfail.cluster.observation import Silence
from rcfail.cluster.snapshot import Known
from rcfail.cluster.view import view_of
from rcfail.commands.options import Given, VerbGroup, default_config
from rcfail.errors import RcfailError, UsageFault
from rcfail.exits import ExitCode
from rcfail.health import probe as judge
from rcfail.health.probe import Probed
from rcfail.render.lines import Line, Span, line
from rcfail.render.outcome import ClusterName, Json, Outcome
from rcfail.render.words import SILENCE_WORDS, severity_style
from rcfail.session import deadline_of, open_bare_door, open_door
from rcfail.settings.load import Flags, load
from rcfail.settings.sections import Limits, Settings, Tls
from rcfail.settings.seeds import BadSeed, parse_seed

DEADLINE_S = 2.0
"""A kubelet that runs out of patience counts a failure; less than this, and a busy machine would do the same."""

_CODES = {Known.YES: ExitCode.OK, Known.NO: ExitCode.WARNING, Known.UNKNOWN: ExitCode.UNKNOWN}
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
    a certificate that has expired are answers: a restart mends none of them. No password is sent or read. It ends
    within 2 s, unless --deadline says otherwise.
    """
    endpoint, settings = _endpoint(ctx, node), _bare_settings(ctx)
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
    round, for clusters whose pods start in parallel and have their names before they are ready. It ends within 2 s,
    unless --deadline says otherwise.
    """
    endpoint, settings = _endpoint(ctx, node), _settings(ctx)
    from rcfail.wire.probe import ask_itself

    heard = ask_itself(open_door(settings), endpoint, deadline_of(settings))
    said = judge.ready(heard if isinstance(heard, Silence) else view_of(heard), SILENCE_WORDS)
    if joined and said.state is judge.NodeState.UNJOINED:
        said = replace(said, answer=Known.NO)
    return _outcome("ready", endpoint, said)


def _endpoint(ctx: click.Context, node: str) -> Endpoint:
    """Which node is asked. Raises UsageFault."""
    flags = ctx.ensure_object(Given).flags
    if flags.seeds or flags.from_record:
        raise UsageFault("a probe asks one node, and not a cluster", "Name it: --node HOST:PORT.")
    try:
        return parse_seed(node)
    except BadSeed as error:
        raise UsageFault(f"--node: {error}", "Write it as HOST:PORT, for example --node 127.0.0.1:6379.") from None


def _settings(ctx: click.Context) -> Settings:
    """What the user set, but for the seeds: they are those of the cluster. Raises UsageFault and ConfigFault."""
    flags = ctx.ensure_object(Given).flags
    env = {name: value for name, value in os.environ.items() if name not in ("RCFAIL_SEEDS", "RCFAIL_NATMAP")}
    settings = load(flags, env, default_config())
    return replace(settings, limits=_limits(flags))


def _bare_settings(ctx: click.Context) -> Settings:
    """Whether TLS is spoken, and nothing else that could be wrong: where it cannot be told, it is not."""
    try:
        tls = _settings(ctx).tls
    except RcfailError:
        tls = Tls()
    limits = _limits(ctx.ensure_object(Given).flags)
    return Settings(limits=limits, tls=Tls(enabled=tls.enabled, server_name=tls.server_name))


def _limits(flags: Flags) -> Limits:
    """Each part ends before the whole does, so that the answer tells who was silent."""
    deadline_s = flags.deadline or DEADLINE_S
    return Limits(deadline_s, flags.connect_timeout or deadline_s / 2, flags.read_timeout or deadline_s * 3 / 4)


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
