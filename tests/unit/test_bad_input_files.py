"""Files that are no node table and no record: empty, foreign, cut off, made to harm. Through the command line."""

from __future__ import annotations

import copy
import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rcfail.exits import ExitCode
from rcfail.wire.record_form import observation_to
from tests.unit.liars import line, node_id
from tests.unit.ordeal import SLACK_S, Failure, endure, fails, weighed
from tests.unit.running import rcfail
from tests.unit.test_wire_record import rich
from tests.unit.world import World

Capsys = pytest.CaptureFixture[str]
MIB = 1 << 20
LIGHT_MIB = 200
HEAVY_MIB = 600
README = Path(__file__).parents[2] / "README.md"

TABLE = line("a", "127.0.0.1:7000@17000", "myself,master", slots="0-16383")
TABLE += line("b", "127.0.0.1:7001@17001", "slave", node_id("a"))


def refused(path: str, option: str, command: str = "nodes") -> Failure:
    failure = fails(ExitCode.CONFIG, command, option, path)
    assert failure.document["cluster"]["seeds"] == []
    return failure


# --from

NO_TABLES = {
    "empty": b"",
    "blank": b"\n \n\t\r\n",
    "binary": bytes(range(256)) * 20,
    "nulls": b"\x00" * 4096,
    "utf-16": TABLE.encode("utf-16"),
    "gzip": gzip.compress(TABLE.encode(), mtime=0),
    "json": b'{"schema": "rcfail/1"}\n',
    "only vars": b"vars currentEpoch 6 lastVoteEpoch 0\n",
    "one escape": b"\x1b[2J\x1b]0;x\x07\n",
    "numbered": b"1) 07c37dfeb235213a872192d90877d0cd55635b91 127.0.0.1:1\n",
    "one long line": b"x" * (4 * MIB),
}


@pytest.mark.parametrize("kind", NO_TABLES)
def test_a_file_without_any_node_is_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "nodes.conf"
    path.write_bytes(NO_TABLES[kind])
    failure = refused(str(path), "--from")
    assert f"{path} holds no line of a node table" in failure.error
    assert "CLUSTER NODES" in failure.hint


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (str(README), "holds no line of a node table (line 1"),
        (os.devnull, "it is empty"),
        ("/dev/zero", "more than 8 MiB"),
        ("/", "is a directory"),
        ("/no/such/file", "no such file"),
        ("x" * 300, "file name too long"),
        ("", "no such file"),
        ("/no/such\x1b[31m\nfile", r"/no/such\x1b[31m\x0afile"),
    ],
)
def test_what_cannot_be_read_is_refused(path: str, message: str) -> None:
    assert message in refused(path, "--from").error


@pytest.mark.parametrize(
    "raw", [b"x\n" * 4 * MIB, b"1:M 22 Nov 2026 17:31:17 * Ready to accept connections\n" * 90_000, b"\n" * 60_000]
)
def test_a_large_foreign_file_costs_little(raw: bytes, tmp_path: Path) -> None:
    path = tmp_path / "redis.log"
    path.write_bytes(raw)
    failure = refused(str(path), "--from")
    assert "no node table" in failure.error
    assert failure.took_s < SLACK_S
    assert weighed("nodes", "--from", str(path))[1].mib < LIGHT_MIB


GOOD = {
    "as it came": TABLE,
    "crlf": TABLE.replace("\n", "\r\n"),
    "no last newline": TABLE.rstrip("\n"),
    "byte order mark": "\ufeff" + TABLE,
    "blank lines and indents": "\n" + "\n\n".join(f"   {row}" for row in TABLE.splitlines()) + "\n\n",
    "nodes.conf": TABLE + "vars currentEpoch 6 lastVoteEpoch 0\n",
    "nodes.conf of 7.2 and later": TABLE.replace("@17000", "@17000,,tls-port=0,shard-id=" + "c" * 40),
    "of 3.x": TABLE.replace("@17000", "").replace("@17001", ""),
    "ipv6": TABLE.replace("127.0.0.1", "::1"),
}


@pytest.mark.parametrize("kind", GOOD)
@pytest.mark.parametrize("way", ["file", "stdin"])
def test_a_saved_table_is_read_in_every_form(kind: str, way: str, tmp_path: Path) -> None:
    path, raw = tmp_path / "nodes.conf", GOOD[kind].encode()
    path.write_bytes(raw)
    place = "-" if way == "stdin" else str(path)
    ended = endure("nodes", "--from", place, "-o", "json", stdin=raw if way == "stdin" else b"")
    assert ended.code == ExitCode.OK
    data = ended.document["data"]
    assert [each["role"] for each in data["nodes"]] == ["primary", "replica"]
    assert data["problems"] == []
    assert {each["port"] for each in data["nodes"]} == {7000, 7001}


def test_lines_that_the_server_itself_corrupted_are_told_one_by_one(tmp_path: Path) -> None:
    rows = TABLE.splitlines()
    broken = [rows[0], rows[1][1:], rows[1].replace("connected", "connecte"), rows[1][:90], "vars currentEpoch"]
    path = tmp_path / "nodes.conf"
    path.write_text("\n".join(broken) + "\n")
    data = endure("nodes", "--from", str(path), "-o", "json").document["data"]
    assert [each["line_number"] for each in data["problems"]] == [2, 3, 4, 5]
    assert [each["line"] for each in data["problems"]] == broken[1:]
    assert "4 lines that could not be read whole" in endure("nodes", "--from", str(path)).out


# --from-record


def bomb(unit: bytes, size: int) -> bytes:
    """Some kilobytes that unpack to this size: gzip files one after the other are one file."""
    whole = gzip.compress(unit * (16 * MIB // len(unit)), 9)
    return whole * (size // (16 * MIB))


BOMBS: dict[str, Callable[[], bytes]] = {
    "1 GiB of nothing": lambda: bomb(b"\x00", 1 << 30),
    "1 GiB of blanks": lambda: bomb(b" ", 1 << 30),
    "200 MiB of lists": lambda: bomb(b"[],", 200 * MIB),
    "200 MiB of numbers": lambda: bomb(b"0,", 200 * MIB),
    "200 MiB of depth": lambda: bomb(b"[", 200 * MIB),
    "a good head, then lists": lambda: (
        gzip.compress(b'{"schema": "rcfail-record/1", "beliefs": [') + bomb(b"[],", 200 * MIB)
    ),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_a_small_file_that_unpacks_to_gigabytes_is_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "seen.json.gz"
    path.write_bytes(BOMBS[kind]())
    assert path.stat().st_size < 4 * MIB
    failure = refused(str(path), "--from-record", "health")
    assert failure.took_s < SLACK_S
    assert weighed("health", "--from-record", str(path))[1].mib < HEAVY_MIB


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{}",
        b"[" * 100_000,
        b'{"schema": "rcfail-record/2"}',
        b'{"schema": "rcfail/1", "command": "health"}',
        b'{"schema": "rcfail-record/1\\u001b[2J"}',
        b'{"schema": "rcfail-record/1", "taken_at_unix_ms": ' + b"9" * 5000 + b"}",
        b'{"schema": "rcfail-record/1", "taken_at_unix_ms": NaN}',
        TABLE.encode(),
        gzip.compress(b'{"schema": "rcfail-record/1"}', mtime=0)[:-4],
    ],
)
@pytest.mark.parametrize("command", ["health", "nodes"])
def test_what_is_no_record_is_refused(command: str, raw: bytes, tmp_path: Path) -> None:
    path = tmp_path / "seen.json"
    path.write_bytes(raw)
    assert "rcfail record FILE" in refused(str(path), "--from-record", command).hint


@pytest.mark.parametrize("path", ["/", os.devnull, "/dev/zero", "/no/such/file", str(README), ""])
def test_what_is_no_file_of_ours_is_no_record(path: str) -> None:
    refused(path, "--from-record", "health")


def test_a_number_that_no_server_gives_is_refused(tmp_path: Path) -> None:
    document = json.loads(json.dumps(observation_to(World.of(3, 1).observe())))
    document["taken_at_unix_ms"] = 10**400
    path = tmp_path / "seen.json"
    path.write_text(json.dumps(document))
    assert "1329 bits" in refused(str(path), "--from-record", "health").error


def broken() -> World:
    world = World.of(3, 1)
    world.kill("a")
    world.kill("b", agreed=False)
    return world


DOCUMENTS = [json.loads(json.dumps(observation_to(each))) for each in (rich(), broken().observe())]
IDS = [belief["id"] for belief in DOCUMENTS[0]["beliefs"]]
Way = tuple[Any, ...]


def ways(value: Any, here: Way = ()) -> list[Way]:
    """The way to every value in a document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [here, *(way for key, item in inner for way in ways(item, (*here, key)))]


NUMBERS = st.sampled_from([-1, 0, 1, 16383, 16384, 65536, 10**12, 2**63, -(2**63), 10**20 - 1, 10**21, 10**300])
TEXTS = st.sampled_from(
    ["", "x", "\x1b[2J", "\ud800", "\x00", "fail", "fail?", "noaddr", "master", "slave", "primary", "replica",
     "unknown", "connected", "no-time", "refused", "another-node", "no-address", "auth-refused", "0 0", *IDS]
)  # fmt: skip
INFOS = st.sampled_from(
    ["role:slave\r\nmaster_link_status:down\r\n", "uptime_in_seconds:99999999999999999999\r\n", "loading:1\r\n",
     "server_time_usec:99999999999999999999\r\n", "slave_repl_offset:-5\r\nrole:slave\r\nmaster_link_status:up\r\n",
     "master_last_io_seconds_ago:99999999999999999999\r\n", "# Keyspace\r\ndb0:keys=9,expires=9\r\n", "\x1b[2J\r\n"]
)  # fmt: skip


@st.composite
def changed_records(draw: st.DrawFn) -> Any:
    """A real record, changed in some places: mostly to values of the same type, so that it can still be read."""
    document = copy.deepcopy(draw(st.sampled_from(DOCUMENTS)))
    for _ in range(draw(st.integers(1, 5))):
        found = ways(document)[1:]
        *path, last = draw(st.sampled_from(found))
        around = document
        for key in path:
            around = around[key]
        old = around[last]
        match draw(st.integers(0, 9)):
            case 0 if isinstance(around, list):
                around.append(copy.deepcopy(old))
            case 1 if isinstance(around, list):
                del around[last]
            case 2:
                around[last] = draw(st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS, st.just([]), st.just({})))
            case _ if isinstance(old, bool) or old is None:
                around[last] = draw(st.one_of(st.none(), TEXTS))
            case _ if isinstance(old, int):
                around[last] = draw(NUMBERS)
            case _ if isinstance(old, str):
                around[last] = old + draw(INFOS) if "\r\n" in old else draw(TEXTS)
            case _:
                pass
    return document


@given(document=changed_records(), command=st.sampled_from(["health", "health --all", "nodes"]))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_record_that_was_changed_is_judged_or_refused_and_never_a_fault_of_ours(
    capsys: Capsys, tmp_path: Path, document: Any, command: str
) -> None:
    path = tmp_path / "seen.json"
    path.write_text(json.dumps(document))
    for output in ("text", "json"):
        ran = rcfail(capsys, *command.split(), "--from-record", str(path), "-o", output)
        assert ran.code in (0, 1, 2, 3, 78), ran
        assert "\x1b" not in ran.out + ran.err
        if output == "json":
            assert ran.document["exit_code"] == ran.code
