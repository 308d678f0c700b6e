"""Breaking what a node says of itself: it forgets the cluster, or gives up or claims slots."""

from __future__ import annotations

from dataclasses import dataclass, replace

from rcfail.clock import Deadline
from rcfail.cluster.nouns import SLOT_COUNT, Belief, NodeId, SlotRange
from rcfail.errors import LabFault, UsageFault
from rcfail.practice.lab.faults import Broken, await_effect, broken, command, opened
from rcfail.practice.lab.form import identity
from rcfail.practice.lab.register import LabEntry, NodeEntry, Register
from rcfail.practice.lab.talk import Talk, talk_to

_SEEN_WITHIN_S = 5.0
_FLUSHED_WITHIN_S = 10.0


@dataclass(frozen=True, slots=True)
class Slots:
    """Runs of slots, ends included, in the order in which they were named."""

    runs: tuple[SlotRange, ...]

    def __str__(self) -> str:
        return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in self.runs)

    @property
    def numbers(self) -> tuple[int, ...]:
        return tuple(dict.fromkeys(slot for first, last in self.runs for slot in range(first, last + 1)))

    def of(self, owner: Belief) -> Slots:
        """Those of them that a node has."""
        both = ((max(a, c), min(b, d)) for a, b in self.runs for c, d in owner.slots)
        return Slots(tuple((first, last) for first, last in both if first <= last))


def slots_of_text(text: str) -> Slots:
    """Read "77", "0-5460" or several of these with commas between. Raises UsageFault."""
    return Slots(tuple(_run(word.strip()) for word in text.split(",")))


def _run(text: str) -> SlotRange:
    first, dash, last = text.partition("-")
    words = (first, last) if dash else (first, first)
    if not all(word.isascii() and word.isdecimal() and len(word) <= 5 for word in words):
        raise UsageFault(f"{text!r} is neither a slot nor a range of slots", "Write 77, 0-5460, or 77,80-99.")
    low, high = map(int, words)
    if not low <= high < SLOT_COUNT:
        raise UsageFault(f"{text} are no slots", f"Slots are 0 to {SLOT_COUNT - 1}, the lower one first.")
    return low, high


def reset(register: Register, name: str, word: str, *, hard: bool = False, flush: bool = False) -> Broken:
    """Let a node forget the whole cluster with CLUSTER RESET: its peers, its slots, its primary.

    A hard one also takes a new id and begins at epoch 0. A primary with keys refuses that, and so does this, unless
    `flush`: then all its data is deleted first, on its replicas too. The peers are told nothing.
    """
    with opened(register, name) as entry:
        node, talk = entry.find(word), talk_to(entry)
        owned = sum(last - first + 1 for first, last in _own(node, talk).slots)
        if flush:
            _flush(node, talk)
        _say_reset(entry, node, talk, hard=hard, flush=flush)
        back = node
        if hard:
            # The register must not hold the old id: everything that is said to a node is said to an id.
            back = replace(node, node_id=_new_id(node, talk))
            register.write(entry := entry.with_node(back))
        await_effect(
            lambda: [each.node_id for each in _table(back, talk)] == [back.node_id],
            _SEEN_WITHIN_S,
            f"{node.name} to list nobody but itself",
        )
        effect = f"it lists itself alone, and owns none of its {owned} slots any more"
        effect += f"; it is a new node {back.node_id[:8]}, {node.node_id[:8]} is gone" if hard else ""
        return broken(entry, "reset", back, effect)


def del_slots(register: Register, name: str, slots: Slots, on: str) -> Broken:
    """Let one node give up slots with CLUSTER DELSLOTS; the others are told nothing.

    Where the node is their owner, its peers go on naming it. Where it is not, it forgets who is, and hears it again
    with the owner's next ping. Raises LabFault where it knows no owner of one of them.
    """
    with opened(register, name) as entry:
        node, talk = entry.find(on), talk_to(entry)
        own = slots.of(_own(node, talk))
        talk.tell(node, "CLUSTER", "DELSLOTS", *slots.numbers)
        if not own.runs:
            said = f"it knows no owner of {_named(slots)}, until it hears the next ping of the owner"
            return broken(entry, "delslots", node, said)
        await_effect(lambda: not own.of(_own(node, talk)).runs, _SEEN_WITHIN_S, f"{node.name} to give up {_named(own)}")
        said = f"it does not claim {_named(own)} any more, and told nobody"
        return broken(entry, "delslots", node, said, f"addslots {own} --on {node.name}")


def add_slots(register: Register, name: str, slots: Slots, on: str) -> Broken:
    """Let one node claim slots with CLUSTER ADDSLOTS. Raises LabFault where it knows an owner of one of them."""
    with opened(register, name) as entry:
        node, talk = entry.find(on), talk_to(entry)
        talk.tell(node, "CLUSTER", "ADDSLOTS", *slots.numbers)
        await_effect(
            lambda: set(slots.of(_own(node, talk)).numbers) == set(slots.numbers),
            _SEEN_WITHIN_S,
            f"{node.name} to own {_named(slots)}",
        )
        undo = f"delslots {slots} --on {node.name}"
        return broken(entry, "addslots", node, f"it claims {_named(slots)}", undo)


def _say_reset(entry: LabEntry, node: NodeEntry, talk: Talk, *, hard: bool, flush: bool) -> None:
    try:
        talk.tell(node, "CLUSTER", "RESET", "HARD" if hard else "SOFT")
    except LabFault as error:
        # CLUSTER RESET is for a master only without keys (clusterReset's caller, cluster_legacy.c).
        if "containing keys" not in error.message or flush:
            raise
        again = command(entry, f"reset {node.name}{' --hard' if hard else ''} --flush")
        raise LabFault(error.message, f"Delete its data first, on its replicas too: {again}.") from error


def _flush(node: NodeEntry, talk: Talk) -> None:
    talk.tell(node, "FLUSHALL")
    await_effect(lambda: talk.ask(node, ("DBSIZE",)) == (0,), _FLUSHED_WITHIN_S, f"{node.name} to be empty")


def _new_id(node: NodeEntry, talk: Talk) -> NodeId:
    found = identity(node, talk, Deadline.after(_SEEN_WITHIN_S))
    if found == node.node_id:
        raise LabFault(f"{node.name} kept its id {found[:8]} through a hard reset", "Look: rcfail lab status.")
    return found


def _table(node: NodeEntry, talk: Talk) -> tuple[Belief, ...]:
    sight = talk.see(node)
    return sight.nodes.table.beliefs if sight.nodes is not None else ()


def _own(node: NodeEntry, talk: Talk) -> Belief:
    """What a node says of itself. Raises LabFault where it does not answer."""
    sight = talk.see(node)
    if sight.nodes is None:
        raise LabFault(f"{node.name} ({node.endpoint}) does not answer: {sight.silence}", "Look: rcfail lab status.")
    return sight.nodes.table.by_id[node.node_id]


def _named(slots: Slots) -> str:
    return f"slot{'' if len(slots.numbers) == 1 else 's'} {slots}"
