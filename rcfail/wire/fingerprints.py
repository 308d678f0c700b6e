"""What ACL LIST and masterauth say, without what they tell.

Both hold secrets: hashes of passwords that a guesser can work on, and a password in plain text. They are reduced where
they come off the wire, and only the reduced form gets into an Answer. The key of the fingerprints is random and lives
as long as the process, so a fingerprint in a record is of no use to a guesser.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from hashlib import blake2b, sha256

from rcfail.cluster.logins import AclUser, PrimaryLogin

_KEY = os.urandom(32)
_WORDS = frozenset({"on", "off", "nopass"})
_DIGEST_BYTES = 9
_MOST_USERS = 10_000


def fingerprint(text: str) -> str:
    return blake2b(text.encode("utf-8", "surrogateescape"), key=_KEY, digest_size=_DIGEST_BYTES).hexdigest()


class UserReader:
    """Reads ACL LIST of many nodes; a line that was read before costs one hash."""

    def __init__(self) -> None:
        self._known: dict[str, AclUser | None] = {}

    def read(self, lines: Sequence[object]) -> tuple[AclUser, ...] | None:
        """None where a line is none that ACL LIST gives, for half a list would accuse the node."""
        if len(lines) > _MOST_USERS or not all(isinstance(line, str) for line in lines):
            return None
        users = [self._user(str(line)) for line in lines]
        found = tuple(user for user in users if user is not None)
        return found if len(found) == len(users) else None

    def _user(self, line: str) -> AclUser | None:
        mark = fingerprint(line)
        if mark not in self._known:
            self._known[mark] = _user(line)
        return self._known[mark]


def _user(line: str) -> AclUser | None:
    """`user NAME on|off [nopass] [#HASH ...] rules`: the form of ACL LIST since Redis 6.0 (ACLDescribeUser, acl.c)."""
    word, _, rest = line.partition(" ")
    name, _, rest = rest.partition(" ")
    words = rest.split(" ")
    if word != "user" or not name or not {"on", "off"} & set(words):
        return None
    hashes = sorted(fingerprint(word[1:]) for word in words if word.startswith("#"))
    rules = [word for word in words if word not in _WORDS and not word.startswith("#")]
    return AclUser(name, "on" in words, "nopass" in words, fingerprint(" ".join(rules)), tuple(hashes))


def login_of(user: str, password: str) -> PrimaryLogin:
    """ACL LIST has the SHA-256 of a password, so that is what is compared."""
    if not password:
        return PrimaryLogin(user, "")
    return PrimaryLogin(user, fingerprint(sha256(password.encode("utf-8", "surrogateescape")).hexdigest()))
