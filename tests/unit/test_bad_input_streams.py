"""The streams, signals, homes, encodings and terminals that the command line is run with."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rcfail.clock import Deadline, poll
from rcfail.exits import ExitCode
from tests.unit.liars import CLUSTER_INFO, info_text, line
from tests.unit.ordeal import QUICK, SLACK_S, Ended, check_harmless, endure, environment, fails, on_terminal
from tests.unit.running import recorded
from tests.unit.wire_servers import Behaviour, Call, array, bulk, closed_port, odd_server, speaker
from tests.unit.world import World

PASSWORD = "s3cret-kolibri"


def shell(script: str, **env: str) -> Ended:
    """A line of shell, in which $rcfail runs the command line."""
    words = {"rcfail": f"{shlex.quote(sys.executable)} -m rcfail", **env}
    done = subprocess.run(
        ["bash", "-c", script], env=environment(**words), stdin=subprocess.DEVNULL, capture_output=True, timeout=60,
        check=False,
    )  # fmt: skip
    ended = Ended((), done.returncode, done.stdout.decode(), done.stderr.decode(), 0.0)
    check_harmless(ended)
    return ended


def dead(folder: Path) -> str:
    world = World.of(3, 1)
    world.kill("a")
    return recorded(world, folder)


def test_closed_streams_change_no_code_and_leave_no_traceback(tmp_path: Path) -> None:
    record = dead(tmp_path)
    for closed in ("<&-", ">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"):
        for output in ("text", "json"):
            for verb in (f"health --from-record {record}", "health --nosuch", f"health -s {closed_port()}"):
                ended = shell(f"$rcfail {verb} -o {output} {closed}")
                expected = {"record": 2, "nosuch": 64}.get(verb.split()[1].strip("-").split("-")[-1], 3)
                assert ended.code == expected, (verb, closed, ended)


def test_a_closed_standard_input_holds_no_table() -> None:
    ended = shell("$rcfail nodes --from - <&-")
    assert ended.code == ExitCode.CONFIG
    assert ended.err.startswith("rcfail: error: standard input: it is closed\nhint: ")


def test_a_full_disk_and_a_reader_who_left(tmp_path: Path) -> None:
    record = dead(tmp_path)
    if os.path.exists("/dev/full"):
        for output in ("text", "json"):
            assert shell(f"$rcfail health --from-record {record} -o {output} >/dev/full").code == 2
            assert shell(f"$rcfail exit-codes -o {output} >/dev/full").code == ExitCode.INTERNAL
        assert shell("$rcfail --help >/dev/full").code == ExitCode.INTERNAL
        assert shell("$rcfail health --nosuch 2>/dev/full").code == ExitCode.USAGE
    ended = shell(f"$rcfail health --all --from-record {record} | head -1; echo ${{PIPESTATUS[0]}}")
    assert ended.out.splitlines()[-1] == "2"
    assert ended.err == ""


@pytest.mark.parametrize(
    "env",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "ascii:strict"},
        {"LC_ALL": "C", "LANG": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
        {"LC_ALL": "nonsense", "PYTHONUTF8": "0"},
        {"TERM": "dumb"},
        {"COLUMNS": "0"},
        {"COLUMNS": "1"},
        {"COLUMNS": "999999"},
        {"COLUMNS": "x"},
        {"LC_ALL": "tr_TR.UTF-8"},
        {"PYTHONWARNINGS": "error"},
        {"PYTHONOPTIMIZE": "2"},
        {"PYTHONUNBUFFERED": "1"},
    ],
    ids=str,
)
def test_no_terminal_and_no_locale_is_too_poor(env: dict[str, str], tmp_path: Path) -> None:
    table = tmp_path / "nodes.conf"
    table.write_text(line("a", "127.0.0.1:7000@17000,örebro-日本", "myself,master", slots="0-16383"), "utf-8")
    ended = endure("nodes", "--from", str(table), env=env)
    assert (ended.code, ended.err) == (ExitCode.OK, "")
    assert "rebro" in ended.out
    health = endure("health", "--from-record", dead(tmp_path), env=env)
    assert (health.code, health.err) == (ExitCode.CRITICAL, "")
    assert fails(ExitCode.CONFIG, "nodes", "--from", str(tmp_path / "ö"), env=env).error.endswith(
        "no such file or directory"
    )


# Homes


def test_no_home_at_all_is_needed_to_look(tmp_path: Path) -> None:
    ended = shell(f"unset HOME; $rcfail health --from-record {dead(tmp_path)}")
    assert (ended.code, ended.err) == (ExitCode.CRITICAL, "")


@pytest.mark.parametrize("home", [os.devnull, "/proc/nope", __file__])
def test_a_lab_without_a_place_to_be_kept(home: str) -> None:
    ended = endure("lab", "up", env={"RCFAIL_LAB_HOME": home})
    assert ended.code not in (ExitCode.OK, ExitCode.WARNING)
    assert "RCFAIL_LAB_HOME" in ended.err
    assert "fault in rcfail" not in ended.err


def test_a_home_of_labs_that_is_a_file_is_told() -> None:
    ended = endure("lab", "list", env={"RCFAIL_LAB_HOME": os.devnull})
    assert "cannot be read: not a directory\nhint: Name another place with RCFAIL_LAB_HOME." in ended.err


# Signals


@pytest.mark.parametrize("output", ["text", "json"])
@pytest.mark.parametrize("command", ["health", "nodes", "record"])
def test_ctrl_c_while_looking(command: str, output: str, tmp_path: Path) -> None:
    record = tmp_path / "seen.json"
    verb = [command, str(record)] if command == "record" else [command]
    with odd_server(Call.stay) as server:
        words = [*verb, "-s", str(server.endpoint), "--read-timeout", "50s", "--deadline", "50s", "-o", output]
        with subprocess.Popen(
            [sys.executable, "-m", "rcfail", *words], env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            poll(lambda: server.calls, bool, deadline=Deadline.after(30), every_s=0.01, waiting_for="a connection")
            began_s = time.monotonic()
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=30)
    ended = Ended(tuple(words), process.returncode, out.decode(), err.decode(), time.monotonic() - began_s)
    check_harmless(ended)
    assert ended.code == ExitCode.INTERRUPTED
    assert ended.took_s < SLACK_S
    if output == "text":
        assert (ended.out, ended.err) == ("", "rcfail: error: interrupted\n")
    else:
        assert ended.document["errors"][0]["code"] == "interrupted"
    assert not record.exists()


# A password that is asked for on the terminal


def wants(password: str) -> tuple[list[list[str]], Behaviour]:
    """A server that wants this password, and all that it was told."""
    heard: list[list[str]] = []
    table = line("me", ":7000@17000", "myself,master", slots="0-16383")

    def answer(words: list[str]) -> bytes:
        heard.append(words)
        match words:
            case ["AUTH", *given]:
                return b"+OK\r\n" if given[-1] == password else b"-WRONGPASS invalid username-password pair\r\n"
            case ["INFO"]:
                return bulk(info_text())
            case ["CLUSTER", "INFO"]:
                return bulk(CLUSTER_INFO)
            case ["CLUSTER", "NODES"]:
                return bulk(table)
            case _:
                return array([])

    return heard, speaker(answer)


@pytest.mark.parametrize("typed", [PASSWORD, "pässwörd-日本", "with blanks  and 'quotes' \\"])
def test_a_password_that_is_typed_is_used_and_never_shown(typed: str) -> None:
    heard, behave = wants(typed)
    with odd_server(behave) as server:
        code, shown = on_terminal(
            "nodes", "--ask-password", "-s", str(server.endpoint), typed=[(b"Password: ", typed.encode() + b"\n")]
        )
    assert code == ExitCode.OK, shown
    assert ["AUTH", typed] in heard
    assert typed.encode() not in shown
    assert b"16384 slots" in shown


@pytest.mark.parametrize(
    ("keys", "code"),
    [(b"wrong\n", ExitCode.UNKNOWN), (b"\x03", ExitCode.INTERRUPTED), (b"\x04", ExitCode.USAGE), (b"\xff\xfe\n", None)],
    ids=["wrong", "ctrl-c", "ctrl-d", "no text"],
)
def test_what_else_is_typed_there(keys: bytes, code: ExitCode | None) -> None:
    _, behave = wants(PASSWORD)
    with odd_server(behave) as server:
        ended, shown = on_terminal(
            "nodes", "--ask-password", "-s", str(server.endpoint), *QUICK, typed=[(b"Password: ", keys)]
        )
    assert ended in ({code} if code else {ExitCode.UNKNOWN, ExitCode.USAGE})
    assert b"Traceback" not in shown
    assert b"wrong\r" not in shown
    assert b"fault in rcfail" not in shown


NO_SOCKETS = """
import socket, sys
class Spent(socket.socket):
    def __init__(self, *_, **__):
        raise OSError(24, "Too many open files")
from rcfail.cli import main
socket.socket = Spent
main(sys.argv[1:])
"""


def test_where_no_socket_is_left_it_is_the_look_that_fails() -> None:
    ended = endure("health", "-s", "127.0.0.1:1", *QUICK, script=NO_SOCKETS)
    assert ended.code == ExitCode.UNKNOWN
    assert "too many open files" in ended.err
