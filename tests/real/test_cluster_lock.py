"""The lock in a cluster that is half dead, that moves while it is held, and that many want: on real servers."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from rcfail.change.locks.cluster_lock import Seat, places_of, seats_of
from rcfail.change.locks.lock import LockHeld, hold
from rcfail.clock import Deadline
from rcfail.cluster.keyslot import slot_of
from rcfail.cluster.nouns import Endpoint
from rcfail.cluster.snapshot import Snapshot
from rcfail.wire.conversation import Conversation
from rcfail.wire.door import Door
from tests.real.conftest import LabMaker
from tests.real.servers import RunningLab
from tests.real.test_change_lock import me, seen, values

every_server = pytest.mark.every_server

# Some shards are dead in these tests, and the others have to take writes all the same.
PARTIAL = ("cluster-require-full-coverage no",)


class CountingDoor(Door):
    """Counts the conversations with each place, and how many with those watched stand open at once."""

    def __init__(self, watched: set[Endpoint]) -> None:
        super().__init__()
        self._watched = watched
        self._turn = threading.Lock()
        self._open = 0
        self.most_at_once = 0
        self.watched_in_all = 0

    def open(self, endpoint: Endpoint, *, deadline: Deadline) -> Conversation:
        conversation = super().open(endpoint, deadline=deadline)
        if endpoint in self._watched:
            with self._turn:
                self._open += 1
                self.watched_in_all += 1
                self.most_at_once = max(self.most_at_once, self._open)
            close = conversation.close
            conversation.close = lambda: self._closed(close())  # type: ignore[method-assign]
        return conversation

    def _closed(self, _: None) -> None:
        with self._turn:
            self._open -= 1


def owner_of(lab: RunningLab, seat: Seat) -> str:
    """The name of the seat's first member."""
    return next(node.name for node in lab.nodes if node.node_id == seat.members[0][0])


def test_dead_shards_are_waited_for_together_and_once(lab: LabMaker, tmp_path: Path) -> None:
    made = lab(9, 0, conf=PARTIAL)
    _, snapshot = seen(made)
    dead = made.primaries[:4]
    made.freeze(*dead)
    door = CountingDoor({node.endpoint for node in dead})
    with hold(door, snapshot, me(), tmp_path) as held:
        assert held.local_alone == ""
        assert held.still_held()
        assert (door.watched_in_all, door.most_at_once) == (4, 4), "in the first look, and never again"
        with pytest.raises(LockHeld), hold(door, snapshot, me(), tmp_path / "elsewhere"):
            pass
    made.thaw(*dead)
    assert values(made, snapshot) == []


def test_keys_that_die_while_they_are_held_are_missed_at_once(lab: LabMaker, tmp_path: Path) -> None:
    made = lab(9, 0, conf=PARTIAL)
    _, snapshot = seen(made)
    dead = [made.node(owner_of(made, seat)) for seat in seats_of(snapshot)[:4]]
    door = CountingDoor({node.endpoint for node in dead})
    with hold(door, snapshot, me(), tmp_path) as held:
        assert held.still_held()
        made.freeze(*dead)
        door.most_at_once = 0
        assert not held.still_held()
        assert door.most_at_once == 4
        assert held.lost.startswith("1 of 5 keys of the lock are left")
        assert held.unread, "nobody else has it"
        made.thaw(*dead)
        made.wait(held.still_held, "the keys are back")
    assert values(made, snapshot) == []


def test_no_majority_alive_leaves_the_local_lock_alone(lab: LabMaker, tmp_path: Path) -> None:
    made = lab(9, 0, conf=PARTIAL)
    door, snapshot = seen(made)
    dead = made.primaries[:5]
    made.kill(*dead)
    with hold(door, snapshot, me(), tmp_path) as held:
        assert held.local_alone.startswith("4 of the 5 shards")
        assert held.still_held()
        alive = [seat for seat in seats_of(snapshot) if owner_of(made, seat) not in {node.name for node in dead}]
        assert all(made.ask(owner_of(made, seat), "EXISTS", seat.key) == 0 for seat in alive), (
            "what is no use is let go"
        )


@every_server
def test_a_voter_that_dies_while_it_is_held_keeps_its_key(lab: LabMaker, tmp_path: Path) -> None:
    """The replica that is voted in has the key, and the others lead to it."""
    made = lab()
    door, snapshot = seen(made)
    with hold(door, snapshot, me(), tmp_path) as held:
        name = owner_of(made, seats_of(snapshot)[0])
        heir = made.replica_of(name)
        made.wait(lambda: made.vitals(heir).storage.keys == 1, "the key is copied")
        made.kill(name)
        made.wait(lambda: made.vitals(heir).replication.role == "master", "its replica is promoted", 30)
        made.wait(held.still_held, "the key is found there")
    assert made.vitals(heir).storage.keys == 0, "and it is deleted there"


@every_server
def test_a_key_is_found_where_its_slot_has_moved_to(lab: LabMaker, tmp_path: Path) -> None:
    made = lab()
    door, snapshot = seen(made)
    with hold(door, snapshot, me(), tmp_path) as held:
        seat = seats_of(snapshot)[0]
        giver = made.node(owner_of(made, seat))
        taker = next(node for node in made.primaries if node.name != giver.name)
        move_slot(made, slot_of(seat.key), seat.key, giver.name, taker.name)
        assert str(made.ask(giver, "GET", seat.key)).count("MOVED")
        assert held.still_held(), held.lost
        assert made.ask(taker, "EXISTS", seat.key) == 1
        with pytest.raises(LockHeld), hold(door, snapshot, me(), tmp_path / "elsewhere"):
            pass
    assert made.ask(taker, "EXISTS", seat.key) == 0


def move_slot(lab: RunningLab, slot: int, key: str, giver: str, taker: str) -> None:
    """As redis-cli reshards: open on both sides, the key goes over, then everybody is told."""
    old, new = lab.node(giver), lab.node(taker)
    lab.say(new, "CLUSTER", "SETSLOT", slot, "IMPORTING", old.node_id)
    lab.say(old, "CLUSTER", "SETSLOT", slot, "MIGRATING", new.node_id)
    lab.say(old, "MIGRATE", new.endpoint.host, new.endpoint.port, key, 0, 5000)
    for node in (new, old, *(each for each in lab.primaries if each.name not in (giver, taker))):
        lab.say(node, "CLUSTER", "SETSLOT", slot, "NODE", new.node_id)


def test_members_are_known_by_every_address_that_a_server_may_name(lab: LabMaker) -> None:
    made = lab(3, 0)
    _, snapshot = seen(made)
    places = places_of(snapshot)
    assert set(places.values()) == {(node.node_id, node.endpoint) for node in made.nodes}


def test_of_two_that_race_never_both_have_it_and_nearly_always_one(lab: LabMaker, tmp_path: Path) -> None:
    """Two hosts: each has a local lock of its own. Who has it keeps it until the other was sent away."""
    made = lab(5, 0)
    rounds = 50
    _, snapshot = seen(made)
    won = [0] * rounds
    gate = threading.Barrier(2)
    faults: list[BaseException] = []

    def run(host: str) -> None:
        door = seen(made)[0]
        try:
            for number in range(rounds):
                gate.wait(60)
                won[number] += one_try(door, snapshot, tmp_path / host, gate)
        except BaseException as fault:  # noqa: BLE001 - or the other one would wait in vain
            faults.append(fault)
            gate.abort()

    threads = [threading.Thread(target=run, args=(host,)) for host in ("one", "two")]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not faults, faults
    assert max(won) == 1, won
    assert sum(won) >= rounds * 0.9, won
    assert values(made, snapshot) == []


def one_try(door: Door, snapshot: Snapshot, folder: Path, gate: threading.Barrier) -> int:
    """1 where it was had, in the cluster, until both were through."""
    try:
        with hold(door, snapshot, me(), folder) as held:
            had = not held.local_alone and held.still_held()
            gate.wait(60)
            assert not had or held.still_held()
            return int(had)
    except LockHeld:
        gate.wait(60)
        return 0
