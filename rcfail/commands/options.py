"""The global options, and the kinds of command that take them before and after their name alike."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

import click
from click.core import ParameterSource

from rcfail.errors import UsageFault
from rcfail.settings.durations import parse_duration_s
from rcfail.settings.load import Flags, load
from rcfail.settings.sections import Format, Settings


class NoCommand(UsageFault):
    """Nothing was asked for. `help_page` is what helps then."""

    def __init__(self, ctx: click.Context) -> None:
        super().__init__("no command was given", "Judge a cluster: rcfail health -s HOST:PORT")
        self.help_page = ctx.get_help()


class Given:
    """The global options as they come in, first before the command, then after it. Lives in `ctx.obj`.

    `command` is what runs, such as "lab up", known as soon as its options are being read; `cluster_name` is what the
    config file calls the cluster, known once the settings were asked for.
    """

    def __init__(self) -> None:
        self.command = ""
        self.cluster_name: str | None = None
        self._values: dict[str, Any] = {}

    def take(self, name: str, value: Any) -> None:
        """A list grows, anything else is replaced: what stands after the command is said later."""
        if isinstance(value, tuple):
            value = (*self._values.get(name, ()), *value)
        self._values[name] = value

    def zones_named(self) -> tuple[str, ...]:
        """The values of --zone that label no node, taken out of it: a command about places is told of a zone so."""
        said: tuple[str, ...] = self._values.get("zone_rules", ())
        self._values["zone_rules"] = tuple(each for each in said if "=" in each)
        return tuple(each for each in said if "=" not in each)

    @property
    def flags(self) -> Flags:
        return Flags(**self._values)

    def settings(self) -> Settings:
        """Everything the user set. Raises UsageFault or ConfigFault."""
        settings = load(self.flags, os.environ, default_config())
        self.cluster_name = settings.target.name
        return settings


def default_config() -> str:
    """Where the named clusters stand, unless RCFAIL_CONFIG says otherwise."""
    return os.path.join(click.get_app_dir("rcfail"), "config.toml")


def duration(text: str) -> float:
    """A click type: a duration in seconds, written as 500ms, 30s or 5m."""
    try:
        return parse_duration_s(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def completed_by(name: str) -> Callable[[click.Context, click.Parameter, str], Any]:
    """What a shell proposes at the place of a parameter: a function of `completers`, found when it is asked."""

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> Any:
        from rcfail.commands import completers

        return getattr(completers, name)(ctx, param, incomplete)

    return complete


def _keep(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    if param.name and ctx.get_parameter_source(param.name) is ParameterSource.COMMANDLINE:
        ctx.ensure_object(Given).take(param.name, value)


def _option(*names: str, **attributes: Any) -> click.Option:
    return click.Option(names, expose_value=False, callback=_keep, **attributes)


_TARGET = (
    _option(
        "-s",
        "--seed",
        "seeds",
        multiple=True,
        metavar="HOST:PORT",
        shell_complete=completed_by("addresses"),
        help="A node of the cluster; repeat it, or separate several by commas. [RCFAIL_SEEDS]",
    ),
    _option(
        "-c",
        "--cluster",
        metavar="NAME",
        shell_complete=completed_by("clusters"),
        help="A cluster of the config file: rcfail config list. [RCFAIL_CLUSTER]",
    ),
    _option("--user", metavar="NAME", help="The ACL user. [RCFAIL_USER]"),
    _option(
        "--password-file",
        metavar="FILE",
        help="Read the password from a file. [RCFAIL_PASSWORD, RCFAIL_PASSWORD_FILE or REDISCLI_AUTH]",
    ),
    _option("--ask-password", is_flag=True, help="Ask for the password on the terminal."),
    _option(
        "--zone",
        "zone_rules",
        multiple=True,
        metavar="PATTERN=ZONE",
        help="Nodes of this address, network, host name or id are in that zone; repeat it, the first that fits counts.",
    ),
    _option("--from-record", metavar="FILE", help="Read a saved observation (rcfail record) instead of servers."),
    _option("--deadline", type=duration, metavar="DURATION", help="The whole look ends after this long. [8s]"),
    _option("--connect-timeout", type=duration, metavar="DURATION", help="The longest wait for a connection. [1s]"),
    _option("--read-timeout", type=duration, metavar="DURATION", help="The longest wait for one node's answers. [2s]"),
)
_NATMAP = _option(
    "--natmap",
    multiple=True,
    metavar="ANNOUNCED=REACHABLE",
    help="Where an announced address is reached from here, such as '10.0.0.*=192.168.1.*'; repeat it. [RCFAIL_NATMAP]",
)
_TLS = (
    _option("--tls/--no-tls", default=None, help="Speak TLS; any file below means it too. [RCFAIL_TLS]"),
    _option("--cacert", metavar="FILE", help="The CA to trust, in PEM form. [RCFAIL_CACERT, else the system's CAs]"),
    _option("--cacertdir", metavar="DIR", help="A directory of such files, by hash. [RCFAIL_CACERTDIR]"),
    _option("--cert", metavar="FILE", help="Our certificate, where the server wants one. [RCFAIL_CERT]"),
    _option("--key", metavar="FILE", help="The key of it; else in the same file. [RCFAIL_KEY]"),
    _option(
        "--sni", "--server-name", "sni", metavar="NAME", help="The name that all certificates are for. [RCFAIL_SNI]"
    ),
    _option(
        "--tls-verify",
        type=click.Choice(["full", "ca", "none"]),
        help="Check CA and name, the CA alone, or nothing. [RCFAIL_TLS_VERIFY, else full]",
    ),
    _option("--insecure", is_flag=True, help="As --tls-verify none: anybody in between could read along."),
)
_OUTPUT = (
    _option(
        "-o",
        "--output",
        type=click.Choice([each.value for each in Format]),
        help="text for people, json for programs; nagios and prometheus for monitors, of a verdict. [text]",
    ),
    _option("--output-file", metavar="FILE", help="Replace FILE with the answer, at once: nobody reads half of it."),
    _option("--no-color", is_flag=True, help="No colours, also on a terminal. [NO_COLOR]"),
)
GLOBAL_OPTIONS = (*_TARGET, _NATMAP, *_TLS, *_OUTPUT)

FOR_MONITORS: dict[Format, tuple[str, ...]] = {
    Format.NAGIOS: ("health", "ready"),
    Format.PROMETHEUS: ("health", "ready"),
}
"""The commands whose answer a monitor can take: those that give a verdict. All others know text and JSON alone."""


class _Helped(click.Command):
    """`-h` and `--help`, whatever context asks first: click makes the option once, with the names of that moment."""

    def get_help_option_names(self, _: click.Context) -> list[str]:
        return ["-h", "--help"]


class Verb(_Helped):
    """A command that takes the global options too, and whose help ends with an example.

    `looks` False says that it asks no cluster: its help then shows only how to write the answer.
    """

    def __init__(self, *arguments: Any, example: str, looks: bool = False, **attributes: Any) -> None:
        super().__init__(*arguments, **attributes)
        self.example = example
        self.looks = looks

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        return [*super().get_params(ctx), *GLOBAL_OPTIONS]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        _name_command(ctx)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        _insist_on_form(ctx.ensure_object(Given))
        return super().invoke(ctx)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        write_option_sections(ctx, formatter, super().get_params(ctx), looks=self.looks)

    def format_epilog(self, _: click.Context, formatter: click.HelpFormatter) -> None:
        _write_example(formatter, self.example)


class VerbGroup(_Helped, click.Group):
    """A command with sub-commands, such as `rcfail lab up`; takes the global options as well."""

    command_class = Verb

    def __init__(self, *arguments: Any, example: str, **attributes: Any) -> None:
        super().__init__(*arguments, **attributes)
        self.example = example

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        return [*super().get_params(ctx), *GLOBAL_OPTIONS]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        _name_command(ctx)
        if not args and not ctx.resilient_parsing:  # a shell may ask what could follow
            raise NoCommand(ctx)
        return super().parse_args(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        self.format_commands(ctx, formatter)
        write_option_sections(ctx, formatter, super().get_params(ctx), looks=False)

    def format_epilog(self, _: click.Context, formatter: click.HelpFormatter) -> None:
        _write_example(formatter, self.example)


def settings_of(ctx: click.Context) -> Settings:
    """Everything the user set. Raises UsageFault or ConfigFault."""
    return ctx.ensure_object(Given).settings()


def _insist_on_form(given: Given) -> None:
    """Before anything is done: the answer can be written as it was asked for. Raises UsageFault."""
    if given.flags.output_file is not None and given.flags.output_file[:1] in ("", "-"):
        raise UsageFault("--output-file needs the name of a file", "For standard output leave it out.")
    form = Format(given.flags.output or Format.TEXT)
    if form in FOR_MONITORS and given.command not in FOR_MONITORS[form]:
        able = ", ".join(f"rcfail {each}" for each in FOR_MONITORS[form])
        raise UsageFault(f"rcfail {given.command} has no -o {form}", f"Commands that have it: {able}.")


def write_option_sections(
    ctx: click.Context, formatter: click.HelpFormatter, own: Iterable[click.Parameter], *, looks: bool
) -> None:
    """The command's own options, then the global ones by theme."""
    _write_section(ctx, formatter, "Options", own)
    if looks:
        _write_section(ctx, formatter, "Which cluster, and how long to wait", (*_TARGET, _NATMAP))
        _write_section(ctx, formatter, "TLS", _TLS)
    _write_section(ctx, formatter, "Output", _OUTPUT)


def _name_command(ctx: click.Context) -> None:
    words: list[str] = []
    above: click.Context | None = ctx
    while above is not None and above.parent is not None:
        words.insert(0, above.info_name or "")
        above = above.parent
    ctx.ensure_object(Given).command = " ".join(words)


def _write_section(
    ctx: click.Context, formatter: click.HelpFormatter, title: str, params: Iterable[click.Parameter]
) -> None:
    records = (param.get_help_record(ctx) for param in params if isinstance(param, click.Option))
    rows = [record for record in records if record is not None]
    if rows:
        with formatter.section(title):
            formatter.write_dl(rows)


def _write_example(formatter: click.HelpFormatter, example: str) -> None:
    with formatter.section("Example"):
        for row in example.splitlines():
            formatter.write(f"{'':{formatter.current_indent}}{row}\n")
