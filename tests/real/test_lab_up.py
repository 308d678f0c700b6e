"""A lab comes up as the cluster that was asked for, on every server version."""

from __future__ import annotations

import os
import re
from itertools import chain
from pathlib import Path

import pytest

from rcfail.errors import LabFault, UsageFault
from rcfail.practice.lab import register
from rcfail.practice.lab.down import take_down
from rcfail.practice.lab.logs import ServerFault
from rcfail.practice.lab.processes import ProcessState, state_of
from rcfail.practice.lab.register import Register, Stage
from rcfail.practice.lab.up import bring_up
from rcfail.practice.lab.wish import Persistence, Wish
from tests.real.conftest import LabMaker
from tests.real.servers import RunningLab, ServerUnderTest, all_servers


def fields(text: str) -> dict[str, str]:
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def rows(lab: RunningLab, node: str) -> dict[str, tuple[str, ...]]:
    """A view read by hand: node id -> address, flags without myself, primary, epoch, link, slots."""
    found = {}
    for row in lab.text(node, "CLUSTER", "NODES").splitlines():
        words = row.split()
        found[words[0]] = (words[1], words[2].replace("myself,", ""), words[3], *words[6:])
    return found


@pytest.mark.every_server
def test_all_nodes_agree_and_every_replica_is_in_sync(lab: LabMaker, server: ServerUnderTest) -> None:
    made = lab()
    views = [rows(made, node.name) for node in made.nodes]
    assert all(view == views[0] for view in views)
    assert len(views[0]) == 6
    assert {row[1] for row in views[0].values()} == {"master", "slave"}
    assert {row[4] for row in views[0].values()} == {"connected"}
    slots = sorted(slot for row in views[0].values() for slot in row[5:])
    assert slots == ["0-5460", "10923-16383", "5461-10922"]
    primary_epochs = [row[3] for row in views[0].values() if row[1] == "master"]
    assert len(set(primary_epochs)) == 3
    for node in made.nodes:
        said = fields(made.text(node, "CLUSTER", "INFO"))
        assert (said["cluster_state"], said["cluster_slots_ok"], said["cluster_known_nodes"]) == ("ok", "16384", "6")
    for replica in made.replicas:
        assert fields(made.text(replica, "INFO", "replication"))["master_link_status"] == "up"
        primary = made.node(replica.primary)
        assert views[0][replica.node_id][2] == primary.node_id
        said = fields(made.text(primary, "INFO", "replication"))
        assert f"ip={replica.host},port={replica.port},state=online" in said["slave0"]
    assert made.entry.stage is Stage.READY
    assert server.label == f"{made.entry.flavour.value}-{made.entry.version}"


@pytest.mark.every_server
def test_a_write_reaches_the_replica_at_once(lab: LabMaker) -> None:
    made = lab(1, 1)
    assert made.say("n1", "SET", "key", "value") == "OK"
    made.wait(lambda: made.ask("n2", "DBSIZE") == 1, "the key on the replica", 5)


@pytest.mark.every_server
def test_hosts_are_real_addresses(lab: LabMaker) -> None:
    made = lab()
    octet = made.entry.octet
    if octet is None:
        pytest.skip("this system has only 127.0.0.1")
    assert {node.host for node in made.nodes} == {f"127.{octet}.{number}.1" for number in (1, 2, 3)}
    for replica in made.replicas:
        # The source of its replication link is its own host, too.
        clients = made.text(made.node(replica.primary), "CLIENT", "LIST", "TYPE", "replica")
        assert [match[1] for match in re.finditer(r" addr=([0-9.]+):", clients)] == [replica.host]


def test_losing_any_host_leaves_a_quorum_and_every_shard(lab: LabMaker) -> None:
    made = lab()
    for host in {node.host for node in made.nodes}:
        left = [node for node in made.nodes if node.host != host]
        assert sum(not node.primary for node in left) >= 2
        assert {node.shard for node in left} == {0, 1, 2}
    assert {node.zone for node in made.nodes} == {"zone-1", "zone-2", "zone-3"}


def test_the_servers_are_set_as_asked(lab: LabMaker) -> None:
    made = lab(1, 1, node_timeout_ms=4321, persistence=Persistence.AOF, conf=("maxmemory 50mb", "hz 20"))
    for node in made.nodes:
        said = {
            name: made.ask(node, "CONFIG", "GET", name)
            for name in ("cluster-node-timeout", "appendonly", "save", "maxmemory", "hz")
        }
        assert said == {
            "cluster-node-timeout": ("cluster-node-timeout", "4321"),
            "appendonly": ("appendonly", "yes"),
            "save": ("save", ""),
            "maxmemory": ("maxmemory", str(50 * 1024 * 1024)),
            "hz": ("hz", "20"),
        }


def test_rdb_persistence_saves(lab: LabMaker) -> None:
    made = lab(1, 0, persistence=Persistence.RDB)
    assert made.ask("n1", "CONFIG", "GET", "save") == ("save", "3600 1 300 100 60 10000")


def test_zones_are_announced_where_the_server_can(lab: LabMaker) -> None:
    valkey = next((each for each in all_servers() if each.label.startswith("valkey-9")), None)
    if valkey is None:
        pytest.skip("no Valkey 9 is installed")
    made = lab(3, 0, server=valkey.path)
    assert [fields(made.text(node, "INFO", "server"))["availability_zone"] for node in made.nodes] == [
        "zone-1",
        "zone-2",
        "zone-3",
    ]


@pytest.mark.every_server
def test_a_password_is_used_by_all_and_kept_out_of_the_register(lab: LabMaker, lab_register: Register) -> None:
    made = lab(1, 1, conf=("requirepass open-sesame",))
    assert fields(made.text("n2", "INFO", "replication"))["master_link_status"] == "up"
    folder = lab_register.folder(made.name)
    assert "open-sesame" not in (folder / "lab.json").read_text()
    assert (folder / "n1" / "redis.conf").stat().st_mode & 0o077 == 0
    made.break_replication("n2")
    made.mend_replication("n2")


def test_labs_stand_side_by_side(lab: LabMaker) -> None:
    one, other = lab(), lab()
    assert not {node.endpoint for node in one.nodes} & {node.endpoint for node in other.nodes}
    assert not {node.node_id for node in one.nodes} & set(rows(other, "n1"))
    one.down()
    assert all(state_of(node.process) is ProcessState.RUNNING for node in other.nodes if node.process)
    assert fields(other.text("n1", "CLUSTER", "INFO"))["cluster_state"] == "ok"


@pytest.mark.parametrize(("primaries", "replicas"), [(1, 0), (2, 1), (3, 2), (5, 1)])
def test_other_sizes(lab: LabMaker, primaries: int, replicas: int) -> None:
    made = lab(primaries, replicas)
    assert len(made.nodes) == primaries * (1 + replicas)
    owned = sorted(
        chain.from_iterable(row[5:] for row in rows(made, "n1").values()), key=lambda each: int(each.split("-")[0])
    )
    assert owned[0].startswith("0-")
    assert owned[-1].endswith("-16383")
    for primary in made.primaries:
        assert int(fields(made.text(primary, "INFO", "replication"))["connected_slaves"]) == replicas


def test_a_large_lab_is_introduced_by_a_few(lab: LabMaker) -> None:
    made = lab(8, 1)
    assert {len(rows(made, node.name)) for node in made.nodes} == {16}


@pytest.mark.every_server
def test_a_server_that_ends_by_itself_is_shown_by_its_log(lab: LabMaker, lab_register: Register) -> None:
    with pytest.raises(ServerFault) as caught:
        lab(3, 1, conf=("maxmemory many",))
    assert "ended by itself" in caught.value.message
    assert any("maxmemory" in line for line in caught.value.log), caught.value.log
    assert not [name for name in lab_register.names() if name.startswith(f"t{os.getpid()}-")]


def test_the_log_of_a_server_does_not_show_its_password(lab: LabMaker) -> None:
    with pytest.raises(ServerFault) as caught:
        lab(1, 0, conf=("requirepass open-sesame", "masterauth open-sesame too-much"))
    assert "open-sesame" not in "\n".join([caught.value.message, *caught.value.log])


@pytest.mark.every_server
def test_a_home_may_have_any_name(lab_home: Path, server: ServerUnderTest) -> None:
    home = lab_home / '.it\'s "ä" \\x'
    home.mkdir()
    register = Register(home)
    made = bring_up(Wish(primaries=1, replicas=0, server=server.path), register)
    try:
        assert (home / "default" / "n1" / "nodes.conf").exists()
        assert (home / "default" / "n1" / "server.log").exists()
    finally:
        take_down(register, made.name)


def test_a_lab_is_made_once(lab: LabMaker, lab_register: Register) -> None:
    made = lab(1, 0)
    with pytest.raises(UsageFault, match="already a lab"):
        bring_up(Wish(name=made.name), lab_register)
    assert made.ask("n1", "PING") == "PONG"


def test_another_process_at_work_on_the_lab_is_waited_for_and_then_named(
    lab: LabMaker, lab_register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = lab(1, 0)
    monkeypatch.setattr(register, "_LOCK_WITHIN_S", 0.3)
    with lab_register.lock(made.name), pytest.raises(LabFault, match="another rcfail is at work"):
        made.kill("n1")
    assert made.ask("n1", "PING") == "PONG"
