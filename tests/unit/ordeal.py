"""Runs the command line as a process of its own, as attackers and clumsy users do, and checks what must hold always.

Always: an end in time, a code of ours, no traceback, nothing that a terminal obeys, and with -o json one document.
"""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

from rcfail.clock import Deadline
from rcfail.exits import ExitCode

SLACK_S = 30.0
"""For a loaded machine; what hangs takes far longer."""

_LONG = 20_000_000

QUICK = ("--connect-timeout", "500ms", "--read-timeout", "500ms", "--deadline", "4s")

# Says what it cost: what a process inherits from its maker is not in it, as it is in wait4.
_WEIGHED = """
import os, resource, sys
from rcfail.cli import run
code = run(sys.argv[1:])
sys.stdout.flush()
spent = resource.getrusage(resource.RUSAGE_SELF)
with open("/proc/self/status") as status:
    size = next(line.split()[1] for line in status if line.startswith("VmHWM"))
sys.stderr.write(f"weight {size} {spent.ru_utime + spent.ru_stime}\\n")
sys.stderr.flush()
os._exit(code)
"""
_WEIGHT = re.compile(r"weight ([0-9]+) ([0-9.]+)\n\Z")

# The first terminal that the leader of a session opens becomes its own: /dev/tty, where passwords are asked.
_ON_TERMINAL = """
import os, sys
os.close(os.open(os.ttyname(0), os.O_RDWR))
from rcfail.cli import main
main(sys.argv[1:])
"""

# C0 but newline and tab, DEL, C1, what turns the direction of text, and what breaks a line otherwise.
_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


@dataclass(frozen=True, slots=True)
class Ended:
    """A process that has ended."""

    words: tuple[str, ...]
    code: int
    out: str
    err: str
    took_s: float

    @property
    def document(self) -> dict[str, Any]:
        """The one JSON document that stdout holds, and nothing else."""
        assert self.out.endswith("\n"), self
        assert self.out.count("\n") == 1, self
        value = json.loads(self.out)
        assert isinstance(value, dict)
        assert value["exit_code"] == self.code
        assert value["exit"] == ExitCode(self.code).name
        return value


class Failure(NamedTuple):
    """What a command said that could not do what it was asked, in text and in JSON."""

    error: str
    hint: str
    document: dict[str, Any]
    took_s: float


def environment(**changes: str) -> dict[str, str]:
    """Plain, with nothing of the user's own settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RCFAIL_", "REDISCLI_"))}
    return {**kept, "COLUMNS": "80", "NO_COLOR": "1", **changes}


def endure(
    *words: str,
    env: Mapping[str, str] | None = None,
    stdin: bytes = b"",
    within_s: float = 60.0,
    script: str | None = None,
) -> Ended:
    """Run `rcfail WORDS` and check what holds for every run. `script` is run by Python in its place."""
    began_s = time.monotonic()
    done = subprocess.run(
        [sys.executable, *(["-m", "rcfail"] if script is None else ["-c", script]), *words],
        env=environment(**(env or {})),
        input=stdin,
        capture_output=True,
        timeout=within_s,
        check=False,
    )
    ended = Ended(words, done.returncode, done.stdout.decode(), done.stderr.decode(), time.monotonic() - began_s)
    check_harmless(ended)
    if _wants_json(words) and len(ended.out) < _LONG:
        assert ended.document, "one document"
    return ended


class Weight(NamedTuple):
    """The most memory, and the time that it computed: the clock on the wall shows how busy the machine is too."""

    mib: int
    cpu_s: float


def weighed(*words: str, within_s: float = 120.0) -> tuple[Ended, Weight]:
    """The same, and what it cost."""
    ended = endure(*words, within_s=within_s, script=_WEIGHED)
    found = _WEIGHT.search(ended.err)
    assert found, ended.err
    return ended, Weight(int(found[1]) >> 10, float(found[2]))


def fails(
    code: ExitCode, *words: str, env: Mapping[str, str] | None = None, stdin: bytes = b"", within_s: float = 30.0
) -> Failure:
    """Run it in text and in JSON: both must fail with this code, in one line and a hint."""
    plain = endure(*words, env=env, stdin=stdin, within_s=within_s)
    assert (plain.code, plain.out) == (code, ""), plain
    error, hint, *notes = plain.err.splitlines()
    assert error.startswith("rcfail: error: "), plain
    assert not error.endswith("."), plain
    assert re.match(r"hint: \S.{8,}", hint), plain
    assert all(note.startswith("note: ") for note in notes), plain
    asked = endure(*words, "-o", "json", env=env, stdin=stdin, within_s=within_s)
    assert (asked.code, asked.err) == (code, ""), asked
    (told,) = asked.document["errors"]
    assert told["hint"] == hint.removeprefix("hint: ")
    assert told["message"]
    return Failure(error.removeprefix("rcfail: error: "), told["hint"], asked.document, max(plain.took_s, asked.took_s))


def on_terminal(
    *words: str,
    env: Mapping[str, str] | None = None,
    typed: Sequence[tuple[bytes, bytes | Callable[[], bytes]]] = (),
    within_s: float = 60.0,
) -> tuple[int, bytes]:
    """Run it on a terminal that shows colours: its code, and all that it wrote there.

    `typed` is what is typed, each once what stands before it was shown; a function gives it when it is done.
    """
    ours, theirs = pty.openpty()
    settings = environment(**{"TERM": "xterm-256color", "NO_COLOR": "", **(env or {})})
    command = [sys.executable, "-c", _ON_TERMINAL, *words]
    shown, awaited = b"", list(typed)
    deadline = Deadline.after(within_s)
    with subprocess.Popen(
        command, env=settings, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    ) as process:
        os.close(theirs)
        try:
            # At its end Linux says EIO, other systems nothing.
            with suppress(OSError):
                while select.select([ours], [], [], deadline.remaining_s())[0] and (more := os.read(ours, 65536)):
                    shown += more
                    if awaited and awaited[0][0] in shown:
                        _, answer = awaited.pop(0)
                        os.write(ours, answer() if callable(answer) else answer)
            assert not deadline.passed(), shown
        finally:
            if deadline.passed():
                process.kill()
            os.close(ours)
    return process.returncode, shown


def check_harmless(ended: Ended) -> None:
    """No traceback, no code that is not ours, nothing that a terminal obeys, also in what JSON unpacks to."""
    assert ended.code in set(ExitCode), ended
    for text in (ended.out, ended.err):
        assert "Traceback" not in text, ended
        assert obeyed_in(text) == [], ended.words
    if _wants_json(ended.words) and len(ended.out) < _LONG:
        for text in strings_in(ended.document):
            assert obeyed_in(text) == [], (ended.words, text)


def obeyed_in(text: str) -> list[str]:
    return _OBEYED.findall(text)


def strings_in(value: Any) -> Iterator[str]:
    """Every string of a JSON value, names too."""
    if isinstance(value, str):
        yield value
    for each in value.items() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ():
        yield from strings_in(each)


def _wants_json(words: tuple[str, ...]) -> bool:
    return "json" in words
