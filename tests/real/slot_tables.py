"""What the servers themselves say of slots: who owns them, who marks them, and what they were told."""

from __future__ import annotations

import re
from collections.abc import Mapping

from rcfail.cluster.nouns import Belief
from rcfail.practice.lab.register import NodeEntry
from rcfail.wire.refusals import Refusal
from tests.real.servers import RunningLab

_CHANGING = ("setslot", "addslots", "addslotsrange", "delslots", "meet", "forget", "replicate", "reset", "failover")


def told(lab: RunningLab) -> Mapping[str, int]:
    """How often each node took or refused a CLUSTER command that changes something. 6.2 counts no sub-commands."""
    found: dict[str, int] = {}
    for node in lab.nodes:
        stats = lab.ask(node, "INFO", "commandstats")
        for row in str(stats).splitlines():
            name, _, fields = row.partition(":")
            if name.removeprefix("cmdstat_cluster|") in _CHANGING:
                calls = re.findall(r"(?:calls|rejected_calls)=(\d+)", fields)
                found[f"{node.name} {name}"] = sum(map(int, calls))
    return found


def tables(lab: RunningLab) -> Mapping[str, object]:
    """Owners, roles, epochs and marks, as every node tells them."""
    return {
        node.name: {
            each.node_id: (each.role, each.primary_id, each.slots, each.config_epoch, each.migrating, each.importing)
            for each in lab.view(node).beliefs
        }
        for node in lab.nodes
    }


def owned_by(lab: RunningLab, node: NodeEntry | str, *slots: int) -> bool:
    """In every view, and nobody marks any slot."""
    views = [lab.view(each) for each in lab.nodes]
    owner = lab.node(node).node_id
    there = [any(first <= slot <= last for first, last in view.by_id[owner].slots) for view in views for slot in slots]
    return all(there) and not any(each.migrating or each.importing for view in views for each in view.beliefs)


def vacate(lab: RunningLab, *slots: int) -> None:
    """Let every node give these slots to nobody. A ping of the owner that is on its way tells a node anew."""

    def given_up() -> bool:
        left = 0
        for node in lab.nodes:
            listed = {slot for each in lab.view(node).beliefs for slot in slots if _has(each, slot)}
            for slot in listed:
                lab.say(node, "CLUSTER", "DELSLOTS", slot)
            left += len(listed)
        return not left

    lab.wait(given_up, f"nobody to own {slots}", 60.0)


def _has(belief: Belief, slot: int) -> bool:
    return any(first <= slot <= last for first, last in belief.slots)


def reply(lab: RunningLab, node: NodeEntry | str, *command: str | int) -> str:
    """What a client got, in words."""
    said = lab.ask(node, *command)
    return said.text if isinstance(said, Refusal) else str(said)
