"""What was asked and what came back, raw enough to be saved and judged again offline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from rcfail.cluster.logins import AclUser, PrimaryLogin
from rcfail.cluster.natmap import NO_NATMAP, Natmap
from rcfail.cluster.nouns import BusLink, Endpoint, NodeId, NodesReply


class Ask(StrEnum):
    """The questions that a node is asked."""

    INFO = "INFO"
    CLUSTER_INFO = "CLUSTER INFO"
    CLUSTER_NODES = "CLUSTER NODES"
    CLUSTER_LINKS = "CLUSTER LINKS"
    CONFIG = "CONFIG GET"
    SLOT_MIGRATIONS = "CLUSTER GETSLOTMIGRATIONS"
    USERS = "ACL LIST"
    LOGIN = "CONFIG GET masterauth"


class AbsenceKind(StrEnum):
    """Why a node that did answer gave no answer to one question."""

    NOT_PERMITTED = "not-permitted"
    UNSUPPORTED = "unsupported"
    LOADING = "loading"
    REFUSED = "refused"
    MALFORMED = "malformed"
    NOT_ASKED = "not-asked"
    NO_ANSWER = "no-answer"  # the connection ended, or time was over, before this reply


@dataclass(frozen=True, slots=True)
class Absence:
    """A question without an answer. `text` is the server's own error text, if it gave one."""

    kind: AbsenceKind
    text: str = ""


class SilenceReason(StrEnum):
    """Why a node gave no usable answer at all."""

    UNRESOLVABLE = "unresolvable"  # the name has no address
    REFUSED = "refused"  # nothing listens there
    UNREACHABLE = "unreachable"  # no route, or a firewall that says so
    CONNECT_TIMEOUT = "connect-timeout"  # nobody took the connection in time
    FROZEN = "frozen"  # took the connection, never sent a byte
    TOO_SLOW = "too-slow"  # sent something, but not a whole answer in time
    TOO_LARGE = "too-large"  # sent more than we are willing to read
    CLOSED = "closed"  # took the connection and ended it
    BUSY = "busy"  # answers every question with BUSY: a script or a function holds it
    CLIENTS_FULL = "clients-full"  # max number of clients reached
    AUTH_REFUSED = "auth-refused"  # NOAUTH, WRONGPASS, or NOPERM for everything we ask
    NOT_A_CLUSTER = "not-a-cluster"  # a server with cluster support disabled
    TLS_EXPECTED = "tls-expected"  # answered with a TLS record
    NOT_TLS = "not-tls"  # speaks plainly where TLS was begun
    TLS_UNTRUSTED = "tls-untrusted"  # its certificate is signed by no CA that we trust
    TLS_EXPIRED = "tls-expired"  # its certificate is not valid now
    TLS_NAME = "tls-name"  # its certificate is for other names than the node goes by
    TLS_CLIENT_CERT = "tls-client-cert"  # wants a certificate of ours, or refuses the one it got
    TLS_FAILED = "tls-failed"  # no TLS could be agreed on
    GARBAGE = "garbage"  # does not speak the protocol
    NO_TIME = "no-time"  # the deadline of the whole run passed first
    NO_ADDRESS = "no-address"  # known by id, but no view prints an address
    NO_PORT = "no-port"  # the views print port 0: it takes no connections of our kind, plain or TLS
    ANOTHER_NODE = "another-node"  # listed only where another node answers, one that is known otherwise


@dataclass(frozen=True, slots=True)
class Silence:
    """A node that was asked and gave no usable answer. Never a missing row.

    `expected` is the id that some view lists at this endpoint; None for a seed that nobody lists.
    `endpoint` is None only with NO_ADDRESS.
    """

    endpoint: Endpoint | None
    expected: NodeId | None
    reason: SilenceReason
    text: str = ""
    waited_ms: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """All that one endpoint answered in one round.

    `expected` is the id that some view lists at this endpoint, None for a seed that nobody lists;
    the id that the node claims itself is `nodes.myself`. A question that is in none of the fields has
    its reason in `absences`. `info` and `cluster_info` are the raw texts; `config` is what CONFIG GET
    gave (never a secret); `slot_migrations` are the maps of CLUSTER GETSLOTMIGRATIONS; `users` and `login` are what
    ACL LIST and masterauth say, in fingerprints.
    """

    endpoint: Endpoint
    expected: NodeId | None
    asked_at_unix_ms: int
    took_ms: int
    info: str | None = None
    cluster_info: str | None = None
    nodes: NodesReply | None = None
    links: tuple[BusLink, ...] | None = None
    config: Mapping[str, str] | None = None
    slot_migrations: tuple[Mapping[str, str], ...] | None = None
    users: tuple[AclUser, ...] | None = None
    login: PrimaryLogin | None = None
    absences: Mapping[Ask, Absence] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Observation:
    """One round over the whole cluster, from all seeds to the union of all nodes that any view names.

    `deserted` are addresses at which some view lists a node and nobody answered, although that very node (`expected`)
    answered at another one: it has its Answer, and no Silence. Endpoints are where we dial, and `natmap` says how the
    addresses in the views become those. `doubles` are answers of further processes that claim the id of one in
    `answers`, and are not the same process at another address.
    """

    taken_at_unix_ms: int
    elapsed_ms: int
    seeds: tuple[Endpoint, ...]
    answers: tuple[Answer, ...]
    silences: tuple[Silence, ...]
    deserted: tuple[Silence, ...] = ()
    natmap: Natmap = NO_NATMAP
    doubles: tuple[Answer, ...] = ()
