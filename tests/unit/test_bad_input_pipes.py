"""Pipes and endless devices where files are meant: an end in time, a code of ours, and what is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from rcfail.exits import ExitCode
from rcfail.pipes import read_file, write_through
from tests.unit.ordeal import endure, fails
from tests.unit.wire_servers import closed_port

SEED = ("-s", str(closed_port()))


@pytest.fixture
def pipe(tmp_path: Path) -> str:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return str(path)


@pytest.mark.parametrize(
    "words",
    [
        ("health", *SEED, "--password-file"),
        ("health", *SEED, "--cacert"),
        ("health", *SEED, "--cert"),
        ("health", "--from-record"),
        ("nodes", "--from"),
        ("record", *SEED, "--force"),
    ],
)
def test_a_pipe_that_nobody_else_opens_holds_nobody(words: tuple[str, ...], pipe: str) -> None:
    assert pipe in fails(ExitCode.CONFIG, *words, pipe).error


def test_a_config_file_that_is_a_pipe_holds_nobody(pipe: str) -> None:
    assert pipe in fails(ExitCode.CONFIG, "health", "-c", "prod", env={"RCFAIL_CONFIG": pipe}).error


def test_an_answer_into_a_pipe_that_nobody_reads_is_told(pipe: str) -> None:
    ended = endure("exit-codes", "--output-file", pipe)
    assert ended.code == ExitCode.INTERNAL
    assert "could not be written: Nobody reads from it" in ended.err


def test_a_certificate_without_end_is_refused() -> None:
    assert "/dev/zero" in fails(ExitCode.CONFIG, "health", *SEED, "--cert", "/dev/zero").error


def test_a_pipe_is_read_and_written_whole(pipe: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Longer than what a pipe holds by itself, with both ends at work at once, however late one of them begins."""
    monkeypatch.setattr("rcfail.pipes._NOBODY_S", 30.0)
    raw = os.urandom(1_000_000)
    writer = threading.Thread(target=lambda: Path(pipe).write_bytes(raw))
    writer.start()
    assert read_file(pipe, 2_000_000) == raw
    writer.join(30)
    found: list[bytes] = []
    holder = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)  # so that the writer finds an open pipe
    reader = threading.Thread(target=lambda: found.append(read_file(pipe, len(raw))))
    reader.start()
    write_through(pipe, raw)
    reader.join(30)
    os.close(holder)
    assert found == [raw]


def test_a_writer_that_closes_later_than_it_writes_ends_the_text(pipe: str) -> None:
    """All was read while the pipe was still open; its closing then is the end and no failure."""

    def write_and_linger() -> None:
        with open(pipe, "wb", buffering=0) as file:
            file.write(b"hunter2")
            all_read.wait(30)

    all_read = threading.Event()
    writer = threading.Thread(target=write_and_linger)
    writer.start()
    threading.Timer(0.3, all_read.set).start()
    assert read_file(pipe, 100) == b"hunter2"
    writer.join(30)


def test_an_output_file_without_a_name_is_a_mistake() -> None:
    """A script whose variable is empty would leave the old verdict where it is read."""
    ended = endure("health", *SEED, "--output-file", "")
    assert ended.code == ExitCode.USAGE
    assert "--output-file needs the name of a file" in ended.err


@pytest.mark.parametrize(
    "text", ["a" + ".a" * 60_000 + "=1", "a" + ".a" * 500_000 + "=1", "[clusters.prod]\nx=" + "9" * 9000]
)
def test_a_config_file_that_is_made_to_cost_much_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(text)
    for words in (("health", "-c", "prod"), ("config", "list")):
        assert str(path) in fails(ExitCode.CONFIG, *words, env={"RCFAIL_CONFIG": str(path)}).error


def test_a_password_where_the_name_of_its_variable_belongs_is_not_repeated(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('[clusters.prod]\nseeds = ["127.0.0.1:1"]\npassword_env = "hunter2!"\n')
    for words in (("health", "-c", "prod"), ("config", "show", "-c", "prod"), ("config", "list")):
        ended = endure(*words, env={"RCFAIL_CONFIG": str(path)})
        assert ended.code == ExitCode.CONFIG
        assert "hunter2" not in ended.out + ended.err


FLOOD = """
import socket
record = b"\\x16\\x03\\x03\\x40\\x00" + b"\\x00" * 16384
with socket.create_server(("127.0.0.1", 0)) as listener:
    print(listener.getsockname()[1], flush=True)
    while True:
        call, _ = listener.accept()
        try:
            call.recv(1000)
            while True:
                call.sendall(record * 256)
        except OSError:
            call.close()
"""


def test_a_tls_handshake_of_greetings_without_end_ends_in_time() -> None:
    """As fast as they can come, so in a process of its own: OpenSSL looks at the time only when it has to wait."""
    with subprocess.Popen([sys.executable, "-c", FLOOD], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        try:
            node = f"127.0.0.1:{int(server.stdout.readline())}"
            for _ in range(3):
                ended = endure("probe", "live", "--node", node, "--tls", "--deadline", "4s", within_s=40)
                assert ended.code == ExitCode.WARNING
        finally:
            server.kill()
