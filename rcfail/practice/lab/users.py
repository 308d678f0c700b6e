"""The ACL users of a lab. Passwords are made here and stand in files that only their owner reads, one a user.

The nodes get digests; only what a replica says to its primary has to stand in redis.conf as it is.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from pathlib import Path

from rcfail.cluster.permissions import Purpose, permissions
from rcfail.cluster.vitals import Server
from rcfail.errors import LabFault
from rcfail.practice.lab.access import ADMIN, REPLICATION
from rcfail.practice.lab.binary import ServerBinary
from rcfail.practice.lab.register import LabEntry

_FOLDER = "passwords"
_BYTES = 24
_EVERYTHING = ("~*", "&*", "+@all")
_REPLICATING = ("resetkeys", "resetchannels", "-@all", "+psync", "+replconf", "+ping")


def make_users(entry: LabEntry) -> None:
    """Write a fresh password for each user of the lab."""
    entry.folder_of(_FOLDER).mkdir(mode=0o700)
    for user in (ADMIN, REPLICATION, entry.access.user):
        path = password_file(entry, user)
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(_BYTES) + "\n", "ascii")


def password_file(entry: LabEntry, user: str) -> Path:
    """The file that holds the password of a user, and nothing else."""
    return entry.folder_of(_FOLDER) / user


def password_of(entry: LabEntry, user: str) -> str:
    """Raises LabFault when the file is gone."""
    path = password_file(entry, user)
    try:
        return path.read_text("ascii").strip()
    except (OSError, UnicodeError) as error:
        raise LabFault(f"{path} cannot be read: {error}", "Take the lab down, and make it anew.") from None


def user_lines(entry: LabEntry, server: ServerBinary) -> Iterator[str]:
    """Lines of redis.conf: nobody is anybody without a password, and a replica may replicate, no more.

    The user for people gets what `rcfail acl operating` prints.
    """
    operating = permissions(Server(server.flavour, server.version, server.version_text), Purpose.OPERATING)
    yield "user default off"
    for user, rules in ((ADMIN, _EVERYTHING), (REPLICATION, _REPLICATING), (entry.access.user, operating)):
        digest = hashlib.sha256(password_of(entry, user).encode()).hexdigest()
        yield f"user {user} on #{digest} {' '.join(rules)}"
    yield f"masteruser {REPLICATION}"
    yield f"masterauth {password_of(entry, REPLICATION)}"
