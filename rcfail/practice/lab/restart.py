"""A node that comes back: as it was, at another address, or with nothing of what it knew."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from rcfail.clock import Deadline, poll
from rcfail.errors import LabFault, OutOfTime, UsageFault
from rcfail.practice.lab import network
from rcfail.practice.lab.addresses import BUS_PORT_DISTANCE, LAST_BUS_PORT, is_free
from rcfail.practice.lab.altered import without_altered
from rcfail.practice.lab.certs import issue_for
from rcfail.practice.lab.conf import CONF_FILE, conf_value
from rcfail.practice.lab.damage import CutKind
from rcfail.practice.lab.faults import Broken, broken, command, opened, state
from rcfail.practice.lab.form import await_answer, identity
from rcfail.practice.lab.names import write_hosts
from rcfail.practice.lab.processes import ProcessState, end
from rcfail.practice.lab.register import NOBODY_YET, LabEntry, NodeEntry, Register
from rcfail.practice.lab.talk import Talk, talk_to
from rcfail.practice.lab.up import start_node
from rcfail.practice.lab.wish import option_of
from rcfail.practice.lab.writes import without_write_stops

_ANSWER_WITHIN_S = 15.0
_SIGNAL_WITHIN_S = 5.0
_HEARD_WITHIN_S = 5.0
_POLL_S = 0.02
_HOST_OPTIONS = ("bind", "bind-source-addr", "cluster-announce-ip")
# What a server writes: its table, its saved data, its append-only file (one file before 7.0, then a folder).
_WRITTEN = ("nodes.conf*", "*.rdb", "appendonly*")


@dataclass(frozen=True, slots=True)
class Comeback:
    """How a node is to come back. `new_host`: another address of the lab; `new_port`: another port; `wiped`: empty."""

    new_host: bool = False
    new_port: bool = False
    wiped: bool = False

    @property
    def moved(self) -> bool:
        return self.new_host or self.new_port


AS_IT_WAS = Comeback()


def restart(
    register: Register, name: str, word: str, wait_s: float | None = None, *, comeback: Comeback = AS_IT_WAS
) -> Broken:
    """Start a server that ended, and wait until it answers.

    Its folder is the same, so it knows its peers from nodes.conf; at a new address they hear of it by its first
    packets. Wiped, it is an empty node with a new id, which nobody has met. With `wait_s` also wait until it is a part
    of the cluster again: a replica with its link up, or a primary that says cluster_state:ok.
    """
    with opened(register, name) as entry:
        node = entry.find(word)
        _check(entry, node, wait_s, comeback)
        back = _elsewhere(entry, node, comeback) if comeback.moved else node
        back = replace(back, node_id=NOBODY_YET) if comeback.wiped else back
        # Entered first: whoever is interrupted from here on can restart it again, and it comes to this address.
        register.write(entry := entry.with_node(back))
        entry = _prepare(entry, back, comeback)
        entry = start_node(entry, back, entry.server, register)
        back, talk = entry.find(back.name), talk_to(entry)
        await_answer(back, talk, Deadline.after(_ANSWER_WITHIN_S))
        effect = f"process {back.process.pid if back.process else ''} answers"
        if back.node_id == NOBODY_YET:
            back = replace(back, node_id=identity(back, talk, Deadline.after(_ANSWER_WITHIN_S)))
            register.write(entry := entry.with_node(back))
        if comeback.wiped:
            effect += f"; it is a new node {back.node_id[:8]} without peers, slots and data"
            effect += f", where {node.node_id[:8]} was" if not comeback.moved else ""
        if comeback.moved and not comeback.wiped:
            effect += "; " + _await_hearing(entry, node, back, talk)
    # Not under the lab's lock: it may take somebody else's mending for it to come into step.
    if wait_s is not None:
        effect += "; " + _await_membership(back, talk, wait_s)
    return broken(entry, "restart", back, effect)


def restart_all(
    register: Register, name: str, wait_s: float | None = None, *, comeback: Comeback = AS_IT_WAS
) -> Broken:
    """End every server that runs and start all of them again, at once: as after a power cut, or a rollout of pods.

    With new addresses no node finds another one: what each knows of the others, it knows from its nodes.conf. Nobody
    gets an address that another one had. Returns when all answer.
    """
    with opened(register, name) as entry:
        if wait_s is not None and comeback.moved:
            raise UsageFault("at new addresses no node finds another one", "Leave --wait out: rcfail recover helps.")
        if comeback.wiped:
            raise UsageFault("all nodes at once are not wiped: nothing would be left", "Take the lab down instead.")
        _check_hosts(entry, comeback)
        running = [node.process for node in entry.nodes if node.process and state(node) is not ProcessState.ENDED]
        end(running, Deadline.after(_SIGNAL_WITHIN_S))
        before = entry
        for node in before.nodes:
            back = _elsewhere(entry, node, comeback, before.nodes) if comeback.moved else node
            register.write(entry := entry.with_node(back))
            entry = start_node(_prepare(entry, back, comeback), back, entry.server, register)
        talk = talk_to(entry)
        for node in entry.nodes:
            await_answer(node, talk, Deadline.after(_ANSWER_WITHIN_S))
        effect = f"all {len(entry.nodes)} nodes answer"
        effect += ", each at a new address that no other one knows" if comeback.moved else ""
    if wait_s is not None:
        for node in entry.nodes:
            _await_membership(node, talk, wait_s)
    return Broken(entry.name, "restart", "all", entry.nodes[0].endpoint, effect)


def addressed_conf(text: str, node: NodeEntry, *, tls: bool) -> str:
    """A redis.conf with the address of the node wherever the server reads one. With TLS `port` is the plain one."""
    places = dict.fromkeys(_HOST_OPTIONS, node.host)
    places |= {"port": str(node.plain_port or 0), "tls-port": str(node.port)} if tls else {"port": str(node.port)}
    rows = ((option_of(row), row) for row in text.splitlines())
    return "".join(f"{option} {places[option]}\n" if option in places else f"{row}\n" for option, row in rows)


def _check(entry: LabEntry, node: NodeEntry, wait_s: float | None, comeback: Comeback) -> None:
    if state(node) is not ProcessState.ENDED:
        raise UsageFault(
            f"{node.name} ({node.endpoint}) has not ended", f"End it with: {command(entry, f'kill {node.name}')}."
        )
    if comeback.wiped and wait_s is not None:
        raise UsageFault(
            "an empty node belongs to no cluster, so it never gets into step", "Leave --wait out, or leave --wipe out."
        )
    _check_hosts(entry, comeback)
    for port in (node.port, node.bus_port) if not comeback.moved else ():
        if not is_free(node.host, port):
            raise LabFault(
                f"port {port} on {node.host} is busy: somebody else took it while {node.name} was down",
                f"See who has it: ss -ltnp 'sport = :{port}'.",
            )


def _check_hosts(entry: LabEntry, comeback: Comeback) -> None:
    if comeback.new_host and entry.octet is None:
        raise LabFault(f"all nodes of this lab share {entry.nodes[0].host}", "Take --new-port, which works here too.")


def _prepare(entry: LabEntry, node: NodeEntry, comeback: Comeback) -> LabEntry:
    """Make the node's folder and the firewall fit what it will be, and return the lab as it then is."""
    # What a node announces and what it was told is forgotten when it ends; a firewall rule is not.
    cuts = tuple(cut for cut in entry.cuts if (cut.node, cut.kind) != (node.name, CutKind.BUS_IN_ANNOUNCED))
    entry = without_altered(without_write_stops(replace(entry, cuts=cuts), node), node)
    conf = Path(node.folder) / CONF_FILE
    text = conf.read_text("utf-8")
    conf.write_text(addressed_conf(text, node, tls=entry.access.tls), "utf-8")
    if comeback.wiped:
        wipe(Path(node.folder), conf_value(text, "dbfilename"))
    if comeback.new_host and entry.access.tls:
        issue_for(entry, node)
    if comeback.new_host and entry.access.hostnames:
        write_hosts(entry)
    if comeback.moved and (entry.cuts or entry.partitions):
        network.apply(entry)
    return entry


def wipe(folder: Path, dump_file: str | None = None) -> None:
    """Remove all that a server wrote: its node table and its data. Its configuration and its logs stay."""
    for pattern in (*_WRITTEN, *([dump_file] if dump_file else [])):
        for path in folder.glob(pattern):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def _elsewhere(entry: LabEntry, node: NodeEntry, comeback: Comeback, others: tuple[NodeEntry, ...] = ()) -> NodeEntry:
    """The node at a free address of its lab: the next ones of its host, or the next free port. `others` are nodes that
    were of the lab a moment ago: their addresses are not taken either."""
    taken = {each.host for each in (*entry.nodes, *others)}
    stem = node.host.rpartition(".")[0]
    hosts = [f"{stem}.{last}" for last in range(2, 255)] if comeback.new_host else [node.host]
    highest = max(max(each.port, each.plain_port or 0) for each in (*entry.nodes, *others))
    ports = range(highest + 1, LAST_BUS_PORT - BUS_PORT_DISTANCE + 1) if comeback.new_port else [node.port]
    for host in hosts:
        for port in ports if host not in taken or comeback.new_port else ():
            back = replace(node, host=host, port=port, bus_port=port + BUS_PORT_DISTANCE)
            # The plain port beside a TLS port goes along to a new host, and stays on the old one.
            plain = (back.plain_port,) if back.plain_port is not None else ()
            if all(is_free(host, each) for each in (port, back.bus_port, *plain)):
                return back
    raise LabFault(f"there is no free address for {node.name}", "Make a new lab.")


def _await_hearing(entry: LabEntry, before: NodeEntry, back: NodeEntry, talk: Talk) -> str:
    """Whether the peers that run list the new address, after a while in which they mostly come to it."""
    peers = [peer for peer in entry.nodes if peer.name != back.name and state(peer) is ProcessState.RUNNING]
    within_s = _HEARD_WITHIN_S + 2 * entry.node_timeout_ms / 1000
    try:
        poll(
            lambda: not _unaware(peers, back, talk),
            bool,
            deadline=Deadline.after(within_s),
            every_s=_POLL_S,
            waiting_for="the peers",
        )
    except OutOfTime:
        unaware = ", ".join(peer.name for peer in _unaware(peers, back, talk))
        return f"it was at {before.endpoint}, and for {unaware} still is"
    return f"it was at {before.endpoint}, and all peers have heard"


def _unaware(peers: list[NodeEntry], back: NodeEntry, talk: Talk) -> list[NodeEntry]:
    """The peers that list the node at another address, or that do not answer."""
    found = []
    for peer in peers:
        sight = talk.see(peer)
        belief = sight.nodes.table.by_id.get(back.node_id) if sight.nodes is not None else None
        if belief is None or (belief.address.host, belief.address.port) != (back.host, back.port):
            found.append(peer)
    return found


def _await_membership(node: NodeEntry, talk: Talk, wait_s: float) -> str:
    """Wait until the node is in step, and say as what."""

    def look() -> str:
        vitals = talk.see(node).vitals
        if vitals is None or vitals.storage.loading or vitals.cluster.state != "ok":
            return ""
        if vitals.replication.role == "slave":
            synced = vitals.replication.link_up and not vitals.replication.sync_in_progress
            return "it is a replica with its link up" if synced else ""
        return "it is a primary, cluster_state:ok"

    deadline = Deadline.after(wait_s)
    try:
        return poll(look, bool, deadline=deadline, every_s=_POLL_S, waiting_for="membership")
    except OutOfTime as error:
        raise OutOfTime(
            f"{node.name} answers, but is not in step again after {wait_s:g} s", "Look: rcfail lab status."
        ) from error
