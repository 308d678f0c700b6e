"""The only exit of the process: codes, stdout and stderr, whatever happens."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rcfail.commands.exit_codes import exit_codes
from rcfail.commands.table import COMMANDS, FOREIGN
from rcfail.errors import CannotSee, ConfigFault, LabFault, OutOfTime, RcfailError, Refused, UsageFault
from rcfail.exits import MEANINGS, ExitCode
from tests.unit.running import Ran, process, rcfail, recorded
from tests.unit.world import World

Capsys = pytest.CaptureFixture[str]

PIPE = "import sys; from rcfail.cli import main; main(sys.argv[1:])"


def test_the_exit_codes_are_frozen() -> None:
    assert {code.name: int(code) for code in ExitCode} == {
        "OK": 0, "WARNING": 1, "CRITICAL": 2, "UNKNOWN": 3,
        "REFUSED": 10, "NOT_DONE": 11, "INCOMPLETE": 12, "LIMIT": 13, "LOCKED": 14, "INDETERMINATE": 15, "TIMEOUT": 16,
        "USAGE": 64, "DECLINED": 65, "INTERNAL": 70, "CONFIG": 78, "INTERRUPTED": 130,
    }  # fmt: skip
    assert MEANINGS.keys() == set(ExitCode)


@pytest.mark.parametrize(
    ("fault", "code"),
    [(UsageFault, 64), (ConfigFault, 78), (CannotSee, 3), (Refused, 10), (LabFault, 70), (OutOfTime, 16)],
)
def test_every_fault_has_its_code_its_line_and_its_hint(
    capsys: Capsys, monkeypatch: pytest.MonkeyPatch, fault: type[RcfailError], code: int
) -> None:
    monkeypatch.setattr(exit_codes, "callback", _raiser(fault("it went wrong", "Do this: rcfail that")))
    assert rcfail(capsys, "exit-codes") == Ran(code, "", "rcfail: error: it went wrong\nhint: Do this: rcfail that\n")


def _raiser(error: BaseException) -> object:
    def callback() -> None:
        raise error

    return callback


def test_the_list_of_exit_codes_is_the_contract(capsys: Capsys) -> None:
    ran = rcfail(capsys, "exit-codes", "-o", "json")
    listed = ran.document["data"]["exit_codes"]
    assert {each["name"]: each["code"] for each in listed} == {code.name: int(code) for code in ExitCode}
    text = rcfail(capsys, "exit-codes").out
    assert all(code.name in text for code in ExitCode)


def test_no_command_is_answered_with_the_help(capsys: Capsys) -> None:
    ran = rcfail(capsys)
    assert (ran.code, ran.out) == (64, "")
    assert "Commands:" in ran.err
    assert ran.err.endswith("rcfail: error: no command was given\nhint: Judge a cluster: rcfail health -s HOST:PORT\n")
    assert rcfail(capsys, "-o", "json").error["code"] == "usage"


@pytest.mark.parametrize("word", sorted(FOREIGN))
def test_redis_clis_words_are_answered_with_ours(capsys: Capsys, word: str) -> None:
    ran = rcfail(capsys, word, "127.0.0.1:7000")
    assert ran.code == 64
    assert "redis-cli's word" in ran.err
    assert ran.err.splitlines()[1] == f"hint: {FOREIGN[word]}"


def test_hints_for_redis_clis_words_name_commands_that_exist() -> None:
    for hint in FOREIGN.values():
        for words in hint.split("rcfail ")[1:]:
            assert words.split()[0].strip(".,") in {*COMMANDS, "--help"}, hint


def test_check_is_health(capsys: Capsys) -> None:
    assert "rcfail health -s HOST:PORT" in rcfail(capsys, "check").err
    assert "rcfail health -s HOST:PORT" in rcfail(capsys, "--cluster", "check", "h:1").err


@pytest.mark.parametrize(("typo", "meant"), [("helth", "health"), ("node", "nodes"), ("exitcodes", "exit-codes")])
def test_a_misspelled_command_is_guessed_but_not_run(capsys: Capsys, typo: str, meant: str) -> None:
    ran = rcfail(capsys, typo)
    assert (ran.code, ran.out) == (64, "")
    assert f"hint: Did you mean: rcfail {meant}\n" in ran.err


def test_what_is_like_nothing_is_sent_to_the_help(capsys: Capsys) -> None:
    assert "hint: All commands: rcfail --help" in rcfail(capsys, "qqqq\x1b[31m").err
    assert "\x1b" not in rcfail(capsys, "qqqq\x1b[31m").err


@pytest.mark.parametrize(
    "args",
    [
        ["health", "--nosuch"],
        ["--nosuch", "health"],
        ["health", "extra"],
        ["health", "--wait", "soon"],
        ["health", "--wait"],
        ["health", "--min-replicas", "-1"],
        ["health", "--min-replicas", "many"],
        ["health", "--fail-on", "unknown"],
        ["health", "--deadline", "0"],
        ["record"],
        ["health"],
        ["nodes", "-s", "h:x"],
        ["health", "--ignore", "slots-failde", "-s", "h"],
        ["health", "--from-record", "f", "-s", "h"],
        ["explain", "nosuch"],
        ["lab"],
        ["lab", "nosuch"],
        ["nodes", "--from", "f", "-s", "h"],
    ],
)
def test_a_wrong_command_line_is_one_line_and_a_hint(capsys: Capsys, args: list[str]) -> None:
    ran = rcfail(capsys, *args)
    assert (ran.code, ran.out) == (64, ""), ran
    error, hint = ran.err.splitlines()[-2:]
    assert error.startswith("rcfail: error: ")
    assert not error.endswith(".")
    assert hint.startswith("hint: ")
    as_json = rcfail(capsys, "-o", "json", *args)
    assert as_json.err == ""
    assert as_json.document["exit_code"] == 64
    assert as_json.error["message"] == error.removeprefix("rcfail: error: ")


def test_an_output_that_does_not_exist_is_a_usage_error(capsys: Capsys) -> None:
    assert rcfail(capsys, "exit-codes", "-o", "yaml").code == 64


@pytest.mark.parametrize(
    "args",
    [
        ["-o", "json", "check"],
        ["check", "-ojson"],
        ["--output=json", "health", "--nosuch"],
        ["health", "--output", "json"],
    ],
)
def test_json_is_recognised_also_where_the_command_line_is_wrong(capsys: Capsys, args: list[str]) -> None:
    ran = rcfail(capsys, *args)
    assert (ran.code, ran.err) == (64, "")
    assert ran.document["exit"] == "USAGE"
    assert ran.document["command"] in ("check", "health")


@pytest.mark.parametrize(
    "args",
    [
        ["--password", "hunter2", "health"],
        ["health", "--password=hunter2"],
        ["-a", "hunter2", "health"],
        ["health", "-ahunter2"],
        ["health", "--pass", "hunter2"],
        ["health", "-s", "redis://:hunter2@h:1"],
        ["health", "-s", "default:hunter2@h"],
    ],
)
@pytest.mark.parametrize("output", ["text", "json"])
def test_a_password_on_the_command_line_is_refused_and_not_repeated(
    capsys: Capsys, args: list[str], output: str
) -> None:
    ran = rcfail(capsys, "-o", output, *args)
    assert ran.code == 64
    assert "hunter2" not in ran.out + ran.err
    assert "RCFAIL_PASSWORD" in ran.out + ran.err or "HOST:PORT" in ran.out + ran.err


def test_a_surprise_is_one_line_without_a_traceback(capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exit_codes, "callback", _raiser(RuntimeError("un\x1bexpected\nthing")))
    ran = rcfail(capsys, "exit-codes")
    assert (ran.code, ran.out) == (70, "")
    assert ran.err.splitlines()[0] == r"rcfail: error: RuntimeError: un\x1bexpected\x0athing"
    assert "Traceback" not in ran.err


def test_the_traceback_is_there_for_who_asks_and_holds_no_secret(
    capsys: Capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RCFAIL_DEBUG", "1")
    monkeypatch.setenv("RCFAIL_PASSWORD", "hunter2")
    monkeypatch.setattr(exit_codes, "callback", _raiser(RuntimeError("AUTH hunter2")))
    ran = rcfail(capsys, "exit-codes")
    assert "Traceback" in ran.err
    assert "hunter2" not in ran.err
    assert ran.code == 70


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (KeyboardInterrupt(), 130),
        (ImportError("No module named 'redis'"), 70),
        (SystemExit(1), 70),
        (MemoryError(), 70),
        (BrokenPipeError(), 0),
    ],
)
def test_no_code_of_pythons_comes_through(
    capsys: Capsys, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int
) -> None:
    monkeypatch.setattr(exit_codes, "callback", _raiser(error))
    assert rcfail(capsys, "exit-codes").code == code


def test_a_command_that_forgets_its_answer_is_a_fault_of_ours(capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exit_codes, "callback", lambda: None)
    assert rcfail(capsys, "exit-codes").code == 70


def test_help_and_version_end_well(capsys: Capsys) -> None:
    assert rcfail(capsys, "--version").out.startswith("rcfail 0.")
    for args in (["-h"], ["--help"], ["health", "-h"], ["lab", "--help"], ["lab", "up", "-h"]):
        ran = rcfail(capsys, *args)
        assert (ran.code, ran.err) == (0, ""), args
        assert ran.out.startswith("Usage: rcfail"), args


def _dead(folder: Path) -> str:
    world = World.of(3, 1)
    world.kill("a")
    return recorded(world, folder)


def test_a_reader_who_has_seen_enough_changes_no_code(tmp_path: Path) -> None:
    for args, code in ((["explain"], 0), (["--help"], 0), (["health", "--from-record", _dead(tmp_path)], 2)):
        with subprocess.Popen(
            [sys.executable, "-c", PIPE, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as running:
            assert running.stdout is not None
            running.stdout.close()  # before anything is written, like `| head -0`
            assert running.stderr is not None
            said = running.stderr.read()
        assert (running.returncode, said) == (code, ""), args


def test_a_pipe_through_head_is_quiet(tmp_path: Path) -> None:
    script = (
        f'"{sys.executable}" -m rcfail health --from-record "{_dead(tmp_path)}" | head -1; echo "${{PIPESTATUS[0]}}"'
    )
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines()[0].startswith("CRITICAL")
    assert done.stdout.splitlines()[1] == "2"
    assert done.stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_an_answer_that_cannot_be_written_never_ends_with_ok(tmp_path: Path) -> None:
    for args, code in ((["exit-codes"], 70), (["health", "--from-record", _dead(tmp_path)], 2)):
        with open("/dev/full", "w") as full:
            done = subprocess.run(
                [sys.executable, "-m", "rcfail", *args], stdout=full, stderr=subprocess.PIPE, text=True, check=False
            )
        assert done.returncode == code
        assert done.stderr.startswith("rcfail: error: the answer could not be written")
        assert "Traceback" not in done.stderr


def test_a_closed_stdout_is_no_ok() -> None:
    script = f'"{sys.executable}" -m rcfail exit-codes >&-'
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 70
    assert done.stderr.startswith("rcfail: error: the answer could not be written")


def test_a_terminal_without_the_characters_gets_escapes(tmp_path: Path) -> None:
    table = tmp_path / "nodes.txt"
    table.write_text(f"{'a' * 40} 127.0.0.1:7000@17000,örebro myself,master - 0 0 1 connected 0-16383\n")
    assert "örebro" in process(["nodes", "--from", str(table)], PYTHONIOENCODING="utf-8").out
    ran = process(["nodes", "--from", str(table)], PYTHONIOENCODING="ascii")
    assert (ran.code, ran.err) == (0, "")
    assert r"\xf6rebro" in ran.out


@pytest.mark.parametrize(
    ("args", "absent"),
    [
        (["--version"], {"redis", "rich", "tenacity", "asyncio", "rcfail.commands.health", "rcfail.cluster.snapshot"}),
        (["--help"], {"redis", "rich", "tenacity", "asyncio", "rcfail.commands.health", "rcfail.cluster.snapshot"}),
        (["exit-codes"], {"redis", "rich", "tenacity", "asyncio", "rcfail.commands.health", "rcfail.commands.lab"}),
        (["health", "--from-record", "RECORD"], {"redis", "rich", "tenacity", "asyncio", "rcfail.commands.lab"}),
        (["health", "--from-record", "RECORD", "-o", "json"], {"redis", "rich", "tenacity", "asyncio", "ssl"}),
        (["health", "-s", "127.0.0.1:1", "-o", "json"], {"rich", "tenacity", "rcfail.practice"}),
    ],
)
def test_only_what_a_command_needs_is_loaded(tmp_path: Path, args: list[str], absent: set[str]) -> None:
    record = recorded(World.of(3, 1), tmp_path)
    args = [record if each == "RECORD" else each for each in args]
    script = "import sys; from rcfail.cli import run; run(sys.argv[1:]); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", script, *args],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env=dict(os.environ),
    )
    loaded = done.stderr.splitlines()[-1].split()
    assert "rcfail.cli" in loaded
    assert not absent & set(loaded)
