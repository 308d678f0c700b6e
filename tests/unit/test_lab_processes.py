"""Only processes that we started are ever signalled, and each of them can be ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rcfail.clock import Deadline, poll
from rcfail.errors import LabFault
from rcfail.practice.lab import processes
from rcfail.practice.lab.processes import Process, ProcessState, end, hold_back, myself, send, state_of


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "300"]) as one:
        yield one
        one.kill()


@pytest.fixture(params=["proc", "ps"])
def source(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where start times come from: /proc, or ps where the system has no /proc."""
    if request.param == "ps":
        monkeypatch.setattr(processes, "_look", processes._ask_ps)
    elif not Path("/proc/self/stat").exists():
        pytest.skip("this system has no /proc")
    return str(request.param)


def known(pid: int) -> Process:
    seen = processes._look(pid)
    assert seen is not None
    return Process(pid, seen.started)


def wait_until(process: Process, state: ProcessState) -> None:
    poll(
        lambda: state_of(process),
        lambda now: now is state,
        deadline=Deadline.after(5),
        every_s=0.01,
        waiting_for=f"the process to be {state}",
    )


def test_a_process_is_known_by_pid_and_start(source: str, stranger: subprocess.Popen[bytes]) -> None:
    process = known(stranger.pid)
    assert state_of(process) is ProcessState.RUNNING
    assert send(process, signal.SIGSTOP)
    wait_until(process, ProcessState.FROZEN)
    assert send(process, signal.SIGCONT)
    wait_until(process, ProcessState.RUNNING)


@pytest.mark.parametrize("started", ["", "1@other-boot", "Thu Jan 1 00:00:00 1970"])
def test_the_pid_of_another_process_is_not_signalled(
    source: str, stranger: subprocess.Popen[bytes], started: str
) -> None:
    reused = Process(stranger.pid, started)
    assert state_of(reused) is ProcessState.ENDED
    assert not send(reused, signal.SIGKILL)
    end([reused], Deadline.after(1))
    assert stranger.poll() is None


def test_a_start_time_of_another_boot_is_another_process(stranger: subprocess.Popen[bytes]) -> None:
    process = known(stranger.pid)
    if "@" not in process.started:
        pytest.skip("this system has no /proc")
    ticks, _, _ = process.started.partition("@")
    assert state_of(Process(stranger.pid, f"{ticks}@another-boot")) is ProcessState.ENDED


def test_a_zombie_has_ended(source: str) -> None:
    with subprocess.Popen(["sleep", "300"]) as child:
        process = known(child.pid)
        child.send_signal(signal.SIGKILL)
        wait_until(process, ProcessState.ENDED)


def test_a_pid_that_nobody_has_is_not_signalled(source: str) -> None:
    assert not send(Process(2**22 - 1, "1"), signal.SIGKILL)


def test_a_server_begins_when_it_is_released(tmp_path: Path) -> None:
    said = tmp_path / "said"
    held = hold_back(["/bin/sh", "-c", f"echo $$ > '{said}'; exec sleep 300"], tmp_path / "output")
    assert state_of(held.process) is ProcessState.RUNNING
    assert not said.exists()
    held.release()
    poll(
        lambda: said.exists() and said.read_text(),
        bool,
        deadline=Deadline.after(5),
        every_s=0.01,
        waiting_for="the server to begin",
    )
    # The pid that was known before it began is still its own: exec keeps it.
    assert int(said.read_text()) == held.process.pid
    assert state_of(held.process) is ProcessState.RUNNING
    assert os.getsid(held.process.pid) == held.process.pid
    end([held.process], Deadline.after(5))
    assert state_of(held.process) is ProcessState.ENDED


def test_a_server_that_is_dropped_never_begins(tmp_path: Path) -> None:
    said = tmp_path / "said"
    held = hold_back(["/bin/sh", "-c", f"echo began > '{said}'"], tmp_path / "output")
    held.drop()
    wait_until(held.process, ProcessState.ENDED)
    assert not said.exists()


def test_a_frozen_server_is_ended(tmp_path: Path) -> None:
    held = hold_back(["/bin/sleep", "300"], tmp_path / "output")
    held.release()
    send(held.process, signal.SIGSTOP)
    wait_until(held.process, ProcessState.FROZEN)
    end([held.process], Deadline.after(5))
    assert state_of(held.process) is ProcessState.ENDED


def test_a_server_gets_no_password_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RCFAIL_PASSWORD", "REDISCLI_AUTH"):
        monkeypatch.setenv(name, "open-sesame")
    held = hold_back([sys.executable, "-c", "import os; print(dict(os.environ))"], tmp_path / "output")
    held.release()
    wait_until(held.process, ProcessState.ENDED)
    said = (tmp_path / "output").read_text()
    assert "PATH" in said
    assert "open-sesame" not in said


def test_a_process_that_does_not_end_is_named(
    monkeypatch: pytest.MonkeyPatch, stranger: subprocess.Popen[bytes]
) -> None:
    monkeypatch.setattr(processes, "send", lambda *_: True)
    with pytest.raises(LabFault, match=f"do not end: {stranger.pid}"):
        end([known(stranger.pid)], Deadline.after(0.05))


def test_we_know_ourselves(source: str) -> None:
    assert state_of(myself()) is ProcessState.RUNNING
    assert myself() == myself()
