"""Records: what is saved is read back equal, and no file can do more than be refused."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rcfail.cluster.logins import AclUser, PrimaryLogin
from rcfail.cluster.merge import merge
from rcfail.cluster.nouns import BusLink, Endpoint, Problem
from rcfail.cluster.observation import Absence, AbsenceKind, Ask, Observation, Silence, SilenceReason
from rcfail.cluster.parse_nodes import NodesReader
from rcfail.errors import ConfigFault
from rcfail.exits import ExitCode
from rcfail.wire.record import load, redact, save
from rcfail.wire.record_form import Malformed, observation_from, observation_to
from tests.unit.node_texts import any_texts
from tests.unit.world import World, node_id


def rich() -> Observation:
    """One of everything that an observation can hold."""
    world = World.of(3, 1)
    world.kill("b")
    world["a"].absences = {Ask.CONFIG: Absence(AbsenceKind.NOT_PERMITTED, "NOPERM no"), Ask.CLUSTER_INFO: ABSENT}
    world["a1"].extra_lines = ("what is this", f"{node_id('a')} 10.0.0.1:1@2 master - 0 0 0 connected")
    world["c"].open_slots = (f"[16000->-{node_id('a')}]", f"[7-<-{node_id('a')}]")
    world["c1"].info = {"executable": "/usr/bin/redis-server"}
    found = world.observe()
    first, *rest = found.answers
    links = (BusLink("to", node_id("b"), 1_700_000_000_000, "rw", 0),)
    first = replace(first, links=links, slot_migrations=({"name": "m", "state": "running"},))
    users = (AclUser("default", True, True, "r1"), AclUser("app", False, False, "r2", ("p1", "p2")))
    first = replace(first, users=users, login=PrimaryLogin("app", "p1"))
    twin = replace(
        rest[-1], endpoint=Endpoint("10.0.0.8", 7000), info="executable:/usr/bin/redis-server\r\nrole:slave\r\n"
    )
    lost = Silence(None, node_id("f"), SilenceReason.NO_ADDRESS, "no view prints an address for it")
    empty = Silence(Endpoint("10.0.0.9", 7000), node_id("a"), SilenceReason.REFUSED, "connection refused", 3)
    return replace(found, answers=(first, *rest), silences=(*found.silences, lost), deserted=(empty,), doubles=(twin,))


ABSENT = Absence(AbsenceKind.NO_ANSWER)


@pytest.mark.parametrize("name", ["seen.json", "seen.json.gz", "a name with ünicode"])
def test_what_is_saved_is_read_back_equal(name: str, tmp_path: Path) -> None:
    seen = rich()
    path = tmp_path / name
    save(seen, str(path))
    again = load(str(path))
    assert again == redact(seen)
    assert redact(again) == again
    assert path.read_bytes().startswith(b"\x1f\x8b") == name.endswith(".gz")
    assert [each.name for each in tmp_path.iterdir()] == [name], "nothing else is left in the directory"


def test_a_record_from_before_deserted_addresses_were_saved_has_none() -> None:
    document = json.loads(json.dumps(observation_to(rich())))
    del document["deserted"]
    assert observation_from(document) == replace(rich(), deserted=())


def test_equal_tables_are_one_object_again(tmp_path: Path) -> None:
    seen = World.of(3, 1).observe()
    save(seen, str(tmp_path / "seen"))
    again = load(str(tmp_path / "seen"))
    for each in (seen, again):
        assert len({id(answer.nodes.table) for answer in each.answers if answer.nodes}) == 1


def test_the_view_of_a_thousand_nodes_is_written_once(tmp_path: Path) -> None:
    seen = World.of(16, 2).observe()
    save(seen, str(tmp_path / "seen"))
    text = (tmp_path / "seen").read_text()
    lines = [belief["line"] for belief in json.loads(text)["beliefs"]]
    assert len(lines) == len(set(lines)) == 48


def test_a_view_that_could_not_be_read_whole_keeps_its_problems(tmp_path: Path) -> None:
    seen = rich()
    save(seen, str(tmp_path / "seen"))
    tables = [answer.nodes.table for answer in load(str(tmp_path / "seen")).answers if answer.nodes]
    problems = [problem for table in tables for problem in table.problems]
    assert Problem(7, "what is this", problems[0].reason) in problems


@given(text=any_texts())
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_view_survives_the_file(text: str, tmp_path: Path) -> None:
    seen = World.of(1, 0).observe()
    answer = replace(seen.answers[0], nodes=NodesReader().read(text), info=text)
    seen = redact(replace(seen, answers=(answer,)))
    save(seen, str(tmp_path / "seen"))
    assert load(str(tmp_path / "seen")) == seen


INFO = (
    "# Server\r\nredis_version:8.2.3\r\nexecutable:/opt/redis/redis-server\r\nconfig_file:/etc/redis.conf\r\n"
    "config_file:\r\nlistener0:name=tcp,bind=127.0.0.1,port=7000\r\nlistener1:name=unix,bind=/run/redis.sock\r\n"
    "os:Linux 6.1.0 x86_64\r\n# Replication\r\nrole:master\r\n"
)


def test_paths_programs_and_secrets_are_not_saved(tmp_path: Path) -> None:
    seen = World.of(1, 0).observe()
    config = {"save": "3600 1", "cluster-config-file": "/data/nodes.conf", "masterauth": "hunter2", "masteruser": "bob"}
    config |= {"requirepass": "hunter2", "tls-key-file-pass": "hunter2", "cluster-node-timeout": "15000"}
    answer = replace(seen.answers[0], info=INFO, config=config)
    save(replace(seen, answers=(answer,)), str(tmp_path / "seen"))
    text = (tmp_path / "seen").read_text()
    for private in ("hunter2", "bob", "/opt", "/etc", "/run", "/data", "executable", "config_file"):
        assert private not in text
    again = load(str(tmp_path / "seen")).answers[0]
    assert again.config == {"save": "3600 1", "cluster-node-timeout": "15000"}
    assert again.info is not None
    kept = ["redis_version", "listener0", "os", "role"]
    assert [line.split(":")[0] for line in again.info.splitlines() if ":" in line] == kept


# What is no record


def refusal_of(path: Path) -> ConfigFault:
    with pytest.raises(ConfigFault) as caught:
        load(str(path))
    assert caught.value.exit_code is ExitCode.CONFIG
    assert "\n" not in caught.value.message
    assert str(path) in caught.value.message
    assert "rcfail record" in caught.value.hint
    return caught.value


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"  \n",
        b"not json",
        b"\xff\xfe\x00",
        b"[]",
        b"null",
        b"7",
        b'{"schema": "rcfail/1"}',
        b'{"schema": "rcfail-record/2"}',
        b'{"schema": ["rcfail-record/1"]}',
        b'{"schema": "rcfail-record/1"}',
        b'{"schema": "rcfail-record/1", "taken_at_unix_ms": "soon"}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"\x1f\x8b",
        b"\x1f\x8bnot gzip",
        gzip.compress(b"x" * 1000, mtime=0)[:20],
        gzip.compress(b"", mtime=0),
        gzip.compress(b"{}", mtime=0),
        b"a" * 40 + b" 127.0.0.1:7000@17000 myself,master - 0 0 1 connected 0-16383\n",
    ],
)
def test_a_file_that_is_no_record_is_refused(raw: bytes, tmp_path: Path) -> None:
    path = tmp_path / "seen"
    path.write_bytes(raw)
    refusal_of(path)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    assert "no such file" in refusal_of(tmp_path / "missing").message
    assert "directory" in refusal_of(tmp_path).message


def test_a_small_file_that_unpacks_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rcfail.wire.record.MOST_BYTES", 1_000_000)
    path = tmp_path / "seen"
    path.write_bytes(gzip.compress(b" " * 1_000_001))
    assert "1000000 bytes" in refusal_of(path).message


def test_a_record_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigFault, match="no such file"):
        save(rich(), str(tmp_path / "missing" / "seen"))
    with pytest.raises(ConfigFault, match="directory"):
        save(rich(), str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def places(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every value in a document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [here, *(way for key, item in inner for way in places(item, (*here, key)))]


DOCUMENT = json.loads(json.dumps(observation_to(rich())))
PLACES = places(DOCUMENT)[1:]
ODD: list[Any] = [None, True, -1, 10**30, 1.5, "", "x", "0 0", [], {}, [[]], [1, 2], ["a", 1], {"a": 1}]


@given(where=st.sampled_from(PLACES), odd=st.sampled_from([*ODD, ...]))
@settings(max_examples=500)
def test_a_record_that_was_changed_is_read_or_refused(where: tuple[Any, ...], odd: Any) -> None:
    """Never any other exception; and what is read has only values of the types that it would have had."""
    document = json.loads(json.dumps(DOCUMENT))
    around = document
    for key in where[:-1]:
        around = around[key]
    if odd is ...:
        del around[where[-1]]
    else:
        around[where[-1]] = odd
    try:
        read = observation_from(document)
    except Malformed:
        return
    json.dumps(observation_to(read))
    merge(read)
    for answer in read.answers:
        for belief in answer.nodes.table.beliefs if answer.nodes else ():
            assert answer.nodes
            assert answer.nodes.pulse_of(belief.node_id)
            assert belief.slot_count <= 16384
