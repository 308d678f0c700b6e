"""--output-file: the file is replaced at once, also when nothing could be seen, and never by half an answer."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from rcfail.render.whole_file import replace_file
from tests.unit.running import rcfail, recorded
from tests.unit.world import World

Capsys = pytest.CaptureFixture[str]


def test_the_answer_goes_into_the_file_alone(capsys: Capsys, tmp_path: Path) -> None:
    record, file = recorded(World.of(3, 1), tmp_path), tmp_path / "health.json"
    ran = rcfail(capsys, "health", "--from-record", record, "-o", "json", "--output-file", str(file))
    assert (ran.code, ran.out, ran.err) == (0, "", "")
    assert json.loads(file.read_text())["verdict"] == "ok"
    assert rcfail(capsys, "health", "--from-record", record, "--output-file", str(file)).code == 0
    assert file.read_text().startswith("OK  16384 slots")


def test_a_file_for_people_holds_the_error_too(capsys: Capsys, tmp_path: Path) -> None:
    file = tmp_path / "health.txt"
    ran = rcfail(capsys, "health", "-s", "127.0.0.9:1", "--output-file", str(file))
    assert (ran.code, ran.out) == (3, "")
    assert file.read_text() == ran.err
    assert ran.err.startswith("rcfail: error: 127.0.0.9:1 refuses the connection\nhint: ")


def test_the_code_is_still_the_verdict(capsys: Capsys, tmp_path: Path) -> None:
    world = World.of(3, 1)
    world.kill("a")
    file = tmp_path / "rcfail.prom"
    args = ("health", "--from-record", recorded(world, tmp_path), "-o", "prometheus")
    assert rcfail(capsys, *args, "--output-file", str(file)).code == 2
    assert 'rcfail_verdict{cluster="127.50.1.1:7000",verdict="critical"} 1\n' in file.read_text()


@pytest.mark.parametrize(
    "args", [["-s", "127.0.0.1:1"], [], ["--nosuch"], ["-s", "h:x"], ["--from-record", "/nonexistent/x"], ["extra"]]
)
def test_an_old_verdict_never_outlives_a_run_that_failed(capsys: Capsys, tmp_path: Path, args: list[str]) -> None:
    file = tmp_path / "rcfail.prom"
    file.write_text("rcfail_up 1\n")
    ran = rcfail(capsys, "health", *args, "-o", "prometheus", f"--output-file={file}")
    assert ran.code != 0
    assert (ran.out, ran.err.startswith("rcfail: error: ")) == ("", True)
    assert "rcfail_up{" in file.read_text()
    assert " 1\n" not in "".join(row for row in file.read_text().splitlines(True) if row.startswith("rcfail_up"))


def test_a_file_that_cannot_be_written_is_no_ok(capsys: Capsys, tmp_path: Path) -> None:
    record = recorded(World.of(3, 1), tmp_path)
    for place in (tmp_path / "nosuch" / "x.prom", tmp_path):
        ran = rcfail(capsys, "health", "--from-record", record, "--output-file", str(place))
        assert ran.code == 70
        assert ran.err.startswith("rcfail: error: the answer could not be written")
        nagios = rcfail(capsys, "health", "--from-record", record, "--output-file", str(place), "-o", "nagios")
        assert nagios.code == 3


def test_a_forgotten_name_is_a_usage_error_and_no_file(
    capsys: Capsys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert rcfail(capsys, "health", "--output-file", "-s", "h").code == 64
    assert rcfail(capsys, "exit-codes", "--output-file", "-o").code == 64
    assert rcfail(capsys, "exit-codes", "--output-file", "-").code == 64
    assert rcfail(capsys, "-o", "", "health").code == 64
    assert rcfail(capsys, "", "health").code == 64
    assert list(tmp_path.iterdir()) == []


def test_other_users_may_read_what_the_umask_lets_them(tmp_path: Path) -> None:
    """node_exporter is another user."""
    file = tmp_path / "rcfail.prom"
    before = os.umask(0o022)
    try:
        replace_file(str(file), "one\n")
    finally:
        os.umask(before)
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    file.chmod(0o640)
    replace_file(str(file), "two\n")
    assert (stat.S_IMODE(file.stat().st_mode), file.read_text()) == (0o640, "two\n")


def test_the_old_file_stands_until_the_new_one_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "rcfail.prom"
    file.write_text("old\n")
    seen: list[tuple[str, list[str]]] = []

    def refuse(source: Path, target: Path) -> None:
        seen.append((file.read_text(), [each.name for each in tmp_path.glob("*.prom")]))
        raise OSError(5, "no")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="no"):
        replace_file(str(file), "new\n")
    assert seen == [("old\n", ["rcfail.prom"])], "a collector would read a second *.prom"
    assert [each.name for each in tmp_path.iterdir()] == ["rcfail.prom"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    real, link = tmp_path / "real.prom", tmp_path / "link.prom"
    real.write_text("old\n")
    link.symlink_to(real)
    replace_file(str(link), "new\n")
    assert (link.is_symlink(), real.read_text()) == (True, "new\n")


def test_what_is_no_file_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "rcfail", "exit-codes", "--output-file", "/dev/stdout"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.startswith("  0  OK")
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with os.fdopen(os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)) as reader:
        replace_file(str(fifo), "through\n")
        assert reader.read() == "through\n"
    assert stat.S_ISFIFO(fifo.stat().st_mode)
