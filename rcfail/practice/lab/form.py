"""From servers that know nobody to one cluster that every node agrees on.

Meeting takes two beats of the cluster cron (100 ms each), learning the roles up to half a node timeout, and a
primary refuses to serve for the first 2 s of its life (CLUSTER_WRITABLE_DELAY, clusterUpdateState in
cluster_legacy.c): that last one is what bounds the whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import combinations

from rcfail.clock import Deadline, poll
from rcfail.cluster.nouns import NodeId
from rcfail.errors import OutOfTime
from rcfail.practice.lab.agreement import Sight, disagreements, strangers
from rcfail.practice.lab.logs import ServerFault
from rcfail.practice.lab.processes import ProcessState, state_of
from rcfail.practice.lab.register import LabEntry, NodeEntry
from rcfail.practice.lab.talk import Talk
from rcfail.practice.lab.wish import slots_of

Progress = Callable[[str], None]

# Nodes ping each other at least every half node timeout, and so they learn of a new role. Longer timeouts are set
# for good at the end; shorter ones would see failures where a busy machine only stutters.
FORMING_TIMEOUT_MS = 1500
_POLL_S = 0.05
_MOST_FOR_FULL_MESH = 12
_INTRODUCERS = 3


def form(entry: LabEntry, talk: Talk, deadline: Deadline, progress: Progress) -> LabEntry:
    """Make one cluster of the running servers, and return the entry with the node ids.

    Returns only when every node agrees on every role, all slots are served in every view, and every replica has
    finished its first sync and is listed as its primary's. Raises ServerFault, with the end of its log, when a server
    ends or the deadline passes.
    """
    entry = replace(entry, nodes=tuple(replace(node, node_id=identity(node, talk, deadline)) for node in entry.nodes))
    progress(f"{len(entry.nodes)} servers answer")
    _hand_out_slots(entry, talk)
    for one, other in _introductions(entry.nodes):
        talk.tell(one, "CLUSTER", "MEET", other.host, other.port)
    _until(entry, talk, deadline, strangers)
    progress("all nodes know each other")
    by_name = {node.name: node for node in entry.nodes}
    for node in entry.nodes:
        if node.primary:
            talk.tell(node, "CLUSTER", "REPLICATE", by_name[node.primary].node_id)
    _until(entry, talk, deadline, disagreements)
    progress("all nodes agree, all slots are served, all replicas are in sync")
    for node in entry.nodes:
        talk.tell(node, "CONFIG", "SET", "cluster-node-timeout", entry.node_timeout_ms)
    return entry


def await_answer(node: NodeEntry, talk: Talk, deadline: Deadline) -> None:
    """Wait until a server that was just started answers, be it that it is loading. Raises LabFault if it does not."""
    _first_answer(node, lambda: talk.ask(node, ("INFO", "server"))[0], deadline)


def identity(node: NodeEntry, talk: Talk, deadline: Deadline) -> NodeId:
    """The id that a server has given itself, once it answers. Raises LabFault if it does not."""
    return NodeId(_first_answer(node, lambda: talk.ask(node, ("CLUSTER", "MYID"))[0], deadline))


def _first_answer(node: NodeEntry, look: Callable[[], object], deadline: Deadline) -> str:
    def try_it() -> object:
        _must_live(node)
        return look()

    try:
        answer = poll(
            try_it,
            lambda reply: isinstance(reply, str),
            deadline=deadline,
            every_s=_POLL_S / 5,
            waiting_for="an answer",
        )
    except OutOfTime as error:
        raise ServerFault(f"{node.name} ({node.endpoint}) started, but does not answer", node) from error
    return str(answer)


def _must_live(node: NodeEntry) -> None:
    if node.process is not None and state_of(node.process) is ProcessState.ENDED:
        raise ServerFault(f"the server of {node.name} ({node.endpoint}) ended by itself", node)


def _hand_out_slots(entry: LabEntry, talk: Talk) -> None:
    """Slots, and config epochs that differ from the start, so that no two nodes quarrel over equal ones."""
    shards = sum(not node.primary for node in entry.nodes)
    for number, node in enumerate(entry.nodes, 1):
        if entry.node_timeout_ms != FORMING_TIMEOUT_MS:
            talk.tell(node, "CONFIG", "SET", "cluster-node-timeout", FORMING_TIMEOUT_MS)
        talk.tell(node, "CLUSTER", "SET-CONFIG-EPOCH", number)
        if not node.primary:
            first, last = slots_of(node.shard, shards)
            # ADDSLOTSRANGE would be shorter, but 6.2 does not know it.
            talk.tell(node, "CLUSTER", "ADDSLOTS", *range(first, last + 1))


def _introductions(nodes: Sequence[NodeEntry]) -> Iterable[tuple[NodeEntry, NodeEntry]]:
    """Who is told to meet whom. All of them is quickest; in a large cluster a few do, and gossip does the rest."""
    if len(nodes) <= _MOST_FOR_FULL_MESH:
        return combinations(nodes, 2)
    return ((one, other) for one in nodes[:_INTRODUCERS] for other in nodes if one is not other)


def _until(
    entry: LabEntry, talk: Talk, deadline: Deadline, lacks: Callable[[LabEntry, Sequence[Sight]], tuple[str, ...]]
) -> None:
    """Look at all nodes until nothing lacks any more."""
    latest: list[tuple[str, ...]] = []

    def look() -> tuple[str, ...]:
        for node in entry.nodes:
            _must_live(node)
        latest[:] = [lacks(entry, [talk.see(node) for node in entry.nodes])]
        return latest[0]

    try:
        poll(look, lambda missing: not missing, deadline=deadline, every_s=_POLL_S, waiting_for="agreement")
    except OutOfTime as error:
        missing = latest[0] if latest else ("nothing was seen",)
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        named = next((node for node in entry.nodes if missing[0].startswith(f"{node.name} ")), entry.nodes[0])
        raise ServerFault(f"the nodes did not become one cluster in time: {missing[0]}{more}", named) from error
