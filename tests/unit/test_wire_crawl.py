"""The crawl over small clusters behind real sockets: who is asked, how often, and that every node has its row."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from rcfail.clock import Deadline
from rcfail.cluster.nouns import Endpoint, NodeId
from rcfail.cluster.observation import AbsenceKind, Ask, Observation, SilenceReason
from rcfail.wire.bounds import Bounds
from rcfail.wire.crawl import SECOND_ADDRESS_S, crawl, look_again
from rcfail.wire.door import Door
from tests.unit.wire_servers import Call, OddServer, closed_port, serving, speaker
from tests.unit.wire_world import Servers, answer_of
from tests.unit.world import World, node_id

READ_S = 1.0  # a server of ours that is well answers in far less, also on a busy machine
SLACK_S = 20.0  # for a loaded machine; what hangs would take far longer
DOOR = Door(bounds=Bounds(connect_s=1.0, read_s=READ_S, resolve_s=READ_S))


@pytest.fixture
def servers() -> Iterator[Servers]:
    """Three shards of one replica each."""
    three = Servers(World.of(3, 1))
    with serving(*three.all):
        yield three


def look(*seeds: Endpoint, seconds: float = 10.0) -> Observation:
    return crawl(seeds, DOOR, deadline=Deadline.after(seconds))


def heard(observation: Observation) -> dict[NodeId, Endpoint]:
    return {answer.nodes.myself[0]: answer.endpoint for answer in observation.answers if answer.nodes}


def silent(observation: Observation) -> dict[NodeId | None, SilenceReason]:
    return {silence.expected: silence.reason for silence in observation.silences}


def test_one_seed_leads_to_every_node_over_one_connection_each(servers: Servers) -> None:
    observation = look(servers.first)
    assert heard(observation) == {member.node_id: member.endpoint for member in servers.world}
    assert [answer.expected for answer in observation.answers] == [
        a.nodes.myself[0] for a in observation.answers if a.nodes
    ]
    assert observation.silences == ()
    assert [servers.asked(member) for member in servers.world] == [1] * 6
    assert observation.seeds == (servers.first,)
    assert len({id(answer.nodes.table) for answer in observation.answers if answer.nodes}) == 1, "equal views are one"


def test_all_seeds_are_asked_and_each_node_once(servers: Servers) -> None:
    observation = look(*(member.endpoint for member in servers.world))
    assert len(heard(observation)) == 6
    assert [servers.asked(member) for member in servers.world] == [1] * 6


def test_dead_and_frozen_nodes_are_rows_with_a_reason(servers: Servers) -> None:
    world = servers.world
    servers.behaviours[node_id("b")] = Call.stay
    dead = world["c1"]
    dead.endpoint = closed_port()
    began = time.monotonic()
    observation = look(servers.first)
    took = time.monotonic() - began
    assert silent(observation) == {node_id("b"): SilenceReason.FROZEN, node_id("c1"): SilenceReason.REFUSED}
    assert len(heard(observation)) == 4
    assert READ_S <= took < READ_S + SLACK_S


def test_a_dead_seed_that_nobody_lists_is_told(servers: Servers) -> None:
    dead = closed_port()
    observation = look(dead, servers.first)
    assert [(each.endpoint, each.expected, each.reason) for each in observation.silences] == [
        (dead, None, SilenceReason.REFUSED)
    ]
    assert len(heard(observation)) == 6


def test_the_union_of_all_views_is_asked(servers: Servers) -> None:
    """Only the last replica knows one more node, and only the first node knows the last replica."""
    world = servers.world
    for member in world:
        if member is not world["a"]:
            member.sees[node_id("c1")] = None
    extra = World.of(1, 0)["a"]
    extra.node_id = node_id("f")
    stranger = Servers(World([extra]))
    world["c1"].sees[node_id("c1")] = world["c1"].line(True)
    world["c1"].extra_lines = (extra.line(),)
    with serving(*stranger.all):
        observation = look(servers.first)
    assert node_id("f") in heard(observation)
    assert len(heard(observation)) == 7


def test_a_node_reached_at_another_address_is_also_looked_for_where_it_is_listed(servers: Servers) -> None:
    """The seed's address is not the one that the cluster announces, and clients are sent to that one."""
    member = servers.world["a"]
    seed, member.endpoint = member.endpoint, closed_port()
    observation = look(seed)
    assert heard(observation)[member.node_id] == seed
    assert observation.silences == ()
    assert [(each.endpoint, each.expected, each.reason) for each in observation.deserted] == [
        (member.endpoint, member.node_id, SilenceReason.REFUSED)
    ]
    assert servers.asked(member) == 1


def test_a_node_that_answers_at_both_of_its_addresses_is_well(servers: Servers) -> None:
    member = servers.world["a"]
    listed = OddServer(servers.behaviour_of(member), host="127.0.0.2")
    seed, member.endpoint = member.endpoint, listed.endpoint
    with serving(listed):
        observation = look(seed)
    assert heard(observation)[member.node_id] == member.endpoint
    assert (observation.silences, observation.deserted) == ((), ())


def test_what_the_second_look_knows_of_a_slow_second_address_is_not_waited_for_again(servers: Servers) -> None:
    announced, patient = OddServer(Call.stay), Door(bounds=Bounds(read_s=20.0))
    member = servers.world["a"]
    seed, member.endpoint = member.endpoint, announced.endpoint
    with serving(announced):
        first = crawl([seed], patient, deadline=Deadline.after(20.0))
        began = time.monotonic()
        second = look_again(first, patient, deadline=Deadline.after(20.0))
        took = time.monotonic() - began
        # Counted while it serves: when it hangs up, who still waits for it looks whether it is a TLS port.
        assert len(announced.calls) == 1
    assert [each.expected for each in first.deserted] == [member.node_id]
    assert second.deserted == first.deserted
    assert took < SECOND_ADDRESS_S


def test_two_addresses_of_one_node_give_one_answer() -> None:
    world = World.of(1, 0)
    servers = Servers(world)
    member = world["a"]
    again = OddServer(servers.behaviour_of(member), host="127.0.0.2")
    with serving(*servers.all, again):
        observation = look(again.endpoint, member.endpoint)
        assert len(observation.answers) == 1
        assert observation.silences == ()


def test_a_silent_second_address_is_not_waited_for_long(servers: Servers) -> None:
    """The node answers at a seed's address; that the one it announces hangs must not cost the read timeout."""
    frozen = OddServer(Call.stay)
    member = servers.world["b"]
    seed, member.endpoint = member.endpoint, frozen.endpoint
    usual = speaker(lambda words: answer_of(servers.world, member, words))

    def after_the_other_was_asked(call: Call) -> None:
        while not frozen.calls and not call.over.wait(0.01):
            pass
        usual(call)

    servers.behaviours[member.node_id] = after_the_other_was_asked
    with serving(frozen):
        began = time.monotonic()
        observation = crawl([servers.first, seed], Door(bounds=Bounds(read_s=20.0)), deadline=Deadline.after(20.0))
        took = time.monotonic() - began
        # Counted while it serves: when it hangs up, who still waits for it looks whether it is a TLS port.
        assert len(frozen.calls) == 1
    assert len(heard(observation)) == 6
    assert observation.silences == ()
    assert [each.expected for each in observation.deserted] == [member.node_id]
    assert SECOND_ADDRESS_S <= took < SECOND_ADDRESS_S + SLACK_S


def test_another_node_at_the_address_keeps_who_was_expected(servers: Servers) -> None:
    """A node that lost its nodes.conf comes back under a new id: the others still list the old one there."""
    world = servers.world
    reborn = world["c1"]
    own = reborn.line(True).replace(reborn.node_id, node_id("9"))
    reborn.sees = {member.node_id: None for member in world}
    reborn.extra_lines = (own,)
    observation = look(servers.first)
    answer = next(answer for answer in observation.answers if answer.endpoint == reborn.endpoint)
    assert answer.nodes is not None
    assert answer.nodes.myself == (node_id("9"),)
    assert answer.expected == node_id("c1")
    assert observation.silences == ()


def test_two_nodes_listed_at_one_address_are_asked_once_and_both_have_a_row(servers: Servers) -> None:
    world = servers.world
    old = world["c1"].line(node_id=node_id("8"), flags=("fail",))
    world["a"].extra_lines = (old,)
    observation = look(servers.first)
    assert heard(observation)[node_id("c1")] == world["c1"].endpoint
    assert silent(observation) == {node_id("8"): SilenceReason.ANOTHER_NODE}
    assert observation.silences[0].endpoint == world["c1"].endpoint
    assert servers.asked(world["c1"]) == 1


def test_a_silent_address_of_two_nodes_is_a_row_for_each(servers: Servers) -> None:
    world = servers.world
    world["c1"].endpoint = closed_port()
    world["a"].extra_lines = (world["c1"].line(node_id=node_id("8")),)
    observation = look(servers.first)
    assert silent(observation) == {node_id("8"): SilenceReason.REFUSED, node_id("c1"): SilenceReason.REFUSED}


def test_without_an_address_there_is_nobody_to_ask(servers: Servers) -> None:
    """A handshake is nobody yet: its id is made up, and it may be gone in a second."""
    world = servers.world
    handshake = world["b"].line(node_id=node_id("7"), flags=("handshake",), endpoint=closed_port())
    world["a"].extra_lines = (
        f"{node_id('9')} :0@0 master,fail,noaddr - 1 1 7 disconnected 77",
        f"{node_id('8')} 127.0.0.1:{closed_port().port}@0 slave,noaddr {node_id('a')} 1 1 7 disconnected",
        handshake,
    )
    observation = look(servers.first)
    assert silent(observation) == {node_id("8"): SilenceReason.NO_ADDRESS, node_id("9"): SilenceReason.NO_ADDRESS}
    assert [silence.endpoint for silence in observation.silences] == [None, None]


def test_an_address_that_only_one_view_knows_is_used(servers: Servers) -> None:
    world = servers.world
    for member in world:
        if member is not world["b1"]:
            member.sees[node_id("c")] = f"{node_id('c')} :0@0 master,noaddr - 1 1 3 disconnected"
    world["c"].sees = {}
    observation = look(servers.first)
    assert heard(observation)[node_id("c")] == world["c"].endpoint
    assert observation.silences == ()


def test_a_fresh_node_that_does_not_know_its_own_address() -> None:
    servers = Servers(World.of(1, 0))
    member = servers.world["a"]
    member.sees[member.node_id] = f"{member.node_id} :{member.endpoint.port}@17000 myself,master - 0 0 0 connected"
    with serving(*servers.all):
        observation = look(servers.first)
    assert heard(observation) == {member.node_id: servers.first}
    assert observation.silences == ()
    assert observation.answers[0].expected is None


def test_a_loading_node_is_an_answer_that_stands_for_the_expected_id(servers: Servers) -> None:
    member = servers.world["b"]
    text = "LOADING Redis is loading the dataset in memory"

    def loading(words: list[str]) -> bytes:
        return f"-{text}\r\n".encode() if words[0] == "CLUSTER" else answer_of(servers.world, member, words)

    servers.behaviours[member.node_id] = speaker(loading)
    observation = look(servers.first)
    answer = next(answer for answer in observation.answers if answer.endpoint == member.endpoint)
    assert answer.expected == member.node_id
    assert answer.info is not None
    assert answer.config is not None
    assert answer.nodes is None
    for ask in (Ask.CLUSTER_INFO, Ask.CLUSTER_NODES, Ask.CLUSTER_LINKS):
        assert (answer.absences[ask].kind, answer.absences[ask].text) == (AbsenceKind.LOADING, text)
    assert observation.silences == ()


# The deadline


def test_what_is_open_at_the_deadline_is_a_silence(servers: Servers) -> None:
    servers.behaviours[node_id("b")] = Call.stay
    began = time.monotonic()
    observation = crawl([servers.first], Door(bounds=Bounds(read_s=30.0)), deadline=Deadline.after(0.6))
    took = time.monotonic() - began
    assert silent(observation) == {node_id("b"): SilenceReason.NO_TIME}
    assert len(heard(observation)) == 5
    assert took < 0.6 + SLACK_S


def test_no_time_at_all(servers: Servers) -> None:
    observation = look(servers.first, seconds=0.0)
    assert observation.answers == ()
    assert silent(observation) == {None: SilenceReason.NO_TIME}


def test_more_silent_nodes_than_threads_end_with_the_deadline() -> None:
    """A hundred nodes that take the connection and hang: none is forgotten, and none waits for all the others."""
    world = World.of(100, 0)
    alive = next(iter(world))
    servers = Servers(World([alive]))
    servers.world = world
    with contextlib.ExitStack() as stack:
        for member in world:
            if member is not alive:
                hanging = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
                member.endpoint = Endpoint(*hanging.getsockname())
        stack.enter_context(serving(*servers.all))
        began = time.monotonic()
        observation = crawl([servers.first], Door(bounds=Bounds(read_s=0.5)), deadline=Deadline.after(20.0))
        took = time.monotonic() - began
    assert list(heard(observation)) == [alive.node_id]
    assert set(silent(observation)) == {member.node_id for member in world} - {alive.node_id}
    assert set(silent(observation).values()) == {SilenceReason.FROZEN}
    assert took < 2 * 0.5 + SLACK_S, "64 at once make two waves"


# Names


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """A resolver that knows these names besides; a name without addresses is one that it hangs at."""
    known: dict[str, list[str]] = {}
    real = socket.getaddrinfo
    over = threading.Event()

    def getaddrinfo(host: str, port: int, *rest: Any, **named: Any) -> Any:
        if host not in known or named.get("flags"):
            return real(host, port, *rest, **named)
        if not known[host]:
            over.wait(5.0)
        return [item for each in known[host] for item in real(each, port, *rest, **named)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return known


def test_a_name_stands_for_all_its_addresses(names: dict[str, list[str]]) -> None:
    """Two clusters of one node each behind one name: both are seen."""
    names["all.example"] = ["127.0.0.1", "127.0.0.2"]
    one, other = World.of(1, 0)["a"], World.of(1, 0)["a"]
    other.node_id = node_id("f")
    first = Servers(World([one]))
    second = Servers(World([other]), "127.0.0.2", first.first.port)
    seed = Endpoint("all.example", first.first.port)
    with serving(*first.all, *second.all):
        observation = look(seed)
    assert heard(observation) == {node_id("a"): one.endpoint, node_id("f"): other.endpoint}
    assert observation.seeds == (seed,)


def test_a_dead_address_of_a_name_is_no_node(servers: Servers, names: dict[str, list[str]]) -> None:
    """As with localhost, which is ::1 too, where the servers listen on 127.0.0.1 alone."""
    names["all.example"] = ["127.0.0.3", "127.0.0.1"]
    observation = look(Endpoint("all.example", servers.first.port))
    assert len(heard(observation)) == 6
    assert observation.silences == ()


def test_a_name_of_dead_addresses_is_told(names: dict[str, list[str]]) -> None:
    names["all.example"] = ["127.0.0.3", "127.0.0.4"]
    port = closed_port().port
    observation = look(Endpoint("all.example", port))
    assert [(each.endpoint, each.reason) for each in observation.silences] == [
        (Endpoint("127.0.0.3", port), SilenceReason.REFUSED),
        (Endpoint("127.0.0.4", port), SilenceReason.REFUSED),
    ]


def test_a_name_that_hangs_does_not_hold_up_the_others(servers: Servers, names: dict[str, list[str]]) -> None:
    names["stuck.example"] = []
    began = time.monotonic()
    observation = look(Endpoint("stuck.example", 6379), Endpoint("no-such-host.invalid", 6379), servers.first)
    took = time.monotonic() - began
    assert len(heard(observation)) == 6
    assert [(each.endpoint and each.endpoint.host, each.reason) for each in observation.silences] == [
        ("no-such-host.invalid", SilenceReason.UNRESOLVABLE),
        ("stuck.example", SilenceReason.UNRESOLVABLE),
    ]
    assert took < READ_S + SLACK_S


# The second look


def test_the_second_look_does_not_wait_again_for_a_slow_silence(servers: Servers) -> None:
    world = servers.world
    servers.behaviours[node_id("b")] = Call.stay
    first = crawl([servers.first], Door(bounds=Bounds(read_s=0.6)), deadline=Deadline.after(10.0))
    second = look_again(first, DOOR, deadline=Deadline.after(10.0))
    assert silent(second) == silent(first) == {node_id("b"): SilenceReason.FROZEN}
    assert heard(second) == heard(first)
    assert servers.asked(world["b"]) == 1
    assert [servers.asked(member) for member in world if member is not world["b"]] == [2] * 5
    assert second.seeds == first.seeds


def test_the_second_look_asks_who_refused_fast_and_who_is_new(servers: Servers) -> None:
    """A node that was starting answers now, and brings one that nobody knew before."""
    world = servers.world
    late, newcomer = world["b"], world["c1"]
    where = late.endpoint
    late.endpoint = closed_port()
    for member in world:
        member.sees[newcomer.node_id] = None
    first = look(servers.first)
    assert silent(first) == {late.node_id: SilenceReason.REFUSED}
    revived = OddServer(servers.behaviour_of(late), port=late.endpoint.port)
    late.sees = {newcomer.node_id: newcomer.line()}
    newcomer.sees = {}
    with serving(revived):
        second = look_again(first, DOOR, deadline=Deadline.after(10.0))
    assert where != late.endpoint
    assert heard(second) == {member.node_id: member.endpoint for member in world}
    assert second.silences == ()


def test_the_second_look_forgets_a_silence_when_the_node_answers_elsewhere(servers: Servers) -> None:
    world = servers.world
    servers.behaviours[node_id("b")] = Call.stay
    first = crawl([servers.first], Door(bounds=Bounds(read_s=0.6)), deadline=Deadline.after(10.0))
    moved = OddServer(speaker(lambda words: answer_of(world, world["b"], words)), host="127.0.0.2")
    world["b"].endpoint = moved.endpoint
    with serving(moved):
        second = look_again(first, DOOR, deadline=Deadline.after(10.0))
    assert heard(second)[node_id("b")] == moved.endpoint
    assert second.silences == ()


def test_the_second_look_keeps_the_names_when_everybody_falls_silent() -> None:
    servers = Servers(World.of(3, 0))
    with serving(*servers.all):
        first = look(servers.first)
    second = look_again(first, DOOR, deadline=Deadline.after(10.0))
    assert second.answers == ()
    assert silent(second) == dict.fromkeys((member.node_id for member in servers.world), SilenceReason.REFUSED)


# The end of the process


def test_nothing_that_hangs_holds_the_process() -> None:
    """A resolver and a node that never come back; the process must end with its own work."""
    program = """
        import socket, sys, threading
        real = socket.getaddrinfo
        def getaddrinfo(host, *rest, **named):
            if host == "stuck.example" and not named.get("flags"):
                threading.Event().wait()
            return real(host, *rest, **named)
        socket.getaddrinfo = getaddrinfo
        from rcfail.clock import Deadline
        from rcfail.cluster.nouns import Endpoint
        from rcfail.wire.bounds import Bounds
        from rcfail.wire.crawl import crawl
        from rcfail.wire.door import Door
        seeds = [Endpoint("stuck.example", 1), Endpoint("127.0.0.1", int(sys.argv[1]))]
        door = Door(bounds=Bounds(read_s=60.0, resolve_s=60.0))
        print([str(each.reason) for each in crawl(seeds, door, deadline=Deadline.after(0.3)).silences])
    """
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        port = str(hanging.getsockname()[1])
        command = [sys.executable, "-W", "error", "-c", textwrap.dedent(program), port]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "['no-time', 'no-time']\n", "")
