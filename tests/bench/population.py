"""Who the simulated nodes are, and what each of them says. Texts only: no sockets here.

Half of the nodes are primaries with an even share of the slots, half are their replicas. Every node has
its own address, its own `myself`, its own ping and pong times and its own order of lines, as real nodes
have (the table is a hash table with a random seed, so CLUSTER NODES comes in no fixed order).
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha1
from math import gcd
from pathlib import Path
from string import Template

SLOT_COUNT = 16384
BUS_PORT_OFFSET = 10000
INFO_TEXT = Template(Path(__file__).with_name("info_8_2.txt").read_text(encoding="ascii").replace("\n", "\r\n"))

CONFIG = {
    "cluster-allow-replica-migration": "yes",
    "cluster-require-full-coverage": "yes",
    "cluster-announce-hostname": "",
    "cluster-slave-no-failover": "no",
    "cluster-slave-validity-factor": "10",
    "cluster-compatibility-sample-ratio": "0",
    "cluster-slot-stats-enabled": "no",
    "cluster-announce-ip": "",
    "cluster-port": "0",
    "cluster-announce-port": "0",
    "cluster-migration-barrier": "1",
    "cluster-allow-reads-when-down": "no",
    "cluster-replica-no-failover": "no",
    "cluster-announce-tls-port": "0",
    "cluster-announce-human-nodename": "",
    "cluster-replica-validity-factor": "10",
    "cluster-link-sendbuf-limit": "0",
    "cluster-preferred-endpoint-type": "ip",
    "cluster-node-timeout": "15000",
    "cluster-config-file": "nodes.conf",
    "cluster-announce-bus-port": "0",
    "cluster-enabled": "yes",
    "cluster-allow-pubsubshard-when-down": "yes",
    "repl-diskless-sync-max-replicas": "0",
    "repl-diskless-sync-delay": "5",
    "repl-ping-slave-period": "10",
    "repl-timeout": "60",
    "repl-ping-replica-period": "10",
    "repl-backlog-ttl": "3600",
    "repl-disable-tcp-nodelay": "no",
    "repl-diskless-load": "disabled",
    "repl-backlog-size": "1048576",
    "repl-diskless-sync": "yes",
    "min-replicas-to-write": "0",
    "min-replicas-max-lag": "10",
    "min-slaves-to-write": "0",
    "min-slaves-max-lag": "10",
    "replica-announced": "yes",
    "replica-priority": "100",
    "replica-read-only": "yes",
    "replica-serve-stale-data": "yes",
    "save": "3600 1 300 100 60 10000",
    "stop-writes-on-bgsave-error": "yes",
    "maxclients": "10000",
    "maxmemory": "0",
    "maxmemory-policy": "noeviction",
    "appendonly": "no",
    "timeout": "0",
}


@dataclass(frozen=True, slots=True)
class Faults:
    """What is wrong in the simulated cluster. Numbers count nodes from 0; None is no fault.

    differs: this node's view has one line with another config epoch. suspected: all other nodes print
    `fail?` for this one. frozen: the kernel takes its connections, nobody ever reads them.
    """

    differs: int | None = None
    suspected: int | None = None
    frozen: int | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """One simulated node. `primary` is None on a primary; `slots` is empty on a replica."""

    index: int
    node_id: str
    host: str
    port: int
    epoch: int
    slots: tuple[int, int] | None
    primary: int | None

    @property
    def keys(self) -> int:
        return 1000 + self.epoch

    @property
    def offset(self) -> int:
        return 5_000_000 + 1000 * self.epoch


def populate(count: int, port: int, network: str = "127.77") -> tuple[Node, ...]:
    """`count` nodes (even, at least 2), each on its own loopback address and one common port.

    The first half are primaries; node i + count/2 is the replica of node i.
    """
    if count < 2 or count % 2 or count > 60_000:
        raise ValueError("the number of nodes must be even, between 2 and 60000")
    shards = count // 2
    nodes = []
    for index in range(count):
        shard = index % shards
        first, last = shard * SLOT_COUNT // shards, (shard + 1) * SLOT_COUNT // shards - 1
        replica = index >= shards
        nodes.append(
            Node(
                index=index,
                node_id=sha1(f"node {index}".encode()).hexdigest(),
                host=f"{network}.{index // 250}.{index % 250 + 1}",
                port=port,
                epoch=shard + 1,
                slots=None if replica else (first, last),
                primary=shard if replica else None,
            )
        )
    return tuple(nodes)


class Texts:
    """What each node says: fixed at the moment of making, ready to be sent.

    The CLUSTER NODES texts are made at once, for they are the large ones (126 KB for 1,000 nodes);
    the others when they are first asked.
    """

    def __init__(self, nodes: Sequence[Node], faults: Faults) -> None:
        self.nodes = nodes
        self.faults = faults
        self.now_ms = time.time_ns() // 1_000_000
        self._random = random.Random(77)
        self._heads = [self._head(node) for node in nodes]
        self._tails = [self._tail(node) for node in nodes]
        self.views = tuple(self._view(observer) for observer in range(len(nodes)))

    def _line_ends(self, observer: int) -> tuple[list[str], list[str]]:
        """What stands before the ping and after the pong in each line of this observer's view."""
        heads, tails = list(self._heads), list(self._tails)
        heads[observer] = self._head(self.nodes[observer], "myself,")
        wrong = self.faults.differs
        if wrong == observer:
            other = 0 if wrong else 1
            node = self.nodes[other]
            tails[other] = self._tail(node, epoch=node.epoch + len(self.nodes))
        suspected = self.faults.suspected
        if suspected is not None and suspected != observer:
            heads[suspected] = self._head(self.nodes[suspected], after=",fail?")
        return heads, tails

    def _head(self, node: Node, before: str = "", after: str = "") -> str:
        role = "master" if node.primary is None else "slave"
        primary = "-" if node.primary is None else self.nodes[node.primary].node_id
        address = f"{node.host}:{node.port}@{node.port + BUS_PORT_OFFSET}"
        return f"{node.node_id} {address} {before}{role}{after} {primary} "

    @staticmethod
    def _tail(node: Node, epoch: int | None = None) -> str:
        shown = node.epoch if epoch is None else epoch
        slots = f" {node.slots[0]}-{node.slots[1]}" if node.slots and node.slots[0] != node.slots[1] else ""
        if node.slots and not slots:
            slots = f" {node.slots[0]}"
        return f" {shown} connected{slots}\n"

    def _view(self, observer: int) -> bytes:
        """The CLUSTER NODES text of one observer: its own times and its own order."""
        heads, tails = self._line_ends(observer)
        count = len(self.nodes)
        # A pong is at most about half a node timeout old; one ping in a hundred is on its way just now.
        pongs = self._random.choices(range(self.now_ms - 7500, self.now_ms), k=count)
        pings = ["0"] * count
        for on_its_way in self._random.choices(range(count), k=count // 100):
            pings[on_its_way] = str(self.now_ms - self._random.randrange(3))
        if self.faults.suspected is not None:
            pings[self.faults.suspected] = str(self.now_ms - 16_000)
            pongs[self.faults.suspected] = self.now_ms - 20_000
        pings[observer], pongs[observer] = "0", 0
        step = self._random.randrange(1, count)
        while gcd(step, count) != 1:
            step = self._random.randrange(1, count)
        start = self._random.randrange(count)
        order = [(start + step * place) % count for place in range(count)]
        return "".join([f"{heads[i]}{pings[i]} {pongs[i]}{tails[i]}" for i in order]).encode("ascii")

    def info(self, observer: int, sections: frozenset[str] = frozenset()) -> bytes:
        """INFO; with `sections` (lower case) only those, as Redis 7.0 and later answer several at once."""
        node = self.nodes[observer]
        text = INFO_TEXT.substitute(
            process_id=1000 + observer,
            run_id=sha1(f"run {observer}".encode()).hexdigest(),
            host=node.host,
            port=node.port,
            now_us=self.now_ms * 1000,
            now_s=self.now_ms // 1000,
            bus_links=2 * (len(self.nodes) - 1),
            replication="\r\n".join(self._replication(node)),
            keys=node.keys,
        )
        if not sections or sections & {"all", "default", "everything"}:
            return text.encode("ascii")
        parts = text.removesuffix("\r\n").split("\r\n\r\n")
        chosen = [part.rstrip() for part in parts if part[2:].split("\r\n", 1)[0].lower() in sections]
        return ("\r\n\r\n".join(chosen) + "\r\n").encode("ascii") if chosen else b""

    def _replication(self, node: Node) -> list[str]:
        replid = sha1(f"history {node.epoch}".encode()).hexdigest()
        if node.primary is None:
            replica = self.nodes[node.index + len(self.nodes) // 2]
            attached = f"ip={replica.host},port={replica.port},state=online,offset={node.offset},lag=0"
            own = ["role:master", "connected_slaves:1", f"slave0:{attached}"]
        else:
            primary = self.nodes[node.primary]
            own = [
                "role:slave",
                f"master_host:{primary.host}",
                f"master_port:{primary.port}",
                "master_link_status:up",
                "master_last_io_seconds_ago:1",
                "master_sync_in_progress:0",
                f"slave_read_repl_offset:{node.offset}",
                f"slave_repl_offset:{node.offset}",
                "replica_full_sync_buffer_size:0",
                "replica_full_sync_buffer_peak:0",
                "master_current_sync_attempts:1",
                "master_total_sync_attempts:1",
                "master_link_up_since_seconds:863990",
                "total_disconnect_time_sec:0",
                "slave_priority:100",
                "slave_read_only:1",
                "replica_announced:1",
                "connected_slaves:0",
            ]
        return [
            *own,
            "master_failover_state:no-failover",
            f"master_replid:{replid}",
            f"master_replid2:{'0' * 40}",
            f"master_repl_offset:{node.offset}",
            "second_repl_offset:-1",
            "repl_backlog_active:1",
            "repl_backlog_size:1048576",
            f"repl_backlog_first_byte_offset:{node.offset - 1_048_575}",
            "repl_backlog_histlen:1048576",
        ]

    def cluster_info(self, observer: int) -> bytes:
        node, count = self.nodes[observer], len(self.nodes)
        suspected = self.faults.suspected
        out = 0
        if suspected is not None and suspected != observer and (slots := self.nodes[suspected].slots):
            out = slots[1] - slots[0] + 1
        sent = 1_000_000 + 7 * observer
        lines = [
            "cluster_state:ok",
            f"cluster_slots_assigned:{SLOT_COUNT}",
            f"cluster_slots_ok:{SLOT_COUNT - out}",
            f"cluster_slots_pfail:{out}",
            "cluster_slots_fail:0",
            f"cluster_known_nodes:{count}",
            f"cluster_size:{count // 2}",
            f"cluster_current_epoch:{count // 2}",
            f"cluster_my_epoch:{node.epoch}",
            f"cluster_stats_messages_ping_sent:{sent}",
            f"cluster_stats_messages_pong_sent:{sent + 3}",
            f"cluster_stats_messages_sent:{2 * sent + 3}",
            f"cluster_stats_messages_ping_received:{sent + 3}",
            f"cluster_stats_messages_pong_received:{sent}",
            f"cluster_stats_messages_meet_received:{count - 1}",
            f"cluster_stats_messages_received:{2 * sent + 2 + count}",
            "total_cluster_links_buffer_limit_exceeded:0",
        ]
        return "".join(f"{line}\r\n" for line in lines).encode("ascii")
