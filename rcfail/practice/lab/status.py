"""How a lab stands at this moment: its processes, and what its nodes say of themselves."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from rcfail.cluster.nouns import SLOT_COUNT, Role
from rcfail.practice.lab.faults import state
from rcfail.practice.lab.processes import ProcessState
from rcfail.practice.lab.register import LabEntry, NodeEntry, Register, Stage
from rcfail.practice.lab.talk import talk_to

_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """One node. What it says of itself is None where it says nothing; `silence` then says why.

    `primary` is the name of the node that it says it replicates, "" where it replicates none. `cut` names what is
    cut of its ports, `refuses` the errors that it was made to answer writes with, `altered`
    its settings that were changed.
    """

    node: NodeEntry
    process: ProcessState
    role: Role | None = None
    primary: str | None = None
    slots: int | None = None
    link_up: bool | None = None
    cluster_state: str | None = None
    cut: tuple[str, ...] = ()
    refuses: tuple[str, ...] = ()
    altered: tuple[str, ...] = ()
    silence: str = ""


@dataclass(frozen=True, slots=True)
class LabStatus:
    lab: LabEntry
    nodes: tuple[NodeStatus, ...]

    @property
    def running(self) -> int:
        return sum(node.process is ProcessState.RUNNING for node in self.nodes)

    @property
    def whole(self) -> bool:
        """Formed, every server runs and says ok, every replica's link is up, each slot has one owner, nothing is cut.

        That is less than health: it compares no views.
        """
        good = all(node.cluster_state == "ok" and node.link_up is not False and not node.cut for node in self.nodes)
        good = good and not self.lab.partitions and not self.lab.write_stops
        return good and self.lab.stage is Stage.READY and sum(node.slots or 0 for node in self.nodes) == SLOT_COUNT


def look_at(register: Register, name: str) -> LabStatus:
    """Ask every server of a lab that runs. Raises UsageFault when there is no such lab."""
    entry = register.read(name)
    # All at once: one that is cut off or frozen takes seconds not to answer.
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return LabStatus(entry, tuple(pool.map(lambda node: _node_status(entry, node), entry.nodes)))


def _node_status(entry: LabEntry, node: NodeEntry) -> NodeStatus:
    process = state(node)
    cut = tuple(cut.kind.value for cut in entry.cuts if cut.node == node.name)
    refuses = tuple(stop.refusal.value for stop in entry.write_stops if stop.node == node.name)
    altered = tuple(each.option for each in entry.altered if each.node == node.name)
    base = NodeStatus(node, process, cut=cut, refuses=refuses, altered=altered)
    if process is not ProcessState.RUNNING:
        return replace(base, silence=f"its process is {process.value}")
    sight = talk_to(entry).see(node)
    if sight.nodes is None or sight.vitals is None:
        return replace(base, silence=sight.silence)
    own = next((sight.nodes.table.by_id[node_id] for node_id in sight.nodes.myself), None)
    names = {node.node_id: node.name for node in entry.nodes}
    return replace(
        base,
        role=own.role if own else None,
        primary=names.get(own.primary_id, own.primary_id[:8]) if own and own.primary_id else "",
        slots=own.slot_count if own else None,
        link_up=sight.vitals.replication.link_up,
        cluster_state=sight.vitals.cluster.state,
    )
