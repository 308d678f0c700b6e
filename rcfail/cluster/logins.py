"""Who may log in at a node, and how a node logs in at its primary: compared by fingerprints, never by passwords."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

DEFAULT_USER = "default"


@dataclass(frozen=True, slots=True)
class AclUser:
    """One user of ACL LIST. `rules` and `passwords` are fingerprints: equal ones of one round mean equal things, and
    nothing can be learned from them. `open`: any password will do (nopass).
    """

    name: str
    enabled: bool
    open: bool
    rules: str
    passwords: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PrimaryLogin:
    """How a node would log in at a primary: masteruser, "" for none, and the fingerprint of masterauth, "" for none."""

    user: str
    password: str


def refusal(login: PrimaryLogin, users: Sequence[AclUser]) -> str:
    """Why a node with these users would turn that login away, as the end of a sentence; "" where it would not.

    Without masterauth a replica sends no AUTH and is the default user. With masterauth and no masteruser it sends AUTH
    with the password alone, which a default user without a password refuses (authCommand, acl.c); the replica takes
    that for a failure (syncWithMaster, replication.c).
    """
    name = (login.user if login.password else "") or DEFAULT_USER
    user = next((each for each in users if each.name == name), None)
    if user is None:
        return f"there is no user {name}"
    if not user.enabled:
        return f"the user {name} is off"
    if not login.password:
        return "" if user.open else "masterauth is not set"
    if user.open:
        return "" if login.user else "masterauth is set, and the default user has no password"
    return "" if login.password in user.passwords else f"masterauth is no password of the user {name}"


def differing(ours: Sequence[AclUser], theirs: Sequence[AclUser], *, rules: bool) -> tuple[tuple[str, str], ...]:
    """Users that are not the same on two nodes: each name, and how it differs, as seen from the second node.

    With `rules` False the rules are not compared: another version writes the same rules in other words.
    """
    here, there = ({each.name: each for each in users} for users in (ours, theirs))
    found = [(name, "is missing") for name in sorted(here.keys() - there.keys())]
    found += [(name, "exists there alone") for name in sorted(there.keys() - here.keys())]
    for name in sorted(here.keys() & there.keys()):
        one, other = here[name], there[name]
        if one.enabled != other.enabled:
            found.append((name, "is on" if other.enabled else "is off"))
        elif one.open != other.open or set(one.passwords) != set(other.passwords):
            found.append((name, "has another password"))
        elif rules and one.rules != other.rules:
            found.append((name, "has other rules"))
    return tuple(found)
