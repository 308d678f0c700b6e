"""A lab as the cluster of all commands: the variables that name it, and who to be. Of passwords only the places."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from rcfail.practice.lab.access import ADMIN, ClientCerts
from rcfail.practice.lab.certs import authority, pair
from rcfail.practice.lab.register import LabEntry
from rcfail.practice.lab.users import password_file

# What another cluster may have left in a shell, and what would be taken for this one's.
_OTHERS = (
    "RCFAIL_CACERT",
    "RCFAIL_CACERTDIR",
    "RCFAIL_CERT",
    "RCFAIL_CLUSTER",
    "RCFAIL_KEY",
    "RCFAIL_NATMAP",
    "RCFAIL_PASSWORD",
    "RCFAIL_PASSWORD_FILE",
    "RCFAIL_SNI",
    "RCFAIL_TLS",
    "RCFAIL_TLS_VERIFY",
    "RCFAIL_USER",
)


def variables(entry: LabEntry) -> dict[str, str]:
    """What to export."""
    found = {"RCFAIL_SEEDS": ",".join(str(seed) for seed in entry.seeds)}
    if entry.access.user:
        found["RCFAIL_USER"] = entry.access.user
        found["RCFAIL_PASSWORD_FILE"] = str(password_file(entry, entry.access.user))
    if entry.access.tls:
        found["RCFAIL_TLS"] = "yes"
        found["RCFAIL_CACERT"] = str(authority(entry))
    if entry.access.tls and entry.access.client_certs is not ClientCerts.NO:
        certificate, key = pair(entry)
        found["RCFAIL_CERT"] = str(certificate)
        found["RCFAIL_KEY"] = str(key)
    return found


def redis_cli(entry: LabEntry) -> str:
    """The shell command that may do everything on the first node; it reads the password when it is run."""
    words = ["redis-cli", "-h", entry.nodes[0].host, "-p", str(entry.nodes[0].port)]
    if entry.access.tls:
        certificate, key = pair(entry)
        words += ["--tls", "--cacert", str(authority(entry)), "--cert", str(certificate), "--key", str(key)]
    if not entry.access.user:
        return shlex.join(words)
    password = shlex.quote(str(password_file(entry, ADMIN)))
    return f'REDISCLI_AUTH="$(cat {password})" {shlex.join([*words, "--user", ADMIN])}'


def leftovers(entry: LabEntry, env: Mapping[str, str], *, keep_password: bool) -> tuple[str, ...]:
    """Variables that are set there for another cluster, by name. `keep_password`: the user sets it by hand."""
    mine = variables(entry)
    kept = ("RCFAIL_PASSWORD",) if keep_password else ()
    return tuple(name for name in _OTHERS if name in env and name not in mine and name not in kept)
