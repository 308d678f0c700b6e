"""The users that `rcfail acl` prints are enough, and each of their permissions is needed. On real servers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rcfail.exits import ExitCode
from tests.real.conftest import LabMaker
from tests.real.resp import Err, Wire
from tests.real.servers import RunningLab
from tests.real.test_reading_only import PASSWORD, alive, ask, look
from tests.unit.ordeal import QUICK, endure

pytestmark = [pytest.mark.real, pytest.mark.every_server]

ENV = {"RCFAIL_PASSWORD": PASSWORD}

# A key in the slots of no shard in particular: who may not run a command hears that before the slot is looked at.
OPERATIONS = (
    ("PING",),
    ("DBSIZE",),
    ("CLUSTER", "MYID"),
    ("CLUSTER", "FAILOVER", "NONSENSE"),
    ("CLUSTER", "REPLICATE", "nobody"),
    ("CLUSTER", "MEET", "nowhere", "0"),
    ("CLUSTER", "FORGET", "nobody"),
    ("CLUSTER", "RESET", "NONSENSE"),
    ("CLUSTER", "SETSLOT", "99999", "STABLE"),
    ("CLUSTER", "COUNTKEYSINSLOT", "1"),
    ("CLIENT", "LIST"),
    ("WAIT", "0", "1"),
    ("SET", "rcfail:lock", "me", "NX", "PX", "1000"),
    ("GET", "rcfail:lock"),
    ("PTTL", "rcfail:lock"),
    ("WATCH", "rcfail:lock"),
    ("UNWATCH",),
    ("MULTI",),
    ("DISCARD",),
    ("DEL", "rcfail:lock"),
)
FORBIDDEN = (
    ("SET", "users:1", "x"),
    ("GET", "users:1"),
    ("KEYS", "*"),
    ("FLUSHALL",),
    ("FLUSHDB",),
    ("CONFIG", "SET", "maxmemory", "1"),
    ("SHUTDOWN", "NOSAVE"),
    ("ACL", "SETUSER", "me"),
    ("CLUSTER", "DELSLOTS", "1"),
    ("CLUSTER", "FLUSHSLOTS"),
    ("DEBUG", "SLEEP", "0"),
)


def users_of(one: RunningLab) -> dict[str, tuple[str, list[str]]]:
    """Purpose -> name and rules, as the program tells them for this cluster."""
    ended = endure("acl", "-s", one.seeds, "-o", "json")
    assert ended.code == ExitCode.OK, ended
    users = json.loads(ended.out)["data"]["users"]
    assert all(len(user["nodes"]) == len(one.nodes) for user in users)
    return {user["purpose"]: (user["name"], user["rules"]) for user in users}


def set_user(one: RunningLab, name: str, rules: list[str], only: str = "") -> None:
    for node in one.nodes:
        if only in ("", node.name):
            one.say(node, "ACL", "SETUSER", name, "reset", "on", f">{PASSWORD}", *rules)


def test_the_reader_is_never_turned_away(lab: LabMaker, tmp_path: Path) -> None:
    one = lab()
    name, rules = users_of(one)["reading"]
    set_user(one, name, rules)
    assert endure("health", "-s", one.seeds, "--user", name, env=ENV).code == ExitCode.OK
    for breaking in (lambda: None, lambda: one.open_slot(7), lambda: one.kill("n2")):
        breaking()
        look(one, tmp_path, ("--user", name), ENV)
        for node in alive(one):
            assert ask(node, "ACL", "LOG") == (), f"{node.name} was asked for more"


def test_each_permission_of_the_reader_is_missed_by_name_and_node(lab: LabMaker) -> None:
    one = lab()
    name, rules = users_of(one)["reading"]
    set_user(one, name, rules)
    for permission in [rule for rule in rules if rule.startswith("+")]:
        set_user(one, name, [rule for rule in rules if rule != permission], only="n3")
        ended = endure("health", "--all", "-s", one.seeds, "--user", name, *QUICK, env=ENV)
        set_user(one, name, rules, only="n3")
        assert "not-permitted" in ended.out, f"without {permission}: {ended.out}"
        said = " ".join(ended.out.split())
        assert f"{one.nodes[2].endpoint}" in said, ended.out
        assert permission in said, ended.out


def test_the_operator_may_do_what_rcfail_does_and_no_more(lab: LabMaker) -> None:
    one = lab()
    name, rules = users_of(one)["operating"]
    set_user(one, name, rules)
    assert endure("health", "-s", one.seeds, "--user", name, env=ENV).code == ExitCode.OK
    for node in one.nodes:
        with Wire(node.endpoint.host, node.endpoint.port, 5.0) as wire:
            assert not isinstance(wire.call("AUTH", name, PASSWORD), Err)
            for words in OPERATIONS:
                reply = wire.call(*words)
                assert "NOPERM" not in str(reply), f"{node.name}: {words}: {reply}"
            for words in FORBIDDEN:
                reply = wire.call(*words)
                assert isinstance(reply, Err), words
                assert "NOPERM" in str(reply), f"{node.name}: {words}: {reply}"
