"""The only exit of the process: every answer, failure and surprise becomes one of our exit codes here.

click is imported inside, so that even a broken installation ends with a code of ours and one line.
"""

from __future__ import annotations

import gc
import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from io import StringIO
from typing import IO, TYPE_CHECKING, NoReturn

from rcfail.exits import ExitCode, plugin_code

if TYPE_CHECKING:
    from rcfail.commands.options import Given
    from rcfail.render.outcome import Outcome
    from rcfail.render.write import Manner


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and end the process."""
    # A run is short and makes few cycles: fewer collections spare a tenth of its time.
    gc.set_threshold(50_000, 20, 20)
    code = run(sys.argv[1:] if args is None else args)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            if stream is not None:
                stream.flush()
    # Nothing is left to do. To take the interpreter apart would cost a quarter of the whole run, and would wait
    # for, or trip over, a thread that hangs in a name server.
    os._exit(int(code))


def run(args: Sequence[str]) -> ExitCode:
    """Run the command line, write its answer, and return its code. Never raises, whatever goes wrong.

    With -o nagios there are only 0 to 3, and 0 stands for a verdict alone, never for a help page.
    """
    code = _run(args, time.monotonic())
    if _last_word(args, "--output", "-o") != "nagios":
        return code or ExitCode.OK
    return ExitCode.UNKNOWN if code is None else plugin_code(code)


def _run(args: Sequence[str], started_s: float) -> ExitCode | None:
    """None when there was help to show, and nothing else."""
    if "_RCFAIL_COMPLETE" in os.environ:
        return _completed()
    try:
        from rcfail.commands.options import Given

        given = Given()
        outcome = _outcome(args, given)
        if outcome is None:
            return _flushed(None)
        # Without seeds no cluster was asked: a saved table, say, while a variable still names a cluster.
        if given.cluster_name is not None and outcome.cluster.seeds:
            outcome = outcome.of_cluster(given.cluster_name)
        return _write(outcome, _manner(args, given, started_s))
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except Exception as error:  # noqa: BLE001  the last net: Python's own code 1 would read as WARNING
        _say(f"rcfail: error: {type(error).__name__}: {error}\nhint: Is the installation whole? python -m pip check\n")
        return ExitCode.INTERNAL


def _completed() -> ExitCode:
    """Answer a shell that completes a line. Nothing that goes wrong may disturb whoever is typing."""
    with suppress(Exception, KeyboardInterrupt):
        from rcfail.commands.completion import answer

        sys.stdout.write(answer(os.environ))
        sys.stdout.flush()
    return ExitCode.OK


def _outcome(args: Sequence[str], given: Given) -> Outcome | None:
    """What the command answers, or what its failure is; None when click has printed help or the version."""
    import click

    from rcfail.commands.table import root
    from rcfail.render.outcome import Outcome

    try:
        with root.make_context("rcfail", list(args), obj=given) as context:
            answer = root.invoke(context)
    except click.exceptions.Exit as error:
        return None if error.exit_code == 0 else _failed(error, given, args)
    except BrokenPipeError:
        return None  # whoever read the help has seen enough
    except (Exception, KeyboardInterrupt, SystemExit) as error:  # noqa: BLE001  each has its row in the table
        return _failed(error, given, args)
    if not isinstance(answer, Outcome):
        return _failed(TypeError(f"the command answered with {type(answer).__name__}"), given, args)
    return answer


def _failed(error: BaseException, given: Given, args: Sequence[str]) -> Outcome:
    from rcfail.commands.failures import failed  # most runs do not fail, and need not wait for it

    return failed(error, given, args)


def _manner(args: Sequence[str], given: Given, started_s: float) -> Manner:
    """Also where reading the command line failed half way: whoever asked for JSON, or for a file, gets it."""
    from rcfail.render.write import Manner
    from rcfail.settings.load import load_output

    flags = given.flags
    file = flags.output_file or _last_word(args, "--output-file")
    return Manner(
        form=flags.output or _last_word(args, "--output", "-o"),
        file="" if file.startswith("-") else file,  # a value was forgotten, and that is the next option
        color=load_output(flags, os.environ).color,
        elapsed_s=time.monotonic() - started_s,
        ended_at_unix_s=time.time(),
    )


def _last_word(args: Sequence[str], long: str, short: str = "") -> str:
    """What stands last behind an option, however that is written; empty where it does not stand there."""
    found = ""
    for word, following in zip(args, (*args[1:], ""), strict=False):
        if word == long or (short and word == short):
            found = following
        elif word.startswith(f"{long}="):
            found = word.removeprefix(f"{long}=")
        elif short and word.startswith(short):
            found = word.removeprefix(short)
    return found


def _write(outcome: Outcome, manner: Manner) -> ExitCode:
    """Answer on stdout or into a file, errors on stderr; what programs read holds the errors too."""
    from rcfail.render.write import trouble_page, write_answer, write_page

    if outcome.told:
        return outcome.exit_code
    try:
        if manner.file:
            from rcfail.render.whole_file import replace_file

            page = StringIO()
            write_answer(outcome, page, manner)
            replace_file(manner.file, page.getvalue())
        else:
            if sys.stdout is None:
                raise OSError("standard output is closed")
            _tolerant(sys.stdout)
            write_answer(outcome, sys.stdout, manner)
            sys.stdout.flush()
        if not manner.tells_troubles and sys.stderr is not None:
            _tolerant(sys.stderr)
            write_page(trouble_page(outcome), sys.stderr, color=manner.color)
    except BrokenPipeError:
        # The reader has seen enough (`| head -1`); the verdict is as true as before.
        _silence_stdout()
    except OSError as error:
        _silence_stdout()
        _say(f"rcfail: error: the answer could not be written: {error.strerror or error}\n")
        return outcome.exit_code or ExitCode.INTERNAL
    return outcome.exit_code


def _flushed(code: ExitCode | None) -> ExitCode | None:
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        _silence_stdout()
    return code


def _tolerant(stream: IO[str]) -> None:
    """A character that the terminal's encoding lacks is written as its escape, not raised."""
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")


def _silence_stdout() -> None:
    """Python flushes once more at its end, and must not fail then with a message and code 120 of its own."""
    if sys.stdout is not None:
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except (OSError, ValueError):
            sys.stdout = None


def _say(text: str) -> None:
    try:
        if sys.stderr is not None:
            sys.stderr.write(text)
            sys.stderr.flush()
    except OSError:
        pass  # nobody is left to tell
