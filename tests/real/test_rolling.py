"""All nodes of a real cluster restarted one after the other, while clients write."""

from __future__ import annotations

import json
import re
import signal
import sys
from pathlib import Path

import pytest

from rcfail.practice.lab.register import NodeEntry
from tests.real.conftest import LabMaker
from tests.real.loader import Loader
from tests.real.operators import Answer, Operator, sends
from tests.real.servers import REPOSITORY, RunningLab
from tests.real.test_drain import LONG_S, agreed, leaders, told

every_server = pytest.mark.every_server
OK, REFUSED, INCOMPLETE, USAGE, DECLINED = 0, 10, 12, 64, 65


def restarting(lab: RunningLab, folder: Path) -> str:
    """A command that ends the node's process and starts the same server again, as a service manager would."""
    fault = f"cd {REPOSITORY} && {sys.executable} -m rcfail lab fault"
    script = folder / "restart.sh"
    script.write_text(
        f"set -e\n{fault} kill $RCFAIL_NODE_ADDRESS --lab {lab.name}\n"
        f"{fault} restart $RCFAIL_NODE_ADDRESS --lab {lab.name}\n"
        f"echo $RCFAIL_NODE_ADDRESS $RCFAIL_NODE_ROLE >> {folder}/turns\n"
    )
    return f"sh {script}"


def turns(folder: Path) -> list[tuple[str, str]]:
    """The address of each node that had its turn, and what it was then."""
    file = folder / "turns"
    rows = [row.split() for row in file.read_text().splitlines()] if file.exists() else []
    return [(address, role) for address, role in rows]


def runs(lab: RunningLab) -> dict[str, str]:
    return {node.name: lab.vitals(node).server.run_id for node in lab.nodes}


def phases(answer: Answer) -> list[str]:
    return [each["phase"] for each in answer.data["nodes"]]


@every_server
def test_every_node_is_restarted_and_no_write_is_lost(lab: LabMaker, tmp_path: Path) -> None:
    one = lab(node_timeout_ms=3000)
    operator, before = Operator(one, tmp_path), runs(one)
    with Loader(one.nodes, every_s=0.005) as load:
        answer = operator.ask(
            "rolling", "--cmd", restarting(one, tmp_path), "--yes", "--wait-cooldown", within_s=LONG_S
        )
    assert (answer.code, phases(answer)) == (OK, ["done"] * 6), answer
    assert all(each["restarted"] for each in answer.data["nodes"])
    assert all(now != before[name] for name, now in runs(one).items()), "each is another process now"
    had = turns(tmp_path)
    assert sorted(address for address, _ in had) == sorted(str(node.endpoint) for node in one.nodes)
    assert {role for _, role in had} == {"replica"}, "no primary was ever restarted"
    first = {node for node, _ in had[:3]}
    assert first == {str(node.endpoint) for node in one.replicas}
    assert load.acknowledged > 0
    assert load.lost == 0, load.shards
    assert leaders(one) == {"n1", "n2", "n3"}
    assert answer.data["restored"] == 3
    agreed(one)
    assert not list((tmp_path / "rcfail/rolling").iterdir()), "what came to its end is not resumed"


@pytest.mark.parametrize("batch", ["node", "host"])
def test_a_command_that_fails_stops_it_and_it_goes_on_from_there(lab: LabMaker, tmp_path: Path, batch: str) -> None:
    one = lab()
    operator = Operator(one, tmp_path)
    bad = one.node("n2")
    again = restarting(one, tmp_path)
    failing = f'[ "$RCFAIL_NODE_ADDRESS" = {bad.endpoint} ] && [ ! -e {tmp_path}/mended ] && exit 7; {again}'
    answer = operator.ask("rolling", "--batch", batch, "--cmd", failing, "--yes", within_s=LONG_S)
    assert answer.code == INCOMPLETE, answer
    last = answer.data["nodes"][-1]
    assert (last["id"], last["phase"], last["exit_code"]) == (bad.node_id, "cmd", 7)
    assert "exit code 7" in answer.data["stopped"]
    done = len(turns(tmp_path))

    assert operator.ask("rolling", "--cmd", "true", "--yes").code == REFUSED, "it is not forgotten by chance"
    (tmp_path / "mended").touch()
    rest = operator.ask(
        "rolling", "--resume", "--batch", batch, "--cmd", failing, "--yes", "--wait-cooldown", within_s=LONG_S
    )
    assert rest.code == OK, rest
    addresses = [address for address, _ in turns(tmp_path)]
    assert {role for _, role in turns(tmp_path)} == {"replica"}
    assert set(addresses) == {str(node.endpoint) for node in one.nodes}
    assert done < len(addresses)
    if batch == "node":
        assert len(addresses) == len(set(addresses)), "who was done is not done again"
    assert leaders(one) == {"n1", "n2", "n3"}, "the layout from before the first run"


def test_a_hook_that_says_no_stops_before_anything_is_done_to_the_node(lab: LabMaker, tmp_path: Path) -> None:
    one = lab()
    operator = Operator(one, tmp_path)
    pre = f'[ "$RCFAIL_NODE_ROLE" = replica ] && [ "$RCFAIL_NODE_ID" != {one.replica_of("n3").node_id} ]'
    answer = operator.ask("rolling", "--cmd", "true", "--pre-cmd", pre, "--yes", "--no-restore", within_s=LONG_S)
    assert answer.code == INCOMPLETE
    assert answer.data["nodes"][-1]["phase"] == "pre-cmd"
    assert answer.data["nodes"][-1]["id"] == one.replica_of("n3").node_id
    only = ("--anew", "--only", one.node("n1").node_id)
    primary = operator.ask("rolling", *only, "--cmd", "true", "--pre-cmd", "exit 1", "--yes")
    assert (primary.code, phases(primary)) == (REFUSED, ["pre-cmd"]), "nothing was done at all"
    assert not sends(one), "the hook comes before its shard is moved"
    assert leaders(one) == {"n1", "n2", "n3"}
    post = operator.ask("rolling", *only, "--cmd", "true", "--post-cmd", "exit 1", "--yes", within_s=LONG_S)
    assert (post.code, phases(post)) == (INCOMPLETE, ["post-cmd"])
    back = operator.ask("rolling", "--resume", "--cmd", "true", "--yes", "--wait-cooldown", within_s=LONG_S)
    assert (back.code, leaders(one)) == (OK, {"n1", "n2", "n3"})


def test_a_node_that_does_not_come_back_stops_it(lab: LabMaker, tmp_path: Path) -> None:
    one = lab()
    operator = Operator(one, tmp_path)
    kill = f"cd {REPOSITORY} && {sys.executable} -m rcfail lab fault kill $RCFAIL_NODE_ADDRESS --lab {one.name}"
    answer = operator.ask("rolling", "--cmd", kill, "--back-within", "4s", "--yes", within_s=LONG_S)
    assert (answer.code, phases(answer)) == (INCOMPLETE, ["back"]), answer
    assert "is not back after 4 s" in answer.data["stopped"]
    assert not sends(one)
    dead = _dead(one, answer)
    one.restart(dead)
    one.wait(lambda: one.vitals(dead).replication.link_up, "it to follow", 60)
    assert operator.run("wait", "settled", "--timeout", "60s").returncode == OK
    rest = operator.ask("rolling", "--resume", "--cmd", "true", "--yes", "--no-restore", within_s=LONG_S)
    assert (rest.code, phases(rest)) == (OK, ["done"] * 6), rest
    assert {each["restarted"] for each in rest.data["nodes"]} == {False}
    assert rest.data["restored"] is None


def _dead(lab: RunningLab, answer: Answer) -> NodeEntry:
    return next(node for node in lab.nodes if node.node_id == answer.data["nodes"][-1]["id"])


def test_a_command_without_end_is_ended(lab: LabMaker, tmp_path: Path) -> None:
    one = lab()
    answer = Operator(one, tmp_path).ask("rolling", "--cmd", "sleep 600", "--cmd-timeout", "1s", "--yes")
    assert answer.code == INCOMPLETE
    assert answer.data["nodes"][0]["timed_out"]


def test_ctrl_c_lets_the_command_end_and_nothing_follows(lab: LabMaker, tmp_path: Path) -> None:
    one = lab()
    operator = Operator(one, tmp_path)
    process = operator.start("rolling", "--cmd", "echo begun; sleep 2; echo ended", "--yes")
    with process:
        told(process, "| begun")
        process.send_signal(signal.SIGINT)
        told(process, "| ended")
        out, _ = process.communicate(timeout=LONG_S)
    assert process.returncode == INCOMPLETE, out
    assert operator.ask("rolling", "--resume", "--cmd", "true", "--dry-run").code == OK
    assert not sends(one)


def test_ctrl_c_while_a_node_is_away_is_not_before_anything_was_done(lab: LabMaker, tmp_path: Path) -> None:
    one = lab()
    operator = Operator(one, tmp_path)
    kill = f"cd {REPOSITORY} && {sys.executable} -m rcfail lab fault kill $RCFAIL_NODE_ADDRESS --lab {one.name}"
    process = operator.start("rolling", "--cmd", kill, "--yes")
    with process:
        told(process, "waiting until")
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=LONG_S)
    assert process.returncode == INCOMPLETE, out
    assert "it was not seen to be back" in " ".join(out.split())
    left = operator.ask("rolling", "--resume", "--cmd", "true", "--dry-run")
    assert left.data["done_before"] == []


def test_who_nobody_can_replace_is_told_before_it_begins(lab: LabMaker, tmp_path: Path) -> None:
    one = lab(replicas=0)
    operator = Operator(one, tmp_path)
    answer = operator.ask("rolling", "--cmd", f"touch {tmp_path}/ran", "--yes")
    assert (answer.code, answer.data["result"]) == (REFUSED, "refused")
    assert set(answer.data["without_replica"]) == {node.node_id for node in one.nodes}
    assert not (tmp_path / "ran").exists()
    assert operator.ask("rolling", "--cmd", "true").code == REFUSED
    assert operator.ask("rolling", "--yes").code == USAGE


def test_commands_get_no_password_and_what_they_print_is_made_harmless(lab: LabMaker, tmp_path: Path) -> None:
    one = lab(conf=("requirepass sesame", "masterauth sesame"))
    operator = Operator(one, tmp_path)
    words = ("rolling", "--only", one.replica_of("n1").node_id, "--yes", "--cmd")
    shown = "echo [$RCFAIL_PASSWORD]; printf 'red\\033[31m\\n'; echo $RCFAIL_NODE_HOST $RCFAIL_NODE_PORT"
    environment = operator.environment | {"RCFAIL_PASSWORD": "sesame"}
    from tests.real.servers import run_rcfail

    ran = run_rcfail(*words, shown, environment=environment, within_s=LONG_S)
    node = one.replica_of("n1")
    assert ran.returncode == OK, ran
    assert f"{node.endpoint} | []\n" in ran.stderr
    assert f"{node.endpoint} | red\\x1b[31m\n" in ran.stderr
    assert f"{node.endpoint} | {node.host} {node.port}\n" in ran.stderr


def test_no_text_of_a_command_is_kept_on_the_disk(lab: LabMaker, tmp_path: Path) -> None:
    one = lab()
    operator = Operator(one, tmp_path)
    hooks = ("--cmd", "true s3cret-cmd", "--pre-cmd", "true s3cret-pre", "--post-cmd", "false s3cret-post")
    words = ("rolling", "--only", one.replica_of("n1").node_id, "--yes", *hooks)
    assert operator.ask(*words, within_s=LONG_S).code == INCOMPLETE
    state = Path(operator.environment["XDG_STATE_HOME"])
    kept = {path.relative_to(state).parts[1]: path.read_text() for path in state.rglob("*") if path.is_file()}
    assert {"audit.jsonl", "rolling"} <= kept.keys(), "the audit, and the run that may be resumed"
    assert "s3cret" not in "".join(kept.values())
    begun = json.loads(kept["audit.jsonl"].splitlines()[0])["plan"]
    digests = {begun["cmd"], begun["pre_cmd"], begun["post_cmd"]}
    assert len(digests) == 3
    assert all(re.fullmatch("sha256:[0-9a-f]{12}", each) for each in digests)
