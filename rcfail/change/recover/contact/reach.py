"""Where a node is, and where the others look for it: who is listed at an address at which it does not answer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address

from rcfail.change.checks import Check
from rcfail.change.recover.action import Send
from rcfail.change.recover.case import Case, Question
from rcfail.change.recover.expect import judged, name_of, tables
from rcfail.cluster.nouns import Address, Belief, Endpoint, NodeId
from rcfail.cluster.snapshot import Node, Snapshot
from rcfail.health.wording import counted

_WHO = ("CLUSTER", "MYID")
ANNOUNCED = ("CONFIG", "GET", "cluster-announce-*")
_BUS_DISTANCE = 10_000


def questions(case: Case) -> Iterator[Question]:
    """Who answers where a node says itself that it is, and what it is told to announce, where we reach it elsewhere."""
    for node in case.snapshot.nodes.values():
        own = node.view.own if node.view is not None else None
        if node.view is None or own is None:
            continue
        place = case.snapshot.natmap.reached(own.address)
        astray = place is not None and place != node.view.endpoint
        if place is not None and astray and not misses(case.snapshot, node.node_id, place):
            yield Question(place, _WHO)
        if astray or misplaced(case.snapshot, node.node_id):
            yield Question(node.view.endpoint, ANNOUNCED)


def misses(snapshot: Snapshot, node_id: NodeId, place: Endpoint) -> bool:
    """Whoever looks for the node there finds nobody, or another one, though it answers us elsewhere."""
    view = snapshot.by_observer.get(node_id)
    if view is None or view.endpoint == place:
        return False
    if any(each.expected == node_id and each.endpoint == place for each in snapshot.deserted):
        return True
    return any(each.endpoint == place and each.observer not in (None, node_id) for each in snapshot.views)


def listed_astray(snapshot: Snapshot, belief: Belief) -> bool:
    """The line says an address at which the node does not answer."""
    place = snapshot.natmap.reached(belief.address)
    return place is not None and not belief.noaddr and misses(snapshot, belief.node_id, place)


def misplaced(snapshot: Snapshot, node_id: NodeId) -> bool:
    """Anybody but the node itself lists it astray."""
    said = ((each.observers, each.table.by_id.get(node_id)) for each in snapshot.groups)
    return any(
        belief is not None and listed_astray(snapshot, belief)
        for observers, belief in said
        if set(observers) - {node_id}
    )


def stale(case: Case, node: Node) -> bool:
    """What the node prints as its own address is none of its: clients that ask it are sent there."""
    own = node.view.own if node.view is not None else None
    if node.view is None or own is None:
        return False
    place = case.snapshot.natmap.reached(own.address)
    if place is None or place == node.view.endpoint or _heard_at(case.snapshot, node.node_id, own.address):
        return False
    if misses(case.snapshot, node.node_id, place):
        return True
    reply = case.reply(place, *_WHO)
    # A node may well answer at two addresses of its own. Where it was not asked, nothing is known.
    return reply is not None and reply != node.node_id


def _heard_at(snapshot: Snapshot, node_id: NodeId, address: Address) -> bool:
    """Another node lists it there and hears it: so it is there, and only this host does not get to it."""
    said = ((each.observers, each.table.by_id.get(node_id)) for each in snapshot.groups)
    return any(
        belief is not None and belief.address.endpoint == address.endpoint and not (belief.flagged or belief.noaddr)
        for observers, belief in said
        if set(observers) - {node_id}
    )


def told_to_announce(case: Case, node: Node) -> dict[str, str]:
    """The settings cluster-announce-* that are set, without that prefix; empty also where they cannot be read."""
    reply = case.reply(node.view.endpoint, *ANNOUNCED) if node.view is not None else None
    words = [str(each) for each in reply] if isinstance(reply, tuple) else []
    pairs = zip(words[::2], words[1::2], strict=False)
    names = {name.removeprefix("cluster-announce-"): value for name, value in pairs}
    return {
        name: value for name, value in names.items() if value not in ("", "0") and name in ("ip", "port", "bus-port")
    }


def fixed(case: Case, node: Node) -> bool:
    """It announces a wrong address because it is told to: whoever meets it is told that address again."""
    own = node.view.own if node.view is not None else None
    wrong = stale(case, node) or misplaced(case.snapshot, node.node_id)
    if not wrong or own is None or node.view is None:
        return False
    settings, here = told_to_announce(case, node), node.view.endpoint
    reached = case.snapshot.natmap.reached
    announced = Address(settings.get("ip", here.host), int(settings.get("port", here.port)))
    return bool(settings) and reached(announced) != here


def reached_at(snapshot: Snapshot, node: Node) -> Address | None:
    """By which address the other nodes reach it, as a MEET takes it; None where that cannot be told from here.

    First what a node prints that leads to where it answers us; else that very place, if our way there can be theirs.
    """
    own = node.view.own if node.view is not None else None
    if node.view is None or own is None:
        return None
    here, bus = node.view.endpoint, own.address.bus_port
    said = (each.table.by_id.get(node.node_id) for each in snapshot.groups)
    printed = [own.address, *(belief.address for belief in said if belief is not None)]
    for address in printed:
        if snapshot.natmap.reached(address) == here and _is_literal(address.host):
            return Address(address.host, address.port, bus or address.bus_port)
    hosts = [view.endpoint.host for view in snapshot.views if view.observer != node.node_id]
    private = _is_local(here.host) and not all(map(_is_local, hosts))
    if snapshot.natmap.rules or private or not _is_literal(here.host) or own.address.port not in (0, here.port):
        return None
    return Address(here.host, here.port, bus)


def meet(sender: Node, at: Address) -> Send:
    """One CLUSTER MEET; the bus port is named where it is not the usual one."""
    assert sender.view is not None, sender.label
    bus = () if at.bus_port in (None, at.port + _BUS_DISTANCE) else (str(at.bus_port),)
    return Send(sender.node_id, sender.view.endpoint, ("CLUSTER", "MEET", at.host, str(at.port), *bus))


def _is_literal(host: str) -> bool:
    try:
        return bool(ip_address(host))
    except ValueError:
        return False


def _is_local(host: str) -> bool:
    """A loopback address: on another host it is another node."""
    return host.startswith("127.") or host == "::1"


@dataclass(frozen=True, slots=True)
class Together:
    """Each of these nodes lists each other one at an address at which it answers, and none suspects another."""

    nodes: tuple[NodeId, ...]

    def check(self, snapshot: Snapshot) -> Check:
        silent = [each for each in self.nodes if each not in {observer for observer, _ in tables(snapshot)}]
        if silent:
            told = f"{name_of(snapshot, silent[0])} does not tell its table"
            return judged("together", False, "", told)
        lacking = [each for each in self.nodes if self._missed(snapshot, each)]
        total = len(self.nodes)
        first = name_of(snapshot, lacking[0]) if lacking else ""
        told = f"{len(lacking)} of {counted(total, 'node')} not heard by all of the others yet, such as {first}"
        return judged("together", not lacking, f"{counted(total, 'node')} hear each other", told)

    def _missed(self, snapshot: Snapshot, node_id: NodeId) -> bool:
        among = set(self.nodes) - {node_id}
        said = ((each.observers, each.table.by_id.get(node_id)) for each in snapshot.groups)
        return any(
            belief is None or belief.flagged or belief.noaddr or belief.handshake or listed_astray(snapshot, belief)
            for observers, belief in said
            if among.intersection(observers)
        )


@dataclass(frozen=True, slots=True)
class KnowsItself:
    """The node prints the address at which it answers us, or one that leads there, as its own."""

    node: NodeId

    def check(self, snapshot: Snapshot) -> Check:
        view, name = snapshot.by_observer.get(self.node), name_of(snapshot, self.node)
        own = view.own if view is not None else None
        if view is None or own is None:
            return judged("knows-itself", None, "", f"{name} does not tell its table")
        well = snapshot.natmap.reached(own.address) == view.endpoint
        return judged("knows-itself", well, f"{name} knows its address", f"{name} says that it is at {own.address}")
