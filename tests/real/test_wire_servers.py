"""The wire against real servers: who refuses what, who is silent how, and what is kept of those that answer."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

from rcfail.clock import SYSTEM_CLOCK, Deadline, poll
from rcfail.cluster.nouns import Endpoint, NodeId
from rcfail.cluster.observation import AbsenceKind, Answer, Ask, Observation, Silence, SilenceReason
from rcfail.cluster.parse_info import vitals
from rcfail.cluster.parse_nodes import NodesReader
from rcfail.wire.asks import FIRST, Questioner
from rcfail.wire.bounds import Bounds
from rcfail.wire.crawl import crawl, look_again
from rcfail.wire.door import Door
from rcfail.wire.packed import Command
from rcfail.wire.record import load, redact, save
from rcfail.wire.refusals import Refusal, RefusalKind
from rcfail.wire.replies import Reply
from rcfail.wire.secret import NOBODY, Credentials, Secret
from tests.real.conftest import LabMaker
from tests.real.servers import RunningLab, ServerUnderTest, all_servers

every_server = pytest.mark.every_server
PASSWORD = "correct horse battery staple"
READ_S = 0.5
SLACK_S = 20.0  # for a loaded machine; what hangs would take far longer
CLUSTER = ("--cluster-enabled", "yes")


@dataclass
class Node:
    """One server process, started by the test itself."""

    endpoint: Endpoint
    process: subprocess.Popen[bytes]
    credentials: Credentials = NOBODY

    def ask(self, *command: str | int) -> Reply:
        return self.ask_all(command)[0]

    def ask_all(self, *commands: Command) -> tuple[Reply, ...]:
        return Door(self.credentials).read(self.endpoint, commands, deadline=Deadline.after(10.0))

    def say(self, *command: str | int) -> None:
        patient = Door(self.credentials, Bounds(read_s=30.0))
        reply = patient.say(self.endpoint, command, deadline=Deadline.after(30.0))
        assert reply == "OK", reply

    def look(self, credentials: Credentials | None = None, read_s: float = READ_S) -> Answer | Silence:
        door = Door(self.credentials if credentials is None else credentials, Bounds(read_s=read_s))
        return Questioner(door, NodesReader(), SYSTEM_CLOCK).ask(self.endpoint, Deadline.after(10.0))

    def answer(self, credentials: Credentials | None = None) -> Answer:
        answer = self.look(credentials)
        assert isinstance(answer, Answer), answer
        return answer

    def answer_at(self, door: Door) -> Answer:
        answer = Questioner(door, NodesReader(), SYSTEM_CLOCK).ask(self.endpoint, Deadline.after(10.0))
        assert isinstance(answer, Answer), answer
        return answer

    def silence(self, credentials: Credentials | None = None) -> Silence:
        silence = self.look(credentials)
        assert isinstance(silence, Silence), silence
        return silence


Starter = Callable[..., Node]


@pytest.fixture
def start(server: ServerUnderTest, tmp_path: Path) -> Iterator[Starter]:
    """Starts single servers of the version under test, and ends them."""
    with ExitStack() as stack:

        def run(*words: str, path: str = server.path, credentials: Credentials = NOBODY) -> Node:
            return stack.enter_context(running(path, tmp_path, words, credentials))

        yield run


@contextmanager
def running(path: str, folder: Path, words: tuple[str, ...], credentials: Credentials) -> Iterator[Node]:
    """Until it answers anything at all, also an error."""
    port = free_port()
    fixed = ("--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", "", "--logfile", "log")
    process = subprocess.Popen([path, *fixed, *words], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        node = Node(Endpoint("127.0.0.1", port), process, credentials)
        poll(
            lambda: node.ask("PING"),
            lambda reply: process.poll() is None and getattr(reply, "kind", None) is not RefusalKind.NO_ANSWER,
            deadline=Deadline.after(15.0),
            every_s=0.02,
            waiting_for=f"{path} to answer",
        )
        yield node
    finally:
        process.kill()
        process.wait(10)


PORTS_PER_WORKER = 100
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_FIRST = 21_000 + _WORKER % 16 * PORTS_PER_WORKER
_PORTS = itertools.cycle(range(_FIRST, _FIRST + PORTS_PER_WORKER))


def free_port() -> int:
    """One of this test worker's own, with the bus port 10,000 above it free too; not the one that was given last."""
    for port in itertools.islice(_PORTS, PORTS_PER_WORKER):
        if bindable(port) and bindable(port + 10_000):
            return port
    raise AssertionError("no port is free")


def bindable(port: int) -> bool:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def as_user(name: str | None, password: str = PASSWORD) -> Credentials:
    return Credentials(name, Secret(password))


# Who is let in


@every_server
def test_a_server_with_a_password(start: Starter) -> None:
    node = start(*CLUSTER, "--requirepass", PASSWORD)
    nobody = node.silence(NOBODY)
    assert (nobody.reason, nobody.text) == (SilenceReason.AUTH_REFUSED, "NOAUTH Authentication required.")
    wrong = node.silence(as_user(None, "wrong"))
    assert wrong.reason is SilenceReason.AUTH_REFUSED
    assert wrong.text.startswith("WRONGPASS ")
    unknown = node.silence(as_user("bob"))
    assert unknown.reason is SilenceReason.AUTH_REFUSED
    for credentials in (as_user(None), as_user("default")):
        answer = node.answer(credentials)
        assert answer.nodes is not None
        assert len(answer.nodes.myself) == 1


@every_server
def test_a_server_without_a_password_answers_although_one_was_given(start: Starter) -> None:
    assert start(*CLUSTER).answer(as_user(None)).nodes is not None


@every_server
def test_where_auth_is_renamed_away_the_password_is_not_quoted(start: Starter) -> None:
    """The server answers AUTH with an error text that holds its arguments."""
    node = start(*CLUSTER, "--rename-command", "AUTH", "")
    raw = node.ask("AUTH", "bob", PASSWORD)
    assert isinstance(raw, Refusal)
    assert PASSWORD in raw.text, "this server does not quote, so it proves nothing"
    silence = node.silence(as_user("bob"))
    assert silence.reason is SilenceReason.AUTH_REFUSED
    assert "unknown command" in silence.text
    assert PASSWORD not in repr(silence)


@every_server
def test_a_user_who_may_do_little_has_an_absence_for_the_rest(start: Starter) -> None:
    node = start(*CLUSTER)
    node.say("ACL", "SETUSER", "bob", "on", f">{PASSWORD}", "+info")
    answer = node.answer(as_user("bob"))
    assert answer.info is not None
    # The users are asked for as the default user only: nobody else is sent to be turned away.
    assert answer.absences[Ask.USERS].kind is AbsenceKind.NOT_ASKED
    refused = {ask: absence for ask, absence in answer.absences.items() if ask is not Ask.USERS}
    assert {ask: absence.kind for ask, absence in refused.items()} == dict.fromkeys(
        set(Ask) - {Ask.INFO, Ask.USERS}, AbsenceKind.NOT_PERMITTED
    )
    assert all(absence.text.startswith("NOPERM ") for absence in refused.values())


@every_server
def test_a_user_who_may_do_nothing_is_refused(start: Starter) -> None:
    node = start(*CLUSTER)
    node.say("ACL", "SETUSER", "bob", "on", f">{PASSWORD}", "+ping")
    silence = node.silence(as_user("bob"))
    assert silence.reason is SilenceReason.AUTH_REFUSED
    assert silence.text.startswith("NOPERM ")


# Who is no node that can be read


@every_server
def test_a_server_without_cluster_mode(start: Starter) -> None:
    silence = start().silence()
    assert silence.reason is SilenceReason.NOT_A_CLUSTER
    assert silence.text == "ERR This instance has cluster support disabled"


@every_server
def test_a_server_full_of_clients(start: Starter) -> None:
    """It says so at accept and closes: often before our questions reach it."""
    node = start(*CLUSTER, "--maxclients", "1")
    with ExitStack() as stack:
        hold_the_only_place(node, stack)
        for _ in range(20):
            silence = node.silence()
            assert silence.reason is SilenceReason.CLIENTS_FULL
            assert silence.text.startswith("ERR max number of clients")


def hold_the_only_place(node: Node, stack: ExitStack) -> None:
    """The server may not have seen yet that the last caller left, so try until we are in."""

    def try_it() -> bool:
        conversation = stack.enter_context(Door().open(node.endpoint, deadline=Deadline.after(10.0)))
        return conversation.read([("PING",)]) == ("PONG",)

    poll(try_it, bool, deadline=Deadline.after(5.0), every_s=0.02, waiting_for="a place among the clients")


@every_server
def test_a_frozen_server_costs_the_read_timeout_and_no_more(start: Starter) -> None:
    node = start(*CLUSTER)
    node.process.send_signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        silence = node.silence()
        took = time.monotonic() - began
    finally:
        node.process.send_signal(signal.SIGCONT)
    assert silence.reason is SilenceReason.FROZEN
    assert READ_S <= took < READ_S + SLACK_S
    assert READ_S * 1000 - 1 <= silence.waited_ms < (READ_S + SLACK_S) * 1000


@every_server
def test_a_loading_server_tells_what_it_can(start: Starter, server: ServerUnderTest) -> None:
    """It answers INFO and CONFIG; CLUSTER NODES too on Valkey from 8.0 on, on Redis not."""
    # It answers after every 2 MB of its file: that are some 400 keys, and 0.4 s here.
    slow = ("--key-load-delay", "1000")
    debug = () if server.label.startswith("redis-6") else ("--enable-debug-command", "yes")
    first = start(*CLUSTER, *debug, "--rdbcompression", "no")
    first.say("DEBUG", "POPULATE", 5_000, "key", 5_000)
    first.say("SAVE")
    first.process.kill()
    first.process.wait(10)
    answer = start(*CLUSTER, *slow).look(read_s=8.0)
    assert isinstance(answer, Answer), answer
    assert answer.info is not None
    assert "\nloading:1" in answer.info
    assert answer.config
    if server.label.startswith("valkey"):
        assert answer.nodes is not None
        assert answer.cluster_info is not None
    else:
        assert answer.nodes is None
        for ask in (Ask.CLUSTER_INFO, Ask.CLUSTER_NODES, Ask.CLUSTER_LINKS):
            assert answer.absences[ask].kind is AbsenceKind.LOADING
            assert answer.absences[ask].text.startswith("LOADING ")


def test_a_port_that_speaks_tls(tmp_path: Path) -> None:
    found = [each.path for each in all_servers() if speaks_tls(each.path, tmp_path)]
    if not found or not shutil.which("openssl"):
        pytest.skip("no server here was built with TLS, or there is no openssl")
    make_certificate(tmp_path)
    tls = ("--tls-port", str(free_port()), "--tls-auth-clients", "no")
    cert, key = str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")
    files = ("--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", cert)
    with running(found[0], tmp_path, (*CLUSTER, *tls, *files), NOBODY) as node:
        plain = Node(Endpoint("127.0.0.1", int(tls[1])), node.process).silence()
    # Which one depends on the TLS library; the TLS alert has its own test with a small server.
    assert plain.reason in (SilenceReason.TLS_EXPECTED, SilenceReason.CLOSED)
    assert "TLS" in plain.text


def speaks_tls(path: str, folder: Path) -> bool:
    """A server that was built without TLS does not know its options."""
    command = [path, "--port", "0", "--tls-port", "0", "--tls-protocols", "no-such-protocol", "--dir", str(folder)]
    ended = subprocess.run(command, capture_output=True, timeout=10, check=False)
    return b"Bad directive" not in ended.stdout + ended.stderr


def make_certificate(folder: Path) -> None:
    subject = ("-subj", "/CN=127.0.0.1", "-days", "2", "-nodes", "-newkey", "rsa:2048")
    files = ("-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem"))
    subprocess.run(["openssl", "req", "-x509", *subject, *files], check=True, capture_output=True, timeout=30)


# What is sent


@every_server
def test_a_look_sends_its_questions_and_nothing_else(start: Starter, server: ServerUnderTest) -> None:
    """No HELLO, no CLIENT SETINFO, no PING: the server's own statistics say what it was sent."""
    node = start(*CLUSTER)
    node.say("CONFIG", "RESETSTAT")
    door = Door(bounds=Bounds(read_s=READ_S))
    first, second = (node.answer_at(door) for _ in range(2))
    assert first.config == second.config
    stats = str(node.ask("INFO", "commandstats"))
    calls = {name: int(count) for name, count in re.findall(r"cmdstat_([^:]+):calls=(\d+)", stats)}
    del calls["config|resetstat" if "config|resetstat" in calls else "config"]
    assert calls == expected_calls(server.label)
    assert int(re.findall(r"total_connections_received:(\d+)", str(node.ask("INFO", "stats")))[0]) == 4


@every_server
def test_an_old_server_among_new_ones_tells_its_settings_too(start: Starter) -> None:
    """Redis 6.2 takes one pattern in a CONFIG GET; a door that has met only newer servers asks for all in one."""
    node = start(*CLUSTER)
    used_to_new_ones = Door(bounds=Bounds(read_s=READ_S))
    used_to_new_ones.all_take_patterns = True
    answer = node.answer_at(used_to_new_ones)
    assert answer.config == node.answer().config
    assert Ask.CONFIG not in answer.absences


def expected_calls(label: str) -> dict[str, int]:
    if label.startswith("redis-6"):  # no statistics of subcommands; CONFIG counts RESETSTAT too, and was taken out
        return {"info": 2, "cluster": 4, "acl": 2}
    settings = sum(words[0] == "CONFIG" for words in FIRST) + 1  # a pattern each, and once it is known all in one
    calls = {
        "info": 2,
        "cluster|info": 2,
        "cluster|nodes": 2,
        "cluster|links": 2,
        "acl|list": 2,
        "config|get": settings,
    }
    return calls | ({"cluster|getslotmigrations": 2} if label.startswith("valkey-9") else {})


@every_server
def test_a_command_is_said_only_to_the_node_that_is_meant(start: Starter) -> None:
    node = start(*CLUSTER)
    own = NodeId(str(node.ask("CLUSTER", "MYID")))
    node.say("CONFIG", "RESETSTAT")
    door, deadline = Door(), Deadline.after(10.0)
    command = ("CLUSTER", "ADDSLOTS", 7)
    wrong = door.say(node.endpoint, command, expect_id=NodeId("0" * 40), deadline=deadline)
    assert isinstance(wrong, Refusal)
    assert wrong.kind is RefusalKind.WRONG_NODE
    assert "cluster_slots_assigned:0" in str(node.ask("CLUSTER", "INFO"))
    assert door.say(node.endpoint, command, expect_id=own, deadline=deadline) == "OK"
    assert "cluster_slots_assigned:1" in str(node.ask("CLUSTER", "INFO"))
    again = door.say(node.endpoint, command, expect_id=own, deadline=deadline)
    assert again == Refusal(RefusalKind.ERROR, "ERR Slot 7 is already busy")


@every_server
def test_a_command_to_a_frozen_node_may_have_happened(start: Starter) -> None:
    """And here it did: the server reads it when it thaws."""
    node = start(*CLUSTER)
    door = Door(bounds=Bounds(read_s=READ_S))
    node.process.send_signal(signal.SIGSTOP)
    try:
        said = door.say(node.endpoint, ("CLUSTER", "ADDSLOTS", 7), deadline=Deadline.after(10.0))
    finally:
        node.process.send_signal(signal.SIGCONT)
    assert isinstance(said, Refusal)
    assert (said.kind, said.silence) == (RefusalKind.SENT_NO_ANSWER, SilenceReason.FROZEN)
    poll(
        lambda: str(node.ask("CLUSTER", "INFO")),
        lambda text: "cluster_slots_assigned:1" in text,
        deadline=Deadline.after(5.0),
        every_s=0.02,
        waiting_for="the command to be carried out",
    )


# A whole cluster


def heard(observation: Observation) -> dict[NodeId, Endpoint]:
    return {answer.nodes.myself[0]: answer.endpoint for answer in observation.answers if answer.nodes}


def whole(lab: RunningLab) -> dict[NodeId, Endpoint]:
    return {NodeId(node.node_id): node.endpoint for node in lab.nodes}


@every_server
def test_one_seed_shows_the_whole_cluster_and_a_record_of_it_is_equal(
    lab: LabMaker, server: ServerUnderTest, tmp_path: Path
) -> None:
    one = lab(3, 1)
    observation = crawl([one.replicas[0].endpoint], Door(), deadline=Deadline.after(8.0))
    assert heard(observation) == whole(one)
    assert [answer.expected for answer in observation.answers] == list(heard(observation))
    assert observation.silences == ()
    for answer in observation.answers:
        assert answer.info
        assert answer.cluster_info
        assert answer.config
        unsaid = {name for name, value in asdict(vitals(None, None, answer.config).config).items() if value is None}
        assert unsaid <= {"manual_failover_timeout_ms"}
        assert not {"masterauth", "requirepass"} & answer.config.keys()
        assert answer.links is None if server.label.startswith("redis-6") else len(answer.links or ()) == 10
        assert (answer.slot_migrations == ()) == server.label.startswith("valkey-9")
        allowed = {Ask.CLUSTER_LINKS, Ask.SLOT_MIGRATIONS}
        assert {absence.kind for absence in answer.absences.values()} <= {AbsenceKind.UNSUPPORTED}
        assert set(answer.absences) <= allowed
    save(observation, str(tmp_path / "seen.json.gz"))
    assert load(str(tmp_path / "seen.json.gz")) == redact(observation)


@every_server
def test_dead_and_frozen_nodes_are_rows_and_cost_one_read_timeout(lab: LabMaker) -> None:
    one = lab(3, 0, node_timeout_ms=15_000)
    seed, dead, frozen = one.nodes
    one.kill(dead)
    one.freeze(frozen)
    door = Door(bounds=Bounds(read_s=0.6))
    began = time.monotonic()
    observation = crawl([seed.endpoint], door, deadline=Deadline.after(8.0))
    took = time.monotonic() - began
    assert list(heard(observation)) == [seed.node_id]
    assert {silence.expected: silence.reason for silence in observation.silences} == {
        dead.node_id: SilenceReason.REFUSED,
        frozen.node_id: SilenceReason.FROZEN,
    }
    assert took < 0.6 + SLACK_S
    again = look_again(observation, door, deadline=Deadline.after(8.0))
    assert [(each.expected, each.reason) for each in again.silences] == [
        (each.expected, each.reason) for each in observation.silences
    ]
    assert heard(again) == heard(observation)
