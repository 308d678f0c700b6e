"""A lab comes up whole, or nothing of it stays."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from rcfail.clock import SYSTEM_CLOCK, Clock, Deadline
from rcfail.errors import UsageFault
from rcfail.practice.lab.addresses import BUS_PORT_DISTANCE, IPV6_NOTE, ONE_HOST_NOTE, Claim, claim
from rcfail.practice.lab.binary import ServerBinary, find_server
from rcfail.practice.lab.certs import LIVES_DAYS, make_certificates, must_have_openssl
from rcfail.practice.lab.conf import CONF_FILE, conf_text
from rcfail.practice.lab.down import dismantle, end_servers
from rcfail.practice.lab.form import Progress, form
from rcfail.practice.lab.logs import OUTPUT_FILE
from rcfail.practice.lab.names import name_of, unresolved, write_hosts
from rcfail.practice.lab.network import group_of, sweep
from rcfail.practice.lab.processes import Held, can_run_as, hold_back, myself
from rcfail.practice.lab.register import LabEntry, NodeEntry, Register, Stage
from rcfail.practice.lab.talk import talk_to
from rcfail.practice.lab.users import make_users
from rcfail.practice.lab.wish import Spot, Wish, place

_FORM_WITHIN_S = 30.0
_AND_PER_NODE_S = 0.5


def bring_up(
    wish: Wish, register: Register, progress: Progress = lambda _: None, clock: Clock = SYSTEM_CLOCK
) -> LabEntry:
    """Start the servers, form the cluster, and return when every node agrees; at most 30 s and 0.5 s a node.

    On any failure, and on Ctrl-C, all servers are ended and the folder is removed (kept with `wish.keep`).
    Raises UsageFault or LabFault, whose hint then shows the end of a server's log.
    """
    server = _server_for(wish)
    with register.lock(wish.name):
        _must_be_new(register, wish.name)
        spots = place(wish)
        ports_on = [spot.host for spot in spots] * (wish.port_count // wish.node_count)
        with claim(ports_on, wish.base_port, register.octets, wish.octets, ipv6=wish.access.ipv6) as held:
            if held.octet is not None:
                sweep(held.octet)
            entry = _entry(wish, spots, held, server, register.folder(wish.name), clock)
            try:
                register.create(entry)
                progress(f"starting {len(entry.nodes)} servers of {server} ({server.path}, from {server.source})")
                _equip(entry, progress)
                entry = _start(entry, wish, server, register)
                deadline = Deadline.after(_FORM_WITHIN_S + _AND_PER_NODE_S * len(entry.nodes), clock)
                entry = replace(form(entry, talk_to(entry, clock), deadline, progress), stage=Stage.READY)
                register.write(entry)
            except BaseException:
                with _undisturbed():
                    _withdraw(register, wish)
                raise
    return entry


def start_node(entry: LabEntry, node: NodeEntry, server: str, register: Register) -> LabEntry:
    """Start the server of one node with the redis.conf that its folder holds, and enter its process."""
    held = _hold(node, server)
    return _release(entry, {node.name: held}, register)


def _server_for(wish: Wish) -> ServerBinary:
    """Raises UsageFault or LabFault where there is none that can do what is wished."""
    if wish.access.tls:
        must_have_openssl()
    server = find_server(wish.server, tls=wish.access.tls)
    if wish.access.hostnames and not server.announces_hostname:
        raise UsageFault(f"{server} has no host names: they came with 7.0", "Name a newer one with --server PATH.")
    return server


def _equip(entry: LabEntry, progress: Progress) -> None:
    """Passwords, certificates and names: what the servers need before they start."""
    if entry.access.user:
        make_users(entry)
    if entry.access.tls:
        progress(f"making certificates for {len(entry.nodes)} servers, good for {LIVES_DAYS} days")
        make_certificates(entry)
    if entry.access.hostnames:
        write_hosts(entry)


def _must_be_new(register: Register, name: str) -> None:
    found = register.look(name)
    if found is None:
        return
    half = isinstance(found, LabEntry) and found.stage is Stage.FORMING
    what = f"a half-made lab named {name} was left behind" if half else f"there is already a lab named {name}"
    raise UsageFault(what, f"End it with: rcfail lab down {name}, or choose another name.")


def _entry(
    wish: Wish, spots: tuple[Spot, ...], held: Claim, server: ServerBinary, folder: Path, clock: Clock
) -> LabEntry:
    first_group = group_of(held.octet, 0)
    grouped = first_group is not None and can_run_as(first_group)
    nodes = tuple(
        NodeEntry(
            name=spot.name,
            host=held.hosts[spot.host],
            port=port,
            bus_port=port + BUS_PORT_DISTANCE,
            zone=spot.zone,
            shard=spot.shard,
            primary="" if spot.primary is None else spots[spot.primary].name,
            folder=str(folder / spot.name),
            group=group_of(held.octet, index) if grouped else None,
            hostname=name_of(spot.name, wish.name) if wish.access.hostnames else "",
            plain_port=held.ports[len(spots) + index] if wish.access.has_plain_port else None,
        )
        for index, (spot, port) in enumerate(zip(spots, held.ports[: len(spots)], strict=True))
    )
    entry = LabEntry(
        name=wish.name,
        stage=Stage.FORMING,
        created_unix_ms=clock.unix_ms(),
        maker=myself(),
        server=server.path,
        flavour=server.flavour,
        version=server.version_text,
        node_timeout_ms=wish.node_timeout_ms,
        octet=held.octet,
        nodes=nodes,
        access=wish.access,
    )
    return replace(entry, notes=tuple(_notes(entry)))


def _notes(entry: LabEntry) -> Iterator[str]:
    if entry.access.ipv6:
        yield IPV6_NOTE
    elif entry.octet is None:
        yield ONE_HOST_NOTE
    if entry.access.hostnames:
        yield from unresolved(entry)


def _start(entry: LabEntry, wish: Wish, server: ServerBinary, register: Register) -> LabEntry:
    """Make all processes, enter them all, and only then let them begin."""
    held: dict[str, Held] = {}
    try:
        for node in entry.nodes:
            Path(node.folder).mkdir(mode=0o700)
            path = Path(node.folder) / CONF_FILE
            path.touch(mode=0o600)
            path.write_text(conf_text(entry, node, wish, server), "utf-8")
            held[node.name] = _hold(node, server.path)
        return _release(entry, held, register)
    except BaseException:
        for one in held.values():
            one.drop()
        raise


def _hold(node: NodeEntry, server: str) -> Held:
    folder = Path(node.folder)
    return hold_back([server, str(folder / CONF_FILE)], folder / OUTPUT_FILE, node.group)


def _release(entry: LabEntry, held: dict[str, Held], register: Register) -> LabEntry:
    for node in entry.nodes:
        if node.name in held:
            entry = entry.with_node(replace(node, process=held[node.name].process))
    register.write(entry)
    for one in held.values():
        one.release()
    return entry


def _withdraw(register: Register, wish: Wish) -> None:
    entry = register.look(wish.name)
    if not isinstance(entry, LabEntry):
        return
    if wish.keep:
        end_servers(entry)
    else:
        dismantle(register, entry)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Hold back Ctrl-C and the like until the cleaning is done; they are delivered after it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
