"""The labs that exist, on disk: one folder a lab, with `lab.json` and the folders of its nodes.

Written whole and renamed into place, so that a reader never meets half a file. Every process is entered before it
becomes a server, so that a lab can be taken down from any shell, also when its maker was killed half way.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from rcfail.cluster.nouns import Endpoint, NodeId
from rcfail.cluster.vitals import Flavour
from rcfail.errors import LabFault, UsageFault
from rcfail.practice.lab.access import PLAIN, Access, ClientCerts, EndpointType
from rcfail.practice.lab.damage import (
    Altered,
    Cut,
    Partition,
    WriteStop,
    altered_of,
    cut_of,
    partition_of,
    write_stop_of,
)
from rcfail.practice.lab.lock import held
from rcfail.practice.lab.processes import Process
from rcfail.practice.lab.removal import remove_folder
from rcfail.practice.lab.wish import check_name

SCHEMA = "rcfail-lab/1"
ENTRY_FILE = "lab.json"
_LOCK_WITHIN_S = 5.0
_REMOVE_WITHIN_S = 5.0
NOBODY_YET = NodeId("")
_FEWEST_DIGITS = 4
_OTHER_PLACE = "Name another place with RCFAIL_LAB_HOME."


class Stage(StrEnum):
    """FORMING until every node agreed: a lab that stays there was left half made."""

    FORMING = "forming"
    READY = "ready"


@dataclass(frozen=True, slots=True)
class NodeEntry:
    """One node. `primary` names the node that it was made a replica of, "" for one made a primary; roles change later.

    `process` is None until it was first started; `group` is the group id that its process runs under, if its own.
    `port` is the TLS port where there is one; `plain_port` is then the one for plain TCP, if it has one too.
    `hostname` is what it announces, or "".
    """

    name: str
    host: str
    port: int
    bus_port: int
    zone: str
    shard: int
    primary: str
    folder: str
    group: int | None = None
    node_id: NodeId = NOBODY_YET
    process: Process | None = None
    hostname: str = ""
    plain_port: int | None = None

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(self.host, self.port)


@dataclass(frozen=True, slots=True)
class LabEntry:
    """One lab as it stands on disk. `maker` is the process that makes or made it."""

    name: str
    stage: Stage
    created_unix_ms: int
    maker: Process
    server: str
    flavour: Flavour
    version: str
    node_timeout_ms: int
    octet: int | None
    nodes: tuple[NodeEntry, ...]
    cuts: tuple[Cut, ...] = ()
    notes: tuple[str, ...] = ()
    partitions: tuple[Partition, ...] = ()
    access: Access = PLAIN
    write_stops: tuple[WriteStop, ...] = ()
    altered: tuple[Altered, ...] = ()

    @property
    def passes_on_forget(self) -> bool:
        """Whether one CLUSTER FORGET reaches all nodes: the forgotten-node ping extension came with Redis 7.2."""
        return self.flavour is Flavour.VALKEY or self.version_numbers >= (7, 2)

    @property
    def version_numbers(self) -> tuple[int, ...]:
        return tuple(int(part) for part in self.version.split("."))

    def folder_of(self, what: str) -> Path:
        """A folder or file of the lab as a whole, beside those of its nodes."""
        return Path(self.nodes[0].folder).parent / what

    @property
    def seeds(self) -> tuple[Endpoint, ...]:
        return tuple(node.endpoint for node in self.nodes)

    def find(self, word: str) -> NodeEntry:
        """The node that a user means: by name, port, HOST:PORT, or the first 4 or more digits of its id.

        Raises UsageFault when it is none of the lab, or more than one.
        """
        digits = word.lower() if len(word) >= _FEWEST_DIGITS else "-"
        found = [
            node
            for node in self.nodes
            if word in (node.name, str(node.port), str(node.endpoint)) or node.node_id.startswith(digits)
        ]
        named = [node for node in found if node.name == word] or found
        if len(named) == 1:
            return named[0]
        known = ", ".join(f"{node.name} ({node.endpoint})" for node in self.nodes)
        what = "is more than one node" if named else "is no node"
        raise UsageFault(f"{word} {what} of the lab {self.name}", f"Name one of: {known}.")

    def with_node(self, changed: NodeEntry) -> LabEntry:
        """The same lab with one node replaced, found by its name."""
        return replace(self, nodes=tuple(changed if node.name == changed.name else node for node in self.nodes))


class Register:
    """All labs of one home folder."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def folder(self, name: str) -> Path:
        return self.home / name

    def names(self) -> tuple[str, ...]:
        """Every lab that has a folder, also a half-made one."""
        try:
            found = [entry.name for entry in self.home.iterdir() if entry.is_dir() and not entry.name.startswith(".")]
        except FileNotFoundError:
            return ()
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise LabFault(f"{self.home} cannot be read: {why}", _OTHER_PLACE) from error
        return tuple(sorted(found))

    def octets(self) -> frozenset[int]:
        """The address groups of all labs, also of those whose servers do not run at the moment."""
        entries = [entry for name in self.names() if isinstance(entry := self.look(name), LabEntry)]
        return frozenset(entry.octet for entry in entries if entry.octet is not None)

    def create(self, entry: LabEntry) -> None:
        """Make the folder of a new lab, with its entry in it from the first moment."""
        # Under the lab's lock nobody else makes one, so what stands there was left by a maker that was killed.
        fresh = self.home / f".new-{entry.name}"
        self._reachable(fresh)
        _write(fresh / ENTRY_FILE, entry)
        fresh.rename(self.folder(entry.name))

    def write(self, entry: LabEntry) -> None:
        _write(self.folder(entry.name) / ENTRY_FILE, entry)

    def read(self, name: str) -> LabEntry:
        """The entry of a lab. Raises UsageFault if there is none, LabFault if it cannot be read."""
        check_name(name)
        found = self.look(name)
        if found is None:
            known = ", ".join(self.names())
            hint = f"There is: {known}." if known else "There is no lab at all: make one with rcfail lab up."
            raise UsageFault(f"there is no lab named {name}", hint)
        if isinstance(found, str):
            folder = self.folder(name)
            raise LabFault(
                f"{folder / ENTRY_FILE} cannot be read: {found}", f"End its servers by hand, and remove {folder}."
            )
        return found

    def look(self, name: str) -> LabEntry | str | None:
        """The entry, why it cannot be read, or None where there is no lab."""
        try:
            text = (self.folder(name) / ENTRY_FILE).read_text("utf-8")
        except FileNotFoundError:
            return None if not self.folder(name).exists() else "it does not exist"
        except (OSError, UnicodeError) as error:
            return str(error)
        try:
            return _entry(json.loads(text))
        except (ValueError, KeyError, TypeError, AttributeError, UsageFault) as error:
            return f"it is not what rcfail wrote ({type(error).__name__}: {error})"

    def remove(self, name: str) -> None:
        """Delete the folder of a lab with all its data. Raises LabFault when it does not go: its entry then stays."""
        remove_folder(self.folder(name), last=ENTRY_FILE, within_s=_REMOVE_WITHIN_S)

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Hold the lab against every other process. Raises LabFault when another one keeps it for too long.

        The lock's file goes with the lab, so that nothing of a lab is left.
        """
        check_name(name)
        self._reachable(self.home / ".locks")
        with held(self.home / ".locks" / name, _LOCK_WITHIN_S, goes=lambda: not self.folder(name).exists()) as got:
            if not got:
                message = f"another rcfail is at work on the lab {name}"
                raise LabFault(message, "Wait until it is done, or choose another name.")
            yield

    def _reachable(self, folder: Path) -> None:
        try:
            self.home.mkdir(parents=True, exist_ok=True, mode=0o700)
            folder.mkdir(exist_ok=True, mode=0o700)
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise LabFault(f"{folder} cannot be made: {why}", _OTHER_PLACE) from error


def home_folder(environment: dict[str, str] | os._Environ[str]) -> Path:
    """RCFAIL_LAB_HOME, else rcfail/labs under XDG_STATE_HOME, else under ~/.local/state. Raises LabFault."""
    own = environment.get("RCFAIL_LAB_HOME")
    if own:
        return Path(own).absolute()
    state = environment.get("XDG_STATE_HOME", "")
    # The rules of XDG say to ignore a path that is not absolute.
    try:
        root = Path(state) if os.path.isabs(state) else Path("~/.local/state").expanduser()
    except RuntimeError:  # no HOME, and a user whom the system does not know, as in many containers
        raise LabFault("this user has no home directory", _OTHER_PLACE) from None
    return root / "rcfail" / "labs"


def _write(path: Path, entry: LabEntry) -> None:
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_text(json.dumps(_as_json(entry), indent=1) + "\n", "utf-8")
    fresh.replace(path)


def _as_json(entry: LabEntry) -> dict[str, Any]:
    return {"schema": SCHEMA, **asdict(entry)}


def _entry(found: dict[str, Any]) -> LabEntry:
    """Read back what was written. Raises ValueError, KeyError, TypeError or AttributeError on anything else."""
    if found["schema"] != SCHEMA:
        raise ValueError(f"schema {found['schema']!r} is not {SCHEMA}")
    return LabEntry(
        name=str(found["name"]),
        stage=Stage(found["stage"]),
        created_unix_ms=int(found["created_unix_ms"]),
        maker=_process(found["maker"]),
        server=str(found["server"]),
        flavour=Flavour(found["flavour"]),
        version=str(found["version"]),
        node_timeout_ms=int(found["node_timeout_ms"]),
        octet=None if found["octet"] is None else int(found["octet"]),
        nodes=tuple(_node(node) for node in found["nodes"]),
        cuts=tuple(cut_of(each) for each in found["cuts"]),
        notes=tuple(str(note) for note in found["notes"]),
        # Labs of an earlier rcfail have no such keys.
        partitions=tuple(partition_of(each) for each in found.get("partitions", ())),
        access=_access(found["access"]) if "access" in found else PLAIN,
        write_stops=tuple(write_stop_of(each) for each in found.get("write_stops", ())),
        altered=tuple(altered_of(each) for each in found.get("altered", ())),
    )


def _access(found: dict[str, Any]) -> Access:
    return Access(
        tls=bool(found["tls"]),
        tls_only=bool(found["tls_only"]),
        client_certs=ClientCerts(found["client_certs"]),
        user=str(found["user"]),
        ipv6=bool(found["ipv6"]),
        hostnames=bool(found["hostnames"]),
        endpoint_type=EndpointType(found["endpoint_type"]),
    )


def _node(found: dict[str, Any]) -> NodeEntry:
    return NodeEntry(
        name=str(found["name"]),
        host=str(found["host"]),
        port=int(found["port"]),
        bus_port=int(found["bus_port"]),
        zone=str(found["zone"]),
        shard=int(found["shard"]),
        primary=str(found["primary"]),
        folder=str(found["folder"]),
        group=None if found["group"] is None else int(found["group"]),
        node_id=NodeId(str(found["node_id"])),
        process=None if found["process"] is None else _process(found["process"]),
        hostname=str(found.get("hostname", "")),
        plain_port=None if found.get("plain_port") is None else int(found["plain_port"]),
    )


def _process(found: dict[str, Any]) -> Process:
    return Process(int(found["pid"]), str(found["started"]))
