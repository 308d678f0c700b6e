"""Completion: what is proposed at each place, and that a real bash, with a real terminal, makes words of it."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rcfail.commands.completion import VARIABLE, answer, split_line
from rcfail.commands.table import COMMANDS
from rcfail.health.catalogue import BY_CODE
from rcfail.pages import page_names
from tests.unit.liars import liar, line
from tests.unit.running import process, rcfail
from tests.unit.wire_servers import serving
from tests.unit.wire_world import Servers
from tests.unit.world import World

Capsys = pytest.CaptureFixture[str]
BASH = shutil.which("bash")
BREAKS = " \t\n\"'><=;|&(:"


def proposed(line: str, shell: str = "fish", **more: str) -> list[str]:
    """The values that are proposed behind a line."""
    rows = answer({VARIABLE: shell, "COMP_LINE": line, **more}).splitlines()
    return [row.split("\t")[0] for row in rows]


@pytest.fixture
def servers() -> Iterator[Servers]:
    three = Servers(World.of(3, 1))
    with serving(*three.all):
        yield three


def test_commands_and_their_options() -> None:
    assert proposed("rcfail ") == list(COMMANDS)
    assert proposed("rcfail he") == ["health"]
    assert {"--watch", "--wait"} <= set(proposed("rcfail health --wa"))
    assert "--seed" in proposed("rcfail --se")
    assert proposed("rcfail lab fa") == ["fault"]
    assert {"up", "down", "fault"} <= set(proposed("rcfail lab "))
    assert proposed("rcfail health -o js") == ["json"]
    assert proposed("rcfail health --fail-on c") == ["critical"]


def test_codes_and_pages() -> None:
    assert proposed("rcfail explain ") == list(BY_CODE)
    assert proposed("rcfail runbook slots-f") == [name for name in page_names() if name.startswith("slots-f")]
    assert proposed("rcfail health --ignore slots-fa") == ["slots-failed"]
    assert proposed("rcfail health --ignore=slots-fa") == ["--ignore=slots-failed"]
    listed = proposed("rcfail health --ignore slots-failed,slots-")
    assert "slots-failed,slots-open" in listed
    assert "slots-failed,slots-failed" not in listed


def test_nodes_of_the_cluster_that_the_line_names(servers: Servers) -> None:
    everyone = sorted(str(member.endpoint) for member in servers.world)
    assert proposed(f"rcfail nodes -s {servers.first} -s ") == everyone
    assert proposed(f"rcfail nodes -s {servers.first} -s {servers.first},") == [
        f"{servers.first},{each}" for each in everyone if each != str(servers.first)
    ]
    assert proposed(f"rcfail whatif -s {servers.first} --lose aaaa") == [servers.world["a"].node_id]
    assert "127.0.0.1" in proposed(f"rcfail whatif -s {servers.first} --lose ")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_no_name_is_proposed_that_a_shell_would_obey(
    shell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What bash puts on the line is run with it; servers choose hosts, and whoever wrote the config file names."""
    hosts = ("$(id)", "`id`", "';id;'", '";id;"', "a;id", "a&id", "a|id", "a>b", "!!", "~", "{a,b}", "#a", "a\\b", "*")

    def table(place: str) -> bytes:
        rows = [line("me", f"{place}@17000", "myself,master", slots="0-16383"), line("plain", "10.0.0.9:7000@17000")]
        return "".join([*rows, *(line(each, f"{each}:7000@17000") for each in hosts)]).encode()

    with liar(table) as seed:
        for option in ("--lose ", "--lose '", '--lose "', "-s "):
            value = [row.partition(":")[0] for row in proposed(f"rcfail whatif -s {seed} {option}", shell)]
            assert any(each.startswith("10.0.0.9") for each in value), option
            assert not any(each.startswith(host) for each in value for host in hosts), option
    config = tmp_path / "config.toml"
    config.write_text("[clusters.prod]\n[clusters.'prod$(id)']\n[clusters.\"prod\\nid\"]\n")
    monkeypatch.setenv("RCFAIL_CONFIG", str(config))
    assert proposed("rcfail health -c ", shell) == ["prod"]


def test_clusters_of_the_config_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[clusters.prod]\nseeds = ["10.0.0.5:6379"]\n[clusters.stage]\nseeds = ["10.0.0.6:6379"]\n')
    monkeypatch.setenv("RCFAIL_CONFIG", str(config))
    assert proposed("rcfail health -c ") == ["prod", "stage"]
    assert proposed("rcfail health --cluster=st") == ["--cluster=stage"]


def test_bash_is_told_only_what_stands_behind_its_last_break(servers: Servers) -> None:
    line = f"rcfail nodes -s {servers.first} -s 127.0.0.1:{servers.first.port}"
    assert proposed(line, "bash", COMP_WORDBREAKS=BREAKS, COMP_POINT=str(len(line))) == [str(servers.first.port)]
    assert proposed(line, "bash", COMP_WORDBREAKS=" ") == [str(servers.first)]


def test_zsh_is_told_what_each_word_means() -> None:
    rows = answer({VARIABLE: "zsh", "COMP_LINE": "rcfail explain slots-faile"})
    assert rows == f"slots-failed:{BY_CODE['slots-failed'].title}\n"


def test_only_what_stands_before_the_cursor_counts() -> None:
    assert proposed("rcfail exp slots", COMP_POINT="10") == ["explain"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("rcfail ", ["rcfail", ""]),
        ("rcfail he", ["rcfail", "he"]),
        ("rcfail 'a b' ", ["rcfail", "a b", ""]),
        ("rcfail 'a b", ["rcfail", "a b"]),
        ("rcfail -s h:1#x", ["rcfail", "-s", "h:1#x"]),
        ("", [""]),
    ],
)
def test_a_line_that_is_still_being_written_is_cut_into_words(line: str, words: list[str]) -> None:
    assert split_line(line) == words


@pytest.mark.parametrize(
    ("line", "changes"),
    [
        ("rcfail nosuch ", {}),
        ("rcfail health -s 127.0.0.1:1 -s ", {}),
        ("rcfail health -s ]bad[ -s ", {}),
        ("rcfail health --ask-password -s 127.0.0.1:1 -s ", {}),
        ("rcfail health -c ", {"RCFAIL_CONFIG": "/nonexistent/x"}),
        ("rcfail lab fault kill ", {"RCFAIL_LAB_HOME": "/nonexistent/x"}),
        ("rcfail health", {"COMP_POINT": "many"}),
        ("rcfail health ", {VARIABLE: ""}),
    ],
)
def test_what_cannot_be_completed_is_met_with_silence(line: str, changes: dict[str, str]) -> None:
    ran = process([], **{VARIABLE: "bash", "COMP_LINE": line, **changes})
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.strip() in ("", "health", "--help")


def test_the_scripts_are_printed(capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    for shell in ("bash", "zsh", "fish"):
        ran = rcfail(capsys, "completion", shell)
        assert (ran.code, ran.err) == (0, "")
        assert f"{VARIABLE}" in ran.out
        assert rcfail(capsys, "completion", shell, "-o", "json").document["data"] == {"shell": shell, "script": ran.out}
        checker = shutil.which(shell)
        if checker:
            done = subprocess.run([checker, "-n"], input=ran.out, text=True, capture_output=True, check=False)
            assert (done.returncode, done.stderr) == (0, ""), shell
    monkeypatch.setenv("SHELL", "/bin/zsh")
    assert rcfail(capsys, "completion").out.startswith("#compdef rcfail\n")
    monkeypatch.setenv("SHELL", "/bin/tcsh")
    assert rcfail(capsys, "completion").code == 64
    assert rcfail(capsys, "completion", "tcsh").code == 64


@pytest.mark.skipif(BASH is None, reason="there is no bash")
def test_a_real_bash_completes_addresses_and_words(servers: Servers, tmp_path: Path) -> None:
    """At a terminal, with the key: bash cuts addresses at their colon, and puts together what it gets."""
    script = tmp_path / "rcfail"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -m rcfail "$@"\n')
    script.chmod(0o755)
    host, port = servers.first.host, str(servers.first.port)
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "RCFAIL_SEEDS": str(servers.first), "PS1": "$ "}
    ours, theirs = pty.openpty()
    command = [str(BASH), "--norc", "--noprofile", "-i"]
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=env, start_new_session=True
    ) as shell:
        os.close(theirs)
        try:
            said = Terminal(ours)
            said.type("bind 'set bell-style none'; bind 'set enable-bracketed-paste off'\n")
            said.type('eval "$(rcfail completion bash)"; echo ready-$((40 + 2))\n')
            said.wait("ready-42")
            said.type("\x15rcfail exp\t")
            said.wait("rcfail explain ")
            said.type("slots-faile\t")
            said.wait("rcfail explain slots-failed ")
            said.type(f"\x15rcfail nodes -s {host}:{port}\t")
            said.wait(f"rcfail nodes -s {host}:{port} ")
        finally:
            shell.kill()
            os.close(ours)


class Terminal:
    """The user's end of a terminal."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.said = ""

    def type(self, keys: str) -> None:
        os.write(self._descriptor, keys.encode())

    def wait(self, what: str, seconds: float = 60.0) -> None:
        ends_s = time.monotonic() + seconds
        while what not in self.said:
            assert time.monotonic() < ends_s, f"waited for {what!r}; there is:\n{self.said}"
            if select.select([self._descriptor], [], [], 0.5)[0]:
                self.said += os.read(self._descriptor, 65536).decode(errors="replace")
