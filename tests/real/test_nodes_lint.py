"""nodes.conf files of real servers, broken in every way: what is judged critical, and that a repaired one starts."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from rcfail.cluster.nouns import Role
from rcfail.cluster.vitals import Flavour
from rcfail.errors import LabFault
from rcfail.practice.lab.register import NodeEntry
from tests.real.conftest import LabMaker
from tests.real.mended import FILLED, fill, keys_on
from tests.real.operators import Answer, Operator
from tests.real.servers import RunningLab
from tests.real.verdicts import health_of

every_server = pytest.mark.every_server
OK, WARNING, CRITICAL = 0, 1, 2
WAIT_S = 60.0

Lines = list[bytes]


def own_at(lines: Lines) -> int:
    return next(at for at, line in enumerate(lines) if b" myself," in line)


def other_at(lines: Lines) -> int:
    return next(at for at, line in enumerate(lines) if b" master " in line)


def changed(lines: Lines, at: int, old: bytes, new: bytes) -> Lines:
    assert old in lines[at], lines[at]
    return [*lines[:at], lines[at].replace(old, new), *lines[at + 1 :]]


def joined(lines: Lines) -> bytes:
    return b"".join(lines)


def own_primary(lines: Lines) -> int:
    """The line of the primary that the node follows."""
    (followed,) = (line.split()[3] for line in lines if b"myself,slave " in line)
    return next(at for at, line in enumerate(lines) if line.startswith(followed))


def cut(lines: Lines) -> bytes:
    """The file ends within the line of its primary, behind the address: lines may stand in any order."""
    at = own_primary(lines)
    return joined([*lines[:at], *lines[at + 1 : -1]]) + lines[at][:70]


# What every server refuses. Lines end in their newline; the last one is the vars line.
REFUSED: dict[str, Callable[[Lines], bytes]] = {
    "line-cut": cut,
    "line-garbage": lambda all_: joined([*all_[:2], b"garbage\n", *all_[2:]]),
    "vars-cut": lambda all_: joined(all_)[:-4],
    "blank-line": lambda all_: joined([*all_[:2], b" \r\n", *all_[2:]]),
    "myself-twice": lambda all_: joined(changed(all_, other_at(all_), b" master ", b" myself,master ")),
    "flag-unknown": lambda all_: joined(changed(all_, other_at(all_), b" master ", b" master,strange ")),
    "slot-unreadable": lambda all_: joined(changed(all_, other_at(all_), b"connected ", b"connected 16384 ")),
    "nul-bytes": lambda all_: joined(changed(all_, other_at(all_), b" master ", b" mas" + b"\0" * 512)),
    "primary-unknown": lambda all_: joined([*all_[: own_primary(all_)], b"garbage\n", *all_[own_primary(all_) + 1 :]]),
}
# What a server starts with, and has lost something or has it wrong.
STARTED: dict[str, Callable[[Lines], bytes]] = {
    "vars-missing": lambda all_: joined(all_[:-1]),
    "line-ends": lambda all_: joined(all_).replace(b"\n", b"\r\n"),
    "nul-bytes": lambda all_: joined(all_) + b"\0" * 512,
    "epoch-over": lambda all_: joined([*all_[:-1], b"vars currentEpoch 0 lastVoteEpoch 0\n"]),
}


def conf_of(node: NodeEntry) -> Path:
    return Path(node.folder) / "nodes.conf"


def judged(operator: Operator, path: Path, *words: str) -> Answer:
    answer = operator.ask("nodes", "--from", str(path), "--lint", *words)
    assert "lint" not in answer.told
    return answer


def codes(answer: Answer) -> set[str]:
    return {each["code"] for each in answer.data["flaws"]}


def starts(lab: RunningLab, name: str) -> bool:
    try:
        lab.restart(name)
    except LabFault:
        return False
    return True


@every_server
def test_what_a_server_refuses_is_critical_and_its_repair_starts_as_itself(lab: LabMaker, tmp_path: Path) -> None:
    one = lab(node_timeout_ms=2000)
    operator, node, primary = Operator(one, tmp_path), one.node("n4"), one.node("n1")
    fill(one, primary)
    path = conf_of(node)
    repaired = path.with_name("nodes.conf.repaired")
    for code, broken in REFUSED.items():
        # A node whose line was lost is written under a shard-id of chance, until it tells its own.
        one.wait(lambda: judged(operator, path).code in (OK, WARNING), f"a whole file before {code}", WAIT_S)
        one.kill(node)
        whole = path.read_bytes()
        path.write_bytes(broken(whole.splitlines(keepends=True)))
        answer = judged(operator, path)
        assert (answer.code, code in codes(answer)) == (CRITICAL, True), answer.data
        assert not starts(one, node.name), code
        named = ("--self", node.node_id) if code == "myself-twice" else ()
        answer = judged(operator, path, "--repair", *named)
        assert answer.data["repaired"] == str(repaired), answer.data
        assert judged(operator, repaired).code in (OK, WARNING)
        shutil.move(repaired, path)  # as the operator does it
        assert starts(one, node.name), (code, path.read_text())
        assert one.text(node, "CLUSTER", "MYID") == node.node_id
        one.wait(lambda: one.vitals(node).replication.link_up, f"it to be in sync again after {code}", WAIT_S)
        one.wait(lambda: len(one.view(node).by_id) == len(one.nodes), f"it to know all again after {code}", WAIT_S)
    assert one.belief(node, node).primary_id == primary.node_id
    assert keys_on(one, node) == FILLED
    one.wait(lambda: health_of(one).exit_code == OK, "health to be OK", WAIT_S)


@every_server
def test_what_a_server_starts_with_is_told_and_repaired_too(lab: LabMaker, tmp_path: Path) -> None:
    one = lab(node_timeout_ms=2000)
    operator, node = Operator(one, tmp_path), one.node("n4")
    path = conf_of(node)
    whole = path.read_bytes().splitlines(keepends=True)
    for code, broken in STARTED.items():
        one.kill(node)
        path.write_bytes(broken(whole))
        answer = judged(operator, path, "--repair")
        assert code in codes(answer)
        assert answer.code == (CRITICAL if code in ("vars-missing", "nul-bytes") else WARNING)
        copy = path.with_name("nodes.conf.repaired")
        assert judged(operator, copy).code == OK, copy.read_text()
        copy.unlink()
        assert starts(one, node.name), code
        assert one.text(node, "CLUSTER", "MYID") == node.node_id
    one.wait(lambda: health_of(one).exit_code == OK, "health to be OK", WAIT_S)


@every_server
def test_a_file_of_nobody_is_not_repaired_and_an_empty_one_is_a_new_node(lab: LabMaker, tmp_path: Path) -> None:
    one = lab(node_timeout_ms=2000)
    operator, node = Operator(one, tmp_path), one.node("n4")
    path = conf_of(node)
    one.kill(node)
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b" myself,", b" "))
    answer = judged(operator, path, "--repair")
    assert (answer.code, answer.data["repaired"], codes(answer)) == (CRITICAL, None, {"myself-missing"})
    assert not starts(one, node.name)
    assert not path.with_name("nodes.conf.repaired").exists()
    # The operator knows who it is, by where it stands.
    copy = tmp_path / "copy"
    answer = judged(operator, path, "--repair", str(copy), "--self", str(node.endpoint))
    assert answer.data["repaired"] == str(copy)
    shutil.copy(copy, path)
    assert starts(one, node.name)
    assert one.text(node, "CLUSTER", "MYID") == node.node_id
    assert one.belief(node, node).role is Role.REPLICA
    one.wait(lambda: health_of(one).exit_code == OK, "health to be OK", WAIT_S)
    one.kill(node)
    path.write_bytes(b"")
    assert codes(judged(operator, path)) == {"file-empty"}
    assert starts(one, node.name)
    assert one.text(node, "CLUSTER", "MYID") != node.node_id


@every_server
def test_ids_twice_and_shards_that_differ(lab: LabMaker, tmp_path: Path) -> None:
    """Versions differ here: what one of them refuses is critical for all."""
    one = lab(node_timeout_ms=2000)
    operator, node = Operator(one, tmp_path), one.node("n4")
    path = conf_of(node)
    one.kill(node)
    lines = path.read_bytes().splitlines(keepends=True)
    other = next(line for line in lines if b" slave " in line)  # its own says myself,slave
    broken = [*lines[:-1], other, lines[-1]]
    own, shard = own_at(broken), b"shard-id="
    where = broken[own].find(shard)
    if where > 0:
        begin = where + len(shard)
        broken[own] = broken[own][:begin] + b"7" * 40 + broken[own][begin + 40 :]
    path.write_bytes(joined(broken))
    answer = judged(operator, path, "--repair")
    assert answer.code == CRITICAL
    assert codes(answer) == {"id-twice", *(["shard-id-mismatch"] if where > 0 else [])}
    server = one.vitals("n1").server
    refuses = server.flavour is Flavour.VALKEY and server.version >= (9, 1)
    assert starts(one, node.name) is not refuses
    if not refuses:
        one.kill(node)
    shutil.move(path.with_name("nodes.conf.repaired"), path)
    assert path.read_bytes().count(b"7" * 40) == 0
    assert starts(one, node.name)
    assert one.text(node, "CLUSTER", "MYID") == node.node_id
    one.wait(lambda: health_of(one).exit_code == OK, "health to be OK", WAIT_S)
