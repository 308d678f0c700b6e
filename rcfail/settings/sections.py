"""What the user set, as frozen sections. `load` makes them; nothing else changes them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from rcfail.cluster.natmap import NO_NATMAP, Natmap
from rcfail.cluster.nouns import Endpoint
from rcfail.cluster.zones import NO_LABELS, ZoneLabels


class SecretKind(StrEnum):
    """Where the password comes from. It is never taken from the command line."""

    NONE = "none"
    ENVIRONMENT = "environment"
    FILE = "file"
    PROMPT = "prompt"


@dataclass(frozen=True, slots=True)
class SecretSource:
    """A place that holds a password, not the password. `name` is the variable or the path."""

    kind: SecretKind = SecretKind.NONE
    name: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """Which cluster, and as whom. `record` is a file to read instead of servers. `notes` are for the user.

    `name` is the one that the cluster has in the config file, if it was named.
    """

    seeds: tuple[Endpoint, ...] = ()
    user: str | None = None
    secret: SecretSource = SecretSource()
    record: str | None = None
    notes: tuple[str, ...] = ()
    name: str | None = None


class Verify(StrEnum):
    """What is checked of a server's certificate: CA and name, the CA alone, or nothing."""

    FULL = "full"
    CA = "ca"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Tls:
    """How to speak TLS. Files are paths in PEM form; without `ca_file` and `ca_dir` the system's CAs are trusted.

    `server_name` replaces all names that a node goes by: it is sent as SNI, and the certificate must be for it.
    """

    enabled: bool = False
    ca_file: str | None = None
    ca_dir: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    server_name: str | None = None
    verify: Verify = Verify.FULL


@dataclass(frozen=True, slots=True)
class Limits:
    """How long to wait: for the whole run, for one connection, for the answers of one node.

    Monitoring systems cut a check after 10 s, so the default of the whole run stays below.
    """

    deadline_s: float = 8.0
    connect_s: float = 1.0
    read_s: float = 2.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the named cluster says of its own health; a flag of `rcfail health` wins over it. None: not said."""

    min_replicas: int | None = None
    max_lag_bytes: int | None = None
    max_lag_s: int | None = None


class Format(StrEnum):
    """The forms of an answer. The last two are for monitors, and only verdicts have them."""

    TEXT = "text"
    JSON = "json"
    NAGIOS = "nagios"
    PROMETHEUS = "prometheus"


@dataclass(frozen=True, slots=True)
class Output:
    """How the answer is written. `color` False forbids colours; True allows them where a terminal reads.

    `file` is replaced by the answer, which then does not go to standard output.
    """

    format: Format = Format.TEXT
    color: bool = True
    file: str | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything. `origins` says for each key that was set where: a flag, a variable, or the config file.

    `repeated` are the words of the command line that a next command about this cluster needs again, seeds left out.
    """

    target: Target = Target()
    limits: Limits = Limits()
    output: Output = Output()
    zones: ZoneLabels = NO_LABELS
    tls: Tls = Tls()
    natmap: Natmap = NO_NATMAP
    wanted: Wanted = Wanted()
    origins: tuple[tuple[str, str], ...] = ()
    repeated: tuple[str, ...] = ()
