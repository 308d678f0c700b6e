"""Whatever happens to `rcfail lab up`, nothing of it stays: nor does anything of somebody else's go."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from rcfail.clock import Deadline, poll
from rcfail.practice.lab.processes import Process, ProcessState, state_of
from rcfail.practice.lab.register import LabEntry, Register, Stage
from tests.real.conftest import clean
from tests.real.servers import REPOSITORY, rcfail_command, rcfail_environment, run_rcfail

needs_proc = pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="needs /proc to find processes")

# What `up` says on stderr at its stages.
STAGES = ["starting", "servers answer", "know each other"]


def environment(home: Path, **more: str) -> dict[str, str]:
    return rcfail_environment(RCFAIL_LAB_HOME=str(home), **more)


def rcfail(home: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    return run_rcfail(*words, environment=environment(home, **more))


def document(ran: subprocess.CompletedProcess[str]) -> dict[str, object]:
    found = json.loads(ran.stdout)
    assert isinstance(found, dict)
    return found


def processes_of(home: Path) -> list[int]:
    """The pids of servers, and of shells that are about to be servers, that work in a home."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            where = os.readlink(folder / "cwd")
            command = (folder / "cmdline").read_bytes().decode("utf-8", "replace")
        except OSError:
            continue
        if where.startswith(str(home)) or f"{home}/" in command:
            found.append(int(folder.name))
    return found


def wait_for(condition: Callable[[], bool], what: str, within_s: float = 10.0) -> None:
    poll(condition, bool, deadline=Deadline.after(within_s), every_s=0.02, waiting_for=what)


@contextmanager
def up_until(home: Path, stage: str) -> Iterator[subprocess.Popen[str]]:
    """`rcfail lab up half` in a session of its own, as far as it says what stands for a stage."""
    with subprocess.Popen(
        rcfail_command("lab", "up", "half"),
        cwd=REPOSITORY,
        env=environment(home),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as made:
        assert made.stderr is not None
        try:
            for row in made.stderr:
                if stage in row:
                    break
            else:
                pytest.fail(f"up never came to: {stage}")
            yield made
        finally:
            made.kill()
            made.wait()


def entry_of(home: Path, name: str = "half") -> LabEntry:
    return Register(home).read(name)


def test_up_status_env_list_and_down_each_from_a_process_of_its_own(lab_home: Path) -> None:
    up = rcfail(lab_home, "lab", "up", "-o", "json")
    assert up.returncode == 0, up.stderr
    nodes = document(up)["data"]["nodes"]  # type: ignore[index]
    assert [node["role"] for node in nodes] == ["primary"] * 3 + ["replica"] * 3
    status = rcfail(lab_home, "lab", "status")
    assert "6 of 6 servers run" in status.stdout
    assert "n4" in status.stdout
    assert "replica of n1" in status.stdout
    seeds = ",".join(f"{node['host']}:{node['port']}" for node in nodes)
    shell = subprocess.run(
        ["/bin/sh", "-c", f'eval "$({sys.executable} -m rcfail lab env)"; printf %s "$RCFAIL_SEEDS"'],
        cwd=REPOSITORY,
        env=environment(lab_home),
        capture_output=True,
        text=True,
        check=True,
    )
    assert shell.stdout == seeds
    listed = document(rcfail(lab_home, "lab", "list", "-o", "json"))["data"]
    assert [lab["name"] for lab in listed["labs"]] == ["default"]  # type: ignore[index]
    entry = entry_of(lab_home, "default")
    down = rcfail(lab_home, "lab", "down")
    assert (down.returncode, down.stdout) == (0, "gone: default\n")
    assert all(state_of(node.process) is ProcessState.ENDED for node in entry.nodes if node.process)
    again = rcfail(lab_home, "lab", "down")
    assert again.returncode == 64
    assert "there is no lab named default" in again.stderr


@needs_proc
@pytest.mark.parametrize("stage", STAGES)
def test_up_killed_half_way_is_taken_down_from_another_process(lab_home: Path, stage: str) -> None:
    with up_until(lab_home, stage) as made:
        made.send_signal(signal.SIGKILL)
        made.wait()
    entry = entry_of(lab_home)
    assert entry.stage is Stage.FORMING
    refused = rcfail(lab_home, "lab", "up", "half")
    assert refused.returncode == 64
    assert "half-made lab named half was left behind" in refused.stderr
    assert "rcfail lab down half" in refused.stderr
    down = rcfail(lab_home, "lab", "down", "half")
    assert (down.returncode, down.stdout) == (0, "gone: half\n"), down.stderr
    wait_for(lambda: not processes_of(lab_home), "no process of the lab to be left")
    assert not Register(lab_home).names()


@needs_proc
def test_servers_that_were_not_entered_yet_end_with_their_maker(lab_home: Path) -> None:
    """The maker dies between making a process and writing its pid down: nobody could ever end it."""
    program = (
        "import os, signal, pathlib\n"
        "from rcfail.practice.lab import up\n"
        "from rcfail.practice.lab.register import Register\n"
        "from rcfail.practice.lab.wish import Wish\n"
        "def die(*_): os.kill(os.getpid(), signal.SIGKILL)\n"
        "up._release = die\n"
        f"up.bring_up(Wish('half'), Register(pathlib.Path({str(lab_home)!r})))\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, timeout=30, check=False)
    assert ran.returncode == -signal.SIGKILL
    wait_for(lambda: not processes_of(lab_home), "the shells that held the servers back to end")
    entry = entry_of(lab_home)
    assert [node.process for node in entry.nodes] == [None] * 6
    assert rcfail(lab_home, "lab", "down", "half").returncode == 0


@needs_proc
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_up_leaves_nothing_behind(lab_home: Path, stage: str, number: signal.Signals) -> None:
    with up_until(lab_home, stage) as made:
        os.killpg(made.pid, number)  # as a terminal does: to the whole group
        assert made.wait(timeout=20) == 130
        assert made.stderr is not None
        assert "interrupted" in made.stderr.read()
    assert not Register(lab_home).names()
    assert not processes_of(lab_home)


def test_servers_outlive_ctrl_c_in_the_shell_that_made_them(lab_home: Path) -> None:
    done = lab_home / "done"
    up = shlex.join(rcfail_command("lab", "up"))
    with subprocess.Popen(
        ["/bin/sh", "-c", f"{up} >/dev/null 2>&1 && touch {shlex.quote(str(done))}; read -r line"],
        cwd=REPOSITORY,
        env=environment(lab_home),
        stdin=subprocess.PIPE,
        start_new_session=True,
    ) as shell:
        wait_for(done.exists, "the lab", 30)
        os.killpg(shell.pid, signal.SIGINT)
        shell.wait(timeout=10)
    states = [state_of(node.process) for node in entry_of(lab_home, "default").nodes if node.process]
    assert states == [ProcessState.RUNNING] * 6


def test_busy_ports_are_named_and_nothing_is_left(lab_home: Path) -> None:
    base = 8801
    # Somebody listens on all addresses on the bus port of the third node.
    with socket.socket() as bus:
        bus.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bus.bind(("0.0.0.0", base + 2 + 10000))
        bus.listen()
        ran = rcfail(lab_home, "lab", "up", "--base-port", str(base))
    assert ran.returncode == 70
    assert f"bus port {base + 2 + 10000} on 127." in ran.stderr
    assert f"--base-port, or see who has it: ss -ltnp 'sport = :{base + 10002}'" in ran.stderr
    assert not Register(lab_home).names()


def test_no_server_program_at_all(lab_home: Path) -> None:
    ran = rcfail(lab_home, "lab", "up", "--server", "/nonexistent/redis-server")
    assert ran.returncode == 64
    assert "--server /nonexistent/redis-server does not exist" in ran.stderr
    assert not Register(lab_home).names()


def test_a_server_that_fails_shows_its_log_and_keeps_its_folder_on_request(lab_home: Path) -> None:
    ran = rcfail(lab_home, "lab", "up", "--conf", "maxmemory many", "--keep", "-o", "json")
    assert ran.returncode == 70
    found = document(ran)
    assert "maxmemory" in str(found["data"])
    assert "ended by itself" in found["errors"][0]["message"]  # type: ignore[index]
    assert (lab_home / "default" / "n1" / "redis.conf").exists()
    assert rcfail(lab_home, "lab", "down").returncode == 0
    assert not Register(lab_home).names()


def test_two_ups_of_one_name_make_one_lab(lab_home: Path) -> None:
    started = [
        subprocess.Popen(
            rcfail_command("lab", "up", "twin"),
            cwd=REPOSITORY,
            env=environment(lab_home),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    ended = {}
    for one in started:
        _, said = one.communicate(timeout=60)
        ended[one.returncode] = said
    assert sorted(ended) in ([0, 64], [0, 70]), ended
    loser = ended[64] if 64 in ended else ended[70]
    assert "already a lab named twin" in loser or "another rcfail is at work" in loser
    entry = entry_of(lab_home, "twin")
    assert [state_of(node.process) for node in entry.nodes if node.process] == [ProcessState.RUNNING] * 6


@needs_proc
def test_what_a_killed_test_run_left_behind_is_cleaned_by_the_next_one(lab_home: Path) -> None:
    program = (
        "import os, signal, pathlib\n"
        "from rcfail.practice.lab.register import Register\n"
        "from rcfail.practice.lab.up import bring_up\n"
        "from rcfail.practice.lab.wish import Wish\n"
        f"bring_up(Wish('left', primaries=1, replicas=0), Register(pathlib.Path({str(lab_home)!r})))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, timeout=30, check=False)
    register = Register(lab_home)
    assert register.read("left").stage is Stage.READY
    assert processes_of(lab_home)
    clean(register)
    assert not register.names()
    assert not processes_of(lab_home)


@needs_proc
def test_a_pid_that_is_somebody_elses_by_now_is_left_alone(lab_home: Path) -> None:
    assert rcfail(lab_home, "lab", "up", "--primaries", "1", "--replicas", "0").returncode == 0
    register = Register(lab_home)
    entry = register.read("default")
    node = entry.nodes[0]
    assert node.process is not None
    with subprocess.Popen(["sleep", "300"]) as stranger:
        try:
            # As if our server had ended, and its pid had gone to another process.
            register.write(entry.with_node(replace(node, process=Process(stranger.pid, node.process.started))))
            for fault in ("kill", "freeze", "thaw"):
                ran = rcfail(lab_home, "lab", "fault", fault, "n1")
                assert ran.returncode == 64
                assert "does not run" in ran.stderr
            assert rcfail(lab_home, "lab", "down").returncode == 0
            assert stranger.poll() is None
            assert Path(f"/proc/{stranger.pid}/stat").read_text().split(")")[1].split()[0] == "S"
        finally:
            stranger.kill()
            os.kill(node.process.pid, signal.SIGKILL)


def test_down_all_goes_on_past_a_lab_that_it_cannot_read(lab_home: Path) -> None:
    assert rcfail(lab_home, "lab", "up", "one", "--primaries", "1", "--replicas", "0").returncode == 0
    broken = lab_home / "broken"
    broken.mkdir()
    (broken / "lab.json").write_text("{}")
    assert "cannot be read" in rcfail(lab_home, "lab", "list").stdout
    ran = rcfail(lab_home, "lab", "down", "--all")
    assert ran.returncode == 70
    assert "gone: one" in ran.stdout
    assert f"{broken}/lab.json cannot be read" in ran.stderr
    assert Register(lab_home).names() == ("broken",)
    (broken / "lab.json").unlink()
    broken.rmdir()


def test_faults_on_the_command_line(lab_home: Path) -> None:
    assert rcfail(lab_home, "lab", "up", "x").returncode == 0
    killed = document(rcfail(lab_home, "lab", "fault", "kill", "n6", "--lab", "x", "-o", "json"))["data"]
    assert killed["node"] == "n6"  # type: ignore[index]
    undo = str(killed["undo"])  # type: ignore[index]
    assert undo == "rcfail lab fault restart n6 --lab x"
    undone = rcfail(lab_home, *undo.split()[1:], "--wait", "20s")
    assert undone.returncode == 0
    assert "it is a replica with its link up" in " ".join(undone.stdout.split())
    unknown = rcfail(lab_home, "lab", "fault", "kill", "n9", "--lab", "x")
    assert unknown.returncode == 64
    assert "Name one of: n1 (127." in unknown.stderr
    nobody = rcfail(lab_home, "lab", "status", "y")
    assert (nobody.returncode, nobody.stderr.splitlines()[1]) == (64, "hint: There is: x.")
