"""rcfail health --watch as a process: in a pipe, as documents, on a terminal, and however it is ended."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator

import pytest

from rcfail.clock import Deadline, poll
from rcfail.wire.bounds import MIB
from tests.unit.running import process, rcfail
from tests.unit.wire_servers import serving
from tests.unit.wire_world import Servers
from tests.unit.world import World

BOUND_S = 60.0
Capsys = pytest.CaptureFixture[str]
STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d"


@pytest.fixture
def servers() -> Iterator[Servers]:
    """Three shards of one replica each, all well."""
    three = Servers(World.of(3, 1))
    with serving(*three.all):
        yield three


class Watched:
    """A running watch; `said` is all that it wrote so far, on a terminal or into a pipe."""

    def __init__(self, args: list[str], terminal: tuple[int, int] | None, **changes: str) -> None:
        if terminal:
            self._ours, theirs = pty.openpty()
            self.resize(*terminal)
        else:
            self._ours, theirs = os.pipe()
        env = {**os.environ, "TERM": "xterm-256color", "NO_COLOR": "", **changes}
        env.pop("COLUMNS", None)
        command = [sys.executable, "-m", "rcfail", "health", *args]
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=theirs, stderr=subprocess.PIPE, env=env, text=True
        )
        os.close(theirs)
        self.said = ""

    def resize(self, lines: int, columns: int) -> None:
        termios.tcsetwinsize(self._ours, (lines, columns))

    def wait(self, until: Callable[[str], object], what: str) -> None:
        ends_s = time.monotonic() + BOUND_S
        while not until(self.said):
            assert time.monotonic() < ends_s, f"waited for {what}; it said:\n{self.said}"
            assert self._read(1.0), f"it ended before {what}; it said:\n{self.said}\n{self.errors()}"

    def _read(self, seconds: float) -> bool:
        """False when there is nothing more to come."""
        if not select.select([self._ours], [], [], seconds)[0]:
            return True
        try:
            data = os.read(self._ours, MIB)
        except OSError:  # Linux says EIO when the other end of a terminal is closed
            return False
        self.said += data.decode().replace("\r\n", "\n")
        return bool(data)

    def end(self, number: signal.Signals = signal.SIGINT) -> int:
        self.process.send_signal(number)
        return self.ended()

    def ended(self) -> int:
        ends_s = time.monotonic() + BOUND_S
        while self._read(1.0):
            assert time.monotonic() < ends_s, f"it never ended; it said:\n{self.said}"
        return self.process.wait(BOUND_S)

    def hang_up(self) -> None:
        if self._ours >= 0:
            os.close(self._ours)
        self._ours = -1

    def errors(self) -> str:
        assert self.process.stderr
        return self.process.stderr.read()


@pytest.fixture
def watching() -> Iterator[Callable[..., Watched]]:
    started: list[Watched] = []

    def start(*args: str, terminal: tuple[int, int] | None = None, **changes: str) -> Watched:
        started.append(Watched(list(args), terminal, **changes))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.wait()
        assert one.process.stderr
        one.process.stderr.close()
        one.hang_up()


Start = Callable[..., Watched]


def seed(servers: Servers) -> list[str]:
    return ["-s", str(servers.first)]


def rounds_in(said: str) -> int:
    return len(re.findall(rf"^{STAMP}  [A-Z]+  ", said, re.MULTILINE))


def test_in_a_pipe_each_round_is_a_line_and_so_is_all_that_happens(servers: Servers, watching: Start) -> None:
    watch = watching(*seed(servers), "--watch", "200ms")
    watch.wait(lambda said: rounds_in(said) >= 2, "two rounds")
    servers.world["b1"].flags += ("nofailover",)
    watch.wait(lambda said: "nofailover" in said, "the flag to be seen")
    assert watch.end() == 1
    assert "\x1b" not in watch.said
    lines = watch.said.splitlines()
    assert all(re.match(rf"{STAMP}  \S", line) for line in lines)
    told = next(line for line in lines if "flags: nofailover" in line)
    assert str(servers.world["b1"].endpoint) in told
    assert lines[-1].split("  ")[1] == "WARNING"
    assert watch.errors() == ""


def test_documents_come_one_a_line_and_tell_the_events(servers: Servers, watching: Start) -> None:
    watch = watching(*seed(servers), "--watch", "200ms", "-o", "json")
    watch.wait(lambda said: said.count("\n") >= 2, "two documents")
    servers.world["b1"].flags += ("nofailover",)
    watch.wait(lambda said: "nofailover" in said.rpartition("\n")[0], "the flag to be seen")
    assert watch.end(signal.SIGTERM) == 1
    documents = [json.loads(line) for line in watch.said.splitlines()]
    usual = json.loads(process(["health", *seed(servers), "-o", "json"]).out)
    for number, each in enumerate(documents, 1):
        assert each.keys() == usual.keys()
        assert each["data"].keys() == {*usual["data"], "round", "at_unix_ms", "events"}
        assert (each["command"], each["data"]["round"]) == ("health", number)
    assert (documents[0]["exit_code"], documents[-1]["exit_code"]) == (0, 1)
    events = [event for each in documents for event in each["data"]["events"]]
    assert documents[0]["data"]["events"] == []
    flags = next(event for event in events if event["kind"] == "flags")
    assert flags.keys() == {"at_unix_ms", "kind", "code", "subject", "before", "after", "text"}
    assert flags["subject"] == {
        "kind": "node", "id": servers.world["b1"].node_id, "address": str(servers.world["b1"].endpoint),
    }  # fmt: skip
    assert (flags["before"], flags["after"], flags["code"]) == ("", "nofailover", None)
    assert any(event["kind"] == "finding-appeared" and event["code"] == "failover-disabled" for event in events)


def test_a_lost_cluster_is_unknown_and_comes_back(watching: Start) -> None:
    three = Servers(World.of(3, 1))
    with serving(*three.all):
        watch = watching(*seed(three), "--watch", "200ms", "-o", "json")
        watch.wait(lambda said: said.count("\n") >= 1, "a document")
    watch.wait(lambda said: "cannot-see" in said.rpartition("\n")[0], "the cluster to be lost")
    documents = [json.loads(line) for line in watch.said.rpartition("\n")[0].splitlines()]
    lost = next(each for each in documents if each["errors"])
    assert (lost["exit_code"], lost["verdict"], lost["errors"][0]["code"]) == (3, "unknown", "cannot-see")
    assert len(lost["data"]["silences"]) >= 1
    turned = [event for each in documents for event in each["data"]["events"] if event["kind"] == "verdict"]
    assert (turned[0]["before"], turned[-1]["after"]) == ("ok", "unknown")
    assert watch.end() == 3


def test_so_many_rounds_and_no_more(servers: Servers, watching: Start) -> None:
    watch = watching(*seed(servers), "--watch", "100ms", "--rounds", "3")
    assert watch.ended() == 0
    assert rounds_in(watch.said) == 3


def test_ended_before_the_first_round_it_is_interrupted(watching: Start) -> None:
    silent = Servers(World.of(1, 0))
    silent.behaviours = {member.node_id: lambda call: call.stay() for member in silent.world}
    with serving(*silent.all):
        watch = watching(*seed(silent), "--watch", "--read-timeout", "30s", "--deadline", "40s", RCFAIL_DEBUG="1")
        poll(
            lambda: all(server.calls for server in silent.all),
            bool,
            deadline=Deadline.after(BOUND_S),
            every_s=0.02,
            waiting_for="the first question",
        )
        assert watch.end() == 130
        assert watch.said == ""
        assert "interrupted" in watch.errors()


def test_a_reader_who_has_seen_enough_ends_it_without_a_word(servers: Servers, watching: Start) -> None:
    watch = watching(*seed(servers), "--watch", "100ms")
    watch.wait(lambda said: rounds_in(said) >= 1, "a round")
    watch.hang_up()
    assert watch.process.wait(BOUND_S) == 0, "the verdict is as true as before"
    assert watch.errors() == ""


class Terminal:
    """As much of a terminal as the picture uses: what stands on it after these bytes."""

    def __init__(self, lines: int) -> None:
        self._lines = lines
        self.rows = [""]
        self._at = 0

    def feed(self, text: str) -> None:
        for piece in re.split(r"(\x1b\[[0-9;?]*[A-Za-z]|\n|\r)", text):
            if piece == "\n":
                self._at += 1
                if self._at == len(self.rows):
                    self.rows.append("")
            elif piece.startswith("\x1b["):
                self._obey(piece[2:-1], piece[-1])
            elif piece and piece != "\r":
                self.rows[self._at] = piece if not self._fresh else self.rows[self._at] + piece
                self._fresh = True
            if piece in ("\n", "\r"):
                self._fresh = False

    _fresh = False

    def _obey(self, number: str, verb: str) -> None:
        if verb == "F":
            self._at -= int(number)
            assert self._at >= 0, "it went above what it has drawn"
            assert len(self.rows) - self._at <= self._lines, "it went above the top of the terminal"
            self._fresh = False
        elif verb == "J":
            del self.rows[self._at + 1 :]
            self.rows[self._at] = ""
            if number == "2":
                self.rows, self._at = [""], 0
        elif verb == "K" and not self._fresh:
            self.rows[self._at] = ""
        else:
            assert verb in "KmhlH", f"an unknown sequence: {verb}"

    @property
    def page(self) -> str:
        return "\n".join(row.rstrip() for row in self.rows)


def shown(watch: Watched, lines: int) -> str:
    terminal = Terminal(lines)
    terminal.feed(watch.said)
    return terminal.page


def pictures(said: str) -> int:
    return said.count("Ctrl-C ends")


def test_on_a_terminal_the_picture_stays_in_its_place_and_the_last_one_remains(
    servers: Servers, watching: Start
) -> None:
    watch = watching(*seed(servers), "--watch", "200ms", terminal=(40, 80))
    watch.wait(lambda said: pictures(said) >= 2, "two pictures")
    servers.world["b1"].flags += ("nofailover",)
    watch.wait(lambda said: "flags: nofailover" in said, "the flag to be seen")
    watch.wait(lambda said: pictures(said) >= 6, "more pictures")
    page = shown(watch, 40)
    assert page.count("Ctrl-C ends") == 1, "the pictures stand over each other"
    assert page.count("WARNING  ") >= 1
    assert watch.end() == 1
    last = shown(watch, 10_000)
    assert "Ctrl-C ends" not in last
    usual = process(["health", *seed(servers)], NO_COLOR="1").out
    assert last.splitlines()[0] == usual.splitlines()[0]
    assert "what happened meanwhile" in last
    assert re.search(r"^\d\d:\d\d:\d\d  \S+ \(b1000000\): flags: nofailover", last, re.MULTILINE)
    assert watch.said.count("\x1b[?7l") == watch.said.count("\x1b[?7h"), "long lines are wrapped again at the end"


@pytest.mark.parametrize(("lines", "columns"), [(24, 80), (10, 40), (5, 20), (3, 5), (0, 0)])
def test_no_picture_is_higher_than_the_terminal(servers: Servers, watching: Start, lines: int, columns: int) -> None:
    watch = watching(*seed(servers), "--watch", "100ms", terminal=(lines, columns))
    watch.wait(lambda said: pictures(said) >= 3, "three pictures")
    height = lines or 24
    for frame in watch.said.split("\x1b[?7l")[1:3]:
        assert frame.partition("\x1b[J")[0].count("\n") <= max(4, height - 1)
    assert watch.end() == 0


def test_without_colours_it_is_still_in_its_place(servers: Servers, watching: Start) -> None:
    watch = watching(*seed(servers), "--watch", "100ms", terminal=(24, 80), NO_COLOR="1")
    watch.wait(lambda said: pictures(said) >= 3, "three pictures")
    watch.end()
    assert not re.search(r"\x1b\[[0-9;]*m", watch.said)
    assert "\x1b[" in watch.said


def test_a_terminal_that_obeys_nothing_gets_lines(servers: Servers, watching: Start) -> None:
    watch = watching(*seed(servers), "--watch", "100ms", "--rounds", "2", terminal=(24, 80), TERM="dumb")
    assert watch.ended() == 0
    assert "\x1b" not in watch.said
    assert rounds_in(watch.said) == 2


def test_when_the_terminal_changes_its_size_the_picture_is_drawn_anew_at_once(
    servers: Servers, watching: Start
) -> None:
    watch = watching(*seed(servers), "--watch", "1h", terminal=(40, 80))
    watch.wait(lambda said: pictures(said) >= 1, "a picture")
    watch.resize(20, 100)
    watch.process.send_signal(signal.SIGWINCH)
    watch.wait(lambda said: pictures(said) >= 2, "a second picture, long before the next round")
    assert "\x1b[2J" in watch.said
    assert watch.end() == 0


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--watch", "--wait", "5s"], "exclude each other"),
        (["--watch", "--from-record", "x.json"], "a record never changes"),
        (["--watch", "1ms"], "ten times a second"),
        (["--watch", "0"], "not more than 0"),
        (["--rounds", "3"], "--rounds counts the rounds of a watch"),
        (["--watch", "--rounds", "0"], "0"),
        (["--watch", "-o", "nagios"], "--watch has no -o nagios"),
        (["--watch", "-o", "prometheus"], "--watch has no -o prometheus"),
        (["--watch", "--output-file", "/dev/null"], "exclude each other"),
    ],
)
def test_what_cannot_be_had_together(capsys: Capsys, tmp_path: object, args: list[str], words: str) -> None:
    seeds = [] if "--from-record" in args else ["-s", "127.0.0.1:1"]
    ran = rcfail(capsys, "health", *seeds, *args)
    assert ran.code == (3 if "nagios" in args else 64)
    assert words in ran.out + ran.err
