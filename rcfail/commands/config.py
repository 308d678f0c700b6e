"""`rcfail config`: the named clusters, what is set, and whether it works."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import click

from rcfail.blind import cannot_see
from rcfail.cluster.observation import Observation, Silence, SilenceReason
from rcfail.commands.options import VerbGroup, default_config, settings_of
from rcfail.errors import ConfigFault, UsageFault
from rcfail.exits import ExitCode
from rcfail.health.finding import Thresholds
from rcfail.health.wording import counted
from rcfail.render.facts import seed_texts
from rcfail.render.lines import EMPTY, Line, Span, Style, line, span, wrapped
from rcfail.render.outcome import ClusterName, Json, Outcome
from rcfail.render.words import SILENCE_WORDS
from rcfail.session import deadline_of, open_sight
from rcfail.settings.contexts import ConfigFile, read_config
from rcfail.settings.load import config_path
from rcfail.settings.sections import Settings
from rcfail.settings.shown import DEFAULT, Setting, shown

_EXAMPLE = (
    "[clusters.prod]",
    'seeds = ["10.0.0.5:6379", "10.0.1.5:6379"]',
    'password_file = "~/.redis-prod"',
)


class _Listed(NamedTuple):
    """A cluster of the file; `fault` is why it cannot be used, or ""."""

    name: str
    seeds: tuple[str, ...]
    fault: str


@click.group(cls=VerbGroup, example="rcfail config list\nrcfail config show -c prod\nrcfail config check -c prod")
def config() -> None:
    """Show the named clusters and the settings, and try them.

    The clusters stand in a TOML file: ~/.config/rcfail/config.toml, or where RCFAIL_CONFIG says. A flag wins over
    its variable, a variable over the file. The file says where a password is, it never holds one.
    """


@config.command("list", example="rcfail config list")
def list_() -> Outcome:
    """List the clusters of the config file, and what is wrong with any of them."""
    path, file = _file()
    listed = tuple(_listed(file, name) for name in file.names)
    code = ExitCode.CONFIG if any(each.fault for each in listed) else ExitCode.OK
    return Outcome("config list", code, partial(_list_page, path, listed), partial(_list_data, path, listed))


@config.command("show", looks=True, example="rcfail config show -c prod\nrcfail config show -o json")
@click.pass_context
def show(ctx: click.Context) -> Outcome:
    """Show every setting, and whether a flag, a variable or the file says so. No secret is shown."""
    settings = settings_of(ctx)
    rows = _rows(settings)
    return Outcome(
        command="config show",
        exit_code=ExitCode.OK,
        text=partial(_whole_page, rows),
        data=lambda: {"file": _path(), "settings": [each._asdict() for each in rows]},
        cluster=ClusterName(seeds=seed_texts(settings.target.seeds)),
        notes=settings.target.notes,
    )


@config.command("check", looks=True, example="rcfail config check -c prod")
@click.pass_context
def check(ctx: click.Context) -> Outcome:
    """Connect with these settings, and say what answers.

    Ends with 0 when every node that any node lists was reached, and with 3 when one was not: it may be down, or
    the settings do not lead to it. Whether the cluster is well is another question: rcfail health.
    """
    settings = settings_of(ctx)
    if settings.target.record is not None:
        raise UsageFault("config check needs live servers, not --from-record", "Name a cluster: -c NAME.")
    observation = open_sight(settings).look(deadline_of(settings))
    fault = cannot_see(observation)
    if fault is not None:
        raise fault
    silent = (*observation.silences, *observation.deserted)
    return Outcome(
        command="config check",
        exit_code=ExitCode.UNKNOWN if silent else ExitCode.OK,
        text=partial(_check_page, settings, observation),
        data=partial(_check_data, settings, observation),
        cluster=ClusterName(seeds=seed_texts(settings.target.seeds)),
        notes=settings.target.notes,
    )


def _rows(settings: Settings) -> tuple[Setting, ...]:
    usual = Thresholds()
    defaults: dict[str, str | int | None] = {
        "min_replicas": usual.min_replicas,
        "max_lag_bytes": "half the backlog",
        "max_lag_s": usual.max_lag_s,
    }
    return tuple(
        each._replace(value=defaults[each.key]) if each.value is None and each.key in defaults else each
        for each in shown(settings)
    )


def _path() -> str:
    return config_path(os.environ, default_config())


def _file() -> tuple[str, ConfigFile]:
    path = _path()
    return path, read_config(path, missing_ok=path == default_config())


def _listed(file: ConfigFile, name: str) -> _Listed:
    try:
        values = file.cluster(name).values
    except ConfigFault as fault:
        return _Listed(name, (), f"{fault.message}. {fault.hint}".strip())
    return _Listed(name, tuple(values.get("seeds", ())), "")


def _list_page(path: str, listed: tuple[_Listed, ...], width: int) -> Iterator[Line]:
    if not listed:
        yield from wrapped(f"{path} names no cluster. It could hold:", width)
        yield EMPTY
        yield from (line("  ", span(row, Style.GOOD)) for row in _EXAMPLE)
        return
    column = max(len(each.name) for each in listed) + 2
    for each in listed:
        head = line(span(each.name.ljust(column), Style.HEAD))
        said = each.fault or ", ".join(each.seeds) or "no seeds"
        yield from wrapped(said, width, first=head, indent=column, style=Style.BAD if each.fault else Style.PLAIN)
    yield EMPTY
    yield from wrapped(f"from {path}; one of them in use: rcfail health -c {listed[0].name}", width, style=Style.DIM)


def _list_data(path: str, listed: tuple[_Listed, ...]) -> Json:
    rows = [{"name": each.name, "seeds": list(each.seeds), "fault": each.fault or None} for each in listed]
    return {"file": path, "exists": os.path.exists(path), "clusters": rows}


def _show_page(rows: tuple[Setting, ...], width: int) -> Iterator[Line]:
    keys = max(len(each.key) for each in rows) + 2
    for each in rows:
        set_here = each.origin != DEFAULT
        head = line(Span(each.key.ljust(keys), Style.HEAD if set_here else Style.DIM))
        value = "-" if each.value is None else str(each.value).lower() if isinstance(each.value, bool) else each.value
        yield from wrapped(
            f"{value} ({_origin(each.origin)})" if set_here else str(value),
            width,
            first=head,
            indent=keys,
            style=Style.PLAIN if set_here else Style.DIM,
        )


def _origin(origin: str) -> str:
    """The path of the file stands once, below."""
    return "config file" if origin.startswith("cluster ") else origin.replace(f" in {_path()}", " in the config file")


def _whole_page(rows: tuple[Setting, ...], width: int) -> Iterator[Line]:
    yield from _show_page(rows, width)
    if any(each.key == "cluster" and each.value for each in rows):
        yield EMPTY
        yield from wrapped(f"config file: {_path()}", width, style=Style.DIM)


def _check_page(settings: Settings, observation: Observation, width: int) -> Iterator[Line]:
    yield from _show_page(tuple(each for each in shown(settings) if each.origin != DEFAULT), width)
    yield EMPTY
    silent = (*observation.silences, *observation.deserted)
    reached = f"{counted(len(observation.answers), 'node')} answered in {observation.elapsed_ms} ms"
    by = "by TLS" if settings.tls.enabled else "without TLS"
    yield from wrapped(f"{reached}, {by}{', as user ' + settings.target.user if settings.target.user else ''}", width)
    for each in silent:
        lead = line(Span("not reached: ", Style.BAD))
        yield from wrapped(_why(each), width, first=lead, indent=2)


def _why(silence: Silence) -> str:
    who = str(silence.endpoint) if silence.endpoint else "a node"
    of = f" ({silence.expected[:8]})" if silence.expected else ""
    text = f" ({silence.text})" if silence.text and silence.reason is not SilenceReason.REFUSED else ""
    return f"{who}{of} {SILENCE_WORDS[silence.reason]}{text}"


def _check_data(settings: Settings, observation: Observation) -> Json:
    from rcfail.render.health_json import silences_json

    return {
        "file": _path(),
        "settings": [each._asdict() for each in shown(settings)],
        "reached": [str(answer.endpoint) for answer in observation.answers],
        "silences": silences_json((*observation.silences, *observation.deserted)),
        "took_ms": observation.elapsed_ms,
    }
