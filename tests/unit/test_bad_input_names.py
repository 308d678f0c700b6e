"""Names that a terminal, a shell or rich would obey: live, recorded, saved, in colours, and pasted from a hint."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rcfail.cluster.nouns import Endpoint
from rcfail.cluster.observation import SilenceReason
from rcfail.exits import ExitCode
from tests.unit.liars import CLUSTER_INFO, info_text, liar, line, node_id
from tests.unit.ordeal import endure, obeyed_in, on_terminal
from tests.unit.running import rcfail, recorded
from tests.unit.wire_servers import array, bulk
from tests.unit.world import World

BOUNDED = ("--deadline", "30s", "--read-timeout", "10s")
NOT_OK = (ExitCode.WARNING, ExitCode.CRITICAL, ExitCode.UNKNOWN)

EVIL = (
    "\x1b[2J\x1b[31mred", "\x1b]8;;http://evil/\x1b\\link\x1b]8;;\x1b\\", "\x1b]0;title\x07", "\x9b2J", "\x9d0;t\x9c",
    "[red]rich[/]", "[link=file:///etc/passwd]x[/link]", ":boom:", "\u202egnp.exe", "\u2066x\u2069", "a\rb",
    "\u2028line", "\u200bnothing", "\x7f\x08\x08", "n\x00ul", "\ufeff", "\U000e0041", "$(touch${IFS}pwned)",
    "`touch${IFS}pwned`", "';touch${IFS}pwned;'", '";touch${IFS}pwned;"', "--help", "-x", "%s%n", "{0}",
)  # fmt: skip
FOREIGN_BYTES = b"\xff\xfe\x80\xc3("


# Port 0: nobody is asked there, so no name leaves this machine.
def evil_table(place: str) -> bytes:
    rows = line("me", f"{place}@17000", "myself,master", slots="0-16000")
    for at, name in enumerate(EVIL):
        rows += line(at, f"{name}:0@17000,{name}", slots=str(16001 + at))
        rows += line(at + 100, f"127.0.0.1:0@2,{name}", f"slave,{name}", node_id(at))
        rows += line(at + 200, f"127.0.0.1:0@2,{name}", primary=name, slots=name)
        rows += line(at + 300, f"{name}:0@0", "master,noaddr,fail")
        rows += f"{name} {name} {name}\n{node_id(at + 400)} {name} {name} {name} {name} {name} {name} {name} {name}\n"
    foreign = f"{node_id('foreign')} 127.0.0.1:0@3,".encode() + FOREIGN_BYTES + b" master - 0 0 1 connected\n"
    return rows.encode() + foreign + FOREIGN_BYTES + b"\n"


def evil_info() -> str:
    names = ("redis_version", "role", "master_host", "master_replid", "availability_zone", "maxmemory_policy")
    told = "".join(f"{name}:{EVIL[0]}\r\n" for name in names)
    return info_text() + told + "".join(f"{name}:{name}\r\n{name}\r\n" for name in EVIL)


@contextmanager
def evil() -> Iterator[str]:
    config = array([bulk("cluster-node-timeout"), bulk(EVIL[0]), bulk(f"cluster-{EVIL[1]}"), bulk(EVIL[2])])
    told = CLUSTER_INFO + f"cluster_state:{EVIL[0]}\r\n{EVIL[1]}\r\n"
    with liar(evil_table, info=evil_info(), cluster_info=told, config=config) as seed:
        yield seed


LOOKS = (["health", "--all"], ["health", "-o", "json"], ["nodes"], ["nodes", "-o", "json"])


def test_nothing_that_a_server_names_itself_is_obeyed_live_recorded_or_saved(tmp_path: Path) -> None:
    record, saved = str(tmp_path / "seen.json"), tmp_path / "nodes.txt"
    saved.write_bytes(evil_table("127.0.0.1:7000"))
    with evil() as seed:
        live = [endure(*words, "-s", seed, *BOUNDED) for words in LOOKS]
        assert endure("record", record, "-s", seed, *BOUNDED).code == ExitCode.OK
    offline = [endure(*words, "--from-record", record) for words in LOOKS]
    from_file = [endure("nodes", "--from", str(saved), *words) for words in ([], ["-o", "json"])]
    for ended in (*live, *offline, *from_file):
        assert r"\x1b[2J" in ended.out.replace("\\\\", "\\"), "made visible, not dropped"
        if "json" not in ended.words:
            assert "[red]rich[/]" in ended.out, "no markup"
    assert obeyed_in(Path(record).read_text()) == [], "a record can be looked at in a terminal"
    assert all(ended.code == ExitCode.CRITICAL for ended in (*live[:2], *offline[:2]))


@pytest.mark.parametrize("command", [["health", "--all"], ["nodes"]])
def test_on_a_terminal_only_our_own_colours_are_control_sequences(command: list[str]) -> None:
    with evil() as seed:
        code, shown = on_terminal(*command, "-s", seed, *BOUNDED)
    assert code in NOT_OK if command[0] == "health" else code == ExitCode.OK
    assert b"\x1b[1m" in shown, "it is in colours"
    bare = re.sub(r"\x1b\[(?:0|1|2|32|33|1;31)m|\r\n", "\n", shown.decode())
    assert obeyed_in(bare) == []
    assert "[red]rich[/]" in bare


SHELL = tuple(name for name in EVIL if "pwned" in name)
"""Hosts that a shell obeys. Others are shown as escapes, so their command names another host anyway."""


def worlds(name: str) -> Iterator[World]:
    """Clusters that are broken in many ways, with nodes of this name."""
    for broken in range(8):
        world = World.of(3, 2)
        for member in world:
            member.endpoint = Endpoint(name, member.endpoint.port)
            member.info["availability_zone"] = name
        match broken:
            case 0:
                world.kill("a")
            case 1:
                world.kill("a", agreed=False)
                world.kill("b")
            case 2:
                world["a"].open_slots = (f"[7->-{node_id('b')}]",)
                world["b"].extra_lines = ("what", f"{node_id('x')} {name}:7000@17000 handshake - 0 0 0 connected")
            case 3:
                world["a1"].info |= {"master_link_status": "down", "master_link_down_since_seconds": "999"}
                world["b1"].info |= {"slave_repl_offset": "1", "master_sync_in_progress": "1"}
                world["c1"].sees = {world["a"].node_id: None}
            case 4:
                for member in world:
                    member.silence = SilenceReason.AUTH_REFUSED if member.primary else None
                    member.config = {"cluster-node-timeout": None}
            case 5:
                world["a"].flags = ("noaddr",)
                world["a"].silence = SilenceReason.NO_ADDRESS
                world["b"].slots = ()
            case 6:
                world["a"].info |= {"maxmemory": "1", "used_memory": "9", "rdb_last_bgsave_status": "err"}
                world["b"].info |= {"loading": "1"}
                world["c"].silence = SilenceReason.FROZEN
            case _:
                for member in world:
                    member.flags = ("nofailover",)
                world["c"].silence = SilenceReason.CLIENTS_FULL
        yield world


def test_a_hint_that_is_pasted_into_a_shell_runs_nothing_that_a_server_chose(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Every command of every hint is run by bash, with programs in place of the named ones that do nothing."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for program in ("redis-cli", "rcfail"):
        (programs / program).write_text("#!/bin/sh\ntouch ran\n")
        (programs / program).chmod(0o755)
    hints: set[str] = set()
    for name in SHELL:
        for world in worlds(name):
            ran = rcfail(capsys, "health", "-o", "json", "--from-record", recorded(world, tmp_path))
            hints.update(each["hint"] for each in ran.document["data"]["findings"])
    commands = {found[0] for hint in hints if (found := re.search(r"(?:redis-cli|rcfail) .*", hint))}
    assert sum("pwned" in command for command in commands) > 10, "else this proves nothing"
    for command in sorted(commands):
        environment = {"PATH": f"{programs}:/usr/bin:/bin"}
        subprocess.run(
            ["bash", "-c", command], cwd=tmp_path, env=environment, capture_output=True, check=False, timeout=30
        )
        assert not (tmp_path / "pwned").exists(), command
    assert (tmp_path / "ran").exists(), "the commands were run"


def test_a_name_longer_than_any_is_told_once_and_not_repeated(tmp_path: Path) -> None:
    long = "h" * 1_000_000
    path = tmp_path / "nodes.conf"
    path.write_text(
        line("a", f"127.0.0.1:7000@17000,{long}", "myself,master", slots="0-16383")
        + line("b", f"{long}:7001@17001", "slave", node_id("a"))
    )
    ended = endure("nodes", "--from", str(path))
    assert ended.code == ExitCode.OK
    assert "a host name of 1000000 characters is none" in ended.out
    assert "a host of 1000000 characters is none" in ended.out
    assert len(ended.out) < 2000
    nodes = endure("nodes", "--from", str(path), "-o", "json").document["data"]["nodes"]
    assert [(each["host"], each["hostname"]) for each in nodes] == [("127.0.0.1", ""), ("", "")]
