"""The answers of `rcfail lab`, as pages and as JSON."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rcfail.cluster.nouns import Role
from rcfail.commands.lab_fault_pages import parted_line, partition_json
from rcfail.errors import LabFault
from rcfail.exits import ExitCode
from rcfail.practice.lab.access import EndpointType
from rcfail.practice.lab.conf import CONF_FILE
from rcfail.practice.lab.environment import leftovers, redis_cli, variables
from rcfail.practice.lab.faults import command as fault_command
from rcfail.practice.lab.logs import ServerFault
from rcfail.practice.lab.processes import ProcessState
from rcfail.practice.lab.register import LabEntry
from rcfail.practice.lab.status import LabStatus, NodeStatus
from rcfail.practice.lab.talk import credentials_of
from rcfail.render.lines import EMPTY, Line, Span, Style, line, span, wrapped
from rcfail.render.outcome import ClusterName, Json, Outcome, Trouble


def status_outcome(command: str, status: LabStatus) -> Outcome:
    """The table of a lab's nodes."""
    return Outcome(
        command,
        ExitCode.OK,
        text=lambda width: _status_page(status, width),
        data=lambda: _status_json(status),
        cluster=_cluster(status.lab),
        notes=status.lab.notes,
    )


def env_outcome(entry: LabEntry, env: Mapping[str, str]) -> Outcome:
    """Shell lines, fit for eval: nothing else is printed. `env` is what the shell has now."""
    exported = variables(entry)
    by_hand = not entry.access.user and credentials_of(entry).password is not None
    others = leftovers(entry, env, keep_password=by_hand)
    rows = [f"export {name}={shlex.quote(value)}" for name, value in exported.items()]
    rows += [f"unset {' '.join(others)}"] if others else []
    if entry.access.tls or entry.access.user:
        rows.append(f"# all rights: {redis_cli(entry)}")
    if by_hand:
        where = shlex.quote(str(Path(entry.nodes[0].folder) / CONF_FILE))
        rows.append(f"# RCFAIL_PASSWORD is to be the requirepass in {where}")
    return Outcome(
        "lab env",
        ExitCode.OK,
        text=lambda _: (line(row) for row in rows),
        data=lambda: {"lab": entry.name, "variables": exported, "unset": list(others)},
        cluster=_cluster(entry),
    )


def lost_outcome(gone: Sequence[str], stuck: Sequence[LabFault]) -> Outcome:
    """Which labs are gone, and which would not go."""
    said = f"gone: {', '.join(gone)}" if gone else "there was nothing to end"
    return Outcome(
        "lab down",
        stuck[0].exit_code if stuck else ExitCode.OK,
        text=lambda _: (line(said),) if gone or not stuck else (),
        data=lambda: {"gone": list(gone)},
        errors=tuple(Trouble(error.code, error.message, error.hint) for error in stuck),
    )


def list_outcome(found: Sequence[tuple[str, LabEntry | str | None]], home: str) -> Outcome:
    """All labs; one whose entry cannot be read stands there with the reason."""
    return Outcome(
        "lab list",
        ExitCode.OK,
        text=lambda _: _list_page(found, home),
        data=lambda: {"home": home, "labs": [_listed_json(name, entry) for name, entry in found]},
    )


def failed_outcome(command: str, error: ServerFault) -> Outcome:
    """A lab that did not come up, with the end of the log of the server that is to blame."""
    log = "\n".join(f"{error.node} | {row}" for row in error.log)
    return Outcome(
        command,
        error.exit_code,
        text=lambda _: (),
        data=lambda: {"node": error.node, "log": list(error.log)},
        errors=(Trouble(error.code, error.message, error.hint),),
        aside=log,
    )


def _cluster(entry: LabEntry) -> ClusterName:
    seeds = tuple(str(seed) for seed in entry.seeds)
    return ClusterName(seeds=seeds, flavour=entry.flavour.value, versions=(entry.version,))


def _status_page(status: LabStatus, width: int) -> Iterator[Line]:
    entry = status.lab
    title = f"lab {entry.name}: {status.running} of {len(status.nodes)} servers run"
    good = Style.GOOD if status.whole else Style.WARN
    yield line(span(title, good), f", {entry.flavour.value} {entry.version}, node timeout {entry.node_timeout_ms} ms")
    yield from (line(each) for each in access_lines(entry))
    yield EMPTY
    columns = [_columns(node) for node in status.nodes]
    widths = [max(len(row[at]) for row in columns) for at in range(4)]
    for node, row in zip(status.nodes, columns, strict=True):
        cells = "  ".join(cell.ljust(size) for cell, size in zip(row, widths, strict=True))
        state = _state(node)
        style = Style.BAD if state else Style.GOOD
        yield from wrapped(state or ("ok",), width, first=line(cells, "  "), indent=len(cells) + 2, style=style)
    yield EMPTY
    for partition in entry.partitions:
        yield from wrapped(parted_line(partition), width, first=_PARTED, indent=2)
    if entry.partitions:
        yield line(span("heal: ", Style.HEAD), fault_command(entry, "heal"))
        yield EMPTY
    named = "" if entry.name == "default" else f" {entry.name}"
    yield from wrapped(f'`eval "$(rcfail lab env{named})"` makes it the cluster of all commands', width, first=_NEXT)
    yield from wrapped(f"`rcfail lab down{named}` ends it", width, first=_NEXT)


_NEXT: Line = (Span("next: ", Style.HEAD),)
_PARTED: Line = (Span("parted: ", Style.BAD),)


def access_lines(entry: LabEntry) -> Iterator[str]:
    """How the lab is reached, where that is not plain TCP and without a password."""
    access, first = entry.access, entry.nodes[0]
    if access.tls:
        plain = "no plain port" if access.tls_only else f"plain ports from {first.plain_port} on"
        wanted = {"yes": "required", "optional": "taken if shown", "no": "not asked for"}[access.client_certs]
        yield f"TLS, {plain}; client certificates: {wanted}"
    if access.user:
        yield f"ACL: the default user is off; you are {access.user}"
    if first.hostname:
        sent = "names" if access.endpoint_type is EndpointType.HOSTNAME else "addresses"
        yield f"host names such as {first.hostname}; clients are sent to {sent}"


def _columns(node: NodeStatus) -> tuple[str, str, str, str]:
    match node.role:
        case Role.PRIMARY:
            role = f"primary, {node.slots} slots"
        case Role.REPLICA:
            role = f"replica of {node.primary}"
        case _:
            role = "-"
    return node.node.name, str(node.node.endpoint), node.node.zone, role


def _state(node: NodeStatus) -> list[str]:
    """What is to be said of the node's state, the worst first. Nothing where all is well."""
    said = []
    if node.process is not ProcessState.RUNNING:
        said.append(node.process.value)
    elif node.silence:
        said.append(f"does not answer: {node.silence}")
    if node.link_up is False:
        said.append("link down")
    if node.cluster_state not in (None, "ok"):
        said.append(f"cluster_state:{node.cluster_state}")
    said.extend(f"cut: {each}" for each in node.cut)
    said.extend(f"refuses writes: {each}" for each in node.refuses)
    said.extend(f"altered: {each}" for each in node.altered)
    return said


def _status_json(status: LabStatus) -> Json:
    entry = status.lab
    return {
        "lab": {
            "name": entry.name,
            "stage": entry.stage.value,
            "whole": status.whole,
            "server": entry.server,
            "flavour": entry.flavour.value,
            "version": entry.version,
            "node_timeout_ms": entry.node_timeout_ms,
            "created_unix_ms": entry.created_unix_ms,
            "tls": entry.access.tls,
            "client_certificates": entry.access.client_certs.value if entry.access.tls else None,
            "user": entry.access.user or None,
        },
        "nodes": [_node_json(node) for node in status.nodes],
        "partitions": [partition_json(each) for each in entry.partitions],
    }


def _node_json(node: NodeStatus) -> Json:
    entry = node.node
    return {
        "name": entry.name,
        "id": entry.node_id or None,
        "host": entry.host,
        "port": entry.port,
        "bus_port": entry.bus_port,
        "plain_port": entry.plain_port,
        "hostname": entry.hostname or None,
        "zone": entry.zone,
        "pid": entry.process.pid if entry.process else None,
        "process": node.process.value,
        "role": node.role.value if node.role else None,
        "primary": node.primary or None,
        "slots": node.slots,
        "link_up": node.link_up,
        "cluster_state": node.cluster_state,
        "cut": list(node.cut),
        "refuses_writes": list(node.refuses),
        "altered": list(node.altered),
        "silence": node.silence or None,
        "folder": entry.folder,
    }


def _list_page(found: Sequence[tuple[str, LabEntry | str | None]], home: str) -> Iterator[Line]:
    if not found:
        yield line(f"no labs in {home}")
    for name, entry in found:
        if isinstance(entry, LabEntry):
            seed = entry.seeds[0] if entry.seeds else "-"
            yield line(
                f"{name}  {entry.stage.value}  {len(entry.nodes)} nodes, {entry.flavour.value} {entry.version}, {seed}"
            )
        else:
            yield line(f"{name}  ", span(f"cannot be read: {entry}", Style.BAD))


def _listed_json(name: str, entry: LabEntry | str | None) -> Json:
    if not isinstance(entry, LabEntry):
        return {"name": name, "stage": None, "nodes": None, "seeds": [], "problem": entry}
    seeds = [str(seed) for seed in entry.seeds]
    return {"name": name, "stage": entry.stage.value, "nodes": len(entry.nodes), "seeds": seeds, "problem": None}
