"""Breaking what the nodes of a lab believe: a node forgotten, a slot left open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from rcfail.cluster.nouns import SLOT_COUNT, Belief
from rcfail.errors import LabFault, UsageFault
from rcfail.practice.lab.faults import Broken, await_effect, broken, opened, state
from rcfail.practice.lab.processes import ProcessState
from rcfail.practice.lab.register import LabEntry, NodeEntry, Register
from rcfail.practice.lab.talk import Talk, talk_to

_SEEN_WITHIN_S = 5.0


class Side(StrEnum):
    """Which ends of a slot's move are opened. One alone is what an interrupted move leaves behind."""

    BOTH = "both"
    MIGRATING = "migrating"
    IMPORTING = "importing"


@dataclass(frozen=True, slots=True)
class _Holder:
    """A node that runs, with what it believes of itself."""

    node: NodeEntry
    belief: Belief


def forget(register: Register, name: str, word: str, on: str) -> Broken:
    """Let the node `on` forget another one with CLUSTER FORGET. It stays forgotten for 60 s at least.

    Redis 6.2 and 7.0 keep that to themselves. From 7.2 on, and in Valkey, the node passes it on with its next pings
    (the forgotten-node extension, cluster_legacy.c), and there is no way to keep it from that: soon only the
    forgotten node itself and, of a primary, its replicas still list it. Valkey 8.1 and newer then meet it again and
    forget it again, over and over.
    """
    with opened(register, name) as entry:
        node, teller, talk = entry.find(word), entry.find(on), talk_to(entry)
        if node is teller:
            raise UsageFault(f"{node.name} cannot forget itself", "Name another node with --on.")
        talk.tell(teller, "CLUSTER", "FORGET", node.node_id)
        await_effect(
            lambda: teller not in _listing(entry, talk, node), _SEEN_WITHIN_S, f"{teller.name} to forget {node.name}"
        )
        others = "it keeps that to itself"
        if entry.passes_on_forget:
            others = f"{entry.flavour.value} {entry.version} passes that on: soon only"
            others += f" {', '.join([node.name, *_replicas_of(entry, talk, node)])} will list it"
        return broken(entry, "forget", node, f"{teller.name} does not list it any more; {others}")


def open_slot(register: Register, name: str, slot: int, to: str | None = None, side: Side = Side.BOTH) -> Broken:
    """Leave a slot half moved from its owner to another primary, with SETSLOT IMPORTING and MIGRATING."""
    _check_slot(slot)
    with opened(register, name) as entry:
        talk = talk_to(entry)
        holders = _holders(entry, talk)
        source = _owner(holders, slot)
        target = _receiver(holders, source, entry.find(to) if to is not None else None, slot)
        if side is not Side.MIGRATING:
            talk.tell(target.node, "CLUSTER", "SETSLOT", slot, "IMPORTING", source.node.node_id)
        if side is not Side.IMPORTING:
            talk.tell(source.node, "CLUSTER", "SETSLOT", slot, "MIGRATING", target.node.node_id)
        _await_open(entry, talk, slot, source.node if side is not Side.IMPORTING else None, "migrating")
        _await_open(entry, talk, slot, target.node if side is not Side.MIGRATING else None, "importing")
        effect = f"slot {slot} is {_ends(side)} from {source.node.name} to {target.node.name}"
        return broken(entry, "open-slot", source.node, effect, f"close-slot {slot}")


def close_slot(register: Register, name: str, slot: int) -> Broken:
    """Close an open slot with SETSLOT STABLE on every primary that has it open; its owner stays."""
    _check_slot(slot)
    with opened(register, name) as entry:
        talk = talk_to(entry)
        holders = _holders(entry, talk)
        opens = [one for one in holders if _is_open(one.belief, slot) and one.belief.primary_id is None]
        if not opens:
            raise UsageFault(f"slot {slot} is not open on any primary", f"See: rcfail lab status {entry.name}.")
        for one in opens:
            talk.tell(one.node, "CLUSTER", "SETSLOT", slot, "STABLE")
        await_effect(
            lambda: not any(_is_open(one.belief, slot) for one in _holders(entry, talk)),
            _SEEN_WITHIN_S,
            f"slot {slot} to be closed",
        )
        names = ", ".join(one.node.name for one in opens)
        return broken(entry, "close-slot", opens[0].node, f"slot {slot} is closed on {names}")


def _check_slot(slot: int) -> None:
    if not 0 <= slot < SLOT_COUNT:
        raise UsageFault(f"{slot} is no slot", f"Slots are 0 to {SLOT_COUNT - 1}.")


def _listing(entry: LabEntry, talk: Talk, node: NodeEntry) -> list[NodeEntry]:
    """Who lists the node, of all that answer, itself left out."""
    found = []
    for peer in _running(entry):
        sight = talk.see(peer)
        if peer is not node and sight.nodes is not None and node.node_id in sight.nodes.table.by_id:
            found.append(peer)
    return found


def _replicas_of(entry: LabEntry, talk: Talk, node: NodeEntry) -> list[str]:
    """The nodes that say themselves that they replicate this one: they refuse to forget their primary."""
    return [one.node.name for one in _holders(entry, talk) if one.belief.primary_id == node.node_id]


def _running(entry: LabEntry) -> list[NodeEntry]:
    return [node for node in entry.nodes if state(node) is ProcessState.RUNNING]


def _holders(entry: LabEntry, talk: Talk) -> list[_Holder]:
    found = []
    for node in _running(entry):
        sight = talk.see(node)
        belief = sight.nodes.table.by_id.get(node.node_id) if sight.nodes is not None else None
        if belief is not None:
            found.append(_Holder(node, belief))
    return found


def _owner(holders: Sequence[_Holder], slot: int) -> _Holder:
    for one in holders:
        if any(first <= slot <= last for first, last in one.belief.slots):
            return one
    raise LabFault(f"no running node owns slot {slot}", "See who owns what: rcfail lab status.")


def _receiver(holders: Sequence[_Holder], source: _Holder, asked: NodeEntry | None, slot: int) -> _Holder:
    """The named primary, else the first other one."""
    others = [one for one in holders if one is not source and one.belief.primary_id is None]
    if asked is not None:
        others = [one for one in others if one.node is asked]
    if not others:
        what = f"{asked.name} is not another running primary" if asked is not None else "no other primary runs"
        raise UsageFault(f"{what}: slot {slot} has nowhere to go", "See the roles: rcfail lab status.")
    return others[0]


def _await_open(entry: LabEntry, talk: Talk, slot: int, node: NodeEntry | None, what: str) -> None:
    """Wait until the node's own line shows the slot open that way."""
    if node is None:
        return

    def look() -> bool:
        belief = next((one.belief for one in _holders(entry, talk) if one.node is node), None)
        shown = () if belief is None else belief.migrating if what == "migrating" else belief.importing
        return slot in [number for number, _ in shown]

    await_effect(look, _SEEN_WITHIN_S, f"slot {slot} to be {what} on {node.name}")


def _is_open(belief: Belief, slot: int) -> bool:
    return slot in [number for number, _ in (*belief.migrating, *belief.importing)]


def _ends(side: Side) -> str:
    return "migrating and importing" if side is Side.BOTH else side.value
