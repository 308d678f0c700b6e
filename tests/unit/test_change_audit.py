"""The audit: whole lines, torn files, places that cannot be written, no secret, and what history makes of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from rcfail.change.audit import Audit, AuditUnwritable, append, default_audit, told_command, unwritable
from rcfail.change.history import last_words, past_elections, past_runs
from rcfail.change.locks.owner import Owner, has_ended, myself, read_owner
from rcfail.cluster.keyslot import slot_of, tag_within
from rcfail.cluster.nouns import NodeId
from rcfail.wire.secret import Secret
from tests.unit.running import rcfail

A, B = NodeId("a" * 40), NodeId("b" * 40)
FAILOVER = ("CLUSTER", "FAILOVER")


def kept(path: Path, *, reply: str | None = "OK", answers: bool = True, command: tuple[str, ...] = FAILOVER) -> Owner:
    """One run's lines; without an answer it is one that ended at the worst moment."""
    owner = myself("swap disks", 1_700_000_000_000)
    audit = Audit(path, owner)
    audit.begin(command="failover", nodes=[A, B], plan={"steps": 1})
    audit.before(step=1, node=A, address="10.0.0.1:7000", command=command)
    if answers:
        audit.after(step=1, node=A, reply=reply, left=True)
        audit.verified(step=1, outcome="done", why="", checks={})
        audit.end(exit_code=0)
    assert audit.trouble == ""
    return owner


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "state" / "audit.jsonl"
    owner = kept(path)
    (run,) = past_runs(path)
    assert (run.run, run.owner.reason, run.nodes, run.exit_code) == (owner.token, "swap disks", (A, B), 0)
    assert (run.sends[0].command, run.sends[0].reply, run.sends[0].answered) == (FAILOVER, "OK", True)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_torn_line_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    kept(path)
    with path.open("ab") as file:
        file.write(b'{"v":1,"line":"begin","run":"x')
    kept(path)
    assert len(past_runs(path)) == 2
    path.write_bytes(b"\xff\n[1]\n{}\n" + path.read_bytes() + b'{"v":1')
    assert len(past_runs(path)) == 2


def test_the_newest_stand_last_and_the_limit_counts_from_the_end(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    owners = [kept(path) for _ in range(5)]
    assert [run.run for run in past_runs(path, 2)] == [each.token for each in owners[-2:]]
    assert past_runs(tmp_path / "none") == []


def test_lines_longer_than_a_block_are_whole(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    kept(path)
    audit = Audit(path, myself("", 1))
    audit.begin(command="failover", nodes=[f"{n:040x}" for n in range(5000)], plan={})
    assert [len(run.nodes) for run in past_runs(path)] == [2, 5000]


@pytest.mark.parametrize("make", ["folder", "pipe", "below a file", "full"])
def test_what_cannot_be_written_refuses_before_anything_is_sent(tmp_path: Path, make: str) -> None:
    path = tmp_path / "audit.jsonl"
    if make == "folder":
        path.mkdir()
    elif make == "pipe":
        os.mkfifo(path)
    elif make == "below a file":
        path.write_text("")
        path = path / "audit.jsonl"
    else:
        path = Path("/dev/full")
    audit = Audit(path, myself("", 1))
    assert unwritable(path)
    with pytest.raises(AuditUnwritable, match="cannot be written"):
        audit.before(step=1, node=A, address="x", command=FAILOVER)
    audit.after(step=1, node=A, reply="OK", left=True)
    assert "cannot be written" in audit.trouble, "a send cannot be taken back, and its outcome must be told"


def test_none_is_kept_by_name() -> None:
    audit = Audit(None, myself("", 1))
    audit.begin(command="failover", nodes=[], plan={})
    assert (unwritable(None), audit.trouble) == ("", "")


def test_no_secret_is_in_it(tmp_path: Path) -> None:
    path, secret = tmp_path / "audit.jsonl", Secret("hunter2")
    audit = Audit(path, myself("as hunter2", 1, secret.scrub), secret.scrub)
    audit.begin(command="failover", nodes=[], plan={"why hunter2": ["x hunter2"]})
    audit.before(step=1, node=A, address="x", command=("CONFIG", "SET", "masterauth", "other"))
    audit.after(step=1, node=A, reply="ERR hunter2", left=True)
    audit.verified(step=1, outcome="done", why="hunter2", checks={"a": ("hunter2",)})
    text = path.read_text()
    assert "hunter2" not in text
    assert "other" not in text
    assert text.count("***") >= 6
    assert told_command(("AUTH", "me", "word")) == ["AUTH", "***"]


def test_who_stood_for_election(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    kept(path, reply="ERR Master is down or failed, please use CLUSTER FAILOVER FORCE")
    kept(path, command=("CLUSTER", "FAILOVER", "TAKEOVER"))
    assert past_elections(path, [A, B]) == (), "refused, or without votes"
    kept(path, answers=False)
    assert [each.node for each in past_elections(path, [A, B])] == [A], "no answer: it may stand"
    assert past_elections(tmp_path / "none", [A]) == ()


def test_writers_at_once_keep_their_lines_whole(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    code = (
        "import sys; from pathlib import Path; from rcfail.change.audit import append\n"
        "for n in range(50): append(Path(sys.argv[1]), sys.argv[2] * 3000)"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, str(path), word]) for word in "ab"]
    assert [each.wait() for each in writers] == [0, 0]
    assert sorted(path.read_text().splitlines()) == ["a" * 3000] * 50 + ["b" * 3000] * 50


def test_the_default_file_is_under_the_state_of_xdg() -> None:
    assert default_audit({"XDG_STATE_HOME": "/s"}) == Path("/s/rcfail/audit.jsonl")
    assert default_audit({"XDG_STATE_HOME": "s", "HOME": "/h"}) == Path("/h/.local/state/rcfail/audit.jsonl")


def test_an_owner_that_ended_is_told_from_one_that_lives() -> None:
    own = myself("", 1)
    assert not has_ended(own)
    assert has_ended(replace(own, started="1")), "the pid was given to another process"
    assert has_ended(replace(own, boot="other/" + own.boot.split("/")[1]))
    assert not has_ended(replace(own, boot=own.boot.split("/")[0] + "/pid:[1]", started="1")), "another container"
    assert not has_ended(replace(own, host="elsewhere", started="1"))
    assert read_owner(own.text) == own
    for text in (None, "", "[]", "{}", own.text.replace('"pid":', '"pid":"'), '{"pid":1}', "[" * 100_000):
        assert read_owner(text) is None


def test_a_tag_falls_into_its_slots() -> None:
    assert slot_of("123456789") == 12739, "the check value of the cluster's specification"
    assert (slot_of("{user}.a"), slot_of("{}x") == slot_of("x")) == (slot_of("user"), False)
    for slots in ([(0, 5460)], [(16383, 16383)], [(0, 0), (9, 9)]):
        assert any(a <= slot_of(f"rcfail:{{{tag_within(slots)}}}:lock") <= b for a, b in slots)


def test_history_shows_what_was_not_finished(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    kept(path)
    kept(path, answers=False)
    dead = myself("", 1_700_000_000_000)
    lines = path.read_text().replace(f'"started":"{dead.started}"', '"started":"1"')
    path.write_text(lines)
    ran = rcfail(capsys, "history", "--audit", str(path))
    assert "indeterminate: look" in ran.out
    assert ran.out.index("OK") < ran.out.index("INDETERMINATE")
    assert all(len(row) <= 80 for row in ran.out.splitlines())
    document = rcfail(capsys, "history", "aaaa", "--audit", str(path), "-o", "json").document
    first, second = document["data"]["runs"]
    assert (first["indeterminate"], second["indeterminate"], second["exit_code"]) == (False, True, None)
    assert rcfail(capsys, "history", "cccc", "--audit", str(path), "-o", "json").document["data"]["runs"] == []
    assert rcfail(capsys, "history", "c", "--audit", str(path)).code == 64
    assert rcfail(capsys, "history", "--audit", str(tmp_path)).code == 78


def test_history_has_its_keys(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    kept(path)
    data = rcfail(capsys, "history", "--audit", str(path), "-o", "json").document["data"]
    assert data.keys() == {"audit", "runs"}
    assert data["runs"][0].keys() == {
        "run", "command", "at_unix_ms", "user", "sudo_user", "host", "pid", "reason", "plan", "sends", "verified",
        "exit_code", "running", "indeterminate",
    }  # fmt: skip
    assert data["runs"][0]["sends"][0].keys() == {
        "node_id", "address", "command", "at_unix_ms", "answered", "reply", "left",
    }  # fmt: skip
    assert data["runs"][0]["verified"][0].keys() == {"outcome", "why"}


def test_the_last_words_of_a_run(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    owner = kept(path, answers=False)
    kept(path)
    assert json.loads(last_words(path, owner))["line"] == "before"
    append(path, "{}")
    assert last_words(path, myself("", 1)) == ""
