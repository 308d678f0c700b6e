"""Connections that outlive a round: few of them, none trusted for long, and a broken one says nothing of its node."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rcfail.clock import Deadline
from rcfail.cluster.nouns import Endpoint
from rcfail.cluster.observation import Observation, SilenceReason
from rcfail.session import LastingSight, LiveSight
from rcfail.settings.sections import Settings, Target
from rcfail.wire.bounds import Bounds
from rcfail.wire.door import Door
from rcfail.wire.kept import OLDEST_S, KeptDoor
from rcfail.wire.refusals import Refusal
from tests.bench.replies import read_commands
from tests.unit.liars import line
from tests.unit.wire_servers import Call, OddServer, bulk, serving, speaker
from tests.unit.wire_world import Servers
from tests.unit.world import World

BOUNDS = Bounds(connect_s=1.0, read_s=0.5, resolve_s=0.5)


class Clock:
    """The machine's clock, which a test can put forward."""

    def __init__(self) -> None:
        from rcfail.clock import SYSTEM_CLOCK

        self._clock = SYSTEM_CLOCK
        self.ahead_s = 0.0

    def monotonic_s(self) -> float:
        return self._clock.monotonic_s() + self.ahead_s

    def unix_ms(self) -> int:
        return self._clock.unix_ms()

    def sleep(self, seconds: float) -> None:
        self._clock.sleep(seconds)


@pytest.fixture
def servers() -> Iterator[Servers]:
    """Three shards of one replica each."""
    three = Servers(World.of(3, 1))
    with serving(*three.all):
        yield three


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sight(servers: Servers, clock: Clock) -> Iterator[LastingSight]:
    made = LastingSight(LiveSight(Settings(Target((servers.first,))), Door(bounds=BOUNDS, clock=clock), clock))
    yield made
    made.close()


def look(sight: LastingSight, clock: Clock) -> Observation:
    return sight.look(Deadline.after(20.0, clock))


def calls(servers: Servers) -> list[int]:
    return [len(server.calls) for server in servers.all]


def test_ten_rounds_are_one_connection_a_node_and_each_asks_anew(
    servers: Servers, sight: LastingSight, clock: Clock
) -> None:
    first = look(sight, clock)
    servers.world["a"].info["used_memory"] = "4242"
    later = [look(sight, clock) for _ in range(9)]
    assert calls(servers) == [1] * 6
    assert len(first.answers) == len(later[-1].answers) == 6
    heard = next(each for each in later[0].answers if each.endpoint == servers.world["a"].endpoint)
    assert "used_memory:4242" in (heard.info or "")
    assert heard.config == next(each for each in first.answers if each.endpoint == heard.endpoint).config


def test_users_and_settings_are_asked_once_for_each_connection_and_told_in_every_round(
    servers: Servers, sight: LastingSight, clock: Clock
) -> None:
    """A server with a thousand users would otherwise print them all, every second, for each watch."""
    rounds = [look(sight, clock) for _ in range(5)]
    for server in servers.all:
        asked = read_commands(server.calls[0].received)[0]
        assert asked.count([b"ACL", b"LIST"]) == 1
        assert asked.count([b"INFO"]) == 5
    for each in rounds:
        assert all(answer.users and answer.config for answer in each.answers)


def test_no_connection_grows_old_and_settings_are_read_again(
    servers: Servers, sight: LastingSight, clock: Clock
) -> None:
    look(sight, clock)
    clock.ahead_s += OLDEST_S / 2 - 1
    look(sight, clock)
    assert calls(servers) == [1] * 6
    clock.ahead_s += OLDEST_S / 2 + 1
    look(sight, clock)
    assert calls(servers) == [2] * 6


def test_a_watch_outlives_its_seed(servers: Servers, sight: LastingSight, clock: Clock) -> None:
    look(sight, clock)
    seed = servers.world["a"]
    servers[seed].stop()
    for _ in range(2):
        after = look(sight, clock)
        assert len(after.answers) == 5
        assert [(each.expected, each.reason) for each in after.silences] == [(seed.node_id, SilenceReason.REFUSED)]


def test_who_is_listed_by_nobody_any_more_is_not_asked_for_ever(
    servers: Servers, sight: LastingSight, clock: Clock
) -> None:
    look(sight, clock)
    world, gone = servers.world, servers.world["c1"]
    for member in world:
        member.sees[gone.node_id] = None
    look(sight, clock)  # it answered a moment ago, and is asked once more
    after = look(sight, clock)
    assert (len(after.answers), after.silences) == (5, ())


def test_when_all_are_gone_and_come_back_elsewhere_than_at_the_seed_they_are_found(
    servers: Servers, sight: LastingSight, clock: Clock
) -> None:
    look(sight, clock)
    for server in servers.all:
        server.stop()
    assert look(sight, clock).answers == ()
    back = [
        OddServer(servers.behaviour_of(member), member.endpoint.host, member.endpoint.port)
        for member in servers.world
        if member is not servers.world["a"]
    ]
    with serving(*back):
        assert len(look(sight, clock).answers) == 5


def conversation(door: KeptDoor, endpoint: Endpoint) -> tuple[object, ...]:
    with door.open(endpoint, deadline=Deadline.after(10.0)) as talk:
        return talk.read([("PING",)])


def test_a_connection_that_broke_since_is_no_word_about_the_node() -> None:
    """The server ends each connection after one answer, as one with a short `timeout` does."""

    def one_answer(call: Call) -> None:
        call.read_commands(1)
        call.send(bulk("PONG"))

    server = OddServer(one_answer)
    door = KeptDoor(Door(bounds=BOUNDS))
    with serving(server):
        assert [conversation(door, server.endpoint) for _ in range(3)] == [("PONG",)] * 3
        assert len(server.calls) == 3
        door.close()


def test_a_node_that_froze_is_asked_on_a_fresh_connection_before_it_is_called_frozen() -> None:
    def one_answer_in_all(call: Call) -> None:
        if len(server.calls) == 1:
            call.read_commands(1)
            call.send(bulk("PONG"))
        call.stay()

    server = OddServer(one_answer_in_all)
    door = KeptDoor(Door(bounds=BOUNDS))
    with serving(server):
        assert conversation(door, server.endpoint) == ("PONG",)
        (reply,) = conversation(door, server.endpoint)
        assert isinstance(reply, Refusal)
        assert reply.silence is SilenceReason.FROZEN
        assert len(server.calls) == 2
        door.close()


def test_connections_of_nodes_that_are_gone_are_closed() -> None:
    one, other = (OddServer(speaker(lambda _: bulk("PONG"))) for _ in range(2))
    door = KeptDoor(Door(bounds=BOUNDS))
    with serving(one, other):
        conversation(door, one.endpoint)
        conversation(door, other.endpoint)
        door.end_round()
        conversation(door, one.endpoint)
        door.end_round()
        conversation(door, other.endpoint)
        assert (len(one.calls), len(other.calls)) == (1, 2)
        door.close()


def test_a_server_that_invents_nodes_in_every_round_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rcfail.cluster.parse_nodes.MOST_BELIEFS", 100)
    rounds, held = 0, list[str]()

    def answer(words: list[str]) -> bytes:
        nonlocal rounds
        if words[-1] != "NODES":
            return bulk("")
        rounds += 1
        mine = line("me", f"{held[0]}@17000,me{rounds}", "myself,master", slots="0-16383")
        return bulk(mine + "".join(line((rounds, at), f"127.0.{rounds}.{at}:1@17000,n{rounds}") for at in range(1, 20)))

    server = OddServer(speaker(answer))
    held.append(str(server.endpoint))
    door = Door(bounds=BOUNDS)
    watching = LastingSight(LiveSight(Settings(Target((server.endpoint,))), door, door.clock))
    with serving(server):
        for _ in range(40):
            assert len(watching.look(Deadline.after(30)).silences) == 19
        watching.close()
    assert rounds == 40
    assert not watching._reader.is_full
    assert len(door.names._by_endpoint) <= 2 * 20
    assert len(door.names.of(server.endpoint)) <= 32


def test_a_password_is_asked_anew_and_never_kept(servers: Servers) -> None:
    door = KeptDoor(Door())
    asked = [("CONFIG", "GET", "save"), ("CONFIG", "GET", "masterauth")]
    for _ in range(2):
        with door.open(servers.world["a"].endpoint, deadline=Deadline.after(20.0)) as visit:
            assert visit.read(asked) == (("save", "3600 1"), ("masterauth", "hidden"))
    kept = door.take(servers.world["a"].endpoint)
    assert kept is not None
    assert list(kept.settings) == [("CONFIG", "GET", "save")]
    kept.conversation.close()
    door.close()
