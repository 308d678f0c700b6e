"""One node in each state that Kubernetes may find it in: does it live, is it ready? Asked as a kubelet would."""

from __future__ import annotations

import socket
from contextlib import ExitStack, suppress
from typing import NamedTuple

import pytest

from rcfail.cluster.nouns import Endpoint
from rcfail.errors import LabFault
from rcfail.practice.lab.access import Access, ClientCerts
from rcfail.practice.lab.environment import variables
from tests.real.conftest import LabMaker
from tests.real.servers import RunningLab, ServerUnderTest, rcfail_environment, run_rcfail
from tests.real.test_health_nodes import LONG_MS, SLOW_LOADING, slot_of
from tests.real.test_health_replication import empty, fill
from tests.real.test_wire_servers import CLUSTER, PASSWORD, Starter
from tests.real.test_wire_servers import start as start  # a fixture
from tests.real.verdicts import health_of

every_server = pytest.mark.every_server
YES, NO, UNKNOWN = 0, 1, 3


class Answer(NamedTuple):
    code: int
    line: str


def probe(word: str, endpoint: Endpoint, *words: str, **environment: str) -> Answer:
    """Its code and its one line, on standard output, with nothing else anywhere."""
    ran = run_rcfail("probe", word, "--node", str(endpoint), *words, environment=rcfail_environment(**environment))
    assert (ran.stderr, ran.stdout.count("\n")) == ("", 1), ran
    answer = {YES: "yes", NO: "no", UNKNOWN: "unknown"}[ran.returncode]
    assert ran.stdout.startswith(f"{word}: {answer}  {endpoint} "), ran
    return Answer(ran.returncode, ran.stdout.rstrip("\n"))


def both(lab: RunningLab, node: str) -> tuple[int, int]:
    """The codes of live and ready."""
    endpoint = lab.node(node).endpoint
    return probe("live", endpoint).code, probe("ready", endpoint).code


def is_ready(lab: RunningLab, node: str) -> bool:
    return probe("ready", lab.node(node).endpoint).code == YES


@every_server
def test_a_cluster_that_is_well(lab: LabMaker) -> None:
    one = lab()
    assert {both(one, node.name) for node in one.nodes} == {(YES, YES)}
    assert "is a primary of 5461 slots" in probe("ready", one.node("n1").endpoint).line
    assert "is a replica, and its link is up" in probe("ready", one.node("n4").endpoint).line


@every_server
def test_a_fresh_node_is_ready_to_be_joined(start: Starter) -> None:
    """With it not ready, a StatefulSet would not start the next pod, and the cluster would never be made."""
    node = start(*CLUSTER)
    assert "cluster_state:fail" in str(node.ask("CLUSTER", "INFO"))
    assert probe("live", node.endpoint).code == YES
    said = probe("ready", node.endpoint)
    assert said.code == YES
    assert "has joined no cluster yet" in said.line
    assert "cluster_state:fail, which is no fault of this node" in said.line
    assert probe("ready", node.endpoint, "--joined").code == NO


@every_server
def test_a_member_without_slots_is_ready(lab: LabMaker) -> None:
    one = lab(3, 0)
    one.say("n3", "CLUSTER", "FLUSHSLOTS")
    said = probe("ready", one.node("n3").endpoint, "--joined")
    assert said.code == YES
    assert "is a primary without slots" in said.line


@every_server
def test_a_node_that_loads_lives_and_is_not_ready(lab: LabMaker) -> None:
    """To restart it would begin the loading anew, for ever."""
    one = lab(node_timeout_ms=4 * LONG_MS, conf=SLOW_LOADING)  # nobody takes over meanwhile
    script = "local value = string.rep('x', 40000) for i = 1, 1000 do redis.call('SET', KEYS[1] .. i, value) end"
    tag = next(word for word in "abcdefgh" if slot_of(one, "n1", f"{{{word}}}") <= 5460)
    one.say("n1", "EVAL", script, 1, f"{{{tag}}}")
    one.say("n1", "SAVE")
    one.kill("n1")
    one.restart("n1")
    endpoint = one.node("n1").endpoint
    # A loading server looks at its clients now and then; the machine may be slow as well.
    ready = probe("ready", endpoint, "--deadline", "10s")
    live = probe("live", endpoint, "--deadline", "10s")
    assert (ready.code, live.code) == (NO, YES)
    assert "is loading its data set" in ready.line
    assert "answers LOADING" in live.line
    one.wait(lambda: both(one, "n1") == (YES, YES), "the data to be loaded", timeout_s=120.0)


@every_server
def test_a_frozen_node_does_not_live(lab: LabMaker) -> None:
    one = lab(node_timeout_ms=LONG_MS)
    one.freeze("n1")
    assert both(one, "n1") == (NO, NO)
    assert "takes the connection and never answers" in probe("live", one.node("n1").endpoint).line
    one.thaw("n1")
    one.wait(lambda: both(one, "n1") == (YES, YES), "it to run again")


@every_server
def test_a_dead_node_and_its_shard(lab: LabMaker) -> None:
    """The replica that waits to be promoted is ready all the time: without its name nobody could help it."""
    one = lab(node_timeout_ms=LONG_MS)
    replica = one.replica_of("n1")
    one.kill("n1")
    assert both(one, "n1") == (NO, NO)
    assert "refuses the connection" in probe("live", one.node("n1").endpoint).line
    assert probe("live", replica.endpoint).code == YES


@every_server
def test_a_minority_lives_and_is_ready(lab: LabMaker) -> None:
    """Two of three primaries are gone and nobody can be promoted: what is left must not be taken away too.

    A StatefulSet would not start the lost pods again while an earlier one is not ready.
    """
    one = lab()
    one.kill("n1", "n2")
    orphans = [one.replica_of("n1"), one.replica_of("n2")]
    for orphan in orphans:
        one.wait(
            lambda at=orphan: "cluster_state:fail" in one.text(at, "CLUSTER", "INFO"),  # type: ignore[misc]
            "it to know",
        )
    one.wait(lambda: both(one, orphans[0].name) == (YES, YES), "the loss to be noticed")
    one.wait(lambda: both(one, orphans[1].name) == (YES, YES), "the loss to be noticed")
    said = probe("ready", orphans[0].endpoint)
    assert "has lost its primary, and may be promoted" in said.line
    assert "no fault of this node" in said.line
    assert both(one, "n3") == (YES, YES)
    assert both(one, one.replica_of("n3").name) == (YES, YES)


@every_server
@pytest.mark.timeout(400)
def test_a_cold_start_of_one_pod_after_the_other(lab: LabMaker) -> None:
    """As a StatefulSet starts its pods by default: each one only when all before it are ready.

    A replica comes before its primary, a primary before the majority: none of them may wait for what comes later.
    A replica of the last primary to come may be promoted meanwhile, and so two primaries may share a host at the end.
    """
    one = lab()
    one.kill(*one.nodes)
    begun: list[str] = []
    for name in ("n4", "n5", "n6", "n1", "n2", "n3"):
        one.restart(name)
        begun.insert(0, name)
        one.wait(lambda: all(is_ready(one, each) for each in begun), f"{begun} to be ready", timeout_s=60.0)
    by_an_election = ("--ignore", "quorum-on-one-host", "--ignore", "primaries-concentrated")
    one.wait(lambda: health_of(one, *by_an_election).exit_code == YES, "the cluster to be well", timeout_s=60.0)


@every_server
def test_a_replica_that_takes_a_copy_is_not_ready(lab: LabMaker) -> None:
    """A rolling update that went on now would end the primary with the only data."""
    one = lab(conf=("repl-diskless-sync yes", "rdb-key-save-delay 2000"))
    replica = one.replica_of("n1")
    fill(one, "n1", 5000, 10)
    one.kill(replica)
    empty(replica)
    one.restart(replica)
    one.wait(lambda: one.vitals(replica).replication.sync_in_progress, "the copy to begin")
    one.wait(lambda: not one.belief(replica, "n1").flagged, "it to know its primary")
    said = probe("ready", replica.endpoint)
    assert (said.code, probe("live", replica.endpoint).code) == (NO, YES)
    assert "takes a full copy" in said.line
    one.say("n1", "CONFIG", "SET", "rdb-key-save-delay", "0")
    one.wait(lambda: both(one, replica.name) == (YES, YES), "the copy to be whole", timeout_s=60.0)


@every_server
def test_a_replica_that_its_primary_refuses_is_not_ready(lab: LabMaker) -> None:
    one = lab()
    replica = one.replica_of("n1")
    one.break_replication(replica)
    said = probe("ready", replica.endpoint)
    assert (said.code, probe("live", replica.endpoint).code) == (NO, YES)
    assert f"without a link to its primary {one.node('n1').endpoint}" in said.line
    one.mend_replication(replica)
    one.wait(lambda: both(one, replica.name) == (YES, YES), "the link")


@every_server
def test_a_password_that_the_probe_does_not_have(start: Starter) -> None:
    node = start(*CLUSTER, "--requirepass", PASSWORD)
    assert "answers NOAUTH" in probe("live", node.endpoint).line
    for word in ("", "wrong"):
        assert probe("live", node.endpoint, RCFAIL_PASSWORD=word).code == YES
        said = probe("ready", node.endpoint, RCFAIL_PASSWORD=word)
        assert said.code == UNKNOWN
        assert "refuses our credentials" in said.line
    assert probe("ready", node.endpoint, RCFAIL_PASSWORD=PASSWORD).code == YES


@every_server
def test_a_permission_that_the_probe_does_not_have(lab: LabMaker) -> None:
    one = lab(1, 0)
    one.say("n1", "ACL", "SETUSER", "probe", "on", f">{PASSWORD}", "+info")
    said = probe("ready", one.node("n1").endpoint, "--user", "probe", RCFAIL_PASSWORD=PASSWORD)
    assert said.code == UNKNOWN
    assert "does not let this user ask CLUSTER NODES" in said.line
    one.say("n1", "ACL", "SETUSER", "probe", "+cluster|nodes")
    assert probe("ready", one.node("n1").endpoint, "--user", "probe", RCFAIL_PASSWORD=PASSWORD).code == YES


@every_server
def test_a_script_that_does_not_end(lab: LabMaker) -> None:
    one = lab(1, 0)
    one.say("n1", "CONFIG", "SET", "lua-time-limit", 50)
    with suppress(LabFault):  # no answer comes
        one.say("n1", "EVAL", "while true do end", 0)
    one.wait(lambda: "answers BUSY" in probe("live", one.node("n1").endpoint).line, "the script to be noticed")
    assert both(one, "n1") == (YES, NO)
    assert one.ask("n1", "SCRIPT", "KILL") == "OK"
    one.wait(lambda: both(one, "n1") == (YES, YES), "the script to end")


@every_server
def test_a_node_that_takes_no_more_clients(lab: LabMaker) -> None:
    one = lab(1, 0)
    endpoint = one.node("n1").endpoint
    with ExitStack() as held:
        for _ in range(3):
            idle = held.enter_context(socket.create_connection(endpoint, timeout=5))
            idle.sendall(b"PING\r\n")
            assert idle.recv(64) == b"+PONG\r\n"
        one.say("n1", "CONFIG", "SET", "maxclients", 3)
        assert both(one, "n1") == (YES, NO)


@every_server
def test_a_server_that_is_no_node(start: Starter) -> None:
    node = start()
    assert probe("live", node.endpoint).code == YES
    said = probe("ready", node.endpoint)
    assert said.code == NO
    assert "is not a member of a cluster" in said.line


@every_server
def test_nothing_is_changed_and_nobody_else_is_asked(lab: LabMaker) -> None:
    """Seeds in the environment are those of the cluster: they are not for a probe."""
    one = lab(1, 0)
    endpoint = one.node("n1").endpoint
    seeds = {"RCFAIL_SEEDS": "not a seed:at all"}
    assert probe("live", endpoint, **seeds).code == YES
    assert probe("ready", endpoint, **seeds).code == YES


def test_a_node_behind_tls_certificates_and_a_password(lab: LabMaker, tls_server: ServerUnderTest) -> None:
    """A certificate that has expired, or a file that has gone, must not end a pod; nor is it taken for ready."""
    one = lab(1, 0, access=Access(tls=True, client_certs=ClientCerts.YES, user="watcher"), server=tls_server.path)
    endpoint, right = one.node("n1").endpoint, variables(one.entry)
    assert probe("live", endpoint, **right).code == YES
    assert probe("ready", endpoint, **right).code == YES
    bare = {name: value for name, value in right.items() if name not in ("RCFAIL_CERT", "RCFAIL_KEY")}
    stranger = {name: value for name, value in right.items() if name != "RCFAIL_CACERT"}
    nobody = {name: value for name, value in right.items() if "USER" not in name and "PASSWORD" not in name}
    for less in (bare, stranger, nobody, {}):
        assert probe("live", endpoint, **less).code == YES, less
        assert probe("ready", endpoint, **less).code == UNKNOWN, less
    gone = {**right, "RCFAIL_CACERT": "/nonexistent/ca.pem", "RCFAIL_PASSWORD_FILE": "/nonexistent/password"}
    assert probe("live", endpoint, **gone).code == YES
    one.freeze("n1")
    assert probe("live", endpoint, **right).code == NO
