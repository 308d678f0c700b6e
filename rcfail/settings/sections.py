"""What the user set, as frozen sections. `load` makes them; nothing else changes them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

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
    """Which cluster, and as whom. `record` is a file to read instead of servers. `notes` are for the user."""

    seeds: tuple[Endpoint, ...] = ()
    user: str | None = None
    secret: SecretSource = SecretSource()
    record: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Limits:
    """How long to wait: for the whole run, for one connection, for the answers of one node.

    Monitoring systems cut a check after 10 s, so the default of the whole run stays below.
    """

    deadline_s: float = 8.0
    connect_s: float = 1.0
    read_s: float = 2.0


class Format(StrEnum):
    TEXT = "text"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Output:
    """How the answer is written. `color` False forbids colours; True allows them where a terminal reads."""

    format: Format = Format.TEXT
    color: bool = True


@dataclass(frozen=True, slots=True)
class Settings:
    target: Target = Target()
    limits: Limits = Limits()
    output: Output = Output()
    zones: ZoneLabels = NO_LABELS
