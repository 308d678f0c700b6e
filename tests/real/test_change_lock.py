"""One operator at a time, on real servers: who holds it, who takes it over, and what is left in the keys."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from rcfail.change.locks.cluster_lock import seats_of
from rcfail.change.locks.lock import LockHeld, hold
from rcfail.change.locks.owner import Owner, myself
from rcfail.clock import SYSTEM_CLOCK, Deadline
from rcfail.cluster.permissions import Purpose, permissions
from rcfail.cluster.snapshot import Snapshot
from rcfail.health.finding import Thresholds
from rcfail.practice.lab.damage import Refusal
from rcfail.rounds import look_until_settled
from rcfail.session import open_door, open_sight
from rcfail.settings.load import Flags, load
from rcfail.wire.door import Door
from tests.real.conftest import LabMaker
from tests.real.servers import RunningLab

every_server = pytest.mark.every_server

HOLDER = """
import sys
from pathlib import Path
from tests.real.servers import RunningLab
from tests.real.test_change_lock import me, seen
from rcfail.practice.lab.register import Register
from rcfail.change.locks.lock import hold
lab = RunningLab(Register(Path(sys.argv[1])), sys.argv[2])
door, snapshot = seen(lab)
with hold(door, snapshot, me("the other one"), Path(sys.argv[3])):
    print("held", flush=True)
    sys.stdin.read()
"""


def me(reason: str = "a test") -> Owner:
    return myself(reason, SYSTEM_CLOCK.unix_ms())


def seen(lab: RunningLab) -> tuple[Door, Snapshot]:
    settings = load(Flags(seeds=(lab.seeds,)), {})
    looked = look_until_settled(open_sight(settings, {}), Thresholds(), SYSTEM_CLOCK, Deadline.after(20))
    return open_door(settings, {}), looked.snapshot


def values(lab: RunningLab, snapshot: Snapshot) -> list[str]:
    """What the keys of all shards hold."""
    by_id = {node.node_id: node for node in lab.nodes}
    found = [lab.ask(by_id[seat.members[0][0]], "GET", seat.key) for seat in seats_of(snapshot)]
    return [str(each) for each in found if each is not None]


def ttls(lab: RunningLab, snapshot: Snapshot) -> list[int]:
    by_id = {node.node_id: node for node in lab.nodes}
    found = [lab.ask(by_id[seat.members[0][0]], "PTTL", seat.key) for seat in seats_of(snapshot)]
    return [int(str(each)) for each in found if each != -2]


@every_server
def test_two_owners_at_once_and_nothing_is_left(lab: LabMaker, tmp_path: Path) -> None:
    made = lab()
    door, snapshot = seen(made)
    first = me("swap disks")
    with hold(door, snapshot, first, tmp_path / "a") as held:
        assert (held.local_alone, held.still_held()) == ("", True)
        assert values(made, snapshot) == [first.text] * 2, "a majority of three"
        assert all(0 < each <= 30_000 for each in ttls(made, snapshot))
        for folder in ("a", "b"):  # the same host's lock, and the cluster's alone
            with pytest.raises(LockHeld, match="swap disks") as error, hold(door, snapshot, me(), tmp_path / folder):
                pass
            assert (error.value.exit_code, error.value.owner) == (14, first)
        assert held.still_held(), "who was sent away took nothing along"
    assert values(made, snapshot) == []
    with pytest.raises(ZeroDivisionError), hold(door, snapshot, me(), tmp_path / "a"):
        raise ZeroDivisionError
    assert values(made, snapshot) == []
    assert not list(tmp_path.glob("*/*.lock"))


@every_server
def test_a_dead_owner_is_taken_over_and_a_living_one_only_by_name(lab: LabMaker, tmp_path: Path) -> None:
    made = lab()
    door, snapshot = seen(made)
    words = [sys.executable, "-c", HOLDER, str(made.register.home), made.name, str(tmp_path)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(LockHeld, match="the other one"), hold(door, snapshot, me(), tmp_path):
            pass
        broken: list[Owner] = []
        with hold(door, snapshot, me(), tmp_path, break_lock=True, over=broken.append) as held:
            assert ([each.pid for each in broken], held.still_held()) == ([other.pid], True)
        other.kill()
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        other.kill()
        other.wait()
        over: list[Owner] = []
        with hold(door, snapshot, me(), tmp_path, over=over.append) as held:
            assert ([each.pid for each in over], held.local_alone, held.still_held()) == ([other.pid], "", True)


@every_server
def test_without_a_writable_majority_the_local_lock_stands_alone(lab: LabMaker, tmp_path: Path) -> None:
    made = lab()
    door, snapshot = seen(made)
    for node in ("n1", "n2"):
        made.refuse_writes(node, Refusal.OOM)
    with hold(door, snapshot, me(), tmp_path) as held:
        assert "OOM" in held.local_alone
        assert held.still_held()
        assert values(made, snapshot) == []


def test_it_is_renewed_and_a_thief_is_seen(lab: LabMaker, tmp_path: Path) -> None:
    made = lab()
    door, snapshot = seen(made)
    own = me()
    thief = replace(me("stolen"), host="elsewhere")
    with hold(door, snapshot, own, tmp_path, ttl_ms=1500) as held:
        began = SYSTEM_CLOCK.monotonic_s()
        made.wait(lambda: SYSTEM_CLOCK.monotonic_s() - began > 3, "two lives of the lock")
        assert held.still_held()
        by_id = {node.node_id: node for node in made.nodes}
        for seat in seats_of(snapshot):
            made.say(by_id[seat.members[0][0]], "SET", seat.key, thief.text)
        assert not held.still_held()
        assert not held.unread, "it was read, and is another's"
        assert "stolen" not in held.lost
        assert "elsewhere" in held.lost
    assert values(made, snapshot) == [thief.text] * 3, "what is not ours is not deleted"


@every_server
def test_a_key_goes_along_when_its_shard_moves(lab: LabMaker, tmp_path: Path) -> None:
    made = lab()
    door, snapshot = seen(made)
    with hold(door, snapshot, me(), tmp_path) as held:
        moved = made.replica_of("n1")
        made.say(moved, "CLUSTER", "FAILOVER", "TAKEOVER")
        made.wait(lambda: "slave" in made.belief("n1", made.node("n1")).flags, "n1 is a replica")
        assert held.still_held()
    assert all(made.ask(node, "DBSIZE") == 0 for node in made.nodes if "slave" not in made.belief(node, node).flags)


def test_two_that_begin_at_the_same_moment(lab: LabMaker, tmp_path: Path) -> None:
    made = lab()
    _, snapshot = seen(made)
    gate, done, told = threading.Barrier(4), threading.Barrier(4), list[str]()

    def run(number: int) -> None:
        gate.wait(30)
        try:
            with hold(seen(made)[0], snapshot, me(str(number)), tmp_path / str(number)) as held:
                told.append("held" if held.still_held() and not held.local_alone else "lost")
                done.wait(30)
        except LockHeld:
            told.append("sent away")
            done.wait(30)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(told) in (["held"] + ["sent away"] * 3, ["sent away"] * 4), json.dumps(told)
    assert values(made, snapshot) == []


@every_server
def test_the_operating_user_may_do_it_and_the_reading_one_is_told_apart(lab: LabMaker, tmp_path: Path) -> None:
    made = lab()
    _, snapshot = seen(made)
    for purpose in Purpose:
        for node in made.nodes:
            words = permissions(made.vitals(node).server, purpose)
            made.say(node, "ACL", "SETUSER", purpose.value, "on", "nopass", *words)
        settings = load(Flags(seeds=(made.seeds,), user=purpose.value), {})
        with hold(open_door(settings, {}), snapshot, me(), tmp_path) as held:
            assert (held.local_alone == "") is (purpose is Purpose.OPERATING), held.local_alone
            assert held.still_held()
        assert values(made, snapshot) == []
