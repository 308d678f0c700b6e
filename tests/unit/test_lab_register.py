"""The labs on disk: what is written is read back, and what is odd is said."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from rcfail.cluster.nouns import Endpoint, NodeId
from rcfail.cluster.vitals import Flavour
from rcfail.errors import LabFault, UsageFault
from rcfail.practice.lab import register as register_module
from rcfail.practice.lab.damage import Cut, CutKind
from rcfail.practice.lab.processes import Process
from rcfail.practice.lab.register import LabEntry, NodeEntry, Register, Stage, home_folder


def node(number: int, primary: str = "") -> NodeEntry:
    return NodeEntry(
        name=f"n{number}",
        host=f"127.40.{number}.1",
        port=6999 + number,
        bus_port=16999 + number,
        zone="zone-1",
        shard=0,
        primary=primary,
        folder=f"/nonexistent/n{number}",
        group=44000 + number,
        node_id=NodeId(f"{number:02}" * 20),
        process=Process(100 + number, "12345@boot"),
    )


def entry(name: str = "x") -> LabEntry:
    return LabEntry(
        name=name,
        stage=Stage.READY,
        created_unix_ms=1,
        maker=Process(1, "1@boot"),
        server="/bin/redis-server",
        flavour=Flavour.REDIS,
        version="8.2.3",
        node_timeout_ms=2000,
        octet=40,
        nodes=(node(1), replace(node(2, "n1"), process=None, group=None)),
        cuts=(Cut(CutKind.BUS, "n1"),),
        notes=("a note",),
    )


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    register = Register(tmp_path / "home")
    register.create(entry())
    assert register.read("x") == entry()
    register.write(replace(entry(), stage=Stage.FORMING, octet=None))
    assert register.read("x") == replace(entry(), stage=Stage.FORMING, octet=None)
    assert register.names() == ("x",)
    register.create(entry("y"))
    assert register.octets() == {40}


def test_a_lab_is_removed_whatever_stands_in_its_folder(tmp_path: Path) -> None:
    register = Register(tmp_path / "home")
    register.create(entry())
    (register.folder("x") / "n1").mkdir()
    (register.folder("x") / "n1" / "nodes.conf").write_text("")
    (register.folder("x") / "stray").write_text("")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (register.folder("x") / "link").symlink_to(elsewhere)
    register.remove("x")
    assert register.names() == ()
    assert elsewhere.exists()


def test_a_lab_that_does_not_go_keeps_its_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(register_module, "_REMOVE_WITHIN_S", 0.1)
    register = Register(tmp_path / "home")
    register.create(entry())
    (register.folder("x") / "n1").mkdir()
    monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)
    with pytest.raises(LabFault, match="cannot be removed"):
        register.remove("x")
    assert register.read("x") == entry()


def test_the_lock_of_a_lab_that_is_gone_leaves_no_file(tmp_path: Path) -> None:
    register = Register(tmp_path / "home")
    with register.lock("x"):
        register.create(entry())
    assert [path.name for path in (register.home / ".locks").iterdir()] == ["x"]
    with register.lock("x"):
        register.remove("x")
    assert not list((register.home / ".locks").iterdir())


def test_a_folder_of_labs_is_for_its_user_alone(tmp_path: Path) -> None:
    register = Register(tmp_path / "home")
    register.create(entry())
    assert register.home.stat().st_mode & 0o077 == 0
    assert register.folder("x").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"schema": "rcfail-lab/9"}', "\x00", json.dumps({"schema": "rcfail-lab/1", "name": "x"})],
)
def test_an_entry_that_cannot_be_read_is_said_and_stays_listed(tmp_path: Path, text: str) -> None:
    register = Register(tmp_path)
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "lab.json").write_text(text)
    with pytest.raises(LabFault, match="cannot be read"):
        register.read("x")
    assert register.names() == ("x",)
    assert register.octets() == frozenset()


def test_a_folder_without_an_entry_is_no_lab_that_is_silently_left_out(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    with pytest.raises(LabFault, match="it does not exist"):
        Register(tmp_path).read("x")


def test_an_unknown_lab_is_answered_with_those_that_there_are(tmp_path: Path) -> None:
    register = Register(tmp_path / "home")
    with pytest.raises(UsageFault) as caught:
        register.read("y")
    assert "rcfail lab up" in caught.value.hint
    register.create(entry())
    with pytest.raises(UsageFault) as caught:
        register.read("y")
    assert caught.value.hint == "There is: x."


@pytest.mark.parametrize("word", ["n1", "7000", "127.40.1.1:7000", "0101", "01" * 20, "N1"])
def test_a_node_is_found_by_name_port_address_or_id(word: str) -> None:
    if word == "N1":
        with pytest.raises(UsageFault, match="N1 is no node of the lab x"):
            entry().find(word)
    else:
        assert entry().find(word).endpoint == Endpoint("127.40.1.1", 7000)


@pytest.mark.parametrize("word", ["", "n", "010", "9999", "127.40.1.1"])
def test_a_word_that_names_no_node_is_refused(word: str) -> None:
    with pytest.raises(UsageFault) as caught:
        entry().find(word)
    assert "n1 (127.40.1.1:7000), n2 (127.40.2.1:7001)" in caught.value.hint


def test_a_word_that_names_two_nodes_is_refused() -> None:
    twins = replace(entry(), nodes=(node(1), replace(node(2), node_id=NodeId("0101" + "f" * 36))))
    with pytest.raises(UsageFault, match="0101 is more than one node"):
        twins.find("0101")


def test_the_lock_of_a_lab_is_held_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(register_module, "_LOCK_WITHIN_S", 0.1)
    register = Register(tmp_path)
    with register.lock("x"):
        with register.lock("y"):
            pass
        with pytest.raises(LabFault, match="another rcfail is at work on the lab x"), register.lock("x"):
            pytest.fail("two held it")
    with register.lock("x"):
        pass
    assert register.names() == ()


def test_a_home_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LabFault, match="cannot be made"), Register(tmp_path / "file" / "home").lock("x"):
        pytest.fail("it was made")


@pytest.mark.parametrize(
    ("environment", "home"),
    [
        ({"RCFAIL_LAB_HOME": "/a/b", "XDG_STATE_HOME": "/x"}, "/a/b"),
        ({"XDG_STATE_HOME": "/x"}, "/x/rcfail/labs"),
        ({"XDG_STATE_HOME": "relative"}, "~/.local/state/rcfail/labs"),
        ({}, "~/.local/state/rcfail/labs"),
        ({"RCFAIL_LAB_HOME": ""}, "~/.local/state/rcfail/labs"),
    ],
)
def test_where_labs_are_kept(environment: dict[str, str], home: str) -> None:
    assert home_folder(environment) == Path(home).expanduser()


@pytest.mark.parametrize(
    ("flavour", "version", "passes_on"),
    [
        (Flavour.REDIS, "6.2.14", False),
        (Flavour.REDIS, "7.0.15", False),
        (Flavour.REDIS, "7.2.0", True),
        (Flavour.REDIS, "8.2.3", True),
        (Flavour.VALKEY, "8.1.8", True),
    ],
)
def test_which_servers_pass_a_forget_on(flavour: Flavour, version: str, passes_on: bool) -> None:
    assert replace(entry(), flavour=flavour, version=version).passes_on_forget is passes_on
