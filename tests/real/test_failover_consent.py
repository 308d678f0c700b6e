"""The question before a failover, and the signals that come before it, in it and after it. On a real terminal."""

from __future__ import annotations

import re
import signal
import subprocess
from pathlib import Path

import pytest

from tests.real.conftest import LabMaker
from tests.real.operators import Operator, leads, sends
from tests.real.servers import RunningLab
from tests.unit.ordeal import on_terminal

every_server = pytest.mark.every_server
OK, REFUSED, NOT_DONE, INDETERMINATE, DECLINED, INTERRUPTED = 0, 10, 11, 15, 65, 130
QUESTION = b"to go on: "
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def asked(lab: RunningLab, state: Path, typed: bytes, *words: str) -> tuple[int, str]:
    """`rcfail failover` on a terminal, where `typed` answers the question."""
    environment = {**Operator(lab, state).environment, "NO_COLOR": "1"}
    code, shown = on_terminal("failover", *words, env=environment, typed=[(QUESTION, typed)])
    return code, shown.decode().replace("\r\n", "\n")


def prompt_word(lab: RunningLab, node: str) -> bytes:
    return lab.node(node).node_id[:8].encode()


@every_server
def test_the_question_says_what_will_happen_and_the_right_word_goes_on(lab: LabMaker, tmp_path: Path) -> None:
    one = lab()
    new = one.replica_of("n1")
    code, shown = asked(one, tmp_path, prompt_word(one, "n1") + b"\n", one.node("n1").node_id)
    assert code == OK, shown
    before, _, after = shown.partition(f"Type {one.node('n1').node_id[:8]} ")
    flat = " ".join(before.split())
    assert "5461 slots (0-5460)" in flat
    assert str(new.endpoint) in flat
    assert "can be lost: nothing" in flat
    assert "CLUSTER FAILOVER is sent to" in flat
    assert "candidates" in flat
    assert "DONE  " in after
    assert sends(one) == {new.name: 1}


def test_bytes_at_risk_are_told_before_a_forced_one(lab: LabMaker, tmp_path: Path) -> None:
    one = lab()
    new = one.replica_of("n1")
    words = (new.node_id, "--force", "--allow-data-loss")
    code, shown = asked(one, tmp_path, b"no\n", *words)
    assert code == DECLINED, shown
    risk = re.search(r"can be lost: ([^\n]+)", shown)
    assert risk is not None
    assert not risk[1].startswith("nothing: "), "the primary does not wait"
    assert "--allow-data-loss" in shown
    assert sends(one) == {}


@every_server
def test_whatever_is_no_yes_sends_nothing(lab: LabMaker, tmp_path: Path) -> None:
    one = lab()
    new, wrong = one.replica_of("n1"), prompt_word(one, "n2")
    for typed, expected in (
        (b"y\n", DECLINED),
        (b"\n", DECLINED),
        (wrong + b"\n", DECLINED),
        (b"\x04", DECLINED),  # end of input
        (b"\x03", INTERRUPTED),
    ):
        code, shown = asked(one, tmp_path, typed, new.node_id)
        assert code == expected, (typed, shown)
        assert "nothing was sent" in shown, shown
        assert "Traceback" not in shown
    ran = Operator(one, tmp_path).run("failover", new.node_id)
    assert ran.returncode == DECLINED, ran
    assert "--yes" in ran.stderr
    assert sends(one) == {}
    assert Operator(one, tmp_path).lines() == [], "nothing was begun"


@every_server
def test_a_dry_run_leaves_no_trace(lab: LabMaker, tmp_path: Path) -> None:
    one = lab()
    new = one.replica_of("n1")
    operator = Operator(one, tmp_path)
    writes = [_writes(one, node.name) for node in one.primaries]
    answer = operator.ask("failover", new.node_id, "--dry-run")
    assert (answer.code, answer.data["result"]) == (OK, "allowed"), answer
    assert answer.data["outcomes"] == []
    refused = operator.ask("failover", new.node_id, "--force", "--dry-run")
    assert (refused.code, refused.data["result"]) == (REFUSED, "refused"), refused
    assert sends(one) == {}
    assert [_writes(one, node.name) for node in one.primaries] == writes
    assert operator.lines() == []
    assert not list(tmp_path.rglob("*.lock"))


def _writes(lab: RunningLab, node: str) -> int:
    """Commands that a lock takes."""
    stats = lab.text(node, "INFO", "commandstats")
    rows = re.findall(r"cmdstat_(set|eval|evalsha|del|pexpire):calls=(\d+)", stats)
    return sum(int(calls) for _, calls in rows)


def sent_and(lab: RunningLab, state: Path, *numbers: signal.Signals) -> tuple[int, str, str]:
    """Send these signals as soon as it tells that the command was sent."""
    new = lab.replica_of("n1")
    with Operator(lab, state).start("failover", new.node_id, "--yes") as running:
        _read_to(running, "requested")
        for number in numbers:
            running.send_signal(number)
        said, talk = running.communicate(timeout=90)
    return running.returncode, said, talk


def _read_to(running: subprocess.Popen[str], word: str) -> None:
    assert running.stderr is not None
    line = running.stderr.readline()
    while word not in line:
        assert line, "it ended without a word of it"
        line = running.stderr.readline()


@every_server
@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_after_the_send_is_no_interruption(lab: LabMaker, tmp_path: Path, number: signal.Signals) -> None:
    one = lab()
    code, said, talk = sent_and(one, tmp_path, number)
    assert code in (OK, NOT_DONE, 12, INDETERMINATE), (said, talk)
    if code == OK:
        assert said.startswith("DONE  ")
        assert leads(one, one.replica_of("n1"))
    assert "Traceback" not in talk
    (end,) = [line for line in Operator(one, tmp_path).lines() if line["line"] == "end"]
    assert end["exit_code"] == code
    assert not list(tmp_path.rglob("*.lock")), "the lock is let go"


@pytest.mark.parametrize("first", SIGNALS)
def test_signals_again_and_again(lab: LabMaker, tmp_path: Path, first: signal.Signals) -> None:
    one = lab()
    code, said, talk = sent_and(one, tmp_path, first, signal.SIGINT, signal.SIGINT)
    assert code in (OK, NOT_DONE, 12, INDETERMINATE), (said, talk)
    assert said.split(maxsplit=1)[0] in ("DONE", "NOT", "INCOMPLETE", "INDETERMINATE")
    assert "Traceback" not in talk
