"""A node that comes back elsewhere or empty: what becomes of its redis.conf and its folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from rcfail.errors import UsageFault
from rcfail.practice.lab.claims import slots_of_text
from rcfail.practice.lab.damage import Altered, Refusal, WriteStop
from rcfail.practice.lab.register import Register
from rcfail.practice.lab.restart import addressed_conf, wipe
from rcfail.practice.lab.writes import mend_files, without_write_stops
from tests.unit.test_lab_register import entry, node

CONF = """\
bind 127.40.1.1
port 7000
dir "/tmp/127.40.1.1/7000"
cluster-announce-ip 127.40.1.1
bind-source-addr 127.40.1.1
maxmemory 7000
"""


def test_an_address_is_changed_wherever_the_server_reads_one_and_nowhere_else() -> None:
    after = replace(node(1), host="127.40.1.2", port=7009)
    assert addressed_conf(CONF, after, tls=False).splitlines() == [
        "bind 127.40.1.2",
        "port 7009",
        'dir "/tmp/127.40.1.1/7000"',
        "cluster-announce-ip 127.40.1.2",
        "bind-source-addr 127.40.1.2",
        "maxmemory 7000",
    ]
    assert addressed_conf(CONF, replace(node(1), port=7000), tls=False) == CONF


@pytest.mark.parametrize(("plain", "shown"), [(None, "port 0"), (7001, "port 7001")])
def test_with_tls_the_port_is_the_tls_port(plain: int | None, shown: str) -> None:
    after = replace(node(1), port=7009, plain_port=plain)
    assert addressed_conf("port 1\ntls-port 2\n", after, tls=True) == f"{shown}\ntls-port 7009\n"


def test_what_the_server_wrote_is_wiped_and_the_rest_stays(tmp_path: Path) -> None:
    for name in ("redis.conf", "server.log", "nodes.conf", "nodes.conf.tmp-1", "dump.rdb", "temp-3.rdb", "my.data"):
        (tmp_path / name).write_text("x")
    (tmp_path / "appendonlydir").mkdir()
    (tmp_path / "appendonlydir" / "appendonly.aof.1.incr.aof").write_text("x")
    wipe(tmp_path, "my.data")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["redis.conf", "server.log"]
    wipe(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["redis.conf", "server.log"]


@pytest.mark.parametrize("saved", ["data", None])
def test_the_saved_data_is_put_back(tmp_path: Path, saved: str | None) -> None:
    stop = WriteStop(Refusal.MISCONF, "n1", (("save", ""), ("dbfilename", "dump.rdb")))
    other = replace(stop, node="n2")
    lab = replace(entry(), nodes=(replace(node(1), folder=str(tmp_path)), node(2)), write_stops=(stop, other))
    (tmp_path / "dump.rdb").mkdir()
    if saved is not None:
        (tmp_path / "dump.rdb.before-misconf").write_text(saved)
    assert without_write_stops(lab, lab.nodes[0]).write_stops == (other,)
    mend_files(lab, lab.nodes[0])
    assert [path.read_text() for path in tmp_path.iterdir()] == ([] if saved is None else [saved])


def test_what_was_told_to_a_node_is_kept_and_read_back(tmp_path: Path) -> None:
    stop = WriteStop(Refusal.OOM, "n1", (("maxmemory", "0"),))
    lab = replace(entry(), write_stops=(stop,), altered=(Altered("n2", "maxclients", "10000"),))
    register = Register(tmp_path)
    register.create(lab)
    assert register.read("x") == lab


def test_slots_are_one_or_a_range_or_several() -> None:
    assert list(slots_of_text("77").numbers) == [77]
    assert list(slots_of_text("0-2").numbers) == [0, 1, 2]
    assert slots_of_text("5, 7-8,7").numbers == (5, 7, 8)
    assert [str(slots_of_text(text)) for text in ("16383", "5-5", "0-16383", "1,3-4")] == [
        "16383",
        "5",
        "0-16383",
        "1,3-4",
    ]


@pytest.mark.parametrize(
    "text", ["", "-", "a", "1-", "-1", "5-3", "16384", "0-16384", "1-2-3", "1,", ",1", "1 2", "٣", "9" * 5000]
)
def test_what_is_no_slot(text: str) -> None:
    with pytest.raises(UsageFault):
        slots_of_text(text)
