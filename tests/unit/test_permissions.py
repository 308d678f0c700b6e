"""What the ACL users may do follows from what is asked, and from what the version knows."""

from __future__ import annotations

import json

import pytest

from rcfail.cluster.permissions import Purpose, permissions, server_named
from rcfail.cluster.vitals import Flavour, Server
from rcfail.exits import ExitCode
from rcfail.wire.asks import FIRST
from tests.unit.ordeal import endure


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("redis-7.2", (Flavour.REDIS, (7, 2))),
        ("Valkey 9.1.2", (Flavour.VALKEY, (9, 1, 2))),
        ("6.2", (Flavour.REDIS, (6, 2))),
    ],
)
def test_a_version_is_read_as_people_write_it(text: str, server: tuple[Flavour, tuple[int, ...]]) -> None:
    found = server_named(text)
    assert found is not None
    assert (found.flavour, found.version) == server


@pytest.mark.parametrize("text", ["", "keydb-6.3", "redis", "7.x", "1.2.3.4", "redis-9999999999", "redis-²"])
def test_what_names_no_version_is_turned_down(text: str) -> None:
    assert server_named(text) is None
    ended = endure("acl", "--version", text)
    assert ended.code == ExitCode.USAGE
    assert "redis-7.2" in ended.err


def test_every_question_of_the_first_write_is_permitted_to_the_reader() -> None:
    allowed = permissions(Server(Flavour.REDIS, (6, 2)), Purpose.READING)
    for command in FIRST:
        words = [str(word).lower() for word in command]
        assert f"+{words[0]}" in allowed or f"+{words[0]}|{words[1]}" in allowed, command


def test_only_sub_commands_that_the_server_has_are_named() -> None:
    old = permissions(Server(Flavour.REDIS, (6, 2)), Purpose.OPERATING)
    assert not [each for each in old if "links" in each or "getslotmigrations" in each or "addslotsrange" in each]
    assert "+cluster|addslots" in old
    assert "+cluster|addslotsrange" in permissions(Server(Flavour.REDIS, (7, 0)), Purpose.OPERATING)
    assert "+cluster|links" in permissions(Server(Flavour.REDIS, (7, 0)), Purpose.READING)
    assert "+cluster|getslotmigrations" in permissions(Server(Flavour.VALKEY, (9, 0)), Purpose.READING)


def test_the_reader_reaches_no_key_and_the_operator_only_its_own() -> None:
    server = Server(Flavour.REDIS, (8, 2))
    assert not [each for each in permissions(server, Purpose.READING) if each.startswith(("~", "%", "allkeys"))]
    assert [each for each in permissions(server, Purpose.OPERATING) if each.startswith("~")] == ["~rcfail:*"]


def test_a_name_is_for_one_user() -> None:
    assert endure("acl", "--name", "monitor").code == ExitCode.USAGE
    ended = endure("acl", "reading", "--name", "monitor", "--version", "redis-7.2", "-o", "json")
    assert [user["name"] for user in json.loads(ended.out)["data"]["users"]] == ["monitor"]


def test_the_rules_stand_on_one_line_to_be_copied() -> None:
    ended = endure("acl", "operating", "--version", "valkey-9.1")
    [row] = [row for row in ended.out.splitlines() if row.startswith("ACL SETUSER")]
    assert row.endswith("+discard")
