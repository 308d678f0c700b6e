"""Partitions: the nodes of a lab in sides that hear nothing of each other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from rcfail.clock import Deadline, poll
from rcfail.errors import LabFault, OutOfTime, UsageFault
from rcfail.practice.lab import network
from rcfail.practice.lab.damage import Partition, Way
from rcfail.practice.lab.faults import await_effect, command, opened, state
from rcfail.practice.lab.processes import ProcessState
from rcfail.practice.lab.register import LabEntry, NodeEntry, Register
from rcfail.practice.lab.sides import observer_side, sides_of
from rcfail.practice.lab.talk import Talk, talk_to
from rcfail.practice.lab.walls import nodes_of, split_nodes

_REACH_WITHIN_S = 5.0
_POLL_S = 0.05
_LOOK = "Look: rcfail lab status."


@dataclass(frozen=True, slots=True)
class Parted:
    """What was done to which partitions. `undo` is the command that mends it, or ""."""

    lab: str
    fault: str
    partitions: tuple[Partition, ...]
    effect: str
    undo: str = ""


def partition(
    register: Register,
    name: str,
    sides: Sequence[str],
    *,
    way: Way = Way.BOTH,
    observer: str | None = None,
    wait_s: float | None = None,
) -> Parted:
    """Drop every packet between the sides, on existing connections too. We ourselves still reach all nodes.

    `sides` are words with commas between them: zones, host addresses, nodes; who is named nowhere forms one more
    side. `observer` names the only side that we then reach. One-way cuts are from the first side to each other one.
    `wait_s`: return when all nodes of a side suspect all of the others. Several partitions add up. Raises UsageFault,
    LabFault where the firewall cannot be had, OutOfTime.
    """
    with opened(register, name) as entry:
        groups = sides_of(entry, sides)
        seen = None if observer is None else observer_side(entry, groups, observer)
        wanted = Partition(groups, way, seen)
        _check(entry, wanted, wait_s)
        changed = replace(entry, partitions=(*entry.partitions, wanted))
        script = network.script(changed)
        # Entered first, so that `down` knows of the firewall rules whatever happens.
        register.write(changed)
        try:
            network.run(script)
        except LabFault:
            register.write(entry)
            raise
        _end_what_cannot_be_told(changed, wanted)
        _try(changed, wanted)
    effect = _effect(wanted)
    # Not under the lab's lock: somebody else may heal it meanwhile.
    if wait_s is not None:
        _await(changed, wait_s, lambda talk: _unsuspected_beyond(changed, talk, wanted))
        effect += "; all nodes suspect those beyond"
    return Parted(entry.name, "partition", changed.partitions, effect, command(entry, "heal"))


def heal(register: Register, name: str, *, wait_s: float | None = None) -> Parted:
    """Take all partitions away; cuts of single nodes stay. `wait_s`: return when no running node suspects another."""
    with opened(register, name) as entry:
        if not entry.partitions:
            raise UsageFault(
                f"the lab {entry.name} has no partition", f"See what is cut: rcfail lab status {entry.name}."
            )
        healed = replace(entry, partitions=())
        network.apply(healed)
        register.write(healed)
    effect = "no packet is dropped between the sides any more"
    if wait_s is not None:
        _await(healed, wait_s, lambda talk: _suspected(healed, talk))
        effect += "; no running node suspects another"
    return Parted(entry.name, "heal", entry.partitions, effect)


def _check(entry: LabEntry, wanted: Partition, wait_s: float | None) -> None:
    if entry.octet is None:
        shared = entry.nodes[0].host
        raise LabFault(
            f"all nodes of this lab share {shared}, and cannot be parted",
            "Partitions need Linux, and a lab without --ipv6.",
        )
    if wanted in entry.partitions:
        raise UsageFault("the lab is parted like that already", f"See how: rcfail lab status {entry.name}.")
    if wanted.way is Way.CONNECTIONS and wait_s is not None:
        raise UsageFault(
            "nobody is suspected while connections work the other way, so there is nothing to wait for",
            "Leave --wait out, or cut both ways.",
        )
    network.must_filter("to part a lab")


def _effect(wanted: Partition) -> str:
    match wanted.way:
        case Way.BOTH:
            said = "nftables drops every packet between the sides"
        case Way.PACKETS:
            said = "nftables drops every packet from the first side to the others"
        case Way.CONNECTIONS:
            said = "nftables drops the connections that the first side opens to the others"
    return said if wanted.observer is None else f"{said}, and ours to all but {','.join(wanted.sides[wanted.observer])}"


def _end_what_cannot_be_told(entry: LabEntry, wanted: Partition) -> None:
    """End the replication links across, of replicas that share their address with another side.

    The data that such a link still brings in cannot be told from that for a neighbour. The link cannot come back.
    """
    talk = talk_to(entry)
    side_of = {name: at for at, side in enumerate(wanted.sides) for name in side}
    by_id = {node.node_id: node for node in entry.nodes}
    for node in split_nodes(entry, wanted):
        sight = talk.see(node) if state(node) is ProcessState.RUNNING else None
        own = sight.nodes.table.by_id.get(node.node_id) if sight is not None and sight.nodes is not None else None
        primary = by_id.get(own.primary_id) if own is not None and own.primary_id is not None else None
        if primary is not None and side_of[primary.name] != side_of[node.name]:
            talk.tell(node, "CLIENT", "KILL", "TYPE", "master")


def _try(entry: LabEntry, wanted: Partition) -> None:
    """Connect across as a node would, and see that it fails: once from the first side to each other one."""
    split = {node.host for node in split_nodes(entry, wanted)}
    one, *others = ([node for node in nodes_of(entry, side) if node.host not in split] for side in wanted.sides)
    for other in others:
        targets = [node for node in other if state(node) is ProcessState.RUNNING]
        if one and targets:
            _must_not_reach(one[0].host, targets[0])


def _must_not_reach(source: str, node: NodeEntry) -> None:
    await_effect(
        lambda: not network.reachable(node.host, node.bus_port, source),
        _REACH_WITHIN_S,
        f"{node.host}:{node.bus_port} to be unreachable from {source}",
    )


def _await(entry: LabEntry, wait_s: float, lacks: Callable[[Talk], Iterable[str]]) -> None:
    """Wait until nothing lacks any more. Raises OutOfTime, which names the first thing that does."""
    talk = talk_to(entry)
    latest: list[str] = []

    def look() -> bool:
        latest[:] = list(lacks(talk))
        return not latest

    try:
        poll(look, bool, deadline=Deadline.after(wait_s), every_s=_POLL_S, waiting_for="the views of all nodes")
    except OutOfTime as error:
        more = f" (and {len(latest) - 1} more)" if len(latest) > 1 else ""
        raise OutOfTime(f"the rules are in force, but after {wait_s:g} s {latest[0]}{more}", _LOOK) from error


def _unsuspected_beyond(entry: LabEntry, talk: Talk, wanted: Partition) -> Iterable[str]:
    """Who does not yet suspect whom across, of those that we can ask."""
    for at, side in enumerate(wanted.sides):
        if wanted.observer in (None, at):
            beyond = [node for node in entry.nodes if node.name not in side]
            for node in nodes_of(entry, side):
                yield from _views_that(talk, node, beyond, flagged=False)


def _suspected(entry: LabEntry, talk: Talk) -> Iterable[str]:
    running = [node for node in entry.nodes if state(node) is ProcessState.RUNNING]
    for node in running:
        yield from _views_that(talk, node, [other for other in running if other is not node], flagged=True)


def _views_that(talk: Talk, node: NodeEntry, others: Sequence[NodeEntry], *, flagged: bool) -> Iterable[str]:
    """What a running node says of the others, where it is this."""
    if state(node) is not ProcessState.RUNNING:
        return
    sight = talk.see(node)
    if sight.nodes is None:
        yield f"{node.name} does not answer: {sight.silence}"
        return
    for other in others:
        belief = sight.nodes.table.by_id.get(other.node_id)
        if belief is not None and belief.flagged is flagged:
            yield f"{node.name} {'still suspects' if flagged else 'does not yet suspect'} {other.name}"
