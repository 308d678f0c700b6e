"""When a lab counts as whole: every single thing that may lack is waited for, and named."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rcfail.cluster.parse_info import vitals
from rcfail.cluster.parse_nodes import NodesReader
from rcfail.practice.lab.agreement import Sight, disagreements, strangers
from tests.unit.test_lab_register import entry

LAB = entry()
ID1, ID2 = (node.node_id for node in LAB.nodes)
NODES = (
    f"{ID1} 127.40.1.1:7000@17000 %smaster - 0 1 1 connected 0-16383\n"
    f"{ID2} 127.40.2.1:7001@17001 %sslave {ID1} 0 1 1 connected\n"
)
VIEWS = (NODES % ("myself,", ""), NODES % ("", "myself,"))
CLUSTER = "cluster_state:ok\r\ncluster_slots_ok:16384\r\n"
INFO = (
    "role:master\r\nconnected_slaves:1\r\nslave0:ip=127.40.2.1,port=7001,state=online,offset=0,lag=0\r\n",
    "role:slave\r\nmaster_link_status:up\r\nmaster_sync_in_progress:0\r\n",
)


def sight(number: int, nodes: str | None = None, info: str | None = None, cluster: str = CLUSTER) -> Sight:
    return Sight(
        LAB.nodes[number],
        NodesReader().read(VIEWS[number] if nodes is None else nodes),
        vitals(INFO[number] if info is None else info, cluster, None),
    )


def test_a_whole_cluster_lacks_nothing() -> None:
    sights = [sight(0), sight(1)]
    assert strangers(LAB, sights) == ()
    assert disagreements(LAB, sights) == ()


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        (sight(0, VIEWS[0].split("\n")[0]), "n1 knows 1 of 2 nodes"),
        (
            sight(0, VIEWS[0] + f"{'f' * 40} 127.40.3.1:7002@17002 handshake - 0 0 0 connected\n"),
            "n1 knows 2 of 2 nodes",
        ),
        (sight(0, VIEWS[0].replace("slave", "handshake")), "n1 knows 1 of 2 nodes"),
        (sight(0, VIEWS[0].replace(f"slave {ID1}", "master -")), "n1 does not see n2 as it was made yet"),
        (sight(0, VIEWS[0].replace("slave", "slave,fail?")), "n1 does not see n2 as it was made yet"),
        (sight(0, VIEWS[0].replace("1 1 connected\n", "1 1 disconnected\n")), "n1 does not see n2 as it was made yet"),
        (sight(0, VIEWS[0].replace("0-16383", "0-16382")), "n1 does not see n1 as it was made yet"),
        (sight(0, cluster=CLUSTER.replace("ok\r", "fail\r", 1)), "n1 says cluster_state:fail, 16384 slots ok"),
        (sight(0, cluster=CLUSTER.replace("16384", "16383")), "n1 says cluster_state:ok, 16383 slots ok"),
        (sight(0, info=INFO[0].replace("online", "wait_bgsave")), "n1 has 0 of 1 replicas online"),
        (sight(0, info="role:master\r\n"), "n1 has 0 of 1 replicas online"),
        (sight(1, info=INFO[1].replace("up", "down")), "n2 has not finished its first sync"),
        (sight(1, info=INFO[1].replace("progress:0", "progress:1")), "n2 has not finished its first sync"),
        (
            sight(1, VIEWS[1].replace("1 1 connected 0", "1 7 connected 0")),
            "n2 does not know the config epoch of n1 yet",
        ),
        (Sight(LAB.nodes[1], silence="refused"), "n2 does not answer: refused"),
    ],
)
def test_whatever_lacks_is_named(odd: Sight, said: str) -> None:
    sights = [sight(0), sight(1)]
    sights[LAB.nodes.index(odd.node)] = odd
    assert said in disagreements(LAB, sights)


def test_an_id_that_is_not_known_yet_is_never_agreed_on() -> None:
    assert disagreements(replace(LAB, nodes=(LAB.nodes[0],)), [sight(0)]) != ()
