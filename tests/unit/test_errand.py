"""The operator's own commands: what they get, what is heard of them, and how they end."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from rcfail.change.many.errand import Ended, Errand, run_errand
from rcfail.clock import SYSTEM_CLOCK, Deadline, poll


def ran(command: str, within_s: float = 60.0, **told: str) -> tuple[Ended, list[str]]:
    rows: list[str] = []
    return run_errand(Errand(command, told, within_s), rows.append, rows.append, SYSTEM_CLOCK), rows


def test_lines_of_both_streams_are_heard_in_their_order() -> None:
    ended, rows = ran("echo one; echo two >&2; printf three")
    assert (ended.well, ended.code, rows) == (True, 0, ["one", "two", "three"])


@pytest.mark.parametrize(
    ("command", "code", "text"),
    [
        ("exit 3", 3, "ended with exit code 3"),
        ("kill -9 $$", -9, "was killed by signal 9"),
        ("no-such-program-here", 127, "ended with exit code 127"),
    ],
)
def test_what_goes_wrong_is_told(command: str, code: int, text: str) -> None:
    ended, _ = ran(command)
    assert (ended.well, ended.code, ended.text) == (False, code, text)


def test_it_is_told_of_its_node_and_gets_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RCFAIL_PASSWORD", "REDISCLI_AUTH"):
        monkeypatch.setenv(name, "sesame")
    monkeypatch.setenv("RCFAIL_USER", "ops")
    _, rows = ran("echo $RCFAIL_NODE_ID; echo $RCFAIL_USER; env", RCFAIL_NODE_ID="abc")
    assert rows[:2] == ["abc", "ops"]
    assert not any("sesame" in row for row in rows)


def test_nobody_answers_its_questions() -> None:
    assert ran("read line || echo nobody")[1] == ["nobody"]


def test_what_takes_too_long_is_ended_with_all_that_it_started(tmp_path: object) -> None:
    ended, rows = ran("sleep 300 & echo $!; sleep 300", within_s=0.5)
    assert (ended.timed_out, ended.well) == (True, False)
    pid = int(rows[0])
    poll(lambda: _gone(pid), bool, deadline=Deadline.after(30), every_s=0.05, waiting_for="its child to end")


def _gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    with open(f"/proc/{pid}/stat") as file:  # a zombie that nobody has reaped
        return file.read().rpartition(")")[2].split()[0] == "Z"


def test_what_it_leaves_running_does_not_hold_us() -> None:
    ended, rows = ran("sleep 300 & echo $!")
    assert ended.well
    os.kill(int(rows[0]), signal.SIGKILL)


def test_a_line_without_end_comes_in_pieces_and_bytes_that_are_no_text_are_shown() -> None:
    _, rows = ran("head -c 100000 /dev/zero | tr '\\0' x; printf '\\377\\n'")
    assert all(len(row) <= 4096 for row in rows)
    assert "".join(rows) == "x" * 100000 + "\\xff"


def test_ctrl_c_lets_it_end_and_is_remembered() -> None:
    told: list[str] = []

    def say(row: str) -> None:
        if row == "begun":
            threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()

    errand = Errand("echo begun; sleep 1; echo ended", {}, 60.0)
    rows: list[str] = []

    def both(row: str) -> None:
        rows.append(row)
        say(row)

    ended = run_errand(errand, both, told.append, SYSTEM_CLOCK)
    assert (ended.code, ended.interrupted, rows) == (0, True, ["begun", "ended"])
    assert "Ctrl-C again" in told[0]
