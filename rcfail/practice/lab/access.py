"""How the nodes of a lab are reached: over TLS, as which user, at which kind of address, under which name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from rcfail.errors import UsageFault

ADMIN = "rcfail-lab"
"""The lab itself, on its nodes."""
REPLICATION = "rcfail-replication"
"""The nodes, to each other."""
DEFAULT_USER = "operator"

_USER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")
_TAKEN = ("default", ADMIN, REPLICATION)


class ClientCerts(StrEnum):
    """Whether a client must show a certificate: the words of tls-auth-clients."""

    YES = "yes"
    OPTIONAL = "optional"
    NO = "no"


class EndpointType(StrEnum):
    """What the nodes send clients to: cluster-preferred-endpoint-type."""

    IP = "ip"
    HOSTNAME = "hostname"


@dataclass(frozen=True, slots=True)
class Access:
    """All at its default: plain TCP on IPv4, and nobody is asked who is there.

    `user` is the ACL user that people are, "" where there are no users. `tls_only`: no plain port beside the TLS port.
    Raises UsageFault when that cannot be had.
    """

    tls: bool = False
    tls_only: bool = False
    client_certs: ClientCerts = ClientCerts.YES
    user: str = ""
    ipv6: bool = False
    hostnames: bool = False
    endpoint_type: EndpointType = EndpointType.IP

    def __post_init__(self) -> None:
        if self.user in _TAKEN or (self.user and not _USER.fullmatch(self.user)):
            why = "is taken by the lab itself" if self.user in _TAKEN else "is no name for a user of the lab"
            raise UsageFault(
                f"{self.user!r} {why}", "Use up to 32 letters, digits, '-', '_' and '.', such as: operator."
            )
        if self.endpoint_type is EndpointType.HOSTNAME and not self.hostnames:
            raise UsageFault("there are no host names to send clients to", "Add --hostnames.")

    @property
    def has_plain_port(self) -> bool:
        """Whether a node has a second port, for plain TCP, beside its TLS port."""
        return self.tls and not self.tls_only

    @property
    def owned_options(self) -> frozenset[str]:
        """Lines of redis.conf that the lab sets for this."""
        owned = _TLS_OPTIONS if self.tls else frozenset[str]()
        owned |= _USER_OPTIONS if self.user else frozenset()
        return owned | (_NAME_OPTIONS if self.hostnames else frozenset())


PLAIN = Access()

_TLS_OPTIONS = frozenset(
    {
        "cluster-announce-tls-port",
        "tls-auth-clients",
        "tls-ca-cert-dir",
        "tls-ca-cert-file",
        "tls-cert-file",
        "tls-cluster",
        "tls-key-file",
        "tls-port",
        "tls-replication",
    }
)
_USER_OPTIONS = frozenset({"aclfile", "masterauth", "masteruser", "requirepass", "user"})
_NAME_OPTIONS = frozenset({"cluster-announce-hostname", "cluster-preferred-endpoint-type"})
