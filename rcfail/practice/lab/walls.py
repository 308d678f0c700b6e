"""The firewall rules of a partition. Pure: a lab and its sides in, conditions of nft rules out, each to be dropped.

Every packet between two nodes is known by its sender and its receiver. A node's own address tells both, as long as
all nodes at that address are on one side. Where they are not, the sender is told by its group id, and the receiver
by the port that it listens on. What then cannot be told is an answer to a connection that was there before, so
those are ended when the partition is made (partitions.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rcfail.errors import LabFault
from rcfail.practice.lab.damage import Partition, Way
from rcfail.practice.lab.register import LabEntry, NodeEntry


def walls_of(entry: LabEntry, partition: Partition) -> Iterator[str]:
    """The conditions under which a packet is dropped. Raises LabFault where the nodes' packets cannot be told apart."""
    sides = [nodes_of(entry, side) for side in partition.sides]
    whole = set(_whole_hosts(entry, sides))
    for at, one in enumerate(sides):
        for beyond, other in enumerate(sides):
            if beyond == at:
                continue
            if partition.way is Way.BOTH or (partition.way is Way.PACKETS and at == 0):
                yield from _packets(one, other, whole)
            elif partition.way is Way.CONNECTIONS and at == 0:
                yield from _connections(one, other, whole)
    if partition.observer is not None:
        unseen = [node for at, side in enumerate(sides) if at != partition.observer for node in side]
        ports = _set(f"{node.host} . {port}" for node in unseen for port in client_ports(node))
        yield f"{_from_outside(entry)}{family_of(unseen[0])} daddr . tcp dport {ports}"


def nodes_of(entry: LabEntry, names: Iterable[str]) -> tuple[NodeEntry, ...]:
    """The nodes of a side, as they are now: after a restart one may have another address."""
    wanted = set(names)
    return tuple(node for node in entry.nodes if node.name in wanted)


def split_nodes(entry: LabEntry, partition: Partition) -> tuple[NodeEntry, ...]:
    """The nodes that share an address with a node of another side."""
    whole = _whole_hosts(entry, [nodes_of(entry, side) for side in partition.sides])
    return tuple(node for node in entry.nodes if node.host not in whole)


def _whole_hosts(entry: LabEntry, sides: Sequence[Sequence[NodeEntry]]) -> list[str]:
    side_of = {node.name: at for at, side in enumerate(sides) for node in side}
    hosts: dict[str, set[int]] = {}
    for node in entry.nodes:
        hosts.setdefault(node.host, set()).add(side_of[node.name])
    return [host for host, at in hosts.items() if len(at) == 1]


def _packets(one: Sequence[NodeEntry], other: Sequence[NodeEntry], whole: set[str]) -> Iterator[str]:
    """All that nodes of one side send to nodes of the other."""
    for sender in _senders(one, whole):
        for receiver in (*_at_hosts("daddr", other, whole), *_listening(other, whole)):
            yield f"{sender} {receiver}"


def _connections(one: Sequence[NodeEntry], other: Sequence[NodeEntry], whole: set[str]) -> Iterator[str]:
    """All of the connections that nodes of one side open to nodes of the other, both ways."""
    for sender in _senders(one, whole):
        yield f"{sender} {family_of(other[0])} daddr . tcp dport {_ports(other)}"
    for receiver in _at_hosts("daddr", one, whole):
        yield f"{family_of(other[0])} saddr . tcp sport {_ports(other)} {receiver}"


def _senders(nodes: Sequence[NodeEntry], whole: set[str]) -> Iterator[str]:
    yield from _at_hosts("saddr", nodes, whole)
    nameless = next((node for node in nodes if node.host not in whole and node.group is None), None)
    if nameless is not None:
        raise LabFault(
            f"{nameless.name} shares {nameless.host} with a node of another side, and the firewall cannot tell their"
            " packets apart",
            "Make the lab as root, or with as many hosts as nodes, or let the sides be whole hosts or zones.",
        )
    # Also for nodes with an address of their own: MIGRATE does not bind its connection to it (migrate.c).
    groups = [str(node.group) for node in nodes if node.group is not None]
    if groups:
        yield f"meta skgid {_set(groups)}"


def _at_hosts(end: str, nodes: Sequence[NodeEntry], whole: set[str]) -> Iterator[str]:
    hosts = sorted({node.host for node in nodes} & whole)
    if hosts:
        yield f"{family_of(nodes[0])} {end} {_set(hosts)}"


def _listening(nodes: Sequence[NodeEntry], whole: set[str]) -> Iterator[str]:
    split = [node for node in nodes if node.host not in whole]
    if split:
        yield f"{family_of(nodes[0])} daddr . tcp dport {_ports(split)}"


def _ports(nodes: Sequence[NodeEntry]) -> str:
    return _set(f"{node.host} . {port}" for node in nodes for port in (*client_ports(node), node.bus_port))


def client_ports(node: NodeEntry) -> tuple[int, ...]:
    """Where a node takes clients: at one port, or at one for TLS and one for plain TCP."""
    return (node.port,) if node.plain_port is None else (node.port, node.plain_port)


def _from_outside(entry: LabEntry) -> str:
    """What tells our packets from those of the lab's nodes."""
    groups = [str(node.group) for node in entry.nodes if node.group is not None]
    others = f"meta skgid != {_set(groups)} " if groups else ""
    return others + ("" if family_of(entry.nodes[0]) == "ip6" else f"ip saddr != 127.{entry.octet}.0.0/16 ")


def family_of(node: NodeEntry) -> str:
    """What nft calls a match on this kind of address. All nodes of a lab have one kind."""
    return "ip6" if ":" in node.host else "ip"


def _set(elements: Iterable[str]) -> str:
    return f"{{ {', '.join(elements)} }}"
