"""Breaking the network of a lab: a port that peers, or we, cannot reach."""

from __future__ import annotations

from dataclasses import replace

from rcfail.errors import LabFault, UsageFault
from rcfail.practice.lab import network
from rcfail.practice.lab.altered import restore, without_altered
from rcfail.practice.lab.damage import Cut, CutKind
from rcfail.practice.lab.faults import Broken, await_effect, broken, command, opened, state
from rcfail.practice.lab.processes import ProcessState
from rcfail.practice.lab.register import LabEntry, NodeEntry, Register
from rcfail.practice.lab.talk import Talk, talk_to
from rcfail.practice.lab.writes import mend_writes

# Nobody listens on it on loopback: tcpmux, which no system runs any more.
_DEAD_PORT = 1
_HEARD_WITHIN_S = 2.0
_REACH_WITHIN_S = 5.0


def cut_bus(register: Register, name: str, word: str, *, one_way: bool = False) -> Broken:
    """Make the bus port of a node unreachable; clients still reach it.

    Both ways, the node and its peers hear nothing of each other and come to suspect each other. `one_way`: peers
    cannot connect to it, but it still connects to them, and nobody is suspected. Both need the firewall, except that
    one way is also had by announcing a dead bus port. Raises LabFault where it cannot be had.
    """
    with opened(register, name) as entry:
        node = entry.find(word)
        if not network.can_filter():
            if one_way:
                return _announce_dead_port(register, entry, node)
            raise LabFault(
                f"to cut a bus both ways nftables {network.hindrance() or 'is needed'}",
                f"Cut it one way: {command(entry, f'cut-bus {node.name} --one-way')}.",
            )
        kind = CutKind.BUS_IN if one_way else CutKind.BUS
        effect = f"nftables drops what goes to {node.host}:{node.bus_port}"
        if not one_way:
            effect += " and what the node sends to the bus ports of its peers"
        _cut(register, entry, Cut(kind, node.name), node.bus_port)
        return broken(entry, "cut-bus", node, effect, "mend")


def cut_client(register: Register, name: str, word: str) -> Broken:
    """Make the client port of a node unreachable from here; its peers and replicas still reach it."""
    with opened(register, name) as entry:
        node = entry.find(word)
        if entry.octet is None:
            raise LabFault(
                f"all nodes of this lab and we share {node.host}, so we cannot be cut off alone",
                "This fault needs Linux, and a lab without --ipv6.",
            )
        network.must_filter("to cut us off")
        _cut(register, entry, Cut(CutKind.CLIENT, node.name), node.port)
        return broken(entry, "cut-client", node, f"nftables drops what we send to {node.endpoint}", "mend")


def mend(register: Register, name: str, word: str) -> Broken:
    """Undo every cut of a node's ports, let it take writes again, and give it its settings back."""
    with opened(register, name) as entry:
        node = entry.find(word)
        kinds = {cut.kind for cut in entry.cuts if cut.node == node.name}
        options = [each.option for each in entry.altered if each.node == node.name]
        refusals = [stop.refusal.name for stop in entry.write_stops if stop.node == node.name]
        if not (kinds or refusals or options):
            raise UsageFault(
                f"no port of {node.name} is cut, it refuses no writes, and has its own settings",
                f"See: rcfail lab status {entry.name}.",
            )
        said = []
        if refusals:
            entry = mend_writes(entry, node)
            register.write(entry)
            said.append(f"it does not refuse writes with {' or '.join(refusals)} any more")
        if options:
            entry = without_altered(entry, node) if state(node) is ProcessState.ENDED else restore(entry, node)
            register.write(entry)
            said.append(f"its own {', '.join(options)} is back")
        if kinds:
            _uncut(register, entry, node, kinds)
            said.append(f"ports {node.port} and {node.bus_port} of {node.host} are open")
        return broken(entry, "mend", node, "; ".join(said))


def _uncut(register: Register, entry: LabEntry, node: NodeEntry, kinds: set[CutKind]) -> None:
    entry = replace(entry, cuts=tuple(cut for cut in entry.cuts if cut.node != node.name))
    if kinds - {CutKind.BUS_IN_ANNOUNCED}:
        network.apply(entry)
    if CutKind.BUS_IN_ANNOUNCED in kinds:
        _announce(entry, node, 0, node.bus_port)
    register.write(entry)


def _cut(register: Register, entry: LabEntry, cut: Cut, port: int) -> None:
    """Enter the cut first, so that `down` knows of the firewall rules whatever happens; then make it, then try it."""
    node = entry.find(cut.node)
    if cut in entry.cuts:
        raise UsageFault(f"{node.name} is cut like that already", f"See what is: rcfail lab status {entry.name}.")
    changed = replace(entry, cuts=(*entry.cuts, cut))
    script = network.script(changed)
    register.write(changed)
    try:
        network.run(script)
    except LabFault:
        register.write(entry)
        raise
    if state(node) is ProcessState.RUNNING:
        await_effect(
            lambda: not network.reachable(node.host, port), _REACH_WITHIN_S, f"{node.host}:{port} to be unreachable"
        )


def _announce_dead_port(register: Register, entry: LabEntry, node: NodeEntry) -> Broken:
    """Without the firewall: let the node tell its peers a bus port on which nobody listens.

    They drop their links to it and are refused at the new ones (nodeUpdateAddressIfNeeded, cluster_legacy.c).
    """
    _announce(entry, node, _DEAD_PORT, _DEAD_PORT)
    register.write(replace(entry, cuts=(*entry.cuts, Cut(CutKind.BUS_IN_ANNOUNCED, node.name))))
    effect = f"it announces bus port {_DEAD_PORT}, where nobody listens: peers cannot reach it, it reaches them"
    return broken(entry, "cut-bus", node, effect, "mend")


def _announce(entry: LabEntry, node: NodeEntry, bus_port: int, shown: int) -> None:
    """Change what the node announces, and wait until every peer that runs shows it."""
    talk = talk_to(entry)
    talk.tell(node, "CONFIG", "SET", "cluster-announce-bus-port", bus_port)
    peers = [peer for peer in entry.nodes if peer is not node and state(peer) is ProcessState.RUNNING]
    await_effect(
        lambda: all(_bus_port_seen(talk, peer, node) in (shown, None) for peer in peers),
        _HEARD_WITHIN_S + entry.node_timeout_ms / 1000,
        f"the peers of {node.name} to hear of its bus port",
    )


def _bus_port_seen(talk: Talk, peer: NodeEntry, node: NodeEntry) -> int | None:
    """The bus port of a node in a peer's view; None where the peer does not list the node."""
    sight = talk.see(peer)
    belief = sight.nodes.table.by_id.get(node.node_id) if sight.nodes is not None else None
    return belief.address.bus_port if belief is not None else None
