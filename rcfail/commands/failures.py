"""One table from everything that can go wrong to an exit code and a line for the user."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial

import click

from rcfail.blind import NothingSeen
from rcfail.cluster.observation import Observation
from rcfail.commands.options import Given, NoCommand
from rcfail.commands.table import COMMANDS
from rcfail.errors import CannotSee, RcfailError
from rcfail.exits import ExitCode
from rcfail.render.inert import inert, inert_block
from rcfail.render.outcome import ClusterName, Json, Outcome, Trouble
from rcfail.session import manner_of
from rcfail.settings.sections import SecretKind

# What people type who come from redis-cli. The value behind it is never repeated.
_PASSWORD_OPTION = re.compile(r"-a|--[a-z-]*(?:pass|auth|secret)[a-z-]*")
_PASSWORD_HINT = "Set RCFAIL_PASSWORD, or use --password-file FILE or --ask-password: other users can read argv."
_REPORT_HINT = "This is a fault in rcfail. RCFAIL_DEBUG=1 shows where it happened."
_REINSTALL_HINT = "Install it again: python -m pip install --force-reinstall rcfail"
HIDDEN = "***"
_SECRET_VARIABLES = ("RCFAIL_PASSWORD", "REDISCLI_AUTH")
_LONGEST = 300


def failed(error: BaseException, given: Given, args: Sequence[str]) -> Outcome:
    """The outcome of a command that raised."""
    code, trouble = _judged(error)
    command = given.command or _first_word(args)
    for word in _private_words(args) if code is ExitCode.USAGE else ():
        command = command.replace(word, HIDDEN)
        trouble = replace(trouble, message=trouble.message.replace(word, HIDDEN))
    if code is ExitCode.INTERNAL:
        names = _secret_variables(given)
        trouble = replace(trouble, message=scrubbed(trouble.message, names))
        if os.environ.get("RCFAIL_DEBUG"):
            _show_traceback(error, names)
    seen = error.observation if isinstance(error, NothingSeen) else None
    if trouble.hint and (seen is not None or _names_commands(error)):
        trouble = replace(trouble, hint=manner_of(given.settings()).fit(trouble.hint))
    return Outcome(
        command=command,
        exit_code=code,
        text=lambda _: (),
        data=partial(_reasons, seen) if seen else dict,
        verdict="unknown" if isinstance(error, CannotSee) else None,
        cluster=_meant(seen, given),
        notes=given.settings().target.notes if seen else (),
        errors=(trouble,),
        aside=error.help_page if isinstance(error, NoCommand) else "",
    )


def _names_commands(error: BaseException) -> bool:
    """Whether its hint holds commands for this cluster. It was seen, so that the settings can be read."""
    from rcfail.change.target import CannotMove, NotMeant

    return isinstance(error, (NotMeant, CannotMove))


def _meant(seen: Observation | None, given: Given) -> ClusterName:
    """The cluster that was asked for, as far as that was understood: a monitor knows a failure by it."""
    if seen is not None:
        return ClusterName(seeds=tuple(map(str, seen.seeds)))
    with suppress(RcfailError):
        return ClusterName(seeds=tuple(map(str, given.settings().target.seeds)))
    return ClusterName(name=given.flags.cluster)


def _reasons(observation: Observation) -> Json:
    from rcfail.render.health_json import silences_json

    return {"silences": silences_json(observation.silences)}


def _judged(error: BaseException) -> tuple[ExitCode, Trouble]:
    match error:
        case RcfailError():
            return error.exit_code, Trouble(error.code, error.message, error.hint)
        case click.UsageError():
            return ExitCode.USAGE, _usage(error)
        case click.FileError():
            return ExitCode.CONFIG, Trouble("config", _clause(error.format_message()))
        case click.Abort():
            return ExitCode.DECLINED, Trouble("declined", "nobody said yes, so nothing was done")
        case KeyboardInterrupt():
            return ExitCode.INTERRUPTED, Trouble("interrupted", "interrupted")
        case ImportError():
            return ExitCode.INTERNAL, Trouble("internal", f"the installation is not whole: {error}", _REINSTALL_HINT)
        case _:
            text = inert(f"{type(error).__name__}: {error}")[:_LONGEST]
            return ExitCode.INTERNAL, Trouble("internal", text, _REPORT_HINT)


def _usage(error: click.UsageError) -> Trouble:
    name = error.option_name if isinstance(error, click.NoSuchOption) else ""
    if _PASSWORD_OPTION.fullmatch(name):
        return Trouble(
            "usage", f"there is no option {name}: a password never stands on the command line", _PASSWORD_HINT
        )
    command = error.ctx.command_path if error.ctx else "rcfail"
    return Trouble("usage", _clause(error.format_message()), f"See: {command} --help")


def _private_words(args: Sequence[str]) -> Iterator[str]:
    """What may be a password, put where none belongs: in a URL, or behind --ask-password, which takes no value."""
    for before, word in zip(("", *args), args, strict=False):
        if "://" in word or (before == "--ask-password" and word not in COMMANDS and not word.startswith("-")):
            yield word


def _clause(sentence: str) -> str:
    """click's sentences in the form of ours: one line, lower case, no final stop."""
    text = " ".join(sentence.split()).removesuffix(".")
    return text[:1].lower() + text[1:]


def _first_word(args: Sequence[str]) -> str:
    """The command that was meant, where reading the command line failed before it was known."""
    return next((each for each in args if each in COMMANDS), "")


def _secret_variables(given: Given) -> tuple[str, ...]:
    """The variables that hold passwords, also one that only the config file names."""
    with suppress(Exception):  # whatever is wrong was told already
        source = given.settings().target.secret
        return (*_SECRET_VARIABLES, source.name) if source.kind is SecretKind.ENVIRONMENT else _SECRET_VARIABLES
    return _SECRET_VARIABLES


def _show_traceback(error: BaseException, names: Sequence[str]) -> None:
    import traceback

    if sys.stderr is not None:
        sys.stderr.write(scrubbed(inert_block("".join(traceback.format_exception(error))), names))


def scrubbed(text: str, names: Sequence[str] = _SECRET_VARIABLES) -> str:
    """The text without the passwords that stand in the environment."""
    for name in names:
        secret = os.environ.get(name)
        if secret:
            text = text.replace(secret, HIDDEN)
    return text
