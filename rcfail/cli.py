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
from typing import IO, TYPE_CHECKING, NoReturn

from rcfail.exits import ExitCode

if TYPE_CHECKING:
    from rcfail.commands.options import Given
    from rcfail.render.outcome import Outcome


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
    """Run the command line, write its answer, and return its code. Never raises, whatever goes wrong."""
    started_s = time.monotonic()
    try:
        from rcfail.commands.options import Given

        given = Given()
        outcome = _outcome(args, given)
        if outcome is None:
            return _flushed(ExitCode.OK)
        return _write(outcome, _wants_json(args, given), given, started_s)
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except Exception as error:  # noqa: BLE001  the last net: Python's own code 1 would read as WARNING
        _say(f"rcfail: error: {type(error).__name__}: {error}\nhint: Is the installation whole? python -m pip check\n")
        return ExitCode.INTERNAL


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


def _wants_json(args: Sequence[str], given: Given) -> bool:
    """Also where reading the command line failed half way: whoever asked for JSON gets JSON."""
    if given.flags.output is not None:
        return given.flags.output == "json"
    joined = "\0".join(args)
    return any(
        words in f"\0{joined}\0" for words in ("\0-o\0json\0", "\0--output\0json\0", "\0-ojson\0", "\0--output=json\0")
    )


def _write(outcome: Outcome, as_json: bool, given: Given, started_s: float) -> ExitCode:
    """Answer on stdout, errors on stderr; in JSON everything in one document on stdout."""
    from rcfail.render.write import trouble_page, write_json, write_page, write_text
    from rcfail.settings.load import load_output

    color = load_output(given.flags, os.environ).color
    try:
        if sys.stdout is None:
            raise OSError("standard output is closed")
        _tolerant(sys.stdout)
        if as_json:
            write_json(outcome, sys.stdout, round((time.monotonic() - started_s) * 1000))
        else:
            write_text(outcome, sys.stdout, color=color)
        sys.stdout.flush()
        if not as_json and sys.stderr is not None:
            _tolerant(sys.stderr)
            write_page(trouble_page(outcome), sys.stderr, color=color)
    except BrokenPipeError:
        # The reader has seen enough (`| head -1`); the verdict is as true as before.
        _silence_stdout()
    except OSError as error:
        _silence_stdout()
        _say(f"rcfail: error: the answer could not be written: {error.strerror or error}\n")
        return outcome.exit_code or ExitCode.INTERNAL
    return outcome.exit_code


def _flushed(code: ExitCode) -> ExitCode:
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
